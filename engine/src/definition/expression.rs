//! Conditions: CEL that gives true or false about the subject and what earlier steps gave.
//!
//! Read once, kept ready to run, evaluated without clock, I/O or randomness. What is missing is no
//! error: a step that has not run, an output it did not give and an empty field make every comparison
//! and every call about them false (`!=` with them true), and `has(…)` tells whether they are there.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use cel::{Context, Env, IdedExpr};
use regex::RegexBuilder;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::cost;
use super::path::{self, Path};
use super::refusals::Problem;
use super::rewrite;
use super::type_check::{self, Scope};
use crate::work;

/// The longest source, in bytes.
const LENGTH: usize = 4_000;
/// How deep brackets may stand in each other; cel's parser recurses and aborts the process past its stack
/// (cel-rust issue 212).
const DEPTH: usize = 32;
/// How many operators and dots one expression may have, for the same reason.
const OPERATORS: usize = 256;

/// How large a regular expression may become, in bytes.
const PATTERN: usize = 256 * 1024;

/// The standard functions, built once.
static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// A CEL condition that was read, ready to be evaluated any number of times. Cheap to clone.
#[derive(Clone)]
pub struct Expression {
    source: Arc<str>,
    /// The tree with every path replaced by `p0`, `p1`, … and guarded against what is missing.
    tree: Arc<IdedExpr>,
    /// What `p0`, `p1`, … stand for.
    paths: Arc<[Path]>,
}

impl Expression {
    /// Reads a condition without knowing what it is about. Loading a definition checks its names and types.
    ///
    /// # Errors
    /// A syntax error, or something conditions can't do, as a fragment that says what to write.
    pub fn parse(source: &str) -> Result<Self, String> {
        let parsed = Parsed::read(source).map_err(|problem| in_one_line(&problem))?;
        let expression = Self::prepare(source, &parsed.tree);
        // What could loop never gets to be evaluated, whoever reads it.
        cost::bounded(&expression.tree, &[])?;
        Ok(expression)
    }

    /// The expression as the document has it.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The dotted paths that it reads, such as `contact.custom.seats`.
    pub fn reads(&self) -> impl Iterator<Item = String> + '_ {
        self.paths.iter().map(Path::dotted)
    }

    /// Evaluates it over `{"<subject>": {…}, "steps": {"<id>": {…}}}`.
    ///
    /// # Errors
    /// An output that is no number where one is compared by size, and the like; the text says which. Also
    /// values of more than 256 KiB, or so many comparisons of long ones that deciding would take long.
    pub fn evaluate(&self, variables: &Value) -> Result<bool, String> {
        let found: Vec<Option<&Value>> =
            self.paths.iter().map(|path| path.find(variables)).collect();
        let sizes: Vec<u64> = found.iter().map(|found| found.map_or(1, cost::size)).collect();
        cost::bounded(&self.tree, &sizes)?;
        let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
        for (index, found) in found.into_iter().enumerate() {
            context.add_variable_from_value(path::variable(index), path::convert(found));
        }
        match cel::Value::resolve(&self.tree, &context) {
            Ok(cel::Value::Bool(value)) => Ok(value),
            Ok(other) => Err(format!("the condition gave {other:?}, not true or false")),
            Err(error) => Err(format!("the condition can't be decided: {error}")),
        }
    }

    fn prepare(source: &str, tree: &IdedExpr) -> Self {
        let (tree, paths) = rewrite::condition(tree);
        Self { source: source.into(), tree: Arc::new(tree), paths: paths.into() }
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Expression {}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expression({})", self.source)
    }
}

impl<'de> Deserialize<'de> for Expression {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let source = Cow::<'de, str>::deserialize(from)?;
        Self::parse(&source).map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Expression {
    fn schema_name() -> Cow<'static, str> {
        "Condition".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "format": "cel",
            "description": "A CEL condition about the subject and `steps.<id>.<output>`.",
        })
    }
}

/// Reads a condition and checks its names and types; spans of the problems count from its first byte.
pub(super) fn check(source: &str, scope: &Scope<'_>) -> Result<Expression, Vec<Problem>> {
    let parsed = Parsed::read(source).map_err(|problem| vec![*problem])?;
    let problems = type_check::condition(&parsed, scope);
    if problems.is_empty() { Ok(Expression::prepare(source, &parsed.tree)) } else { Err(problems) }
}

/// The paths of a condition that are sought, with their places in it.
pub(super) fn paths(
    source: &str,
    scope: &Scope<'_>,
    sought: &dyn Fn(&Path) -> bool,
) -> Vec<(Path, Range<usize>)> {
    let parsed = Parsed::read(source);
    parsed.map_or_else(|_| Vec::new(), |parsed| type_check::paths(&parsed, scope, sought))
}

