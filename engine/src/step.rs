//! What a step type is to the engine: its name, its effect, how its keys are read, and what running it
//! returns. The types that ship live in the `steps` crate; `src` builds the registry and hands it to the
//! workers and to whoever validates definitions. Nothing here touches a table.

mod text;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};
use futures_util::future::BoxFuture;
use serde_json::Value;
use uuid::Uuid;

use crate::context::Context;
use crate::definition::Template;
use crate::fact::Fact;
use crate::foresight::{Lack, Sight};
use crate::limit;
use crate::timing::Delay;

pub use text::{
    ReadText, TextKind, TextName, TextPart, TextProblem, TextReading, TextRole, TextUse,
};

/// What repeating a step that may already have acted would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing outside of the run changes: it is simply run again.
    Pure,
    /// The outside takes the same request twice as one: it is simply run again.
    Idempotent,
    /// A second request would act a second time: it writes an intent first, and after a crash its
    /// reconciler is asked before anything else.
    AtMostOnce,
}

/// A step type as the registry knows it.
#[derive(Clone)]
pub struct StepType {
    /// The `type` of a step in a definition, such as `email.send`.
    pub name: &'static str,
    /// What a repetition would do.
    pub effect: Effect,
    /// How long one attempt may take where the step names no `timeout`.
    pub timeout: Duration,
    /// Whether it acts inside the send window only, where the step does not say `windowed`.
    pub windowed: bool,
    /// The kinds of limit under which it takes its turn, where the step does not say `limits`.
    pub limits: &'static [&'static str],
    /// What conditions and texts of later steps may read of it.
    pub outputs: &'static [Output],
    /// A step of this type as TOML, with the steps it names, for the reference.
    pub example: &'static str,
    /// The JSON Schema of the step's own keys, from the struct's doc comments. A key whose change a live run may
    /// take on says so at its field: `#[schemars(extend("x-change" = "copy"))]` for words, `"timing"` for times.
    pub schema: fn() -> schemars::Schema,
    /// Reads the step's own keys (those that no other step type shares) into something that can run.
    pub parse: ParseStep,
}

/// Something that a step gives, read as `steps.<id>.<name>`; missing until the step has given it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Output {
    /// Its name.
    pub name: &'static str,
    /// Its type in conditions.
    pub kind: FieldType,
    /// What it says, in a sentence.
    pub description: &'static str,
}

/// Reads a step's own keys. The message of an error is a fragment that says what to write instead.
pub type ParseStep = Arc<dyn Fn(Value) -> Result<Arc<dyn Step>, String> + Send + Sync>;

/// One step of a definition, read and ready to run.
pub trait Step: Send + Sync {
    /// Runs one attempt. Called again with [`Context::wake`] set once what it waited for has come.
    fn run<'a>(&'a self, cx: &'a Context) -> BoxFuture<'a, Result<Outcome, StepError>>;

    /// What the step would do, told without touching anything outside: for tests of definitions and for whoever
    /// looks ahead. A step of [`Effect::Pure`] need not tell, as it can be run: it reads its context alone.
    fn rehearse(&self, _cx: &Context) -> Option<Result<Outcome, StepError>> {
        None
    }

    /// Asks the outside whether an intent that a crash or a lost answer left open was carried out.
    /// Only steps of [`Effect::AtMostOnce`] are asked.
    fn reconcile<'a>(
        &'a self,
        _cx: &'a Context,
        _intent: &'a Value,
    ) -> BoxFuture<'a, Result<Reconciled, StepError>> {
        Box::pin(async { Ok(Reconciled::Unknown("this step type has no reconciler".into())) })
    }

    /// What this step names elsewhere in the definition, so that loading can check it.
    fn references(&self) -> Vec<Reference> {
        Vec::new()
    }

    /// The texts among its own keys, so that a document's names can be checked.
    fn texts(&self) -> Vec<StepText<'_>> {
        Vec::new()
    }

    /// The variables that its texts read beside the subject and `steps`.
    fn variables(&self) -> &'static [&'static str] {
        &[]
    }

    /// What is wrong with the step in a document with these templates. The message is like that of [`ParseStep`].
    /// Only documents that a person gives are checked: a version that was stored before keeps its meaning.
    ///
    /// # Errors
    /// The first mistake.
    fn check(&self, _templates: &BTreeMap<String, Template>) -> Result<(), String> {
        Ok(())
    }

    /// The fields of the subject that this step changes, such as `title` or `custom.stage`.
    fn changes(&self) -> Vec<String> {
        Vec::new()
    }

    /// Where the run goes from here, if the subject alone decides it.
    fn way(&self, _sight: &Sight<'_>) -> Option<Verdict> {
        None
    }

    /// What the subject lacks for the texts that the step would fill in.
    fn lacks(&self, _sight: &Sight<'_>) -> Vec<Lack> {
        Vec::new()
    }

    /// Whether the step always lets time pass, so that a loop through it is no busy loop.
    fn waits(&self) -> bool {
        false
    }

    /// The delay for which it stops, or after which it no longer waits for its signal, if it has one. By it a person's
    /// pause is made up for; without one, what was left of the wait continues after the pause.
    fn delay(&self) -> Option<&Delay> {
        None
    }

    /// Whether the run never goes on to the step's `next` from here (`exit`, or a branch with both targets).
    fn diverts(&self) -> bool {
        false
    }

    /// Whether it starts runs, so that a run's end has to be told to those.
    fn starts_runs(&self) -> bool {
        false
    }
}

