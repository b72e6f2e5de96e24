//! Names in texts as documents are read: what is right is let through, and what was stored before keeps running.

use engine::definition::{Format, OwnFields, Refusals, from_document, read, read_for};
use engine::step::Registry;
use serde_json::{Value, json};

use crate::support;

fn registry() -> Registry {
    steps::registry(&support::services_without_database())
}

/// A document with a note of this text after a mail, a request and a step with a dash in its id.
fn document(text: &str) -> Value {
    json!({
        "name": "texts", "subject": "contact",
        "steps": [
            { "id": "intro", "type": "email.send", "template": "intro" },
            { "id": "enrich", "type": "http.request", "url": "https://api.example.com/" },
            { "id": "first-call", "type": "task.create", "title": "Call", "wait_until_done": "1 day" },
            { "id": "mark", "type": "crm.update", "set": { "custom": { "stage": "trial" } } },
            { "id": "note", "type": "activity.log", "title": text },
        ],
        "templates": { "intro": { "subject": "Hello", "text": "Hello" } },
    })
}

fn given(text: &str, own: Option<&OwnFields>) -> Result<(), Refusals> {
    let source = document(text).to_string();
    read_for("texts.json", &source, Format::Json, &registry(), own).map(|_| ())
}

/// What is said of a text, with what to write.
fn said(text: &str, own: Option<&OwnFields>) -> Vec<(String, String)> {
    let refusals = given(text, own).err().unwrap_or_else(|| panic!("{text} was not refused"));
    let told = |problem: &engine::definition::Problem| {
        assert_eq!(problem.pointer, "/steps/4/title", "{text}");
        (problem.message.clone(), problem.help.clone().unwrap_or_default())
    };
    refusals.problems.iter().map(told).collect()
}

#[tokio::test]
async fn what_a_text_may_say_is_let_through() {
    for text in [
        "{{ contact.first_name | default('there') | upper }} {{ contact['last_name'] }}",
        "{{ contact.first_name[0] }} {{ contact.first_name[:1] }} {{ contact.tags[0] }}",
        "{{ contact.custom.plan }} {{ contact.custom['the plan'].parts[2].name }}",
        "{{ steps.intro.clicked }} {{ steps['first-call'].outcome }} {{ steps.enrich.body.a.b }}",
        "{% for tag in contact.tags %}{{ loop.index }} {{ tag }}{% else %}none{% endfor %}",
        "{% for key, value in contact.custom | items %}{{ key }}={{ value }}{% endfor %}",
        "{% set name = contact.first_name %}{{ name }} {{ name | length }}",
        "{% set a, b = [1, 2] %}{{ a + b }}",
        "{% with who = contact %}{{ who.email }}{% endwith %}",
        "{% set text %}{{ contact.email }}{% endset %}{{ text | trim }}",
        "{% set ns = namespace(count=0) %}{% set ns.count = 1 %}{{ ns.count }}",
        "{% if contact.title is defined and contact.tags | length > 2 %}x{% endif %}",
        "{% if 'vip' in contact.tags %}x{% elif not contact.company %}y{% endif %}",
        "{% if contact.title %}{% set greeting = 'Hi' %}{% endif %}{{ greeting }}",
        "{{ contact.title if contact.title else 'x' }} {{ range(3) | join(',') }}",
        "{{ contact.tags | map('upper') | select('defined') | join(', ') }}",
        "{% raw %}{{ nothing.here }}{% endraw %} {# {{ nor.here }} #}",
        "{{ contact | tojson }} {{ contact.custom | tojson }}",
        "{% filter upper %}{{ contact.email }}{% endfilter %}{% do range(2) %}",
        "{{ contact[steps.enrich.body.field] }}",
    ] {
        if let Err(refusals) = given(text, None) {
            panic!("{text}\n{refusals}");
        }
    }
}

