//! Imports of contacts from CSV files.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::{Body as Stream, Bytes};
use axum::extract::{Path, Request, State as Shared};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use crm::custom_field::{self, CustomField, Entity};
use crm::import::{
    self, Column, Counts, Import, ImportError, MAX_BYTES, OnDuplicate, Options, Parsed,
};
use engine::id;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::background;
use crate::State;
use crate::idempotency::{self, Keyed};
use crate::input::{Params, bounded, content_type, path_id};
use crate::page::{self, Cursors, Page, Paging};
use crate::problem::{Kind, Problem};
use crate::tenant::{self, Caller};
use crate::uploads;
use crate::vocabulary;

/// The routes.
pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(find)).routes(routes!(errors))
}

/// An import as people read it.
#[derive(Serialize, ToSchema)]
#[schema(as = Import)]
struct ImportBody {
    /// None of a dry run, which leaves nothing behind.
    #[schema(example = "imp_01h455vb4pex5vsknk084sn02q")]
    id: Option<String>,
    name: String,
    /// `queued running done failed`; `dry_run` where nothing was written.
    status: String,
    /// How many rows are decided.
    done: i64,
    counts: Counts,
    /// How many of the rows say that their person wants no mail, or that their address takes none; of a dry run and of a new
    /// import alone. Those people get no mail, even if their row is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    unsubscribed: Option<u64>,
    columns: Vec<ColumnBody>,
    error: Option<String>,
    created_at: Option<DateTime<Utc>>,
    updated_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
}

/// A column, and the field that it fills.
#[derive(Serialize, ToSchema)]
#[schema(as = ImportColumn)]
struct ColumnBody {
    header: String,
    /// Such as `email` or `custom.seats`; `null` if the column is left out. Several columns may hold addresses: a row's
    /// address is that of the best-named one that has one.
    field: Option<String>,
    /// Its first values; of a dry run and of a new import alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    samples: Vec<String>,
}

fn show(import: Import) -> ImportBody {
    let columns = import.header.into_iter().zip(import.mapping.0);
    ImportBody {
        id: Some(id::show("imp", import.id)),
        name: import.name,
        status: import.status,
        done: import.done,
        counts: import.counts,
        unsubscribed: None,
        columns: columns
            .map(|(header, target)| ColumnBody {
                header,
                field: target.map(String::from),
                samples: Vec::new(),
            })
            .collect(),
        error: import.error,
        created_at: Some(import.created_at),
        updated_at: Some(import.updated_at),
        ended_at: import.ended_at,
    }
}

fn show_columns(columns: Vec<Column>) -> Vec<ColumnBody> {
    let show = |column: Column| ColumnBody {
        header: column.header,
        field: column.target.map(String::from),
        samples: column.samples,
    };
    columns.into_iter().map(show).collect()
}

/// How a file is imported.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// A JSON object: by a column's header the field that it fills (`email first_name last_name name company title phone
    /// country region city time_zone linkedin_url locale tags unsubscribed custom.KEY`), or `null` to leave it out. A column
    /// that it does not name fills the field that its header names, or the address, if its values are addresses. A column about
    /// the seller (owner, account manager, created by) fills a field only if the mapping names it.
    #[param(example = r#"{"Work mail":"email","Seats":"custom.seats","Internal":null}"#)]
    mapping: Option<String>,
    /// Only say what would be done.
    #[serde(default)]
    #[param(value_type = Option<bool>)]
    dry_run: bool,
    #[serde(default)]
    #[param(inline, value_type = Option<OnDuplicate>)]
    on_duplicate: OnDuplicate,
    /// Whether to make accounts for companies that have none yet; `true` by default.
    #[serde(default = "yes")]
    #[param(value_type = Option<bool>)]
    create_accounts: bool,
    /// What the file is called.
    name: Option<String>,
}

fn yes() -> bool {
    true
}

impl Wanted {
    fn options(self, actor: String) -> Result<Options, Problem> {
        let mapping = match &self.mapping {
            None => BTreeMap::new(),
            Some(text) => serde_json::from_str(text).map_err(|error| {
                let message = format!("is no JSON object of headers and fields: {error}");
                Problem::invalid("mapping", message)
            })?,
        };
        let name = self.name.unwrap_or_else(|| "contacts.csv".into());
        bounded("name", &name, 200)?;
        let Self { on_duplicate, create_accounts, .. } = self;
        Ok(Options { name, mapping, on_duplicate, create_accounts, actor })
    }
}

