//! Custom fields: what a customer keeps of its records beyond what all have. Owns `custom_fields`. A field's key and type
//! never change, so that the values that lie in records stay what they were checked to be.

use chrono::{DateTime, NaiveDate, Utc};
use engine::definition::OwnFields;
use engine::{clock, id};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sqlx::PgExecutor;
use utoipa::ToSchema;
use uuid::Uuid;

/// The most fields of one kind of records.
pub const MOST: i64 = 200;
/// The longest value of a text.
const LONGEST: usize = 2_000;

/// Of which records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Entity {
    /// Companies.
    Account,
    /// People.
    Contact,
    /// Deals.
    Opportunity,
}

impl Entity {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Account, Self::Contact, Self::Opportunity];

    /// The stored word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Contact => "contact",
            Self::Opportunity => "opportunity",
        }
    }

    /// Reads the stored word.
    pub fn read(word: &str) -> Self {
        match word {
            "account" => Self::Account,
            "opportunity" => Self::Opportunity,
            _contact => Self::Contact,
        }
    }
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Type {
    /// Text of up to 2,000 letters.
    Text,
    /// A number.
    Number,
    /// A local date, such as `2026-11-30`.
    Date,
    /// `true` or `false`.
    Bool,
    /// One of the options.
    Select,
    /// Some of the options.
    Multiselect,
    /// A URL of `http` or `https`.
    Url,
    /// A user (`usr_…`).
    User,
}

impl Type {
    fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "number",
            Self::Date => "date",
            Self::Bool => "bool",
            Self::Select => "select",
            Self::Multiselect => "multiselect",
            Self::Url => "url",
            Self::User => "user",
        }
    }

    fn read(word: &str) -> Self {
        match word {
            "number" => Self::Number,
            "date" => Self::Date,
            "bool" => Self::Bool,
            "select" => Self::Select,
            "multiselect" => Self::Multiselect,
            "url" => Self::Url,
            "user" => Self::User,
            _text => Self::Text,
        }
    }
}

/// A custom field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomField {
    /// Its id (`fld_…`).
    pub id: Uuid,
    /// Of which records.
    pub entity: Entity,
    /// Under which key it lies in `custom`.
    pub key: String,
    /// What people call it.
    pub label: String,
    /// What it holds.
    pub kind: Type,
    /// What may be chosen; for selects alone.
    pub options: Vec<String>,
    /// Whether a new record needs it.
    pub required: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When its row last changed.
    pub updated_at: DateTime<Utc>,
}

/// A field to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewField {
    /// See [`CustomField`].
    pub entity: Entity,
    /// See [`CustomField`].
    pub key: String,
    /// See [`CustomField`].
    pub label: String,
    /// See [`CustomField`].
    pub kind: Type,
    /// See [`CustomField`].
    pub options: Vec<String>,
    /// See [`CustomField`].
    pub required: bool,
}

/// A value that its field does not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The field's key.
    pub key: String,
    /// What to write.
    pub message: String,
}

/// Whether something can be a key: a letter, then letters, digits and `_`, all lower case.
pub fn is_key(text: &str) -> bool {
    let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    let rest = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    first && text.len() <= 63 && text.bytes().all(rest)
}

/// Checks the values that a record is to have against the customer's fields. Values that are `null` are none; a change
/// names only what it sets, so it lacks nothing.
///
/// # Errors
/// All values that are not good, and the required ones that a new record lacks.
pub fn check(
    fields: &[CustomField],
    values: &Map<String, Value>,
    is_new: bool,
) -> Result<(), Vec<Refused>> {
    let mut refused = Vec::new();
    let mut refuse =
        |key: &str, message: String| refused.push(Refused { key: key.into(), message });
    for (key, value) in values {
        match fields.iter().find(|field| field.key == *key) {
            None => {
                let keys: Vec<&str> = fields.iter().map(|field| field.key.as_str()).collect();
                let keys = if keys.is_empty() { "none".to_owned() } else { keys.join(", ") };
                refuse(key, format!("is no custom field; there are: {keys}"));
            }
            Some(field) if value.is_null() => {
                if field.required {
                    refuse(key, "is required; it can't be emptied".into());
                }
            }
            Some(field) => {
                if let Err(message) = field.takes(value) {
                    refuse(key, message);
                }
            }
        }
    }
    let lacks = |field: &&CustomField| is_new && field.required && !values.contains_key(&field.key);
    for field in fields.iter().filter(lacks) {
        refuse(&field.key, "is required".into());
    }
    if refused.is_empty() { Ok(()) } else { Err(refused) }
}

