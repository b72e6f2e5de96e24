//! Names in texts as documents are read: correct texts are accepted, and stored versions keep running.

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
        "{% for a in contact.tags %}{% set o = loop %}{{ o.cycle('a', 'b') }}{{ loop.changed(a) }}{% endfor %}",
        "{% set ns = namespace() %}{% for a in [1] %}{% set ns.o = loop %}{{ ns.o.cycle('a') }}{% endfor %}",
        "{% for a in contact.tags recursive %}{{ a }}{{ loop(['x']) }}{% endfor %}",
        "{% set pick = range %}{{ pick(2) | join(',') }}",
        "{% with a = contact.custom, b = a.plan %}{{ b | default('x') }}{% endwith %}",
        "{{ contact.email | replace('@', ' at ', 1) }} {{ contact.score | round(precision=1, method='floor') }}",
        "{{ (contact.tags | join(d=', ')) ~ (contact.email | split('@') | last) }}",
        "{{ '%s: %5.1f%%' | format(contact.first_name, contact.score) }}",
        "{{ -contact.score + 1 }} {{ contact.score / 10 }} {{ contact.first_name + '!' }} {{ '-' * 10 }}",
        "{{ contact.created_on | replace('-', '.') }} {{ contact.created_on[:4] }}",
        "{{ contact.score | upper }} {{ 5 | string }} {{ [1, 2] | sum }} {{ 'a b' | split | length }}",
        "{{ contact.tags | selectattr('name', 'eq', 'x') | map(attribute='name', default='y') | list }}",
        "{{ contact.tags | sort(reverse=true) | unique | batch(2, '-') | first | join }}",
        "{{ contact.custom | dictsort(by='value') | tojson(indent=2) }}",
        "{{ contact.email is startingwith 'a' }} {{ 3 is divisibleby(3) }} {{ contact.level is in ['hot'] }}",
        "{% if contact.nickname is defined %}{{ contact.nickname }}{% endif %}.",
        "{{ contact.nickname if contact.nickname is defined else 'you' }} {{ promo if promo is defined }}.",
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

/// Checks each text's only problem, and its help if that is given.
fn refused(cases: &[(&str, &str, &str)]) {
    for (text, message, help) in cases {
        let said = said(text, None);
        assert_eq!(said.len(), 1, "{text}: {said:?}");
        assert_eq!(said[0].0, *message, "{text}");
        assert!(help.is_empty() || said[0].1 == *help, "{text}: {}", said[0].1);
    }
}

#[tokio::test]
async fn a_value_of_a_kind_that_is_not_taken_is_refused() {
    refused(&[
        (
            "{{ contact.score | length }}",
            "the filter `length` takes a text, a list or a table, but `contact.score` is a number",
            "give it a text, a list or a table",
        ),
        (
            "{{ contact.phone | default(0) | round }}",
            "the filter `round` takes a number, but `contact.phone` is a text",
            "give it a number",
        ),
        (
            "{{ contact.created_on | abs }}",
            "the filter `abs` takes a number, but `contact.created_on` is a date",
            "",
        ),
        ("{{ 5 | split(',') }}", "the filter `split` takes a text, but this is a number", ""),
        (
            "{{ contact.title | upper | round }}",
            "the filter `round` takes a number, but this is a text",
            "",
        ),
        (
            "{% set name = contact.first_name %}{{ name | round }}",
            "the filter `round` takes a number, but `contact.first_name` is a text",
            "",
        ),
        (
            "{% filter round %}1{% endfilter %}",
            "the filter `round` takes a number, but this is a text",
            "",
        ),
        (
            "{{ contact.first_name - 1 }}",
            "`-` takes a number, but `contact.first_name` is a text",
            "give it a number",
        ),
        (
            "{{ contact.score + '!' }}",
            "`+` beside a text takes a text, but `contact.score` is a number",
            "give it a text",
        ),
        (
            "{% for a in contact.score %}x{% endfor %}",
            "`for` takes a text, a list or a table, but `contact.score` is a number",
            "",
        ),
        (
            "{% for key, value in contact.custom %}{{ key }}{% endfor %}",
            "`for` with several names takes a list, but `contact.custom` is a table",
            "write `contact.custom | items`",
        ),
        (
            "{% if 'x' in contact.score %}x{% endif %}",
            "`in` takes a text, a list or a table, but `contact.score` is a number",
            "",
        ),
        (
            "{{ '%d' | format(contact.title) }}",
            "`%d` takes a number, but `contact.title` is a text",
            "",
        ),
        (
            "{{ steps.intro.clicked | length }}",
            "the filter `length` takes a text, a list or a table, but `steps.intro.clicked` is true or false",
            "",
        ),
    ]);
}

