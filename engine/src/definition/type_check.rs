//! Types of conditions: whether each name exists and each operator fits what stands around it.
//!
//! Works on cel's tree; collects every problem. What a step gives is of the type that its step type declares.

use std::ops::Range;

use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, LiteralValue, operators};

use super::expression::Parsed;
use super::path::Path;
use super::refusals::Problem;
use super::rewrite::Role;
use super::suggest;
use crate::step::{FieldType, Output};
use crate::work;

/// What an expression may name.
pub(super) struct Scope<'a> {
    /// The kind of subject, such as `contact`; `None` where the document names none that is known.
    pub(super) subject: Option<(&'a str, &'a [(&'static str, FieldType)])>,
    /// All steps that have an id.
    pub(super) steps: &'a [Named<'a>],
}

/// A step as far as expressions name it.
#[derive(Clone, Copy)]
pub(super) struct Named<'a> {
    pub(super) id: &'a str,
    /// What it gives; `None` where its type is not known, which is told at the type.
    pub(super) outputs: Option<&'static [Output]>,
}

impl<'a> Scope<'a> {
    /// The ids of all steps.
    pub(super) fn ids(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.steps.iter().map(|step| step.id)
    }
}

/// The type of a part of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Text,
    Number,
    Bool,
    Date,
    List,
    Null,
    Any,
}

impl Type {
    pub(super) fn of(field: FieldType) -> Self {
        match field {
            FieldType::Text => Self::Text,
            FieldType::Number => Self::Number,
            FieldType::Bool => Self::Bool,
            FieldType::Date => Self::Date,
            FieldType::List => Self::List,
            FieldType::Any => Self::Any,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Number => "a number",
            Self::Bool => "true or false",
            Self::Date => "a date",
            Self::List => "a list",
            Self::Null => "null",
            Self::Any => "anything",
        }
    }

    /// Whether a value of this type can be where one of these is wanted.
    pub(super) fn fits(self, wanted: &[Self]) -> bool {
        self == Self::Any || wanted.contains(&self)
    }
}

/// Every problem of a condition; spans count from its first byte.
pub(super) fn condition(parsed: &Parsed<'_>, scope: &Scope<'_>) -> Vec<Problem> {
    let mut check = Check { parsed, scope, problems: Vec::new(), sought: None, paths: Vec::new() };
    let found = check.infer(&parsed.tree);
    if !found.fits(&[Type::Bool]) {
        let message = format!("a condition gives true or false, but this gives {}", found.name());
        let help =
            "compare it, as in `contact.title == 'CEO'`; `has(contact.title)` asks if it is set";
        check.problems.push(Problem::at(check.span(&parsed.tree), message).help(help));
    }
    check.problems
}

/// The paths of a condition that are sought; spans count from its first byte.
pub(super) fn paths(
    parsed: &Parsed<'_>,
    scope: &Scope<'_>,
    sought: &dyn Fn(&Path) -> bool,
) -> Vec<(Path, Range<usize>)> {
    let sought = Some(sought);
    let mut check = Check { parsed, scope, problems: Vec::new(), sought, paths: Vec::new() };
    check.infer(&parsed.tree);
    check.paths
}

pub(super) struct Check<'c> {
    parsed: &'c Parsed<'c>,
    pub(super) scope: &'c Scope<'c>,
    pub(super) problems: Vec<Problem>,
    /// Which paths are collected.
    sought: Option<&'c dyn Fn(&Path) -> bool>,
    paths: Vec<(Path, Range<usize>)>,
}

