//! Engagement: how much a contact shows that it cares. Owns `engagement`, `engagement_parts` and `engagement_rules`. The
//! facts are kept, and the score is computed from them (`score`), so that other rules, or a fact that comes late, give
//! what they would have given.

mod score;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use engine::outbox;
use engine::{clock, id};
use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use crate::event::engagement::{self as event, Scored};

pub use score::{COUNTABLE, Fact, Level, Part, Rule, Rules, Score, score};

/// The event under which points are kept that somebody gave.
const GIVEN: &str = "score.adjusted";

/// How many scores one transaction computes again.
const BATCH: i64 = 200;

/// A fact of a contact.
#[derive(Debug, Clone, PartialEq)]
pub struct NewFact {
    /// Whose contact it is.
    pub customer_id: Uuid,
    /// The contact.
    pub contact_id: Uuid,
    /// What happened; a second one of the same id changes nothing.
    pub fact: Fact,
}

impl NewFact {
    /// Points that a workflow gives or takes.
    pub(crate) fn given(
        (customer_id, contact_id): (Uuid, Uuid),
        id: Uuid,
        (points, reason): (i32, String),
        at: DateTime<Utc>,
    ) -> Self {
        let fact = Fact { id, event: GIVEN.into(), given: Some(points), reason: Some(reason), at };
        Self { customer_id, contact_id, fact }
    }
}

/// Opens a contact's score at 0; one that is open stays as it is.
///
/// # Errors
/// What the statement returned.
pub async fn open(
    tx: &mut PgConnection,
    customer_id: Uuid,
    contact_id: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into engagement (customer_id, contact_id, due_at) values ($1, $2, null)
         on conflict (customer_id, contact_id) do nothing",
        customer_id,
        contact_id,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Keeps facts, each once, and computes the scores that they concern.
///
/// # Errors
/// What the statements returned.
pub async fn note(tx: &mut PgConnection, facts: &[NewFact]) -> Result<(), sqlx::Error> {
    if facts.is_empty() {
        return Ok(());
    }
    let concerned: BTreeSet<(Uuid, Uuid)> =
        facts.iter().map(|new| (new.customer_id, new.contact_id)).collect();
    let (customers, contacts): (Vec<Uuid>, Vec<Uuid>) = concerned.into_iter().unzip();
    open_all(tx, &customers, &contacts).await?;
    let customers: Vec<Uuid> = facts.iter().map(|new| new.customer_id).collect();
    let contacts: Vec<Uuid> = facts.iter().map(|new| new.contact_id).collect();
    let ids: Vec<Uuid> = facts.iter().map(|new| new.fact.id).collect();
    let events: Vec<String> = facts.iter().map(|new| new.fact.event.clone()).collect();
    let points: Vec<i32> = facts.iter().map(|new| new.fact.given.unwrap_or(0)).collect();
    let reasons: Vec<Option<String>> = facts.iter().map(|new| new.fact.reason.clone()).collect();
    let instants: Vec<DateTime<Utc>> = facts.iter().map(|new| new.fact.at).collect();
    let fresh = sqlx::query!(
        "insert into engagement_parts (customer_id, contact_id, id, event, points, reason, at)
         select customer_id, contact_id, id, event, points, reason, at
         from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::integer[], $6::text[], $7::timestamptz[])
           as f(customer_id, contact_id, id, event, points, reason, at)
         on conflict do nothing returning customer_id, contact_id",
        &customers,
        &contacts,
        &ids,
        &events,
        &points,
        &reasons as &[Option<String>],
        &instants,
    )
    .fetch_all(&mut *tx)
    .await?;
    let changed: BTreeSet<(Uuid, Uuid)> =
        fresh.into_iter().map(|row| (row.customer_id, row.contact_id)).collect();
    compute(tx, &changed.into_iter().collect::<Vec<_>>()).await
}

