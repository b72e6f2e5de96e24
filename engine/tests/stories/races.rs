//! What happens to a run from two sides at the same moment.

use std::time::Duration;

use super::story::Story;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_that_meets_the_end_of_its_run_leaves_nothing_behind() {
    let story = Story::begin().await;
    let run = story.start("[[steps]]\nid = \"ear\"\ntype = \"listen\"\nsignal = \"ping\"\n").await;
    let worker = story.worker().await;
    story.until(run, "waiting").await;
    let mut ending = story.db.begin().await.unwrap();
    sqlx::query(
        "with ended as (
           update engine.runs set state = 'cancelled', place = 'none', wait_signal = null, reason = 'cancelled',
             ended_at = engine.now(), seq = seq + 1
           returning id, seq)
         insert into engine.history (run_id, seq, at, kind, actor)
         select id, seq, engine.now(), 'run.cancelled', 'user:test' from ended",
    )
    .execute(&mut *ending)
    .await
    .unwrap();
    let end = async {
        let waits = "select count(*) from pg_stat_activity
          where datname = current_database() and wait_event_type = 'Lock'";
        story.until_count(waits, 1).await;
        ending.commit().await.unwrap();
    };
    let both = async { tokio::join!(story.signal(run, "ping", "1"), end) };
    let (fresh, ()) = tokio::time::timeout(Duration::from_secs(30), both).await.unwrap();
    assert!(fresh);
    story.until_count("select count(*) from engine.inbox", 0).await;
    assert_eq!(story.told(run).await, "started waiting:ear cancelled");
    worker.stop().await;
    story.end().await;
}
