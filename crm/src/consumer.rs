//! Applies events: activities and engagement follow from what happened. Owns `processed_events`, by which
//! an event that comes twice is applied once.

use std::collections::HashSet;

use engine::definition_store::Definitions;
use engine::outbox::Event;
use engine::relay::{OutOfReach, Sink, Taken};
use engine::{id, transaction, worker};
use futures_util::future::{BoxFuture, FutureExt};
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::activity::{self, About, Kind, NewActivity};
use crate::contact;
use crate::engagement::{self, COUNTABLE, Fact, NewFact};
use crate::own_run::OwnRunError;
use crate::webhook;

/// What follows from events, applied as they come: by the relay of the same process, or from a broker.
pub struct Consumer {
    /// Where it is written, past row-level security: events are all customers'.
    pub db: PgPool,
    /// By which the deliveries to webhooks are run.
    pub definitions: Definitions,
}

impl Consumer {
    /// Applies events in one transaction.
    async fn apply(&self, events: &[Event]) -> Result<(), OwnRunError> {
        let mut tx = transaction::begin(&self.db).await?;
        let fresh = apply(&mut tx, events).await?;
        webhook::fan_out(&mut tx, &self.definitions, &fresh).await?;
        Ok(tx.commit().await?)
    }
}

impl Sink for Consumer {
    /// All at once; where one of them can't be applied, one after the other.
    fn deliver<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Result<Vec<Taken>, OutOfReach>> {
        async move {
            match self.apply(events).await {
                Ok(()) => return Ok(vec![Taken::Told; events.len()]),
                Err(error) => may_come_again(error)?,
            };
            let mut closed = HashSet::new();
            let mut taken = Vec::with_capacity(events.len());
            for event in events {
                let key = (&event.topic, &event.key);
                if closed.contains(&key) {
                    taken.push(Taken::Waits);
                    continue;
                }
                taken.push(match self.apply(std::slice::from_ref(event)).await {
                    Ok(()) => Taken::Told,
                    Err(error) => {
                        closed.insert(key);
                        Taken::Refused(may_come_again(error)?)
                    }
                });
            }
            Ok(taken)
        }
        .boxed()
    }
}

/// What is wrong with an event that can't be applied, unless nothing is: the database is out of reach, or another
/// transaction was in the way.
fn may_come_again(error: OwnRunError) -> Result<String, OutOfReach> {
    match error {
        OwnRunError::Database(error) if worker::may_succeed_again(&error) => {
            Err(OutOfReach(error.to_string()))
        }
        OwnRunError::Database(_) | OwnRunError::Broken(_) => Ok(error.to_string()),
    }
}

/// How long it is remembered that an event was applied. One that is older and comes again leaves no second line in the
/// timeline and counts no second time, by its id; nor does any webhook tell of it.
pub(crate) const REMEMBERED_DAYS: i32 = 90;
const FORGOTTEN_AT_ONCE: i64 = 5_000;

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

/// Forgets some of what was applied more than [`REMEMBERED_DAYS`] ago; gives how much.
///
/// # Errors
/// What the statements returned.
pub async fn forget(db: &PgPool) -> Result<u64, sqlx::Error> {
    let events = sqlx::query!(
        "delete from processed_events where consumer = $1 and event_id = any(array(
           select event_id from processed_events where consumer = $1
             and event_id < engine.first_uuid(clock_timestamp() - make_interval(days => $2))
           order by event_id limit $3))",
        CONSUMER,
        REMEMBERED_DAYS,
        FORGOTTEN_AT_ONCE,
    )
    .execute(db)
    .await?;
    let inbound = sqlx::query!(
        "delete from processed_events where consumer = 'inbound' and event_id = any(array(
           select event_id from processed_events where consumer = 'inbound'
             and processed_at < engine.now() - make_interval(days => $1)
           order by processed_at limit $2))",
        REMEMBERED_DAYS,
        FORGOTTEN_AT_ONCE,
    )
    .execute(db)
    .await?;
    Ok(events.rows_affected() + inbound.rows_affected())
}