/// Sets values in a record's own, `null` takes one away; gives which became others, such as `custom.seats`.
pub(crate) fn set(own: &mut Map<String, Value>, wanted: Map<String, Value>) -> Vec<String> {
    let mut changed = Vec::new();
    for (key, value) in wanted {
        let before =
            if value.is_null() { own.remove(&key) } else { own.insert(key.clone(), value) };
        if before.as_ref() != own.get(&key) {
            changed.push(format!("custom.{key}"));
        }
    }
    changed
}

impl CustomField {
    /// Refuses a value that the field does not take.
    fn takes(&self, value: &Value) -> Result<(), String> {
        let one_of = || format!("is one of {}", self.options.join(", "));
        let text = value.as_str().filter(|text| !text.is_empty() && text.len() <= LONGEST);
        let good = match self.kind {
            Type::Text => text.is_some(),
            Type::Number => value.as_f64().is_some_and(f64::is_finite),
            Type::Date => text.is_some_and(|text| text.parse::<NaiveDate>().is_ok()),
            Type::Bool => value.is_boolean(),
            Type::Select => text.is_some_and(|text| self.options.iter().any(|one| one == text)),
            Type::Multiselect => value.as_array().is_some_and(|chosen| {
                let known = |one: &Value| self.options.iter().any(|option| one == option);
                chosen.len() <= self.options.len() && chosen.iter().all(known)
            }),
            Type::Url => {
                text.is_some_and(|text| text.starts_with("https://") || text.starts_with("http://"))
            }
            Type::User => text.is_some_and(|text| id::read("usr", text).is_ok()),
        };
        if good {
            return Ok(());
        }
        Err(match self.kind {
            Type::Text => format!("is a text of 1 to {LONGEST} letters"),
            Type::Number => "is a number".into(),
            Type::Date => "is a date such as 2026-11-30".into(),
            Type::Bool => "is true or false".into(),
            Type::Select => one_of(),
            Type::Multiselect => format!("is a list; each {}", one_of()),
            Type::Url => "is a URL such as https://example.com".into(),
            Type::User => "is the id of a user (usr_…)".into(),
        })
    }

    /// A cell of a table as the field's value; what can't be one is told.
    ///
    /// # Errors
    /// What to write.
    pub fn read_cell(&self, cell: &str) -> Result<Value, String> {
        let value = match self.kind {
            Type::Text | Type::Date | Type::Select | Type::Url | Type::User => Value::from(cell),
            Type::Number => {
                let digits = cell.replace([' ', '\u{a0}', '\''], "");
                let whole = digits.parse::<i64>().map(Value::from);
                whole.unwrap_or_else(|_| digits.parse::<f64>().map_or(Value::Null, Value::from))
            }
            Type::Bool => match cell.to_lowercase().as_str() {
                "true" | "yes" | "1" | "y" => Value::Bool(true),
                "false" | "no" | "0" | "n" => Value::Bool(false),
                _other => Value::Null,
            },
            Type::Multiselect => {
                let chosen = cell.split([';', '|']).map(str::trim).filter(|one| !one.is_empty());
                chosen.map(Value::from).collect()
            }
        };
        self.takes(&value).map(|()| value)
    }
}

