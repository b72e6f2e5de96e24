//! A request's transaction. A handler begins it once it has read all of the request; whether it is kept is decided
//! by the answer: a refusal leaves nothing behind, so no handler can forget to commit, or commit half.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::{PgConnection, Postgres, Transaction};

/// Where a request's transaction lies while nobody uses it.
#[derive(Clone, Default)]
pub(crate) struct Work(Arc<Mutex<Lying>>);

#[derive(Default)]
struct Lying {
    tx: Option<Transaction<'static, Postgres>>,
    kept: bool,
}

impl Work {
    /// Takes the transaction out, where one was begun.
    pub(crate) fn take(&self) -> Option<Transaction<'static, Postgres>> {
        self.lying(|lying| lying.tx.take())
    }

    /// A transaction in use; when it is let go it lies here again.
    pub(crate) fn using(&self, tx: Transaction<'static, Postgres>) -> Tx {
        Tx { tx: Some(tx), work: self.clone() }
    }

    /// Whether it is kept although the request is refused.
    pub(crate) fn is_kept(&self) -> bool {
        self.lying(|lying| lying.kept)
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
    /// Has what was written kept even where the request is refused, such as that a copied token ends its login.
    pub(crate) fn keep(&mut self) {
        self.work.lying(|lying| lying.kept = true);
    }

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
            self.work.lying(|lying| lying.tx = Some(tx));
        }
    }
}
