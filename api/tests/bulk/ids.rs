//! By ids: at once, to what the caller reaches.

use engine::id;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ACTIONS, Desk, body, enr};

#[tokio::test]
async fn a_preview_by_ids_changes_nothing_whatever_the_action() {
    let desk = Desk::new().await;
    let (mine, held) =
        (desk.enrollment("rita", None).await, desk.enrollment("rita", Some("why")).await);
    let ids = json!([enr(mine), enr(held)]);
    let before = desk.count("select count(*) from engine.history").await;
    for action in ACTIONS {
        let asked = body(action, json!({ "ids": ids, "preview": true }));
        let (status, seen) = desk.post("rita", &format!("/enrollments/{action}"), asked).await;
        let matched = match action {
            "pause" => 1,
            "resume" => 0,
            _ => 2,
        };
        assert_eq!((status, &seen["matched"]), (200, &json!(matched)), "{action}: {seen}");
        assert_eq!(seen["sample"].as_array().unwrap().len(), matched, "{action}: {seen}");
    }
    for (path, matched) in [("/ops/jobs/retry", 1), ("/ops/jobs/cancel", 2)] {
        let (status, seen) = desk.post("admin", path, json!({ "ids": ids, "preview": true })).await;
        assert_eq!((status, &seen["matched"]), (200, &json!(matched)), "{path}: {seen}");
    }
    assert_eq!(desk.states(&[mine, held]).await, ["live", "held"]);
    assert_eq!(desk.count("select count(*) from engine.history").await, before);
    assert_eq!(desk.count("select count(*) from engine.operations").await, 0);
    // What the preview counted is what the action changes.
    let (_, done) = desk.post("rita", "/enrollments/pause", json!({ "ids": ids })).await;
    assert_eq!((&done["changed"], &done["skipped"]), (&json!(1), &json!(1)), "{done}");
    desk.database.drop().await;
}

#[tokio::test]
async fn a_bulk_action_by_ids_reaches_what_the_caller_reaches_and_enrollments_alone() {
    let desk = Desk::new().await;
    let (mine, robs) = (desk.enrollment("rita", None).await, desk.enrollment("rob", None).await);
    let delivery = desk.delivery(None).await;
    let ids = json!([enr(mine), enr(robs), id::show("run", delivery), enr(Uuid::now_v7())]);
    for action in ["pause", "cancel"] {
        let asked = json!({ "ids": ids });
        let (status, done) = desk.post("rita", &format!("/enrollments/{action}"), asked).await;
        assert_eq!((status, &done["changed"], &done["skipped"]), (200, &json!(1), &json!(3)));
        let missing = json!([ids[1], ids[2], ids[3]]);
        let mut told = done["not_found"].as_array().unwrap().clone();
        told.sort_by_key(|id| missing.as_array().unwrap().iter().position(|one| one == id));
        assert_eq!(json!(told), missing, "what is out of reach answers as what is not there");
        let path = format!("/enrollments/{action}");
        let other = json!({ "ids": [ids[1]], "preview": true });
        assert_eq!(desk.post("rita", &path, other).await.1["matched"], 0);
    }
    assert_eq!(desk.states(&[mine, robs, delivery]).await, ["cancelled", "live", "live"]);
    // The manager of the team reaches it too, an owner all of them, and nobody a delivery by this route.
    let (mia, more) =
        (desk.enrollment("rita", None).await, json!([enr(robs), id::show("run", delivery)]));
    let (_, done) =
        desk.post("mia", "/enrollments/cancel", json!({ "ids": [enr(mia), enr(robs)] })).await;
    assert_eq!(done["changed"], 1, "{done}");
    let (_, done) = desk.post("owner", "/enrollments/cancel", json!({ "ids": more })).await;
    assert_eq!(done["changed"], 1, "{done}");
    let (_, done) = desk.post("admin", "/ops/jobs/cancel", json!({ "ids": more })).await;
    assert_eq!((&done["changed"], &done["not_found"]), (&json!(1), &json!([])), "{done}");
    desk.database.drop().await;
}

#[tokio::test]
async fn a_reason_is_kept_with_ids_as_with_a_filter() {
    let desk = Desk::new().await;
    let mine = desk.enrollment("rita", None).await;
    let asked = json!({ "ids": [enr(mine)], "reason": "she asked for it" });
    let (status, done) = desk.post("rita", "/enrollments/pause", asked).await;
    assert_eq!((status, &done["changed"]), (200, &json!(1)), "{done}");
    let operation = done["operation_id"].as_str().unwrap();
    let (_, kept) = desk.ask("rita", "GET", &format!("/operations/{operation}"), Value::Null).await;
    assert_eq!(
        (&kept["reason"], &kept["status"], &kept["changed"]),
        (&json!("she asked for it"), &json!("done"), &json!(1)),
        "{kept}"
    );
    let history = format!("/enrollments/{}/history", enr(mine));
    let (_, history) = desk.ask("rita", "GET", &history, Value::Null).await;
    let actor = history["data"][1]["actor"].as_str().unwrap();
    assert!(actor.ends_with(&format!("by {operation}")), "{history}");
    let long = json!({ "ids": [enr(mine)], "reason": "x".repeat(501) });
    assert_eq!(desk.post("rita", "/enrollments/resume", long).await.0, 422);
    let paced = json!({ "ids": [enr(mine)], "per_second": 1 });
    assert_eq!(desk.post("rita", "/enrollments/resume", paced).await.0, 422);
    desk.database.drop().await;
}
