//! Webhooks: where a customer's systems are told of events, signed as Standard Webhooks say.

mod deliveries;

use std::net::IpAddr;

use axum::Json;
use axum::extract::{Path, State as Shared};
use axum::http::uri::Uri;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use crm::public_address::is_public;
use crm::webhook::{self, Wanted, Webhook, WebhookError};
use engine::{clock, id};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;
use url::{Host, Url};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::State;
use crate::auth::audit_routes::note;
use crate::gateway::client::Client;
use crate::idempotency::ShowsSecret;
use crate::input::{Body, Params, bounded, path_id};
use crate::page::{self, Cursors, Page, Paging};
use crate::problem::{Kind, Problem};
use crate::revision;
use crate::tenant::{self, Caller};

/// How a secret begins.
const PREFIX: &str = "whsec_";
/// How many bytes a secret may have; the standard says 24 to 64.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// How many bytes one has that is drawn here.
const DRAWN_BYTES: usize = 32;
const URL_LETTERS: usize = 2_000;
const EVENTS: usize = 50;

/// The routes.
pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .merge(deliveries::router())
        .routes(routes!(list, create))
        .routes(routes!(find, change, delete))
        .routes(routes!(rotate))
        .routes(routes!(try_out))
}

/// A webhook, without its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = Webhook)]
struct WebhookBody {
    #[schema(example = "whk_01h455vb4pex5vsknk084sn02q")]
    id: String,
    #[schema(example = "https://hooks.example.com/salesos")]
    url: String,
    /// Of what it is told: such as `contact.created`, `contact.*`, or `*` for all.
    events: Vec<String>,
    description: Option<String>,
    /// `active`, `paused` by somebody, or `disabled` because nothing arrived for five days or it answered 410.
    status: String,
    status_reason: Option<String>,
    /// Since when nothing arrived.
    failing_since: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

fn show(webhook: Webhook) -> WebhookBody {
    WebhookBody {
        id: id::show("whk", webhook.id),
        url: webhook.url,
        events: webhook.events,
        description: webhook.description,
        status: webhook.status,
        status_reason: webhook.status_reason,
        failing_since: webhook.failing_since,
        created_at: webhook.created_at,
        updated_at: webhook.updated_at,
    }
}

type Tagged = ([(HeaderName, String); 1], Json<WebhookBody>);

fn tagged(webhook: Webhook) -> Tagged {
    let tag = revision::tag(revision::of(webhook.updated_at));
    ([(header::ETAG, tag)], Json(show(webhook)))
}

/// A webhook with its secret, which is shown this once.
#[derive(Serialize, ToSchema)]
struct MadeWebhook {
    #[serde(flatten)]
    shown: WebhookBody,
    /// Signs what is sent, as Standard Webhooks say.
    #[schema(example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    secret: String,
}

/// A webhook to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewWebhook)]
struct Create {
    /// With https, at a host of the public internet; in development also with http, and on this machine.
    #[schema(example = "https://hooks.example.com/salesos")]
    url: String,
    /// Of what it is told: such as `contact.created`, `contact.*`, or `*` for all.
    #[schema(example = json!(["contact.created", "enrollment.*"]))]
    events: Vec<String>,
    description: Option<String>,
    /// `whsec_` and 24 to 64 bytes in Base64; drawn where nothing stands.
    secret: Option<String>,
}

/// Refuses what a delivery would refuse as well. Where a name leads is looked up for each delivery.
fn check_url(state: &State, text: &str) -> Result<(), Problem> {
    let production = state.edge.is_production();
    bounded("url", text, URL_LETTERS)?;
    let wrong = |message: String| Problem::invalid("url", message);
    let url =
        Url::parse(text).ok().filter(|url| url.username().is_empty() && url.password().is_none());
    let (Some(url), Ok(_)) = (url, text.parse::<Uri>()) else {
        return Err(wrong(
            "is not a URL; write one such as https://hooks.example.com/salesos".into(),
        ));
    };
    if url.scheme() != "https" && (production || url.scheme() != "http") {
        return Err(wrong("does not begin with https://; write such a URL".into()));
    }
    let (address, here) = match url.host() {
        Some(Host::Ipv4(address)) => (Some(IpAddr::V4(address)), address.is_loopback()),
        Some(Host::Ipv6(address)) => (Some(IpAddr::V6(address)), address.is_loopback()),
        Some(Host::Domain(name)) => (None, name == "localhost" || name.ends_with(".localhost")),
        None => return Err(wrong("names no host; write one such as hooks.example.com".into())),
    };
    let inner = here || address.is_some_and(|address| !is_public(address));
    if inner && (production || !here) {
        let host = url.host_str().unwrap_or_default();
        return Err(wrong(format!(
            "leads to `{host}`, which is not on the public internet; write a host that is"
        )));
    }
    Ok(())
}

fn check(state: &State, wanted: Wanted<'_>) -> Result<(), Problem> {
    check_url(state, wanted.url)?;
    if !(1..=EVENTS).contains(&wanted.events.len()) {
        return Err(Problem::invalid("events", format!("are 1 to {EVENTS}")));
    }
    for (at, event) in wanted.events.iter().enumerate() {
        let refused = |message| Problem::invalid(&format!("events[{at}]"), message);
        webhook::check_event(event).map_err(refused)?;
    }
    wanted.description.map_or(Ok(()), |text| bounded("description", text, 500))
}

/// The bytes of a secret that was given.
fn read_secret(text: &str) -> Result<Vec<u8>, Problem> {
    let bytes = text.strip_prefix(PREFIX).and_then(|rest| STANDARD.decode(rest).ok());
    bytes.filter(|bytes| SECRET_BYTES.contains(&bytes.len())).ok_or_else(|| {
        Problem::invalid("secret", "is no secret; write whsec_ and 24 to 64 random bytes in Base64")
    })
}

fn draw() -> Result<Vec<u8>, Problem> {
    let mut secret = vec![0_u8; DRAWN_BYTES];
    SystemRandom::new().fill(&mut secret).map_err(|_| Problem::new(Kind::Internal))?;
    Ok(secret)
}

fn seal(state: &State, webhook_id: Uuid, secret: &[u8]) -> Result<Vec<u8>, Problem> {
    state.vault.seal(webhook_id, secret).map_err(|error| {
        tracing::error!(%error, "a secret could not be sealed");
        Problem::new(Kind::Internal)
    })
}

fn made(webhook: Webhook, secret: &[u8]) -> MadeWebhook {
    MadeWebhook { shown: show(webhook), secret: format!("{PREFIX}{}", STANDARD.encode(secret)) }
}

/// Makes a webhook; the answer is the only one that shows its secret.
#[utoipa::path(
    post, path = "/webhooks",
    request_body = Create,
    responses((status = 201, description = "Made", body = MadeWebhook)),
    security(("bearer" = ["webhooks:write"])),
)]
async fn create(
    Shared(state): Shared<State>,
    caller: Caller,
    client: Client,
    Body(new): Body<Create>,
) -> Result<ShowsSecret<(StatusCode, [(HeaderName, String); 1], Json<MadeWebhook>)>, Problem> {
    let wanted =
        Wanted { url: &new.url, events: &new.events, description: new.description.as_deref() };
    check(&state, wanted)?;
    let secret = new.secret.as_deref().map_or_else(draw, read_secret)?;
    let webhook_id = clock::new_id();
    let sealed = seal(&state, webhook_id, &secret)?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let created = webhook::create(&mut tx, caller.customer_id, webhook_id, wanted, &sealed).await;
    let created = created.map_err(|error| match error {
        WebhookError::TooMany => Problem::new(Kind::WrongState).detail(error.to_string()),
        WebhookError::Rule(error) => {
            tracing::error!(%error, "a webhook's limit could not be set");
            Problem::new(Kind::Internal)
        }
        WebhookError::Database(error) => error.into(),
    })?;
    let shown = id::show("whk", webhook_id);
    let data = json!({ "url": created.url, "events": created.events });
    note(&mut tx, &caller, &client, ("webhook.made", &shown), data).await?;
    let location = format!("/api/v1/webhooks/{shown}");
    let made = made(created, &secret);
    let secret = made.secret.clone();
    let answer = (StatusCode::CREATED, [(header::LOCATION, location)], Json(made));
    Ok(ShowsSecret { secret, answer })
}

