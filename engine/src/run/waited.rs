//! Since when runs wait, and when they were paused meanwhile, as their history says it. Locks nothing, writes nothing.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::timing::Pause;

/// What the history of a run says of its wait.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Waited {
    /// From when the wait counts in which its step has stopped, where it has.
    pub(crate) since: Option<DateTime<Utc>>,
    /// When it was paused since then and resumed again, in order.
    pub(crate) pauses: Vec<Pause>,
    /// Since when it has been paused, where it is paused now.
    pub(crate) paused_at: Option<DateTime<Utc>>,
    /// Whether it last came to sleep until its send window opens.
    pub(crate) deferred: bool,
}

/// Reads what the histories of these runs say of their waits. Of more than 1,000 pauses of one wait, the first
/// 1,000 are known.
pub(crate) async fn waited(
    db: impl PgExecutor<'_>,
    run_ids: &[Uuid],
) -> Result<HashMap<Uuid, Waited>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select r.id, r.state = 'paused' as "paused!", s.since as "since?", p.paused_at as "paused_at?",
             coalesce(d.rule = 'window', false) as "deferred!",
             coalesce(m.at, '{}') as "at!: Vec<DateTime<Utc>>", coalesce(m.pauses, '{}') as "pauses!: Vec<bool>"
           from engine.runs r
           left join lateral (
             select h.seq, coalesce((h.data ->> 'from')::timestamptz, h.at) as since from engine.history h
             where h.run_id = r.id and h.kind = 'step.waiting' and h.iteration = r.iteration and r.data ? 'waiting'
             order by h.seq desc limit 1) s on true
           left join lateral (
             select h.at as paused_at from engine.history h where h.run_id = r.id and h.kind = 'run.paused'
             order by h.seq desc limit 1) p on r.state = 'paused'
           left join lateral (
             -- What put it where it stands; what came over it there says nothing of why.
             select h.data ->> 'rule' as rule from engine.history h
             where h.run_id = r.id and h.kind not in ('run.paused', 'run.resumed', 'run.replanned')
             order by h.seq desc limit 1) d on true
           left join lateral (
             select array_agg(l.at order by l.seq) as at, array_agg(l.kind = 'run.paused' order by l.seq) as pauses
             from (select h.seq, h.at, h.kind from engine.history h
                   where h.run_id = r.id and h.seq > s.seq and h.kind in ('run.paused', 'run.resumed')
                   order by h.seq limit 2000) l) m on true
           where r.id = any($1)"#,
        run_ids,
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let marks: Vec<(DateTime<Utc>, bool)> = row.at.into_iter().zip(row.pauses).collect();
            let (pauses, open) = pauses(row.since, &marks, row.paused);
            let paused_at = open.or(row.paused_at);
            let waited = Waited { since: row.since, pauses, paused_at, deferred: row.deferred };
            (row.id, waited)
        })
        .collect())
}

/// The pauses that ended, and since when the one lasts that has not. One that began while the step was still on its
/// way to its wait counts from where the wait does.
fn pauses(
    since: Option<DateTime<Utc>>,
    marks: &[(DateTime<Utc>, bool)],
    is_paused: bool,
) -> (Vec<Pause>, Option<DateTime<Utc>>) {
    let began_before = marks.first().map_or(is_paused, |(_, pauses)| !pauses);
    let mut open = since.filter(|_| began_before);
    let mut ended = Vec::new();
    for &(at, pauses) in marks {
        match (open, pauses) {
            (None, true) => open = Some(at),
            (Some(from), false) => {
                ended.push(Pause { from, until: at });
                open = None;
            }
            (Some(_), true) | (None, false) => {}
        }
    }
    (ended, open)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: u32) -> DateTime<Utc> {
        format!("2027-03-08T{hour:02}:00:00Z").parse().expect("an instant")
    }

    #[test]
    fn a_history_of_pauses_is_read_in_pairs() {
        let pause = |from, until| Pause { from: at(from), until: at(until) };
        let since = Some(at(8));
        let marks = [(at(9), true), (at(10), false), (at(12), true), (at(15), false)];
        let both = vec![pause(9, 10), pause(12, 15)];
        assert_eq!(pauses(since, &marks, false), (both, None));
        assert_eq!(pauses(since, &marks[..3], true), (vec![pause(9, 10)], Some(at(12))));
        assert_eq!(pauses(since, &[], false), (Vec::new(), None));
        // Paused while the step ran that then stopped.
        assert_eq!(pauses(since, &[], true), (Vec::new(), since));
        assert_eq!(pauses(since, &marks[1..2], false), (vec![pause(8, 10)], None));
        assert_eq!(pauses(None, &[], true), (Vec::new(), None));
    }
}
