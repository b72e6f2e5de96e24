//! Operators of the platform, who belong to no customer, and their logins. Owns `operators` and `operator_logins`. The
//! API reaches them by functions that tell one thing each; commands work in the workers' role.

use engine::clock;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use crate::address;

/// An operator whose login is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// Its id (`opr_…`).
    pub id: Uuid,
    /// The address that logs in.
    pub email: String,
    /// What people call them.
    pub name: String,
}

/// What a login is checked against.
pub struct Secret {
    /// Whose it is.
    pub operator: Operator,
    /// The hash of the password.
    pub password_hash: String,
}

/// A login that is good, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The login.
    pub login: Uuid,
    /// They.
    pub operator: Operator,
}

/// A login to keep.
#[derive(Debug, Clone, Copy)]
pub struct NewLogin<'a> {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub operator_id: Uuid,
    /// SHA-256 of the token.
    pub hash: &'a [u8],
    /// For how long it is good, in seconds.
    pub lifetime_seconds: f64,
}

/// Makes an operator; an address that another has violates `operators_email`.
///
/// # Errors
/// What the statement returned.
pub async fn create(
    db: impl PgExecutor<'_>,
    email: &str,
    name: &str,
    password_hash: &str,
) -> Result<Uuid, sqlx::Error> {
    sqlx::query_scalar!(
        "insert into operators (id, email, name, password_hash) values ($1, $2, $3, $4) returning id",
        clock::new_id(),
        email,
        name,
        password_hash,
    )
    .fetch_one(db)
    .await
}

/// Lets an operator in no more, and ends its logins; `false` where nobody active has this address.
///
/// # Errors
/// What the statement returned.
pub async fn deactivate(db: impl PgExecutor<'_>, email: &str) -> Result<bool, sqlx::Error> {
    let gone = sqlx::query_scalar!(
        r#"with gone as (
             update operators set active = false, updated_at = clock_timestamp()
             where lower(email) = any($1) and active returning id
           ), ended as (
             update operator_logins l set ended_at = clock_timestamp() from gone
             where l.operator_id = gone.id and l.ended_at is null
           )
           select count(*) as "gone!" from gone"#,
        &address::spellings(email),
    )
    .fetch_one(db)
    .await?;
    Ok(gone > 0)
}

/// Whether an operator may still log in.
///
/// # Errors
/// Returns what the statement returned.
pub async fn is_active(db: impl PgExecutor<'_>, id: Uuid) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select from operators where id = $1 and active) as "active!""#,
        id,
    )
    .fetch_one(db)
    .await
}

/// Gives operators whose address has a domain that is spelled in its script the spelling of addresses as they are stored.
/// One whose address another has in that spelling keeps their own.
///
/// # Errors
/// What the statements returned.
pub(crate) async fn respell(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    let found = sqlx::query!(
        "select id, email from operators where octet_length(email) <> char_length(email) order by id",
    )
    .fetch_all(&mut *db)
    .await?;
    for row in found {
        sqlx::query!(
            "update operators set email = $2, updated_at = clock_timestamp() where id = $1
               and email <> $2 and not exists (select from operators o where lower(o.email) = lower($2) and o.id <> $1)",
            row.id,
            address::stored(&row.email),
        )
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}

/// What a login with this address is checked against.
///
/// # Errors
/// What the statement returned.
pub async fn find(db: impl PgExecutor<'_>, email: &str) -> Result<Option<Secret>, sqlx::Error> {
    let found = sqlx::query!(
        r#"select o.id as "id!", o.email as "email!", o.name as "name!", o.password_hash as "password_hash!"
           from unnest($1::text[]) with ordinality as s(email, place), crm.find_operator(s.email) o
           order by place limit 1"#,
        &address::spellings(email),
    )
    .fetch_optional(db)
    .await?;
    Ok(found.map(|found| Secret {
        operator: Operator { id: found.id, email: found.email, name: found.name },
        password_hash: found.password_hash,
    }))
}

/// Keeps a login.
///
/// # Errors
/// What the statement returned.
pub async fn keep_login(db: impl PgExecutor<'_>, new: NewLogin<'_>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"select crm.open_operator_login($1, $2, $3, $4)::text as "nothing""#,
        new.id,
        new.operator_id,
        new.hash,
        new.lifetime_seconds,
    )
    .fetch_one(db)
    .await?;
    Ok(())
}

/// The good login of a token.
///
/// # Errors
/// What the statement returned.
pub async fn find_login(
    db: impl PgExecutor<'_>,
    hash: &[u8],
) -> Result<Option<Known>, sqlx::Error> {
    let found = sqlx::query!(
        r#"select id as "id!", operator_id as "operator_id!", email as "email!", name as "name!"
           from crm.find_operator_login($1)"#,
        hash,
    )
    .fetch_optional(db)
    .await?;
    Ok(found.map(|found| Known {
        login: found.id,
        operator: Operator { id: found.operator_id, email: found.email, name: found.name },
    }))
}

/// Ends a login.
///
/// # Errors
/// What the statement returned.
pub async fn end_login(db: impl PgExecutor<'_>, id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(r#"select crm.end_operator_login($1)::text as "nothing""#, id)
        .fetch_one(db)
        .await?;
    Ok(())
}
