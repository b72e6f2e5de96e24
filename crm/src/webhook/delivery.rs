//! What webhooks were told: one delivery per event and webhook, each carried by a run of its own.

use std::collections::HashMap;

use chrono::{DateTime, SecondsFormat, Utc};
use engine::definition_store::Definitions;
use engine::outbox::Event;
use engine::run::Priority;
use engine::{clock, id};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::LIMIT;
use crate::consumer;
use crate::own_run::{self, OwnRun, OwnRunError};

/// How often a delivery is tried: at once, and then over a day and a half.
pub const ATTEMPTS: i16 = 11;
/// After how many days without an arrival a webhook is disabled.
const FAILING_DAYS: i32 = 5;

/// A delivery.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// Its id (`whd_…`), also its run's.
    pub id: Uuid,
    /// To which webhook.
    pub webhook_id: Uuid,
    /// Of which event.
    pub event_id: Uuid,
    /// What kind of event.
    pub topic: String,
    /// `pending`, until it is answered well (`delivered`) or tried no more (`failed`).
    pub status: String,
    /// How often it was tried so far.
    pub attempts: i16,
    /// When it is tried again, if an attempt failed.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// The status of the last answer, once it has ended.
    pub response_status: Option<i16>,
    /// Why it failed.
    pub error: Option<String>,
    /// When it was ordered.
    pub created_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
}

/// A delivery with its body.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// It.
    pub delivery: Delivery,
    /// What is sent, as JSON.
    pub body: String,
}

/// Which deliveries to list.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter<'a> {
    /// To this webhook.
    pub webhook_id: Option<Uuid>,
    /// In this state.
    pub status: Option<&'a str>,
    /// Older than this one.
    pub before: Option<Uuid>,
}

/// All that it takes to send a delivery.
#[derive(Debug, Clone)]
pub struct Sending {
    /// The webhook whose secrets sign.
    pub webhook_id: Uuid,
    /// Where to.
    pub url: String,
    /// The event's id, as it is shown; the same for every attempt and every delivery.
    pub event: String,
    /// The body.
    pub body: String,
    /// The secrets that sign, sealed, the newest first.
    pub secrets: Vec<Vec<u8>>,
    /// Why it is not sent any more.
    pub stopped: Option<String>,
}

/// The end of a delivery: the data of `webhook.answered`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// How often it was tried.
    pub attempts: i16,
    /// The status of the last answer.
    pub status: Option<u16>,
    /// Why it failed; nothing where it arrived.
    pub error: Option<String>,
}

/// What became of the wish to send something again.
#[derive(Debug, Clone, PartialEq)]
pub enum Redelivery {
    /// This delivery was ordered.
    Ordered(Box<Delivery>),
    /// It is still under way.
    Pending,
    /// Its webhook is not active.
    Stopped,
    /// There is none.
    NotFound,
}

/// What is sent of an event (<https://www.standardwebhooks.com>): its kind, its instant, and its data.
fn body(
    topic: &str,
    at: DateTime<Utc>,
    event: &str,
    subject: &str,
    sequence: i64,
    data: &Value,
) -> String {
    let at = at.to_rfc3339_opts(SecondsFormat::Micros, true);
    json!({
        "type": topic, "timestamp": at, "id": event, "subject": subject, "sequence": sequence, "data": data,
    })
    .to_string()
}

/// A delivery to order.
struct New {
    id: Uuid,
    customer_id: Uuid,
    webhook_id: Uuid,
    event_id: Uuid,
    topic: String,
    contact_id: Option<Uuid>,
    body: String,
    again: bool,
}

