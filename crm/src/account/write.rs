//! Writing accounts, each with the event that tells of it.

use std::collections::{BTreeSet, HashMap};

use engine::topic::Topic;
use engine::{clock, outbox};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::list::shown;
use super::{Account, Address, find};
use crate::change::present;
use crate::custom_field::Entity;
use crate::event::account::{self as event, Created, Deleted, Updated};
use crate::reach::Refusal;
use crate::search;

/// Why an account was not written.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// A live account has the name.
    #[error("there is an account of this name already")]
    NameTaken,
    /// The customer has no such user.
    #[error("there is no such user")]
    UnknownOwner,
    /// The owner's records are out of the caller's reach.
    #[error("the owner belongs to another team")]
    OutOfReach,
    /// The database refused.
    #[error(transparent)]
    Database(sqlx::Error),
}

impl From<sqlx::Error> for AccountError {
    fn from(error: sqlx::Error) -> Self {
        match Refusal::of(&error) {
            Some(Refusal::OutOfReach) => Self::OutOfReach,
            Some(Refusal::Constraint(name)) if name == "accounts_name" => Self::NameTaken,
            Some(Refusal::Constraint(name)) if name == "accounts_customer_id_owner_id_fkey" => {
                Self::UnknownOwner
            }
            Some(Refusal::Constraint(_) | Refusal::Value) | None => Self::Database(error),
        }
    }
}

/// An account to make.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NewAccount {
    /// See [`Account`].
    pub name: String,
    /// See [`Account`].
    pub domain: Option<String>,
    /// See [`Account`].
    pub industry: Option<String>,
    /// See [`Account`].
    pub employees: Option<i32>,
    /// See [`Account`].
    pub phone: Option<String>,
    /// See [`Account`].
    pub website: Option<String>,
    /// See [`Account`].
    pub address: Address,
    /// See [`Account`].
    pub owner_id: Option<Uuid>,
    /// See [`Account`].
    pub tags: Vec<String>,
    /// See [`Account`].
    pub custom: Map<String, Value>,
}

/// What is to become of an account; what is `None` stays, and an inner `None` is unknown from then on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Change {
    /// See [`Account`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// See [`Account`].
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub domain: Option<Option<String>>,
    /// See [`Account`].
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub industry: Option<Option<String>>,
    /// See [`Account`].
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub employees: Option<Option<i32>>,
    /// See [`Account`].
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub phone: Option<Option<String>>,
    /// See [`Account`].
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub website: Option<Option<String>>,
    /// See [`Account`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// See [`Account`].
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub owner_id: Option<Option<Uuid>>,
    /// See [`Account`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// The customer's own fields to set, by key; `null` takes one away, the others stay.
    pub custom: Map<String, Value>,
}

/// Makes an account, and the event `account.created`.
///
/// # Errors
/// `NameTaken`, `UnknownOwner`, `OutOfReach`, or what the statements returned.
pub async fn create(
    tx: &mut PgConnection,
    customer_id: Uuid,
    new: NewAccount,
) -> Result<Account, AccountError> {
    let id = clock::new_id();
    sqlx::query!(
        "insert into accounts (customer_id, id, name, domain, industry, employees, phone, website, address, owner_id,
           tags, custom, event_sequence)
         values ($1, $2, $3, lower($4), $5, $6, $7, $8, $9, $10, $11, $12, 1)",
        customer_id,
        id,
        new.name,
        new.domain,
        new.industry,
        new.employees,
        new.phone,
        new.website,
        Json(&new.address) as _,
        new.owner_id,
        &new.tags,
        Value::Object(new.custom),
    )
    .execute(&mut *tx)
    .await?;
    search::learn(&mut *tx, Entity::Account, &[customer_id], &[id]).await?;
    let told = Created { account: event::Account::of(id), name: new.name };
    tell(&mut *tx, customer_id, &event::CREATED, &[(id, 1, told)]).await?;
    find(tx, customer_id, id).await?.ok_or(AccountError::OutOfReach)
}

