//! Two contacts that are one person: found, made one, and parted again exactly. Owns `merges`. All that hangs on the one
//! that goes moves to the one that stays; the rows as they were are kept with it.

mod duplicates;
mod moving;
mod row;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use engine::{clock, id, outbox};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use self::row::{combined, write};
use crate::event::contact::{self as event, Deleted, Updated};
use crate::{contact, engagement, reach, unsubscription};

pub use duplicates::{Duplicate, REASONS, duplicates};

/// Two contacts that were made one.
#[derive(Debug, Clone, PartialEq)]
pub struct Merge {
    /// Its id (`mrg_…`).
    pub id: Uuid,
    /// Who stayed.
    pub contact_id: Uuid,
    /// Who became a part of it.
    pub from_id: Uuid,
    /// Who did it.
    pub actor: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// When it was undone.
    pub undone_at: Option<DateTime<Utc>>,
}

/// What is needed to part two contacts again.
#[derive(Debug, Serialize, Deserialize)]
struct Parting {
    /// The contacts' rows before, and as the merge left them: who stayed, then who went.
    before: [Map<String, Value>; 2],
    after: [Map<String, Value>; 2],
    /// Their engagement's rows before.
    engagement: [Option<Value>; 2],
    /// What moved, by table.
    moved: BTreeMap<String, Vec<Uuid>>,
    /// Opportunities of who went that who stayed was not in.
    joined: Vec<Uuid>,
    /// All opportunities of who went.
    opportunities: Vec<Uuid>,
}

/// Why contacts were not made one, or not parted.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// One of them is not there.
    #[error("there is no such contact")]
    NotFound,
    /// They are the same.
    #[error("a contact can't become a part of itself")]
    Same,
    /// Both are on their way in a sequence: who stays would get it twice.
    #[error("both are in the sequence `{0}`; end one of the enrollments first")]
    BothEnrolled(String),
    /// It was undone before.
    #[error("it was undone already")]
    Undone,
    /// The database refused.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Makes two contacts one: `from_id` goes, and all that hangs on it moves to `contact_id`.
///
/// # Errors
/// `NotFound`, `Same`, `BothEnrolled`, or what the statements returned; the caller rolls back.
pub async fn merge(
    tx: &mut PgConnection,
    customer_id: Uuid,
    (contact_id, from_id): (Uuid, Uuid),
    actor: &str,
) -> Result<Merge, MergeError> {
    if contact_id == from_id {
        return Err(MergeError::Same);
    }
    let pair = [contact_id, from_id];
    let before = lock(tx, customer_id, pair).await?.ok_or(MergeError::NotFound)?;
    if let Some(name) = both_enrolled(&mut *tx, customer_id, pair).await? {
        return Err(MergeError::BothEnrolled(name));
    }
    let scores = engagement::rows(&mut *tx, customer_id, pair).await?;
    // Whoever merges reaches both contacts, but perhaps not each deal in which they are.
    let lifted = reach::lift(&mut *tx).await?;
    let opportunities = opportunities(&mut *tx, customer_id, from_id).await?;
    let moved = moving::take(tx, customer_id, pair).await?;
    let joined = moving::join(tx, customer_id, pair).await?;
    reach::restore(&mut *tx, lifted).await?;
    let mut wanted = combined(&before);
    let takes_opt_out = !is_unsubscribed(&before[0]) && is_unsubscribed(&before[1]);
    if takes_opt_out {
        // It is unsubscribed below, as by a person.
        wanted.insert("status".into(), before[0]["status"].clone());
    }
    write(tx, customer_id, contact_id, &wanted).await?;
    sqlx::query!(
        "update contacts set deleted_at = coalesce(deleted_at, engine.now()), merged_into = $3, updated_at = engine.now()
         where customer_id = $1 and id = $2",
        customer_id,
        from_id,
        contact_id,
    )
    .execute(&mut *tx)
    .await?;
    if takes_opt_out {
        unsubscription::unsubscribe(&mut *tx, customer_id, contact_id, actor).await?;
    }
    engagement::compute_of(tx, customer_id, &[contact_id]).await?;
    let after = rows(&mut *tx, customer_id, pair).await?.ok_or(MergeError::NotFound)?;
    let parting = Parting { before, after, engagement: scores, moved, joined, opportunities };
    let merged = sqlx::query_as!(
        Merge,
        "insert into merges (customer_id, id, contact_id, from_id, parting, actor) values ($1, $2, $3, $4, $5, $6)
         returning id, contact_id, from_id, actor, created_at, undone_at",
        customer_id,
        clock::new_id(),
        contact_id,
        from_id,
        Json(&parting) as _,
        actor,
    )
    .fetch_one(&mut *tx)
    .await?;
    tell_merged(tx, customer_id, pair).await?;
    Ok(merged)
}

