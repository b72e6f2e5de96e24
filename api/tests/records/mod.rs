//! The records that people keep: made, found, changed, deleted, brought back.

mod addresses;
mod indexes;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::desk::Desk;
use crate::promises::events_keep_their_promises;

#[tokio::test]
async fn a_contact_is_changed_deleted_and_brought_back() {
    let desk = Desk::open().await;
    let new = json!({ "email": "ada@lead.example", "first_name": "Ada", "company": "Lead Ltd", "country": "Austria" });
    let ada = desk.make("/contacts", new).await;
    let path = format!("/contacts/{ada}");
    let read = desk.good("GET", &path, Value::Null).await;
    assert_eq!(read["company"], "Lead Ltd");
    assert_eq!(
        (&read["time_zone"], &read["time_zone_source"]),
        (&json!("Europe/Vienna"), &json!("country"))
    );
    let change =
        json!({ "title": "VP", "country": "Japan", "first_name": null, "company": "Next KK" });
    let changed = desk.good("PATCH", &path, change).await;
    assert_eq!((&changed["title"], &changed["first_name"]), (&json!("VP"), &json!("")));
    assert_eq!(
        (&changed["time_zone"], &changed["company"]),
        (&json!("Asia/Tokyo"), &json!("Next KK"))
    );
    let given = desk.good("PATCH", &path, json!({ "time_zone": "Asia/Seoul" })).await;
    assert_eq!(given["time_zone_source"], "given");
    let stays = desk.good("PATCH", &path, json!({ "country": "France" })).await;
    assert_eq!(stays["time_zone"], "Asia/Seoul", "what somebody gave stays");
    let follows = desk.good("PATCH", &path, json!({ "time_zone": null })).await;
    assert_eq!(follows["time_zone"], "Europe/Paris");
    let refused = desk.fault("PATCH", &path, json!({ "email": "nobody" })).await;
    assert_eq!(refused, "email is not a valid email address; write it as name@domain.tld");
    desk.make("/contacts", json!({ "email": "eve@lead.example" })).await;
    let (status, _) = desk.ask("PATCH", &path, json!({ "email": "EVE@lead.example" })).await;
    assert_eq!(status, 409);
    assert_eq!(desk.ask("DELETE", &path, Value::Null).await.0, 204);
    assert_eq!(desk.ask("GET", &path, Value::Null).await.0, 404);
    // Its address is free meanwhile; while another has it, it can't come back.
    let heir = desk.make("/contacts", json!({ "email": "ADA@lead.example" })).await;
    let restore = format!("{path}/restore");
    assert_eq!(desk.ask("POST", &restore, Value::Null).await.0, 409);
    assert_eq!(desk.ask("DELETE", &format!("/contacts/{heir}"), Value::Null).await.0, 204);
    let back = desk.good("POST", &restore, Value::Null).await;
    assert_eq!((&back["id"], &back["title"]), (&json!(ada), &json!("VP")));
    events_keep_their_promises(&desk.database.pool).await;
    desk.database.drop().await;
}

#[tokio::test]
async fn an_account_is_renamed_with_its_contacts_and_its_name_is_its_own() {
    let desk = Desk::open().await;
    let new = json!({ "name": "Acme", "domain": "ACME.example", "employees": 12, "address": { "city": "Wien" } });
    let acme = desk.make("/accounts", new).await;
    let ada = json!({ "email": "ada@acme.example", "account_id": acme });
    let ada = desk.make("/contacts", ada).await;
    let path = format!("/accounts/{acme}");
    let renamed = desk.good("PATCH", &path, json!({ "name": "Acme AG", "employees": null })).await;
    assert_eq!((&renamed["domain"], &renamed["employees"]), (&json!("acme.example"), &Value::Null));
    assert_eq!(renamed["address"], json!({ "city": "Wien" }));
    let read = desk.good("GET", &format!("/contacts/{ada}"), Value::Null).await;
    assert_eq!(read["company"], "Acme AG");
    assert_eq!(desk.ask("POST", "/accounts", json!({ "name": "acme ag" })).await.0, 409);
    let fault = desk
        .fault("POST", "/accounts", json!({ "name": "B", "domain": "https://b.example/" }))
        .await;
    assert_eq!(fault, "domain is no domain; write it as example.com");
    assert_eq!(desk.ask("DELETE", &path, Value::Null).await.0, 204);
    assert_eq!(desk.ask("GET", &path, Value::Null).await.0, 404);
    desk.good("POST", &format!("{path}/restore"), Value::Null).await;
    assert_eq!(desk.listed("/accounts", "name").await, ["Acme AG"]);
    events_keep_their_promises(&desk.database.pool).await;
    desk.database.drop().await;
}

