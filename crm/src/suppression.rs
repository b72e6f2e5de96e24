//! Suppressions: addresses that get no mail of a customer, whatever a sequence says. Owns `suppressions` and
//! `suppression_keys`, by which addresses of erased people are known again.

use engine::clock;
use sqlx::PgConnection;
use uuid::Uuid;

/// Why an address gets no mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// They asked for it.
    Unsubscribed,
    /// There is no such mailbox.
    Bounced,
}

impl Reason {
    fn word(self) -> &'static str {
        match self {
            Self::Unsubscribed => "unsubscribed",
            Self::Bounced => "bounced",
        }
    }
}

/// Suppresses an address; the first reason stays.
///
/// # Errors
/// What the statement returned.
pub async fn add(
    tx: &mut PgConnection,
    customer_id: Uuid,
    email: &str,
    reason: Reason,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into suppressions (customer_id, id, email, reason) values ($1, $2, $3, $4)
         on conflict (customer_id, lower(email)) do nothing",
        customer_id,
        clock::new_id(),
        email,
        reason.word(),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Suppresses an address without keeping it: by a hash that only this customer's key gives.
///
/// # Errors
/// What the statement returned.
pub async fn add_hashed(
    db: impl sqlx::PgExecutor<'_>,
    customer_id: Uuid,
    email: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"select crm.suppress_hashed($1, $2, $3)::text as "nothing""#,
        customer_id,
        clock::new_id(),
        email,
    )
    .fetch_one(db)
    .await?;
    Ok(())
}

/// Those of the addresses that are suppressed, in lower case.
///
/// # Errors
/// What the statement returned.
pub async fn among(
    tx: &mut PgConnection,
    customer_id: Uuid,
    emails: &[String],
) -> Result<Vec<String>, sqlx::Error> {
    let emails: Vec<String> = emails.iter().map(|email| email.to_lowercase()).collect();
    sqlx::query_scalar!(
        r#"select e.email as "email!" from unnest($2::text[]) as e(email)
           where crm.is_suppressed($1, e.email)"#,
        customer_id,
        &emails,
    )
    .fetch_all(tx)
    .await
}
