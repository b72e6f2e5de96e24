//! The steps that send nothing: what each returns when it is entered, and when it is woken.

use std::sync::Arc;

use engine::context::Parts;
use engine::step::{Outcome, StepError, Verdict, Wake};
use serde_json::{Value, json};

use crate::support::{definition, parts, refusal, run, services_without_database, woken};

const END: &str = "[[steps]]\nid = \"end\"\ntype = \"exit\"\n";

fn entered(step: &str) -> Parts {
    let body = format!("[[steps]]\nid = \"first\"\n{step}\n{END}");
    parts(&definition(&services_without_database(), &body))
}

fn goto(step: &str) -> Verdict {
    Verdict::Goto { step: step.into() }
}

fn signal(data: Value) -> Wake {
    Wake::Signal { name: "any".into(), data }
}

async fn verdict(parts: Parts) -> Verdict {
    run(parts).await.unwrap().verdict
}

#[tokio::test]
async fn a_wait_sleeps_business_days_and_is_done_once_woken() {
    let parts = entered("type = \"wait\"\nfor = \"3 business days\"");
    let until = "2026-11-27T10:00:00Z".parse().unwrap();
    assert_eq!(verdict(parts.clone()).await, Verdict::Sleep { until });
    assert_eq!(verdict(woken(&parts, Wake::Timer)).await, Verdict::Done);
}

#[tokio::test]
async fn a_wait_for_a_signal_tells_whether_it_came() {
    let keys = "type = \"wait.signal\"\nsignal = \"email.replied\"\ntimeout = \"2 days\"\non_timeout = \"end\"";
    let parts = entered(keys);
    let until = Some("2026-11-26T10:00:00Z".parse().unwrap());
    let waits = Verdict::Wait { signal: "email.replied".into(), key: None, until };
    assert_eq!(verdict(parts.clone()).await, waits);
    let came = run(woken(&parts, signal(json!({})))).await.unwrap();
    assert_eq!((came.verdict, came.output), (Verdict::Done, Some(json!({ "came": true }))));
    let late = run(woken(&parts, Wake::Timer)).await.unwrap();
    assert_eq!((late.verdict, late.output), (goto("end"), Some(json!({ "came": false }))));
}

#[tokio::test]
async fn a_branch_goes_by_what_is_known() {
    let way = "type = \"branch\"\nwhen = \"contact.score > 3\"\nthen = \"end\"";
    let held = run(entered(way)).await.unwrap();
    assert_eq!((held.verdict, held.output), (goto("end"), Some(json!({ "held": true }))));
    let other = "type = \"branch\"\nwhen = \"contact.score > 9\"\nthen = \"end\"";
    assert_eq!(verdict(entered(other)).await, Verdict::Done);
}

#[tokio::test]
async fn a_branch_whose_condition_cannot_be_read_is_refused_with_the_document() {
    let way = "[[steps]]\nid = \"first\"\ntype = \"branch\"\nwhen = \"contact.score >\"\nthen = \"end\"\n";
    let refused = refusal(&format!("{way}{END}"));
    assert!(refused.contains("when"), "{refused}");
}

#[tokio::test]
async fn a_split_sends_the_same_run_the_same_way() {
    let ways = "type = \"split\"\nways = [{ to = \"a\" }, { to = \"end\" }]\n\
                [[steps]]\nid = \"a\"\ntype = \"exit\"\n";
    let first = entered(ways);
    assert_eq!(verdict(first.clone()).await, verdict(first.clone()).await);
    let mut seen = Vec::new();
    for _ in 0..64 {
        let other = Parts { subject_id: engine::clock::new_id(), ..first.clone() };
        seen.push(verdict(other).await);
    }
    assert!(seen.contains(&goto("a")) && seen.contains(&goto("end")));
}

