//! Applies events: activities and engagement follow from what happened. Owns `processed_events`, by which
//! an event that comes twice is applied once.

use std::collections::HashSet;

use engine::id;
use engine::outbox::Event;
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::activity::{self, Kind, NewActivity};
use crate::engagement::{self, Points};

/// Names this consumer among those that may read the same events.
const CONSUMER: &str = "activities";

/// Notes that a consumer applies an event; `false` where it did before.
///
/// # Errors
/// What the statement returned.
pub(crate) async fn first_time(
    tx: &mut PgConnection,
    consumer: &str,
    event_id: Uuid,
) -> Result<bool, sqlx::Error> {
    let noted = sqlx::query!(
        "insert into processed_events (consumer, event_id) values ($1, $2) on conflict do nothing",
        consumer,
        event_id,
    )
    .execute(tx)
    .await?;
    Ok(noted.rows_affected() == 1)
}

/// Applies events in the caller's transaction, each once, in their order. Returns how many were new.
///
/// # Errors
/// What the statements returned; the caller rolls back.
pub async fn apply(tx: &mut PgConnection, events: &[Event]) -> Result<usize, sqlx::Error> {
    let ids: Vec<Uuid> = events.iter().map(|event| event.id).collect();
    let fresh = sqlx::query_scalar!(
        "insert into processed_events (consumer, event_id) select $1, id from unnest($2::uuid[]) as e(id)
         on conflict do nothing returning event_id",
        CONSUMER,
        &ids,
    )
    .fetch_all(&mut *tx)
    .await?;
    let mut fresh: HashSet<Uuid> = fresh.into_iter().collect();
    let fresh: Vec<&Event> = events.iter().filter(|event| fresh.remove(&event.id)).collect();
    let activities: Vec<NewActivity> = fresh.iter().filter_map(|event| activity(event)).collect();
    activity::write(tx, &activities).await?;
    for event in &fresh {
        let Some(contact_id) = contact(event) else { continue };
        if event.topic == "contact.created" {
            engagement::open(tx, event.customer_id, contact_id).await?;
        }
        let points = Points {
            customer_id: event.customer_id,
            contact_id,
            event_id: event.id,
            event: event.topic.clone(),
            at: event.at,
        };
        engagement::add(tx, &points).await?;
    }
    Ok(fresh.len())
}

fn contact(event: &Event) -> Option<Uuid> {
    id::read("con", event.data.get("contact_id")?.as_str()?).ok()
}

/// The activity that an event leaves in the timeline, if any.
fn activity(event: &Event) -> Option<NewActivity> {
    let (kind, title) = match event.topic.as_str() {
        "contact.created" => (Kind::System, "Contact created"),
        "contact.updated" => (Kind::System, "Contact updated"),
        "contact.unsubscribed" => (Kind::System, "Contact unsubscribed"),
        "email.sent" => (Kind::Email, "Email sent"),
        "email.opened" => (Kind::Email, "Email opened"),
        "email.clicked" => (Kind::Email, "Link clicked"),
        "email.replied" => (Kind::Email, "Email answered"),
        "email.bounced" => (Kind::Email, "Email bounced"),
        "enrollment.created" => (Kind::System, "Enrolled in a sequence"),
        "enrollment.exited" => (Kind::System, "Left a sequence"),
        "enrollment.completed" => (Kind::System, "Completed a sequence"),
        "enrollment.held" => (Kind::System, "Held in a sequence"),
        "task.created" => (Kind::Task, "Task created"),
        "task.completed" => (Kind::Task, "Task done"),
        _other => return None,
    };
    let title = match event.data.get("title").and_then(Value::as_str) {
        Some(detail) => format!("{title}: {detail}"),
        None => title.to_owned(),
    };
    Some(NewActivity {
        customer_id: event.customer_id,
        kind,
        title,
        body: None,
        contact_id: Some(contact(event)?),
        actor: "system".into(),
        occurred_at: event.at,
        data: json!({ "event": event.topic, "key": event.key, "data": event.data }),
        source: format!("event:{}", event.id),
    })
}

/// An id for something that came from outside with a name of its own, the same for the same name.
pub fn id_of(name: &str) -> Uuid {
    let drawn = engine::context::draw(&[name.as_bytes()]);
    let again = engine::context::draw(&[name.as_bytes(), b"again"]);
    uuid::Builder::from_custom_bytes((u128::from(drawn) << 64 | u128::from(again)).to_be_bytes())
        .into_uuid()
}
