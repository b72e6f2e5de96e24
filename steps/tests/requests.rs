//! `http.request` against a server of this machine: what is sent, what is kept, and where it never goes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use engine::context::Parts;
use engine::step::{Effect, Outcome, StepError};
use futures_util::FutureExt;
use serde_json::json;
use steps::{AllowedHosts, FindAddresses, Http, Services};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::support::{definition, parts, refusal, run, services_without_database};

/// A server that answers each request in its turn, and keeps what was asked.
struct Server {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    /// Keeps answers that never end open.
    _open: oneshot::Sender<()>,
}

/// How a request is answered.
enum Answer {
    /// With these bytes.
    Bytes(String),
    /// With these bytes, and then with nothing more while the server is there.
    Stalls(String),
    /// Not at all: the connection ends.
    Ends,
}

fn answer(status: &str, headers: &str, body: &str) -> Answer {
    let length = body.len();
    Answer::Bytes(format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    ))
}

async fn server(answers: Vec<Answer>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (open, closed) = oneshot::channel();
    let (kept, closed) = (Arc::clone(&asked), closed.shared());
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let request = request(&mut stream).await;
            kept.lock().unwrap().push(request);
            let (bytes, stalls) = match answer {
                Answer::Bytes(bytes) => (bytes, false),
                Answer::Stalls(bytes) => (bytes, true),
                Answer::Ends => (String::new(), false),
            };
            // Who was told enough may have gone.
            let _written = stream.write_all(bytes.as_bytes()).await;
            if stalls {
                let closed = closed.clone();
                tokio::spawn(async move {
                    let _closed = closed.await;
                    drop(stream);
                });
            }
        }
    });
    Server { port, asked, _open: open }
}

/// A request with its body, by the length that it tells.
async fn request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return text;
            }
        }
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(read > 0, "the request ended early: {text}");
        bytes.extend_from_slice(&buffer[..read]);
    }
}