/// A webhook.
#[utoipa::path(
    get, path = "/webhooks/{id}",
    responses((status = 200, description = "As asked", body = WebhookBody)),
    security(("bearer" = ["webhooks:read"])),
)]
async fn find(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(webhook): Path<String>,
) -> Result<Tagged, Problem> {
    let webhook_id = path_id("whk", &webhook)?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let found = webhook::find(&mut *tx, caller.customer_id, webhook_id).await?;
    found.map(tagged).ok_or_else(|| Problem::new(Kind::NotFound))
}

/// Webhooks, newest first.
#[utoipa::path(
    get, path = "/webhooks",
    params(Paging),
    responses((status = 200, description = "As asked", body = Page<WebhookBody>)),
    security(("bearer" = ["webhooks:read"])),
)]
async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
    cursors: Cursors,
    Params(wanted): Params<Paging>,
) -> Result<Json<Page<WebhookBody>>, Problem> {
    let limit = page::limit(wanted.limit)?;
    let before = cursors.read_id(wanted.cursor.as_deref())?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let found = webhook::list(&mut *tx, caller.customer_id, before, limit).await?;
    Ok(Json(Page::of(found, limit, |webhook| cursors.after_id(webhook.id), show)))
}

/// What is to become of a webhook.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WebhookChange)]
struct Change {
    url: Option<String>,
    events: Option<Vec<String>>,
    description: Option<String>,
    /// `active` or `paused`; a paused one is told of nothing, also not later.
    status: Option<Status>,
}

