//! Writing contacts, each with the event that tells of it.

use std::collections::HashMap;

use engine::outbox::{self, NewEvent};
use engine::timing::Zone;
use engine::topic::Topic;
use engine::{clock, id};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::zone::{self, ZoneSource};
use super::{Contact, NewContact, find};
use crate::custom_field::Entity;
use crate::event::contact::{self as event, Created, Deleted, Unsubscribed, Updated};
use crate::{account, address, reach, search};

/// Why no contact was made.
#[derive(Debug, thiserror::Error)]
pub enum ContactError {
    /// What was given as address is none.
    #[error(transparent)]
    InvalidEmail(#[from] address::Invalid),
    /// The customer has the address already; the contact is named where the caller reaches it.
    #[error("there is a contact with this address already")]
    Duplicate { contact_id: Option<Uuid> },
    /// The owner's records are out of the caller's reach.
    #[error("the owner belongs to another team")]
    OutOfReach,
    /// There is no such zone.
    #[error(transparent)]
    UnknownZone(#[from] engine::timing::UnknownZone),
    /// The database refused.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Makes a contact, its account where it names a new company, and the event `contact.created`.
///
/// # Errors
/// `InvalidEmail`, `UnknownZone`, `Duplicate`, `OutOfReach`, or what the statements returned.
pub async fn create(
    tx: &mut PgConnection,
    customer_id: Uuid,
    mut new: NewContact,
) -> Result<Contact, ContactError> {
    new.email = address::parse(&new.email)?;
    if let Some(zone) = &new.time_zone {
        Zone::parse(zone)?;
    }
    let email = new.email.clone();
    let batch = insert_batch(tx, customer_id, vec![new], "api").await?;
    match batch.created.first() {
        Some(contact_id) => {
            find(&mut *tx, customer_id, *contact_id).await?.ok_or(ContactError::OutOfReach)
        }
        None => {
            let contact_id = batch.by_email.get(&email.to_lowercase()).copied();
            Err(ContactError::Duplicate { contact_id })
        }
    }
}

/// What became of a batch.
pub(crate) struct Batch {
    /// The new contacts.
    pub(crate) created: Vec<Uuid>,
    /// All contacts of the batch's addresses, by lowercase address.
    pub(crate) by_email: HashMap<String, Uuid>,
}

/// The columns of a batch.
#[derive(Default)]
struct Columns {
    ids: Vec<Uuid>,
    accounts: Vec<Option<Uuid>>,
    companies: Vec<Option<String>>,
    owners: Vec<Option<Uuid>>,
    first_names: Vec<String>,
    last_names: Vec<String>,
    emails: Vec<String>,
    phones: Vec<Option<String>>,
    titles: Vec<Option<String>>,
    profiles: Vec<Option<String>>,
    countries: Vec<Option<String>>,
    regions: Vec<Option<String>>,
    cities: Vec<Option<String>>,
    zones: Vec<Option<String>>,
    zone_sources: Vec<Option<String>>,
    locales: Vec<Option<String>>,
    tags: Vec<String>,
    custom: Vec<Value>,
}

impl Columns {
    fn of(contacts: Vec<NewContact>, accounts: &HashMap<String, Uuid>) -> Self {
        let mut columns = Self::default();
        for new in contacts {
            let (zone, source) = placed(&new).unzip();
            let account = new.company.as_ref().map(|name| name.trim().to_lowercase());
            let account = account.and_then(|name| accounts.get(&name).copied());
            columns.ids.push(clock::new_id());
            columns.accounts.push(new.account_id.or(account));
            columns.companies.push(new.company.map(|name| name.trim().to_owned()));
            columns.owners.push(new.owner_id);
            columns.first_names.push(new.first_name);
            columns.last_names.push(new.last_name);
            columns.emails.push(new.email);
            columns.phones.push(new.phone);
            columns.titles.push(new.title);
            columns.profiles.push(new.linkedin_url);
            columns.countries.push(new.country);
            columns.regions.push(new.region);
            columns.cities.push(new.city);
            columns.zones.push(zone);
            columns.zone_sources.push(source);
            columns.locales.push(new.locale);
            columns.tags.push(Value::from(new.tags).to_string());
            columns.custom.push(new.custom.unwrap_or_else(|| json!({})));
        }
        columns
    }
}

/// The zone of a new contact, and what told it.
fn placed(new: &NewContact) -> Option<(String, String)> {
    if let Some(zone) = &new.time_zone {
        return Some((zone.clone(), ZoneSource::Given.word().into()));
    }
    let (country, region) = (new.country.as_deref(), new.region.as_deref());
    let (zone, source) = zone::derived(country, region, new.phone.as_deref())?;
    Some((zone.name().into(), source.word().into()))
}

/// Inserts contacts whose addresses were checked; those that the customer has already stay as they are. Companies
/// become accounts.
pub(crate) async fn insert_batch(
    tx: &mut PgConnection,
    customer_id: Uuid,
    contacts: Vec<NewContact>,
    source: &str,
) -> Result<Batch, sqlx::Error> {
    let nameless = contacts.iter().filter(|new| new.account_id.is_none());
    let companies: Vec<&str> = nameless.filter_map(|new| new.company.as_deref()).collect();
    let accounts = account::named(tx, customer_id, &companies).await?;
    insert_placed(tx, customer_id, contacts, &accounts, source).await
}

/// The same with the accounts of companies, by lowercase name; a company that is not among them stays a name.
pub(crate) async fn insert_placed(
    tx: &mut PgConnection,
    customer_id: Uuid,
    contacts: Vec<NewContact>,
    accounts: &HashMap<String, Uuid>,
    source: &str,
) -> Result<Batch, sqlx::Error> {
    let wanted: Vec<String> = contacts.iter().map(|new| new.email.to_lowercase()).collect();
    let columns = Columns::of(contacts, accounts);
    let created = sqlx::query_scalar!(
        "insert into contacts (customer_id, id, account_id, company, owner_id, first_name, last_name, email, phone,
           title, linkedin_url, country, region, city, time_zone, zone_source, locale, tags, custom, event_sequence)
         select $1, n.id, n.account_id, coalesce(a.name, n.company), n.owner_id, n.first_name, n.last_name, n.email,
           n.phone, n.title, n.linkedin_url, n.country, n.region, n.city, n.time_zone, n.zone_source, n.locale,
           array(select jsonb_array_elements_text(n.tags::jsonb)), n.custom, 1
         from unnest($2::uuid[], $3::uuid[], $4::text[], $5::uuid[], $6::text[], $7::text[], $8::text[], $9::text[],
           $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[],
           $18::text[], $19::jsonb[])
           as n(id, account_id, company, owner_id, first_name, last_name, email, phone, title, linkedin_url, country,
             region, city, time_zone, zone_source, locale, tags, custom)
         left join accounts a on a.customer_id = $1 and a.id = n.account_id
         order by lower(n.email)
         on conflict (customer_id, lower(email)) where deleted_at is null do nothing
         returning id",
        customer_id,
        &columns.ids,
        &columns.accounts as &[Option<Uuid>],
        &columns.companies as &[Option<String>],
        &columns.owners as &[Option<Uuid>],
        &columns.first_names,
        &columns.last_names,
        &columns.emails,
        &columns.phones as &[Option<String>],
        &columns.titles as &[Option<String>],
        &columns.profiles as &[Option<String>],
        &columns.countries as &[Option<String>],
        &columns.regions as &[Option<String>],
        &columns.cities as &[Option<String>],
        &columns.zones as &[Option<String>],
        &columns.zone_sources as &[Option<String>],
        &columns.locales as &[Option<String>],
        &columns.tags,
        &columns.custom,
    )
    .fetch_all(&mut *tx)
    .await?;
    let customers = vec![customer_id; created.len()];
    search::learn(&mut *tx, Entity::Contact, &customers, &created).await?;
    let events: Vec<NewEvent> = created
        .iter()
        .map(|contact| {
            let contact_id = id::show("con", *contact);
            let (key, source) = (contact_id.clone(), source.to_owned());
            event::CREATED.event(customer_id, key, 1, &Created { contact_id, source })
        })
        .collect();
    outbox::publish(tx, &events).await?;
    let by_email = sqlx::query!(
        r#"select c.id as "id!", w.email as "email!" from unnest($2::text[]) as w(email)
           join crm.contacts_in_reach c on c.customer_id = $1 and lower(c.email) = lower(w.email) and c.deleted_at is null"#,
        customer_id,
        &wanted,
    )
    .fetch_all(tx)
    .await?;
    let by_email = by_email.into_iter().map(|contact| (contact.email, contact.id)).collect();
    Ok(Batch { created, by_email })
}

/// A live contact by id, locked against other changes.
///
/// # Errors
/// What the statements returned.
pub async fn lock(
    tx: &mut PgConnection,
    customer_id: Uuid,
    id: Uuid,
) -> Result<Option<Contact>, sqlx::Error> {
    sqlx::query!(
        "select from contacts where customer_id = $1 and id = $2 and deleted_at is null for update",
        customer_id,
        id,
    )
    .fetch_optional(&mut *tx)
    .await?;
    find(tx, customer_id, id).await
}

/// Keeps contacts as they are until the transaction ends; others may do the same.
///
/// # Errors
/// What the statement returned.
pub(crate) async fn hold(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    ids: &[Uuid],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select from contacts where customer_id = $1 and id = any($2) order by id for share",
        customer_id,
        ids,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes a contact that [`lock`] gave; it can be restored. `contact.deleted` tells of it.
///
/// # Errors
/// What the statements returned.
pub async fn delete(tx: &mut PgConnection, customer_id: Uuid, id: Uuid) -> Result<(), sqlx::Error> {
    let sequence = sqlx::query_scalar!(
        "update contacts set deleted_at = engine.now(), updated_at = engine.now(), event_sequence = event_sequence + 1
         where customer_id = $1 and id = $2 and deleted_at is null returning event_sequence",
        customer_id,
        id,
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(sequence) = sequence else { return Ok(()) };
    let told = Deleted::of(id::show("con", id));
    tell(tx, customer_id, id, &event::DELETED, sequence, &told).await
}

/// Restores a deleted contact, or gives the live one; `None` where there is none. Where another has its address by now,
/// it violates `contacts_email`; one that was merged comes back by undoing that.
///
/// # Errors
/// What the statements returned.
pub async fn restore(
    tx: &mut PgConnection,
    customer_id: Uuid,
    id: Uuid,
) -> Result<Option<Contact>, sqlx::Error> {
    let sequence = sqlx::query_scalar!(
        "update contacts set deleted_at = null, updated_at = engine.now(), event_sequence = event_sequence + 1
         where customer_id = $1 and id = $2 and deleted_at is not null and merged_into is null and status <> 'erased'
         returning event_sequence",
        customer_id,
        id,
    )
    .fetch_optional(&mut *tx)
    .await?;
    if let Some(sequence) = sequence {
        let told = Updated::of(id::show("con", id), ["deleted_at"]);
        tell(&mut *tx, customer_id, id, &event::UPDATED, sequence, &told).await?;
    }
    find(tx, customer_id, id).await
}

pub(super) async fn tell<Data: Serialize>(
    tx: &mut PgConnection,
    customer_id: Uuid,
    contact_id: Uuid,
    topic: &Topic<Data>,
    sequence: i64,
    data: &Data,
) -> Result<(), sqlx::Error> {
    let event = topic.event(customer_id, id::show("con", contact_id), sequence, data);
    outbox::publish(tx, &[event]).await
}

/// Counts an event more of each contact; gives the events' sequences.
pub(crate) async fn count_events(
    tx: &mut PgConnection,
    of: &[(Uuid, Uuid)],
) -> Result<HashMap<(Uuid, Uuid), i64>, sqlx::Error> {
    let (customers, ids): (Vec<Uuid>, Vec<Uuid>) = of.iter().copied().unzip();
    let counted = sqlx::query!(
        "update contacts c set event_sequence = c.event_sequence + 1
         from unnest($1::uuid[], $2::uuid[]) as o(customer_id, id)
         where c.customer_id = o.customer_id and c.id = o.id
         returning c.customer_id, c.id, c.event_sequence",
        &customers,
        &ids,
    )
    .fetch_all(tx)
    .await?;
    Ok(counted.into_iter().map(|row| ((row.customer_id, row.id), row.event_sequence)).collect())
}

/// Gives all of an account's contacts its new name as their company, also those that the caller does not reach.
pub(crate) async fn rename_company(
    tx: &mut PgConnection,
    customer_id: Uuid,
    account_id: Uuid,
    name: &str,
) -> Result<(), sqlx::Error> {
    let lifted = reach::lift(&mut *tx).await?;
    sqlx::query!(
        "update contacts set company = $3 where customer_id = $1 and account_id = $2 and company is distinct from $3",
        customer_id,
        account_id,
        name,
    )
    .execute(&mut *tx)
    .await?;
    reach::restore(tx, lifted).await
}

/// Marks a contact as one who wants no more mail, and publishes it once; says whether it is new. `actor` is published
/// where it was not the person's own doing.
pub(crate) async fn mark_unsubscribed(
    tx: &mut PgConnection,
    customer_id: Uuid,
    contact_id: Uuid,
    actor: Option<&str>,
) -> Result<bool, sqlx::Error> {
    let sequence = sqlx::query_scalar!(
        "update contacts set status = 'unsubscribed', event_sequence = event_sequence + 1, updated_at = engine.now()
         where customer_id = $1 and id = $2 and status in ('active', 'bounced') returning event_sequence",
        customer_id,
        contact_id,
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(sequence) = sequence else { return Ok(false) };
    let told =
        Unsubscribed { contact_id: id::show("con", contact_id), actor: actor.map(str::to_owned) };
    tell(tx, customer_id, contact_id, &event::UNSUBSCRIBED, sequence, &told).await?;
    Ok(true)
}

/// Marks a contact whose address takes no mail.
///
/// # Errors
/// What the statement returned.
pub async fn mark_bounced(
    tx: &mut PgConnection,
    customer_id: Uuid,
    contact_id: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update contacts set status = 'bounced', updated_at = engine.now()
         where customer_id = $1 and id = $2 and status = 'active'",
        customer_id,
        contact_id,
    )
    .execute(tx)
    .await?;
    Ok(())
}
