//! API keys: make one, list them, revoke one. The key itself is shown once and kept nowhere.

use axum::Json;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderName, StatusCode, header};
use chrono::{DateTime, Utc};
use crm::api_key::{self, ApiKey, NewApiKey};
use engine::{clock, id};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::audit_routes::note;
use super::session::{hash, secret};
use crate::State;
use crate::gateway::client::Client;
use crate::idempotency::ShowsSecret;
use crate::input::{Body, Params, bounded, path_id};
use crate::page::{self, Cursors, Page, Paging};
use crate::permission;
use crate::problem::{Kind, Problem};
use crate::tenant::{self, Caller};

/// How a key begins, so that people and scanners of secrets know it.
pub(super) const PREFIX: &str = "sk_";
/// How many of its last letters are kept.
const HINT: usize = 4;
/// The most scopes of a key.
const SCOPES: usize = 50;

/// The routes.
pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(revoke))
}

/// A key, without its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiKey)]
struct ApiKeyBody {
    #[schema(example = "key_01h455vb4pex5vsknk084sn02q")]
    id: String,
    name: String,
    /// Its last letters.
    hint: String,
    scopes: Vec<String>,
    created_by: String,
    expires_at: Option<DateTime<Utc>>,
    /// To the minute.
    last_used_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

fn show(key: ApiKey) -> ApiKeyBody {
    ApiKeyBody {
        id: id::show("key", key.id),
        name: key.name,
        hint: key.hint,
        scopes: key.scopes,
        created_by: id::show("usr", key.created_by),
        expires_at: key.expires_at,
        last_used_at: key.last_used_at,
        revoked_at: key.revoked_at,
        created_at: key.created_at,
        updated_at: key.updated_at,
    }
}

/// A key with its secret, which is shown this once.
#[derive(Serialize, ToSchema)]
struct MadeApiKey {
    #[serde(flatten)]
    shown: ApiKeyBody,
    /// The key: send it as `Authorization: Bearer sk_…`.
    key: String,
}

/// A key to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewApiKey)]
struct Create {
    name: String,
    /// Permissions, such as `contacts:read`, or a resource alone for all of its actions, such as `ops`.
    scopes: Vec<String>,
    /// Never expires by default.
    expires_at: Option<DateTime<Utc>>,
}

impl Create {
    /// Refuses scopes that nobody knows, and those that the maker does not have.
    fn check(&self, caller: &Caller) -> Result<(), Problem> {
        bounded("name", &self.name, 200)?;
        if self.name.trim().is_empty() {
            return Err(Problem::invalid("name", "is empty"));
        }
        if !(1..=SCOPES).contains(&self.scopes.len()) {
            return Err(Problem::invalid("scopes", format!("are 1 to {SCOPES}")));
        }
        for (at, scope) in self.scopes.iter().enumerate() {
            let field = format!("scopes[{at}]");
            if !permission::is_scope(scope) {
                let message = format!("`{scope}` is no permission; /docs lists them");
                return Err(Problem::invalid(&field, message));
            }
            let mut covered = permission::TABLE.iter().filter(|one| one.covered_by(scope));
            if covered.any(|one| caller.check(one).is_err()) {
                let message = format!("`{scope}` holds more than you may do yourself");
                return Err(Problem::invalid(&field, message));
            }
        }
        Ok(())
    }
}

/// Makes a key; the answer is the only one that shows it.
#[utoipa::path(
    post, path = "/api-keys",
    request_body = Create,
    responses((status = 201, description = "Made", body = MadeApiKey)),
    security(("bearer" = ["keys:write"])),
)]
async fn create(
    Shared(state): Shared<State>,
    caller: Caller,
    client: Client,
    Body(new): Body<Create>,
) -> Result<ShowsSecret<(StatusCode, [(HeaderName, String); 1], Json<MadeApiKey>)>, Problem> {
    new.check(&caller)?;
    let maker = caller.user()?;
    let key = format!("{PREFIX}{}", secret()?);
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let wanted = NewApiKey {
        id: clock::new_id(),
        name: new.name.trim(),
        hash: &hash(&key),
        hint: &key[key.len() - HINT..],
        scopes: &new.scopes,
        created_by: maker.user_id,
        expires_at: new.expires_at,
    };
    let shown = show(api_key::create(&mut *tx, caller.customer_id, wanted).await?);
    let data = json!({ "name": shown.name, "scopes": shown.scopes });
    note(&mut tx, &caller, &client, ("key.made", &shown.id), data).await?;
    let location = format!("/api/v1/api-keys/{}", shown.id);
    let made = Json(MadeApiKey { shown, key: key.clone() });
    let answer = (StatusCode::CREATED, [(header::LOCATION, location)], made);
    Ok(ShowsSecret { secret: key, answer })
}

/// Keys, newest first, revoked ones as well.
#[utoipa::path(
    get, path = "/api-keys",
    params(Paging),
    responses((status = 200, description = "As asked", body = Page<ApiKeyBody>)),
    security(("bearer" = ["keys:read"])),
)]
async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
    cursors: Cursors,
    Params(wanted): Params<Paging>,
) -> Result<Json<Page<ApiKeyBody>>, Problem> {
    let limit = page::limit(wanted.limit)?;
    let before = cursors.read_id(wanted.cursor.as_deref())?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let found = api_key::list(&mut *tx, caller.customer_id, before, limit).await?;
    Ok(Json(Page::of(found, limit, |key| cursors.after_id(key.id), show)))
}

/// Revokes a key; from then on it opens nothing.
#[utoipa::path(
    delete, path = "/api-keys/{id}",
    responses((status = 204, description = "It opens nothing any more")),
    security(("bearer" = ["keys:write"])),
)]
async fn revoke(
    Shared(state): Shared<State>,
    caller: Caller,
    client: Client,
    Path(key): Path<String>,
) -> Result<StatusCode, Problem> {
    let key_id = path_id("key", &key)?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    if !api_key::revoke(&mut *tx, caller.customer_id, key_id).await? {
        return Err(Problem::new(Kind::NotFound));
    }
    note(&mut tx, &caller, &client, ("key.revoked", &key), json!({})).await?;
    Ok(StatusCode::NO_CONTENT)
}
