//! Engagement: how much a contact shows that it cares, as points per event. Owns `engagement` and
//! `engagement_parts`; the score is the sum of its parts.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

/// Points for one event.
#[derive(Debug, Clone, PartialEq)]
pub struct Points {
    /// Whose contact it is.
    pub customer_id: Uuid,
    /// The contact.
    pub contact_id: Uuid,
    /// The event's id, which counts once.
    pub event_id: Uuid,
    /// Its topic.
    pub event: String,
    /// When it happened.
    pub at: DateTime<Utc>,
}

/// Points that a workflow gives or takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Adjustment {
    /// Whose contact it is.
    pub customer_id: Uuid,
    /// The contact.
    pub contact_id: Uuid,
    /// Names the cause, which counts once.
    pub id: Uuid,
    /// How many; fewer than none takes away.
    pub points: i32,
    /// Why, in words that people read.
    pub reason: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// The event under which a workflow's points are kept.
const ADJUSTED: &str = "score.adjusted";

/// What an event is worth.
pub fn worth(topic: &str) -> i32 {
    match topic {
        "email.opened" => 1,
        "email.clicked" => 5,
        "email.replied" => 20,
        "meeting.booked" => 30,
        "email.bounced" => -10,
        "contact.unsubscribed" => -20,
        _other => 0,
    }
}

/// Opens a contact's score at 0; one that is open stays as it is.
///
/// # Errors
/// What the statement returned.
pub async fn open(
    tx: &mut PgConnection,
    customer_id: Uuid,
    contact_id: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into engagement (customer_id, contact_id) values ($1, $2)
         on conflict (customer_id, contact_id) do nothing",
        customer_id,
        contact_id,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Adds an event's points, once.
///
/// # Errors
/// What the statements returned.
pub async fn add(tx: &mut PgConnection, points: &Points) -> Result<(), sqlx::Error> {
    let worth = worth(&points.event);
    if worth == 0 {
        return Ok(());
    }
    open(tx, points.customer_id, points.contact_id).await?;
    sqlx::query!(
        "with part as (
           insert into engagement_parts (customer_id, contact_id, id, event, points, at)
           values ($1, $2, $3, $4, $5, $6) on conflict do nothing returning points
         )
         update engagement set score = score + part.points, updated_at = engine.now()
         from part where customer_id = $1 and contact_id = $2",
        points.customer_id,
        points.contact_id,
        points.event_id,
        points.event,
        worth,
        points.at,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Adds the points of workflows, each once.
///
/// # Errors
/// What the statements returned.
pub async fn adjust(tx: &mut PgConnection, adjustments: &[Adjustment]) -> Result<(), sqlx::Error> {
    let customers: Vec<Uuid> = adjustments.iter().map(|adjusted| adjusted.customer_id).collect();
    let contacts: Vec<Uuid> = adjustments.iter().map(|adjusted| adjusted.contact_id).collect();
    open_all(tx, &customers, &contacts).await?;
    let ids: Vec<Uuid> = adjustments.iter().map(|adjusted| adjusted.id).collect();
    let points: Vec<i32> = adjustments.iter().map(|adjusted| adjusted.points).collect();
    let reasons: Vec<String> = adjustments.iter().map(|adjusted| adjusted.reason.clone()).collect();
    let instants: Vec<DateTime<Utc>> = adjustments.iter().map(|adjusted| adjusted.at).collect();
    sqlx::query!(
        "with part as (
           insert into engagement_parts (customer_id, contact_id, id, event, points, reason, at)
           select customer_id, contact_id, id, $7, points, reason, at
           from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::integer[], $5::text[], $6::timestamptz[])
             as a(customer_id, contact_id, id, points, reason, at)
           on conflict do nothing returning customer_id, contact_id, points
         ), total as (
           select customer_id, contact_id, sum(points)::integer as points from part group by customer_id, contact_id
         )
         update engagement e set score = e.score + total.points, updated_at = engine.now()
         from total where e.customer_id = total.customer_id and e.contact_id = total.contact_id",
        &customers,
        &contacts,
        &ids,
        &points,
        &reasons,
        &instants,
        ADJUSTED,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Opens scores at 0 where there are none, and locks all in one order, so that two batches never wait for
/// each other.
async fn open_all(
    tx: &mut PgConnection,
    customers: &[Uuid],
    contacts: &[Uuid],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into engagement (customer_id, contact_id)
         select distinct customer_id, contact_id from unnest($1::uuid[], $2::uuid[]) as a(customer_id, contact_id)
         order by customer_id, contact_id
         on conflict (customer_id, contact_id) do nothing",
        customers,
        contacts,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        r#"select contact_id from engagement where (customer_id, contact_id) in
             (select a.customer_id, a.contact_id from unnest($1::uuid[], $2::uuid[]) as a(customer_id, contact_id))
           order by customer_id, contact_id for update"#,
        customers,
        contacts,
    )
    .fetch_all(tx)
    .await?;
    Ok(())
}
