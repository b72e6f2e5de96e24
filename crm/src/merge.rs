//! Two contacts that are one person: found, made one, and parted again exactly. Owns `merges`. All that hangs on the one
//! that goes moves to the one that stays; the rows as they were are kept with it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use engine::outbox::{self, NewEvent};
use engine::{clock, id, run};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use crate::{contact, engagement};

/// The texts of a contact that stays which one that goes may fill.
const FILLED: [&str; 12] = [
    "first_name",
    "last_name",
    "phone",
    "title",
    "linkedin_url",
    "country",
    "region",
    "city",
    "time_zone",
    "zone_source",
    "locale",
    "company",
];

/// Two contacts that were made one.
#[derive(Debug, Clone, PartialEq)]
pub struct Merge {
    /// Its id (`mrg_…`).
    pub id: Uuid,
    /// Who stayed.
    pub contact_id: Uuid,
    /// Who became a part of it.
    pub from_id: Uuid,
    /// Who did it.
    pub actor: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// When it was undone.
    pub undone_at: Option<DateTime<Utc>>,
}

/// What is needed to part two contacts again.
#[derive(Debug, Serialize, Deserialize)]
struct Parting {
    /// The contacts' rows before, and as the merge left them: who stayed, then who went.
    before: [Map<String, Value>; 2],
    after: [Map<String, Value>; 2],
    /// Their engagement's rows before.
    engagement: [Option<Value>; 2],
    /// What moved, by table.
    moved: BTreeMap<String, Vec<Uuid>>,
    /// Opportunities of who went that who stayed was not in.
    joined: Vec<Uuid>,
    /// All opportunities of who went.
    opportunities: Vec<Uuid>,
}

/// Why contacts were not made one, or not parted.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// One of them is not there.
    #[error("there is no such contact")]
    NotFound,
    /// They are the same.
    #[error("a contact can't become a part of itself")]
    Same,
    /// Both are on their way in a sequence: who stays would get it twice.
    #[error("both are in the sequence `{0}`; end one of the enrollments first")]
    BothEnrolled(String),
    /// It was undone before.
    #[error("it was undone already")]
    Undone,
    /// The database refused.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Makes two contacts one: `from_id` goes, and all that hangs on it moves to `contact_id`.
///
/// # Errors
/// `NotFound`, `Same`, `BothEnrolled`, or what the statements returned; the caller rolls back.
pub async fn merge(
    tx: &mut PgConnection,
    customer_id: Uuid,
    (contact_id, from_id): (Uuid, Uuid),
    actor: &str,
) -> Result<Merge, MergeError> {
    if contact_id == from_id {
        return Err(MergeError::Same);
    }
    let pair = [contact_id, from_id];
    let before = lock(tx, customer_id, pair).await?.ok_or(MergeError::NotFound)?;
    if let Some(name) = both_enrolled(&mut *tx, customer_id, pair).await? {
        return Err(MergeError::BothEnrolled(name));
    }
    let scores = engagement::rows(&mut *tx, customer_id, pair).await?;
    let opportunities = opportunities(&mut *tx, customer_id, from_id).await?;
    let moved = take(tx, customer_id, pair).await?;
    let joined = join(tx, customer_id, pair).await?;
    let wanted = combined(&before);
    write(tx, customer_id, contact_id, &wanted).await?;
    sqlx::query!(
        "update contacts set deleted_at = coalesce(deleted_at, engine.now()), merged_into = $3, updated_at = engine.now()
         where customer_id = $1 and id = $2",
        customer_id,
        from_id,
        contact_id,
    )
    .execute(&mut *tx)
    .await?;
    engagement::compute_of(tx, customer_id, &[contact_id]).await?;
    let after = rows(&mut *tx, customer_id, pair).await?.ok_or(MergeError::NotFound)?;
    let parting = Parting { before, after, engagement: scores, moved, joined, opportunities };
    let merged = sqlx::query_as!(
        Merge,
        "insert into merges (customer_id, id, contact_id, from_id, parting, actor) values ($1, $2, $3, $4, $5, $6)
         returning id, contact_id, from_id, actor, created_at, undone_at",
        customer_id,
        clock::new_id(),
        contact_id,
        from_id,
        Json(&parting) as _,
        actor,
    )
    .fetch_one(&mut *tx)
    .await?;
    let from = json!({ "merged_from": id::show("con", from_id) });
    let into = json!({ "merged_into": id::show("con", contact_id) });
    let told = [(contact_id, "contact.updated", from), (from_id, "contact.deleted", into)];
    tell(tx, customer_id, told).await?;
    Ok(merged)
}

