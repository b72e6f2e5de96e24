//! What leaves after its time, and what never does.

use std::time::Duration;

use engine::worker::{Retention, Settings};

use super::story::Story;

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// A week of history long ago, with one run in it; its id begins with that week.
async fn old_run(story: &Story, state: &str) {
    story.sql("create table engine.history_20260105 partition of engine.history for values from (engine.first_uuid('2026-01-05Z')) to (engine.first_uuid('2026-01-12Z'))").await;
    let ended = if state == "completed" { "now() - interval '100 days'" } else { "null" };
    let place = if state == "completed" { "none" } else { "signal" };
    story.sql(&format!(
        "insert into engine.runs (id, customer_id, definition_id, subject_id, zone, state, place, step, queue, ended_at)
         select engine.first_uuid('2026-01-06Z'), gen_random_uuid(), min(id), gen_random_uuid(), 'UTC', '{state}', '{place}', 'a', 'act', {ended} from engine.definitions")).await;
    story.sql("insert into engine.history (run_id, seq, at, kind, step, actor) values (engine.first_uuid('2026-01-06Z'), 0, now(), 'run.started', 'a', 'cli')").await;
}

fn retention(runs: Option<Duration>) -> Settings {
    let retention = Retention { history: 30 * DAY, events: 7 * DAY, signals: 30 * DAY, runs };
    Settings { retention, ..Settings::default() }
}

const WEEKS: &str = "select count(*) from pg_class where relname = 'history_20260105'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_week_of_history_leaves_once_none_of_its_runs_is_open_and_a_finished_run_stays() {
    let story = Story::begin().await;
    story.define("[[steps]]\nid = \"a\"\ntype = \"act\"\n").await;
    old_run(&story, "completed").await;
    let worker = story.worker_with(retention(None)).await;
    story.until_count(WEEKS, 0).await;
    story.until_count("select count(*) from engine.runs", 1).await;
    worker.stop().await;
    story.sql("delete from engine.runs").await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_run_keeps_its_week_and_itself_and_old_signals_leave() {
    let story = Story::begin().await;
    story.define("[[steps]]\nid = \"a\"\ntype = \"act\"\n").await;
    old_run(&story, "live").await;
    story.sql("insert into engine.signals (id, customer_id, subject_id, name, key, data) select engine.first_uuid('2026-01-06Z'), gen_random_uuid(), gen_random_uuid(), 'ping', 'k', '{}'").await;
    let worker = story.worker_with(retention(Some(30 * DAY))).await;
    story.until_count("select count(*) from engine.signals", 0).await;
    let other = story.start("[[steps]]\nid = \"b\"\ntype = \"act\"\n").await;
    story.until(other, "completed").await;
    story.until_count(WEEKS, 1).await;
    story.until_count("select count(*) from engine.runs", 2).await;
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finished_run_is_forgotten_after_its_time_where_the_settings_say_so() {
    let story = Story::begin().await;
    let recent = story.start("[[steps]]\nid = \"a\"\ntype = \"act\"\n").await;
    old_run(&story, "completed").await;
    let worker = story.worker_with(retention(Some(30 * DAY))).await;
    story.until(recent, "completed").await;
    story.until_count("select count(*) from engine.runs", 1).await;
    story.until_count(WEEKS, 0).await;
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_of_the_outbox_leaves_once_all_of_it_is_told() {
    let story = Story::begin().await;
    story.sql("create table engine.outbox_20260106 partition of engine.outbox for values from (engine.first_uuid('2026-01-06Z')) to (engine.first_uuid('2026-01-07Z'))").await;
    story.sql("insert into engine.outbox (id, customer_id, topic, key, sequence, data) select engine.first_uuid('2026-01-06Z'), gen_random_uuid(), 't', 'k', 1, '{}'").await;
    let days = "select count(*) from pg_class where relname = 'outbox_20260106'";
    story.sql("select engine.drop_events(now() - interval '7 days')").await;
    story.until_count(days, 1).await;
    story.sql("update engine.relay_lanes set upto = 100").await;
    let worker = story.worker_with(retention(None)).await;
    story.until_count(days, 0).await;
    worker.stop().await;
    story.end().await;
}
