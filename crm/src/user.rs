//! Users: who logs in. Owns `users`. Hashing passwords is the API's part; here they are opaque text.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgExecutor;
use uuid::Uuid;

/// What a user may do, highest rank first: whoever stands before another may do all that the other may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything, the customer itself included.
    Owner,
    /// Everything but the customer itself.
    Admin,
    /// Everybody's records.
    Manager,
    /// Their own records.
    Rep,
    /// Nothing but reading.
    Viewer,
}

impl Role {
    /// The stored word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Manager => "manager",
            Self::Rep => "rep",
            Self::Viewer => "viewer",
        }
    }

    /// Reads the stored word; an unknown one may do the least.
    pub fn read(word: &str) -> Self {
        match word {
            "owner" => Self::Owner,
            "admin" => Self::Admin,
            "manager" => Self::Manager,
            "rep" => Self::Rep,
            _unknown => Self::Viewer,
        }
    }
}

/// A user.
#[derive(Debug, Clone, PartialEq)]
pub struct User {
    /// Whose user it is.
    pub customer_id: Uuid,
    /// Its id (`usr_…`).
    pub id: Uuid,
    /// The address that logs in; unique over all customers.
    pub email: String,
    /// What people call them.
    pub name: String,
    /// The role's stored word.
    pub role: String,
    /// Whether they may log in.
    pub active: bool,
    /// When they were made.
    pub created_at: DateTime<Utc>,
    /// When the row last changed.
    pub updated_at: DateTime<Utc>,
}

/// A user to make.
#[derive(Clone)]
pub struct NewUser<'a> {
    /// Its id.
    pub id: Uuid,
    /// The address that will log in.
    pub email: &'a str,
    /// What people call them.
    pub name: &'a str,
    /// What they may do.
    pub role: Role,
    /// The hash of the password, with its parameters.
    pub password_hash: &'a str,
}

/// Why no user was made.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// The address logs in already, perhaps to another customer.
    #[error("this address has an account already; log in instead")]
    EmailTaken,
    /// The database refused.
    #[error(transparent)]
    Database(sqlx::Error),
}

/// What a login is checked against.
pub struct Login {
    /// Whose user it is.
    pub customer_id: Uuid,
    /// The user.
    pub user_id: Uuid,
    /// The hash of the password.
    pub password_hash: String,
}

/// Makes a user.
///
/// # Errors
/// `EmailTaken`, or what the statement returned.
pub async fn create(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    new: NewUser<'_>,
) -> Result<User, UserError> {
    sqlx::query_as!(
        User,
        "insert into users (customer_id, id, email, name, role, password_hash) values ($1, $2, $3, $4, $5, $6)
         returning customer_id, id, email, name, role, active, created_at, updated_at",
        customer_id,
        new.id,
        new.email,
        new.name,
        new.role.word(),
        new.password_hash,
    )
    .fetch_one(db)
    .await
    .map_err(|error| {
        let taken = error.as_database_error().and_then(|e| e.constraint()) == Some("users_email");
        if taken { UserError::EmailTaken } else { UserError::Database(error) }
    })
}

/// A user by id.
///
/// # Errors
/// What the statement returned.
pub async fn find(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    id: Uuid,
) -> Result<Option<User>, sqlx::Error> {
    sqlx::query_as!(
        User,
        "select customer_id, id, email, name, role, active, created_at, updated_at
         from users where customer_id = $1 and id = $2",
        customer_id,
        id,
    )
    .fetch_optional(db)
    .await
}

/// What a login with this address is checked against, before its customer is known.
///
/// # Errors
/// What the statement returned.
pub async fn find_login(
    db: impl PgExecutor<'_>,
    email: &str,
) -> Result<Option<Login>, sqlx::Error> {
    sqlx::query_as!(
        Login,
        r#"select customer_id as "customer_id!", user_id as "user_id!", password_hash as "password_hash!"
           from crm.find_login($1)"#,
        email,
    )
    .fetch_optional(db)
    .await
}
