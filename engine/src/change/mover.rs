//! Works out how one run stands in its new version: as it stood, with what it waits for planned anew, or at a
//! step that it enters; and on the way back, as it stood before. Reads what the step asks for, writes nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Map as Json, Value, json};
use uuid::Uuid;

use super::delays::Moved;
use super::difference::Kind;
use super::fate::{Fate, Standing, Stays, fate};
use super::read::Row;
use super::rewait::{Anew, rewait, shift, until};
use super::route::{Lead, Route};
use crate::decision::{self, Memory, Position, Situation, Waiting};
use crate::definition::StepDefinition;
use crate::definition_store::Definitions;
use crate::run::{Moving, Stance};
use crate::timing::Zone;

/// What runs that stand in a lane would have to be looked at for: whether they still belong there.
const LANE_KEYS: [&str; 4] = ["limits", "windowed", "timing.window", "type"];
const WINDOW_KEYS: [&str; 2] = ["windowed", "timing.window"];
/// Why a run ends whose step was mapped to the end.
const ENDED: &str = "workflow changed";

/// What was decided of a run.
pub(super) enum Decided {
    Moves(Box<Moving>),
    Stays,
    Later,
}

/// Works out where one run goes.
pub(super) struct Mover<'a> {
    pub(super) definitions: &'a Definitions,
    pub(super) route: &'a Route,
    pub(super) now: DateTime<Utc>,
    pub(super) finished: &'a BTreeSet<String>,
}

