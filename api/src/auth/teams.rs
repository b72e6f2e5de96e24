//! Teams: whose records reps and managers share.

use axum::Json;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use chrono::{DateTime, Utc};
use crm::team::{self, Team};
use engine::id;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::State;
use crate::input::{Body, Params, bounded, path_id};
use crate::page::{self, Cursors, Page, Paging};
use crate::problem::{Kind, Problem};
use crate::revision;
use crate::tenant::{self, Caller};

/// The routes.
pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(rename))
}

/// A team as people read it.
#[derive(Serialize, ToSchema)]
#[schema(as = Team)]
struct TeamBody {
    #[schema(example = "team_01h455vb4pex5vsknk084sn02q")]
    id: String,
    name: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

fn show(team: Team) -> TeamBody {
    TeamBody {
        id: id::show("team", team.id),
        name: team.name,
        created_at: team.created_at,
        updated_at: team.updated_at,
    }
}

/// A team's name.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewTeam)]
struct Named {
    name: String,
}

impl Named {
    fn name(&self) -> Result<&str, Problem> {
        bounded("name", &self.name, 200)?;
        match self.name.trim() {
            "" => Err(Problem::invalid("name", "is empty")),
            name => Ok(name),
        }
    }
}

/// Makes a team.
#[utoipa::path(
    post, path = "/teams",
    request_body = Named,
    responses((status = 201, description = "Made", body = TeamBody)),
    security(("bearer" = ["users:write"])),
)]
async fn create(
    Shared(state): Shared<State>,
    caller: Caller,
    Body(new): Body<Named>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<TeamBody>), Problem> {
    let name = new.name()?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let made = show(team::create(&mut *tx, caller.customer_id, name).await?);
    let location = format!("/api/v1/teams/{}", made.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(made)))
}

/// Teams, newest first.
#[utoipa::path(
    get, path = "/teams",
    params(Paging),
    responses((status = 200, description = "As asked", body = Page<TeamBody>)),
    security(("bearer" = ["users:read"])),
)]
async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
    cursors: Cursors,
    Params(wanted): Params<Paging>,
) -> Result<Json<Page<TeamBody>>, Problem> {
    let limit = page::limit(wanted.limit)?;
    let before = cursors.read_id(wanted.cursor.as_deref())?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let found = team::list(&mut *tx, caller.customer_id, before, limit).await?;
    Ok(Json(Page::of(found, limit, |team| cursors.after_id(team.id), show)))
}

/// Gives a team another name.
#[utoipa::path(
    patch, path = "/teams/{id}",
    request_body = Named,
    responses((status = 200, description = "As asked", body = TeamBody)),
    security(("bearer" = ["users:write"])),
)]
async fn rename(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(team): Path<String>,
    headers: HeaderMap,
    Body(wanted): Body<Named>,
) -> Result<([(HeaderName, String); 1], Json<TeamBody>), Problem> {
    let team_id = path_id("team", &team)?;
    let missing = || Problem::new(Kind::NotFound);
    let name = wanted.name()?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let found = team::find(&mut *tx, caller.customer_id, team_id).await?.ok_or_else(missing)?;
    revision::require(&headers, revision::of(found.updated_at))?;
    let renamed = team::rename(&mut *tx, caller.customer_id, team_id, name).await?;
    let renamed = renamed.ok_or_else(missing)?;
    let tag = revision::tag(revision::of(renamed.updated_at));
    Ok(([(header::ETAG, tag)], Json(show(renamed))))
}
