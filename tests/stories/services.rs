//! The API in both arrangements: in one process, and as seven services behind a gateway, of which one dies.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use ring::hmac;
use serde_json::{Value, json};
use sqlx::ConnectOptions;
use tokio::process::{Child, Command};

use crate::database::{self, TestDatabase};
use crate::salesos::{Api, Folder, Served, said, until};

const SOON: Duration = Duration::from_secs(15);
const SERVICES: [&str; 7] = ["auth", "crm", "email", "calendar", "sequences", "activities", "ops"];
const INTERNAL_SECRET: &str = "between the services, and longer than 32";

const SEQUENCE: &str = r#"name = "note"
title = "A note"
subject = "contact"

[[steps]]
id = "note"
type = "activity.log"
title = "Thought of {{ contact.first_name }}"
"#;

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

/// A folder on a database of the test's own.
async fn begin() -> (Folder, TestDatabase) {
    let database = database::database().await;
    let url = database.options.to_url_lossy().to_string();
    (Folder::bare().with_database(url), database)
}

fn command(folder: &Folder, args: &[&str]) -> Command {
    let mut command = folder.command(args);
    command.env("JWT_SECRET", "of the users' tokens, longer than 32");
    command.env("ENCRYPTION_KEY", "of all that is sealed and longer than 32");
    command.env("INTERNAL_SECRET", INTERNAL_SECRET);
    command.env("TRUSTED_PROXIES", "127.0.0.1");
    command
}

async fn service(folder: &Folder, name: &str, port: &str) -> Served {
    let command = command(folder, &["serve", "--only", name, "--port", port]);
    Served::start(folder, name, command).await
}

/// A gateway that knows where these services are.
async fn gateway(folder: &Folder, services: &[Served]) -> Served {
    let mut command = command(folder, &["serve", "--only", "gateway", "--port", "0"]);
    for (name, service) in SERVICES.iter().zip(services) {
        let setting = format!("{}_SERVICE_URL", name.to_uppercase());
        command.env(setting, format!("http://{}", service.address()));
    }
    Served::start(folder, "gateway", command).await
}

/// From signing up to a timeline that tells what a worker did.
async fn story(folder: &Folder, api: &mut Api) -> Value {
    api.get("/readyz").await.with(200);
    let (email, password) = ("ann@acme.example", "correct horse battery");
    let new = json!({ "email": email, "password": password, "name": "Ann", "company": "Acme" });
    api.post("/api/v1/auth/signup", new).await.with(201);
    let login = json!({ "email": email, "password": password });
    let session = api.post("/api/v1/auth/login", login).await.with(200);
    api.sign_in(&session);
    api.get("/api/v1/auth/me").await.with(200);

    let new = json!({ "email": "bo@lead.example", "first_name": "Bo" });
    let contact = api.post("/api/v1/contacts", new).await.with(201);
    let contacts = api.get("/api/v1/contacts?limit=10").await.with(200);
    assert_eq!(contacts["data"][0]["id"], contact["id"], "{contacts}");
    let made = api.ask("POST", "/api/v1/sequences", "application/toml", SEQUENCE).await.with(201);
    let sequence = format!("/api/v1/sequences/{}", text(&made["id"]));
    api.post(&format!("{sequence}/activate"), json!({})).await.with(200);
    let contacts = json!({ "contact_ids": [contact["id"]] });
    let enrolled = api.post(&format!("{sequence}/enrollments"), contacts).await.with(201);
    let enrollment = format!("/api/v1/enrollments/{}", text(&enrolled["enrollments"][0]["id"]));

    let worker = Served::start(folder, "worker", command(folder, &["worker"])).await;
    until("the enrollment to end", SOON, || async {
        let found = api.get(&enrollment).await.with(200);
        (found["state"] == "completed").then_some(())
    })
    .await;
    api.get("/api/v1/ops/jobs").await.with(200);
    let told = api.get("/api/v1/activities").await.with(200);
    assert!(told.to_string().contains("Thought of Bo"), "{told}");
    assert_eq!(worker.errors(), Vec::<String>::new());
    assert!(worker.stop().await.success());
    session
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_serves_the_whole_story() {
    let (folder, database) = begin().await;
    let command = command(&folder, &["serve", "--port", "0"]);
    let whole = Served::start(&folder, "whole", command).await;
    story(&folder, &mut whole.api()).await;
    assert_eq!(whole.errors(), Vec::<String>::new());
    assert!(whole.stop().await.success());
    database.drop().await;
}

#[expect(clippy::disallowed_methods, reason = "it is a setting of the tests alone")]
pub(super) fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|text| !text.is_empty())
}