/// Opens scores at 0 where there are none, and locks all in one order, so that two batches never wait for
/// each other.
async fn open_all(
    tx: &mut PgConnection,
    customers: &[Uuid],
    contacts: &[Uuid],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into engagement (customer_id, contact_id, due_at)
         select distinct customer_id, contact_id, null::timestamptz
         from unnest($1::uuid[], $2::uuid[]) as a(customer_id, contact_id)
         order by customer_id, contact_id
         on conflict (customer_id, contact_id) do nothing",
        customers,
        contacts,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        r#"select contact_id from engagement where (customer_id, contact_id) in
             (select a.customer_id, a.contact_id from unnest($1::uuid[], $2::uuid[]) as a(customer_id, contact_id))
           order by customer_id, contact_id for update"#,
        customers,
        contacts,
    )
    .fetch_all(tx)
    .await?;
    Ok(())
}

/// The facts of contacts, in no order.
async fn facts_of(
    db: impl PgExecutor<'_>,
    customers: &[Uuid],
    contacts: &[Uuid],
) -> Result<HashMap<(Uuid, Uuid), Vec<Fact>>, sqlx::Error> {
    let rows = sqlx::query!(
        "select p.customer_id, p.contact_id, p.id, p.event, p.points, p.reason, p.at
         from unnest($1::uuid[], $2::uuid[]) as c(customer_id, contact_id)
         join engagement_parts p on p.customer_id = c.customer_id and p.contact_id = c.contact_id",
        customers,
        contacts,
    )
    .fetch_all(db)
    .await?;
    let mut facts: HashMap<(Uuid, Uuid), Vec<Fact>> = HashMap::new();
    for row in rows {
        let given = (row.event == GIVEN).then_some(row.points);
        let fact = Fact { id: row.id, event: row.event, given, reason: row.reason, at: row.at };
        facts.entry((row.customer_id, row.contact_id)).or_default().push(fact);
    }
    Ok(facts)
}

/// Computes scores whose rows are locked, and tells of each whose level is another than before.
async fn compute(tx: &mut PgConnection, of: &[(Uuid, Uuid)]) -> Result<(), sqlx::Error> {
    if of.is_empty() {
        return Ok(());
    }
    let (customers, contacts): (Vec<Uuid>, Vec<Uuid>) = of.iter().copied().unzip();
    let facts = facts_of(&mut *tx, &customers, &contacts).await?;
    let now = clock::now(&mut *tx).await?;
    let mut rules: BTreeMap<Uuid, Rules> = BTreeMap::new();
    for customer_id in customers.iter().copied().collect::<BTreeSet<_>>() {
        rules.insert(customer_id, self::rules(&mut *tx, customer_id).await?);
    }
    let scores: Vec<Score> = of
        .iter()
        .map(|key| score(&rules[&key.0], facts.get(key).map_or(&[], Vec::as_slice), now))
        .collect();
    let sums: Vec<f64> = scores.iter().map(|score| score.sum).collect();
    let half_lives: Vec<f64> = of.iter().map(|key| rules[&key.0].half_life_seconds()).collect();
    let levels: Vec<String> = scores.iter().map(|score| score.level.word().to_owned()).collect();
    let due: Vec<Option<DateTime<Utc>>> = scores.iter().map(|score| score.falls_at).collect();
    let changed = sqlx::query!(
        r#"with was as (
             select e.customer_id, e.contact_id, e.level from unnest($1::uuid[], $2::uuid[]) as c(customer_id, contact_id)
             join engagement e on e.customer_id = c.customer_id and e.contact_id = c.contact_id
           ), written as (
             update engagement e set sum = n.sum, score = round(n.sum)::integer, as_of = $7,
               half_life_seconds = n.half_life, level = n.level, due_at = n.due_at, updated_at = engine.now()
             from unnest($1::uuid[], $2::uuid[], $3::float8[], $4::float8[], $5::text[], $6::timestamptz[])
               as n(customer_id, contact_id, sum, half_life, level, due_at)
             where e.customer_id = n.customer_id and e.contact_id = n.contact_id
             returning e.customer_id, e.contact_id, e.score, e.level
           )
           select w.customer_id as "customer_id!", w.contact_id as "contact_id!", w.score as "score!",
             w.level as "level!", was.level as "before!"
           from written w join was on was.customer_id = w.customer_id and was.contact_id = w.contact_id
           where was.level <> w.level order by 1, 2"#,
        &customers,
        &contacts,
        &sums,
        &half_lives,
        &levels,
        &due as &[Option<DateTime<Utc>>],
        now,
    )
    .fetch_all(&mut *tx)
    .await?;
    let told: Vec<Moved> = changed
        .into_iter()
        .map(|row| Moved {
            of: (row.customer_id, row.contact_id),
            score: row.score,
            level: row.level,
            before: row.before,
        })
        .collect();
    tell(tx, &told).await
}

