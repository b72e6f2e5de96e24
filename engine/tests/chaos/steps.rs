//! The step types of the suite's workflows. A step that can be seen from outside says what it does there.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use engine::context::{Context, draw};
use engine::fact::Fact;
use engine::step::{
    Effect, FieldType, NewChild, Outcome, Reconciled, Reference, Registry, Step, StepError,
    StepType, Subject, Verdict, Wake,
};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::outside::{Call, Message, Outside, uptime};
use crate::tell::FACT;

/// How many lines take turns.
pub(crate) const LINES: u64 = 20;

/// The name under which a limit counts a run, or the first of its line.
pub(crate) fn line(run_id: Uuid) -> String {
    format!("line {}", draw(&[run_id.as_bytes()]) % LINES)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Keys {
    /// How long at the most a wait takes.
    seconds: Option<i64>,
    /// The step to which a round turns back, as long as it has not so many times.
    to: Option<String>,
    #[serde(default)]
    times: i32,
    /// The workflow that is started.
    workflow: Option<String>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Writes a fact, and fails at times.
    Act,
    /// Sends a message, at most once.
    Send,
    /// Takes its turn under the limit of its line.
    Turn,
    /// Lets time pass.
    Nap,
    /// Waits for a signal.
    Listen,
    /// Turns back.
    Again,
    /// Starts a run and waits for its end.
    Spawn,
}

struct Acting {
    keys: Keys,
    kind: Kind,
    outside: Outside,
}

fn retry(reason: &str) -> StepError {
    StepError::Retry { reason: reason.into(), after: None }
}

impl Acting {
    /// One in so many attempts, the same whenever this one is made.
    fn happens(cx: &Context, what: &str, one_in: u64) -> bool {
        let attempt = cx.attempt().to_be_bytes();
        draw(&[cx.key().as_bytes(), what.as_bytes(), &attempt]).is_multiple_of(one_in)
    }

    async fn act(cx: &Context) -> Result<Outcome, StepError> {
        if Self::happens(cx, "slow", 10) {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        assert!(!Self::happens(cx, "panic", 100), "a step that panics on purpose");
        if Self::happens(cx, "fail", 10) {
            return Err(retry("not now"));
        }
        Ok(Outcome { facts: vec![Fact { kind: FACT, data: json!({}) }], ..Outcome::default() })
    }

    async fn send(&self, cx: &Context) -> Result<Outcome, StepError> {
        if Self::happens(cx, "busy", 20) {
            return Err(retry("the provider is busy"));
        }
        let key = format!("{}/{}/{}", cx.run_id(), cx.step(), cx.iteration());
        cx.intent(json!({ "key": key })).await?;
        let message = Message { key, process: std::process::id(), asked_at: uptime() };
        let lost = |reason: String| StepError::Unknown { reason };
        let sent = self.outside.call(&Call::Send(message)).await;
        sent.map_err(|error| lost(error.to_string()))?;
        if Self::happens(cx, "lose", 20) {
            return Err(lost("the answer was lost on purpose".into()));
        }
        Ok(Outcome::default())
    }

    async fn tell(&self, call: &Call) -> Result<Outcome, StepError> {
        self.outside.call(call).await.map_err(|error| retry(&error.to_string()))?;
        Ok(Outcome::default())
    }

    async fn nap(&self, cx: &Context) -> Result<Outcome, StepError> {
        if cx.wake().is_some() {
            let due = cx.output(cx.step()).and_then(|output| output["due_at"].as_str());
            let due_at = due
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| StepError::Fail { reason: "what was due is forgotten".into() })?;
            return self.tell(&Call::Woke { run_id: cx.run_id(), due_at }).await;
        }
        let until = cx.now() + self.length(cx);
        let output = Some(json!({ "due_at": until }));
        Ok(Outcome { verdict: Verdict::Sleep { until }, output, ..Outcome::default() })
    }

    /// From half of the named seconds up to all of them.
    fn length(&self, cx: &Context) -> TimeDelta {
        let most = self.keys.seconds.unwrap_or(1) * 1_000;
        let drawn = draw(&[cx.key().as_bytes(), b"length"]) % 500;
        TimeDelta::milliseconds(most / 2 + most * i64::try_from(drawn).unwrap_or(0) / 1_000)
    }

    fn listen(&self, cx: &Context) -> Outcome {
        let verdict = match cx.wake() {
            Some(Wake::Signal { .. } | Wake::Timer) => Verdict::Done,
            None => {
                let until = Some(cx.now() + self.length(cx));
                Verdict::Wait { signal: "ping".into(), key: None, until }
            }
        };
        Outcome { verdict, ..Outcome::default() }
    }

    fn again(&self, cx: &Context) -> Outcome {
        let verdict = match &self.keys.to {
            Some(step) if cx.iteration() < self.keys.times => Verdict::Goto { step: step.clone() },
            Some(_) | None => Verdict::Done,
        };
        Outcome { verdict, ..Outcome::default() }
    }

    fn spawn(&self, cx: &Context) -> Outcome {
        if cx.wake().is_some() {
            return Outcome::default();
        }
        let workflow = self.keys.workflow.clone().unwrap_or_default();
        let child = NewChild { run_id: cx.new_run_id(), workflow };
        Outcome { verdict: Verdict::Start { child, wait: true }, ..Outcome::default() }
    }
}

impl Step for Acting {
    fn run<'a>(&'a self, cx: &'a Context) -> BoxFuture<'a, Result<Outcome, StepError>> {
        async move {
            match self.kind {
                Kind::Act => Self::act(cx).await,
                Kind::Send => self.send(cx).await,
                Kind::Turn => {
                    self.tell(&Call::Turn { line: line(cx.root_run_id()), at: cx.now() }).await
                }
                Kind::Nap => self.nap(cx).await,
                Kind::Listen => Ok(self.listen(cx)),
                Kind::Again => Ok(self.again(cx)),
                Kind::Spawn => Ok(self.spawn(cx)),
            }
        }
        .boxed()
    }

    fn reconcile<'a>(
        &'a self,
        _: &'a Context,
        intent: &'a Value,
    ) -> BoxFuture<'a, Result<Reconciled, StepError>> {
        async move {
            let key = intent["key"].as_str().unwrap_or_default().to_owned();
            match self.outside.call(&Call::Find(key)).await {
                Ok(true) => Ok(Reconciled::Happened(Outcome::default())),
                Ok(false) => Ok(Reconciled::DidNotHappen),
                Err(error) => Ok(Reconciled::Unknown(error.to_string())),
            }
        }
        .boxed()
    }

    fn references(&self) -> Vec<Reference> {
        let target = self.keys.to.clone().map(|step| Reference::Target { key: "to", step });
        target.into_iter().collect()
    }

    fn waits(&self) -> bool {
        matches!(self.kind, Kind::Nap | Kind::Listen)
    }

    fn starts_runs(&self) -> bool {
        self.kind == Kind::Spawn
    }
}

