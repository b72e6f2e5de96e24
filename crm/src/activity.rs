//! Activities: the one timeline of what happened with contacts, at companies and in deals. Owns `activities` and
//! `activity_edits`, what people wrote before they changed it.

use chrono::{DateTime, Utc};
use engine::outbox::{self, NewEvent};
use engine::{clock, id};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{PgConnection, PgExecutor, QueryBuilder};
use uuid::Uuid;

use crate::event::activity::{self as event, Logged};

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Somebody wrote something down.
    Note,
    /// A call.
    Call,
    /// A to-do.
    Task,
    /// A mail went out or came in.
    Email,
    /// A meeting.
    Meeting,
    /// The system did something.
    System,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Note, Self::Call, Self::Task, Self::Email, Self::Meeting, Self::System];

    /// The stored word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Call => "call",
            Self::Task => "task",
            Self::Email => "email",
            Self::Meeting => "meeting",
            Self::System => "system",
        }
    }
}

/// An activity to write.
#[derive(Debug, Clone, PartialEq)]
pub struct NewActivity {
    /// Whose it is.
    pub customer_id: Uuid,
    /// What kind.
    pub kind: Kind,
    /// One line.
    pub title: String,
    /// More, where there is more.
    pub body: Option<String>,
    /// With whom, at which company, in which deal.
    pub about: About,
    /// Who did it.
    pub actor: String,
    /// When.
    pub occurred_at: DateTime<Utc>,
    /// What else is to know.
    pub data: Value,
    /// What caused it; the same cause writes it once.
    pub source: Option<String>,
}

/// What an activity, or a task, is about. Where no company is named, it is the contact's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct About {
    /// With whom.
    pub contact_id: Option<Uuid>,
    /// At which company.
    pub account_id: Option<Uuid>,
    /// In which deal.
    pub opportunity_id: Option<Uuid>,
}

impl About {
    /// A contact, and nothing else.
    pub fn contact(contact_id: Uuid) -> Self {
        Self { contact_id: Some(contact_id), ..Self::default() }
    }
}

/// An activity.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Activity {
    /// Its id (`act_…`).
    pub id: Uuid,
    /// The kind's stored word.
    pub kind: String,
    /// One line.
    pub title: String,
    /// More, where there is more.
    pub body: Option<String>,
    /// With whom.
    pub contact_id: Option<Uuid>,
    /// At which company.
    pub account_id: Option<Uuid>,
    /// In which deal.
    pub opportunity_id: Option<Uuid>,
    /// Who did it.
    pub actor: String,
    /// When.
    pub occurred_at: DateTime<Utc>,
    /// What else is to know.
    pub data: Value,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// When somebody changed its words.
    pub updated_at: Option<DateTime<Utc>>,
}

/// Which activities to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// With whom, at which company, in which deal; all where nothing is named.
    pub about: About,
    /// Of this kind.
    pub kind: Option<String>,
    /// Before this instant, and before this id where it is the same one.
    pub before: Option<(DateTime<Utc>, Uuid)>,
}

