//! A definition that was read and found right.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::step::{Effect, Step};

/// A workflow as its document says, with every step ready to run.
#[derive(Clone)]
pub struct Definition {
    /// The stable key, such as `outbound-intro`.
    pub name: String,
    /// What people read.
    pub title: String,
    /// The kind of subject that its runs are about, such as `contact`.
    pub subject: String,
    /// Zones and the send window.
    pub timing: Timing,
    /// The signals that end a run wherever it stands.
    pub exit_on: Vec<String>,
    /// The steps in their order; never empty.
    pub steps: Vec<StepDefinition>,
    /// The document's own texts.
    pub templates: BTreeMap<String, Template>,
    /// Whether a subject may be enrolled again.
    pub enroll: Enroll,
    /// Its own tests; a version that is read back from the database has none.
    pub scenarios: Vec<super::Scenario>,
    /// How runs of older versions come into this one.
    pub migrate: Vec<Migrate>,
    /// The document in its canonical form.
    pub document: serde_json::Value,
    /// The SHA-256 of the canonical form.
    pub hash: [u8; 32],
}

/// One step.
#[derive(Clone)]
pub struct StepDefinition {
    /// The stable id by which a live run is found.
    pub id: String,
    /// The step type, such as `email.send`.
    pub kind: &'static str,
    /// What a repetition of an attempt would do.
    pub effect: Effect,
    /// The step, with its own keys read.
    pub step: Arc<dyn Step>,
    /// The condition without which the step is skipped.
    pub when: Option<super::Expression>,
    /// Whether it may act inside the send window only.
    pub windowed: bool,
    /// How often, and after how long, a failed attempt is made again.
    pub retry: Retry,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// What follows when the attempts are used up.
    pub on_failure: OnFailure,
    /// The kinds of limit under which it takes its turn; the run's lane is that of the first.
    pub limits: Vec<String>,
    /// The index of the step that undoes it.
    pub compensate: Option<usize>,
    /// The index of the step that follows `Done`; `None` ends the run.
    pub next: Option<usize>,
}

/// The `[timing]` of a definition.
#[derive(Debug, Clone, PartialEq)]
pub struct Timing {
    /// Where a run's zone is looked for, in order: `subject`, `sender`, `customer`, or an IANA name.
    pub zone: Vec<String>,
    /// When windowed steps may act; `None` is always.
    pub window: Option<crate::timing::Window>,
}

/// How failed attempts are repeated: the n-th waits `first · factorⁿ⁻¹`, at most `max`, spread by `jitter`.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// Attempts in all, the first included.
    pub attempts: u16,
    /// The delay after the first failure.
    pub first: Duration,
    /// By what the delay grows.
    pub factor: f64,
    /// The longest delay.
    pub max: Duration,
    /// The share of the delay by which it is moved at random, 0 to 1.
    pub jitter: f64,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 8,
            first: Duration::from_secs(30),
            factor: 2.0,
            max: Duration::from_secs(3600),
            jitter: 0.2,
        }
    }
}

/// What follows when a step has failed for good.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// The run is held until a person moves it.
    #[default]
    Hold,
    /// The run goes on as if the step were done.
    Continue,
    /// The run undoes what it did, last step first, and ends.
    Compensate,
    /// The run goes to the step of this index.
    Goto(usize),
}

/// A text of the definition's own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Template {
    /// The subject line.
    pub subject: Option<String>,
    /// The plain text.
    pub text: Option<String>,
    /// The HTML part.
    pub html: Option<String>,
}

/// Whether a subject that was enrolled before may be enrolled again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Enroll {
    /// Once in a lifetime.
    #[default]
    Never,
    /// As soon as the last run has ended.
    Always,
    /// So many days after the last run has ended.
    AfterDays(u32),
}

/// One `[[migrate]]`: how runs of some older versions come into this one though steps came, went or were
/// joined anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrate {
    /// The versions that are left.
    pub from: Origin,
    /// Where a run goes that stands at a step of this old id; at any other it stands at the step of the same id.
    pub map: BTreeMap<String, Destination>,
}

/// The versions that a `[[migrate]]` is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Every other one that no `[[migrate]]` names.
    Any,
    /// The one of this number.
    Version(i32),
    /// The one whose hash begins with these twelve digits.
    Hash(String),
}

/// Where a run goes that stands at a mapped step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// To the step of this id.
    Step(String),
    /// To its end.
    Exit,
    /// Nowhere: it keeps its version.
    Stay,
}
