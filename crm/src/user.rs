//! Users: who logs in. Owns `users`. Hashing passwords is the API's part; here they are opaque text.

use chrono::{DateTime, Utc};
use engine::step::FieldType;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use crate::address;

/// What a user may do, highest rank first: whoever stands before another may do all that the other may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything, the customer itself included.
    Owner,
    /// Everything but the customer itself.
    Admin,
    /// Their own, their team's and unowned records, also to change many at once.
    Manager,
    /// Their own records.
    Rep,
    /// Nothing but reading.
    Viewer,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Owner, Self::Admin, Self::Manager, Self::Rep, Self::Viewer];

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
    /// With whom they share their records.
    pub team_id: Option<Uuid>,
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
    /// With whom they share their records.
    pub team_id: Option<Uuid>,
    /// The hash of the password, with its parameters; empty for who sets it by a link.
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
        "insert into users (customer_id, id, email, name, role, team_id, password_hash)
         values ($1, $2, $3, $4, $5, $6, $7)
         returning customer_id, id, email, name, role, team_id, active, created_at, updated_at",
        customer_id,
        new.id,
        new.email,
        new.name,
        new.role.word(),
        new.team_id,
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
        "select customer_id, id, email, name, role, team_id, active, created_at, updated_at
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
           from unnest($1::text[]) with ordinality as s(email, place), crm.find_login(s.email)
           order by place limit 1"#,
        &address::spellings(email),
    )
    .fetch_optional(db)
    .await
}

/// Gives users whose address has a domain that is spelled in its script the spelling of addresses as they are stored. One
/// whose address another user has in that spelling keeps their own.
///
/// # Errors
/// What the statements returned.
pub(crate) async fn respell(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    let mut after = Uuid::nil();
    loop {
        let page = sqlx::query!(
            "select customer_id, id, email from users
             where octet_length(email) <> char_length(email) and id > $1 order by id limit 500",
            after,
        )
        .fetch_all(&mut *db)
        .await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.id;
        for row in page {
            sqlx::query!(
                "update users set email = $3, updated_at = engine.now() where customer_id = $1 and id = $2
                   and email <> $3 and not exists (select from users o where lower(o.email) = lower($3) and o.id <> $2)",
                row.customer_id,
                row.id,
                address::stored(&row.email),
            )
            .execute(&mut *db)
            .await?;
        }
    }
}

/// Users, newest first.
///
/// # Errors
/// What the statement returned.
pub async fn list(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    before: Option<Uuid>,
    limit: u32,
) -> Result<Vec<User>, sqlx::Error> {
    sqlx::query_as!(
        User,
        "select customer_id, id, email, name, role, team_id, active, created_at, updated_at
         from users where customer_id = $1 and ($2::uuid is null or id < $2) order by id desc limit $3",
        customer_id,
        before,
        i64::from(limit),
    )
    .fetch_all(db)
    .await
}

/// A user by id, locked against other changes.
///
/// # Errors
/// What the statement returned.
pub async fn lock(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    id: Uuid,
) -> Result<Option<User>, sqlx::Error> {
    sqlx::query_as!(
        User,
        "select customer_id, id, email, name, role, team_id, active, created_at, updated_at
         from users where customer_id = $1 and id = $2 for update",
        customer_id,
        id,
    )
    .fetch_optional(db)
    .await
}

/// Writes what may change of a user.
///
/// # Errors
/// What the statement returned.
pub async fn change(db: impl PgExecutor<'_>, user: &User) -> Result<User, sqlx::Error> {
    sqlx::query_as!(
        User,
        "update users set name = $3, role = $4, team_id = $5, active = $6, updated_at = engine.now()
         where customer_id = $1 and id = $2
         returning customer_id, id, email, name, role, team_id, active, created_at, updated_at",
        user.customer_id,
        user.id,
        user.name,
        user.role,
        user.team_id,
        user.active,
    )
    .fetch_one(db)
    .await
}

/// Whether an active owner other than this user is there; all owners are locked, so that two don't leave at once.
///
/// # Errors
/// What the statement returned.
pub async fn another_owner(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    id: Uuid,
) -> Result<bool, sqlx::Error> {
    let owners = sqlx::query_scalar!(
        "select id from users where customer_id = $1 and role = 'owner' and active order by id for update",
        customer_id,
    )
    .fetch_all(db)
    .await?;
    Ok(owners.into_iter().any(|owner| owner != id))
}

/// The hash of a user's password.
///
/// # Errors
/// What the statement returned.
pub async fn password_hash(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    id: Uuid,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "select password_hash from users where customer_id = $1 and id = $2 and active",
        customer_id,
        id,
    )
    .fetch_optional(db)
    .await
}

/// Sets the hash of a user's password.
///
/// # Errors
/// What the statement returned.
pub async fn set_password(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    id: Uuid,
    hash: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update users set password_hash = $3, updated_at = engine.now() where customer_id = $1 and id = $2",
        customer_id,
        id,
        hash,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What texts to a user read of them.
pub const FIELDS: &[(&str, FieldType)] =
    &[("name", FieldType::Text), ("email", FieldType::Text), ("role", FieldType::Text)];

/// A user as texts read them.
pub fn subject(user: &User) -> Value {
    json!({ "name": user.name, "email": user.email, "role": user.role })
}
