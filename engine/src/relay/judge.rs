//! What becomes of events once their sink has answered: told, tried again, or parked with those that come after. A
//! decision; parking itself is `parked`'s.

use std::collections::{HashMap, HashSet};

use super::{OutOfReach, Sink, Taken};
use crate::outbox::Event;

/// How often an event that its sink refuses is tried before it is parked.
const TRIES: u32 = 5;
/// Why an event is parked that nobody tried.
const BEHIND: &str = "an earlier event of its key is parked";

/// A topic and a key, whose events stay in order.
pub(super) type Key = (String, String);

/// What became of the events of a look.
#[derive(Debug, Default)]
pub(super) struct Judged {
    pub(super) looked: usize,
    /// The places of those that are done with: told, or parked.
    pub(super) done: HashSet<i64>,
    pub(super) parked: Vec<Park>,
    pub(super) refused: bool,
}

/// An event that is set aside.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Park {
    pub(super) event: Event,
    pub(super) tries: u32,
    pub(super) reason: String,
    /// It is tried again by itself.
    pub(super) heals: bool,
}

/// Delivers what may be delivered, and judges of all.
pub(super) async fn deliver(
    sink: &dyn Sink,
    events: Vec<Event>,
    blocked: HashSet<Key>,
    tries: &mut HashMap<i64, u32>,
) -> Result<Judged, OutOfReach> {
    let is_blocked = |event: &Event| blocked.contains(&key(event));
    let (waiting, events): (Vec<Event>, Vec<Event>) = events.into_iter().partition(is_blocked);
    let taken = if events.is_empty() { Vec::new() } else { sink.deliver(&events).await? };
    let mut judged = judge(events, taken, tries);
    judged.looked += waiting.len();
    for event in waiting {
        judged.done.insert(event.seq);
        judged.parked.push(behind(event));
    }
    Ok(judged)
}

fn judge(events: Vec<Event>, taken: Vec<Taken>, tries: &mut HashMap<i64, u32>) -> Judged {
    let mut judged = Judged { looked: events.len(), ..Judged::default() };
    let mut closed: HashSet<Key> = HashSet::new();
    let taken = taken.into_iter().chain(std::iter::repeat(Taken::Waits));
    for (event, taken) in events.into_iter().zip(taken) {
        let (reason, heals) = match taken {
            Taken::Told => {
                tries.remove(&event.seq);
                judged.done.insert(event.seq);
                continue;
            }
            Taken::Waits | Taken::Refused(_) | Taken::Unfit(_) | Taken::Unready(_)
                if closed.contains(&key(&event)) =>
            {
                judged.done.insert(event.seq);
                judged.parked.push(behind(event));
                continue;
            }
            Taken::Waits => continue,
            Taken::Refused(reason) => {
                let tried = tries.entry(event.seq).or_default();
                *tried += 1;
                tracing::warn!(
                    reason,
                    event.seq = event.seq,
                    event.topic = event.topic,
                    tries = *tried,
                    "an event was refused"
                );
                if *tried < TRIES {
                    judged.refused = true;
                    continue;
                }
                (reason, false)
            }
            Taken::Unfit(reason) => (reason, false),
            Taken::Unready(reason) => (reason, true),
        };
        let tries = tries.remove(&event.seq).unwrap_or(1);
        tracing::warn!(
            reason,
            event.seq = event.seq,
            event.topic = event.topic,
            "an event is parked"
        );
        closed.insert(key(&event));
        judged.done.insert(event.seq);
        judged.parked.push(Park { event, tries, reason, heals });
    }
    judged
}

fn behind(event: Event) -> Park {
    Park { event, tries: 0, reason: BEHIND.into(), heals: false }
}

pub(super) fn key(event: &Event) -> Key {
    (event.topic.clone(), event.key.clone())
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::Value;
    use uuid::Uuid;

    use super::*;

    fn event(seq: i64, key: &str) -> Event {
        Event {
            seq,
            id: Uuid::nil(),
            customer_id: Uuid::nil(),
            topic: "t".into(),
            key: key.into(),
            sequence: seq,
            traceparent: None,
            schema: None,
            data: Value::Null,
            at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn what_comes_after_a_parked_event_of_its_key_waits_and_the_rest_goes_on() {
        let events = || vec![event(1, "a"), event(2, "b"), event(3, "a"), event(4, "b")];
        let no = || Taken::Refused("no".into());
        let mut tries = HashMap::new();
        for _ in 1..TRIES {
            let taken = vec![no(), Taken::Told, Taken::Waits, Taken::Told];
            let judged = judge(events(), taken, &mut tries);
            assert!(judged.refused && judged.parked.is_empty());
            assert_eq!(judged.done, HashSet::from([2, 4]));
        }
        let judged =
            judge(events(), vec![no(), Taken::Told, Taken::Waits, Taken::Told], &mut tries);
        assert_eq!(judged.done.len(), 4);
        let parked: Vec<(i64, u32)> =
            judged.parked.iter().map(|park| (park.event.seq, park.tries)).collect();
        assert_eq!(parked, [(1, TRIES), (3, 0)]);
        assert!(tries.is_empty() && !judged.refused);
    }
}
