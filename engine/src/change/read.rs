//! What is read of runs before their version changes. Locks nothing: whoever writes names the row of history
//! up to which it had read.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use crate::run::{self, Waited};

/// A run as its row and the last of its history say.
pub(super) struct Row {
    pub(super) id: Uuid,
    pub(super) customer_id: Uuid,
    pub(super) subject_id: Uuid,
    pub(super) root_id: Option<Uuid>,
    pub(super) definition_id: i64,
    pub(super) zone: String,
    pub(super) state: String,
    pub(super) step: String,
    pub(super) iteration: i32,
    pub(super) seq: i32,
    pub(super) inbox: i32,
    pub(super) next_at: Option<DateTime<Utc>>,
    /// What a pause left of the delay, in microseconds.
    pub(super) remaining: Option<i64>,
    /// The attempts that its step has used.
    pub(super) attempt: i16,
    pub(super) changed_at: DateTime<Utc>,
    pub(super) intends: bool,
    pub(super) leased: bool,
    pub(super) data: Value,
    /// What its history says of its wait.
    pub(super) waited: Waited,
    /// The last row of its history.
    pub(super) last_kind: String,
    pub(super) last_data: Option<Value>,
}

/// These runs, those that are open, in the order of their ids.
pub(super) async fn rows(
    db: &mut PgConnection,
    customer_id: Uuid,
    ids: &[Uuid],
) -> Result<Vec<Row>, sqlx::Error> {
    let mut waited = run::waited(&mut *db, ids).await?;
    let rows = sqlx::query!(
        r#"select r.id, r.customer_id, r.subject_id, r.root_id, r.definition_id, r.zone, r.state, r.step,
             r.iteration, r.seq, r.inbox, r.next_at,
             (extract(epoch from r.remaining) * 1000000)::bigint as remaining, r.attempt, r.changed_at,
             r.intent is not null as "intends!", j.worker is not null as "leased!", r.data,
             l.kind as last_kind, l.data as last_data
           from engine.runs r
           join engine.history l on l.run_id = r.id and l.seq = r.seq
           left join engine.jobs j on j.run_id = r.id
           where r.id = any($1) and r.customer_id = $2 and r.ended_at is null order by r.id"#,
        ids,
        customer_id,
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Row {
            id: row.id,
            customer_id: row.customer_id,
            subject_id: row.subject_id,
            root_id: row.root_id,
            definition_id: row.definition_id,
            zone: row.zone,
            state: row.state,
            step: row.step,
            iteration: row.iteration,
            seq: row.seq,
            inbox: row.inbox,
            next_at: row.next_at,
            remaining: row.remaining,
            attempt: row.attempt,
            changed_at: row.changed_at,
            intends: row.intends,
            leased: row.leased,
            data: row.data,
            waited: waited.remove(&row.id).unwrap_or_default(),
            last_kind: row.last_kind,
            last_data: row.last_data,
        })
        .collect())
}

/// The steps that runs have done, by the ids that these have in the version that each run follows now.
pub(super) async fn finished(
    db: &mut PgConnection,
    ids: &[Uuid],
) -> Result<BTreeMap<Uuid, BTreeSet<String>>, sqlx::Error> {
    let rows = sqlx::query!(
        "select run_id, kind, step, data -> 'renamed' as renamed from engine.history
         where run_id = any($1) and kind in ('step.done', 'run.migrated') order by run_id, seq",
        ids,
    )
    .fetch_all(db)
    .await?;
    let mut finished: BTreeMap<Uuid, BTreeSet<String>> = BTreeMap::new();
    for row in rows {
        let steps = finished.entry(row.run_id).or_default();
        if row.kind == "step.done" {
            steps.extend(row.step);
        } else {
            for (was, is) in row.renamed.as_ref().and_then(Value::as_object).into_iter().flatten() {
                if steps.contains(was) {
                    steps.extend(is.as_str().map(str::to_owned));
                }
            }
        }
    }
    Ok(finished)
}

/// How many open runs of a version stand where.
pub(super) struct Count {
    pub(super) definition_id: i64,
    pub(super) step: String,
    pub(super) state: String,
    pub(super) runs: i64,
}

/// How many open runs of these versions stand where.
pub(super) async fn counts(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    versions: &[i64],
) -> Result<Vec<Count>, sqlx::Error> {
    sqlx::query_as!(
        Count,
        r#"select definition_id as "definition_id!", step as "step!", state as "state!", count(*) as "runs!"
           from engine.run_states
           where customer_id = $1 and definition_id = any($2) and ended_at is null
           group by definition_id, step, state order by definition_id, step, state"#,
        customer_id,
        versions,
    )
    .fetch_all(db)
    .await
}

/// Open runs of a version that stand at these steps, in the order of their ids, behind one.
pub(super) async fn standing(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    version: i64,
    steps: &[String],
    after: Uuid,
    limit: i64,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select id from engine.runs
         where customer_id = $1 and ended_at is null and id > $4 and definition_id = $2 and step = any($3)
         order by id limit $5",
        customer_id,
        version,
        steps,
        after,
        limit,
    )
    .fetch_all(db)
    .await
}

/// How many open runs of a version stand at a step under a limit.
pub(super) struct LimitedCount {
    pub(super) definition_id: i64,
    pub(super) step: String,
    pub(super) name: Option<String>,
    pub(super) runs: i64,
}

/// How many open runs of these versions stand where, by the name under which a kind of limit counts them.
pub(super) async fn counts_by_limit(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    versions: &[i64],
    kind: &str,
) -> Result<Vec<LimitedCount>, sqlx::Error> {
    sqlx::query_as!(
        LimitedCount,
        r#"select definition_id, step, limit_keys ->> $3 as name, count(*) as "runs!" from engine.runs
           where customer_id = $1 and definition_id = any($2) and ended_at is null group by 1, 2, 3"#,
        customer_id,
        versions,
        kind,
    )
    .fetch_all(db)
    .await
}
