//! `webhook.deliver`: tells a customer's system of an event, signed as Standard Webhooks say
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>). Every attempt carries
//! the same `webhook-id`, by which the receiver knows one that it had.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crm::vault::Vault;
use crm::webhook::{self, ATTEMPTS, Answered, Sending};
use crm::writers::WEBHOOK_ANSWERED;
use engine::context::Context;
use engine::fact::Fact;
use engine::step::{Outcome, Step, StepError, StepType};
use futures_util::future::{BoxFuture, FutureExt};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use ring::hmac;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::http::{Answer, Http, Request};
use crate::{Behaviour, Manual, Services, made, unavailable};

/// How long one attempt may take.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// How customers' systems are told.
#[derive(Clone)]
pub struct Webhooks {
    /// Through what.
    pub http: Http,
    /// Opens the secrets that sign.
    pub vault: Vault,
}

/// Tells a customer's system of an event: the delivery which is the workflow's subject. It is tried again until it is
/// answered with 200 to 299, for a day and a half. The status alone counts, whatever body follows it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Keys {}

/// What the reference says of it.
const MANUAL: Manual = Manual {
    outputs: &[],
    example: r#"[[steps]]
id = "deliver"
type = "webhook.deliver"
"#,
};

struct Deliver {
    services: Services,
}

/// The step type.
pub(crate) fn step_type(services: Services, behaviour: Behaviour) -> StepType {
    made("webhook.deliver", behaviour, MANUAL, move |Keys {}| {
        Ok(Arc::new(Deliver { services: services.clone() }))
    })
}

impl Deliver {
    async fn deliver(&self, cx: &Context) -> Result<Outcome, StepError> {
        let found = webhook::to_send(&self.services.db, cx.customer_id(), cx.subject_id()).await;
        let Some(sending) = found.map_err(|error| unavailable(&error))? else {
            return Ok(Outcome::default());
        };
        let attempts = cx.attempt();
        let answered = |status: Option<u16>, error: Option<String>| {
            let data = json!(Answered { attempts, status, error });
            Ok(Outcome { facts: vec![Fact { kind: WEBHOOK_ANSWERED, data }], ..Outcome::default() })
        };
        if let Some(reason) = &sending.stopped {
            return answered(None, Some(reason.clone()));
        }
        let answer = match self.send(cx, &sending).await {
            Ok(answer) => answer,
            Err(StepError::Retry { reason, .. }) if attempts >= ATTEMPTS => {
                return answered(None, Some(reason));
            }
            Err(StepError::Fail { reason }) => return answered(None, Some(reason)),
            Err(error) => return Err(error),
        };
        let (status, reason, after) = (answer.status(), refusal(&answer), answer.after());
        // The status has decided already, so nothing that a body does can change it.
        answer.read_past().await;
        let code = Some(status.as_u16());
        match status.as_u16() {
            200..=299 => answered(code, None),
            // Whoever says so wants no more of it.
            410 => answered(code, Some("it is gone".into())),
            _refused if attempts >= ATTEMPTS => answered(code, Some(reason)),
            _refused => Err(StepError::Retry { reason, after }),
        }
    }

    async fn send(&self, cx: &Context, sending: &Sending) -> Result<Answer, StepError> {
        let request = self.request(cx.now().timestamp(), sending)?;
        let patience = cx.timeout().mul_f64(0.9);
        let sent = self.services.webhooks.http.send_once(&request);
        tokio::time::timeout(patience, sent).await.map_err(|_| StepError::Retry {
            reason: format!("no answer within {patience:?}"),
            after: None,
        })?
    }

    fn request(&self, timestamp: i64, sending: &Sending) -> Result<Request, StepError> {
        let fail = |reason: String| StepError::Fail { reason };
        let url = Url::parse(&sending.url).map_err(|error| fail(error.to_string()))?;
        let vault = &self.services.webhooks.vault;
        let mut signatures = Vec::new();
        for sealed in &sending.secrets {
            // Whoever runs SalesOS can put the key back, so that this comes right later.
            let secret = vault
                .open(sending.webhook_id, sealed)
                .map_err(|error| StepError::Retry { reason: error.to_string(), after: None })?;
            signatures.push(signature(&secret, &sending.event, timestamp, &sending.body));
        }
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (CONTENT_TYPE, "application/json".to_owned()),
            (ID, sending.event.clone()),
            (TIMESTAMP, timestamp.to_string()),
            (SIGNATURE, signatures.join(" ")),
        ] {
            let value = HeaderValue::from_str(&value);
            headers.insert(name, value.map_err(|_| fail("a header can't be written".into()))?);
        }
        let body = Some(sending.body.clone().into_bytes());
        Ok(Request { method: Method::POST, url, headers, body })
    }
}

/// Why an attempt failed that was answered so.
fn refusal(answer: &Answer) -> String {
    let status = answer.status();
    if !status.is_redirection() {
        return format!("it answered {status}");
    }
    let location = answer.location().map(|url| format!(", `{url}`")).unwrap_or_default();
    format!(
        "it answered {status}, and redirects are not followed; set the webhook's url to the final one{location}"
    )
}

/// What proves that a message of this id and instant (in seconds since 1970) is ours.
fn signature(secret: &[u8], id: &str, timestamp: i64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let tag = hmac::sign(&key, format!("{id}.{timestamp}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(tag.as_ref()))
}

impl Step for Deliver {
    fn run<'a>(&'a self, cx: &'a Context) -> BoxFuture<'a, Result<Outcome, StepError>> {
        self.deliver(cx).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::{Engine, STANDARD, signature};

    #[test]
    fn a_signature_is_that_of_the_standards_own_example() {
        // From the tests of its reference libraries.
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("base64");
        let signed = signature(
            &secret,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
