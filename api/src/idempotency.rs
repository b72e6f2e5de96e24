//! `Idempotency-Key`: a POST that is sent again does nothing again and gets the same answer.
//!
//! The answer is kept in the transaction of the change that it reports, so that there is never one without the other. A
//! refusal leaves nothing behind and keeps no answer: the mended request may be sent under the same key. A secret in an
//! answer ([`ShowsSecret`]) is kept sealed. Of a request, only a keyed fingerprint is kept: whoever reads the table can't try
//! out passwords against it.
//! After draft-ietf-httpapi-idempotency-key-header-07.

use axum::Extension;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use crm::idempotency::{self, Answer, Claim, Claimed, SealedSecret};
use crm::vault::Vault;
use ring::{digest, hmac};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::State;
use crate::problem::{Kind, Problem};
use crate::tenant::{self, Asker};

/// What a client names a request by.
pub(crate) const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that an answer was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// The most bytes of an answer that is kept.
const ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// The headers that belong to an answer.
const HEADERS: [HeaderName; 3] = [header::CONTENT_TYPE, header::LOCATION, header::ETAG];

/// A request that is served under its key.
#[derive(Clone)]
pub(crate) struct Keyed {
    key: String,
    fingerprint: Vec<u8>,
    /// Its fingerprints under earlier keys, and without one, as earlier versions kept it.
    earlier: Vec<Vec<u8>>,
}

impl Keyed {
    /// A request of this digest. The first of the keys makes its fingerprint; an answer that was kept under another is still
    /// found, for the day for which it is kept.
    fn new(key: String, keys: &[hmac::Key], digest: &[u8]) -> Self {
        let keyed = |key: &hmac::Key| hmac::sign(key, digest).as_ref().to_vec();
        let mut fingerprints = keys.iter().map(keyed).chain([digest.to_vec()]);
        let fingerprint = fingerprints.next().unwrap_or_default();
        Self { key, fingerprint, earlier: fingerprints.collect() }
    }

    fn claim<'a>(&'a self, actor: &'a str) -> Claim<'a> {
        let Self { key, fingerprint, earlier } = self;
        Claim { actor, key, fingerprint, earlier }
    }
}

/// What becomes of a request with a key.
pub(crate) enum Begun {
    /// It is served; its transaction is in the caller's work.
    Goes(Keyed),
    /// It was answered before.
    Answered(Response),
}

/// An answer whose body shows a secret, such as a new API key. The copy that is kept for a repeated request has it sealed.
pub(crate) struct ShowsSecret<T> {
    /// The secret as the body shows it.
    pub(crate) secret: String,
    /// The answer.
    pub(crate) answer: T,
}

/// The secret of an answer, on its way from the handler to [`keep`].
#[derive(Clone)]
struct Shown(String);

impl<T: IntoResponse> IntoResponse for ShowsSecret<T> {
    fn into_response(self) -> Response {
        (Extension(Shown(self.secret)), self.answer).into_response()
    }
}

/// The key of a request: 1 to 255 visible letters of ASCII.
pub(crate) fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(KEY) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    if (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(Some(text.to_owned()));
    }
    let detail = "`Idempotency-Key` is 1 to 255 visible letters, such as a UUID";
    Err(Problem::new(Kind::Malformed).detail(detail))
}

/// Claims a request's key again, for a handler that undid the transaction that held it. Returns the answer if the request
/// was sent twice and the other one was faster.
pub(crate) async fn claim(
    tx: &mut PgConnection,
    vault: &Vault,
    asker: &Asker,
    keyed: &Keyed,
) -> Result<Option<Response>, Problem> {
    let actor = asker.actor();
    match idempotency::claim(tx, customer_of(asker)?, keyed.claim(&actor)).await? {
        Claimed::New => Ok(None),
        Claimed::Answered { answer, fingerprint } => {
            replayed(answer, vault, &fingerprint).map(Some)
        }
        Claimed::Running => {
            let detail = "the request of this key is still being answered; ask again in a moment";
            Err(Problem::new(Kind::StillRunning).detail(detail))
        }
        Claimed::Erased => Err(Problem::new(Kind::Erased)),
        Claimed::OtherRequest => {
            let detail = "another request had this key; take a new key for each request";
            Err(Problem::new(Kind::KeyReused).detail(detail))
        }
    }
}

/// Begins a request's transaction under its key.
pub(crate) async fn begin(
    state: &State,
    asker: &Asker,
    key: String,
    parts: &Parts,
    body: &Bytes,
) -> Result<Begun, Problem> {
    let keyed = Keyed::new(key, &state.fingerprint_keys, &digest_of(parts, body));
    let mut tx = tenant::begin(&state.pool, asker).await?;
    let answered = claim(&mut tx, &state.vault, asker, &keyed).await?;
    Ok(answered.map_or(Begun::Goes(keyed), Begun::Answered))
}

