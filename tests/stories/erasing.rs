//! A contact goes through a whole sequence, has one truthful timeline, and is erased: none of its words is left
//! anywhere, what happened still adds up, and its address stays suppressed.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};

use super::records;
use crate::salesos::{Api, Dev, Folder, Receiver, until};

const SOON: Duration = Duration::from_secs(60);

/// It stands in every text that is about the contact.
const MARK: &str = "zanzibarmark";

const SEQUENCE: &str = r#"name = "whole"
title = "Whole"
subject = "contact"

[templates.hello]
subject = "Hello {{ contact.first_name }}"
text = "Are you well, {{ contact.first_name }}?"

[[steps]]
id = "hello"
type = "email.send"
template = "hello"

[[steps]]
id = "later"
type = "wait"
for = "2 minutes"

[[steps]]
id = "call"
type = "task.create"
kind = "call"
title = "Call {{ contact.first_name }}"
wait_until_done = "5 days"

[[steps]]
id = "note"
type = "activity.log"
title = "Through with {{ contact.first_name }}"
"#;

/// Columns of text that hold names of definitions, ids of ours or of providers, kinds, or who did something: no words
/// about the contact.
const STRUCTURE: [&str; 38] = [
    "activities.actor",
    "activities.kind",
    "activities.source",
    "contacts.status",
    "contacts.zone_source",
    "emails.direction",
    "emails.message_id",
    "emails.provider_id",
    "emails.send_key",
    "emails.sender",
    "emails.status",
    "emails.step",
    "emails.thread_id",
    "emails.variant",
    "engagement.level",
    "engagement_parts.event",
    "enrollments.ended_state",
    "enrollments.ended_step",
    "enrollments.ended_reason",
    "erasures.actor",
    "erasures.removed",
    "history.actor",
    "history.kind",
    "history.step",
    "inbox.name",
    "merges.actor",
    "runs.limit_keys",
    "runs.place",
    "runs.queue",
    "runs.state",
    "runs.step",
    "runs.wait_signal",
    "runs.zone",
    "signals.name",
    "tasks.actor",
    "tasks.kind",
    "tasks.priority",
    "tasks.source",
];

async fn sign_up(dev: &mut Dev) -> Api {
    let mut api = dev.api().await;
    let ann = json!({ "email": "ann@acme.example", "password": "correct horse", "name": "Ann", "company": "Acme" });
    let session = api.post("/api/v1/auth/signup", ann).await.with(201);
    api.sign_in(&session);
    api
}

async fn make(api: &Api, path: &str, body: Value) -> String {
    let made = api.post(&format!("/api/v1{path}"), body).await.with(201);
    made["id"].as_str().unwrap().to_owned()
}

