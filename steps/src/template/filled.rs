//! Texts as they are filled in: prepared once, and what a contact lacks for one is found without sending it.
//!
//! minijinja takes an empty field for a value like any other, and says of a missing one only where it was. So each
//! variable that must be there is handed through a filter of ours, which knows its name.

use std::fmt;
use std::sync::Arc;

use engine::foresight::Sight;
use engine::step::{StepError, TemplateProblem, TextPart};
use minijinja::machinery::parse;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Object, ObjectRepr, Serde};
use minijinja::{Environment, ErrorKind, Value as Filled, context};
use serde_json::Value;

use super::reading::{self, Found, Mention, Place};
use super::{environment, problem, too_deep};

/// The filter of what is printed: neither missing nor empty. Nobody can write it, as no list names it.
pub(super) const THERE: &str = "_there";
/// The filter of what is read: not missing.
pub(super) const DEFINED: &str = "_defined";

/// Stands for a value that only time will tell.
const UNKNOWN: &str = "…";

/// What a text is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Plain text that people read: an empty field would leave a hole in it.
    Prose,
    /// The same as HTML, in which values are escaped.
    Html,
    /// Data that programs read, in which an empty field is a value.
    Data,
}

impl Use {
    /// The name under which the environment knows how to write values.
    fn name(self) -> &'static str {
        match self {
            Self::Prose | Self::Data => "text",
            Self::Html => "text.html",
        }
    }

    /// What a mention's value has to be there for.
    fn need(self, place: Place) -> Need {
        match (self, place) {
            (_, Place::Free) => Need::Nothing,
            (Self::Prose | Self::Html, Place::Printed) => Need::Words,
            (Self::Data, Place::Printed) | (_, Place::Read) => Need::Something,
        }
    }
}

/// What a value must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// It may be missing.
    Nothing,
    /// It must not be missing.
    Something,
    /// Nor be an empty text.
    Words,
}

/// A variable that a text needs and that is not there.
#[derive(Debug)]
struct Missing(String);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is missing", self.0)
    }
}

impl std::error::Error for Missing {}

fn missing(name: &str) -> minijinja::Error {
    let error = minijinja::Error::new(ErrorKind::UndefinedError, "a variable is missing");
    error.with_source(Missing(name.to_owned()))
}

/// Lets a value through that is neither missing nor empty.
pub(super) fn there(value: Filled, name: &str) -> Result<Filled, minijinja::Error> {
    let empty = value.as_str().is_some_and(|text| text.trim().is_empty());
    if empty { Err(missing(name)) } else { defined(value, name) }
}

/// Lets a value through that is not missing.
pub(super) fn defined(value: Filled, name: &str) -> Result<Filled, minijinja::Error> {
    if value.is_undefined() || value.is_none() { Err(missing(name)) } else { Ok(value) }
}

/// A text ready to be filled in any number of times.
pub(crate) struct Prepared {
    environment: Environment<'static>,
    used: Use,
    found: Found,
    /// The dotted paths of what it mentions, in the same order.
    paths: Vec<String>,
    /// Why it can't be filled in at all, as an older version may have let it through.
    broken: Option<String>,
}

