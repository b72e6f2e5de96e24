//! Who comes in: reads the permission that a route names in the document, lets in whoever has it, and ends the
//! request's transaction by its answer. Whoever asks too often is not let in.

use std::collections::HashMap;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State as Shared};
use axum::http::request::Parts;
use axum::http::{Extensions, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::client::Client;
use super::limits::{Payer, Standing};
use crate::State;
use crate::idempotency::{self, Begun, Keyed};
use crate::input::{BODY_BYTES, too_large};
use crate::permission::{self, Permission};
use crate::problem::Problem;
use crate::tenant::Asker;
use crate::uploads;

/// What each route asks of whoever comes; a route that is not here asks nothing.
pub(crate) struct Doors(HashMap<String, HashMap<Method, &'static Permission>>);

impl Doors {
    /// Those of a document, by each operation's `security`.
    ///
    /// # Panics
    /// Where an operation names a word that the table of permissions lacks; a test builds all of them.
    pub(crate) fn of(document: &Value) -> Self {
        let mut doors: HashMap<String, HashMap<Method, &'static Permission>> = HashMap::new();
        for (path, operations) in document["paths"].as_object().into_iter().flatten() {
            for (method, operation) in operations.as_object().into_iter().flatten() {
                let Some(word) = operation["security"][0]["bearer"][0].as_str() else { continue };
                let found = permission::find(word);
                let found = found.unwrap_or_else(|| panic!("{method} {path} asks for `{word}`"));
                let method = method.to_ascii_uppercase().parse().expect("the document has methods");
                doors.entry(path.clone()).or_default().insert(method, found);
            }
        }
        Self(doors)
    }

    fn asks(&self, parts: &Parts) -> Option<&'static Permission> {
        let path = parts.extensions.get::<MatchedPath>()?;
        let method = match parts.method {
            Method::HEAD => &Method::GET,
            ref method => method,
        };
        self.0.get(path.as_str())?.get(method).copied()
    }
}

/// As what a request is let in.
enum Entry {
    /// As anybody's.
    Public,
    /// As somebody's, for whose route this permission is needed.
    Known(Asker, &'static Permission),
}

/// Looks who asks, and how often. An answer tells where that stands, also a refusal.
async fn admit(state: &State, parts: &Parts) -> (Option<Standing>, Result<Entry, Problem>) {
    let client = parts.extensions.get::<Client>().copied();
    let client = client.unwrap_or_else(|| state.edge.client(parts));
    let limits = &state.edge.limits;
    let known = match state.doors.asks(parts) {
        None => Ok(Entry::Public),
        Some(permission) => {
            let asker = state.edge.asker(state, parts).await;
            let trace = parts.extensions.get().cloned();
            asker.map(|asker| Entry::Known(Asker { trace, ..asker }, permission))
        }
    };
    let standing = match &known {
        Ok(Entry::Known(asker, _)) => limits.take(Payer::Known(&asker.principal)),
        Ok(Entry::Public) | Err(_) => limits.take(Payer::Unknown(client)),
    };
    let within = standing.as_ref().map_or(Ok(()), Standing::check);
    (standing, within.and(known))
}

fn tell(answered: Result<Response, Problem>, standing: Option<Standing>) -> Response {
    let mut response = answered.unwrap_or_else(Problem::into_response);
    if let Some(standing) = standing {
        standing.tell(response.headers_mut());
    }
    response
}

/// Lets a request in to a handler of this process, or answers why not.
pub(super) async fn guard(Shared(state): Shared<State>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let (standing, entry) = admit(&state, &parts).await;
    let request = Request::from_parts(parts, body);
    let answered = match entry {
        Ok(Entry::Public) => Ok(next.run(request).await),
        Ok(Entry::Known(asker, permission)) => {
            serve(&state, asker, permission, request, next).await
        }
        Err(problem) => Err(problem),
    };
    tell(answered, standing)
}

/// Lets a request through to the service behind, which looks at permissions itself, or answers why not.
pub(super) async fn pass(Shared(state): Shared<State>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let (standing, entry) = admit(&state, &parts).await;
    let let_in = entry.map(|entry| match entry {
        Entry::Public => {}
        Entry::Known(asker, _) => {
            parts.extensions.insert(asker);
        }
    });
    let answered = match let_in {
        Ok(()) => Ok(next.run(Request::from_parts(parts, body)).await),
        Err(problem) => Err(problem),
    };
    tell(answered, standing)
}

async fn serve(
    state: &State,
    asker: Asker,
    permission: &Permission,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    asker.check(permission)?;
    // Held until the request is answered, so that no more files are in memory than there are places.
    let _upload = match (takes_a_file(&request), asker.customer_id) {
        (true, Some(customer_id)) => Some(state.uploads.admit(customer_id)?),
        (true, None) | (false, _) => None,
    };
    let mut keyed = None;
    if *request.method() == Method::POST
        && let Some(key) = idempotency::key(request.headers())?
    {
        let (parts, body) = request.into_parts();
        let body = uploads::read(body, most_bytes(&parts)).await?.ok_or_else(too_large)?;
        match idempotency::begin(state, &asker, key, &parts, &body).await {
            Ok(Begun::Goes(under)) => keyed = Some(under),
            Ok(Begun::Answered(response)) => {
                undo(&asker).await;
                return Ok(response);
            }
            Err(problem) => {
                undo(&asker).await;
                return Err(problem);
            }
        }
        request = Request::from_parts(parts, Body::from(body));
    }
    let reads = request.method().is_safe();
    request.extensions_mut().insert(asker.clone());
    if let Some(keyed) = &keyed {
        request.extensions_mut().insert(keyed.clone());
    }
    let response = next.run(request).await;
    end(state, &asker, keyed, reads, response).await
}

/// Whether the body is a file, which may be large and slow.
pub(super) fn takes_a_file<T>(request: &axum::http::Request<T>) -> bool {
    request.method() == Method::POST && is_a_files(request.extensions())
}

fn is_a_files(extensions: &Extensions) -> bool {
    extensions.get::<MatchedPath>().is_some_and(|path| path.as_str() == "/api/v1/imports")
}

/// The most bytes of a body that is read before its handler; that of a file is larger.
fn most_bytes(parts: &Parts) -> usize {
    if is_a_files(&parts.extensions) { crm::import::MAX_BYTES } else { BODY_BYTES }
}

/// Keeps what a good answer tells of; undoes what was refused. What only read is not waited for.
async fn end(
    state: &State,
    asker: &Asker,
    keyed: Option<Keyed>,
    reads: bool,
    mut response: Response,
) -> Result<Response, Problem> {
    let good = !response.status().is_client_error() && !response.status().is_server_error();
    if good && let Some(keyed) = keyed {
        response = idempotency::keep(state, asker, keyed, response).await?;
    }
    if good && !reads {
        if let Some(tx) = asker.work.take() {
            tx.commit().await?;
        }
    } else if !reads {
        undo(asker).await;
    }
    Ok(response)
}

/// Undoes what was begun before the request is answered, so that whoever asks again at once finds no lock of it.
async fn undo(asker: &Asker) {
    if let Err(error) = asker.work.undo().await {
        tracing::warn!(%error, "a refused request could not be undone; its connection is closed");
    }
}
