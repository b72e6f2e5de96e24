//! Bulk actions on runs: they do what their preview shows, to whom the caller reaches, and refuse what names nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Router;
use engine::definition_store::Definitions;
use engine::id;
use engine::step::Registry;
use engine::worker::{self, Settings, Worker};
use serde_json::{Value, json};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::database::TestDatabase;
use crate::{call, database, door, sign_up};

/// A customer with an owner, a manager of one team and reps of two, each with enrollments, beside runs that are none.
struct Desk {
    database: TestDatabase,
    door: Router,
    db: PgPool,
    customer: Uuid,
    sequence: Uuid,
    mailbox: Uuid,
    definition: i64,
    own: i64,
    tokens: BTreeMap<&'static str, String>,
    users: BTreeMap<&'static str, Uuid>,
}

impl Desk {
    async fn new() -> Self {
        let database = database::database().await;
        let (door, _) = door(&database).await;
        let db = database.pool.clone();
        let owner = sign_up(&door, "owner@acme.example").await;
        let customer = id::read("cus", owner["customer"]["id"].as_str().unwrap()).unwrap();
        let definition = define(&db, customer, "intro", "contact", ["hello", "email.send"]).await;
        let own =
            define(&db, customer, "deliver", "delivery", ["deliver", "webhook.deliver"]).await;
        let (sequence, mailbox) = (Uuid::now_v7(), Uuid::now_v7());
        sqlx::query(
            "with box as (insert into email_provider_accounts (customer_id, id, provider, email, name)
               values ($1, $2, 'mock', 'sales@acme.example', 'Sales'))
             insert into sequences (customer_id, id, name, title, definition_id, version, status)
             values ($1, $3, 'intro', 'Intro', $4, 1, 'active')",
        )
        .bind(customer)
        .bind(mailbox)
        .bind(sequence)
        .bind(definition)
        .execute(&db)
        .await
        .unwrap();
        let (tokens, users) = (BTreeMap::new(), BTreeMap::new());
        let mut desk = Self {
            database,
            door,
            db,
            customer,
            sequence,
            mailbox,
            definition,
            own,
            tokens,
            users,
        };
        let (north, south) = (desk.team("North").await, desk.team("South").await);
        for (name, role, team) in [
            ("admin", "admin", None),
            ("mia", "manager", Some(north)),
            ("rita", "rep", Some(north)),
            ("rob", "rep", Some(south)),
            ("vera", "viewer", None),
        ] {
            desk.user(name, role, team).await;
        }
        desk.tokens.insert("owner", owner["access_token"].as_str().unwrap().to_owned());
        desk
    }

    async fn team(&self, name: &str) -> Uuid {
        let made = "insert into teams (customer_id, id, name) values ($1, gen_random_uuid(), $2) returning id";
        sqlx::query_scalar(made).bind(self.customer).bind(name).fetch_one(&self.db).await.unwrap()
    }

    async fn user(&mut self, name: &'static str, role: &str, team: Option<Uuid>) {
        let email = format!("{name}@acme.example");
        let user = sqlx::query_scalar(
            "insert into users (customer_id, id, email, name, role, team_id, password_hash)
             select customer_id, gen_random_uuid(), $1, $1, $2, $3, password_hash from users
             where email = 'owner@acme.example' returning id",
        )
        .bind(&email)
        .bind(role)
        .bind(team)
        .fetch_one(&self.db)
        .await
        .unwrap();
        let body = json!({ "email": email, "password": "correct horse" });
        let (_, session) = call(&self.door, "POST", "/api/v1/auth/login", "", body).await;
        self.tokens.insert(name, session["access_token"].as_str().unwrap().to_owned());
        self.users.insert(name, user);
    }

    /// An enrollment of a contact of this owner, which waits for its time; or is held for a reason.
    async fn enrollment(&self, owner: &str, held: Option<&str>) -> Uuid {
        let contact: Uuid = sqlx::query_scalar(
            "insert into contacts (customer_id, id, email, owner_id)
             values ($1, gen_random_uuid(), gen_random_uuid() || '@lead.example', $2) returning id",
        )
        .bind(self.customer)
        .bind(self.users.get(owner))
        .fetch_one(&self.db)
        .await
        .unwrap();
        let run = self.run((self.definition, contact), ["hello", "email.send"], held).await;
        sqlx::query(
            "insert into enrollments (customer_id, id, sequence_id, contact_id, mailbox_id, version)
             values ($1, $2, $3, $4, $5, 1)",
        )
        .bind(self.customer)
        .bind(run)
        .bind(self.sequence)
        .bind(contact)
        .bind(self.mailbox)
        .execute(&self.db)
        .await
        .unwrap();
        run
    }

    /// A run of ours that is no enrollment: it delivers to a webhook.
    async fn delivery(&self, held: Option<&str>) -> Uuid {
        self.run((self.own, Uuid::now_v7()), ["deliver", "webhook.deliver"], held).await
    }

    async fn run(
        &self,
        (definition, subject): (i64, Uuid),
        [step, queue]: [&str; 2],
        held: Option<&str>,
    ) -> Uuid {
        let run = Uuid::now_v7();
        sqlx::query(
            "with timed as (
               insert into engine.timers (run_id, due_at, customer_id, queue, step)
               select $1, engine.now() + interval '1 day', $2, $6, $5 where $7::text is null
             ), told as (
               insert into engine.history (run_id, seq, at, kind, step, actor)
               select $1, seq, engine.now(), kind, $5, 'test' from (values (0, 'run.started'), (1, 'run.held')) k(seq, kind)
               where seq = 0 or $7::text is not null
             )
             insert into engine.runs (id, customer_id, definition_id, subject_id, zone, step, queue, state, place, reason,
               next_at, seq)
             values ($1, $2, $3, $4, 'UTC', $5, $6, case when $7 is null then 'live' else 'held' end,
               case when $7 is null then 'timer' else 'none' end, $7,
               case when $7 is null then engine.now() + interval '1 day' end, case when $7 is null then 0 else 1 end)",
        )
        .bind(run)
        .bind(self.customer)
        .bind(definition)
        .bind(subject)
        .bind(step)
        .bind(queue)
        .bind(held)
        .execute(&self.db)
        .await
        .unwrap();
        run
    }

    async fn ask(&self, who: &str, method: &str, path: &str, body: Value) -> (u16, Value) {
        call(&self.door, method, &format!("/api/v1{path}"), &self.tokens[who], body).await
    }

    async fn post(&self, who: &str, path: &str, body: Value) -> (u16, Value) {
        self.ask(who, "POST", path, body).await
    }

    async fn states(&self, runs: &[Uuid]) -> Vec<String> {
        let states = "select state from engine.runs r join unnest($1::uuid[]) with ordinality w(id, n) on w.id = r.id order by n";
        sqlx::query_scalar(states).bind(runs).fetch_all(&self.db).await.unwrap()
    }

    async fn count(&self, statement: &'static str) -> i64 {
        sqlx::query_scalar(statement).fetch_one(&self.db).await.unwrap()
    }

    /// Lets a worker do what was ordered, in its role.
    async fn work(&self) {
        let options = self.database.options.clone().options([("role", "salesos_worker")]);
        let db = PgPoolOptions::new().max_connections(8).connect_with(options.clone()).await;
        let worker = Worker {
            queue: worker::pool(options).await.unwrap(),
            db: db.unwrap(),
            definitions: Definitions::new(Registry::new()),
            writers: crm::writers::all(),
            settings: Settings { poll: Duration::from_millis(20), ..Settings::default() },
        };
        let stop = CancellationToken::new();
        let told = stop.clone();
        let working = tokio::spawn(async move { worker.run(told).await });
        let began = std::time::Instant::now();
        while self.count("select count(*) from engine.operations where ended_at is null").await > 0
        {
            assert!(began.elapsed() < Duration::from_secs(30), "operations do not end");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        stop.cancel();
        working.await.unwrap();
    }
}

