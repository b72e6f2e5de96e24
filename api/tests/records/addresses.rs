//! Addresses as they come in at each door, and a table of contacts that goes out and comes back.

use std::collections::BTreeMap;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use crm::import::{OnDuplicate, Options};
use serde_json::{Value, json};
use tower::ServiceExt;
use uuid::Uuid;

use super::import;
use crate::desk::Desk;
use crate::{call, sign_up};

const BAD: [&str; 5] =
    ["nobody", "a@[127.0.0.1]", "\"x y\"@b.example", "a@b.example, c@d.example", "a@127.0.0.1"];
const INVALID: &str = "email is not a valid email address; write it as name@domain.tld";
const NAMED: &str = "email holds more than an address; write the address alone, as name@domain.tld";

#[tokio::test]
async fn each_door_that_takes_an_address_refuses_what_is_none_and_what_holds_a_name() {
    let desk = Desk::open().await;
    let ada = desk.make("/contacts", json!({ "email": "ada@b.example" })).await;
    let ada = format!("/contacts/{ada}");
    let sign_up = |email: &str| json!({ "email": email, "password": "correct horse", "name": "A", "company": "B" });
    let invite = |email: &str| json!({ "email": email, "name": "Ben", "role": "rep" });
    let email = |email: &str| json!({ "email": email });
    let cases = BAD.map(|bad| (bad, INVALID)).into_iter();
    for (bad, told) in cases.chain([("Ann <ann@b.example>", NAMED), ("<ann@b.example>", NAMED)]) {
        assert_eq!(desk.fault("POST", "/contacts", email(bad)).await, told, "{bad}");
        assert_eq!(desk.fault("PATCH", &ada, email(bad)).await, told, "{bad}");
        assert_eq!(desk.fault("POST", "/users", invite(bad)).await, told, "{bad}");
        assert_eq!(desk.fault("POST", "/auth/signup", sign_up(bad)).await, told, "{bad}");
    }
    desk.database.drop().await;
}

#[tokio::test]
async fn an_umlaut_domain_is_kept_and_compared_in_ascii_at_each_door() {
    let desk = Desk::open().await;
    let made = desk.good("POST", "/contacts", json!({ "email": " a@Müller.example " })).await;
    let id = made["id"].clone();
    assert_eq!(made["email"], "a@xn--mller-kva.example");
    for again in ["a@müller.example", "A@XN--MLLER-KVA.example", "a@mu\u{308}ller.example"] {
        let (status, problem) = desk.ask("POST", "/contacts", json!({ "email": again })).await;
        assert_eq!((status, &problem["type"]), (409, &json!("/problems/duplicate-contact")));
    }
    let other = desk.make("/contacts", json!({ "email": "b@b.example" })).await;
    let other = format!("/contacts/{other}");
    let (status, _) = desk.ask("PATCH", &other, json!({ "email": "a@müller.example" })).await;
    assert_eq!(status, 409);
    let changed = desk.good("PATCH", &other, json!({ "email": "b@müller.example" })).await;
    assert_eq!(changed["email"], "b@xn--mller-kva.example");
    // Found by either spelling; also a row from before domains were kept in ASCII.
    for (filter, found) in [
        ("filter[email][eq]=a@m%C3%BCller.example", 1),
        ("filter[email][eq]=A@xn--mller-kva.example", 1),
        ("filter[email][in]=a@m%C3%BCller.example,b@m%C3%BCller.example", 2),
        ("filter[email][ne]=a@m%C3%BCller.example", 1),
        ("filter[email][contains]=@m%C3%BCller.ex", 2),
        ("filter[email][contains]=@maller.example", 0),
        ("filter[email][contains]=@m%C3%BCller.example", 2),
        ("filter[email][starts]=b@m%C3%BCller.example", 1),
        ("q=a@m%C3%BCller.example", 1),
    ] {
        let ids = desk.listed(&format!("/contacts?{filter}"), "id").await;
        assert_eq!(ids.len(), found, "{filter}");
        assert!(found != 1 || filter.contains("ne]") || filter.contains("b@") || ids[0] == id);
    }
    sqlx::query("update contacts set email = 'b@müller.example' where email like 'b@%'")
        .execute(&desk.database.pool)
        .await
        .unwrap();
    let by = |spelling: &str| format!("/contacts?filter[email][eq]={spelling}");
    assert_eq!(desk.listed(&by("b@xn--mller-kva.example"), "id").await.len(), 1);
    assert_eq!(desk.listed(&by("b@m%C3%BCller.example"), "id").await.len(), 1);
    let csv = "Email\na@müller.example\nnew@MÜLLER.example\nnew@xn--mller-kva.example\n";
    let (_, told) = import(&desk, "?dry_run=true", "text/csv", csv).await;
    let counts = &told["counts"];
    assert_eq!(
        (&counts["created"], &counts["skipped"], &counts["duplicate"]),
        (&json!(1), &json!(1), &json!(1))
    );
    desk.database.drop().await;
}

