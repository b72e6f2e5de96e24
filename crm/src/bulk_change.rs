//! The same change to many records: those that a filter matches. Owns `bulk_changes`. A page of records and how far the
//! change is are written in one transaction, so that it continues where it was, whatever stops it.

use chrono::{DateTime, Utc};
use engine::clock;
use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use sqlx::{Connection, PgConnection, PgExecutor, QueryBuilder};
use uuid::Uuid;

use crate::account::AccountError;
use crate::contact::Changing;
use crate::custom_field::{self, Entity};
use crate::filter::{self, Checked, Field, Filter};
use crate::opportunity::OpportunityError;
use crate::orderer::{self, Orderer};
use crate::reach::Refusal;
use crate::user::Role;
use crate::{account, contact, opportunity};

/// How many records one transaction changes.
const PAGE: i64 = 200;
/// How far a preview counts.
const COUNTED: i64 = 10_000;
/// How many records a preview shows.
const SHOWN: i64 = 10;

/// What is to become of each record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entity", content = "change", rename_all = "snake_case")]
pub enum Wanted {
    /// Of accounts.
    Account(account::Change),
    /// Of contacts.
    Contact(contact::Change),
    /// Of opportunities.
    Opportunity(opportunity::Change),
}

impl Wanted {
    /// Of which records.
    pub fn entity(&self) -> Entity {
        match self {
            Self::Account(_) => Entity::Account,
            Self::Contact(_) => Entity::Contact,
            Self::Opportunity(_) => Entity::Opportunity,
        }
    }
}

/// Whose records somebody reaches who does not reach all of the customer's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    /// The user.
    pub user_id: Uuid,
    /// Their team.
    pub team_id: Option<Uuid>,
}

/// A bulk change to order.
#[derive(Debug, Clone, PartialEq)]
pub struct NewBulkChange<'a> {
    /// Which records; it was checked.
    pub filter: &'a Filter,
    /// What is to become of them.
    pub wanted: &'a Wanted,
    /// Who does it.
    pub actor: &'a str,
    /// Their reach, if they do not reach all records.
    pub reach: Option<&'a Reach>,
    /// How many matched when it was ordered.
    pub total: i64,
}

/// How far a bulk change may be.
pub const STATUSES: &[&str] = &["queued", "running", "done", "failed", "stopped"];

/// A bulk change.
#[derive(Debug, Clone, PartialEq)]
pub struct BulkChange {
    /// Who ordered it, such as `user:usr_…`.
    pub actor: String,
    /// Its id (`blk_…`), also its run's.
    pub id: Uuid,
    /// Of which records: the stored word of an [`Entity`].
    pub entity: String,
    /// `queued`, `running`, `done`, `failed` or `stopped`.
    pub status: String,
    /// How many matched when it was ordered, counted up to 10,000.
    pub total: i64,
    /// How many became others.
    pub changed: i64,
    /// How many stayed as they were.
    pub skipped: i64,
    /// Why it failed, or why the first of those that were refused stayed as it was.
    pub error: Option<String>,
    /// When it was ordered.
    pub created_at: DateTime<Utc>,
    /// When it last continued.
    pub updated_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
}

/// What a filter matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matched {
    /// How many, counted up to 10,000.
    pub matched: i64,
    /// Whether there are more.
    pub more: bool,
    /// Some of them.
    pub sample: Vec<Uuid>,
}

/// The table of records, and how its rows are called in statements.
fn table(entity: Entity) -> (&'static str, &'static str, &'static [Field]) {
    match entity {
        Entity::Account => ("crm.accounts_in_reach a", "a", account::FIELDS),
        Entity::Contact => ("crm.contacts_in_reach c", "c", contact::LISTED),
        Entity::Opportunity => ("crm.opportunities_in_reach o", "o", opportunity::FIELDS),
    }
}

