//! Customers: the tenants. Owns `customers`.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

/// A tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct Customer {
    /// Its id (`cus_…`).
    pub id: Uuid,
    /// What it calls itself.
    pub name: String,
    /// The IANA zone that counts where no other is known.
    pub time_zone: String,
    /// When it signed up.
    pub created_at: DateTime<Utc>,
    /// When its row last changed.
    pub updated_at: DateTime<Utc>,
}

/// Makes a customer.
///
/// # Errors
/// What the statement returned.
pub async fn create(
    db: impl PgExecutor<'_>,
    id: Uuid,
    name: &str,
    time_zone: &str,
) -> Result<Customer, sqlx::Error> {
    sqlx::query_as!(
        Customer,
        "insert into customers (id, name, time_zone) values ($1, $2, $3)
         returning id, name, time_zone, created_at, updated_at",
        id,
        name,
        time_zone,
    )
    .fetch_one(db)
    .await
}

/// A customer by id.
///
/// # Errors
/// What the statement returned.
pub async fn find(db: impl PgExecutor<'_>, id: Uuid) -> Result<Option<Customer>, sqlx::Error> {
    sqlx::query_as!(
        Customer,
        "select id, name, time_zone, created_at, updated_at from customers where id = $1",
        id,
    )
    .fetch_optional(db)
    .await
}

/// Customers, oldest first, at most a hundred: for a command that has to choose one.
///
/// # Errors
/// What the statement returned.
pub async fn list(db: impl PgExecutor<'_>) -> Result<Vec<Customer>, sqlx::Error> {
    sqlx::query_as!(
        Customer,
        "select id, name, time_zone, created_at, updated_at from customers order by id limit 100",
    )
    .fetch_all(db)
    .await
}