async fn define(
    db: &PgPool,
    customer: Uuid,
    name: &str,
    subject: &str,
    [step, kind]: [&str; 2],
) -> i64 {
    let document =
        json!({ "name": name, "subject": subject, "steps": [{ "id": step, "type": kind }] });
    sqlx::query_scalar(
        "insert into engine.definitions (customer_id, name, version, hash, document, source, first_step, first_queue,
           exits, hears)
         values ($1, $2, 1, '', $3, '', $4, $5, '{}', '{}') returning id",
    )
    .bind(customer)
    .bind(name)
    .bind(document)
    .bind(step)
    .bind(kind)
    .fetch_one(db)
    .await
    .unwrap()
}

fn enr(run: Uuid) -> String {
    id::show("enr", run)
}

const ACTIONS: [&str; 6] = ["pause", "resume", "skip", "jump", "cancel", "undo"];

/// A body for an action, which may name a step.
fn body(action: &str, mut body: Value) -> Value {
    if action == "jump" {
        body["step"] = json!("hello");
    }
    body
}

#[tokio::test]
async fn a_preview_by_ids_changes_nothing_whatever_the_action() {
    let desk = Desk::new().await;
    let (mine, held) =
        (desk.enrollment("rita", None).await, desk.enrollment("rita", Some("why")).await);
    let ids = json!([enr(mine), enr(held)]);
    let before = desk.count("select count(*) from engine.history").await;
    for action in ACTIONS {
        let asked = body(action, json!({ "ids": ids, "preview": true }));
        let (status, seen) = desk.post("rita", &format!("/enrollments/{action}"), asked).await;
        let matched = match action {
            "pause" => 1,
            "resume" => 0,
            _ => 2,
        };
        assert_eq!((status, &seen["matched"]), (200, &json!(matched)), "{action}: {seen}");
        assert_eq!(seen["sample"].as_array().unwrap().len(), matched, "{action}: {seen}");
    }
    for (path, matched) in [("/ops/jobs/retry", 1), ("/ops/jobs/cancel", 2)] {
        let (status, seen) = desk.post("admin", path, json!({ "ids": ids, "preview": true })).await;
        assert_eq!((status, &seen["matched"]), (200, &json!(matched)), "{path}: {seen}");
    }
    assert_eq!(desk.states(&[mine, held]).await, ["live", "held"]);
    assert_eq!(desk.count("select count(*) from engine.history").await, before);
    assert_eq!(desk.count("select count(*) from engine.operations").await, 0);
    // What the preview counted is what the action changes.
    let (_, done) = desk.post("rita", "/enrollments/pause", json!({ "ids": ids })).await;
    assert_eq!((&done["changed"], &done["skipped"]), (&json!(1), &json!(1)), "{done}");
    desk.database.drop().await;
}