fn step_type(name: &'static str, kind: Kind, outside: Outside) -> StepType {
    StepType {
        name,
        effect: if kind == Kind::Send { Effect::AtMostOnce } else { Effect::Pure },
        timeout: Duration::from_secs(20),
        windowed: false,
        limits: if kind == Kind::Turn { &["line"] } else { &[] },
        outputs: &[],
        example: "",
        schema: || schemars::schema_for!(Keys),
        parse: Arc::new(move |value| match serde_json::from_value::<Keys>(value) {
            Ok(keys) => Ok(Arc::new(Acting { keys, kind, outside })),
            Err(error) => Err(error.to_string()),
        }),
    }
}

/// What workers know, and whoever reads the workflows.
pub(crate) fn registry(outside: Outside) -> Registry {
    let kinds = [
        ("act", Kind::Act),
        ("send", Kind::Send),
        ("turn", Kind::Turn),
        ("nap", Kind::Nap),
        ("listen", Kind::Listen),
        ("again", Kind::Again),
        ("spawn", Kind::Spawn),
    ];
    let subject = Subject {
        name: "thing",
        fields: &[("name", FieldType::Text)],
        load: Arc::new(|_, _| Box::pin(async { Ok(Some(json!({ "name": "one" }))) })),
    };
    let registry = Registry::new().limit("line").subject(subject).signal("reply").signal("ping");
    kinds
        .into_iter()
        .fold(registry, |registry, (name, kind)| registry.step(step_type(name, kind, outside)))
}
