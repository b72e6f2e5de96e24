//! Reading a filter against the fields of a record: whatever is wrong is told, all at once.

use chrono::{DateTime, NaiveDate, Utc};
use engine::id;
use serde_json::Value;
use uuid::Uuid;

use super::{Field, Filter, Kind};
use crate::address;
use crate::custom_field::{CustomField, Type};

/// The most conditions of one filter.
const MOST: usize = 50;
/// The most values of one `in`.
const MOST_VALUES: usize = 500;
/// The longest text.
const LONGEST: usize = 500;

/// Something that is wrong with a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Where it stands, such as `filter[country][eq]`.
    pub field: String,
    /// What to write.
    pub message: String,
}

/// A filter that can be asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// The words that are searched.
    pub q: Option<String>,
    pub(super) conditions: Vec<Condition>,
}

/// One condition.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Condition {
    pub(super) of: Of,
    pub(super) asks: Asks,
}

/// Of which field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Of {
    /// One that every customer has: the expression of it.
    Own(&'static str),
    /// A custom one, by its key.
    Custom(String),
}

/// What is asked of a field.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Asks {
    Is(Operand),
    IsNot(Operand),
    IsIn(Vec<Operand>),
    IsNoneOf(Vec<Operand>),
    Compares(Comparison, Operand),
    Contains(String),
    Starts(String),
    Has(String),
    Empty(bool),
}

/// How a value stands to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Greater,
    GreaterOrSame,
    Less,
    LessOrSame,
}

/// A value of a field's kind.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand {
    Text(String),
    Number(f64),
    Date(NaiveDate),
    Instant(DateTime<Utc>),
    Flag(bool),
    Id(Uuid),
}

impl Checked {
    /// Reads a filter.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn read(
        filter: &Filter,
        fields: &[Field],
        custom: &[CustomField],
    ) -> Result<Self, Vec<Refused>> {
        let mut conditions = Vec::new();
        let mut refused = Vec::new();
        for (name, asked) in &filter.fields {
            let (of, kind) = match known(name, fields, custom) {
                Ok(known) => known,
                Err(message) => {
                    refused.push(Refused { field: format!("filter[{name}]"), message });
                    continue;
                }
            };
            for (operator, value) in asked {
                match asks(kind, operator, value) {
                    Ok(asks) => conditions.push(Condition { of: of.clone(), asks }),
                    Err(message) => {
                        let field = format!("filter[{name}][{operator}]");
                        refused.push(Refused { field, message });
                    }
                }
            }
        }
        if conditions.len() > MOST {
            let message = format!("has more than {MOST} conditions");
            refused.push(Refused { field: "filter".into(), message });
        }
        if filter.q.as_ref().is_some_and(|q| q.len() > LONGEST) {
            let message = format!("has more than {LONGEST} letters");
            refused.push(Refused { field: "q".into(), message });
        }
        if !refused.is_empty() {
            return Err(refused);
        }
        let q = filter.q.clone().filter(|q| !q.trim().is_empty());
        Ok(Self { q, conditions })
    }
}

fn known(name: &str, fields: &[Field], custom: &[CustomField]) -> Result<(Of, Kind), String> {
    if let Some(key) = name.strip_prefix("custom.") {
        let found = custom.iter().find(|field| field.key == key);
        let found = found.ok_or_else(|| {
            let keys: Vec<&str> = custom.iter().map(|field| field.key.as_str()).collect();
            let keys = if keys.is_empty() { "none".to_owned() } else { keys.join(", ") };
            format!("is no custom field; there are: {keys}")
        })?;
        return Ok((Of::Custom(key.to_owned()), of_custom(found.kind)));
    }
    let found = fields.iter().find(|field| field.name == name);
    let found = found.ok_or_else(|| {
        let names: Vec<&str> = fields.iter().map(|field| field.name).collect();
        format!("is no field; there are: {}, custom.KEY", names.join(", "))
    })?;
    Ok((Of::Own(found.column), found.kind))
}

fn of_custom(kind: Type) -> Kind {
    match kind {
        Type::Text | Type::Select | Type::Url | Type::User => Kind::Text,
        Type::Number => Kind::Number,
        Type::Date => Kind::Date,
        Type::Bool => Kind::Flag,
        Type::Multiselect => Kind::Words,
    }
}

fn asks(kind: Kind, operator: &str, value: &Value) -> Result<Asks, String> {
    let comparison = |comparison| Ok(Asks::Compares(comparison, operand(kind, value)?));
    let ordered = matches!(kind, Kind::Number | Kind::Date | Kind::Instant);
    let textual = matches!(kind, Kind::Text | Kind::Address);
    match operator {
        "empty" => flag(value).map(Asks::Empty),
        "has" if kind == Kind::Words => text(value).map(Asks::Has),
        "eq" if kind == Kind::Address => spellings(value).map(Asks::IsIn),
        "ne" if kind == Kind::Address => spellings(value).map(Asks::IsNoneOf),
        "in" if kind == Kind::Address => {
            let all: Result<Vec<_>, _> = several(value)?.iter().map(spellings).collect();
            Ok(Asks::IsIn(all?.concat()))
        }
        "eq" if kind != Kind::Words => operand(kind, value).map(Asks::Is),
        "ne" if kind != Kind::Words => operand(kind, value).map(Asks::IsNot),
        "in" if kind != Kind::Words => values(kind, value).map(Asks::IsIn),
        "gt" if ordered => comparison(Comparison::Greater),
        "gte" if ordered => comparison(Comparison::GreaterOrSame),
        "lt" if ordered => comparison(Comparison::Less),
        "lte" if ordered => comparison(Comparison::LessOrSame),
        "contains" if textual => part(kind, value).map(Asks::Contains),
        "starts" if textual => part(kind, value).map(Asks::Starts),
        _other => Err(format!("is no operator of this field; there are: {}", operators(kind))),
    }
}

