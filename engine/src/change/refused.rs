//! Why a plan can't be applied, who stands in the way, and what to write so that it can. Pure.

use serde::Serialize;
use utoipa::ToSchema;

use super::plan::Places;
use super::route::{Lead, Route, Way};
use super::twice::Again;
use crate::definition_store::VersionRow;
use crate::id;

/// The reasons against a plan.
pub const REASONS: [&str; 2] = ["vanishes", "twice"];

/// One reason against a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = RefusedChange)]
pub struct Refused {
    /// `vanishes`: runs stand at a step that is gone. `twice`: runs would come again to what they have done.
    pub reason: &'static str,
    /// The version that those runs follow.
    pub version: i32,
    /// The step at which they stand.
    pub step: String,
    /// How many.
    pub runs: i64,
    /// Some of them (`run_…`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sample: Vec<String>,
    /// The steps to which they would come again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub again: Vec<String>,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

/// What stands against bringing the runs of a version over.
pub(super) fn of(
    row: &VersionRow,
    route: &Route,
    places: &[Places],
    again: &[Again],
) -> Vec<Refused> {
    let gone = places.iter().filter(|place| vanishes(row, route, place));
    let vanishing = gone.map(|place| vanishing(row, place));
    vanishing.chain(again.iter().map(|again| doubling(row, again))).collect()
}

/// Whether runs stand at a step that is gone. Runs of a version that was left before, and that nothing maps,
/// keep it as they have.
fn vanishes(row: &VersionRow, route: &Route, place: &Places) -> bool {
    let is_gone = route.new.definition.index_of(&place.step).is_none();
    match (&place.leads, &route.way) {
        (Lead::Vanish, _) => true,
        (Lead::Stay, Way::Pinned) => is_gone && row.current,
        (Lead::Stay | Lead::Stand(_) | Lead::Enter(_) | Lead::Exit, _) => false,
    }
}

fn vanishing(row: &VersionRow, place: &Places) -> Refused {
    let Places { step, runs, .. } = place;
    let (noun, stand) = if *runs == 1 { ("run", "stands") } else { ("runs", "stand") };
    Refused {
        reason: "vanishes",
        version: row.version,
        step: step.clone(),
        runs: *runs,
        sample: Vec::new(),
        again: Vec::new(),
        message: format!(
            "{runs} {noun} of version {} {stand} at `{step}`, which is gone",
            row.version
        ),
        help: format!(
            "say where they go: `[[migrate]]` with `map = {{ {step} = \"…\" }}`, the id of a step, \"exit\", or \
             \"stay\" to let them keep version {}",
            row.version
        ),
    }
}

fn doubling(row: &VersionRow, again: &Again) -> Refused {
    let Again { step, runs, steps, sample } = again;
    let noun = if *runs == 1 { "run" } else { "runs" };
    let named: Vec<String> = steps.iter().map(|step| format!("`{step}`")).collect();
    Refused {
        reason: "twice",
        version: row.version,
        step: step.clone(),
        runs: *runs,
        sample: sample.iter().map(|run| id::show("run", *run)).collect(),
        again: steps.clone(),
        message: format!(
            "{runs} {noun} of version {} at `{step}` would get {} twice",
            row.version,
            named.join(", ")
        ),
        help: format!(
            "map `{step}` behind what they have had, or let them keep version {}: \
             `map = {{ {step} = \"stay\" }}`",
            row.version
        ),
    }
}
