//! Changes that workflows make to contacts: many at once, each contact told of by one event that names the
//! fields and holds none of their values.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use engine::id;
use engine::outbox::{self, NewEvent};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

/// What is to become of a contact's fields; what is `None` stays. An empty text says that it is unknown.
/// Address, company, status and score are not a workflow's to set.
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
}

/// A contact that is to be changed, and how.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Changing {
    pub(crate) customer_id: Uuid,
    pub(crate) contact_id: Uuid,
    pub(crate) change: Change,
}

/// A contact's fields as far as they can be changed.
#[derive(Debug, Clone, Default, PartialEq)]
struct Fields {
    customer_id: Uuid,
    id: Uuid,
    first_name: String,
    last_name: String,
    phone: Option<String>,
    title: Option<String>,
    linkedin_url: Option<String>,
    country: Option<String>,
    region: Option<String>,
    city: Option<String>,
    time_zone: Option<String>,
    locale: Option<String>,
    tags: Vec<String>,
    custom: Value,
}

/// Changes contacts in the caller's transaction, in the order given; tells of each that is another than
/// before by `contact.updated`. A contact that is gone is left out.
///
/// # Errors
/// What the statements returned.
pub(crate) async fn change(
    tx: &mut PgConnection,
    changing: &[Changing],
) -> Result<(), sqlx::Error> {
    let mut contacts = lock(tx, changing).await?;
    let mut changed: BTreeMap<(Uuid, Uuid), BTreeSet<String>> = BTreeMap::new();
    for Changing { customer_id, contact_id, change } in changing {
        let key = (*customer_id, *contact_id);
        let Some(fields) = contacts.get_mut(&key) else { continue };
        let names = apply(fields, change);
        if !names.is_empty() {
            changed.entry(key).or_default().extend(names);
        }
    }
    contacts.retain(|key, _| changed.contains_key(key));
    let sequences = update(tx, contacts.into_values().collect()).await?;
    let events: Vec<NewEvent> = sequences
        .into_iter()
        .map(|(customer_id, contact_id, sequence)| {
            let contact = id::show("con", contact_id);
            let names = changed.remove(&(customer_id, contact_id));
            NewEvent {
                customer_id,
                topic: Cow::Borrowed("contact.updated"),
                key: contact.clone(),
                sequence,
                data: json!({ "contact_id": contact, "changed": names, "source": "workflow" }),
            }
        })
        .collect();
    outbox::publish(tx, &events).await
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
        "select customer_id, id, first_name, last_name, phone, title, linkedin_url, country, region, city, time_zone,
           locale, tags, custom
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
    changed.extend(apply_custom(&mut fields.custom, &change.custom));
    if apply_tags(&mut fields.tags, change) {
        changed.push("tags".to_owned());
    }
    changed
}

fn apply_custom(custom: &mut Value, wanted: &Map<String, Value>) -> Vec<String> {
    let Value::Object(custom) = custom else { return Vec::new() };
    let mut changed = Vec::new();
    for (name, value) in wanted {
        if custom.get(name) != Some(value) {
            custom.insert(name.clone(), value.clone());
            changed.push(format!("custom.{name}"));
        }
    }
    changed
}

/// Whether the tags are others than before.
fn apply_tags(tags: &mut Vec<String>, change: &Change) -> bool {
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
        "update contacts c set first_name = w.first_name, last_name = w.last_name, phone = w.phone, title = w.title,
           linkedin_url = w.linkedin_url, country = w.country, region = w.region, city = w.city,
           time_zone = w.time_zone, locale = w.locale, tags = array(select jsonb_array_elements_text(w.tags::jsonb)),
           custom = w.custom, event_sequence = c.event_sequence + 1, updated_at = engine.now()
         from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
           $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::jsonb[])
           as w(customer_id, id, first_name, last_name, phone, title, linkedin_url, country, region, city, time_zone,
             locale, tags, custom)
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
