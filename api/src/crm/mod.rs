//! The records that people keep: contacts.

mod contacts;

use utoipa_axum::router::OpenApiRouter;

use crate::State;

/// All routes of the service.
pub(crate) fn router() -> OpenApiRouter<State> {
    contacts::router()
}
