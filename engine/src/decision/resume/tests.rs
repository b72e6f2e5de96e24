use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use proptest::prelude::*;
use serde_json::Value;
use uuid::Uuid;

use super::super::{Memory, Position};
use super::*;
use crate::context::Context;
use crate::definition::{self, Definition, Format};
use crate::step::{Effect, FieldType, Outcome, Registry, Step, StepError, StepType, Subject};
use crate::timing::Zone;

struct Waits(Option<Delay>);

impl Step for Waits {
    fn run<'a>(&'a self, _: &'a Context) -> BoxFuture<'a, Result<Outcome, StepError>> {
        Box::pin(async { Ok(Outcome::default()) })
    }

    fn waits(&self) -> bool {
        true
    }

    fn delay(&self) -> Option<&Delay> {
        self.0.as_ref()
    }
}

/// A workflow of one step, in a window of weekdays, that waits by this delay.
fn workflow(delay: Option<&str>) -> Definition {
    let own = delay.map(str::to_owned);
    let kind = StepType {
        name: "wait",
        effect: Effect::Pure,
        timeout: Duration::from_secs(1),
        windowed: true,
        limits: &[],
        outputs: &[],
        example: "",
        schema: || schemars::schema_for!(()),
        parse: Arc::new(move |_| {
            let read = |text: &String| Delay::parse_for(text).or_else(|_| Delay::parse_until(text));
            Ok(Arc::new(Waits(own.as_ref().map(read).transpose()?)))
        }),
    };
    let load =
        Arc::new(|_: Uuid, _: Uuid| -> BoxFuture<'static, Result<Option<Value>, StepError>> {
            Box::pin(async { Ok(None) })
        });
    let registry = Registry::new().step(kind).subject(Subject {
        name: "thing",
        fields: &[("day", FieldType::Date)],
        load,
    });
    let source = "name = \"w\"\nsubject = \"thing\"\n[timing.window]\ndays = [\"mon\", \"tue\"]\nfrom = \"09:00\"\n\
                  to = \"17:00\"\n[[steps]]\nid = \"wait\"\ntype = \"wait\"\n";
    definition::read("w.toml", source, Format::Toml, &registry)
        .unwrap_or_else(|refusals| panic!("{refusals}"))
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("an instant")
}

/// Monday, 8 March 2027, at 09:00 in Vienna; there the wait began that is over at `until`.
fn began() -> DateTime<Utc> {
    at("2027-03-08T08:00:00Z")
}

fn timer(until: &str) -> Option<Waiting> {
    Some(Waiting::Timer { until: at(until) })
}

/// A rest of three hours at a pause on Monday at 12:00.
fn rest(now: DateTime<Utc>) -> Rest {
    let paused_at = at("2027-03-08T11:00:00Z");
    Rest {
        left: Some(TimeDelta::hours(3)),
        paused_at: Some(paused_at),
        since: Some(began()),
        pauses: vec![Pause { from: paused_at, until: now }],
        deferred: false,
        heard: false,
    }
}

fn decide(
    delay: Option<&str>,
    waiting: Option<Waiting>,
    attempt: i16,
    rest: &Rest,
    now: DateTime<Utc>,
) -> Resumed {
    let definition = workflow(delay);
    let zone = Zone::parse("Europe/Vienna").expect("a zone");
    let situation = Situation {
        definition: &definition,
        position: Position { step: 0, iteration: 0, attempt },
        memory: &Memory { waiting, ..Memory::default() },
        now,
        zone: &zone,
        subject_id: Uuid::nil(),
    };
    resume(situation, rest)
}

fn waits(until: &str, rule: Rule) -> Resumed {
    let until = at(until);
    let local = match rule {
        Rule::Wait | Rule::Window => {
            Some(Zone::parse("Europe/Vienna").expect("a zone").wall(until))
        }
        Rule::Rest => None,
    };
    Resumed::Waits { until, local, rule }
}