#[tokio::test]
async fn a_deal_goes_through_its_pipeline_and_no_stage_of_another_one() {
    let desk = Desk::open().await;
    let stages = json!([
        { "name": "New", "probability": 10 },
        { "name": "Won", "probability": 100, "kind": "won" },
        { "name": "Lost", "probability": 0, "kind": "lost" },
    ]);
    let sales = desk.good("POST", "/pipelines", json!({ "name": "Sales", "stages": stages })).await;
    let other = json!({ "name": "Renewals", "stages": [{ "name": "Due", "probability": 80 }] });
    let other = desk.good("POST", "/pipelines", other).await;
    let stage =
        |pipeline: &Value, at: usize| pipeline["stages"][at]["id"].as_str().unwrap().to_owned();
    let deal = |stage: &str| {
        json!({
            "name": "200 seats", "pipeline_id": sales["id"], "stage_id": stage,
            "value": { "amount": "1250.5", "currency": "EUR" }, "close_on": "2026-12-24",
        })
    };
    let refused = desk.fault("POST", "/opportunities", deal(&stage(&other, 0))).await;
    assert_eq!(refused, "stage_id the pipeline has no such stage");
    let id = desk.make("/opportunities", deal(&stage(&sales, 0))).await;
    let path = format!("/opportunities/{id}");
    let read = desk.good("GET", &path, Value::Null).await;
    assert_eq!((&read["value"]["amount"], &read["status"]), (&json!("1250.50"), &json!("open")));
    let lost = json!({ "stage_id": stage(&sales, 2), "lost_reason": "price" });
    let lost = desk.good("PATCH", &path, lost).await;
    assert_eq!((&lost["status"], &lost["lost_reason"]), (&json!("lost"), &json!("price")));
    assert!(lost["closed_at"].is_string());
    let won = desk.good("PATCH", &path, json!({ "stage_id": stage(&sales, 1) })).await;
    assert_eq!((&won["status"], &won["lost_reason"]), (&json!("won"), &Value::Null));
    let fault = desk.fault("PATCH", &path, json!({ "lost_reason": "price" })).await;
    assert_eq!(fault, "lost_reason stands only at a stage that means lost");
    assert_eq!(desk.fault("PATCH", &path, json!({ "stage_id": stage(&other, 0) })).await, refused);
    let topics: Vec<String> = sqlx::query_scalar(
        "select topic from engine.outbox where topic like 'opportunity.%' order by sequence",
    )
    .fetch_all(&desk.database.pool)
    .await
    .unwrap();
    assert_eq!(
        topics,
        [
            "opportunity.created",
            "opportunity.updated",
            "opportunity.stage_changed",
            "opportunity.lost",
            "opportunity.updated",
            "opportunity.stage_changed",
            "opportunity.won",
        ]
    );
    // A stage at which a deal stands does not go; an order of the others, and their names, do change.
    let pipeline = format!("/pipelines/{}", sales["id"].as_str().unwrap());
    let keep = |at: usize, name: &str, kind: &str| json!({ "id": stage(&sales, at), "name": name, "probability": 50, "kind": kind });
    let without = json!({ "stages": [keep(0, "New", "open")] });
    assert_eq!(desk.ask("PATCH", &pipeline, without).await.0, 409);
    let swapped = json!({ "stages": [keep(1, "New", "won"), keep(0, "Won", "open")] });
    let swapped = desk.good("PATCH", &pipeline, swapped).await;
    assert_eq!(
        (&swapped["stages"][0]["name"], &swapped["stages"][1]["name"]),
        (&json!("New"), &json!("Won"))
    );
    events_keep_their_promises(&desk.database.pool).await;
    desk.database.drop().await;
}

