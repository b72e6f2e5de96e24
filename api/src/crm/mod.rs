//! The records that people keep: contacts.

mod contacts;

use axum::Router;

use crate::State;

/// All routes of the service.
pub(crate) fn router() -> Router<State> {
    contacts::router()
}
