//! How a transaction is begun by whoever may be stopped at any moment: a task of a worker that lost its lease,
//! an answer that nobody waits for any more.

use sqlx::{AssertSqlSafe, PgPool, Postgres, Transaction};

/// Begins a transaction; one that is given up halfway leaves nothing behind.
///
/// sqlx 0.9.0 hands the connection of a `PgPool::begin` that was dropped while it waited back to the pool with
/// the transaction open (its issue 4385): whatever comes next on it is never committed, keeps its locks, and
/// reads the old instant as now. So the beginning runs in a task of its own, which nobody drops.
///
/// # Errors
/// What beginning returned.
pub async fn begin(db: &PgPool) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    begin_with(db, "begin".into()).await
}

/// Begins a transaction by these statements, in one walk to the server; what they hold is the caller's own text,
/// never a value that somebody sent.
///
/// # Errors
/// As [`begin`].
pub async fn begin_with(
    db: &PgPool,
    statements: String,
) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let db = db.clone();
    let begun = tokio::spawn(async move { db.begin_with(AssertSqlSafe(statements)).await });
    begun.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
}
