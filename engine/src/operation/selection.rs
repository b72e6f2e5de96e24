//! Which runs an operation is about, and finding them a page at a time.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::Wish;
use crate::run;

/// The most runs that a preview counts.
pub const COUNTED: i64 = 10_000;
/// How many runs a preview shows.
pub const SAMPLE: i64 = 5;
/// The states of open runs, as people read them.
pub const OPEN_STATES: [&str; 6] = ["ready", "running", "sleeping", "waiting", "paused", "held"];
/// How many open runs one page looks at.
const LOOKED_AT: i64 = 2_000;
/// How many runs one page changes.
const PAGE: usize = 500;

/// Open runs by what is known of them; what is `None` lets all through.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Selection {
    /// Of this customer; of all for an operator of the platform.
    pub customer_id: Option<Uuid>,
    /// In this state, as people read it: `ready running sleeping waiting paused held`.
    pub state: Option<String>,
    /// Of this workflow.
    pub workflow: Option<String>,
    /// At this step.
    pub step: Option<String>,
    /// In this queue, which is a step type.
    pub queue: Option<String>,
    /// About this subject.
    pub subject_id: Option<Uuid>,
    /// Whose whole reason matches this glob of [`crate::run::reason_glob`]: `*` matches any text.
    pub reason: Option<String>,
    /// Changed at or after.
    pub since: Option<DateTime<Utc>>,
    /// Changed before.
    pub until: Option<DateTime<Utc>>,
}

impl Selection {
    /// The reason as a pattern of SQL's `like`.
    pub fn reason_pattern(&self) -> Option<String> {
        self.reason.as_deref().map(run::like)
    }
}

/// What a selection matches just now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Preview {
    /// How many, counted up to 10,000.
    pub matched: i64,
    /// Whether there are more than were counted.
    pub more: bool,
    /// Some of them.
    pub sample: Vec<Uuid>,
}

/// Counts the runs of a selection to which a wish does something, up to a bound, with some examples.
///
/// # Errors
/// Returns what the statement returned.
pub async fn preview(
    db: impl PgExecutor<'_>,
    selection: &Selection,
    wish: &Wish,
) -> Result<Preview, sqlx::Error> {
    let found = sqlx::query!(
        r#"with found as materialized (
             select s.run_id from engine.run_states s
             join engine.runs r on r.id = s.run_id
             join engine.definitions d on d.id = s.definition_id
             where s.ended_at is null and r.state = any($12) and ($1::uuid is null or s.customer_id = $1)
               and ($2::text is null or s.state = $2) and ($3::text is null or d.name = $3)
               and ($4::text is null or s.step = $4) and ($5::text is null or r.queue = $5)
               and ($6::uuid is null or s.subject_id = $6) and ($7::text is null or r.reason like $7)
               and ($8::timestamptz is null or r.changed_at >= $8)
               and ($9::timestamptz is null or r.changed_at < $9)
             limit $10
           )
           select (select count(*) from found) as "matched!",
             coalesce((select array_agg(run_id) from (select run_id from found limit $11) s), '{}') as "sample!""#,
        selection.customer_id,
        selection.state,
        selection.workflow,
        selection.step,
        selection.queue,
        selection.subject_id,
        selection.reason_pattern(),
        selection.since,
        selection.until,
        COUNTED + 1,
        SAMPLE,
        &wish.states(),
    )
    .fetch_one(db)
    .await?;
    Ok(Preview::counted(found.matched, found.sample))
}

impl Preview {
    /// Of a count that went at most one past [`COUNTED`].
    pub fn counted(count: i64, sample: Vec<Uuid>) -> Self {
        Self { matched: count.min(COUNTED), more: count > COUNTED, sample }
    }
}

/// Where a page begins or ends: behind this run of this customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) customer_id: Uuid,
    pub(crate) run_id: Uuid,
}

/// How many runs a page acts on: at a pace, no more than one second of it.
fn most_of_a_page(per_second: Option<f32>) -> usize {
    let pace = per_second.filter(|pace| *pace < 500.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is between 1 and 500"
    )]
    pace.map_or(PAGE, |pace| pace.max(1.0) as usize)
}

/// The next runs behind a place that were there at an instant and to which a wish does something, and where the page
/// ends; `None` at the end.
pub(crate) async fn page(
    tx: &mut PgConnection,
    (selection, wish): (&Selection, &Wish),
    frozen_at: DateTime<Utc>,
    after: Place,
    per_second: Option<f32>,
) -> Result<(Vec<Place>, Option<Place>), sqlx::Error> {
    let most = most_of_a_page(per_second);
    let looked_at = sqlx::query!(
        r#"with page as materialized (
             select id, customer_id from engine.runs
             where ended_at is null and (customer_id, id) > ($10, $11)
               and ($1::uuid is null or customer_id = $1)
             order by customer_id, id limit $12
           )
           select p.id, p.customer_id, (
             r.started_at <= $13 and r.state = any($14)
               and ($2::text is null or s.state = $2) and ($3::text is null or d.name = $3)
               and ($4::text is null or s.step = $4) and ($5::text is null or r.queue = $5)
               and ($6::uuid is null or s.subject_id = $6) and ($7::text is null or r.reason like $7)
               and ($8::timestamptz is null or r.changed_at >= $8)
               and ($9::timestamptz is null or r.changed_at < $9)) is true as "matches!"
           from page p
           join engine.runs r on r.id = p.id
           join engine.run_states s on s.run_id = p.id
           join engine.definitions d on d.id = s.definition_id
           order by p.customer_id, p.id"#,
        selection.customer_id,
        selection.state,
        selection.workflow,
        selection.step,
        selection.queue,
        selection.subject_id,
        selection.reason_pattern(),
        selection.since,
        selection.until,
        after.customer_id,
        after.run_id,
        LOOKED_AT,
        frozen_at,
        &wish.states(),
    )
    .fetch_all(tx)
    .await?;
    let whole = i64::try_from(looked_at.len()).is_ok_and(|count| count == LOOKED_AT);
    let (mut found, mut last) = (Vec::new(), None);
    for row in looked_at {
        let place = Place { customer_id: row.customer_id, run_id: row.id };
        last = Some(place);
        found.extend(row.matches.then_some(place));
        if found.len() == most {
            return Ok((found, last));
        }
    }
    Ok((found, last.filter(|_| whole)))
}
