//! By a filter: what it refuses, and that listing, preview and operation read it alike.

use engine::id;
use serde_json::{Value, json};

use super::{ACTIONS, Desk, body};

#[tokio::test]
async fn what_names_nothing_or_has_no_pace_is_refused_with_a_suggestion() {
    let desk = Desk::new().await;
    desk.enrollment("rita", Some("timeout after 1s")).await;
    let mut routes: Vec<String> =
        ACTIONS.iter().map(|action| format!("/enrollments/{action}")).collect();
    routes.extend(["/ops/jobs/retry".to_owned(), "/ops/jobs/cancel".to_owned()]);
    let cases = [
        (json!({}), "filter", "name at least one field"),
        (json!({ "state": null }), "filter", "name at least one field"),
        (json!({ "state": "hled" }), "filter.state", "did you mean `held`?"),
        (json!({ "state": "completed" }), "filter.state", "held"),
        (json!({ "sequence": "intor" }), "filter.sequence", "did you mean `intro`?"),
        (json!({ "sequence": "" }), "filter.sequence", "intro"),
        (json!({ "step": "helo" }), "filter.step", "did you mean `hello`?"),
        (json!({ "sequence": "intro", "step": "deliver" }), "filter.step", "has no step `deliver`"),
        (json!({ "queue": "emial.send" }), "filter.queue", "did you mean `email.send`?"),
        (
            json!({ "contact_id": "con_01h455vb4pex5vsknk084sn02q" }),
            "filter.contact_id",
            "there is no contact",
        ),
        (json!({ "error": "" }), "filter.error", "write a part of the reason"),
        (json!({ "error": "**" }), "filter.error", "write a part of the reason"),
        (
            json!({ "since": "2026-03-02T00:00:00Z", "until": "2026-03-01T00:00:00Z" }),
            "filter.until",
            "later",
        ),
    ];
    for path in &routes {
        for (filter, field, hint) in &cases {
            for preview in [true, false] {
                let asked = body(
                    path.rsplit('/').next().unwrap(),
                    json!({ "filter": filter, "preview": preview }),
                );
                let (status, refused) = desk.post("admin", path, asked).await;
                assert_eq!(
                    (status, &refused["errors"][0]["field"]),
                    (422, &json!(field)),
                    "{path} {filter}: {refused}"
                );
                let message = refused["errors"][0]["message"].as_str().unwrap();
                assert!(message.contains(hint), "{path} {filter}: {message}");
            }
        }
        for pace in
            [json!(0), json!(-1), json!(-0.0), json!(0.0001), json!(1e9), json!(1e39), json!(1e308)]
        {
            let asked =
                json!({ "filter": { "step": "hello" }, "per_second": pace, "preview": true });
            let asked = body(path.rsplit('/').next().unwrap(), asked);
            let (status, refused) = desk.post("admin", path, asked).await;
            let field = &refused["errors"][0]["field"];
            assert_eq!((status, field), (422, &json!("per_second")), "{path} {pace}: {refused}");
        }
    }
    // A workflow of ours is no sequence of theirs; under /ops it is one of the workflows.
    let own = json!({ "filter": { "sequence": "deliver" }, "preview": true });
    assert_eq!(desk.post("admin", "/enrollments/pause", own.clone()).await.0, 422);
    assert_eq!(desk.post("admin", "/ops/jobs/cancel", own).await.0, 200);
    let jump = json!({ "filter": { "sequence": "intro" }, "step": "helo" });
    let (status, refused) = desk.post("admin", "/enrollments/jump", jump).await;
    assert_eq!((status, &refused["errors"][0]["field"]), (422, &json!("step")), "{refused}");
    for path in ["/ops/jobs?queue=emial.send", "/ops/jobs?state=hled", "/ops/jobs?error=*"] {
        assert_eq!(desk.ask("admin", "GET", path, Value::Null).await.0, 422, "{path}");
    }
    assert_eq!(desk.count("select count(*) from engine.operations").await, 0);
    desk.database.drop().await;
}

