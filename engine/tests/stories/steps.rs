//! Step types for stories about the engine: they count their calls and do what the story asks.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use engine::context::Context;
use engine::fact::Fact;
use engine::step::{
    Effect, FieldType, NewChild, Outcome, Output, Reconciled, Reference, Registry, Step, StepError,
    StepType, Subject, Verdict, Wake,
};
use engine::timing::{DaysOff, Delay};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

/// What the steps of one test share with it.
pub(crate) struct Board {
    calls: Mutex<HashMap<String, u32>>,
    /// Steps that do `block` wait for a permit.
    pub(crate) gate: Semaphore,
    /// Told whenever a step begins to block.
    pub(crate) blocked: Semaphore,
    /// When steps acted, by the engine's clock.
    pub(crate) acted: Mutex<Vec<DateTime<Utc>>>,
    /// What runs are about: the fields of each thing.
    pub(crate) thing: Mutex<Value>,
    /// What reconcilers answer: 0 nobody knows, 1 it happened, 2 it did not.
    pub(crate) answer: AtomicU32,
}

impl Board {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            calls: Mutex::default(),
            gate: Semaphore::new(0),
            blocked: Semaphore::new(0),
            acted: Mutex::default(),
            thing: Mutex::new(json!({ "name": "one" })),
            answer: AtomicU32::new(0),
        })
    }

    fn count(&self, what: &str) -> u32 {
        let mut calls = self.calls.lock().unwrap();
        let count = calls.entry(what.to_owned()).or_default();
        *count += 1;
        *count
    }

    /// How often a step was run, or `sent:STEP` how often it acted outside.
    pub(crate) fn calls(&self, what: &str) -> u32 {
        self.calls.lock().unwrap().get(what).copied().unwrap_or(0)
    }
}

/// What an `act` or a `send` does.
#[derive(Clone, Copy, Deserialize, JsonSchema, Default, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Does {
    #[default]
    Done,
    FailTwice,
    FailAlways,
    Refuse,
    Panic,
    Hang,
    Block,
    BlockThenFail,
    Fact,
    PoisonFact,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Keys {
    #[serde(default)]
    does: Does,
    goto: Option<String>,
    signal: Option<String>,
    workflow: Option<String>,
    #[serde(default)]
    wait: bool,
    #[schemars(extend("x-change" = "copy"))]
    kilobytes: Option<usize>,
    #[schemars(extend("x-change" = "timing"))]
    minutes: Option<i64>,
    #[schemars(extend("x-change" = "timing"))]
    length: Option<String>,
    #[schemars(extend("x-change" = "timing"))]
    until: Option<String>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Act,
    Send,
    Sleep,
    Listen,
    Leave,
    Spawn,
    /// Lets time pass, as people mean it.
    Delay,
    /// Goes one way or the other, by a draw.
    Toss,
}

struct Acting {
    keys: Keys,
    /// What `length` or `until` says.
    delay: Option<Delay>,
    kind: Kind,
    board: Arc<Board>,
}

impl Acting {
    async fn act(&self, cx: &Context) -> Result<Outcome, StepError> {
        let count = self.board.count(cx.step());
        self.board.acted.lock().unwrap().push(cx.now());
        let retry = |reason: &str| StepError::Retry { reason: reason.into(), after: None };
        if self.kind == Kind::Send {
            if self.keys.does == Does::Block {
                self.block().await;
            }
            cx.intent(json!({ "key": cx.key() })).await?;
            self.board.count(&format!("sent:{}", cx.step()));
        }
        match self.keys.does {
            Does::Done => {}
            Does::FailTwice if count > 2 => {}
            Does::FailTwice | Does::FailAlways => return Err(retry("not now")),
            Does::Refuse => return Err(StepError::Fail { reason: "never".into() }),
            Does::Panic => panic!("it burns"),
            Does::Hang => std::future::pending().await,
            Does::Block if self.kind != Kind::Send => self.block().await,
            Does::Block => {}
            Does::BlockThenFail => {
                self.block().await;
                return Err(retry("too late"));
            }
            Does::Fact => return Ok(self.fact(json!({}))),
            Does::PoisonFact => return Ok(self.fact(json!({ "poison": true }))),
        }
        let verdict = match &self.keys.goto {
            Some(step) => Verdict::Goto { step: step.clone() },
            None => Verdict::Done,
        };
        let output = match self.keys.kilobytes {
            Some(kilobytes) => json!("x".repeat(kilobytes * 1024)),
            None => json!({ "calls": count }),
        };
        Ok(Outcome { verdict, output: Some(output), ..Outcome::default() })
    }