#[tokio::test]
async fn a_bulk_action_by_ids_reaches_what_the_caller_reaches_and_enrollments_alone() {
    let desk = Desk::new().await;
    let (mine, robs) = (desk.enrollment("rita", None).await, desk.enrollment("rob", None).await);
    let delivery = desk.delivery(None).await;
    let ids = json!([enr(mine), enr(robs), id::show("run", delivery), enr(Uuid::now_v7())]);
    for action in ["pause", "cancel"] {
        let asked = json!({ "ids": ids });
        let (status, done) = desk.post("rita", &format!("/enrollments/{action}"), asked).await;
        assert_eq!((status, &done["changed"], &done["skipped"]), (200, &json!(1), &json!(3)));
        let missing = json!([ids[1], ids[2], ids[3]]);
        let mut told = done["not_found"].as_array().unwrap().clone();
        told.sort_by_key(|id| missing.as_array().unwrap().iter().position(|one| one == id));
        assert_eq!(json!(told), missing, "what is out of reach answers as what is not there");
        let path = format!("/enrollments/{action}");
        let other = json!({ "ids": [ids[1]], "preview": true });
        assert_eq!(desk.post("rita", &path, other).await.1["matched"], 0);
    }
    assert_eq!(desk.states(&[mine, robs, delivery]).await, ["cancelled", "live", "live"]);
    // The manager of the team reaches it too, an owner all of them, and nobody a delivery by this route.
    let (mia, more) =
        (desk.enrollment("rita", None).await, json!([enr(robs), id::show("run", delivery)]));
    let (_, done) =
        desk.post("mia", "/enrollments/cancel", json!({ "ids": [enr(mia), enr(robs)] })).await;
    assert_eq!(done["changed"], 1, "{done}");
    let (_, done) = desk.post("owner", "/enrollments/cancel", json!({ "ids": more })).await;
    assert_eq!(done["changed"], 1, "{done}");
    let (_, done) = desk.post("admin", "/ops/jobs/cancel", json!({ "ids": more })).await;
    assert_eq!((&done["changed"], &done["not_found"]), (&json!(1), &json!([])), "{done}");
    desk.database.drop().await;
}

