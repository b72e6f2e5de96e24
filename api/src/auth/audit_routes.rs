//! What was done to logins, rights and keys.

use axum::Json;
use axum::extract::State as Shared;
use chrono::{DateTime, Utc};
use crm::audit::{self, Entry, NewEntry};
use engine::id;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::PgConnection;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::State;
use crate::gateway::client::Client;
use crate::input::Params;
use crate::page::{self, Cursors, Page};
use crate::problem::Problem;
use crate::tenant::{self, Caller};

/// The route.
pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(list))
}

/// What happens to a user before anybody is logged in.
pub(super) fn entry(
    action: &'static str,
    user_id: Option<Uuid>,
    client: Client,
) -> NewEntry<'static> {
    let target = user_id.map(|user_id| id::show("usr", user_id));
    NewEntry { actor: "nobody", action, target, address: client.text(), data: json!({}) }
}

/// Writes down what a caller does, with its target's id.
pub(crate) async fn note(
    tx: &mut PgConnection,
    caller: &Caller,
    client: &Client,
    (action, target): (&str, &str),
    data: Value,
) -> Result<(), Problem> {
    let actor = caller.actor();
    let target = Some(target.to_owned());
    let new = NewEntry { actor: &actor, action, target, address: client.text(), data };
    Ok(audit::write(tx, caller.customer_id, new).await?)
}

/// What was written down.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditEntry)]
struct EntryBody {
    id: String,
    at: DateTime<Utc>,
    actor: String,
    /// Such as `login.opened`, `user.changed`, `key.revoked`.
    action: String,
    target: Option<String>,
    /// From which address, as far as that is known.
    address: Option<String>,
    #[schema(value_type = Object)]
    data: Value,
}

fn show(entry: Entry) -> EntryBody {
    EntryBody {
        id: id::show("aud", entry.id),
        at: entry.at,
        actor: entry.actor,
        action: entry.action,
        target: entry.target,
        address: entry.address,
        data: entry.data,
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct List {
    /// This action alone.
    action: Option<String>,
    limit: Option<u32>,
    cursor: Option<String>,
}

/// What was done to logins, rights and keys, newest first.
#[utoipa::path(
    get, path = "/audit",
    params(List),
    responses((status = 200, description = "As asked", body = Page<EntryBody>)),
    security(("bearer" = ["audit:read"])),
)]
async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
    cursors: Cursors,
    Params(wanted): Params<List>,
) -> Result<Json<Page<EntryBody>>, Problem> {
    let limit = page::limit(wanted.limit)?;
    let before = cursors.read_id(wanted.cursor.as_deref())?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let (customer_id, action) = (caller.customer_id, wanted.action.as_deref());
    let found = audit::list(&mut *tx, customer_id, action, before, limit).await?;
    Ok(Json(Page::of(found, limit, |entry| cursors.after_id(entry.id), show)))
}
