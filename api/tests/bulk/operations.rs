//! Operations: for whom they act, and who sees and stops them.

use serde_json::{Value, json};

use super::Desk;

#[tokio::test]
async fn an_operation_reaches_what_who_ordered_it_reaches_when_it_acts() {
    let desk = Desk::new().await;
    let (mine, lost) = (desk.enrollment("rita", None).await, desk.enrollment("rita", None).await);
    let (robs, delivery) = (desk.enrollment("rob", None).await, desk.delivery(None).await);
    let all = json!({ "since": "2020-01-01T00:00:00Z" });
    let (_, seen) =
        desk.post("rita", "/enrollments/cancel", json!({ "filter": all, "preview": true })).await;
    assert_eq!((&seen["matched"], &seen["more"]), (&json!(2), &json!(false)), "{seen}");
    let (status, ordered) =
        desk.post("rita", "/enrollments/cancel", json!({ "filter": all })).await;
    assert_eq!((status, &ordered["total"]), (202, &json!(2)), "{ordered}");
    // A contact that is somebody else's by the time that the operation acts is left.
    sqlx::query("update contacts set owner_id = $1 where id = (select contact_id from enrollments where id = $2)")
        .bind(desk.users["rob"])
        .bind(lost)
        .execute(&desk.db)
        .await
        .unwrap();
    desk.work().await;
    let states = desk.states(&[mine, lost, robs, delivery]).await;
    assert_eq!(states, ["cancelled", "live", "live", "live"]);
    let path = format!("/operations/{}", ordered["id"].as_str().unwrap());
    let (_, done) = desk.ask("rita", "GET", &path, Value::Null).await;
    assert_eq!(
        (&done["status"], &done["done"], &done["changed"]),
        (&json!("done"), &json!(1), &json!(1)),
        "{done}"
    );
    // By queue neither: deliveries belong to /ops.
    let queue = json!({ "filter": { "queue": "webhook.deliver" } });
    let (status, ordered) = desk.post("owner", "/enrollments/cancel", queue.clone()).await;
    assert_eq!((status, &ordered["total"]), (202, &json!(0)), "{ordered}");
    let (_, ops) = desk.post("admin", "/ops/jobs/cancel", queue).await;
    assert_eq!(ops["total"], 1, "{ops}");
    desk.work().await;
    assert_eq!(desk.states(&[delivery, robs]).await, ["cancelled", "live"]);
    desk.database.drop().await;
}

#[tokio::test]
async fn an_operation_of_somebody_who_may_no_longer_act_fails_and_changes_nothing() {
    for change in [
        "update users set active = false where id = $1",
        "update users set role = 'viewer' where id = $1",
    ] {
        let desk = Desk::new().await;
        let mine = desk.enrollment("rita", None).await;
        let all = json!({ "filter": { "sequence": "intro" } });
        let (_, ordered) = desk.post("rita", "/enrollments/cancel", all).await;
        sqlx::query(change).bind(desk.users["rita"]).execute(&desk.db).await.unwrap();
        desk.work().await;
        assert_eq!(desk.states(&[mine]).await, ["live"], "{change}");
        let path = format!("/operations/{}", ordered["id"].as_str().unwrap());
        let (_, failed) = desk.ask("admin", "GET", &path, Value::Null).await;
        assert_eq!(failed["status"], "failed", "{failed}");
        desk.database.drop().await;
    }
}

