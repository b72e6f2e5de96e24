//! What holds of every route: who may call it, that no customer reaches another's, and that a POST under a key is done
//! once.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request};
use serde_json::{Value, json};
use sqlx::PgPool;
use tower::ServiceExt;

use crate::reach::Teams;
use crate::{call, database, door, sign_up};

/// The methods of a path and what each needs; none where it is open to all.
type Routes = Vec<(String, String, Option<String>)>;

/// All routes of the document.
fn routes() -> Routes {
    let document = api::document();
    let paths = document["paths"].as_object().unwrap();
    let each = |(path, operations): (&String, &Value)| {
        let operations = operations.as_object().unwrap().clone();
        let path = path.clone();
        operations.into_iter().map(move |(method, operation)| {
            let word = operation["security"][0]["bearer"][0].as_str().map(str::to_owned);
            (method.to_uppercase(), path.clone(), word)
        })
    };
    paths.iter().flat_map(each).collect()
}

/// The id that the document shows as an example for a path; it names nothing.
fn example(path: &str) -> String {
    let document = api::document();
    let operations = document["paths"][path].as_object().unwrap();
    let mut parameters = operations.values().flat_map(|one| one["parameters"].as_array().unwrap());
    let id = parameters.find(|parameter| parameter["name"] == "id");
    id.unwrap_or_else(|| panic!("{path} has no id"))["example"].as_str().unwrap().to_owned()
}

/// A path with ids that name nothing, of the right kind.
fn to_nothing(path: &str) -> String {
    if path.contains("{id}") { path.replace("{id}", &example(path)) } else { path.to_owned() }
}

/// Tokens of users of one customer, one a role.
async fn tokens(door: &Router, db: &PgPool) -> BTreeMap<&'static str, String> {
    let owner = sign_up(door, "owner@acme.example").await;
    let mut tokens = BTreeMap::new();
    for role in ["owner", "admin", "manager", "rep", "viewer"] {
        let email = format!("{role}@acme.example");
        if role != "owner" {
            sqlx::query(
                "insert into users (customer_id, id, email, name, role, password_hash)
                 select customer_id, gen_random_uuid(), $1, $2, $2, password_hash from users
                 where email = 'owner@acme.example'",
            )
            .bind(&email)
            .bind(role)
            .execute(db)
            .await
            .unwrap();
        }
        let body = json!({ "email": email, "password": "correct horse" });
        let (status, session) = call(door, "POST", "/api/v1/auth/login", "", body).await;
        assert_eq!(status, 200, "{session}");
        tokens.insert(role, session["access_token"].as_str().unwrap().to_owned());
    }
    assert!(owner["access_token"].is_string());
    tokens
}

#[tokio::test]
async fn every_route_lets_in_whoever_has_its_permission_and_nobody_else() {
    let database = database::database().await;
    let (door, _) = door(&database).await;
    let tokens = tokens(&door, &database.pool).await;
    // From which role on, as people are told in the document.
    let document = api::document();
    let told = document["info"]["description"].as_str().unwrap();
    let ranks = ["viewer", "rep", "manager", "admin", "owner"];
    let rank = |role: &str| ranks.iter().position(|one| *one == role).unwrap();
    let least = |word: &str| {
        let line = told.lines().find(|line| line.starts_with(&format!("| `{word}` |")));
        rank(line.unwrap_or_else(|| panic!("{word} is not told")).split('|').nth(2).unwrap().trim())
    };
    let open = ["signup", "login", "refresh", "logout", "forgot", "reset"];
    let by_cookie = "/api/v1/auth/session";
    for (method, path, word) in routes() {
        let name = path.rsplit('/').next().unwrap();
        let Some(word) = word else {
            let known = open.contains(&name) || (method == "POST" && path == by_cookie);
            assert!(known, "{method} {path} asks for nothing");
            continue;
        };
        assert!(!open.contains(&name), "{method} {path} asks for {word}");
        let asked = to_nothing(&path);
        let (status, problem) = call(&door, &method, &asked, "", Value::Null).await;
        assert_eq!((status, &problem["status"]), (401, &json!(401)), "{method} {path}");
        for (role, token) in &tokens {
            let (status, answer) = call(&door, &method, &asked, token, json!({})).await;
            let allowed = rank(role) >= least(&word);
            assert_eq!(status != 403, allowed, "{role}: {method} {path}: {status} {answer}");
            assert!(status != 401 && status < 500, "{role}: {method} {path}: {status} {answer}");
        }
    }
    database.drop().await;
}

