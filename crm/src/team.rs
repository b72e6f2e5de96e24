//! Teams: whose records reps and managers share. Owns `teams`.

use chrono::{DateTime, Utc};
use engine::clock;
use sqlx::PgExecutor;
use uuid::Uuid;

/// A team.
#[derive(Debug, Clone, PartialEq)]
pub struct Team {
    /// Its id (`team_…`).
    pub id: Uuid,
    /// What people call it.
    pub name: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When its row last changed.
    pub updated_at: DateTime<Utc>,
}

/// Makes a team; a name that another has violates `teams_name`.
///
/// # Errors
/// What the statement returned.
pub async fn create(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    name: &str,
) -> Result<Team, sqlx::Error> {
    sqlx::query_as!(
        Team,
        "insert into teams (customer_id, id, name) values ($1, $2, $3)
         returning id, name, created_at, updated_at",
        customer_id,
        clock::new_id(),
        name,
    )
    .fetch_one(db)
    .await
}

/// A team by id.
///
/// # Errors
/// What the statement returned.
pub async fn find(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    id: Uuid,
) -> Result<Option<Team>, sqlx::Error> {
    sqlx::query_as!(
        Team,
        "select id, name, created_at, updated_at from teams where customer_id = $1 and id = $2",
        customer_id,
        id,
    )
    .fetch_optional(db)
    .await
}

/// Teams, newest first.
///
/// # Errors
/// What the statement returned.
pub async fn list(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    before: Option<Uuid>,
    limit: u32,
) -> Result<Vec<Team>, sqlx::Error> {
    sqlx::query_as!(
        Team,
        "select id, name, created_at, updated_at from teams
         where customer_id = $1 and ($2::uuid is null or id < $2) order by id desc limit $3",
        customer_id,
        before,
        i64::from(limit),
    )
    .fetch_all(db)
    .await
}

/// Gives a team another name.
///
/// # Errors
/// What the statement returned.
pub async fn rename(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    id: Uuid,
    name: &str,
) -> Result<Option<Team>, sqlx::Error> {
    sqlx::query_as!(
        Team,
        "update teams set name = $3, updated_at = engine.now() where customer_id = $1 and id = $2
         returning id, name, created_at, updated_at",
        customer_id,
        id,
        name,
    )
    .fetch_optional(db)
    .await
}