#[tokio::test]
async fn an_operation_reaches_what_who_ordered_it_reaches_when_it_acts() {
    let desk = Desk::new().await;
    let (mine, lost) = (desk.enrollment("rita", None).await, desk.enrollment("rita", None).await);
    let (robs, delivery) = (desk.enrollment("rob", None).await, desk.delivery(None).await);
    let all = json!({ "since": "2020-01-01T00:00:00Z" });
    let (_, seen) =
        desk.post("rita", "/enrollments/cancel", json!({ "filter": all, "preview": true })).await;
    assert_eq!((&seen["matched"], &seen["more"]), (&json!(2), &json!(false)), "{seen}");
    let (status, ordered) =
        desk.post("rita", "/enrollments/cancel", json!({ "filter": all })).await;
    assert_eq!((status, &ordered["total"]), (202, &json!(2)), "{ordered}");
    // A contact that is somebody else's by the time that the operation acts is left.
    sqlx::query("update contacts set owner_id = $1 where id = (select contact_id from enrollments where id = $2)")
        .bind(desk.users["rob"])
        .bind(lost)
        .execute(&desk.db)
        .await
        .unwrap();
    desk.work().await;
    let states = desk.states(&[mine, lost, robs, delivery]).await;
    assert_eq!(states, ["cancelled", "live", "live", "live"]);
    let path = format!("/operations/{}", ordered["id"].as_str().unwrap());
    let (_, done) = desk.ask("rita", "GET", &path, Value::Null).await;
    assert_eq!(
        (&done["status"], &done["done"], &done["changed"]),
        (&json!("done"), &json!(1), &json!(1)),
        "{done}"
    );
    // By queue neither: deliveries belong to /ops.
    let queue = json!({ "filter": { "queue": "webhook.deliver" } });
    let (status, ordered) = desk.post("owner", "/enrollments/cancel", queue.clone()).await;
    assert_eq!((status, &ordered["total"]), (202, &json!(0)), "{ordered}");
    let (_, ops) = desk.post("admin", "/ops/jobs/cancel", queue).await;
    assert_eq!(ops["total"], 1, "{ops}");
    desk.work().await;
    assert_eq!(desk.states(&[delivery, robs]).await, ["cancelled", "live"]);
    desk.database.drop().await;
}

#[tokio::test]
async fn an_operation_of_somebody_who_may_no_longer_act_fails_and_changes_nothing() {
    for change in [
        "update users set active = false where id = $1",
        "update users set role = 'viewer' where id = $1",
    ] {
        let desk = Desk::new().await;
        let mine = desk.enrollment("rita", None).await;
        let all = json!({ "filter": { "sequence": "intro" } });
        let (_, ordered) = desk.post("rita", "/enrollments/cancel", all).await;
        sqlx::query(change).bind(desk.users["rita"]).execute(&desk.db).await.unwrap();
        desk.work().await;
        assert_eq!(desk.states(&[mine]).await, ["live"], "{change}");
        let path = format!("/operations/{}", ordered["id"].as_str().unwrap());
        let (_, failed) = desk.ask("admin", "GET", &path, Value::Null).await;
        assert_eq!(failed["status"], "failed", "{failed}");
        desk.database.drop().await;
    }
}

#[tokio::test]
async fn operations_are_seen_and_stopped_by_who_ordered_them_and_by_admins() {
    let desk = Desk::new().await;
    desk.enrollment("rita", None).await;
    let all = json!({ "filter": { "sequence": "intro" } });
    let (_, ordered) = desk.post("rita", "/enrollments/pause", all).await;
    let path = format!("/operations/{}", ordered["id"].as_str().unwrap());
    let stop = format!("{path}/stop");
    for who in ["rob", "mia", "vera"] {
        assert_eq!(desk.ask(who, "GET", &path, Value::Null).await.0, 404, "{who}");
        let stopped = desk.post(who, &stop, Value::Null).await.0;
        assert_eq!(stopped, if who == "vera" { 403 } else { 404 }, "{who}");
        let (status, listed) = desk.ask(who, "GET", "/operations", Value::Null).await;
        assert_eq!((status, &listed["data"]), (200, &json!([])), "{who}");
    }
    for who in ["rita", "admin", "owner"] {
        let (_, listed) = desk.ask(who, "GET", "/operations?status=queued", Value::Null).await;
        assert_eq!(listed["data"][0]["id"], ordered["id"], "{who}: {listed}");
        assert_eq!(desk.ask(who, "GET", &path, Value::Null).await.0, 200, "{who}");
    }
    let (_, stopped) = desk.post("rita", &stop, Value::Null).await;
    assert_eq!(stopped["status"], "stopped", "{stopped}");
    let (_, listed) = desk.ask("admin", "GET", "/operations?status=queued", Value::Null).await;
    assert_eq!(listed["data"], json!([]));
    assert_eq!(desk.ask("admin", "GET", "/operations?status=over", Value::Null).await.0, 422);
    desk.database.drop().await;
}