impl Check<'_> {
    /// Collects a path that is sought. Its place takes work, so it is found for no other.
    pub(super) fn collect(&mut self, path: &Path, at: &IdedExpr) {
        if self.sought.is_some_and(|sought| sought(path)) {
            let span = self.span(at);
            self.paths.push((path.clone(), span));
        }
    }

    /// The type of a part; what is wrong in it is noted.
    pub(super) fn infer(&mut self, expression: &IdedExpr) -> Type {
        work::count(1);
        if let Some(path) = Path::of_presence(expression) {
            self.path(&path, expression);
            return Type::Bool;
        }
        if let Some(path) = Path::of(expression) {
            return self.path(&path, expression);
        }
        match &expression.expr {
            Expr::Literal(literal) => type_of_literal(literal),
            Expr::List(list) => {
                list.elements.iter().for_each(|element| {
                    self.infer(element);
                });
                Type::List
            }
            Expr::Call(call) => self.call(call, expression),
            Expr::Comprehension(_) => self.refuse(
                expression,
                "`all`, `exists`, `map` and `filter` are not for conditions here",
                "ask with `in`, as in `'vip' in contact.tags`",
            ),
            Expr::Unspecified
            | Expr::Ident(_)
            | Expr::Map(_)
            | Expr::Select(_)
            | Expr::Struct(_) => self.refuse(
                expression,
                "this can't stand in a condition",
                "compare a field with a text, a number, true, false or null",
            ),
        }
    }

    fn call(&mut self, call: &CallExpr, expression: &IdedExpr) -> Type {
        match Role::of(&call.func_name) {
            Role::Logic => {
                self.sides(call, &[Type::Bool], "needs true or false on each side");
                Type::Bool
            }
            Role::Equality => self.equality(call, expression),
            Role::Test => self.test(call, expression),
            Role::Choice => self.choice(call),
            Role::Arithmetic if call.func_name == operators::ADD => self.sum(call, expression),
            Role::Arithmetic | Role::Remainder => {
                self.sides(call, &[Type::Number], "works on numbers");
                Type::Number
            }
            Role::Size => {
                if call.target.iter().len() + call.args.len() != 1 {
                    self.refuse(expression, "`size` takes one thing", "write `size(contact.tags)`");
                }
                self.sides(call, &[Type::Text, Type::List], "counts a text or a list");
                Type::Number
            }
            Role::Unknown => self.unknown_function(call, expression),
        }
    }

    /// Checks that the target and every argument is of one of these types.
    pub(super) fn sides(&mut self, call: &CallExpr, wanted: &[Type], rule: &str) {
        for side in call.target.as_deref().into_iter().chain(&call.args) {
            let found = self.infer(side);
            if !found.fits(wanted) {
                let message =
                    format!("{} {rule}, but this is {}", shown(&call.func_name), found.name());
                let mut problem = Problem::at(self.span(side), message);
                if wanted == [Type::Bool] {
                    problem = problem.help("compare it first, as in `contact.title == 'CEO'`");
                } else if wanted == [Type::Number] && found == Type::Text {
                    problem = problem.help("write numbers without quotes");
                }
                self.problems.push(problem);
            }
        }
    }

    fn choice(&mut self, call: &CallExpr) -> Type {
        let [asked, then, otherwise] = call.args.as_slice() else { return Type::Any };
        let found = self.infer(asked);
        if !found.fits(&[Type::Bool]) {
            let message = format!("before `?` stands true or false, but this is {}", found.name());
            let help = "compare it first, as in `contact.title == 'CEO' ? … : …`";
            self.problems.push(Problem::at(self.span(asked), message).help(help));
        }
        let (a, b) = (self.infer(then), self.infer(otherwise));
        if a == b { a } else { Type::Any }
    }

    fn sum(&mut self, call: &CallExpr, expression: &IdedExpr) -> Type {
        let [left, right] = call.args.as_slice() else { return Type::Any };
        let (a, b) = (self.infer(left), self.infer(right));
        for (one, other) in [(a, b), (b, a)] {
            if one.fits(&[Type::Number]) && other.fits(&[Type::Number]) {
                return if a == b { a } else { Type::Number };
            }
            if one == Type::Text && other.fits(&[Type::Text]) {
                return Type::Text;
            }
        }
        let message = format!("`+` can't add {} and {}", a.name(), b.name());
        self.refuse(expression, message, "add numbers to numbers, or texts to texts")
    }

    fn unknown_function(&mut self, call: &CallExpr, expression: &IdedExpr) -> Type {
        const KNOWN: [&str; 6] = ["contains", "startsWith", "endsWith", "matches", "size", "has"];
        let name = call.func_name.as_str();
        if name == operators::INDEX {
            return self.refuse(
                expression,
                "only a number or a quoted name can stand in `[ ]`",
                "write `contact.tags[0]` or `steps['first-mail'].clicked`",
            );
        }
        let message = format!("there is no function `{name}`");
        let help = suggest::help(name, KNOWN);
        self.refuse(expression, message, help)
    }

    /// Notes a problem with a part; what the part gives is then anyone's guess.
    pub(super) fn refuse(
        &mut self,
        at: &IdedExpr,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Type {
        self.problems.push(Problem::at(self.span(at), message).help(help));
        Type::Any
    }

    /// The bytes of a whole expression, from its leftmost token to its rightmost.
    pub(super) fn span(&self, expression: &IdedExpr) -> Range<usize> {
        work::count(1);
        let own = self.parsed.token(expression.id);
        let mut parts: Vec<&IdedExpr> = Vec::new();
        let mut end = own.end;
        match &expression.expr {
            Expr::Call(call) => parts.extend(call.target.as_deref().into_iter().chain(&call.args)),
            Expr::Select(select) => {
                parts.push(&select.operand);
                end += select.field.len();
            }
            Expr::List(list) => parts.extend(&list.elements),
            Expr::Unspecified
            | Expr::Comprehension(_)
            | Expr::Ident(_)
            | Expr::Literal(_)
            | Expr::Map(_)
            | Expr::Struct(_) => {}
        }
        let spans = parts.into_iter().map(|part| self.span(part));
        spans.fold(own.start..end, |all, span| all.start.min(span.start)..all.end.max(span.end))
    }
}

fn type_of_literal(literal: &LiteralValue) -> Type {
    match literal {
        LiteralValue::Boolean(_) => Type::Bool,
        LiteralValue::Double(_) | LiteralValue::Int(_) | LiteralValue::UInt(_) => Type::Number,
        LiteralValue::String(_) | LiteralValue::Bytes(_) => Type::Text,
        LiteralValue::Null => Type::Null,
    }
}

/// A function or operator as people write it, in backticks.
pub(super) fn shown(function: &str) -> String {
    format!("`{}`", function.trim_matches(|letter| letter == '_' || letter == '@'))
}
