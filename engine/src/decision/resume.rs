//! Where a paused run goes when a person resumes it. A date is not moved by a pause, a length of time keeps its
//! rest, and a window is asked anew. The resume and whoever explains a paused run ask the same function.

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};

use super::{Situation, Waiting, opening};
use crate::timing::{Delay, Pause};

/// What is known of a paused run's wait.
#[derive(Debug, Clone, PartialEq)]
pub struct Rest {
    /// What was left of its timer at the pause; nothing of a job, `None` without a timer.
    pub left: Option<TimeDelta>,
    /// When it was paused.
    pub paused_at: Option<DateTime<Utc>>,
    /// From when the wait counts in which its step has stopped, where it has.
    pub since: Option<DateTime<Utc>>,
    /// When it was paused since then, with the present pause as the last.
    pub pauses: Vec<Pause>,
    /// Whether it slept until its send window opens.
    pub deferred: bool,
    /// Whether the signal has come for which it waits.
    pub heard: bool,
}

/// Where a resumed run goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resumed {
    /// Its step is looked at now.
    Now,
    /// Its step is looked at now: the instant for which it waits has passed.
    Passed {
        /// That instant.
        until: DateTime<Utc>,
    },
    /// It waits on.
    Waits {
        /// Until then.
        until: DateTime<Utc>,
        /// The local time that is meant by it.
        local: Option<NaiveDateTime>,
        /// Why.
        rule: Rule,
    },
    /// Its step is entered anew, as the date for which it waits has to be read again.
    Anew {
        /// The field that holds the date.
        path: String,
    },
}

/// Why a resumed run waits on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Its step waits, by a delay of its own; the memory's instant moves with it.
    Wait,
    /// Its send window is closed.
    Window,
    /// What was left of a delay that is no wait of its step's, such as the pause before another attempt.
    Rest,
}

/// Decides where a paused run goes.
pub fn resume(situation: Situation<'_>, rest: &Rest) -> Resumed {
    if rest.heard {
        return Resumed::Now;
    }
    if rest.deferred {
        return reopened(situation);
    }
    // What a failed attempt put off is a length of time, whatever its step waits for.
    let used = situation.position.attempt > 1;
    match &situation.memory.waiting {
        _ if used => kept(situation, rest),
        Some(Waiting::Timer { until }) => waits(situation, rest, Some(*until)),
        Some(Waiting::Signal { until, .. }) => waits(situation, rest, *until),
        // Such as a start in the future.
        None => match rest.paused_at.zip(rest.left.filter(|left| *left > TimeDelta::zero())) {
            Some((paused_at, left)) => timed(situation, paused_at + left, None, Rule::Rest),
            None => Resumed::Now,
        },
    }
}

/// When its send window opens, as it is known now.
fn reopened(situation: Situation<'_>) -> Resumed {
    match opening(situation, situation.position.step) {
        Some(until) => {
            let local = Some(situation.zone.wall(until));
            Resumed::Waits { until, local, rule: Rule::Window }
        }
        None => Resumed::Now,
    }
}

fn waits(situation: Situation<'_>, rest: &Rest, until: Option<DateTime<Utc>>) -> Resumed {
    let delay = situation.definition.steps[situation.position.step].step.delay();
    match (until, delay, rest.since) {
        (None, ..) => Resumed::Now,
        (Some(_), Some(Delay::Date { path, .. }), _) => Resumed::Anew { path: path.clone() },
        (Some(_), Some(delay), Some(since)) => {
            let window = situation.definition.timing.window.as_ref();
            let due = delay.due_after(&rest.pauses, since, situation.zone, window, None);
            timed(situation, due.at, due.local, Rule::Wait)
        }
        (Some(_), Some(_), None) | (Some(_), None, _) => kept(situation, rest),
    }
}

/// What was left goes on from now.
fn kept(situation: Situation<'_>, rest: &Rest) -> Resumed {
    match rest.left.filter(|left| *left > TimeDelta::zero()) {
        Some(left) => Resumed::Waits { until: situation.now + left, local: None, rule: Rule::Rest },
        None => Resumed::Now,
    }
}

fn timed(
    situation: Situation<'_>,
    until: DateTime<Utc>,
    local: Option<NaiveDateTime>,
    rule: Rule,
) -> Resumed {
    if until > situation.now {
        Resumed::Waits { until, local, rule }
    } else {
        Resumed::Passed { until }
    }
}

#[cfg(test)]
mod tests;
