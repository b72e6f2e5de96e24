//! What runs are about becomes another thing, as when two records were one.

use sqlx::PgConnection;
use uuid::Uuid;

/// Lets a customer's open runs about a subject, and its schedules, be about another from now on; gives the runs.
///
/// # Errors
/// What the statement returned.
pub async fn rebind(
    tx: &mut PgConnection,
    customer_id: Uuid,
    from: Uuid,
    to: Uuid,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query!(
        "update engine.schedules set subject_id = $3 where customer_id = $1 and subject_id = $2",
        customer_id,
        from,
        to,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query_scalar!(
        "update engine.runs set subject_id = $3 where customer_id = $1 and subject_id = $2 and ended_at is null
         returning id",
        customer_id,
        from,
        to,
    )
    .fetch_all(tx)
    .await
}

/// The same for these runs alone.
///
/// # Errors
/// What the statement returned.
pub async fn rebind_some(
    tx: &mut PgConnection,
    customer_id: Uuid,
    runs: &[Uuid],
    to: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update engine.runs set subject_id = $3 where customer_id = $1 and id = any($2)",
        customer_id,
        runs,
        to,
    )
    .execute(tx)
    .await?;
    Ok(())
}
