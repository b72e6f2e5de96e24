//! A service that runs elsewhere: sends it requests, so many at once and each within its time, and waits for none
//! while it does not answer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::uri::{PathAndQuery, Scheme};
use axum::http::{HeaderValue, Request, Response, StatusCode, Uri, Version, header};
use axum::response::IntoResponse;
use engine::clock;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::answer::Passed;
use super::circuit::{Circuit, End, Passage};
use super::edge::Target;
use super::stream::{Held, Progress, Watched};
use crate::problem::{Kind, Problem};
use crate::service::Service;

/// The most requests that one service answers at once, and so the most connections to it.
const AT_ONCE: usize = 256;
/// How long a request waits for its turn.
const TURN_WITHIN: Duration = Duration::from_secs(1);
/// How long a connection may take to be made.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// How long a connection stays that nobody uses.
const IDLE_FOR: Duration = Duration::from_secs(30);
/// How long a service may take to say that it lives.
const ALIVE_WITHIN: Duration = Duration::from_secs(1);

/// A service that runs elsewhere.
pub(crate) struct Upstream {
    pub(super) service: Service,
    target: Target,
    client: Client<HttpConnector, Body>,
    turns: Arc<Semaphore>,
    circuit: Mutex<Circuit>,
    /// How long it may take to answer.
    within: Duration,
}