/// Orders deliveries of events to all webhooks that ask for them, each once, in the caller's transaction.
///
/// # Errors
/// What the statements returned; the caller rolls back.
pub async fn fan_out(
    tx: &mut PgConnection,
    definitions: &Definitions,
    events: &[&Event],
) -> Result<(), OwnRunError> {
    let ids: Vec<Uuid> = events.iter().map(|event| event.id).collect();
    let customers: Vec<Uuid> = events.iter().map(|event| event.customer_id).collect();
    let topics: Vec<String> = events.iter().map(|event| event.topic.clone()).collect();
    let instants: Vec<DateTime<Utc>> = events.iter().map(|event| event.at).collect();
    let asked = sqlx::query!(
        r#"select w.id, e.place as "place!"
           from unnest($4::uuid[], $1::uuid[], $2::text[], $3::timestamptz[])
             with ordinality as e(id, customer_id, topic, at, place)
           join webhooks w on e.id >= engine.first_uuid(clock_timestamp() - make_interval(days => $5))
             and w.customer_id = e.customer_id and w.status = 'active' and w.deleted_at is null
             and w.active_since <= e.at
             and w.events && array[e.topic, split_part(e.topic, '.', 1) || '.*', '*']
           order by e.place, w.id"#,
        &customers,
        &topics,
        &instants,
        &ids,
        consumer::REMEMBERED_DAYS,
    )
    .fetch_all(&mut *tx)
    .await?;
    let new = |webhook_id: Uuid, place: i64| {
        let event = events.get(usize::try_from(place - 1).ok()?)?;
        let shown = id::show("evt", event.id);
        let body = body(&event.topic, event.at, &shown, &event.key, event.sequence, &event.data);
        Some(New {
            id: clock::new_id(),
            customer_id: event.customer_id,
            webhook_id,
            event_id: event.id,
            topic: event.topic.clone(),
            contact_id: consumer::contact_of(event),
            body,
            again: false,
        })
    };
    let new: Vec<New> = asked.iter().filter_map(|row| new(row.id, row.place)).collect();
    order(tx, definitions, &new).await.map(drop)
}

/// Orders deliveries and starts their runs; gives those that are new.
async fn order(
    tx: &mut PgConnection,
    definitions: &Definitions,
    new: &[New],
) -> Result<Vec<Delivery>, OwnRunError> {
    if new.is_empty() {
        return Ok(Vec::new());
    }
    let all = |of: fn(&New) -> Uuid| new.iter().map(of).collect::<Vec<Uuid>>();
    let topics: Vec<String> = new.iter().map(|new| new.topic.clone()).collect();
    let bodies: Vec<String> = new.iter().map(|new| new.body.clone()).collect();
    let contacts: Vec<Option<Uuid>> = new.iter().map(|new| new.contact_id).collect();
    let again: Vec<bool> = new.iter().map(|new| new.again).collect();
    let ordered = sqlx::query_as!(
        Delivery,
        r#"insert into webhook_deliveries (customer_id, id, webhook_id, event_id, topic, contact_id, body, again)
         select customer_id, id, webhook_id, event_id, topic, contact_id, body, again
         from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::uuid[], $7::text[], $8::boolean[])
           as n(customer_id, id, webhook_id, event_id, topic, contact_id, body, again)
         on conflict (customer_id, webhook_id, event_id) where not again do nothing
         returning id, webhook_id, event_id, topic, status, attempts, null::timestamptz as "next_attempt_at",
           response_status, error, created_at, ended_at"#,
        &all(|new| new.customer_id),
        &all(|new| new.id),
        &all(|new| new.webhook_id),
        &all(|new| new.event_id),
        &topics,
        &contacts as &[Option<Uuid>],
        &bodies,
        &again,
    )
    .fetch_all(&mut *tx)
    .await?;
    let customers: HashMap<Uuid, Uuid> = new.iter().map(|new| (new.id, new.customer_id)).collect();
    let mut by_customer: HashMap<Uuid, Vec<(Uuid, String)>> = HashMap::new();
    for delivery in &ordered {
        let Some(customer_id) = customers.get(&delivery.id) else { continue };
        let runs = by_customer.entry(*customer_id).or_default();
        runs.push((delivery.id, id::show("whk", delivery.webhook_id)));
    }
    let workflow = workflow();
    for (customer_id, deliveries) in by_customer {
        let runs: Vec<OwnRun<'_>> = deliveries
            .iter()
            .map(|(id, webhook)| OwnRun {
                id: *id,
                subject_id: *id,
                priority: Priority::Normal,
                limit: Some((LIMIT, webhook)),
            })
            .collect();
        own_run::start(&mut *tx, definitions, customer_id, &workflow, &runs).await?;
    }
    Ok(ordered)
}

