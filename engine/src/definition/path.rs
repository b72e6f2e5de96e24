//! Paths of conditions: `contact.title`, `steps.intro.clicked`, `steps['first-mail'].clicked`.
//!
//! Says which part of a tree is a path, and looks it up. What is missing reads as null.

use std::sync::Arc;

use cel::IdedExpr;
use cel::common::ast::{Expr, LiteralValue, operators};
use serde_json::Value;

/// A name and what is selected from it, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) root: String,
    pub(super) parts: Vec<Part>,
}

/// One selection of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Key(String),
    Index(usize),
}

/// The name under which the n-th path of an expression is bound.
pub(super) fn variable(index: usize) -> String {
    format!("p{index}")
}

impl Path {
    /// The path that an expression spells, if it is one.
    pub(super) fn of(expression: &IdedExpr) -> Option<Self> {
        match &expression.expr {
            Expr::Ident(root) => Some(Self { root: root.clone(), parts: Vec::new() }),
            Expr::Select(select) if !select.test => {
                Self::of(&select.operand)?.then(Part::Key(select.field.clone()))
            }
            Expr::Call(call) if call.func_name == operators::INDEX => match call.args.as_slice() {
                [of, by] => Self::of(of)?.then(literal_part(by)?),
                _ => None,
            },
            Expr::Unspecified
            | Expr::Call(_)
            | Expr::Comprehension(_)
            | Expr::List(_)
            | Expr::Literal(_)
            | Expr::Map(_)
            | Expr::Select(_)
            | Expr::Struct(_) => None,
        }
    }

    fn then(mut self, part: Part) -> Option<Self> {
        self.parts.push(part);
        Some(self)
    }

    /// The path of `has(…)`.
    pub(super) fn of_presence(expression: &IdedExpr) -> Option<Self> {
        match &expression.expr {
            Expr::Select(select) if select.test => {
                Self::of(&select.operand)?.then(Part::Key(select.field.clone()))
            }
            Expr::Select(_)
            | Expr::Unspecified
            | Expr::Call(_)
            | Expr::Comprehension(_)
            | Expr::Ident(_)
            | Expr::List(_)
            | Expr::Literal(_)
            | Expr::Map(_)
            | Expr::Struct(_) => None,
        }
    }

    /// Its names with dots between.
    pub(super) fn dotted(&self) -> String {
        self.parts.iter().fold(self.root.clone(), |dotted, part| match part {
            Part::Key(key) => format!("{dotted}.{key}"),
            Part::Index(index) => format!("{dotted}.{index}"),
        })
    }

    /// The value under the path, if every part of it is there.
    pub(super) fn find<'v>(&self, variables: &'v Value) -> Option<&'v Value> {
        let mut value = variables.get(&self.root);
        for part in &self.parts {
            value = value.and_then(|value| match part {
                Part::Key(key) => value.get(key),
                Part::Index(index) => value.get(index),
            });
        }
        value
    }
}

fn literal_part(expression: &IdedExpr) -> Option<Part> {
    let Expr::Literal(literal) = &expression.expr else { return None };
    match literal {
        LiteralValue::String(key) => Some(Part::Key(key.inner().to_owned())),
        LiteralValue::Int(index) => usize::try_from(*index.inner()).ok().map(Part::Index),
        LiteralValue::Boolean(_)
        | LiteralValue::Bytes(_)
        | LiteralValue::Double(_)
        | LiteralValue::Null
        | LiteralValue::UInt(_) => None,
    }
}

/// A value as CEL sees it; null where there is none.
pub(super) fn convert(value: Option<&Value>) -> cel::Value {
    value.map_or(cel::Value::Null, converted)
}

/// JSON as CEL sees it. Every number is a double, so that `score > 5` and `score * 1.5` hold for any score.
fn converted(value: &Value) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(value) => cel::Value::Bool(*value),
        Value::Number(number) => cel::Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => cel::Value::String(Arc::new(text.clone())),
        Value::Array(list) => cel::Value::List(Arc::new(list.iter().map(converted).collect())),
        // A whole object has no use in a condition but that it is there.
        Value::Object(_) => cel::Value::from("object"),
    }
}
