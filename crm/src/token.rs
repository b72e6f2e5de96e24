//! Refresh tokens, each good for one use. Owns `refresh_tokens`. A token that is used again shows that it
//! was copied: its whole family ends. By the real clock, as all that guards a door.

use sqlx::PgConnection;
use uuid::Uuid;

/// A token to keep; only its hash is.
pub struct NewToken<'a> {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub user_id: Uuid,
    /// The login that it descends from.
    pub family: Uuid,
    /// SHA-256 of the token.
    pub hash: &'a [u8],
    /// For how long it is good, in seconds.
    pub lifetime_seconds: f64,
}

/// What became of a token that was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    /// It was good; it is no more.
    Good { user_id: Uuid, family: Uuid },
    /// It had been used: its family ends.
    Reused,
    /// It has expired, or was revoked.
    Bad,
}

/// The customer of a token, before the customer is known.
///
/// # Errors
/// What the statement returned.
pub async fn customer_of(
    db: impl sqlx::PgExecutor<'_>,
    hash: &[u8],
) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select customer_id as "customer_id!" from crm.find_refresh_token($1)"#,
        hash
    )
    .fetch_optional(db)
    .await
}

/// Keeps a token.
///
/// # Errors
/// What the statement returned.
pub async fn keep(
    tx: &mut PgConnection,
    customer_id: Uuid,
    new: NewToken<'_>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into refresh_tokens (customer_id, id, user_id, family, token_hash, expires_at)
         values ($1, $2, $3, $4, $5, clock_timestamp() + make_interval(secs => $6))",
        customer_id,
        new.id,
        new.user_id,
        new.family,
        new.hash,
        new.lifetime_seconds,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Spends a token.
///
/// # Errors
/// What the statements returned; the caller commits also where it was `Reused`, so that the family ends.
pub async fn spend(
    tx: &mut PgConnection,
    customer_id: Uuid,
    hash: &[u8],
) -> Result<Spent, sqlx::Error> {
    let token = sqlx::query!(
        r#"select id, user_id, family, used_at is not null as "used!",
             revoked_at is null and expires_at > clock_timestamp() as "open!"
           from refresh_tokens where customer_id = $1 and token_hash = $2 for update"#,
        customer_id,
        hash,
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(token) = token else { return Ok(Spent::Bad) };
    if token.used {
        revoke(tx, customer_id, token.family).await?;
        return Ok(Spent::Reused);
    }
    if !token.open {
        return Ok(Spent::Bad);
    }
    sqlx::query!(
        "update refresh_tokens set used_at = clock_timestamp() where customer_id = $1 and id = $2",
        customer_id,
        token.id,
    )
    .execute(tx)
    .await?;
    Ok(Spent::Good { user_id: token.user_id, family: token.family })
}

/// Ends all tokens of a login.
///
/// # Errors
/// What the statement returned.
pub async fn revoke(
    tx: &mut PgConnection,
    customer_id: Uuid,
    family: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update refresh_tokens set revoked_at = clock_timestamp()
         where customer_id = $1 and family = $2 and revoked_at is null",
        customer_id,
        family,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Ends all logins of a user, but for one.
///
/// # Errors
/// What the statement returned.
pub async fn revoke_all(
    tx: &mut PgConnection,
    customer_id: Uuid,
    user_id: Uuid,
    but: Option<Uuid>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update refresh_tokens set revoked_at = clock_timestamp()
         where customer_id = $1 and user_id = $2 and revoked_at is null and ($3::uuid is null or family <> $3)",
        customer_id,
        user_id,
        but,
    )
    .execute(tx)
    .await?;
    Ok(())
}
