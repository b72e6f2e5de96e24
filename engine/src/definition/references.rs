//! Checks what steps name elsewhere: other steps, conditions, templates, signals, fields.

use super::check;
use super::check_steps::Surroundings;
use super::expression::{self, Expression};
use super::own_keys::Step as Own;
use super::refusals::{Findings, Problem};
use super::suggest;
use super::tree::{Content, Entry, Node, Span};
use super::type_check::Scope;
use crate::step::{FieldType, Reference};
use crate::work;

/// Everything in a document that a step can name.
pub(super) struct Names<'a> {
    pub(super) scope: &'a Scope<'a>,
    /// The ids in the order of the steps.
    pub(super) ids: &'a [Option<&'a str>],
    /// The ids of the steps that undo another.
    pub(super) undoing: &'a [&'a str],
    pub(super) surroundings: &'a Surroundings<'a>,
}

/// Checks a step's references; gives the steps to which the run may go by them.
pub(super) fn check(
    references: &[Reference],
    own: &Own<'_>,
    names: &Names<'_>,
    found: &mut Findings<'_>,
) -> Vec<usize> {
    let mut targets = Vec::new();
    for reference in references {
        match reference {
            Reference::Target { key, step } => {
                targets.extend(names.way_to(step, &locate(own, key, step), found));
            }
            Reference::Step { key, step } => {
                names.index_of(step, &locate(own, key, step), found);
            }
            Reference::Condition { key, source } => match place(own, key, source) {
                Some(node) => {
                    names.condition(node, found);
                }
                None => {
                    let head = own.head.clone();
                    names.checked(source, |_| head.clone(), found);
                }
            },
            Reference::Template { key, name } => {
                names.template(name, &locate(own, key, name), found);
            }
            Reference::Signal { key, name } => {
                check::signal(
                    name,
                    &locate(own, key, name),
                    names.surroundings.reading.registry,
                    found,
                );
            }
            Reference::DateField { key, path } => {
                names.date_field(path, &locate(own, key, path), found);
            }
        }
    }
    targets
}

impl Names<'_> {
    /// The index of a step by id; refused where there is none.
    pub(super) fn index_of(&self, id: &str, at: &Span, found: &mut Findings<'_>) -> Option<usize> {
        let index = self.ids.iter().position(|other| *other == Some(id));
        if index.is_none() {
            let message = format!("there is no step `{id}`");
            let help = match id {
                "end" | "exit" | "stop" | "done" => {
                    "a run ends after the last step, or at a step of type `exit`; write its id"
                        .into()
                }
                _ => suggest::help(id, self.scope.ids()),
            };
            found.add(Problem::at(at.clone(), message).help(help));
        }
        index
    }

    /// The index of a step to which a run may go by itself.
    pub(super) fn way_to(&self, id: &str, at: &Span, found: &mut Findings<'_>) -> Option<usize> {
        let index = self.index_of(id, at, found)?;
        if self.undoing.contains(&id) {
            let message = format!("no run goes to `{id}` by itself: it undoes another step");
            let help = "name a step that no `compensate` names";
            found.add(Problem::at(at.clone(), message).help(help));
            return None;
        }
        Some(index)
    }

    /// A condition that stands as a text in the source.
    pub(super) fn condition(&self, node: &Node, found: &mut Findings<'_>) -> Option<Expression> {
        let source = node.text()?;
        let start = found.text_start(node, source);
        let whole = node.span.clone();
        let span = |inner: Span| match start {
            Some(start) => start + inner.start..start + inner.end,
            None => whole.clone(),
        };
        self.checked(source, span, found)
    }

    fn checked(
        &self,
        source: &str,
        span: impl Fn(Span) -> Span,
        found: &mut Findings<'_>,
    ) -> Option<Expression> {
        match expression::check(source, self.scope) {
            Ok(expression) => Some(expression),
            Err(problems) => {
                for mut problem in problems {
                    problem.span = span(problem.span);
                    found.add(problem);
                }
                None
            }
        }
    }

    fn template(&self, name: &str, at: &Span, found: &mut Findings<'_>) {
        let templates = self.surroundings.templates;
        if !templates.contains_key(name) {
            let message = format!("there is no template `{name}`");
            let help = match suggest::nearest(name, templates.keys().map(String::as_str)) {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => format!("write its text below `[templates.{name}]`"),
            };
            found.add(Problem::at(at.clone(), message).help(help));
        }
    }

    fn date_field(&self, path: &str, at: &Span, found: &mut Findings<'_>) {
        let Some((subject, fields)) = self.scope.subject else { return };
        let dates = || fields.iter().filter(|(_, kind)| matches!(kind, FieldType::Date));
        let shown: Vec<String> = dates().map(|(name, _)| format!("{subject}.{name}")).collect();
        let field = path.strip_prefix(subject).and_then(|rest| rest.strip_prefix('.'));
        let root = field.and_then(|field| field.split('.').next());
        let kind = fields.iter().find(|(name, _)| Some(*name) == root).map(|(_, kind)| *kind);
        match kind {
            Some(FieldType::Date) if field == root => return,
            Some(FieldType::Any) => return,
            Some(
                FieldType::Date
                | FieldType::Text
                | FieldType::Number
                | FieldType::Bool
                | FieldType::List,
            )
            | None => {}
        }
        let message = match kind {
            Some(_) => format!("`{path}` is no date"),
            None => format!("a {subject} has no field `{path}`"),
        };
        let help = suggest::help(path, shown.iter().map(String::as_str));
        found.add(Problem::at(at.clone(), message).help(help));
    }
}

