//! Where runs can go: every step must be reachable, and no loop may be without a wait.

use super::refusals::{Findings, Problem};
use super::tree::Span;
use crate::work;

/// A step as far as its ways out matter.
pub(super) struct Node {
    pub(super) id: String,
    /// Where the step is pointed at.
    pub(super) head: Span,
    /// The indices of the steps to which a run may go from here.
    pub(super) targets: Vec<usize>,
    /// Whether time always passes here.
    pub(super) waits: bool,
    /// Whether the run never goes on to the step below or `next`.
    pub(super) stops: bool,
}

/// Notes unreachable steps and loops without a wait.
pub(super) fn check(nodes: &[Node], found: &mut Findings<'_>) {
    unreachable(nodes, found);
    busy_loops(nodes, found);
}

/// Whether a run can get from one step to another.
pub(super) fn leads(nodes: &[Node], from: usize, to: usize) -> bool {
    let mut reached = vec![false; nodes.len()];
    let mut open = nodes[from].targets.clone();
    while let Some(index) = open.pop() {
        work::count(1);
        if !std::mem::replace(&mut reached[index], true) {
            open.extend(&nodes[index].targets);
        }
    }
    reached[to]
}

/// The steps that a run may have come to before it comes to a step for the first time.
pub(super) fn before(nodes: &[Node], first: usize) -> Vec<bool> {
    let mut reached = vec![false; nodes.len()];
    let mut open = vec![0];
    while let Some(index) = open.pop() {
        work::count(1);
        if index != first && !std::mem::replace(&mut reached[index], true) {
            open.extend(&nodes[index].targets);
        }
    }
    reached
}

fn unreachable(nodes: &[Node], found: &mut Findings<'_>) {
    let mut reached = vec![false; nodes.len()];
    let mut open = vec![0];
    while let Some(index) = open.pop() {
        if !std::mem::replace(&mut reached[index], true) {
            open.extend(&nodes[index].targets);
        }
    }
    let mut before = true;
    for (index, node) in nodes.iter().enumerate() {
        // Of several in a row the first is told; the others follow from it.
        if !reached[index] && before {
            let message = format!("no run ever comes to step `{}`", node.id);
            let above = &nodes[index.saturating_sub(1)].id;
            let help = format!(
                "the step above, `{above}`, goes elsewhere; name `{}` in a `next`, `then` or `else`, or remove it",
                node.id
            );
            found.add(Problem::at(node.head.clone(), message).around().help(help));
        }
        before = reached[index];
    }
}

/// How far the search for loops has come with a step.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Unseen,
    /// On the way that is being followed now.
    OnWay,
    Done,
}

fn busy_loops(nodes: &[Node], found: &mut Findings<'_>) {
    let mut marks = vec![Mark::Unseen; nodes.len()];
    for start in 0..nodes.len() {
        follow(start, nodes, &mut marks, found);
    }
}

/// Follows every way from a step through steps that don't wait. Iterative, so that 200 steps in a row
/// need no stack.
fn follow(start: usize, nodes: &[Node], marks: &mut [Mark], found: &mut Findings<'_>) {
    if marks[start] != Mark::Unseen || nodes[start].waits {
        return;
    }
    marks[start] = Mark::OnWay;
    let mut way = vec![(start, 0_usize)];
    while let Some(last) = way.last_mut() {
        work::count(1);
        let at = last.0;
        let target = nodes[at].targets.get(last.1).copied();
        last.1 += 1;
        match target {
            None => {
                marks[at] = Mark::Done;
                way.pop();
            }
            Some(target) if nodes[target].waits => {}
            Some(target) => match marks[target] {
                Mark::Unseen => {
                    marks[target] = Mark::OnWay;
                    way.push((target, 0));
                }
                Mark::OnWay => refuse_loop(target, &way, nodes, found),
                Mark::Done => {}
            },
        }
    }
}

fn refuse_loop(target: usize, way: &[(usize, usize)], nodes: &[Node], found: &mut Findings<'_>) {
    let inside = way.iter().skip_while(|(index, _)| *index != target);
    let names: Vec<String> = inside.map(|(index, _)| format!("`{}`", nodes[*index].id)).collect();
    let path = format!("{} → `{}`", names.join(" → "), nodes[target].id);
    let problem =
        Problem::at(nodes[target].head.clone(), "this loop never waits").around().label(path);
    found.add(
        problem.help("put a step of type `wait` without `when` into it, as in `for = \"1 day\"`"),
    );
}
