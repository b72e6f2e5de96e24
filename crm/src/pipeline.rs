//! Pipelines and their stages, through which opportunities go. Owns `pipelines` and `stages`.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use engine::clock;
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgExecutor};
use utoipa::ToSchema;
use uuid::Uuid;

/// The most stages of one pipeline.
pub const MOST_STAGES: usize = 50;

/// What it means that an opportunity stands at a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It goes on.
    Open,
    /// It was won.
    Won,
    /// It was lost.
    Lost,
}

impl Kind {
    /// The stored word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Won => "won",
            Self::Lost => "lost",
        }
    }

    fn read(word: &str) -> Self {
        match word {
            "won" => Self::Won,
            "lost" => Self::Lost,
            _open => Self::Open,
        }
    }
}

/// A stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Its id (`stg_…`).
    pub id: Uuid,
    /// What people call it; one stage of the pipeline has it.
    pub name: String,
    /// How likely an opportunity is won that stands here, in percent.
    pub probability: i16,
    /// What it means.
    pub kind: Kind,
}

/// A pipeline with its stages in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pipeline {
    /// Its id (`pip_…`).
    pub id: Uuid,
    /// What people call it.
    pub name: String,
    /// The stages.
    pub stages: Vec<Stage>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// A stage as somebody wants it; one without an id is new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedStage {
    /// Which of those that are there.
    pub id: Option<Uuid>,
    /// See [`Stage`].
    pub name: String,
    /// See [`Stage`].
    pub probability: i16,
    /// See [`Stage`].
    pub kind: Kind,
}

/// Why a pipeline was not written.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// Another has the name.
    #[error("there is a pipeline of this name already")]
    NameTaken,
    /// Two stages have one name.
    #[error("two stages have one name")]
    StageTwice,
    /// It has no such stage.
    #[error("the stage with this id is not one of the pipeline's")]
    UnknownStage(Uuid),
    /// Opportunities stand at a stage that is to go.
    #[error("opportunities stand at a stage that is missing; move them first")]
    Occupied,
    /// The database refused.
    #[error(transparent)]
    Database(sqlx::Error),
}

impl From<sqlx::Error> for PipelineError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(|error| error.constraint()) {
            Some("pipelines_name") => Self::NameTaken,
            Some("stages_name") => Self::StageTwice,
            Some("opportunity_stage") => Self::Occupied,
            Some(_) | None => Self::Database(error),
        }
    }
}

/// Makes a pipeline.
///
/// # Errors
/// `NameTaken`, `StageTwice`, `UnknownStage`, or what the statements returned.
pub async fn create(
    tx: &mut PgConnection,
    customer_id: Uuid,
    name: &str,
    stages: &[WantedStage],
) -> Result<Pipeline, PipelineError> {
    let id = clock::new_id();
    sqlx::query!(
        "insert into pipelines (customer_id, id, name) values ($1, $2, $3)",
        customer_id,
        id,
        name,
    )
    .execute(&mut *tx)
    .await?;
    put_stages(&mut *tx, customer_id, id, &[], stages).await?;
    let made = find(tx, customer_id, id).await?;
    Ok(made.expect("a pipeline made in this transaction is seen by it"))
}

/// Writes a pipeline's name and stages in place of those that [`lock`] gave.
///
/// # Errors
/// As [`create`], and `Occupied`.
pub async fn change(
    tx: &mut PgConnection,
    customer_id: Uuid,
    locked: &Pipeline,
    name: &str,
    stages: Option<&[WantedStage]>,
) -> Result<Pipeline, PipelineError> {
    sqlx::query!(
        "update pipelines set name = $3, updated_at = engine.now() where customer_id = $1 and id = $2",
        customer_id,
        locked.id,
        name,
    )
    .execute(&mut *tx)
    .await?;
    if let Some(stages) = stages {
        put_stages(&mut *tx, customer_id, locked.id, &locked.stages, stages).await?;
    }
    let found = find(tx, customer_id, locked.id).await?;
    Ok(found.expect("a pipeline that is locked is there"))
}

