use proptest::prelude::*;

use super::*;

const ID: Uuid = Uuid::from_u128(7);
const MINUTE: TimeDelta = TimeDelta::minutes(1);

fn at(text: &str) -> DateTime<Utc> {
    format!("2026-11-25T{text}Z").parse().expect("an instant")
}

fn timing(cron: &str, jitter_seconds: u64) -> Timing {
    let cron = Cron::parse(cron).expect("an expression");
    Timing { cron, zone: Zone::utc(), jitter: Duration::from_secs(jitter_seconds) }
}

/// What becomes of an hourly schedule whose occurrence of nine o'clock was not fired before `now`, as one line.
fn told(policy: CatchUp, limit: u16, now: &str) -> String {
    let decision =
        decide(ID, &timing("0 * * * *", 0), at("09:00:00"), (policy, limit), at(now), MINUTE);
    let hour = |at: DateTime<Utc>| at.format("%H").to_string();
    let missed = decision
        .missed
        .map(|missed| format!("missed {} from {}", missed.count, hour(missed.occurrence_at)));
    let fire = decision.fire.map(|at| format!("fires {}", hour(at)));
    let next = decision.next.map(|next| format!("next {}", hour(next.occurrence_at)));
    [missed, fire, next].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[test]
fn what_is_late_by_a_minute_at_the_most_fires_by_any_policy() {
    for policy in [CatchUp::Skip, CatchUp::Last, CatchUp::All] {
        assert_eq!(told(policy, 1, "09:00:00"), "fires 09, next 10");
        assert_eq!(told(policy, 1, "09:01:00"), "fires 09, next 10");
    }
}

#[test]
fn what_was_missed_is_left_out_or_caught_up_with_as_the_policy_says() {
    assert_eq!(told(CatchUp::Skip, 9, "13:30:00"), "missed 5 from 09, next 14");
    assert_eq!(told(CatchUp::Last, 9, "13:30:00"), "missed 4 from 09, fires 13, next 14");
    assert_eq!(told(CatchUp::All, 3, "13:30:00"), "missed 2 from 09, fires 11, next 12");
    assert_eq!(told(CatchUp::All, 5, "13:30:00"), "fires 09, next 10");
    assert_eq!(told(CatchUp::All, 9, "13:30:00"), "fires 09, next 10");
}

#[test]
fn the_occurrence_that_is_due_just_now_is_not_missed_with_those_before_it() {
    assert_eq!(told(CatchUp::Skip, 9, "13:00:30"), "missed 4 from 09, next 13");
    assert_eq!(told(CatchUp::Last, 9, "13:00:30"), "missed 4 from 09, fires 13, next 14");
    assert_eq!(told(CatchUp::All, 1, "13:00:30"), "missed 4 from 09, fires 13, next 14");
    assert_eq!(told(CatchUp::Skip, 9, "09:01:01"), "missed 1 from 09, next 10");
    assert_eq!(told(CatchUp::Last, 9, "09:01:01"), "fires 09, next 10");
}

#[test]
fn years_of_missed_seconds_are_neither_counted_nor_fired() {
    let now = at("00:00:00") + TimeDelta::days(3_650);
    for (policy, fires) in [(CatchUp::Skip, false), (CatchUp::Last, true), (CatchUp::All, true)] {
        let from = at("00:00:00");
        let decision = decide(ID, &timing("* * * * * *", 0), from, (policy, 100), now, MINUTE);
        assert_eq!(decision.missed, Some(Missed { occurrence_at: from, count: COUNTED }));
        assert_eq!(decision.fire.is_some(), fires);
        assert!(decision.settled_at >= now - TimeDelta::seconds(100), "{policy:?}");
    }
}

#[test]
fn a_schedule_whose_years_are_over_has_no_next_occurrence() {
    let timing = timing("0 0 9 25 11 ? 2026", 0);
    let decision = decide(ID, &timing, at("09:00:00"), (CatchUp::Skip, 1), at("09:00:00"), MINUTE);
    assert_eq!((decision.fire, decision.next), (Some(at("09:00:00")), None));
}

#[test]
fn a_share_of_the_jitter_is_the_same_each_time_and_another_for_each_occurrence() {
    let timing = timing("0 * * * *", 600);
    let share = |hour: u32| {
        let occurrence_at = at(&format!("{hour:02}:00:00"));
        timing.fire_at(ID, occurrence_at) - occurrence_at
    };
    let shares: std::collections::BTreeSet<TimeDelta> = (0..24).map(share).collect();
    assert_eq!(shares.len(), 24);
    assert!(shares.iter().all(|share| *share < TimeDelta::seconds(600)));
    assert!(shares.iter().any(|share| *share > TimeDelta::seconds(300)), "it is spread");
    assert_eq!(share(9), share(9));
    let other = timing.fire_at(Uuid::from_u128(8), at("09:00:00")) - at("09:00:00");
    assert_ne!(share(9), other);
}

/// Decides again and again as time passes in leaps; gives what fired and how many were missed.
fn play(
    timing: &Timing,
    policy: CatchUp,
    limit: u16,
    leaps: &[i64],
) -> (Vec<DateTime<Utc>>, i64, DateTime<Utc>) {
    let mut now = at("00:00:00");
    let mut next = timing.next(ID, now);
    let (mut fired, mut missed) = (Vec::new(), 0);
    for leap in leaps {
        now += TimeDelta::seconds(*leap);
        while let Some(planned) = next.filter(|next| next.fire_at <= now) {
            let at = planned.occurrence_at;
            let decision = decide(ID, timing, at, (policy, limit), now, MINUTE);
            fired.extend(decision.fire);
            missed += i64::from(decision.missed.map_or(0, |missed| missed.count));
            next = decision.next;
        }
    }
    (fired, missed, now)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_occurrence_is_fired_once_or_missed_once(
        cron in prop::sample::select(vec!["*/7 * * * *", "0 * * * *", "20 0,30 1-5 * * *", "* * * * *"]),
        jitter in prop::sample::select(vec![0_u64, 30, 600, 86_400]),
        policy in prop::sample::select(vec![CatchUp::Skip, CatchUp::Last, CatchUp::All]),
        limit in 1..20_u16,
        leaps in prop::collection::vec(prop_oneof![0..90_i64, 0..20_000_i64], 1..10),
    ) {
        let timing = timing(cron, jitter);
        let (fired, missed, now) = play(&timing, policy, limit, &leaps);
        prop_assert!(fired.is_sorted_by(|one, other| one < other), "twice, or out of order");
        let from = at("00:00:00");
        let due = timing.cron.upcoming(from, &timing.zone, 4_000);
        let due: Vec<DateTime<Utc>> = due
            .iter()
            .map(|found| found.at)
            .take_while(|at| *at <= now)
            .filter(|at| timing.fire_at(ID, *at) <= now)
            .collect();
        prop_assert!(fired.iter().all(|at| due.contains(at)), "none that is not due");
        let fired = i64::try_from(fired.len()).unwrap_or_default();
        prop_assert_eq!(fired + missed, i64::try_from(due.len()).unwrap_or_default());
    }
}
