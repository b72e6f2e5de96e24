//! Changes of contacts, by people and by workflows: many at once, each contact told of by one event that names the
//! fields and holds none of their values.

use std::collections::{BTreeMap, BTreeSet};

use engine::id;
use engine::outbox::{self, NewEvent};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sqlx::PgConnection;
use uuid::Uuid;

use super::zone::{self, ZoneSource};
use crate::change::present;
use crate::custom_field::{self, Entity};
use crate::event::contact::{self as event, Updated};
use crate::{account, search};

/// What is to become of a contact's fields; what is `None` stays. An empty text says that it is unknown.
/// Address, company and owner are not a workflow's to set; status and score are nobody's.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Change {
    /// First name.
    pub first_name: Option<String>,
    /// Last name.
    pub last_name: Option<String>,
    /// Telephone.
    pub phone: Option<String>,
    /// Job title.
    pub title: Option<String>,
    /// A profile.
    pub linkedin_url: Option<String>,
    /// Country.
    pub country: Option<String>,
    /// State or province.
    pub region: Option<String>,
    /// City.
    pub city: Option<String>,
    /// IANA zone.
    pub time_zone: Option<String>,
    /// BCP 47 tag.
    pub locale: Option<String>,
    /// The customer's own fields to set, by name; the others stay.
    pub custom: Map<String, Value>,
    /// Tags to add.
    pub add_tags: Vec<String>,
    /// Tags to take away.
    pub remove_tags: Vec<String>,
    /// All tags, in place of those that are there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// The address, which was read; another live contact's violates `contacts_email`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The company's name; its account is found or made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub company: Option<String>,
    /// The account, whose name becomes the company; none.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub account_id: Option<Option<Uuid>>,
    /// Whose it is; nobody's.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub owner_id: Option<Option<Uuid>>,
}

/// A contact that is to be changed, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Changing {
    /// Whose it is.
    pub customer_id: Uuid,
    /// The contact.
    pub contact_id: Uuid,
    /// What is to become of it.
    pub change: Change,
}

/// A contact's fields as far as they can be changed.
#[derive(Debug, Clone, Default, PartialEq)]
struct Fields {
    customer_id: Uuid,
    id: Uuid,
    account_id: Option<Uuid>,
    company: Option<String>,
    owner_id: Option<Uuid>,
    email: String,
    first_name: String,
    last_name: String,
    phone: Option<String>,
    title: Option<String>,
    linkedin_url: Option<String>,
    country: Option<String>,
    region: Option<String>,
    city: Option<String>,
    time_zone: Option<String>,
    zone_source: Option<String>,
    locale: Option<String>,
    tags: Vec<String>,
    custom: Value,
}

/// Changes contacts in the caller's transaction, in the order given; tells of each that is another than before by
/// `contact.updated`, which names `source`, such as `api`. A contact that is gone is left out. Gives how many became
/// others.
///
/// # Errors
/// What the statements returned.
pub async fn change(
    tx: &mut PgConnection,
    changing: &[Changing],
    source: &str,
) -> Result<usize, sqlx::Error> {
    let mut contacts = lock(tx, changing).await?;
    let mut changed: BTreeMap<(Uuid, Uuid), BTreeSet<String>> = BTreeMap::new();
    for Changing { customer_id, contact_id, change } in changing {
        let key = (*customer_id, *contact_id);
        let Some(fields) = contacts.get_mut(&key) else { continue };
        let mut names = apply(fields, change);
        if let Some(company) = employer(tx, *customer_id, change).await? {
            names.extend(move_to(fields, company));
        }
        if !names.is_empty() {
            changed.entry(key).or_default().extend(names);
        }
    }
    contacts.retain(|key, _| changed.contains_key(key));
    let (customers, ids): (Vec<Uuid>, Vec<Uuid>) = contacts.keys().copied().unzip();
    let sequences = update(tx, contacts.into_values().collect()).await?;
    search::learn(&mut *tx, Entity::Contact, &customers, &ids).await?;
    let count = sequences.len();
    let events: Vec<NewEvent> = sequences
        .into_iter()
        .map(|(customer_id, contact_id, sequence)| {
            let told = Updated {
                contact_id: id::show("con", contact_id),
                changed: changed.remove(&(customer_id, contact_id)),
                source: Some(source.to_owned()),
                merged_from: None,
            };
            event::UPDATED.event(customer_id, told.contact_id.clone(), sequence, &told)
        })
        .collect();
    outbox::publish(tx, &events).await?;
    Ok(count)
}