impl Upstream {
    pub(super) fn new(service: Service, target: Target, within: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_WITHIN));
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_FOR)
            .pool_max_idle_per_host(AT_ONCE)
            .pool_timer(TokioTimer::new())
            .build(connector);
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        Self { service, target, client, turns, circuit: Mutex::default(), within }
    }

    /// Sends a request on; what comes of it is the service's answer, or a problem that names the service.
    pub(super) async fn send(&self, request: Request<Body>) -> Response<Body> {
        let mut passing = match self.ask() {
            Ok(passing) => passing,
            Err(wait) => return self.refuse(wait),
        };
        let Ok(Ok(turn)) = timeout(TURN_WITHIN, Arc::clone(&self.turns).acquire_owned()).await
        else {
            let detail = format!("the service `{}` answers {AT_ONCE} requests", self.service);
            return Problem::new(Kind::Unavailable).detail(detail).into_response();
        };
        match self.exchange(request).await {
            Ok(response) => {
                passing.end = End::Answered;
                let mut response =
                    response.map(|body| Body::new(Held::new(body, self.within, turn)));
                response.extensions_mut().insert(Passed);
                response
            }
            Err(failure) => {
                passing.end = failure.end();
                tracing::warn!(service = %self.service, ?failure, "a request was not answered");
                self.explain(&failure).into_response()
            }
        }
    }

    async fn exchange(&self, request: Request<Body>) -> Result<Response<Body>, Failure> {
        let within = super::patience(&request, self.within);
        let (request, progress) = self.addressed(request);
        match timeout(within, self.client.request(request)).await {
            Ok(Ok(response)) => Ok(response.map(Body::new)),
            Ok(Err(error)) if error.is_connect() => Err(Failure::Unreachable),
            Ok(Err(_)) if progress.is_broken() => Err(Failure::Sender),
            Ok(Err(error)) => {
                tracing::debug!(%error, "the answer of a service can't be read");
                Err(Failure::Broken)
            }
            // Whoever sends its body too slowly is not answered by anybody.
            Err(_) if !progress.is_sent() => Err(Failure::Sender),
            Err(_) => Err(Failure::Late),
        }
    }

    /// The same request to this service, and how far its body is.
    fn addressed(&self, request: Request<Body>) -> (Request<Body>, Arc<Progress>) {
        let (mut parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().cloned();
        parts.uri = self.uri(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
        parts.version = Version::HTTP_11;
        parts.headers.remove(header::HOST);
        let (body, progress) = Watched::new(body);
        (Request::from_parts(parts, Body::new(body)), progress)
    }

    fn uri(&self, path: PathAndQuery) -> Uri {
        let uri = Uri::builder().scheme(Scheme::HTTP).authority(self.target.0.clone());
        uri.path_and_query(path).build().expect("a scheme, an authority and a path are a URI")
    }

    fn ask(&self) -> Result<Passing<'_>, Duration> {
        let passage = self.circuit(|circuit| circuit.ask(clock::started()));
        match passage {
            Passage::Free | Passage::Probe => {
                Ok(Passing { upstream: self, passage, end: End::Abandoned })
            }
            Passage::Refused { wait } => Err(wait),
        }
    }

    fn circuit<T>(&self, with: impl FnOnce(&mut Circuit) -> T) -> T {
        with(&mut self.circuit.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn refuse(&self, wait: Duration) -> Response<Body> {
        let mut response = self.explain(&Failure::Unreachable).into_response();
        let seconds = HeaderValue::from(wait.as_secs() + 1);
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
        response
    }

    fn explain(&self, failure: &Failure) -> Problem {
        let service = self.service;
        let seconds = self.within.as_secs();
        let (kind, detail) = match failure {
            Failure::Unreachable => {
                (Kind::Unavailable, format!("the service `{service}` does not answer"))
            }
            Failure::Late => (
                Kind::GatewayTimeout,
                format!("the service `{service}` did not answer within {seconds} s"),
            ),
            Failure::Broken => {
                (Kind::BadGateway, format!("the answer of the service `{service}` can't be read"))
            }
            Failure::Sender => (
                Kind::Malformed,
                format!("the body for the service `{service}` did not come whole in {seconds} s"),
            ),
        };
        Problem::new(kind).detail(detail)
    }

    /// Whether its process lives, whatever its circuit says.
    pub(super) async fn lives(&self) -> bool {
        let uri = self.uri(PathAndQuery::from_static("/healthz"));
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = uri;
        let asked = timeout(ALIVE_WITHIN, self.client.request(request)).await;
        matches!(asked, Ok(Ok(response)) if response.status() == StatusCode::OK)
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// No connection can be made.
    Unreachable,
    /// It took too long.
    Late,
    /// The connection ended early, or holds no HTTP.
    Broken,
    /// Whoever asks did not send its request whole.
    Sender,
}

impl Failure {
    fn end(self) -> End {
        match self {
            Self::Unreachable | Self::Late | Self::Broken => End::Failed,
            Self::Sender => End::Abandoned,
        }
    }
}

/// A request that passed the circuit; its end is noted even where nobody waits for it any more.
struct Passing<'a> {
    upstream: &'a Upstream,
    passage: Passage,
    end: End,
}

impl Drop for Passing<'_> {
    fn drop(&mut self) {
        let (passage, end) = (self.passage, self.end);
        self.upstream.circuit(|circuit| circuit.end(passage, end, clock::started()));
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use axum::body::Bytes;
    use futures_util::stream;
    use tokio::net::TcpListener;

    use super::*;

    const SOON: Duration = Duration::from_millis(50);

    /// A service that takes what comes and never answers.
    async fn silent() -> (TcpListener, Upstream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let upstream = Upstream::new(Service::Ops, Target::parse(&url).unwrap(), SOON);
        (listener, upstream)
    }

    fn closed(upstream: &Upstream) -> bool {
        upstream.circuit(|circuit| *circuit == Circuit::default())
    }

    #[tokio::test]
    async fn a_service_that_takes_too_long_is_not_waited_for() {
        let (_listener, upstream) = silent().await;
        let answer = upstream.send(Request::new(Body::empty())).await;
        assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
        assert!(!closed(&upstream), "it counts as a failure");
    }

    #[tokio::test]
    async fn whoever_sends_a_body_too_slowly_or_not_whole_fails_alone() {
        let (_listener, upstream) = silent().await;
        let never = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        let torn = std::io::Error::other("the sender is gone");
        let torn = Body::from_stream(stream::iter([Ok(Bytes::from("a")), Err(torn)]));
        for body in [never, torn] {
            let answer = upstream.send(Request::new(body)).await;
            assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
            assert!(closed(&upstream), "the service is not to blame");
        }
    }

    #[tokio::test]
    async fn a_request_that_nobody_awaits_any_more_says_nothing_about_the_service() {
        let (_listener, upstream) = silent().await;
        let given_up = timeout(SOON / 5, upstream.send(Request::new(Body::empty()))).await;
        assert!(given_up.is_err() && closed(&upstream));
    }
}
