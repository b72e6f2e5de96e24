//! Enrolling contacts in a sequence.

use axum::Json;
use axum::extract::{Path, State as Shared};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use crm::enrollment::{
    self, EnrollError, EnrollReport, NewEnrollments, RefusalReason, Refused, Sender,
};
use crm::sequence;
use engine::definition_store::LoadError;
use engine::id;
use engine::run::StartError;
use serde::{Deserialize, Serialize};
use sqlx::{Connection, PgConnection};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::enrollments::{EnrollmentBody, show};
use crate::State;
use crate::input::{Body, field_id, optional_id, path_id};
use crate::problem::{Kind, Problem};
use crate::tenant::{self, Caller};

/// The most contacts of one request.
const MOST: usize = 1_000;

/// The route.
pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(create))
}

/// Whom to enroll.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewEnrollments)]
struct Create {
    /// 1 to 1,000 of them.
    contact_ids: Vec<String>,
    mailbox_id: Option<String>,
    start_at: Option<DateTime<Utc>>,
    /// Only says who would be enrolled and who refused; `enrollments` is empty then.
    #[serde(default)]
    dry_run: bool,
}

impl Create {
    fn contacts(&self) -> Result<Vec<Uuid>, Problem> {
        if !(1..=MOST).contains(&self.contact_ids.len()) {
            return Err(Problem::invalid("contact_ids", format!("are 1 to {MOST}")));
        }
        let read =
            |(at, text): (usize, &String)| field_id(&format!("contact_ids[{at}]"), "con", text);
        self.contact_ids.iter().enumerate().map(read).collect()
    }
}

/// What came of it.
#[derive(Serialize, ToSchema)]
#[schema(as = EnrollmentReport)]
struct Report {
    enrolled: usize,
    refused: Vec<RefusedBody>,
    enrollments: Vec<EnrollmentBody>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = RefusedContact)]
struct RefusedBody {
    contact_id: String,
    reason: RefusalReason,
    detail: String,
}

impl From<Refused> for RefusedBody {
    fn from(refused: Refused) -> Self {
        Self {
            contact_id: id::show("con", refused.contact_id),
            reason: refused.reason,
            detail: refused.detail,
        }
    }
}

/// Enrolls contacts and lists whom it refuses, with the reason; `dry_run` keeps nothing.
#[utoipa::path(
    post, path = "/sequences/{id}/enrollments",
    request_body = Create,
    responses(
        (status = 200, description = "What would be done, with `dry_run`", body = Report),
        (status = 201, description = "Made", body = Report),
    ),
    security(("bearer" = ["enrollments:write"])),
)]
async fn create(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(sequence): Path<String>,
    Body(wanted): Body<Create>,
) -> Result<Response, Problem> {
    let sequence_id = path_id("seq", &sequence)?;
    let contact_ids = wanted.contacts()?;
    let mailbox = optional_id("mailbox_id", "epa", wanted.mailbox_id.as_deref())?;
    let sender = mailbox.map_or_else(|| state.settings.sender.clone(), Sender::Mailbox);
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let sequence = sequence::find(&mut *tx, caller.customer_id, sequence_id).await?;
    let sequence = sequence.ok_or_else(|| Problem::new(Kind::NotFound))?;
    let definition = state.definitions.load(&mut *tx, sequence.definition_id).await;
    let definition = definition.map_err(unreadable)?;
    let new = NewEnrollments {
        sequence: &sequence,
        definition: &definition,
        contact_ids: &contact_ids,
        sender,
        actor: caller.actor(),
        start_at: wanted.start_at,
    };
    if wanted.dry_run {
        // Everything is done for real, so that every refusal shows, and rolled back.
        let mut trial = tx.begin().await?;
        let report = enrollment::enroll(&mut trial, caller.customer_id, new).await;
        trial.rollback().await?;
        let EnrollReport { enrollment_ids, refused } = report.map_err(refused_all)?;
        let refused = refused.into_iter().map(RefusedBody::from).collect();
        let enrolled = enrollment_ids.len();
        return Ok(Json(Report { enrolled, refused, enrollments: Vec::new() }).into_response());
    }
    let report = enrollment::enroll(&mut tx, caller.customer_id, new).await.map_err(refused_all)?;
    let report = shown(&mut tx, &caller, report).await?;
    let location = format!("/api/v1/enrollments?sequence_id={}", id::show("seq", sequence_id));
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(report)).into_response())
}

async fn shown(
    tx: &mut PgConnection,
    caller: &Caller,
    report: EnrollReport,
) -> Result<Report, Problem> {
    let mut enrollments = Vec::with_capacity(report.enrollment_ids.len());
    for enrollment_id in &report.enrollment_ids {
        let made = enrollment::find(&mut *tx, caller.customer_id, *enrollment_id).await?;
        enrollments.extend(made.map(show));
    }
    let refused = report.refused.into_iter().map(RefusedBody::from).collect();
    Ok(Report { enrolled: enrollments.len(), refused, enrollments })
}

pub(super) fn unreadable(error: LoadError) -> Problem {
    match error {
        LoadError::Unreadable(detail) | LoadError::Foreign(detail) => {
            Problem::new(Kind::Conflict).detail(detail)
        }
        LoadError::Database(error) => error.into(),
    }
}

fn refused_all(error: EnrollError) -> Problem {
    match error {
        EnrollError::NotActive(_) => {
            Problem::new(Kind::SequenceNotActive).detail(error.to_string())
        }
        EnrollError::NoSuchMailbox => Problem::invalid("mailbox_id", error.to_string()),
        EnrollError::Start(StartError::UnknownDefinition) => {
            Problem::new(Kind::Conflict).detail(error.to_string())
        }
        EnrollError::Start(StartError::Database(error)) | EnrollError::Database(error) => {
            error.into()
        }
    }
}
