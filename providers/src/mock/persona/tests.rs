use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn recipient(n: u32) -> String {
    format!("person{n}@example{}.com", n % 97)
}

fn first_mail<'a>(recipient: &'a str, send_key: &'a str) -> Occasion<'a> {
    Occasion { seed: 1, recipient, send_key, begins_thread: true }
}

#[test]
fn every_persona_occurs_in_its_share_of_ten_thousand_recipients() {
    let settings = PersonaSettings::default();
    let mut counts: BTreeMap<Persona, u32> = BTreeMap::new();
    for n in 0..10_000 {
        *counts.entry(settings.persona(1, &recipient(n))).or_default() += 1;
    }
    for (persona, percent) in settings.parts() {
        let count = counts[&persona];
        // The widest standard deviation here is 48; five of them, and the parts of the default sum to 100.
        assert!(count.abs_diff(percent * 100) < 240, "{persona:?}: {count} of {percent} %");
        assert!(count > 100, "{persona:?}: {count}");
    }
    assert_eq!(settings.parts().iter().map(|(_, part)| part).sum::<u32>(), 100);
}

#[test]
fn another_seed_casts_the_recipients_anew_and_the_same_seed_alike() {
    let settings = PersonaSettings::default();
    let cast = |seed| -> Vec<Persona> {
        (0..200).map(|n| settings.persona(seed, &recipient(n))).collect()
    };
    assert_eq!(cast(1), cast(1));
    assert_ne!(cast(1), cast(2));
    assert_eq!(settings.persona(1, "Ann@Example.com"), settings.persona(1, "ann@example.com"));
}

#[test]
fn a_list_of_one_persona_holds_only_it_and_one_without_parts_is_silent() {
    for (persona, _) in PersonaSettings::default().parts() {
        assert_eq!(PersonaSettings::only(persona).persona(1, "ann@example.com"), persona);
    }
    let none = PersonaSettings { silent: 0, ..PersonaSettings::all_silent() };
    assert_eq!(none.persona(1, "ann@example.com"), Persona::Silent);
}

#[test]
fn each_persona_does_what_its_name_says_over_many_mails() {
    use InboundKind::{
        AutoReplied, BouncedHard, BouncedSoft, Clicked, Opened, Replied, Unsubscribed,
    };
    let expected: [(Persona, &[InboundKind]); 9] = [
        (Persona::Silent, &[]),
        (Persona::Opener, &[Opened]),
        (Persona::Clicker, &[Opened, Clicked]),
        (Persona::Replier, &[Opened, Replied]),
        (Persona::OutOfOffice, &[AutoReplied]),
        (Persona::HardBounce, &[BouncedHard]),
        (Persona::SoftBounce, &[Opened, BouncedSoft]),
        (Persona::Unsubscriber, &[Opened, Unsubscribed]),
        (Persona::Angry, &[Replied]),
    ];
    for (persona, kinds) in expected {
        let keys = (0..200).map(|n| format!("run_{n}/intro/0"));
        let mut seen: Vec<InboundKind> = keys
            .flat_map(|key| persona.react(&first_mail("ann@example.com", &key)))
            .map(|reaction| reaction.kind)
            .collect();
        seen.sort();
        seen.dedup();
        assert_eq!(seen, kinds, "{persona:?}");
    }
}

#[test]
fn later_in_a_thread_nobody_is_out_of_office_or_full() {
    for n in 0..200 {
        let key = format!("run_{n}/bump/0");
        let later = Occasion { begins_thread: false, ..first_mail("ann@example.com", &key) };
        assert_eq!(Persona::OutOfOffice.react(&later), []);
        let full = |reaction: &Reaction| reaction.kind == InboundKind::BouncedSoft;
        assert!(!Persona::SoftBounce.react(&later).iter().any(full));
    }
}

proptest! {
    #[test]
    fn reactions_come_in_order_and_within_four_days(
        seed: u64, recipient in ".*", key in ".*", begins_thread: bool, index in 0..9_usize,
    ) {
        let (persona, _) = PersonaSettings::default().parts()[index];
        let on = Occasion { seed, recipient: &recipient, send_key: &key, begins_thread };
        let reactions = persona.react(&on);
        prop_assert!(reactions.is_sorted_by_key(|reaction| reaction.after));
        for reaction in &reactions {
            prop_assert!(reaction.after >= Duration::from_secs(2));
            prop_assert!(reaction.after <= Duration::from_hours(96));
        }
        prop_assert_eq!(reactions, persona.react(&on));
    }
}
