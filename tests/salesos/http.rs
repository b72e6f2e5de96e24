//! As much of HTTP/1.1 as the API's answers need: one request a connection.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The API of a running `dev`, and who asks it.
pub(crate) struct Api {
    address: String,
    token: Option<String>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Value,
    /// The body as it came, in chunks where it was streamed.
    pub(crate) text: String,
}

impl Reply {
    /// The body of an answer with this status.
    pub(crate) fn with(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }
}

impl Api {
    pub(crate) fn at(address: &str) -> Self {
        Self { address: address.to_owned(), token: None }
    }

    /// Its host and port.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Sends a body under an `Idempotency-Key`.
    pub(crate) async fn post_under(&self, path: &str, key: &str, kind: &str, body: &str) -> Reply {
        let headers = format!("content-type: {kind}\r\nidempotency-key: {key}\r\n");
        self.send("POST", path, &headers, body).await
    }

    /// Asks as whom this session belongs to.
    pub(crate) fn sign_in(&mut self, session: &Value) {
        self.token = Some(session["access_token"].as_str().unwrap().to_owned());
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, "application/json", "").await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.ask("POST", path, "application/json", &body.to_string()).await
    }

    /// Changes something, whatever it is by now.
    pub(crate) async fn patch(&self, path: &str, body: Value) -> Reply {
        let headers = "content-type: application/json\r\nif-match: *\r\n";
        self.send("PATCH", path, headers, &body.to_string()).await
    }

    /// Asks as whoever this header says.
    pub(crate) async fn get_with(&self, path: &str, name: &str, value: &str) -> Reply {
        self.send("GET", path, &format!("{name}: {value}\r\n"), "").await
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, kind: &str, body: &str) -> Reply {
        self.send(method, path, &format!("content-type: {kind}\r\n"), body).await
    }

    async fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> Reply {
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\
             content-length: {}\r\n{headers}",
            self.address,
            body.len(),
        );
        if let Some(token) = &self.token {
            head.push_str(&format!("authorization: Bearer {token}\r\n"));
        }
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        stream.write_all(format!("{head}\r\n{body}").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head ends with a blank line");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let text = body.to_owned();
        let body = serde_json::from_str(body).unwrap_or(Value::Null);
        Reply { status: status.expect("an answer has a status"), body, text }
    }
}
