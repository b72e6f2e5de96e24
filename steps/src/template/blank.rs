//! Texts that are empty whatever their variables hold, as `{# later #}` is.

use minijinja::machinery::ast::{Expr, Stmt};

/// Whether a tree writes nothing but blanks.
pub(super) fn is(tree: &Stmt<'_>) -> bool {
    match tree {
        Stmt::Template(template) => all(&template.children),
        Stmt::EmitRaw(written) => written.raw.trim().is_empty(),
        Stmt::EmitExpr(printed) => is_blank_literal(&printed.expr),
        Stmt::ForLoop(looped) => all(&looped.body) && all(&looped.else_body),
        Stmt::IfCond(condition) => match condition.expr.as_const().map(|value| value.is_true()) {
            Some(true) => all(&condition.true_body),
            Some(false) => all(&condition.false_body),
            None => all(&condition.true_body) && all(&condition.false_body),
        },
        Stmt::WithBlock(with) => all(&with.body),
        Stmt::AutoEscape(escape) => all(&escape.body),
        Stmt::Set(_) | Stmt::SetBlock(_) | Stmt::Do(_) => true,
        // A filter may give something for nothing, as `default` does.
        Stmt::FilterBlock(_) => false,
    }
}

fn all(statements: &[Stmt<'_>]) -> bool {
    statements.iter().all(is)
}

fn is_blank_literal(expression: &Expr<'_>) -> bool {
    let Expr::Const(literal) = expression else { return false };
    literal.value.as_str().is_some_and(|text| text.trim().is_empty())
}
