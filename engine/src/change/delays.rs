//! Whose delays move with a change, and by how much. Each sleeper's step is asked anew, as it will be when the
//! change is applied, a page at a time, up to a bound.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::difference::Kind;
use super::mover::Mover;
use super::plan::Places;
use super::read;
use super::route::{Lead, Route};
use crate::definition_store::Definitions;

/// How many runs of a version are looked at, one by one.
pub(super) const RUNS: usize = 50_000;
/// How many at once.
pub(super) const PAGE: i64 = 500;

/// By what runs are looked at: definitions, customer, route, and the instant.
pub(super) type LookedAt<'a> = (&'a Definitions, Uuid, &'a Route, DateTime<Utc>);

/// The delays of one step that move. Seconds; negative is earlier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Delayed {
    /// The step at which the runs wait.
    pub step: String,
    /// How many go on at another instant.
    pub runs: i64,
    /// How many of them go on at once, because what is new is over already.
    pub at_once: i64,
    /// How many from now on wait without end, or with one where there was none.
    pub endless: i64,
    /// By how much the one moves that moves the least towards later.
    pub least_seconds: Option<i64>,
    /// By how much the middle one moves.
    pub median_seconds: Option<i64>,
    /// By how much the one moves that moves the most towards later.
    pub most_seconds: Option<i64>,
}

/// How one delay moves.
pub(super) struct Moved {
    /// By how many seconds, where both have an end.
    pub(super) seconds: Option<i64>,
    pub(super) at_once: bool,
}

/// Finds them; says also whether there were more runs than are looked at.
pub(super) async fn find(
    db: &mut PgConnection,
    (definitions, customer_id, route, now): LookedAt<'_>,
    places: &[Places],
) -> Result<(Vec<Delayed>, bool), sqlx::Error> {
    let steps: Vec<String> = places
        .iter()
        .filter(|place| may_move(route, place))
        .map(|place| place.step.clone())
        .collect();
    let (Some(version), false) = (route.old.id, steps.is_empty()) else {
        return Ok((Vec::new(), false));
    };
    let finished = BTreeSet::new();
    let mover = Mover { definitions, route, now, finished: &finished };
    let mut moved: BTreeMap<String, Vec<Moved>> = BTreeMap::new();
    let (mut after, mut looked_at) = (Uuid::nil(), 0);
    loop {
        let ids = read::standing(&mut *db, customer_id, version, &steps, after, PAGE).await?;
        let Some(last) = ids.last() else { break };
        after = *last;
        looked_at += ids.len();
        for row in read::rows(db, customer_id, &ids).await? {
            if let Some(one) = mover.moved(&row).await {
                moved.entry(row.step.clone()).or_default().push(one);
            }
        }
        if looked_at >= RUNS {
            return Ok((summed(moved), true));
        }
    }
    Ok((summed(moved), false))
}

fn may_move(route: &Route, place: &Places) -> bool {
    match &place.leads {
        Lead::Stand(to) => {
            *to != place.step
                || route.difference.of(to).is_some_and(|step| step.kind >= Kind::Timing)
        }
        Lead::Enter(_) | Lead::Exit | Lead::Stay | Lead::Vanish => false,
    }
}

fn summed(moved: BTreeMap<String, Vec<Moved>>) -> Vec<Delayed> {
    moved.into_iter().map(|(step, moved)| sum(step, &moved)).collect()
}

fn sum(step: String, moved: &[Moved]) -> Delayed {
    let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let mut seconds: Vec<i64> = moved.iter().filter_map(|moved| moved.seconds).collect();
    seconds.sort_unstable();
    Delayed {
        step,
        runs: count(moved.len()),
        at_once: count(moved.iter().filter(|moved| moved.at_once).count()),
        endless: count(moved.len() - seconds.len()),
        least_seconds: seconds.first().copied(),
        median_seconds: seconds.get(seconds.len() / 2).copied(),
        most_seconds: seconds.last().copied(),
    }
}
