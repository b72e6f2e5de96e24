//! A sales team brings its contacts: the messy export over the API and over the command line, and a large file whose
//! import outlives kills with no row twice and none missing.

use std::fmt::Write;
use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::salesos::{Api, Dev, Folder, repository, until};

const SOON: Duration = Duration::from_secs(60);
const ROWS: usize = 30_000;

async fn sign_up(dev: &mut Dev) -> Api {
    let mut api = dev.api().await;
    let ann = json!({ "email": "ann@acme.example", "password": "correct horse", "name": "Ann", "company": "Acme" });
    let session = api.post("/api/v1/auth/signup", ann).await.with(201);
    api.sign_in(&session);
    api
}

async fn log_in(dev: &mut Dev) -> Api {
    let mut api = dev.api().await;
    let ann = json!({ "email": "ann@acme.example", "password": "correct horse" });
    let session = api.post("/api/v1/auth/login", ann).await.with(200);
    api.sign_in(&session);
    api
}

/// Orders the import of a file; gives where it is told of.
async fn order(api: &Api, csv: &str) -> String {
    let made = api.ask("POST", "/api/v1/imports", "text/csv", csv).await.with(202);
    format!("/api/v1/imports/{}", made["id"].as_str().unwrap())
}

async fn done(api: &Api, path: &str) -> Value {
    until("the import to end", SOON, || async {
        let found = api.get(path).await.with(200);
        (found["status"] == "done").then_some(found)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_messy_export_gives_the_same_counts_over_the_api_and_the_command_line() {
    let shared = repository().join("../shared/data/contacts");
    let Ok(csv) = fs::read_to_string(shared.join("contacts.csv")) else {
        eprintln!("skipped: no shared contacts here");
        return;
    };
    let expected = fs::read_to_string(shared.join("expected.json")).unwrap();
    let expected: Value = serde_json::from_str(&expected).unwrap();
    let folder = Folder::new().await;
    let mut dev = Dev::start(&folder, &[]).await;
    let api = sign_up(&mut dev).await;
    let path = order(&api, &csv).await;
    let counts = done(&api, &path).await["counts"].clone();
    assert_eq!((&counts["rows"], &counts["created"]), (&expected["rows"], &expected["valid"]));
    for count in ["duplicate", "invalid_email", "missing_email"] {
        assert_eq!(counts[count], expected[count], "{count}");
    }
    let errors = api.get(&format!("{path}/errors.csv")).await;
    assert_eq!(errors.status, 200);
    assert!(
        errors.text.contains("line,reason,detail,First Name,Last Name,E-mail"),
        "{}",
        errors.text
    );
    let refused = errors.text.matches(",invalid_email,").count();
    assert_eq!(Some(refused as u64), expected["invalid_email"].as_u64());
    assert!(!errors.text.contains(",=cmd"), "no cell runs in a spreadsheet");
    // Again over the command line: everybody is known.
    folder.write("contacts.csv", &csv);
    let again = folder.run(&["import", "contacts.csv", "--json"]).await.json();
    assert_eq!((&again["created"], &again["skipped"]), (&json!(0), &expected["valid"]));
    let update = ["import", "contacts.csv", "--on-duplicate", "update", "--json"];
    assert_eq!(folder.run(&update).await.json()["updated"], expected["valid"]);
    let bad = folder.run(&["import", "contacts.csv", "--map", "E-mail=adress"]).await.refused(1);
    assert!(bad.contains("`adress` is no field; there are: email"), "{bad}");
    assert_eq!(dev.errors(), Vec::<String>::new());
    dev.interrupt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_outlives_kills_with_no_row_twice_and_none_missing() {
    let mut csv = String::from("Email,First Name,Company\n");
    for n in 0..ROWS {
        writeln!(csv, "p{n}@lead{}.example,Pat{n},Lead {}", n % 500, n % 500).unwrap();
    }
    let folder = Folder::new().await;
    let mut dev = Dev::start(&folder, &[]).await;
    let path = order(&sign_up(&mut dev).await, &csv).await;
    let mut under_way = 0;
    for _ in 0..3 {
        until("some rows to be written", SOON, || async {
            let written = dev.count("select done from imports").await;
            (written > under_way).then_some(())
        })
        .await;
        under_way = dev.count("select done from imports").await;
        dev.kill().await;
        dev = Dev::start(&folder, &[]).await;
    }
    assert!(under_way < i64::try_from(ROWS).unwrap(), "no kill met it under way");
    let api = log_in(&mut dev).await;
    let told = done(&api, &path).await;
    assert_eq!((&told["counts"]["created"], &told["done"]), (&json!(ROWS), &json!(ROWS)));
    assert_eq!(dev.count("select count(*) from contacts").await, i64::try_from(ROWS).unwrap());
    assert_eq!(dev.count("select count(*) from accounts").await, 500);
    let told = "select count(*) from engine.outbox where topic = 'contact.created'";
    assert_eq!(dev.count(told).await, i64::try_from(ROWS).unwrap(), "each is told of once");
    assert_eq!(dev.count("select count(*) from import_chunks").await, 0);
    // Killed and started again with it, the consumer has applied each event once.
    until("all events to be applied", SOON, || async {
        (dev.count("select count(*) from engine.untold").await == 0).then_some(())
    })
    .await;
    let stands = "select count(*) from (
        select from activities where title = 'Contact created' group by contact_id having count(*) = 1) one";
    assert_eq!(dev.count(stands).await, i64::try_from(ROWS).unwrap());
    let opened = "select count(*) from engagement where score = 0";
    assert_eq!(dev.count(opened).await, i64::try_from(ROWS).unwrap());
    dev.interrupt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_names_what_it_leaves_out_and_refuses_what_it_can_not_tell() {
    let folder = Folder::new().await;
    let mut dev = Dev::start(&folder, &[]).await;
    let api = sign_up(&mut dev).await;
    folder.write(
        "team.csv",
        "Name,Sales rep,Contact e-mail,Shoe size,Email Opt Out\n\
         Eva van Berg,ann@us.example,Eva <eva@müller.example>,38,\n\
         Uwe U,ann@us.example,uwe@b.example,44,yes\n\
         Ida I,ann@us.example,nobody,41,\n",
    );
    let told = folder.run(&["import", "team.csv"]).await.done();
    assert!(told.contains("columns left out: `Sales rep`, `Shoe size`; fill a field"), "{told}");
    assert!(told.contains("people who get no mail: 1"), "{told}");
    assert!(told.contains("line 4: invalid_email nobody"), "{told}");
    let eva = api.get("/api/v1/contacts?filter[email][eq]=eva@m%C3%BCller.example").await.with(200);
    let eva = &eva["data"][0];
    assert_eq!((&eva["first_name"], &eva["last_name"]), (&json!("Eva"), &json!("van Berg")));
    let uwe = api.get("/api/v1/contacts?filter[email][eq]=uwe@b.example").await.with(200);
    assert_eq!(uwe["data"][0]["status"], "unsubscribed");
    let again = folder.run(&["import", "team.csv", "--json"]).await.json();
    assert_eq!((&again["skipped"], &again["unsubscribed"]), (&json!(2), &json!(1)));
    let fields: Vec<&Value> =
        again["columns"].as_array().unwrap().iter().map(|column| &column["field"]).collect();
    let unsubscribed = json!("unsubscribed");
    assert_eq!(
        fields,
        [&json!("name"), &Value::Null, &json!("email"), &Value::Null, &unsubscribed]
    );
    for (file, csv, hint) in [
        ("two.csv", "Left,Right\na@b.example,c@d.example\n", "--map \"Left=email\""),
        ("seller.csv", "Besitzer,Firma\nann@us.example,Acme\n", "`Besitzer` is about the seller"),
        ("bare.csv", "a@b.example,Ada\n", "the first line is data, not a header (line 1)"),
        ("open.csv", "Email,Firma\na@b.example,\"Acme\n", "opens in line 2 is never closed"),
    ] {
        folder.write(file, csv);
        let told = folder.run(&["import", file]).await.refused(1);
        assert!(told.contains(hint), "{told}");
    }
    for bad in ["Ben <ben@b.example>", "ben@[127.0.0.1]", "\"b n\"@b.example"] {
        let told = folder.run(&["users", "create", bad, "--role", "rep"]).await.refused(1);
        assert!(told.contains("as name@domain.tld"), "{told}");
    }
    let told = folder.run(&["users", "create", "ben@müller.example", "--role", "rep"]).await.done();
    let password = told.lines().find_map(|line| line.strip_prefix("password ")).unwrap();
    let login = json!({ "email": "ben@xn--mller-kva.example", "password": password });
    let session = api.post("/api/v1/auth/login", login).await.with(200);
    assert_eq!(session["user"]["email"], "ben@xn--mller-kva.example");
    dev.interrupt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_an_earlier_version_kept_in_its_script_is_found_after_the_next_start() {
    let folder = Folder::new().await;
    let mut dev = Dev::start(&folder, &[]).await;
    let api = sign_up(&mut dev).await;
    let new = json!({ "email": "ada@b.example" });
    api.post("/api/v1/contacts", new).await.with(201);
    let earlier = "with earlier as (update contacts set email = 'ada@müller.example' returning id)
      select count(*) from earlier";
    assert_eq!(dev.count(earlier).await, 1);
    dev.interrupt().await;
    let mut dev = Dev::start(&folder, &[]).await;
    let api = log_in(&mut dev).await;
    let again = json!({ "email": "Ada@xn--mller-kva.example" });
    assert_eq!(api.post("/api/v1/contacts", again).await.status, 409);
    let found = "select count(*) from contacts where email = 'ada@xn--mller-kva.example'";
    assert_eq!(dev.count(found).await, 1);
    dev.interrupt().await;
}