#[tokio::test]
async fn the_error_filter_matches_the_same_runs_in_the_listing_the_preview_and_the_operation() {
    for (error, matches) in [
        ("timeout", 2),
        ("timeout*", 1),
        ("*timeout", 1),
        ("*after*", 1),
        ("%", 1),
        ("100_", 0),
        ("Timeout", 1),
    ] {
        let desk = Desk::new().await;
        for reason in ["timeout after 1s", "the provider: timeout", "100% refused", "Timeout"] {
            desk.enrollment("rita", Some(reason)).await;
        }
        let listed = format!("/ops/jobs?state=held&error={}", error.replace('%', "%25"));
        let (_, listed) = desk.ask("admin", "GET", &listed, Value::Null).await;
        assert_eq!(listed["data"].as_array().unwrap().len(), matches, "{error}: {listed}");
        let asked = |preview: bool| json!({ "filter": { "error": error }, "preview": preview });
        for path in ["/ops/jobs/retry", "/ops/jobs/cancel", "/enrollments/cancel"] {
            let (_, seen) = desk.post("admin", path, asked(true)).await;
            assert_eq!(seen["matched"], matches, "{error} {path}: {seen}");
        }
        let (_, ordered) = desk.post("admin", "/ops/jobs/retry", asked(false)).await;
        desk.work().await;
        let path = format!("/operations/{}", ordered["id"].as_str().unwrap());
        let (_, done) = desk.ask("admin", "GET", &path, Value::Null).await;
        let counts = (&done["total"], &done["changed"]);
        assert_eq!(counts, (&json!(matches), &json!(matches)), "{error}: {done}");
        desk.database.drop().await;
    }
}

#[tokio::test]
async fn for_every_filter_the_preview_counts_what_the_operation_changes() {
    for whom in ["/enrollments/cancel", "/ops/jobs/cancel"] {
        for filter in [
            json!({ "state": "sleeping" }),
            json!({ "state": "held" }),
            json!({ "sequence": "intro" }),
            json!({ "step": "hello" }),
            json!({ "queue": "email.send" }),
            json!({ "error": "out" }),
            json!({ "since": "2020-01-01T00:00:00Z" }),
            json!({ "until": "2020-01-01T00:00:00Z" }),
        ] {
            let desk = Desk::new().await;
            for held in [None, None, Some("timed out")] {
                desk.enrollment("rita", held).await;
            }
            desk.delivery(None).await;
            desk.delivery(Some("timed out")).await;
            let preview = json!({ "filter": filter, "preview": true });
            let (_, seen) = desk.post("admin", whom, preview).await;
            let (_, ordered) = desk.post("admin", whom, json!({ "filter": filter })).await;
            assert_eq!(ordered["total"], seen["matched"], "{whom} {filter}");
            desk.work().await;
            let path = format!("/operations/{}", ordered["id"].as_str().unwrap());
            let (_, done) = desk.ask("admin", "GET", &path, Value::Null).await;
            assert_eq!(done["changed"], seen["matched"], "{whom} {filter}: {done}");
            desk.database.drop().await;
        }
    }
}

#[tokio::test]
async fn a_body_that_names_nothing_and_one_that_names_twice_are_told_apart() {
    let desk = Desk::new().await;
    let runs = ACTIONS.iter().map(|action| format!("/enrollments/{action}"));
    let jobs = ["retry", "cancel"].map(|action| format!("/ops/jobs/{action}"));
    let records = ["accounts", "contacts", "opportunities"].map(|kind| format!("/{kind}/bulk"));
    for path in runs.chain(jobs).chain(records) {
        let of_records = path.ends_with("/bulk");
        let asked = |mut which: Value| {
            if of_records {
                which["set"] = json!({});
                return which;
            }
            body(path.rsplit('/').next().unwrap(), which)
        };
        let filter = match of_records {
            true => json!({ "id": { "eq": "x" } }),
            false => json!({ "state": "held" }),
        };
        let both = json!({ "ids": ["enr_x"], "filter": filter });
        let empty = json!({ "ids": null, "filter": null });
        for (which, message) in [
            (json!({}), "is missing; give `ids` or a `filter`"),
            (empty, "is missing; give `ids` or a `filter`"),
            (both, "give either `ids` or `filter`, not both"),
        ] {
            let (status, refused) = desk.post("admin", &path, asked(which)).await;
            let error = &refused["errors"][0];
            assert_eq!(
                (status, &error["field"], &error["message"]),
                (422, &json!("ids"), &json!(message)),
                "{path}: {refused}"
            );
        }
    }
    desk.database.drop().await;
}

#[tokio::test]
async fn a_version_is_named_by_its_definition_or_by_its_number() {
    let desk = Desk::new().await;
    let sequence = id::show("seq", desk.sequence);
    for route in ["plan", "apply"] {
        let path = format!("/sequences/{sequence}/{route}");
        for (which, says) in
            [(json!({}), "is missing"), (json!({ "definition": {}, "version": 1 }), "not both")]
        {
            let (status, refused) = desk.post("admin", &path, which).await;
            let error = &refused["errors"][0];
            assert_eq!((status, &error["field"]), (422, &json!("definition")), "{refused}");
            assert!(error["message"].as_str().unwrap().contains(says), "{refused}");
        }
    }
    desk.database.drop().await;
}
