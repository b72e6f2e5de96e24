//! One run's turn: why it is looked at, what its step would do, and where that leaves it.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use serde_json::{Map, Value, json};

use super::line::Entry;
use super::{Act, Person};
use crate::context::{Context, Parts};
use crate::decision::{
    self, Delivered, Detail, Input, Look, Memory, Next, Position, Situation, Transition, Waiting,
    heard,
};
use crate::definition::Definition;
use crate::step::{CHILD_ENDED, Effect, LoadSubject, Outcome, StepError, Verdict, Wake};
use crate::{id, limit};

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Its step is to be worked at now.
    Ready,
    /// It takes its turn under limits.
    Lined,
    /// It waits for an instant or a signal.
    Resting,
    /// It is held, or has ended.
    Nowhere,
}

/// A run in the middle of a rehearsal.
pub(super) struct Run {
    pub(super) place: Place,
    pub(super) step: usize,
    pub(super) iteration: i32,
    /// How many attempts of its step are used.
    attempt: i16,
    /// Before when it may not go on, unless what it waits for comes.
    pub(super) next_at: Option<DateTime<Utc>>,
    pub(super) memory: Memory,
    pub(super) inbox: Vec<Delivered>,
    /// How many signals it has ever heard.
    pub(super) heard: u32,
    observed: Option<Arc<Value>>,
    /// How it rests for good, and why.
    rest: Option<&'static str>,
    pub(super) reason: Option<String>,
    /// How often it was looked at: what was planned before is void.
    pub(super) turn: u32,
    /// The line in which it stands.
    pub(super) line: Option<u32>,
}

impl Run {
    pub(super) fn new(starts_at: DateTime<Utc>) -> Self {
        Self {
            place: Place::Resting,
            step: 0,
            iteration: 0,
            attempt: 0,
            next_at: Some(starts_at),
            memory: Memory::default(),
            inbox: Vec::new(),
            heard: 0,
            observed: None,
            rest: None,
            reason: None,
            turn: 0,
            line: None,
        }
    }

    pub(super) fn state(&self) -> &'static str {
        self.rest.unwrap_or("live")
    }

    pub(super) fn ended(&self) -> bool {
        self.rest.is_some_and(|rest| rest != "held")
    }

    /// Notes what came to be known of a step.
    pub(super) fn observe(&mut self, step: &str, fields: Map<String, Value>) {
        let observed = Arc::make_mut(self.observed.get_or_insert_with(|| Arc::new(json!({}))));
        if let Some(all) = observed.as_object_mut()
            && let Value::Object(known) = all.entry(step).or_insert_with(|| json!({}))
        {
            known.extend(fields);
        }
    }

    /// Ends a held run by the signal that came last.
    pub(super) fn end_at_rest(&mut self, person: usize, at: DateTime<Utc>) -> Act {
        let name = self.inbox.pop().map(|signal| signal.name);
        (self.rest, self.reason) = (Some("exited"), name);
        self.end_row(person, at, "run.exited")
    }

    fn end_row(&self, person: usize, at: DateTime<Utc>, kind: &'static str) -> Act {
        let (step, iteration) = (self.step, self.iteration);
        let detail = Some(Detail { reason: self.reason.clone(), ..Detail::default() });
        Act { at, person, step, iteration, kind, detail }
    }

    fn rests(&mut self, state: &'static str, reason: String) {
        (self.place, self.next_at) = (Place::Nowhere, None);
        (self.rest, self.reason) = (Some(state), Some(reason));
        self.inbox.retain(|_| state == "held");
    }
}

/// What all runs of a rehearsal share.
pub(super) struct Stage {
    pub(super) definition: Arc<Definition>,
    nobody: LoadSubject,
}

impl Stage {
    pub(super) fn new(definition: Arc<Definition>) -> Self {
        Self { definition, nobody: Arc::new(|_, _| async { Ok(None) }.boxed()) }
    }

    /// Works at the run's step once; gives the rows that it writes: its step's, and its end's.
    pub(super) fn turn(
        &self,
        person: &Person,
        run: &mut Run,
        index: usize,
        now: DateTime<Utc>,
        granted: bool,
    ) -> [Option<Act>; 2] {
        let (input, consumed) = self.work(person, run, now, granted);
        let (step, iteration) = (run.step, run.iteration);
        let limited = input == Input::Limited;
        let mut transition = decision::advance(self.situation(person, run, now), input);
        let detail = transition.detail.take();
        let row = transition.kind.map(|kind| Act {
            at: now,
            person: index,
            step,
            iteration,
            kind,
            detail,
        });
        let end = self.settle(run, transition, consumed, limited);
        [row, end.map(|kind| run.end_row(index, now, kind))]
    }