fn is_unsubscribed(row: &Map<String, Value>) -> bool {
    row.get("status").is_some_and(|status| status == "unsubscribed")
}

/// Parts two contacts again: all that moved goes back, and both are as they were, but for what was changed since.
///
/// # Errors
/// `NotFound`, `Undone`, or what the statements returned; where another contact has the address by now, it violates
/// `contacts_email`.
pub async fn undo(
    tx: &mut PgConnection,
    customer_id: Uuid,
    merge_id: Uuid,
) -> Result<Merge, MergeError> {
    let found = sqlx::query!(
        r#"select contact_id, from_id, undone_at is not null as "undone!", parting as "parting: Json<Parting>"
           from merges where customer_id = $1 and id = $2 for update"#,
        customer_id,
        merge_id,
    )
    .fetch_optional(&mut *tx)
    .await?;
    let found = found.ok_or(MergeError::NotFound)?;
    if found.undone {
        return Err(MergeError::Undone);
    }
    let pair = [found.contact_id, found.from_id];
    let parting = found.parting.0;
    let now = lock(tx, customer_id, pair).await?.ok_or(MergeError::NotFound)?;
    let lifted = reach::lift(&mut *tx).await?;
    moving::give_back(tx, customer_id, pair, &parting).await?;
    reach::restore(&mut *tx, lifted).await?;
    // Who was unsubscribed as one person wants no mail as either.
    let opted_out_since = is_unsubscribed(&now[0]) && !is_unsubscribed(&parting.after[0]);
    for (at, contact_id) in pair.into_iter().enumerate() {
        // What somebody has changed since stays as it is.
        let wanted = now[at].iter().map(|(field, value)| {
            let untouched = parting.after[at].get(field) == Some(value);
            let before = parting.before[at].get(field).filter(|_| untouched);
            (field.clone(), before.unwrap_or(value).clone())
        });
        write(tx, customer_id, contact_id, &wanted.collect()).await?;
    }
    if opted_out_since {
        let actor = "merge undone";
        unsubscription::unsubscribe(&mut *tx, customer_id, found.from_id, actor).await?;
    }
    engagement::put_back(tx, customer_id, pair, &parting.engagement).await?;
    let undone = sqlx::query_as!(
        Merge,
        "update merges set undone_at = engine.now() where customer_id = $1 and id = $2
         returning id, contact_id, from_id, actor, created_at, undone_at",
        customer_id,
        merge_id,
    )
    .fetch_one(&mut *tx)
    .await?;
    tell_parted(tx, customer_id, pair).await?;
    Ok(undone)
}

/// The rows of both, locked in one order.
async fn lock(
    tx: &mut PgConnection,
    customer_id: Uuid,
    pair: [Uuid; 2],
) -> Result<Option<[Map<String, Value>; 2]>, sqlx::Error> {
    sqlx::query!(
        "select id from contacts where customer_id = $1 and id = any($2) order by id for update",
        customer_id,
        &pair,
    )
    .fetch_all(&mut *tx)
    .await?;
    rows(tx, customer_id, pair).await
}