#[test]
fn a_resume_goes_by_what_the_run_waits_for() {
    let tuesday = at("2027-03-09T11:00:00Z");
    let until = timer("2027-03-12T08:00:00Z");
    let rest = rest(tuesday);
    let now = |delay, waiting| decide(delay, waiting, 1, &rest, tuesday);
    // Dates, days, lengths of time, and waits of which no more is known.
    let friday = now(Some("next friday 09:00"), until.clone());
    assert_eq!(friday, waits("2027-03-12T08:00:00Z", Rule::Wait));
    let passed = now(Some("next tuesday 09:00"), timer("2027-03-09T08:00:00Z"));
    assert_eq!(passed, Resumed::Passed { until: at("2027-03-09T08:00:00Z") });
    let field = now(Some("thing.day - 3 days 09:00"), until.clone());
    assert_eq!(field, Resumed::Anew { path: "thing.day".into() });
    let days = now(Some("4 days"), until.clone());
    assert_eq!(days, waits("2027-03-13T08:00:00Z", Rule::Wait));
    // Monday and Tuesday are the days of the window.
    let business = now(Some("1 business day"), timer("2027-03-09T08:00:00Z"));
    assert_eq!(business, waits("2027-03-15T08:00:00Z", Rule::Wait));
    let length = now(Some("6 hours"), timer("2027-03-08T14:00:00Z"));
    let Resumed::Waits { until: end, local: None, rule: Rule::Wait } = length else {
        panic!("{length:?}")
    };
    assert_eq!(end, at("2027-03-09T14:00:00Z"));
    assert_eq!(now(None, until.clone()), waits("2027-03-09T14:00:00Z", Rule::Rest));
    // A signal without end is listened for; one that has come is taken up.
    let signal = |until| Some(Waiting::Signal { signal: "ping".into(), key: None, until });
    assert_eq!(now(Some("4 days"), signal(None)), Resumed::Now);
    let heard = Rest { heard: true, ..rest.clone() };
    assert_eq!(decide(Some("4 days"), signal(Some(tuesday)), 1, &heard, tuesday), Resumed::Now);
    // What a failed attempt put off is a length of time, whatever its step waits for.
    let again = decide(Some("next friday 09:00"), until, 2, &rest, tuesday);
    assert_eq!(again, waits("2027-03-09T14:00:00Z", Rule::Rest));
}

#[test]
fn a_run_that_does_not_wait_starts_when_it_was_to_and_acts_in_its_window() {
    let tuesday = at("2027-03-09T11:00:00Z");
    let start = Rest { left: Some(TimeDelta::days(3)), since: None, ..rest(tuesday) };
    let Resumed::Waits { until, .. } = decide(None, None, 1, &start, tuesday) else {
        panic!("it waits")
    };
    assert_eq!(until, at("2027-03-11T11:00:00Z"), "a start is not moved");
    let late = decide(None, None, 1, &rest(tuesday), tuesday);
    assert_eq!(late, Resumed::Passed { until: at("2027-03-08T14:00:00Z") });
    let ready = Rest { left: Some(TimeDelta::zero()), ..rest(tuesday) };
    assert_eq!(decide(None, None, 1, &ready, tuesday), Resumed::Now);
    let deferred = Rest { deferred: true, ..rest(tuesday) };
    for attempt in [1, 2] {
        assert_eq!(decide(None, None, attempt, &deferred, tuesday), Resumed::Now);
        let night = at("2027-03-09T20:00:00Z");
        let opens = decide(None, None, attempt, &deferred, night);
        assert_eq!(opens, waits("2027-03-15T08:00:00Z", Rule::Window));
    }
}

proptest! {
    #[test]
    fn a_wait_until_an_instant_ends_then_or_at_the_resume_if_that_is_later(
        since in 1_700_000_000_i64..1_900_000_000, before in 0_i64..700_000, length in 0_i64..3_000_000,
        left in 0_i64..3_000_000, hour in 0_u8..24
    ) {
        let instant = |seconds| DateTime::from_timestamp(seconds, 0).expect("in range");
        let (since, paused_at) = (instant(since), instant(since + before));
        let now = paused_at + TimeDelta::seconds(length);
        let text = format!("next thursday {hour:02}:30");
        let delay = Delay::parse_until(&text).expect("a delay");
        let own = delay.due(since, &Zone::parse("Europe/Vienna").expect("a zone"), None, None);
        let rest = Rest {
            left: Some(TimeDelta::seconds(left)),
            paused_at: Some(paused_at),
            since: Some(since),
            pauses: vec![Pause { from: paused_at, until: now }],
            deferred: false,
            heard: false,
        };
        let waiting = Some(Waiting::Timer { until: own });
        let ends = match decide(Some(&text), waiting, 1, &rest, now) {
            Resumed::Waits { until, rule: Rule::Wait, .. } => until,
            Resumed::Passed { until } => until.max(now),
            other @ (Resumed::Now | Resumed::Waits { .. } | Resumed::Anew { .. }) => {
                panic!("{other:?}")
            }
        };
        prop_assert_eq!(ends, own.max(now));
    }
}
