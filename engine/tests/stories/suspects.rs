//! Jobs that several workers died with, and in which order they are tried again.

use uuid::Uuid;

use super::story::Story;

/// The job that the worker has begun alone, while it blocks; those before it may still be recorded.
async fn begun(story: &Story, before: &[Uuid]) -> Uuid {
    story.board.blocked.acquire().await.unwrap().forget();
    sqlx::query_scalar("select run_id from engine.jobs where begun and run_id <> all($1)")
        .bind(before)
        .fetch_one(&story.db)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspect_that_a_worker_died_with_lets_the_others_go_first() {
    let story = Story::begin().await;
    let definition =
        story.define("[[steps]]\nid = \"a\"\ntype = \"act\"\ndoes = \"block\"\n").await;
    let runs = story.start_many(definition, 4).await;
    story.sql("update engine.jobs set worker = 999, claimed_at = now(), crashes = 3").await;
    let again =
        format!("update engine.jobs set crashes = 4, begun = true where run_id = '{}'", runs[0]);
    story.sql(&again).await;
    let once = format!("update engine.jobs set begun = true where run_id = '{}'", runs[1]);
    story.sql(&once).await;
    let worker = story.worker().await;
    let mut order = Vec::new();
    for _ in &runs {
        let next = begun(&story, &order).await;
        order.push(next);
        story.board.gate.add_permits(1);
    }
    assert_eq!(order[2..], [runs[1], runs[0]], "{runs:?} {order:?}");
    for run in runs {
        story.until(run, "completed").await;
    }
    worker.stop().await;
    story.end().await;
}