    /// In which lines the run stands for its step.
    pub(super) fn line_up<'r>(
        &'r self,
        person: &'r Person,
        run: &Run,
        now: DateTime<Utc>,
    ) -> Entry<'r> {
        let step = &self.definition.steps[run.step];
        Entry {
            keys: limit::keys(step, &person.limit_keys),
            share: limit::share(&self.definition.name, person.subject_id, &step.id, run.iteration),
            closes_at: decision::closing(self.situation(person, run, now), run.step),
        }
    }

    fn situation<'r>(
        &'r self,
        person: &'r Person,
        run: &'r Run,
        now: DateTime<Utc>,
    ) -> Situation<'r> {
        let position =
            Position { step: run.step, iteration: run.iteration, attempt: run.attempt + 1 };
        Situation {
            definition: &self.definition,
            position,
            memory: &run.memory,
            now,
            zone: &person.zone,
            subject_id: person.subject_id,
        }
    }

    fn work(
        &self,
        person: &Person,
        run: &Run,
        now: DateTime<Utc>,
        granted: bool,
    ) -> (Input, Option<uuid::Uuid>) {
        let situation = self.situation(person, run, now);
        match decision::look(situation, &run.inbox, run.next_at) {
            Look::Heard(signal) => {
                (self.rehearse(person, run, now, Some(signal.wake())), Some(signal.id))
            }
            Look::Ending(signal) => {
                (Input::ExitSignal { name: signal.name.clone(), unknown: false }, Some(signal.id))
            }
            Look::Due => (self.rehearse(person, run, now, Some(Wake::Timer)), None),
            Look::Early => (Input::StillWaiting { not_before: run.next_at }, None),
            Look::Entering => self.enter(person, run, now, granted),
        }
    }

    fn enter(
        &self,
        person: &Person,
        run: &Run,
        now: DateTime<Utc>,
        granted: bool,
    ) -> (Input, Option<uuid::Uuid>) {
        let step = &self.definition.steps[run.step];
        if let Some(when) = &step.when {
            let failed = |reason| StepError::Fail { reason: format!("`when`: {reason}") };
            let variables = self.context(person, run, now, None).variables().now_or_never();
            let holds = match variables {
                Some(Ok(variables)) => when.evaluate(&variables).map_err(failed),
                Some(Err(error)) => Err(error),
                None => Err(failed("its subject is not at hand".into())),
            };
            match holds {
                Ok(true) => {}
                Ok(false) => return (Input::Skipped, None),
                Err(error) => return (Input::Failed(error), None),
            }
        }
        if let Some(until) = decision::opening(self.situation(person, run, now), run.step) {
            return (Input::Closed { until }, None);
        }
        if !granted && !step.limits.is_empty() {
            return (Input::Limited, None);
        }
        let input = self.rehearse(person, run, now, None);
        if let Input::Outcome(Outcome { verdict: Verdict::Wait { signal, key, .. }, .. }) = &input
            && let Some(signal) = heard(&run.inbox, signal, key.as_deref())
        {
            return (self.rehearse(person, run, now, Some(signal.wake())), Some(signal.id));
        }
        (input, None)
    }

    fn rehearse(
        &self,
        person: &Person,
        run: &Run,
        now: DateTime<Utc>,
        wake: Option<Wake>,
    ) -> Input {
        let cx = self.context(person, run, now, wake);
        let step = &self.definition.steps[run.step];
        let told = step.step.rehearse(&cx).or_else(|| {
            let pure = step.effect == Effect::Pure;
            pure.then(|| step.step.run(&cx).now_or_never()).flatten()
        });
        match told {
            Some(Ok(outcome)) => Input::Outcome(outcome),
            Some(Err(error)) => Input::Failed(error),
            None => {
                let reason = format!("a step of type `{}` can't be rehearsed", step.kind);
                Input::Failed(StepError::Fail { reason })
            }
        }
    }

    fn context(
        &self,
        person: &Person,
        run: &Run,
        now: DateTime<Utc>,
        wake: Option<Wake>,
    ) -> Context {
        let parts = Parts {
            run_id: person.run_id,
            root_run_id: person.run_id,
            customer_id: uuid::Uuid::nil(),
            subject_id: person.subject_id,
            definition: Arc::clone(&self.definition),
            step: run.step,
            iteration: run.iteration,
            attempt: run.attempt + 1,
            now,
            zone: person.zone.clone(),
            outputs: Arc::clone(&run.memory.outputs),
            observed: run.observed.clone(),
            wake,
            load_subject: Arc::clone(&self.nobody),
            seen: 0,
            intents: None,
        };
        Context::with_subject(parts, Arc::clone(&person.subject))
    }

    /// Leaves the run where the transition says; gives the kind of its end's row.
    fn settle(
        &self,
        run: &mut Run,
        transition: Transition,
        consumed: Option<uuid::Uuid>,
        limited: bool,
    ) -> Option<&'static str> {
        if !transition.needs_its_signals() {
            run.inbox.retain(|signal| Some(signal.id) != consumed);
        }
        if let Some(memory) = transition.memory {
            run.memory = memory;
        }
        if let Some(child) = transition.child {
            let data = json!({ "key": id::show("run", child.run_id), "state": "completed" });
            let id = uuid::Uuid::from_u128(u128::from(run.heard));
            run.heard += 1;
            run.inbox.push(Delivered { id, name: CHILD_ENDED.into(), data });
        }
        let steps = &self.definition.steps;
        match transition.next {
            Next::Enter { step, iteration, at } => {
                (run.step, run.iteration, run.attempt, run.next_at) = (step, iteration, 0, at);
                run.place = match at {
                    Some(_) => Place::Resting,
                    None if steps[step].limits.is_empty() => Place::Ready,
                    None => Place::Lined,
                };
                None
            }
            Next::Again { at, attempt } => {
                (run.attempt, run.next_at) = (attempt, at);
                run.place = match at {
                    Some(_) => Place::Resting,
                    None if limited => Place::Lined,
                    None => Place::Ready,
                };
                None
            }
            Next::Listen { signal, until } => {
                (run.attempt, run.next_at) = (0, until);
                let key = match &run.memory.waiting {
                    Some(Waiting::Signal { key, .. }) => key.as_deref(),
                    Some(Waiting::Timer { .. }) | None => None,
                };
                let came = heard(&run.inbox, &signal, key).is_some();
                run.place = if came { Place::Ready } else { Place::Resting };
                None
            }
            Next::Hold { reason } => {
                run.rests("held", reason);
                Some("run.held")
            }
            Next::Complete => {
                run.rests("completed", "completed".into());
                Some("run.completed")
            }
            Next::Exit { reason, .. } => {
                run.rests("exited", reason);
                Some("run.exited")
            }
        }
    }
}
