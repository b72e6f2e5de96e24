//! How many days the mailboxes, and whatever else has a cap for the day, need for what is still to come.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::read;
use super::route::{Lead, Route, acts_ahead};
use crate::definition::Definition;
use crate::limit::{self, Capped};

/// How many limits a plan lists, those that take longest.
const LISTED: usize = 20;
/// After how many days nobody counts on.
const DAYS: u32 = 3_650;

/// What is still to come, against the caps for the day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Capacity {
    /// Whether any limit has a cap for the day; without one nobody can tell.
    pub known: bool,
    /// How many days the slowest needs, today among them; at most 3,650.
    pub days: Option<u32>,
    /// The limits that need longest, at most 20.
    pub limits: Vec<Needed>,
}

/// What one limit has to let through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Needed {
    /// Such as `mailbox`.
    pub kind: String,
    /// Such as a mailbox's id.
    pub name: String,
    /// How many acts at most are still to come of runs that are there now; each way counts all that lies on it.
    pub acts: i64,
    /// How many days they take.
    pub days: u32,
}

/// What runs need that stand where these routes find them, once the change is applied.
pub(super) async fn of(
    db: &mut PgConnection,
    customer_id: Uuid,
    routes: &[Route],
    now: DateTime<Utc>,
) -> Result<Capacity, sqlx::Error> {
    let capped = limit::daily(&mut *db, customer_id).await?;
    if capped.is_empty() {
        return Ok(Capacity::default());
    }
    let versions: Vec<i64> = routes.iter().filter_map(|route| route.old.id).collect();
    let mut kinds: Vec<&str> = capped.iter().map(|limit| limit.kind.as_str()).collect();
    kinds.dedup();
    let mut acts: BTreeMap<(String, String), i64> = BTreeMap::new();
    for kind in kinds {
        for count in read::counts_by_limit(&mut *db, customer_id, &versions, kind).await? {
            let Some(route) = routes.iter().find(|route| route.old.id == Some(count.definition_id))
            else {
                continue;
            };
            let Some((definition, step)) = after(route, &count.step) else { continue };
            for (name, times) in ahead(definition, step, kind, count.name.as_deref()) {
                *acts.entry((kind.to_owned(), name)).or_default() += times * count.runs;
            }
        }
    }
    let mut limits: Vec<Needed> = capped
        .iter()
        .filter_map(|limit| {
            let acts = *acts.get(&(limit.kind.clone(), limit.name.clone()))?;
            let days = days(limit, acts, now);
            Some(Needed { kind: limit.kind.clone(), name: limit.name.clone(), acts, days })
        })
        .collect();
    limits.sort_by_key(|limit| std::cmp::Reverse(limit.days));
    limits.truncate(LISTED);
    Ok(Capacity { known: true, days: limits.first().map(|limit| limit.days), limits })
}

/// Where a run stands that stood at a step, once the change is applied.
fn after<'a>(route: &'a Route, step: &'a str) -> Option<(&'a Definition, &'a str)> {
    match route.leads(step) {
        Lead::Stand(to) | Lead::Enter(to) => {
            let index = route.new.definition.index_of(&to)?;
            Some((&route.new.definition, route.new.definition.steps[index].id.as_str()))
        }
        Lead::Stay | Lead::Vanish => Some((&route.old.definition, step)),
        Lead::Exit => None,
    }
}

/// How many acts lie ahead under a kind of limit, by the limit's name.
fn ahead(
    definition: &Definition,
    step: &str,
    kind: &str,
    name: Option<&str>,
) -> BTreeMap<String, i64> {
    let mut ahead = BTreeMap::new();
    for index in acts_ahead(definition, step) {
        let act = &definition.steps[index];
        let name = match kind {
            limit::CUSTOMER => Some(""),
            limit::STEP => Some(act.kind),
            _ => name,
        };
        if let Some(name) = name.filter(|_| act.limits.iter().any(|limit| limit == kind)) {
            *ahead.entry(name.to_owned()).or_default() += 1;
        }
    }
    ahead
}

/// How many days a limit needs for so many acts, today among them.
fn days(limit: &Capped, acts: i64, now: DateTime<Utc>) -> u32 {
    let (mut left, mut at) = (acts, now);
    for day in 1..=DAYS {
        let (ends, cap) = limit::day(at, &limit.zone, limit.cap, limit.ramp, limit.ramp_from);
        let today = (day == 1).then_some(limit.left_today).flatten();
        left -= i64::from(today.unwrap_or(cap));
        if left <= 0 {
            return day;
        }
        at = ends;
    }
    DAYS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timing::Zone;

    #[test]
    fn days_count_what_is_left_today_and_a_ramp_that_grows() {
        let now: DateTime<Utc> = "2026-11-23T10:00:00Z".parse().expect("an instant");
        let capped = |ramp, left_today| Capped {
            kind: "mailbox".into(),
            name: "one".into(),
            cap: 50,
            ramp,
            ramp_from: Some("2026-11-23".parse().expect("a date")),
            zone: Zone::utc(),
            left_today,
        };
        assert_eq!(days(&capped(None, None), 100, now), 2);
        assert_eq!(days(&capped(None, Some(0)), 100, now), 3);
        assert_eq!(days(&capped(Some(20), None), 100, now), 3, "20, 40 and 50 a day");
        assert_eq!(days(&capped(None, None), i64::MAX, now), DAYS);
    }
}
