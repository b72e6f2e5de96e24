//! Every input, and where the run goes from it.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use serde_json::json;

use super::*;
use crate::context::Context;
use crate::definition::{self, Format};
use crate::step::{Effect, Registry, Step, StepType, Subject};

struct Nothing;

impl Step for Nothing {
    fn run<'a>(&'a self, _: &'a Context) -> BoxFuture<'a, Result<Outcome, StepError>> {
        Box::pin(async { Ok(Outcome::default()) })
    }

    fn waits(&self) -> bool {
        true
    }
}

/// Three steps; the second has two attempts, a window, and this `on_failure`.
fn workflow(on_failure: &str) -> Definition {
    let registry = Registry::new()
        .step(StepType {
            name: "act",
            effect: Effect::Pure,
            timeout: Duration::from_secs(1),
            windowed: false,
            limits: &[],
            outputs: &[],
            example: "",
            schema: || schemars::schema_for!(()),
            parse: Arc::new(|_| Ok(Arc::new(Nothing))),
        })
        .subject(Subject {
            name: "thing",
            fields: &[],
            load: Arc::new(|_, _| Box::pin(async { Ok(None) })),
        });
    let source = format!(
        "name = \"w\"\nsubject = \"thing\"\n[timing.window]\ndays = [\"mon\"]\nfrom = \"09:00\"\nto = \"17:00\"
[[steps]]\nid = \"a\"\ntype = \"act\"\n[[steps]]\nid = \"b\"\ntype = \"act\"\nwindowed = true\n{on_failure}
[steps.retry]\nattempts = 2\nfirst = \"1m\"\njitter = 0.0\n[[steps]]\nid = \"c\"\ntype = \"act\"\n"
    );
    definition::read("w.toml", &source, Format::Toml, &registry)
        .unwrap_or_else(|refusals| panic!("{refusals}"))
}

