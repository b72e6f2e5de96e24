//! Problems: what a request is answered with that can't be served, as RFC 9457 has it.
//!
//! A handler returns a [`Problem`]; the gateway writes the body, because only it knows the request's id.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use crm::own_run::OwnRunError;
use crm::reach::Refusal;
use serde::Serialize;
use utoipa::ToSchema;

/// What kind of problem it is; the slug is a contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The body can't be read at all.
    Malformed,
    /// No token, or one that is not good.
    Unauthorized,
    /// Address and password do not belong together.
    InvalidCredentials,
    /// A refresh token that is not good.
    InvalidToken,
    /// The role does not allow it.
    Forbidden,
    /// There is no such resource, or it is another customer's.
    NotFound,
    /// The resource has no such method.
    MethodNotAllowed,
    /// A rule of the data forbids it.
    Conflict,
    /// The address logs in already.
    EmailTaken,
    /// The customer has a contact of this address.
    DuplicateContact,
    /// The customer has one of this name.
    NameTaken,
    /// The sequence takes nobody.
    SequenceNotActive,
    /// The state does not allow it.
    WrongState,
    /// It was changed since the caller read it.
    ChangedMeanwhile,
    /// A change does not say what it was made from.
    NoPrecondition,
    /// The request of this key is being answered.
    StillRunning,
    /// The key was another request's.
    KeyReused,
    /// What was answered told of somebody who was erased.
    Erased,
    /// Too many requests.
    TooMany,
    /// The body is over the limit.
    TooLarge,
    /// The body is of another type.
    UnsupportedMediaType,
    /// Some value is not allowed.
    Invalid,
    /// A definition has problems, all of which are listed.
    DefinitionRefused,
    /// A change of a sequence has somebody in its way, all of whom are listed.
    PlanRefused,
    /// What was planned is not what would be done by now.
    PlanChanged,
    /// Something here is broken.
    Internal,
    /// It took too long, or the database does not answer; worth trying again.
    Unavailable,
    /// It needs a mail, and the server has no way to send one.
    NoMailServer,
    /// A service behind the gateway answered what can't be read.
    BadGateway,
    /// A service behind the gateway did not answer in time.
    GatewayTimeout,
}

impl Kind {
    /// All of them.
    const ALL: [Self; 30] = [
        Self::Malformed,
        Self::Unauthorized,
        Self::InvalidCredentials,
        Self::InvalidToken,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Conflict,
        Self::EmailTaken,
        Self::DuplicateContact,
        Self::NameTaken,
        Self::SequenceNotActive,
        Self::WrongState,
        Self::ChangedMeanwhile,
        Self::NoPrecondition,
        Self::StillRunning,
        Self::KeyReused,
        Self::Erased,
        Self::TooMany,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::Invalid,
        Self::DefinitionRefused,
        Self::PlanRefused,
        Self::PlanChanged,
        Self::Internal,
        Self::Unavailable,
        Self::NoMailServer,
        Self::BadGateway,
        Self::GatewayTimeout,
    ];

