//! Texts as they are filled in: prepared once, and what a contact lacks for one is found without sending it.
//!
//! To minijinja an empty field is a value like any other, and its error for a missing one names only the line. So each
//! variable that must be there passes through a filter of ours, which knows its name. And it refuses a part of something
//! missing even before `default`, so a path that may be missing is looked up by a filter of ours as well.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use engine::foresight::Sight;
use engine::step::{StepError, TemplateProblem, TextPart};
use minijinja::machinery::parse;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Object, ObjectRepr, Rest, Serde};
use minijinja::{Environment, ErrorKind, Value as Filled, context};
use serde_json::Value;

use super::mentions::{Found, Mention, Place};
use super::reading;
use super::{environment, problem, too_deep};

/// The filter of printed values, which must be neither missing nor empty. No list names it, so texts can't use it.
pub(super) const THERE: &str = "_there";
/// The filter of values that are read, which must not be missing.
pub(super) const DEFINED: &str = "_defined";
/// The filters that look a path up, any part of which may be missing: it is undefined then, or nothing.
pub(super) const PART: &str = "_part";
pub(super) const PART_OR_NONE: &str = "_part_or_none";

/// In place of a value that is not known yet.
const UNKNOWN: &str = "…";

/// What a text is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Use {
    /// Plain text that people read: an empty field would leave a hole in it.
    Prose,
    /// The same as HTML, in which values are escaped.
    Html,
    /// Data that programs read, in which an empty field is a value.
    Data,
}

