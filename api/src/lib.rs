//! The HTTP surface, one folder per service: gateway, auth, crm, sequences, activities, ops.
//!
//! Handlers begin and commit; rules and statements are the domain's. Whatever belongs to a customer is read
//! and written in a transaction of `tenant`, under row-level security.

mod activities;
mod auth;
mod client;
mod gateway;
mod hex;
mod idempotency;
mod input;
mod openapi;
mod ops;
mod page;
mod permission;
mod problem;
#[path = "crm/mod.rs"]
mod records;
mod revision;
mod sequences;
mod tenant;
mod work;

use std::sync::Arc;

use axum::Router;
use engine::definition_store::Definitions;
use ring::hmac;
use serde_json::Value;
use sqlx::PgPool;
use tokio::sync::Semaphore;
use utoipa_axum::router::OpenApiRouter;

pub use auth::keys::Keys as TokenKeys;
pub use auth::password::hash as hash_password;
pub use problem::{Fault, Kind, Problem};

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
    /// Whether cookies are for TLS alone: everywhere but in development.
    pub secure_cookies: bool,
}

/// What services need of the process that serves them.
#[derive(Clone)]
pub struct Services {
    /// Connections of the role `salesos_api`, which stands under row-level security.
    pub pool: PgPool,
    /// Definitions, read with the step types that ship.
    pub definitions: Definitions,
    /// What the settings say.
    pub settings: Settings,
    /// The process's metrics, in Prometheus' text format.
    pub metrics: fn() -> String,
}

/// What handlers share.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) pool: PgPool,
    pub(crate) definitions: Definitions,
    pub(crate) settings: Arc<Settings>,
    pub(crate) metrics: fn() -> String,
    pub(crate) tokens: Arc<auth::access_token::Tokens>,
    pub(crate) passwords: Arc<auth::password::Passwords>,
    /// How often somebody may try to log in.
    pub(crate) tries: Arc<auth::tries::Tries>,
    /// What each route asks of whoever comes.
    pub(crate) doors: Arc<gateway::guard::Doors>,
    /// The document, as it is served.
    pub(crate) document: Arc<str>,
    /// Signs the cursors of listings.
    pub(crate) cursor_key: hmac::Key,
    /// Whose turn it is to look ahead: that takes a core for a second.
    pub(crate) simulations: Arc<Semaphore>,
}

/// All services behind the gateway, in one process.
pub fn router(services: Services) -> Router {
    let Services { pool, definitions, settings, metrics } = services;
    let tokens =
        auth::access_token::Tokens::new(Arc::clone(&settings.keys), settings.access_seconds);
    let (routes, document) = described();
    let state = State {
        pool,
        definitions,
        metrics,
        doors: Arc::new(gateway::guard::Doors::of(&document)),
        document: document.to_string().into(),
        cursor_key: settings.keys.derived("cursors of listings"),
        tokens: Arc::new(tokens),
        passwords: Arc::default(),
        tries: Arc::default(),
        simulations: Arc::new(Semaphore::new(1)),
        settings: Arc::new(settings),
    };
    gateway::router(routes, state)
}

/// The document of the API (OpenAPI 3.1).
pub fn document() -> Value {
    described().1
}

/// All routes, and what they say of themselves.
fn described() -> (Router<State>, Value) {
    let resources = OpenApiRouter::new()
        .merge(auth::router())
        .merge(records::router())
        .merge(sequences::router())
        .merge(activities::router())
        .merge(ops::router());
    let (routes, document) = OpenApiRouter::new().nest("/api/v1", resources).split_for_parts();
    (routes, openapi::complete(document))
}