    /// Status, slug and title.
    fn row(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as Status;
        match self {
            Self::Malformed => (Status::BAD_REQUEST, "malformed", "The request can't be read"),
            Self::Unauthorized => (Status::UNAUTHORIZED, "unauthorized", "Log in first"),
            Self::InvalidCredentials => {
                (Status::UNAUTHORIZED, "invalid-credentials", "Wrong email or password")
            }
            Self::InvalidToken => (Status::UNAUTHORIZED, "invalid-token", "The token is not good"),
            Self::Forbidden => (Status::FORBIDDEN, "forbidden", "The role does not allow this"),
            Self::NotFound => (Status::NOT_FOUND, "not-found", "There is nothing here"),
            Self::MethodNotAllowed => {
                (Status::METHOD_NOT_ALLOWED, "method-not-allowed", "No such method here")
            }
            Self::Conflict => (Status::CONFLICT, "conflict", "The data forbids this"),
            Self::EmailTaken => (Status::CONFLICT, "email-taken", "The address has an account"),
            Self::DuplicateContact => {
                (Status::CONFLICT, "duplicate-contact", "The contact is there already")
            }
            Self::NameTaken => (Status::CONFLICT, "name-taken", "The name is taken"),
            Self::SequenceNotActive => {
                (Status::CONFLICT, "sequence-not-active", "The sequence takes nobody")
            }
            Self::WrongState => (Status::CONFLICT, "wrong-state", "The state does not allow this"),
            Self::ChangedMeanwhile => {
                (Status::PRECONDITION_FAILED, "changed-meanwhile", "It was changed meanwhile")
            }
            Self::NoPrecondition => {
                (Status::PRECONDITION_REQUIRED, "no-precondition", "Say what you read")
            }
            Self::StillRunning => (Status::CONFLICT, "still-running", "It is being answered"),
            Self::KeyReused => {
                (Status::UNPROCESSABLE_ENTITY, "key-reused", "The key was another request's")
            }
            Self::Erased => {
                (Status::GONE, "erased", "What was answered told of somebody who was erased")
            }
            Self::TooMany => (Status::TOO_MANY_REQUESTS, "too-many", "Too many requests"),
            Self::TooLarge => (Status::PAYLOAD_TOO_LARGE, "too-large", "The body is too large"),
            Self::UnsupportedMediaType => (
                Status::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "The body is of another type",
            ),
            Self::Invalid => (Status::UNPROCESSABLE_ENTITY, "invalid", "Some values are not good"),
            Self::DefinitionRefused => {
                (Status::UNPROCESSABLE_ENTITY, "definition-refused", "The definition has problems")
            }
            Self::PlanRefused => {
                (Status::CONFLICT, "plan-refused", "Somebody stands in the way of the change")
            }
            Self::PlanChanged => {
                (Status::PRECONDITION_FAILED, "plan-changed", "The plan is not the newest")
            }
            Self::Internal => (Status::INTERNAL_SERVER_ERROR, "internal", "Something broke here"),
            Self::Unavailable => (Status::SERVICE_UNAVAILABLE, "unavailable", "Try again soon"),
            Self::NoMailServer => {
                (Status::SERVICE_UNAVAILABLE, "no-mail-server", "No mail can leave this server")
            }
            Self::BadGateway => (Status::BAD_GATEWAY, "bad-gateway", "A service answers badly"),
            Self::GatewayTimeout => {
                (Status::GATEWAY_TIMEOUT, "gateway-timeout", "A service took too long")
            }
        }
    }

    /// The kind of a status that no handler of ours explained.
    pub(crate) fn of(status: StatusCode) -> Self {
        match status {
            StatusCode::UNAUTHORIZED => Self::Unauthorized,
            StatusCode::FORBIDDEN => Self::Forbidden,
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::CONFLICT => Self::Conflict,
            StatusCode::GONE => Self::Erased,
            StatusCode::PRECONDITION_FAILED => Self::ChangedMeanwhile,
            StatusCode::PRECONDITION_REQUIRED => Self::NoPrecondition,
            StatusCode::TOO_MANY_REQUESTS => Self::TooMany,
            StatusCode::PAYLOAD_TOO_LARGE => Self::TooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::UnsupportedMediaType,
            StatusCode::UNPROCESSABLE_ENTITY => Self::Invalid,
            StatusCode::SERVICE_UNAVAILABLE => Self::Unavailable,
            StatusCode::BAD_GATEWAY => Self::BadGateway,
            StatusCode::GATEWAY_TIMEOUT => Self::GatewayTimeout,
            status if status.is_client_error() => Self::Malformed,
            _status => Self::Internal,
        }
    }
}

