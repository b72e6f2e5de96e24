//! Links by which users set their passwords, each good for one use. Owns `password_links`. Only the hash of a link's
//! token is kept; by the real clock, as all that guards a door.

use engine::clock;
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

/// A link that was mailed: the data of [`crate::writers::PASSWORD_LINK_SENT`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailedLink {
    /// Whose password it sets.
    pub user_id: Uuid,
    /// SHA-256 of its token.
    pub hash: Vec<u8>,
    /// For how long it is good, in seconds.
    pub lifetime_seconds: u32,
}

/// Keeps a link. One that was mailed twice, since a crash took away what was known of the first time, is kept once and
/// lasts from the second time, unless it was used in between.
///
/// # Errors
/// What the statement returned.
pub async fn keep(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    link: &MailedLink,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into password_links (customer_id, id, user_id, token_hash, expires_at)
         values ($1, $2, $3, $4, clock_timestamp() + make_interval(secs => $5))
         on conflict (token_hash) do update set expires_at = excluded.expires_at
           where password_links.customer_id = excluded.customer_id",
        customer_id,
        clock::new_id(),
        link.user_id,
        link.hash,
        f64::from(link.lifetime_seconds),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The customer of a link, before the customer is known.
///
/// # Errors
/// What the statement returned.
pub async fn customer_of(
    db: impl PgExecutor<'_>,
    hash: &[u8],
) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!("select crm.find_password_link($1)", hash).fetch_one(db).await
}

/// Spends a link, and with it all others of its user; gives the user where it was good.
///
/// # Errors
/// What the statements returned.
pub async fn spend(
    tx: &mut PgConnection,
    customer_id: Uuid,
    hash: &[u8],
) -> Result<Option<Uuid>, sqlx::Error> {
    let user_id = sqlx::query_scalar!(
        "update password_links set used_at = clock_timestamp()
         where customer_id = $1 and token_hash = $2 and used_at is null and expires_at > clock_timestamp()
         returning user_id",
        customer_id,
        hash,
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(user_id) = user_id else { return Ok(None) };
    sqlx::query!(
        "update password_links set used_at = clock_timestamp()
         where customer_id = $1 and user_id = $2 and used_at is null",
        customer_id,
        user_id,
    )
    .execute(tx)
    .await?;
    Ok(Some(user_id))
}