/// Everything of a customer, as one text.
async fn all_of(db: &PgPool, customer: &str) -> String {
    let tables: Vec<String> = sqlx::query_scalar(
        "select c.oid::regclass::text from pg_class c
         join pg_attribute a on a.attrelid = c.oid and a.attname = 'customer_id'
         where c.relkind = 'r' and c.relnamespace in ('public'::regnamespace, 'engine'::regnamespace) order by 1",
    )
    .fetch_all(db)
    .await
    .unwrap();
    let mut all = String::new();
    for table in tables {
        let rows = format!(
            "select coalesce(string_agg(t::text, e'\\n' order by t::text), '') from {table} t where customer_id = $1::uuid"
        );
        let rows: String = sqlx::query_scalar(sqlx::AssertSqlSafe(rows))
            .bind(customer)
            .fetch_one(db)
            .await
            .unwrap();
        all.push_str(&format!("{table}\n{rows}\n"));
    }
    all
}

async fn opportunity(db: &PgPool, customer: &str, pipeline: uuid::Uuid) -> uuid::Uuid {
    sqlx::query_scalar(
        "with stg as (insert into stages (customer_id, pipeline_id, id, name, position, probability, kind)
           values ($1::uuid, $2, gen_random_uuid(), 'New', 1, 10, 'open') returning id)
         insert into opportunities (customer_id, id, name, pipeline_id, stage_id)
         select $1::uuid, gen_random_uuid(), 'Deal', $2, id from stg returning id",
    )
    .bind(customer)
    .bind(pipeline)
    .fetch_one(db)
    .await
    .unwrap()
}

async fn merge(db: &PgPool, customer: &str, contact: uuid::Uuid) -> uuid::Uuid {
    sqlx::query_scalar(
        "insert into merges (customer_id, id, contact_id, from_id, parting, actor)
         values ($1::uuid, gen_random_uuid(), $2, $2, '{}', 'test') returning id",
    )
    .bind(customer)
    .bind(contact)
    .fetch_one(db)
    .await
    .unwrap()
}

