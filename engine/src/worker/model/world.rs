//! What both sides of the model know: the workflows that runs follow, and the outside that their steps act on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use crate::context::Context;
use crate::fact::Fact;
use crate::step::{
    Effect, FieldType, Outcome, Reconciled, Reference, Registry, Step, StepError, StepType,
    Subject, Verdict, Wake,
};
use crate::timing::Delay;

/// What a step of the model does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It is done at once.
    Act,
    /// It fails twice, then it is done.
    Flaky,
    /// It fails for good.
    Refuse,
    /// It acts outside at most once; the outside knows what it did.
    Send,
    /// The same, but the outside never tells.
    Blind,
    /// It sleeps.
    Nap,
    /// It sleeps until the next Tuesday, 12:00.
    Until,
    /// It waits for a ping, but not for ever.
    Ear,
    /// It waits for a ping.
    Endless,
    /// It takes its turn under a limit.
    Turn,
}

const KINDS: [Kind; 10] = [
    Kind::Act,
    Kind::Flaky,
    Kind::Refuse,
    Kind::Send,
    Kind::Blind,
    Kind::Nap,
    Kind::Until,
    Kind::Ear,
    Kind::Endless,
    Kind::Turn,
];

/// The workflows, each by its steps. A ping is heard by those with an ear, a stop ends all.
pub(super) const WORKFLOWS: [&[Kind]; 7] = [
    &[Kind::Send, Kind::Nap, Kind::Ear, Kind::Act],
    &[Kind::Turn, Kind::Flaky, Kind::Endless, Kind::Act],
    &[Kind::Nap, Kind::Turn, Kind::Send],
    &[Kind::Blind, Kind::Refuse],
    &[Kind::Act, Kind::Act, Kind::Send, Kind::Act],
    &[Kind::Ear, Kind::Turn, Kind::Turn],
    &[Kind::Until, Kind::Flaky, Kind::Until],
];

pub(super) const NAP_MINUTES: i64 = 60;
pub(super) const EAR_MINUTES: i64 = 90;
/// How many attempts a step has, and after how many minutes the second follows the first.
pub(super) const ATTEMPTS: i16 = 3;
pub(super) const FIRST_RETRY_MINUTES: i64 = 10;

impl Kind {
    pub(super) fn at_most_once(self) -> bool {
        matches!(self, Self::Send | Self::Blind)
    }

    fn word(self) -> &'static str {
        match self {
            Self::Act => "act",
            Self::Flaky => "flaky",
            Self::Refuse => "refuse",
            Self::Send => "send",
            Self::Blind => "blind",
            Self::Nap => "nap",
            Self::Until => "until",
            Self::Ear => "ear",
            Self::Endless => "endless",
            Self::Turn => "turn",
        }
    }
}

/// Whether a workflow has a step that waits for a ping.
pub(super) fn hears_ping(workflow: usize) -> bool {
    WORKFLOWS[workflow].iter().any(|kind| matches!(kind, Kind::Ear | Kind::Endless))
}

/// A workflow as a document.
pub(super) fn source(workflow: usize) -> String {
    let mut text = format!(
        "name = \"model-{workflow}\"\nsubject = \"thing\"\n[exit]\non = [\"stop\"]\n\
         [retry]\nattempts = {ATTEMPTS}\nfirst = \"{FIRST_RETRY_MINUTES}m\"\nfactor = 2.0\nmax = \"1h\"\njitter = 0.0\n"
    );
    for (index, kind) in WORKFLOWS[workflow].iter().enumerate() {
        text += &format!("[[steps]]\nid = \"s{index}\"\ntype = \"{}\"\n", kind.word());
        text += if *kind == Kind::Turn { "limits = [\"line\"]\n" } else { "" };
    }
    text
}

/// The outside, with all that steps did to it.
#[derive(Default)]
pub(super) struct Outside {
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    calls: BTreeMap<String, u32>,
    acts: BTreeMap<String, u32>,
    naps: BTreeMap<String, DateTime<Utc>>,
    broken: Vec<String>,
}

impl Outside {
    fn look<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.seen.lock().expect("no step panics while it looks"))
    }

    /// How often each send key was acted under.
    pub(super) fn acts(&self) -> BTreeMap<String, u32> {
        self.look(|seen| seen.acts.clone())
    }

    /// What steps saw that may not be.
    pub(super) fn broken(&self) -> Vec<String> {
        self.look(|seen| seen.broken.clone())
    }

    /// Forgets all, for the next case.
    pub(super) fn forget(&self) {
        self.look(|seen| *seen = Seen::default());
    }
}

/// The delay of [`Kind::Until`].
fn noon() -> Delay {
    Delay::parse_until("next tuesday 12:00").expect("an instant")
}

