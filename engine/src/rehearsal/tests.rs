//! Runs on a clock that jumps: in their order, under their limits, by what happens to them.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Map, json};

use super::*;
use crate::context::Context;
use crate::definition::{self, Format};
use crate::limit::{Daily, Gap, Rate};
use crate::step::{
    Effect, FieldType, Outcome, Output, Registry, Step, StepError, StepType, Subject, Verdict,
};

/// Waits for an hour, for the signal `go` for at most a day, or acts at once.
enum Kind {
    Act,
    Hour,
    Go,
}

struct Plain(Kind);

impl Step for Plain {
    fn run<'a>(&'a self, cx: &'a Context) -> BoxFuture<'a, Result<Outcome, StepError>> {
        let verdict = match (&self.0, cx.wake()) {
            (Kind::Act, _) | (_, Some(_)) => Verdict::Done,
            (Kind::Hour, None) => Verdict::Sleep { until: cx.now() + chrono::TimeDelta::hours(1) },
            (Kind::Go, None) => Verdict::Wait {
                signal: "go".into(),
                key: None,
                until: Some(cx.now() + chrono::TimeDelta::days(1)),
            },
        };
        let output = Some(json!({ "n": 1 }));
        async move { Ok(Outcome { verdict, output, ..Outcome::default() }) }.boxed()
    }

