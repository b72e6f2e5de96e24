//! Changes to many records, and the listing of jobs.

use crm::bulk_change::{self, NewBulkChange, Wanted};
use crm::contact::Change;
use engine::id;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Desk;

#[tokio::test]
async fn a_bulk_change_is_seen_and_stopped_by_who_ordered_it_and_by_admins() {
    let desk = Desk::new().await;
    let change: Uuid = sqlx::query_scalar(
        "insert into bulk_changes (customer_id, id, entity, filter, wanted, actor, total)
         values ($1, gen_random_uuid(), 'contact', '{}', '{}', $2, 0) returning id",
    )
    .bind(desk.customer)
    .bind(format!("user:{}", id::show("usr", desk.users["rita"])))
    .fetch_one(&desk.db)
    .await
    .unwrap();
    let path = format!("/bulk-changes/{}", id::show("blk", change));
    for (who, status) in [("rob", 404), ("mia", 404), ("rita", 200), ("admin", 200)] {
        assert_eq!(desk.ask(who, "GET", &path, Value::Null).await.0, status, "{who}");
        let stopped = desk.post(who, &format!("{path}/stop"), Value::Null).await.0;
        assert_eq!(stopped, status, "{who}");
    }
    desk.database.drop().await;
}

#[tokio::test]
async fn jobs_are_listed_to_whom_their_contacts_are_in_reach() {
    let desk = Desk::new().await;
    let (mine, robs) =
        (desk.enrollment("rita", Some("why")).await, desk.enrollment("rob", Some("why")).await);
    let delivery = desk.delivery(Some("why")).await;
    for (who, sees) in [
        ("rita", vec![mine]),
        ("mia", vec![mine]),
        ("rob", vec![robs]),
        ("vera", vec![delivery, robs, mine]),
        ("admin", vec![delivery, robs, mine]),
    ] {
        let (status, listed) = desk.ask(who, "GET", "/ops/jobs?state=held", Value::Null).await;
        let jobs = listed["data"].as_array().unwrap();
        let ids: Vec<&str> = jobs.iter().map(|job| job["id"].as_str().unwrap()).collect();
        let wanted: Vec<String> = sees.iter().map(|run| id::show("run", *run)).collect();
        assert_eq!((status, ids), (200, wanted.iter().map(String::as_str).collect()), "{who}");
    }
    desk.database.drop().await;
}

#[tokio::test]
async fn a_preview_of_a_change_to_records_counts_those_in_reach() {
    let desk = Desk::new().await;
    for owner in ["rita", "rob"] {
        desk.enrollment(owner, None).await;
    }
    let ids: Vec<Uuid> = sqlx::query_scalar("select id from contacts order by id")
        .fetch_all(&desk.db)
        .await
        .unwrap();
    let ids: Vec<String> = ids.into_iter().map(|contact| id::show("con", contact)).collect();
    let change =
        |preview: bool| json!({ "ids": ids, "set": { "city": "Graz" }, "preview": preview });
    let (status, seen) = desk.post("rita", "/contacts/bulk", change(true)).await;
    assert_eq!((status, &seen["matched"]), (200, &json!(1)), "{seen}");
    let (_, done) = desk.post("rita", "/contacts/bulk", change(false)).await;
    assert_eq!(done["changed"], 1, "{done}");
    desk.database.drop().await;
}

#[tokio::test]
async fn a_bulk_change_ends_once_who_ordered_it_may_no_longer_order_it() {
    for (who, change, reason) in [
        (
            "key",
            "update api_keys set revoked_at = clock_timestamp() where $1::uuid is not null",
            "was revoked",
        ),
        (
            "key",
            "update api_keys set expires_at = clock_timestamp() where $1::uuid is not null",
            "has expired",
        ),
        ("rita", "update users set active = false where id = $1", "no longer active"),
        ("rita", "update users set role = 'viewer' where id = $1", "`viewer`"),
    ] {
        let mut desk = Desk::new().await;
        desk.key(&["contacts"]).await;
        desk.enrollment("rita", None).await;
        let actor = match who {
            "key" => {
                let key = sqlx::query_scalar("select id from api_keys").fetch_one(&desk.db).await;
                format!("key:{}", id::show("key", key.unwrap()))
            }
            _user => format!("user:{}", id::show("usr", desk.users[who])),
        };
        let filter = serde_json::from_value(json!({ "email": { "contains": "@lead" } })).unwrap();
        let city = Some("Graz".to_owned());
        let new = NewBulkChange {
            filter: &filter,
            wanted: &Wanted::Contact(Change { city, ..Change::default() }),
            actor: &actor,
            reach: None,
            total: 1,
        };
        let ordered = bulk_change::order(&desk.db, desk.customer, &new).await.unwrap();
        sqlx::query(change).bind(desk.users["rita"]).execute(&desk.db).await.unwrap();
        let mut tx = desk.db.begin().await.unwrap();
        assert!(!bulk_change::advance(&mut tx, desk.customer, ordered).await.unwrap());
        tx.commit().await.unwrap();
        assert_eq!(
            desk.count("select count(*) from contacts where city is not null").await,
            0,
            "{change}"
        );
        let path = format!("/bulk-changes/{}", id::show("blk", ordered));
        let (_, failed) = desk.ask("admin", "GET", &path, Value::Null).await;
        assert_eq!(failed["status"], "failed", "{failed}");
        let error = failed["error"].as_str().unwrap();
        assert!(error.contains("ordered it") && error.contains(reason), "{error}");
        desk.database.drop().await;
    }
}