/// One of everything that has an id in a path, made past the API; gives the ids by their kinds.
async fn one_of_everything(db: &PgPool, customer: &str) -> BTreeMap<&'static str, String> {
    let ids: Vec<(String, uuid::Uuid)> = sqlx::query_as(
        "with c as (select $1::uuid as customer_id),
           con as (insert into contacts (customer_id, id, email) select customer_id, gen_random_uuid(), 'eve@lead.example' from c returning id),
           epa as (insert into email_provider_accounts (customer_id, id, provider, email, name)
             select customer_id, gen_random_uuid(), 'mock', 'sales@acme.example', 'Sales' from c returning id),
           seq as (insert into sequences (customer_id, id, name, title, definition_id, version)
             select customer_id, gen_random_uuid(), 'one', 'One', 1, 1 from c returning id),
           team as (insert into teams (customer_id, id, name) select customer_id, gen_random_uuid(), 'North' from c returning id),
           op as (insert into engine.operations (id, customer_id, wish, selection, actor, total)
             select gen_random_uuid(), customer_id, '{}', '{}', 'test', 0 from c returning id),
           sch as (insert into engine.schedules (id, customer_id, name, cron, zone, overlap, catch_up, catch_up_limit, tzdb, actor, paused_at)
             select gen_random_uuid(), customer_id, 'weekly', '0 9 * * mon', 'UTC', 'skip', 'last', 1, '2026f', 'test', now() from c returning id),
           acc as (insert into accounts (customer_id, id, name) select customer_id, gen_random_uuid(), 'Lead Ltd' from c returning id),
           fld as (insert into custom_fields (customer_id, id, entity, key, label, type)
             select customer_id, gen_random_uuid(), 'contact', 'seats', 'Seats', 'number' from c returning id),
           lst as (insert into lists (customer_id, id, name, entity, filter)
             select customer_id, gen_random_uuid(), 'All', 'contact', '{}' from c returning id),
           pip as (insert into pipelines (customer_id, id, name) select customer_id, gen_random_uuid(), 'Sales' from c returning id),
           imp as (insert into imports (customer_id, id, name, header, mapping, on_duplicate, create_accounts, actor, rows)
             select customer_id, gen_random_uuid(), 'a.csv', '{Email}', '[null]', 'skip', true, 'test', 1 from c returning id),
           blk as (insert into bulk_changes (customer_id, id, entity, filter, wanted, actor, total)
             select customer_id, gen_random_uuid(), 'contact', '{}', '{}', 'test', 0 from c returning id),
           act as (insert into activities (customer_id, id, kind, title, actor, occurred_at)
             select customer_id, gen_random_uuid(), 'note', 'Note', 'test', now() from c returning id),
           tsk as (insert into tasks (customer_id, id, kind, title, source)
             select customer_id, gen_random_uuid(), 'todo', 'Think', 'test' from c returning id),
           ers as (insert into erasures (customer_id, id, contact_id, removed, actor)
             select c.customer_id, gen_random_uuid(), con.id, '{}', 'test' from c, con returning id),
           sup as (insert into suppressions (customer_id, id, domain, reason)
             select customer_id, gen_random_uuid(), 'rival.example', 'manual' from c returning id),
           whk as (insert into webhooks (customer_id, id, url, events, secret)
             select customer_id, gen_random_uuid(), 'https://hooks.example.com', '{*}', 'sealed' from c returning id),
           whd as (insert into webhook_deliveries (customer_id, id, webhook_id, event_id, topic, body)
             select c.customer_id, gen_random_uuid(), whk.id, gen_random_uuid(), 'webhook.test', '{}' from c, whk
             returning id),
           key as (insert into api_keys (customer_id, id, name, key_hash, hint, scopes, created_by)
             select customer_id, gen_random_uuid(), 'ci', 'hash', 'abcd', '{ops}', (select id from users u where u.customer_id = c.customer_id limit 1) from c returning id)
         select 'con', id from con union all select 'epa', id from epa union all select 'seq', id from seq
         union all select 'team', id from team union all select 'op', id from op union all select 'sch', id from sch
         union all select 'key', id from key union all select 'acc', id from acc union all select 'fld', id from fld
         union all select 'imp', id from imp union all select 'ers', id from ers union all select 'whk', id from whk union all select 'whd', id from whd union all select 'act', id from act union all select 'tsk', id from tsk union all select 'blk', id from blk union all select 'lst', id from lst union all select 'pip', id from pip
         union all select 'sup', id from sup
         union all select 'usr', id from users where customer_id = $1::uuid",
    )
    .bind(customer)
    .fetch_all(db)
    .await
    .unwrap();
    let of = |kind: &str| ids.iter().find(|(one, _)| one == kind).unwrap().1;
    let mut shown: BTreeMap<&'static str, String> = [
        "con", "seq", "team", "op", "sch", "key", "usr", "acc", "act", "blk", "ers", "whk", "whd",
        "tsk", "fld", "imp", "lst", "pip", "sup",
    ]
    .into_iter()
    .map(|kind| (kind, engine::id::show(kind, of(kind))))
    .collect();
    let made = [
        ("evt", parked(db, customer).await),
        ("mrg", merge(db, customer, of("con")).await),
        ("enr", enrollment(db, customer, [of("seq"), of("con"), of("epa")]).await),
        ("opp", opportunity(db, customer, of("pip")).await),
    ];
    shown.extend(made.map(|(kind, id)| (kind, engine::id::show(kind, id))));
    shown
}

/// An enrollment in a sequence of a contact through a mailbox.
async fn enrollment(db: &PgPool, customer: &str, of: [uuid::Uuid; 3]) -> uuid::Uuid {
    sqlx::query_scalar(
        "insert into enrollments (customer_id, id, sequence_id, contact_id, mailbox_id, version)
         values ($1::uuid, gen_random_uuid(), ($2::uuid[])[1], ($2::uuid[])[2], ($2::uuid[])[3], 1) returning id",
    )
    .bind(customer)
    .bind(of.to_vec())
    .fetch_one(db)
    .await
    .unwrap()
}

/// An event of a customer that is set aside.
async fn parked(db: &PgPool, customer: &str) -> uuid::Uuid {
    let event = uuid::Uuid::now_v7();
    sqlx::query(
        "insert into engine.parked (seq, topic, key, tries, error, event)
         values (1, 'contact.created', 'con_1', 5, 'it is bad', jsonb_build_object('id', $1, 'customer_id', $2, 'sequence', 1,
           'data', '{}'::jsonb, 'at', now()))",
    )
    .bind(event.to_string())
    .bind(customer)
    .execute(db)
    .await
    .unwrap();
    event
}

