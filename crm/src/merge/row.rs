//! A contact's row as fields: put together of two, and written.

use serde_json::{Map, Value};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

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

/// The row of who stays with what who goes knows beyond it.
pub(super) fn combined([kept, gone]: &[Map<String, Value>; 2]) -> Map<String, Value> {
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
pub(super) async fn write(
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