/// Parts two contacts again: all that moved goes back, and both are as they were, but for what was changed since.
///
/// # Errors
/// `NotFound`, `Undone`, or what the statements returned; where another contact has the address by now, it violates
/// `contacts_email`.
pub async fn undo(
    tx: &mut PgConnection,
    customer_id: Uuid,
    merge_id: Uuid,
) -> Result<Merge, MergeError> {
    let found = sqlx::query!(
        r#"select contact_id, from_id, undone_at is not null as "undone!", parting as "parting: Json<Parting>"
           from merges where customer_id = $1 and id = $2 for update"#,
        customer_id,
        merge_id,
    )
    .fetch_optional(&mut *tx)
    .await?;
    let found = found.ok_or(MergeError::NotFound)?;
    if found.undone {
        return Err(MergeError::Undone);
    }
    let pair = [found.contact_id, found.from_id];
    let parting = found.parting.0;
    let now = lock(tx, customer_id, pair).await?.ok_or(MergeError::NotFound)?;
    give_back(tx, customer_id, pair, &parting).await?;
    for (at, contact_id) in pair.into_iter().enumerate() {
        // What somebody has changed since stays as it is.
        let wanted = now[at].iter().map(|(field, value)| {
            let untouched = parting.after[at].get(field) == Some(value);
            let before = parting.before[at].get(field).filter(|_| untouched);
            (field.clone(), before.unwrap_or(value).clone())
        });
        write(tx, customer_id, contact_id, &wanted.collect()).await?;
    }
    engagement::put_back(tx, customer_id, pair, &parting.engagement).await?;
    let undone = sqlx::query_as!(
        Merge,
        "update merges set undone_at = engine.now() where customer_id = $1 and id = $2
         returning id, contact_id, from_id, actor, created_at, undone_at",
        customer_id,
        merge_id,
    )
    .fetch_one(&mut *tx)
    .await?;
    let told =
        pair.map(|contact| (contact, "contact.updated", json!({ "changed": ["merged_into"] })));
    tell(tx, customer_id, told).await?;
    Ok(undone)
}

/// The rows of both, locked in one order.
async fn lock(
    tx: &mut PgConnection,
    customer_id: Uuid,
    pair: [Uuid; 2],
) -> Result<Option<[Map<String, Value>; 2]>, sqlx::Error> {
    sqlx::query!(
        "select id from contacts where customer_id = $1 and id = any($2) order by id for update",
        customer_id,
        &pair,
    )
    .fetch_all(&mut *tx)
    .await?;
    rows(tx, customer_id, pair).await
}

/// The rows of both, without what is computed and what counts events.
async fn rows(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    pair: [Uuid; 2],
) -> Result<Option<[Map<String, Value>; 2]>, sqlx::Error> {
    let found = sqlx::query!(
        r#"select id, to_jsonb(c) - 'search' - 'event_sequence' - 'customer_id' - 'id' as "row!: Json<Map<String, Value>>"
           from contacts c where customer_id = $1 and id = any($2) and status <> 'erased'"#,
        customer_id,
        &pair,
    )
    .fetch_all(db)
    .await?;
    let row = |id| found.iter().find(|row| row.id == id).map(|row| row.row.0.clone());
    Ok(row(pair[0]).zip(row(pair[1])).map(|(kept, gone)| [kept, gone]))
}

