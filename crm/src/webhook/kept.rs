//! What is kept of deliveries: read, emptied of the words about somebody, forgotten after their time.

use sqlx::PgExecutor;
use uuid::Uuid;

use super::delivery::{Delivery, Filter, Written};

/// How many days a delivery stays after its end.
const KEPT_DAYS: i32 = 30;
/// The most deliveries that one look forgets.
const FORGOTTEN: i64 = 1_000;

/// A delivery by id.
///
/// # Errors
/// What the statement returned.
pub async fn find_delivery(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    id: Uuid,
) -> Result<Option<Written>, sqlx::Error> {
    let found = sqlx::query!(
        r#"select d.id, d.webhook_id, d.event_id, d.topic, d.status, d.response_status, d.error, d.created_at, d.ended_at,
             d.body, case when d.ended_at is null then coalesce(r.attempt, 0::smallint) else d.attempts end as "attempts!",
             case when d.ended_at is null then r.next_at end as next_attempt_at
           from webhook_deliveries d left join engine.runs r on r.id = d.id and r.customer_id = d.customer_id
           where d.customer_id = $1 and d.id = $2"#,
        customer_id,
        id,
    )
    .fetch_optional(db)
    .await?;
    Ok(found.map(|row| Written {
        delivery: Delivery {
            id: row.id,
            webhook_id: row.webhook_id,
            event_id: row.event_id,
            topic: row.topic,
            status: row.status,
            attempts: row.attempts,
            next_attempt_at: row.next_attempt_at,
            response_status: row.response_status,
            error: row.error,
            created_at: row.created_at,
            ended_at: row.ended_at,
        },
        body: row.body,
    }))
}

/// Deliveries, newest first.
///
/// # Errors
/// What the statement returned.
pub async fn deliveries(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    filter: Filter<'_>,
    limit: u32,
) -> Result<Vec<Delivery>, sqlx::Error> {
    sqlx::query_as!(
        Delivery,
        r#"select d.id, d.webhook_id, d.event_id, d.topic, d.status, d.response_status, d.error, d.created_at, d.ended_at,
             case when d.ended_at is null then coalesce(r.attempt, 0::smallint) else d.attempts end as "attempts!",
             case when d.ended_at is null then r.next_at end as next_attempt_at
           from webhook_deliveries d left join engine.runs r on r.id = d.id and r.customer_id = d.customer_id
           where d.customer_id = $1 and ($2::uuid is null or d.webhook_id = $2)
             and ($3::text is null or d.status = $3) and ($4::uuid is null or d.id < $4)
           order by d.id desc limit $5"#,
        customer_id,
        filter.webhook_id,
        filter.status,
        filter.before,
        i64::from(limit),
    )
    .fetch_all(db)
    .await
}

/// Takes the words about contacts out of what was delivered, and of what is still to be; gives how many.
///
/// # Errors
/// What the statement returned.
pub(crate) async fn erase(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    contacts: &[Uuid],
) -> Result<(&'static str, i64), sqlx::Error> {
    let erased = sqlx::query_scalar!(
        r#"with delivery as (
             update webhook_deliveries set error = null, body = jsonb_set(body::jsonb, '{data}',
               jsonb_build_object('contact_id', body::jsonb #> '{data,contact_id}'))::text
             where customer_id = $1 and contact_id = any($2) returning id
           )
           select count(*) as "count!" from delivery"#,
        customer_id,
        contacts,
    )
    .fetch_one(db)
    .await?;
    Ok(("webhook_deliveries", erased))
}

/// Forgets deliveries that ended long ago, a batch; gives how many.
///
/// # Errors
/// What the statement returned.
pub async fn forget(db: impl PgExecutor<'_>) -> Result<u64, sqlx::Error> {
    let forgotten = sqlx::query!(
        "delete from webhook_deliveries where (customer_id, id) in (
           select customer_id, id from webhook_deliveries
           where ended_at < engine.now() - make_interval(days => $1) order by ended_at limit $2)",
        KEPT_DAYS,
        FORGOTTEN,
    )
    .execute(db)
    .await?;
    Ok(forgotten.rows_affected())
}
