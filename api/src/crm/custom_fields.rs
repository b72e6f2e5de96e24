//! Custom fields: what a customer keeps of its records beyond what all have.

use axum::Json;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use chrono::{DateTime, Utc};
use crm::custom_field::{self, CustomField, Entity, MOST, NewField, Type};
use engine::id;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::State;
use crate::input::{Body, Params, bounded, path_id};
use crate::page::Page;
use crate::problem::{Kind, Problem};
use crate::revision;
use crate::tenant::{self, Caller};

/// The most options of one field.
const MOST_OPTIONS: usize = 200;

/// The routes.
pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(change))
}

/// A custom field as people read it.
#[derive(Serialize, ToSchema)]
#[schema(as = CustomField)]
struct FieldBody {
    #[schema(example = "fld_01h455vb4pex5vsknk084sn02q")]
    id: String,
    entity: Entity,
    /// Under which key it lies in `custom`.
    key: String,
    label: String,
    #[serde(rename = "type")]
    kind: Type,
    /// What may be chosen; of `select` and `multiselect` alone.
    options: Vec<String>,
    /// Whether a new record needs it.
    required: bool,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

fn show(field: CustomField) -> FieldBody {
    FieldBody {
        id: id::show("fld", field.id),
        entity: field.entity,
        key: field.key,
        label: field.label,
        kind: field.kind,
        options: field.options,
        required: field.required,
        created_at: field.created_at,
        updated_at: field.updated_at,
    }
}

/// A custom field to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewCustomField)]
struct Create {
    entity: Entity,
    /// A letter, then letters, digits and `_`, all lower case; it never changes.
    #[schema(example = "seats")]
    key: String,
    /// What people call it; the key by default.
    label: Option<String>,
    /// It never changes.
    #[serde(rename = "type")]
    kind: Type,
    #[serde(default)]
    options: Vec<String>,
    #[serde(default)]
    required: bool,
}

fn check_options(kind: Type, options: &[String]) -> Result<(), Problem> {
    let wanted = matches!(kind, Type::Select | Type::Multiselect);
    if wanted == options.is_empty() {
        return Err(Problem::invalid(
            "options",
            "stand with `select` and `multiselect`, and with them alone",
        ));
    }
    if options.len() > MOST_OPTIONS {
        let message = format!("are too many; {MOST_OPTIONS} are the most");
        return Err(Problem::invalid("options", message));
    }
    for (at, option) in options.iter().enumerate() {
        let field = format!("options[{at}]");
        bounded(&field, option, 200)?;
        if option.trim().is_empty() || options[..at].contains(option) {
            return Err(Problem::invalid(&field, "is empty, or stands twice"));
        }
    }
    Ok(())
}

/// Makes a custom field.
#[utoipa::path(
    post, path = "/custom-fields",
    request_body = Create,
    responses((status = 201, description = "Made", body = FieldBody)),
    security(("bearer" = ["fields:write"])),
)]
async fn create(
    Shared(state): Shared<State>,
    caller: Caller,
    Body(new): Body<Create>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<FieldBody>), Problem> {
    if !custom_field::is_key(&new.key) {
        let message = "is a letter, then up to 62 letters, digits and `_`, all lower case";
        return Err(Problem::invalid("key", message));
    }
    check_options(new.kind, &new.options)?;
    let label = new.label.unwrap_or_else(|| new.key.clone());
    bounded("label", &label, 200)?;
    let Create { entity, key, kind, options, required, .. } = new;
    let field = NewField { entity, key, label, kind, options, required };
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let made = custom_field::create(&mut *tx, caller.customer_id, &field).await?;
    let made = made.ok_or_else(|| {
        Problem::new(Kind::Conflict)
            .detail(format!("there are {MOST} fields already, the most there may be"))
    })?;
    let made = show(made);
    let location = format!("/api/v1/custom-fields/{}", made.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(made)))
}

/// Of which records.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct List {
    #[param(inline)]
    entity: Entity,
}

/// The custom fields of a kind of records; all of them on one page.
#[utoipa::path(
    get, path = "/custom-fields",
    params(List),
    responses((status = 200, description = "As asked", body = Page<FieldBody>)),
    security(("bearer" = ["fields:read"])),
)]
async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
    Params(wanted): Params<List>,
) -> Result<Json<Page<FieldBody>>, Problem> {
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let found = custom_field::of(&mut *tx, caller.customer_id, wanted.entity).await?;
    Ok(Json(Page::ending(found.into_iter().map(show).collect(), None)))
}

/// What is to become of a custom field.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CustomFieldChange)]
struct Change {
    label: Option<String>,
    /// All options, in place of those that are there; records keep what they have.
    options: Option<Vec<String>>,
    required: Option<bool>,
}

/// Changes what the body names.
#[utoipa::path(
    patch, path = "/custom-fields/{id}",
    request_body = Change,
    responses((status = 200, description = "As asked", body = FieldBody)),
    security(("bearer" = ["fields:write"])),
)]
async fn change(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(field): Path<String>,
    headers: HeaderMap,
    Body(wanted): Body<Change>,
) -> Result<([(HeaderName, String); 1], Json<FieldBody>), Problem> {
    let field_id = path_id("fld", &field)?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let locked = custom_field::lock(&mut *tx, caller.customer_id, field_id).await?;
    let mut locked = locked.ok_or_else(|| Problem::new(Kind::NotFound))?;
    revision::require(&headers, revision::of(locked.updated_at))?;
    if let Some(options) = wanted.options {
        check_options(locked.kind, &options)?;
        locked.options = options;
    }
    if let Some(label) = wanted.label {
        bounded("label", &label, 200)?;
        locked.label = label;
    }
    locked.required = wanted.required.unwrap_or(locked.required);
    let changed = custom_field::change(&mut *tx, caller.customer_id, &locked).await?;
    let tag = revision::tag(revision::of(changed.updated_at));
    Ok(([(header::ETAG, tag)], Json(show(changed))))
}
