//! The timeline of what happened, newest first.

use axum::Json;
use axum::extract::State as Shared;
use chrono::{DateTime, Utc};
use crm::activity::{self, Activity, Filter, Kind};
use engine::id;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::State;
use crate::input::{Params, optional_id};
use crate::page::{self, Cursors, Page};
use crate::problem::Problem;
use crate::tenant::{self, Caller};

/// All routes of the service.
pub(crate) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(list))
}

/// An activity as people read it.
#[derive(Serialize, ToSchema)]
#[schema(as = Activity)]
struct ActivityBody {
    id: String,
    kind: String,
    title: String,
    body: Option<String>,
    contact_id: Option<String>,
    account_id: Option<String>,
    actor: String,
    occurred_at: DateTime<Utc>,
    #[schema(value_type = Object)]
    data: Value,
    created_at: DateTime<Utc>,
    /// An activity never changes.
    updated_at: DateTime<Utc>,
}

fn show(activity: Activity) -> ActivityBody {
    ActivityBody {
        id: id::show("act", activity.id),
        kind: activity.kind,
        title: activity.title,
        body: activity.body,
        contact_id: activity.contact_id.map(|contact| id::show("con", contact)),
        account_id: activity.account_id.map(|account| id::show("acc", account)),
        actor: activity.actor,
        occurred_at: activity.occurred_at,
        data: activity.data,
        created_at: activity.created_at,
        updated_at: activity.created_at,
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct List {
    contact_id: Option<String>,
    account_id: Option<String>,
    /// `note call task email meeting system`.
    #[param(value_type = Option<String>)]
    kind: Option<Kind>,
    limit: Option<u32>,
    cursor: Option<String>,
}

/// The timeline, newest first.
#[utoipa::path(
    get, path = "/activities",
    params(List),
    responses((status = 200, description = "As asked", body = Page<ActivityBody>)),
    security(("bearer" = ["activities:read"])),
)]
async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
    cursors: Cursors,
    Params(wanted): Params<List>,
) -> Result<Json<Page<ActivityBody>>, Problem> {
    let limit = page::limit(wanted.limit)?;
    let filter = Filter {
        contact_id: optional_id("contact_id", "con", wanted.contact_id.as_deref())?,
        account_id: optional_id("account_id", "acc", wanted.account_id.as_deref())?,
        kind: wanted.kind.map(|kind| kind.word().to_owned()),
        before: cursors.read_instant(wanted.cursor.as_deref())?,
    };
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let found = activity::list(&mut *tx, caller.customer_id, &filter, limit).await?;
    let cursor = |activity: &Activity| cursors.after_instant(activity.occurred_at, activity.id);
    Ok(Json(Page::of(found, limit, cursor, show)))
}