/// A sequence in which both are on their way.
async fn both_enrolled(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    [contact_id, from_id]: [Uuid; 2],
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "select s.name from sequences s where s.customer_id = $1 and (
           select count(distinct e.contact_id) from enrollments e join engine.runs r on r.id = e.id
           where e.customer_id = s.customer_id and e.sequence_id = s.id and e.contact_id in ($2, $3)
             and r.ended_at is null) = 2
         order by s.name limit 1",
        customer_id,
        contact_id,
        from_id,
    )
    .fetch_optional(db)
    .await
}

async fn opportunities(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    contact_id: Uuid,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select opportunity_id from opportunity_contacts where customer_id = $1 and contact_id = $2 order by 1",
        customer_id,
        contact_id,
    )
    .fetch_all(db)
    .await
}

/// Moves what hangs on the one that goes; gives what moved, by table.
async fn take(
    tx: &mut PgConnection,
    customer_id: Uuid,
    [contact_id, from_id]: [Uuid; 2],
) -> Result<BTreeMap<String, Vec<Uuid>>, sqlx::Error> {
    engagement::open(&mut *tx, customer_id, contact_id).await?;
    let moved = sqlx::query!(
        r#"with activity as (
             update activities set contact_id = $3 where customer_id = $1 and contact_id = $2 returning id
           ), email as (
             update emails set contact_id = $3 where customer_id = $1 and contact_id = $2 returning id
           ), task as (
             update tasks set contact_id = $3 where customer_id = $1 and contact_id = $2 returning id
           ), enrollment as (
             update enrollments set contact_id = $3 where customer_id = $1 and contact_id = $2 returning id
           ), part as (
             update engagement_parts set contact_id = $3 where customer_id = $1 and contact_id = $2 returning id
           )
           select 'activities' as "kind!", id as "id!" from activity union all select 'emails', id from email
           union all select 'tasks', id from task union all select 'enrollments', id from enrollment
           union all select 'parts', id from part"#,
        customer_id,
        from_id,
        contact_id,
    )
    .fetch_all(&mut *tx)
    .await?;
    let mut by_kind: BTreeMap<String, Vec<Uuid>> = BTreeMap::new();
    for row in moved {
        by_kind.entry(row.kind).or_default().push(row.id);
    }
    let runs = run::rebind(tx, customer_id, from_id, contact_id).await?;
    by_kind.insert("runs".into(), runs);
    Ok(by_kind)
}

/// Puts who stays in place of who goes in opportunities; gives those that are new to who stays.
async fn join(
    tx: &mut PgConnection,
    customer_id: Uuid,
    [contact_id, from_id]: [Uuid; 2],
) -> Result<Vec<Uuid>, sqlx::Error> {
    let joined = sqlx::query_scalar!(
        "insert into opportunity_contacts (customer_id, opportunity_id, contact_id)
         select customer_id, opportunity_id, $3 from opportunity_contacts where customer_id = $1 and contact_id = $2
         on conflict do nothing returning opportunity_id",
        customer_id,
        from_id,
        contact_id,
    )
    .fetch_all(&mut *tx)
    .await?;
    sqlx::query!(
        "delete from opportunity_contacts where customer_id = $1 and contact_id = $2",
        customer_id,
        from_id,
    )
    .execute(tx)
    .await?;
    Ok(joined)
}

/// Moves back what moved, where it still hangs on who stayed.
async fn give_back(
    tx: &mut PgConnection,
    customer_id: Uuid,
    [contact_id, from_id]: [Uuid; 2],
    parting: &Parting,
) -> Result<(), sqlx::Error> {
    let moved = |kind: &str| parting.moved.get(kind).cloned().unwrap_or_default();
    sqlx::query!(
        "with activity as (
           update activities set contact_id = $2 where customer_id = $1 and contact_id = $3 and id = any($4)
         ), email as (
           update emails set contact_id = $2 where customer_id = $1 and contact_id = $3 and id = any($5)
         ), task as (
           update tasks set contact_id = $2 where customer_id = $1 and contact_id = $3 and id = any($6)
         ), enrollment as (
           update enrollments set contact_id = $2 where customer_id = $1 and contact_id = $3 and id = any($7)
         ), part as (
           update engagement_parts set contact_id = $2 where customer_id = $1 and contact_id = $3 and id = any($8)
         )
         delete from opportunity_contacts where customer_id = $1 and contact_id = $3 and opportunity_id = any($9)",
        customer_id,
        from_id,
        contact_id,
        &moved("activities"),
        &moved("emails"),
        &moved("tasks"),
        &moved("enrollments"),
        &moved("parts"),
        &parting.joined,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "insert into opportunity_contacts (customer_id, opportunity_id, contact_id)
         select $1, o.id, $2 from unnest($3::uuid[]) as w(id)
         join opportunities o on o.customer_id = $1 and o.id = w.id on conflict do nothing",
        customer_id,
        from_id,
        &parting.opportunities,
    )
    .execute(&mut *tx)
    .await?;
    run::rebind_some(tx, customer_id, &moved("runs"), from_id).await
}

