//! Moves a page of runs into another version. What becomes of each is worked out without a lock; it is
//! written where the run's history has not grown since.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sqlx::PgConnection;
use uuid::Uuid;

use super::mover::{Decided, Mover};
use super::read::{self, Row};
use super::route::{Map, Route, Version};
use crate::clock;
use crate::definition_store::{self, Definitions, LoadError};
use crate::run::write_migrated;

/// What became of a page of runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Page {
    /// Those that came into the version.
    pub(crate) moved: Vec<Uuid>,
    /// Those of them that ended by it.
    pub(crate) ended: Vec<Uuid>,
    /// How many keep the version that they follow.
    pub(crate) stayed: usize,
    /// How many are to be looked at again: a worker holds them, or they went on meanwhile.
    pub(crate) later: usize,
}

/// Moves those of these runs that follow another version of the workflow, at most a few hundred at once.
///
/// # Errors
/// That the version can't be had, or what the statements returned; the caller rolls back.
pub(crate) async fn migrate(
    tx: &mut PgConnection,
    definitions: &Definitions,
    to: i64,
    asked: &Map,
    (customer_id, ids): (Uuid, &[Uuid]),
    actor: &str,
) -> Result<Page, LoadError> {
    let new = version(tx, definitions, to).await?;
    let mut rows = read::rows(tx, customer_id, ids).await?;
    rows.retain(|row| row.definition_id != to);
    let (mut page, mut moving) = (Page::default(), Vec::new());
    let routes = routes(tx, definitions, &new, asked, &rows).await?;
    let finished = finished(tx, &routes, &rows).await?;
    let now = clock::now(&mut *tx).await?;
    let nothing = BTreeSet::new();
    for row in &rows {
        let Some(route) = routes.get(&row.definition_id) else {
            page.stayed += 1;
            continue;
        };
        let mover =
            Mover { definitions, route, now, finished: finished.get(&row.id).unwrap_or(&nothing) };
        match mover.of(row).await {
            Decided::Moves(one) => moving.push(*one),
            Decided::Stays => page.stayed += 1,
            Decided::Later => page.later += 1,
        }
    }
    let written = write_migrated(tx, &moving, actor).await?;
    page.later += moving.len() - written.len();
    for run in written {
        page.moved.push(run.run_id);
        page.ended.extend(run.ended.then_some(run.run_id));
    }
    Ok(page)
}

/// A version by its id, read.
async fn version(
    db: &mut PgConnection,
    definitions: &Definitions,
    id: i64,
) -> Result<Version, LoadError> {
    let number = definition_store::number(&mut *db, id).await?;
    let definition = definitions.load(db, id).await?;
    Ok(Version { id: Some(id), number, definition })
}

/// The routes of the versions that runs follow; one that can't be read has none.
async fn routes(
    tx: &mut PgConnection,
    definitions: &Definitions,
    new: &Version,
    asked: &Map,
    rows: &[Row],
) -> Result<HashMap<i64, Route>, LoadError> {
    let followed: BTreeSet<i64> = rows.iter().map(|row| row.definition_id).collect();
    let mut routes = HashMap::new();
    for id in followed {
        let old = match version(tx, definitions, id).await {
            Ok(old) => old,
            Err(error @ LoadError::Database(_)) => return Err(error),
            Err(LoadError::Foreign(_) | LoadError::Unreadable(_)) => continue,
        };
        routes.insert(id, Route::new(old, new.clone(), asked, definitions.registry()));
    }
    Ok(routes)
}

/// What those runs have done that could come to a step again.
async fn finished(
    tx: &mut PgConnection,
    routes: &HashMap<i64, Route>,
    rows: &[Row],
) -> Result<BTreeMap<Uuid, BTreeSet<String>>, sqlx::Error> {
    let could = |row: &&Row| {
        routes.get(&row.definition_id).is_some_and(|route| !route.new_ahead(&row.step).is_empty())
    };
    let ids: Vec<Uuid> = rows.iter().filter(could).map(|row| row.id).collect();
    if ids.is_empty() { Ok(BTreeMap::new()) } else { read::finished(tx, &ids).await }
}
