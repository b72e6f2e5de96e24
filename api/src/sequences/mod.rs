//! Sequences and the enrollments in them.

mod definitions;
mod enroll;
mod enrollments;
mod simulate;
mod versions;

use axum::Router;

use crate::State;

/// All routes of the service.
pub(crate) fn router() -> Router<State> {
    Router::new()
        .merge(definitions::router())
        .merge(versions::router())
        .merge(enroll::router())
        .merge(enrollments::router())
        .merge(simulate::router())
}
