//! Names in texts: whether each variable, filter, test and function exists, and whether each value is of a kind that its
//! filter or operator takes.
//!
//! The registry reads a text; its names are resolved by the scope that conditions have. Only new documents are checked: a
//! version that was stored before keeps its meaning.

use std::collections::HashSet;

use super::own_names::OwnNames;
use super::path::{Part, Path};
use super::refusals::{Findings, Problem};
use super::suggest;
use super::tree::{Node, Span};
use super::type_check::{Scope, Type};
use super::type_names::{Explanation, Wrong};
use crate::step::{ReadText, TextKind, TextName, TextPart, TextProblem, TextRole, TextUse};
use crate::work;

/// Filters that people write as methods, as in other languages.
const METHODS: [&str; 7] = ["upper", "lower", "title", "trim", "capitalize", "replace", "length"];

/// What texts may name.
pub(super) struct Texts<'a> {
    pub(super) scope: &'a Scope<'a>,
    pub(super) read: ReadText,
    /// The customer's own fields, if they are known.
    pub(super) own: Option<&'a OwnNames<'a>>,
}

/// A text to check.
pub(super) struct Text<'a> {
    pub(super) source: &'a str,
    /// The variables that it may read beside the subject and `steps`.
    pub(super) more: &'a [&'static str],
    /// The place that problems get if the text itself is not found.
    pub(super) head: &'a Span,
}