#[tokio::test]
async fn who_signs_up_or_is_invited_with_an_umlaut_domain_logs_in_by_either_spelling() {
    let desk = Desk::open().await;
    let session = sign_up(&desk.door, "eva@müller.example").await;
    assert_eq!(session["user"]["email"], "eva@xn--mller-kva.example");
    let login = async |email: &str| {
        let body = json!({ "email": email, "password": "correct horse" });
        call(&desk.door, "POST", "/api/v1/auth/login", "", body).await.0
    };
    for email in ["eva@müller.example", "EVA@xn--mller-kva.example", " eva@MÜLLER.example "] {
        assert_eq!(login(email).await, 200, "{email}");
    }
    let new = json!({ "email": "eva@xn--mller-kva.example", "password": "correct horse", "name": "E", "company": "E" });
    assert_eq!(desk.ask("POST", "/auth/signup", new).await.0, 409);
    let invite = json!({ "email": "Eva@müller.example", "name": "Eva", "role": "rep" });
    assert_eq!(desk.ask("POST", "/users", invite).await.0, 409);
    // A login from before, typed in its script.
    sqlx::query("update users set email = 'eva@müller.example' where email like 'eva@%'")
        .execute(&desk.database.pool)
        .await
        .unwrap();
    assert_eq!(login("eva@xn--mller-kva.example").await, 200);
    assert_eq!(login("eva@müller.example").await, 200);
    desk.database.drop().await;
}

/// The table of all contacts.
async fn export(desk: &Desk) -> String {
    let request = Request::get("/api/v1/contacts/export.csv?sort=email")
        .header("authorization", format!("Bearer {}", desk.token))
        .body(Body::empty())
        .unwrap();
    let answer = desk.door.clone().oneshot(request).await.unwrap();
    String::from_utf8(to_bytes(answer.into_body(), 1_000_000).await.unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn an_export_comes_back_as_it_went_out() {
    let desk = Desk::open().await;
    desk.make("/custom-fields", json!({ "entity": "contact", "key": "seats", "type": "number" }))
        .await;
    let cells = [
        "=1+1",
        "+cmd|' /C calc'!A0",
        "-2+3",
        "@SUM(A1)",
        "'=quoted",
        "''+x",
        "'t Hooft",
        "O'Neill",
        "+43 1 234-567",
    ];
    for (n, cell) in cells.iter().enumerate() {
        let contact = json!({
            "email": format!("p{n}@b.example"), "first_name": cell, "last_name": cell, "title": cell, "phone": cell,
            "city": cell, "tags": ["Graz, AT", "vip"], "custom": { "seats": n },
        });
        desk.make("/contacts", contact).await;
    }
    sqlx::query("update contacts set status = 'unsubscribed' where email = 'p0@b.example'")
        .execute(&desk.database.pool)
        .await
        .unwrap();
    let table = export(&desk).await;
    let other = sign_up(&desk.door, "bo@other.example").await;
    let customer = engine::id::read("cus", other["customer"]["id"].as_str().unwrap()).unwrap();
    let other = Desk { token: other["access_token"].as_str().unwrap().to_owned(), ..desk };
    other
        .make("/custom-fields", json!({ "entity": "contact", "key": "seats", "type": "number" }))
        .await;
    bring(&other, customer, &table).await;
    let of = |desk: Value| desk["data"].as_array().unwrap().clone();
    let back = of(other.good("GET", "/contacts?sort=email", Value::Null).await);
    assert_eq!(back.len(), cells.len());
    for (n, (cell, contact)) in cells.iter().zip(back).enumerate() {
        for field in ["first_name", "last_name", "title", "phone", "city"] {
            assert_eq!(contact[field], *cell, "{field}");
        }
        assert_eq!(contact["tags"], json!(["Graz, AT", "vip"]));
        assert_eq!(contact["custom"]["seats"], json!(n));
        let status = if n == 0 { "unsubscribed" } else { "active" };
        assert_eq!(contact["status"], status, "who wanted no mail still wants none");
    }
    other.database.drop().await;
}

async fn bring(desk: &Desk, customer_id: Uuid, table: &str) {
    let options = Options {
        name: "contacts.csv".into(),
        mapping: BTreeMap::new(),
        on_duplicate: OnDuplicate::Skip,
        create_accounts: true,
        actor: "test".into(),
    };
    let mut db = desk.database.pool.acquire().await.unwrap();
    let told = crm::import::whole(&mut db, customer_id, &options, table.as_bytes()).await.unwrap();
    assert_eq!(told.refused, []);
    let left: Vec<&str> = told
        .columns
        .iter()
        .filter(|column| column.target.is_none())
        .map(|column| column.header.as_str())
        .collect();
    assert_eq!(left, ["id", "score", "level", "created_at", "updated_at"]);
}

#[tokio::test]
async fn a_file_of_which_nothing_tells_the_contacts_address_is_refused_with_what_to_do() {
    let desk = Desk::open().await;
    for (file, told) in [
        (
            "Name,Left,Right\nEva,eva@b.example,uwe@c.example\n",
            "the columns `Left`, `Right` hold email addresses",
        ),
        (
            "Name,Sales rep\nEva,ann@us.example\n",
            "no column holds the contacts' email addresses: `Sales rep` is about the seller",
        ),
        ("ann@b.example,Ann\n", "the first line is data, not a header (line 1)"),
        ("Email,Company\na@b.example,\"Acme\n", "the quote that opens in line 2 is never closed"),
    ] {
        let (status, problem) = import(&desk, "", "text/csv", file).await;
        let message = problem["errors"][0]["message"].as_str().unwrap();
        assert!(status == 422 && message.starts_with(told), "{problem}");
    }
    let mapping = "?dry_run=true&mapping=%7B%22Sales%20rep%22%3A%22email%22%7D";
    let (status, told) =
        import(&desk, mapping, "text/csv", "Name,Sales rep,Shoe size\nEva E,ann@us.example,38\n")
            .await;
    assert_eq!((status, &told["counts"]["created"]), (200, &json!(1)), "{told}");
    let fields: Vec<&Value> =
        told["columns"].as_array().unwrap().iter().map(|one| &one["field"]).collect();
    assert_eq!(fields, [&json!("name"), &json!("email"), &Value::Null]);
    desk.database.drop().await;
}