/// A company: its account, where it has one, and its name.
type Employer = (Option<Uuid>, Option<String>);

/// For whom a contact works by a change, where that says so.
async fn employer(
    tx: &mut PgConnection,
    customer_id: Uuid,
    change: &Change,
) -> Result<Option<Employer>, sqlx::Error> {
    if let Some(account_id) = change.account_id {
        let Some(account_id) = account_id else { return Ok(Some((None, None))) };
        let found = account::find(&mut *tx, customer_id, account_id).await?;
        return Ok(Some((Some(account_id), found.map(|account| account.name))));
    }
    let Some(company) = change.company.as_deref().map(str::trim) else { return Ok(None) };
    if company.is_empty() {
        return Ok(Some((None, None)));
    }
    let account = account::named(tx, customer_id, &[company]).await?;
    let account_id = account.get(&company.to_lowercase()).copied();
    Ok(Some((account_id, Some(company.to_owned()))))
}

fn move_to(fields: &mut Fields, (account_id, company): Employer) -> Vec<String> {
    let mut changed = Vec::new();
    if fields.account_id != account_id {
        fields.account_id = account_id;
        changed.push("account_id".to_owned());
    }
    if fields.company != company {
        fields.company = company;
        changed.push("company".to_owned());
    }
    changed
}

/// The contacts as they are, locked in one order, so that two batches never wait for each other.
async fn lock(
    tx: &mut PgConnection,
    changing: &[Changing],
) -> Result<BTreeMap<(Uuid, Uuid), Fields>, sqlx::Error> {
    let customers: Vec<Uuid> = changing.iter().map(|changing| changing.customer_id).collect();
    let ids: Vec<Uuid> = changing.iter().map(|changing| changing.contact_id).collect();
    let found = sqlx::query_as!(
        Fields,
        "select customer_id, id, account_id, company, owner_id, email, first_name, last_name, phone, title, linkedin_url,
           country, region, city, time_zone, zone_source, locale, tags, custom
         from contacts
         where (customer_id, id) in (select c.customer_id, c.id from unnest($1::uuid[], $2::uuid[]) as c(customer_id, id))
           and deleted_at is null
         order by customer_id, id for update",
        &customers,
        &ids,
    )
    .fetch_all(tx)
    .await?;
    Ok(found.into_iter().map(|fields| ((fields.customer_id, fields.id), fields)).collect())
}