impl Prepared {
    /// Reads a text.
    pub(crate) fn new(text: &str, used: Use) -> Self {
        let mut prepared = Self {
            environment: environment(),
            used,
            found: Found::default(),
            paths: Vec::new(),
            broken: None,
        };
        if let Err(TemplateProblem { line, message }) = too_deep(text) {
            prepared.broken = Some(format!("line {line}: {message}"));
            return prepared;
        }
        if let Ok(tree) = parse(text, "text", SyntaxConfig::default()) {
            prepared.found = reading::of(&tree);
            prepared.paths = prepared.found.mentions.iter().map(Mention::dotted).collect();
        }
        let named = with_names(text, used, &prepared.found.mentions);
        let add = |environment: &mut Environment<'static>, text: String| {
            environment.add_template_owned(used.name(), text)
        };
        // One that has no room for the names is filled in as it is.
        let added = add(&mut prepared.environment, named)
            .or_else(|_| add(&mut prepared.environment, text.to_owned()));
        if let Err(error) = added {
            prepared.broken = Some(at_line(&error));
        }
        prepared
    }

    /// Fills the text in; `what` names it in errors.
    ///
    /// # Errors
    /// `Fail` for a variable that is not there, or that can't be used so.
    pub(crate) fn render(&self, what: &str, variables: &Value) -> Result<String, StepError> {
        let fail = |reason: String| StepError::Fail { reason };
        if let Some(broken) = &self.broken {
            return Err(fail(format!("{what} can't be filled in, {broken}")));
        }
        self.fill(Filled::from(Serde(variables))).map_err(|error| {
            fail(match self.missing(&error, variables) {
                Some(name) => needs(what, &name),
                None => format!("{what} can't be filled in, {}", at_line(&error)),
            })
        })
    }

    /// The first variable that a run would lack for the text, if it surely would.
    pub(crate) fn lacks(&self, sight: &Sight<'_>) -> Option<String> {
        if self.broken.is_some() {
            return None;
        }
        let mut tried: Option<Option<String>> = None;
        self.found.mentions.iter().zip(&self.paths).find_map(|(mention, path)| {
            let name = self.gap(mention, path, sight)?;
            if mention.guard.is_none() && !mention.with_fallback && mention.local.is_none() {
                return Some(name);
            }
            // What the text sets may hang on anything that it mentions.
            let unknown = |path: &String| sight.is_unknown(path);
            if self.found.sets && self.paths.iter().any(unknown)
                || self.is_guarded_by_unknown(mention, sight)
            {
                return None;
            }
            // What decides is known, so the text itself says whether it comes to that.
            let tried = tried
                .get_or_insert_with(|| if sight.may_try() { self.try_out(sight) } else { None });
            // A variable that is set twice may be another field's where it is printed.
            match &mention.local {
                Some(local) => (tried.as_deref() == Some(local)).then_some(name),
                None => (tried.as_deref() == Some(&name)).then_some(name),
            }
        })
    }

    fn fill(&self, variables: Filled) -> Result<String, minijinja::Error> {
        self.environment.get_template(self.used.name())?.render(variables)
    }

    /// Which variable an error is about, if it is about a missing one.
    fn missing(&self, error: &minijinja::Error, variables: &Value) -> Option<String> {
        let source = std::error::Error::source(error);
        if let Some(Missing(name)) = source.and_then(|source| source.downcast_ref()) {
            return Some(name.clone());
        }
        // A part of something missing is looked up before any filter.
        let cut = |mention: &&Mention| lacks_a_part(mention, variables);
        let undefined = error.kind() == ErrorKind::UndefinedError;
        let found = undefined.then(|| self.found.mentions.iter().find(cut)).flatten();
        found.map(Mention::shown)
    }

    /// What is missing for a mention, in the fields that are known.
    fn gap(&self, mention: &Mention, path: &str, sight: &Sight<'_>) -> Option<String> {
        if sight.is_unknown(path) || sight.variables.get(&mention.root).is_none() {
            return None;
        }
        if lacks_a_part(mention, sight.variables) {
            return Some(mention.shown());
        }
        let found = value(mention, &mention.parts, sight.variables);
        let empty = match self.used.need(mention.place) {
            Need::Words => found.is_none_or(is_empty),
            Need::Something => found.is_none_or(Value::is_null),
            Need::Nothing => false,
        };
        empty.then(|| mention.shown())
    }

    fn is_guarded_by_unknown(&self, mention: &Mention, sight: &Sight<'_>) -> bool {
        let mut guard = mention.guard;
        while let Some(of) = guard.and_then(|index| self.found.guards.get(index)) {
            let asked = self.paths.get(of.asks.clone()).unwrap_or_default();
            if asked.iter().any(|asked| sight.is_unknown(asked)) {
                return true;
            }
            guard = of.outer;
        }
        false
    }

    /// Fills the text in with what is known; gives the variable that is missing, if one is.
    fn try_out(&self, sight: &Sight<'_>) -> Option<String> {
        let (root, subject) = sight.variables.as_object()?.iter().next()?;
        let mut subject = subject.clone();
        blot(&mut subject, root, sight);
        let steps = Filled::from_object(Unknown);
        let known =
            context! { steps, ..Filled::from(Serde(serde_json::json!({ root: &subject }))) };
        let error = self.fill(known).err()?;
        self.missing(&error, &serde_json::json!({ root: subject }))
    }
}

