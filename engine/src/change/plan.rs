//! The plan of a change, before anything is done: what differs, which runs stand where and where they would
//! go, whose delays move and by how much, who would get something twice, and how long the mailboxes have to
//! do. Counts are aggregates, what needs each run is read in pages up to a bound; nothing is locked.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::capacity::{self, Capacity};
use super::delays::{self, Delayed};
use super::difference::{Difference, Kind};
use super::read::{self, Count};
use super::refused::{self, Refused};
use super::route::{Lead, Map, Route, Version};
use super::twice;
use crate::clock;
use crate::definition::{Definition, short_hash};
use crate::definition_store::{self, Definitions, LoadError, VersionRow};

/// How many digits of a plan's hash are shown.
const DIGITS: usize = 16;

/// What a change would do.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Plan {
    /// The workflow's name.
    pub workflow: String,
    /// What it was made of; an apply that names it is refused once any of that has changed.
    pub plan_id: String,
    /// The number of the version that it leads to, where that was kept before.
    pub to_version: Option<i32>,
    /// The first digits of that version's hash.
    pub to_hash: String,
    /// How deep the change goes from the version that was applied last.
    pub kind: Kind,
    /// The version that was applied last, and the others that open runs follow, newest first.
    pub versions: Vec<VersionPlan>,
    /// How many runs would come into the version.
    pub moves: i64,
    /// How many would keep theirs.
    pub stays: i64,
    /// How many would come again to a step that they have done; more than none is refused.
    pub twice: i64,
    /// Whether more runs stand at steps that need a look at each than were looked at; when it is applied, each is.
    pub partly: bool,
    /// Why it can't be applied.
    pub refused: Vec<Refused>,
    /// How long what is still to come takes under the daily caps.
    pub capacity: Capacity,
}

impl Plan {
    /// Whether applying it would change anything.
    pub fn changes(&self) -> bool {
        self.kind != Kind::Same || self.moves > 0 || self.versions.is_empty() || self.is_rollback()
    }

    /// Whether it leads back to a version that was left.
    fn is_rollback(&self) -> bool {
        self.versions
            .iter()
            .any(|version| version.current && Some(version.version) != self.to_version)
    }
}

/// What a change would do to the runs of one version.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct VersionPlan {
    /// Its number.
    pub version: i32,
    /// The first digits of its hash.
    pub hash: String,
    /// Whether it is the one that was applied last.
    pub current: bool,
    /// How deep the change goes.
    pub kind: Kind,
    /// `forward`, `pinned` or `mapped`.
    pub way: &'static str,
    /// What differs.
    pub difference: Difference,
    /// How many open runs follow it.
    pub runs: i64,
    /// Where they stand.
    pub places: Vec<Places>,
    /// Whose delays move.
    pub delayed: Vec<Delayed>,
}

/// The runs at one step.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Places {
    /// The step.
    pub step: String,
    /// Where they would go.
    pub leads: Lead,
    /// How many.
    pub runs: i64,
    /// How many by the state, as people read it.
    pub states: BTreeMap<String, i64>,
}

/// Why there is no plan.
pub type PlanError = LoadError;

