//! What a step sees of its run while it runs. A step reads here and returns an outcome; it never writes
//! run state itself. The one thing it may ask for is leave to act, by [`Context::intent`].

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::{OnceCell, mpsc, oneshot};
use uuid::Uuid;

use crate::clock;
use crate::definition::Definition;
use crate::id;
use crate::step::{LoadSubject, StepError, Wake};
use crate::timing::Zone;

/// What a context is made of; the worker fills it from the claim, tests by hand.
#[derive(Clone)]
pub struct Parts {
    /// The run.
    pub run_id: Uuid,
    /// The first of its line: the run itself where no run started it.
    pub root_run_id: Uuid,
    /// Its customer.
    pub customer_id: Uuid,
    /// What it is about.
    pub subject_id: Uuid,
    /// The version it follows.
    pub definition: Arc<Definition>,
    /// The index of the step that runs.
    pub step: usize,
    /// How often the run had turned back before.
    pub iteration: i32,
    /// Which attempt this is, from 1.
    pub attempt: i16,
    /// The instant of the claim, by the engine's clock.
    pub now: DateTime<Utc>,
    /// The run's zone.
    pub zone: Zone,
    /// What earlier steps gave, by step id.
    pub outputs: Arc<Map<String, Value>>,
    /// What came to be known of them since, such as that a mail was opened; an object of objects by step id.
    pub observed: Option<Arc<Value>>,
    /// Why the step is run again after it had stopped to wait.
    pub wake: Option<Wake>,
    /// How the subject is loaded when a step asks for it.
    pub load_subject: LoadSubject,
    /// Signals ever delivered to the run when the attempt began.
    pub seen: i32,
    /// Who admits intents; `None` admits every one, for steps under test.
    pub intents: Option<mpsc::Sender<IntentRequest>>,
}

/// A step's wish to act outside, on its way to the committer.
pub struct IntentRequest {
    /// The run.
    pub run_id: Uuid,
    /// The first of its line.
    pub root_run_id: Uuid,
    /// The attempt that holds the lease.
    pub attempt: i16,
    /// The step and the iteration of that attempt.
    pub step: String,
    /// As above.
    pub iteration: i32,
    /// Signals delivered to the run when the attempt began.
    pub seen: i32,
    /// What the reconciler needs to recognise the act.
    pub data: Value,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Result<(), StepError>>,
}

/// A run as its step sees it.
pub struct Context {
    parts: Parts,
    subject: OnceCell<Arc<Value>>,
    /// What earlier steps gave, with what came to be known since; put together for who asks.
    seen: OnceLock<Arc<Map<String, Value>>>,
    intended: AtomicBool,
}

impl Context {
    /// A context of these parts.
    pub fn new(parts: Parts) -> Self {
        Self::of(parts, OnceCell::new())
    }

    /// A context whose subject is known already.
    pub fn with_subject(parts: Parts, subject: Arc<Value>) -> Self {
        Self::of(parts, OnceCell::new_with(Some(subject)))
    }

    fn of(parts: Parts, subject: OnceCell<Arc<Value>>) -> Self {
        Self { parts, subject, seen: OnceLock::new(), intended: AtomicBool::new(false) }
    }

    /// The run's id.
    pub fn run_id(&self) -> Uuid {
        self.parts.run_id
    }

    /// The first of the run's line, such as the enrollment that started it: the run itself where no run did.
    pub fn root_run_id(&self) -> Uuid {
        self.parts.root_run_id
    }

    /// An id for a run that this step starts.
    pub fn new_run_id(&self) -> Uuid {
        clock::new_id()
    }

    /// The customer whose run it is.
    pub fn customer_id(&self) -> Uuid {
        self.parts.customer_id
    }

    /// What the run is about.
    pub fn subject_id(&self) -> Uuid {
        self.parts.subject_id
    }

    /// The version of the definition that the run follows.
    pub fn definition(&self) -> &Definition {
        &self.parts.definition
    }

    /// The id of the step that runs.
    pub fn step(&self) -> &str {
        &self.parts.definition.steps[self.parts.step].id
    }

    /// How long this attempt may take.
    pub fn timeout(&self) -> Duration {
        self.parts.definition.steps[self.parts.step].timeout
    }

    /// How often the run had turned back before, from 0: no step runs twice under one iteration.
    pub fn iteration(&self) -> i32 {
        self.parts.iteration
    }

    /// Which attempt this is, from 1.
    pub fn attempt(&self) -> i16 {
        self.parts.attempt
    }

    /// The instant of the claim, by the engine's clock.
    pub fn now(&self) -> DateTime<Utc> {
        self.parts.now
    }

    /// The run's time zone.
    pub fn zone(&self) -> &Zone {
        &self.parts.zone
    }