#[tokio::test]
async fn a_task_is_told_as_a_fact_and_waits_for_its_own_end() {
    let keys = "type = \"task.create\"\nkind = \"call\"\ntitle = \"Call {{ contact.first_name }}\"\n\
                due = \"1 days\"\nwait_until_done = \"2 days\"";
    let parts = entered(keys);
    let Outcome { verdict, facts, .. } = run(parts.clone()).await.unwrap();
    let key = format!("{}/first/0", engine::id::show("run", parts.run_id));
    let until = Some("2026-11-26T10:00:00Z".parse().unwrap());
    let waits = Verdict::Wait { signal: "task.completed".into(), key: Some(key.clone()), until };
    assert_eq!(verdict, waits);
    let told = json!({ "kind": "call", "title": "Call Ada", "due_at": "2026-11-25T10:00:00Z", "key": key });
    assert_eq!((facts[0].kind, &facts[0].data), ("task.created", &told));
    let done =
        run(woken(&parts, signal(json!({ "key": key, "outcome": "reached" })))).await.unwrap();
    assert_eq!(done.output, Some(json!({ "done": true, "outcome": "reached" })));
    assert!(done.facts.is_empty(), "a woken step creates no second task");
    let late = run(woken(&parts, Wake::Timer)).await.unwrap();
    assert_eq!(late.output, Some(json!({ "done": false })));
}

#[tokio::test]
async fn a_line_for_the_timeline_is_filled_in() {
    let keys = "type = \"activity.log\"\ntitle = \"{{ contact.first_name }} went on\"";
    let logged = run(entered(keys)).await.unwrap();
    assert_eq!(logged.facts[0].kind, "activity.logged");
    assert_eq!(logged.facts[0].data["title"], "Ada went on");
}

#[tokio::test]
async fn an_event_is_published_with_its_data() {
    let keys =
        "type = \"event.publish\"\ntopic = \"lead.warm\"\ndata = { who = \"{{ contact.email }}\" }";
    let published = run(entered(keys)).await.unwrap();
    let told = json!({ "topic": "lead.warm", "data": { "who": "ada@example.com" } });
    assert_eq!((published.facts[0].kind, &published.facts[0].data), ("event.published", &told));
    let versioned = format!("{keys}\nschema = \"lead-warm:2\"");
    let published = run(entered(&versioned)).await.unwrap();
    assert_eq!(published.facts[0].data["schema"], "lead-warm:2");
}

#[tokio::test]
async fn an_event_that_only_the_records_give_is_refused() {
    let step = "[[steps]]\nid = \"first\"\ntype = \"event.publish\"\ntopic = \"email.replied\"\n";
    let refused = refusal(&format!("{step}{END}"));
    assert!(refused.contains("can't begin with `email.`"), "{refused}");
}

#[tokio::test]
async fn an_exit_says_why() {
    let body = "[[steps]]\nid = \"first\"\ntype = \"exit\"\nreason = \"no answer\"\n";
    let only = parts(&definition(&services_without_database(), body));
    assert_eq!(verdict(only).await, Verdict::Exit { reason: "no answer".into() });
}

#[tokio::test]
async fn a_subject_that_is_gone_or_not_loaded_fails_or_is_tried_again() {
    let parts = entered("type = \"activity.log\"\ntitle = \"{{ contact.first_name }}\"");
    let gone =
        Parts { load_subject: Arc::new(|_, _| Box::pin(async { Ok(None) })), ..parts.clone() };
    assert_eq!(run(gone).await, Err(StepError::Fail { reason: "the contact is gone".into() }));
    let busy = StepError::Retry { reason: "busy".into(), after: None };
    let error = busy.clone();
    let load = move |_, _| -> futures_util::future::BoxFuture<'static, _> {
        let error = error.clone();
        Box::pin(async move { Err(error) })
    };
    let retried = Parts { load_subject: Arc::new(load), ..parts };
    assert_eq!(run(retried).await, Err(busy));
}

/// The parts of a wait until ninety days before the contact's renewal; the contact holds this.
fn renewal(custom: &Value) -> Parts {
    let parts = entered("type = \"wait\"\nuntil = \"contact.custom.renewal_on - 90 days 09:00\"");
    let contact = json!({ "first_name": "Ada", "custom": custom });
    let load = move |_, _| -> futures_util::future::BoxFuture<'static, _> {
        let contact = contact.clone();
        Box::pin(async move { Ok(Some(contact)) })
    };
    Parts { load_subject: Arc::new(load), ..parts }
}

