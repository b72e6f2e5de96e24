//! What was told before against what the engine then does, on a clock that jumps from due instant to due instant:
//! rehearsals act for act, explanations instant by instant.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use engine::clock;
use engine::definition::{self, Format};
use engine::explain::{self, Explanation};
use engine::limit::{Daily, Rate, Rule};
use engine::rehearsal::{Assumptions, Event, Person, Rehearsal};
use engine::run::{self, NewRun, Priority};
use engine::timing::Zone;
use engine::worker::Settings;
use serde_json::json;
use uuid::Uuid;

use super::limits::set;
use super::steps::{Board, registry};
use super::story::Story;

const ZONES: [&str; 6] = [
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Pacific/Honolulu",
    "America/Santiago",
];

/// Windows, business days, weekdays, a draw, a wait for a signal, a condition, limits.
const WALK: &str = r#"
[timing.window]
days = ["mon", "tue", "wed", "thu", "fri"]
from = "09:00"
to = "17:00"
holidays = ["US"]
[[steps]]
id = "first"
type = "act"
windowed = true
LIMITS
[[steps]]
id = "settle"
type = "delay"
length = "2 business days"
[[steps]]
id = "toss"
type = "toss"
goto = "short"
[[steps]]
id = "long"
type = "delay"
length = "3 days"
next = "second"
[[steps]]
id = "short"
type = "delay"
until = "next tuesday 09:30"
[[steps]]
id = "second"
type = "act"
windowed = true
LIMITS
[[steps]]
id = "ear"
type = "listen"
signal = "ping"
minutes = 2000
[[steps]]
id = "last"
type = "act"
when = "steps.ear.came"
windowed = true
"#;

fn steps(limits: &str) -> String {
    WALK.replace("LIMITS", limits)
}

const LINE: &str = "limits = [\"line\"]";
const LINE_AND_POOL: &str = "limits = [\"line\", \"pool\"]";

fn rules() -> Vec<((&'static str, &'static str), Rule)> {
    let hourly = Rate { cap: 40, per: Duration::from_secs(3_600) };
    let daily = Daily { cap: 250, ramp: Some(100), zone: Zone::parse(ZONES[1]).unwrap() };
    let both = Rule { rate: Some(hourly), daily: Some(daily), ..Rule::default() };
    let pool = Rate { cap: 150, per: Duration::from_secs(2 * 3_600) };
    vec![
        (("line", "one"), both.clone()),
        (("line", "two"), both),
        (("pool", "all"), Rule { rate: Some(pool), ..Rule::default() }),
    ]
}

/// A cohort, and what happens to some of it.
struct Cohort {
    people: Vec<Person>,
    signals: Vec<(DateTime<Utc>, usize, &'static str)>,
}

impl Cohort {
    fn new(count: usize, start: DateTime<Utc>) -> Self {
        let person = |n: usize| {
            let id = clock::new_id();
            let line = if n.is_multiple_of(2) { "one" } else { "two" };
            Person {
                run_id: id,
                subject_id: id,
                subject: Arc::new(json!({ "name": "one" })),
                zone: Zone::parse(ZONES[n % ZONES.len()]).unwrap(),
                starts_at: start,
                limit_keys: Arc::new(json!({ "line": line, "pool": "all" })),
            }
        };
        let people: Vec<Person> = (0..count).map(person).collect();
        let stops =
            (0..count).step_by(13).map(|n| (start + TimeDelta::seconds(180_037), n, "stop"));
        let pings =
            (0..count).step_by(7).map(|n| (start + TimeDelta::seconds(1_044_037), n, "ping"));
        Self { signals: stops.chain(pings).collect(), people }
    }

    async fn start(&self, story: &Story, definition_id: i64) {
        let runs: Vec<NewRun> = self
            .people
            .iter()
            .map(|person| NewRun {
                id: person.run_id,
                customer_id: story.customer,
                definition_id,
                subject_id: person.subject_id,
                zone: person.zone.name().into(),
                actor: "cli".into(),
                start_at: None,
                limit_keys: person.limit_keys.as_ref().clone(),
                priority: Priority::Normal,
                parent: None,
            })
            .collect();
        let mut tx = story.db.begin().await.unwrap();
        for chunk in runs.chunks(500) {
            run::start(&mut tx, chunk).await.unwrap();
        }
        tx.commit().await.unwrap();
    }
}

/// Waits until nothing is left to be done at this instant.
async fn quiet(story: &Story) {
    story
        .until_count(
            "select (exists (select from engine.jobs)
               or exists (select from engine.timers where due_at <= engine.now())
               or exists (select from engine.limits where waiting > 0 and wake_at <= engine.now())
               or exists (select from engine.lane_jobs where closes_at <= engine.now()))::int::bigint",
            0,
        )
        .await;
}

