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
            "run.skipped" | "run.jumped" | "run.undoing" => {
                step = row.data.as_ref().unwrap()["to"].as_str().unwrap().to_owned();
                state = if state == "paused" { "paused" } else { "live" };
            }
            "run.migrated" => {
                step = row.step.clone().expect("a run that is moved stands at a step")
            }
            "run.paused" => state = "paused",
            "run.held" => state = "held",
            "run.completed" => state = "completed",
            "run.exited" => state = "exited",
            "run.cancelled" => state = "cancelled",
            "step.intended" | "step.waiting" | "step.deferred" | "run.replanned" => {}
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
    let rows: Vec<(Uuid, String, String, i32, String, i32)> = sqlx::query_as(
        "select r.id, r.state, r.step, r.seq, r.place,
           (j.run_id is not null)::int + (t.run_id is not null)::int * 10 + (q.run_id is not null)::int * 100
         from engine.runs r left join engine.jobs j on j.run_id = r.id
         left join engine.timers t on t.run_id = r.id left join engine.lane_jobs q on q.run_id = r.id",
    )
    .fetch_all(db)
    .await
    .unwrap();
    for (id, state, step, seq, place, stands) in rows {
        let history = run::history(db, None, id, -1).await.unwrap();
        let numbers: Vec<i32> = history.iter().map(|row| row.seq).collect();
        assert_eq!(numbers, (0..=seq).collect::<Vec<_>>(), "the history of {id} has gaps");
        assert_eq!(replay(&history), (state.as_str(), step), "{id}: {history:#?}");
        let ends = ["run.completed", "run.exited", "run.cancelled"];
        let ended = history.iter().filter(|row| ends.contains(&row.kind.as_str())).count();
        assert_eq!(ended, usize::from(ends.contains(&format!("run.{state}").as_str())));
        // 1 is a job, 10 a timer, 100 a place in a lane.
        let right: &[i32] = match (state.as_str(), place.as_str()) {
            ("live", "signal") => &[0],
            ("live", _) => &[1, 10, 100],
            _ => &[0, 1],
        };
        assert!(right.contains(&stands), "{id} is {state} in {place}, and stands in {stands}");
    }
    check_limits(db).await;
    let left: Vec<Uuid> = sqlx::query_scalar(
        "select i.run_id from engine.inbox i join engine.runs r on r.id = i.run_id where r.ended_at is not null",
    )
    .fetch_all(db)
    .await
    .unwrap();
    assert_eq!(left, Vec::<Uuid>::new(), "signals to runs that ended");
}

/// What limits count is what stands in their lanes and what is leased under them.
async fn check_limits(db: &PgPool) {
    let wrong: Vec<(String, i32, i64, i32, i64)> = sqlx::query_as(
        "select * from (
           select l.name, l.waiting, (select count(*) from engine.lane_jobs q where q.lane = l.id) as waits,
             l.running, (select count(*) from engine.jobs j where l.id = any(j.granted)) as runs
           from engine.limits l) c where waiting <> waits or running <> runs",
    )
    .fetch_all(db)
    .await
    .unwrap();
    assert_eq!(wrong, Vec::new(), "limits that do not add up");
}