/// A delivery's way: 10 s, 40 s, 3 min, 11 min, 43 min and 3 h after the attempts before, then every 8 h.
fn workflow() -> Value {
    let retry =
        json!({ "attempts": ATTEMPTS, "first": "10 seconds", "factor": 4.0, "max": "8 hours" });
    json!({
        "name": "webhook-delivery", "title": "A delivery to a webhook", "subject": "webhook_delivery",
        "steps": [{ "id": "deliver", "type": "webhook.deliver", "retry": retry }],
    })
}

/// Orders the delivery of an event that tells nothing, to try a webhook out.
///
/// # Errors
/// What the statements returned.
pub async fn try_out(
    tx: &mut PgConnection,
    definitions: &Definitions,
    customer_id: Uuid,
    webhook_id: Uuid,
) -> Result<Option<Delivery>, OwnRunError> {
    let (topic, event_id) = ("webhook.test", clock::new_id());
    let webhook = id::show("whk", webhook_id);
    let at = clock::now(&mut *tx).await?;
    let data = json!({ "webhook_id": webhook });
    let new = New {
        id: clock::new_id(),
        customer_id,
        webhook_id,
        event_id,
        topic: topic.into(),
        contact_id: None,
        body: body(topic, at, &id::show("evt", event_id), &webhook, 1, &data),
        again: true,
    };
    Ok(order(tx, definitions, &[new]).await?.pop())
}

