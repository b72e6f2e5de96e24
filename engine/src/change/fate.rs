//! What becomes of one run when its version changes: it goes where its step leads, unless something that it
//! has done, or may have done, forbids it. Pure.

use std::collections::BTreeSet;

use serde::Serialize;
use utoipa::ToSchema;

use super::route::{Lead, Route};
use crate::decision::Memory;

/// A run as far as its version's change is concerned.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'a> {
    /// The step at which it stands.
    pub step: &'a str,
    /// What it remembers.
    pub memory: &'a Memory,
    /// Whether an intent stands of which nobody knows yet whether it was carried out.
    pub intends: bool,
    /// The steps that it has done, by their ids in the version that it leaves.
    pub finished: &'a BTreeSet<String>,
}

/// What becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It stands at this step as it stood.
    Stands(String),
    /// It enters this step anew.
    Enters(String),
    /// It ends.
    Ends,
    /// It keeps its version.
    Stays(Stays),
}

/// Why a run keeps its version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stays {
    /// Nothing maps it, or a map says so.
    Pinned,
    /// Its step is gone, and nothing says what follows.
    Vanishes,
    /// It undoes what it did, and ends by that.
    Undoing,
    /// How to undo a step that it has done would be gone.
    LosesUndo,
    /// Nobody knows yet whether its step has acted.
    Unknown,
    /// It would come again to these steps, which it has done.
    Twice(Vec<String>),
}

/// What becomes of a run.
pub fn fate(route: &Route, run: Standing<'_>) -> Fate {
    let lead = route.leads(run.step);
    let stays = match &lead {
        Lead::Stay => Some(Stays::Pinned),
        Lead::Vanish => Some(Stays::Vanishes),
        Lead::Stand(_) | Lead::Enter(_) | Lead::Exit if run.memory.undoing.is_some() => {
            Some(Stays::Undoing)
        }
        // The intent names its step: elsewhere nobody would ask what became of it.
        Lead::Exit | Lead::Enter(_) if run.intends => Some(Stays::Unknown),
        Lead::Stand(target) if run.intends && target != run.step => Some(Stays::Unknown),
        Lead::Exit => None,
        Lead::Stand(_) | Lead::Enter(_) if route.loses_undo(&run.memory.done) => {
            Some(Stays::LosesUndo)
        }
        Lead::Stand(_) | Lead::Enter(_) => twice(route, &run).map(Stays::Twice),
    };
    match (stays, lead) {
        (Some(stays), _) => Fate::Stays(stays),
        (None, Lead::Stand(step)) => Fate::Stands(step),
        (None, Lead::Enter(step)) => Fate::Enters(step),
        (None, Lead::Exit) => Fate::Ends,
        (None, Lead::Stay | Lead::Vanish) => Fate::Stays(Stays::Pinned),
    }
}

/// The steps to which the run would come again, where there are any.
fn twice(route: &Route, run: &Standing<'_>) -> Option<Vec<String>> {
    let has_done = |new: &String| {
        run.finished.iter().any(|old| route.renamed().get(old).unwrap_or(old) == new)
    };
    let again: Vec<String> = route.new_ahead(run.step).into_iter().filter(has_done).collect();
    (!again.is_empty()).then_some(again)
}
