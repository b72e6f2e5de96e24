//! Links that set passwords leave through the mail server of whoever runs SalesOS, and never through a customer's mailbox.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::salesos::{Api, Dev, Folder, MailServer, Mood, RealMailServer, said, token, until};

const SOON: Duration = Duration::from_secs(60);
const PASSWORD: &str = "hush-hush";

/// A `dev` whose clock is fast, and whose own mail leaves by this URL.
async fn start(folder: &Folder, url: &str) -> Dev {
    let mut command = folder.command(&["dev", "--port", "0", "--time-scale", "600"]);
    command
        .env("SYSTEM_MAIL_URL", url)
        .env("SYSTEM_MAIL_FROM", "Acme Sales <no-reply@acme.example>");
    Dev::of(folder, command).await
}

fn plain(server: &MailServer) -> String {
    format!("smtp://robot:{PASSWORD}@{}", server.address)
}

async fn sign_up(dev: &mut Dev) -> Api {
    let mut api = dev.api().await;
    let ann = json!({ "email": "ann@acme.example", "password": "correct horse", "name": "Ann", "company": "Acme" });
    let session = api.post("/api/v1/auth/signup", ann).await.with(201);
    api.sign_in(&session);
    api
}

async fn invite(api: &Api) {
    let ben = json!({ "email": "ben@acme.example", "name": "Ben", "role": "rep" });
    api.post("/api/v1/users", ben).await.with(201);
}

/// Sets a password by a link, as soon as that is valid: its mail leaves before what it says is recorded.
async fn set_password(api: &Api, token: &str) {
    let body = json!({ "token": token, "password": "a first password" });
    until("a link that is valid", SOON, || async {
        let reply = api.post("/api/v1/auth/password/reset", body.clone()).await;
        (reply.status == 204).then_some(())
    })
    .await;
    let login = json!({ "email": "ben@acme.example", "password": "a first password" });
    api.post("/api/v1/auth/login", login).await.with(200);
}

/// Whether a word is anywhere in the database.
async fn is_kept(dev: &Dev, word: &str) -> bool {
    let tables = "select quote_ident(schemaname) || '.' || quote_ident(tablename) from pg_tables
      where schemaname in ('engine', 'public')";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&dev.db).await.unwrap();
    for table in tables {
        let found = format!("select exists (select from {table} t where strpos(t::text, $1) > 0)");
        let found = sqlx::query_scalar::<_, bool>(sqlx::AssertSqlSafe(found)).bind(word);
        if found.fetch_one(&dev.db).await.unwrap() {
            return true;
        }
    }
    false
}

