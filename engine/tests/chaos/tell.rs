//! What the suite's steps leave in the database and tell of: a row and an event for each fact, in the
//! transaction of the record, and the relay's way to the broker.

use engine::fact::{FactWriter, RunFact};
use engine::outbox::{self, Event, NewEvent};
use engine::relay::{OutOfReach, Sink, Taken};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::outside::{Call, Outside, Told};

/// The kind of the facts that `act` gives.
pub(crate) const FACT: &str = "chaos.fact";

/// Writes each fact as a row, and tells of it by an event of its run.
pub(crate) struct Writer;

impl FactWriter for Writer {
    fn kind(&self) -> &'static str {
        FACT
    }

    fn write<'a>(
        &'a self,
        tx: &'a mut PgConnection,
        facts: &'a [RunFact],
    ) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        async move {
            let runs: Vec<Uuid> = facts.iter().map(|fact| fact.run_id).collect();
            let steps: Vec<&str> = facts.iter().map(|fact| fact.step.as_str()).collect();
            let iterations: Vec<i32> = facts.iter().map(|fact| fact.iteration).collect();
            let numbers: Vec<i32> = facts.iter().map(|fact| fact.seq).collect();
            sqlx::query("insert into chaos.facts select * from unnest($1, $2, $3, $4)")
                .bind(runs)
                .bind(steps)
                .bind(iterations)
                .bind(numbers)
                .execute(&mut *tx)
                .await?;
            let event = |fact: &RunFact| NewEvent {
                customer_id: fact.customer_id,
                topic: "acted".into(),
                key: fact.run_id.to_string(),
                sequence: i64::from(fact.seq),
                schema: "acted:1".into(),
                data: json!({}),
            };
            outbox::publish(tx, &facts.iter().map(event).collect::<Vec<NewEvent>>()).await
        }
        .boxed()
    }
}

/// Tells the broker.
pub(crate) struct Broker(pub(crate) Outside);

impl Sink for Broker {
    fn deliver<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Result<Vec<Taken>, OutOfReach>> {
        async move {
            let told = |event: &Event| Told {
                topic: event.topic.clone(),
                key: event.key.clone(),
                sequence: event.sequence,
            };
            let told = self.0.call(&Call::Tell(events.iter().map(told).collect())).await;
            told.map_err(|error| OutOfReach(error.to_string()))?;
            Ok(vec![Taken::Told; events.len()])
        }
        .boxed()
    }
}
