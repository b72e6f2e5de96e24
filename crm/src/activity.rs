//! Activities: the one timeline of what happened with a contact. Owns `activities`.

use chrono::{DateTime, Utc};
use engine::clock;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

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
    /// With whom.
    pub contact_id: Option<Uuid>,
    /// Who did it.
    pub actor: String,
    /// When.
    pub occurred_at: DateTime<Utc>,
    /// What else is to know.
    pub data: Value,
    /// What caused it; the same cause writes it once.
    pub source: String,
}

/// An activity.
#[derive(Debug, Clone, PartialEq)]
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
    /// Who did it.
    pub actor: String,
    /// When.
    pub occurred_at: DateTime<Utc>,
    /// What else is to know.
    pub data: Value,
    /// When it was written.
    pub created_at: DateTime<Utc>,
}

/// Which activities to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// With this contact.
    pub contact_id: Option<Uuid>,
    /// At this company.
    pub account_id: Option<Uuid>,
    /// Of this kind.
    pub kind: Option<String>,
    /// Before this instant, and before this id where it is the same one.
    pub before: Option<(DateTime<Utc>, Uuid)>,
}

/// Writes activities; one whose cause wrote one already stays as it is. Returns the ids that are new.
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
    let contacts: Vec<Option<Uuid>> =
        activities.iter().map(|activity| activity.contact_id).collect();
    let actors: Vec<String> = activities.iter().map(|activity| activity.actor.clone()).collect();
    let at: Vec<DateTime<Utc>> = activities.iter().map(|activity| activity.occurred_at).collect();
    let data: Vec<Value> = activities.iter().map(|activity| activity.data.clone()).collect();
    let sources: Vec<String> = activities.iter().map(|activity| activity.source.clone()).collect();
    let written = sqlx::query!(
        "insert into activities (customer_id, id, kind, title, body, contact_id, account_id, actor, occurred_at,
           data, source)
         select a.customer_id, a.id, a.kind, a.title, a.body, a.contact_id, c.account_id, a.actor, a.at, a.data, a.source
         from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::uuid[], $7::text[],
           $8::timestamptz[], $9::jsonb[], $10::text[])
           as a(customer_id, id, kind, title, body, contact_id, actor, at, data, source)
         left join contacts c on c.customer_id = a.customer_id and c.id = a.contact_id
         on conflict (customer_id, source) where source is not null do nothing
         returning customer_id, id",
        &customers,
        &ids,
        &kinds as &[&str],
        &titles,
        &bodies as &[Option<String>],
        &contacts as &[Option<Uuid>],
        &actors,
        &at,
        &data,
        &sources,
    )
    .fetch_all(tx)
    .await?;
    Ok(written.into_iter().map(|row| (row.customer_id, row.id)).collect())
}

/// Activities, newest first, at most `limit` (bounded to 200).
///
/// # Errors
/// What the statement returned.
pub async fn list(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    filter: &Filter,
    limit: u32,
) -> Result<Vec<Activity>, sqlx::Error> {
    let (before_at, before_id) = filter.before.unzip();
    sqlx::query_as!(
        Activity,
        "select id, kind, title, body, contact_id, account_id, actor, occurred_at, data, created_at
         from activities
         where customer_id = $1 and ($2::uuid is null or contact_id = $2) and ($3::uuid is null or account_id = $3)
           and ($4::text is null or kind = $4)
           and ($5::timestamptz is null or (occurred_at, id) < ($5, $6::uuid))
         order by occurred_at desc, id desc limit $7",
        customer_id,
        filter.contact_id,
        filter.account_id,
        filter.kind,
        before_at,
        before_id,
        i64::from(limit.min(200)),
    )
    .fetch_all(db)
    .await
}
