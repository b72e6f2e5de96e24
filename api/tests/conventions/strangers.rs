//! Nobody reaches what is another customer's or another team's, by any route.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sqlx::PgPool;

use super::{example, routes};
use crate::reach::Teams;
use crate::{call, database, door, sign_up};

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