/// Records that match, by their ids, after one and made before an instant.
async fn page(
    db: &mut PgConnection,
    customer_id: Uuid,
    entity: Entity,
    checked: &Checked,
    (after_id, before_at): (Uuid, Option<DateTime<Utc>>),
    limit: i64,
) -> Result<Vec<Uuid>, sqlx::Error> {
    let (table, row, _) = table(entity);
    let words = match &checked.q {
        Some(q) => crate::search::query(&mut *db, customer_id, q).await?,
        None => None,
    };
    let mut sql = QueryBuilder::new(format!("select {row}.id from {table}"));
    if entity == Entity::Contact {
        sql.push(
            " left join engagement g on g.customer_id = c.customer_id and g.contact_id = c.id",
        );
    }
    sql.push(format!(" where {row}.deleted_at is null and {row}.customer_id = "))
        .push_bind(customer_id);
    sql.push(format!(" and {row}.id > ")).push_bind(after_id);
    if let Some(before_at) = before_at {
        sql.push(format!(" and {row}.created_at <= ")).push_bind(before_at);
    }
    if let Some(words) = words {
        sql.push(format!(" and {row}.search @@ ")).push_bind(words).push("::tsquery");
    }
    filter::push_where(&mut sql, row, checked);
    sql.push(format!(" order by {row}.id limit ")).push_bind(limit);
    sql.build_query_scalar().fetch_all(db).await
}

/// Those of some records that the connection's role reaches, in the order of their ids.
///
/// # Errors
/// Returns what the statement returned.
pub async fn reached(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    entity: Entity,
    ids: &[Uuid],
) -> Result<Vec<Uuid>, sqlx::Error> {
    let (table, row, _) = table(entity);
    let mut sql = QueryBuilder::new(format!("select {row}.id from {table}"));
    sql.push(format!(" where {row}.deleted_at is null and {row}.customer_id = "))
        .push_bind(customer_id);
    sql.push(format!(" and {row}.id = any(")).push_bind(ids.to_vec());
    sql.push(format!(") order by {row}.id"));
    sql.build_query_scalar().fetch_all(db).await
}

/// What a filter matches, counted up to 10,000.
///
/// # Errors
/// What the statements returned.
pub async fn preview(
    db: &mut PgConnection,
    customer_id: Uuid,
    entity: Entity,
    checked: &Checked,
) -> Result<Matched, sqlx::Error> {
    let found = page(db, customer_id, entity, checked, (Uuid::nil(), None), COUNTED + 1).await?;
    let count = i64::try_from(found.len()).unwrap_or(i64::MAX);
    let shown = usize::try_from(SHOWN).unwrap_or(usize::MAX);
    Ok(Matched {
        matched: count.min(COUNTED),
        more: count > COUNTED,
        sample: found.into_iter().take(shown).collect(),
    })
}

/// Orders a bulk change; gives its id.
///
/// # Errors
/// What the statement returned.
pub async fn order(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    new: &NewBulkChange<'_>,
) -> Result<Uuid, sqlx::Error> {
    sqlx::query_scalar!(
        "insert into bulk_changes (customer_id, id, entity, filter, wanted, actor, reach, total)
         values ($1, $2, $3, $4, $5, $6, $7, $8) returning id",
        customer_id,
        clock::new_id(),
        new.wanted.entity().word(),
        Json(new.filter) as _,
        Json(new.wanted) as _,
        new.actor,
        new.reach.map(Json) as _,
        new.total,
    )
    .fetch_one(db)
    .await
}

/// A bulk change by id.
///
/// # Errors
/// What the statement returned.
pub async fn find(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    id: Uuid,
) -> Result<Option<BulkChange>, sqlx::Error> {
    sqlx::query_as!(
        BulkChange,
        "select actor, id, entity, status, total, changed, skipped, error, created_at, updated_at, ended_at
         from bulk_changes where customer_id = $1 and id = $2",
        customer_id,
        id,
    )
    .fetch_optional(db)
    .await
}

