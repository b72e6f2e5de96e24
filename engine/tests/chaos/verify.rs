//! Brings what was seen from outside into tables of the suite's own, and asks for each promise what breaks it.

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor, PgConnection, PgPool};
use uuid::Uuid;

use crate::crew::Frozen;
use crate::invariants::ALL;
use crate::load::Ledger;
use crate::outside::{Message, Seen};

/// How many rows that break a promise are shown.
const SHOWN: usize = 5;
/// How exact the machine's uptime is, in seconds.
const TICK: f64 = 0.02;

/// The suite's own tables, and a trigger that notes what is taken from workers.
pub(crate) const TABLES: &str = "
    create schema chaos;
    create table chaos.facts (run_id uuid, step text, iteration integer, seq integer);
    create table chaos.taken (run_id uuid, worker bigint);
    create table chaos.started (run_id uuid);
    create table chaos.cancelled (run_id uuid);
    create table chaos.signals (subject_id uuid, name text, key text);
    create table chaos.accepted (key text, process bigint, asked_at float8, accepted_at float8, frozen boolean);
    create table chaos.turns (line text, at timestamptz);
    create table chaos.woke (run_id uuid, due_at timestamptz, at timestamptz);
    create table chaos.told (place bigint, topic text, key text, sequence bigint);
    create function chaos.note_taken() returns trigger language plpgsql as $$
      begin insert into chaos.taken values (old.run_id, old.worker); return null; end $$;
    create trigger taken after update of worker on engine.jobs for each row
      when (old.worker is not null and new.worker is null) execute function chaos.note_taken();
";

/// Brings everything into the tables; gives how many messages were let go of by a process that froze in the
/// very act.
pub(crate) async fn bring(db: &PgPool, ledger: &Ledger, seen: &Seen, frozen: &[Frozen]) -> usize {
    let mut tx = db.begin().await.unwrap();
    let runs = |runs: &[Uuid]| runs.iter().map(|run| json!({ "run_id": run })).collect();
    fill(&mut tx, "started", runs(&ledger.started)).await;
    fill(&mut tx, "cancelled", runs(&ledger.cancelled)).await;
    let signals = ledger.signals.iter();
    let signals = signals
        .map(|(subject, name, key)| json!({ "subject_id": subject, "name": name, "key": key }));
    fill(&mut tx, "signals", signals.collect()).await;
    let accepted = seen.accepted.iter().map(|(message, accepted_at)| {
        let Message { key, process, asked_at } = message;
        json!({ "key": key, "process": process, "asked_at": asked_at, "accepted_at": accepted_at,
            "frozen": frozen.iter().any(|time| in_the_act(time, message, *accepted_at)) })
    });
    let accepted: Vec<Value> = accepted.collect();
    let in_the_act = accepted.iter().filter(|message| message["frozen"] == true).count();
    fill(&mut tx, "accepted", accepted).await;
    let turns = seen.turns.iter().map(|(line, at)| json!({ "line": line, "at": at }));
    fill(&mut tx, "turns", turns.collect()).await;
    let woke = seen.woke.iter();
    let woke = woke.map(|(run, due, at)| json!({ "run_id": run, "due_at": due, "at": at }));
    fill(&mut tx, "woke", woke.collect()).await;
    let told = seen.told.iter().enumerate().map(|(place, told)| {
        json!({ "place": place, "topic": told.topic, "key": told.key, "sequence": told.sequence })
    });
    fill(&mut tx, "told", told.collect()).await;
    tx.commit().await.unwrap();
    db.execute("analyze").await.unwrap();
    in_the_act
}

async fn fill(tx: &mut PgConnection, table: &str, rows: Vec<Value>) {
    let statement = format!(
        "insert into chaos.{table} select * from json_populate_recordset(null::chaos.{table}, $1::json)"
    );
    let rows = Value::from(rows).to_string();
    sqlx::query(AssertSqlSafe(statement)).bind(rows).execute(tx).await.unwrap();
}

/// Whether a process stood still between the instant at which its step let go of a message and the one at
/// which the provider had it. No client can know then that its time is over; only a provider could.
fn in_the_act(time: &Frozen, message: &Message, accepted_at: f64) -> bool {
    message.process == time.process
        && message.asked_at <= time.from + TICK
        && accepted_at >= time.until - TICK
}

/// Asks for each promise what breaks it; says what was found, and how many are broken.
pub(crate) async fn check(db: &PgPool) -> usize {
    let mut broken = 0;
    for invariant in ALL {
        let found: Vec<String> = sqlx::query_scalar(invariant.broken).fetch_all(db).await.unwrap();
        let word = if found.is_empty() { "holds" } else { "BROKEN" };
        println!("{:<4} {word:<7} {}", invariant.name, invariant.says);
        for row in found.iter().take(SHOWN) {
            println!("       {row}");
        }
        if found.len() > SHOWN {
            println!("       and {} more", found.len() - SHOWN);
        }
        if let Some(row) = found.first() {
            tell_of(db, row).await;
        }
        broken += usize::from(!found.is_empty());
    }
    broken
}

/// Prints the history of the run that a row names, if it names one.
async fn tell_of(db: &PgPool, row: &str) {
    let words = row.split(|letter: char| letter != '-' && !letter.is_ascii_hexdigit());
    let Some(run) = words.filter_map(|word| word.parse::<Uuid>().ok()).next() else { return };
    let rows: Vec<String> = sqlx::query_scalar(
        "select concat_ws(' ', seq, at::time, pg_xact_commit_timestamp(xmin)::time, kind, step, iteration, attempt, actor,
           data)
         from engine.history where run_id = $1 order by seq",
    )
    .bind(run)
    .fetch_all(db)
    .await
    .unwrap();
    println!("       {run}:");
    for row in rows {
        println!("         {row}");
    }
}
