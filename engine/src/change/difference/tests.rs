use super::super::testing::{define, registry, steps};
use super::{Difference, Kind, Presence, between};

fn differ(old: &str, new: &str) -> Difference {
    between(&define(old), &define(new), &registry())
}

/// The steps that differ, with how deep and by which keys.
fn told(difference: &Difference) -> Vec<String> {
    let step = |step: &super::StepDifference| {
        let keys: Vec<&str> = step.touched.iter().map(|touched| touched.key.as_str()).collect();
        format!("{} {:?} {}", step.id, step.kind, keys.join(","))
    };
    difference.steps.iter().filter(|step| step.kind != Kind::Same).map(step).collect()
}

#[test]
fn the_same_document_differs_in_nothing_whatever_it_says_of_migrating() {
    let row = steps("a:send b:wait");
    let mapped = format!("[[migrate]]\nfrom = 1\n{row}");
    let difference = differ(&row, &mapped);
    assert_eq!((difference.kind(), told(&difference)), (Kind::Same, Vec::new()));
}

#[test]
fn a_key_counts_as_what_its_type_declares_and_as_structure_where_it_declares_nothing() {
    let step = |keys: &str| format!("{}{keys}", steps("a:send"));
    let cases = [
        ("words = \"x\"", "words = \"y\"", Kind::Copy),
        ("for = \"1 day\"", "for = \"2 days\"", Kind::Timing),
        ("", "retry = { attempts = 2 }", Kind::Timing),
        ("", "timeout = \"5s\"", Kind::Timing),
        ("", "windowed = true", Kind::Timing),
        ("", "on_failure = \"continue\"", Kind::Structure),
        ("", "when = \"true\"", Kind::Structure),
    ];
    for (old, new, kind) in cases {
        let difference = differ(&step(old), &step(new));
        assert_eq!(difference.kind(), kind, "{old} -> {new}");
        assert_eq!(differ(&step(new), &step(old)).kind(), kind, "{new} -> {old}");
    }
}

#[test]
fn short_values_are_quoted_and_long_ones_are_not() {
    let step = |words: &str| format!("{}words = \"{words}\"\n", steps("a:send"));
    let difference = differ(&step("old"), &step(&"new".repeat(100)));
    let touched = &difference.steps[0].touched[0];
    assert_eq!(touched.was.as_ref().and_then(|was| was.as_str()), Some("old"));
    assert_eq!(touched.is, None);
}

#[test]
fn a_text_is_the_copy_of_the_steps_that_name_it() {
    let with = |text: &str| {
        format!(
            "{}template = \"hi\"\n{}[templates.hi]\ntext = \"{text}\"\n",
            steps("a:send"),
            steps("b:send")
        )
    };
    assert_eq!(told(&differ(&with("one"), &with("two"))), ["a Copy templates.hi"]);
}

#[test]
fn a_window_and_a_default_retry_are_the_timing_of_the_steps_that_they_reach() {
    let row = format!("{}windowed = true\n{}", steps("a:send"), steps("b:wait c:send"));
    let window = |to: &str| format!("[timing.window]\nfrom = \"09:00\"\nto = \"{to}\"\n{row}");
    let told_window = told(&differ(&window("17:00"), &window("18:00")));
    assert_eq!(told_window, ["a Timing timing.window", "b Timing timing.window"]);
    let difference = differ(&row, &format!("[retry]\nattempts = 3\n{row}"));
    assert_eq!(told(&difference), ["a Timing retry", "b Timing retry", "c Timing retry"]);
}

#[test]
fn steps_that_come_go_change_their_type_or_are_joined_anew_are_structure() {
    let difference = differ(&steps("a:send b:wait c:send"), &steps("a:send c:send d:send"));
    assert_eq!(
        told(&difference),
        ["a Structure next", "c Structure next", "d Structure ", "b Structure "]
    );
    let presences: Vec<Presence> = difference.steps.iter().map(|step| step.presence).collect();
    assert_eq!(presences, [Presence::Both, Presence::Both, Presence::Added, Presence::Removed]);
    assert_eq!(told(&differ(&steps("a:send"), &steps("a:wait"))), ["a Structure type"]);
    let swapped = told(&differ(&steps("a:send b:send"), &steps("b:send a:send")));
    assert_eq!(swapped, ["b Structure next,order", "a Structure next,order"]);
}

#[test]
fn what_follows_is_compared_as_it_comes_out_and_not_as_it_is_written() {
    let written = format!("{}next = \"b\"\n{}", steps("a:send"), steps("b:send"));
    assert_eq!(differ(&steps("a:send b:send"), &written).kind(), Kind::Same);
}

#[test]
fn signals_that_end_a_run_are_structure_and_who_may_be_enrolled_is_not() {
    let row = steps("a:send");
    assert_eq!(differ(&row, &format!("[exit]\non = [\"stop\"]\n{row}")).kind(), Kind::Structure);
    assert_eq!(differ(&row, &format!("[enroll]\nagain = \"always\"\n{row}")).kind(), Kind::Copy);
    assert_eq!(differ(&row, &format!("title = \"T\"\n{row}")).kind(), Kind::Copy);
}