#[tokio::test]
async fn a_wait_until_a_date_is_over_at_once_when_that_has_passed() {
    let sleeps = |until: &str| Verdict::Sleep { until: until.parse().unwrap() };
    for (date, wanted) in [
        ("2027-09-30", sleeps("2027-07-02T09:00:00Z")),
        ("2027-09-30T17:00:00Z", sleeps("2027-07-02T09:00:00Z")),
        (" 2027-09-30 ", sleeps("2027-07-02T09:00:00Z")),
        ("2027-02-23", sleeps("2026-11-25T09:00:00Z")),
        ("2027-02-22", Verdict::Done),
        ("1999-01-01", Verdict::Done),
    ] {
        assert_eq!(verdict(renewal(&json!({ "renewal_on": date }))).await, wanted, "{date}");
    }
}

#[tokio::test]
async fn a_date_that_a_contact_lacks_is_not_now() {
    let empty = "`contact.custom.renewal_on` is empty";
    let no_date = "`contact.custom.renewal_on` is not a date";
    for (custom, fact) in [
        (Value::Null, empty),
        (json!({}), empty),
        (json!({ "renewal_on": null }), empty),
        (json!({ "renewal_on": "" }), empty),
        (json!({ "renewal_on": "  " }), empty),
        (json!({ "renewal_on": "soon" }), no_date),
        (json!({ "renewal_on": "2027-02-30" }), no_date),
        (json!({ "renewal_on": "2027-13-01" }), no_date),
        (json!({ "renewal_on": "30.09.2027" }), no_date),
        (json!({ "renewal_on": "2027-09-300" }), no_date),
        (json!({ "renewal_on": "+262142-12-31" }), no_date),
        (json!({ "renewal_on": 20_270_930 }), no_date),
        (json!({ "renewal_on": true }), no_date),
        (json!({ "renewal_on": ["2027-09-30"] }), no_date),
    ] {
        let reason = format!(
            "{fact}, so step `first` does not know until when to wait; write a date such as `2027-09-30` into \
             `contact.custom.renewal_on`, then retry"
        );
        assert_eq!(run(renewal(&custom)).await, Err(StepError::Fail { reason }), "{custom}");
    }
}

#[tokio::test]
async fn a_date_of_a_contact_that_is_gone_or_not_loaded_is_not_now() {
    let parts = renewal(&json!({}));
    let gone =
        Parts { load_subject: Arc::new(|_, _| Box::pin(async { Ok(None) })), ..parts.clone() };
    let reason =
        "the contact is gone, so step `first` can't read `contact.custom.renewal_on`".to_owned();
    assert_eq!(run(gone).await, Err(StepError::Fail { reason }));
    let busy = StepError::Retry { reason: "busy".into(), after: None };
    let error = busy.clone();
    let load = move |_, _| -> futures_util::future::BoxFuture<'static, _> {
        let error = error.clone();
        Box::pin(async move { Err(error) })
    };
    assert_eq!(run(Parts { load_subject: Arc::new(load), ..parts }).await, Err(busy));
}

#[tokio::test]
async fn a_rehearsal_holds_a_run_whose_contact_lacks_the_date() {
    let body = "[[steps]]\nid = \"first\"\ntype = \"wait\"\nuntil = \"contact.custom.renewal_on\"\n\
                [[scenario]]\nname = \"no date\"\n[[scenario.then]]\nends = \"held\"\n";
    let definition = definition(&services_without_database(), body);
    let played = engine::rehearsal::play(&definition, &definition.scenarios[0]);
    assert_eq!(played.failures, Vec::<String>::new());
    let held = played.acts.last().unwrap();
    assert!(held.reason().unwrap().starts_with("`contact.custom.renewal_on` is empty"), "{held:?}");
}

#[tokio::test]
async fn every_step_that_waits_tells_its_delay() {
    use engine::timing::Delay;
    for (keys, delay) in [
        ("type = \"wait\"\nfor = \"3 business days\"", Some(Delay::BusinessDays(3))),
        (
            "type = \"wait.signal\"\nsignal = \"email.replied\"\ntimeout = \"6 days\"",
            Some(Delay::Days(6)),
        ),
        ("type = \"wait.signal\"\nsignal = \"email.replied\"", None),
        (
            "type = \"task.create\"\ntitle = \"Call\"\nwait_until_done = \"2 weeks\"",
            Some(Delay::Days(14)),
        ),
        ("type = \"task.create\"\ntitle = \"Call\"", None),
        ("type = \"activity.log\"\ntitle = \"Called\"", None),
    ] {
        let parts = entered(keys);
        assert_eq!(parts.definition.steps[0].step.delay(), delay.as_ref(), "{keys}");
    }
}