/// Orders a delivery that has ended again: the same event, to the same webhook.
///
/// # Errors
/// What the statements returned.
pub async fn redeliver(
    tx: &mut PgConnection,
    definitions: &Definitions,
    customer_id: Uuid,
    id: Uuid,
) -> Result<Redelivery, OwnRunError> {
    let before = sqlx::query!(
        "select d.webhook_id, d.event_id, d.topic, d.contact_id, d.body, d.status,
           w.status = 'active' and w.deleted_at is null as \"active!\"
         from webhook_deliveries d join webhooks w on w.customer_id = d.customer_id and w.id = d.webhook_id
         where d.customer_id = $1 and d.id = $2",
        customer_id,
        id,
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(before) = before else { return Ok(Redelivery::NotFound) };
    if !before.active {
        return Ok(Redelivery::Stopped);
    }
    if before.status == "pending" {
        return Ok(Redelivery::Pending);
    }
    let new = New {
        id: clock::new_id(),
        customer_id,
        webhook_id: before.webhook_id,
        event_id: before.event_id,
        topic: before.topic,
        contact_id: before.contact_id,
        body: before.body,
        again: true,
    };
    let ordered = order(tx, definitions, &[new]).await?.pop();
    Ok(ordered.map_or(Redelivery::NotFound, |delivery| Redelivery::Ordered(Box::new(delivery))))
}

/// What it takes to send a delivery that is pending; `None` where there is none.
///
/// # Errors
/// What the statement returned.
pub async fn to_send(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    id: Uuid,
) -> Result<Option<Sending>, sqlx::Error> {
    let found = sqlx::query!(
        r#"select w.id, w.url, w.status, w.deleted_at is not null as "deleted!", w.secret, d.event_id, d.body,
             case when w.previous_until > engine.now() then w.previous_secret end as previous
           from webhook_deliveries d join webhooks w on w.customer_id = d.customer_id and w.id = d.webhook_id
           where d.customer_id = $1 and d.id = $2 and d.status = 'pending'"#,
        customer_id,
        id,
    )
    .fetch_optional(db)
    .await?;
    Ok(found.map(|found| Sending {
        webhook_id: found.id,
        url: found.url,
        event: id::show("evt", found.event_id),
        body: found.body,
        secrets: [Some(found.secret), found.previous].into_iter().flatten().collect(),
        stopped: match (found.deleted, found.status.as_str()) {
            (true, _) => Some("the webhook was deleted".into()),
            (false, "active") => None,
            (false, status) => Some(format!("the webhook is {status}")),
        },
    }))
}

/// Writes the ends of deliveries of one step's batch: customer, delivery, and what became of it. A webhook to which nothing
/// arrives for days is disabled; so is one that says that it is gone.
///
/// # Errors
/// What the statement returned.
pub(crate) async fn answered(
    tx: &mut PgConnection,
    ends: &[(Uuid, Uuid, Answered)],
) -> Result<(), sqlx::Error> {
    let customers: Vec<Uuid> = ends.iter().map(|(customer_id, ..)| *customer_id).collect();
    let ids: Vec<Uuid> = ends.iter().map(|(_, id, _)| *id).collect();
    let attempts: Vec<i16> = ends.iter().map(|(.., end)| end.attempts).collect();
    let status = |end: &Answered| end.status.and_then(|status| i16::try_from(status).ok());
    let statuses: Vec<Option<i16>> = ends.iter().map(|(.., end)| status(end)).collect();
    let errors: Vec<Option<String>> = ends.iter().map(|(.., end)| end.error.clone()).collect();
    sqlx::query!(
        "with delivery as (
           update webhook_deliveries d set status = case when a.error is null then 'delivered' else 'failed' end,
             attempts = a.attempts, response_status = a.status, error = a.error, ended_at = engine.now()
           from unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::smallint[], $5::text[])
             as a(customer_id, id, attempts, status, error)
           where d.customer_id = a.customer_id and d.id = a.id and d.status = 'pending'
           returning d.customer_id, d.webhook_id, d.created_at, a.error, a.status
         ), webhook as (
           select customer_id, webhook_id, bool_or(error is null) as arrived, min(created_at) as since,
             bool_or(status = 410) as gone from delivery group by 1, 2 order by 1, 2
         ), judged as (
           select w.customer_id, w.id, b.gone,
             case when b.arrived then null else coalesce(w.failing_since, b.since) end as failing_since
           from webhook b join webhooks w on w.customer_id = b.customer_id and w.id = b.webhook_id
           where w.status = 'active' and (not b.arrived or b.gone or w.failing_since is not null)
         )
         update webhooks w set failing_since = j.failing_since,
           status = case when j.gone or j.failing_since < engine.now() - make_interval(days => $6)
             then 'disabled' else w.status end,
           status_reason = case when j.gone then 'it answered 410: it is gone'
             when j.failing_since < engine.now() - make_interval(days => $6)
             then 'nothing arrived for ' || $6 || ' days' else w.status_reason end
         from judged j where w.customer_id = j.customer_id and w.id = j.id",
        &customers,
        &ids,
        &attempts,
        &statuses as &[Option<i16>],
        &errors as &[Option<String>],
        FAILING_DAYS,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Ends deliveries whose runs have ended without an answer as failed; each has its reason. It says nothing of the webhook.
///
/// # Errors
/// Returns what the statement returned.
pub(crate) async fn give_up(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    ids: &[Uuid],
    reasons: &[String],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update webhook_deliveries d set status = 'failed', attempts = r.attempt, error = e.reason, ended_at = engine.now()
         from unnest($2::uuid[], $3::text[]) as e(id, reason) join engine.runs r on r.id = e.id
         where d.customer_id = $1 and d.id = e.id and d.status = 'pending'",
        customer_id,
        ids,
        reasons,
    )
    .execute(db)
    .await?;
    Ok(())
}
