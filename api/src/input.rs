//! What requests bring: bodies, query strings and ids, refused with the field that is wrong.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use engine::id;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::problem::{Fault, Kind, Problem};

/// The most bytes of a body.
pub(crate) const BODY_BYTES: usize = 1024 * 1024;

/// A JSON body; unknown fields are refused by the type that it becomes.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let is_json = content_type(request.headers()).is_none_or(|kind| kind == "application/json");
        if !is_json {
            return Err(Problem::new(Kind::UnsupportedMediaType).detail("send application/json"));
        }
        read_json(&bytes(request, state).await?).map(Self)
    }
}

/// The whole body, within the limit.
pub(crate) async fn bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(),
        _other => Problem::new(Kind::Malformed).detail("the body ended early"),
    })
}

/// That a body is over the limit.
pub(crate) fn too_large() -> Problem {
    let detail = format!("a body has at most {} KiB", BODY_BYTES / 1024);
    Problem::new(Kind::TooLarge).detail(detail)
}

/// The type of the body without its parameters, in lower case.
pub(crate) fn content_type(headers: &HeaderMap) -> Option<String> {
    let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// Reads a body as JSON; what is wrong carries the path of its field.
pub(crate) fn read_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    match Json::<T>::from_bytes(bytes) {
        Ok(Json(value)) => Ok(value),
        Err(rejection) if rejection.status() == StatusCode::UNPROCESSABLE_ENTITY => {
            Err(Problem::new(Kind::Invalid).fault(fault(&rejection.body_text())))
        }
        Err(rejection) => {
            let text = rejection.body_text();
            let detail = text.split_once(": ").map_or(text.as_str(), |(_, cause)| cause);
            Err(Problem::new(Kind::Malformed).detail(format!("the body is no JSON: {detail}")))
        }
    }
}

/// The fault in a rejection's text, `Failed to …: path: what is wrong at line 1 column 2`.
fn fault(text: &str) -> Fault {
    let cause = text.split_once(": ").map_or(text, |(_, cause)| cause);
    // Where the path is the document itself, the cause stands alone.
    let (field, message) = match cause.split_once(": ") {
        Some((path, message)) if !path.contains(' ') => (Some(path.to_owned()), message),
        Some(_) | None => (None, cause),
    };
    let message = message.split(" at line ").next().unwrap_or(message).to_owned();
    // A field that is missing or unknown is named by the message alone.
    let named = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
    let field = match (field, named) {
        (Some(path), Some(name)) => Some(format!("{path}.{name}")),
        (None, Some(name)) => Some(name.to_owned()),
        (path, None) => path,
    };
    Fault { field, message, ..Fault::default() }
}

/// The query string; unknown names are refused by the type that it becomes.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(Problem::new(Kind::Invalid).fault(fault(&rejection.body_text()))),
        }
    }
}

/// The id in a path; what is no id of the kind names nothing that is here.
pub(crate) fn path_id(prefix: &'static str, text: &str) -> Result<Uuid, Problem> {
    id::read(prefix, text).map_err(|error| Problem::new(Kind::NotFound).detail(error.to_string()))
}

/// An id in a field.
pub(crate) fn field_id(field: &str, prefix: &'static str, text: &str) -> Result<Uuid, Problem> {
    id::read(prefix, text).map_err(|error| Problem::invalid(field, error.to_string()))
}

/// An id in a field that may be left out.
pub(crate) fn optional_id(
    field: &str,
    prefix: &'static str,
    text: Option<&str>,
) -> Result<Option<Uuid>, Problem> {
    text.map(|text| field_id(field, prefix, text)).transpose()
}

/// A mail address in a field, as it is stored.
pub(crate) fn address(field: &str, text: &str) -> Result<String, Problem> {
    crm::address::parse(text).map_err(|invalid| Problem::invalid(field, invalid.to_string()))
}

/// Refuses a body that names no records: neither by `ids` nor by a `filter`.
pub(crate) fn names_nothing() -> Problem {
    Problem::invalid("ids", "is missing; give `ids` or a `filter`")
}

/// Refuses a body that names records by `ids` and by a `filter`.
pub(crate) fn names_twice() -> Problem {
    Problem::invalid("ids", "give either `ids` or `filter`, not both")
}

/// What people call something: 1 to 200 characters, without blanks around them.
pub(crate) fn name(text: &str) -> Result<String, Problem> {
    bounded("name", text, 200)?;
    let text = text.trim();
    if text.is_empty() { Err(Problem::invalid("name", "is empty")) } else { Ok(text.to_owned()) }
}

/// A text of at most so many characters.
pub(crate) fn bounded(field: &str, text: &str, most: usize) -> Result<(), Problem> {
    if text.chars().count() <= most {
        Ok(())
    } else {
        Err(Problem::invalid(field, format!("is too long; {most} characters are the most")))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use serde::Deserialize;

    use super::read_json;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[expect(dead_code, reason = "read for its shape only")]
        inner: Inner,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[expect(dead_code, reason = "read for its shape only")]
        count: u32,
    }

    fn refused(body: &str) -> serde_json::Value {
        let problem = read_json::<Outer>(body.as_bytes()).unwrap_err();
        serde_json::from_slice(&problem.body("")).unwrap()
    }

    #[test]
    fn what_is_wrong_in_a_body_is_named_by_its_field() {
        let cases = [
            (r#"{"inner":{"count":"x"}}"#, "inner.count"),
            (r#"{"inner":{}}"#, "inner.count"),
            (r#"{"inner":{"count":1,"more":2}}"#, "inner.more"),
            (r#"{}"#, "inner"),
            (r#"{"other":1}"#, "other"),
        ];
        for (body, field) in cases {
            assert_eq!(refused(body)["errors"][0]["field"], field, "{body}");
        }
    }

    #[test]
    fn what_is_no_json_is_malformed() {
        assert_eq!(refused("{")["status"], 400);
        assert_eq!(refused("")["status"], 400);
    }
}