/// A PgBouncer that gives its few connections out for a transaction at a time; killed with its guard.
struct Pooler {
    _process: Child,
    url: String,
}

impl Pooler {
    /// One before the server of this database; `None` where PgBouncer is missing.
    async fn start(folder: &Folder, database: &TestDatabase) -> Option<Self> {
        let program = Path::new("/usr/sbin/pgbouncer");
        if !program.exists() {
            assert!(!is_ci(), "CI skips nothing, but PgBouncer is missing");
            eprintln!("skipped: PgBouncer is missing");
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (options, user) = (&database.options, database.options.get_username());
        let settings = format!(
            "[databases]\n* = host={} port={} user={user}\n\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\n\
             default_pool_size = 3\nmax_client_conn = 200\n",
            options.get_host(),
            options.get_port(),
        );
        let file = folder.write("pgbouncer.ini", &settings);
        let mut command = Command::new(program);
        // It does not run as root.
        if std::process::Command::new("id").arg("-u").output().unwrap().stdout == b"0\n" {
            command.args(["-u", "postgres"]);
        }
        let process = command.arg("-q").arg(file).kill_on_drop(true).spawn().unwrap();
        until("the pooler", SOON, || async {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
        let url = options.clone().host("127.0.0.1").port(port).to_url_lossy().to_string();
        Some(Self { _process: process, url })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_goes_through_a_transaction_pooler() {
    let (folder, database) = begin().await;
    let Some(pooler) = Pooler::start(&folder, &database).await else { return };
    let direct = database.options.to_url_lossy().to_string();
    let folder = folder.with_database(pooler.url.clone()).with_direct_url(direct);
    let whole = Served::start(&folder, "whole", command(&folder, &["serve", "--port", "0"])).await;
    story(&folder, &mut whole.api()).await;
    // Eight connections share three of the server's: what one customer's transaction said is the next one's no more.
    let mut desks = Vec::new();
    for name in ["cleo", "dora"] {
        let mut api = whole.api();
        let new = json!({ "email": format!("{name}@{name}.example"), "password": "correct horse", "name": name, "company": name });
        let session = api.post("/api/v1/auth/signup", new).await.with(201);
        api.sign_in(&session);
        api.post("/api/v1/contacts", json!({ "email": format!("lead@{name}.example") }))
            .await
            .with(201);
        desks.push((name, api));
    }
    let desks = &desks;
    join_all((0..100).map(|n| async move {
        let (name, api) = &desks[n % 2];
        let found = api.get("/api/v1/contacts?q=lead").await.with(200);
        assert_eq!(found["data"][0]["email"], format!("lead@{name}.example"));
        assert_eq!(found["data"].as_array().unwrap().len(), 1, "{found}");
    }))
    .await;
    assert_eq!(whole.errors(), Vec::<String>::new());
    assert!(whole.stop().await.success());
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seven_services_serve_it_behind_a_gateway_and_go_on_without_one_of_them() {
    let (folder, database) = begin().await;
    let starting = SERVICES.iter().map(|name| service(&folder, name, "0"));
    let mut services = join_all(starting).await;
    let gateway = gateway(&folder, &services).await;
    let mut api = gateway.api();
    let session = story(&folder, &mut api).await;
    refuses_what_does_not_come_from_the_gateway(&database, &services[1].api(), &session).await;

    let crm = services.remove(1);
    let port = crm.port().to_owned();
    crm.kill().await;
    let problem = until("the gateway to miss crm", SOON, || async {
        let reply = api.get("/api/v1/contacts").await;
        (reply.status == 503).then_some(reply.body)
    })
    .await;
    assert!(text(&problem["detail"]).contains("`crm`"), "{problem}");
    assert!(text(&problem["request_id"]).starts_with("req_"), "{problem}");
    api.get("/api/v1/sequences").await.with(200);
    let ready = api.get("/readyz").await.with(200);
    let said = [&ready["services"]["crm"], &ready["services"]["sequences"]];
    assert_eq!(said, ["does not answer", "answers"], "{ready}");

    services.push(service(&folder, "crm", &port).await);
    until("crm to answer again", SOON, || async {
        (api.get("/api/v1/contacts").await.status == 200).then_some(())
    })
    .await;
    assert_eq!(gateway.errors(), Vec::<String>::new());
    let ended = join_all(services.into_iter().map(Served::stop)).await;
    assert!(ended.iter().all(std::process::ExitStatus::success), "{ended:?}");
    assert!(gateway.stop().await.success());
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pending_migration_stops_the_start_and_is_no_readiness() {
    let (folder, database) = begin().await;
    let serve = ["serve", "--port", "0"];
    let whole = Served::start(&folder, "whole", command(&folder, &serve)).await;
    whole.api().get("/readyz").await.with(200);
    let newest = "update _sqlx_migrations set success = $1
      where version = (select max(version) from _sqlx_migrations)";
    sqlx::query(newest).bind(false).execute(&database.pool).await.unwrap();
    let unready = whole.api().get("/readyz").await.with(503);
    assert!(text(&unready["detail"]).contains("salesos migrate"), "{unready}");
    for args in [&serve[..], &["worker"]] {
        let refused = said(command(&folder, args)).await.refused(1);
        assert_eq!(refused, "migrations are not applied (1); run `salesos migrate` first");
    }
    sqlx::query(newest).bind(true).execute(&database.pool).await.unwrap();
    whole.api().get("/readyz").await.with(200);
    assert!(whole.stop().await.success());
    database.drop().await;
}

/// Each way to come past the gateway; the one that is signed as the gateway signs shows that the others could work.
async fn refuses_what_does_not_come_from_the_gateway(
    database: &TestDatabase,
    crm: &Api,
    session: &Value,
) {
    let path = "/api/v1/contacts";
    let now: i64 = sqlx::query_scalar("select extract(epoch from now())::bigint")
        .fetch_one(&database.pool)
        .await
        .unwrap();
    let customer = text(&session["customer"]["id"]);
    let claims = |audience: &str, method: &str, expires: i64| {
        json!({ "iss": "salesos-gateway", "aud": audience, "iat": now, "exp": expires, "htm": method,
                "htu": path, "cus": customer, "as": "user", "sub": session["user"]["id"],
                "role": "owner", "team": null, "sid": "01890000-0000-7000-8000-000000000000" })
    };
    crm.get(path).await.with(401);
    let bearer = format!("Bearer {}", text(&session["access_token"]));
    crm.get_with(path, "authorization", &bearer).await.with(401);
    let context = "x-tenant-context";
    crm.get_with(path, context, customer).await.with(401);
    for claims in [
        claims("crm", "GET", now - 60),
        claims("sequences", "GET", now + 60),
        claims("crm", "DELETE", now + 60),
    ] {
        crm.get_with(path, context, &signed(&claims, INTERNAL_SECRET)).await.with(401);
    }
    let good = claims("crm", "GET", now + 60);
    let others = signed(&good, "another secret, as long as the first");
    crm.get_with(path, context, &others).await.with(401);
    crm.get_with(path, context, &signed(&good, INTERNAL_SECRET)).await.with(200);
}

/// A JSON web token under HS256.
fn signed(claims: &Value, secret: &str) -> String {
    let header = URL_SAFE_NO_PAD.encode(br#"{"alg":"HS256","typ":"JWT"}"#);
    let text = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string().as_bytes()));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
}
