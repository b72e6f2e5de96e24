//! The same change to many records, seen before it is made, with the rights of who makes it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::salesos::{Api, Dev, Folder, until};

const SOON: Duration = Duration::from_secs(30);

async fn done(api: &Api, ordered: &Value) -> Value {
    let path = format!("/api/v1/bulk-changes/{}", ordered["id"].as_str().unwrap());
    until("the bulk change to end", SOON, || async {
        let found = api.get(&path).await.with(200);
        (found["status"] == "done").then_some(found)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_contacts_are_changed_as_the_preview_said_and_by_a_rep_their_own_alone() {
    let folder = Folder::new().await;
    let mut dev = Dev::start(&folder, &[]).await;
    let mut api = dev.api().await;
    let ann = json!({ "email": "ann@acme.example", "password": "correct horse", "name": "Ann", "company": "Acme" });
    let session = api.post("/api/v1/auth/signup", ann).await.with(201);
    api.sign_in(&session);
    let mut csv = String::from("Email,Country\n");
    for n in 0..450 {
        csv.push_str(&format!("p{n}@lead.example,{}\n", if n % 3 == 0 { "AT" } else { "DE" }));
    }
    let rita = ["users", "create", "rita@acme.example", "--role", "rep"];
    let made = folder.run(&rita).await.done();
    let mut lines = made.lines();
    let (rita, password) =
        (lines.next().unwrap(), lines.next().unwrap().strip_prefix("password ").unwrap());
    folder.write("contacts.csv", &csv);
    folder.run(&["import", "contacts.csv"]).await.done();

    let germans = json!({ "country": { "eq": "de" } });
    let change = json!({ "filter": germans, "set": { "add_tags": ["dach"], "owner_id": session["user"]["id"] }, "preview": true });
    let seen = api.post("/api/v1/contacts/bulk", change.clone()).await.with(200);
    assert_eq!((&seen["matched"], &seen["more"]), (&json!(300), &json!(false)), "{seen}");
    let ordered = json!({ "filter": germans, "set": change["set"] });
    let ordered = api.post("/api/v1/contacts/bulk", ordered.clone()).await.with(202);
    let told = done(&api, &ordered).await;
    assert_eq!((&told["changed"], &told["skipped"]), (&json!(300), &json!(0)));
    let tagged = "select count(*) from contacts where tags = '{dach}' and country = 'DE'";
    assert_eq!(dev.count(tagged).await, 300);
    let told = "select count(*) from engine.outbox where topic = 'contact.updated'";
    assert_eq!(dev.count(told).await, 300, "each is told of once");

    // A rep reaches their own and what nobody owns: here the Austrians.
    let login = json!({ "email": "rita@acme.example", "password": password });
    let session = api.post("/api/v1/auth/login", login).await.with(200);
    api.sign_in(&session);
    let all = json!({ "filter": { "email": { "contains": "@lead" } }, "set": { "title": "Lead", "owner_id": rita } });
    let ordered = api.post("/api/v1/contacts/bulk", all).await.with(202);
    assert_eq!(ordered["total"], 150);
    assert_eq!(done(&api, &ordered).await["changed"], 150);
    assert_eq!(
        dev.count("select count(*) from contacts where title = 'Lead' and country <> 'AT'").await,
        0
    );
    // By ids at once; what is one contact's alone, and what asks nothing, is refused.
    let mine = api.get("/api/v1/contacts?limit=2").await.with(200);
    let ids = json!([mine["data"][0]["id"], mine["data"][1]["id"]]);
    let changed =
        api.post("/api/v1/contacts/bulk", json!({ "ids": ids, "set": { "city": "Graz" } })).await;
    assert_eq!(changed.with(200), json!({ "changed": 2, "skipped": 0 }));
    for (bad, field) in [
        (json!({ "ids": ids, "set": { "email": "x@y.example" } }), "set.email"),
        (json!({ "filter": {}, "set": { "city": "Graz" } }), "filter"),
        (json!({ "ids": ids, "set": { "shoe": 38 } }), "set.shoe"),
    ] {
        let refused = api.post("/api/v1/contacts/bulk", bad).await.with(422);
        assert_eq!(refused["errors"][0]["field"], field, "{refused}");
    }
    assert_eq!(dev.errors(), Vec::<String>::new());
    dev.interrupt().await;
}