#[tokio::test]
async fn custom_fields_hold_what_they_say_and_are_asked_by_name() {
    let desk = Desk::open().await;
    let seats = json!({ "entity": "contact", "key": "seats", "type": "number" });
    desk.make("/custom-fields", seats.clone()).await;
    assert_eq!(desk.ask("POST", "/custom-fields", seats).await.0, 409);
    let plan = json!({ "entity": "contact", "key": "plan", "type": "select", "options": ["free", "paid"] });
    desk.make("/custom-fields", plan).await;
    let likes = json!({ "entity": "contact", "key": "likes", "type": "multiselect", "options": ["tea", "gin"] });
    desk.make("/custom-fields", likes).await;
    let bad = json!({ "entity": "contact", "key": "Seats", "type": "number" });
    assert!(desk.fault("POST", "/custom-fields", bad).await.starts_with("key is a letter"));
    let new =
        |n: u32, custom: Value| json!({ "email": format!("p{n}@lead.example"), "custom": custom });
    let unknown = desk.fault("POST", "/contacts", new(0, json!({ "sets": 3 }))).await;
    assert_eq!(unknown, "custom.sets is no custom field; there are: seats, plan, likes");
    let wrong = desk.fault("POST", "/contacts", new(0, json!({ "plan": "gold" }))).await;
    assert_eq!(wrong, "custom.plan is one of free, paid");
    for (n, custom) in [
        json!({ "seats": 3, "plan": "free" }),
        json!({ "seats": 12, "plan": "paid", "likes": ["tea"] }),
        json!({ "seats": 200, "plan": "paid", "likes": ["gin", "tea"] }),
        json!({}),
    ]
    .into_iter()
    .enumerate()
    {
        desk.make("/contacts", new(u32::try_from(n).unwrap(), custom)).await;
    }
    for (asked, found) in [
        ("filter[custom.seats][gte]=12", vec!["p1", "p2"]),
        ("filter[custom.seats][lt]=12", vec!["p0"]),
        ("filter[custom.seats][eq]=12", vec!["p1"]),
        ("filter[custom.plan][eq]=paid&filter[custom.seats][gt]=12", vec!["p2"]),
        ("filter[custom.plan][in]=free,paid", vec!["p0", "p1", "p2"]),
        ("filter[custom.likes][has]=gin", vec!["p2"]),
        ("filter[custom.plan][empty]=true", vec!["p3"]),
        ("filter[custom.plan][ne]=paid", vec!["p0", "p3"]),
    ] {
        let emails = desk.listed(&format!("/contacts?sort=email&{asked}"), "email").await;
        let names: Vec<&str> =
            emails.iter().map(|email| email.as_str().unwrap().split('@').next().unwrap()).collect();
        assert_eq!(names, found, "{asked}");
    }
    let refused = desk.fault("GET", "/contacts?filter[custom.seets][eq]=1", Value::Null).await;
    assert_eq!(refused, "filter[custom.seets] is no custom field; there are: seats, plan, likes");
    desk.database.drop().await;
}

