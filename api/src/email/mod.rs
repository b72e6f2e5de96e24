//! Mail: so far only the suppression list.

mod suppressions;

use utoipa_axum::router::OpenApiRouter;

use crate::State;

/// All routes of the service.
pub(crate) fn router() -> OpenApiRouter<State> {
    suppressions::router()
}
