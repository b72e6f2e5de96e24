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
