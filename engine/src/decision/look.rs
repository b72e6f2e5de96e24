//! Why a run is looked at: what of its inbox, or of the clock, moves it. The worker and whoever rehearses a run
//! ask the same function.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::{Situation, Waiting};
use crate::step::Wake;

/// A signal in a run's inbox.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivered {
    /// The signal's id.
    pub id: Uuid,
    /// Its name, such as `email.replied`.
    pub name: String,
    /// What it carries.
    pub data: Value,
}

impl Delivered {
    /// Why a step that waited for this signal runs again.
    pub fn wake(&self) -> Wake {
        Wake::Signal { name: self.name.clone(), data: self.data.clone() }
    }
}

/// What moves a run, if anything does.
#[derive(Debug, Clone, PartialEq)]
pub enum Look<'a> {
    /// The signal has come for which its step had stopped.
    Heard(&'a Delivered),
    /// A signal of `[exit]` has come.
    Ending(&'a Delivered),
    /// The instant has come for which its step had stopped.
    Due,
    /// Nothing yet.
    Early,
    /// Its step is entered.
    Entering,
}

/// Finds out why a run is looked at. `next_at` is the instant before which it may not go on, unless what it waits
/// for comes.
pub fn look<'a>(
    situation: Situation<'_>,
    inbox: &'a [Delivered],
    next_at: Option<DateTime<Utc>>,
) -> Look<'a> {
    let early = next_at.is_some_and(|at| at > situation.now);
    let awaited = match &situation.memory.waiting {
        // While a failed attempt backs off, the signal that it took up has to wait with it.
        Some(Waiting::Signal { .. }) if situation.position.attempt > 1 && early => None,
        Some(Waiting::Signal { signal, key, .. }) => heard(inbox, signal, key.as_deref()),
        Some(Waiting::Timer { .. }) | None => None,
    };
    if let Some(signal) = awaited {
        return Look::Heard(signal);
    }
    let ends = |signal: &&Delivered| situation.definition.exit_on.contains(&signal.name);
    // What is being undone is undone to the end.
    let ending = inbox.iter().find(ends).filter(|_| situation.memory.undoing.is_none());
    if let Some(signal) = ending {
        return Look::Ending(signal);
    }
    let until = match &situation.memory.waiting {
        None if early => return Look::Early,
        None => return Look::Entering,
        Some(Waiting::Timer { until }) => Some(*until),
        Some(Waiting::Signal { until, .. }) => *until,
    };
    if until.is_some_and(|until| until <= situation.now) && !early {
        Look::Due
    } else {
        Look::Early
    }
}

/// The first signal of this name, and with this key where one is asked for.
pub fn heard<'a>(inbox: &'a [Delivered], name: &str, key: Option<&str>) -> Option<&'a Delivered> {
    inbox.iter().find(|signal| {
        signal.name == name
            && key.is_none_or(|key| signal.data.get("key").and_then(Value::as_str) == Some(key))
    })
}
