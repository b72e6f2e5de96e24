//! Schedules: each occurrence once, by any number of workers, through crashes and steps of the clock.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use engine::schedule::{self, CatchUp, Fire, Overlap, Plan, Schedule, Start};
use engine::timing::{Cron, Zone};
use serde_json::json;
use uuid::Uuid;

use super::story::Story;

/// A plan that only tells.
fn plan(name: &str, cron: &str) -> Plan {
    Plan {
        name: name.into(),
        cron: Cron::parse(cron).unwrap(),
        zone: Zone::utc(),
        jitter: Duration::ZERO,
        start: None,
        data: json!({ "of": name }),
        overlap: Overlap::Skip,
        catch_up: CatchUp::Last,
        catch_up_limit: 10,
    }
}

async fn add(story: &Story, plan: &Plan) -> Schedule {
    let mut tx = story.db.begin().await.unwrap();
    let added = schedule::create(&mut tx, story.customer, plan, "user:test").await.unwrap();
    tx.commit().await.unwrap();
    added
}

/// Sets the clock, to and fro, and lets the workers look.
async fn clock(story: &Story, at: &str) {
    story
        .sql(&format!("update engine.virtual_clock set virtual_at = '{at}', real_at = now()"))
        .await;
    story.pass(0.0).await;
}

/// What became of a schedule's occurrences, the oldest first.
async fn fires(story: &Story, id: Uuid) -> Vec<Fire> {
    let mut fires = schedule::fires(&story.db, id, None, 1_000).await.unwrap();
    fires.reverse();
    fires
}

/// The same as a line.
async fn told(story: &Story, id: Uuid) -> String {
    let word = |fire: &Fire| {
        let count = fire.missed.map(|count| format!(" {count}")).unwrap_or_default();
        format!("{} {}{count}", fire.occurrence_at.format("%d.%H:%M"), fire.outcome)
    };
    fires(story, id).await.iter().map(word).collect::<Vec<_>>().join(", ")
}

/// Waits until a schedule has fired so often.
async fn until_fired(story: &Story, id: Uuid, count: usize) {
    let mut look = tokio::time::interval(Duration::from_millis(10));
    for _ in 0..2_000 {
        look.tick().await;
        let fires = fires(story, id).await;
        let fired = fires.iter().filter(|fire| ["told", "started"].contains(&&*fire.outcome));
        if fired.count() >= count {
            return;
        }
    }
    panic!("not fired {count} times: {}", told(story, id).await);
}

/// Waits until the workers have nothing more to do at this instant: something that is due just now was fired.
async fn settled(story: &Story) {
    let now = sqlx::query_scalar::<_, DateTime<Utc>>("select engine.now()");
    let now = now.fetch_one(&story.db).await.unwrap();
    let witness = add(story, &plan(&format!("witness-{}", now.timestamp()), "* * * * * *")).await;
    story
        .sql(&format!(
            "update engine.schedules set fire_at = engine.now() where id = '{}'",
            witness.id
        ))
        .await;
    until_fired(story, witness.id, 1).await;
    let mut tx = story.db.begin().await.unwrap();
    assert!(schedule::remove(&mut tx, story.customer, witness.id).await.unwrap());
    tx.commit().await.unwrap();
}