#[tokio::test]
async fn a_listing_goes_by_its_filter_and_its_order_page_by_page() {
    let desk = Desk::open().await;
    for (n, (name, country)) in
        [("Zorn", "DE"), ("abel", "DE"), ("Mai", "AT"), ("abel", "DE"), ("Ödön", "HU")]
            .iter()
            .enumerate()
    {
        let new =
            json!({ "email": format!("p{n}@lead.example"), "last_name": name, "country": country });
        desk.make("/contacts", new).await;
    }
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = desk
            .good("GET", &format!("/contacts?sort=last_name&limit=2{cursor}"), Value::Null)
            .await;
        let rows = page["data"].as_array().unwrap();
        seen.extend(rows.iter().map(|row| row["last_name"].as_str().unwrap().to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, ["abel", "abel", "Mai", "Zorn", "Ödön"]);
    let germans =
        desk.listed("/contacts?filter[country][eq]=de&sort=-last_name", "last_name").await;
    assert_eq!(germans, ["Zorn", "abel", "abel"]);
    let others = desk.listed("/contacts?filter[country][ne]=DE", "country").await;
    assert_eq!(others, ["HU", "AT"]);
    // A cursor belongs to its order; what is unknown is refused with what there is.
    let first = desk.good("GET", "/contacts?sort=last_name&limit=2", Value::Null).await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let fault =
        desk.fault("GET", &format!("/contacts?sort=-last_name&cursor={cursor}"), Value::Null).await;
    assert!(fault.starts_with("cursor is none of this listing"), "{fault}");
    let fault = desk.fault("GET", "/contacts?sort=age", Value::Null).await;
    assert!(
        fault.starts_with("sort is one of created_at, updated_at, last_name, email"),
        "{fault}"
    );
    let fault = desk.fault("GET", "/contacts?colour=red", Value::Null).await;
    assert_eq!(fault, "colour is no parameter of this listing");
    let fault = desk.fault("GET", "/contacts?filter[country]=DE", Value::Null).await;
    assert_eq!(fault, "filter[country] is written filter[FIELD][OPERATOR]=VALUE");
    desk.database.drop().await;
}

#[tokio::test]
async fn a_search_finds_who_is_meant_also_by_a_misspelled_word() {
    let desk = Desk::open().await;
    for (first, last, email, company, title) in [
        ("Grace", "Hopper", "grace@navy.example", "US Navy", "Rear Admiral"),
        ("Ada", "Lovelace", "ada@engine.example", "Analytical Engines", "Countess"),
        ("Alan", "Turing", "alan@bletchley.example", "Bletchley Park", "Fellow"),
        ("Jürgen", "Müller", "jm@stahl.example", "Stahl & Söhne", "Einkauf"),
    ] {
        let new = json!({ "first_name": first, "last_name": last, "email": email, "company": company, "title": title });
        desk.make("/contacts", new).await;
    }
    for (asked, found) in [
        ("hopper", vec!["Hopper"]),
        ("hop", vec!["Hopper"]),
        ("grace%20navy", vec!["Hopper"]),
        ("gra%20hop", vec!["Hopper"]),
        ("hopper%20gra", vec!["Hopper"]),
        ("hoper", vec!["Hopper"]),
        ("lovelaec", vec!["Lovelace"]),
        ("bletchly%20turing", vec!["Turing"]),
        ("alan@bletchley.example", vec!["Turing"]),
        ("muller", vec!["Müller"]),
        ("fellow", vec!["Turing"]),
        ("zzzz", vec![]),
    ] {
        let names = desk.listed(&format!("/contacts?q={asked}"), "last_name").await;
        assert_eq!(names, found, "{asked}");
    }
    let accounts = desk.listed("/accounts?q=enginez", "name").await;
    assert_eq!(accounts, ["Analytical Engines"]);
    // What somebody types is never read as a query.
    let (status, answer) =
        desk.ask("GET", "/contacts?q=%27%20%7C%20!%20(%3A*%20%26", Value::Null).await;
    assert_eq!(status, 200, "{answer}");
    desk.database.drop().await;
}

#[tokio::test]
async fn a_list_is_a_filter_under_a_name() {
    let desk = Desk::open().await;
    let filter = json!({ "country": { "eq": "DE" }, "tags": { "has": "hot" } });
    let made =
        desk.good("POST", "/lists", json!({ "name": "Hot Germans", "filter": filter })).await;
    assert_eq!((&made["filter"], &made["entity"]), (&filter, &json!("contact")));
    let taken = desk.ask("POST", "/lists", json!({ "name": "hot germans", "filter": {} })).await;
    assert_eq!(taken.0, 409);
    let bad = json!({ "name": "B", "filter": { "contry": { "eq": "DE" } } });
    assert!(desk.fault("POST", "/lists", bad).await.starts_with("filter[contry] is no field"));
    let path = format!("/lists/{}", made["id"].as_str().unwrap());
    let changed = desk.good("PATCH", &path, json!({ "filter": { "q": "vienna" } })).await;
    assert_eq!(
        (&changed["name"], &changed["filter"]),
        (&json!("Hot Germans"), &json!({ "q": "vienna" }))
    );
    assert_eq!(desk.ask("DELETE", &path, Value::Null).await.0, 204);
    assert_eq!(desk.ask("GET", &path, Value::Null).await.0, 404);
    desk.database.drop().await;
}

#[tokio::test]
async fn a_stale_change_of_a_record_is_refused() {
    let desk = Desk::open().await;
    let id = desk.make("/accounts", json!({ "name": "Acme" })).await;
    let patch = |tag: Option<&'static str>| {
        let mut request = Request::patch(format!("/api/v1/accounts/{id}"))
            .header("authorization", format!("Bearer {}", desk.token))
            .header("content-type", "application/json");
        if let Some(tag) = tag {
            request = request.header("if-match", tag);
        }
        desk.door.clone().oneshot(request.body(Body::from(r#"{"name":"B"}"#)).unwrap())
    };
    assert_eq!(patch(None).await.unwrap().status(), 428);
    assert_eq!(patch(Some("\"1\"")).await.unwrap().status(), 412);
    let answer = patch(Some("*")).await.unwrap();
    assert_eq!(answer.status(), 200);
    let body: Value =
        serde_json::from_slice(&to_bytes(answer.into_body(), 100_000).await.unwrap()).unwrap();
    assert_eq!(body["name"], "B");
    desk.database.drop().await;
}

/// Sends a file; gives the status and the answer.
async fn import(desk: &Desk, query: &str, kind: &str, file: impl Into<Body>) -> (u16, Value) {
    let request = Request::post(format!("/api/v1/imports{query}"))
        .header("authorization", format!("Bearer {}", desk.token))
        .header("content-type", kind)
        .body(file.into())
        .unwrap();
    let response = desk.door.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let bytes = to_bytes(response.into_body(), 4_000_000).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

#[tokio::test]
async fn a_file_that_can_not_be_imported_is_refused_with_row_and_column_and_leaves_nothing() {
    let desk = Desk::open().await;
    let wide = (0..500).map(|n| format!("c{n}")).collect::<Vec<_>>().join(",");
    let refused = [
        (
            "a header twice",
            "email,name,email\na@b.example,A,c\n".as_bytes().to_vec(),
            "the header `email` stands twice, again in column 3",
        ),
        ("500 columns", wide.into_bytes(), "the file has 500 columns"),
        ("a zip", b"PK\x03\x04 and more".to_vec(), "the file is a ZIP archive"),
        (
            "a bad byte",
            "email,name\nzoë@b.example,Zoë\nc@d.example,Jos".bytes().chain(*b"\xe9\n").collect(),
            "line 3 can't be read as CSV: a byte at letter 16",
        ),
        ("no address", b"name\nAda\n".to_vec(), "no column holds email addresses"),
        ("nothing", Vec::new(), "no column holds email addresses"),
    ];
    for (what, file, said) in refused {
        let (status, problem) = import(&desk, "", "text/csv", file).await;
        assert_eq!(status, 422, "{what}: {problem}");
        let message = problem["errors"][0]["message"].as_str().unwrap();
        assert!(message.starts_with(said), "{what}: {message}");
    }
    let csv = "Email,Seats\na@b.example,3\n";
    let mapping = "?mapping=%7B%22Seats%22%3A%22custom.seets%22%7D";
    let (status, problem) = import(&desk, mapping, "text/csv", csv).await;
    assert_eq!(
        (status, &problem["errors"][0]["field"]),
        (422, &json!("mapping.Seats")),
        "{problem}"
    );
    assert_eq!(import(&desk, "", "application/json", "{}").await.0, 415);
    let large = vec![b'x'; 51 * 1024 * 1024];
    assert_eq!(import(&desk, "", "text/csv", large).await.0, 413);
    let left: i64 = sqlx::query_scalar(
        "select (select count(*) from imports) + (select count(*) from contacts)",
    )
    .fetch_one(&desk.database.pool)
    .await
    .unwrap();
    assert_eq!(left, 0);
    desk.database.drop().await;
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_done_and_how_columns_are_read() {
    let desk = Desk::open().await;
    desk.make("/contacts", json!({ "email": "there@b.example" })).await;
    desk.make("/custom-fields", json!({ "entity": "contact", "key": "seats", "type": "number" }))
        .await;
    let csv = "Work mail;First name;Seats;Note\nTHERE@b.example;A;3;x\nnew@b.example;B;many;\n;C;1;\nnew2@b.example;D;12;y\n";
    let (status, told) = import(&desk, "?dry_run=true&on_duplicate=update", "text/csv", csv).await;
    assert_eq!(
        (status, &told["status"], &told["id"]),
        (200, &json!("dry_run"), &Value::Null),
        "{told}"
    );
    assert_eq!(
        told["counts"],
        json!({ "rows": 4, "created": 1, "updated": 1, "skipped": 0, "duplicate": 0, "invalid_email": 0, "missing_email": 1, "invalid": 1 })
    );
    let columns = told["columns"].as_array().unwrap();
    let fields: Vec<&Value> = columns.iter().map(|column| &column["field"]).collect();
    assert_eq!(
        fields,
        [&json!("email"), &json!("first_name"), &json!("custom.seats"), &Value::Null]
    );
    assert_eq!(columns[3]["samples"], json!(["x", "y"]));
    let kept: i64 = sqlx::query_scalar(
        "select (select count(*) from imports) + (select count(*) from contacts)",
    )
    .fetch_one(&desk.database.pool)
    .await
    .unwrap();
    assert_eq!(kept, 1);
    desk.database.drop().await;
}

#[tokio::test]
async fn an_export_holds_all_that_match_and_no_cell_runs_in_a_spreadsheet() {
    let desk = Desk::open().await;
    desk.make("/custom-fields", json!({ "entity": "contact", "key": "seats", "type": "number" }))
        .await;
    for n in 0..250 {
        let new = json!({
            "email": format!("p{n:03}@lead.example"), "last_name": "=cmd|' /C calc'!A0", "phone": "+43 1 234",
            "country": if n < 240 { "AT" } else { "DE" }, "custom": { "seats": n }, "tags": ["a", "b"],
        });
        desk.make("/contacts", new).await;
    }
    let request = Request::get("/api/v1/contacts/export.csv?filter[country][eq]=at&sort=email")
        .header("authorization", format!("Bearer {}", desk.token))
        .body(Body::empty())
        .unwrap();
    let response = desk.door.clone().oneshot(request).await.unwrap();
    assert_eq!(response.headers()["content-disposition"], "attachment; filename=\"contacts.csv\"");
    let bytes = to_bytes(response.into_body(), 4_000_000).await.unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 241, "two pages, the last of them not whole");
    assert!(
        lines[0].starts_with("id,first_name,last_name,email,")
            && lines[0].ends_with(",custom.seats")
    );
    assert!(lines[1].contains(",'=cmd|' /C calc'!A0,p000@lead.example,+43 1 234,"), "{}", lines[1]);
    assert!(lines[240].contains("p239@lead.example") && lines[240].ends_with(",239"));
    let fault = desk.fault("GET", "/contacts/export.csv?filter[age][eq]=3", Value::Null).await;
    assert!(fault.starts_with("filter[age] is no field"), "{fault}");
    desk.database.drop().await;
}
