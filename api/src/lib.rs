//! The HTTP surface, one folder per service: gateway, auth, crm, email, sequences, activities, ops. They run in one
//! process, or each in its own (`service`).
//!
//! Handlers begin and commit; rules and statements are the domain's. Whatever belongs to a customer is read
//! and written in a transaction of `tenant`, under row-level security.

mod activities;
mod auth;
mod email;
mod gateway;
mod hex;
mod idempotency;
mod input;
mod listing;
mod openapi;
mod ops;
mod page;
mod permission;
mod pool;
mod problem;
#[path = "crm/mod.rs"]
mod records;
mod revision;
mod sequences;
mod service;
mod tenant;
mod uploads;
mod vocabulary;
mod work;

use std::ops::Deref;
use std::sync::Arc;

use axum::Router;
use crm::vault::Vault;
use engine::definition_store::Definitions;
use futures_util::future::BoxFuture;
use ring::hmac;
use serde_json::Value;
use tokio::sync::Semaphore;
use utoipa_axum::router::OpenApiRouter;

pub use auth::keys::Keys as TokenKeys;
pub use auth::password::hash as hash_password;
pub use gateway::{AuthMode, InternalSecret, Origins, Outside, Rates, Target, TrustedProxies};
pub use pool::Pool;
pub use problem::{Fault, Kind, Problem};
pub use service::{GATEWAY_PORT, Service};

/// What a service is told by its settings.
#[derive(Clone)]
pub struct Settings {
    /// Sign and verify access tokens.
    pub keys: Arc<TokenKeys>,
    /// How long an access token is good, in seconds.
    pub access_seconds: u64,
    /// How long a refresh token is good, in seconds.
    pub refresh_seconds: u64,
    /// Through what is written to contacts whose enrollment names no mailbox.
    pub sender: crm::enrollment::Sender,
    /// Where people reach the application, without a slash at its end; links in mails begin with it.
    pub public_url: String,
    /// Whether a mail to a user can leave.
    pub user_mail: UserMail,
}

/// Whether a mail to a user can leave, such as one with a link that sets a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserMail {
    /// Workers have a way for it.
    Possible,
    /// Nobody has set one, so what needs a mail is refused.
    Impossible,
}

/// What services need of the process that serves them.
#[derive(Clone)]
pub struct Services {
    /// Connections of the role `salesos_api`, which stands under row-level security.
    pub pool: Pool,
    /// Definitions, read with the step types that ship.
    pub definitions: Definitions,
    /// What the settings say.
    pub settings: Settings,
    /// What they say of whoever comes from outside.
    pub outside: Outside,
    /// Seals the secrets that are kept.
    pub vault: Vault,
    /// The process's metrics, in Prometheus' text format.
    pub metrics: fn() -> String,
    /// Asks the broker of events whether it answers, where there is one.
    pub broker: Option<Broker>,
}

/// Asks a broker whether it answers.
pub type Broker = Arc<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>;

/// What handlers share: one thing, which each request holds several times over.
#[derive(Clone)]
pub(crate) struct State(Arc<Held>);

impl Deref for State {
    type Target = Held;

    fn deref(&self) -> &Held {
        &self.0
    }
}

/// What there is to share.
pub(crate) struct Held {
    pub(crate) pool: Pool,
    pub(crate) definitions: Definitions,
    pub(crate) settings: Settings,
    pub(crate) metrics: fn() -> String,
    pub(crate) broker: Option<Broker>,
    pub(crate) tokens: auth::access_token::Tokens,
    pub(crate) passwords: auth::password::Passwords,
    /// How often somebody may try to log in.
    pub(crate) tries: auth::tries::Tries,
    /// Who comes in, how often, and where the services are.
    pub(crate) edge: gateway::Edge,
    /// What each route asks of whoever comes.
    pub(crate) doors: gateway::guard::Doors,
    /// The document, as it is served.
    pub(crate) document: String,
    /// Signs the cursors of listings.
    pub(crate) cursor_key: hmac::Key,
    /// Key the fingerprints of requests with an `Idempotency-Key`, the newest first.
    pub(crate) fingerprint_keys: Vec<hmac::Key>,
    pub(crate) vault: Vault,
    /// Whose turn it is to look ahead: that takes a core for a second.
    pub(crate) simulations: Semaphore,
    /// Whose turn it is to read a file: that takes a core, and some times the file's size of memory.
    pub(crate) imports: Arc<Semaphore>,
    /// Which files are on their way in.
    pub(crate) uploads: uploads::Uploads,
}

/// All services behind the gateway, in one process.
pub fn router(services: Services) -> Router {
    let (routes, document) = described(&Service::ALL);
    let edge = gateway::Edge::whole(services.outside.clone());
    gateway::router(routes, state(services, &document, edge))
}

/// One service alone, for a port of its own.
pub fn alone(services: Services, service: Service, mode: &AuthMode) -> Router {
    let (routes, document) = described(&[service]);
    let edge = gateway::Edge::alone(services.outside.clone(), service, mode);
    gateway::router(routes, state(services, &document, edge))
}

/// The gateway alone, before services that answer at these targets.
pub fn gateway(
    services: Services,
    secret: &InternalSecret,
    target: impl Fn(Service) -> Target,
) -> Router {
    let documents = Service::ALL.map(|service| (service, described(&[service]).1));
    let edge = gateway::Edge::before(services.outside.clone(), secret, target);
    gateway::proxy(&documents, state(services, &document(), edge))
}

fn state(services: Services, document: &Value, edge: gateway::Edge) -> State {
    let Services { pool, definitions, settings, metrics, broker, vault, outside: _ } = services;
    let tokens =
        auth::access_token::Tokens::new(Arc::clone(&settings.keys), settings.access_seconds);
    State(Arc::new(Held {
        pool,
        definitions,
        metrics,
        broker,
        edge,
        doors: gateway::guard::Doors::of(document),
        document: document.to_string(),
        cursor_key: settings.keys.derived("cursors of listings"),
        fingerprint_keys: settings.keys.all_derived("fingerprints of requests"),
        tokens,
        passwords: auth::password::Passwords::default(),
        tries: auth::tries::Tries::default(),
        vault,
        simulations: Semaphore::new(1),
        imports: Arc::new(Semaphore::new(1)),
        uploads: uploads::Uploads::default(),
        settings,
    }))
}

/// The document of the API (OpenAPI 3.1).
pub fn document() -> Value {
    described(&Service::ALL).1
}

/// The routes of services, and what they say of themselves.
fn described(services: &[Service]) -> (Router<State>, Value) {
    let routes = services.iter().map(|service| service.routes());
    let resources = routes.fold(OpenApiRouter::new(), OpenApiRouter::merge);
    let (routes, document) = OpenApiRouter::new().nest("/api/v1", resources).split_for_parts();
    (routes, openapi::complete(document))
}