/// Stops a bulk change that has not ended; what is changed stays.
///
/// # Errors
/// What the statement returned.
pub async fn stop(db: impl PgExecutor<'_>, customer_id: Uuid, id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update bulk_changes set status = 'stopped', ended_at = engine.now(), updated_at = engine.now()
         where customer_id = $1 and id = $2 and ended_at is null",
        customer_id,
        id,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Stops bulk changes whose runs have ended; each has its reason.
///
/// # Errors
/// Returns what the statement returned.
pub(crate) async fn give_up(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    ids: &[Uuid],
    reasons: &[String],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update bulk_changes b set status = 'stopped', error = coalesce(b.error, e.reason), ended_at = engine.now(),
           updated_at = engine.now()
         from unnest($2::uuid[], $3::text[]) as e(id, reason)
         where b.customer_id = $1 and b.id = e.id and b.ended_at is null",
        customer_id,
        ids,
        reasons,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Changes the next page of records in the caller's transaction, with the rights that whoever ordered it has now; returns
/// whether more are left.
///
/// # Errors
/// What the statements returned; the caller rolls back, and nothing of the page is changed.
pub async fn advance(
    tx: &mut PgConnection,
    customer_id: Uuid,
    id: Uuid,
) -> Result<bool, sqlx::Error> {
    let found = sqlx::query!(
        r#"select filter as "filter: Json<Filter>", wanted as "wanted: Json<Wanted>", before_at, after_id,
             actor, reach as "reach: Json<Reach>"
           from bulk_changes where customer_id = $1 and id = $2 and ended_at is null for update"#,
        customer_id,
        id,
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(found) = found else { return Ok(false) };
    let reach = match Orderer::of(&found.actor) {
        None => found.reach.map(|reach| reach.0),
        // Whoever ordered it may have lost rights since.
        Some(by) => match orderer::reach_now(&mut *tx, customer_id, by, Role::Rep).await? {
            Ok(reach) => reach,
            Err(reason) => return fail(tx, customer_id, id, &reason).await,
        },
    };
    let _to_the_end = orderer::act_as(&mut *tx, customer_id, reach.as_ref()).await?;
    let wanted = found.wanted.0;
    let entity = wanted.entity();
    let custom = custom_field::of(&mut *tx, customer_id, entity).await?;
    let Ok(checked) = Checked::read(&found.filter.0, table(entity).2, &custom) else {
        return fail(tx, customer_id, id, "a field of the filter no longer exists").await;
    };
    let from = (found.after_id, Some(found.before_at));
    let ids = page(&mut *tx, customer_id, entity, &checked, from, PAGE).await?;
    let Applied { changed, refused } = apply(&mut *tx, customer_id, &ids, &wanted).await?;
    let whole = i64::try_from(ids.len()).unwrap_or(i64::MAX);
    let is_left = whole == PAGE;
    let changed = i64::try_from(changed).unwrap_or(i64::MAX);
    sqlx::query!(
        "update bulk_changes set after_id = coalesce($3, after_id), changed = changed + $4, skipped = skipped + $5,
           error = coalesce(error, $7),
           status = case when $6 then 'running' when changed + $4 = 0 and coalesce(error, $7) is not null then 'failed'
             else 'done' end,
           updated_at = engine.now(), ended_at = case when not $6 then engine.now() end
         where customer_id = $1 and id = $2",
        customer_id,
        id,
        ids.last(),
        changed,
        whole - changed,
        is_left,
        refused,
    )
    .execute(tx)
    .await?;
    Ok(is_left)
}

async fn fail(
    tx: &mut PgConnection,
    customer_id: Uuid,
    id: Uuid,
    error: &str,
) -> Result<bool, sqlx::Error> {
    sqlx::query!(
        "update bulk_changes set status = 'failed', error = $3, ended_at = engine.now(), updated_at = engine.now()
         where customer_id = $1 and id = $2",
        customer_id,
        id,
        error,
    )
    .execute(tx)
    .await?;
    Ok(false)
}

/// What a bulk change did to some records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// How many became others.
    pub changed: usize,
    /// Why the first of those that were refused stayed as it is.
    pub refused: Option<String>,
}

/// Changes records in the caller's transaction. One that can't become so stays as it is, and stops no other.
///
/// # Errors
/// What the statements returned.
pub async fn apply(
    tx: &mut PgConnection,
    customer_id: Uuid,
    ids: &[Uuid],
    wanted: &Wanted,
) -> Result<Applied, sqlx::Error> {
    if let Ok(changed) = attempt(&mut *tx, customer_id, ids, wanted).await? {
        return Ok(Applied { changed, refused: None });
    }
    let mut applied = Applied::default();
    for id in ids {
        match attempt(&mut *tx, customer_id, std::slice::from_ref(id), wanted).await? {
            Ok(changed) => applied.changed += changed,
            Err(reason) => applied.refused = applied.refused.or(Some(reason)),
        }
    }
    Ok(applied)
}

/// Why some records were not changed.
enum ChangeError {
    /// One of them can't become so; the text says why.
    Refused(String),
    /// The database failed.
    Database(sqlx::Error),
}

impl From<sqlx::Error> for ChangeError {
    fn from(error: sqlx::Error) -> Self {
        match Refusal::of(&error) {
            Some(refusal) => Self::Refused(refusal.reason()),
            None => Self::Database(error),
        }
    }
}

impl From<AccountError> for ChangeError {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Database(error) => error.into(),
            AccountError::OutOfReach => Self::Refused(Refusal::OutOfReach.reason()),
            AccountError::NameTaken | AccountError::UnknownOwner => {
                Self::Refused(error.to_string())
            }
        }
    }
}