    fn spawn(&self, cx: &Context) -> Result<Outcome, StepError> {
        if let Some(Wake::Signal { data, .. }) = cx.wake() {
            return Ok(Outcome { output: Some(data.clone()), ..Outcome::default() });
        }
        let workflow = self.keys.workflow.clone().unwrap_or_default();
        let child = NewChild { run_id: cx.new_run_id(), workflow };
        let verdict = Verdict::Start { child, wait: self.keys.wait };
        Ok(Outcome { verdict, ..Outcome::default() })
    }

    async fn wait_out(&self, cx: &Context) -> Result<Outcome, StepError> {
        if cx.wake().is_some() {
            return Ok(Outcome::default());
        }
        if self.keys.does == Does::Block {
            self.block().await;
        }
        let delay = self.delay.as_ref().unwrap();
        let date = match delay {
            Delay::Date { .. } => {
                let day = cx.subject().await?["day"].as_str().and_then(|day| day.parse().ok());
                let missing = || StepError::Fail { reason: "`thing.day` is empty".into() };
                Some(day.ok_or_else(missing)?)
            }
            Delay::Elapsed(_) | Delay::Days(_) | Delay::BusinessDays(_) | Delay::Next { .. } => {
                None
            }
        };
        let window = cx.definition().timing.window.as_ref();
        let until = delay.due(cx.now(), cx.zone(), window, date);
        let local = delay.local(&DaysOff::NONE, cx.now(), cx.zone(), window, date);
        let verdict = match &self.keys.signal {
            _ if until <= cx.now() => Verdict::Done,
            None => Verdict::Sleep { until },
            Some(signal) => Verdict::Wait { signal: signal.clone(), key: None, until: Some(until) },
        };
        Ok(Outcome { verdict, local, ..Outcome::default() })
    }

    fn toss(&self, cx: &Context) -> Outcome {
        let step = self.keys.goto.clone().filter(|_| cx.draw("toss").is_multiple_of(2));
        let verdict = step.map_or(Verdict::Done, |step| Verdict::Goto { step });
        Outcome { verdict, ..Outcome::default() }
    }

    fn fact(&self, data: Value) -> Outcome {
        Outcome { facts: vec![Fact { kind: "test.fact", data }], ..Outcome::default() }
    }

    async fn block(&self) {
        self.board.blocked.add_permits(1);
        self.board.gate.acquire().await.unwrap().forget();
    }

    fn wait(&self, cx: &Context) -> Outcome {
        let count = self.board.count(cx.step());
        let until = self.keys.minutes.map(|minutes| cx.now() + TimeDelta::minutes(minutes));
        let verdict = match (cx.wake(), self.kind, until) {
            (Some(Wake::Signal { .. } | Wake::Timer), ..) => Verdict::Done,
            (None, Kind::Sleep, Some(until)) => Verdict::Sleep { until },
            (None, ..) => Verdict::Wait {
                signal: self.keys.signal.clone().unwrap_or_default(),
                key: None,
                until,
            },
        };
        let came = matches!(cx.wake(), Some(Wake::Signal { .. }));
        let output = Some(json!({ "came": came, "calls": count }));
        // A sleeper means a local time, a listener a length of time.
        let sleeps = matches!(verdict, Verdict::Sleep { .. });
        let local = until.filter(|_| sleeps).map(|until| cx.zone().wall(until));
        Outcome { verdict, output, local, ..Outcome::default() }
    }
}