/// Writes the stages: those that are missing go, in one statement each, so that a name may move from one to another.
async fn put_stages(
    tx: &mut PgConnection,
    customer_id: Uuid,
    pipeline_id: Uuid,
    before: &[Stage],
    wanted: &[WantedStage],
) -> Result<(), PipelineError> {
    let known: BTreeSet<Uuid> = before.iter().map(|stage| stage.id).collect();
    let kept: BTreeSet<Uuid> = wanted.iter().filter_map(|stage| stage.id).collect();
    if let Some(unknown) = kept.difference(&known).next() {
        return Err(PipelineError::UnknownStage(*unknown));
    }
    let gone: Vec<Uuid> = known.difference(&kept).copied().collect();
    sqlx::query!(
        "delete from stages where customer_id = $1 and pipeline_id = $2 and id = any($3)",
        customer_id,
        pipeline_id,
        &gone,
    )
    .execute(&mut *tx)
    .await?;
    // The names that are given up first: an index looks at each row by itself.
    sqlx::query!(
        "update stages set name = id::text where customer_id = $1 and pipeline_id = $2",
        customer_id,
        pipeline_id,
    )
    .execute(&mut *tx)
    .await?;
    let ids: Vec<Uuid> =
        wanted.iter().map(|stage| stage.id.unwrap_or_else(clock::new_id)).collect();
    let names: Vec<String> = wanted.iter().map(|stage| stage.name.clone()).collect();
    let probabilities: Vec<i16> = wanted.iter().map(|stage| stage.probability).collect();
    let kinds: Vec<String> = wanted.iter().map(|stage| stage.kind.word().to_owned()).collect();
    sqlx::query!(
        "insert into stages (customer_id, pipeline_id, id, name, position, probability, kind)
         select $1, $2, id, name, position, probability, kind
         from unnest($3::uuid[], $4::text[], $5::smallint[], $6::text[]) with ordinality
           as s(id, name, probability, kind, position)
         on conflict (customer_id, pipeline_id, id) do update
           set name = excluded.name, position = excluded.position, probability = excluded.probability,
             kind = excluded.kind",
        customer_id,
        pipeline_id,
        &ids,
        &names,
        &probabilities,
        &kinds,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// A pipeline by id.
///
/// # Errors
/// What the statements returned.
pub async fn find(
    tx: &mut PgConnection,
    customer_id: Uuid,
    id: Uuid,
) -> Result<Option<Pipeline>, sqlx::Error> {
    let found = sqlx::query!(
        "select id, name, created_at, updated_at from pipelines where customer_id = $1 and id = $2",
        customer_id,
        id,
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(found) = found else { return Ok(None) };
    let mut stages = stages_of(tx, customer_id, &[id]).await?;
    Ok(Some(Pipeline {
        id,
        name: found.name,
        stages: stages.remove(&id).unwrap_or_default(),
        created_at: found.created_at,
        updated_at: found.updated_at,
    }))
}

/// A pipeline by id, locked against other changes.
///
/// # Errors
/// What the statements returned.
pub async fn lock(
    tx: &mut PgConnection,
    customer_id: Uuid,
    id: Uuid,
) -> Result<Option<Pipeline>, sqlx::Error> {
    sqlx::query!(
        "select from pipelines where customer_id = $1 and id = $2 for update",
        customer_id,
        id,
    )
    .fetch_optional(&mut *tx)
    .await?;
    find(tx, customer_id, id).await
}

/// Pipelines, newest first.
///
/// # Errors
/// What the statements returned.
pub async fn list(
    tx: &mut PgConnection,
    customer_id: Uuid,
    before: Option<Uuid>,
    limit: u32,
) -> Result<Vec<Pipeline>, sqlx::Error> {
    let found = sqlx::query!(
        "select id, name, created_at, updated_at from pipelines
         where customer_id = $1 and ($2::uuid is null or id < $2) order by id desc limit $3",
        customer_id,
        before,
        i64::from(limit),
    )
    .fetch_all(&mut *tx)
    .await?;
    let ids: Vec<Uuid> = found.iter().map(|pipeline| pipeline.id).collect();
    let mut stages = stages_of(tx, customer_id, &ids).await?;
    let whole = found.into_iter().map(|found| Pipeline {
        id: found.id,
        name: found.name,
        stages: stages.remove(&found.id).unwrap_or_default(),
        created_at: found.created_at,
        updated_at: found.updated_at,
    });
    Ok(whole.collect())
}

async fn stages_of(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    pipelines: &[Uuid],
) -> Result<BTreeMap<Uuid, Vec<Stage>>, sqlx::Error> {
    let found = sqlx::query!(
        "select pipeline_id, id, name, probability, kind from stages
         where customer_id = $1 and pipeline_id = any($2) order by pipeline_id, position",
        customer_id,
        pipelines,
    )
    .fetch_all(db)
    .await?;
    let mut stages: BTreeMap<Uuid, Vec<Stage>> = BTreeMap::new();
    for row in found {
        let stage = Stage {
            id: row.id,
            name: row.name,
            probability: row.probability,
            kind: Kind::read(&row.kind),
        };
        stages.entry(row.pipeline_id).or_default().push(stage);
    }
    Ok(stages)
}
