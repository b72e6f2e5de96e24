//! Limits: how often, how fast and how many at once steps may act, per mailbox, domain, customer, step type.
//!
//! Owns `engine.limits`: a row per limit holds its rule and everything that decides by it, so that whoever
//! holds the row's lock decides. A step names kinds; its run says by which name each kind counts it, and a
//! kind without a row limits nothing. Waiting and granting are the worker's (`worker::grant`).

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::postgres::types::PgInterval;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use crate::context::draw_for;
use crate::definition::StepDefinition;
use crate::timing::Zone;

/// The kind of limit that counts all limited steps of a customer; its name is empty.
pub const CUSTOMER: &str = "customer";
/// The kind of limit that counts the steps of one type of a customer; its name is the type.
pub const STEP: &str = "step";
/// The most that one sliding window lets through.
pub const MOST_PER_WINDOW: u32 = 200;

/// What a limit allows; everything that stands must allow a step.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rule {
    /// The least time between two grants.
    pub gap: Option<Gap>,
    /// How many steps at once.
    pub at_once: Option<u32>,
    /// How many in any window of a length.
    pub rate: Option<Rate>,
    /// How many on a local day.
    pub daily: Option<Daily>,
}

/// The least time between two grants, and up to what share of it is added at random.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gap {
    /// The least.
    pub least: Duration,
    /// What share is added at the most, 0 to 10.
    pub jitter: f32,
}

/// At most `cap` (1 to 200) in any window of this length.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// How many.
    pub cap: u32,
    /// The window's length.
    pub per: Duration,
}

/// At most `cap` on a day of `zone`; with a ramp, `ramp` on the first day and so many more each day.
#[derive(Debug, Clone, PartialEq)]
pub struct Daily {
    /// How many, once the ramp has reached it.
    pub cap: u32,
    /// The first day's cap, and by how much it grows a day.
    pub ramp: Option<u32>,
    /// Where the day begins and ends.
    pub zone: Zone,
}

/// Why a rule can't be set.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// The text says which part, and what to write.
    #[error("{0}")]
    Impossible(String),
    /// The database refused.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Sets the rule of a limit; what was granted under the rule before still counts.
///
/// # Errors
/// `Impossible` for a rule that lets nothing through or more than can be counted.
pub async fn set(
    tx: &mut PgConnection,
    customer_id: Uuid,
    kind: &str,
    name: &str,
    rule: &Rule,
) -> Result<(), RuleError> {
    check(rule)?;
    let gap = rule.gap.unwrap_or(Gap { least: Duration::ZERO, jitter: 0.0 });
    let daily = rule.daily.as_ref();
    sqlx::query!(
        "insert into engine.limits (customer_id, kind, name, gap, gap_jitter, max_running, cap, per, daily_cap,
           daily_ramp, ramp_from, zone, budget_until)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, case when $10::int is not null then $12::date end, $11,
           case when $9::int is null then 'infinity' else '-infinity' end::timestamptz)
         on conflict (customer_id, kind, name) do update set gap = excluded.gap, gap_jitter = excluded.gap_jitter,
           max_running = excluded.max_running, cap = excluded.cap, per = excluded.per,
           daily_cap = excluded.daily_cap, daily_ramp = excluded.daily_ramp,
           ramp_from = coalesce(limits.ramp_from, excluded.ramp_from), zone = excluded.zone,
           budget_left = case when excluded.daily_cap is null then null
             when limits.budget_left is null then null
             else greatest(0, excluded.daily_cap - (coalesce(limits.daily_cap, 0) - limits.budget_left)) end,
           budget_until = case when excluded.daily_cap is null then 'infinity'
             when limits.budget_left is null then '-infinity' else limits.budget_until end,
           wake_at = case when limits.waiting > 0 then engine.now() else limits.wake_at end",
        customer_id,
        kind,
        name,
        interval(gap.least)?,
        gap.jitter,
        rule.at_once.map(u32::cast_signed),
        rule.rate.map(|rate| rate.cap.cast_signed()),
        rule.rate.map(|rate| interval(rate.per)).transpose()?,
        daily.map(|daily| daily.cap.cast_signed()),
        daily.and_then(|daily| daily.ramp).map(u32::cast_signed),
        daily.map_or("UTC", |daily| daily.zone.name()),
        match daily {
            Some(daily) => Some(daily.zone.wall(crate::clock::now(&mut *tx).await?).date()),
            None => None,
        },
    )
    .execute(tx)
    .await?;
    Ok(())
}

