//! What a run would surely lack is found before it starts; what may never be needed is not.

use engine::foresight::Foresight;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{definition, services_without_database};

/// A contact with these fields on top of the usual ones.
fn contact(fields: Value) -> Value {
    let mut contact = json!({
        "id": "con_1", "first_name": "", "last_name": "Byron", "email": "ada@example.com", "company": "", "title": "",
        "phone": "", "country": "AT", "region": "", "city": "", "time_zone": "", "locale": "", "status": "active",
        "score": 0, "level": "cold", "tags": [], "custom": {}, "created_on": "2026-11-24",
    });
    for (key, value) in fields.as_object().unwrap() {
        contact[key] = value.clone();
    }
    contact
}

fn lacks_with(body: &str, fields: Value) -> Vec<String> {
    let definition = definition(&services_without_database(), body);
    let foresight = Foresight::new(&definition, crm::contact::VOLATILE);
    let lacks = foresight.lacks(Uuid::from_u128(7), &contact(fields));
    lacks.into_iter().map(|lack| format!("{}: {} {}", lack.step, lack.text, lack.name)).collect()
}

fn lacks(body: &str) -> Vec<String> {
    lacks_with(body, json!({}))
}

fn note(id: &str, title: &str, more: &str) -> String {
    format!(
        "[[steps]]\nid = \"{id}\"\ntype = \"activity.log\"\ntitle = \"\"\"{title}\"\"\"\n{more}\n"
    )
}

const NEEDY: &str = "{{ contact.first_name }}";
const BEFORE: &str =
    "[[steps]]\nid = \"before\"\ntype = \"http.request\"\nurl = \"https://a.example/\"\n";

#[tokio::test]
async fn an_empty_or_missing_field_of_a_text_on_the_way_is_found() {
    let body = "[[steps]]\nid = \"intro\"\ntype = \"email.send\"\ntemplate = \"intro\"\n\
                [[steps]]\nid = \"rest\"\ntype = \"wait\"\nfor = \"3 days\"\n\
                [[steps]]\nid = \"bump\"\ntype = \"email.send\"\ntemplate = \"bump\"\nthread = \"intro\"\n\
                [templates.intro]\nsubject = \"For {{ contact.company }}\"\ntext = \"{{ contact.first_name | upper }}\"\n\
                html = \"<p>{{ contact.custom.plan }}</p>\"\n\
                [templates.bump]\nsubject = \"{{ contact.city }}\"\ntext = \"{{ contact.title ~ '!' }}\"\n";
    assert_eq!(
        lacks(body),
        [
            "intro: the subject of template `intro` contact.company",
            "intro: the text of template `intro` contact.first_name",
            "intro: the html of template `intro` contact.custom.plan",
            "bump: the text of template `bump` contact.title",
        ]
    );
    let all = json!({
        "company": "Acme", "first_name": "Ada", "title": "VP", "custom": { "plan": "free" },
    });
    assert_eq!(lacks_with(body, all), Vec::<String>::new());
}

#[tokio::test]
async fn a_fallback_or_a_condition_makes_a_field_unneeded() {
    for title in [
        "{{ contact.first_name | default('there') }}",
        "{% if contact.first_name %}{{ contact.first_name }}{% endif %}",
        "{% if contact.custom.plan is defined %}{{ contact.custom.plan }}{% endif %}",
        "{% if contact.country == 'DE' %}{{ contact.first_name }}{% endif %}",
        "{{ contact.first_name if contact.first_name else 'you' }}",
        "{{ contact.first_name or 'you' }}",
        "{{ contact.first_name | default(contact.last_name) }}",
        "{% for tag in contact.tags %}{{ contact.first_name }}{% endfor %}",
        "{% if steps.before.status == 200 %}{{ contact.first_name }}{% endif %}",
        "{{ steps.before.body }}",
        "{{ contact.custom.plan.name | default('free') }}",
        "{% if contact.custom.plan.name %}{{ contact.first_name }}{% endif %}",
    ] {
        let found = lacks(&format!("{BEFORE}{}", note("note", title, "")));
        assert_eq!(found, Vec::<String>::new(), "{title}");
    }
    for title in [
        "{% if contact.country == 'AT' %}{{ contact.first_name }}{% endif %}",
        "{{ contact.first_name | default(contact.title) }}",
        "{% if steps.before.status == 200 %}x{% endif %}{{ contact.first_name }}",
        "{% if contact.custom.plan.name is not defined %}{{ contact.first_name }}{% endif %}",
    ] {
        let found = lacks(&format!("{BEFORE}{}", note("note", title, "")));
        assert_eq!(found, ["note: `title` contact.first_name"], "{title}");
    }
}

#[tokio::test]
async fn what_people_may_fill_in_while_a_task_is_open_is_not_missed() {
    let none = Vec::<String>::new();
    let task = |title: &str, more: &str| {
        format!("[[steps]]\nid = \"task\"\ntype = \"task.create\"\ntitle = \"{title}\"\n{more}\n")
    };
    let signal = |name: &str| {
        format!(
            "[[steps]]\nid = \"come\"\ntype = \"wait.signal\"\nsignal = \"{name}\"\ntimeout = \"2 days\"\n"
        )
    };
    let needy = note("note", "{{ contact.first_name }} {{ contact.custom.plan }}", "");
    let waits = "wait_until_done = \"2 days\"";
    let child =
        "[[steps]]\nid = \"child\"\ntype = \"workflow.start\"\nworkflow = \"other\"\nwait = true\n";
    for before in [
        task("Find the name", waits),
        format!("{}{}", task("Find the name", ""), signal("task.completed")),
        child.to_owned(),
    ] {
        assert_eq!(lacks(&format!("{before}{needy}")), none, "{before}");
        // Nor does a condition decide by what may change.
        let ways = note("asked", NEEDY, "when = \"contact.country == 'AT'\"");
        assert_eq!(lacks(&format!("{before}{ways}")), none, "{before}");
    }
    // What the task itself says is filled in before.
    let found = lacks(&task("Call {{ contact.first_name }}", waits));
    assert_eq!(found, ["task: `title` contact.first_name"]);
    let rest = "[[steps]]\nid = \"rest\"\ntype = \"wait\"\nfor = \"3 days\"\n";
    for before in [task("Call", ""), signal("email.replied"), BEFORE.to_owned(), rest.to_owned()] {
        let found = lacks(&format!("{before}{needy}"));
        assert_eq!(found, ["note: `title` contact.first_name"], "{before}");
    }
}