const EVENTS: &str = "select count(*) from engine.outbox where topic = 'schedule.fired'";
const FIRES: &str = "select count(*) from engine.schedule_fires where outcome = 'told'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_workers_fire_each_occurrence_of_many_schedules_once() {
    let story = Story::begin().await;
    clock(&story, "2026-11-25T08:00:30Z").await;
    let definition = "[[steps]]\nid = \"a\"\ntype = \"act\"\n";
    story.define_as("work", definition).await;
    let start = Start { workflow: "work".into(), subject_id: story.customer };
    for number in 0..20 {
        let plan = Plan {
            start: Some(start.clone()),
            overlap: Overlap::Allow,
            ..plan(&format!("s{number}"), "* * * * *")
        };
        add(&story, &plan).await;
    }
    let workers = [story.worker().await, story.worker().await, story.worker().await];
    for minute in 1..=10 {
        story.pass(1.0).await;
        story.until_count("select count(*) from engine.schedule_fires", minute * 20).await;
    }
    story.until_count("select count(*) from engine.runs where state = 'completed'", 200).await;
    story.until_count(EVENTS, 200).await;
    let shape = "select count(*) from engine.outbox where topic = 'schedule.fired' and key like 'sch_%'
      and data->>'run_id' like 'run_%' and data->'data'->>'of' = data->>'name' and sequence between 1 and 10";
    story.until_count(shape, 200).await;
    let actors = "select count(*) from engine.history where kind = 'run.started' and actor like 'schedule:sch_%'";
    story.until_count(actors, 200).await;
    for worker in workers {
        worker.stop().await;
    }
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_dies_in_the_middle_of_a_fire_has_not_fired_and_another_does_once() {
    let story = Story::begin().await;
    clock(&story, "2026-11-25T08:59:30Z").await;
    let added = add(&story, &plan("hourly", "0 * * * *")).await;
    // The event is the last that a fire writes but its record.
    let mut locked = story.db.begin().await.unwrap();
    sqlx::query("lock table engine.outbox in exclusive mode").execute(&mut *locked).await.unwrap();
    let worker = story.worker().await;
    clock(&story, "2026-11-25T09:00:10Z").await;
    let stands = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
    story.until_count(stands, 1).await;
    worker.die().await;
    // As the end of its process does.
    story.sql("select pg_terminate_backend(pid) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()").await;
    locked.rollback().await.unwrap();
    assert_eq!(told(&story, added.id).await, "");
    let second = story.worker().await;
    until_fired(&story, added.id, 1).await;
    settled(&story).await;
    assert_eq!(told(&story, added.id).await, "25.09:00 told");
    second.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_die_over_and_over_lose_no_occurrence_and_fire_none_twice() {
    let story = Story::begin().await;
    clock(&story, "2026-11-25T08:00:00Z").await;
    for number in 0..5 {
        let often = Plan {
            catch_up: CatchUp::All,
            catch_up_limit: 100,
            ..plan(&format!("s{number}"), "*/10 * * * * *")
        };
        add(&story, &often).await;
    }
    for round in 1..=6 {
        let worker = story.worker().await;
        story.pass(1.0).await;
        // Somewhere on the way through thirty fires.
        let mut look = tokio::time::interval(Duration::from_millis(1));
        while sqlx::query_scalar::<_, i64>(FIRES).fetch_one(&story.db).await.unwrap()
            < round * 30 - 15
        {
            look.tick().await;
        }
        worker.die().await;
    }
    let last = story.worker().await;
    story.until_count(FIRES, 180).await;
    settled(&story).await;
    story.until_count("select count(*) from engine.schedule_fires", 180).await;
    let told = "select count(distinct (key, data->>'occurrence_at')) from engine.outbox where data->>'name' like 's%'";
    story.until_count(told, 180).await;
    story
        .until_count("select count(*) from engine.outbox where data->>'name' like 's%'", 180)
        .await;
    last.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_goes_back_fires_nothing_twice() {
    let story = Story::begin().await;
    clock(&story, "2026-11-25T08:59:30Z").await;
    let added = add(&story, &plan("hourly", "0 * * * *")).await;
    let worker = story.worker().await;
    clock(&story, "2026-11-25T09:00:10Z").await;
    until_fired(&story, added.id, 1).await;
    clock(&story, "2026-11-25T08:30:00Z").await;
    settled(&story).await;
    // Also whoever changes it meanwhile brings nothing back.
    let mut tx = story.db.begin().await.unwrap();
    let locked = schedule::lock(&mut tx, Some(story.customer), added.id).await.unwrap().unwrap();
    let half = plan("hourly", "0,30 * * * *");
    let changed = schedule::change(&mut tx, &locked, &half, "user:test").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!((changed.revision, changed.next_at), (2, "2026-11-25T09:30:00Z".parse().ok()));
    clock(&story, "2026-11-25T09:00:20Z").await;
    settled(&story).await;
    assert_eq!(told(&story, added.id).await, "25.09:00 told");
    clock(&story, "2026-11-25T09:30:00Z").await;
    until_fired(&story, added.id, 2).await;
    assert_eq!(told(&story, added.id).await, "25.09:00 told, 25.09:30 told");
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_leaps_ahead_follows_each_catch_up_policy() {
    let story = Story::begin().await;
    clock(&story, "2026-11-25T08:59:30Z").await;
    let mut added = Vec::new();
    for catch_up in [CatchUp::Skip, CatchUp::Last, CatchUp::All] {
        let plan = Plan { catch_up, catch_up_limit: 3, ..plan(catch_up.word(), "0 * * * *") };
        added.push(add(&story, &plan).await.id);
    }
    let worker = story.worker().await;
    clock(&story, "2026-11-25T09:00:01Z").await;
    story.until_count(FIRES, 3).await;
    clock(&story, "2026-11-25T14:30:00Z").await;
    settled(&story).await;
    clock(&story, "2026-11-25T15:00:02Z").await;
    for (id, count) in added.iter().zip([2, 3, 5]) {
        until_fired(&story, *id, count).await;
    }
    let skip = "25.09:00 told, 25.10:00 missed 5, 25.15:00 told";
    let last = "25.09:00 told, 25.10:00 missed 4, 25.14:00 told, 25.15:00 told";
    let all = "25.09:00 told, 25.10:00 missed 2, 25.12:00 told, 25.13:00 told, 25.14:00 told, 25.15:00 told";
    for (id, expected) in added.iter().zip([skip, last, all]) {
        assert_eq!(told(&story, *id).await, expected);
    }
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn days_on_which_the_clock_changes_fire_once_each() {
    let story = Story::begin().await;
    clock(&story, "2026-03-27T12:00:00Z").await;
    let berlin = Zone::parse("Europe/Berlin").unwrap();
    let nightly = Plan { zone: berlin.clone(), ..plan("nightly", "30 2 * * *") };
    let nightly = add(&story, &nightly).await.id;
    let worker = story.worker().await;
    let step = async |from: &str, hours: i64| {
        let from: DateTime<Utc> = from.parse().unwrap();
        for half in 0..hours * 2 {
            let at = from + TimeDelta::minutes(30 * half);
            clock(&story, &at.to_rfc3339()).await;
            settled(&story).await;
        }
    };
    // 02:30 of the 29th is skipped, and comes at 03:00, 01:00 in UTC.
    step("2026-03-28T00:30:00Z", 30).await;
    // 02:30 of 25 October is shown twice, and comes the first time.
    step("2026-10-24T23:30:00Z", 3).await;
    let fired: Vec<String> = fires(&story, nightly)
        .await
        .iter()
        .filter(|fire| fire.outcome == "told")
        .map(|fire| fire.at.format("%m-%d %H:%M").to_string())
        .collect();
    // On the 24th it is caught up with what the leap of the clock left out.
    assert_eq!(fired, ["03-28 01:30", "03-29 01:00", "10-24 23:30", "10-25 00:30"]);
    worker.stop().await;
    story.end().await;
}

const NAP: &str = "[[steps]]\nid = \"nap\"\ntype = \"sleep\"\nminutes = 90\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fire_over_an_open_run_follows_each_overlap_policy() {
    let story = Story::begin().await;
    clock(&story, "2026-11-25T08:59:30Z").await;
    story.define_as("nap", NAP).await;
    let mut added = Vec::new();
    for overlap in [Overlap::Skip, Overlap::Queue, Overlap::Replace, Overlap::Allow] {
        let start = Some(Start { workflow: "nap".into(), subject_id: story.customer });
        let plan = Plan { start, overlap, ..plan(overlap.word(), "0 * * * *") };
        added.push(add(&story, &plan).await.id);
    }
    let worker = story.worker().await;
    clock(&story, "2026-11-25T09:00:00Z").await;
    story.until_count("select count(*) from engine.timers", 4).await;
    clock(&story, "2026-11-25T10:00:00Z").await;
    story.until_count("select count(*) from engine.schedule_fires", 8).await;
    story.until_count("select count(*) from engine.timers", 5).await;
    let runs = "select count(*) from engine.runs where state = 'cancelled'";
    story.until_count(runs, 1).await;
    assert_eq!(told(&story, added[1]).await, "25.09:00 started, 25.10:00 queued");
    // The runs of nine o'clock end, and the fire that waits begins.
    clock(&story, "2026-11-25T10:30:00Z").await;
    story.until_count("select count(*) from engine.runs where state = 'completed'", 3).await;
    until_fired(&story, added[1], 2).await;
    let expected = [
        "25.09:00 started, 25.10:00 skipped",
        "25.09:00 started, 25.10:00 started",
        "25.09:00 started, 25.10:00 started",
        "25.09:00 started, 25.10:00 started",
    ];
    for (id, expected) in added.iter().zip(expected) {
        assert_eq!(told(&story, *id).await, expected);
    }
    let queued = fires(&story, added[1]).await;
    assert_eq!(queued[1].at, "2026-11-25T10:30:00Z".parse::<DateTime<Utc>>().unwrap());
    let skipped = fires(&story, added[0]).await;
    let reason = skipped[1].reason.as_deref().unwrap();
    assert!(reason.starts_with("run_") && reason.ends_with("has not ended"), "{reason}");
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_fires_wait_in_their_order_and_no_more() {
    let story = Story::begin().await;
    clock(&story, "2026-11-25T08:59:59Z").await;
    story.define_as("ear", "[[steps]]\nid = \"ear\"\ntype = \"listen\"\nsignal = \"ping\"\n").await;
    let start = Some(Start { workflow: "ear".into(), subject_id: story.customer });
    let often = Plan { start, overlap: Overlap::Queue, ..plan("often", "* * * * * *") };
    let often = add(&story, &often).await.id;
    let worker = story.worker().await;
    story.pass(0.5).await;
    until_fired(&story, often, 1).await;
    for _ in 0..3 {
        settled(&story).await;
        story.pass(0.7).await;
    }
    settled(&story).await;
    story
        .until_count("select count(*) from engine.schedule_fires where outcome = 'queued'", 100)
        .await;
    let late = fires(&story, often).await;
    let reason = late.last().unwrap().reason.as_deref();
    assert_eq!(reason, Some("100 fires wait already"));
    story.sql("update engine.schedules set paused_at = engine.now(), occurrence_at = null, fire_at = null").await;
    story.signal(story.customer, "stop", "1").await;
    story.until_count("select count(*) from engine.runs where state = 'exited'", 1).await;
    // A paused schedule starts nothing that waits, either, also where one behind it does.
    let other = add(&story, &plan("other", "0 0 1 1 *")).await;
    let mut tx = story.db.begin().await.unwrap();
    assert!(schedule::fire(&mut tx, &other).await.unwrap());
    tx.commit().await.unwrap();
    until_fired(&story, other.id, 1).await;
    let waiting = "select waiting::bigint from engine.schedules where name = 'often'";
    story.until_count(waiting, 100).await;
    story.sql("update engine.schedules set paused_at = null").await;
    until_fired(&story, often, 2).await;
    let second = &fires(&story, often).await[1];
    assert_eq!(second.outcome, "started");
    story.until_count(waiting, 99).await;
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_is_not_caught_up_with_and_a_fire_by_hand_stands_beside_the_occurrences() {
    let story = Story::begin().await;
    clock(&story, "2026-11-25T08:59:30Z").await;
    let added = add(&story, &Plan { catch_up: CatchUp::All, ..plan("hourly", "0 * * * *") }).await;
    let worker = story.worker().await;
    let mut tx = story.db.begin().await.unwrap();
    let locked = schedule::lock(&mut tx, Some(story.customer), added.id).await.unwrap().unwrap();
    let paused = schedule::pause(&mut tx, &locked, "user:test").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!((paused.state.as_str(), paused.next_at), ("paused", None));
    clock(&story, "2026-11-25T11:30:00Z").await;
    settled(&story).await;
    let mut tx = story.db.begin().await.unwrap();
    let locked = schedule::lock(&mut tx, Some(story.customer), added.id).await.unwrap().unwrap();
    let timing = locked.timing().unwrap();
    let resumed = schedule::resume(&mut tx, &locked, &timing, "user:test").await.unwrap();
    assert!(schedule::fire(&mut tx, &resumed).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(resumed.next_at, "2026-11-25T12:00:00Z".parse().ok());
    until_fired(&story, added.id, 1).await;
    clock(&story, "2026-11-25T12:00:00Z").await;
    until_fired(&story, added.id, 2).await;
    assert_eq!(told(&story, added.id).await, "25.11:30 told, 25.12:00 told");
    let mut tx = story.db.begin().await.unwrap();
    assert!(schedule::remove(&mut tx, story.customer, added.id).await.unwrap());
    assert!(!schedule::remove(&mut tx, story.customer, added.id).await.unwrap());
    tx.commit().await.unwrap();
    story.until_count("select count(*) from engine.schedule_fires", 0).await;
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_not_be_started_or_read_harms_no_other_schedule() {
    let story = Story::begin().await;
    clock(&story, "2026-11-25T08:59:30Z").await;
    story.define_as("nap", NAP).await;
    let start = Some(Start { workflow: "nap".into(), subject_id: story.customer });
    let gone = add(&story, &Plan { start, ..plan("gone", "0 * * * *") }).await.id;
    let foreign = add(&story, &plan("foreign", "0 * * * *")).await.id;
    let steady = add(&story, &plan("steady", "0 * * * *")).await.id;
    story.sql("update engine.schedules set workflow = 'lost' where name = 'gone'").await;
    // As a newer version might write it.
    story.sql("update engine.schedules set cron = '@fortnightly' where name = 'foreign'").await;
    let worker = story.worker().await;
    clock(&story, "2026-11-25T09:00:00Z").await;
    until_fired(&story, steady, 1).await;
    settled(&story).await;
    let failed = fires(&story, gone).await;
    let reason = failed[0].reason.as_deref();
    assert_eq!(reason, Some("there is no workflow `lost`; apply it first"));
    assert_eq!(told(&story, foreign).await, "");
    // Once it can be read, it fires what it missed.
    story.sql("update engine.schedules set cron = '0 * * * *' where name = 'foreign'").await;
    clock(&story, "2026-11-25T09:01:00Z").await;
    until_fired(&story, foreign, 1).await;
    assert_eq!(told(&story, foreign).await, "25.09:00 told");
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_tz_database_plans_anew_and_old_fires_leave() {
    let story = Story::begin().await;
    clock(&story, "2026-11-25T08:30:00Z").await;
    let added = add(&story, &plan("hourly", "0 * * * *")).await.id;
    story.sql("update engine.schedules set tzdb = '2000a', occurrence_at = '2026-11-25T20:00Z', fire_at = '2026-11-25T20:00Z'").await;
    story.sql(&format!("insert into engine.schedule_fires (id, schedule_id, customer_id, occurrence_at, outcome) select gen_random_uuid(), '{added}', '{}', timestamptz '2026-01-01Z' + n * interval '1 minute', 'told' from generate_series(1, 1500) n", story.customer)).await;
    let worker = story.worker().await;
    story.until_count("select count(*) from engine.schedule_fires", 1_000).await;
    clock(&story, "2026-11-25T09:00:00Z").await;
    story
        .until_count(
            "select count(*) from engine.schedule_fires where occurrence_at = '2026-11-25T09:00Z'",
            1,
        )
        .await;
    story.until_count("select count(*) from engine.schedule_fires where occurrence_at = timestamptz '2026-01-01Z' + 1500 * interval '1 minute'", 1).await;
    worker.stop().await;
    story.end().await;
}