/// Imports a CSV file of contacts (the body, up to 50 MiB): any common delimiter and encoding. It is read as a whole
/// first, and refused as a whole where it can't be; then its rows become contacts in the background.
#[utoipa::path(
    post, path = "/imports",
    params(Wanted),
    request_body(content = String, content_type = "text/csv"),
    responses(
        (status = 200, description = "What would be done", body = ImportBody),
        (status = 202, description = "Ordered", body = ImportBody),
    ),
    security(("bearer" = ["imports:write"])),
)]
async fn create(
    Shared(state): Shared<State>,
    caller: Caller,
    Params(wanted): Params<Wanted>,
    request: Request,
) -> Result<Response, Problem> {
    let dry_run = wanted.dry_run;
    let options = wanted.options(caller.actor())?;
    let keyed = request.extensions().get::<Keyed>().cloned();
    let bytes = file(request).await?;
    let customer_id = caller.customer_id;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let fields = custom_field::of(&mut *tx, customer_id, Entity::Contact).await?;
    // No connection is held while the file waits for its turn and is read.
    tx.undo().await?;
    let (parsed, turn) = read(&state, bytes, &options, fields).await?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    // What was undone held the request's key as well.
    if let Some(keyed) = keyed
        && let Some(answered) = idempotency::claim(&mut tx, &state.vault, &caller, &keyed).await?
    {
        return Ok(answered);
    }
    if dry_run {
        let counts = import::preview(&mut tx, customer_id, &options, &parsed).await?;
        return Ok(Json(previewed(options, parsed, counts)).into_response());
    }
    let import_id = import::store(&mut tx, customer_id, &options, &parsed).await?;
    drop(turn);
    background::start(&mut tx, &state, customer_id, import_id, background::Work::Import).await?;
    let made = import::find(&mut *tx, customer_id, import_id).await?;
    let made = made.ok_or_else(|| Problem::new(Kind::Internal))?;
    let body = ImportBody {
        unsubscribed: Some(parsed.unsubscribed),
        columns: show_columns(parsed.columns),
        ..show(made)
    };
    let location = format!("/api/v1/imports/{}", id::show("imp", import_id));
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(body)).into_response())
}

/// Reads a file once it has its turn, which lasts until it is dropped. One file at a time: each takes a core, and several
/// times its size in memory.
async fn read(
    state: &State,
    bytes: Bytes,
    options: &Options,
    fields: Vec<CustomField>,
) -> Result<(Parsed, OwnedSemaphorePermit), Problem> {
    let broken = || Problem::new(Kind::Internal);
    let mapping = options.mapping.clone();
    let turn = Arc::clone(&state.imports).acquire_owned().await.map_err(|_| broken())?;
    // The turn goes along, so that it lasts as long as the work even if nobody waits for that any more.
    let work = move || import::read(&bytes, &mapping, &fields).map(|parsed| (parsed, turn));
    tokio::task::spawn_blocking(work).await.map_err(|_| broken())?.map_err(refused)
}

fn previewed(options: Options, parsed: Parsed, counts: Counts) -> ImportBody {
    ImportBody {
        id: None,
        name: options.name,
        status: vocabulary::DRY_RUN.into(),
        done: 0,
        counts,
        unsubscribed: Some(parsed.unsubscribed),
        columns: show_columns(parsed.columns),
        error: None,
        created_at: None,
        updated_at: None,
        ended_at: None,
    }
}

/// The body, within the limit of a file; one that is too large is refused before all of it came.
async fn file(request: Request) -> Result<Bytes, Problem> {
    let too_large = || Problem::new(Kind::TooLarge).detail(ImportError::TooLarge.to_string());
    let kind = content_type(request.headers());
    let texts = ["text/csv", "text/plain", "text/tab-separated-values", "application/octet-stream"];
    if kind.is_some_and(|kind| !texts.contains(&kind.as_str())) {
        return Err(
            Problem::new(Kind::UnsupportedMediaType).detail("send the file itself, as text/csv")
        );
    }
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|bytes| bytes > MAX_BYTES) {
        return Err(too_large());
    }
    uploads::read(request.into_body(), MAX_BYTES).await?.ok_or_else(too_large)
}