/// Writes activities; one whose cause wrote one already stays as it is. Returns the ids that are new, each with its
/// customer.
///
/// # Errors
/// What the statement returned.
pub async fn write(
    tx: &mut PgConnection,
    activities: &[NewActivity],
) -> Result<Vec<(Uuid, Uuid)>, sqlx::Error> {
    if activities.is_empty() {
        return Ok(Vec::new());
    }
    let of = |activity: &NewActivity| activity.customer_id;
    let customers: Vec<Uuid> = activities.iter().map(of).collect();
    let ids: Vec<Uuid> = activities.iter().map(|_| clock::new_id()).collect();
    let kinds: Vec<&str> = activities.iter().map(|activity| activity.kind.word()).collect();
    let titles: Vec<String> = activities.iter().map(|activity| activity.title.clone()).collect();
    let bodies: Vec<Option<String>> =
        activities.iter().map(|activity| activity.body.clone()).collect();
    let about = |of: fn(&About) -> Option<Uuid>| {
        activities.iter().map(|activity| of(&activity.about)).collect::<Vec<Option<Uuid>>>()
    };
    let actors: Vec<String> = activities.iter().map(|activity| activity.actor.clone()).collect();
    let at: Vec<DateTime<Utc>> = activities.iter().map(|activity| activity.occurred_at).collect();
    let data: Vec<Value> = activities.iter().map(|activity| activity.data.clone()).collect();
    let sources: Vec<Option<String>> =
        activities.iter().map(|activity| activity.source.clone()).collect();
    let written = sqlx::query!(
        "insert into activities (customer_id, id, kind, title, body, contact_id, account_id, opportunity_id, actor,
           occurred_at, data, source)
         select a.customer_id, a.id, a.kind, a.title, a.body, a.contact_id,
           coalesce(a.account_id, c.account_id, o.account_id), a.opportunity_id, a.actor, a.at, a.data, a.source
         from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::uuid[], $7::uuid[], $8::uuid[],
           $9::text[], $10::timestamptz[], $11::jsonb[], $12::text[])
           as a(customer_id, id, kind, title, body, contact_id, account_id, opportunity_id, actor, at, data, source)
         left join contacts c on c.customer_id = a.customer_id and c.id = a.contact_id
         left join opportunities o on o.customer_id = a.customer_id and o.id = a.opportunity_id
         on conflict (customer_id, source) where source is not null do nothing
         returning customer_id, id",
        &customers,
        &ids,
        &kinds as &[&str],
        &titles,
        &bodies as &[Option<String>],
        &about(|about| about.contact_id) as &[Option<Uuid>],
        &about(|about| about.account_id) as &[Option<Uuid>],
        &about(|about| about.opportunity_id) as &[Option<Uuid>],
        &actors,
        &at,
        &data,
        &sources as &[Option<String>],
    )
    .fetch_all(tx)
    .await?;
    Ok(written.into_iter().map(|row| (row.customer_id, row.id)).collect())
}

/// Writes what a person or a workflow logs, with the event `activity.logged` of each that is new.
///
/// # Errors
/// What the statements returned.
pub async fn log(
    tx: &mut PgConnection,
    activities: &[NewActivity],
) -> Result<Vec<(Uuid, Uuid)>, sqlx::Error> {
    let written = write(tx, activities).await?;
    let events: Vec<NewEvent> = written
        .iter()
        .map(|(customer_id, activity)| {
            let activity_id = id::show("act", *activity);
            let (key, logged) = (activity_id.clone(), Logged { activity_id });
            event::LOGGED.event(*customer_id, key, 1, &logged)
        })
        .collect();
    outbox::publish(tx, &events).await?;
    Ok(written)
}

/// An activity by id.
///
/// # Errors
/// What the statement returned.
pub async fn find(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    id: Uuid,
) -> Result<Option<Activity>, sqlx::Error> {
    sqlx::query_as!(
        Activity,
        "select id, kind, title, body, contact_id, account_id, opportunity_id, actor, occurred_at, data, created_at,
           updated_at
         from activities where customer_id = $1 and id = $2 and deleted_at is null",
        customer_id,
        id,
    )
    .fetch_optional(db)
    .await
}

/// An activity by id, locked against other changes.
///
/// # Errors
/// What the statement returned.
pub async fn lock(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    id: Uuid,
) -> Result<Option<Activity>, sqlx::Error> {
    sqlx::query_as!(
        Activity,
        "select id, kind, title, body, contact_id, account_id, opportunity_id, actor, occurred_at, data, created_at,
           updated_at
         from activities where customer_id = $1 and id = $2 and deleted_at is null for update",
        customer_id,
        id,
    )
    .fetch_optional(db)
    .await
}

/// Other words for an activity.
#[derive(Debug, Clone, PartialEq)]
pub struct Words<'a> {
    /// One line.
    pub title: &'a str,
    /// More.
    pub body: Option<&'a str>,
    /// What else is to know.
    pub data: &'a Value,
}

