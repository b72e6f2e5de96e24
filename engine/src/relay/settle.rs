//! How far the lanes are told, written once their events are done with. Fenced: of a lane that is another's by now
//! nothing is written.

use std::collections::HashSet;

use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::judge::Judged;
use super::look::{Lane, Look, Pending, Snapshot};
use super::parked;

/// Where a lane stands after a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stand {
    upto: i64,
    pending: Vec<Pending>,
}

/// Where a lane stands once these of its events are done with. What comes after one that is to be tried again waits
/// with it.
fn stand(lane: &Lane, snapshot: &Snapshot, done: &HashSet<i64>) -> Stand {
    let open = lane.places.iter().copied().find(|seq| !done.contains(seq));
    let told = lane.places.iter().copied().take_while(|seq| Some(*seq) != open);
    let last = told.last().unwrap_or_default();
    let upto = lane.upto.max(if lane.cut { 0 } else { last });
    let mut pending = Vec::new();
    for one in &lane.pending {
        if !snapshot.is_over(one.xid) {
            pending.push(*one);
        } else if let Some(open) = open.filter(|open| *open <= lane.upto) {
            pending.push(Pending { after: one.after.max(open - 1), ..*one });
        } else if lane.cut {
            pending.push(Pending { after: one.after.max(last), ..*one });
        }
    }
    if upto > lane.upto {
        let known: HashSet<u64> = pending.iter().map(|one| one.xid).collect();
        let new = snapshot.under_way.iter().filter(|xid| !known.contains(xid));
        pending.extend(new.map(|xid| Pending { xid: *xid, after: lane.upto }));
    }
    Stand { upto, pending }
}

/// Writes where the lanes of a look stand, and parks what is parked.
pub(super) async fn settle(
    connection: &mut PgConnection,
    id: Uuid,
    look: &Look,
    judged: &Judged,
) -> Result<(), sqlx::Error> {
    let mut tx = connection.begin().await?;
    let lanes: Vec<i32> = look.lanes.iter().map(|lane| lane.lane).collect();
    let epochs: Vec<i64> = look.lanes.iter().map(|lane| lane.epoch).collect();
    let held = sqlx::query_scalar!(
        "select l.lane from engine.relay_lanes l
         join unnest($2::integer[], $3::bigint[]) as n(lane, epoch) on n.lane = l.lane and n.epoch = l.epoch
         where l.holder = $1 order by l.lane for update of l",
        id,
        &lanes,
        &epochs,
    )
    .fetch_all(&mut *tx)
    .await?;
    let held: Vec<&Lane> = look.lanes.iter().filter(|lane| held.contains(&lane.lane)).collect();
    let places: HashSet<i64> = held.iter().flat_map(|lane| &lane.places).copied().collect();
    let parked: Vec<_> =
        judged.parked.iter().filter(|park| places.contains(&park.event.seq)).collect();
    parked::park(&mut tx, &parked).await?;
    let moved = held.iter().map(|lane| (*lane, stand(lane, &look.snapshot, &judged.done)));
    let moved: Vec<(&Lane, Stand)> = moved
        .filter(|(lane, stand)| stand.upto != lane.upto || stand.pending != lane.pending)
        .collect();
    if !moved.is_empty() {
        let lanes: Vec<i32> = moved.iter().map(|(lane, _)| lane.lane).collect();
        let uptos: Vec<i64> = moved.iter().map(|(_, stand)| stand.upto).collect();
        let array = |of: fn(&Pending) -> String| -> Vec<String> {
            let texts = moved.iter().map(|(_, stand)| stand.pending.iter().map(of).collect());
            texts.map(|texts: Vec<String>| format!("{{{}}}", texts.join(","))).collect()
        };
        sqlx::query!(
            "update engine.relay_lanes l
             set upto = n.upto, pending = n.pending::xid8[], pending_after = n.pending_after::bigint[]
             from unnest($1::integer[], $2::bigint[], $3::text[], $4::text[]) as n(lane, upto, pending, pending_after)
             where l.lane = n.lane",
            &lanes,
            &uptos,
            &array(|pending| pending.xid.to_string()),
            &array(|pending| pending.after.to_string()),
        )
        .execute(&mut *tx)
        .await?;
    }
    tx.commit().await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(upto: i64, pending: &[(u64, i64)], seqs: &[i64]) -> Lane {
        let pending = pending.iter().map(|(xid, after)| Pending { xid: *xid, after: *after });
        Lane {
            lane: 0,
            epoch: 1,
            upto,
            pending: pending.collect(),
            places: seqs.to_vec(),
            cut: false,
        }
    }

    fn stands(lane: &Lane, done: &[i64]) -> (i64, Vec<(u64, i64)>) {
        let snapshot = Snapshot { end: 100, under_way: vec![50, 60] };
        let stand = stand(lane, &snapshot, &done.iter().copied().collect());
        (stand.upto, stand.pending.iter().map(|one| (one.xid, one.after)).collect())
    }

    #[test]
    fn who_was_under_way_is_remembered_from_where_the_lane_stood() {
        assert_eq!(stands(&lane(10, &[], &[12, 15]), &[12, 15]), (15, vec![(50, 10), (60, 10)]));
        // 40 is over, and what it wrote is told; 50 is still under way, and what it wrote before stands too.
        let late = lane(15, &[(40, 10), (50, 10)], &[11, 20]);
        assert_eq!(stands(&late, &[11, 20]), (20, vec![(50, 10), (60, 15)]));
        assert_eq!(stands(&lane(15, &[(40, 10)], &[]), &[]), (15, vec![]));
    }

    #[test]
    fn what_comes_after_an_event_that_is_tried_again_comes_again() {
        let late = lane(15, &[(40, 10)], &[11, 13, 20]);
        assert_eq!(stands(&late, &[11, 20]), (15, vec![(40, 12)]));
        assert_eq!(stands(&late, &[11, 13]), (15, vec![]));
        let fresh = lane(15, &[], &[16, 17, 18]);
        assert_eq!(stands(&fresh, &[16, 18]), (16, vec![(50, 15), (60, 15)]));
    }

    #[test]
    fn late_events_that_are_too_many_go_on_where_they_were_cut() {
        let mut late = lane(15, &[(40, 10), (41, 10)], &[11, 12]);
        late.cut = true;
        assert_eq!(stands(&late, &[11, 12]), (15, vec![(40, 12), (41, 12)]));
    }
}
