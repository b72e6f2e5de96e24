//! Whoever reads or writes slowly takes nothing from others: no connection to the database, and no transaction.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::salesos::{Api, Dev, Folder, until};

const SOON: Duration = Duration::from_secs(60);
/// How long an ordinary request may take beside slow ones, on a machine that has other things to do.
const PROMPT: Duration = Duration::from_secs(4);

async fn sign_up(dev: &mut Dev) -> (Api, String) {
    let mut api = dev.api().await;
    let ann = json!({ "email": "ann@acme.example", "password": "correct horse", "name": "Ann", "company": "Acme" });
    let session = api.post("/api/v1/auth/signup", ann).await.with(201);
    api.sign_in(&session);
    (api, session["access_token"].as_str().unwrap().to_owned())
}

/// A connection on which somebody asked, and reads hardly anything of the answer.
async fn slow_reader(address: &str, token: &str, path: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut stream = socket.connect(address.parse().unwrap()).await.unwrap();
    let head =
        format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    // The answer has begun.
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    stream
}

/// How many transactions of the API are open and do nothing.
async fn idle(dev: &Dev) -> i64 {
    let idle = "select count(*) from pg_stat_activity where state like 'idle in transaction%'
      and state_change < clock_timestamp() - interval '300 milliseconds'";
    dev.count(idle).await
}