/// Why a pattern can't be used by `matches`.
pub(super) enum NoPattern {
    /// It is none.
    Syntax,
    /// Bringing it into a form that can be searched by takes too much.
    TooLarge,
}

/// Whether a pattern can be used; it is read anew each time that the condition is decided.
pub(super) fn check_pattern(pattern: &str) -> Result<(), NoPattern> {
    match RegexBuilder::new(pattern).size_limit(PATTERN).build() {
        Ok(_) => Ok(()),
        Err(regex::Error::CompiledTooBig(_)) => Err(NoPattern::TooLarge),
        Err(_) => Err(NoPattern::Syntax),
    }
}

/// A tree with the places of its nodes.
pub(super) struct Parsed<'s> {
    pub(super) source: &'s str,
    pub(super) tree: IdedExpr,
    places: cel::common::ast::SourceInfo,
}

impl<'s> Parsed<'s> {
    fn read(source: &'s str) -> Result<Self, Box<Problem>> {
        bounded(source)?;
        let parser = cel::parser::Parser::default();
        let (tree, places) = parser.parse_with_source_info(source).map_err(|errors| {
            let at = errors.errors.first().map_or(0, |error| offset(source, error.pos));
            let problem = Problem::at(at..at + 1, "this is no condition that can be read");
            Box::new(problem.label("the reader stops here").help(slip(source, at)))
        })?;
        Ok(Self { source, tree, places })
    }

    /// The bytes of a node's own token: of a call its operator or name, of a selection its dot.
    pub(super) fn token(&self, id: u64) -> Range<usize> {
        let (first, last) = self.places.offset_for(id).unwrap_or((0, 0));
        byte(self.source, first as usize)..byte(self.source, last as usize + 1)
    }
}

fn byte(source: &str, character: usize) -> usize {
    work::count(character);
    source.char_indices().nth(character).map_or(source.len(), |(at, _)| at)
}

fn offset(source: &str, (line, column): (isize, isize)) -> usize {
    let line = usize::try_from(line - 1).unwrap_or(0);
    let start: usize = source.split_inclusive('\n').take(line).map(str::len).sum();
    start + byte(&source[start..], usize::try_from(column - 1).unwrap_or(0))
}

/// What to write where reading stopped: the slips of other languages first.
fn slip(source: &str, at: usize) -> &'static str {
    let rest = source[at..].trim_start();
    let word = rest.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    match word.to_ascii_lowercase().as_str() {
        "and" => return "write `&&` for and",
        "or" => return "write `||` for or",
        "is" | "equals" => return "write `==` for is, `!=` for is not",
        "not" => return "write `!` for not, before what is denied",
        _ => {}
    }
    match rest.chars().next() {
        None => "something is missing at the end; compare with a text, a number, true or false",
        Some('=') => "write `==` to compare",
        Some('&') => "write `&&` for and",
        Some('|') => "write `||` for or",
        Some('\u{2018}' | '\u{2019}' | '\u{201c}' | '\u{201d}') => {
            "write straight quotes around texts, as in `contact.title == 'CEO'`"
        }
        Some(_) => "write it as in `steps.intro.clicked && contact.title.contains('VP')`",
    }
}

fn in_one_line(problem: &Problem) -> String {
    match &problem.help {
        Some(help) => format!("{}; {help}", problem.message),
        None => problem.message.clone(),
    }
}

/// Refuses what could exhaust the parser's stack. Text literals are skipped.
fn bounded(source: &str) -> Result<(), Box<Problem>> {
    let whole = 0..source.len();
    if source.trim().is_empty() {
        return Err(Box::new(
            Problem::at(whole, "the condition is empty")
                .help("write one such as `steps.intro.clicked`, or remove the key"),
        ));
    }
    if source.len() > LENGTH {
        return Err(Box::new(
            Problem::at(whole, format!("this condition is longer than {LENGTH} bytes"))
                .help("split it over several branches"),
        ));
    }
    let (mut depth, mut operators, mut quote, mut escaped) = (0_usize, 0_usize, None, false);
    for (at, letter) in source.char_indices() {
        match (quote, letter) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), _) if open == letter => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(letter),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']' | '}') => depth = depth.saturating_sub(1),
            (None, '&' | '|' | '!' | '?' | '+' | '-' | '*' | '/' | '%' | '.' | '<' | '>' | '=') => {
                operators += 1;
            }
            (None, _) => {}
        }
        if depth > DEPTH || operators > OPERATORS {
            return Err(Box::new(
                Problem::at(at..at + 1, "this condition is too large to be read")
                    .help("split it over several branches, or take brackets away"),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "expression_tests.rs"]
mod tests;