/// Something that a step's own key names; `key` is the TOML key it stands under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// Another step, to which the run may go.
    Target { key: &'static str, step: String },
    /// An earlier step of the same type (such as the thread of a mail).
    Step { key: &'static str, step: String },
    /// A CEL expression that must give a bool.
    Condition { key: &'static str, source: String },
    /// A template of the definition or of the customer.
    Template { key: &'static str, name: String },
    /// A signal by name.
    Signal { key: &'static str, name: String },
    /// A field of the subject that holds a date, as `contact.renewal_on`.
    DateField { key: &'static str, path: String },
}

/// What a step did, and where the run goes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// Where the run goes.
    pub verdict: Verdict,
    /// What later steps read as `steps.<id>.…`; `None` leaves what stood there.
    pub output: Option<Value>,
    /// What the domain is to write in the same transaction.
    pub facts: Vec<Fact>,
    /// The local time that the verdict's instant was resolved from, where people meant one: should the
    /// zone's rules change while the run waits, it is resolved anew. `None` for a length of time. Of a step that is
    /// done as it had nothing to wait for, the local time that has passed.
    pub local: Option<NaiveDateTime>,
}

/// Where a run goes after a step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Verdict {
    /// To the step's `next`, else the one below it, else to the end.
    #[default]
    Done,
    /// To a named step.
    Goto { step: String },
    /// Nowhere until an instant; then the step is run again with [`Wake::Timer`].
    Sleep { until: DateTime<Utc> },
    /// Nowhere until a signal comes, or the instant; then the step is run again with its [`Wake`].
    Wait { signal: String, key: Option<String>, until: Option<DateTime<Utc>> },
    /// To the end, with a reason that people read.
    Exit { reason: String },
    /// On, with a run started about the same subject; with `wait` only once that has ended, and then the step
    /// is run again with a [`Wake`] of the signal [`CHILD_ENDED`].
    Start { child: NewChild, wait: bool },
}

/// A run to start from a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewChild {
    /// Its id, from [`Context::new_run_id`].
    pub run_id: Uuid,
    /// The workflow; its newest version is taken.
    pub workflow: String,
}

/// By this signal a run hears that one which it started and waits for has ended.
/// Data: `{"key": "run_…", "state": "completed|exited|cancelled", "reason": …}`.
pub const CHILD_ENDED: &str = "workflow.ended";

/// Why a step that had stopped to wait is run again.
#[derive(Debug, Clone, PartialEq)]
pub enum Wake {
    /// The instant has come.
    Timer,
    /// The signal has come, with its data.
    Signal { name: String, data: Value },
}

/// Why an attempt gave no outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// It is worth trying again, not before `after` where the other side said so.
    #[error("{reason}")]
    Retry { reason: String, after: Option<Duration> },
    /// Trying again would fail alike; `on_failure` decides what follows.
    #[error("{reason}")]
    Fail { reason: String },
    /// Nobody knows whether it happened: the reconciler is asked, and what stays unknown is held.
    #[error("{reason}")]
    Unknown { reason: String },
    /// The run moved on while the step wanted to act (an answer came, a person paused it): nothing was
    /// done, and the run is looked at anew.
    #[error("the run changed before the step acted")]
    Superseded,
}

/// What the outside says of an open intent.
#[derive(Debug, Clone, PartialEq)]
pub enum Reconciled {
    /// It happened; the outcome is recorded as if the answer had arrived.
    Happened(Outcome),
    /// It did not happen; the step runs again.
    DidNotHappen,
    /// The outside can't tell; the run is held with this reason.
    Unknown(String),
}

/// A field of a subject or a step's output, as expressions see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldType {
    Text,
    Number,
    Bool,
    Date,
    List,
    /// Decided at run time, such as a customer's own fields.
    Any,
}

