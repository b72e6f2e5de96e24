//! Names in texts: whether each variable, filter, test and function exists, and each value is used as what it is.
//!
//! The registry says how a text is read; the names are those of conditions, by the same scope. Only documents that a
//! person gives are checked so: a version that was stored before keeps its meaning.

use super::OwnFields;
use super::path::{Part, Path};
use super::refusals::{Findings, Problem};
use super::suggest;
use super::tree::{Node, Span};
use super::type_check::{Scope, Type};
use super::type_names::{Told, Wrong};
use crate::step::{ReadText, TextName, TextPart, TextProblem, TextRole};
use crate::work;

/// Filters that people write as methods, as other languages have them.
const METHODS: [&str; 7] = ["upper", "lower", "title", "trim", "capitalize", "replace", "length"];

/// What texts may name.
pub(super) struct Texts<'a> {
    pub(super) scope: &'a Scope<'a>,
    pub(super) read: ReadText,
    /// The customer's own fields, if they are known.
    pub(super) own: Option<&'a OwnFields>,
    /// Fields that steps of the document set, such as `custom.stage`.
    pub(super) set: &'a [String],
}

/// A text to check.
pub(super) struct Text<'a> {
    pub(super) source: &'a str,
    /// The variables that it may read beside the subject and `steps`.
    pub(super) more: &'a [&'static str],
    /// What is pointed at if the text itself is not found.
    pub(super) head: &'a Span,
}

/// What is wrong with a name.
enum Fault {
    /// It names nothing.
    Nothing(Path, Wrong),
    /// A part is taken of something without parts: of this type.
    NoParts(Path, Type),
    /// The customer keeps no such field of its own.
    NotOwn(String),
}

impl Texts<'_> {
    /// Notes what is wrong in a text. Looking for its node takes work, so it is done only for a text that is wrong.
    pub(super) fn check<'n>(
        &self,
        text: &Text<'_>,
        node: impl FnOnce() -> Option<&'n Node>,
        found: &mut Findings<'_>,
    ) {
        let reading = (self.read)(text.source);
        let wrong: Vec<(&TextName, Fault)> = reading
            .names
            .iter()
            .filter_map(|name| Some((name, self.fault(name, text.more)?)))
            .collect();
        if reading.problems.is_empty() && wrong.is_empty() {
            return;
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
            Ok(_) => self.not_own(&path).map(Fault::NotOwn),
            // Handed to a filter or walked over, a whole is as good as any value.
            Err(Wrong::SubjectAlone | Wrong::StepsAlone | Wrong::StepAlone)
                if next == Some(&TextPart::Computed) || (!cut && name.role == TextRole::Read) =>
            {
                None
            }
            Err(wrong) => Some(Fault::Nothing(path, wrong)),
        }
    }

    /// The key below the customer's own fields that a path names and that there is not.
    fn not_own(&self, path: &Path) -> Option<String> {
        let (own, (subject, _)) = (self.own?, self.scope.subject?);
        let [Part::Key(field), Part::Key(key), ..] = path.parts.as_slice() else { return None };
        let known = || {
            own.keys.iter().any(|known| known == key)
                || self.set.iter().any(|set| *set == format!("{field}.{key}"))
        };
        (path.root == subject && field == own.field && !known()).then(|| key.clone())
    }

    /// What is wrong with a name, and what to write in its place.
    fn explain(&self, name: &TextName, fault: &Fault, more: &[&str]) -> (String, String) {
        match fault {
            Fault::Nothing(path, wrong) => {
                let Told { message, help, meant } = self.scope.explain(path, wrong);
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
            Fault::NotOwn(key) => {
                let field = self.own.map_or("", |own| own.field);
                let keys =
                    || self.own.into_iter().flat_map(|own| own.keys.iter().map(String::as_str));
                let help = match suggest::nearest(key, keys()) {
                    Some(near) => format!("did you mean `{}.{field}.{near}`?", name.root),
                    None => suggest::help(key, keys()),
                };
                (format!("a {} has no field `{field}.{key}`", name.root), help)
            }
        }
    }

    /// A variable near a name that is nothing, else a field of the subject.
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

/// The filter that a part is meant to be.
fn as_filter(path: &Path, value: &str) -> Option<String> {
    match path.parts.last() {
        Some(Part::Key(key)) if METHODS.contains(&key.as_str()) => {
            Some(format!("write `{value} | {key}`"))
        }
        Some(Part::Key(_) | Part::Index(_)) | None => None,
    }
}

/// The path of a name, up to the first part that is no name.
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