/// Others are served as if nobody were slow.
async fn others_are_served(api: &Api) {
    let began = Instant::now();
    for path in ["/api/v1/auth/me", "/api/v1/contacts?limit=5", "/api/v1/auth/me"] {
        api.get(path).await.with(200);
    }
    let ann = json!({ "email": "ann@acme.example", "password": "correct horse" });
    api.post("/api/v1/auth/login", ann).await.with(200);
    assert!(began.elapsed() < PROMPT, "it took {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_readers_of_exports_hold_no_connection() {
    let folder = Folder::new().await;
    let mut dev = Dev::start(&folder, &[]).await;
    let (api, token) = sign_up(&mut dev).await;
    let address = api.address().to_owned();
    // Far more than sockets buffer.
    let many = "insert into contacts (customer_id, id, email, title)
      select c.id, gen_random_uuid(), 'p' || n || '@lead.example', repeat('x', 1500)
      from customers c, generate_series(1, 12000) n";
    sqlx::query(many).execute(&dev.db).await.unwrap();
    let refused = "with one as (
        insert into imports (customer_id, id, name, header, mapping, on_duplicate, create_accounts, actor, status, rows,
          done, ended_at)
        select id, gen_random_uuid(), 'x.csv', array['Email', 'Note'], '[null, null]', 'skip', false, 'user:ann', 'done',
          12000, 12000, engine.now() from customers returning customer_id, id)
      insert into import_refusals (customer_id, import_id, line, reason, detail, cells)
      select customer_id, id, n, 'invalid_email', 'write it anew', array['nobody', repeat('y', 1500)]
      from one, generate_series(1, 12000) n";
    sqlx::query(refused).execute(&dev.db).await.unwrap();
    let imports = api.get("/api/v1/imports").await.with(200);
    let errors =
        format!("/api/v1/imports/{}/errors.csv", imports["data"][0]["id"].as_str().unwrap());
    let mut readers = Vec::new();
    for _ in 0..9 {
        readers.push(slow_reader(&address, &token, &errors).await);
        readers.push(slow_reader(&address, &token, "/api/v1/contacts/export.csv").await);
    }
    until("the exports to hold nothing", SOON, || async { (idle(&dev).await == 0).then_some(()) })
        .await;
    others_are_served(&api).await;
    assert_eq!(idle(&dev).await, 0);

    // The slowest gets the whole table, once it reads on.
    let mut last = readers.pop().unwrap();
    drop(readers);
    let mut rest = String::new();
    let read = async {
        let mut buffer = vec![0; 1 << 20];
        while !rest.ends_with("0\r\n\r\n") {
            let count = last.read(&mut buffer).await.unwrap();
            assert!(count > 0, "the export broke off");
            rest.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    };
    tokio::time::timeout(SOON, read).await.expect("the export ends");
    assert_eq!(rest.matches("@lead.example").count(), 12_000);
    assert_eq!(dev.errors(), Vec::<String>::new());
    dev.interrupt().await;
}

/// A connection on which somebody sends a file, and stops in the middle.
async fn paused_upload(address: &str, token: &str, key: Option<&str>) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let key = key.map(|key| format!("idempotency-key: {key}\r\n")).unwrap_or_default();
    let head = format!(
        "POST /api/v1/imports HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n{key}\
         content-type: text/csv\r\ncontent-length: 1000000\r\n\r\nEmail\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// Whether an answer is there, which says that there is no place.
async fn is_refused(stream: &TcpStream) -> bool {
    let mut start = [0; 12];
    let peeked = tokio::time::timeout(Duration::from_millis(50), stream.peek(&mut start)).await;
    matches!(peeked, Ok(Ok(12))) && &start == b"HTTP/1.1 429"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paused_uploads_hold_no_connection_and_are_bounded_in_number() {
    let folder = Folder::new().await;
    let mut dev = Dev::start(&folder, &[]).await;
    let (api, token) = sign_up(&mut dev).await;
    let address = api.address().to_owned();
    // Two of them find a place, whichever come first.
    let mut paused = Vec::new();
    for key in [None, Some("one"), None, Some("two"), None] {
        paused.push(paused_upload(&address, &token, key).await);
    }
    until("the others to be refused", SOON, || async {
        let mut refused = 0;
        for stream in &paused {
            refused += u32::from(is_refused(stream).await);
        }
        (refused == 3).then_some(())
    })
    .await;
    let file = "Email\r\nbo@lead.example\r\n";
    let third = || async { api.ask("POST", "/api/v1/imports", "text/csv", file).await };
    let refused = third().await;
    assert_eq!(refused.status, 429, "{refused:?}");
    assert_eq!(refused.body["type"], "/problems/too-many", "{refused:?}");
    assert_eq!(idle(&dev).await, 0);
    others_are_served(&api).await;
    // Another customer has places of their own.
    let mut other = dev.api().await;
    let cy = json!({ "email": "cy@globex.example", "password": "correct horse", "name": "Cy", "company": "Globex" });
    let session = other.post("/api/v1/auth/signup", cy).await.with(201);
    other.sign_in(&session);
    other.ask("POST", "/api/v1/imports", "text/csv", file).await.with(202);
    drop(paused);
    let made = until("a place for the next file", SOON, || async {
        let reply = third().await;
        (reply.status == 202).then_some(reply.body)
    })
    .await;
    assert_eq!(made["counts"]["rows"], 1, "{made}");
    assert_eq!(dev.errors(), Vec::<String>::new());
    dev.interrupt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_sent_twice_under_one_key_is_imported_once() {
    let folder = Folder::new().await;
    let mut dev = Dev::start(&folder, &[]).await;
    let (api, _) = sign_up(&mut dev).await;
    let file = "Email\r\nbo@lead.example\r\n";
    let send = || async { api.post_under("/api/v1/imports", "a-key", "text/csv", file).await };
    let (one, two) = tokio::join!(send(), send());
    let statuses = [one.status, two.status];
    assert!(statuses.iter().all(|status| [202, 409].contains(status)), "{statuses:?}");
    let again: Value = send().await.with(202);
    assert!(again["id"].is_string(), "{again}");
    assert_eq!(dev.count("select count(*) from imports").await, 1);
    dev.interrupt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_takes_too_long_is_stopped_before_its_request_is_given_up() {
    let folder = Folder::new().await;
    let mut dev = Dev::start(&folder, &[]).await;
    let (api, _) = sign_up(&mut dev).await;
    // Whoever reads contacts waits for this lock, longer than a statement may take.
    let mut lock = dev.db.begin().await.unwrap();
    sqlx::query("lock table contacts").execute(&mut *lock).await.unwrap();
    let began = Instant::now();
    let stopped = api.get("/api/v1/contacts").await;
    let waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like '%contacts_in_reach%'";
    assert_eq!(dev.count(waits).await, 0, "nothing waits on behind the answer");
    let body = stopped.with(503);
    assert!(body["detail"].as_str().unwrap().contains("ask for less"), "{body}");
    assert!(began.elapsed() < Duration::from_secs(29), "it took {:?}", began.elapsed());
    lock.rollback().await.unwrap();
    api.get("/api/v1/contacts").await.with(200);
    dev.interrupt().await;
}