#[tokio::test]
async fn arguments_that_are_not_taken_are_refused() {
    refused(&[
        (
            "{{ contact.score | round(digits=1) }}",
            "the filter `round` has no argument `digits`",
            "write one of `precision`, `method`",
        ),
        (
            "{{ contact.tags | sort(revers=true) }}",
            "the filter `sort` has no argument `revers`",
            "did you mean `reverse`?",
        ),
        (
            "{{ contact.title | default(boolean=true) }}",
            "the filter `default` has no argument `boolean`",
            "",
        ),
        (
            "{{ contact.tags | join(', ', d='-') }}",
            "the filter `join` gets `d` twice",
            "remove one",
        ),
        (
            "{{ contact.score | round('1') }}",
            "`precision` of the filter `round` takes a number, but this is a text",
            "",
        ),
        (
            "{{ contact.score | round(contact.title) }}",
            "`precision` of the filter `round` takes a number, but `contact.title` is a text",
            "",
        ),
        (
            "{{ contact.score | round(method='up') }}",
            "`method` of the filter `round` can't be `up`",
            "write one of `common`, `ceil`, `floor`",
        ),
        (
            "{{ contact.tags | batch(0) | list }}",
            "`count` of the filter `batch` takes a whole number, 1 or more, not 0",
            "write a whole number, 1 or more",
        ),
        (
            "{{ contact.score | round(1.5) }}",
            "`precision` of the filter `round` takes a whole number, not 1.5",
            "",
        ),
    ]);
}

#[tokio::test]
async fn a_wrong_number_of_arguments_is_refused() {
    refused(&[
        (
            "{{ contact.tags | sort(true) }}",
            "the filter `sort` takes only arguments with a name, and 1 is given",
            "write `sort(attribute=…, case_sensitive=…, reverse=…)`",
        ),
        (
            "{{ contact.tags | map('replace', 'a') | list }}",
            "the filter `replace` takes 2 to 3 arguments, and 1 is given",
            "write `replace(from, to, count)`",
        ),
        (
            "{{ contact.tags | select('divisibleby') | list }}",
            "the test `divisibleby` takes 1 argument, and none is given",
            "",
        ),
        (
            "{{ contact.tags | map | list }}",
            "the filter `map` takes a filter's name or `attribute`",
            "write `map('upper')` or `map(attribute='name')`",
        ),
        (
            "{{ 1 if contact.title is startingwith else 2 }}",
            "the test `startingwith` takes 1 argument, and none is given",
            "",
        ),
        ("{{ range() }}", "the function `range` takes 1 to 3 arguments, and none is given", ""),
        (
            "{{ '%s and %s' | format(contact.title) }}",
            "this text needs 2 values, and the filter `format` gets 1",
            "give it one for each conversion",
        ),
        ("{{ '100%' | format(1) }}", "`%` is not a conversion of the filter `format`", ""),
    ]);
}

#[tokio::test]
async fn what_loop_and_namespaces_do_not_have_is_refused() {
    refused(&[
        (
            "{% for a in contact.tags %}{{ loop.indx }}{% endfor %}",
            "`loop` has no `indx`",
            "did you mean `index`?",
        ),
        (
            "{% for a in contact.tags %}{{ loop.previtem }}{% endfor %}",
            "`loop` has no `previtem`",
            "",
        ),
        (
            "{% for a in contact.tags %}{{ loop.cylce('a') }}{% endfor %}",
            "`loop` has no `.cylce(…)`",
            "did you mean `cycle`?",
        ),
        // It would divide by zero.
        (
            "{% for a in contact.tags %}{% set o = loop %}{{ o.cycle(*[]) }}{% endfor %}",
            "the method `cycle` takes at least 1 argument, and none is given",
            "write `cycle(value)`",
        ),
        (
            "{% for a in contact.tags %}{{ loop(a) }}{% endfor %}",
            "`loop` can't be called: its `for` is not recursive",
            "write `recursive` at the end of the `for`",
        ),
        (
            "{% for a in contact.tags if loop.index > 1 %}{{ a }}{% endfor %}",
            "there is nothing named `loop` here",
            "",
        ),
        ("{% set a = 1 %}{{ a() }}", "`a` is a value and can't be called", "write `{{ a }}`"),
        (
            "{% set contact.title = 'x' %}x",
            "parts of `contact` can't be set: it is not a namespace",
            "",
        ),
        (
            "{% set a = {} %}{% set a.b = 1 %}x",
            "parts of `a` can't be set: it is not a namespace",
            "",
        ),
        (
            "{% for tag in contact.tags %}{{ tag.upper() }}{% endfor %}",
            "`.upper(…)` can't be called: values have no methods",
            "write the filter: `… | upper`",
        ),
        // Asked for, but misspelled.
        (
            "{% if contact.titel is defined %}x{% endif %}",
            "a contact has no field `titel`",
            "did you mean `contact.title`?",
        ),
        ("{% if promo.code is defined %}x{% endif %}", "there is nothing named `promo` here", ""),
    ]);
}