fn refused(error: ImportError) -> Problem {
    let message = error.to_string();
    match error {
        ImportError::Database(error) => error.into(),
        ImportError::TooLarge => Problem::new(Kind::TooLarge).detail(message),
        ImportError::Mapping { header, message } => {
            Problem::invalid(&format!("mapping.{header}"), message)
        }
        ImportError::NoText { .. }
        | ImportError::NoAddressColumn { .. }
        | ImportError::SeveralAddressColumns { .. }
        | ImportError::SellersOnly { .. }
        | ImportError::NoHeader { .. }
        | ImportError::OpenQuote { .. }
        | ImportError::HeaderTwice { .. }
        | ImportError::TooManyColumns { .. }
        | ImportError::Unreadable { .. } => Problem::invalid("body", message),
    }
}

/// Imports, newest first.
#[utoipa::path(
    get, path = "/imports",
    params(Paging),
    responses((status = 200, description = "As asked", body = Page<ImportBody>)),
    security(("bearer" = ["imports:read"])),
)]
async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
    cursors: Cursors,
    Params(wanted): Params<Paging>,
) -> Result<Json<Page<ImportBody>>, Problem> {
    let limit = page::limit(wanted.limit)?;
    let before = cursors.read_id(wanted.cursor.as_deref())?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let found = import::list(&mut *tx, caller.customer_id, before, limit).await?;
    Ok(Json(Page::of(found, limit, |import| cursors.after_id(import.id), show)))
}

/// An import, and how far it is.
#[utoipa::path(
    get, path = "/imports/{id}",
    responses((status = 200, description = "As asked", body = ImportBody)),
    security(("bearer" = ["imports:read"])),
)]
async fn find(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(import): Path<String>,
) -> Result<Json<ImportBody>, Problem> {
    let import_id = path_id("imp", &import)?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let found = import::find(&mut *tx, caller.customer_id, import_id).await?;
    found.map(|found| Json(show(found))).ok_or_else(|| Problem::new(Kind::NotFound))
}

/// The refused rows as they were, with the line, the reason and what to write; as CSV.
#[utoipa::path(
    get, path = "/imports/{id}/errors.csv",
    responses((status = 200, description = "As asked", body = String, content_type = "text/csv")),
    security(("bearer" = ["imports:read"])),
)]
async fn errors(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(import): Path<String>,
) -> Result<Response, Problem> {
    let import_id = path_id("imp", &import)?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let found = import::find(&mut *tx, caller.customer_id, import_id).await?;
    let found = found.ok_or_else(|| Problem::new(Kind::NotFound))?;
    tx.undo().await?;
    let first = table_header(&found.header)?;
    let pages = futures_util::stream::unfold(
        (state, caller, -1, Some(first)),
        move |(state, caller, line, first)| async move {
            if let Some(first) = first {
                return Some((Ok(first), (state, caller, line, None)));
            }
            match page(&state, &caller, import_id, line).await {
                Ok(Some((bytes, line))) => Some((Ok(bytes), (state, caller, line, None))),
                Ok(None) => None,
                // The answer has begun: all that is left is to break it off, so that nobody takes it for whole.
                Err(_) => Some((
                    Err(std::io::Error::other("the rows can't be read")),
                    (state, caller, i64::MAX, None),
                )),
            }
        },
    );
    Ok(super::table::answer("import-errors.csv", Stream::from_stream(pages)))
}

fn table_header(header: &[String]) -> Result<Bytes, Problem> {
    let added = ["line", "reason", "detail"].into_iter();
    super::table::rows([added.chain(header.iter().map(String::as_str))])
}

/// The next refused rows, and the line of the last of them; nothing is held until the one after is asked for.
async fn page(
    state: &State,
    caller: &Caller,
    import_id: Uuid,
    after: i64,
) -> Result<Option<(Bytes, i64)>, Problem> {
    let mut tx = tenant::begin_part(&state.pool, caller).await?;
    let rows = import::refusals(&mut *tx, caller.customer_id, import_id, after).await?;
    tx.rollback().await?;
    let Some(last) = rows.last().map(|row| row.line) else { return Ok(None) };
    let lines: Vec<String> = rows.iter().map(|row| row.line.to_string()).collect();
    let table = rows.iter().zip(&lines).map(|(row, line)| {
        let added = [line.as_str(), row.reason.as_str(), row.detail.as_str()].into_iter();
        added.chain(row.cells.iter().map(String::as_str))
    });
    Ok(Some((super::table::rows(table)?, last)))
}
