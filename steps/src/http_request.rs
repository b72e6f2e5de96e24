//! `http.request`: asks another system, and keeps what it answers.
//!
//! The step may be repeated: after an answer that got lost nobody knows whether the request arrived. So it
//! carries the step's key, the same for every attempt, by which a receiver tells a repetition from a second
//! request. GET, PUT and DELETE are idempotent by themselves (RFC 9110, section 9.2.2).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use engine::context::Context;
use engine::step::{FieldType, Outcome, Output, Step, StepError, StepType};
use futures_util::future::{BoxFuture, FutureExt};
use reqwest::Url;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::http::{Answer, Http, MAX_BODY, Request};
use crate::template::{self, Use, render_data};
use crate::texted::Texted;
use crate::{Behaviour, Manual, made};

const MAX_HEADERS: usize = 20;
const MAX_ACCEPTED: usize = 20;
/// The most bytes of an answer that later steps may read; each of them carries it along.
const MAX_KEPT: usize = 16 * 1024;
/// The header that names the request, the same for every attempt
/// (<https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/>).
const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Headers that the connection or this step sets itself.
const OWN: [&str; 9] = [
    "connection",
    "content-length",
    "host",
    "idempotency-key",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Asks another system over HTTP, and keeps its answer.
///
/// Only hosts that whoever runs SalesOS has listed in `SALESOS_HTTP_ALLOW` are asked, at addresses of the public
/// internet. Redirects are followed three times at most, and never to a host that is not listed. The body of a
/// request has at most 64 KiB; of an answer with a longer one, only the status is kept.
///
/// An answer of 200 to 299, or one named in `accept`, is done; 408, 425, 429 and 500 to 599 are tried again, and so
/// is a host that does not answer. Everything else fails. The header `Idempotency-Key` is the same for every
/// attempt of the step: after a lost answer a `POST` or `PATCH` is sent again with it. A receiver that does not
/// look at it may act twice then; `retry = { attempts = 1 }` lets a person decide instead, except after a crash.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Keys {
    /// What to do there; `POST` where nothing stands.
    #[serde(default)]
    method: Method,
    /// Where, such as `https://api.example.com/leads?email={{ contact.email | urlencode }}`; a template.
    url: String,
    /// Headers by name; the values are templates. Whoever reads the sequence reads them.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// The body, sent as JSON; each text in it is a template.
    json: Option<Value>,
    /// Statuses beside 200 to 299 that are done, too, such as `[404]`.
    #[serde(default)]
    accept: Vec<u16>,
}

impl Keys {
    /// What is a template.
    fn texts(&self) -> Vec<(&'static str, &str)> {
        let mut texts = vec![("url", self.url.as_str())];
        texts.extend(self.headers.values().map(|text| ("headers", text.as_str())));
        if let Some(json) = &self.json {
            collect(json, &mut texts);
        }
        texts
    }
}

/// The methods of requests.
#[derive(Deserialize, JsonSchema, Default, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
enum Method {
    Get,
    #[default]
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    fn of_http(self) -> reqwest::Method {
        match self {
            Self::Get => reqwest::Method::GET,
            Self::Post => reqwest::Method::POST,
            Self::Put => reqwest::Method::PUT,
            Self::Patch => reqwest::Method::PATCH,
            Self::Delete => reqwest::Method::DELETE,
        }
    }
}

/// What the reference says of it.
pub(crate) const MANUAL: Manual = Manual {
    outputs: &[
        Output {
            name: "status",
            kind: FieldType::Number,
            description: "The status of the answer, such as 200.",
        },
        Output {
            name: "body",
            kind: FieldType::Any,
            description: "The answer, where it is JSON of at most 16 KiB: `steps.enrich.body.size`.",
        },
    ],
    example: r#"[[steps]]
id = "enrich"
type = "http.request"
method = "GET"
url = "https://api.example.com/companies?name={{ contact.company | default('') | urlencode }}"
headers = { Accept = "application/json" }
accept = [404]

[[steps]]
id = "keep"
type = "crm.update"
when = "has(steps.enrich.body.city)"
set = { city = "{{ steps.enrich.body.city }}" }

[[steps]]
id = "tell"
type = "http.request"
url = "https://hooks.example.com/leads"
json = { email = "{{ contact.email }}", name = "{{ contact.first_name | default('') }}", source = "outbound" }
"#,
};