/// Computes scores of some contacts of a customer.
///
/// # Errors
/// What the statements returned.
pub(crate) async fn compute_of(
    tx: &mut PgConnection,
    customer_id: Uuid,
    contacts: &[Uuid],
) -> Result<(), sqlx::Error> {
    open_all(tx, &vec![customer_id; contacts.len()], contacts).await?;
    let of: Vec<(Uuid, Uuid)> = contacts.iter().map(|contact| (customer_id, *contact)).collect();
    compute(tx, &of).await
}

/// The rows of two contacts' scores, as they are.
///
/// # Errors
/// What the statement returned.
pub(crate) async fn rows(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    pair: [Uuid; 2],
) -> Result<[Option<serde_json::Value>; 2], sqlx::Error> {
    let found = sqlx::query!(
        r#"select contact_id, to_jsonb(e) as "row!" from engagement e where customer_id = $1 and contact_id = any($2)"#,
        customer_id,
        &pair,
    )
    .fetch_all(db)
    .await?;
    let row = |id| found.iter().find(|row| row.contact_id == id).map(|row| row.row.clone());
    Ok(pair.map(row))
}

/// Puts two contacts' scores back as they were; where facts came since, they are computed again.
///
/// # Errors
/// What the statements returned.
pub(crate) async fn put_back(
    tx: &mut PgConnection,
    customer_id: Uuid,
    pair: [Uuid; 2],
    rows: &[Option<serde_json::Value>; 2],
) -> Result<(), sqlx::Error> {
    for (contact_id, row) in pair.into_iter().zip(rows) {
        let Some(row) = row else {
            sqlx::query!(
                "delete from engagement e where customer_id = $1 and contact_id = $2 and not exists (
                   select from engagement_parts p where p.customer_id = e.customer_id and p.contact_id = e.contact_id)",
                customer_id,
                contact_id,
            )
            .execute(&mut *tx)
            .await?;
            continue;
        };
        sqlx::query!(
            "insert into engagement select (jsonb_populate_record(null::engagement, $1)).*
             on conflict (customer_id, contact_id) do update set score = excluded.score, sum = excluded.sum,
               as_of = excluded.as_of, half_life_seconds = excluded.half_life_seconds, level = excluded.level,
               due_at = excluded.due_at, updated_at = excluded.updated_at",
            row,
        )
        .execute(&mut *tx)
        .await?;
        let newer = sqlx::query_scalar!(
            r#"select exists (select from engagement_parts p join engagement e on e.customer_id = p.customer_id
                 and e.contact_id = p.contact_id
               where p.customer_id = $1 and p.contact_id = $2 and p.at > e.as_of) as "newer!""#,
            customer_id,
            contact_id,
        )
        .fetch_one(&mut *tx)
        .await?;
        if newer {
            compute(&mut *tx, &[(customer_id, contact_id)]).await?;
        }
    }
    Ok(())
}

/// A score whose level is another than before.
struct Moved {
    of: (Uuid, Uuid),
    score: i32,
    level: String,
    before: String,
}