fn operators(kind: Kind) -> &'static str {
    match kind {
        Kind::Text | Kind::Address => "eq, ne, in, contains, starts, empty",
        Kind::Word(_) | Kind::Flag | Kind::Id(_) => "eq, ne, in, empty",
        Kind::Number | Kind::Date | Kind::Instant => "eq, ne, in, gt, gte, lt, lte, empty",
        Kind::Words => "has, empty",
    }
}

/// Part of a text; that of an address as addresses are stored.
fn part(kind: Kind, value: &Value) -> Result<String, String> {
    let given = text(value)?;
    Ok(if kind == Kind::Address { address::stored_part(&given) } else { given })
}

/// An address as it is stored, and as rows may still spell it.
fn spellings(value: &Value) -> Result<Vec<Operand>, String> {
    Ok(address::spellings(&text(value)?).into_iter().map(Operand::Text).collect())
}

fn values(kind: Kind, value: &Value) -> Result<Vec<Operand>, String> {
    several(value)?.iter().map(|value| operand(kind, value)).collect()
}

/// The values of an `in`.
fn several(value: &Value) -> Result<Vec<Value>, String> {
    let values: Vec<Value> = if let Some(values) = value.as_array() {
        values.clone()
    } else if let Some(text) = value.as_str() {
        text.split(',').map(|part| Value::from(part.trim())).collect()
    } else {
        vec![value.clone()]
    };
    if !(1..=MOST_VALUES).contains(&values.len()) {
        return Err(format!("holds 1 to {MOST_VALUES} values"));
    }
    Ok(values)
}

/// Reads a value; that of a query is always text.
fn operand(kind: Kind, value: &Value) -> Result<Operand, String> {
    match kind {
        Kind::Text | Kind::Address | Kind::Words => text(value).map(Operand::Text),
        Kind::Word(words) => {
            let given = text(value)?;
            let known = words.contains(&given.as_str());
            if known {
                Ok(Operand::Text(given))
            } else {
                Err(format!("is one of {}", words.join(", ")))
            }
        }
        Kind::Number => {
            let written = value.as_str().and_then(|text| text.trim().parse().ok());
            let read = written.or_else(|| value.as_f64());
            let read = read.filter(|number: &f64| number.is_finite());
            read.map(Operand::Number).ok_or_else(|| "is a number".into())
        }
        Kind::Date => {
            let read = value.as_str().and_then(|text| text.parse().ok());
            read.map(Operand::Date).ok_or_else(|| "is a date such as 2026-11-30".into())
        }
        Kind::Instant => {
            let read = value.as_str().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
            let read = read.map(|at| Operand::Instant(at.to_utc()));
            read.ok_or_else(|| "is an instant such as 2026-11-30T09:00:00Z".into())
        }
        Kind::Flag => flag(value).map(Operand::Flag),
        Kind::Id(prefix) => {
            let given = text(value)?;
            id::read(prefix, &given).map(Operand::Id).map_err(|error| error.to_string())
        }
    }
}

fn flag(value: &Value) -> Result<bool, String> {
    let written = value.as_str().and_then(|text| text.parse().ok());
    value.as_bool().or(written).ok_or_else(|| "is true or false".into())
}

fn text(value: &Value) -> Result<String, String> {
    let text = value.as_str().ok_or("is a text")?;
    if text.is_empty() || text.len() > LONGEST {
        return Err(format!("has 1 to {LONGEST} letters"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FIELDS: &[Field] = &[
        Field { name: "title", column: "c.title", kind: Kind::Text },
        Field { name: "created_at", column: "c.created_at", kind: Kind::Instant },
        Field { name: "tags", column: "c.tags", kind: Kind::Words },
    ];

    fn read(filter: Value) -> Result<Checked, Vec<Refused>> {
        let filter: Filter = serde_json::from_value(filter).expect("it is a filter");
        Checked::read(&filter, FIELDS, &[])
    }

    #[test]
    fn all_that_is_wrong_is_told_with_what_to_write() {
        let refused = read(json!({
            "titel": { "eq": "VP" },
            "title": { "gt": "VP" },
            "created_at": { "gte": "yesterday" },
            "custom.seats": { "gte": 3 },
            "tags": { "eq": "hot" },
        }));
        let refused = refused.expect_err("nothing of it is good");
        let said: Vec<String> =
            refused.iter().map(|one| format!("{} {}", one.field, one.message)).collect();
        assert_eq!(
            said,
            [
                "filter[created_at][gte] is an instant such as 2026-11-30T09:00:00Z",
                "filter[custom.seats] is no custom field; there are: none",
                "filter[tags][eq] is no operator of this field; there are: has, empty",
                "filter[titel] is no field; there are: title, created_at, tags, custom.KEY",
                "filter[title][gt] is no operator of this field; there are: eq, ne, in, contains, starts, empty",
            ]
        );
    }

    #[test]
    fn a_value_of_a_query_is_read_as_its_field_is() {
        let read = read(
            json!({ "created_at": { "lt": "2026-11-30T09:00:00+02:00" }, "title": { "in": "VP, CEO" } }),
        );
        let conditions = read.expect("all of it is good").conditions;
        let at = "2026-11-30T07:00:00Z".parse().expect("an instant");
        assert_eq!(conditions[0].asks, Asks::Compares(Comparison::Less, Operand::Instant(at)));
        let texts = ["VP", "CEO"].map(|text| Operand::Text(text.into()));
        assert_eq!(conditions[1].asks, Asks::IsIn(texts.to_vec()));
    }
}
