//! Imports that nobody works on any more: what was imported stays, and the rows that are left are dropped.

use sqlx::PgExecutor;
use uuid::Uuid;

/// Ends imports whose runs have ended as failed; each has its reason.
///
/// # Errors
/// Returns what the statement returned.
pub(crate) async fn give_up(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    ids: &[Uuid],
    reasons: &[String],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "with abandoned as (
           update imports i set status = 'failed', error = e.reason, ended_at = engine.now(), updated_at = engine.now()
           from unnest($2::uuid[], $3::text[]) as e(id, reason)
           where i.customer_id = $1 and i.id = e.id and i.ended_at is null
           returning i.customer_id, i.id
         )
         delete from import_chunks c using abandoned a where c.customer_id = a.customer_id and c.import_id = a.id",
        customer_id,
        ids,
        reasons,
    )
    .execute(db)
    .await?;
    Ok(())
}