async fn tell(tx: &mut PgConnection, moved: &[Moved]) -> Result<(), sqlx::Error> {
    if moved.is_empty() {
        return Ok(());
    }
    let keys: Vec<(Uuid, Uuid)> = moved.iter().map(|moved| moved.of).collect();
    let sequences = crate::contact::count_events(&mut *tx, &keys).await?;
    let event = |moved: &Moved| {
        let contact = id::show("con", moved.of.1);
        let told = Scored {
            contact_id: contact.clone(),
            score: moved.score,
            level: moved.level.clone(),
            from_level: moved.before.clone(),
        };
        Some(event::SCORED.event(moved.of.0, contact, *sequences.get(&moved.of)?, &told))
    };
    outbox::publish(tx, &moved.iter().filter_map(event).collect::<Vec<_>>()).await
}

/// Computes scores again whose level falls by now, or whose rules have changed, a batch in the caller's transaction;
/// gives how many.
///
/// # Errors
/// What the statements returned.
pub async fn compute_due(tx: &mut PgConnection) -> Result<usize, sqlx::Error> {
    let due = sqlx::query!(
        "select customer_id, contact_id from engagement where due_at <= engine.now()
         order by due_at limit $1 for update skip locked",
        BATCH,
    )
    .fetch_all(&mut *tx)
    .await?;
    let mut due: Vec<(Uuid, Uuid)> =
        due.into_iter().map(|row| (row.customer_id, row.contact_id)).collect();
    due.sort_unstable();
    compute(tx, &due).await?;
    Ok(due.len())
}

/// A customer's rules: its own, else those that hold where nobody says anything.
///
/// # Errors
/// What the statement returned.
pub async fn rules(db: impl PgExecutor<'_>, customer_id: Uuid) -> Result<Rules, sqlx::Error> {
    let found = sqlx::query_scalar!(
        r#"select rules as "rules: Json<Rules>" from engagement_rules where customer_id = $1"#,
        customer_id,
    )
    .fetch_optional(db)
    .await?;
    Ok(found.map(|rules| rules.0).unwrap_or_default())
}

/// Puts rules in place, which were checked; all scores of the customer are computed again by them, soon.
///
/// # Errors
/// What the statements returned.
pub async fn set_rules(
    tx: &mut PgConnection,
    customer_id: Uuid,
    rules: &Rules,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into engagement_rules (customer_id, rules) values ($1, $2)
         on conflict (customer_id) do update set rules = excluded.rules, updated_at = engine.now()",
        customer_id,
        Json(rules) as _,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!("update engagement set due_at = engine.now() where customer_id = $1", customer_id)
        .execute(tx)
        .await?;
    Ok(())
}

/// A contact's score now, with its parts.
///
/// # Errors
/// What the statements returned.
pub async fn explain(
    db: &mut PgConnection,
    customer_id: Uuid,
    contact_id: Uuid,
) -> Result<Score, sqlx::Error> {
    let rules = rules(&mut *db, customer_id).await?;
    let now = clock::now(&mut *db).await?;
    let facts = facts_of(db, &[customer_id], &[contact_id]).await?;
    let facts = facts.into_values().next().unwrap_or_default();
    Ok(score(&rules, &facts, now))
}

/// Takes the reasons out of the facts about contacts; gives how many. Their points stay.
///
/// # Errors
/// What the statement returned.
pub(crate) async fn erase(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    contacts: &[Uuid],
) -> Result<(&'static str, i64), sqlx::Error> {
    let erased = sqlx::query_scalar!(
        r#"with part as (
             update engagement_parts set reason = null
             where customer_id = $1 and contact_id = any($2) and reason is not null returning id
           )
           select count(*) as "count!" from part"#,
        customer_id,
        contacts,
    )
    .fetch_one(db)
    .await?;
    Ok(("engagement_parts", erased))
}
