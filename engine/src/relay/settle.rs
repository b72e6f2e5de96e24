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
    unseen: Option<Pending>,
}

/// Where a lane stands once these of its events are done with. What comes after one that is to be tried again waits
/// with it.
fn stand(lane: &Lane, snapshot: &Snapshot, done: &HashSet<i64>) -> Stand {
    let open = lane.places.iter().copied().find(|seq| !done.contains(seq));
    let told = lane.places.iter().copied().take_while(|seq| Some(*seq) != open);
    let last = told.last().unwrap_or_default();
    let upto = lane.upto.max(if lane.cut { 0 } else { last });
    let late = open.filter(|open| *open <= lane.upto);
    // From where what such transactions wrote comes again, where it must.
    let again = late.map(|open| open - 1).or(lane.cut.then_some(last));
    let goes_on =
        |one: &Pending| again.map(|after| Pending { after: one.after.max(after), ..*one });
    let mut pending: Vec<Pending> = Vec::new();
    for one in &lane.pending {
        let next = if snapshot.is_over(one.xid) { goes_on(one) } else { Some(*one) };
        pending.extend(next);
    }
    let remember = |pending: &mut Vec<Pending>, from: u64, after: i64| {
        let known: HashSet<u64> = pending.iter().map(|one| one.xid).collect();
        let new = snapshot.under_way.iter().filter(|xid| **xid >= from && !known.contains(xid));
        pending.extend(new.map(|xid| Pending { xid: *xid, after }));
    };
    let mut unseen = lane.unseen.as_ref().and_then(goes_on);
    if let (Some(one), None) = (lane.unseen, unseen) {
        // All that were too young then are known by now.
        remember(&mut pending, one.xid, one.after);
    }
    if upto > lane.upto {
        remember(&mut pending, 0, lane.upto);
        unseen = Some(Pending { xid: snapshot.end, after: lane.upto });
    }
    Stand { upto, pending, unseen }
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
        .filter(|(lane, stand)| {
            (stand.upto, &stand.pending, stand.unseen) != (lane.upto, &lane.pending, lane.unseen)
        })
        .collect();
    if !moved.is_empty() {
        let lanes: Vec<i32> = moved.iter().map(|(lane, _)| lane.lane).collect();
        let uptos: Vec<i64> = moved.iter().map(|(_, stand)| stand.upto).collect();
        let array = |of: fn(&Pending) -> String| -> Vec<String> {
            let texts = moved.iter().map(|(_, stand)| stand.pending.iter().map(of).collect());
            texts.map(|texts: Vec<String>| format!("{{{}}}", texts.join(","))).collect()
        };
        let unseen: Vec<Option<Pending>> = moved.iter().map(|(_, stand)| stand.unseen).collect();
        let from: Vec<Option<String>> =
            unseen.iter().map(|one| one.map(|one| one.xid.to_string())).collect();
        let after: Vec<Option<i64>> = unseen.iter().map(|one| one.map(|one| one.after)).collect();
        sqlx::query!(
            "update engine.relay_lanes l
             set upto = n.upto, pending = n.pending::xid8[], pending_after = n.pending_after::bigint[],
               unseen_from = n.unseen_from::xid8, unseen_after = n.unseen_after
             from unnest($1::integer[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[])
               as n(lane, upto, pending, pending_after, unseen_from, unseen_after)
             where l.lane = n.lane",
            &lanes,
            &uptos,
            &array(|pending| pending.xid.to_string()),
            &array(|pending| pending.after.to_string()),
            &from as &[Option<String>],
            &after as &[Option<i64>],
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
            unseen: None,
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
    fn who_was_too_young_to_be_known_is_known_at_the_next_look() {
        let snapshot = Snapshot { end: 100, under_way: vec![50, 60] };
        let all = HashSet::from([12, 16]);
        let moved = stand(&lane(10, &[], &[12]), &snapshot, &all);
        assert_eq!(moved.unseen, Some(Pending { xid: 100, after: 10 }));
        let mut young = lane(15, &[], &[12, 16]);
        young.unseen = Some(Pending { xid: 55, after: 10 });
        let stand = |done: &[i64]| stand(&young, &snapshot, &done.iter().copied().collect());
        let known = |after| Pending { xid: 60, after };
        assert_eq!(stand(&[12]), Stand { upto: 15, pending: vec![known(10)], unseen: None });
        let again = Some(Pending { xid: 55, after: 11 });
        assert_eq!(stand(&[16]), Stand { upto: 15, pending: vec![], unseen: again });
        let on = Stand {
            upto: 16,
            pending: vec![known(10), Pending { xid: 50, after: 15 }],
            unseen: Some(Pending { xid: 100, after: 15 }),
        };
        assert_eq!(stand(&[12, 16]), on);
    }

    #[test]
    fn late_events_that_are_too_many_go_on_where_they_were_cut() {
        let mut late = lane(15, &[(40, 10), (41, 10)], &[11, 12]);
        late.cut = true;
        assert_eq!(stands(&late, &[11, 12]), (15, vec![(40, 12), (41, 12)]));
    }
}
