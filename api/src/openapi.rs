//! The document (OpenAPI 3.1): what handlers say of themselves, and what the conventions say of all of them.

use serde_json::{Map, Value, json};
use utoipa::openapi::{Components, OpenApi};
use utoipa::{PartialSchema, ToSchema};

use crate::idempotency;
use crate::page;
use crate::permission;
use crate::problem;
use crate::vocabulary;

const DESCRIPTION: &str = "\
Sequences, contacts and what the system does for them.

- **Ids** are TypeIDs such as `con_01j…`; instants are RFC 3339 in UTC; zones are IANA names.
- **Errors** are `application/problem+json` (RFC 9457) with a stable `type`, one entry of `errors` for each thing \
that is wrong, and the `request_id`, which is also in `X-Request-Id`.
- **Listings** take `limit` (1 to 200, 50 by default) and `cursor`: the `next_cursor` of the page before.
- **`Idempotency-Key`** on a POST: the same key with the same request gets the same answer for 24 hours and does \
nothing twice; with another request 422, while the first is still being answered 409. A refusal keeps no answer.
- **`ETag`** stands on what can be changed by several people; a PATCH sends it back as `If-Match`: 412 where it was \
changed meanwhile, 428 where it is missing. A DELETE may send it.
- **Unknown fields** and query parameters are refused.

Send the access token, or an API key, as `Authorization: Bearer …`. Each operation names the permission that it needs:

";

/// The problems that may come wherever something is so, by status.
const UNSECURED: [(&str, &str); 4] = [
    ("429", "Too many requests; `Retry-After` says when"),
    ("502", "A service answered what can't be read"),
    ("503", "Try again soon"),
    ("504", "A service did not answer in time"),
];

/// Completes what handlers say by what holds of all of them.
pub(crate) fn complete(mut document: OpenApi) -> Value {
    // Each service's own document tells problems, also where none of its handlers names them.
    let mut schemas = vec![(problem::Body::name().into_owned(), problem::Body::schema())];
    problem::Body::schemas(&mut schemas);
    document.components.get_or_insert_with(Components::new).schemas.extend(schemas);
    let mut document = serde_json::to_value(document).expect("a document has a form in JSON");
    document["info"] = json!({
        "title": "SalesOS",
        "version": env!("CARGO_PKG_VERSION"),
        "description": format!("{DESCRIPTION}{}", permission::table()),
    });
    document["components"]["securitySchemes"] = json!({
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "The `access_token` of a login, or an API key (`sk_…`). Pages of this server send the cookie of `POST /auth/session` instead.",
        },
    });
    vocabulary::list(&mut document);
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    for (path, operations) in paths {
        for (method, operation) in operations.as_object_mut().into_iter().flatten() {
            if let Some(operation) = operation.as_object_mut() {
                conventions(path, method, operation);
            }
        }
    }
    document
}

fn conventions(path: &str, method: &str, operation: &mut Map<String, Value>) {
    let resource = path.trim_start_matches("/api/v1/");
    operation.insert("operationId".into(), name(method, resource).into());
    let tag = resource.split('/').next().unwrap_or_default();
    operation.insert("tags".into(), json!([tag]));
    let word = operation.get("security").and_then(|security| security[0]["bearer"][0].as_str());
    let word = word.map(str::to_owned);
    if let Some(word) = &word {
        let said = operation.get("description").and_then(Value::as_str).unwrap_or_default();
        let description = format!("{said}\n\nNeeds `{word}`.");
        operation.insert("description".into(), description.trim().into());
    }
    parameters(resource, method, word.is_some(), operation);
    let problems = problems(resource, method, word.is_some(), operation);
    let responses = operation.entry("responses").or_insert_with(|| json!({}));
    for (status, description) in problems {
        if responses.get(status).is_none() {
            responses[status] = problem(description);
        }
    }
    // What a handler says of its own refusals is a problem as well.
    for (status, response) in responses.as_object_mut().into_iter().flatten() {
        if !status.starts_with('2') {
            *response = problem(response["description"].as_str().unwrap_or_default());
        }
    }
}