/// Applies events in the caller's transaction, each once, in their order. Gives those that were new.
///
/// # Errors
/// What the statements returned; the caller rolls back.
pub async fn apply<'a>(
    tx: &mut PgConnection,
    events: &'a [Event],
) -> Result<Vec<&'a Event>, sqlx::Error> {
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
    let mut activities: Vec<NewActivity> =
        fresh.iter().filter_map(|event| activity(event)).collect();
    hush(tx, &mut activities).await?;
    activity::write(tx, &activities).await?;
    for event in &fresh {
        if event.topic == "contact.created"
            && let Some(contact_id) = contact_of(event)
        {
            engagement::open(tx, event.customer_id, contact_id).await?;
        }
    }
    let facts: Vec<NewFact> = fresh.iter().filter_map(|event| fact(event)).collect();
    engagement::note(tx, &facts).await?;
    Ok(fresh)
}

/// Takes the words out of activities with contacts who were erased since their events were published.
async fn hush(tx: &mut PgConnection, activities: &mut [NewActivity]) -> Result<(), sqlx::Error> {
    let of = |activity: &NewActivity| Some((activity.customer_id, activity.about.contact_id?));
    let contacts: Vec<(Uuid, Uuid)> = activities.iter().filter_map(of).collect();
    if contacts.is_empty() {
        return Ok(());
    }
    let erased = contact::erased_among(tx, &contacts).await?;
    for activity in activities {
        if activity.about.contact_id.is_some_and(|contact| erased.contains(&contact)) {
            activity.title = "Erased".into();
            activity.data = json!({});
        }
    }
    Ok(())
}

/// What an event tells of how much a contact cares, if anything. What a machine opened tells nothing.
fn fact(event: &Event) -> Option<NewFact> {
    let by_machine = event.data.get("verdict").is_some_and(|verdict| verdict != "human");
    if by_machine || !COUNTABLE.contains(&event.topic.as_str()) {
        return None;
    }
    let fact =
        Fact { id: event.id, event: event.topic.clone(), given: None, reason: None, at: event.at };
    Some(NewFact { customer_id: event.customer_id, contact_id: contact_of(event)?, fact })
}

/// The contact that an event is about, if any.
pub(crate) fn contact_of(event: &Event) -> Option<Uuid> {
    id::read("con", event.data.get("contact_id")?.as_str()?).ok()
}

/// What an event is about; nothing where that is no record of sales.
fn about(event: &Event) -> Option<About> {
    let read = |field: &str, kind| id::read(kind, event.data.get(field)?.as_str()?).ok();
    let about = About {
        contact_id: contact_of(event),
        account_id: read("account_id", "acc"),
        opportunity_id: read("opportunity_id", "opp"),
    };
    (about != About::default()).then_some(about)
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
        "account.created" => (Kind::System, "Account created"),
        "opportunity.created" => (Kind::System, "Opportunity created"),
        "opportunity.stage_changed" => (Kind::System, "Opportunity moved"),
        "opportunity.won" => (Kind::System, "Opportunity won"),
        "opportunity.lost" => (Kind::System, "Opportunity lost"),
        "meeting.proposed" => (Kind::Meeting, "Meeting proposed"),
        "meeting.booked" => (Kind::Meeting, "Meeting booked"),
        "meeting.rescheduled" => (Kind::Meeting, "Meeting moved"),
        "meeting.cancelled" => (Kind::Meeting, "Meeting cancelled"),
        "meeting.no_show" => (Kind::Meeting, "Nobody came to the meeting"),
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
        about: about(event)?,
        // An event that names who caused it leaves their name in the timeline.
        actor: event.data.get("actor").and_then(Value::as_str).unwrap_or("system").to_owned(),
        occurred_at: event.at,
        data: json!({ "event": event.topic, "key": event.key, "data": event.data }),
        source: Some(format!("event:{}", event.id)),
    })
}

/// An id for something that came from outside with a name of its own, the same for the same name.
pub fn id_of(name: &str) -> Uuid {
    let drawn = engine::context::draw(&[name.as_bytes()]);
    let again = engine::context::draw(&[name.as_bytes(), b"again"]);
    uuid::Builder::from_custom_bytes((u128::from(drawn) << 64 | u128::from(again)).to_be_bytes())
        .into_uuid()
}