/// A live account by id, locked against other changes.
///
/// # Errors
/// What the statement returned.
pub async fn lock(
    tx: &mut PgConnection,
    customer_id: Uuid,
    id: Uuid,
) -> Result<Option<Account>, sqlx::Error> {
    sqlx::query!(
        "select from accounts where customer_id = $1 and id = $2 and deleted_at is null for update",
        customer_id,
        id,
    )
    .fetch_optional(&mut *tx)
    .await?;
    find(tx, customer_id, id).await
}

/// Changes an account that [`lock`] gave, and tells of what became another by `account.updated`.
///
/// # Errors
/// As [`create`].
pub async fn change(
    tx: &mut PgConnection,
    customer_id: Uuid,
    locked: Account,
    change: Change,
) -> Result<Account, AccountError> {
    let id = locked.id;
    let (account, changed) = apply(locked, change);
    if changed.is_empty() {
        return Ok(account);
    }
    let sequence = sqlx::query_scalar!(
        "update accounts set name = $3, domain = lower($4), industry = $5, employees = $6, phone = $7, website = $8,
           address = $9, owner_id = $10, tags = $11, custom = $12, event_sequence = event_sequence + 1,
           updated_at = engine.now()
         where customer_id = $1 and id = $2 returning event_sequence",
        customer_id,
        id,
        account.name,
        account.domain,
        account.industry,
        account.employees,
        account.phone,
        account.website,
        &account.address as _,
        account.owner_id,
        &account.tags,
        &account.custom as _,
    )
    .fetch_one(&mut *tx)
    .await?;
    search::learn(&mut *tx, Entity::Account, &[customer_id], &[id]).await?;
    if changed.contains("name") {
        crate::contact::rename_company(&mut *tx, customer_id, id, &account.name).await?;
    }
    let told = Updated { account: event::Account::of(id), changed };
    tell(&mut *tx, customer_id, &event::UPDATED, &[(id, sequence, told)]).await?;
    find(tx, customer_id, id).await?.ok_or(AccountError::OutOfReach)
}

/// Makes a change; gives the names of the fields that are others than before.
fn apply(mut account: Account, change: Change) -> (Account, BTreeSet<String>) {
    let mut changed = BTreeSet::new();
    let mut note = |name: &str, is_another: bool| {
        if is_another {
            changed.insert(name.to_owned());
        }
    };
    if let Some(name) = change.name {
        note("name", name != account.name);
        account.name = name;
    }
    for (name, field, wanted) in [
        ("domain", &mut account.domain, change.domain),
        ("industry", &mut account.industry, change.industry),
        ("phone", &mut account.phone, change.phone),
        ("website", &mut account.website, change.website),
    ] {
        if let Some(wanted) = wanted {
            note(name, wanted != *field);
            *field = wanted;
        }
    }
    if let Some(employees) = change.employees {
        note("employees", employees != account.employees);
        account.employees = employees;
    }
    if let Some(address) = change.address {
        note("address", address != account.address.0);
        account.address = Json(address);
    }
    if let Some(owner_id) = change.owner_id {
        note("owner_id", owner_id != account.owner_id);
        account.owner_id = owner_id;
    }
    if let Some(tags) = change.tags {
        note("tags", tags != account.tags);
        account.tags = tags;
    }
    for name in crate::custom_field::set(&mut account.custom, change.custom) {
        note(&name, true);
    }
    (account, changed)
}