fn check(rule: &Rule) -> Result<(), RuleError> {
    let refuse = |text: String| Err(RuleError::Impossible(text));
    if rule.at_once == Some(0) {
        return refuse("a limit of 0 at once lets nothing through; pause instead".into());
    }
    if let Some(rate) = rule.rate
        && (!(1..=MOST_PER_WINDOW).contains(&rate.cap) || rate.per.is_zero())
    {
        return refuse(format!(
            "a rate counts 1 to {MOST_PER_WINDOW} in a window; write a shorter window, such as 100 per 6 minutes"
        ));
    }
    if rule.daily.as_ref().is_some_and(|daily| daily.cap == 0 || daily.ramp == Some(0)) {
        return refuse("a daily cap of 0 lets nothing through; pause instead".into());
    }
    if rule.gap.is_some_and(|gap| !(0.0..=10.0).contains(&gap.jitter)) {
        return refuse("a gap's jitter is a share of it, from 0 to 10".into());
    }
    Ok(())
}

fn interval(length: Duration) -> Result<PgInterval, RuleError> {
    PgInterval::try_from(length)
        .map_err(|_| RuleError::Impossible("a limit's times are whole microseconds".into()))
}

/// A limit as people read it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LimitRow {
    /// Such as `mailbox`.
    pub kind: String,
    /// Such as a mailbox's id.
    pub name: String,
    /// How many steps wait in its line.
    pub waiting: i32,
    /// How many act now.
    pub running: i32,
    /// What is left of the day's budget, where there is one.
    pub budget_left: Option<i32>,
    /// When it is looked at again, where anybody waits.
    pub opens_at: Option<DateTime<Utc>>,
}

/// The limits of a customer, by kind and name, after a pair; at most `limit` (bounded to 1,000).
///
/// # Errors
/// What the statement returned.
pub async fn list(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    after: (&str, &str),
    limit: u32,
) -> Result<Vec<LimitRow>, sqlx::Error> {
    sqlx::query_as!(
        LimitRow,
        "select kind, name, waiting, running, budget_left,
           case when waiting > 0 then nullif(greatest(wake_at, engine.now()), 'infinity') end as opens_at
         from engine.limits where customer_id = $1 and (kind, name) > ($2, $3) order by kind, name limit $4",
        customer_id,
        after.0,
        after.1,
        i64::from(limit.min(1_000)),
    )
    .fetch_all(db)
    .await
}

/// What a run waits for in the line of a limit.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// The limit in whose line it stands.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// How many stand before it, counted up to 1,000.
    pub ahead: i64,
    /// The runs at the head of the line, before it; at most 5.
    pub next: Vec<Uuid>,
    /// When the limit is looked at again.
    pub opens_at: Option<DateTime<Utc>>,
}

/// The line in which a run stands, if it stands in one.
///
/// # Errors
/// What the statement returned.
pub async fn line_of(db: impl PgExecutor<'_>, run_id: Uuid) -> Result<Option<Line>, sqlx::Error> {
    sqlx::query_as!(
        Line,
        r#"select l.kind, l.name,
             (select count(*) from (select from engine.lane_jobs a
                where a.lane = q.lane and (a.pass, a.run_id) < (q.pass, q.run_id) limit 1000) a) as "ahead!",
             array(select a.run_id from engine.lane_jobs a
               where a.lane = q.lane and (a.pass, a.run_id) < (q.pass, q.run_id)
               order by a.pass, a.run_id limit 5) as "next!: Vec<Uuid>",
             nullif(greatest(l.wake_at, engine.now()), 'infinity') as opens_at
           from engine.lane_jobs q join engine.limits l on l.id = q.lane where q.run_id = $1"#,
        run_id,
    )
    .fetch_optional(db)
    .await
}

