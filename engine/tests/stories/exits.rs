//! All runs about a subject that end at once, whatever they do.

use std::time::Duration;

use engine::limit::{Rate, Rule};
use engine::run::{self, Action};
use uuid::Uuid;

use super::limits::set;
use super::story::Story;

const NAP: &str = "[[steps]]\nid = \"nap\"\ntype = \"sleep\"\nminutes = 60\n";
const EAR: &str = "[[steps]]\nid = \"ear\"\ntype = \"listen\"\nsignal = \"ping\"\n";
const REFUSES: &str = "[[steps]]\nid = \"a\"\ntype = \"act\"\ndoes = \"refuse\"\n";
const LANE: &str = "[[steps]]\nid = \"l\"\ntype = \"act\"\nlimits = [\"line\"]\n";
const SENDS: &str = "[[steps]]\nid = \"s\"\ntype = \"send\"\ndoes = \"block\"\n";

impl Story {
    /// Starts a run of these steps under a name of its own.
    async fn started(&self, name: &str, steps: &str) -> Uuid {
        let definition = self.define_as(name, steps).await;
        self.start_many(definition, 1).await[0]
    }

    async fn exit_all(&self, subject: Uuid) -> Vec<Uuid> {
        let mut tx = self.db.begin().await.unwrap();
        let (reason, actor) = ("enough", "user:test");
        let ended = run::exit_all(&mut tx, self.customer, subject, reason, actor).await.unwrap();
        tx.commit().await.unwrap();
        ended
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_runs_about_a_subject_end_in_whatever_state_they_are_and_nothing_acts_any_more() {
    let story = Story::begin().await;
    let hourly = Rate { cap: 1, per: Duration::from_secs(3_600) };
    set(&story, "line", "one", &Rule { rate: Some(hourly), ..Rule::default() }).await;
    let first = story.started("lane", LANE).await;
    let worker = story.worker().await;
    story.until(first, "completed").await;
    let sleeping = story.started("sleeping", NAP).await;
    let paused = story.started("paused", NAP).await;
    let waiting = story.started("waiting", EAR).await;
    let held = story.started("held", REFUSES).await;
    let laned = story.started("lane", LANE).await;
    let running = story.started("running", SENDS).await;
    let other = story.started("sleeping", NAP).await;
    story.until(sleeping, "sleeping").await;
    story.until(paused, "sleeping").await;
    story.until(other, "sleeping").await;
    story.until(waiting, "waiting").await;
    story.until(held, "held").await;
    story.until_count("select count(*) from engine.lane_jobs", 1).await;
    story.ask(paused, Action::Pause).await;
    story.board.blocked.acquire().await.unwrap().forget();
    let all = [sleeping, paused, waiting, held, laned, running];
    let ids = all.map(|id| format!("'{id}'")).join(", ");
    story.sql(&format!("update engine.runs set subject_id = '{first}' where id in ({ids})")).await;

    let mut ended = story.exit_all(first).await;
    ended.sort_unstable();
    let mut wanted = all.to_vec();
    wanted.sort_unstable();
    assert_eq!(ended, wanted);
    for id in all {
        let run = story.run(id).await;
        assert_eq!((run.state.as_str(), run.reason.as_deref()), ("exited", Some("enough")));
        let last = story.history(id).await.pop().unwrap();
        assert_eq!((last.kind.as_str(), last.actor.as_str()), ("run.exited", "user:test"));
    }
    assert_eq!(story.run(other).await.state, "sleeping");
    assert_eq!(story.exit_all(first).await, Vec::<Uuid>::new(), "a second time ends nothing");
    // The step that was under way comes to its intent now, and is refused there.
    story.board.gate.add_permits(1);
    story.until_count("select count(*) from engine.jobs", 0).await;
    assert_eq!((story.board.calls("s"), story.board.calls("sent:s")), (1, 0));
    story.pass(121.0).await;
    story.until(other, "completed").await;
    story.until_count("select count(*) from engine.runs where ended_at is null", 0).await;
    assert_eq!(story.board.calls("l"), 1, "what waited in the lane does not act");
    worker.stop().await;
    story.end().await;
}