/// The rows of both, without what is computed and what counts events.
async fn rows(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    pair: [Uuid; 2],
) -> Result<Option<[Map<String, Value>; 2]>, sqlx::Error> {
    let found = sqlx::query!(
        r#"select id, to_jsonb(c) - 'search' - 'event_sequence' - 'customer_id' - 'id' as "row!: Json<Map<String, Value>>"
           from contacts c where customer_id = $1 and id = any($2) and status <> 'erased'"#,
        customer_id,
        &pair,
    )
    .fetch_all(db)
    .await?;
    let row = |id| found.iter().find(|row| row.id == id).map(|row| row.row.0.clone());
    Ok(row(pair[0]).zip(row(pair[1])).map(|(kept, gone)| [kept, gone]))
}

/// A sequence in which both are on their way.
async fn both_enrolled(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    [contact_id, from_id]: [Uuid; 2],
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "select s.name from sequences s where s.customer_id = $1 and (
           select count(distinct e.contact_id) from enrollments e join engine.runs r on r.id = e.id
           where e.customer_id = s.customer_id and e.sequence_id = s.id and e.contact_id in ($2, $3)
             and r.ended_at is null) = 2
         order by s.name limit 1",
        customer_id,
        contact_id,
        from_id,
    )
    .fetch_optional(db)
    .await
}

async fn opportunities(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    contact_id: Uuid,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select opportunity_id from opportunity_contacts where customer_id = $1 and contact_id = $2 order by 1",
        customer_id,
        contact_id,
    )
    .fetch_all(db)
    .await
}

/// The sequences of the next event of each.
async fn sequences(
    tx: &mut PgConnection,
    customer_id: Uuid,
    pair: [Uuid; 2],
) -> Result<[i64; 2], sqlx::Error> {
    let keys = pair.map(|contact_id| (customer_id, contact_id));
    let counted = contact::count_events(tx, &keys).await?;
    let [kept, gone] = keys.map(|key| counted.get(&key).copied().ok_or(sqlx::Error::RowNotFound));
    Ok([kept?, gone?])
}

async fn tell_merged(
    tx: &mut PgConnection,
    customer_id: Uuid,
    pair: [Uuid; 2],
) -> Result<(), sqlx::Error> {
    let [first, second] = sequences(&mut *tx, customer_id, pair).await?;
    let [kept, gone] = pair.map(|contact_id| id::show("con", contact_id));
    let updated = Updated {
        contact_id: kept.clone(),
        changed: None,
        source: None,
        merged_from: Some(gone.clone()),
    };
    let deleted = Deleted { merged_into: Some(kept.clone()), ..Deleted::of(gone.clone()) };
    let events = [
        event::UPDATED.event(customer_id, kept, first, &updated),
        event::DELETED.event(customer_id, gone, second, &deleted),
    ];
    outbox::publish(tx, &events).await
}

async fn tell_parted(
    tx: &mut PgConnection,
    customer_id: Uuid,
    pair: [Uuid; 2],
) -> Result<(), sqlx::Error> {
    let [first, second] = sequences(&mut *tx, customer_id, pair).await?;
    let parted = |contact_id: Uuid, sequence| {
        let told = Updated::of(id::show("con", contact_id), ["merged_into"]);
        event::UPDATED.event(customer_id, told.contact_id.clone(), sequence, &told)
    };
    outbox::publish(tx, &[parted(pair[0], first), parted(pair[1], second)]).await
}

/// The merge of an id.
///
/// # Errors
/// What the statement returned.
pub async fn find(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    id: Uuid,
) -> Result<Option<Merge>, sqlx::Error> {
    sqlx::query_as!(
        Merge,
        "select id, contact_id, from_id, actor, created_at, undone_at from merges where customer_id = $1 and id = $2",
        customer_id,
        id,
    )
    .fetch_optional(db)
    .await
}

/// Forgets how to part contacts from each other; gives how many merges that were.
///
/// # Errors
/// What the statement returned.
pub(crate) async fn erase(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    contacts: &[Uuid],
) -> Result<(&'static str, i64), sqlx::Error> {
    let erased = sqlx::query_scalar!(
        r#"with merge as (
             delete from merges where customer_id = $1 and (contact_id = any($2) or from_id = any($2)) returning id
           )
           select count(*) as "count!" from merge"#,
        customer_id,
        contacts,
    )
    .fetch_one(db)
    .await?;
    Ok(("merges", erased))
}