/// A body that a route would take.
fn body(method: &str, path: &str) -> Value {
    match (method, path.trim_start_matches("/api/v1")) {
        ("GET" | "DELETE", _) => Value::Null,
        ("POST", "/sequences/{id}/enrollments") => {
            json!({ "contact_ids": ["con_01h455vb4pex5vsknk084sn02q"] })
        }
        ("POST", "/sequences/{id}/plan" | "/sequences/{id}/apply") => json!({ "version": 1 }),
        ("POST", "/enrollments/{id}/jump") => json!({ "step": "a" }),
        ("POST", "/contacts/{id}/merge") => json!({ "from_id": "con_01h455vb4pex5vsknk084sn02q" }),
        ("PATCH", "/teams/{id}") => json!({ "name": "South" }),
        (_, _) => json!({}),
    }
}

#[tokio::test]
async fn another_customers_id_answers_404_and_changes_nothing() {
    let database = database::database().await;
    let (door, _) = door(&database).await;
    let ann = sign_up(&door, "ann@acme.example").await;
    let bob = sign_up(&door, "bob@other.example").await;
    let bob = bob["access_token"].as_str().unwrap();
    let customer = engine::id::read("cus", ann["customer"]["id"].as_str().unwrap()).unwrap();
    let customer = customer.to_string();
    let ids = one_of_everything(&database.pool, &customer).await;
    let before = all_of(&database.pool, &customer).await;
    let mut asked = 0;
    for (method, path, word) in routes() {
        if word.is_none() || !path.contains("{id}") {
            continue;
        }
        let example = example(&path);
        let kind = example.split('_').next().unwrap();
        let id = ids.get(kind).unwrap_or_else(|| panic!("make one of {kind}_… as well"));
        let real = path.replace("{id}", id);
        let (status, answer) = call(&door, &method, &real, bob, body(&method, &path)).await;
        assert_eq!(status, 404, "{method} {path}: {answer}");
        asked += 1;
    }
    assert!(asked > 25, "only {asked} routes");
    assert_eq!(all_of(&database.pool, &customer).await, before);
    database.drop().await;
}

/// Bodies that name another team's things, for a route that takes them.
fn bodies(method: &str, path: &str, ids: &BTreeMap<&'static str, String>, sam: &str) -> Vec<Value> {
    let (con, acc, opp, pip) = (&ids["con"], &ids["acc"], &ids["opp"], &ids["pip"]);
    let about = [
        json!({ "contact_id": con }),
        json!({ "account_id": acc }),
        json!({ "opportunity_id": opp }),
    ];
    let with = |fields: Value| {
        let whole = |about: &Value| {
            let mut body = fields.clone();
            body.as_object_mut().unwrap().extend(about.as_object().unwrap().clone());
            body
        };
        about.iter().map(whole).collect::<Vec<_>>()
    };
    let set = [json!({ "owner_id": sam }), json!({ "tags": ["x"] })];
    // What a filter matches is changed by a worker, which is not here; an owner of another team is refused before.
    let bulk = |id: &str| {
        vec![
            json!({ "ids": [id], "set": { "owner_id": sam } }),
            json!({ "ids": [id], "set": { "tags": ["x"] } }),
            json!({ "filter": { "id": { "eq": id } }, "set": { "owner_id": sam } }),
        ]
    };
    match (method, path.trim_start_matches("/api/v1")) {
        ("POST", "/contacts") => vec![
            json!({ "email": "eve@lead.example" }),
            json!({ "email": "new@lead.example", "owner_id": sam }),
            json!({ "email": "new@lead.example", "account_id": acc }),
            json!({ "email": "new@lead.example", "company": "Lead Ltd" }),
        ],
        ("POST", "/accounts") => {
            vec![json!({ "name": "Lead Ltd" }), json!({ "name": "New", "owner_id": sam })]
        }
        ("POST", "/opportunities") => {
            let new = |fields: Value| {
                let mut body = json!({ "name": "New", "pipeline_id": pip, "stage_id": ids["stg"] });
                body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
                body
            };
            let fields = [
                json!({ "owner_id": sam }),
                json!({ "account_id": acc }),
                json!({ "contact_ids": [con] }),
            ];
            fields.map(new).into()
        }
        ("PATCH", "/contacts/{id}" | "/accounts/{id}" | "/opportunities/{id}") => set.into(),
        ("POST", "/contacts/bulk") => bulk(con),
        ("POST", "/accounts/bulk") => bulk(acc),
        ("POST", "/opportunities/bulk") => bulk(opp),
        ("POST", "/activities/notes") => with(json!({ "body": "hello" })),
        ("POST", "/activities/calls") => with(json!({ "outcome": "reached" })),
        ("POST", "/activities/tasks") => with(json!({ "title": "call", "assignee_id": sam })),
        ("PATCH", "/activities/{id}") => vec![json!({ "body": "mine" })],
        ("PATCH", "/activities/tasks/{id}") => vec![json!({ "title": "mine", "assignee_id": sam })],
        ("POST", "/sequences/{id}/enrollments") => vec![json!({ "contact_ids": [con] })],
        (_, _) => vec![body(method, path)],
    }
}

