//! Refresh tokens, each good for one use. Owns `refresh_tokens`. A token that is used again shows that it
//! was copied: its whole family ends. Two tabs of a browser that refresh at the same moment are no copy, so the
//! direct predecessor of a login's newest tokens is accepted for [`LEEWAY_SECONDS`] after its first use. By the real
//! clock, as all that guards a door.

use sqlx::PgConnection;
use uuid::Uuid;

/// How long after its first use a token is accepted again, in seconds, while none of its successors has been used.
const LEEWAY_SECONDS: f64 = 30.0;
/// How many successors one token may get within the leeway: tabs that were open at once.
const MAX_SUCCESSORS: i64 = 20;

/// A token to keep; only its hash is.
pub struct NewToken<'a> {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub user_id: Uuid,
    /// The login that it descends from.
    pub family: Uuid,
    /// The token that it was given for; none at a login.
    pub parent_id: Option<Uuid>,
    /// SHA-256 of the token.
    pub hash: &'a [u8],
    /// For how long it is good, in seconds.
    pub lifetime_seconds: f64,
}

/// What became of a token that was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    /// It was good; it is no more, but for the leeway.
    Good { token_id: Uuid, user_id: Uuid, family: Uuid },
    /// It had been used, and not only a moment ago: its family ends.
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
        "insert into refresh_tokens (customer_id, id, user_id, family, parent_id, token_hash, expires_at)
         values ($1, $2, $3, $4, $5, $6, clock_timestamp() + make_interval(secs => $7))",
        customer_id,
        new.id,
        new.user_id,
        new.family,
        new.parent_id,
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
             revoked_at is null and expires_at > clock_timestamp() as "open!",
             coalesce(used_at > clock_timestamp() - make_interval(secs => $3), false) as "recent!"
           from refresh_tokens where customer_id = $1 and token_hash = $2 for update"#,
        customer_id,
        hash,
        LEEWAY_SECONDS,
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(token) = token else { return Ok(Spent::Bad) };
    let again = match token.used {
        false => Again::Fine,
        true if token.recent => again(tx, customer_id, token.id).await?,
        true => Again::Copied,
    };
    if again == Again::Copied {
        revoke(tx, customer_id, token.family).await?;
        return Ok(Spent::Reused);
    }
    if again == Again::TooOften || !token.open {
        return Ok(Spent::Bad);
    }
    sqlx::query!(
        "update refresh_tokens set used_at = coalesce(used_at, clock_timestamp()) where customer_id = $1 and id = $2",
        customer_id,
        token.id,
    )
    .execute(tx)
    .await?;
    Ok(Spent::Good { token_id: token.id, user_id: token.user_id, family: token.family })
}

/// What a second use within the leeway shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    /// Another tab refreshed at the same moment.
    Fine,
    /// More tabs than a browser has; those that came first stay logged in.
    TooOften,
    /// Somebody uses a successor already: there are two of the token.
    Copied,
}

/// What it shows of a token that was used a moment ago that it is used again. One that a version without `parent_id` has
/// spent has no successor that is known.
async fn again(
    tx: &mut PgConnection,
    customer_id: Uuid,
    token_id: Uuid,
) -> Result<Again, sqlx::Error> {
    let successors = sqlx::query!(
        r#"select coalesce(bool_and(used_at is null), false) as "unused!", count(*) as "count!"
           from refresh_tokens where customer_id = $1 and parent_id = $2"#,
        customer_id,
        token_id,
    )
    .fetch_one(tx)
    .await?;
    Ok(match successors.unused {
        false => Again::Copied,
        true if successors.count >= MAX_SUCCESSORS => Again::TooOften,
        true => Again::Fine,
    })
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