impl From<OpportunityError> for ChangeError {
    fn from(error: OpportunityError) -> Self {
        match error {
            OpportunityError::Database(error) => error.into(),
            OpportunityError::OutOfReach => Self::Refused(Refusal::OutOfReach.reason()),
            OpportunityError::UnknownStage
            | OpportunityError::UnknownAccount
            | OpportunityError::UnknownContact
            | OpportunityError::UnknownOwner
            | OpportunityError::NotLost => Self::Refused(error.to_string()),
        }
    }
}

/// Changes all of these records or none: gives how many became others, or why one can't.
async fn attempt(
    tx: &mut PgConnection,
    customer_id: Uuid,
    ids: &[Uuid],
    wanted: &Wanted,
) -> Result<Result<usize, String>, sqlx::Error> {
    let mut part = tx.begin().await?;
    match change(&mut part, customer_id, ids, wanted).await {
        Ok(changed) => {
            part.commit().await?;
            Ok(Ok(changed))
        }
        Err(ChangeError::Refused(reason)) => {
            part.rollback().await?;
            Ok(Err(reason))
        }
        Err(ChangeError::Database(error)) => Err(error),
    }
}

async fn change(
    tx: &mut PgConnection,
    customer_id: Uuid,
    ids: &[Uuid],
    wanted: &Wanted,
) -> Result<usize, ChangeError> {
    let mut changed = 0;
    match wanted {
        Wanted::Contact(change) => {
            let changing = |contact_id: &Uuid| Changing {
                customer_id,
                contact_id: *contact_id,
                change: change.clone(),
            };
            let changing: Vec<Changing> = ids.iter().map(changing).collect();
            changed = contact::change(tx, &changing, "bulk").await?;
        }
        Wanted::Account(change) => {
            for id in ids {
                let found = account::lock(&mut *tx, customer_id, *id).await?;
                let Some(locked) = found else { continue };
                let before = locked.updated_at;
                let now = account::change(&mut *tx, customer_id, locked, change.clone()).await?;
                changed += usize::from(now.updated_at != before);
            }
        }
        Wanted::Opportunity(change) => {
            for id in ids {
                let found = opportunity::lock(&mut *tx, customer_id, *id).await?;
                let Some(locked) = found else { continue };
                let before = locked.updated_at;
                let now =
                    opportunity::change(&mut *tx, customer_id, locked, change.clone()).await?;
                changed += usize::from(now.updated_at != before);
            }
        }
    }
    Ok(changed)
}
