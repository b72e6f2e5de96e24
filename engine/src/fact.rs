//! Facts: what a step lets the domain write in the transaction that records the step.
//!
//! The engine knows no sales word. It carries a fact from the step that returned it to the writer that
//! the domain registered for its kind, and calls each writer once per batch inside the record's transaction.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::id;

/// The kind under which the engine itself reports what became of a run, to a writer that wants it.
/// Data: `{"change": "step_completed|step_failed|completed|exited|held", "reason": …}`; with `step_failed`
/// and `exited` also `unknown`, true where nobody knows whether the step acted. Of runs that an operation moved
/// also `paused`, `resumed` and `cancelled`, with the `actor`.
pub const RUN_CHANGED: &str = "run.changed";

/// The kind under which the engine reports that it forgets a finished run, to a writer that wants it; `at` is
/// when the run ended. Data: `{"state": "completed|exited|cancelled", "reason": …}`.
pub const RUN_FORGOTTEN: &str = "run.forgotten";

/// Something that happened in a step and that the domain is to write.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// The registered kind, such as `message.sent`.
    pub kind: &'static str,
    /// What the writer of that kind reads.
    pub data: Value,
}

/// A fact with the run it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct RunFact {
    /// The run.
    pub run_id: Uuid,
    /// The first of its line: the run itself where no run started it.
    pub root_run_id: Uuid,
    /// Its customer.
    pub customer_id: Uuid,
    /// What the run is about.
    pub subject_id: Uuid,
    /// The step that returned the fact.
    pub step: String,
    /// How often the run had turned back before.
    pub iteration: i32,
    /// The run's history sequence number under which it is recorded; unique per run.
    pub seq: i32,
    /// The instant of the record, by the engine's clock.
    pub at: DateTime<Utc>,
    /// The fact's data.
    pub data: Value,
}

impl RunFact {
    /// The key of the step's iteration, as [`crate::context::Context::key`].
    pub fn key(&self) -> String {
        format!("{}/{}/{}", id::show("run", self.run_id), self.step, self.iteration)
    }
}

/// Writes the facts of one kind, a batch at a time, inside the transaction of the record.
pub trait FactWriter: Send + Sync {
    /// The kind it writes.
    fn kind(&self) -> &'static str;

    /// Writes them all. An error rolls the whole record back; the engine then bisects the batch.
    fn write<'a>(
        &'a self,
        tx: &'a mut PgConnection,
        facts: &'a [RunFact],
    ) -> BoxFuture<'a, Result<(), sqlx::Error>>;
}

/// Decides inside the intent's transaction whether each may proceed, and writes the domain's half of it:
/// `None` lets it proceed, a reason refuses it. One answer per intent, in their order.
pub type AdmitIntents = Arc<
    dyn for<'a> Fn(
            &'a mut PgConnection,
            &'a [RunFact],
        ) -> BoxFuture<'a, Result<Vec<Option<String>>, sqlx::Error>>
        + Send
        + Sync,
>;

/// Which of some runs of a customer an operation may act on, by the value that it carries: whoever ordered it reaches no
/// others just now. A reason instead ends the operation.
pub type ReachRuns = Arc<
    dyn for<'a> Fn(
            &'a mut PgConnection,
            Uuid,
            &'a Value,
            &'a [Uuid],
        ) -> BoxFuture<'a, Result<Result<Vec<Uuid>, String>, sqlx::Error>>
        + Send
        + Sync,
>;

/// The writers that a process knows, by kind.
#[derive(Clone, Default)]
pub struct FactWriters {
    writers: BTreeMap<&'static str, Arc<dyn FactWriter>>,
    admit: Option<AdmitIntents>,
    reach: Option<ReachRuns>,
}

impl FactWriters {
    /// Knows no kind yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a writer.
    #[must_use]
    pub fn writer(mut self, writer: Arc<dyn FactWriter>) -> Self {
        self.writers.insert(writer.kind(), writer);
        self
    }

    /// Sets who admits the intents of steps that act at most once.
    #[must_use]
    pub fn intents(mut self, admit: AdmitIntents) -> Self {
        self.admit = Some(admit);
        self
    }

    /// Sets who decides which runs an operation reaches.
    #[must_use]
    pub fn operations(mut self, reach: ReachRuns) -> Self {
        self.reach = Some(reach);
        self
    }

    /// Whether a kind has a writer.
    pub fn knows(&self, kind: &str) -> bool {
        self.writers.contains_key(kind)
    }

    /// Writes facts of any kinds, each kind's together, in the order of the kinds' names.
    ///
    /// # Errors
    /// What a writer returned; a kind without a writer is `sqlx::Error::Protocol`, so that nothing is lost.
    pub async fn write(
        &self,
        tx: &mut PgConnection,
        facts: Vec<(&'static str, RunFact)>,
    ) -> Result<(), sqlx::Error> {
        let mut by_kind: BTreeMap<&'static str, Vec<RunFact>> = BTreeMap::new();
        for (kind, fact) in facts {
            by_kind.entry(kind).or_default().push(fact);
        }
        for (kind, facts) in by_kind {
            let writer = self.writers.get(kind).ok_or_else(|| {
                sqlx::Error::Protocol(format!("no writer is registered for facts of kind `{kind}`"))
            })?;
            writer.write(tx, &facts).await?;
        }
        Ok(())
    }

    /// Asks which of some runs of a customer an operation may act on; all of one that carries no reach. A reason instead
    /// ends the operation, also where nobody was set to decide.
    ///
    /// # Errors
    /// Returns what the domain's statements returned.
    pub async fn reached(
        &self,
        tx: &mut PgConnection,
        customer_id: Uuid,
        reach: Option<&Value>,
        run_ids: &[Uuid],
    ) -> Result<Result<Vec<Uuid>, String>, sqlx::Error> {
        match (reach, &self.reach) {
            (None, _) => Ok(Ok(run_ids.to_vec())),
            (Some(reach), Some(decide)) => decide(tx, customer_id, reach, run_ids).await,
            (Some(_), None) => Ok(Err("nobody here knows which runs it reaches".into())),
        }
    }

    /// Asks whether intents may proceed; all may where nobody was set to decide.
    ///
    /// # Errors
    /// What the domain's statements returned.
    pub async fn admit(
        &self,
        tx: &mut PgConnection,
        intents: &[RunFact],
    ) -> Result<Vec<Option<String>>, sqlx::Error> {
        match &self.admit {
            Some(admit) => admit(tx, intents).await,
            None => Ok(vec![None; intents.len()]),
        }
    }
}