/// The next instant at which something is due.
async fn next(story: &Story) -> Option<DateTime<Utc>> {
    sqlx::query_scalar(
        "select least((select min(due_at) from engine.timers),
           (select min(wake_at) from engine.limits where waiting > 0 and wake_at < 'infinity'),
           (select min(closes_at) from engine.lane_jobs))",
    )
    .fetch_one(&story.db)
    .await
    .unwrap()
}

async fn jump(story: &Story, to: DateTime<Utc>) {
    clock::jump(&story.db, to).await.unwrap();
    story.sql("select pg_notify('engine', '')").await;
}

/// One worker that does one thing after the other, each recorded before the next is begun, so that who stands in
/// line first is no matter of chance.
fn in_order() -> Settings {
    Settings { concurrency: 1, leases: 1, ..Settings::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_engine_does_what_was_rehearsed_act_for_act() {
    let story = Story::begin().await;
    // A Friday in the night, with a change to summer time in New York ahead and in Lord Howe and Santiago back.
    jump(&story, "2027-03-12T03:00:00Z".parse().unwrap()).await;
    let start = clock::now(&story.db).await.unwrap();
    let cohort = Cohort::new(2_000, start);
    for ((kind, name), rule) in rules() {
        set(&story, kind, name, &rule).await;
    }
    let definition_id = story.define(&steps(LINE)).await;
    cohort.start(&story, definition_id).await;
    let worker = story.worker_with(in_order()).await;
    let mut signals = cohort.signals.clone();
    loop {
        quiet(&story).await;
        let signal = signals.first().map(|(at, ..)| *at);
        let Some(at) = next(&story).await.into_iter().chain(signal).min() else { break };
        jump(&story, at).await;
        while let Some((_, person, name)) =
            signals.first().copied().filter(|(then, ..)| *then <= at)
        {
            signals.remove(0);
            story.signal(cohort.people[person].run_id, name, "1").await;
        }
    }
    worker.stop().await;
    let (real, rehearsed) = (real(&story, &cohort).await, rehearsed(&cohort));
    let differ =
        |(at, acts): &(&(DateTime<Utc>, usize), &Vec<String>)| rehearsed.get(at) != Some(acts);
    let differing: Vec<String> = real
        .iter()
        .filter(differ)
        .map(|(at, acts)| format!("{at:?}: {acts:?}, rehearsed {:?}", rehearsed.get(at)))
        .take(10)
        .collect();
    assert_eq!((differing, real.len()), (Vec::new(), rehearsed.len()));
    story.end().await;
}

/// Acts by instant and person, each with its step and kind.
type Acts = BTreeMap<(DateTime<Utc>, usize), Vec<String>>;

async fn real(story: &Story, cohort: &Cohort) -> Acts {
    let by_run: HashMap<Uuid, usize> =
        cohort.people.iter().enumerate().map(|(n, person)| (person.run_id, n)).collect();
    let rows: Vec<(Uuid, DateTime<Utc>, String, String)> = sqlx::query_as(
        "select run_id, at, step, kind from engine.history where kind <> 'run.started' order by run_id, seq",
    )
    .fetch_all(&story.db)
    .await
    .unwrap();
    let mut acts = Acts::new();
    for (run, at, step, kind) in rows {
        acts.entry((at, by_run[&run])).or_default().push(format!("{step} {kind}"));
    }
    acts
}

fn rehearsed(cohort: &Cohort) -> Acts {
    let source =
        format!("name = \"story\"\nsubject = \"thing\"\n[exit]\non = [\"stop\"]\n{}", steps(LINE));
    let read = definition::read("story.toml", &source, Format::Toml, &registry(&Board::new()));
    let definition = Arc::new(read.unwrap_or_else(|refusals| panic!("{refusals}")));
    let rules = rules()
        .into_iter()
        .map(|((kind, name), rule)| ((kind.to_owned(), name.to_owned()), rule))
        .collect();
    let nothing = Assumptions::default();
    let mut rehearsal = Rehearsal::new(Arc::clone(&definition), &cohort.people, rules, &nothing);
    for (at, person, name) in &cohort.signals {
        let data = json!({ "key": "1" });
        rehearsal.happens(*person, *at, Event::Signal { name: (*name).into(), data });
    }
    let mut acts = Acts::new();
    let end = cohort.people[0].starts_at + TimeDelta::days(400);
    rehearsal.go_on(end, |act| {
        let step = &definition.steps[act.step].id;
        acts.entry((act.at, act.person)).or_default().push(format!("{step} {}", act.kind));
    });
    acts
}

/// What was told of a run when it was last looked at, and how long its history was then.
struct Told {
    rows: usize,
    explained: Explanation,
}

/// Explains every run that has changed, and finds those that acted at another instant than was told.
async fn look(
    story: &Story,
    cohort: &Cohort,
    told: &mut HashMap<Uuid, Told>,
    limited: bool,
) -> Vec<String> {
    let definitions = story.definitions();
    let mut wrong = Vec::new();
    for person in &cohort.people {
        let row = story.run(person.run_id).await;
        let before = told.get(&person.run_id);
        let history = story.history(person.run_id).await;
        if before.is_some_and(|before| before.rows == history.len() && !limited) {
            continue;
        }
        if let Some(before) = before
            && let Some(acted) = history.get(before.rows)
            && acted.actor.starts_with("worker")
            && !matches(&before.explained, acted.at, limited)
        {
            wrong.push(format!("{} acted at {}: {:?}", row.step, acted.at, before.explained));
        }
        let explained = explain::explain(&story.db, &definitions, &row).await.unwrap();
        let in_line = explained.rules.iter().find(|rule| rule.rule == explain::Rule::Limit);
        if let Some(rule) = in_line {
            let ahead: i64 = ahead(story, person.run_id).await;
            let named = rule.ahead.len();
            if i64::try_from(named).unwrap() != ahead.min(5) {
                wrong.push(format!("{ahead} stand ahead of {}, and {named} are named", row.run_id));
            }
        }
        told.insert(person.run_id, Told { rows: history.len(), explained });
    }
    wrong
}

fn matches(explained: &Explanation, acted: DateTime<Utc>, limited: bool) -> bool {
    match explained.next_eligible_at {
        Some(at) if limited => acted >= at,
        Some(at) => acted == at,
        // What only a signal moves.
        None => true,
    }
}

async fn ahead(story: &Story, run_id: Uuid) -> i64 {
    sqlx::query_scalar(
        "select count(*) from engine.lane_jobs q join engine.lane_jobs a
           on a.lane = q.lane and (a.pass, a.run_id) < (q.pass, q.run_id) where q.run_id = $1",
    )
    .bind(run_id)
    .fetch_one(&story.db)
    .await
    .unwrap()
}

async fn explained(limited: bool, count: usize) {
    let story = Story::begin().await;
    jump(&story, "2027-03-12T03:00:00Z".parse().unwrap()).await;
    let mut cohort = Cohort::new(count, clock::now(&story.db).await.unwrap());
    cohort.signals.clear();
    if limited {
        for ((kind, name), rule) in rules() {
            set(&story, kind, name, &rule).await;
        }
    }
    let definition_id = story.define(&steps(if limited { LINE_AND_POOL } else { "" })).await;
    cohort.start(&story, definition_id).await;
    let worker = story.worker().await;
    let mut told = HashMap::new();
    let mut looks = 0;
    loop {
        quiet(&story).await;
        assert_eq!(look(&story, &cohort, &mut told, limited).await, Vec::<String>::new());
        looks += 1;
        let Some(at) = next(&story).await else { break };
        jump(&story, at).await;
    }
    assert!(looks > 10, "the clock jumped {looks} times");
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_acts_at_the_instant_that_its_explanation_named() {
    explained(false, 500).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_limits_are_contended_a_run_never_acts_earlier_and_who_is_ahead_is_named() {
    explained(true, 60).await;
}