impl Server {
    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// A DNS of these names; every other is not found.
fn names(known: &[(&str, &str)]) -> FindAddresses {
    let known: BTreeMap<String, std::net::IpAddr> = known
        .iter()
        .map(|(name, address)| ((*name).to_owned(), address.parse().unwrap()))
        .collect();
    Arc::new(move |host| {
        let found = known.get(&host).copied();
        async move {
            found.map(|address| vec![address]).ok_or_else(|| std::io::Error::other("no such host"))
        }
        .boxed()
    })
}

/// The first step's context, with these hosts allowed.
fn entered(allow: &str, names: FindAddresses, keys: &str) -> Parts {
    let allowed = AllowedHosts::parse(allow).unwrap();
    let http = Http::on_this_machine(allowed, names);
    let services = Services { http, ..services_without_database() };
    let body = format!("[[steps]]\nid = \"first\"\ntype = \"http.request\"\n{keys}\n");
    parts(&definition(&services, &body))
}

/// Asks a server that is known as `api.example` and allowed.
async fn ask(server: &Server, keys: &str) -> Result<Outcome, StepError> {
    let allow = format!("http://api.example:{}", server.port);
    let url = format!("url = \"http://api.example:{}/leads\"\n{keys}", server.port);
    run(entered(&allow, names(&[("api.example", "127.0.0.1")]), &url)).await
}

fn failed(outcome: Result<Outcome, StepError>) -> String {
    match outcome {
        Err(StepError::Fail { reason }) => reason,
        other => panic!("it did not fail: {other:?}"),
    }
}

fn tried_again(outcome: Result<Outcome, StepError>) -> (String, Option<u64>) {
    match outcome {
        Err(StepError::Retry { reason, after }) => (reason, after.map(|after| after.as_secs())),
        other => panic!("it is not tried again: {other:?}"),
    }
}

#[tokio::test]
async fn a_request_is_filled_in_and_carries_the_key_of_its_step() {
    let json = "content-type: application/json; charset=utf-8\r\n";
    let server =
        server(vec![answer("201 Created", json, r#"{"id": "l_1", "deep": {"n": 2}}"#)]).await;
    let allow = format!("http://api.example:{}", server.port);
    let keys = format!(
        "url = \"http://api.example:{}/leads?q={{{{ contact.title | urlencode }}}}\"\n\
         headers = {{ X-Source = \"{{{{ contact.first_name }}}}\" }}\n\
         json = {{ email = \"{{{{ contact.email }}}}\", list = [\"{{{{ contact.last_name }}}}\", 3, true] }}",
        server.port
    );
    let parts = entered(&allow, names(&[("api.example", "127.0.0.1")]), &keys);
    assert_eq!(parts.definition.steps[0].effect, Effect::Idempotent);
    let key = format!("{}/first/0", engine::id::show("run", parts.run_id));
    let outcome = run(parts).await.unwrap();
    let output = json!({ "status": 201, "body": { "id": "l_1", "deep": { "n": 2 } } });
    assert_eq!(outcome.output, Some(output));
    let asked = server.asked().remove(0);
    assert!(asked.starts_with("POST /leads?q=VP%20Sales HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains(&format!("\r\nidempotency-key: {key}\r\n")), "{asked}");
    assert!(asked.contains("\r\nx-source: Ada\r\n"), "{asked}");
    assert!(asked.contains("\r\ncontent-type: application/json\r\n"), "{asked}");
    assert!(asked.ends_with(r#"{"email":"ada@example.com","list":["Byron",3,true]}"#), "{asked}");
}

#[tokio::test]
async fn the_status_decides_whether_it_is_done_tried_again_or_failed() {
    let server = server(vec![
        answer("204 No Content", "", ""),
        answer("404 Not Found", "", "nobody"),
        answer("404 Not Found", "", "nobody"),
        answer("429 Too Many Requests", "retry-after: 17\r\n", ""),
        answer("503 Service Unavailable", "retry-after: Fri, 31 Dec 2027 23:59:59 GMT\r\n", ""),
        Answer::Ends,
    ])
    .await;
    let get = "method = \"GET\"";
    let done = ask(&server, get).await.unwrap();
    assert_eq!(done.output, Some(json!({ "status": 204 })));
    assert!(!server.asked()[0].contains("idempotency-key"), "a GET changes nothing");
    assert_eq!(failed(ask(&server, get).await), "api.example answered 404 Not Found");
    let accepted = ask(&server, "method = \"GET\"\naccept = [404]").await.unwrap();
    assert_eq!(accepted.output, Some(json!({ "status": 404 })));
    assert_eq!(tried_again(ask(&server, get).await).1, Some(17));
    assert_eq!(tried_again(ask(&server, get).await).1, None);
    assert!(tried_again(ask(&server, get).await).0.starts_with("api.example could not be asked"));
}

#[tokio::test]
async fn of_an_answer_that_is_too_large_the_status_counts_and_one_that_never_ends_is_not_waited_for()
 {
    let huge = format!("HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n{}", "x".repeat(70_000));
    let endless = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{}",
        format!("1000\r\n{}\r\n", "x".repeat(4096)).repeat(20)
    );
    let slow = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf".to_owned();
    let silent = String::new();
    let missing = endless.replace("200 OK", "404 Not Found");
    let busy = slow.replace("200 OK", "503 Service Unavailable\r\nretry-after: 9");
    let server = server(vec![
        Answer::Stalls(huge),
        Answer::Stalls(endless),
        Answer::Stalls(missing),
        Answer::Stalls(busy),
        Answer::Stalls(slow),
        Answer::Stalls(silent),
    ])
    .await;
    for _ in 0..2 {
        assert_eq!(ask(&server, "").await.unwrap().output, Some(json!({ "status": 200 })));
    }
    assert_eq!(failed(ask(&server, "").await), "api.example answered 404 Not Found");
    assert_eq!(tried_again(ask(&server, "").await).1, Some(9));
    for _ in 0..2 {
        let (reason, _) = tried_again(ask(&server, "timeout = \"1s\"").await);
        assert_eq!(reason, "no answer within 900ms");
    }
}

#[tokio::test]
async fn of_a_long_or_broken_answer_only_the_status_is_kept() {
    let kind = "content-type: application/problem+json\r\n";
    let server = server(vec![
        answer("200 OK", kind, &format!("[\"{}\"]", "x".repeat(17_000))),
        answer("200 OK", kind, "{ broken"),
        answer("200 OK", "content-type: text/plain\r\n", "{}"),
        answer("200 OK", kind, r#"{"a\u0000": "b\u0000"}"#),
    ])
    .await;
    for _ in 0..3 {
        assert_eq!(ask(&server, "").await.unwrap().output, Some(json!({ "status": 200 })));
    }
    let clean = json!({ "status": 200, "body": { "a\u{fffd}": "b\u{fffd}" } });
    assert_eq!(ask(&server, "").await.unwrap().output, Some(clean));
}

#[tokio::test]
async fn a_body_that_is_too_large_never_leaves() {
    let server = server(Vec::new()).await;
    let keys = "json = { text = \"{{ 'x' * 70000 }}\" }";
    assert!(failed(ask(&server, keys).await).contains("64 KiB is the most"));
    assert_eq!(server.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn a_host_that_is_not_listed_is_never_asked() {
    let server = server(Vec::new()).await;
    let port = server.port;
    let here = || names(&[("api.example", "127.0.0.1"), ("other.example", "127.0.0.1")]);
    for url in [
        format!("http://other.example:{port}/"),
        format!("http://127.0.0.1:{port}/"),
        format!("https://api.example:{port}/"),
        "http://api.example/".to_owned(),
    ] {
        let allow = format!("http://api.example:{port}");
        let reason = failed(run(entered(&allow, here(), &format!("url = \"{url}\""))).await);
        assert!(reason.contains("SALESOS_HTTP_ALLOW"), "{url}: {reason}");
    }
    let named = format!("url = \"http://name:word@api.example:{port}/\"");
    let reason = failed(run(entered(&format!("http://api.example:{port}"), here(), &named)).await);
    assert!(reason.contains("holds a name or a password"), "{reason}");
    assert_eq!(server.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn a_name_that_leads_inside_is_never_asked() {
    for inside in ["10.0.0.7", "169.254.169.254", "::ffff:127.0.0.1", "fd00::1", "0.0.0.0"] {
        let names = names(&[("api.example", inside)]);
        let keys = "url = \"https://api.example/\"";
        let reason = failed(run(entered("api.example", names, keys)).await);
        assert!(reason.ends_with("is no address of the public internet"), "{inside}: {reason}");
    }
    // The production's own way to find addresses, at names and addresses that lead to this machine.
    for (allow, url) in [
        ("http://localhost:1", "http://localhost:1/"),
        ("http://127.0.0.1:1", "http://127.0.0.1:1/"),
        ("http://127.0.0.1:1", "http://0x7f.1:1/"),
        ("http://[::1]:1", "http://[::1]:1/"),
    ] {
        let http = Http::new(AllowedHosts::parse(allow).unwrap());
        let services = Services { http, ..services_without_database() };
        let body = format!("[[steps]]\nid = \"first\"\ntype = \"http.request\"\nurl = \"{url}\"\n");
        let reason = failed(run(parts(&definition(&services, &body))).await);
        assert!(reason.ends_with("is no address of the public internet"), "{url}: {reason}");
    }
}

#[tokio::test]
async fn a_name_that_is_not_found_is_tried_again() {
    let asked = run(entered("api.example", names(&[]), "url = \"https://api.example/\"")).await;
    assert!(tried_again(asked).0.contains("no such host"));
}

#[tokio::test]
async fn redirects_are_followed_inside_of_the_list_alone_and_not_for_ever() {
    let to = |location: &str| answer("302 Found", &format!("location: {location}\r\n"), "");
    let keep =
        |location: &str| answer("307 Temporary Redirect", &format!("location: {location}\r\n"), "");
    let server = server(vec![
        to("/elsewhere"),
        answer("200 OK", "", ""),
        keep("/elsewhere"),
        answer("200 OK", "", ""),
        to("https://evil.example/"),
        to("http://127.0.0.1:1/"),
        to("/1"),
        to("/2"),
        to("/3"),
        to("/4"),
    ])
    .await;
    let keys = "json = { a = 1 }\nheaders = { X-Token = \"t\" }";
    ask(&server, keys).await.unwrap();
    ask(&server, keys).await.unwrap();
    let asked = server.asked();
    assert!(
        asked[1].starts_with("GET /elsewhere ") && !asked[1].contains("{\"a\":1}"),
        "{}",
        asked[1]
    );
    assert!(
        asked[3].starts_with("POST /elsewhere ") && asked[3].ends_with("{\"a\":1}"),
        "{}",
        asked[3]
    );
    assert!(asked[3].contains("x-token: t"), "{}", asked[3]);
    for _ in 0..2 {
        let reason = failed(ask(&server, keys).await);
        assert!(reason.contains("SALESOS_HTTP_ALLOW"), "{reason}");
    }
    assert_eq!(failed(ask(&server, keys).await), "api.example redirects more than 3 times");
}

#[tokio::test]
async fn headers_meant_for_one_host_are_not_told_to_another() {
    let second = server(vec![answer("200 OK", "", "")]).await;
    let location = format!("location: http://other.example:{}/\r\n", second.port);
    let first = server(vec![answer("307 Temporary Redirect", &location, "")]).await;
    let allow = format!("http://api.example:{} http://other.example:{}", first.port, second.port);
    let names = names(&[("api.example", "127.0.0.1"), ("other.example", "127.0.0.1")]);
    let keys = format!(
        "url = \"http://api.example:{}/\"\nheaders = {{ Authorization = \"secret\" }}",
        first.port
    );
    run(entered(&allow, names, &keys)).await.unwrap();
    assert!(first.asked()[0].contains("authorization: secret"));
    assert!(!second.asked()[0].contains("secret"), "{}", second.asked()[0]);
}

#[tokio::test]
async fn what_can_never_be_sent_is_refused_with_the_document() {
    for (keys, told) in [
        ("url = \"ftp://x.example\"", "names no host"),
        ("url = \"https://\"", "is no address"),
        ("url = \"https://x.example/{{ contact.\"", "this text is no template"),
        ("url = \"https://x.example\"\njson = { a = [\"{{ x\"] }", "this text is no template"),
        ("url = \"https://x.example\"\nheaders = { Host = \"y\" }", "set by the step itself"),
        ("url = \"https://x.example\"\naccept = [99]", "99 is no status"),
        (
            "url = \"https://x.example\"\nmethod = \"HEAD\"",
            "`HEAD` is nothing that `method` can be",
        ),
    ] {
        let refused =
            refusal(&format!("[[steps]]\nid = \"first\"\ntype = \"http.request\"\n{keys}\n"));
        assert!(refused.contains(told), "{refused}");
    }
}

/// A certificate for `api.example` that no authority has signed, with its key; of these tests alone.
const SELF_SIGNED: &[u8] = include_bytes!("self_signed.pem");

#[tokio::test]
async fn a_certificate_that_nobody_has_signed_is_refused_and_nothing_is_sent() {
    let certificate = CertificateDer::from_pem_slice(SELF_SIGNED).unwrap();
    let key = PrivateKeyDer::from_pem_slice(SELF_SIGNED).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let shaken = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        acceptor.accept(stream).await.map(drop)
    });
    let keys = format!("url = \"https://api.example:{port}/leads\"");
    let known = names(&[("api.example", "127.0.0.1")]);
    let asked = run(entered(&format!("api.example:{port}"), known, &keys)).await;
    let (reason, _) = tried_again(asked);
    assert!(reason.contains("certificate"), "{reason}");
    let refused = shaken.await.unwrap().unwrap_err().to_string();
    assert!(refused.contains("alert"), "the client says why: {refused}");
}
