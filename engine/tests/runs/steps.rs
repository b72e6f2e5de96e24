//! Small step types whose outside is a value of the test.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine::context::Context;
use engine::fact::Fact;
use engine::step::{
    Effect, FieldType, Outcome, Reconciled, Reference, Registry, Step, StepError, StepType,
    Subject, Verdict, Wake,
};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Notify;

/// What a step does besides its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It panics.
    Panic,
    /// It never returns.
    Hang,
    /// It asks for another attempt.
    Retry,
    /// It fails for good.
    Fail,
    /// It acts outside and then never returns, as a worker that is killed between the two.
    HangAfterActing,
    /// The outside can't tell afterwards.
    CannotTell,
}

/// The outside of the tests' steps.
#[derive(Clone, Default)]
pub(crate) struct Outside {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    faults: Mutex<HashMap<String, Fault>>,
    acts: Mutex<Vec<String>>,
    acted: Notify,
}

impl Outside {
    /// Lets a step fail from now on.
    pub(crate) fn fault(&self, step: &str, fault: Fault) {
        lock(&self.inner.faults).insert(step.into(), fault);
    }

    /// Takes the cause away.
    pub(crate) fn heal(&self, step: &str) {
        lock(&self.inner.faults).remove(step);
    }

    /// What was done outside, by key.
    pub(crate) fn acts(&self) -> Vec<String> {
        lock(&self.inner.acts).clone()
    }

    /// Waits until something was done outside.
    pub(crate) async fn acted(&self) {
        let waiting = self.inner.acted.notified();
        tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("something is done");
    }

    fn of(&self, step: &str) -> Option<Fault> {
        lock(&self.inner.faults).get(step).copied()
    }

    fn act(&self, key: String) {
        lock(&self.inner.acts).push(key);
        self.inner.acted.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The registry of the tests.
pub(crate) fn registry(outside: &Outside) -> Registry {
    let subject = Subject {
        name: "thing",
        fields: &[("color", FieldType::Text)],
        load: Arc::new(|_, _| async { Ok(Some(json!({ "color": "red" }))) }.boxed()),
    };
    Registry::new()
        .step(of("work", Effect::Pure, outside, |keys: WorkKeys, outside| Work { keys, outside }))
        .step(of("rest", Effect::Pure, outside, |keys: RestKeys, _| Rest { keys }))
        .step(of("listen", Effect::Pure, outside, |keys: ListenKeys, _| Listen { keys }))
        .step(of("send", Effect::AtMostOnce, outside, |_: SendKeys, outside| Send { outside }))
        .subject(subject)
        .signal("answer")
        .signal("stop")
        .signal("noise")
}

fn of<K, S>(
    name: &'static str,
    effect: Effect,
    outside: &Outside,
    make: fn(K, Outside) -> S,
) -> StepType
where
    K: for<'de> Deserialize<'de> + JsonSchema + 'static,
    S: Step + 'static,
{
    let outside = outside.clone();
    StepType {
        name,
        effect,
        timeout: Duration::from_millis(300),
        windowed: false,
        schema: || schemars::schema_for!(K),
        parse: Arc::new(move |keys| {
            let keys = serde_json::from_value(keys).map_err(|error| error.to_string())?;
            Ok(Arc::new(make(keys, outside.clone())))
        }),
    }
}

/// Works, and may leave a fact.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WorkKeys {
    /// The fact's text.
    note: Option<String>,
}

struct Work {
    keys: WorkKeys,
    outside: Outside,
}

impl Step for Work {
    fn run<'a>(&'a self, cx: &'a Context) -> BoxFuture<'a, Result<Outcome, StepError>> {
        async move {
            let reason = "as the test wants".to_owned();
            match self.outside.of(cx.step()) {
                Some(Fault::Panic) => panic!("as the test wants"),
                Some(Fault::Hang) => std::future::pending().await,
                Some(Fault::Retry) => return Err(StepError::Retry { reason, after: None }),
                Some(Fault::Fail) => return Err(StepError::Fail { reason }),
                Some(Fault::HangAfterActing | Fault::CannotTell) | None => {}
            }
            let note = |text: &String| Fact { kind: "noted", data: json!({ "text": text }) };
            let facts = self.keys.note.iter().map(note).collect();
            Ok(Outcome { output: Some(json!({ "worked": true })), facts, ..Outcome::default() })
        }
        .boxed()
    }
}

/// Rests.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RestKeys {
    /// For how many seconds.
    seconds: u32,
}

struct Rest {
    keys: RestKeys,
}

impl Step for Rest {
    fn run<'a>(&'a self, cx: &'a Context) -> BoxFuture<'a, Result<Outcome, StepError>> {
        let until = cx.now() + Duration::from_secs(self.keys.seconds.into());
        let verdict = if cx.wake().is_some() { Verdict::Done } else { Verdict::Sleep { until } };
        async move { Ok(Outcome { verdict, ..Outcome::default() }) }.boxed()
    }

    fn waits(&self) -> bool {
        true
    }
}

/// Listens for a signal.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListenKeys {
    /// Which.
    signal: String,
    /// For how many seconds at most.
    seconds: Option<u32>,
}

struct Listen {
    keys: ListenKeys,
}

impl Step for Listen {
    fn run<'a>(&'a self, cx: &'a Context) -> BoxFuture<'a, Result<Outcome, StepError>> {
        let until = self.keys.seconds.map(|seconds| cx.now() + Duration::from_secs(seconds.into()));
        let signal = self.keys.signal.clone();
        let outcome = match cx.wake() {
            None => Outcome {
                verdict: Verdict::Wait { signal, key: None, until },
                ..Outcome::default()
            },
            Some(Wake::Timer) => {
                Outcome { output: Some(json!({ "came": false })), ..Outcome::default() }
            }
            Some(Wake::Signal { data, .. }) => {
                Outcome { output: Some(data.clone()), ..Outcome::default() }
            }
        };
        async move { Ok(outcome) }.boxed()
    }

    fn references(&self) -> Vec<Reference> {
        vec![Reference::Signal { key: "signal", name: self.keys.signal.clone() }]
    }

    fn waits(&self) -> bool {
        true
    }
}

/// Acts outside, at most once.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SendKeys {}

struct Send {
    outside: Outside,
}

impl Step for Send {
    fn run<'a>(&'a self, cx: &'a Context) -> BoxFuture<'a, Result<Outcome, StepError>> {
        async move {
            if self.outside.of(cx.step()) == Some(Fault::Hang) {
                std::future::pending::<()>().await;
            }
            cx.intent(json!({ "key": cx.key() })).await?;
            self.outside.act(cx.key());
            if self.outside.of(cx.step()) == Some(Fault::HangAfterActing) {
                std::future::pending::<()>().await;
            }
            Ok(Outcome::default())
        }
        .boxed()
    }

    fn reconcile<'a>(
        &'a self,
        cx: &'a Context,
        intent: &'a Value,
    ) -> BoxFuture<'a, Result<Reconciled, StepError>> {
        async move {
            if self.outside.of(cx.step()) == Some(Fault::CannotTell) {
                return Ok(Reconciled::Unknown("the outside can't tell".into()));
            }
            let acted = self.outside.acts().iter().any(|key| intent["key"] == key.as_str());
            Ok(if acted {
                Reconciled::Happened(Outcome::default())
            } else {
                Reconciled::DidNotHappen
            })
        }
        .boxed()
    }
}