/// Why an operation failed.
async fn failure(desk: &Desk, ordered: &Value) -> String {
    let path = format!("/operations/{}", ordered["id"].as_str().unwrap());
    let (_, failed) = desk.ask("owner", "GET", &path, Value::Null).await;
    assert_eq!((&failed["status"], &failed["changed"]), (&json!("failed"), &json!(0)), "{failed}");
    failed["error"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_operation_of_a_key_acts_as_long_as_the_key_is_valid() {
    let later = "update api_keys set expires_at = clock_timestamp() + interval '1 hour'";
    let expired = "update api_keys set expires_at = clock_timestamp() - interval '1 minute'";
    let revoked = "update api_keys set revoked_at = clock_timestamp()";
    for (change, reason) in
        [(later, None), (expired, Some("has expired")), (revoked, Some("was revoked"))]
    {
        for path in ["/enrollments/cancel", "/ops/jobs/cancel"] {
            let mut desk = Desk::new().await;
            desk.key(&["enrollments", "ops"]).await;
            let mine = desk.enrollment("rita", None).await;
            let all = json!({ "filter": { "sequence": "intro" } });
            let (status, ordered) = desk.post("key", path, all).await;
            assert_eq!((status, &ordered["total"]), (202, &json!(1)), "{ordered}");
            sqlx::query(change).execute(&desk.db).await.unwrap();
            desk.work().await;
            let state = if reason.is_some() { "live" } else { "cancelled" };
            assert_eq!(desk.states(&[mine]).await, [state], "{path}: {change}");
            if let Some(reason) = reason {
                let error = failure(&desk, &ordered).await;
                assert!(error.contains("API key") && error.contains(reason), "{error}");
            }
            desk.database.drop().await;
        }
    }
}

#[tokio::test]
async fn an_operation_that_an_earlier_version_ordered_by_a_key_still_acts() {
    let mut desk = Desk::new().await;
    desk.key(&["enrollments"]).await;
    let mine = desk.enrollment("rita", None).await;
    let all = json!({ "filter": { "sequence": "intro" } });
    assert_eq!(desk.post("key", "/enrollments/cancel", all).await.0, 202);
    let earlier = r#"update engine.operations set reach = '{"user_id": null, "reach": null}'"#;
    sqlx::query(earlier).execute(&desk.db).await.unwrap();
    desk.work().await;
    assert_eq!(desk.states(&[mine]).await, ["cancelled"]);
    desk.database.drop().await;
}

#[tokio::test]
async fn an_operation_on_all_runs_ends_once_who_ordered_it_may_no_longer_order_it() {
    for (who, change, reason) in [
        ("admin", "update users set active = false where name like 'admin%'", "no longer active"),
        ("admin", "update users set role = 'manager' where name like 'admin%'", "`manager`"),
        ("olga", "update operators set active = false", "no longer active"),
    ] {
        let mut desk = Desk::new().await;
        desk.operator().await;
        let (mine, delivery) = (desk.enrollment("rita", None).await, desk.delivery(None).await);
        let all = json!({ "filter": { "since": "2020-01-01T00:00:00Z" } });
        let (status, ordered) = desk.post(who, "/ops/jobs/cancel", all).await;
        assert_eq!((status, &ordered["total"]), (202, &json!(2)), "{who}: {ordered}");
        sqlx::query(change).execute(&desk.db).await.unwrap();
        desk.work().await;
        assert_eq!(desk.states(&[mine, delivery]).await, ["live", "live"], "{change}");
        let error = "select error from engine.operations";
        let error: String = sqlx::query_scalar(error).fetch_one(&desk.db).await.unwrap();
        assert!(error.contains("who ordered it") && error.contains(reason), "{error}");
        desk.database.drop().await;
    }
}

#[tokio::test]
async fn operations_are_seen_and_stopped_by_who_ordered_them_and_by_admins() {
    let desk = Desk::new().await;
    desk.enrollment("rita", None).await;
    let all = json!({ "filter": { "sequence": "intro" } });
    let (_, ordered) = desk.post("rita", "/enrollments/pause", all).await;
    let path = format!("/operations/{}", ordered["id"].as_str().unwrap());
    let stop = format!("{path}/stop");
    for who in ["rob", "mia", "vera"] {
        assert_eq!(desk.ask(who, "GET", &path, Value::Null).await.0, 404, "{who}");
        let stopped = desk.post(who, &stop, Value::Null).await.0;
        assert_eq!(stopped, if who == "vera" { 403 } else { 404 }, "{who}");
        let (status, listed) = desk.ask(who, "GET", "/operations", Value::Null).await;
        assert_eq!((status, &listed["data"]), (200, &json!([])), "{who}");
    }
    for who in ["rita", "admin", "owner"] {
        let (_, listed) = desk.ask(who, "GET", "/operations?status=queued", Value::Null).await;
        assert_eq!(listed["data"][0]["id"], ordered["id"], "{who}: {listed}");
        assert_eq!(desk.ask(who, "GET", &path, Value::Null).await.0, 200, "{who}");
    }
    let (_, stopped) = desk.post("rita", &stop, Value::Null).await;
    assert_eq!(stopped["status"], "stopped", "{stopped}");
    let (_, listed) = desk.ask("admin", "GET", "/operations?status=queued", Value::Null).await;
    assert_eq!(listed["data"], json!([]));
    assert_eq!(desk.ask("admin", "GET", "/operations?status=over", Value::Null).await.0, 422);
    desk.database.drop().await;
}
