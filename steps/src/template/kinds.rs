//! The kinds of values in texts, as far as the text alone says them: those of literals, and of what filters, tests and
//! operators give.

use engine::step::TextKind;
use minijinja::Value;
use minijinja::machinery::ast::{BinOp, BinOpKind, Expr, UnaryOpKind};
use minijinja::value::ValueKind;

use super::signatures::given_by;

/// The kind of what an expression gives, if it is always the same.
pub(super) fn of(expression: &Expr<'_>) -> Option<TextKind> {
    match expression {
        Expr::Const(literal) => of_value(&literal.value),
        Expr::List(_) | Expr::Tuple(_) => Some(TextKind::List),
        Expr::Map(_) => Some(TextKind::Table),
        Expr::Test(_) | Expr::Compare(_) => Some(TextKind::Bool),
        Expr::UnaryOp(operation) => match operation.op {
            UnaryOpKind::Not => Some(TextKind::Bool),
            UnaryOpKind::Neg => Some(TextKind::Number),
        },
        Expr::BinOp(operation) => of_operation(operation),
        Expr::Filter(filter) => given_by(filter.name),
        Expr::Var(_)
        | Expr::Slice(_)
        | Expr::IfExpr(_)
        | Expr::GetAttr(_)
        | Expr::GetItem(_)
        | Expr::Call(_) => None,
    }
}

fn of_value(value: &Value) -> Option<TextKind> {
    let kinds = [
        (ValueKind::String, TextKind::Text),
        (ValueKind::Number, TextKind::Number),
        (ValueKind::Bool, TextKind::Bool),
        (ValueKind::Seq, TextKind::List),
        (ValueKind::Map, TextKind::Table),
    ];
    kinds.into_iter().find(|(kind, _)| *kind == value.kind()).map(|(_, kind)| kind)
}

fn of_operation(operation: &BinOp<'_>) -> Option<TextKind> {
    match operation.op {
        BinOpKind::Eq
        | BinOpKind::Ne
        | BinOpKind::Lt
        | BinOpKind::Lte
        | BinOpKind::Gt
        | BinOpKind::Gte
        | BinOpKind::In => Some(TextKind::Bool),
        BinOpKind::Sub | BinOpKind::Div | BinOpKind::FloorDiv | BinOpKind::Rem | BinOpKind::Pow => {
            Some(TextKind::Number)
        }
        BinOpKind::Concat => Some(TextKind::Text),
        // They give one of their sides, or what the sides are.
        BinOpKind::ScAnd | BinOpKind::ScOr | BinOpKind::Add | BinOpKind::Mul => None,
    }
}