/// Makes a change; gives the names of the fields that are others than before.
fn apply(fields: &mut Fields, change: &Change) -> Vec<String> {
    let mut changed = Vec::new();
    for (name, field, wanted) in [
        ("first_name", &mut fields.first_name, &change.first_name),
        ("last_name", &mut fields.last_name, &change.last_name),
        ("email", &mut fields.email, &change.email),
    ] {
        if let Some(wanted) = wanted.as_ref().filter(|wanted| *wanted != field) {
            field.clone_from(wanted);
            changed.push(name.to_owned());
        }
    }
    for (name, field, wanted) in [
        ("phone", &mut fields.phone, &change.phone),
        ("title", &mut fields.title, &change.title),
        ("linkedin_url", &mut fields.linkedin_url, &change.linkedin_url),
        ("country", &mut fields.country, &change.country),
        ("region", &mut fields.region, &change.region),
        ("city", &mut fields.city, &change.city),
        ("time_zone", &mut fields.time_zone, &change.time_zone),
        ("locale", &mut fields.locale, &change.locale),
    ] {
        let Some(wanted) = wanted else { continue };
        let wanted = Some(wanted.clone()).filter(|wanted| !wanted.is_empty());
        if wanted != *field {
            *field = wanted;
            changed.push(name.to_owned());
        }
    }
    if let Some(owner_id) = change.owner_id.filter(|wanted| *wanted != fields.owner_id) {
        fields.owner_id = owner_id;
        changed.push("owner_id".to_owned());
    }
    if let Value::Object(custom) = &mut fields.custom {
        changed.extend(custom_field::set(custom, change.custom.clone()));
    }
    if apply_tags(&mut fields.tags, change) {
        changed.push("tags".to_owned());
    }
    place(fields, change, &mut changed);
    changed
}

/// Keeps the zone in step with the place: one that somebody gave stays, one that followed from the place follows it.
fn place(fields: &mut Fields, change: &Change, changed: &mut Vec<String>) {
    if changed.iter().any(|name| name == "time_zone") && fields.time_zone.is_some() {
        fields.zone_source = Some(ZoneSource::Given.word().into());
        return;
    }
    let given = fields.zone_source.as_deref() == Some(ZoneSource::Given.word());
    let moved = |name: &String| ["country", "region", "phone"].contains(&name.as_str());
    let emptied = change.time_zone.as_deref() == Some("");
    if !emptied && (given || !changed.iter().any(moved)) {
        return;
    }
    let (country, region) = (fields.country.as_deref(), fields.region.as_deref());
    let derived = zone::derived(country, region, fields.phone.as_deref());
    let (zone, source) =
        derived.map(|(zone, source)| (zone.name().to_owned(), source.word().to_owned())).unzip();
    fields.zone_source = source;
    if fields.time_zone != zone {
        fields.time_zone = zone;
        if !changed.iter().any(|name| name == "time_zone") {
            changed.push("time_zone".to_owned());
        }
    }
}

/// Whether the tags are others than before.
fn apply_tags(tags: &mut Vec<String>, change: &Change) -> bool {
    if let Some(wanted) = &change.tags {
        let changed = tags != wanted;
        tags.clone_from(wanted);
        return changed;
    }
    let before = tags.len();
    tags.retain(|tag| !change.remove_tags.contains(tag));
    let mut changed = tags.len() != before;
    for tag in &change.add_tags {
        if !tags.contains(tag) {
            tags.push(tag.clone());
            changed = true;
        }
    }
    changed
}

/// Writes contacts back; gives each one's customer, id and event sequence.
async fn update(
    tx: &mut PgConnection,
    contacts: Vec<Fields>,
) -> Result<Vec<(Uuid, Uuid, i64)>, sqlx::Error> {
    if contacts.is_empty() {
        return Ok(Vec::new());
    }
    let columns = Columns::of(contacts);
    let rows = sqlx::query!(
        "update contacts c set account_id = w.account_id, company = w.company, owner_id = w.owner_id, email = w.email,
           first_name = w.first_name, last_name = w.last_name, phone = w.phone, title = w.title,
           linkedin_url = w.linkedin_url, country = w.country, region = w.region, city = w.city,
           time_zone = w.time_zone, zone_source = w.zone_source, locale = w.locale,
           tags = array(select jsonb_array_elements_text(w.tags::jsonb)), custom = w.custom,
           event_sequence = c.event_sequence + 1, updated_at = engine.now()
         from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
           $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::jsonb[], $15::uuid[], $16::text[],
           $17::uuid[], $18::text[], $19::text[])
           as w(customer_id, id, first_name, last_name, phone, title, linkedin_url, country, region, city, time_zone,
             locale, tags, custom, account_id, company, owner_id, email, zone_source)
         where c.customer_id = w.customer_id and c.id = w.id
         returning c.customer_id, c.id, c.event_sequence",
        &columns.customers,
        &columns.ids,
        &columns.first_names,
        &columns.last_names,
        &columns.phones as &[Option<String>],
        &columns.titles as &[Option<String>],
        &columns.profiles as &[Option<String>],
        &columns.countries as &[Option<String>],
        &columns.regions as &[Option<String>],
        &columns.cities as &[Option<String>],
        &columns.zones as &[Option<String>],
        &columns.locales as &[Option<String>],
        &columns.tags,
        &columns.custom,
        &columns.accounts as &[Option<Uuid>],
        &columns.companies as &[Option<String>],
        &columns.owners as &[Option<Uuid>],
        &columns.emails,
        &columns.zone_sources as &[Option<String>],
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(|row| (row.customer_id, row.id, row.event_sequence)).collect())
}

