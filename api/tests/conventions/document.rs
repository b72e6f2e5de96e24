//! What the document says of routes and bodies.

use serde_json::Value;

#[test]
fn the_document_names_every_operation_once_and_tells_its_problems() {
    let document = api::document();
    assert_eq!(document["openapi"], "3.1.0");
    let mut names = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let name = operation["operationId"].as_str().unwrap();
            names.push(name.to_owned());
            assert!(operation["summary"].is_string(), "{method} {path} says nothing of itself");
            for (status, response) in operation["responses"].as_object().unwrap() {
                let good = status.starts_with('2');
                let problem = &response["content"]["application/problem+json"];
                assert_eq!(problem.is_null(), good, "{method} {path} {status}");
            }
        }
    }
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count, "two operations have one name");
    assert!(count > 50, "{count} operations");
}

/// What a schema is, also where it only points to it.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let Some(name) = schema["$ref"].as_str() else { return schema };
    document.pointer(name.trim_start_matches('#')).unwrap()
}

/// All schemas that a body may hold.
fn within<'a>(document: &'a Value, schema: &'a Value, found: &mut Vec<&'a Value>) {
    let schema = resolved(document, schema);
    if found.iter().any(|known| std::ptr::eq(*known, schema)) {
        return;
    }
    found.push(schema);
    let properties = schema["properties"].as_object().into_iter().flat_map(|map| map.values());
    let kinds = ["oneOf", "anyOf", "allOf"].into_iter();
    let kinds = kinds.flat_map(|kind| schema[kind].as_array().into_iter().flatten());
    for inner in properties.chain(kinds).chain(schema.get("items")) {
        within(document, inner, found);
    }
}

#[test]
fn no_default_of_the_document_empties_what_a_change_leaves_out() {
    let document = api::document();
    let mut bodies = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let body = &operation["requestBody"]["content"]["application/json"]["schema"];
            let is_change = method == "patch" || path.ends_with("/bulk");
            let mut schemas = Vec::new();
            within(&document, body, &mut schemas);
            for schema in schemas {
                let default = schema.get("default");
                assert!(!is_change || default.is_none(), "{method} {path}: {schema}");
                assert_ne!(default, Some(&Value::Null), "{method} {path}: {schema}");
            }
            bodies += usize::from(is_change && !body.is_null());
        }
    }
    assert!(bodies > 10, "{bodies} changes");
}

/// Properties and parameters of these names hold one of a few words.
const CLOSED: [&str; 17] = [
    "status",
    "role",
    "kind",
    "level",
    "state",
    "reason",
    "reasons",
    "provider",
    "entity",
    "on_duplicate",
    "overlap",
    "catch_up",
    "outcome",
    "priority",
    "way",
    "scopes",
    "sort",
];

/// Those that do not, and why.
const OPEN: [(&str, &str); 18] = [
    ("Enrollment.exit_reason", "what a workflow calls it"),
    ("End.reason", "what a workflow calls it, or why a run is held"),
    ("EngagementPart.reason", "a person's or a workflow's words"),
    ("Failure.reason", "what went wrong"),
    ("Fire.reason", "a sentence"),
    ("HistoryRow.kind", "kinds are added with what the engine records"),
    ("Needed.kind", "a workflow's limits have their own names"),
    ("NewCall.outcome", "the customer's own words"),
    ("NewTask.kind", "the customer's own words"),
    ("Operation.reason", "a person's words"),
    ("ParkedEvent.reason", "what went wrong"),
    ("Problem.status", "a number of HTTP"),
    ("Task.kind", "the customer's own words"),
    ("Task.outcome", "the customer's own words"),
    ("TaskOutcome.outcome", "the customer's own words"),
    ("WantedJump.reason", "a person's words"),
    ("WantedRuns.reason", "a person's words"),
    ("WantedVersion.reason", "a person's words"),
];

#[test]
fn whatever_holds_one_of_a_few_words_lists_them() {
    let document = api::document();
    let lists = |schema: &Value| {
        let mut schemas = Vec::new();
        within(&document, schema, &mut schemas);
        schemas.iter().any(|schema| !schema["enum"].is_null() || !schema["const"].is_null())
    };
    let mut open: Vec<String> = Vec::new();
    let mut closed = 0;
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        // A page repeats the schema of its items.
        let (name, schema) = match name.strip_prefix("Page_") {
            Some(of) => (of, &schema["properties"]["data"]["items"]),
            None => (name.as_str(), schema),
        };
        for (property, schema) in schema["properties"].as_object().into_iter().flatten() {
            if CLOSED.contains(&property.as_str()) {
                let at = format!("{name}.{property}");
                closed += usize::from(lists(schema));
                open.extend((!lists(schema)).then_some(at));
            }
        }
    }
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let name = parameter["name"].as_str().unwrap();
                if CLOSED.contains(&name) && !lists(&parameter["schema"]) {
                    open.push(format!("{method} {path}?{name}"));
                }
            }
        }
    }
    open.retain(|at| !OPEN.iter().any(|(known, _)| known == at));
    assert_eq!(open, Vec::<String>::new(), "list the words, as `vocabulary.rs` does");
    assert!(closed > 40, "{closed} closed sets");
}