impl Mover<'_> {
    /// Where it goes; once its step is done, where a worker holds it.
    pub(super) async fn of(&self, row: &Row) -> Decided {
        match self.fated(row).await {
            Decided::Moves(_) if row.leased => Decided::Later,
            decided @ (Decided::Moves(_) | Decided::Stays | Decided::Later) => decided,
        }
    }

    async fn fated(&self, row: &Row) -> Decided {
        let Ok(memory) = serde_json::from_value::<Memory>(row.data.clone()) else {
            return Decided::Stays;
        };
        if let Some(back) = self.back(row, &memory) {
            return Decided::Moves(Box::new(back));
        }
        let standing = Standing {
            step: &row.step,
            memory: &memory,
            intends: row.intends,
            finished: self.finished,
        };
        match fate(self.route, standing) {
            Fate::Stands(step) => match self.stands(row, memory, &step).await {
                Some(moving) => Decided::Moves(Box::new(moving)),
                None => Decided::Stays,
            },
            Fate::Enters(step) => self
                .enters(row, memory, &step)
                .map_or(Decided::Stays, |one| Decided::Moves(Box::new(one))),
            Fate::Ends => Decided::Moves(Box::new(self.ends(row, &memory))),
            // What it did comes to be known with its next attempt.
            Fate::Stays(Stays::Unknown) if row.state == "live" => Decided::Later,
            Fate::Stays(_) => Decided::Stays,
        }
    }

    fn step(&self, id: &str) -> Option<(usize, &StepDefinition)> {
        let index = self.route.new.definition.index_of(id)?;
        Some((index, &self.route.new.definition.steps[index]))
    }

    /// As it stood, with what it waits for planned anew where the step's times differ.
    async fn stands(&self, row: &Row, mut memory: Memory, to: &str) -> Option<Moving> {
        let (index, step) = self.step(to)?;
        let stance = match self.wait_anew(row, &memory, index, to).await {
            Some(anew) => {
                let stance = memory.waiting.as_ref().map(|was| moved_wait(row, step, was, &anew));
                memory.waiting = Some(anew.waiting);
                stance.unwrap_or(Stance::Keep)
            }
            None => self.window(row, &memory, index, to).unwrap_or(Stance::Keep),
        };
        self.rename(&mut memory);
        let touched = self.route.difference.of(to);
        let relane = to != row.step || touched.is_some_and(|step| step.touches(&LANE_KEYS));
        Some(Moving {
            step: step.id.clone(),
            queue: step.kind.to_owned(),
            relane,
            data: json!(memory),
            ..self.moving(row, stance, Json::new())
        })
    }

    /// How the delay moves in which a run sleeps; `None` where it does not.
    pub(super) async fn moved(&self, row: &Row) -> Option<Moved> {
        let memory: Memory = serde_json::from_value(row.data.clone()).ok()?;
        let Lead::Stand(to) = self.route.leads(&row.step) else { return None };
        let (index, _) = self.step(&to)?;
        let (seconds, is) = match self.wait_anew(row, &memory, index, &to).await {
            Some(anew) => {
                let moved = shift(memory.waiting.as_ref()?, &anew.waiting);
                (moved.map(|moved| moved.num_seconds()), until(&anew.waiting))
            }
            None => match self.window(row, &memory, index, &to)? {
                Stance::Wait { next_at: Some(at), .. } if row.next_at != Some(at) => {
                    (row.next_at.map(|was| (at - was).num_seconds()), Some(at))
                }
                Stance::Wait { .. }
                | Stance::Keep
                | Stance::Put { .. }
                | Stance::Look
                | Stance::End { .. } => return None,
            },
        };
        Some(Moved { seconds, at_once: is.is_some_and(|is| is <= self.now) })
    }

    /// For what it waits from now on, where that differs.
    async fn wait_anew(&self, row: &Row, memory: &Memory, index: usize, to: &str) -> Option<Anew> {
        let waiting = memory.waiting.as_ref()?;
        let kind = self.route.difference.of(to).map(|step| step.kind);
        let may_differ = to != row.step || kind >= Some(Kind::Timing);
        if !may_differ {
            return None;
        }
        rewait(self.definitions.registry(), &self.route.new.definition, index, row, waiting).await
    }

    /// When its window opens, where it slept until then and the window differs.
    fn window(&self, row: &Row, memory: &Memory, step: usize, to: &str) -> Option<Stance> {
        let touched = self.route.difference.of(to)?;
        let sleeps = memory.waiting.is_none() && row.state == "live" && row.waited.deferred;
        if !sleeps || !touched.touches(&WINDOW_KEYS) {
            return None;
        }
        let zone = Zone::parse(&row.zone).ok()?;
        let situation = Situation {
            definition: &self.route.new.definition,
            position: Position { step, iteration: row.iteration, attempt: 1 },
            memory,
            now: self.now,
            zone: &zone,
            // Nothing fails here, so nothing is drawn.
            subject_id: Uuid::nil(),
        };
        let at = decision::opening(situation, step).unwrap_or(self.now);
        let local = Some(zone.wall(at));
        Some(Stance::Wait { next_at: Some(at), remaining: row.remaining, signal: None, local })
    }

    /// To a step that it enters anew. What it leaves is told, so that the way back can restore it.
    fn enters(&self, row: &Row, mut memory: Memory, to: &str) -> Option<Moving> {
        let (_, step) = self.step(to)?;
        let was = json!({
            "step": row.step, "iteration": row.iteration, "waiting": memory.waiting, "next_at": row.next_at,
            "remaining": row.remaining, "inbox": row.inbox,
        });
        memory.waiting = None;
        self.rename(&mut memory);
        let told = Json::from_iter([("was".to_owned(), was)]);
        Some(Moving {
            step: step.id.clone(),
            queue: step.kind.to_owned(),
            // No step runs twice under one iteration.
            iteration: row.iteration + 1,
            data: json!(memory),
            ..self.moving(row, Stance::Look, told)
        })
    }

    fn ends(&self, row: &Row, memory: &Memory) -> Moving {
        Moving {
            data: json!(memory),
            ..self.moving(row, Stance::End { reason: ENDED.into() }, Json::new())
        }
    }

    /// Back to where it stood before it came into the version that it leaves, when it has not moved since.
    fn back(&self, row: &Row, memory: &Memory) -> Option<Moving> {
        let told = row.last_data.as_ref().filter(|_| row.last_kind == "run.migrated")?;
        let came_from = told["from"].as_i64().and_then(|number| i32::try_from(number).ok());
        if row.intends || came_from.is_none() || came_from != self.route.new.number {
            return None;
        }
        let was = told.get("was")?;
        let (_, step) = self.step(was["step"].as_str()?)?;
        let mut memory = memory.clone();
        self.rename(&mut memory);
        memory.waiting = serde_json::from_value(was["waiting"].clone()).ok()?;
        let signal = match &memory.waiting {
            Some(Waiting::Signal { signal, .. }) => Some(signal.clone()),
            Some(Waiting::Timer { .. }) | None => None,
        };
        let next_at: Option<DateTime<Utc>> = serde_json::from_value(was["next_at"].clone()).ok()?;
        let heard = was["inbox"].as_i64() != Some(i64::from(row.inbox));
        let remaining = was["remaining"].as_i64();
        Some(Moving {
            step: step.id.clone(),
            queue: step.kind.to_owned(),
            iteration: i32::try_from(was["iteration"].as_i64()?).ok()?,
            data: json!(memory),
            ..self.moving(row, Stance::Put { next_at, remaining, signal, heard }, Json::new())
        })
    }

    /// A run that stays where it is, but in the new version; what is told of it besides.
    fn moving(&self, row: &Row, stance: Stance, mut told: Json<String, Value>) -> Moving {
        told.insert("from".into(), json!(self.route.old.number));
        told.insert("to".into(), json!(self.route.new.number));
        let renamed = self.route.renamed();
        if !renamed.is_empty() {
            told.insert("renamed".into(), json!(renamed));
        }
        if row.waited.deferred && matches!(stance, Stance::Keep | Stance::Wait { .. }) {
            told.insert("rule".into(), json!("window"));
        }
        Moving {
            run_id: row.id,
            seq: row.seq,
            definition_id: self.route.new.id.unwrap_or_default(),
            step: row.step.clone(),
            queue: String::new(),
            iteration: row.iteration,
            stance,
            relane: false,
            data: Value::Null,
            told: Value::Object(told),
        }
    }

    /// What steps gave, under the ids that they have now.
    fn rename(&self, memory: &mut Memory) {
        for (was, is) in self.route.renamed() {
            if let Some(output) = Arc::make_mut(&mut memory.outputs).remove(was) {
                Arc::make_mut(&mut memory.outputs).insert(is.clone(), output);
            }
            memory.done.iter_mut().filter(|done| *done == was).for_each(|done| done.clone_from(is));
        }
    }
}

