//! The records that people keep: accounts, contacts, opportunities and what they are made of.

mod accounts;
mod background;
mod bulk;
mod contacts;
mod custom;
mod custom_fields;
mod erasures;
mod imports;
mod lists;
mod merges;
mod opportunities;
mod pipelines;
mod references;
mod table;
mod webhooks;

use utoipa_axum::router::OpenApiRouter;

use crate::State;

/// All routes of the service.
pub(crate) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .merge(accounts::router())
        .merge(bulk::router())
        .merge(contacts::router())
        .merge(custom_fields::router())
        .merge(erasures::router())
        .merge(imports::router())
        .merge(lists::router())
        .merge(merges::router())
        .merge(opportunities::router())
        .merge(pipelines::router())
        .merge(webhooks::router())
}
