//! What the operators of texts compute with, after minijinja's `ops.rs`.

use engine::step::TextKind;
use minijinja::machinery::ast::{BinOp, BinOpKind, Expr};

use super::kinds;
use super::reading::Reading;
use super::signatures::NUMERIC;

impl Reading {
    /// Refuses sides that an operator can't compute with.
    pub(super) fn computed(&mut self, operation: &BinOp<'_>) {
        let (left, right) = (&operation.left, &operation.right);
        let symbol = match operation.op {
            BinOpKind::Sub => "`-`",
            BinOpKind::Div => "`/`",
            BinOpKind::FloorDiv => "`//`",
            BinOpKind::Rem => "`%`",
            BinOpKind::Pow => "`**`",
            BinOpKind::Add => return self.added(left, right),
            BinOpKind::Mul => return self.multiplied(left, right),
            // They join, compare and choose, whatever the sides are.
            BinOpKind::Concat
            | BinOpKind::Eq
            | BinOpKind::Ne
            | BinOpKind::Lt
            | BinOpKind::Lte
            | BinOpKind::Gt
            | BinOpKind::Gte
            | BinOpKind::In
            | BinOpKind::ScAnd
            | BinOpKind::ScOr => return,
        };
        self.takes(left, symbol, NUMERIC);
        self.takes(right, symbol, NUMERIC);
    }

    /// Numbers are added to numbers, texts to texts and lists to lists.
    fn added(&mut self, left: &Expr<'_>, right: &Expr<'_>) {
        let (other, kind) = match (kinds::of(left), kinds::of(right)) {
            (Some(kind), _) => (right, kind),
            (None, Some(kind)) => (left, kind),
            (None, None) => return,
        };
        match kind {
            TextKind::Number | TextKind::Bool => self.takes(other, "`+` beside a number", NUMERIC),
            TextKind::Text => self.takes(other, "`+` beside a text", &[TextKind::Text]),
            TextKind::List => self.takes(other, "`+` beside a list", &[TextKind::List]),
            TextKind::Table => {}
        }
    }

    /// Numbers are multiplied with numbers, and repeat texts and lists.
    fn multiplied(&mut self, left: &Expr<'_>, right: &Expr<'_>) {
        const REPEATED: &[TextKind] =
            &[TextKind::Number, TextKind::Bool, TextKind::Text, TextKind::List];
        let (other, kind) = match (kinds::of(left), kinds::of(right)) {
            (Some(kind), _) => (right, kind),
            (None, Some(kind)) => (left, kind),
            (None, None) => return,
        };
        match kind {
            TextKind::Number | TextKind::Bool => self.takes(other, "`*` beside a number", REPEATED),
            TextKind::Text => self.takes(other, "`*` beside a text", NUMERIC),
            TextKind::List => self.takes(other, "`*` beside a list", NUMERIC),
            TextKind::Table => {}
        }
    }
}