#[tokio::test]
async fn a_rep_with_another_teams_things_is_answered_properly_and_changes_none_of_them() {
    let teams = Teams::open().await;
    let pool = &teams.desk.database.pool;
    let customer: uuid::Uuid =
        sqlx::query_scalar("select id from customers").fetch_one(pool).await.unwrap();
    let mut ids = one_of_everything(pool, &customer.to_string()).await;
    let sam = engine::id::read("usr", teams.id("sam")).unwrap();
    for statement in [
        "update contacts set owner_id = $1",
        "update accounts set owner_id = $1",
        "update opportunities set owner_id = $1",
        "update activities set account_id = (select id from accounts) where $1::uuid is not null",
        "update tasks set opportunity_id = (select id from opportunities) where $1::uuid is not null",
    ] {
        sqlx::query(statement).bind(sam).execute(pool).await.unwrap();
    }
    let stage: uuid::Uuid =
        sqlx::query_scalar("select id from stages").fetch_one(pool).await.unwrap();
    ids.insert("stg", engine::id::show("stg", stage));
    let theirs = "select (select string_agg(c::text, ';') from contacts c where owner_id is not null)
        || (select string_agg(a::text, ';') from accounts a where owner_id is not null)
        || (select string_agg(o::text, ';') from opportunities o where owner_id is not null)
        || (select string_agg(a::text, ';') from activities a) || (select string_agg(t::text, ';') from tasks t)";
    let before: String = sqlx::query_scalar(theirs).fetch_one(pool).await.unwrap();
    let hidden = ["con", "acc", "opp", "act", "tsk", "mrg", "enr"];
    let mut asked = 0;
    for (method, path, word) in routes() {
        if word.is_none() {
            continue;
        }
        let kind =
            path.contains("{id}").then(|| example(&path).split('_').next().unwrap().to_owned());
        let real = match kind.as_deref() {
            Some(kind) => path.replace("{id}", &ids[kind]),
            None => path.clone(),
        };
        for body in bodies(&method, &path, &ids, teams.id("sam")) {
            let (status, answer) =
                call(&teams.desk.door, &method, &real, teams.token("nora"), body.clone()).await;
            assert!(status < 500, "{method} {path} {body}: {status} {answer}");
            if status != 403 && kind.as_deref().is_some_and(|kind| hidden.contains(&kind)) {
                assert_eq!(status, 404, "{method} {path} {body}: {answer}");
            }
            asked += 1;
        }
    }
    assert!(asked > 80, "only {asked} requests");
    let after: String = sqlx::query_scalar(theirs).fetch_one(pool).await.unwrap();
    assert_eq!(after, before);
    teams.desk.database.drop().await;
}