/// Somebody of whom every field says it, in the sequence.
async fn enrolled(api: &Api, dev: &Dev, hook: &str) -> (String, String) {
    api.post("/api/v1/webhooks", json!({ "url": hook, "events": ["*"] })).await.with(201);
    let field = json!({ "entity": "contact", "key": "nick", "label": "Nick", "type": "text" });
    api.post("/api/v1/custom-fields", field).await.with(201);
    let contact = json!({
        "email": format!("{MARK}@lead.example"), "first_name": MARK, "last_name": MARK, "title": MARK, "company": "Lead Ltd",
        "phone": "+43 1 2345678", "city": MARK, "linkedin_url": format!("https://www.linkedin.com/in/{MARK}"),
        "tags": [MARK], "custom": { "nick": MARK },
    });
    let contact = make(api, "/contacts", contact).await;
    let sequence =
        api.ask("POST", "/api/v1/sequences", "application/toml", SEQUENCE).await.with(201);
    let path = format!("/api/v1/sequences/{}", sequence["id"].as_str().unwrap());
    api.post(&format!("{path}/activate"), Value::Null).await.with(200);
    let enroll = json!({ "contact_ids": [contact] });
    let report = api.post(&format!("{path}/enrollments"), enroll).await.with(201);
    assert_eq!(report["enrolled"], 1, "{report}");
    until("the call to be due", SOON, || async {
        (dev.count("select count(*) from tasks where status = 'open'").await == 1).then_some(())
    })
    .await;
    (contact, path)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_went_through_a_sequence_has_a_timeline_and_leaves_no_word_when_erased() {
    let folder = Folder::new().await;
    let mut dev = Dev::start(&folder, &["--time-scale", "60"]).await;
    let api = sign_up(&mut dev).await;
    let receiver = Receiver::open(&[200]).await;
    let (contact, sequence) = enrolled(&api, &dev, &receiver.url).await;
    let tasks = api.get(&format!("/api/v1/activities/tasks?contact_id={contact}")).await.with(200);
    let task = tasks["data"][0]["id"].as_str().unwrap();
    let done = json!({ "outcome": format!("Reached {MARK}") });
    api.post(&format!("/api/v1/activities/tasks/{task}/complete"), done).await.with(200);
    records::all_has_ended(&dev).await;

    timeline_is_whole(&api, &contact).await;

    others(&api, &dev, &contact).await;
    let said = mark_all(&dev.db, &contact).await;
    assert!(said > 20, "{said} columns say it");
    let before = history(&dev.db).await;
    let erased =
        api.post(&format!("/api/v1/contacts/{contact}/erase"), Value::Null).await.with(200);
    for (what, at_least) in [
        ("contacts", 2),
        ("runs", 1),
        ("history", 5),
        ("emails", 1),
        ("tasks", 2),
        ("merges", 1),
        ("activities", 8),
        ("activity_edits", 1),
        ("import_rows", 1),
        ("answers", 0),
        ("engagement_parts", 1),
        ("webhook_deliveries", 5),
    ] {
        assert!(erased["removed"][what].as_i64() >= Some(at_least), "{what}: {erased}");
    }
    assert_eq!(left(&dev.db).await, Vec::<String>::new());
    let after = history(&dev.db).await;
    assert_eq!(after, before, "what happened, and when, stays");

    for path in ["", "/engagement", "/duplicates"] {
        assert_eq!(
            api.get(&format!("/api/v1/contacts/{contact}{path}")).await.status,
            404,
            "{path}"
        );
    }
    let restore = format!("/api/v1/contacts/{contact}/restore");
    assert_eq!(api.post(&restore, Value::Null).await.status, 404);
    let again = api.post(&format!("/api/v1/contacts/{contact}/erase"), Value::Null).await.with(200);
    assert_eq!(again, erased, "one certificate");
    let path = format!("/api/v1/erasures/{}", erased["id"].as_str().unwrap());
    assert_eq!(api.get(&path).await.with(200), erased);

    // Whoever brings the address again can't write to it.
    let back = make(
        &api,
        "/contacts",
        json!({ "email": format!("{}@Lead.example", MARK.to_uppercase()) }),
    )
    .await;
    let enroll = json!({ "contact_ids": [back] });
    let report = api.post(&format!("{sequence}/enrollments"), enroll).await.with(201);
    assert_eq!(report["refused"][0]["reason"], "suppressed", "{report}");
    assert_eq!(dev.errors(), Vec::<String>::new());
    dev.interrupt().await;
}

/// What happened stands in the timeline, each once.
async fn timeline_is_whole(api: &Api, contact: &str) {
    let timeline = api.get(&format!("/api/v1/activities?contact_id={contact}")).await.with(200);
    let titles: Vec<&str> = timeline["data"]
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .filter_map(|row| row["title"].as_str())
        .collect();
    let told = ["Contact created", "Enrolled in a sequence", "Email sent"];
    assert_eq!(titles[..3], told, "{titles:?}");
    for title in [
        format!("Task created: Call {MARK}"),
        format!("Task done: Call {MARK}"),
        format!("Through with {MARK}"),
        "Completed a sequence".to_owned(),
    ] {
        assert_eq!(titles.iter().filter(|told| **told == title).count(), 1, "{title}: {titles:?}");
    }
}

/// What people and files said of the contact: notes with edits, a call, a task, facts, a row of an import that was
/// refused, and a second contact that was merged into it.
async fn others(api: &Api, dev: &Dev, contact: &str) {
    let note = make(api, "/activities/notes", json!({ "contact_id": contact, "body": MARK })).await;
    let path = format!("/api/v1/activities/{note}");
    api.patch(&path, json!({ "body": format!("Well, {MARK}.") })).await.with(200);
    let call = json!({ "contact_id": contact, "outcome": "reached", "duration_seconds": 60, "body": MARK });
    make(api, "/activities/calls", call).await;
    make(api, "/activities/tasks", json!({ "contact_id": contact, "title": MARK, "body": MARK }))
        .await;
    let file = format!("Email,First Name\n{MARK}@lead.example,A\n{MARK}@lead.example,B\n");
    api.ask("POST", "/api/v1/imports", "text/csv", &file).await.with(202);
    let twin = json!({ "email": format!("{MARK}2@lead.example"), "first_name": MARK });
    let twin = make(api, "/contacts", twin).await;
    let merge = format!("/api/v1/contacts/{contact}/merge");
    api.post(&merge, json!({ "from_id": twin })).await.with(201);
    until("the import to end", SOON, || async {
        (dev.count("select count(*) from imports where status = 'done'").await == 1).then_some(())
    })
    .await;
    let fact =
        "insert into engagement_parts (customer_id, contact_id, id, event, points, reason, at)
      select customer_id, id, gen_random_uuid(), 'score.adjust', 1, 'x', engine.now()
      from contacts where deleted_at is null";
    sqlx::query(fact).execute(&dev.db).await.unwrap();
}

/// Writes the mark into every text and document of all rows that hang on the contact; gives how many columns took it.
async fn mark_all(db: &PgPool, contact: &str) -> usize {
    let columns: Vec<(String, String, String, String)> = sqlx::query_as(
        "select n.nspname::text, c.relname::text, a.attname::text, a.atttypid::regtype::text
         from pg_class c join pg_namespace n on n.oid = c.relnamespace and n.nspname in ('public', 'engine')
         join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
         where c.relkind in ('r', 'p') and not c.relispartition
           and a.atttypid::regtype::text in ('text', 'jsonb', 'text[]') order by 1, 2, 3",
    )
    .fetch_all(db)
    .await
    .unwrap();
    let id = format!("(select id from contacts where email = '{MARK}@lead.example')");
    let mut said = 0;
    for (schema, table, column, kind) in columns {
        let hangs = match table.as_str() {
            "contacts" => format!("email like '{MARK}%'"),
            "activities" | "emails" | "tasks" | "engagement" | "engagement_parts"
            | "enrollments" => {
                format!("contact_id = {id}")
            }
            "activity_edits" => {
                format!("activity_id in (select id from activities where contact_id = {id})")
            }
            "runs" | "signals" => format!("subject_id = {id}"),
            "history" | "inbox" => {
                format!("run_id in (select id from engine.runs where subject_id = {id})")
            }
            "outbox" => format!("data ->> 'contact_id' = '{contact}'"),
            "import_refusals" | "import_chunks" => "true".to_owned(),
            _other => continue,
        };
        let name = format!("{table}.{column}");
        if STRUCTURE.contains(&name.as_str())
            || name == "contacts.email"
            || name == "outbox.key"
            || name == "outbox.topic"
            || name == "outbox.schema"
            || name == "outbox.traceparent"
        {
            continue;
        }
        let value = match kind.as_str() {
            "jsonb" => {
                format!("coalesce({column}, '{{}}') || jsonb_build_object('word', '{MARK}')")
            }
            "text[]" => format!("array_append({column}, '{MARK}')"),
            _text => format!("coalesce({column}, '') || ' {MARK}' "),
        };
        let marking = format!("update {schema}.{table} set {column} = {value} where {hangs}");
        match sqlx::query(AssertSqlSafe(marking)).execute(db).await {
            Ok(marked) => said += usize::from(marked.rows_affected() > 0),
            // What a check keeps to a list of words holds no others.
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("23514") => {}
            Err(error) => panic!("{name}: {error}"),
        }
    }
    said
}

/// All that is left of the mark, in any row of any table, also as bytes.
async fn left(db: &PgPool) -> Vec<String> {
    let tables: Vec<(String, String)> = sqlx::query_as(
        "select n.nspname::text, c.relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.relkind in ('r', 'm') and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')",
    )
    .fetch_all(db)
    .await
    .unwrap();
    assert!(tables.len() > 60, "{tables:?}");
    let bytes: String = MARK.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut left = Vec::new();
    for (schema, table) in tables {
        let search = format!(
            "select t::text from {schema}.{table} t where lower(t::text) like '%{MARK}%' or t::text like '%{bytes}%'"
        );
        let rows: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(search)).fetch_all(db).await.unwrap();
        left.extend(rows.into_iter().map(|row| format!("{schema}.{table}: {row}")));
    }
    left
}

/// What happened in enrollments, and when: all but words.
async fn history(db: &PgPool) -> Vec<String> {
    sqlx::query_scalar(
        "select concat_ws(' ', run_id, seq, at, kind, step, iteration, attempt, data ->> 'to')
         from engine.history where run_id in (select id from enrollments) order by run_id, seq",
    )
    .fetch_all(db)
    .await
    .unwrap()
}