/// A Monday inside the window.
fn monday() -> DateTime<Utc> {
    "2026-11-23T10:00:00Z".parse().expect("an instant")
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

fn decide(
    definition: &Definition,
    at: (usize, i32, i16),
    memory: &Memory,
    input: Input,
) -> Transition {
    let (step, iteration, attempt) = at;
    let position = Position { step, iteration, attempt };
    let zone = Zone::parse("UTC").expect("a zone");
    let (now, subject_id) = (monday(), Uuid::nil());
    advance(Situation { definition, position, memory, now, zone: &zone, subject_id }, input)
}

fn from_b(attempt: i16, input: Input) -> Transition {
    decide(&workflow(""), (1, 0, attempt), &Memory::default(), input)
}

fn verdict(verdict: Verdict) -> Input {
    Input::Outcome(Outcome { verdict, output: Some(json!(1)), ..Outcome::default() })
}

fn retry(after: Option<Duration>) -> Input {
    Input::Failed(StepError::Retry { reason: "busy".into(), after })
}

fn enter(step: usize, iteration: i32) -> Next {
    Next::Enter { step, iteration, at: None }
}

#[test]
fn outcomes_lead_on_back_or_to_the_end() {
    let done = from_b(1, verdict(Verdict::Done));
    assert_eq!((done.kind, &done.next), (Some("step.done"), &enter(2, 0)));
    assert_eq!(done.memory.expect("an output is kept").outputs["b"], json!(1));
    assert_eq!(from_b(1, verdict(Verdict::Goto { step: "a".into() })).next, enter(0, 1));
    let nowhere = from_b(1, verdict(Verdict::Goto { step: "x".into() })).next;
    assert!(matches!(nowhere, Next::Hold { .. }));
    let exit = from_b(1, verdict(Verdict::Exit { reason: "over".into() })).next;
    assert_eq!(exit, Next::Exit { reason: "over".into(), by_signal: false });
    let last = decide(&workflow(""), (2, 0, 1), &Memory::default(), verdict(Verdict::Done));
    assert_eq!(last.next, Next::Complete);
    let until = monday() + minutes(5);
    let sleep = from_b(1, verdict(Verdict::Sleep { until }));
    assert_eq!(sleep.next, Next::Again { at: Some(until), attempt: 0 });
    assert_eq!(sleep.memory.expect("a wait is kept").waiting, Some(Waiting::Timer { until }));
    let wait = Verdict::Wait { signal: "s".into(), key: None, until: None };
    assert_eq!(from_b(1, verdict(wait)).next, Next::Listen { signal: "s".into(), until: None });
}

#[test]
fn a_loop_without_end_is_held_and_the_last_allowed_turn_is_not() {
    let back = || verdict(Verdict::Goto { step: "a".into() });
    let memory = Memory::default();
    let allowed = decide(&workflow(""), (1, MAX_ITERATIONS - 1, 1), &memory, back());
    assert_eq!(allowed.next, enter(0, MAX_ITERATIONS));
    let endless = decide(&workflow(""), (1, MAX_ITERATIONS, 1), &memory, back());
    assert!(matches!(endless.next, Next::Hold { .. }));
}

#[test]
fn retries_back_off_and_believe_no_endless_pause() {
    let again = |at| Next::Again { at: Some(monday() + at), attempt: 1 };
    assert_eq!(from_b(1, retry(None)).next, again(minutes(1)));
    assert_eq!(from_b(1, retry(Some(minutes(9)))).next, again(minutes(9)));
    assert_eq!(from_b(1, retry(Some(Duration::MAX))).next, again(LONGEST_AFTER));
    assert!(matches!(from_b(2, retry(None)).next, Next::Hold { .. }));
    let bounds = Retry { jitter: 0.5, ..Retry::default() };
    assert_eq!(backoff(&bounds, 1, 0), Duration::from_secs(15));
    assert_eq!(backoff(&bounds, 1, u64::MAX), Duration::from_secs(45));
    assert_eq!(backoff(&bounds, i16::MAX, u64::MAX), bounds.max.mul_f64(1.5));
}

#[test]
fn a_failure_for_good_does_what_the_step_says() {
    let fail = || Input::Failed(StepError::Fail { reason: "no".into() });
    let after = |on_failure: &str| {
        decide(&workflow(on_failure), (1, 0, 1), &Memory::default(), fail()).next
    };
    assert_eq!(after(""), Next::Hold { reason: "no".into() });
    assert_eq!(after("on_failure = \"continue\""), enter(2, 0));
    assert_eq!(after("on_failure = \"a\""), enter(0, 1));
}

#[test]
fn what_nobody_knows_keeps_its_intent_and_what_was_superseded_costs_no_attempt() {
    let unknown = || Input::Failed(StepError::Unknown { reason: "lost".into() });
    let first = from_b(1, unknown());
    assert!(matches!(first.next, Next::Again { attempt: 1, .. }));
    assert_eq!(first.intent, Intent::Kept);
    let last = from_b(2, unknown());
    assert!(matches!(last.next, Next::Hold { .. }));
    assert_eq!(last.intent, Intent::Kept);
    let superseded = from_b(2, Input::Failed(StepError::Superseded));
    assert_eq!(superseded.next, Next::Again { at: None, attempt: 1 });
}

#[test]
fn windows_defer_skips_go_on_and_signals_end() {
    let until = monday() + minutes(60);
    let closed = from_b(2, Input::Closed { until });
    assert_eq!(closed.next, Next::Again { at: Some(until), attempt: 1 });
    assert_eq!(from_b(1, Input::Skipped).next, enter(2, 0));
    let exit = from_b(1, Input::ExitSignal { name: "s".into(), unknown: false });
    assert_eq!(exit.next, Next::Exit { reason: "s".into(), by_signal: true });
    let broken = from_b(1, Input::Broken { reason: "r".into() });
    assert_eq!(broken.next, Next::Hold { reason: "r".into() });
}

#[test]
fn an_early_look_goes_back_and_never_shortens_a_pause() {
    let (until, later) = (monday() + minutes(5), monday() + minutes(9));
    let look = |attempt, waiting, not_before| {
        let memory = Memory { waiting, ..Memory::default() };
        decide(&workflow(""), (1, 0, attempt), &memory, Input::StillWaiting { not_before }).next
    };
    let timer = || Some(Waiting::Timer { until });
    assert_eq!(look(1, timer(), None), Next::Again { at: Some(until), attempt: 0 });
    assert_eq!(look(1, timer(), Some(later)), Next::Again { at: Some(later), attempt: 0 });
    let signal = Some(Waiting::Signal { signal: "s".into(), key: None, until: Some(until) });
    let listens = Next::Listen { signal: "s".into(), until: Some(later) };
    assert_eq!(look(1, signal, Some(later)), listens);
    assert_eq!(look(2, None, Some(later)), Next::Again { at: Some(later), attempt: 1 });
}
