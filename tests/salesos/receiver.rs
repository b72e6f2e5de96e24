//! A customer's system that webhooks tell of events.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::Value;

use super::until;

const SOON: Duration = Duration::from_secs(60);

/// What came to the customer's system.
#[derive(Debug, Clone)]
pub(crate) struct Came {
    pub(crate) id: String,
    pub(crate) timestamp: String,
    pub(crate) signature: String,
    pub(crate) body: String,
}

impl Came {
    /// Whether this secret (`whsec_…`) has signed it.
    pub(crate) fn is_signed_by(&self, secret: &str) -> bool {
        let secret = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        let signed = format!("{}.{}.{}", self.id, self.timestamp, self.body);
        self.signature.split(' ').any(|signature| {
            let tag = STANDARD.decode(signature.strip_prefix("v1,").unwrap()).unwrap();
            hmac::verify(&key, signed.as_bytes(), &tag).is_ok()
        })
    }

    pub(crate) fn told(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A customer's system, which answers as it is told to, in turn; at the end always the last way.
pub(crate) struct Receiver {
    /// Where it is.
    pub(crate) url: String,
    came: Arc<Mutex<Vec<Came>>>,
    answers: Arc<Mutex<Vec<u16>>>,
}

impl Receiver {
    /// Opens one.
    pub(crate) async fn open(answers: &[u16]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let came = Arc::new(Mutex::new(Vec::new()));
        let answers = Arc::new(Mutex::new(answers.to_vec()));
        let (noting, answering) = (Arc::clone(&came), Arc::clone(&answers));
        let take = move |headers: HeaderMap, body: Bytes| async move {
            let header = |name: &str| headers[name].to_str().unwrap().to_owned();
            noting.lock().unwrap().push(Came {
                id: header("webhook-id"),
                timestamp: header("webhook-timestamp"),
                signature: header("webhook-signature"),
                body: String::from_utf8(body.to_vec()).unwrap(),
            });
            let mut answers = answering.lock().unwrap();
            let status = if answers.len() > 1 { answers.remove(0) } else { answers[0] };
            StatusCode::from_u16(status).unwrap()
        };
        let router = Router::new().route("/hook", post(take));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, came, answers }
    }

    /// Answers so from now on.
    pub(crate) fn answer(&self, status: u16) {
        *self.answers.lock().unwrap() = vec![status];
    }

    /// What came, once that is so much.
    pub(crate) async fn came(&self, count: usize) -> Vec<Came> {
        until("the customer's system to be told", SOON, || async {
            let came = self.came.lock().unwrap().clone();
            (came.len() >= count).then_some(came)
        })
        .await
    }
}