/// Where a wait goes on in its new version: at its end, which makes up for pauses. What a failed attempt had added
/// stays added, and what a pause had added to a wait of which no more is known.
fn moved_wait(row: &Row, step: &StepDefinition, was: &Waiting, anew: &Anew) -> Stance {
    let is = &anew.waiting;
    let signal = match is {
        Waiting::Signal { signal, .. } => Some(signal.clone()),
        Waiting::Timer { .. } => None,
    };
    if row.attempt == 0 && step.step.delay().is_some() {
        let left = until(is).zip(row.waited.paused_at).map(|(end, paused_at)| end - paused_at);
        let remaining = left.and_then(|left| left.num_microseconds());
        return Stance::Wait { next_at: until(is), remaining, signal, local: anew.local };
    }
    let (end, shift) = (until(is), shift(was, is));
    let next_at = match (row.next_at, shift) {
        (Some(at), Some(shift)) => Some(at + shift),
        (_, _) => end,
    };
    let remaining = match (row.remaining, shift, end) {
        (Some(left), Some(shift), _) => shift.num_microseconds().map(|shift| left + shift),
        (None, None, Some(end)) => (end - row.changed_at).num_microseconds(),
        (_, _, _) => None,
    };
    let local = anew.local.filter(|_| next_at == end);
    Stance::Wait { next_at, remaining, signal, local }
}