/// The id, the bounds of a page, and the headers that are read everywhere.
fn parameters(resource: &str, method: &str, secured: bool, operation: &mut Map<String, Value>) {
    let list = operation.entry("parameters").or_insert_with(|| json!([]));
    let list = list.as_array_mut().expect("parameters are a list");
    if resource.contains("{id}") {
        list.retain(|parameter| parameter["in"] != "path");
        list.push(id(resource));
    }
    for parameter in list.iter_mut() {
        if parameter["in"] == "query" && parameter["name"] == "limit" {
            parameter["schema"] = json!({ "type": "integer", "minimum": 1, "maximum": page::MOST });
        }
    }
    if secured && method == "post" {
        let key = idempotency::KEY;
        let says = "Names the request, so that sending it again does nothing twice";
        list.push(header(key.as_str(), says));
    }
    if matches!(method, "patch" | "delete") {
        list.push(header("if-match", "The `ETag` of what was read"));
    }
}

/// Which problems may come, by status.
fn problems(
    resource: &str,
    method: &str,
    secured: bool,
    operation: &Map<String, Value>,
) -> Vec<(&'static str, &'static str)> {
    let mut problems: Vec<(&str, &str)> = UNSECURED.to_vec();
    if secured {
        problems.extend([("401", "Log in first"), ("403", "The permission is missing")]);
    }
    if resource.contains("{id}") {
        problems.push(("404", "There is nothing here, or it is another customer's"));
    }
    let has_body = operation.contains_key("requestBody");
    if has_body {
        problems.extend([
            ("400", "The body can't be read"),
            ("413", "The body is too large"),
            ("415", "The body is of another type"),
        ]);
    }
    let mut parameters = operation["parameters"].as_array().into_iter().flatten();
    if has_body || parameters.any(|parameter| parameter["in"] == "query") {
        problems.push(("422", "Some values are not good; `errors` names each"));
    }
    if method == "post" && secured {
        problems.extend([("400", "A header can't be read"), ("409", "The state forbids it")]);
        problems.push(("410", "What was answered to this key told of somebody who was erased"));
        problems.push(("422", "The key was another request's"));
    }
    match method {
        "patch" => problems.extend([
            ("409", "The data forbids it"),
            ("412", "It was changed meanwhile"),
            ("428", "`If-Match` is missing"),
        ]),
        "delete" => {
            problems.extend([("409", "The state forbids it"), ("412", "It was changed meanwhile")])
        }
        _other => {}
    }
    problems
}

/// The kinds of ids that stand in paths, by what stands before them.
const IDS: [(&str, &str); 23] = [
    ("accounts", "acc"),
    ("activities", "act"),
    ("activities/tasks", "tsk"),
    ("api-keys", "key"),
    ("bulk-changes", "blk"),
    ("contacts", "con"),
    ("custom-fields", "fld"),
    ("enrollments", "enr"),
    ("erasures", "ers"),
    ("imports", "imp"),
    ("lists", "lst"),
    ("merges", "mrg"),
    ("operations", "op"),
    ("opportunities", "opp"),
    ("ops/outbox", "evt"),
    ("ops/schedules", "sch"),
    ("pipelines", "pip"),
    ("sequences", "seq"),
    ("suppressions", "sup"),
    ("teams", "team"),
    ("users", "usr"),
    ("webhooks", "whk"),
    ("webhooks/deliveries", "whd"),
];

/// The id in a path, with an example of its kind.
fn id(resource: &str) -> Value {
    let before = resource.split("/{id}").next().unwrap_or_default();
    let kind = IDS.iter().find(|(of, _)| *of == before).map(|(_, kind)| *kind);
    let kind = kind.unwrap_or_else(|| panic!("{before} has no kind of ids"));
    json!({
        "name": "id",
        "in": "path",
        "required": true,
        "description": "The id",
        // A TypeID: Crockford's base 32 of a UUID.
        "schema": { "type": "string", "pattern": format!("^{kind}_[0-7][0-9a-hjkmnp-tv-z]{{25}}$") },
        "example": format!("{kind}_01h455vb4pex5vsknk084sn02q"),
    })
}

/// Such as `post_sequences_by_id_apply`.
fn name(method: &str, resource: &str) -> String {
    let words = resource.split('/').map(|word| match word {
        "{id}" => "by_id".to_owned(),
        word => word.replace(['-', '.'], "_"),
    });
    std::iter::once(method.to_owned()).chain(words).collect::<Vec<_>>().join("_")
}

fn header(name: &str, description: &str) -> Value {
    json!({
        "name": name,
        "in": "header",
        "required": false,
        "description": description,
        "schema": { "type": "string", "maxLength": 255 },
    })
}

fn problem(description: &str) -> Value {
    let schema = json!({ "$ref": "#/components/schemas/Problem" });
    json!({
        "description": description,
        "content": { "application/problem+json": { "schema": schema } },
    })
}
