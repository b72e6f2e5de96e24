//! Whom nobody writes to: the suppression list, and contacts who are unsubscribed by hand.

use serde_json::{Value, json};

use crate::call;
use crate::desk::Desk;
use crate::promises::events_keep_their_promises;
use crate::reach::Teams;
use crate::sign_up;

#[tokio::test]
async fn addresses_and_domains_are_added_listed_and_removed_each_with_reason_and_author() {
    let desk = Desk::open().await;
    let one = desk.good("POST", "/suppressions", json!({ "email": " Ada@Lead.example " })).await;
    assert_eq!((&one["email"], &one["reason"]), (&json!("Ada@Lead.example"), &json!("manual")));
    assert!(one["actor"].as_str().unwrap().starts_with("user:usr_"), "{one}");
    let again = json!({ "email": "ada@lead.EXAMPLE", "reason": "complained" });
    let (status, again) = desk.ask("POST", "/suppressions", again).await;
    assert_eq!((status, &again), (200, &one), "the first reason stays");
    let many = json!({ "entries": [
        { "domain": "@ACME.example", "reason": "unsubscribed" },
        { "email": "ada@lead.example" },
        { "domain": "acme.example" },
        { "email": "bob@lead.example", "reason": "bounced" },
    ] });
    let (status, added) = desk.ask("POST", "/suppressions", many.clone()).await;
    assert_eq!(
        (status, &added["added"], &added["existing"]),
        (201, &json!(2), &json!(1)),
        "{added}"
    );
    assert_eq!(added["data"][0]["domain"], "acme.example");
    assert_eq!(added["data"][1]["id"], one["id"]);
    assert_eq!(desk.ask("POST", "/suppressions", many).await.0, 200);

    // Pages, newest first, and what holds for one address or domain.
    let mut seen = Vec::new();
    let mut path = "/suppressions?limit=2".to_owned();
    loop {
        let page = desk.good("GET", &path, Value::Null).await;
        seen.extend(page["data"].as_array().unwrap().iter().map(|row| row["id"].clone()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/suppressions?limit=2&cursor={cursor}");
    }
    assert_eq!((seen.len(), &seen[2]), (3, &one["id"]));
    for (asked, found) in [
        ("email=ADA@lead.example", 1),
        ("email=eve@acme.example", 1),
        ("email=eve@mail.acme.example", 0),
        ("domain=acme.example", 1),
        ("domain=lead.example", 0),
    ] {
        let listed = desk.listed(&format!("/suppressions?{asked}"), "id").await;
        assert_eq!(listed.len(), found, "{asked}");
    }
    let path = format!("/suppressions/{}", one["id"].as_str().unwrap());
    assert_eq!(desk.ask("DELETE", &path, Value::Null).await.0, 204);
    assert_eq!(desk.ask("DELETE", &path, Value::Null).await.0, 404);
    assert_eq!(
        desk.listed("/suppressions?email=ada@lead.example", "id").await,
        Vec::<Value>::new()
    );
    let audit = desk.listed("/auth/audit?action=suppression.removed", "target").await;
    assert_eq!(audit, [one["id"].clone()]);
    desk.database.drop().await;
}

#[tokio::test]
async fn what_is_wrong_with_each_entry_is_said_and_nothing_is_added() {
    let desk = Desk::open().await;
    for (body, fault) in [
        (json!({}), "email is missing; give an address, or a domain in `domain`"),
        (
            json!({ "email": "nobody" }),
            "email is not a valid email address; write it as name@domain.tld",
        ),
        (
            json!({ "domain": "https://acme.example" }),
            "domain is not a domain; write it as example.com",
        ),
        (json!({ "domain": "com" }), "domain is not a domain; write it as example.com"),
        (
            json!({ "email": "a@b.example", "domain": "b.example" }),
            "domain is given beside `email`; give one of them in an entry",
        ),
        (json!({ "entries": [] }), "entries has 0 entries; give 1 to 1000 in one request"),
        (
            json!({ "entries": [{ "email": "a@b.example" }], "domain": "b.example" }),
            "entries is given beside a single entry; give one of them",
        ),
    ] {
        assert_eq!(desk.fault("POST", "/suppressions", body).await, fault);
    }
    let erased = desk
        .fault("POST", "/suppressions", json!({ "email": "a@b.example", "reason": "erased" }))
        .await;
    assert!(erased.starts_with("reason is what an erasure leaves"), "{erased}");
    let entries =
        json!({ "entries": [{ "email": "a@b.example" }, { "email": "b" }, { "domain": "c" }] });
    let (status, problem) = desk.ask("POST", "/suppressions", entries).await;
    assert_eq!(status, 422);
    let fields: Vec<&Value> =
        problem["errors"].as_array().unwrap().iter().map(|fault| &fault["field"]).collect();
    assert_eq!(fields, ["entries[1].email", "entries[2].domain"]);
    let many = |count: usize| {
        let entry = |n: usize| json!({ "email": format!("p{n}@lead.example") });
        json!({ "entries": (0..count).map(entry).collect::<Vec<_>>() })
    };
    assert_eq!(desk.ask("POST", "/suppressions", many(1_001)).await.0, 422);
    assert_eq!(desk.listed("/suppressions", "id").await, Vec::<Value>::new());
    assert_eq!(desk.good("POST", "/suppressions", many(1_000)).await["added"], 1_000);
    for bad in ["?email=nobody", "?domain=com", "?limit=0", "?email=a@b.example&domain=b.example"] {
        assert_eq!(
            desk.ask("GET", &format!("/suppressions{bad}"), Value::Null).await.0,
            422,
            "{bad}"
        );
    }
    desk.database.drop().await;
}

#[tokio::test]
async fn a_viewer_reads_a_manager_writes_and_no_other_customer_sees_any() {
    let teams = Teams::open().await;
    let entry = json!({ "email": "ada@lead.example" });
    for (who, writes) in [("nora", 403), ("mia", 201)] {
        assert_eq!(teams.ask(who, "POST", "/suppressions", entry.clone()).await.0, writes, "{who}");
        assert_eq!(teams.ask(who, "GET", "/suppressions", Value::Null).await.0, 200, "{who}");
    }
    let ours = teams.listed("mia", "/suppressions", "id").await[0].as_str().unwrap().to_owned();
    let bob = sign_up(&teams.desk.door, "bob@other.example").await;
    let bob = bob["access_token"].as_str().unwrap();
    let ask = async |method: &str, path: &str| {
        call(&teams.desk.door, method, &format!("/api/v1{path}"), bob, Value::Null).await
    };
    assert_eq!(ask("GET", "/suppressions").await.1["data"], json!([]));
    assert_eq!(ask("GET", "/suppressions?email=ada@lead.example").await.1["data"], json!([]));
    assert_eq!(ask("DELETE", &format!("/suppressions/{ours}")).await.0, 404);
    assert_eq!(teams.listed("mia", "/suppressions", "id").await.len(), 1);
    teams.desk.database.drop().await;
}

#[tokio::test]
async fn what_an_erasure_left_is_listed_without_the_address_and_stays() {
    let desk = Desk::open().await;
    let ada = desk.make("/contacts", json!({ "email": "ada@lead.example" })).await;
    desk.good("POST", &format!("/contacts/{ada}/erase"), json!({})).await;
    let page = desk.good("GET", "/suppressions", Value::Null).await;
    let left = &page["data"][0];
    assert_eq!(
        (&left["reason"], &left["email"], &left["domain"]),
        (&json!("erased"), &Value::Null, &Value::Null)
    );
    assert_eq!(
        desk.listed("/suppressions?email=ADA@lead.example", "id").await,
        [left["id"].clone()]
    );
    let path = format!("/suppressions/{}", left["id"].as_str().unwrap());
    assert_eq!(desk.ask("DELETE", &path, Value::Null).await.0, 409);
    let (status, same) =
        desk.ask("POST", "/suppressions", json!({ "email": "ada@lead.example" })).await;
    assert_eq!((status, &same["id"]), (200, &left["id"]));
    assert_eq!(desk.listed("/suppressions", "email").await, [Value::Null]);
    desk.database.drop().await;
}

#[tokio::test]
async fn a_contact_in_reach_is_unsubscribed_once_and_any_other_answers_404() {
    let teams = Teams::open().await;
    let ada = teams.make("nora", "/contacts", json!({ "email": "ada@lead.example" })).await;
    let theirs = json!({ "email": "eve@lead.example", "owner_id": teams.id("sam") });
    let theirs = teams.make("sam", "/contacts", theirs).await;
    let path = format!("/contacts/{ada}/unsubscribe");
    let done = teams.good("nora", "POST", &path, Value::Null).await;
    assert_eq!((&done["id"], &done["status"]), (&json!(ada), &json!("unsubscribed")));
    assert_eq!(
        teams.good("nora", "POST", &path, json!({})).await,
        done,
        "a second time changes nothing"
    );
    let listed = teams.good("nora", "GET", "/suppressions", Value::Null).await;
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
    let nora = format!("user:{}", teams.id("nora"));
    let entry = &listed["data"][0];
    assert_eq!((&entry["reason"], &entry["actor"]), (&json!("unsubscribed"), &json!(nora)));
    let told: Vec<Value> =
        sqlx::query_scalar("select data from engine.outbox where topic = 'contact.unsubscribed'")
            .fetch_all(&teams.desk.database.pool)
            .await
            .unwrap();
    assert_eq!(told, [json!({ "contact_id": ada, "actor": nora })]);
    assert_eq!(
        teams.ask("nora", "POST", &format!("/contacts/{theirs}/unsubscribe"), Value::Null).await.0,
        404
    );
    let bob = sign_up(&teams.desk.door, "bob@other.example").await;
    let bob = bob["access_token"].as_str().unwrap();
    let (status, _) =
        call(&teams.desk.door, "POST", &format!("/api/v1{path}"), bob, Value::Null).await;
    assert_eq!(status, 404);
    teams.good("nora", "DELETE", &format!("/contacts/{ada}"), Value::Null).await;
    assert_eq!(teams.ask("nora", "POST", &path, Value::Null).await.0, 404, "a deleted one");
    events_keep_their_promises(&teams.desk.database.pool).await;
    teams.desk.database.drop().await;
}
