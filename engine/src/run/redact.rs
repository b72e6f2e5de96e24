//! Words that are held of a subject, taken out: numbers, instants and kinds stay, so that histories still add up.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{Action, act};
use crate::definition_store::Definitions;

/// How many runs are ended by one statement.
const AT_ONCE: usize = 500;

/// Whose words are taken out.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// Whose they are.
    pub customer_id: Uuid,
    /// What runs, signals and schedules are about.
    pub subjects: &'a [Uuid],
    /// Runs about them that have ended; those that are open are found.
    pub runs: &'a [Uuid],
    /// The field of events that names them.
    pub field: &'a str,
    /// How it names them.
    pub shown: &'a [String],
}

/// What was redacted, in rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Redacted {
    /// Runs.
    pub runs: i64,
    /// Rows of their histories.
    pub history: i64,
    /// Signals about the subjects.
    pub signals: i64,
    /// Schedules about them, which are gone.
    pub schedules: i64,
    /// Events that name them, sent or not.
    pub events: i64,
}

/// Ends what is open about subjects, and takes the words out of what is held of them: runs and those that they started,
/// signals, schedules, events.
///
/// # Errors
/// What the statements returned.
pub async fn redact(
    tx: &mut PgConnection,
    definitions: &Definitions,
    about: &About<'_>,
    actor: &str,
) -> Result<Redacted, sqlx::Error> {
    let open = sqlx::query_scalar!(
        "select id from engine.runs where customer_id = $1 and subject_id = any($2) and ended_at is null order by id",
        about.customer_id,
        about.subjects,
    )
    .fetch_all(&mut *tx)
    .await?;
    for runs in open.chunks(AT_ONCE) {
        act(tx, definitions, about.customer_id, runs, &Action::Cancel, actor).await?;
    }
    let fired = sqlx::query_scalar!(
        r#"select f.run_id as "run!" from engine.schedules s join engine.schedule_fires f on f.schedule_id = s.id
           where s.customer_id = $1 and s.subject_id = any($2) and f.run_id is not null"#,
        about.customer_id,
        about.subjects,
    )
    .fetch_all(&mut *tx)
    .await?;
    let runs = [about.runs, open.as_slice(), &fired].concat();
    let (runs, history) = redact_runs(&mut *tx, about.customer_id, &runs).await?;
    let told = sqlx::query!(
        r#"with signal as (
             update engine.signals set data = '{}', key = id::text
             where customer_id = $1 and subject_id = any($2) returning id
           ), schedule as (
             delete from engine.schedules where customer_id = $1 and subject_id = any($2) returning id
           ), event as (
             update engine.outbox set data = jsonb_build_object($3::text, data ->> $3)
             where customer_id = $1 and data ->> $3 = any($4) returning seq
           ), parked as (
             update engine.parked set error = 'erased',
               event = event || jsonb_build_object('data', jsonb_build_object($3, event -> 'data' ->> $3))
             where event -> 'data' ->> $3 = any($4)
           )
           select (select count(*) from signal) as "signals!", (select count(*) from schedule) as "schedules!",
             (select count(*) from event) as "events!""#,
        about.customer_id,
        about.subjects,
        about.field,
        about.shown,
    )
    .fetch_one(tx)
    .await?;
    Ok(Redacted {
        runs,
        history,
        signals: told.signals,
        schedules: told.schedules,
        events: told.events,
    })
}

/// Takes the words out of runs that ended, and of those that they started; gives how many those are, and how many rows
/// of history. A reason stays where the definition names it.
async fn redact_runs(
    tx: &mut PgConnection,
    customer_id: Uuid,
    runs: &[Uuid],
) -> Result<(i64, i64), sqlx::Error> {
    let redacted = sqlx::query!(
        r#"with one as (
             select id from engine.runs where customer_id = $1 and id = any($2)
             union select id from engine.runs where customer_id = $1 and root_id = any($2) and parent_id is not null
           ), run as (
             update engine.runs r set data = '{}', observed = '{}', intent = null, meant = null,
               reason = case when r.reason is null or r.reason = any(d.exits || d.hears) then r.reason else 'erased' end
             from one, engine.definitions d where r.id = one.id and d.id = r.definition_id returning r.id, r.reason
           ), told as (
             update engine.history h set data = (
               select coalesce(jsonb_object_agg(key, value), '{}') from jsonb_each(h.data)
               where key in ('to', 'at', 'undoes', 'signal', 'until', 'from', 'rule', 'retry_at', 'tz_from', 'tz_to')
                 or key = 'reason' and value #>> '{}' = run.reason)
             from run where h.run_id = run.id and h.data is not null returning h.run_id
           ), heard as (
             delete from engine.inbox where run_id in (select id from one)
           )
           select (select count(*) from run) as "runs!", (select count(*) from told) as "history!""#,
        customer_id,
        runs,
    )
    .fetch_one(tx)
    .await?;
    Ok((redacted.runs, redacted.history))
}