/// The place of what a reference says: the value under its key, or a text inside that says the same.
fn locate(own: &Own<'_>, key: &str, said: &str) -> Span {
    place(own, key, said).map_or_else(|| own.head.clone(), |node| node.span.clone())
}

fn place<'n>(own: &Own<'n>, key: &str, said: &str) -> Option<&'n Node> {
    let under_key = own.entries.iter().find(|entry| entry.key == key);
    under_key
        .and_then(|entry| find_text(&entry.node, said))
        .or_else(|| own.entries.iter().find_map(|entry| find_under(entry, key, said)))
        .or_else(|| under_key.map(|entry| &entry.node))
}

fn find_under<'n>(entry: &'n Entry, key: &str, said: &str) -> Option<&'n Node> {
    if entry.key == key {
        return find_text(&entry.node, said);
    }
    let inner: Vec<&Entry> = match &entry.node.content {
        Content::Table(entries) => entries.iter().collect(),
        Content::List(list) => list.iter().filter_map(Node::entries).flatten().collect(),
        Content::Null | Content::Bool(_) | Content::Number(_) | Content::Text(_) => Vec::new(),
    };
    inner.into_iter().find_map(|entry| find_under(entry, key, said))
}

/// The node of a text among a step's own keys.
pub(super) fn text<'n>(entries: &'n [Entry], key: &str, said: &str) -> Option<&'n Node> {
    let entry = entries.iter().find(|entry| entry.key == key)?;
    find_exact(&entry.node, said)
}

fn find_exact<'n>(node: &'n Node, said: &str) -> Option<&'n Node> {
    work::count(1);
    match &node.content {
        Content::Text(text) => (text == said).then_some(node),
        Content::List(list) => list.iter().find_map(|node| find_exact(node, said)),
        Content::Table(entries) => entries.iter().find_map(|entry| find_exact(&entry.node, said)),
        Content::Null | Content::Bool(_) | Content::Number(_) => None,
    }
}

/// The first text inside that says so.
pub(super) fn find_text<'n>(node: &'n Node, said: &str) -> Option<&'n Node> {
    work::count(1);
    match &node.content {
        Content::Text(text) => (text.trim() == said.trim()).then_some(node),
        Content::List(list) => list.iter().find_map(|node| find_text(node, said)),
        Content::Table(entries) => entries.iter().find_map(|entry| find_text(&entry.node, said)),
        Content::Null | Content::Bool(_) | Content::Number(_) => None,
    }
}
