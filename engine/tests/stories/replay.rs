//! What a run's history adds up to, and that it is what the run's row says.

use engine::run::{self, HistoryRow};
use sqlx::PgPool;
use uuid::Uuid;

/// The state and the step that a history adds up to.
pub(crate) fn replay(history: &[HistoryRow]) -> (&'static str, String) {
    let mut state = "live";
    let mut step = String::new();
    for row in history {
        let ended = matches!(state, "completed" | "exited" | "cancelled");
        match row.kind.as_str() {
            "run.started" => step = row.step.clone().expect("a run starts at a step"),
            "run.resumed" | "run.retried" => state = "live",
            "run.paused" => state = "paused",
            "run.held" => state = "held",
            "run.completed" => state = "completed",
            "run.exited" => state = "exited",
            "run.cancelled" => state = "cancelled",
            "step.intended" | "step.waiting" | "step.deferred" => {}
            "step.done" | "step.skipped" | "step.failed" => {
                let to = row.data.as_ref().and_then(|data| data["to"].as_str());
                if let Some(to) = to.filter(|_| !ended) {
                    step = to.to_owned();
                }
            }
            other => panic!("a history row of unknown kind {other}"),
        }
    }
    (state, step)
}

/// Every run: no gaps, at most one end, and the row says what the history says. None is lost, and what a
/// live run stands in is there.
pub(crate) async fn check_all(db: &PgPool) {
    let rows: Vec<(Uuid, String, String, i32, String, bool, bool)> = sqlx::query_as(
        "select r.id, r.state, r.step, r.seq, r.place, j.run_id is not null, t.run_id is not null
         from engine.runs r left join engine.jobs j on j.run_id = r.id
         left join engine.timers t on t.run_id = r.id",
    )
    .fetch_all(db)
    .await
    .unwrap();
    for (id, state, step, seq, place, job, timer) in rows {
        let history = run::history(db, None, id, -1).await.unwrap();
        let numbers: Vec<i32> = history.iter().map(|row| row.seq).collect();
        assert_eq!(numbers, (0..=seq).collect::<Vec<_>>(), "the history of {id} has gaps");
        assert_eq!(replay(&history), (state.as_str(), step), "{id}: {history:#?}");
        let ends = ["run.completed", "run.exited", "run.cancelled"];
        let ended = history.iter().filter(|row| ends.contains(&row.kind.as_str())).count();
        assert_eq!(ended, usize::from(ends.contains(&format!("run.{state}").as_str())));
        match (state.as_str(), place.as_str()) {
            ("live", "signal") => assert!(!job && !timer, "{id} waits, and has a job or a timer"),
            ("live", _) => assert!(job != timer, "{id}: job {job}, timer {timer}"),
            _ => assert!(!timer, "{id} rests, and has a timer"),
        }
    }
}