/// A POST under a key; gives the status, the headers and the body.
async fn keyed(
    door: &Router,
    token: &str,
    path: &str,
    key: &str,
    body: &Value,
) -> (u16, HeaderMap, Value) {
    let request = Request::post(path)
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .header("idempotency-key", key)
        .body(Body::from(body.to_string()))
        .unwrap();
    let response = door.clone().oneshot(request).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let bytes = to_bytes(response.into_body(), 1_000_000).await.unwrap();
    (status, headers, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

/// Every answer that shows a secret: what was kept of it, and whether the repeated request shows the same.
#[tokio::test]
async fn a_kept_answer_holds_no_secret_in_clear_and_is_repeated_whole() {
    let database = database::database().await;
    let (door, _) = door(&database).await;
    let ann = sign_up(&door, "ann@acme.example").await;
    let ann = ann["access_token"].as_str().unwrap();
    let key = json!({ "name": "CI", "scopes": ["contacts:read"] });
    let hook = json!({ "url": "https://hooks.example/in", "events": ["contact.created"] });
    let (_, _, made) = keyed(&door, ann, "/api/v1/webhooks", "k-0", &hook).await;
    let rotated = format!("/api/v1/webhooks/{}/secret", made["id"].as_str().unwrap());
    for (path, body, field) in [
        ("/api/v1/api-keys", &key, "key"),
        ("/api/v1/webhooks", &hook, "secret"),
        (&rotated, &json!({}), "secret"),
    ] {
        let under = format!("k-{path}");
        let (status, _, first) = keyed(&door, ann, path, &under, body).await;
        assert!(status < 300, "{path}: {first}");
        let secret = first[field].as_str().unwrap_or_else(|| panic!("{path} shows none: {first}"));
        let kept: i64 = sqlx::query_scalar(
            "select count(*) from idempotency_keys k
             where key = $1 and position(convert_to($2, 'UTF8') in k.body) = 0
               and position(convert_to($2, 'UTF8') in k.secret) = 0
               and strpos(k::text, encode(convert_to($2, 'UTF8'), 'hex')) = 0",
        )
        .bind(&under)
        .bind(secret)
        .fetch_one(&database.pool)
        .await
        .unwrap();
        assert_eq!(kept, 1, "{path} keeps its secret in clear");
        let (again_status, headers, again) = keyed(&door, ann, path, &under, body).await;
        assert_eq!((again_status, &again), (status, &first), "{path}");
        assert_eq!(headers["idempotency-replayed"], "true");
    }
    database.drop().await;
}

#[tokio::test]
async fn a_post_under_a_key_is_done_once_and_answered_alike() {
    let database = database::database().await;
    let (door, _) = door(&database).await;
    let ann = sign_up(&door, "ann@acme.example").await;
    let bob = sign_up(&door, "bob@other.example").await;
    let (ann, bob) = (ann["access_token"].as_str().unwrap(), bob["access_token"].as_str().unwrap());
    let (path, new) = ("/api/v1/contacts", json!({ "email": "eve@lead.example" }));
    let (status, first, made) = keyed(&door, ann, path, "k-1", &new).await;
    assert_eq!(status, 201, "{made}");
    let (status, again, same) = keyed(&door, ann, path, "k-1", &new).await;
    assert_eq!((status, &same), (201, &made));
    assert_eq!(again["location"], first["location"]);
    assert_eq!(again["idempotency-replayed"], "true");
    assert!(first.get("idempotency-replayed").is_none());
    // Another request under the key, another customer's key of the same name, and a key that is none.
    let (status, _, problem) =
        keyed(&door, ann, path, "k-1", &json!({ "email": "x@y.example" })).await;
    assert_eq!((status, &problem["type"]), (422, &json!("/problems/key-reused")));
    assert_eq!(keyed(&door, bob, path, "k-1", &new).await.0, 201);
    assert_eq!(keyed(&door, ann, path, "no key", &new).await.0, 400);
    // What was refused is kept under no key, and may be mended.
    assert_eq!(keyed(&door, ann, path, "k-2", &new).await.0, 409);
    assert_eq!(keyed(&door, ann, path, "k-2", &json!({ "email": "z@y.example" })).await.0, 201);
    let kept: i64 = sqlx::query_scalar("select count(*) from contacts")
        .fetch_one(&database.pool)
        .await
        .unwrap();
    assert_eq!(kept, 3);
    database.drop().await;
}

#[tokio::test]
async fn of_two_requests_at_once_under_a_key_one_is_done() {
    let database = database::database().await;
    let (door, _) = door(&database).await;
    let ann = sign_up(&door, "ann@acme.example").await;
    let ann = ann["access_token"].as_str().unwrap();
    let new = json!({ "email": "eve@lead.example" });
    let one = || keyed(&door, ann, "/api/v1/contacts", "k-1", &new);
    let (a, b, c) = tokio::join!(one(), one(), one());
    let mut statuses = [a.0, b.0, c.0];
    statuses.sort_unstable();
    assert_eq!(statuses[0], 201, "{statuses:?}");
    assert!(statuses.iter().all(|status| [201, 409].contains(status)), "{statuses:?}");
    let kept: i64 = sqlx::query_scalar("select count(*) from contacts")
        .fetch_one(&database.pool)
        .await
        .unwrap();
    assert_eq!(kept, 1);
    database.drop().await;
}

#[tokio::test]
async fn a_change_says_what_it_was_made_from() {
    let database = database::database().await;
    let (door, _) = door(&database).await;
    let ann = sign_up(&door, "ann@acme.example").await;
    let token = ann["access_token"].as_str().unwrap();
    let path = format!("/api/v1/users/{}", ann["user"]["id"].as_str().unwrap());
    let patch = |tag: Option<&str>| {
        let mut request = Request::patch(&path)
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json");
        if let Some(tag) = tag {
            request = request.header("if-match", tag);
        }
        door.clone().oneshot(request.body(Body::from(r#"{"name":"Anna"}"#)).unwrap())
    };
    assert_eq!(patch(None).await.unwrap().status(), 428);
    assert_eq!(patch(Some("\"1\"")).await.unwrap().status(), 412);
    let read = Request::get(&path).header("authorization", format!("Bearer {token}"));
    let read = door.clone().oneshot(read.body(Body::empty()).unwrap()).await.unwrap();
    let tag = read.headers()["etag"].to_str().unwrap().to_owned();
    let changed = patch(Some(&tag)).await.unwrap();
    assert_eq!(changed.status(), 200);
    assert_ne!(changed.headers()["etag"].to_str().unwrap(), tag);
    assert_eq!(patch(Some(&tag)).await.unwrap().status(), 412);
    database.drop().await;
}

#[tokio::test]
async fn a_cursor_is_good_for_its_own_listing_and_nobody_makes_one_up() {
    let database = database::database().await;
    let (door, _) = door(&database).await;
    let ann = sign_up(&door, "ann@acme.example").await;
    let ann = ann["access_token"].as_str().unwrap();
    for n in 0..3 {
        let new = json!({ "email": format!("c{n}@lead.example") });
        assert_eq!(call(&door, "POST", "/api/v1/contacts", ann, new).await.0, 201);
    }
    let page =
        |path: String| async move { call(&door.clone(), "GET", &path, ann, Value::Null).await };
    let (_, first) = page.clone()("/api/v1/contacts?limit=2".into()).await;
    let cursor = first["next_cursor"].as_str().unwrap().to_owned();
    let (_, second) = page.clone()(format!("/api/v1/contacts?limit=2&cursor={cursor}")).await;
    assert_eq!(second["data"].as_array().unwrap().len(), 1, "{second}");
    for path in [
        format!("/api/v1/sequences?cursor={cursor}"),
        format!("/api/v1/contacts?cursor={}", "0".repeat(48)),
        "/api/v1/contacts?cursor=abc".into(),
        "/api/v1/contacts?limit=0".into(),
        "/api/v1/contacts?colour=red".into(),
    ] {
        assert_eq!(page.clone()(path.clone()).await.0, 422, "{path}");
    }
    database.drop().await;
}

#[test]
fn every_permission_is_asked_for_by_some_route() {
    let document = api::document();
    let told = document["info"]["description"].as_str().unwrap();
    let rows = told.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let asked: Vec<String> = routes().into_iter().filter_map(|(_, _, word)| word).collect();
    let idle: Vec<&str> = rows.filter(|word| !asked.iter().any(|one| one == word)).collect();
    assert!(idle.is_empty(), "{idle:?}");
}

#[test]
fn the_document_names_every_operation_once_and_tells_its_problems() {
    let document = api::document();
    assert_eq!(document["openapi"], "3.1.0");
    let mut names = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let name = operation["operationId"].as_str().unwrap();
            names.push(name.to_owned());
            assert!(operation["summary"].is_string(), "{method} {path} says nothing of itself");
            for (status, response) in operation["responses"].as_object().unwrap() {
                let good = status.starts_with('2');
                let problem = &response["content"]["application/problem+json"];
                assert_eq!(problem.is_null(), good, "{method} {path} {status}");
            }
        }
    }
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count, "two operations have one name");
    assert!(count > 50, "{count} operations");
}

/// What a schema is, also where it only points to it.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let Some(name) = schema["$ref"].as_str() else { return schema };
    document.pointer(name.trim_start_matches('#')).unwrap()
}

/// All schemas that a body may hold.
fn within<'a>(document: &'a Value, schema: &'a Value, found: &mut Vec<&'a Value>) {
    let schema = resolved(document, schema);
    if found.iter().any(|known| std::ptr::eq(*known, schema)) {
        return;
    }
    found.push(schema);
    let properties = schema["properties"].as_object().into_iter().flat_map(|map| map.values());
    let kinds = ["oneOf", "anyOf", "allOf"].into_iter();
    let kinds = kinds.flat_map(|kind| schema[kind].as_array().into_iter().flatten());
    for inner in properties.chain(kinds).chain(schema.get("items")) {
        within(document, inner, found);
    }
}

