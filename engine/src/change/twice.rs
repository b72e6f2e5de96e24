//! Who would come again to a step that they have done. Reads only runs at steps from which the new version
//! leads where the old one did not, a page at a time, up to a bound.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;
use uuid::Uuid;

use super::delays::{LookedAt, PAGE, RUNS};
use super::fate::{Fate, Standing, Stays, fate};
use super::plan::Places;
use super::read;
use crate::decision::Memory;

/// How many runs are named of each place.
const SAMPLE: usize = 5;

/// Runs at one step that would come again to the same steps.
pub(super) struct Again {
    pub(super) step: String,
    pub(super) steps: Vec<String>,
    pub(super) runs: i64,
    pub(super) sample: Vec<Uuid>,
}

/// Finds them; says also whether there were more runs than are looked at.
pub(super) async fn find(
    db: &mut PgConnection,
    (_, customer_id, route, _): LookedAt<'_>,
    places: &[Places],
) -> Result<(Vec<Again>, bool), sqlx::Error> {
    let steps: Vec<String> = places
        .iter()
        .filter(|place| !route.new_ahead(&place.step).is_empty())
        .map(|place| place.step.clone())
        .collect();
    let (Some(version), false) = (route.old.id, steps.is_empty()) else {
        return Ok((Vec::new(), false));
    };
    let mut found: BTreeMap<(String, Vec<String>), (i64, Vec<Uuid>)> = BTreeMap::new();
    let (mut after, mut looked_at) = (Uuid::nil(), 0);
    let nothing = BTreeSet::new();
    loop {
        let ids = read::standing(&mut *db, customer_id, version, &steps, after, PAGE).await?;
        let Some(last) = ids.last() else { break };
        after = *last;
        looked_at += ids.len();
        let finished = read::finished(db, &ids).await?;
        for row in read::rows(db, customer_id, &ids).await? {
            let Ok(memory) = serde_json::from_value::<Memory>(row.data.clone()) else { continue };
            let standing = Standing {
                step: &row.step,
                memory: &memory,
                intends: row.intends,
                finished: finished.get(&row.id).unwrap_or(&nothing),
            };
            if let Fate::Stays(Stays::Twice(again)) = fate(route, standing) {
                let (runs, sample) = found.entry((row.step.clone(), again)).or_default();
                *runs += 1;
                if sample.len() < SAMPLE {
                    sample.push(row.id);
                }
            }
        }
        if looked_at >= RUNS {
            return Ok((listed(found), true));
        }
    }
    Ok((listed(found), false))
}

fn listed(found: BTreeMap<(String, Vec<String>), (i64, Vec<Uuid>)>) -> Vec<Again> {
    found
        .into_iter()
        .map(|((step, steps), (runs, sample))| Again { step, steps, runs, sample })
        .collect()
}
