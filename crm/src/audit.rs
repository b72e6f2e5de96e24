//! What was done to logins, rights and keys, by whom and from where. Owns `audit_log`, which only grows. Never holds a
//! password, a token or a key.

use chrono::{DateTime, Utc};
use engine::clock;
use serde_json::Value;
use sqlx::PgExecutor;
use uuid::Uuid;

/// What is to be written down.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEntry<'a> {
    /// Who did it, such as `user:usr_…`, or `nobody` before a login.
    pub actor: &'a str,
    /// Such as `login.opened`, `user.changed`, `key.revoked`.
    pub action: &'a str,
    /// To what, by its id as people read it.
    pub target: Option<String>,
    /// From which address.
    pub address: Option<String>,
    /// What else is to know, as an object.
    pub data: Value,
}

/// What was written down.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its id (`aud_…`).
    pub id: Uuid,
    /// When, by the real clock.
    pub at: DateTime<Utc>,
    /// See [`NewEntry`].
    pub actor: String,
    /// See [`NewEntry`].
    pub action: String,
    /// See [`NewEntry`].
    pub target: Option<String>,
    /// See [`NewEntry`].
    pub address: Option<String>,
    /// See [`NewEntry`].
    pub data: Value,
}

/// Writes down what is done in the same transaction.
///
/// # Errors
/// What the statement returned.
pub async fn write(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    new: NewEntry<'_>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into audit_log (customer_id, id, actor, action, target, address, data)
         values ($1, $2, $3, $4, $5, $6, $7)",
        customer_id,
        clock::new_id(),
        new.actor,
        new.action,
        new.target,
        new.address,
        new.data,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What was written down, newest first.
///
/// # Errors
/// What the statement returned.
pub async fn list(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    action: Option<&str>,
    before: Option<Uuid>,
    limit: u32,
) -> Result<Vec<Entry>, sqlx::Error> {
    sqlx::query_as!(
        Entry,
        "select id, at, actor, action, target, address, data from audit_log
         where customer_id = $1 and ($2::text is null or action = $2) and ($3::uuid is null or id < $3)
         order by id desc limit $4",
        customer_id,
        action,
        before,
        i64::from(limit),
    )
    .fetch_all(db)
    .await
}