/// One thing that is wrong in what was given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Fault {
    /// The field, as its path in the body or its name in the query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The part of the body, as a JSON Pointer (RFC 6901); for a body of TOML, the part of its document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<Box<str>>,
    /// The line of a definition as `rendered` shows it, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The column in characters, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// Why a request was not served.
#[derive(Debug, Clone)]
pub struct Problem {
    kind: Kind,
    detail: Option<String>,
    errors: Vec<Fault>,
    rendered: Option<String>,
    retry_after: Option<Duration>,
}

/// Why a request was not served (RFC 9457), in the order in which people read it.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Body<'a> {
    /// What kind of problem it is; it stays the same.
    #[schema(example = "/problems/invalid")]
    r#type: String,
    /// The kind in words.
    title: &'a str,
    /// The HTTP status.
    status: u16,
    /// What is wrong with this request.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    /// Each thing that is wrong.
    #[serde(skip_serializing_if = "<[Fault]>::is_empty")]
    errors: &'a [Fault],
    /// The same as a drawing for a terminal.
    #[serde(skip_serializing_if = "Option::is_none")]
    rendered: Option<&'a str>,
    /// The id of the request, as in `X-Request-Id`.
    request_id: &'a str,
}

impl Problem {
    /// A problem of this kind that its title explains.
    pub fn new(kind: Kind) -> Self {
        Self { kind, detail: None, errors: Vec::new(), rendered: None, retry_after: None }
    }

    /// The same with a sentence about this request.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// One field's value that is not allowed.
    pub fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid).fault(Fault {
            field: Some(field.into()),
            message: message.into(),
            ..Fault::default()
        })
    }

    /// The same with one more thing that is wrong.
    #[must_use]
    pub fn fault(mut self, fault: Fault) -> Self {
        self.errors.push(fault);
        self
    }

    /// Each thing that is wrong.
    pub(crate) fn faults(self) -> Vec<Fault> {
        self.errors
    }

    /// The same with when it is worth trying again.
    #[must_use]
    pub fn retry_after(mut self, left: Duration) -> Self {
        self.retry_after = Some(left);
        self
    }

    /// The same with a drawing for a terminal.
    #[must_use]
    pub fn rendered(mut self, rendered: String) -> Self {
        self.rendered = Some(rendered);
        self
    }

    /// The body for the request of this id.
    pub(crate) fn body(&self, request_id: &str) -> Vec<u8> {
        let (status, slug, title) = self.kind.row();
        let body = Body {
            r#type: name(slug),
            title,
            status: status.as_u16(),
            detail: self.detail.as_deref(),
            errors: &self.errors,
            rendered: self.rendered.as_deref(),
            request_id,
        };
        serde_json::to_vec(&body).expect("texts and numbers have a form in JSON")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, ..) = self.kind.row();
        let mut response = status.into_response();
        match self.kind {
            Kind::Unauthorized | Kind::InvalidToken => {
                // RFC 6750, section 3.
                let challenge = HeaderValue::from_static("Bearer realm=\"salesos\"");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            }
            Kind::Unavailable | Kind::NoMailServer | Kind::TooMany => {
                // Whole seconds, never too few.
                let left = self.retry_after.unwrap_or_default().as_millis().div_ceil(1_000).max(1);
                if let Ok(seconds) = HeaderValue::from_str(&left.to_string()) {
                    response.headers_mut().insert(header::RETRY_AFTER, seconds);
                }
            }
            Kind::Malformed
            | Kind::InvalidCredentials
            | Kind::Forbidden
            | Kind::NotFound
            | Kind::MethodNotAllowed
            | Kind::Conflict
            | Kind::EmailTaken
            | Kind::DuplicateContact
            | Kind::NameTaken
            | Kind::SequenceNotActive
            | Kind::WrongState
            | Kind::ChangedMeanwhile
            | Kind::NoPrecondition
            | Kind::StillRunning
            | Kind::KeyReused
            | Kind::Erased
            | Kind::TooLarge
            | Kind::UnsupportedMediaType
            | Kind::Invalid
            | Kind::DefinitionRefused
            | Kind::PlanRefused
            | Kind::PlanChanged
            | Kind::Internal
            | Kind::BadGateway
            | Kind::GatewayTimeout => {}
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<OwnRunError> for Problem {
    fn from(error: OwnRunError) -> Self {
        match error {
            OwnRunError::Database(error) => error.into(),
            OwnRunError::Broken(_) => {
                tracing::error!(%error, "a run of our own could not be begun");
                Self::new(Kind::Internal)
            }
        }
    }
}

fn name(slug: &str) -> String {
    format!("/problems/{slug}")
}

/// The types of all problems, as their member `type` names them.
pub(crate) fn types() -> Vec<String> {
    Kind::ALL.map(|kind| name(kind.row().1)).to_vec()
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        match Refusal::of(&error) {
            Some(Refusal::Constraint(constraint)) => return violated(&constraint),
            Some(refusal @ Refusal::Value) => {
                return Self::new(Kind::Invalid).detail(refusal.reason());
            }
            Some(refusal @ Refusal::OutOfReach) => {
                return Self::new(Kind::Forbidden).detail(refusal.reason());
            }
            None => {}
        }
        let code = error.as_database_error().and_then(|error| error.code());
        if code.as_deref() == Some(CANCELED) {
            tracing::warn!(%error, "a statement took too long");
            return Self::new(Kind::Unavailable).detail(
                "the database worked on this for 25 seconds and stopped; ask for less, such as by a narrower filter",
            );
        }
        let gone = code.is_some_and(|code| passes(&code))
            || matches!(
                &error,
                sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_)
            );
        tracing::error!(%error, "a statement failed");
        Self::new(if gone { Kind::Unavailable } else { Kind::Internal })
    }
}

