//! Sequences and the enrollments in them.

mod definitions;
mod enroll;
mod enrollments;
mod simulate;
mod versions;

use utoipa_axum::router::OpenApiRouter;

use crate::State;

/// All routes of the service.
pub(crate) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .merge(definitions::router())
        .merge(versions::router())
        .merge(enroll::router())
        .merge(enrollments::router())
        .merge(simulate::router())
}