#[tokio::test]
async fn a_title_of_comments_alone_is_refused_as_empty() {
    for title in ["", " ", "{# later #}", "{% if false %}x{% endif %}"] {
        let said = said(title, None);
        assert_eq!(said[0].0, "it is always empty", "{title}");
    }
}

#[tokio::test]
async fn the_customers_own_fields_are_checked_in_conditions_and_dates() {
    let own = OwnFields { field: "custom", keys: vec!["seats".into(), "renewal_on".into()] };
    let problems = |steps: Value| {
        let document = json!({ "name": "own", "subject": "contact", "steps": steps });
        let read =
            read_for("own.json", &document.to_string(), Format::Json, &registry(), Some(&own));
        let refusals = read.err().map(|refusals| refusals.problems).unwrap_or_default();
        let found = refusals.into_iter().map(|one| (one.pointer, one.message, one.help));
        found.collect::<Vec<_>>()
    };
    let note = |id: &str, when: &str| json!({ "id": id, "type": "activity.log", "title": "x", "when": when });
    let branch = |when: &str| json!({ "id": "b", "type": "branch", "when": when, "then": "n" });
    let wait = |until: &str| json!({ "id": "w", "type": "wait", "until": until });
    let wrong = problems(json!([
        wait("contact.custom.renewl_on - 14 days 09:00"),
        branch("has(contact.custom.seets) || contact.score > 3"),
        note("n", "contact.custom.seets > 3 && contact.custom['seats'] < 9"),
    ]));
    let lacks = |at: &str, key: &str, near: &str| {
        let message = format!("a contact has no field `custom.{key}`");
        (at.to_owned(), message, Some(format!("did you mean `contact.custom.{near}`?")))
    };
    assert_eq!(
        wrong,
        [
            lacks("/steps/0/until", "renewl_on", "renewal_on"),
            lacks("/steps/1/when", "seets", "seats"),
            lacks("/steps/2/when", "seets", "seats"),
        ]
    );
    // A field that a step sets is one as well.
    let right = problems(json!([
        { "id": "set", "type": "crm.update", "set": { "custom": { "stage": "trial" } } },
        wait("contact.custom.renewal_on + 1 days 09:00"),
        note("n", "contact.custom.stage == 'trial' && contact.custom.seats > 3"),
    ]));
    assert!(right.is_empty(), "{right:?}");
}

#[tokio::test]
async fn a_misspelled_name_in_a_scenario_is_refused() {
    let mut document = document("x");
    document["scenario"] = json!([{
        "name": "a",
        "contact": { "frist_name": "Ada", "custom": { "anything": 1 } },
        "when": [{ "at": "1 day", "step": "intro", "sets": { "clickd": true } }],
        "then": [{ "step": "note" }],
    }]);
    let refusals = read("a.json", &document.to_string(), Format::Json, &registry()).err().unwrap();
    let said: Vec<(&str, Option<&str>)> = refusals
        .problems
        .iter()
        .map(|problem| (problem.message.as_str(), problem.help.as_deref()))
        .collect();
    assert_eq!(
        said,
        [
            ("a contact has no field `frist_name`", Some("did you mean `first_name`?")),
            ("step `intro` gives no `clickd`", Some("did you mean `clicked`?")),
        ]
    );
    assert!(from_document(&document, &registry()).is_ok());
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
    let chain = format!("{{% set a = contact.custom %}}{}x", "{% set a = a.b %}".repeat(1_900));
    assert!(given(&chain, None).is_ok());
}
