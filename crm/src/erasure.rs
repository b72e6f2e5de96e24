//! Erasure of a person: what is personal leaves every table, what happened stays as numbers, instants and kinds. Owns
//! `erasures`, the certificates.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use engine::definition_store::Definitions;
use engine::run::{self, About};
use engine::{clock, id};
use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use crate::{
    activity, address, contact, engagement, enrollment, idempotency, import, merge, message,
    suppression, task, webhook,
};

/// A certificate.
#[derive(Debug, Clone, PartialEq)]
pub struct Erasure {
    /// Its id (`ers_…`).
    pub id: Uuid,
    /// Who was erased.
    pub contact_id: Uuid,
    /// How many rows were emptied or removed, by what they were.
    pub removed: Json<BTreeMap<String, i64>>,
    /// Who asked for it.
    pub actor: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// Erases a contact, also a deleted one, and those that were merged into it; `None` where there is none. Asked again, it
/// takes out what came since, and gives the certificate of the first time.
///
/// # Errors
/// What the statements returned; the caller rolls back, and nothing is erased.
pub async fn erase(
    tx: &mut PgConnection,
    definitions: &Definitions,
    customer_id: Uuid,
    contact_id: Uuid,
    actor: &str,
) -> Result<Option<Erasure>, sqlx::Error> {
    // Runs are locked before contacts, as everywhere.
    enrollment::end_all(tx, definitions, customer_id, contact_id, actor).await?;
    let known = contact::lock_all(&mut *tx, customer_id, contact_id).await?;
    if known.is_empty() {
        return Ok(None);
    }
    let before = of_contact(&mut *tx, customer_id, contact_id).await?;
    let contacts: Vec<Uuid> = known.iter().map(|known| known.id).collect();
    let emails: Vec<String> =
        known.iter().flat_map(|known| address::spellings(&known.email)).collect();
    if before.is_none() {
        for email in &emails {
            suppression::add_hashed(&mut *tx, customer_id, email).await?;
        }
    }
    let shown: Vec<String> = contacts.iter().map(|contact| id::show("con", *contact)).collect();
    let runs = enrollment::erase(&mut *tx, customer_id, &contacts).await?;
    let about =
        About { customer_id, subjects: &contacts, runs: &runs, field: "contact_id", shown: &shown };
    let redacted = run::redact(tx, definitions, &about, actor).await?;
    let mut removed = BTreeMap::from([
        ("contacts", i64::try_from(contacts.len()).unwrap_or(i64::MAX)),
        ("runs", redacted.runs),
        ("history", redacted.history),
        ("signals", redacted.signals),
        ("schedules", redacted.schedules),
        ("events", redacted.events),
    ]);
    removed.extend(activity::erase(&mut *tx, customer_id, &contacts).await?);
    removed.extend([
        task::erase(&mut *tx, customer_id, &contacts).await?,
        message::erase(&mut *tx, customer_id, &contacts).await?,
        engagement::erase(&mut *tx, customer_id, &contacts).await?,
        import::erase(&mut *tx, customer_id, &emails).await?,
        idempotency::erase(&mut *tx, customer_id, &[emails.as_slice(), &shown].concat()).await?,
        merge::erase(&mut *tx, customer_id, &contacts).await?,
        webhook::erase(&mut *tx, customer_id, &contacts).await?,
    ]);
    contact::erase(tx, customer_id, &contacts).await?;
    if before.is_some() {
        return Ok(before);
    }
    let certificate = sqlx::query_as!(
        Erasure,
        r#"insert into erasures (customer_id, id, contact_id, removed, actor) values ($1, $2, $3, $4, $5)
           returning id, contact_id, removed as "removed: Json<BTreeMap<String, i64>>", actor, at"#,
        customer_id,
        clock::new_id(),
        contact_id,
        Json(&removed) as _,
        actor,
    )
    .fetch_one(tx)
    .await?;
    Ok(Some(certificate))
}

/// The certificate of a contact.
///
/// # Errors
/// What the statement returned.
pub async fn of_contact(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    contact_id: Uuid,
) -> Result<Option<Erasure>, sqlx::Error> {
    sqlx::query_as!(
        Erasure,
        r#"select id, contact_id, removed as "removed: Json<BTreeMap<String, i64>>", actor, at
           from erasures where customer_id = $1 and contact_id = $2"#,
        customer_id,
        contact_id,
    )
    .fetch_optional(db)
    .await
}

/// A certificate by id.
///
/// # Errors
/// What the statement returned.
pub async fn find(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    id: Uuid,
) -> Result<Option<Erasure>, sqlx::Error> {
    sqlx::query_as!(
        Erasure,
        r#"select id, contact_id, removed as "removed: Json<BTreeMap<String, i64>>", actor, at
           from erasures where customer_id = $1 and id = $2"#,
        customer_id,
        id,
    )
    .fetch_optional(db)
    .await
}