    /// Why the step runs again; `None` when it was just entered.
    pub fn wake(&self) -> Option<&Wake> {
        self.parts.wake.as_ref()
    }

    /// What an earlier step gave, with what came to be known of it since.
    pub fn output(&self, step: &str) -> Option<&Value> {
        self.outputs().get(step)
    }

    fn outputs(&self) -> &Map<String, Value> {
        match &self.parts.observed {
            None => &self.parts.outputs,
            Some(observed) => {
                self.seen.get_or_init(|| seen_together(&self.parts.outputs, observed))
            }
        }
    }

    /// The same for every attempt of this step in this iteration, and for no other: `run_…/intro/0`.
    pub fn key(&self) -> String {
        format!("{}/{}/{}", id::show("run", self.parts.run_id), self.step(), self.parts.iteration)
    }

    /// The subject as a JSON object, loaded once per attempt.
    ///
    /// # Errors
    /// `Fail` when the subject is gone, else what loading it returned.
    pub async fn subject(&self) -> Result<&Value, StepError> {
        let load = || async {
            (self.parts.load_subject)(self.parts.customer_id, self.parts.subject_id)
                .await?
                .map(Arc::new)
                .ok_or_else(|| StepError::Fail {
                    reason: format!("the {} is gone", self.parts.definition.subject),
                })
        };
        Ok(self.subject.get_or_try_init(load).await?.as_ref())
    }

    /// What expressions and templates read: the subject under its kind's name, and `steps`.
    ///
    /// # Errors
    /// As [`Context::subject`].
    pub async fn variables(&self) -> Result<Value, StepError> {
        let subject = self.subject().await?;
        let steps = self.outputs();
        Ok(json!({ &self.parts.definition.subject: subject, "steps": steps }))
    }

    /// A number that is the same for every attempt of this step and this purpose, and for simulations.
    pub fn draw(&self, purpose: &str) -> u64 {
        let Parts { definition, subject_id, iteration, .. } = &self.parts;
        draw_for(&definition.name, *subject_id, self.step(), *iteration, purpose)
    }

    /// Asks for leave to act outside, and has the wish written before the act, in a transaction that looks
    /// at what came in meanwhile. `data` is what [`crate::step::Step::reconcile`] gets after a crash.
    ///
    /// # Errors
    /// `Superseded` when the run moved on or the domain refused; nothing may be done then.
    pub async fn intent(&self, data: Value) -> Result<(), StepError> {
        let Some(intents) = &self.parts.intents else { return Ok(()) };
        let (answer, answered) = oneshot::channel();
        let request = IntentRequest {
            run_id: self.parts.run_id,
            root_run_id: self.parts.root_run_id,
            step: self.step().into(),
            iteration: self.parts.iteration,
            attempt: self.parts.attempt,
            seen: self.parts.seen,
            data,
            answer,
        };
        let stopping = || StepError::Retry { reason: "the worker is stopping".into(), after: None };
        intents.send(request).await.map_err(|_| stopping())?;
        // From here on the intent may stand, whether or not its answer arrives.
        self.intended.store(true, Ordering::Release);
        let admitted = answered.await.map_err(|_| stopping())?;
        self.intended.store(admitted.is_ok(), Ordering::Release);
        admitted
    }

    /// Whether an intent of this attempt may stand.
    pub(crate) fn intended(&self) -> bool {
        self.intended.load(Ordering::Acquire)
    }
}

/// What steps gave, with what came to be known of them since.
fn seen_together(outputs: &Arc<Map<String, Value>>, observed: &Value) -> Arc<Map<String, Value>> {
    let mut together = Arc::clone(outputs);
    for (step, fields) in observed.as_object().into_iter().flatten() {
        let together = Arc::make_mut(&mut together);
        let output = together.entry(step.clone()).or_insert_with(|| Value::Object(Map::new()));
        if let (Value::Object(output), Value::Object(fields)) = (output, fields) {
            output.extend(fields.clone());
        }
    }
    together
}

/// A number that is the same for every attempt of a step and a purpose, whoever draws it: a worker, a rehearsal.
pub fn draw_for(
    definition: &str,
    subject_id: Uuid,
    step: &str,
    iteration: i32,
    purpose: &str,
) -> u64 {
    draw(&[
        definition.as_bytes(),
        subject_id.as_bytes(),
        step.as_bytes(),
        &iteration.to_be_bytes(),
        purpose.as_bytes(),
    ])
}

/// A number drawn from its parts alone, evenly over all of `u64`: all randomness of runs comes from here.
pub fn draw(parts: &[&[u8]]) -> u64 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    u64::from_be_bytes(digest[..8].try_into().expect("a SHA-256 has 32 bytes"))
}