    fn waits(&self) -> bool {
        true
    }
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct NoKeys {}

fn registry() -> Registry {
    let of = |name, kind: fn() -> Kind, effect| StepType {
        name,
        effect,
        timeout: Duration::from_secs(1),
        windowed: false,
        limits: &[],
        outputs: &[Output {
            name: "seen",
            kind: FieldType::Bool,
            description: "Whether it was seen.",
        }],
        example: "",
        schema: || schemars::schema_for!(NoKeys),
        parse: Arc::new(move |_| Ok(Arc::new(Plain(kind())))),
    };
    Registry::new()
        .step(of("act", || Kind::Act, Effect::Pure))
        .step(of("outside", || Kind::Act, Effect::AtMostOnce))
        .step(of("hour", || Kind::Hour, Effect::Pure))
        .step(of("go", || Kind::Go, Effect::Pure))
        .subject(Subject {
            name: "thing",
            fields: &[("size", FieldType::Number)],
            load: Arc::new(|_, _| Box::pin(async { Ok(None) })),
        })
        .signal("go")
        .signal("stop")
        .limit("line")
        .limit("other")
}

fn workflow(steps: &str) -> Arc<Definition> {
    let source = format!(
        "name = \"w\"\nsubject = \"thing\"\n[exit]\non = [\"stop\"]\n[timing.window]\ndays = [\"mon\"]\nfrom = \"09:00\"\nto = \"17:00\"\n{steps}"
    );
    let read = definition::read("w.toml", &source, Format::Toml, &registry());
    Arc::new(read.unwrap_or_else(|refusals| panic!("{refusals}")))
}

fn at(text: &str) -> DateTime<Utc> {
    format!("2026-03-{text}:00Z").parse().expect("an instant")
}

fn people(count: u128) -> Vec<Person> {
    let person = |n| Person {
        run_id: Uuid::from_u128(n),
        subject_id: Uuid::from_u128(n),
        subject: Arc::new(json!({ "size": u64::try_from(n).unwrap_or_default() })),
        zone: Zone::utc(),
        // A Monday.
        starts_at: at("02T08:00"),
        limit_keys: Arc::new(json!({ "line": "one" })),
    };
    (0..count).map(person).collect()
}

/// What each person's run did and when, as `person step kind at`, from the second on.
fn trace(rehearsal: &mut Rehearsal<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    let definition = Arc::clone(&rehearsal.stage.definition);
    rehearsal.go_on(at("30T00:00"), |act| {
        let step = &definition.steps[act.step].id;
        lines.push(format!("{} {step} {} {}", act.person, act.kind, act.at.format("%dT%H:%M:%S")));
    });
    lines
}

fn plainly(steps: &str, count: u128, rules: &[Rule]) -> Vec<String> {
    let people = people(count);
    let rules = rules.iter().map(|rule| (("line".into(), "one".into()), rule.clone())).collect();
    let nothing = Assumptions::default();
    trace(&mut Rehearsal::new(workflow(steps), &people, rules, &nothing))
}

const SLEEPER: &str = "[[steps]]\nid = \"a\"\ntype = \"hour\"\n[[steps]]\nid = \"b\"\ntype = \"act\"\nwindowed = true\n";
const LIMITED: &str = "[[steps]]\nid = \"a\"\ntype = \"act\"\nlimits = [\"line\"]\n";

#[test]
fn a_run_sleeps_waits_for_its_window_and_completes() {
    assert_eq!(
        plainly(SLEEPER, 1, &[]),
        [
            "0 a step.waiting 02T08:00:00",
            "0 a step.done 02T09:00:00",
            "0 b step.done 02T09:00:00",
            "0 b run.completed 02T09:00:00"
        ],
    );
}

#[test]
fn a_signal_ends_a_run_in_its_sleep_and_a_later_one_changes_nothing() {
    let people = people(2);
    let nothing = Assumptions::default();
    let mut rehearsal = Rehearsal::new(workflow(SLEEPER), &people, HashMap::new(), &nothing);
    let stop = || Event::Signal { name: "stop".into(), data: json!({}) };
    rehearsal.happens(0, at("02T08:30"), stop());
    rehearsal.happens(0, at("02T08:40"), stop());
    let lines = trace(&mut rehearsal);
    let of_first: Vec<&String> = lines.iter().filter(|line| line.starts_with('0')).collect();
    assert_eq!(of_first, ["0 a step.waiting 02T08:00:00", "0 a run.exited 02T08:30:00"]);
    assert_eq!(rehearsal.standing(0).reason.as_deref(), Some("stop"));
    assert_eq!(rehearsal.standing(1).state, "completed");
}

#[test]
fn a_signal_that_comes_before_it_is_waited_for_is_taken() {
    let people = people(1);
    let nothing = Assumptions::default();
    let steps = "[[steps]]\nid = \"a\"\ntype = \"hour\"\n[[steps]]\nid = \"b\"\ntype = \"go\"\n";
    let mut rehearsal = Rehearsal::new(workflow(steps), &people, HashMap::new(), &nothing);
    rehearsal.happens(0, at("02T08:10"), Event::Signal { name: "go".into(), data: json!({}) });
    let lines = trace(&mut rehearsal);
    assert_eq!(lines.last().map(String::as_str), Some("0 b run.completed 02T09:00:00"));
}

#[test]
fn a_wait_for_a_signal_ends_with_its_time() {
    let lines = plainly("[[steps]]\nid = \"a\"\ntype = \"go\"\n", 1, &[]);
    assert_eq!(lines.last().map(String::as_str), Some("0 a run.completed 03T08:00:00"));
}

#[test]
fn what_is_observed_is_read_by_conditions() {
    let steps = "[[steps]]\nid = \"a\"\ntype = \"hour\"\n[[steps]]\nid = \"b\"\ntype = \"act\"\nwhen = \"steps.a.seen\"\n";
    let people = people(2);
    let nothing = Assumptions::default();
    let mut rehearsal = Rehearsal::new(workflow(steps), &people, HashMap::new(), &nothing);
    let fields = Map::from_iter([("seen".to_owned(), json!(true))]);
    rehearsal.happens(1, at("02T08:10"), Event::Observed { step: "a".into(), fields });
    let lines = trace(&mut rehearsal);
    assert!(lines.contains(&"0 b step.skipped 02T09:00:00".to_owned()), "{lines:?}");
    assert!(lines.contains(&"1 b step.done 02T09:00:00".to_owned()), "{lines:?}");
}

#[test]
fn a_step_that_acts_outside_and_does_not_say_how_is_not_run() {
    let lines = plainly("[[steps]]\nid = \"a\"\ntype = \"outside\"\n", 1, &[]);
    assert_eq!(lines, ["0 a step.failed 02T08:00:00", "0 a run.held 02T08:00:00"]);
}

/// The instants at which people were done.
fn turns(lines: &[String]) -> Vec<&str> {
    lines
        .iter()
        .filter(|line| line.contains("step.done"))
        .filter_map(|line| line.split(' ').next_back())
        .collect()
}

#[test]
fn a_gap_lets_one_after_the_other_through() {
    let gap = Gap { least: Duration::from_secs(60), jitter: 0.0 };
    let lines = plainly(LIMITED, 3, &[Rule { gap: Some(gap), ..Rule::default() }]);
    assert_eq!(turns(&lines), ["02T08:00:00", "02T08:01:00", "02T08:02:00"]);
}

#[test]
fn a_rate_lets_so_many_through_in_any_window() {
    let rate = Rate { cap: 2, per: Duration::from_secs(3_600) };
    let lines = plainly(LIMITED, 5, &[Rule { rate: Some(rate), ..Rule::default() }]);
    assert_eq!(
        turns(&lines),
        ["02T08:00:00", "02T08:00:00", "02T09:00:00", "02T09:00:00", "02T10:00:00"]
    );
}

#[test]
fn a_daily_cap_grows_by_its_ramp_and_begins_anew_at_local_midnight() {
    let zone = Zone::parse("Europe/Vienna").expect("a zone");
    let daily = Daily { cap: 3, ramp: Some(1), zone };
    let lines = plainly(LIMITED, 7, &[Rule { daily: Some(daily), ..Rule::default() }]);
    assert_eq!(
        turns(&lines),
        [
            "02T08:00:00",
            "02T23:00:00",
            "02T23:00:00",
            "03T23:00:00",
            "03T23:00:00",
            "03T23:00:00",
            "04T23:00:00"
        ],
    );
}

#[test]
fn who_waits_in_line_past_the_window_goes_when_it_opens_again() {
    let steps = "[[steps]]\nid = \"a\"\ntype = \"act\"\nwindowed = true\nlimits = [\"line\"]\n";
    let gap = Gap { least: Duration::from_secs(5 * 3_600), jitter: 0.0 };
    let lines = plainly(steps, 3, &[Rule { gap: Some(gap), ..Rule::default() }]);
    assert_eq!(turns(&lines), ["02T09:00:00", "02T14:00:00", "09T09:00:00"]);
}

#[test]
fn what_is_assumed_falls_on_its_share_and_on_the_same_people_each_time() {
    let people = people(1_000);
    let assumed = Assumption {
        after: "hour",
        name: "stopped",
        share: 0.3,
        within: Duration::from_secs(86_400),
        signal: Some("stop"),
        observes: None,
    };
    let outlook = Assumptions { all: vec![assumed], seed: 7 };
    let steps = "[[steps]]\nid = \"a\"\ntype = \"hour\"\n[[steps]]\nid = \"b\"\ntype = \"go\"\n";
    let run = || {
        let wanted = Wanted {
            definition: workflow(steps),
            people: &people,
            rules: HashMap::new(),
            outlook: &outlook,
            until: at("30T00:00"),
            zone: Zone::utc(),
            counted: &["hour"],
            by: "line",
            traced: 0,
            threads: 1,
        };
        forecast(&wanted, |_| {})
    };
    let (first, second) = (run(), run());
    assert_eq!(first, second);
    let ends: Vec<(&str, usize)> =
        first.ends.iter().map(|end| (end.state.as_str(), end.runs)).collect();
    assert!(matches!(ends[..], [("completed", _), ("exited", 250..350)]), "{ends:?}");
    assert_eq!(first.days.len(), 1);
    assert_eq!(first.days[0].by["one"], 1_000);
}

#[test]
fn who_shares_no_limit_is_rehearsed_apart_and_the_forecast_is_that_of_all_together() {
    let steps = "[[steps]]\nid = \"a\"\ntype = \"act\"\nlimits = [\"line\", \"other\"]\n\
                 [[steps]]\nid = \"b\"\ntype = \"hour\"\n";
    // Lines 0 to 3 have rules, of which 2 and 3 share another; line 4 has none.
    let mut people = people(5_000);
    for (n, person) in people.iter_mut().enumerate() {
        let other = if matches!(n % 5, 2 | 3) { "shared" } else { "free" };
        person.limit_keys = Arc::new(json!({ "line": (n % 5).to_string(), "other": other }));
    }
    let gap = |seconds| Gap { least: Duration::from_secs(seconds), jitter: 0.5 };
    let rule = |seconds| Rule { gap: Some(gap(seconds)), ..Rule::default() };
    let mut rules: HashMap<(String, String), Rule> =
        (0..4).map(|n| (("line".to_owned(), n.to_string()), rule(60 + n))).collect();
    rules.insert(("other".into(), "shared".into()), rule(20));
    let definition = workflow(steps);
    let parts = groups::groups(&definition, &people, &rules);
    let sizes: Vec<usize> = parts.iter().map(|group| group.people.len()).collect();
    assert_eq!((sizes, parts[2].rules.len()), (vec![1_000, 1_000, 2_000, 1_000], 3));

    let until = at("02T14:00");
    let nothing = Assumptions::default();
    let mut together = HashMap::new();
    let mut rehearsal = Rehearsal::new(Arc::clone(&definition), &people, rules.clone(), &nothing);
    rehearsal.go_on(until, |act| *together.entry((act.step, act.kind)).or_insert(0) += 1);
    let ahead = |threads| {
        let wanted = Wanted {
            definition: Arc::clone(&definition),
            people: &people,
            rules: rules.clone(),
            outlook: &nothing,
            until,
            zone: Zone::utc(),
            counted: &["act"],
            by: "line",
            traced: 7,
            threads,
        };
        let mut acts = Vec::new();
        let forecast = forecast(&wanted, |act| acts.push(act.clone()));
        (forecast, acts)
    };
    let (one, acts) = ahead(1);
    let done: Vec<usize> = one.steps.iter().map(|step| step.done).collect();
    assert_eq!(done, [together[&(0, "step.done")], together[&(1, "step.done")]]);
    assert!(one.waiting > 1_000 && done[0] > 2_000, "{one:?}");
    assert!(acts.is_sorted_by_key(|act| (act.at, act.person)));
    assert!((0..7).all(|person| acts.iter().any(|act| act.person == person)));
    assert_eq!((one, acts), ahead(3));
}
