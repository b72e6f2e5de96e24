//! Logins by cookie. Owns `web_sessions`. Only the hash of a cookie is kept; by the real clock, as all that guards a
//! door.

use sqlx::PgExecutor;
use uuid::Uuid;

/// A login to keep.
#[derive(Debug, Clone, Copy)]
pub struct NewWebSession<'a> {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub user_id: Uuid,
    /// SHA-256 of the cookie.
    pub hash: &'a [u8],
    /// For how long it is good, in seconds.
    pub lifetime_seconds: f64,
}

/// Whose a login is, and what they may do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Their customer.
    pub customer_id: Uuid,
    /// The login.
    pub id: Uuid,
    /// They.
    pub user_id: Uuid,
    /// The role's stored word.
    pub role: String,
    /// With whom they share their records.
    pub team_id: Option<Uuid>,
}

/// Keeps a login.
///
/// # Errors
/// What the statement returned.
pub async fn keep(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    new: NewWebSession<'_>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into web_sessions (customer_id, id, user_id, token_hash, expires_at)
         values ($1, $2, $3, $4, clock_timestamp() + make_interval(secs => $5))",
        customer_id,
        new.id,
        new.user_id,
        new.hash,
        new.lifetime_seconds,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The good login of a cookie, before its customer is known.
///
/// # Errors
/// What the statement returned.
pub async fn find(db: impl PgExecutor<'_>, hash: &[u8]) -> Result<Option<Known>, sqlx::Error> {
    sqlx::query_as!(
        Known,
        r#"select customer_id as "customer_id!", id as "id!", user_id as "user_id!", role as "role!", team_id
           from crm.find_web_session($1)"#,
        hash,
    )
    .fetch_optional(db)
    .await
}

/// Ends a login.
///
/// # Errors
/// What the statement returned.
pub async fn end(db: impl PgExecutor<'_>, customer_id: Uuid, id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update web_sessions set ended_at = clock_timestamp()
         where customer_id = $1 and id = $2 and ended_at is null",
        customer_id,
        id,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Ends all logins of a user, but for one.
///
/// # Errors
/// What the statement returned.
pub async fn end_all(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    user_id: Uuid,
    but: Option<Uuid>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update web_sessions set ended_at = clock_timestamp()
         where customer_id = $1 and user_id = $2 and ended_at is null and ($3::uuid is null or id <> $3)",
        customer_id,
        user_id,
        but,
    )
    .execute(db)
    .await?;
    Ok(())
}
