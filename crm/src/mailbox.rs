//! Mailboxes: through which sellers send. Owns `email_provider_accounts`.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

/// The kind of limit that counts what leaves through a mailbox; its name is the mailbox's id (`epa_…`).
pub const LIMIT: &str = "mailbox";

/// A mailbox.
#[derive(Debug, Clone, PartialEq)]
pub struct Mailbox {
    /// Whose it is.
    pub customer_id: Uuid,
    /// Its id (`epa_…`).
    pub id: Uuid,
    /// `gmail`, `outlook`, `smtp` or `mock`.
    pub provider: String,
    /// Its address.
    pub email: String,
    /// The sender's name.
    pub name: String,
    /// `connected`, `paused` or `broken`.
    pub status: String,
    /// Whether enrollments that name none take this one.
    pub is_default: bool,
    /// The sender's IANA zone.
    pub time_zone: Option<String>,
    /// When it was connected.
    pub created_at: DateTime<Utc>,
}

/// A mailbox by id.
///
/// # Errors
/// What the statement returned.
pub async fn find(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    id: Uuid,
) -> Result<Option<Mailbox>, sqlx::Error> {
    sqlx::query_as!(
        Mailbox,
        "select customer_id, id, provider, email, name, status, is_default, time_zone, created_at
         from email_provider_accounts where customer_id = $1 and id = $2",
        customer_id,
        id,
    )
    .fetch_optional(db)
    .await
}

/// The mailbox that enrollments take which name none.
///
/// # Errors
/// What the statement returned.
pub async fn find_default(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
) -> Result<Option<Mailbox>, sqlx::Error> {
    sqlx::query_as!(
        Mailbox,
        "select customer_id, id, provider, email, name, status, is_default, time_zone, created_at
         from email_provider_accounts where customer_id = $1 and status = 'connected'
         order by is_default desc, id limit 1",
        customer_id,
    )
    .fetch_optional(db)
    .await
}

/// All mailboxes of a provider, over all customers, for the loop that looks what came in.
///
/// # Errors
/// What the statement returned.
pub async fn of_provider(
    db: impl PgExecutor<'_>,
    provider: &str,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Mailbox>, sqlx::Error> {
    sqlx::query_as!(
        Mailbox,
        "select customer_id, id, provider, email, name, status, is_default, time_zone, created_at
         from email_provider_accounts where provider = $1 and id > $2 order by id limit $3",
        provider,
        after,
        limit,
    )
    .fetch_all(db)
    .await
}

/// Gives the customer a mock mailbox that becomes the default where there is none; the address is the
/// customer's own, so that a second call finds the first one's.
///
/// # Errors
/// What the statements returned.
pub async fn ensure_mock(
    tx: &mut PgConnection,
    customer_id: Uuid,
    id: Uuid,
    address: &str,
    name: &str,
) -> Result<Mailbox, sqlx::Error> {
    sqlx::query_as!(
        Mailbox,
        "insert into email_provider_accounts (customer_id, id, provider, email, name, is_default)
         values ($1, $2, 'mock', $3, $4,
           not exists (select from email_provider_accounts where customer_id = $1 and is_default))
         on conflict (customer_id, lower(email)) do update set updated_at = engine.now()
         returning customer_id, id, provider, email, name, status, is_default, time_zone, created_at",
        customer_id,
        id,
        address,
        name,
    )
    .fetch_one(tx)
    .await
}

/// How many customers have no connected mailbox.
///
/// # Errors
/// Returns what the statement returned.
pub async fn customers_without(db: impl PgExecutor<'_>) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from customers c where not exists (
             select from email_provider_accounts m where m.customer_id = c.id and m.status = 'connected')"#,
    )
    .fetch_one(db)
    .await
}
