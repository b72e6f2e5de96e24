//! What step types share that go over very many records: page by page, each in a transaction of its own that also says
//! how far it is, until none is left. A crash loses no page and writes none twice.

use std::sync::Arc;

use engine::context::Context;
use engine::step::{Outcome, Step, StepError, StepType};
use engine::transaction;
use futures_util::future::{BoxFuture, FutureExt};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::{Behaviour, Manual, made, unavailable};

/// Writes the next page of what a customer's subject is, and says whether more is left.
pub(crate) type Advance =
    for<'a> fn(&'a mut PgConnection, Uuid, Uuid) -> BoxFuture<'a, Result<bool, sqlx::Error>>;

struct ManyRecords {
    db: PgPool,
    advance: Advance,
}

/// The step type of this name, which has the keys of `K`.
pub(crate) fn step_type<K: DeserializeOwned + JsonSchema>(
    name: &'static str,
    db: PgPool,
    (behaviour, manual): (Behaviour, Manual),
    advance: Advance,
) -> StepType {
    made(name, behaviour, manual, move |_keys: K| {
        Ok(Arc::new(ManyRecords { db: db.clone(), advance }))
    })
}

impl Step for ManyRecords {
    fn run<'a>(&'a self, cx: &'a Context) -> BoxFuture<'a, Result<Outcome, StepError>> {
        async move {
            loop {
                let tx = transaction::begin(&self.db).await;
                let mut tx = tx.map_err(|error| unavailable(&error))?;
                let left = (self.advance)(&mut tx, cx.customer_id(), cx.subject_id()).await;
                let left = left.map_err(|error| unavailable(&error))?;
                tx.commit().await.map_err(|error| unavailable(&error))?;
                if !left {
                    return Ok(Outcome::default());
                }
            }
        }
        .boxed()
    }
}