#[tokio::test]
async fn what_names_nothing_or_has_no_pace_is_refused_with_a_suggestion() {
    let desk = Desk::new().await;
    desk.enrollment("rita", Some("timeout after 1s")).await;
    let mut routes: Vec<String> =
        ACTIONS.iter().map(|action| format!("/enrollments/{action}")).collect();
    routes.extend(["/ops/jobs/retry".to_owned(), "/ops/jobs/cancel".to_owned()]);
    let cases = [
        (json!({}), "filter", "name at least one field"),
        (json!({ "state": null }), "filter", "name at least one field"),
        (json!({ "state": "hled" }), "filter.state", "did you mean `held`?"),
        (json!({ "state": "completed" }), "filter.state", "held"),
        (json!({ "sequence": "intor" }), "filter.sequence", "did you mean `intro`?"),
        (json!({ "sequence": "" }), "filter.sequence", "intro"),
        (json!({ "step": "helo" }), "filter.step", "did you mean `hello`?"),
        (json!({ "sequence": "intro", "step": "deliver" }), "filter.step", "has no step `deliver`"),
        (json!({ "queue": "emial.send" }), "filter.queue", "did you mean `email.send`?"),
        (
            json!({ "contact_id": "con_01h455vb4pex5vsknk084sn02q" }),
            "filter.contact_id",
            "there is no contact",
        ),
        (json!({ "error": "" }), "filter.error", "write a part of the reason"),
        (json!({ "error": "**" }), "filter.error", "write a part of the reason"),
        (
            json!({ "since": "2026-03-02T00:00:00Z", "until": "2026-03-01T00:00:00Z" }),
            "filter.until",
            "later",
        ),
    ];
    for path in &routes {
        for (filter, field, hint) in &cases {
            for preview in [true, false] {
                let asked = body(
                    path.rsplit('/').next().unwrap(),
                    json!({ "filter": filter, "preview": preview }),
                );
                let (status, refused) = desk.post("admin", path, asked).await;
                assert_eq!(
                    (status, &refused["errors"][0]["field"]),
                    (422, &json!(field)),
                    "{path} {filter}: {refused}"
                );
                let message = refused["errors"][0]["message"].as_str().unwrap();
                assert!(message.contains(hint), "{path} {filter}: {message}");
            }
        }
        for pace in
            [json!(0), json!(-1), json!(-0.0), json!(0.0001), json!(1e9), json!(1e39), json!(1e308)]
        {
            let asked =
                json!({ "filter": { "step": "hello" }, "per_second": pace, "preview": true });
            let asked = body(path.rsplit('/').next().unwrap(), asked);
            let (status, refused) = desk.post("admin", path, asked).await;
            let field = &refused["errors"][0]["field"];
            assert_eq!((status, field), (422, &json!("per_second")), "{path} {pace}: {refused}");
        }
    }
    // A workflow of ours is no sequence of theirs; under /ops it is one of the workflows.
    let own = json!({ "filter": { "sequence": "deliver" }, "preview": true });
    assert_eq!(desk.post("admin", "/enrollments/pause", own.clone()).await.0, 422);
    assert_eq!(desk.post("admin", "/ops/jobs/cancel", own).await.0, 200);
    let jump = json!({ "filter": { "sequence": "intro" }, "step": "helo" });
    let (status, refused) = desk.post("admin", "/enrollments/jump", jump).await;
    assert_eq!((status, &refused["errors"][0]["field"]), (422, &json!("step")), "{refused}");
    for path in ["/ops/jobs?queue=emial.send", "/ops/jobs?state=hled", "/ops/jobs?error=*"] {
        assert_eq!(desk.ask("admin", "GET", path, Value::Null).await.0, 422, "{path}");
    }
    assert_eq!(desk.count("select count(*) from engine.operations").await, 0);
    desk.database.drop().await;
}

