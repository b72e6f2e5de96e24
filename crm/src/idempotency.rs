//! The answers of requests that had a key, kept for a day. Owns `idempotency_keys`.

use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

/// The most rows that one look forgets.
const BATCH: i64 = 1_000;

/// The status that stands where an answer was emptied; no other answer has it.
const GONE: i16 = 410;

/// A request under its key.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// Whose key it is: two users' keys have nothing to do with each other.
    pub actor: &'a str,
    /// The key.
    pub key: &'a str,
    /// The fingerprint of what is asked.
    pub fingerprint: &'a [u8],
    /// The fingerprints that the same request has under earlier keys and in earlier versions.
    pub earlier: &'a [Vec<u8>],
}

impl Claim<'_> {
    /// Whether a fingerprint that was kept is of the same request.
    fn is_of(&self, kept: &[u8]) -> bool {
        self.fingerprint == kept || self.earlier.iter().any(|earlier| earlier == kept)
    }
}

/// What a key says of its request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// Nobody had it; it is this request's until its transaction ends.
    New,
    /// It was answered.
    Answered {
        /// What was answered.
        answer: Answer,
        /// The fingerprint under which the answer was kept.
        fingerprint: Vec<u8>,
    },
    /// Another transaction works on it.
    Running,
    /// It was another request's.
    OtherRequest,
    /// It was answered, with words about somebody who was erased.
    Erased,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: i16,
    /// The headers that belong to it, by name.
    pub headers: Vec<(String, String)>,
    /// The body, without its secret.
    pub body: Vec<u8>,
    /// The secret that the body shows, if it shows one.
    pub secret: Option<SealedSecret>,
}

/// A secret that was cut out of an answer's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedSecret {
    /// The byte of the body before which it belongs.
    pub at: i32,
    /// The secret as a [`Vault`](crate::vault::Vault) sealed it.
    pub sealed: Vec<u8>,
}

/// Claims a key for the length of a transaction.
///
/// # Errors
/// What the statements returned.
pub async fn claim(
    tx: &mut PgConnection,
    customer_id: Uuid,
    claim: Claim<'_>,
) -> Result<Claimed, sqlx::Error> {
    let Claim { actor, key, .. } = claim;
    let ours = sqlx::query_scalar!(
        r#"select pg_try_advisory_xact_lock(hashtextextended(concat_ws(' ', $1::uuid, $2::text, $3::text), 0)) as "ours!""#,
        customer_id,
        actor,
        key,
    )
    .fetch_one(&mut *tx)
    .await?;
    if !ours {
        return Ok(Claimed::Running);
    }
    let kept = sqlx::query!(
        r#"select fingerprint, status, headers as "headers: Json<Vec<(String, String)>>", body, secret, secret_at
           from idempotency_keys
           where customer_id = $1 and actor = $2 and key = $3
             and created_at > clock_timestamp() - interval '24 hours'"#,
        customer_id,
        actor,
        key,
    )
    .fetch_optional(tx)
    .await?;
    Ok(match kept {
        None => Claimed::New,
        Some(kept) if !claim.is_of(&kept.fingerprint) => Claimed::OtherRequest,
        Some(kept) if kept.status == GONE => Claimed::Erased,
        Some(kept) => Claimed::Answered {
            answer: Answer {
                status: kept.status,
                headers: kept.headers.0,
                body: kept.body,
                secret: kept
                    .secret_at
                    .zip(kept.secret)
                    .map(|(at, sealed)| SealedSecret { at, sealed }),
            },
            fingerprint: kept.fingerprint,
        },
    })
}

/// Keeps the answer of a request that claimed its key in this transaction.
///
/// # Errors
/// What the statement returned.
pub async fn keep(
    tx: &mut PgConnection,
    customer_id: Uuid,
    claim: Claim<'_>,
    answer: &Answer,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into idempotency_keys
           (customer_id, actor, key, fingerprint, status, headers, body, secret, secret_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         on conflict (customer_id, actor, key) do update
           set fingerprint = excluded.fingerprint, status = excluded.status, headers = excluded.headers,
             body = excluded.body, secret = excluded.secret, secret_at = excluded.secret_at,
             created_at = clock_timestamp()",
        customer_id,
        claim.actor,
        claim.key,
        claim.fingerprint,
        answer.status,
        Json(&answer.headers) as _,
        answer.body,
        answer.secret.as_ref().map(|secret| secret.sealed.as_slice()),
        answer.secret.as_ref().map(|secret| secret.at),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Forgets answers of more than a day ago, a batch; gives how many.
///
/// # Errors
/// What the statement returned.
pub async fn forget(db: impl PgExecutor<'_>) -> Result<u64, sqlx::Error> {
    let forgotten = sqlx::query!(
        "delete from idempotency_keys where (customer_id, actor, key) in (
           select customer_id, actor, key from idempotency_keys
           where created_at < clock_timestamp() - interval '24 hours' order by created_at limit $1)",
        BATCH,
    )
    .execute(db)
    .await?;
    Ok(forgotten.rows_affected())
}

/// Empties the answers in which one of these words stands; gives how many. Their keys stay, so that nothing is done
/// again that was asked with them.
///
/// # Errors
/// What the statement returned.
pub(crate) async fn erase(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    words: &[String],
) -> Result<(&'static str, i64), sqlx::Error> {
    let erased = sqlx::query_scalar!(
        r#"with answer as (
             update idempotency_keys set status = $3, headers = '[]', body = '', secret = null, secret_at = null
             where customer_id = $1
               and exists (select from unnest($2::text[]) word where position(convert_to(word, 'UTF8') in body) > 0)
             returning key
           )
           select count(*) as "count!" from answer"#,
        customer_id,
        words,
        GONE,
    )
    .fetch_one(db)
    .await?;
    Ok(("answers", erased))
}
