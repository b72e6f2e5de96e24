//! Users: invite one, list them, change what one may do. An invitation is a mail with a link by which its user sets a
//! password; until then nobody can log in as them.

use axum::Json;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use crm::team;
use crm::user::{self, NewUser, Role, User};
use engine::clock;
use serde::{Deserialize, Deserializer};
use serde_json::json;
use sqlx::PgConnection;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::audit_routes::note;
use super::mails::{self, Mail};
use super::session::{self, UserBody};
use super::signup::refused;
use crate::State;
use crate::gateway::client::Client;
use crate::input::{Body, Params, address, bounded, field_id, path_id};
use crate::page::{self, Cursors, Page, Paging};
use crate::problem::{Kind, Problem};
use crate::revision;
use crate::tenant::{self, Caller, Principal};

/// The routes.
pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(list, invite)).routes(routes!(find, change))
}

/// A user to invite.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewUser)]
struct Invite {
    #[schema(example = "ben@example.com")]
    email: String,
    name: String,
    #[schema(value_type = String, example = "rep")]
    role: Role,
    team_id: Option<String>,
}

/// A user with its revision as its `ETag`.
type Tagged = ([(HeaderName, String); 1], Json<UserBody>);

fn tagged(user: User) -> Tagged {
    let tag = revision::tag(revision::of(user.updated_at));
    ([(header::ETAG, tag)], Json(user.into()))
}

/// Only an owner makes owners, and changes them.
fn may_give(caller: &Caller, role: Role) -> Result<(), Problem> {
    let own = match &caller.principal {
        Principal::User(user) => user.role,
        Principal::Key { .. } => Role::Admin,
        Principal::Operator { .. } => Role::Viewer,
    };
    if own <= role {
        return Ok(());
    }
    Err(Problem::new(Kind::Forbidden).detail("only an owner makes and changes owners"))
}

async fn team_of(
    tx: &mut PgConnection,
    customer_id: Uuid,
    given: Option<&str>,
) -> Result<Option<Uuid>, Problem> {
    let Some(text) = given else { return Ok(None) };
    let team_id = field_id("team_id", "team", text)?;
    let found = team::find(tx, customer_id, team_id).await?;
    found.ok_or_else(|| Problem::invalid("team_id", "there is no such team"))?;
    Ok(Some(team_id))
}

/// Invites a user: makes them, and mails a link, good for seven days, by which they set their password.
#[utoipa::path(
    post, path = "/users",
    request_body = Invite,
    responses(
        (status = 201, description = "Invited", body = UserBody),
        (status = 503, description = "No mail server is set, or try again soon", body = crate::problem::Body),
    ),
    security(("bearer" = ["users:write"])),
)]
async fn invite(
    Shared(state): Shared<State>,
    caller: Caller,
    client: Client,
    Body(new): Body<Invite>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<UserBody>), Problem> {
    let email = address("email", &new.email)?;
    bounded("name", &new.name, 200)?;
    if new.name.trim().is_empty() {
        return Err(Problem::invalid("name", "is empty"));
    }
    may_give(&caller, new.role)?;
    mails::require(&state)?;
    let customer_id = caller.customer_id;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let made = NewUser {
        id: clock::new_id(),
        email: &email,
        name: new.name.trim(),
        role: new.role,
        team_id: team_of(&mut tx, customer_id, new.team_id.as_deref()).await?,
        password_hash: "",
    };
    let made = user::create(&mut *tx, customer_id, made).await.map_err(refused)?;
    mails::write(&mut tx, &state, customer_id, made.id, Mail::Invitation).await?;
    let made = UserBody::from(made);
    let data = json!({ "role": made.role, "team_id": new.team_id });
    note(&mut tx, &caller, &client, ("user.invited", &made.id), data).await?;
    let location = format!("/api/v1/users/{}", made.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(made)))
}

/// Users, newest first.
#[utoipa::path(
    get, path = "/users",
    params(Paging),
    responses((status = 200, description = "As asked", body = Page<UserBody>)),
    security(("bearer" = ["users:read"])),
)]
async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
    cursors: Cursors,
    Params(wanted): Params<Paging>,
) -> Result<Json<Page<UserBody>>, Problem> {
    let limit = page::limit(wanted.limit)?;
    let before = cursors.read_id(wanted.cursor.as_deref())?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let found = user::list(&mut *tx, caller.customer_id, before, limit).await?;
    Ok(Json(Page::of(found, limit, |user| cursors.after_id(user.id), UserBody::from)))
}

/// A user.
#[utoipa::path(
    get, path = "/users/{id}",
    responses((status = 200, description = "As asked", body = UserBody)),
    security(("bearer" = ["users:read"])),
)]
async fn find(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(user): Path<String>,
) -> Result<Tagged, Problem> {
    let user_id = path_id("usr", &user)?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let found = user::find(&mut *tx, caller.customer_id, user_id).await?;
    found.map(tagged).ok_or_else(|| Problem::new(Kind::NotFound))
}

/// What changes of a user; `null` takes them out of their team.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = UserChange)]
struct Change {
    name: Option<String>,
    #[schema(value_type = Option<String>, example = "manager")]
    role: Option<Role>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    team_id: Option<Option<String>>,
    /// Who is not active can't log in, and all their logins have ended.
    active: Option<bool>,
}

/// Tells `null` from what is not there.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Changes a user. What an access token allows that is about ends with it, within a quarter of an hour.
#[utoipa::path(
    patch, path = "/users/{id}",
    request_body = Change,
    responses((status = 200, description = "As asked", body = UserBody)),
    security(("bearer" = ["users:write"])),
)]
async fn change(
    Shared(state): Shared<State>,
    caller: Caller,
    client: Client,
    Path(text): Path<String>,
    headers: HeaderMap,
    Body(wanted): Body<Change>,
) -> Result<Tagged, Problem> {
    let user_id = path_id("usr", &text)?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let locked = user::lock(&mut *tx, caller.customer_id, user_id).await?;
    let locked = locked.ok_or_else(|| Problem::new(Kind::NotFound))?;
    revision::require(&headers, revision::of(locked.updated_at))?;
    may_give(&caller, Role::read(&locked.role))?;
    let mut becomes = locked.clone();
    if let Some(name) = wanted.name {
        bounded("name", &name, 200)?;
        becomes.name = name;
    }
    if let Some(role) = wanted.role {
        may_give(&caller, role)?;
        becomes.role = role.word().into();
    }
    if let Some(team) = wanted.team_id {
        becomes.team_id = team_of(&mut tx, caller.customer_id, team.as_deref()).await?;
    }
    becomes.active = wanted.active.unwrap_or(becomes.active);
    keep_an_owner(&mut tx, &locked, &becomes).await?;
    let changed = user::change(&mut *tx, &becomes).await?;
    if !changed.active {
        session::end_all(&mut tx, caller.customer_id, user_id, None).await?;
    }
    let data = json!({ "role": changed.role, "active": changed.active });
    note(&mut tx, &caller, &client, ("user.changed", &text), data).await?;
    Ok(tagged(changed))
}

/// Somebody must be left who can do everything.
async fn keep_an_owner(tx: &mut PgConnection, was: &User, is: &User) -> Result<(), Problem> {
    let owns = |user: &User| user.active && Role::read(&user.role) == Role::Owner;
    if owns(was) && !owns(is) && !user::another_owner(tx, was.customer_id, was.id).await? {
        let detail = "this is the last owner; make another one first";
        return Err(Problem::new(Kind::WrongState).detail(detail));
    }
    Ok(())
}
