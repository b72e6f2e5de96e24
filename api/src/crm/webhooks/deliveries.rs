//! What webhooks were told, and telling it again.

use axum::Json;
use axum::extract::{Path, State as Shared};
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use crm::webhook::{self, Delivery, Filter, Redelivery};
use engine::{id, run};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::State;
use crate::input::{Params, path_id};
use crate::page::{self, Cursors, Page};
use crate::problem::{Kind, Problem};
use crate::tenant::{self, Caller};

/// The routes.
pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(find)).routes(routes!(redeliver))
}

/// A delivery of an event to a webhook.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookDelivery)]
pub(super) struct DeliveryBody {
    #[schema(example = "whd_01h455vb4pex5vsknk084sn02q")]
    id: String,
    webhook_id: String,
    /// Sent as `webhook-id`, the same for every attempt and every delivery of the event.
    event_id: String,
    /// Such as `contact.created`.
    event: String,
    /// `pending`, until it is answered with 200 to 299 (`delivered`) or tried no more (`failed`).
    status: String,
    /// The number of attempts so far, counted as each ends.
    attempts: i16,
    /// When it is tried again; `null` while an attempt is under way and once it has ended.
    next_attempt_at: Option<DateTime<Utc>>,
    /// The status of the last answer, once it has ended.
    response_status: Option<i16>,
    error: Option<String>,
    ended_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

pub(super) fn show(delivery: Delivery) -> DeliveryBody {
    DeliveryBody {
        id: id::show("whd", delivery.id),
        webhook_id: id::show("whk", delivery.webhook_id),
        event_id: id::show("evt", delivery.event_id),
        event: delivery.topic,
        status: delivery.status,
        attempts: delivery.attempts,
        next_attempt_at: delivery.next_attempt_at,
        response_status: delivery.response_status,
        error: delivery.error,
        ended_at: delivery.ended_at,
        created_at: delivery.created_at,
        updated_at: delivery.ended_at.unwrap_or(delivery.created_at),
    }
}

/// A delivery with what was sent, and why attempts failed.
#[derive(Serialize, ToSchema)]
struct WholeDelivery {
    #[serde(flatten)]
    shown: DeliveryBody,
    /// The body, as it was signed.
    body: String,
    /// The attempts that failed and were followed by another, oldest first.
    failures: Vec<Failure>,
}

/// An attempt that failed.
#[derive(Serialize, ToSchema)]
struct Failure {
    at: DateTime<Utc>,
    reason: Option<String>,
    /// When it was to be tried again.
    retry_at: Option<String>,
}

/// Which deliveries to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// To this webhook.
    webhook_id: Option<String>,
    /// In this state.
    #[param(inline)]
    status: Option<Status>,
    /// How many at most.
    limit: Option<u32>,
    /// Where the page before ended.
    cursor: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema, Clone, Copy)]
#[serde(rename_all = "snake_case")]
#[schema(as = WebhookDeliveryStatus)]
enum Status {
    Pending,
    Delivered,
    Failed,
}

impl Status {
    fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

/// Deliveries, newest first; they stay for 30 days after their end.
#[utoipa::path(
    get, path = "/webhooks/deliveries",
    params(Wanted),
    responses((status = 200, description = "As asked", body = Page<DeliveryBody>)),
    security(("bearer" = ["webhooks:read"])),
)]
async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
    cursors: Cursors,
    Params(wanted): Params<Wanted>,
) -> Result<Json<Page<DeliveryBody>>, Problem> {
    let limit = page::limit(wanted.limit)?;
    let webhook = wanted.webhook_id.as_deref().map(|text| id::read("whk", text));
    let webhook_id = webhook
        .transpose()
        .map_err(|_| Problem::invalid("webhook_id", "is no webhook's id, such as whk_…"))?;
    let filter = Filter {
        webhook_id,
        status: wanted.status.map(Status::word),
        before: cursors.read_id(wanted.cursor.as_deref())?,
    };
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let found = webhook::deliveries(&mut *tx, caller.customer_id, filter, limit).await?;
    Ok(Json(Page::of(found, limit, |delivery| cursors.after_id(delivery.id), show)))
}

/// A delivery, with what was sent and which attempts failed.
#[utoipa::path(
    get, path = "/webhooks/deliveries/{id}",
    responses((status = 200, description = "As asked", body = WholeDelivery)),
    security(("bearer" = ["webhooks:read"])),
)]
async fn find(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(delivery): Path<String>,
) -> Result<Json<WholeDelivery>, Problem> {
    let delivery_id = path_id("whd", &delivery)?;
    let customer_id = caller.customer_id;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let found = webhook::find_delivery(&mut *tx, customer_id, delivery_id).await?;
    let found = found.ok_or_else(|| Problem::new(Kind::NotFound))?;
    let history = run::history(&mut *tx, Some(customer_id), delivery_id, -1).await?;
    let text = |data: &Option<Value>, field: &str| {
        data.as_ref().and_then(|data| data[field].as_str()).map(str::to_owned)
    };
    let failures = history
        .into_iter()
        .filter(|row| row.kind == "step.failed")
        .map(|row| Failure {
            at: row.at,
            reason: text(&row.data, "reason"),
            retry_at: text(&row.data, "retry_at"),
        })
        .collect();
    Ok(Json(WholeDelivery { shown: show(found.delivery), body: found.body, failures }))
}

/// Sends the event of a delivery that has ended again, as a delivery of its own.
#[utoipa::path(
    post, path = "/webhooks/deliveries/{id}/redeliver",
    responses((status = 202, description = "Ordered", body = DeliveryBody)),
    security(("bearer" = ["webhooks:write"])),
)]
async fn redeliver(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(delivery): Path<String>,
) -> Result<(StatusCode, Json<DeliveryBody>), Problem> {
    let delivery_id = path_id("whd", &delivery)?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let (definitions, customer_id) = (&state.definitions, caller.customer_id);
    match webhook::redeliver(&mut tx, definitions, customer_id, delivery_id).await? {
        Redelivery::Ordered(delivery) => Ok((StatusCode::ACCEPTED, Json(show(*delivery)))),
        Redelivery::Pending => {
            let detail = "it is still under way; wait for its end";
            Err(Problem::new(Kind::WrongState).detail(detail))
        }
        Redelivery::Stopped => Err(stopped()),
        Redelivery::NotFound => Err(Problem::new(Kind::NotFound)),
    }
}

/// The webhook takes nothing.
pub(super) fn stopped() -> Problem {
    let detail = "its webhook is not active; make it active first";
    Problem::new(Kind::WrongState).detail(detail)
}
