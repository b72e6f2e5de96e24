//! Who comes in: reads the permission that a route names in the document, lets in whoever has it, and ends the
//! request's transaction by its answer.

use std::collections::HashMap;

use axum::body::{Body, to_bytes};
use axum::extract::{MatchedPath, Request, State as Shared};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use crate::State;
use crate::auth::authenticate;
use crate::idempotency::{self, Begun, Keyed};
use crate::input::{BODY_BYTES, too_large};
use crate::permission::{self, Permission};
use crate::problem::Problem;
use crate::tenant::Caller;

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

    fn asks(&self, request: &Request) -> Option<&'static Permission> {
        let path = request.extensions().get::<MatchedPath>()?;
        let method = match *request.method() {
            Method::HEAD => &Method::GET,
            ref method => method,
        };
        self.0.get(path.as_str())?.get(method).copied()
    }
}

/// Lets a request in, or answers why not.
pub(super) async fn guard(Shared(state): Shared<State>, request: Request, next: Next) -> Response {
    match state.doors.asks(&request) {
        None => next.run(request).await,
        Some(permission) => {
            let answered = serve(&state, permission, request, next).await;
            answered.unwrap_or_else(Problem::into_response)
        }
    }
}

async fn serve(
    state: &State,
    permission: &Permission,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let caller = authenticate::caller(state, request.method(), request.headers()).await?;
    caller.check(permission)?;
    let mut keyed = None;
    if *request.method() == Method::POST
        && let Some(key) = idempotency::key(request.headers())?
    {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, BODY_BYTES).await.map_err(|_| too_large())?;
        match idempotency::begin(state, &caller, key, &parts, &body).await {
            Ok(Begun::Goes(under)) => keyed = Some(under),
            Ok(Begun::Answered(response)) => {
                undo(&caller).await;
                return Ok(response);
            }
            Err(problem) => {
                undo(&caller).await;
                return Err(problem);
            }
        }
        request = Request::from_parts(parts, Body::from(body));
    }
    let reads = request.method().is_safe();
    request.extensions_mut().insert(caller.clone());
    let response = next.run(request).await;
    end(state, &caller, keyed, reads, response).await
}

/// Keeps what a good answer tells of; undoes what was refused. What only read is not waited for.
async fn end(
    state: &State,
    caller: &Caller,
    keyed: Option<Keyed>,
    reads: bool,
    mut response: Response,
) -> Result<Response, Problem> {
    let good = !response.status().is_client_error() && !response.status().is_server_error();
    if good && let Some(keyed) = keyed {
        response = idempotency::keep(state, caller, keyed, response).await?;
    }
    if good && !reads {
        if let Some(tx) = caller.work.take() {
            tx.commit().await?;
        }
    } else if !reads {
        undo(caller).await;
    }
    Ok(response)
}

/// Undoes what was begun before the request is answered, so that whoever asks again at once finds no lock of it.
async fn undo(caller: &Caller) {
    if let Some(tx) = caller.work.take()
        && let Err(error) = tx.rollback().await
    {
        tracing::warn!(%error, "a refused request could not be undone; its connection is closed");
    }
}