struct Row {
    id: Uuid,
    entity: String,
    key: String,
    label: String,
    kind: String,
    options: Vec<String>,
    required: bool,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Row> for CustomField {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            entity: Entity::read(&row.entity),
            key: row.key,
            label: row.label,
            kind: Type::read(&row.kind),
            options: row.options,
            required: row.required,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// The fields of a kind of records, in the order in which they were made.
///
/// # Errors
/// What the statement returned.
pub async fn of(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    entity: Entity,
) -> Result<Vec<CustomField>, sqlx::Error> {
    let found = sqlx::query_as!(
        Row,
        "select id, entity, key, label, type as kind, options, required, created_at, updated_at
         from custom_fields where customer_id = $1 and entity = $2 order by id limit $3",
        customer_id,
        entity.word(),
        MOST,
    )
    .fetch_all(db)
    .await?;
    Ok(found.into_iter().map(CustomField::from).collect())
}

/// What texts of a customer's sequences may name below `custom` of a contact; `None` where the customer keeps no fields of
/// its own yet, so that a sequence can be there before the fields that it asks for.
///
/// # Errors
/// What the statement returned.
pub async fn of_texts(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
) -> Result<Option<OwnFields>, sqlx::Error> {
    let fields = of(db, customer_id, Entity::Contact).await?;
    let keys: Vec<String> = fields.into_iter().map(|field| field.key).collect();
    Ok((!keys.is_empty()).then_some(OwnFields { field: "custom", keys }))
}

/// Makes a field; a key that the records have already violates `custom_fields_key`. `None` where there are as many as
/// may be.
///
/// # Errors
/// What the statement returned.
pub async fn create(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    new: &NewField,
) -> Result<Option<CustomField>, sqlx::Error> {
    let made = sqlx::query_as!(
        Row,
        "insert into custom_fields (customer_id, id, entity, key, label, type, options, required)
         select $1, $2, $3, $4, $5, $6, $7, $8
         where (select count(*) from custom_fields where customer_id = $1 and entity = $3) < $9
         returning id, entity, key, label, type as kind, options, required, created_at, updated_at",
        customer_id,
        clock::new_id(),
        new.entity.word(),
        new.key,
        new.label,
        new.kind.word(),
        &new.options,
        new.required,
        MOST,
    )
    .fetch_optional(db)
    .await?;
    Ok(made.map(CustomField::from))
}

/// A field by id, locked against other changes.
///
/// # Errors
/// What the statement returned.
pub async fn lock(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    id: Uuid,
) -> Result<Option<CustomField>, sqlx::Error> {
    let found = sqlx::query_as!(
        Row,
        "select id, entity, key, label, type as kind, options, required, created_at, updated_at
         from custom_fields where customer_id = $1 and id = $2 for update",
        customer_id,
        id,
    )
    .fetch_optional(db)
    .await?;
    Ok(found.map(CustomField::from))
}

/// Writes what may change of a field: its label, its options, whether it is required.
///
/// # Errors
/// What the statement returned.
pub async fn change(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    field: &CustomField,
) -> Result<CustomField, sqlx::Error> {
    let changed = sqlx::query_as!(
        Row,
        "update custom_fields set label = $3, options = $4, required = $5, updated_at = engine.now()
         where customer_id = $1 and id = $2
         returning id, entity, key, label, type as kind, options, required, created_at, updated_at",
        customer_id,
        field.id,
        field.label,
        &field.options,
        field.required,
    )
    .fetch_one(db)
    .await?;
    Ok(changed.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn field(key: &str, kind: Type, options: &[&str], required: bool) -> CustomField {
        CustomField {
            id: Uuid::nil(),
            entity: Entity::Contact,
            key: key.into(),
            label: key.into(),
            kind,
            options: options.iter().map(|one| (*one).to_owned()).collect(),
            required,
            created_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH,
        }
    }

    fn said(fields: &[CustomField], values: Value, is_new: bool) -> Vec<String> {
        let values = values.as_object().cloned().expect("an object");
        let refused = check(fields, &values, is_new).err().unwrap_or_default();
        refused.into_iter().map(|one| format!("{} {}", one.key, one.message)).collect()
    }

    #[test]
    fn each_type_takes_its_own_values_and_tells_what_to_write() {
        let fields = [
            field("seats", Type::Number, &[], false),
            field("plan", Type::Select, &["free", "paid"], true),
            field("renews", Type::Date, &[], false),
            field("likes", Type::Multiselect, &["tea", "coffee"], false),
        ];
        let good = json!({ "seats": 3, "plan": "paid", "renews": "2026-11-30", "likes": ["tea"] });
        assert_eq!(said(&fields, good, true), Vec::<String>::new());
        let bad =
            json!({ "seats": "3", "plan": "gold", "renews": "soon", "likes": ["gin"], "sets": 1 });
        assert_eq!(
            said(&fields, bad, true),
            [
                "likes is a list; each is one of tea, coffee",
                "plan is one of free, paid",
                "renews is a date such as 2026-11-30",
                "seats is a number",
                "sets is no custom field; there are: seats, plan, renews, likes",
            ]
        );
        assert_eq!(said(&fields, json!({}), true), ["plan is required"]);
        assert_eq!(said(&fields, json!({}), false), Vec::<String>::new());
        assert_eq!(
            said(&fields, json!({ "plan": null }), false),
            ["plan is required; it can't be emptied"]
        );
    }

    #[test]
    fn a_cell_becomes_a_value_of_its_field() {
        let likes = field("likes", Type::Multiselect, &["tea", "coffee"], false);
        assert_eq!(likes.read_cell("tea; coffee"), Ok(json!(["tea", "coffee"])));
        assert_eq!(field("seats", Type::Number, &[], false).read_cell("1 200"), Ok(json!(1200)));
        assert_eq!(field("vip", Type::Bool, &[], false).read_cell("Yes"), Ok(json!(true)));
        assert!(field("vip", Type::Bool, &[], false).read_cell("perhaps").is_err());
    }

    #[test]
    fn a_key_is_a_word_of_lower_letters() {
        assert!(is_key("seats_2") && is_key("a"));
        assert!(!is_key("") && !is_key("2seats") && !is_key("Seats") && !is_key("se-ats"));
    }
}
