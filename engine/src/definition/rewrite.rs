//! Makes a condition's tree safe to evaluate: paths become variables, numbers doubles, and each comparison
//! or call is guarded so that something missing makes it false instead of an error.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, ListExpr, LiteralValue, operators};

use super::path::{Path, variable};

/// The tree to evaluate, and what its variables stand for.
pub(super) fn condition(tree: &IdedExpr) -> (IdedExpr, Vec<Path>) {
    let mut rewriting = Rewriting { paths: Vec::new() };
    let tree = rewriting.truth(tree);
    (tree, rewriting.paths)
}

struct Rewriting {
    paths: Vec<Path>,
}

/// What a call does, as far as rewriting and typing care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// `&&`, `||`, `!`: truth from truths.
    Logic,
    /// `==` and `!=`, which know what to say of something missing.
    Equality,
    /// `<`, `in`, `contains` and their like: truth from values that must be there.
    Test,
    /// `a ? b : c`.
    Choice,
    /// `+`, `-`, `*`, `/`.
    Arithmetic,
    /// `%`, which is defined for integers only.
    Remainder,
    /// `size`.
    Size,
    /// Anything else; type checking refuses it.
    Unknown,
}

impl Role {
    /// The role of a function or operator by cel's name for it.
    pub(super) fn of(function: &str) -> Self {
        match function {
            operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT => Self::Logic,
            operators::EQUALS | operators::NOT_EQUALS => Self::Equality,
            operators::LESS
            | operators::LESS_EQUALS
            | operators::GREATER
            | operators::GREATER_EQUALS
            | operators::IN
            | "contains"
            | "startsWith"
            | "endsWith"
            | "matches" => Self::Test,
            operators::CONDITIONAL => Self::Choice,
            operators::ADD
            | operators::SUBSTRACT
            | operators::MULTIPLY
            | operators::DIVIDE
            | operators::NEGATE => Self::Arithmetic,
            operators::MODULO => Self::Remainder,
            "size" => Self::Size,
            _ => Self::Unknown,
        }
    }
}

impl Rewriting {
    /// An expression that stands where a truth is wanted.
    fn truth(&mut self, expression: &IdedExpr) -> IdedExpr {
        if let Some(path) = Path::of_presence(expression) {
            return call(operators::NOT_EQUALS, [self.bind(path), null()]);
        }
        if let Some(path) = Path::of(expression) {
            return call(operators::EQUALS, [self.bind(path), truth_literal()]);
        }
        let Expr::Call(asked) = &expression.expr else { return expression.clone() };
        match Role::of(&asked.func_name) {
            Role::Logic | Role::Choice => self.each(asked, Self::truth),
            Role::Equality => {
                let mut missing = Vec::new();
                let rewritten = self.each(asked, |this, side| match Path::of(side) {
                    Some(path) => this.bind(path),
                    None => this.value(side, &mut missing),
                });
                guard(missing, rewritten)
            }
            Role::Test => {
                let mut missing = Vec::new();
                let rewritten = self.each(asked, |this, side| this.value(side, &mut missing));
                guard(missing, rewritten)
            }
            // The sum of two outputs may turn out to be anything; evaluation says what.
            Role::Arithmetic | Role::Remainder | Role::Size => {
                let mut missing = Vec::new();
                let rewritten = self.value(expression, &mut missing);
                guard(missing, rewritten)
            }
            Role::Unknown => expression.clone(),
        }
    }

    /// An expression that stands where a value is wanted; `missing` gains what must be there for it.
    fn value(&mut self, expression: &IdedExpr, missing: &mut Vec<IdedExpr>) -> IdedExpr {
        if Path::of_presence(expression).is_some() {
            return self.truth(expression);
        }
        if let Some(path) = Path::of(expression) {
            let bound = self.bind(path);
            missing.push(bound.clone());
            return bound;
        }
        match &expression.expr {
            Expr::Literal(literal) => node(Expr::Literal(double(literal))),
            Expr::List(list) => {
                // A list may hold something missing: `'x' in [contact.title, 'y']` is still told.
                let elements = &list.elements;
                let elements = elements.iter().map(|e| self.value(e, &mut Vec::new())).collect();
                node(Expr::List(ListExpr::new(elements)))
            }
            Expr::Call(asked) => self.value_call(expression, asked, missing),
            Expr::Unspecified
            | Expr::Comprehension(_)
            | Expr::Ident(_)
            | Expr::Map(_)
            | Expr::Select(_)
            | Expr::Struct(_) => expression.clone(),
        }
    }