#[derive(Deserialize, ToSchema, Clone, Copy)]
#[serde(rename_all = "snake_case")]
#[schema(as = WebhookStatus)]
enum Status {
    Active,
    Paused,
}

async fn lock(tx: &mut PgConnection, caller: &Caller, text: &str) -> Result<Webhook, Problem> {
    let webhook_id = path_id("whk", text)?;
    let found = webhook::lock(tx, caller.customer_id, webhook_id).await?;
    found.ok_or_else(|| Problem::new(Kind::NotFound))
}

/// Changes what the body names.
#[utoipa::path(
    patch, path = "/webhooks/{id}",
    request_body = Change,
    responses((status = 200, description = "As asked", body = WebhookBody)),
    security(("bearer" = ["webhooks:write"])),
)]
async fn change(
    Shared(state): Shared<State>,
    caller: Caller,
    client: Client,
    Path(webhook): Path<String>,
    headers: HeaderMap,
    Body(wanted): Body<Change>,
) -> Result<Tagged, Problem> {
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let locked = lock(&mut tx, &caller, &webhook).await?;
    revision::require(&headers, revision::of(locked.updated_at))?;
    let url = wanted.url.unwrap_or(locked.url);
    let events = wanted.events.unwrap_or(locked.events);
    let description = wanted.description.or(locked.description);
    let to = Wanted { url: &url, events: &events, description: description.as_deref() };
    check(&state, to)?;
    let status = match wanted.status {
        None => locked.status.as_str(),
        Some(Status::Active) => "active",
        Some(Status::Paused) => "paused",
    };
    let changed = webhook::change(&mut *tx, caller.customer_id, locked.id, to, status).await?;
    let data = json!({ "url": url, "events": events, "status": status });
    note(&mut tx, &caller, &client, ("webhook.changed", &webhook), data).await?;
    Ok(tagged(changed))
}

/// Takes a webhook away.
#[utoipa::path(
    delete, path = "/webhooks/{id}",
    responses((status = 204, description = "It is gone")),
    security(("bearer" = ["webhooks:write"])),
)]
async fn delete(
    Shared(state): Shared<State>,
    caller: Caller,
    client: Client,
    Path(webhook): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let locked = lock(&mut tx, &caller, &webhook).await?;
    revision::check(&headers, revision::of(locked.updated_at))?;
    webhook::delete(&mut *tx, caller.customer_id, locked.id).await?;
    note(&mut tx, &caller, &client, ("webhook.deleted", &webhook), json!({})).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Draws another secret, which this answer alone shows; for a day what is sent is signed with the one before as well.
#[utoipa::path(
    post, path = "/webhooks/{id}/secret",
    responses((status = 200, description = "With its new secret", body = MadeWebhook)),
    security(("bearer" = ["webhooks:write"])),
)]
async fn rotate(
    Shared(state): Shared<State>,
    caller: Caller,
    client: Client,
    Path(webhook): Path<String>,
) -> Result<ShowsSecret<Json<MadeWebhook>>, Problem> {
    let secret = draw()?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let locked = lock(&mut tx, &caller, &webhook).await?;
    let sealed = seal(&state, locked.id, &secret)?;
    let rotated = webhook::rotate(&mut *tx, caller.customer_id, locked.id, &sealed).await?;
    note(&mut tx, &caller, &client, ("webhook.secret_changed", &webhook), json!({})).await?;
    let made = made(rotated, &secret);
    Ok(ShowsSecret { secret: made.secret.clone(), answer: Json(made) })
}

/// Sends the event `webhook.test`, which tells nothing.
#[utoipa::path(
    post, path = "/webhooks/{id}/test",
    responses((status = 202, description = "Ordered", body = deliveries::DeliveryBody)),
    security(("bearer" = ["webhooks:write"])),
)]
async fn try_out(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(webhook): Path<String>,
) -> Result<(StatusCode, Json<deliveries::DeliveryBody>), Problem> {
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let locked = lock(&mut tx, &caller, &webhook).await?;
    if locked.status != "active" {
        return Err(deliveries::stopped());
    }
    let (definitions, customer_id) = (&state.definitions, caller.customer_id);
    let ordered = webhook::try_out(&mut tx, definitions, customer_id, locked.id).await?;
    let ordered = ordered.ok_or_else(|| Problem::new(Kind::Internal))?;
    Ok((StatusCode::ACCEPTED, Json(deliveries::show(ordered))))
}
