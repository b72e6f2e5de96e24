//! Where the relaying stands: what is untold, who relays; and setting the lanes back, so that events are told again.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{PgConnection, PgExecutor};
use utoipa::ToSchema;
use uuid::Uuid;

/// How many untold events are counted at the most.
const COUNTED: i64 = 100_000;

/// Where the events of a customer stand; those of all customers for an operator of the platform.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Outbox)]
pub struct Standing {
    /// How many are not told yet; 100000 where there are more.
    pub untold: i64,
    /// When the oldest of them was written.
    pub oldest_at: Option<DateTime<Utc>>,
    /// How long ago that is, in seconds.
    pub lag_seconds: f64,
    /// How many are set aside; 100000 where there are more.
    pub parked: i64,
    /// The processes that tell events, with how many of the sixteen lanes; for operators alone.
    pub relays: Option<Vec<Share>>,
}

/// A process that tells events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = OutboxRelay)]
pub struct Share {
    /// The process.
    pub name: String,
    /// How many lanes it has.
    pub lanes: i64,
}

/// Where the relaying stands, for one customer or for all.
///
/// # Errors
/// What the statements returned.
pub async fn standing(
    connection: &mut PgConnection,
    customer_id: Option<Uuid>,
) -> Result<Standing, sqlx::Error> {
    let untold = sqlx::query!(
        r#"select count(*) as "untold!", min(at) as oldest_at,
             coalesce(greatest(extract(epoch from engine.now() - min(at)), 0), 0)::float8 as "lag_seconds!",
             (select count(*) from (select from engine.parked p
               where $2::uuid is null or p.event ->> 'customer_id' = $2::text limit $1) p) as "parked!"
           from (select at from engine.untold where $2::uuid is null or customer_id = $2 limit $1) u"#,
        COUNTED,
        customer_id,
    )
    .fetch_one(&mut *connection)
    .await?;
    let relays = match customer_id {
        Some(_) => None,
        None => Some(shares(connection).await?),
    };
    Ok(Standing {
        untold: untold.untold,
        oldest_at: untold.oldest_at,
        lag_seconds: untold.lag_seconds,
        parked: untold.parked,
        relays,
    })
}

async fn shares(connection: &mut PgConnection) -> Result<Vec<Share>, sqlx::Error> {
    sqlx::query_as!(
        Share,
        r#"select r.name, count(l.lane) as "lanes!" from engine.relays r
           left join engine.relay_lanes l on l.holder = r.id
           where r.expires_at >= clock_timestamp() group by r.id, r.name order by r.name"#,
    )
    .fetch_all(connection)
    .await
}

/// Counts events that left, or were set aside, and how long a turn's look, its sink and its settlement took.
pub(super) fn count(events: usize, took: [Duration; 3]) {
    metrics::counter!("salesos_outbox_told_total").increment(events as u64);
    for (part, took) in ["look", "sink", "settlement"].into_iter().zip(took) {
        metrics::histogram!("salesos_relay_seconds", "part" => part).record(took.as_secs_f64());
    }
}

/// Says as metrics where the relaying stands.
#[expect(clippy::cast_precision_loss, reason = "gauges are floats")]
pub(super) async fn measure(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let now = standing(connection, None).await?;
    metrics::gauge!("salesos_outbox_untold").set(now.untold as f64);
    metrics::gauge!("salesos_outbox_lag_seconds").set(now.lag_seconds);
    metrics::gauge!("salesos_outbox_parked").set(now.parked as f64);
    Ok(())
}

/// Has all events told again that were written since an instant and are still kept. Consumers know them by their ids. A
/// relay that is telling meanwhile does not move the lanes on. Gives how many lanes were set back.
///
/// # Errors
/// What the statement returned.
pub async fn replay(db: impl PgExecutor<'_>, since: DateTime<Utc>) -> Result<u64, sqlx::Error> {
    let back = sqlx::query!(
        "with first as (select min(seq) - 1 as upto from engine.outbox where at >= $1)
         update engine.relay_lanes l set upto = first.upto, epoch = l.epoch + 1
         from first where l.upto > first.upto",
        since,
    )
    .execute(db)
    .await?;
    Ok(back.rows_affected())
}