    fn value_call(
        &mut self,
        expression: &IdedExpr,
        asked: &CallExpr,
        missing: &mut Vec<IdedExpr>,
    ) -> IdedExpr {
        match Role::of(&asked.func_name) {
            Role::Logic | Role::Equality | Role::Test => self.truth(expression),
            Role::Choice => match asked.args.as_slice() {
                [asked_for, then, otherwise] => call(
                    operators::CONDITIONAL,
                    [
                        self.truth(asked_for),
                        self.value(then, missing),
                        self.value(otherwise, missing),
                    ],
                ),
                _ => expression.clone(),
            },
            Role::Arithmetic => self.each(asked, |this, side| this.value(side, missing)),
            Role::Remainder => {
                let whole = |side: IdedExpr| call("int", [side]);
                let divided = self.each(asked, |this, side| whole(this.value(side, missing)));
                call("double", [divided])
            }
            Role::Size => {
                call("double", [self.each(asked, |this, side| this.value(side, missing))])
            }
            Role::Unknown => expression.clone(),
        }
    }

    /// The same call with its target and arguments rewritten.
    fn each(
        &mut self,
        asked: &CallExpr,
        mut rewrite: impl FnMut(&mut Self, &IdedExpr) -> IdedExpr,
    ) -> IdedExpr {
        let target = asked.target.as_ref().map(|target| Box::new(rewrite(self, target)));
        let args = asked.args.iter().map(|arg| rewrite(self, arg)).collect();
        node(Expr::Call(CallExpr { func_name: asked.func_name.clone(), target, args }))
    }

    fn bind(&mut self, path: Path) -> IdedExpr {
        let known = self.paths.iter().position(|other| *other == path);
        let index = known.unwrap_or_else(|| {
            self.paths.push(path);
            self.paths.len() - 1
        });
        node(Expr::Ident(variable(index)))
    }
}

/// `a != null && … && expression`: CEL's `&&` is false when one side is, whatever the other.
fn guard(missing: Vec<IdedExpr>, expression: IdedExpr) -> IdedExpr {
    missing.into_iter().fold(expression, |guarded, value| {
        call(operators::LOGICAL_AND, [call(operators::NOT_EQUALS, [value, null()]), guarded])
    })
}

fn double(literal: &LiteralValue) -> LiteralValue {
    match literal {
        #[expect(clippy::cast_precision_loss, reason = "all numbers of conditions are doubles")]
        LiteralValue::Int(value) => LiteralValue::Double((*value.inner() as f64).into()),
        #[expect(clippy::cast_precision_loss, reason = "all numbers of conditions are doubles")]
        LiteralValue::UInt(value) => LiteralValue::Double((*value.inner() as f64).into()),
        LiteralValue::Boolean(_)
        | LiteralValue::Bytes(_)
        | LiteralValue::Double(_)
        | LiteralValue::Null
        | LiteralValue::String(_) => literal.clone(),
    }
}

fn call<const N: usize>(function: &str, args: [IdedExpr; N]) -> IdedExpr {
    let func_name = function.to_owned();
    node(Expr::Call(CallExpr { func_name, target: None, args: args.into() }))
}

fn null() -> IdedExpr {
    node(Expr::Literal(LiteralValue::Null))
}

fn truth_literal() -> IdedExpr {
    node(Expr::Literal(LiteralValue::Boolean(true.into())))
}

/// A node; ids only serve places, which evaluation does not report.
fn node(expr: Expr) -> IdedExpr {
    IdedExpr { id: 0, expr }
}