struct HttpRequest {
    keys: Keys,
    http: Http,
}

/// The step type.
pub(crate) fn step_type(http: Http, behaviour: Behaviour, manual: Manual) -> StepType {
    made("http.request", behaviour, manual, move |keys: Keys| {
        check(&keys)?;
        let step = HttpRequest { keys, http: http.clone() };
        Ok(Arc::new(Texted::new(step, |step| step.keys.texts(), Use::Data)))
    })
}

/// Refuses what could never be sent. Which hosts are allowed is asked when it is sent: the same document
/// is read on machines with other lists.
fn check(keys: &Keys) -> Result<(), String> {
    template::check_all(&keys.texts())?;
    check_url(&keys.url)?;
    check_headers(&keys.headers)?;
    if keys.method == Method::Get && keys.json.is_some() {
        return Err("json: a GET has no body; write method = \"POST\", or remove it".into());
    }
    if keys.accept.len() > MAX_ACCEPTED {
        return Err(format!("accept: these are too many; write at most {MAX_ACCEPTED}"));
    }
    match keys.accept.iter().find(|status| !(200..=599).contains(*status)) {
        Some(status) => Err(format!("accept: {status} is no status; write 200 to 599")),
        None => Ok(()),
    }
}

fn check_url(url: &str) -> Result<(), String> {
    if url.starts_with("{{") {
        return Ok(());
    }
    if !url.starts_with("https://") && !url.starts_with("http://") {
        return Err(format!("url: `{url}` names no host; write https://api.example.com/…"));
    }
    if !url.contains('{') && Url::parse(url).is_err() {
        return Err(format!("url: `{url}` is no address; write https://api.example.com/…"));
    }
    Ok(())
}

fn check_headers(headers: &BTreeMap<String, String>) -> Result<(), String> {
    if headers.len() > MAX_HEADERS {
        return Err(format!("headers: these are {}; write at most {MAX_HEADERS}", headers.len()));
    }
    for name in headers.keys() {
        let read = HeaderName::from_bytes(name.as_bytes());
        let read = read.map_err(|_| {
            format!("headers: `{name}` is no header; write letters and dashes, as in `X-Source`")
        })?;
        if OWN.contains(&read.as_str()) {
            return Err(format!("headers: `{name}` is set by the step itself; remove it"));
        }
    }
    Ok(())
}