#[tokio::test]
async fn the_error_filter_matches_the_same_runs_in_the_listing_the_preview_and_the_operation() {
    for (error, matches) in [
        ("timeout", 2),
        ("timeout*", 1),
        ("*timeout", 1),
        ("*after*", 1),
        ("%", 1),
        ("100_", 0),
        ("Timeout", 1),
    ] {
        let desk = Desk::new().await;
        for reason in ["timeout after 1s", "the provider: timeout", "100% refused", "Timeout"] {
            desk.enrollment("rita", Some(reason)).await;
        }
        let listed = format!("/ops/jobs?state=held&error={}", error.replace('%', "%25"));
        let (_, listed) = desk.ask("admin", "GET", &listed, Value::Null).await;
        assert_eq!(listed["data"].as_array().unwrap().len(), matches, "{error}: {listed}");
        let asked = |preview: bool| json!({ "filter": { "error": error }, "preview": preview });
        for path in ["/ops/jobs/retry", "/ops/jobs/cancel", "/enrollments/cancel"] {
            let (_, seen) = desk.post("admin", path, asked(true)).await;
            assert_eq!(seen["matched"], matches, "{error} {path}: {seen}");
        }
        let (_, ordered) = desk.post("admin", "/ops/jobs/retry", asked(false)).await;
        desk.work().await;
        let path = format!("/operations/{}", ordered["id"].as_str().unwrap());
        let (_, done) = desk.ask("admin", "GET", &path, Value::Null).await;
        let counts = (&done["total"], &done["changed"]);
        assert_eq!(counts, (&json!(matches), &json!(matches)), "{error}: {done}");
        desk.database.drop().await;
    }
}

#[tokio::test]
async fn for_every_filter_the_preview_counts_what_the_operation_changes() {
    for whom in ["/enrollments/cancel", "/ops/jobs/cancel"] {
        for filter in [
            json!({ "state": "sleeping" }),
            json!({ "state": "held" }),
            json!({ "sequence": "intro" }),
            json!({ "step": "hello" }),
            json!({ "queue": "email.send" }),
            json!({ "error": "out" }),
            json!({ "since": "2020-01-01T00:00:00Z" }),
            json!({ "until": "2020-01-01T00:00:00Z" }),
        ] {
            let desk = Desk::new().await;
            for held in [None, None, Some("timed out")] {
                desk.enrollment("rita", held).await;
            }
            desk.delivery(None).await;
            desk.delivery(Some("timed out")).await;
            let preview = json!({ "filter": filter, "preview": true });
            let (_, seen) = desk.post("admin", whom, preview).await;
            let (_, ordered) = desk.post("admin", whom, json!({ "filter": filter })).await;
            assert_eq!(ordered["total"], seen["matched"], "{whom} {filter}");
            desk.work().await;
            let path = format!("/operations/{}", ordered["id"].as_str().unwrap());
            let (_, done) = desk.ask("admin", "GET", &path, Value::Null).await;
            assert_eq!(done["changed"], seen["matched"], "{whom} {filter}: {done}");
            desk.database.drop().await;
        }
    }
}

#[tokio::test]
async fn a_reason_is_kept_with_ids_as_with_a_filter() {
    let desk = Desk::new().await;
    let mine = desk.enrollment("rita", None).await;
    let asked = json!({ "ids": [enr(mine)], "reason": "she asked for it" });
    let (status, done) = desk.post("rita", "/enrollments/pause", asked).await;
    assert_eq!((status, &done["changed"]), (200, &json!(1)), "{done}");
    let operation = done["operation_id"].as_str().unwrap();
    let (_, kept) = desk.ask("rita", "GET", &format!("/operations/{operation}"), Value::Null).await;
    assert_eq!(
        (&kept["reason"], &kept["status"], &kept["changed"]),
        (&json!("she asked for it"), &json!("done"), &json!(1)),
        "{kept}"
    );
    let history = format!("/enrollments/{}/history", enr(mine));
    let (_, history) = desk.ask("rita", "GET", &history, Value::Null).await;
    let actor = history["data"][1]["actor"].as_str().unwrap();
    assert!(actor.ends_with(&format!("by {operation}")), "{history}");
    let long = json!({ "ids": [enr(mine)], "reason": "x".repeat(501) });
    assert_eq!(desk.post("rita", "/enrollments/resume", long).await.0, 422);
    let paced = json!({ "ids": [enr(mine)], "per_second": 1 });
    assert_eq!(desk.post("rita", "/enrollments/resume", paced).await.0, 422);
    desk.database.drop().await;
}

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
