//! What a score is at any instant.

use proptest::prelude::*;

use super::*;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("an instant")
}

fn fact(n: u128, event: &str, when: &str) -> Fact {
    Fact { id: Uuid::from_u128(n), event: event.into(), given: None, reason: None, at: at(when) }
}

#[test]
fn points_count_half_after_their_half_life_and_no_more_than_so_many_a_day() {
    let rules = Rules::default();
    let facts = [
        fact(1, "email.replied", "2026-11-01T09:00:00Z"),
        fact(2, "email.opened", "2026-11-01T10:00:00Z"),
        fact(3, "email.opened", "2026-11-01T11:00:00Z"),
        fact(4, "email.opened", "2026-11-01T12:00:00Z"),
        fact(5, "email.opened", "2026-11-01T13:00:00Z"),
        fact(6, "page.unknown", "2026-11-01T13:00:00Z"),
    ];
    let now = score(&rules, &facts, at("2026-11-01T13:00:00Z"));
    assert_eq!(now.parts.iter().map(|part| part.points).collect::<Vec<_>>(), [20, 1, 1, 1, 0, 0]);
    assert_eq!((now.sum.round(), now.level), (23.0, Level::Hot));
    let later = score(&rules, &facts[..1], at("2026-12-01T09:00:00Z"));
    assert!((later.sum - 10.0).abs() < 1e-9);
    assert_eq!(later.level, Level::Warm);
    assert_eq!(score(&rules, &facts, at("2026-10-31T00:00:00Z")).sum, 0.0, "nothing had come");
}

#[test]
fn a_level_falls_later_than_it_rose_at_the_instant_that_was_told() {
    let rules = Rules::default();
    let facts = [fact(1, "email.replied", "2026-11-01T09:00:00Z")];
    let rose = score(&rules, &facts, facts[0].at);
    let falls = rose.falls_at.expect("it decays");
    // 20 to 18: 0.152 half-lives.
    assert_eq!((falls - facts[0].at).num_hours(), 109);
    let just_before = falls - TimeDelta::seconds(3);
    assert_eq!(score(&rules, &facts, just_before).level, Level::Hot);
    assert_eq!(score(&rules, &facts, falls).level, Level::Warm);
    // Back at 19 it is hot no more: it fell in between.
    let more = [facts[0].clone(), fact(2, "email.opened", "2026-11-07T09:00:00Z")];
    let back = score(&rules, &more, more[1].at);
    assert!(back.sum > 18.0 && back.sum < 20.0, "{}", back.sum);
    assert_eq!(back.level, Level::Warm);
}

#[test]
fn rules_that_can_not_be_are_told_by_their_field() {
    let wrong = |change: &dyn Fn(&mut Rules)| {
        let mut rules = Rules::default();
        change(&mut rules);
        rules.check().expect_err("it is wrong").0
    };
    assert!(Rules::default().check().is_ok());
    assert_eq!(wrong(&|rules| rules.half_life_days = 0.0), "half_life_days");
    assert_eq!(wrong(&|rules| rules.half_life_days = f64::NAN), "half_life_days");
    assert_eq!(wrong(&|rules| rules.warm = 20.0), "warm");
    assert_eq!(wrong(&|rules| rules.hysteresis = 5.0), "hysteresis");
    let visits = Rule { points: 1, per_day: None };
    let unknown = |rules: &mut Rules| {
        rules.events.insert("mail.read".into(), visits);
    };
    assert_eq!(wrong(&unknown), "events.mail.read");
}

fn facts() -> impl Strategy<Value = Vec<Fact>> {
    let one = (0..COUNTABLE.len(), 0_i64..90 * 24 * 60, prop::option::weighted(0.1, -20_i32..20));
    prop::collection::vec(one, 0..40).prop_map(|drawn| {
        let begin = at("2026-09-01T00:00:00Z");
        let fact = |(n, (event, minutes, given)): (usize, (usize, i64, Option<i32>))| Fact {
            id: Uuid::from_u128(n as u128),
            event: COUNTABLE[event].into(),
            given,
            reason: None,
            at: begin + TimeDelta::minutes(minutes),
        };
        drawn.into_iter().enumerate().map(fact).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn a_score_is_the_same_in_whatever_order_its_facts_came_and_however_often_it_was_looked_at(
        facts in facts(), seed in any::<u64>()
    ) {
        let rules = Rules::default();
        let end = at("2026-12-01T00:00:00Z");
        let whole = score(&rules, &facts, end);
        let mut shuffled = facts.clone();
        shuffled.sort_by_key(|fact| engine::context::draw(&[&seed.to_be_bytes(), fact.id.as_bytes()]));
        prop_assert_eq!(&score(&rules, &shuffled, end), &whole);
        let total: f64 = whole.parts.iter().map(|part| part.decayed).sum();
        prop_assert!((total - whole.sum).abs() < 1e-6, "{} is not {}", total, whole.sum);
        // A level that is followed hour by hour, each time from the one before, comes to the same.
        let (mut level, mut now) = (Level::Cold, at("2026-09-01T00:00:00Z"));
        let mut instants: Vec<DateTime<Utc>> = facts.iter().map(|fact| fact.at).collect();
        while now < end {
            instants.push(now);
            now += TimeDelta::hours(1);
        }
        instants.extend(facts.iter().map(|fact| fact.at - TimeDelta::milliseconds(1)));
        instants.push(end);
        instants.sort_unstable();
        for instant in instants {
            level = rules.level(level, score(&rules, &facts, instant).sum);
        }
        prop_assert_eq!(level, whole.level);
    }
}
