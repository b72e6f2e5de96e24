use std::collections::BTreeSet;

use super::super::fate::{Fate, Standing, Stays, fate};
use super::super::testing::{registry, steps, version};
use super::{Lead, Map, Route, Version, Way};
use crate::decision::Memory;
use crate::definition::Destination;

fn route(old: Version, new: Version) -> Route {
    Route::new(old, new, &Map::new(), &registry())
}

fn from(old: &str, new: &str) -> Route {
    route(version(1, old), version(2, new))
}

fn stand(step: &str) -> Lead {
    Lead::Stand(step.into())
}

fn enter(step: &str) -> Lead {
    Lead::Enter(step.into())
}

fn done(steps: &[&str]) -> BTreeSet<String> {
    steps.iter().map(|step| (*step).to_owned()).collect()
}

fn fate_of(route: &Route, step: &str, finished: &[&str]) -> Fate {
    let (memory, finished) = (Memory::default(), done(finished));
    fate(route, Standing { step, memory: &memory, intends: false, finished: &finished })
}

#[test]
fn words_and_times_go_forward_and_ways_stay_where_nothing_maps_them() {
    let words =
        from(&steps("a:send b:wait"), &format!("title = \"T\"\n{}", steps("a:send b:wait")));
    assert_eq!((&words.way, words.leads("b")), (&Way::Forward, stand("b")));
    let ways = from(&steps("a:send b:wait"), &steps("a:send b:wait c:send"));
    assert_eq!((&ways.way, ways.leads("b")), (&Way::Pinned, Lead::Stay));
}

#[test]
fn a_map_leads_to_steps_to_the_end_or_nowhere_and_other_steps_stand() {
    let map = "[[migrate]]\nmap = { b = \"d\", c = \"exit\", x = \"stay\" }\n";
    let old = steps("a:send b:wait c:wait x:wait y:wait d:send");
    let route = from(&old, &format!("{map}{}", steps("a:wait d:send")));
    assert_eq!(route.leads("b"), enter("d"));
    assert_eq!(route.leads("c"), Lead::Exit);
    assert_eq!(route.leads("x"), Lead::Stay);
    assert_eq!(route.leads("y"), Lead::Vanish);
    assert_eq!(route.leads("d"), stand("d"));
    assert_eq!(route.leads("a"), enter("a"), "of another type it begins anew");
}

#[test]
fn the_table_that_names_a_version_goes_before_the_one_for_all() {
    let old = version(1, &steps("a:send b:wait"));
    let hash = old.definition.short_hash();
    let tables = format!(
        "[[migrate]]\nmap = {{ b = \"exit\" }}\n[[migrate]]\nfrom = \"{hash}\"\nmap = {{ b = \"a\" }}\n"
    );
    let new = version(3, &format!("{tables}{}", steps("a:send")));
    assert_eq!(route(old, new.clone()).leads("b"), enter("a"));
    let other = version(2, &steps("a:send x:send b:wait"));
    assert_eq!(route(other, new).leads("b"), Lead::Exit);
}

#[test]
fn a_step_that_only_has_another_id_goes_on_as_it_stood_and_the_way_back_finds_it() {
    let old = version(1, &steps("a:send b:wait"));
    let map = "[[migrate]]\nfrom = 1\nmap = { b = \"nap\" }\n";
    let new = version(2, &format!("{map}{}", steps("a:send nap:wait")));
    let there = route(old.clone(), new.clone());
    assert_eq!(there.leads("b"), stand("nap"));
    let back = route(new, old);
    assert_eq!((back.leads("nap"), back.leads("a")), (stand("b"), stand("a")));
}

#[test]
fn back_a_step_that_only_the_newer_version_has_vanishes_unless_a_person_maps_it() {
    let old = version(1, &steps("a:send"));
    let new = version(2, &format!("[[migrate]]\n{}", steps("a:send b:wait")));
    assert_eq!(route(new.clone(), old.clone()).leads("b"), Lead::Vanish);
    let asked = Map::from([("b".to_owned(), Destination::Exit)]);
    assert_eq!(Route::new(new, old, &asked, &registry()).leads("b"), Lead::Exit);
}

#[test]
fn who_would_come_again_to_what_they_have_done_stays() {
    let map = "[[migrate]]\nmap = { b = \"nap\" }\n";
    let old = steps("a:send b:wait c:send");
    let route = from(&old, &format!("{map}{}", steps("nap:wait a:send c:send")));
    assert_eq!(fate_of(&route, "b", &["a"]), Fate::Stays(Stays::Twice(vec!["a".into()])));
    assert_eq!(fate_of(&route, "b", &[]), Fate::Stands("nap".into()));
    assert_eq!(fate_of(&route, "c", &["a"]), Fate::Stands("c".into()));
}

#[test]
fn what_was_done_under_an_old_id_counts_under_the_new_one() {
    let map = "[[migrate]]\nmap = { a = \"hello\", b = \"nap\" }\n";
    let route = from(&steps("a:send b:wait"), &format!("{map}{}", steps("nap:wait hello:send")));
    assert_eq!(fate_of(&route, "b", &["a"]), Fate::Stays(Stays::Twice(vec!["hello".into()])));
    assert_eq!(fate_of(&route, "b", &[]), Fate::Stands("nap".into()));
}

#[test]
fn a_loop_that_was_there_before_may_come_again_to_what_it_did() {
    let looped = format!("{}{}", steps("a:send b:wait"), "next = \"a\"\n");
    let route = from(&looped, &format!("title = \"T\"\n{looped}"));
    assert_eq!(fate_of(&route, "b", &["a"]), Fate::Stands("b".into()));
    let opened = from(&steps("a:send b:wait"), &format!("[[migrate]]\n{looped}"));
    assert_eq!(fate_of(&opened, "b", &["a"]), Fate::Stays(Stays::Twice(vec!["a".into()])));
}

#[test]
fn what_may_have_acted_leaves_its_step_for_no_map() {
    let map = "[[migrate]]\nmap = { a = \"c\" }\n";
    let route = from(&steps("a:send b:wait"), &format!("{map}{}", steps("c:send b:wait")));
    let (memory, finished) = (Memory::default(), BTreeSet::new());
    let standing = Standing { step: "a", memory: &memory, intends: true, finished: &finished };
    assert_eq!(fate(&route, standing), Fate::Stays(Stays::Unknown));
    let known = Standing { intends: false, ..standing };
    assert_eq!(fate(&route, known), Fate::Stands("c".into()));
}

#[test]
fn who_undoes_or_would_lose_how_to_undo_keeps_the_version() {
    let with =
        |undo: &str| format!("[[migrate]]\n{}{undo}{}", steps("a:send"), steps("b:wait u:send"));
    let (old, new) =
        (with("compensate = \"u\"\n"), format!("[[migrate]]\n{}", steps("a:send b:wait")));
    let route = from(&old, &new);
    let finished = BTreeSet::new();
    let fated = |memory: &Memory| {
        fate(&route, Standing { step: "b", memory, intends: false, finished: &finished })
    };
    let did = Memory { done: vec!["a".into()], ..Memory::default() };
    assert_eq!(fated(&did), Fate::Stays(Stays::LosesUndo));
    let undoing = Memory { undoing: Some("why".into()), ..Memory::default() };
    assert_eq!(fated(&undoing), Fate::Stays(Stays::Undoing));
    assert_eq!(fated(&Memory::default()), Fate::Stands("b".into()));
}