/// Why the run about the mail is where it is: `held`, or tried again.
async fn reasons(dev: &Dev) -> Vec<String> {
    let reasons =
        "select data ->> 'reason' from engine.history where data ? 'reason' order by at, seq";
    sqlx::query_scalar(reasons).fetch_all(&dev.db).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invitation_is_tried_until_the_server_takes_it_and_always_brings_the_same_link() {
    let folder = Folder::new().await;
    let moods = [Mood::SaysAtTheEnd("451 try later"), Mood::TakesAndCuts, Mood::Takes];
    let server = MailServer::open(&moods).await;
    let mut dev = start(&folder, &plain(&server)).await;
    let api = sign_up(&mut dev).await;
    // A mailbox of the customer's own, whose users could read what leaves through it.
    let mailboxes =
        "insert into email_provider_accounts (customer_id, id, provider, email, name, is_default)
      select id, gen_random_uuid(), 'mock', 'sales@acme.example', 'Sales', true from customers";
    sqlx::query(mailboxes).execute(&dev.db).await.unwrap();
    invite(&api).await;
    let came = server.came(3).await;
    assert!(came[2].contains("From: \"Acme Sales\" <no-reply@acme.example>\r\n"), "{}", came[2]);
    assert!(came[2].contains("To: Ben <ben@acme.example>\r\n"), "{}", came[2]);
    let tokens: Vec<String> = came.iter().map(|mail| token(mail)).collect();
    assert!(tokens.iter().all(|token| *token == tokens[0]), "{tokens:?}");
    let id =
        |mail: &str| mail.lines().find(|line| line.starts_with("Message-ID:")).map(str::to_owned);
    assert!(came.iter().all(|mail| id(mail).is_some() && id(mail) == id(&came[0])));
    assert!(!is_kept(&dev, &tokens[0]).await, "the link is in the mail alone");
    set_password(&api, &tokens[0]).await;
    assert_eq!(
        reasons(&dev).await[0],
        format!("{} did not take the mail: transient error (451): try later", server.address)
    );

    // Another mail brings another link, which works as well.
    api.post("/api/v1/auth/password/forgot", json!({ "email": "ben@acme.example" }))
        .await
        .with(202);
    let second = token(&server.came(4).await[3]);
    assert_ne!(second, tokens[0]);
    set_password(&api, &second).await;
    assert!(!folder.data().join("mail").exists(), "no mailbox has sent anything");
    assert_eq!(dev.errors(), Vec::<String>::new());
    assert!(!dev.err().contains(PASSWORD));
    dev.interrupt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_login_is_tried_again_and_a_refused_mail_is_held_until_somebody_retries_it() {
    let folder = Folder::new().await;
    let moods = [
        Mood::Says("AUTH", "535 5.7.8 no such robot hush-hush"),
        Mood::Says("RCPT", "550 5.1.1 no such mailbox"),
    ];
    let server = MailServer::open(&moods).await;
    let mut dev = start(&folder, &plain(&server)).await;
    let api = sign_up(&mut dev).await;
    invite(&api).await;
    let held = "select count(*) from engine.runs where state = 'held'";
    until("the refused mail to be held", SOON, || async {
        (dev.count(held).await == 1).then_some(())
    })
    .await;
    let told = reasons(&dev).await;
    let address = &server.address;
    let login = format!(
        "{address} refused the login with 535; check the user and the password in SYSTEM_MAIL_URL"
    );
    assert_eq!(told[0], login);
    let refused =
        format!("{address} did not take the mail: permanent error (550): 5.1.1 no such mailbox");
    assert_eq!(told.last(), Some(&refused));
    let page = api.get("/api/v1/ops/jobs?state=held").await.with(200);
    assert!(page.to_string().contains("no such mailbox"), "{page}");
    assert!(!is_kept(&dev, PASSWORD).await);
    api.post("/api/v1/ops/jobs/retry", json!({ "filter": { "error": "*no such mailbox*" } })).await;
    let mail = server.came(1).await.remove(0);
    set_password(&api, &token(&mail)).await;
    assert!(!dev.err().contains(PASSWORD));
    dev.interrupt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_out_of_reach_is_tried_again_until_it_is_back() {
    let folder = Folder::new().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut dev = start(&folder, &format!("smtp://{closed}")).await;
    let api = sign_up(&mut dev).await;
    invite(&api).await;
    let told = until("an attempt to fail", SOON, || async { reasons(&dev).await.pop() }).await;
    assert!(told.starts_with(&format!("{closed} can't be reached as a mail server: ")), "{told}");
    assert!(told.ends_with("; check SYSTEM_MAIL_URL"), "{told}");
    dev.interrupt().await;
    // The same link leaves once whoever runs it has set the right server.
    let server = MailServer::open(&[]).await;
    let mut dev = start(&folder, &plain(&server)).await;
    let api = dev.api().await;
    let mail = server.came(1).await.remove(0);
    set_password(&api, &token(&mail)).await;
    dev.interrupt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_mail_server_takes_an_invitation_by_its_login() {
    let Some(server) = RealMailServer::start("robot", "p/w@1").await else { return };
    let folder = Folder::new().await;
    let mut dev = start(&folder, &format!("smtp://robot:p%2Fw%401@{}", server.address)).await;
    let doctor = |url: String| {
        let mut command = folder.command(&["doctor", "--json"]);
        command.env("SYSTEM_MAIL_URL", url).env("SYSTEM_MAIL_FROM", "no-reply@acme.example");
        said(command)
    };
    let found = doctor(format!("smtp://robot:p%2Fw%401@{}", server.address)).await;
    assert!(found.out.contains(&format!("{} answers", server.address)), "{found:?}");
    let found = doctor(format!("smtp://robot:{PASSWORD}@{}", server.address)).await;
    assert!(found.out.contains("refused the login with 535"), "{found:?}");
    assert!(!found.out.contains(PASSWORD) && !found.err.contains(PASSWORD), "{found:?}");
    let api = sign_up(&mut dev).await;
    invite(&api).await;
    let mail = server.came(1).await.remove(0);
    assert!(mail.contains("To: Ben <ben@acme.example>"), "{mail}");
    set_password(&api, &token(&mail)).await;
    assert_eq!(dev.errors(), Vec::<String>::new());
    dev.interrupt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_production_without_a_mail_server_refuses_what_needs_a_mail_and_says_what_to_set() {
    let folder = Folder::new().await;
    // A customer of before, who has no way in by mail either.
    let mut dev = Dev::start(&folder, &[]).await;
    sign_up(&mut dev).await;
    dev.interrupt().await;
    let production = |args: &[&str]| {
        let mut command = folder.command(args);
        command.env("SALESOS_ENV", "production");
        command
    };
    let mut dev = Dev::of(&folder, production(&["dev", "--port", "0"])).await;
    let mut api = dev.api().await;
    let refused = |reply: Value| {
        assert_eq!(reply["type"], "/problems/no-mail-server", "{reply}");
        assert!(reply["detail"].as_str().unwrap().contains("SYSTEM_MAIL_URL"), "{reply}");
    };
    let cy = json!({ "email": "cy@globex.example", "password": "correct horse", "name": "Cy", "company": "Globex" });
    refused(api.post("/api/v1/auth/signup", cy).await.with(503));
    for email in ["ann@acme.example", "nobody@acme.example"] {
        let forgot = json!({ "email": email });
        refused(api.post("/api/v1/auth/password/forgot", forgot).await.with(503));
    }
    // An operator's way in needs no mail.
    let args = ["users", "create", "dan@acme.example", "--role", "admin"];
    let made = said(production(&args)).await.done();
    let (_, password) = made.split_once("password ").unwrap();
    let login = json!({ "email": "dan@acme.example", "password": password.trim() });
    let session = api.post("/api/v1/auth/login", login).await.with(200);
    api.sign_in(&session);
    let ben = json!({ "email": "ben@acme.example", "name": "Ben", "role": "rep" });
    refused(api.post("/api/v1/users", ben).await.with(503));
    assert_eq!(dev.count("select count(*) from users").await, 2, "nobody is made");
    assert_eq!(dev.count("select count(*) from engine.runs").await, 0, "nothing is queued");
    assert!(dev.err().contains("SYSTEM_MAIL_URL is not set"), "{}", dev.err());

    let doctor = said(production(&["doctor", "--json"])).await;
    assert_eq!(doctor.code, 1, "{doctor:?}");
    assert!(doctor.out.contains("SYSTEM_MAIL_URL is not set"), "{doctor:?}");
    assert!(fs::read_dir(folder.data().join("mail")).is_err(), "no mail was written");
    dev.interrupt().await;
}
