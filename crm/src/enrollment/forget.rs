//! What stays of an enrollment whose run the engine forgets: how it ended, and where.

use engine::fact::RunFact;
use sqlx::PgConnection;
use uuid::Uuid;

/// Keeps the last words of finished runs; those that are no enrollments leave nothing.
pub(crate) async fn forget(tx: &mut PgConnection, runs: &[RunFact]) -> Result<(), sqlx::Error> {
    let customers: Vec<Uuid> = runs.iter().map(|run| run.customer_id).collect();
    let ids: Vec<Uuid> = runs.iter().map(|run| run.run_id).collect();
    let steps: Vec<String> = runs.iter().map(|run| run.step.clone()).collect();
    let word = |run: &RunFact, name: &str| run.data[name].as_str().map(str::to_owned);
    let states: Vec<Option<String>> = runs.iter().map(|run| word(run, "state")).collect();
    let reasons: Vec<Option<String>> = runs.iter().map(|run| word(run, "reason")).collect();
    let ends: Vec<_> = runs.iter().map(|run| run.at).collect();
    sqlx::query!(
        "update enrollments e set ended_state = f.state, ended_step = f.step, ended_reason = f.reason, ended_at = f.at
         from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])
           as f(customer_id, id, step, state, reason, at)
         where e.customer_id = f.customer_id and e.id = f.id",
        &customers,
        &ids,
        &steps,
        &states as &[Option<String>],
        &reasons as &[Option<String>],
        &ends,
    )
    .execute(tx)
    .await?;
    Ok(())
}
