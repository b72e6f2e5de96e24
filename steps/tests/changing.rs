//! The steps that change what is known of a contact: what they ask the domain to write.

use std::sync::Arc;

use engine::context::Parts;
use engine::step::{Effect, Outcome, StepError};
use serde_json::{Value, json};

use crate::support::{definition, parts, refusal, run, services_without_database};

fn entered(step: &str) -> Parts {
    let body = format!("[[steps]]\nid = \"first\"\n{step}\n");
    parts(&definition(&services_without_database(), &body))
}

/// The kind and the data of the one fact of an outcome.
fn fact(outcome: Result<Outcome, StepError>) -> (&'static str, Value) {
    let [fact] = <[_; 1]>::try_from(outcome.unwrap().facts).unwrap();
    (fact.kind, fact.data)
}

#[tokio::test]
async fn an_update_asks_for_the_fields_that_it_names_and_no_other() {
    let keys = "type = \"crm.update\"\nadd_tags = [\"trial\", \"{{ contact.title }}\"]\nremove_tags = [\"cold\"]\n\
        [steps.set]\ntitle = \" CEO of {{ contact.last_name }} \"\nphone = \"\"\n\
        [steps.set.custom]\nseats = 5\npaid = false\nfrom = \"{{ contact.email }}\"";
    let (kind, data) = fact(run(entered(keys)).await);
    assert_eq!(kind, "contact.updated");
    let told = |name: &str| data[name].clone();
    assert_eq!((told("title"), told("phone")), (json!("CEO of Byron"), json!("")));
    assert_eq!((told("city"), told("first_name")), (Value::Null, Value::Null));
    assert_eq!(told("custom"), json!({ "seats": 5, "paid": false, "from": "ada@example.com" }));
    assert_eq!(told("add_tags"), json!(["trial", "VP Sales"]));
    assert_eq!(told("remove_tags"), json!(["cold"]));
}

#[tokio::test]
async fn an_update_that_can_not_be_written_as_meant_fails() {
    let zone = "type = \"crm.update\"\nset = { time_zone = \"{{ contact.title }}\" }";
    let error = run(entered(zone)).await.unwrap_err();
    let reason = |error: StepError| {
        let StepError::Fail { reason } = error else { panic!("{error:?}") };
        reason
    };
    assert!(reason(error).starts_with("there is no time zone `VP Sales`"));
    let hole = "type = \"crm.update\"\nset = { title = \"{{ contact.custom.nothing }}\" }";
    let needs = "`title` needs `contact.custom.nothing`, which this contact lacks";
    assert!(reason(run(entered(hole)).await.unwrap_err()).starts_with(needs));
    let long = "type = \"crm.update\"\nset = { title = \"{{ 'x' * 2001 }}\" }";
    assert!(reason(run(entered(long)).await.unwrap_err()).contains("a field takes 2000"));
}

#[tokio::test]
async fn what_an_update_can_never_do_is_refused_with_the_document() {
    for (keys, told) in [
        ("set = { title = \"{{ contact.\" }", "this text is no template"),
        ("add_tags = [\"{{ x\"]", "this text is no template"),
        ("set = { status = \"active\" }", "`set` has no key `status`"),
        ("set = { time_zone = \"Europe/Viena\" }", "did you mean `Europe/Vienna`?"),
    ] {
        let refused =
            refusal(&format!("[[steps]]\nid = \"first\"\ntype = \"crm.update\"\n{keys}\n"));
        assert!(refused.contains(told), "{refused}");
    }
    let many: Vec<String> = (0..51).map(|n| format!("\"t{n}\"")).collect();
    let keys = format!("type = \"crm.update\"\nadd_tags = [{}]", many.join(", "));
    let refused = refusal(&format!("[[steps]]\nid = \"first\"\n{keys}\n"));
    assert!(refused.contains("write at most 50"), "{refused}");
}

#[tokio::test]
async fn a_score_is_moved_with_its_reason() {
    let keys =
        "type = \"score.adjust\"\npoints = -5\nreason = \"{{ contact.first_name }} did not come\"";
    let (kind, data) = fact(run(entered(keys)).await);
    assert_eq!(kind, "score.adjusted");
    assert_eq!(data, json!({ "points": -5, "reason": "Ada did not come" }));
}

#[tokio::test]
async fn steps_whose_writes_stand_in_the_record_may_simply_run_again() {
    for keys in [
        "type = \"crm.update\"\nadd_tags = [\"a\"]",
        "type = \"score.adjust\"\npoints = 5\nreason = \"r\"",
    ] {
        let parts = entered(keys);
        assert_eq!(parts.definition.steps[0].effect, Effect::Pure);
        assert_eq!(fact(run(parts.clone()).await), fact(run(parts.clone()).await));
        let gone = Parts { load_subject: Arc::new(|_, _| Box::pin(async { Ok(None) })), ..parts };
        assert_eq!(run(gone).await, Err(StepError::Fail { reason: "the contact is gone".into() }));
    }
}