/// The columns of a batch.
#[derive(Default)]
struct Columns {
    customers: Vec<Uuid>,
    ids: Vec<Uuid>,
    first_names: Vec<String>,
    last_names: Vec<String>,
    phones: Vec<Option<String>>,
    titles: Vec<Option<String>>,
    profiles: Vec<Option<String>>,
    countries: Vec<Option<String>>,
    regions: Vec<Option<String>>,
    cities: Vec<Option<String>>,
    zones: Vec<Option<String>>,
    locales: Vec<Option<String>>,
    tags: Vec<String>,
    custom: Vec<Value>,
    accounts: Vec<Option<Uuid>>,
    companies: Vec<Option<String>>,
    owners: Vec<Option<Uuid>>,
    emails: Vec<String>,
    zone_sources: Vec<Option<String>>,
}

impl Columns {
    fn of(contacts: Vec<Fields>) -> Self {
        let mut columns = Self::default();
        for contact in contacts {
            columns.customers.push(contact.customer_id);
            columns.ids.push(contact.id);
            columns.first_names.push(contact.first_name);
            columns.last_names.push(contact.last_name);
            columns.phones.push(contact.phone);
            columns.titles.push(contact.title);
            columns.profiles.push(contact.linkedin_url);
            columns.countries.push(contact.country);
            columns.regions.push(contact.region);
            columns.cities.push(contact.city);
            columns.zones.push(contact.time_zone);
            columns.locales.push(contact.locale);
            columns.tags.push(Value::from(contact.tags).to_string());
            columns.custom.push(contact.custom);
            columns.accounts.push(contact.account_id);
            columns.companies.push(contact.company);
            columns.owners.push(contact.owner_id);
            columns.emails.push(contact.email);
            columns.zone_sources.push(contact.zone_source);
        }
        columns
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Change, Fields, apply};

    #[test]
    fn only_what_is_another_than_before_counts_as_changed() {
        let mut fields = Fields {
            first_name: "Ada".into(),
            title: Some("VP".into()),
            tags: vec!["cold".into(), "vip".into()],
            custom: json!({ "stage": "new", "seats": 3 }),
            ..Fields::default()
        };
        let custom = json!({ "stage": "warm", "seats": 3 });
        let change = Change {
            first_name: Some("Ada".into()),
            title: Some(String::new()),
            custom: custom.as_object().cloned().unwrap_or_default(),
            add_tags: vec!["vip".into(), "warm".into()],
            remove_tags: vec!["cold".into(), "none".into()],
            ..Change::default()
        };
        assert_eq!(apply(&mut fields, &change), ["title", "custom.stage", "tags"]);
        assert_eq!((fields.title.as_deref(), fields.first_name.as_str()), (None, "Ada"));
        assert_eq!(fields.tags, ["vip", "warm"]);
        assert_eq!(fields.custom, json!({ "stage": "warm", "seats": 3 }));
        assert_eq!(apply(&mut fields, &change), Vec::<String>::new());
    }
}
