//! Sequences: made from a definition, read as JSON or TOML, activated.

use axum::Json;
use axum::extract::{Path, Request, State as Shared};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use crm::custom_field;
use crm::sequence::{self, Existing, Sequence, SequenceError};
use engine::definition::{self, Format, Refusals};
use engine::definition_store::{self, Document};
use engine::id;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::State;
use crate::input::{self, Params, path_id};
use crate::page::{self, Cursors, Page, Paging};
use crate::problem::{Fault, Kind, Problem};
use crate::tenant::{self, Caller};

const TOML: &str = "application/toml";

/// The routes.
pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(find))
        .routes(routes!(activate))
}

/// A sequence as people read it; listings leave the definition out.
#[derive(Serialize, ToSchema)]
#[schema(as = Sequence)]
pub(super) struct SequenceBody {
    #[schema(example = "seq_01h455vb4pex5vsknk084sn02q")]
    id: String,
    name: String,
    title: String,
    status: String,
    version: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    definition: Option<Value>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

pub(super) fn show(sequence: Sequence, definition: Option<Value>) -> SequenceBody {
    SequenceBody {
        id: id::show("seq", sequence.id),
        name: sequence.name,
        title: sequence.title,
        status: sequence.status,
        version: sequence.version,
        definition,
        created_at: sequence.created_at,
        updated_at: sequence.updated_at,
    }
}

/// A sequence to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewSequence)]
struct Create {
    /// The workflow, as its JSON Schema has it (`salesos workflows schema`).
    #[schema(value_type = Object)]
    definition: Value,
}

/// The document of a request: the body itself as TOML, or `definition` of a JSON body.
fn document(content_type: Option<&str>, body: &[u8]) -> Result<(String, Format), Problem> {
    match content_type {
        Some(TOML) => {
            let text = std::str::from_utf8(body)
                .map_err(|_| Problem::new(Kind::Malformed).detail("the body is no UTF-8"))?;
            Ok((text.to_owned(), Format::Toml))
        }
        None | Some("application/json") => {
            let create: Create = input::read_json(body)?;
            Ok((format!("{:#}", create.definition), Format::Json))
        }
        Some(_other) => Err(Problem::new(Kind::UnsupportedMediaType)
            .detail("send application/json or application/toml")),
    }
}

/// Makes a sequence from a definition; it takes nobody until it is activated.
#[utoipa::path(
    post, path = "/sequences",
    request_body(content((Create = "application/json"), (String = "application/toml"))),
    responses((status = 201, description = "Made", body = SequenceBody)),
    security(("bearer" = ["sequences:write"])),
)]
async fn create(
    Shared(state): Shared<State>,
    caller: Caller,
    request: Request,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<SequenceBody>), Problem> {
    let content_type = input::content_type(request.headers());
    let body = input::bytes(request, &state).await?;
    let (source, format) = document(content_type.as_deref(), &body)?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let own = custom_field::of_texts(&mut *tx, caller.customer_id).await?;
    let registry = state.definitions.registry();
    let read = definition::read_for("definition", &source, format, registry, own.as_ref());
    let definition = read.map_err(|refusals| refused(&refusals, format))?;
    let made = sequence::keep(&mut tx, caller.customer_id, &definition, &source, Existing::Refuse);
    let made = made.await.map_err(|error| match error {
        SequenceError::NameTaken(_) => Problem::new(Kind::NameTaken).detail(error.to_string()),
        SequenceError::Database(error) => error.into(),
    })?;
    let made = show(made, Some(definition.document));
    let location = format!("/api/v1/sequences/{}", made.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(made)))
}

/// Every problem of a definition, with its place and as a drawing.
pub(super) fn refused(refusals: &Refusals, format: Format) -> Problem {
    let around = match format {
        Format::Json => "/definition",
        Format::Toml => "",
    };
    let problem = Problem::new(Kind::DefinitionRefused).rendered(refusals.render(false));
    refusals.problems.iter().fold(problem, |problem, found| {
        problem.fault(Fault {
            field: None,
            pointer: Some(format!("{around}{}", found.pointer).into()),
            line: Some(found.line),
            column: Some(found.column),
            message: found.message.clone(),
            help: found.help.clone(),
        })
    })
}

/// A sequence with its definition; by `Accept: application/toml` the definition as it was written.
#[utoipa::path(
    get, path = "/sequences/{id}",
    responses((status = 200, description = "As asked", content((SequenceBody = "application/json"), (String = "application/toml")))),
    security(("bearer" = ["sequences:read"])),
)]
async fn find(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(sequence): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let sequence_id = path_id("seq", &sequence)?;
    let missing = || Problem::new(Kind::NotFound);
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let found = sequence::find(&mut *tx, caller.customer_id, sequence_id).await?;
    let found = found.ok_or_else(missing)?;
    let document = definition_store::find(&mut *tx, found.definition_id).await?;
    let document = document.ok_or_else(missing)?;
    let wanted = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    if wanted.is_some_and(|accept| accept.contains(TOML)) {
        return Ok(([(header::CONTENT_TYPE, TOML)], toml_of(document)?).into_response());
    }
    Ok(Json(show(found, Some(document.document))).into_response())
}

/// The document as TOML: as it was written, or made from the JSON that it was.
fn toml_of(document: Document) -> Result<String, Problem> {
    // No TOML document begins with a brace.
    if !document.source.trim_start().starts_with('{') {
        return Ok(document.source);
    }
    toml::to_string(&document.document).map_err(|error| {
        tracing::error!(%error, "a definition has no form in TOML");
        Problem::new(Kind::Internal)
    })
}

/// Sequences without their definitions, newest first.
#[utoipa::path(
    get, path = "/sequences",
    params(Paging),
    responses((status = 200, description = "As asked", body = Page<SequenceBody>)),
    security(("bearer" = ["sequences:read"])),
)]
async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
    cursors: Cursors,
    Params(wanted): Params<Paging>,
) -> Result<Json<Page<SequenceBody>>, Problem> {
    let limit = page::limit(wanted.limit)?;
    let before = cursors.read_id(wanted.cursor.as_deref())?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let found = sequence::list(&mut *tx, caller.customer_id, before, limit).await?;
    let cursor = |sequence: &Sequence| cursors.after_id(sequence.id);
    Ok(Json(Page::of(found, limit, cursor, |sequence| show(sequence, None))))
}

/// Lets a sequence take contacts.
#[utoipa::path(
    post, path = "/sequences/{id}/activate",
    responses((status = 200, description = "As asked", body = SequenceBody)),
    security(("bearer" = ["sequences:write"])),
)]
async fn activate(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(sequence): Path<String>,
) -> Result<Json<SequenceBody>, Problem> {
    let sequence_id = path_id("seq", &sequence)?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let found = sequence::activate(&mut *tx, caller.customer_id, sequence_id).await?;
    let found = found.ok_or_else(|| Problem::new(Kind::NotFound))?;
    if found.status != "active" {
        let detail = format!("the sequence is {}", found.status);
        return Err(Problem::new(Kind::WrongState).detail(detail));
    }
    Ok(Json(show(found, None)))
}