/// Plans to make a definition the version that a customer's workflow of its name follows; `asked` maps steps
/// beyond what the definition says.
///
/// # Errors
/// That a version that runs follow can't be read, or what the statements returned.
pub async fn plan(
    db: &mut PgConnection,
    definitions: &Definitions,
    customer_id: Uuid,
    definition: &Definition,
    asked: &Map,
) -> Result<Plan, PlanError> {
    let kept = definition_store::versions(&mut *db, customer_id, &definition.name).await?;
    let new = target(definition, &kept);
    let followed: Vec<i64> = kept
        .iter()
        .filter(|row| (row.runs > 0 && Some(row.id) != new.id) || row.current)
        .map(|row| row.id)
        .collect();
    let counts = read::counts(&mut *db, customer_id, &followed).await?;
    let now = clock::now(&mut *db).await?;
    let mut plan = Plan {
        workflow: definition.name.clone(),
        plan_id: hash(definition, &kept, asked),
        to_version: new.number,
        to_hash: short_hash(&definition.hash),
        kind: Kind::Same,
        versions: Vec::new(),
        moves: 0,
        stays: 0,
        twice: 0,
        partly: false,
        refused: Vec::new(),
        capacity: Capacity::default(),
    };
    let mut routes = Vec::new();
    for row in kept.iter().filter(|row| followed.contains(&row.id)) {
        let document = definitions.load(&mut *db, row.id).await?;
        let old = Version { id: Some(row.id), number: Some(row.version), definition: document };
        let route = Route::new(old, new.clone(), asked, definitions.registry());
        let places = places(&route, &counts, row.id);
        let looked_at = (definitions, customer_id, &route, now);
        let (delayed, more_asleep) = delays::find(db, looked_at, &places).await?;
        let (again, more_ahead) = twice::find(db, looked_at, &places).await?;
        plan.partly |= more_asleep || more_ahead;
        plan.twice += again.iter().map(|found| found.runs).sum::<i64>();
        plan.refused.extend(refused::of(row, &route, &places, &again));
        plan.add(row, &route, places, delayed);
        routes.push(route);
    }
    plan.capacity = capacity::of(db, customer_id, &routes, now).await?;
    Ok(plan)
}

impl Plan {
    fn add(&mut self, row: &VersionRow, route: &Route, places: Vec<Places>, delayed: Vec<Delayed>) {
        let same = route.new.id == Some(row.id);
        let runs = places.iter().map(|place| place.runs).sum();
        for place in places.iter().filter(|_| !same) {
            match place.leads {
                Lead::Stand(_) | Lead::Enter(_) | Lead::Exit => self.moves += place.runs,
                Lead::Stay | Lead::Vanish => self.stays += place.runs,
            }
        }
        if row.current {
            self.kind = route.difference.kind();
        }
        self.versions.push(VersionPlan {
            version: row.version,
            hash: short_hash(&row.hash),
            current: row.current,
            kind: route.difference.kind(),
            way: route.way.word(),
            difference: route.difference.clone(),
            runs,
            places,
            delayed,
        });
    }
}

/// The version that a definition is, or will be.
fn target(definition: &Definition, kept: &[VersionRow]) -> Version {
    let same = kept.iter().find(|row| row.hash == definition.hash);
    Version {
        id: same.map(|row| row.id),
        number: same.map(|row| row.version),
        definition: Arc::new(definition.clone()),
    }
}

fn places(route: &Route, counts: &[Count], version: i64) -> Vec<Places> {
    let mut places: Vec<Places> = Vec::new();
    for step in &route.old.definition.steps {
        let here: Vec<&Count> = counts
            .iter()
            .filter(|count| count.definition_id == version && count.step == step.id)
            .collect();
        if !here.is_empty() {
            places.push(Places {
                step: step.id.clone(),
                leads: route.leads(&step.id),
                runs: here.iter().map(|count| count.runs).sum(),
                states: here.iter().map(|count| (count.state.clone(), count.runs)).collect(),
            });
        }
    }
    places
}

/// What a plan was made of: the definition, the versions that are kept and the one of them that was applied
/// last, and what a person maps. Where runs stand is no part of it: they go on all the time.
fn hash(definition: &Definition, kept: &[VersionRow], asked: &Map) -> String {
    let versions: Vec<(i64, bool)> = kept.iter().map(|row| (row.id, row.current)).collect();
    let asked: Vec<String> = asked.iter().map(|(was, is)| format!("{was}={is:?}")).collect();
    let made_of = json!([definition.name, short_hash(&definition.hash), versions, asked]);
    let digest: [u8; 32] = Sha256::digest(made_of.to_string()).into();
    digest.iter().take(DIGITS / 2).map(|byte| format!("{byte:02x}")).collect()
}

/// The hash that a plan would have now, with the workflow's versions locked until the transaction ends.
pub(super) async fn hash_now(
    tx: &mut PgConnection,
    customer_id: Uuid,
    definition: &Definition,
    asked: &Map,
) -> Result<String, sqlx::Error> {
    definition_store::lock(tx, &definition.name).await?;
    let kept = definition_store::versions(tx, customer_id, &definition.name).await?;
    Ok(hash(definition, &kept, asked))
}
