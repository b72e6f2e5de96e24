//! Pipelines and their stages.

use axum::Json;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use chrono::{DateTime, Utc};
use crm::pipeline::{self, Kind as StageKind, MOST_STAGES, Pipeline, PipelineError, WantedStage};
use engine::id;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::State;
use crate::input::{Body, Params, bounded, name, optional_id, path_id};
use crate::page::{self, Cursors, Page, Paging};
use crate::problem::{Kind, Problem};
use crate::revision;
use crate::tenant::{self, Caller};

/// The routes.
pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(find, change))
}

/// A pipeline as people read it.
#[derive(Serialize, ToSchema)]
#[schema(as = Pipeline)]
struct PipelineBody {
    #[schema(example = "pip_01h455vb4pex5vsknk084sn02q")]
    id: String,
    name: String,
    /// In their order.
    stages: Vec<StageBody>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// A stage as people read it.
#[derive(Serialize, ToSchema)]
#[schema(as = Stage)]
struct StageBody {
    #[schema(example = "stg_01h455vb4pex5vsknk084sn02q")]
    id: String,
    name: String,
    /// In percent.
    probability: i16,
    kind: StageKind,
}

fn show(pipeline: Pipeline) -> PipelineBody {
    let stages = pipeline.stages.into_iter().map(|stage| StageBody {
        id: id::show("stg", stage.id),
        name: stage.name,
        probability: stage.probability,
        kind: stage.kind,
    });
    PipelineBody {
        id: id::show("pip", pipeline.id),
        name: pipeline.name,
        stages: stages.collect(),
        created_at: pipeline.created_at,
        updated_at: pipeline.updated_at,
    }
}

type Tagged = ([(HeaderName, String); 1], Json<PipelineBody>);

fn tagged(pipeline: Pipeline) -> Tagged {
    let tag = revision::tag(revision::of(pipeline.updated_at));
    ([(header::ETAG, tag)], Json(show(pipeline)))
}

/// A stage as somebody wants it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WantedStage)]
struct Stage {
    /// Which of those that are there; a new one has none.
    id: Option<String>,
    name: String,
    /// 0 to 100 percent.
    #[schema(minimum = 0, maximum = 100)]
    probability: i16,
    /// What it means that an opportunity stands here.
    #[serde(default = "open")]
    kind: StageKind,
}

fn open() -> StageKind {
    StageKind::Open
}

/// A pipeline to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewPipeline)]
struct Create {
    name: String,
    stages: Vec<Stage>,
}

fn wanted(stages: Vec<Stage>) -> Result<Vec<WantedStage>, Problem> {
    if !(1..=MOST_STAGES).contains(&stages.len()) {
        return Err(Problem::invalid("stages", format!("are 1 to {MOST_STAGES}")));
    }
    let read = |(at, stage): (usize, Stage)| {
        let within = |field: &str| format!("stages[{at}].{field}");
        bounded(&within("name"), &stage.name, 200)?;
        if stage.name.trim().is_empty() {
            return Err(Problem::invalid(&within("name"), "is empty"));
        }
        if !(0..=100).contains(&stage.probability) {
            return Err(Problem::invalid(&within("probability"), "is 0 to 100"));
        }
        Ok(WantedStage {
            id: optional_id(&within("id"), "stg", stage.id.as_deref())?,
            name: stage.name.trim().to_owned(),
            probability: stage.probability,
            kind: stage.kind,
        })
    };
    stages.into_iter().enumerate().map(read).collect()
}

fn refused(error: PipelineError) -> Problem {
    match error {
        PipelineError::NameTaken => Problem::new(Kind::NameTaken).detail(error.to_string()),
        PipelineError::StageTwice => Problem::invalid("stages", error.to_string()),
        PipelineError::UnknownStage(id) => {
            Problem::invalid("stages", format!("{} is none of the pipeline's", id::show("stg", id)))
        }
        PipelineError::Occupied => Problem::new(Kind::WrongState).detail(error.to_string()),
        PipelineError::Database(error) => error.into(),
    }
}

/// Makes a pipeline with its stages.
#[utoipa::path(
    post, path = "/pipelines",
    request_body = Create,
    responses((status = 201, description = "Made", body = PipelineBody)),
    security(("bearer" = ["pipelines:write"])),
)]
async fn create(
    Shared(state): Shared<State>,
    caller: Caller,
    Body(new): Body<Create>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<PipelineBody>), Problem> {
    let name = name(&new.name)?;
    let stages = wanted(new.stages)?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let made = pipeline::create(&mut tx, caller.customer_id, &name, &stages).await;
    let made = show(made.map_err(refused)?);
    let location = format!("/api/v1/pipelines/{}", made.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(made)))
}

/// A pipeline with its stages.
#[utoipa::path(
    get, path = "/pipelines/{id}",
    responses((status = 200, description = "As asked", body = PipelineBody)),
    security(("bearer" = ["pipelines:read"])),
)]
async fn find(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(pipeline): Path<String>,
) -> Result<Tagged, Problem> {
    let pipeline_id = path_id("pip", &pipeline)?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let found = pipeline::find(&mut tx, caller.customer_id, pipeline_id).await?;
    found.map(tagged).ok_or_else(|| Problem::new(Kind::NotFound))
}

/// Pipelines, newest first.
#[utoipa::path(
    get, path = "/pipelines",
    params(Paging),
    responses((status = 200, description = "As asked", body = Page<PipelineBody>)),
    security(("bearer" = ["pipelines:read"])),
)]
async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
    cursors: Cursors,
    Params(wanted): Params<Paging>,
) -> Result<Json<Page<PipelineBody>>, Problem> {
    let limit = page::limit(wanted.limit)?;
    let before = cursors.read_id(wanted.cursor.as_deref())?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let found = pipeline::list(&mut tx, caller.customer_id, before, limit).await?;
    Ok(Json(Page::of(found, limit, |pipeline| cursors.after_id(pipeline.id), show)))
}

/// What is to become of a pipeline.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PipelineChange)]
struct Change {
    name: Option<String>,
    /// All stages in their order, in place of those that are there: one that keeps its id stays, one that is missing goes
    /// where no opportunity stands at it.
    stages: Option<Vec<Stage>>,
}

/// Changes what the body names.
#[utoipa::path(
    patch, path = "/pipelines/{id}",
    request_body = Change,
    responses((status = 200, description = "As asked", body = PipelineBody)),
    security(("bearer" = ["pipelines:write"])),
)]
async fn change(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(pipeline): Path<String>,
    headers: HeaderMap,
    Body(given): Body<Change>,
) -> Result<Tagged, Problem> {
    let pipeline_id = path_id("pip", &pipeline)?;
    let stages = given.stages.map(wanted).transpose()?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let locked = pipeline::lock(&mut tx, caller.customer_id, pipeline_id).await?;
    let locked = locked.ok_or_else(|| Problem::new(Kind::NotFound))?;
    revision::require(&headers, revision::of(locked.updated_at))?;
    let name = given.name.as_deref().map_or_else(|| Ok(locked.name.clone()), name)?;
    let changed =
        pipeline::change(&mut tx, caller.customer_id, &locked, &name, stages.as_deref()).await;
    Ok(tagged(changed.map_err(refused)?))
}