/// The limits that count a step of a run, each as its kind and its name; the first that has a rule is the run's
/// line. `named` says by which name each kind counts the run.
pub(crate) fn keys<'a>(step: &'a StepDefinition, named: &'a Value) -> Vec<[&'a str; 2]> {
    let key = |kind: &'a String| match kind.as_str() {
        CUSTOMER => Some([CUSTOMER, ""]),
        STEP => Some([STEP, step.kind]),
        kind => Some([kind, named.get(kind)?.as_str()?]),
    };
    step.limits.iter().filter_map(key).collect()
}

/// How much of each gap's jitter a run adds when it takes its turn, 0 to 1.
pub(crate) fn share(definition: &str, subject_id: Uuid, step: &str, iteration: i32) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "a spread needs no exact draw")]
    let share = draw_for(definition, subject_id, step, iteration, "gap") as f32 / u64::MAX as f32;
    share
}

/// A limit that has a cap for the day.
pub(crate) struct Capped {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) cap: i32,
    pub(crate) ramp: Option<i32>,
    pub(crate) ramp_from: Option<chrono::NaiveDate>,
    pub(crate) zone: Zone,
    /// What is left of today's, where today has been counted.
    pub(crate) left_today: Option<i32>,
}

/// The limits of a customer that have a cap for the day, by kind and name; at most 1,000.
pub(crate) async fn daily(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
) -> Result<Vec<Capped>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select kind, name, daily_cap as "cap!", daily_ramp, ramp_from, zone,
             case when budget_until > engine.now() then budget_left end as left_today
           from engine.limits where customer_id = $1 and daily_cap is not null order by kind, name limit 1000"#,
        customer_id,
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Capped {
            kind: row.kind,
            name: row.name,
            cap: row.cap,
            ramp: row.daily_ramp,
            ramp_from: row.ramp_from,
            zone: Zone::parse(&row.zone).unwrap_or_else(|_| Zone::utc()),
            left_today: row.left_today,
        })
        .collect())
}

/// The instant at which the local day of a zone ends, and the cap of that day.
pub(crate) fn day(
    now: DateTime<Utc>,
    zone: &Zone,
    cap: i32,
    ramp: Option<i32>,
    ramp_from: Option<chrono::NaiveDate>,
) -> (DateTime<Utc>, i32) {
    let today = zone.wall(now).date();
    let tomorrow = today.succ_opt().unwrap_or(today);
    let ends = zone.resolve(tomorrow.and_time(chrono::NaiveTime::MIN));
    let budget = match (ramp, ramp_from) {
        (Some(ramp), Some(from)) => {
            let days = i32::try_from((today - from).num_days().max(0)).unwrap_or(i32::MAX);
            ramp.saturating_mul(days.saturating_add(1)).min(cap)
        }
        (_, _) => cap,
    };
    (ends, budget)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instant(text: &str) -> DateTime<Utc> {
        text.parse().expect("an instant")
    }

    #[test]
    fn a_day_ends_at_local_midnight_also_where_the_clock_changes() {
        let vienna = Zone::parse("Europe/Vienna").expect("a zone");
        let (ends, cap) = day(instant("2026-10-25T00:30:00Z"), &vienna, 50, None, None);
        assert_eq!((ends, cap), (instant("2026-10-25T23:00:00Z"), 50));
    }

    #[test]
    fn a_ramp_grows_day_by_day_up_to_the_cap() {
        let utc = Zone::utc();
        let from = Some("2026-11-20".parse().expect("a date"));
        let cap = |at: &str| day(instant(at), &utc, 50, Some(20), from).1;
        assert_eq!(cap("2026-11-20T09:00:00Z"), 20);
        assert_eq!(cap("2026-11-21T09:00:00Z"), 40);
        assert_eq!(cap("2026-11-22T09:00:00Z"), 50);
    }

    #[test]
    fn a_rule_that_lets_nothing_through_is_refused() {
        let none = Rule { at_once: Some(0), ..Rule::default() };
        assert!(check(&none).is_err());
        let many =
            Rule { rate: Some(Rate { cap: 201, per: Duration::from_secs(60) }), ..Rule::default() };
        assert!(check(&many).is_err());
        assert!(check(&Rule::default()).is_ok());
    }
}