/// Puts a stand-in where a value is unknown.
fn blot(value: &mut Value, path: &str, sight: &Sight<'_>) {
    for (key, value) in value.as_object_mut().into_iter().flatten() {
        let path = format!("{path}.{key}");
        if value.is_object() {
            blot(value, &path, sight);
        } else if sight.is_unknown(&path) {
            *value = UNKNOWN.into();
        }
    }
}

/// What steps will have given; every part of it is as unknown.
#[derive(Debug)]
struct Unknown;

impl Object for Unknown {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, _key: &Filled) -> Option<Filled> {
        Some(Filled::from_dyn_object(Arc::clone(self)))
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(UNKNOWN)
    }
}

/// The text with each variable that must be there handed through a filter that knows its name.
fn with_names(text: &str, used: Use, mentions: &[Mention]) -> String {
    let mut needed: Vec<(&Mention, &str)> = mentions
        .iter()
        .filter_map(|mention| match used.need(mention.place) {
            Need::Words => Some((mention, THERE)),
            Need::Something => Some((mention, DEFINED)),
            Need::Nothing => None,
        })
        .collect();
    needed.sort_by_key(|(mention, _)| mention.span.start);
    let (mut named, mut end) = (String::with_capacity(text.len() * 2), 0);
    for (mention, filter) in needed {
        // A path in the brackets of another is inside of it.
        let (Some(before), Some(path)) =
            (text.get(end..mention.span.start), text.get(mention.span.clone()))
        else {
            continue;
        };
        let name = Value::from(mention.local.clone().unwrap_or_else(|| mention.shown()));
        named.push_str(&format!("{before}({path}|{filter}({name}))"));
        end = mention.span.end;
    }
    named.push_str(text.get(end..).unwrap_or_default());
    named
}

/// Whether something is selected from what is not there.
fn lacks_a_part(mention: &Mention, variables: &Value) -> bool {
    (1..mention.parts.len())
        .any(|length| value(mention, &mention.parts[..length], variables).is_none())
}

fn value<'v>(mention: &Mention, parts: &[TextPart], variables: &'v Value) -> Option<&'v Value> {
    parts.iter().try_fold(variables.get(&mention.root)?, |value, part| match part {
        TextPart::Key(key) => value.get(key),
        TextPart::Index(index) => match (value.as_array(), usize::try_from(*index)) {
            (Some(list), Ok(index)) => list.get(index),
            // Of a text, or counted from the end: whatever is there.
            (Some(_), Err(_)) | (None, _) => Some(value),
        },
        TextPart::Computed => Some(value),
    })
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty())
}

/// That a variable is missing, and what to do about it.
pub(crate) fn needs(what: &str, name: &str) -> String {
    let mut words = name.split(['.', '[']);
    let (root, first) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if root == "steps" {
        let step = first.trim_matches(['\'', ']']);
        return format!(
            "{what} needs `{name}`, which step `{step}` did not give; write `| default(…)` after it"
        );
    }
    if root == name {
        return format!(
            "{what} needs `{name}`, which is empty or does not exist; write `| default(…)` after it, or apply a \
             version that names a field such as `contact.first_name`"
        );
    }
    format!(
        "{what} needs `{name}`, which this {root} lacks; fill it in or write `| default(…)` after it"
    )
}

fn at_line(error: &minijinja::Error) -> String {
    format!("line {}: {}", error.line().unwrap_or(1), problem(error))
}