/// What is wrong with a name.
enum Fault {
    /// It names nothing.
    Nothing(Path, Wrong),
    /// It selects a part of something without parts: of this type.
    NoParts(Path, Type),
    /// The customer has no such field of its own.
    NotOwn(String),
    /// Its value is of this kind, and goes where others are taken.
    Kind(Path, &'static str, TextUse),
}

impl Fault {
    /// The name that is unknown, up to its first unknown part.
    fn unknown(&self) -> Option<String> {
        match self {
            Self::Nothing(path, wrong) => {
                let parts = match wrong {
                    Wrong::Root => 0,
                    Wrong::Field => 1,
                    Wrong::Output => 2,
                    Wrong::SubjectAlone
                    | Wrong::Parts(..)
                    | Wrong::StepsAlone
                    | Wrong::Step
                    | Wrong::StepAlone => return None,
                };
                let parts = path.parts.iter().take(parts).cloned().collect();
                Some(shown(&Path { root: path.root.clone(), parts }))
            }
            Self::NotOwn(key) => Some(format!("own {key}")),
            Self::NoParts(..) | Self::Kind(..) => None,
        }
    }
}

impl Texts<'_> {
    /// Notes what is wrong in a text; gives whether it is empty whatever its variables hold. Finding its node takes work,
    /// so it is done only for a text that is wrong.
    pub(super) fn check<'n>(
        &self,
        text: &Text<'_>,
        node: impl FnOnce() -> Option<&'n Node>,
        found: &mut Findings<'_>,
    ) -> bool {
        let reading = (self.read)(text.source);
        let mut wrong: Vec<(&TextName, Fault)> = reading
            .names
            .iter()
            .filter_map(|name| Some((name, self.fault(name, text.more)?)))
            .collect();
        let asked = self.asked(&wrong, text.more);
        if !asked.is_empty() {
            wrong.retain(|(_, fault)| fault.unknown().is_none_or(|name| !asked.contains(&name)));
        }
        if reading.problems.is_empty() && wrong.is_empty() {
            return reading.blank;
        }
        let node = if found.is_full() { None } else { node() };
        let mut note = |span: &Span, problem: &dyn Fn() -> (String, String)| {
            let at = match node {
                Some(node) => found.within(node, text.source, span),
                None => text.head.clone(),
            };
            found.note(|| {
                let (message, help) = problem();
                Problem::at(at, message).help(help)
            });
        };
        for problem in &reading.problems {
            note(&problem.span, &|| unknown(problem));
        }
        for (name, fault) in &wrong {
            note(&name.span, &|| self.explain(name, fault, text.more));
        }
        reading.blank
    }

    /// The unknown names that a text may use: those for which it asks whether they are there, as in
    /// `contact.nickname is defined`, unless they are misspelled.
    fn asked(&self, wrong: &[(&TextName, Fault)], more: &[&str]) -> HashSet<String> {
        let asked = wrong.iter().filter(|(name, _)| name.role == TextRole::Asked);
        let asked = asked.filter(|(name, fault)| !self.is_misspelled(name, fault, more));
        asked.filter_map(|(_, fault)| fault.unknown()).collect()
    }

    fn is_misspelled(&self, name: &TextName, fault: &Fault, more: &[&str]) -> bool {
        match fault {
            Fault::Nothing(path, wrong) => {
                let is_root = matches!(wrong, Wrong::Root);
                // A part of something missing can't be asked for.
                is_root && !name.parts.is_empty()
                    || self.scope.explain(path, wrong).meant.is_some()
                    || is_root && self.root_near(&name.root, more).is_some()
            }
            Fault::NotOwn(key) => self.own.is_some_and(|own| own.is_misspelled(key)),
            Fault::NoParts(..) | Fault::Kind(..) => false,
        }
    }

    fn fault(&self, name: &TextName, more: &[&str]) -> Option<Fault> {
        work::count(1);
        if more.contains(&name.root.as_str()) {
            return None;
        }
        let path = path(name);
        let next = name.parts.get(path.parts.len());
        let cut = next.is_some();
        match self.scope.resolve(&path) {
            Ok(kind @ (Type::Number | Type::Bool | Type::Date | Type::Null)) if cut => {
                Some(Fault::NoParts(path, kind))
            }
            Ok(kind) => match self.own.and_then(|own| own.unknown(&path)) {
                Some(key) => Some(Fault::NotOwn(key)),
                None if cut => None,
                None => self.not_taken(name, &path, kind),
            },
            // A filter or a loop takes a whole as well as any value.
            Err(Wrong::SubjectAlone | Wrong::StepsAlone | Wrong::StepAlone)
                if next == Some(&TextPart::Computed)
                    || (!cut && name.role != TextRole::Printed) =>
            {
                None
            }
            Err(wrong) => Some(Fault::Nothing(path, wrong)),
        }
    }

    /// That what takes the value of a path takes other kinds only.
    fn not_taken(&self, name: &TextName, path: &Path, kind: Type) -> Option<Fault> {
        let used = name.used.as_ref()?;
        let is_subject = self.scope.subject.is_some_and(|(subject, _)| path.root == subject);
        let (kind, words) = match kind {
            Type::Text | Type::Date => (TextKind::Text, kind.name()),
            Type::Number => (TextKind::Number, kind.name()),
            Type::Bool => (TextKind::Bool, kind.name()),
            Type::List => (TextKind::List, kind.name()),
            // The customer's own fields.
            Type::Any if is_subject && path.parts.len() == 1 => {
                (TextKind::Table, TextKind::Table.name())
            }
            Type::Null | Type::Any => return None,
        };
        (!used.takes.contains(&kind)).then(|| Fault::Kind(path.clone(), words, used.clone()))
    }

    /// What is wrong with a name, and what to write instead.
    fn explain(&self, name: &TextName, fault: &Fault, more: &[&str]) -> (String, String) {
        match fault {
            Fault::Nothing(path, wrong) => {
                let Explanation { message, help, meant } = self.scope.explain(path, wrong);
                let meant = meant.or_else(|| match wrong {
                    Wrong::Root => self.root_near(&name.root, more),
                    Wrong::SubjectAlone
                    | Wrong::Field
                    | Wrong::Parts(..)
                    | Wrong::StepsAlone
                    | Wrong::Step
                    | Wrong::StepAlone
                    | Wrong::Output => None,
                });
                let help = match (meant, wrong) {
                    (Some(meant), _) => format!("did you mean `{meant}`?"),
                    (None, Wrong::Parts(_, value)) => as_filter(path, value).unwrap_or(help),
                    (
                        None,
                        Wrong::Root
                        | Wrong::SubjectAlone
                        | Wrong::Field
                        | Wrong::StepsAlone
                        | Wrong::Step
                        | Wrong::StepAlone
                        | Wrong::Output,
                    ) => help,
                };
                (message, help)
            }
            Fault::NoParts(path, kind) => {
                let value = shown(path);
                let message = format!("`{value}` is {}, without parts", kind.name());
                (message, format!("write `{value}`"))
            }
            Fault::NotOwn(key) => self.own.map(|own| own.explain(key)).unwrap_or_default(),
            Fault::Kind(path, kind, used) => used.refusal(&format!("`{}`", shown(path)), kind),
        }
    }

    /// A variable near an unknown name, else a field of the subject.
    fn root_near(&self, root: &str, more: &[&str]) -> Option<String> {
        let (subject, fields) = self.scope.subject?;
        let roots = more.iter().copied().chain([subject, "steps"]);
        if let Some(near) = suggest::nearest(root, roots) {
            return Some(near.to_owned());
        }
        let field = suggest::nearest(root, fields.iter().map(|(name, _)| *name));
        field.map(|field| format!("{subject}.{field}"))
    }
}

/// The filter that was meant by a part.
fn as_filter(path: &Path, value: &str) -> Option<String> {
    match path.parts.last() {
        Some(Part::Key(key)) if METHODS.contains(&key.as_str()) => {
            Some(format!("write `{value} | {key}`"))
        }
        Some(Part::Key(_) | Part::Index(_)) | None => None,
    }
}

/// The path of a name, up to the first part that is not a name.
fn path(name: &TextName) -> Path {
    let keys = name.parts.iter().map_while(|part| match part {
        TextPart::Key(key) => Some(Part::Key(key.clone())),
        TextPart::Index(_) | TextPart::Computed => None,
    });
    Path { root: name.root.clone(), parts: keys.collect() }
}

fn shown(path: &Path) -> String {
    path.parts.iter().fold(path.root.clone(), |shown, part| match part {
        Part::Key(key) => format!("{shown}.{key}"),
        Part::Index(index) => format!("{shown}[{index}]"),
    })
}

fn unknown(problem: &TextProblem) -> (String, String) {
    let near = problem.unknown.as_ref().and_then(|(name, known)| {
        suggest::nearest(name, known.iter().copied()).map(|near| format!("did you mean `{near}`?"))
    });
    (problem.message.clone(), near.unwrap_or_else(|| problem.help.clone()))
}
