//! A request's transaction. A handler begins it once it has read all of the request; whether it is kept is decided
//! by the answer: a refusal leaves nothing behind, so no handler can forget to commit, or commit half.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::{PgConnection, Postgres, Transaction};

/// Where a request's transaction lies while nobody uses it.
#[derive(Clone, Default)]
pub(crate) struct Work(Arc<Mutex<Lying>>);

type Lying = Option<Transaction<'static, Postgres>>;

impl Work {
    /// Takes the transaction out, where one was begun.
    pub(crate) fn take(&self) -> Option<Transaction<'static, Postgres>> {
        self.lying(Option::take)
    }

    /// Undoes the transaction, if there is one, for a handler that waits long before it writes.
    pub(crate) async fn undo(&self) -> Result<(), sqlx::Error> {
        match self.take() {
            Some(tx) => tx.rollback().await,
            None => Ok(()),
        }
    }

    /// A transaction in use; when it is let go it lies here again.
    pub(crate) fn using(&self, tx: Transaction<'static, Postgres>) -> Tx {
        Tx { tx: Some(tx), work: self.clone() }
    }

    fn lying<T>(&self, with: impl FnOnce(&mut Lying) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A request's transaction in a handler's hands.
pub(crate) struct Tx {
    tx: Option<Transaction<'static, Postgres>>,
    work: Work,
}

impl Tx {
    /// Undoes it at once, for who has read all that is needed and works on for long.
    pub(crate) async fn undo(mut self) -> Result<(), sqlx::Error> {
        match self.tx.take() {
            Some(tx) => tx.rollback().await,
            None => Ok(()),
        }
    }
}

impl Deref for Tx {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.tx.as_deref().expect("only undo and drop take it, and both end it")
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.tx.as_deref_mut().expect("only undo and drop take it, and both end it")
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        if let Some(tx) = self.tx.take() {
            self.work.lying(|lying| *lying = Some(tx));
        }
    }
}
