//! Two contacts that are one person: found, made one, and parted again.

use serde_json::{Value, json};

use crate::desk::Desk;
use crate::promises::events_keep_their_promises;

/// All rows of some tables, as text; what counts events goes on.
async fn dump(desk: &Desk) -> String {
    let mut all = String::new();
    for table in [
        "contacts",
        "activities",
        "emails",
        "tasks",
        "enrollments",
        "engagement",
        "engagement_parts",
        "opportunity_contacts",
    ] {
        let rows = format!(
            "select coalesce(string_agg((to_jsonb(t) - 'event_sequence')::text, e'\\n' order by to_jsonb(t)::text), '')
             from {table} t"
        );
        let rows: String = sqlx::query_scalar(sqlx::AssertSqlSafe(rows))
            .fetch_one(&desk.database.pool)
            .await
            .unwrap();
        all.push_str(&format!("{table}\n{rows}\n"));
    }
    all
}

/// Ada under two addresses, with something on each.
async fn twice(desk: &Desk) -> (String, String) {
    let ada = json!({
        "email": "ada@lead.example", "first_name": "Ada", "last_name": "Byron", "tags": ["vip"], "phone": "+43 1 2345678",
    });
    let ada = desk.make("/contacts", ada).await;
    let again = json!({
        "email": "ada+news@lead.example", "first_name": "Ada", "last_name": "Byron", "title": "Countess",
        "tags": ["news", "vip"], "phone": "01/234 56 78", "company": "Lead Ltd",
    });
    let again = desk.make("/contacts", again).await;
    for contact in [&ada, &again] {
        desk.make("/activities/notes", json!({ "contact_id": contact, "body": "Hello." })).await;
        desk.make("/activities/tasks", json!({ "contact_id": contact, "title": "Call" })).await;
    }
    let stages = json!([{ "name": "New", "probability": 10 }]);
    let sales = desk.good("POST", "/pipelines", json!({ "name": "Sales", "stages": stages })).await;
    for contacts in [json!([again]), json!([ada, again])] {
        let deal = json!({
            "name": "Deal", "pipeline_id": sales["id"], "stage_id": sales["stages"][0]["id"], "contact_ids": contacts,
        });
        desk.make("/opportunities", deal).await;
    }
    (ada, again)
}

#[tokio::test]
async fn a_merge_moves_all_and_its_undo_leaves_every_row_as_it_was() {
    let desk = Desk::open().await;
    let (ada, again) = twice(&desk).await;
    let found = desk.good("GET", &format!("/contacts/{ada}/duplicates"), Value::Null).await;
    assert_eq!(found["data"][0]["contact_id"], again);
    assert_eq!(
        (&found["data"][0]["score"], found["data"].as_array().unwrap().len()),
        (&json!(100), 1),
        "{found}"
    );
    let before = dump(&desk).await;

    let path = format!("/contacts/{ada}/merge");
    let merged = desk.good("POST", &path, json!({ "from_id": again })).await;
    let read = desk.good("GET", &format!("/contacts/{ada}"), Value::Null).await;
    assert_eq!((&read["title"], &read["company"]), (&json!("Countess"), &json!("Lead Ltd")));
    assert_eq!((&read["tags"], &read["phone"]), (&json!(["vip", "news"]), &json!("+43 1 2345678")));
    assert_eq!(desk.ask("GET", &format!("/contacts/{again}"), Value::Null).await.0, 404);
    let notes = format!("/activities?contact_id={ada}&kind=note");
    assert_eq!(desk.listed(&notes, "title").await.len(), 2);
    assert_eq!(desk.listed(&format!("/activities/tasks?contact_id={ada}"), "title").await.len(), 2);
    assert_eq!(desk.listed(&format!("/opportunities?contact_id={ada}"), "name").await.len(), 2);
    assert_ne!(dump(&desk).await, before);
    // Who became a part of another comes back by undoing that alone.
    assert_eq!(desk.ask("POST", &format!("/contacts/{again}/restore"), Value::Null).await.0, 404);

    let undo = format!("/merges/{}/undo", merged["id"].as_str().unwrap());
    let undone = desk.good("POST", &undo, Value::Null).await;
    assert!(undone["undone_at"].is_string());
    assert_eq!(dump(&desk).await, before);
    assert_eq!(desk.ask("POST", &undo, Value::Null).await.0, 409, "once");
    let fault = desk.fault("POST", &path, json!({ "from_id": ada })).await;
    assert_eq!(fault, "from_id a contact can't become a part of itself");
    events_keep_their_promises(&desk.database.pool).await;
    desk.database.drop().await;
}

#[tokio::test]
async fn an_undo_leaves_what_was_changed_since() {
    let desk = Desk::open().await;
    let (ada, again) = twice(&desk).await;
    let merged =
        desk.good("POST", &format!("/contacts/{ada}/merge"), json!({ "from_id": again })).await;
    let path = format!("/contacts/{ada}");
    desk.good("PATCH", &path, json!({ "city": "Graz", "title": "Queen" })).await;
    let note = desk.make("/activities/notes", json!({ "contact_id": ada, "body": "Later." })).await;
    desk.good("POST", &format!("/merges/{}/undo", merged["id"].as_str().unwrap()), Value::Null)
        .await;
    let read = desk.good("GET", &path, Value::Null).await;
    assert_eq!((&read["city"], &read["title"]), (&json!("Graz"), &json!("Queen")));
    assert_eq!(
        (&read["company"], &read["tags"]),
        (&Value::Null, &json!(["vip"])),
        "what the merge brought goes"
    );
    let other = desk.good("GET", &format!("/contacts/{again}"), Value::Null).await;
    assert_eq!(other["title"], "Countess");
    let read = desk.good("GET", &format!("/activities/{note}"), Value::Null).await;
    assert_eq!(read["contact_id"], ada);
    desk.database.drop().await;
}

#[tokio::test]
async fn who_wants_no_mail_under_one_address_gets_none_after_a_merge_and_after_its_undo() {
    let desk = Desk::open().await;
    let make = async |email: &str| desk.make("/contacts", json!({ "email": email })).await;
    let status = async |id: &str| {
        desk.good("GET", &format!("/contacts/{id}"), Value::Null).await["status"].clone()
    };
    let suppressed = async |email: &str| {
        let found = desk.good("GET", &format!("/suppressions?email={email}"), Value::Null).await;
        found["data"].as_array().unwrap().len()
    };
    let unsubscribe = async |id: &str| {
        desk.good("POST", &format!("/contacts/{id}/unsubscribe"), json!({})).await;
    };
    let merge = async |id: &str, from: &str| {
        let path = format!("/contacts/{id}/merge");
        desk.good("POST", &path, json!({ "from_id": from })).await["id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let (ada, again) = (make("ada@lead.example").await, make("ada@old.example").await);
    unsubscribe(&again).await;
    merge(&ada, &again).await;
    assert_eq!(
        (status(&ada).await, suppressed("ada@lead.example").await),
        (json!("unsubscribed"), 1)
    );
    // Said of the two as one person, it holds for each once they are parted.
    let (bo, eve) = (make("bo@lead.example").await, make("eve@lead.example").await);
    let merged = merge(&bo, &eve).await;
    unsubscribe(&bo).await;
    desk.good("POST", &format!("/merges/{merged}/undo"), json!({})).await;
    for (id, email) in [(&bo, "bo@lead.example"), (&eve, "eve@lead.example")] {
        let found = (status(id).await, suppressed(email).await);
        assert_eq!(found, (json!("unsubscribed"), 1), "{email}");
    }
    events_keep_their_promises(&desk.database.pool).await;
    desk.database.drop().await;
}
