//! What becomes of a schedule that is due: which occurrence fires, which were missed, and what comes next. Pure.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::CatchUp;
use crate::context::draw;
use crate::timing::{Cron, Zone};

/// How many missed occurrences are counted.
const COUNTED: i32 = 1_000;

/// When a schedule fires.
#[derive(Debug, Clone)]
pub struct Timing {
    /// By which expression.
    pub cron: Cron,
    /// Where its local times count.
    pub zone: Zone,
    /// By how much at the most a fire is put off.
    pub jitter: Duration,
}

/// An occurrence with the instant at which it fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// When it is due.
    pub occurrence_at: DateTime<Utc>,
    /// When it fires: with its share of the jitter.
    pub fire_at: DateTime<Utc>,
}

impl Timing {
    /// The first occurrence of a schedule after an instant.
    pub fn next(&self, schedule_id: Uuid, after: DateTime<Utc>) -> Option<Planned> {
        let occurrence_at = self.cron.next(after, &self.zone)?.at;
        Some(Planned { occurrence_at, fire_at: self.fire_at(schedule_id, occurrence_at) })
    }

    /// The share of the jitter is drawn from schedule and occurrence, and ends before the next occurrence, so
    /// that they fire in their order.
    fn fire_at(&self, schedule_id: Uuid, occurrence_at: DateTime<Utc>) -> DateTime<Utc> {
        let mut span = TimeDelta::from_std(self.jitter).unwrap_or_default();
        if span.is_zero() {
            return occurrence_at;
        }
        if let Some(next) = self.cron.next(occurrence_at, &self.zone) {
            span = span.min(next.at - occurrence_at);
        }
        let at = occurrence_at.timestamp_micros().to_be_bytes();
        let drawn = u128::from(draw(&[schedule_id.as_bytes(), &at]));
        let span = u128::try_from(span.num_microseconds().unwrap_or_default()).unwrap_or_default();
        let share = i64::try_from((span * drawn) >> 64).unwrap_or_default();
        occurrence_at + TimeDelta::microseconds(share)
    }

    /// The last occurrence that fires at or before an instant.
    fn last_due(&self, schedule_id: Uuid, until: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let last = self.cron.last(until, &self.zone)?.at;
        // Only the last may have been put off beyond it.
        if self.fire_at(schedule_id, last) <= until { Some(last) } else { self.before(last) }
    }

    fn before(&self, occurrence_at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let just = occurrence_at - TimeDelta::microseconds(1);
        self.cron.last(just, &self.zone).map(|found| found.at)
    }
}

/// Occurrences in a row that nobody was there to fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Missed {
    /// The first.
    pub(crate) occurrence_at: DateTime<Utc>,
    /// How many, counted up to 1,000.
    pub(crate) count: i32,
}

/// What becomes of a schedule that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) missed: Option<Missed>,
    /// The occurrence that fires.
    pub(crate) fire: Option<DateTime<Utc>>,
    /// Up to when all occurrences are decided.
    pub(crate) settled_at: DateTime<Utc>,
    pub(crate) next: Option<Planned>,
}

/// Decides about a schedule whose next occurrence fires at or before `now`.
///
/// An occurrence is missed when it should have fired over `grace` ago; then the policy decides about all that
/// are due, at most `limit` of which fire one after the other.
pub(crate) fn decide(
    schedule_id: Uuid,
    timing: &Timing,
    occurrence_at: DateTime<Utc>,
    (policy, limit): (CatchUp, u16),
    now: DateTime<Utc>,
    grace: TimeDelta,
) -> Decision {
    let late = now - timing.fire_at(schedule_id, occurrence_at);
    let first = if late <= grace {
        Some(occurrence_at)
    } else {
        match policy {
            CatchUp::Skip => None,
            CatchUp::Last => timing.last_due(schedule_id, now),
            CatchUp::All => nth_last(schedule_id, timing, occurrence_at, limit, now),
        }
    };
    let (fire, settled_at) = match first {
        Some(first) => {
            let fire = first.max(occurrence_at);
            (Some(fire), fire)
        }
        // What is late by less than the grace still fires.
        None => {
            let missed = now - grace - TimeDelta::microseconds(1);
            (None, timing.last_due(schedule_id, missed).unwrap_or(occurrence_at).max(occurrence_at))
        }
    };
    let missed_until = fire.unwrap_or(settled_at + TimeDelta::microseconds(1));
    Decision {
        missed: missed(timing, occurrence_at, missed_until),
        fire,
        settled_at,
        next: timing.next(schedule_id, settled_at),
    }
}

/// The first of the last so many that are due, not before an occurrence.
fn nth_last(
    schedule_id: Uuid,
    timing: &Timing,
    occurrence_at: DateTime<Utc>,
    limit: u16,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let last = timing.last_due(schedule_id, now)?;
    let before = |at: &DateTime<Utc>| timing.before(*at).filter(|at| *at >= occurrence_at);
    std::iter::successors(Some(last), before).take(usize::from(limit)).last()
}

/// The occurrences from one on and before an instant.
fn missed(timing: &Timing, from: DateTime<Utc>, until: DateTime<Utc>) -> Option<Missed> {
    let next = |at: &DateTime<Utc>| timing.cron.next(*at, &timing.zone).map(|found| found.at);
    let most = usize::try_from(COUNTED).unwrap_or_default();
    let count =
        std::iter::successors(Some(from), next).take_while(|at| *at < until).take(most).count();
    let count = i32::try_from(count).unwrap_or(COUNTED);
    (count > 0).then_some(Missed { occurrence_at: from, count })
}

#[cfg(test)]
mod tests;