/// Deletes an account that [`lock`] gave; it can be restored, and its contacts stay.
///
/// # Errors
/// What the statements returned.
pub async fn delete(tx: &mut PgConnection, customer_id: Uuid, id: Uuid) -> Result<(), sqlx::Error> {
    let sequence = sqlx::query_scalar!(
        "update accounts set deleted_at = engine.now(), updated_at = engine.now(), event_sequence = event_sequence + 1
         where customer_id = $1 and id = $2 and deleted_at is null returning event_sequence",
        customer_id,
        id,
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(sequence) = sequence else { return Ok(()) };
    let told = Deleted { account: event::Account::of(id) };
    tell(tx, customer_id, &event::DELETED, &[(id, sequence, told)]).await
}

/// Restores a deleted account; `None` where none is.
///
/// # Errors
/// `NameTaken` where another has its name by now, or what the statements returned.
pub async fn restore(
    tx: &mut PgConnection,
    customer_id: Uuid,
    id: Uuid,
) -> Result<Option<Account>, AccountError> {
    let sequence = sqlx::query_scalar!(
        "update accounts set deleted_at = null, updated_at = engine.now(), event_sequence = event_sequence + 1
         where customer_id = $1 and id = $2 and deleted_at is not null returning event_sequence",
        customer_id,
        id,
    )
    .fetch_optional(&mut *tx)
    .await?;
    if let Some(sequence) = sequence {
        let changed = BTreeSet::from(["deleted_at".to_owned()]);
        let told = Updated { account: event::Account::of(id), changed };
        tell(&mut *tx, customer_id, &event::UPDATED, &[(id, sequence, told)]).await?;
    }
    Ok(find(tx, customer_id, id).await?)
}

/// The accounts of these names, made where they are missing, by the name as Postgres lowers it.
///
/// # Errors
/// What the statements returned.
pub(crate) async fn named(
    tx: &mut PgConnection,
    customer_id: Uuid,
    names: &[&str],
) -> Result<HashMap<String, Uuid>, sqlx::Error> {
    let mut wanted: BTreeSet<String> = BTreeSet::new();
    let mut fresh: Vec<(Uuid, String)> = Vec::new();
    for name in names.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
        if wanted.insert(name.to_lowercase()) {
            fresh.push((clock::new_id(), name.to_owned()));
        }
    }
    let (ids, given): (Vec<Uuid>, Vec<String>) = fresh.into_iter().unzip();
    let made = sqlx::query!(
        "insert into accounts (customer_id, id, name, event_sequence)
         select $1, id, name, 1 from unnest($2::uuid[], $3::text[]) as n(id, name) order by lower(name)
         on conflict (customer_id, lower(name)) where deleted_at is null do nothing
         returning id, name",
        customer_id,
        &ids,
        &given,
    )
    .fetch_all(&mut *tx)
    .await?;
    let ids: Vec<Uuid> = made.iter().map(|made| made.id).collect();
    let told = made.into_iter().map(|made| {
        (made.id, 1, Created { account: event::Account::of(made.id), name: made.name })
    });
    let told: Vec<(Uuid, i64, Created)> = told.collect();
    search::learn(&mut *tx, Entity::Account, &vec![customer_id; ids.len()], &ids).await?;
    tell(&mut *tx, customer_id, &event::CREATED, &told).await?;
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    known(tx, customer_id, &wanted).await
}

/// The accounts of these names that are there, by the name as it was asked, in lower case.
///
/// # Errors
/// What the statement returned.
pub(crate) async fn known(
    tx: &mut PgConnection,
    customer_id: Uuid,
    names: &[&str],
) -> Result<HashMap<String, Uuid>, sqlx::Error> {
    let wanted: BTreeSet<String> = names.iter().map(|name| name.trim().to_lowercase()).collect();
    let wanted: Vec<String> = wanted.into_iter().filter(|name| !name.is_empty()).collect();
    // Postgres alone lowers both sides: its letters are not Rust's under every locale.
    let found = sqlx::query!(
        r#"select a.id as "id!", n.name as "name!" from unnest($2::text[]) as n(name)
           join crm.accounts_in_reach a on a.customer_id = $1 and lower(a.name) = lower(n.name) and a.deleted_at is null"#,
        customer_id,
        &wanted,
    )
    .fetch_all(tx)
    .await?;
    Ok(found.into_iter().map(|account| (account.name, account.id)).collect())
}

/// Tells of accounts: of each its id, the event's sequence, and what is told.
async fn tell<Data: Serialize>(
    tx: &mut PgConnection,
    customer_id: Uuid,
    topic: &Topic<Data>,
    told: &[(Uuid, i64, Data)],
) -> Result<(), sqlx::Error> {
    let event = |(id, sequence, data): &(Uuid, i64, Data)| {
        topic.event(customer_id, shown(*id), *sequence, data)
    };
    outbox::publish(tx, &told.iter().map(event).collect::<Vec<_>>()).await
}
