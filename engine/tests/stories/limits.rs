//! Steps that take their turn: gaps, rates, concurrency, daily caps, alone and together.

use std::time::Duration;

use chrono::{DateTime, Utc};
use engine::explain;
use engine::limit::{self, Daily, Gap, Rate, Rule};
use engine::run::Action;
use engine::timing::Zone;
use uuid::Uuid;

use super::story::Story;

const ONE: &str = "[[steps]]\nid = \"a\"\ntype = \"act\"\nlimits = [\"line\"]\n";
const COMPLETED: &str = "select count(*) from engine.runs where state = 'completed'";

pub(crate) async fn set(story: &Story, kind: &str, name: &str, rule: &Rule) {
    let mut tx = story.db.begin().await.unwrap();
    limit::set(&mut tx, story.customer, kind, name, rule).await.unwrap();
    tx.commit().await.unwrap();
}

fn rate(cap: u32, minutes: u64) -> Rule {
    let per = Duration::from_secs(60 * minutes);
    Rule { rate: Some(Rate { cap, per }), ..Rule::default() }
}

async fn runs(story: &Story, steps: &str, count: usize) -> Vec<Uuid> {
    let definition = story.define(steps).await;
    story.start_many(definition, count).await
}

/// The most acts in any window of a length.
fn most(acted: &[DateTime<Utc>], minutes: i64) -> usize {
    let span = chrono::TimeDelta::minutes(minutes);
    let within = |from: &DateTime<Utc>| {
        acted.iter().filter(|at| **at >= *from && **at < *from + span).count()
    };
    acted.iter().map(within).max().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_without_a_rule_limits_nothing() {
    let story = Story::begin().await;
    runs(&story, ONE, 20).await;
    let worker = story.worker().await;
    story.until_count(COMPLETED, 20).await;
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_lets_so_many_through_in_any_window_and_the_others_wait_their_turn() {
    let story = Story::begin().await;
    set(&story, "line", "one", &rate(4, 10)).await;
    let ids = runs(&story, ONE, 10).await;
    let workers = [story.worker().await, story.worker().await];
    story.until_count(COMPLETED, 4).await;
    story.until_count("select count(*) from engine.lane_jobs", 6).await;
    // The last one in has been looked at.
    story.until_count("select count(*) from engine.limits where wake_at > engine.now()", 1).await;
    let mut waiting = Vec::new();
    for id in ids {
        waiting.extend(Some(story.run(id).await).filter(|run| run.state == "sleeping"));
    }
    assert_eq!(waiting.len(), 6);
    let waiting = &waiting[0];
    assert!(waiting.next_at.is_some(), "the next eligible instant is known");
    let explained = explain::explain(&story.db, &story.definitions(), waiting).await.unwrap();
    let limit = explained.rules.iter().find(|rule| rule.rule == explain::Rule::Limit).unwrap();
    assert!(
        limit.detail.starts_with("it waits under the line limit of one and "),
        "{}",
        limit.detail
    );
    assert_eq!(limit.until, waiting.next_at);
    for (minutes, done) in [(9.9, 4), (0.2, 8), (5.0, 8), (5.1, 10)] {
        story.pass(minutes).await;
        story.until_count(COMPLETED, done).await;
    }
    let acted = story.board.acted.lock().unwrap().clone();
    assert_eq!((acted.len(), most(&acted, 10)), (10, 4));
    for worker in workers {
        worker.stop().await;
    }
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gap_spreads_acts_by_its_jitter() {
    let story = Story::begin().await;
    let gap = Gap { least: Duration::from_secs(60), jitter: 0.5 };
    set(&story, "line", "one", &Rule { gap: Some(gap), ..Rule::default() }).await;
    runs(&story, ONE, 5).await;
    let worker = story.worker().await;
    for done in 1..=5 {
        story.until_count(COMPLETED, done).await;
        story.pass(1.5).await;
    }
    let acted = story.board.acted.lock().unwrap().clone();
    let apart = acted.windows(2).map(|pair| (pair[1] - pair[0]).num_seconds());
    assert!(apart.clone().all(|seconds| seconds >= 60), "{:?}", apart.collect::<Vec<_>>());
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_many_act_at_once_also_beyond_the_death_of_a_worker() {
    let story = Story::begin().await;
    set(&story, "line", "one", &Rule { at_once: Some(2), ..Rule::default() }).await;
    let blocks = ONE.replace("limits", "does = \"block\"\nlimits");
    runs(&story, &blocks, 5).await;
    let worker = story.worker().await;
    story.until_count("select count(*) from engine.jobs where granted is not null", 2).await;
    story.until_count("select count(*) from engine.lane_jobs", 3).await;
    worker.die().await;
    let second = story.worker().await;
    story.until_count("select running::bigint from engine.limits", 2).await;
    story.board.gate.add_permits(9);
    story.until_count(COMPLETED, 5).await;
    story.until_count("select running::bigint from engine.limits", 0).await;
    second.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daily_cap_ends_with_the_local_day_and_ramps_up() {
    let story = Story::begin().await;
    story.sql("update engine.virtual_clock set virtual_at = '2026-11-24 22:30Z'").await;
    let zone = Zone::parse("Europe/Vienna").unwrap();
    let daily = Daily { cap: 5, ramp: Some(2), zone };
    set(&story, "line", "one", &Rule { daily: Some(daily), ..Rule::default() }).await;
    runs(&story, ONE, 12).await;
    let worker = story.worker().await;
    story.until_count(COMPLETED, 2).await;
    story.until_count("select count(*) from engine.lane_jobs", 10).await;
    story.pass(20.0).await;
    story.until_count(COMPLETED, 2).await;
    story.pass(11.0).await;
    story.until_count(COMPLETED, 6).await;
    story.pass(24.0 * 60.0).await;
    story.until_count(COMPLETED, 11).await;
    story.pass(24.0 * 60.0).await;
    story.until_count(COMPLETED, 12).await;
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_compose_and_only_their_all_lets_a_step_through() {
    let story = Story::begin().await;
    set(&story, "line", "one", &rate(3, 10)).await;
    set(&story, "customer", "", &rate(2, 60)).await;
    set(&story, "step", "act", &rate(9, 60)).await;
    let all = "[[steps]]\nid = \"a\"\ntype = \"act\"\nlimits = [\"line\", \"customer\", \"step\", \"pool\"]\n";
    runs(&story, all, 5).await;
    let worker = story.worker().await;
    for (minutes, done) in [(0.0, 2), (50.0, 2), (11.0, 4), (61.0, 5)] {
        story.pass(minutes).await;
        story.until_count(COMPLETED, done).await;
    }
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_in_a_lane_can_be_ended_paused_and_moved() {
    let story = Story::begin().await;
    set(&story, "line", "one", &rate(1, 60)).await;
    let ids = runs(&story, ONE, 6).await;
    let worker = story.worker().await;
    story.until_count(COMPLETED, 1).await;
    story.until_count("select count(*) from engine.lane_jobs", 5).await;
    let mut waiting = Vec::new();
    for id in ids {
        if story.run(id).await.state == "sleeping" {
            waiting.push(id);
        }
    }
    story.signal(waiting[0], "stop", "1").await;
    story.until(waiting[0], "exited").await;
    story.ask(waiting[1], Action::Pause).await;
    story.ask(waiting[2], Action::Cancel).await;
    story.ask(waiting[3], Action::Skip).await;
    story.until_count("select waiting::bigint from engine.limits", 1).await;
    story.ask(waiting[1], Action::Resume).await;
    story.until_count("select waiting::bigint from engine.limits", 2).await;
    story.pass(61.0).await;
    story.until_count("select waiting::bigint from engine.limits", 1).await;
    story.pass(61.0).await;
    story.until_count("select count(*) from engine.runs where ended_at is null", 0).await;
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_past_the_window_waits_for_the_next_one_and_never_acts_outside() {
    let story = Story::begin().await;
    story.sql("update engine.virtual_clock set virtual_at = '2026-11-24 15:50Z'").await;
    set(&story, "line", "one", &rate(1, 30)).await;
    let steps =
        format!("[timing.window]\nfrom = \"09:00\"\nto = \"17:00\"\n{ONE}windowed = true\n");
    let ids = runs(&story, &steps, 2).await;
    let worker = story.worker().await;
    story.until_count(COMPLETED, 1).await;
    story.until_count("select count(*) from engine.lane_jobs", 1).await;
    // Before the rate opens, the window closes: 17:00 in Berlin is 16:00Z.
    story.pass(11.0).await;
    story.until_count("select count(*) from engine.timers", 1).await;
    let mut next = Vec::new();
    for id in ids {
        next.extend(story.run(id).await.next_at);
    }
    assert_eq!(next, ["2026-11-25T08:00:00Z".parse::<DateTime<Utc>>().unwrap()]);
    story.pass(16.0 * 60.0).await;
    story.until_count(COMPLETED, 2).await;
    worker.stop().await;
    story.end().await;
}