/// Gives an activity that [`lock`] gave other words; those of before are kept.
///
/// # Errors
/// What the statements returned.
pub async fn edit(
    tx: &mut PgConnection,
    customer_id: Uuid,
    locked: &Activity,
    words: Words<'_>,
    editor: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into activity_edits (customer_id, activity_id, n, title, body, editor)
         select $1, $2, coalesce(max(n), 0) + 1, $3, $4, $5
         from activity_edits where customer_id = $1 and activity_id = $2",
        customer_id,
        locked.id,
        locked.title,
        locked.body,
        editor,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "update activities set title = $3, body = $4, data = $5, updated_at = engine.now()
         where customer_id = $1 and id = $2",
        customer_id,
        locked.id,
        words.title,
        words.body,
        words.data,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Takes an activity out of the timeline.
///
/// # Errors
/// What the statement returned.
pub async fn delete(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    id: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update activities set deleted_at = engine.now() where customer_id = $1 and id = $2 and deleted_at is null",
        customer_id,
        id,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What an activity said before.
#[derive(Debug, Clone, PartialEq)]
pub struct Edit {
    /// The how-manieth words they were, from 1.
    pub n: i32,
    /// One line.
    pub title: String,
    /// More.
    pub body: Option<String>,
    /// Who changed them.
    pub editor: String,
    /// When.
    pub edited_at: DateTime<Utc>,
}

/// What an activity said before, the oldest first, at most 200.
///
/// # Errors
/// What the statement returned.
pub async fn edits(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    id: Uuid,
) -> Result<Vec<Edit>, sqlx::Error> {
    sqlx::query_as!(
        Edit,
        "select n, title, body, editor, edited_at from activity_edits
         where customer_id = $1 and activity_id = $2 order by n limit 200",
        customer_id,
        id,
    )
    .fetch_all(db)
    .await
}

/// The timeline, newest first, at most `limit` (bounded to 200).
///
/// # Errors
/// What the statement returned.
pub async fn list(
    db: &mut PgConnection,
    customer_id: Uuid,
    filter: &Filter,
    limit: u32,
) -> Result<Vec<Activity>, sqlx::Error> {
    // Put together of what is asked, so that each timeline reads its own index.
    let mut sql = QueryBuilder::new(
        "select id, kind, title, body, contact_id, account_id, opportunity_id, actor, occurred_at, data, created_at,
           updated_at
         from activities where deleted_at is null and customer_id = ",
    );
    sql.push_bind(customer_id);
    let About { contact_id, account_id, opportunity_id } = filter.about;
    for (column, id) in
        [("contact_id", contact_id), ("account_id", account_id), ("opportunity_id", opportunity_id)]
    {
        if let Some(id) = id {
            sql.push(format!(" and {column} = ")).push_bind(id);
        }
    }
    // The account's own timeline: its contacts may be in reach where the account is not.
    if let Some(id) = account_id {
        sql.push(" and crm.reaches_about(").push_bind(customer_id);
        sql.push(", null, ").push_bind(id).push(", null)");
    }
    if let Some(kind) = &filter.kind {
        sql.push(" and kind = ").push_bind(kind.clone());
    }
    if let Some((at, id)) = filter.before {
        sql.push(" and (occurred_at, id) < (").push_bind(at).push(", ").push_bind(id).push(")");
    }
    sql.push(" order by occurred_at desc, id desc limit ").push_bind(i64::from(limit.min(200)));
    sql.build_query_as().fetch_all(db).await
}

/// Takes the words out of what was written about contacts, and out of what it said before; gives how many of each.
///
/// # Errors
/// What the statement returned.
pub(crate) async fn erase(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    contacts: &[Uuid],
) -> Result<[(&'static str, i64); 2], sqlx::Error> {
    let erased = sqlx::query!(
        r#"with activity as (
             update activities set title = 'Erased', body = null, data = '{}'
             where customer_id = $1 and contact_id = any($2) returning id
           ), edit as (
             delete from activity_edits e using activities a
             where e.customer_id = $1 and a.customer_id = $1 and a.id = e.activity_id and a.contact_id = any($2)
             returning e.n
           )
           select (select count(*) from activity) as "activities!", (select count(*) from edit) as "edits!""#,
        customer_id,
        contacts,
    )
    .fetch_one(db)
    .await?;
    Ok([("activities", erased.activities), ("activity_edits", erased.edits)])
}