#[test]
fn no_default_of_the_document_empties_what_a_change_leaves_out() {
    let document = api::document();
    let mut bodies = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let body = &operation["requestBody"]["content"]["application/json"]["schema"];
            let is_change = method == "patch" || path.ends_with("/bulk");
            let mut schemas = Vec::new();
            within(&document, body, &mut schemas);
            for schema in schemas {
                let default = schema.get("default");
                assert!(!is_change || default.is_none(), "{method} {path}: {schema}");
                assert_ne!(default, Some(&Value::Null), "{method} {path}: {schema}");
            }
            bodies += usize::from(is_change && !body.is_null());
        }
    }
    assert!(bodies > 10, "{bodies} changes");
}

/// Properties and parameters of these names hold one of a few words.
const CLOSED: [&str; 16] = [
    "status",
    "role",
    "kind",
    "level",
    "state",
    "reason",
    "reasons",
    "provider",
    "entity",
    "on_duplicate",
    "overlap",
    "catch_up",
    "outcome",
    "priority",
    "way",
    "scopes",
];

/// Those that do not, and why.
const OPEN: [(&str, &str); 18] = [
    ("Enrollment.exit_reason", "what a workflow calls it"),
    ("End.reason", "what a workflow calls it, or why a run is held"),
    ("EngagementPart.reason", "a person's or a workflow's words"),
    ("Failure.reason", "what went wrong"),
    ("Fire.reason", "a sentence"),
    ("HistoryRow.kind", "kinds are added with what the engine records"),
    ("Needed.kind", "a workflow's limits have their own names"),
    ("NewCall.outcome", "the customer's own words"),
    ("NewTask.kind", "the customer's own words"),
    ("Operation.reason", "a person's words"),
    ("ParkedEvent.reason", "what went wrong"),
    ("Problem.status", "a number of HTTP"),
    ("Task.kind", "the customer's own words"),
    ("Task.outcome", "the customer's own words"),
    ("TaskOutcome.outcome", "the customer's own words"),
    ("WantedJump.reason", "a person's words"),
    ("WantedRuns.reason", "a person's words"),
    ("WantedVersion.reason", "a person's words"),
];

