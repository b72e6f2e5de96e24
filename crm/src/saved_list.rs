//! Lists: filters that somebody saved under a name. Owns `lists`. What a list holds is asked each time anew.

use chrono::{DateTime, Utc};
use engine::clock;
use sqlx::PgExecutor;
use sqlx::types::Json;
use uuid::Uuid;

use crate::custom_field::Entity;
use crate::filter::Filter;

/// A list.
#[derive(Debug, Clone, PartialEq)]
pub struct SavedList {
    /// Its id (`lst_…`).
    pub id: Uuid,
    /// What people call it; one list of the same records has it.
    pub name: String,
    /// Of which records: the stored word of an [`Entity`].
    pub entity: String,
    /// What is asked of them.
    pub filter: Json<Filter>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// Saves a filter; a name that another list of the same records has violates `lists_name`.
///
/// # Errors
/// What the statement returned.
pub async fn create(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    entity: Entity,
    name: &str,
    filter: &Filter,
) -> Result<SavedList, sqlx::Error> {
    sqlx::query_as!(
        SavedList,
        r#"insert into lists (customer_id, id, name, entity, filter) values ($1, $2, $3, $4, $5)
           returning id, name, entity, filter as "filter: Json<Filter>", created_at, updated_at"#,
        customer_id,
        clock::new_id(),
        name,
        entity.word(),
        Json(filter) as _,
    )
    .fetch_one(db)
    .await
}

/// A list by id.
///
/// # Errors
/// What the statement returned.
pub async fn find(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    id: Uuid,
) -> Result<Option<SavedList>, sqlx::Error> {
    sqlx::query_as!(
        SavedList,
        r#"select id, name, entity, filter as "filter: Json<Filter>", created_at, updated_at
           from lists where customer_id = $1 and id = $2"#,
        customer_id,
        id,
    )
    .fetch_optional(db)
    .await
}

/// A list by id, locked against other changes.
///
/// # Errors
/// What the statement returned.
pub async fn lock(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    id: Uuid,
) -> Result<Option<SavedList>, sqlx::Error> {
    sqlx::query_as!(
        SavedList,
        r#"select id, name, entity, filter as "filter: Json<Filter>", created_at, updated_at
           from lists where customer_id = $1 and id = $2 for update"#,
        customer_id,
        id,
    )
    .fetch_optional(db)
    .await
}

/// Lists, newest first.
///
/// # Errors
/// What the statement returned.
pub async fn list(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    before: Option<Uuid>,
    limit: u32,
) -> Result<Vec<SavedList>, sqlx::Error> {
    sqlx::query_as!(
        SavedList,
        r#"select id, name, entity, filter as "filter: Json<Filter>", created_at, updated_at
           from lists where customer_id = $1 and ($2::uuid is null or id < $2) order by id desc limit $3"#,
        customer_id,
        before,
        i64::from(limit),
    )
    .fetch_all(db)
    .await
}

/// Writes a list's name and filter.
///
/// # Errors
/// As [`create`].
pub async fn change(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    id: Uuid,
    name: &str,
    filter: &Filter,
) -> Result<SavedList, sqlx::Error> {
    sqlx::query_as!(
        SavedList,
        r#"update lists set name = $3, filter = $4, updated_at = engine.now() where customer_id = $1 and id = $2
           returning id, name, entity, filter as "filter: Json<Filter>", created_at, updated_at"#,
        customer_id,
        id,
        name,
        Json(filter) as _,
    )
    .fetch_one(db)
    .await
}

/// Takes a list away.
///
/// # Errors
/// What the statement returned.
pub async fn delete(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    id: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from lists where customer_id = $1 and id = $2", customer_id, id)
        .execute(db)
        .await?;
    Ok(())
}
