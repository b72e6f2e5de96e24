//! Many runs at once, with everything that may happen to them: none is lost, and each history adds up.

use engine::run::{Action, Change};
use uuid::Uuid;

use super::story::Story;

const STEPS: &str = "[[steps]]\nid = \"a\"\ntype = \"act\"\n[[steps]]\nid = \"nap\"\ntype = \"sleep\"\nminutes = 10\n[[steps]]\nid = \"ear\"\ntype = \"listen\"\nsignal = \"ping\"\nminutes = 30\n[[steps]]\nid = \"s\"\ntype = \"send\"\n[[steps]]\nid = \"f\"\ntype = \"act\"\ndoes = \"fact\"\n";

async fn disturb(story: &Story, run: Uuid, turn: usize) {
    match turn % 7 {
        0 => assert!(story.signal(run, "ping", "k").await),
        1 => assert!(story.signal(run, "stop", "k").await),
        2 | 4 => assert_ne!(story.ask(run, Action::Pause).await, Change::NotFound),
        3 => assert_ne!(story.ask(run, Action::Cancel).await, Change::NotFound),
        _ => {}
    }
    if turn % 7 == 4 {
        story.ask(run, Action::Resume).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_disturbed_runs_all_add_up() {
    let story = Story::begin().await;
    let definition = story.define(STEPS).await;
    let runs = story.start_many(definition, 1_000).await;
    let workers = [story.worker().await, story.worker().await];
    for (turn, run) in runs.iter().enumerate() {
        disturb(&story, *run, turn).await;
        if turn % 100 == 0 {
            story.pass(4.0).await;
        }
    }
    for run in &runs {
        story.ask(*run, Action::Resume).await;
    }
    story
        .until_count("select count(*) from engine.runs where step = 'a' and state = 'live'", 0)
        .await;
    story.pass(11.0).await;
    story
        .until_count("select count(*) from engine.runs where step = 'nap' and state = 'live'", 0)
        .await;
    story.pass(31.0).await;
    story.until_count("select count(*) from engine.runs where ended_at is null", 0).await;
    story.until_count("select count(*) from engine.runs", 1_000).await;
    story.until_count("select count(*) from engine.jobs", 0).await;
    let facts = "select count(*) from facts f full join (select id from engine.runs where state = 'completed') r on r.id = f.run_id where f.run_id is null";
    story.until_count(facts, 0).await;
    for worker in workers {
        worker.stop().await;
    }
    story.end().await;
}
