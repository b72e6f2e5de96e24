//! API keys: as whom programs come. Owns `api_keys`. Only a key's hash is kept; by the real clock, as all that guards
//! a door.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

/// A key, without its secret.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiKey {
    /// Its id (`key_…`).
    pub id: Uuid,
    /// What people call it.
    pub name: String,
    /// Its last letters.
    pub hint: String,
    /// What it may do, as words of the API's table of permissions.
    pub scopes: Vec<String>,
    /// Who made it.
    pub created_by: Uuid,
    /// Until when it is good; for good where nothing stands.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was used last, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When its row last changed, uses apart.
    pub updated_at: DateTime<Utc>,
}

/// A key to make.
#[derive(Debug, Clone, Copy)]
pub struct NewApiKey<'a> {
    /// Its id.
    pub id: Uuid,
    /// What people call it.
    pub name: &'a str,
    /// SHA-256 of the key.
    pub hash: &'a [u8],
    /// Its last letters.
    pub hint: &'a str,
    /// What it may do.
    pub scopes: &'a [String],
    /// Who makes it.
    pub created_by: Uuid,
    /// Until when it is good.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Whose a key is that was shown, and what it may do.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// Its customer.
    pub customer_id: Uuid,
    /// It.
    pub id: Uuid,
    /// What it may do.
    pub scopes: Vec<String>,
    /// Whether its use was noted within the last minute.
    pub used_lately: bool,
}

/// Keeps a key.
///
/// # Errors
/// What the statement returned.
pub async fn create(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    new: NewApiKey<'_>,
) -> Result<ApiKey, sqlx::Error> {
    sqlx::query_as!(
        ApiKey,
        "insert into api_keys (customer_id, id, name, key_hash, hint, scopes, created_by, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)
         returning id, name, hint, scopes, created_by, expires_at, last_used_at, revoked_at, created_at, updated_at",
        customer_id,
        new.id,
        new.name,
        new.hash,
        new.hint,
        new.scopes,
        new.created_by,
        new.expires_at,
    )
    .fetch_one(db)
    .await
}

/// Keys, newest first; revoked ones as well.
///
/// # Errors
/// What the statement returned.
pub async fn list(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    before: Option<Uuid>,
    limit: u32,
) -> Result<Vec<ApiKey>, sqlx::Error> {
    sqlx::query_as!(
        ApiKey,
        "select id, name, hint, scopes, created_by, expires_at, last_used_at, revoked_at, created_at, updated_at
         from api_keys where customer_id = $1 and ($2::uuid is null or id < $2) order by id desc limit $3",
        customer_id,
        before,
        i64::from(limit),
    )
    .fetch_all(db)
    .await
}

/// Revokes a key; says whether there is one.
///
/// # Errors
/// What the statement returned.
pub async fn revoke(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    id: Uuid,
) -> Result<bool, sqlx::Error> {
    let revoked = sqlx::query!(
        "update api_keys set revoked_at = coalesce(revoked_at, clock_timestamp()), updated_at = clock_timestamp()
         where customer_id = $1 and id = $2",
        customer_id,
        id,
    )
    .execute(db)
    .await?;
    Ok(revoked.rows_affected() > 0)
}

/// The good key of a hash, before its customer is known.
///
/// # Errors
/// What the statement returned.
pub async fn find(db: impl PgExecutor<'_>, hash: &[u8]) -> Result<Option<Known>, sqlx::Error> {
    sqlx::query_as!(
        Known,
        r#"select customer_id as "customer_id!", id as "id!", scopes as "scopes!", used_lately as "used_lately!"
           from crm.find_api_key($1)"#,
        hash,
    )
    .fetch_optional(db)
    .await
}

/// Whether a key may still be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// It may.
    Valid,
    /// Somebody revoked it.
    Revoked,
    /// Its time is over.
    Expired,
}

/// Whether a customer's key is still valid; `None` if there is none.
///
/// # Errors
/// Returns what the statement returned.
pub async fn validity(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    id: Uuid,
) -> Result<Option<Validity>, sqlx::Error> {
    let found = sqlx::query!(
        r#"select revoked_at is not null as "revoked!",
             coalesce(expires_at <= clock_timestamp(), false) as "expired!"
           from api_keys where customer_id = $1 and id = $2"#,
        customer_id,
        id,
    )
    .fetch_optional(db)
    .await?;
    Ok(found.map(|found| match (found.revoked, found.expired) {
        (true, _) => Validity::Revoked,
        (false, true) => Validity::Expired,
        (false, false) => Validity::Valid,
    }))
}

/// Notes that a key is used.
///
/// # Errors
/// What the statement returned.
pub async fn note_use(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    id: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update api_keys set last_used_at = clock_timestamp() where customer_id = $1 and id = $2",
        customer_id,
        id,
    )
    .execute(db)
    .await?;
    Ok(())
}
