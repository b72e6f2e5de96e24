//! The closed sets of words in the document: each property and parameter that holds one of a few words lists them, from
//! where the code keeps them. What is an enum already lists its own.

use crm::activity::Kind;
use crm::contact::ZoneSource;
use crm::custom_field::Entity;
use crm::filter::SortField;
use crm::task::Priority;
use crm::user::Role;
use crm::{account, bulk_change, contact, import, merge, opportunity, sequence, task, webhook};
use engine::change::Way;
use engine::operation::OPEN_STATES;
use engine::schedule::{CatchUp, Overlap};
use engine::{change, rehearsal, run, schedule};
use serde_json::{Value, json};

use crate::{ops, permission, problem};

/// What a dry run's import says of how far it is.
pub(crate) const DRY_RUN: &str = "dry_run";

fn of(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// The orders of a listing: by each field, and by each with `-` before it.
fn orders(fields: &[SortField]) -> Vec<String> {
    fields.iter().flat_map(|field| [field.name.to_owned(), format!("-{}", field.name)]).collect()
}

/// The properties, as `Schema.property`, with their words.
fn properties() -> Vec<(&'static str, Vec<String>)> {
    let entities = || of(&Entity::ALL.map(Entity::word));
    let roles = || of(&Role::ALL.map(Role::word));
    vec![
        ("Activity.kind", of(&Kind::ALL.map(Kind::word))),
        ("ApiKey.scopes", of(&permission::scopes())),
        ("BulkChange.entity", entities()),
        ("BulkChange.status", of(bulk_change::STATUSES)),
        ("Contact.status", of(contact::STATUSES)),
        ("Contact.time_zone_source", of(&ZoneSource::ALL.map(ZoneSource::word))),
        ("Duplicate.reasons", of(&merge::REASONS)),
        ("End.state", of(&rehearsal::ENDS)),
        ("Engagement.level", of(contact::LEVELS)),
        ("Enrollment.state", of(&run::STATES)),
        ("Fire.outcome", of(&schedule::OUTCOMES)),
        ("Import.status", of(&[import::STATUSES, &[DRY_RUN]].concat())),
        ("Job.state", of(&run::STATES)),
        ("List.entity", entities()),
        ("NewApiKey.scopes", of(&permission::scopes())),
        ("NewUser.role", roles()),
        ("OperatorSession.token_type", of(&["Bearer"])),
        ("Opportunity.status", of(opportunity::STATUSES)),
        ("Problem.type", problem::types()),
        ("RefusedChange.reason", of(&change::REASONS)),
        ("RunFilter.state", of(&OPEN_STATES)),
        ("Schedule.catch_up", of(&CatchUp::WORDS)),
        ("Schedule.overlap", of(&Overlap::WORDS)),
        ("Schedule.state", of(&schedule::STATES)),
        ("Sequence.status", of(sequence::STATUSES)),
        ("Session.token_type", of(&["Bearer"])),
        ("Task.priority", of(&Priority::ALL.map(Priority::word))),
        ("Task.status", of(task::STATUSES)),
        ("User.role", roles()),
        ("UserChange.role", roles()),
        ("VersionPlan.way", of(&Way::WORDS)),
        ("Webhook.status", of(webhook::STATUSES)),
        ("WebhookDelivery.status", of(webhook::DELIVERY_STATUSES)),
    ]
}

/// The parameters, as `path?name`, with their words.
fn parameters() -> Vec<(&'static str, Vec<String>)> {
    vec![
        ("/api/v1/accounts?sort", orders(account::SORTS)),
        ("/api/v1/activities?kind", of(&Kind::ALL.map(Kind::word))),
        ("/api/v1/activities/tasks?status", of(task::STATUSES)),
        ("/api/v1/contacts?sort", orders(contact::SORTS)),
        ("/api/v1/contacts?status", of(contact::STATUSES)),
        ("/api/v1/contacts/export.csv?sort", orders(contact::SORTS)),
        ("/api/v1/enrollments?state", of(&run::STATES)),
        ("/api/v1/opportunities?sort", orders(opportunity::SORTS)),
        ("/api/v1/ops/jobs?state", of(&ops::STATES)),
    ]
}

/// Lists the words wherever one is asked for. The document of one service alone has some of the schemas and paths.
pub(crate) fn list(document: &mut Value) {
    for (at, words) in properties() {
        let (schema, property) = at.split_once('.').expect("a property is of a schema");
        // A page repeats the schema of its items.
        for within in [schema.to_owned(), format!("Page_{schema}/properties/data/items")] {
            let pointer = format!("/components/schemas/{within}/properties/{property}");
            if let Some(schema) = document.pointer_mut(&pointer) {
                close(schema, &words);
            }
        }
    }
    for (at, words) in parameters() {
        let (path, name) = at.split_once('?').expect("a parameter is of a path");
        let parameters = document["paths"].get_mut(path).and_then(|path| path.get_mut("get"));
        let parameters = parameters.and_then(|operation| operation["parameters"].as_array_mut());
        for parameter in parameters.into_iter().flatten() {
            if parameter["name"] == name {
                close(&mut parameter["schema"], &words);
            }
        }
    }
}

/// Lets a schema of text take these words alone; one of several texts takes them as its items.
fn close(schema: &mut Value, words: &[String]) {
    if let Some(items) = schema.get_mut("items") {
        return close(items, words);
    }
    let takes_null = schema["type"].as_array().is_some_and(|types| types.contains(&json!("null")));
    let mut words: Vec<Value> = words.iter().map(|word| json!(word)).collect();
    words.extend(takes_null.then_some(Value::Null));
    schema["enum"] = Value::Array(words);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_set_is_of_something_that_the_document_has() {
        let document = crate::document();
        for (at, words) in properties() {
            let at = format!("/components/schemas/{}", at.replace('.', "/properties/"));
            let schema = document.pointer(&at).unwrap_or_else(|| panic!("there is no {at}"));
            let listed = schema["items"].get("enum").or(schema.get("enum"));
            let listed = listed.and_then(Value::as_array).unwrap_or_else(|| panic!("{at} is open"));
            assert!(words.iter().all(|word| listed.contains(&json!(word))), "{at}");
        }
        for (at, _) in parameters() {
            let (path, name) = at.split_once('?').unwrap_or_default();
            let parameters = document["paths"][path]["get"]["parameters"].as_array();
            let found = parameters.into_iter().flatten().any(|parameter| {
                parameter["name"] == name && parameter["schema"]["enum"].is_array()
            });
            assert!(found, "there is no {at}");
        }
    }
}
