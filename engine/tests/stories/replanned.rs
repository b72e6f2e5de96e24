//! Waits that another version of the tz database resolved.

use chrono::TimeDelta;
use engine::run::RunRow;
use engine::timing::tzdb_version;
use engine::worker::{self, Replanned};
use uuid::Uuid;

use super::story::Story;

fn nap(minutes: i64) -> String {
    format!("[[steps]]\nid = \"nap\"\ntype = \"sleep\"\nminutes = {minutes}\n")
}

/// Rewrites what a sleeping run remembers, as if an older version had taken the zone to lie an hour further
/// west than it does: what it meant by the clock on the wall is an hour sooner.
async fn resolved_by_another(story: &Story, run: Uuid) {
    sqlx::query(
        "update engine.runs set meant = meant || jsonb_build_object('tz', '2025b', 'local',
           to_char((meant ->> 'local')::timestamp - interval '1 hour', 'YYYY-MM-DD\"T\"HH24:MI:SS.US'))
         where id = $1 and meant is not null",
    )
    .bind(run)
    .execute(&story.db)
    .await
    .unwrap();
}

async fn sleeping(story: &Story, steps: &str) -> RunRow {
    let run = story.start(steps).await;
    story.until(run, "sleeping").await
}

fn moves(all: &[Replanned], run: Uuid) -> Vec<&Replanned> {
    all.iter().filter(|moved| moved.run_id == run).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_of_the_tz_database_moves_what_was_meant_by_the_clock_and_lists_it() {
    let story = Story::begin().await;
    let worker = story.worker().await;
    let far = sleeping(&story, &nap(180)).await;
    let near = sleeping(&story, &nap(30)).await;
    let right = sleeping(&story, &nap(200)).await;
    let stale = sleeping(&story, &nap(220)).await;
    let length = "[[steps]]\nid = \"ear\"\ntype = \"listen\"\nsignal = \"ping\"\nminutes = 240\n";
    let length = story.start(length).await;
    story.until(length, "waiting").await;
    worker.stop().await;
    for run in [&far, &near, &stale] {
        resolved_by_another(&story, run.run_id).await;
    }
    // As a version leaves it that does not know of it, and has given the run another timer since.
    sqlx::query("update engine.runs set meant = meant || '{\"until\": \"2020-01-01T00:00:00Z\"}' where id = $1")
        .bind(stale.run_id)
        .execute(&story.db)
        .await
        .unwrap();
    sqlx::query("delete from engine.tz_versions").execute(&story.db).await.unwrap();

    let workers = [story.worker().await, story.worker().await];
    story.until_count("select count(*) from engine.replanned", 2).await;
    story.until_count("select walks::bigint from engine.tz_versions", 1).await;
    let all = worker::replanned(&story.db, 10).await.unwrap();
    let moved = moves(&all, far.run_id)[0];
    let due = far.next_at.unwrap();
    assert_eq!((moved.due_from, moved.due_to), (due, due - TimeDelta::hours(1)));
    assert_eq!((moved.tz_from.as_str(), moved.tz_to.as_str()), ("2025b", tzdb_version()));
    assert_eq!(story.run(far.run_id).await.next_at, Some(moved.due_to));
    // What was to come half an hour ago comes now.
    let late = moves(&all, near.run_id)[0];
    assert_eq!(late.due_to, late.at);
    story.until(near.run_id, "completed").await;
    for run in [&right, &stale] {
        assert_eq!(moves(&all, run.run_id), Vec::<&Replanned>::new());
        assert_eq!(story.run(run.run_id).await.next_at, run.next_at);
    }
    assert_eq!(moves(&all, length), Vec::<&Replanned>::new());

    assert_eq!(story.told(far.run_id).await, "started waiting:nap replanned");
    story.pass(119.9).await;
    assert_eq!(story.run(far.run_id).await.state, "sleeping");
    story.pass(0.2).await;
    story.until(far.run_id, "completed").await;
    for worker in workers {
        worker.stop().await;
    }
    story.end().await;
}