/// What definitions may be about, and what may come to them.
#[derive(Clone, Default)]
pub struct Registry {
    steps: BTreeMap<&'static str, StepType>,
    subjects: BTreeMap<&'static str, Subject>,
    signals: BTreeMap<&'static str, ()>,
    limits: BTreeMap<&'static str, ()>,
    template_check: Option<CheckTemplate>,
    read_text: Option<ReadText>,
}

/// Checks the syntax of a template's text.
pub type CheckTemplate = fn(&str) -> Result<(), TemplateProblem>;

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateProblem {
    /// The line of the text, from 1.
    pub line: usize,
    /// What is wrong there, as a fragment.
    pub message: String,
}

/// A text among a step's own keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepText<'a> {
    /// The key that holds it, or the list or table that it is in.
    pub key: &'static str,
    /// The text.
    pub source: &'a str,
}

/// A kind of subject: the fields that expressions and templates may read.
#[derive(Clone)]
pub struct Subject {
    /// Name as in `subject = "contact"`.
    pub name: &'static str,
    /// Its fields, by the name they have in expressions.
    pub fields: &'static [(&'static str, FieldType)],
    /// Loads one subject as a JSON object with those fields.
    pub load: LoadSubject,
}

/// Loads a subject by customer and id; `None` where it is gone.
pub type LoadSubject =
    Arc<dyn Fn(Uuid, Uuid) -> BoxFuture<'static, Result<Option<Value>, StepError>> + Send + Sync>;

impl Registry {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a step type.
    #[must_use]
    pub fn step(mut self, step: StepType) -> Self {
        self.steps.insert(step.name, step);
        self
    }

    /// Adds a kind of subject.
    #[must_use]
    pub fn subject(mut self, subject: Subject) -> Self {
        self.subjects.insert(subject.name, subject);
        self
    }

    /// Adds the name of a signal that definitions may wait for or exit on.
    #[must_use]
    pub fn signal(mut self, name: &'static str) -> Self {
        self.signals.insert(name, ());
        self
    }

    /// Adds a kind of limit that runs may name a key for, such as `mailbox`.
    #[must_use]
    pub fn limit(mut self, kind: &'static str) -> Self {
        self.limits.insert(kind, ());
        self
    }

    /// Sets how the texts of `[templates]` are checked; without it their syntax is not looked at.
    #[must_use]
    pub fn check_template(mut self, check: CheckTemplate) -> Self {
        self.template_check = Some(check);
        self
    }

    /// Sets how texts are read for the names in them; without it those are not checked.
    #[must_use]
    pub fn read_text(mut self, read: ReadText) -> Self {
        self.read_text = Some(read);
        self
    }

    /// How texts are read for the names in them.
    pub fn text_reader(&self) -> Option<ReadText> {
        self.read_text
    }

    /// How the texts of `[templates]` are checked.
    pub fn template_check(&self) -> Option<CheckTemplate> {
        self.template_check
    }

    /// A step type by name.
    pub fn step_type(&self, name: &str) -> Option<&StepType> {
        self.steps.get(name)
    }

    /// The names of all step types, sorted.
    pub fn step_names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.steps.keys().copied()
    }

    /// A kind of subject by name.
    pub fn subject_kind(&self, name: &str) -> Option<&Subject> {
        self.subjects.get(name)
    }

    /// The names of all kinds of subject, sorted.
    pub fn subject_names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.subjects.keys().copied()
    }

    /// The kinds of limit that steps may name, sorted; the engine's own two among them.
    pub fn limit_kinds(&self) -> impl Iterator<Item = &'static str> + '_ {
        let own = [limit::CUSTOMER, limit::STEP].into_iter();
        let mut kinds: Vec<&'static str> = self.limits.keys().copied().chain(own).collect();
        kinds.sort_unstable();
        kinds.into_iter()
    }

    /// The names of all signals, sorted.
    pub fn signal_names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.signals.keys().copied()
    }
}