#[tokio::test]
async fn a_misspelled_name_is_refused_wherever_it_stands_and_the_right_one_is_named() {
    for (text, message, help) in [
        (
            "{{ contact.frist_name }}",
            "a contact has no field `frist_name`",
            "did you mean `contact.first_name`?",
        ),
        (
            "{{ contact.frist_name | default('x') }}",
            "a contact has no field `frist_name`",
            "did you mean `contact.first_name`?",
        ),
        (
            "{% if contact.titel %}x{% endif %}",
            "a contact has no field `titel`",
            "did you mean `contact.title`?",
        ),
        (
            "{% for t in contact.tgas %}{{ t }}{% endfor %}",
            "a contact has no field `tgas`",
            "did you mean `contact.tags`?",
        ),
        (
            "{{ first_name }}",
            "there is nothing named `first_name` here",
            "did you mean `contact.first_name`?",
        ),
        ("{{ contcat.email }}", "there is nothing named `contcat` here", "did you mean `contact`?"),
        (
            "{{ 1 | round(contact.scoer) }}",
            "a contact has no field `scoer`",
            "did you mean `contact.score`?",
        ),
        (
            "{{ steps.intro.clickd }}",
            "step `intro` gives no `clickd`",
            "did you mean `steps.intro.clicked`?",
        ),
        (
            "{{ steps.intor.clicked }}",
            "there is no step `intor`",
            "did you mean `steps.intro.clicked`?",
        ),
        ("{{ contact.email | uper }}", "there is no filter `uper`", "did you mean `upper`?"),
        ("{% filter uper %}x{% endfilter %}", "there is no filter `uper`", "did you mean `upper`?"),
        (
            "{{ 1 if contact.title is defnied }}",
            "there is no test `defnied`",
            "did you mean `defined`?",
        ),
        ("{{ rnage(3) }}", "there is no function `rnage`", "did you mean `range`?"),
        (
            "{{ contact.first_name.last }}",
            "`contact.first_name` is a text, without parts",
            "write `contact.first_name`",
        ),
        (
            "{{ contact[0] }}",
            "`contact` alone is no value",
            "name a field of it, such as `contact.id`",
        ),
        (
            "{{ steps.intro.clicked.at }}",
            "`steps.intro.clicked` is true or false, without parts",
            "write `steps.intro.clicked`",
        ),
    ] {
        assert_eq!(said(text, None), [(message.to_owned(), help.to_owned())], "{text}");
    }
}

#[tokio::test]
async fn the_customers_own_fields_are_checked_where_they_are_known() {
    let own = OwnFields { field: "custom", keys: vec!["seats".into(), "renewal_on".into()] };
    let wanted = [(
        "a contact has no field `custom.seets`".to_owned(),
        "did you mean `contact.custom.seats`?".to_owned(),
    )];
    assert_eq!(said("{{ contact.custom.seets | default(1) }}", Some(&own)), wanted);
    for text in ["{{ contact.custom.seats }}", "{{ contact.custom.stage }}"] {
        // `stage` is set by a step of the document itself.
        assert!(given(text, Some(&own)).is_ok(), "{text}");
    }
    assert!(given("{{ contact.custom.seets }}", None).is_ok());
}

#[tokio::test]
async fn a_mistake_is_found_at_its_line_and_column_also_behind_escapes() {
    let source = "name = \"a\"\nsubject = \"contact\"\n[[steps]]\nid = \"note\"\ntype = \"activity.log\"\n\
                  title = \"\"\"\nOne\nTwo {{ contact.frist_name }}\"\"\"\nbody = \"a \\\"b\\\" {{ contact.titel }}\"\n";
    let refusals = read("a.toml", source, Format::Toml, &registry()).err().unwrap();
    let places: Vec<(usize, usize)> =
        refusals.problems.iter().map(|problem| (problem.line, problem.column)).collect();
    assert_eq!(places, [(8, 8), (9, 20)]);
}

#[tokio::test]
async fn a_version_that_was_stored_before_is_read_whatever_its_texts_name() {
    let mut document = document("{{ contact.frist_name | default('x') }} {{ first_name | uper }}");
    document["steps"][0] = json!({
        "id": "intro", "type": "email.send", "template": "none", "thread": "intro",
        "variants": [{ "id": "a", "subject": "x" }, { "id": "a", "subject": "y" }],
    });
    document["templates"]["none"] = json!({ "text": "{{ nothing }}" });
    let refused = read("a.json", &document.to_string(), Format::Json, &registry());
    assert!(refused.is_err_and(|refusals| refusals.problems.len() >= 5));
    let stored = from_document(&document, &registry());
    assert!(stored.is_ok(), "{}", stored.err().unwrap());
}

#[tokio::test]
async fn a_document_full_of_misspelled_names_is_refused_as_soon_as_any_other() {
    let text = "{{ contact.frist_name }}".repeat(8_000);
    let refusals = given(&text, None).err().unwrap();
    // And one that there are too many.
    assert_eq!((refusals.problems.len(), refusals.unlisted), (100, 7_901));
}

#[tokio::test]
async fn a_wrong_number_of_arguments_is_refused_and_that_of_other_dialects_is_taken() {
    for text in ["{{ contact.title | replace('a') }}", "{{ contact.title | upper('x') }}"] {
        let (message, _) = said(text, None).remove(0);
        assert!(message.contains("arguments"), "{text}: {message}");
    }
    assert!(given("{{ contact.title | default('there', true) }}", None).is_ok());
}

#[tokio::test]
async fn a_text_has_a_bounded_number_of_variables_and_short_names_for_them() {
    let many = "{{ contact.id }}".repeat(2_001);
    assert!(said(&many, None)[0].0.contains("more than 2000 variables"));
    // Each name is a part longer than the one before it: without a bound, memory grows with their square.
    let chain = format!("{{% set a = contact.custom %}}{}", "{% set a = a.b %}".repeat(1_900));
    assert!(given(&chain, None).is_ok());
}