#[test]
fn whatever_holds_one_of_a_few_words_lists_them() {
    let document = api::document();
    let lists = |schema: &Value| {
        let mut schemas = Vec::new();
        within(&document, schema, &mut schemas);
        schemas.iter().any(|schema| !schema["enum"].is_null() || !schema["const"].is_null())
    };
    let mut open: Vec<String> = Vec::new();
    let mut closed = 0;
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        // A page repeats the schema of its items.
        let (name, schema) = match name.strip_prefix("Page_") {
            Some(of) => (of, &schema["properties"]["data"]["items"]),
            None => (name.as_str(), schema),
        };
        for (property, schema) in schema["properties"].as_object().into_iter().flatten() {
            if CLOSED.contains(&property.as_str()) {
                let at = format!("{name}.{property}");
                closed += usize::from(lists(schema));
                open.extend((!lists(schema)).then_some(at));
            }
        }
    }
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let name = parameter["name"].as_str().unwrap();
                if CLOSED.contains(&name) && !lists(&parameter["schema"]) {
                    open.push(format!("{method} {path}?{name}"));
                }
            }
        }
    }
    open.retain(|at| !OPEN.iter().any(|(known, _)| known == at));
    assert_eq!(open, Vec::<String>::new(), "list the words, as `vocabulary.rs` does");
    assert!(closed > 40, "{closed} closed sets");
}