#[tokio::test]
async fn only_steps_that_a_run_surely_comes_to_count() {
    let branch = |when: &str| {
        let branch = format!(
            "[[steps]]\nid = \"way\"\ntype = \"branch\"\nwhen = \"{when}\"\nthen = \"left\"\nelse = \"right\"\n"
        );
        let left = note("left", NEEDY, "next = \"end\"");
        format!("{branch}{left}{}{}", note("right", "x", ""), note("end", "{{ contact.city }}", ""))
    };
    let end = "end: `title` contact.city";
    let left = "left: `title` contact.first_name";
    // Decided by the contact, one way and the other.
    assert_eq!(lacks(&branch("contact.country == 'AT'")), [left, end]);
    assert_eq!(lacks(&branch("contact.country == 'DE'")), [end]);
    // Not known before: only what both ways share is certain.
    let mail = "[[steps]]\nid = \"intro\"\ntype = \"http.request\"\nurl = \"https://a.example/\"\n";
    assert_eq!(lacks(&format!("{mail}{}", branch("steps.intro.status == 200"))), [end]);
    // What a step before has changed is not known either.
    let update = "[[steps]]\nid = \"set\"\ntype = \"crm.update\"\nset = { country = \"DE\" }\n";
    assert_eq!(lacks(&format!("{update}{}", branch("contact.country == 'AT'"))), [end]);
    // Nor is a score once time has passed.
    let wait = "[[steps]]\nid = \"rest\"\ntype = \"wait\"\nfor = \"1 day\"\n";
    assert_eq!(lacks(&format!("{wait}{}", branch("contact.score < 5"))), [end]);
    assert_eq!(lacks(&branch("contact.score < 5")), [left, end]);
}

#[tokio::test]
async fn a_step_that_is_skipped_or_may_fail_lacks_nothing_and_a_field_that_a_step_sets_is_there() {
    let none = Vec::<String>::new();
    assert_eq!(lacks(&note("a", NEEDY, "when = \"has(contact.custom.plan)\"")), none);
    assert_eq!(lacks(&note("a", NEEDY, "when = \"!has(contact.custom.plan)\"")).len(), 1);
    assert_eq!(lacks(&note("a", NEEDY, "on_failure = \"continue\"")), none);
    let update = "[[steps]]\nid = \"set\"\ntype = \"crm.update\"\nset = { first_name = \"Ada\" }\n";
    assert_eq!(lacks(&format!("{update}{}", note("a", NEEDY, ""))), none);
    assert_eq!(lacks(&format!("{}{update}", note("a", NEEDY, ""))).len(), 1);
    let signal = "[[steps]]\nid = \"answer\"\ntype = \"wait.signal\"\nsignal = \"email.replied\"\ntimeout = \"1 day\"\n\
                  then = \"talk\"\non_timeout = \"last\"\n";
    let ways =
        [note("talk", NEEDY, "next = \"end\""), note("last", NEEDY, ""), note("end", NEEDY, "")];
    assert_eq!(lacks(&format!("{signal}{}", ways.concat())), ["end: `title` contact.first_name"]);
}

#[tokio::test]
async fn a_contact_gets_the_variant_that_the_run_will_draw() {
    let body = "[[steps]]\nid = \"intro\"\ntype = \"email.send\"\ntemplate = \"intro\"\n\
                variants = [{ id = \"a\", subject = \"For {{ contact.first_name }}\" }, { id = \"b\", subject = \"Hello\" }]\n\
                [templates.intro]\ntext = \"Hello\"\n";
    let definition = definition(&services_without_database(), body);
    let foresight = Foresight::new(&definition, &[]);
    let lacking = (0..64_u128)
        .filter(|id| !foresight.lacks(Uuid::from_u128(*id), &contact(json!({}))).is_empty())
        .count();
    assert!((10..54).contains(&lacking), "{lacking} of 64");
}

#[tokio::test]
async fn a_variable_that_a_text_sets_twice_or_by_what_is_unknown_refuses_nobody_wrongly() {
    let none = Vec::<String>::new();
    for text in [
        "{% set who = 'there' %}{% if contact.first_name %}{% set who = contact.first_name %}{% endif %}Hi {{ who }}",
        "{% set hot = contact.score > 50 %}{% if hot %}{{ contact.first_name }}{% endif %}",
    ] {
        let wait = "[[steps]]\nid = \"rest\"\ntype = \"wait\"\nfor = \"1 day\"\n";
        assert_eq!(lacks(&format!("{wait}{}", note("a", text, ""))), none, "{text}");
    }
    let certain = "{% set who = contact.first_name %}Hi {{ who }}";
    assert_eq!(lacks(&note("a", certain, "")), ["a: `title` contact.first_name"]);
}