struct Modelled {
    kind: Kind,
    delay: Option<Delay>,
    outside: Arc<Outside>,
}

impl Modelled {
    async fn act(&self, cx: &Context) -> Result<Outcome, StepError> {
        let key = cx.key();
        let calls = self.outside.look(|seen| {
            let calls = seen.calls.entry(key.clone()).or_default();
            *calls += 1;
            *calls
        });
        match self.kind {
            Kind::Act | Kind::Turn => Ok(done()),
            Kind::Flaky if calls > 2 => Ok(done()),
            Kind::Flaky => Err(StepError::Retry { reason: "not now".into(), after: None }),
            Kind::Refuse => Err(StepError::Fail { reason: "never".into() }),
            Kind::Send | Kind::Blind => {
                cx.intent(json!({ "key": key })).await?;
                self.outside.look(|seen| *seen.acts.entry(key).or_default() += 1);
                Ok(done())
            }
            Kind::Nap | Kind::Until | Kind::Ear | Kind::Endless => Ok(self.wait(cx, &key)),
        }
    }

    fn wait(&self, cx: &Context, key: &str) -> Outcome {
        if let Some(wake) = cx.wake() {
            self.outside.look(|seen| {
                let early = *wake == Wake::Timer && seen.naps.get(key) > Some(&cx.now());
                seen.broken.extend(early.then(|| format!("{key} woke before its instant")));
            });
            return done();
        }
        let minutes = if self.kind == Kind::Nap { NAP_MINUTES } else { EAR_MINUTES };
        let until = match &self.delay {
            Some(delay) => delay.due(cx.now(), cx.zone(), None, None),
            None => cx.now() + TimeDelta::minutes(minutes),
        };
        let verdict = if matches!(self.kind, Kind::Nap | Kind::Until) {
            Verdict::Sleep { until }
        } else {
            let until = (self.kind == Kind::Ear).then_some(until);
            Verdict::Wait { signal: "ping".into(), key: None, until }
        };
        self.outside.look(|seen| seen.naps.insert(key.to_owned(), until));
        Outcome { verdict, ..Outcome::default() }
    }
}

/// What a step gives that is done: each is to be written once, with its row of history.
fn done() -> Outcome {
    let fact = Fact { kind: "model.done", data: Value::Null };
    Outcome { facts: vec![fact], ..Outcome::default() }
}

impl Step for Modelled {
    fn run<'a>(&'a self, cx: &'a Context) -> BoxFuture<'a, Result<Outcome, StepError>> {
        self.act(cx).boxed()
    }

    fn reconcile<'a>(
        &'a self,
        cx: &'a Context,
        _: &'a Value,
    ) -> BoxFuture<'a, Result<Reconciled, StepError>> {
        let happened = self.outside.acts().contains_key(&cx.key());
        let answer = match (self.kind, happened) {
            (Kind::Send, true) => Reconciled::Happened(done()),
            (Kind::Send, false) => Reconciled::DidNotHappen,
            (_blind, _) => Reconciled::Unknown("the outside does not tell".into()),
        };
        std::future::ready(Ok(answer)).boxed()
    }

    fn references(&self) -> Vec<Reference> {
        let hears = matches!(self.kind, Kind::Ear | Kind::Endless);
        let ping = Reference::Signal { key: "signal", name: "ping".into() };
        hears.then_some(ping).into_iter().collect()
    }

    fn waits(&self) -> bool {
        matches!(self.kind, Kind::Nap | Kind::Until | Kind::Ear | Kind::Endless)
    }

    fn delay(&self) -> Option<&Delay> {
        self.delay.as_ref()
    }
}

/// The step types of the model.
pub(super) fn registry(outside: &Arc<Outside>) -> Registry {
    let thing = Subject {
        name: "thing",
        fields: &[("name", FieldType::Text)],
        load: Arc::new(|_, _| Box::pin(async { Ok(Some(json!({ "name": "one" }))) })),
    };
    let registry = Registry::new().limit("line").subject(thing).signal("stop").signal("ping");
    KINDS.into_iter().fold(registry, |registry, kind| {
        let outside = Arc::clone(outside);
        registry.step(StepType {
            name: kind.word(),
            effect: if kind.at_most_once() { Effect::AtMostOnce } else { Effect::Pure },
            timeout: Duration::from_secs(600),
            windowed: false,
            limits: &[],
            outputs: &[],
            example: "",
            schema: || schemars::schema_for!(()),
            parse: Arc::new(move |_| {
                let delay = (kind == Kind::Until).then(noon);
                Ok(Arc::new(Modelled { kind, delay, outside: Arc::clone(&outside) }))
            }),
        })
    })
}
