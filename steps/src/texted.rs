//! A step with texts among its own keys: says which, and what a contact lacks for them.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use engine::context::Context;
use engine::definition::Template;
use engine::foresight::{Lack, Sight};
use engine::step::{Outcome, Reconciled, Reference, Step, StepError, StepText, Verdict};
use engine::timing::Delay;
use futures_util::future::BoxFuture;
use serde_json::Value;

use crate::template::{Prepared, Use};

/// A step, and how its texts are found.
pub(crate) struct Texted<T> {
    step: T,
    texts: fn(&T) -> Vec<(&'static str, &str)>,
    used: Use,
    /// The same texts, each read once.
    prepared: OnceLock<Vec<(&'static str, Arc<Prepared>)>>,
}

impl<T> Texted<T> {
    /// A step whose texts are these, and for what.
    pub(crate) fn new(step: T, texts: fn(&T) -> Vec<(&'static str, &str)>, used: Use) -> Self {
        Self { step, texts, used, prepared: OnceLock::new() }
    }

    fn prepared(&self) -> &[(&'static str, Arc<Prepared>)] {
        self.prepared.get_or_init(|| {
            let texts = (self.texts)(&self.step).into_iter();
            texts.map(|(key, text)| (key, Prepared::shared(text, self.used))).collect()
        })
    }
}

impl<T: Step> Step for Texted<T> {
    fn run<'a>(&'a self, cx: &'a Context) -> BoxFuture<'a, Result<Outcome, StepError>> {
        self.step.run(cx)
    }

    fn rehearse(&self, cx: &Context) -> Option<Result<Outcome, StepError>> {
        self.step.rehearse(cx)
    }

    fn reconcile<'a>(
        &'a self,
        cx: &'a Context,
        intent: &'a Value,
    ) -> BoxFuture<'a, Result<Reconciled, StepError>> {
        self.step.reconcile(cx, intent)
    }

    fn references(&self) -> Vec<Reference> {
        self.step.references()
    }

    fn texts(&self) -> Vec<StepText<'_>> {
        let texts = (self.texts)(&self.step).into_iter();
        texts.map(|(key, source)| StepText { key, source }).collect()
    }

    fn changes(&self) -> Vec<String> {
        self.step.changes()
    }

    fn way(&self, sight: &Sight<'_>) -> Option<Verdict> {
        self.step.way(sight)
    }

    fn lacks(&self, sight: &Sight<'_>) -> Vec<Lack> {
        let step = &sight.definition.steps[sight.step].id;
        let lack = |(key, text): &(&'static str, Arc<Prepared>)| {
            let (step, text, name) = (step.clone(), format!("`{key}`"), text.lacks(sight)?);
            Some(Lack { step, text, name })
        };
        self.prepared().iter().filter_map(lack).collect()
    }

    fn waits(&self) -> bool {
        self.step.waits()
    }

    fn delay(&self) -> Option<&Delay> {
        self.step.delay()
    }

    fn variables(&self) -> &'static [&'static str] {
        self.step.variables()
    }

    fn check(&self, templates: &BTreeMap<String, Template>) -> Result<(), String> {
        self.step.check(templates)
    }

    fn diverts(&self) -> bool {
        self.step.diverts()
    }

    fn starts_runs(&self) -> bool {
        self.step.starts_runs()
    }
}