/// The row of who stays with what who goes knows beyond it.
fn combined([kept, gone]: &[Map<String, Value>; 2]) -> Map<String, Value> {
    let mut row = kept.clone();
    let is_empty = |value: Option<&Value>| value.is_none_or(|value| value.is_null() || value == "");
    for field in FILLED {
        if is_empty(row.get(field))
            && let Some(value) = gone.get(field)
        {
            row.insert(field.into(), value.clone());
        }
    }
    for field in ["account_id", "owner_id"] {
        if is_empty(row.get(field)) {
            row.insert(field.into(), gone.get(field).cloned().unwrap_or_default());
        }
    }
    let tags = [kept, gone].into_iter().filter_map(|of| of.get("tags")?.as_array());
    let mut all: Vec<Value> = Vec::new();
    for tag in tags.flatten() {
        if !all.contains(tag) {
            all.push(tag.clone());
        }
    }
    row.insert("tags".into(), all.into());
    let custom = [gone, kept].into_iter().filter_map(|of| of.get("custom")?.as_object().cloned());
    let custom: Map<String, Value> = custom.flatten().collect();
    row.insert("custom".into(), custom.into());
    // Who wants no more mail under one address wants none at all.
    if gone.get("status").is_some_and(|status| status == "unsubscribed") {
        row.insert("status".into(), "unsubscribed".into());
    }
    row
}