/// Keeps the answer of a request that was served, in its transaction.
pub(crate) async fn keep(
    state: &State,
    asker: &Asker,
    keyed: Keyed,
    response: Response,
) -> Result<Response, Problem> {
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, ANSWER_BYTES).await.map_err(|error| {
        tracing::error!(%error, "an answer is too large to be kept");
        Problem::new(Kind::Internal)
    })?;
    let kept = |name: &HeaderName| {
        let value = parts.headers.get(name)?.to_str().ok()?;
        Some((name.as_str().to_owned(), value.to_owned()))
    };
    let (kept_body, secret) = match parts.extensions.get::<Shown>() {
        Some(Shown(secret)) => {
            let (rest, sealed) = cut_out(&body, secret, &state.vault, &keyed.fingerprint)?;
            (rest, Some(sealed))
        }
        None => (body.to_vec(), None),
    };
    let answer = Answer {
        status: i16::try_from(parts.status.as_u16()).unwrap_or(i16::MAX),
        headers: HEADERS.iter().filter_map(kept).collect(),
        body: kept_body,
        secret,
    };
    let actor = asker.actor();
    let mut tx = tenant::begin(&state.pool, asker).await?;
    idempotency::keep(&mut tx, customer_of(asker)?, keyed.claim(&actor), &answer).await?;
    Ok(Response::from_parts(parts, Body::from(body)))
}

/// Answers are kept with the customer whose they are.
fn customer_of(asker: &Asker) -> Result<Uuid, Problem> {
    let detail = "answers are kept for customers, not for operators; leave out `Idempotency-Key`";
    asker.customer_id.ok_or_else(|| Problem::new(Kind::Malformed).detail(detail))
}

/// A digest of what makes two requests the same: method, path, query and body.
fn digest_of(parts: &Parts, body: &[u8]) -> Vec<u8> {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(parts.method.as_str().as_bytes());
    hash.update(b" ");
    hash.update(parts.uri.path_and_query().map_or("", |path| path.as_str()).as_bytes());
    hash.update(b"\n");
    hash.update(body);
    hash.finish().as_ref().to_vec()
}

/// The request to which a sealed secret belongs; it opens with no other.
fn record_of(fingerprint: &[u8]) -> Uuid {
    Uuid::from_slice(&fingerprint[..16]).expect("a fingerprint has 32 bytes")
}

/// Parts a body from the secret that it shows.
fn cut_out(
    body: &[u8],
    secret: &str,
    vault: &Vault,
    fingerprint: &[u8],
) -> Result<(Vec<u8>, SealedSecret), Problem> {
    let secret = secret.as_bytes();
    let at = body.windows(secret.len()).position(|part| part == secret).ok_or_else(|| {
        tracing::error!("an answer does not show its secret as it is, and can't be kept");
        Problem::new(Kind::Internal)
    })?;
    let sealed = vault.seal(record_of(fingerprint), secret).map_err(|error| {
        tracing::error!(%error, "the secret of an answer could not be sealed");
        Problem::new(Kind::Internal)
    })?;
    let at_byte = i32::try_from(at).map_err(|_| Problem::new(Kind::Internal))?;
    let rest = [&body[..at], &body[at + secret.len()..]].concat();
    Ok((rest, SealedSecret { at: at_byte, sealed }))
}

/// The body as it was answered.
fn whole(answer: &Answer, vault: &Vault, fingerprint: &[u8]) -> Result<Vec<u8>, Problem> {
    let Some(secret) = &answer.secret else { return Ok(answer.body.clone()) };
    let opened = vault.open(record_of(fingerprint), &secret.sealed).map_err(|error| {
        tracing::error!(%error, "the secret of a kept answer could not be opened");
        Problem::new(Kind::Internal)
    })?;
    let at = usize::try_from(secret.at).ok().filter(|at| *at <= answer.body.len());
    let (before, after) = answer.body.split_at(at.ok_or_else(|| Problem::new(Kind::Internal))?);
    Ok([before, &opened, after].concat())
}

fn replayed(answer: Answer, vault: &Vault, fingerprint: &[u8]) -> Result<Response, Problem> {
    let broken = || Problem::new(Kind::Internal);
    let status = u16::try_from(answer.status).ok().and_then(|code| StatusCode::from_u16(code).ok());
    let body = whole(&answer, vault, fingerprint)?;
    let mut response = (status.ok_or_else(broken)?, body).into_response();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    for (name, value) in answer.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| broken())?;
        headers.insert(name, HeaderValue::from_str(&value).map_err(|_| broken())?);
    }
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(secret: &[u8]) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, secret)
    }

    #[test]
    fn a_fingerprint_is_keyed_and_known_again_after_a_change_of_keys_and_of_the_version() {
        let digest = digest::digest(&digest::SHA256, b"POST /auth/password\n{}");
        let digest = digest.as_ref();
        let before = Keyed::new("k".into(), &[key(b"old")], digest);
        assert_eq!(before.earlier, [digest], "an earlier version kept the digest itself");
        assert_ne!(before.fingerprint, digest);
        let after = Keyed::new("k".into(), &[key(b"new"), key(b"old")], digest);
        assert_ne!(after.fingerprint, before.fingerprint);
        assert_eq!(after.earlier, [before.fingerprint.as_slice(), digest]);
    }
}
