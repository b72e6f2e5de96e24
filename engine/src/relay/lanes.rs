//! Whose the lanes are: each process takes its share, and says from time to time that it lives. Leases go by the real
//! clock of the database.

use std::time::Duration;

use sqlx::{Connection, PgConnection, PgPool};
use uuid::Uuid;

use super::{LANES, Settings};
use crate::transaction;

/// Says that a relay lives, and gives it its share of the lanes: free ones are taken, too many are given back. To be
/// called between two turns.
pub(super) async fn share(
    connection: &mut PgConnection,
    id: Uuid,
    settings: &Settings,
) -> Result<(), sqlx::Error> {
    let mut tx = connection.begin().await?;
    let lease = settings.lease.as_secs_f64();
    let alive = sqlx::query_scalar!(
        r#"with me as (
             insert into engine.relays (id, name, expires_at)
             values ($1, $2, clock_timestamp() + make_interval(secs => $3))
             on conflict (id) do update set expires_at = excluded.expires_at returning id
           ), gone as (
             delete from engine.relays where expires_at < clock_timestamp() and id <> $1
           )
           select 1 + count(*) as "alive!" from engine.relays r, me
           where r.id <> me.id and r.expires_at >= clock_timestamp()"#,
        id,
        settings.name,
        lease,
    )
    .fetch_one(&mut *tx)
    .await?;
    let fair = LANES.div_ceil(usize::try_from(alive).unwrap_or(1).max(1));
    let fair = i64::try_from(fair).unwrap_or(i64::MAX);
    sqlx::query!(
        "update engine.relay_lanes set holder = null, expires_at = null where lane = any(array(
           select lane from engine.relay_lanes where holder = $1 order by lane offset $2))",
        id,
        fair,
    )
    .execute(&mut *tx)
    .await?;
    // The first to take up a lane goes on where the version before stood; its gaps are told again with what came after.
    let taken = sqlx::query_scalar!(
        r#"with free as (
             select lane from engine.relay_lanes
             where holder is distinct from $1 and (holder is null or expires_at < clock_timestamp())
             order by lane limit greatest($2 - (select count(*) from engine.relay_lanes where holder = $1), 0)
             for update skip locked
           ), taken as (
             update engine.relay_lanes l set holder = $1, epoch = epoch + 1,
               expires_at = clock_timestamp() + make_interval(secs => $3),
               upto = coalesce(l.upto, (select least(r.upto, (select min(g.seq) - 1 from engine.gaps g)) from engine.relay r))
             from free where l.lane = free.lane returning l.lane
           )
           select count(*) as "taken!" from taken"#,
        id,
        fair,
        lease,
    )
    .fetch_one(&mut *tx)
    .await?;
    tx.commit().await?;
    if taken > 0 {
        tracing::debug!(taken, of = LANES, relays = alive, "took lanes of the outbox");
    }
    Ok(())
}

/// Says that a relay lives while it takes its turns, until it is taken for dead.
pub(super) async fn keep(db: PgPool, id: Uuid, lease: Duration) -> Result<(), sqlx::Error> {
    loop {
        tokio::time::sleep(lease / 5).await;
        let kept = sqlx::query_scalar!(
            r#"with me as (
                 update engine.relays set expires_at = clock_timestamp() + make_interval(secs => $2) where id = $1
                 returning id
               ), held as (
                 update engine.relay_lanes l set expires_at = clock_timestamp() + make_interval(secs => $2)
                 from me where l.holder = me.id
               )
               select count(*) as "kept!" from me"#,
            id,
            lease.as_secs_f64(),
        )
        .fetch_one(&db)
        .await?;
        if kept == 0 {
            tracing::warn!("the relay was taken for dead");
            return Ok(());
        }
    }
}

/// Says whether whoever publishes is to wake this relay.
pub(super) async fn rest(
    connection: &mut PgConnection,
    id: Uuid,
    asleep: bool,
) -> Result<(), sqlx::Error> {
    sqlx::query!("update engine.relays set asleep = $2 where id = $1", id, asleep)
        .execute(connection)
        .await?;
    Ok(())
}

/// Gives all lanes back.
pub(super) async fn leave(db: &PgPool, id: Uuid) -> Result<(), sqlx::Error> {
    let mut tx = transaction::begin(db).await?;
    sqlx::query!(
        "update engine.relay_lanes set holder = null, expires_at = null where holder = $1",
        id,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!("delete from engine.relays where id = $1", id).execute(&mut *tx).await?;
    tx.commit().await
}