/// Writes a contact's row from its fields.
async fn write(
    tx: &mut PgConnection,
    customer_id: Uuid,
    contact_id: Uuid,
    row: &Map<String, Value>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update contacts c set account_id = w.account_id, company = w.company, owner_id = w.owner_id,
           first_name = w.first_name, last_name = w.last_name, email = w.email, phone = w.phone, title = w.title,
           linkedin_url = w.linkedin_url, country = w.country, region = w.region, city = w.city,
           time_zone = w.time_zone, zone_source = w.zone_source, locale = w.locale, status = w.status, tags = w.tags,
           custom = w.custom, merged_into = w.merged_into, deleted_at = w.deleted_at, updated_at = w.updated_at
         from jsonb_populate_record(null::contacts, $3) w
         where c.customer_id = $1 and c.id = $2",
        customer_id,
        contact_id,
        Json(row) as _,
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn tell(
    tx: &mut PgConnection,
    customer_id: Uuid,
    told: [(Uuid, &'static str, Value); 2],
) -> Result<(), sqlx::Error> {
    let keys: Vec<(Uuid, Uuid)> =
        told.iter().map(|(contact, _, _)| (customer_id, *contact)).collect();
    let sequences = contact::count_events(&mut *tx, &keys).await?;
    let event = |(contact_id, topic, more): &(Uuid, &'static str, Value)| {
        let key = id::show("con", *contact_id);
        let mut data = json!({ "contact_id": key });
        if let (Value::Object(data), Value::Object(more)) = (&mut data, more) {
            data.extend(more.clone());
        }
        let sequence = *sequences.get(&(customer_id, *contact_id))?;
        Some(NewEvent { customer_id, topic: Cow::Borrowed(*topic), key, sequence, data })
    };
    outbox::publish(tx, &told.iter().filter_map(event).collect::<Vec<_>>()).await
}

/// The merge of an id.
///
/// # Errors
/// What the statement returned.
pub async fn find(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    id: Uuid,
) -> Result<Option<Merge>, sqlx::Error> {
    sqlx::query_as!(
        Merge,
        "select id, contact_id, from_id, actor, created_at, undone_at from merges where customer_id = $1 and id = $2",
        customer_id,
        id,
    )
    .fetch_optional(db)
    .await
}

/// A contact that may be the same person.
#[derive(Debug, Clone, PartialEq)]
pub struct Duplicate {
    /// The contact.
    pub contact_id: Uuid,
    /// How sure that is, of 100.
    pub score: i32,
    /// By what: `name`, `similar_name`, `domain`, `phone`, `address`.
    pub reasons: Vec<String>,
}

/// What two contacts have in common.
struct Judged {
    id: Uuid,
    score: i32,
    same_name: bool,
    similar_name: bool,
    same_domain: bool,
    same_phone: bool,
    same_address: bool,
}

/// Contacts that may be the same person, the surest first, at most 20: by the address without its tag, or by name, domain
/// and telephone number together.
///
/// # Errors
/// What the statement returned.
pub async fn duplicates(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    contact_id: Uuid,
) -> Result<Vec<Duplicate>, sqlx::Error> {
    let found = sqlx::query_as!(
        Judged,
        r#"with me as (
             select *, split_part(lower(email), '@', 2) as domain,
               regexp_replace(split_part(lower(email), '@', 1), '\+.*$', '') as local,
               lower(first_name || ' ' || last_name) as name
             from contacts where customer_id = $1 and id = $2
           ), near as (
             select c.id from me join contacts c on c.customer_id = $1 and c.deleted_at is null
               and lower(c.last_name) = lower(me.last_name) and me.last_name <> '' and c.id <> me.id limit 500
           ), rung as (
             select c.id from me join contacts c on c.customer_id = $1 and c.deleted_at is null and c.phone is not null
               and crm.phone_end(c.phone) = crm.phone_end(me.phone) and length(crm.phone_end(me.phone)) = 7
               and c.id <> me.id limit 500
           ), addressed as (
             select c.id from me join contacts c on c.customer_id = $1 and c.deleted_at is null
               and lower(c.email) = me.local || '@' || me.domain and c.id <> me.id
           ), judged as (
             select c.id,
               lower(c.first_name || ' ' || c.last_name) = me.name and me.name <> ' ' as same_name,
               similarity(lower(c.first_name || ' ' || c.last_name), me.name) > 0.6 as similar_name,
               split_part(lower(c.email), '@', 2) = me.domain as same_domain,
               coalesce(crm.phone_end(c.phone) = crm.phone_end(me.phone) and length(crm.phone_end(me.phone)) = 7, false)
                 as same_phone,
               regexp_replace(split_part(lower(c.email), '@', 1), '\+.*$', '') = me.local
                 and split_part(lower(c.email), '@', 2) = me.domain as same_address
             from me join contacts c on c.customer_id = $1
               and c.id in (select id from near union select id from rung union select id from addressed)
           ), scored as (
             select *, greatest(same_address::int * 90, same_domain::int * 20 + same_phone::int * 35
               + case when same_name then 45 when similar_name then 30 else 0 end) as score
             from judged
           )
           select id, score as "score!", same_name as "same_name!", similar_name as "similar_name!",
             same_domain as "same_domain!", same_phone as "same_phone!", same_address as "same_address!"
           from scored where score >= 50 order by score desc, id limit 20"#,
        customer_id,
        contact_id,
    )
    .fetch_all(db)
    .await?;
    let duplicate = |row: Judged| {
        let reasons = [
            ("address", row.same_address),
            ("name", row.same_name),
            ("similar_name", row.similar_name && !row.same_name),
            ("domain", row.same_domain),
            ("phone", row.same_phone),
        ];
        let reasons = reasons.into_iter().filter(|(_, holds)| *holds);
        Duplicate {
            contact_id: row.id,
            score: row.score,
            reasons: reasons.map(|(reason, _)| reason.to_owned()).collect(),
        }
    };
    Ok(found.into_iter().map(duplicate).collect())
}