impl Step for Acting {
    fn run<'a>(&'a self, cx: &'a Context) -> BoxFuture<'a, Result<Outcome, StepError>> {
        match self.kind {
            Kind::Act | Kind::Send => self.act(cx).boxed(),
            Kind::Sleep | Kind::Listen => std::future::ready(Ok(self.wait(cx))).boxed(),
            Kind::Delay => self.wait_out(cx).boxed(),
            Kind::Toss => std::future::ready(Ok(self.toss(cx))).boxed(),
            Kind::Spawn => std::future::ready(self.spawn(cx)).boxed(),
            Kind::Leave => {
                let verdict = Verdict::Exit { reason: "left".into() };
                std::future::ready(Ok(Outcome { verdict, ..Outcome::default() })).boxed()
            }
        }
    }

    fn reconcile<'a>(
        &'a self,
        cx: &'a Context,
        _: &'a Value,
    ) -> BoxFuture<'a, Result<Reconciled, StepError>> {
        self.board.count(&format!("asked:{}", cx.step()));
        let answer = match self.board.answer.load(Ordering::SeqCst) {
            0 => Reconciled::Unknown("no answer".into()),
            1 => Reconciled::Happened(Outcome::default()),
            _ => Reconciled::DidNotHappen,
        };
        std::future::ready(Ok(answer)).boxed()
    }

    fn references(&self) -> Vec<Reference> {
        let signal = self.keys.signal.clone().map(|name| Reference::Signal { key: "signal", name });
        let target = self.keys.goto.clone().map(|step| Reference::Target { key: "goto", step });
        signal.into_iter().chain(target).collect()
    }

    fn waits(&self) -> bool {
        matches!(self.kind, Kind::Sleep | Kind::Listen | Kind::Delay)
    }

    fn delay(&self) -> Option<&Delay> {
        self.delay.as_ref()
    }

    fn starts_runs(&self) -> bool {
        self.kind == Kind::Spawn
    }

    fn diverts(&self) -> bool {
        self.kind == Kind::Leave || (self.keys.goto.is_some() && self.kind != Kind::Toss)
    }
}

fn step_type(name: &'static str, kind: Kind, board: &Arc<Board>) -> StepType {
    let board = Arc::clone(board);
    StepType {
        name,
        effect: if kind == Kind::Send { Effect::AtMostOnce } else { Effect::Pure },
        timeout: Duration::from_secs(60),
        windowed: false,
        limits: &[],
        outputs: &[Output { name: "came", kind: FieldType::Bool, description: "Whether it came." }],
        example: "",
        schema: || schemars::schema_for!(Keys),
        parse: Arc::new(move |value| match serde_json::from_value::<Keys>(value) {
            Ok(keys) => {
                let delay = match (&keys.length, &keys.until) {
                    (Some(length), _) => Some(Delay::parse_for(length)?),
                    (None, Some(until)) => Some(Delay::parse_until(until)?),
                    (None, None) => None,
                };
                Ok(Arc::new(Acting { keys, delay, kind, board: Arc::clone(&board) }))
            }
            Err(error) => Err(error.to_string()),
        }),
    }
}

/// The registry of the stories.
pub(crate) fn registry(board: &Arc<Board>) -> Registry {
    Registry::new()
        .step(step_type("act", Kind::Act, board))
        .step(step_type("send", Kind::Send, board))
        .step(step_type("sleep", Kind::Sleep, board))
        .step(step_type("listen", Kind::Listen, board))
        .step(step_type("leave", Kind::Leave, board))
        .step(step_type("spawn", Kind::Spawn, board))
        .step(step_type("delay", Kind::Delay, board))
        .step(step_type("toss", Kind::Toss, board))
        .limit("line")
        .limit("pool")
        .subject(Subject {
            name: "thing",
            fields: &[("name", FieldType::Text), ("day", FieldType::Date)],
            load: {
                let board = Arc::clone(board);
                Arc::new(move |_, _| {
                    let thing = board.thing.lock().unwrap().clone();
                    Box::pin(async { Ok(Some(thing)) })
                })
            },
        })
        .signal("stop")
        .signal("ping")
        .signal("pong")
}