/// `query_canceled`: a statement met its timeout.
const CANCELED: &str = "57014";

/// Whether a refusal of Postgres, by its code, passes, with nothing changed: a lost deadlock (class 40), a lost
/// connection (08), a full server (53), one that stops (57).
fn passes(code: &str) -> bool {
    ["08", "40", "53", "57"].iter().any(|class| code.starts_with(class))
}

/// What a violated constraint means to whoever asked.
fn violated(constraint: &str) -> Problem {
    match constraint {
        "users_email" => Problem::new(Kind::EmailTaken),
        "contacts_email" => Problem::new(Kind::DuplicateContact),
        "sequences_name" | "teams_name" | "lists_name" | "accounts_name" | "custom_fields_key" => {
            Problem::new(Kind::NameTaken)
        }
        other => Problem::new(Kind::Conflict).detail(format!("the rule `{other}` forbids it")),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::{Kind, Problem, passes};

    #[test]
    fn whoever_lost_a_deadlock_may_try_again() {
        assert!(passes("40P01") && passes("40001") && passes("57P01") && passes("53300"));
        assert!(!passes("42703") && !passes("23505"));
    }

    #[test]
    fn a_problem_says_what_it_is_and_which_request_it_answers() {
        let body = Problem::invalid("email", "is no address").body("req_1");
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["type"], "/problems/invalid");
        assert_eq!(body["status"], 422);
        assert_eq!(body["errors"][0]["field"], "email");
        assert_eq!(body["request_id"], "req_1");
        assert!(body.get("detail").is_none(), "what is unknown is left out");
        let types = super::types();
        assert!(types.contains(&"/problems/invalid".to_owned()) && types.len() == Kind::ALL.len());
    }

    #[test]
    fn a_status_that_nobody_explained_becomes_a_kind_of_the_same_status() {
        for status in [401, 403, 404, 405, 409, 413, 415, 422, 500, 502, 503, 504] {
            let status = axum::http::StatusCode::from_u16(status).unwrap();
            assert_eq!(Kind::of(status).row().0, status);
        }
    }
}
