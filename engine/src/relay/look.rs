//! One look at the outbox: what came since, and what transactions wrote late that were under way before.

use std::collections::HashSet;

use sqlx::PgConnection;
use uuid::Uuid;

use super::PER_LANE;
use crate::outbox::Event;

/// What a relay saw of its lanes, all in one snapshot.
pub(super) struct Look {
    pub(super) lanes: Vec<Lane>,
    /// What is to tell, lane by lane, in its order.
    pub(super) events: Vec<Event>,
    pub(super) snapshot: Snapshot,
}

/// A lane as it stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lane {
    pub(super) lane: i32,
    pub(super) epoch: i64,
    pub(super) upto: i64,
    pub(super) pending: Vec<Pending>,
    /// The first of those transactions that were too young to be known when the lane last moved: a snapshot ends at the
    /// first number after those that are over, and younger ones may be under way, and hold numbers of events.
    pub(super) unseen: Option<Pending>,
    /// The places of what is to tell, in its order.
    pub(super) places: Vec<i64>,
    /// The late ones among them were cut off: what came since waits for the others.
    pub(super) cut: bool,
}

/// A transaction that was under way, and the number after which what it wrote was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) xid: u64,
    pub(super) after: i64,
}

impl Pending {
    fn read(xid: &str, after: i64) -> Result<Self, sqlx::Error> {
        let xid = xid.parse().map_err(|_| sqlx::Error::Protocol(xid.to_owned()))?;
        Ok(Self { xid, after })
    }
}

/// Which transactions a look could see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Snapshot {
    pub(super) end: u64,
    pub(super) under_way: Vec<u64>,
}

impl Snapshot {
    /// Reads Postgres' text of it, `BEGIN:END:XID,XID`.
    fn read(text: &str) -> Result<Self, sqlx::Error> {
        let unreadable = || sqlx::Error::Protocol(format!("`{text}` is no snapshot"));
        let mut parts = text.splitn(3, ':').skip(1);
        let end = parts.next().and_then(|end| end.parse().ok()).ok_or_else(unreadable)?;
        let under_way = parts.next().unwrap_or_default().split(',').filter(|xid| !xid.is_empty());
        let under_way: Result<Vec<u64>, _> = under_way.map(str::parse).collect();
        Ok(Self { end, under_way: under_way.map_err(|_| unreadable())? })
    }

    /// Whether all that a transaction wrote could be seen, or never will be. One that an earlier look saw and that is
    /// still to come was of another server, whose dump was brought back here.
    pub(super) fn is_over(&self, xid: u64) -> bool {
        xid >= self.end || !self.under_way.contains(&xid)
    }
}

impl Lane {
    /// Whether a transaction that it waited for is over, and wrote nothing more.
    pub(super) fn shrinks(&self, snapshot: &Snapshot) -> bool {
        self.pending.iter().any(|pending| snapshot.is_over(pending.xid))
    }
}

/// Looks at the lanes of a relay.
pub(super) async fn look(connection: &mut PgConnection, id: Uuid) -> Result<Look, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select l.lane, l.epoch, l.upto as "upto!", l.pending::text[] as "pending!", l.pending_after,
             l.unseen_from::text, l.unseen_after, pg_current_snapshot()::text as "snapshot!", e.late as "late?", e.seq as "seq?", e.id as "id?",
             e.customer_id as "customer_id?", e.topic as "topic?", e.key as "key?", e.sequence as "sequence?",
             e.schema as "schema?", e.data as "data?", e.at as "at?",
             e.traceparent
           from engine.relay_lanes l left join lateral (
             (select false as late, o.* from engine.outbox o
              where engine.relay_lane(o.key) = l.lane and o.seq > l.upto order by o.seq limit $2)
             union all
             (select true, o.* from unnest(l.pending, l.pending_after) p(xid, after) cross join lateral (
                select o.* from engine.outbox o
                where o.xid = p.xid and engine.relay_lane(o.key) + 0 = l.lane and o.seq > p.after and o.seq <= l.upto
                order by o.seq limit $2 + 1) o
              order by o.seq limit $2 + 1)
             union all
             (select true, o.* from engine.outbox o
              where engine.relay_lane(o.key) = l.lane and o.seq > l.unseen_after and o.seq <= l.upto
                and o.xid >= l.unseen_from
              order by o.seq limit $2 + 1)
           ) e on true
           where l.holder = $1 order by l.lane, e.seq"#,
        id,
        PER_LANE,
    )
    .fetch_all(connection)
    .await?;
    let snapshot = match rows.first() {
        Some(row) => Snapshot::read(&row.snapshot)?,
        None => Snapshot { end: 0, under_way: Vec::new() },
    };
    let mut lanes: Vec<(Lane, Vec<bool>)> = Vec::new();
    let mut events: Vec<Event> = Vec::new();
    for row in rows {
        if lanes.last().is_none_or(|(lane, _)| lane.lane != row.lane) {
            let pending = row.pending.iter().zip(&row.pending_after);
            let pending = pending.map(|(xid, after)| Pending::read(xid, *after));
            let pending = pending.collect::<Result<_, sqlx::Error>>()?;
            let unseen = row.unseen_from.as_deref().zip(row.unseen_after);
            let unseen = unseen.map(|(xid, after)| Pending::read(xid, after)).transpose()?;
            let (lane, epoch, upto) = (row.lane, row.epoch, row.upto);
            let new = Lane { lane, epoch, upto, pending, unseen, places: Vec::new(), cut: false };
            lanes.push((new, Vec::new()));
        }
        let event = || {
            Some(Event {
                seq: row.seq?,
                id: row.id?,
                customer_id: row.customer_id?,
                topic: row.topic?,
                key: row.key?,
                sequence: row.sequence?,
                traceparent: row.traceparent,
                schema: row.schema,
                data: row.data?,
                at: row.at?,
            })
        };
        if let (Some((lane, late)), Some(event)) = (lanes.last_mut(), event()) {
            lane.places.push(event.seq);
            events.push(event);
            late.push(row.late.unwrap_or_default());
        }
    }
    let lanes: Vec<Lane> = lanes.into_iter().map(|(lane, late)| bounded(lane, &late)).collect();
    leave_out(&lanes, &mut events);
    Ok(Look { lanes, events, snapshot })
}

/// Leaves out what was cut off.
fn leave_out(lanes: &[Lane], events: &mut Vec<Event>) {
    if lanes.iter().any(|lane| lane.cut) {
        let kept: HashSet<i64> = lanes.iter().flat_map(|lane| lane.places.clone()).collect();
        events.retain(|event| kept.contains(&event.seq));
    }
}

/// A lane with no more late events than a look takes; where there are more, those alone, so that none of them is
/// overtaken by one of its key that came since.
fn bounded(mut lane: Lane, late: &[bool]) -> Lane {
    let bound = usize::try_from(PER_LANE).unwrap_or(usize::MAX);
    if late.iter().filter(|late| **late).count() > bound {
        let mut late = late.iter();
        lane.places.retain(|_| late.next().is_some_and(|late| *late));
        lane.places.truncate(bound);
        lane.cut = true;
    }
    lane
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_knows_who_is_over() {
        let snapshot = Snapshot::read("10:20:10,14,15").expect("it is one");
        for (xid, over) in [(9, true), (10, false), (13, true), (15, false), (19, true), (20, true)]
        {
            assert_eq!(snapshot.is_over(xid), over, "{xid}");
        }
        assert_eq!(Snapshot::read("20:20:").expect("it is one").under_way, Vec::<u64>::new());
        assert!(Snapshot::read("10").is_err());
    }
}