impl Use {
    /// The template's name, by which the environment decides how to escape values.
    fn name(self) -> &'static str {
        match self {
            Self::Prose | Self::Data => "text",
            Self::Html => "text.html",
        }
    }

    /// What the value of a mention in this place must be.
    fn need(self, place: Place) -> Need {
        match (self, place) {
            (_, Place::Free | Place::Asked) => Need::Nothing,
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
    /// It must be neither missing nor an empty text.
    Words,
}

/// A missing variable that a text needs.
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

/// Passes a value on that is neither missing nor empty.
pub(super) fn there(value: Filled, name: &str) -> Result<Filled, minijinja::Error> {
    let empty = value.as_str().is_some_and(|text| text.trim().is_empty());
    if empty { Err(missing(name)) } else { defined(value, name) }
}

/// Passes a value on that is not missing.
pub(super) fn defined(value: Filled, name: &str) -> Result<Filled, minijinja::Error> {
    if value.is_undefined() || value.is_none() { Err(missing(name)) } else { Ok(value) }
}

/// The part of a value at the end of a path; undefined if the value lacks any part of it.
pub(super) fn part(value: &Filled, path: Rest<Filled>) -> Filled {
    path.iter().fold(value.clone(), |value, key| value.get_item(key).unwrap_or(Filled::UNDEFINED))
}

/// The same, but nothing if the value lacks a part: minijinja compares nothing with anything, and refuses to compare what
/// is undefined.
pub(super) fn part_or_none(value: &Filled, path: Rest<Filled>) -> Filled {
    let found = part(value, path);
    if found.is_undefined() { Filled::from(()) } else { found }
}

/// A text ready to be filled in any number of times.
pub(crate) struct Prepared {
    environment: Environment<'static>,
    used: Use,
    found: Found,
    /// The dotted paths of its mentions, in the same order.
    paths: Vec<String>,
    /// Why it can't be filled in at all, though an older version accepted it.
    broken: Option<String>,
}

/// The texts that are in use, so that the steps and versions that share a long one read it once. It holds none of them
/// itself: a text goes with the last definition that uses it.
#[derive(Default)]
struct Shared {
    texts: HashMap<(Use, String), Weak<Prepared>>,
    /// At how many entries those that are out of use are removed.
    full: usize,
}

static SHARED: LazyLock<Mutex<Shared>> = LazyLock::new(Mutex::default);

impl Shared {
    fn find(&self, key: &(Use, String)) -> Option<Arc<Prepared>> {
        self.texts.get(key).and_then(Weak::upgrade)
    }

    fn add(&mut self, key: (Use, String), prepared: &Arc<Prepared>) {
        if self.texts.len() >= self.full {
            self.texts.retain(|_, text| text.strong_count() > 0);
            self.full = (2 * self.texts.len()).max(64);
        }
        self.texts.insert(key, Arc::downgrade(prepared));
    }
}

impl Prepared {
    /// Reads a text that steps keep, once for all that use it now.
    pub(crate) fn shared(text: &str, used: Use) -> Arc<Self> {
        let shared = || SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (used, text.to_owned());
        if let Some(found) = shared().find(&key) {
            return found;
        }
        // Reading takes its time, so nobody waits for it. Two that read the same at once both keep theirs.
        let prepared = Arc::new(Self::new(text, used));
        shared().add(key, &prepared);
        prepared
    }

    /// Reads a text.
    pub(super) fn new(text: &str, used: Use) -> Self {
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
        // A text that can't take the names is filled in as it is.
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
    /// `Fail` for a variable that is missing or can't be used in this way.
    pub(crate) fn render(&self, what: &str, variables: &Value) -> Result<String, StepError> {
        let fail = |reason: String| StepError::Fail { reason };
        if let Some(broken) = &self.broken {
            return Err(fail(format!("{what} can't be filled in, {broken}")));
        }
        self.fill(Filled::from(Serde(variables))).map_err(|error| {
            fail(match self.missing(&error, variables) {
                Some(Lacking::Value(name)) => needs(what, &name),
                Some(Lacking::Whole(name)) => needs_whole(what, &name),
                None => format!("{what} can't be filled in, {}", at_line(&error)),
            })
        })
    }

    /// The first variable that a run would lack for the text, if it surely would.
    pub(crate) fn lacks(&self, sight: &Sight<'_>) -> Option<String> {
        if self.broken.is_some() || !sight.may_look(self.found.mentions.len()) {
            return None;
        }
        let mut tried: Option<Option<String>> = None;
        self.found.mentions.iter().zip(&self.paths).find_map(|(mention, path)| {
            let name = self.gap(mention, path, sight)?;
            if mention.guard.is_none() && !mention.with_fallback && mention.local.is_none() {
                return Some(name);
            }
            // A variable that the text sets may depend on any other.
            let unknown = |path: &String| sight.is_unknown(path);
            if self.found.sets && self.paths.iter().any(unknown)
                || self.is_guarded_by_unknown(mention, sight)
            {
                return None;
            }
            // All that decides is known, so filling the text in shows whether the variable is needed.
            let tried = tried
                .get_or_insert_with(|| if sight.may_try() { self.try_out(sight) } else { None });
            // A variable that is set twice may hold another field's value where it is printed.
            match &mention.local {
                Some(local) => (tried.as_deref() == Some(local)).then_some(name),
                None => (tried.as_deref() == Some(&name)).then_some(name),
            }
        })
    }

    fn fill(&self, variables: Filled) -> Result<String, minijinja::Error> {
        self.environment.get_template(self.used.name())?.render(variables)
    }

    /// The missing variable that an error is about, if any.
    fn missing(&self, error: &minijinja::Error, variables: &Value) -> Option<Lacking> {
        let source = std::error::Error::source(error);
        if let Some(Missing(name)) = source.and_then(|source| source.downcast_ref()) {
            return Some(Lacking::Value(name.clone()));
        }
        // A part of something missing is looked up before any filter.
        let undefined = error.kind() == ErrorKind::UndefinedError;
        let lacking = |mention: &Mention| lacking_part(mention, variables);
        undefined.then(|| self.found.mentions.iter().find_map(lacking)).flatten()
    }

    /// What is missing for a mention, in the fields that are known.
    fn gap(&self, mention: &Mention, path: &str, sight: &Sight<'_>) -> Option<String> {
        if sight.is_unknown(path) || sight.variables.get(&mention.root).is_none() {
            return None;
        }
        if let Some(lacking) = lacking_part(mention, sight.variables) {
            return Some(lacking.name());
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

    /// Fills the text in with the known values; returns the missing variable, if any.
    fn try_out(&self, sight: &Sight<'_>) -> Option<String> {
        // What can't work would fail for another reason, and `loop.cycle()` would panic.
        if !self.found.problems.is_empty() {
            return None;
        }
        let (root, subject) = sight.variables.as_object()?.iter().next()?;
        let mut subject = subject.clone();
        blot(&mut subject, root, sight);
        let steps = Filled::from_object(Unknown);
        let known =
            context! { steps, ..Filled::from(Serde(serde_json::json!({ root: &subject }))) };
        let error = self.fill(known).err()?;
        let lacking = self.missing(&error, &serde_json::json!({ root: subject }));
        lacking.map(Lacking::name)
    }
}

/// What a text lacks.
enum Lacking {
    /// The value of this path.
    Value(String),
    /// The value of this path, of which the text takes a part with a fallback behind it: that comes too late.
    Whole(String),
}

impl Lacking {
    fn name(self) -> String {
        match self {
            Self::Value(name) | Self::Whole(name) => name,
        }
    }
}

/// Replaces each unknown value.
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

/// The outputs of steps, and any part of them: all unknown.
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

/// The text with each variable passed through a filter: one that knows its name if it must be there, one that looks it up
/// if any part of it may be missing.
fn with_names(text: &str, used: Use, mentions: &[Mention]) -> String {
    let mut sorted: Vec<&Mention> = mentions.iter().collect();
    // A path in the brackets of another, or in its fallback, comes after the one that it is inside of.
    sorted.sort_by_key(|mention| (mention.span.start, usize::MAX - mention.span.end));
    let (mut opens, mut closes) = (Vec::new(), Vec::new());
    for mention in sorted {
        let filter = match used.need(mention.place) {
            Need::Words => THERE,
            Need::Something => DEFINED,
            Need::Nothing => {
                if mention.is_optional() {
                    opens.push((mention.span.clone(), looked_up(mention)));
                }
                continue;
            }
        };
        let (start, end) = (mention.span.start, mention.span.end);
        let name = Value::from(mention.local.clone().unwrap_or_else(|| mention.shown()));
        opens.push((start..start, "(".to_owned()));
        closes.push((end..end, format!("|{filter}({name}))")));
    }
    // Of those that end together the inner one ends first.
    let mut edits: Vec<(Range<usize>, String)> = closes.into_iter().rev().chain(opens).collect();
    edits.sort_by_key(|(at, _)| at.start);
    let (mut named, mut end) = (String::with_capacity(text.len() * 2), 0);
    for (at, written) in edits {
        let Some(before) = text.get(end..at.start) else { continue };
        named.push_str(before);
        named.push_str(&written);
        end = at.end;
    }
    named.push_str(text.get(end..).unwrap_or_default());
    named
}

/// A path as a lookup that finds nothing if any part of it is missing.
fn looked_up(mention: &Mention) -> String {
    let keys: Vec<String> = mention
        .parts
        .iter()
        .map(|part| match part {
            TextPart::Key(key) => Value::from(key.as_str()).to_string(),
            TextPart::Index(index) => index.to_string(),
            TextPart::Computed => "none".into(),
        })
        .collect();
    let filter = if mention.place == Place::Asked { PART } else { PART_OR_NONE };
    format!("({}|{filter}({}))", mention.root, keys.join(","))
}

/// What is missing before the last part of a path, if that is an error.
fn lacking_part(mention: &Mention, variables: &Value) -> Option<Lacking> {
    // With its fallback it is a mention of its own.
    if mention.is_optional() || mention.with_fallback {
        return None;
    }
    let lacks = |length: &usize| value(mention, &mention.parts[..*length], variables).is_none();
    let length = (1..mention.parts.len()).find(lacks)?;
    Some(match mention.place {
        Place::Printed | Place::Read => Lacking::Value(mention.shown()),
        Place::Free | Place::Asked => Lacking::Whole(mention.shown_to(length)),
    })
}

fn value<'v>(mention: &Mention, parts: &[TextPart], variables: &'v Value) -> Option<&'v Value> {
    parts.iter().try_fold(variables.get(&mention.root)?, |value, part| match part {
        TextPart::Key(key) => value.get(key),
        TextPart::Index(index) => match (value.as_array(), usize::try_from(*index)) {
            (Some(list), Ok(index)) => list.get(index),
            // Of a text, or counted from the end.
            (Some(_), Err(_)) | (None, _) => Some(value),
        },
        TextPart::Computed => Some(value),
    })
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty())
}

/// The reason for a missing variable, and what to do about it.
fn needs(what: &str, name: &str) -> String {
    let (root, first) = root_of(name);
    if root == "steps" {
        return format!(
            "{what} needs `{name}`, which step `{first}` did not give; write `| default(…)` after it"
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

/// The same for a variable of which the text takes a part that has a fallback already.
fn needs_whole(what: &str, name: &str) -> String {
    let (root, first) = root_of(name);
    let why = match root {
        "steps" => format!("which step `{first}` did not give"),
        root => format!("which this {root} lacks"),
    };
    format!(
        "{what} needs `{name}`, {why}, and a fallback for a part of it comes too late; write the part between \
         `{{% if {name} %}}` and `{{% endif %}}`"
    )
}

/// The root of a path, and its first part.
fn root_of(name: &str) -> (&str, &str) {
    let mut words = name.split(['.', '[']);
    let (root, first) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    (root, first.trim_matches(['\'', ']']))
}

fn at_line(error: &minijinja::Error) -> String {
    format!("line {}: {}", error.line().unwrap_or(1), problem(error))
}