/// Every text of a body.
fn collect<'v>(json: &'v Value, texts: &mut Vec<(&'static str, &'v str)>) {
    match json {
        Value::String(text) => texts.push(("json", text)),
        Value::Array(list) => list.iter().for_each(|value| collect(value, texts)),
        Value::Object(entries) => entries.values().for_each(|value| collect(value, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A body with every text filled in.
fn filled(json: &Value, variables: &Value) -> Result<Value, StepError> {
    Ok(match json {
        Value::String(text) => Value::String(render_data("the body", text, variables)?),
        Value::Array(list) => Value::Array(
            list.iter().map(|value| filled(value, variables)).collect::<Result<_, _>>()?,
        ),
        Value::Object(entries) => {
            let filled =
                |(name, value): (&String, &Value)| Ok((name.clone(), filled(value, variables)?));
            Value::Object(entries.iter().map(filled).collect::<Result<_, StepError>>()?)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => json.clone(),
    })
}

impl HttpRequest {
    fn request(&self, cx: &Context, variables: &Value) -> Result<Request, StepError> {
        let fail = |reason: String| StepError::Fail { reason };
        let url = render_data("the url", &self.keys.url, variables)?;
        let url =
            Url::parse(url.trim()).map_err(|error| fail(format!("the url is none: {error}")))?;
        let mut headers = HeaderMap::new();
        for (name, text) in &self.keys.headers {
            let value = render_data(&format!("the header `{name}`"), text, variables)?;
            let value = HeaderValue::from_str(value.trim())
                .map_err(|_| fail(format!("the header `{name}` holds what none can hold")))?;
            let name = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| fail(format!("`{name}` is no header")))?;
            headers.insert(name, value);
        }
        if self.keys.method != Method::Get {
            let key = HeaderValue::from_str(&cx.key())
                .map_err(|_| fail("the step's key is no header".into()))?;
            headers.insert(KEY, key);
        }
        let body = match &self.keys.json {
            None => None,
            Some(json) => {
                let body = filled(json, variables)?.to_string().into_bytes();
                if body.len() > MAX_BODY {
                    let size = body.len().div_ceil(1024);
                    return Err(fail(format!("the body has {size} KiB; 64 KiB is the most")));
                }
                let json = HeaderValue::from_static("application/json");
                headers.entry(CONTENT_TYPE).or_insert(json);
                Some(body)
            }
        };
        Ok(Request { method: self.keys.method.of_http(), url, headers, body })
    }

    async fn ask(&self, cx: &Context) -> Result<Outcome, StepError> {
        let request = self.request(cx, &cx.variables().await?)?;
        // A little less than the engine gives it, so that the reason can say what was waited for.
        let patience = cx.timeout().mul_f64(0.9);
        let asked = async { self.judge(self.http.send(request).await?).await };
        tokio::time::timeout(patience, asked).await.map_err(|_| StepError::Retry {
            reason: format!("no answer within {patience:?}"),
            after: None,
        })?
    }

    /// Whether the answer is one, and what later steps may read of it. Only of one that is done is the body read.
    async fn judge(&self, answer: Answer) -> Result<Outcome, StepError> {
        let status = answer.status().as_u16();
        if answer.status().is_success() || self.keys.accept.contains(&status) {
            let is_json = answer.is_json();
            let body = answer.body().await?.filter(|_| is_json);
            let output = output(status, body.as_deref());
            return Ok(Outcome { output: Some(output), ..Outcome::default() });
        }
        let reason = format!("{} answered {}", answer.host(), answer.status());
        match status {
            408 | 425 | 429 | 500..=599 => Err(StepError::Retry { reason, after: answer.after() }),
            _final => Err(StepError::Fail { reason }),
        }
    }
}

fn output(status: u16, json: Option<&[u8]>) -> Value {
    let body = json.and_then(|json| serde_json::from_slice::<Value>(json).ok());
    match body.map(storable).filter(|body| body.to_string().len() <= MAX_KEPT) {
        Some(body) => json!({ "status": status, "body": body }),
        None => json!({ "status": status }),
    }
}

/// The same without the letter that Postgres can't keep in a text.
fn storable(value: Value) -> Value {
    let text = |text: String| text.replace('\0', "\u{fffd}");
    match value {
        Value::String(written) => Value::String(text(written)),
        Value::Array(list) => Value::Array(list.into_iter().map(storable).collect()),
        Value::Object(entries) => {
            Value::Object(entries.into_iter().map(|(k, v)| (text(k), storable(v))).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

impl Step for HttpRequest {
    fn run<'a>(&'a self, cx: &'a Context) -> BoxFuture<'a, Result<Outcome, StepError>> {
        self.ask(cx).boxed()
    }

    fn rehearse(&self, _: &Context) -> Option<Result<Outcome, StepError>> {
        // As if the other system had taken it.
        Some(Ok(Outcome { output: Some(json!({ "status": 200 })), ..Outcome::default() }))
    }
}

/// How long one attempt may take where the step does not say.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);
