//! Accounts: the companies that contacts work for. Owns `accounts`.

mod list;
mod write;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sqlx::types::Json;
use sqlx::{FromRow, PgExecutor};
use utoipa::ToSchema;
use uuid::Uuid;

pub use list::{FIELDS, SORTS, list, search};
pub use write::{AccountError, Change, NewAccount, change, create, delete, lock, restore};
pub(crate) use write::{known, named};

/// Where a company is, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PostalAddress)]
pub struct Address {
    /// Street and number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub street: Option<String>,
    /// Postal code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postal_code: Option<String>,
    /// City.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    /// State or province.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Country.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
}

/// An account.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct Account {
    /// Its id (`acc_…`).
    pub id: Uuid,
    /// Its name; one live account of a customer has it.
    pub name: String,
    /// Its domain on the internet, in lower case.
    pub domain: Option<String>,
    /// What it does.
    pub industry: Option<String>,
    /// How many people work there.
    pub employees: Option<i32>,
    /// Telephone.
    pub phone: Option<String>,
    /// Its pages.
    pub website: Option<String>,
    /// Where it is.
    pub address: Json<Address>,
    /// Whose it is.
    pub owner_id: Option<Uuid>,
    /// Free words.
    pub tags: Vec<String>,
    /// The customer's own fields.
    pub custom: Json<Map<String, Value>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
    /// When it was deleted, while it can be restored.
    pub deleted_at: Option<DateTime<Utc>>,
}

/// A live account by id.
///
/// # Errors
/// What the statement returned.
pub async fn find(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    id: Uuid,
) -> Result<Option<Account>, sqlx::Error> {
    sqlx::query_as!(
        Account,
        r#"select id, name, domain, industry, employees, phone, website, address as "address: Json<Address>", owner_id,
             tags, custom as "custom: Json<Map<String, Value>>", created_at, updated_at, deleted_at
           from accounts where customer_id = $1 and id = $2 and deleted_at is null"#,
        customer_id,
        id,
    )
    .fetch_optional(db)
    .await
}
