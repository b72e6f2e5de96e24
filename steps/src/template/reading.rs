//! What a text names, by minijinja's own tree: each variable with what is done with its value, and each variable that the
//! text sets. What is wrong with filters, tests and calls is found on the way, by `checks`.

use std::collections::{HashMap, HashSet};

use engine::step::{TextKind, TextPart, TextProblem};
use minijinja::machinery::ast;
use minijinja::machinery::ast::{BinOpKind, CallArg, CompareOpKind, Expr, Stmt, UnaryOpKind};

use super::kinds;
use super::known::FUNCTIONS;
use super::mentions::{Found, Guard, Mention, Place};
use super::signatures::LOOPED;

/// The most variables that a text may name, and the longest path by which a variable of the text names another.
const MOST_MENTIONS: usize = 2_000;
const LONGEST_ALIAS: usize = 32;

/// Reads a text's tree.
pub(super) fn of(tree: &Stmt<'_>) -> Found {
    let mut reading = Reading { locals: vec![HashMap::new()], ..Reading::default() };
    reading.statement(tree);
    reading.found
}

/// What a variable that the text sets holds.
#[derive(Clone)]
pub(super) enum Local {
    /// The value of this path.
    Alias(String, Vec<TextPart>),
    /// The state of a `for`.
    Loop {
        recursive: bool,
    },
    Namespace,
    /// Another value, of this kind if that is known.
    Value(Option<TextKind>),
}

#[derive(Default)]
pub(super) struct Reading {
    pub(super) found: Found,
    /// The variables that the text sets, innermost last.
    locals: Vec<HashMap<String, Local>>,
    /// Those that are set twice, or under a condition: they may hold the value of more than one path.
    pub(super) ambiguous: HashSet<String>,
    guard: Option<usize>,
}

/// A path whose root is not resolved yet.
pub(super) struct Chain<'t> {
    pub(super) root: &'t str,
    pub(super) parts: Vec<TextPart>,
    pub(super) start: usize,
}

impl Reading {
    fn statement(&mut self, statement: &Stmt<'_>) {
        match statement {
            Stmt::Template(template) => self.all(&template.children),
            Stmt::EmitRaw(_) => {}
            Stmt::EmitExpr(printed) => self.expression(&printed.expr, Place::Printed),
            Stmt::ForLoop(looped) => self.looped(looped),
            Stmt::IfCond(condition) => {
                self.guarded(&condition.expr, Place::Free, |reading| {
                    reading.all(&condition.true_body);
                    reading.all(&condition.false_body);
                });
            }
            Stmt::WithBlock(with) => {
                self.locals.push(HashMap::new());
                for (target, value) in &with.assignments {
                    self.set(target, value);
                }
                self.all(&with.body);
                self.locals.pop();
            }
            Stmt::Set(set) => self.set(&set.target, &set.expr),
            Stmt::SetBlock(set) => {
                if let Some(filter) = &set.filter {
                    self.expression(filter, Place::Read);
                }
                self.all(&set.body);
                self.assign(&set.target, &Local::Value(Some(TextKind::Text)));
            }
            Stmt::AutoEscape(escape) => {
                self.expression(&escape.enabled, Place::Read);
                self.all(&escape.body);
            }
            Stmt::FilterBlock(block) => {
                self.expression(&block.filter, Place::Read);
                self.all(&block.body);
            }
            Stmt::Do(done) => self.call(&done.call, done.span()),
        }
    }

    fn all(&mut self, statements: &[Stmt<'_>]) {
        statements.iter().for_each(|statement| self.statement(statement));
    }

    fn looped(&mut self, looped: &ast::ForLoop<'_>) {
        self.guarded(&looped.iter, Place::Read, |reading| {
            reading.takes(&looped.iter, "`for`", LOOPED);
            if let Expr::List(_) = looped.target {
                reading.takes(&looped.iter, "`for` with several names", &[TextKind::List]);
            }
            reading.locals.push(HashMap::new());
            reading.assign(&looped.target, &Local::Value(None));
            // It runs before the loop begins, so it can't use `loop`.
            if let Some(filter) = &looped.filter_expr {
                reading.expression(filter, Place::Free);
            }
            let scope = reading.locals.last_mut().expect("a loop has a scope");
            scope.insert("loop".to_owned(), Local::Loop { recursive: looped.recursive });
            reading.all(&looped.body);
            reading.locals.pop();
            reading.all(&looped.else_body);
        });
    }

    /// Reads a condition, and the parts that depend on it.
    fn guarded(&mut self, condition: &Expr<'_>, place: Place, inside: impl FnOnce(&mut Self)) {
        let first = self.found.mentions.len();
        self.expression(condition, place);
        let asks = first..self.found.mentions.len();
        let outer = self.guard.replace(self.found.guards.len());
        self.found.guards.push(Guard { outer, asks });
        inside(self);
        self.guard = outer;
    }

    fn set(&mut self, target: &Expr<'_>, value: &Expr<'_>) {
        let path = chain(value);
        if let Some(Chain { root, parts, start: _ }) = &path
            && parts.is_empty()
            && self.local(root).is_none()
            && FUNCTIONS.contains(root)
        {
            return self.assign(target, &Local::Value(None));
        }
        let place = if path.is_some() { Place::Free } else { Place::Read };
        self.expression(value, place);
        let local = match path {
            Some(path) => self.named(path),
            None if is_namespace(value) => Local::Namespace,
            None => Local::Value(kinds::of(value)),
        };
        self.assign(target, &local);
    }

    /// What a variable holds that is set to a path.
    fn named(&self, path: Chain<'_>) -> Local {
        let Chain { root, parts, start: _ } = path;
        let (root, parts) = match self.local(root) {
            None => (root.to_owned(), parts),
            Some(Local::Alias(root, before)) => {
                (root.clone(), before.iter().cloned().chain(parts).collect())
            }
            Some(local) if parts.is_empty() => return local.clone(),
            Some(Local::Loop { .. } | Local::Namespace | Local::Value(_)) => {
                return Local::Value(None);
            }
        };
        if parts.len() > LONGEST_ALIAS { Local::Value(None) } else { Local::Alias(root, parts) }
    }

    /// Notes a variable that the text sets.
    fn assign(&mut self, target: &Expr<'_>, local: &Local) {
        self.found.sets = true;
        match target {
            Expr::Var(variable) => {
                if self.guard.is_some() || self.local(variable.id).is_some() {
                    self.ambiguous.insert(variable.id.to_owned());
                }
                let scope = self.locals.last_mut().expect("a text has a scope");
                scope.insert(variable.id.to_owned(), local.clone());
            }
            Expr::List(list) => self.assign_each(&list.items),
            Expr::Tuple(tuple) => self.assign_each(&tuple.items),
            Expr::GetAttr(_) => self.part_is_set(target),
            Expr::Const(_)
            | Expr::Slice(_)
            | Expr::UnaryOp(_)
            | Expr::BinOp(_)
            | Expr::Compare(_)
            | Expr::IfExpr(_)
            | Expr::Filter(_)
            | Expr::Test(_)
            | Expr::GetItem(_)
            | Expr::Call(_)
            | Expr::Map(_) => {}
        }
    }

    fn assign_each(&mut self, targets: &[Expr<'_>]) {
        targets.iter().for_each(|target| self.assign(target, &Local::Value(None)));
    }

    pub(super) fn local(&self, name: &str) -> Option<&Local> {
        self.locals.iter().rev().find_map(|scope| scope.get(name))
    }

    pub(super) fn expression(&mut self, expression: &Expr<'_>, place: Place) {
        if let Some(chain) = chain(expression) {
            self.mention(chain, end_of(expression), place, false);
            return self.subscripts(expression);
        }
        // The operands of a computation must be there, whatever is done with the result.
        let part = if place == Place::Printed { Place::Printed } else { Place::Read };
        match expression {
            Expr::Var(_) | Expr::Const(_) => {}
            Expr::GetAttr(attribute) => self.expression(&attribute.expr, Place::Read),
            Expr::GetItem(item) => {
                self.expression(&item.expr, Place::Read);
                self.expression(&item.subscript_expr, Place::Read);
            }
            Expr::Slice(slice) => {
                self.expression(&slice.expr, part);
                self.takes(&slice.expr, "`[…:…]`", &[TextKind::Text, TextKind::List]);
                for bound in [&slice.start, &slice.stop, &slice.step].into_iter().flatten() {
                    self.expression(bound, Place::Read);
                }
            }
            Expr::UnaryOp(operation) => match operation.op {
                UnaryOpKind::Not => self.expression(&operation.expr, Place::Free),
                UnaryOpKind::Neg => {
                    self.expression(&operation.expr, part);
                    self.takes(&operation.expr, "`-`", &[TextKind::Number]);
                }
            },
            Expr::BinOp(operation) => self.operation(operation, place, part),
            Expr::Compare(compare) => self.compare(compare),
            Expr::IfExpr(choice) => {
                self.guarded(&choice.test_expr, Place::Free, |reading| {
                    reading.expression(&choice.true_expr, place);
                    if let Some(other) = &choice.false_expr {
                        reading.expression(other, place);
                    }
                });
            }
            Expr::Filter(filter) => self.filter(filter, filter.span(), place),
            Expr::Test(test) => self.test(test, test.span()),
            Expr::Call(call) => self.call(call, call.span()),
            Expr::List(list) => list.items.iter().for_each(|i| self.expression(i, Place::Free)),
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|i| self.expression(i, Place::Free)),
            Expr::Map(map) => {
                map.keys.iter().chain(&map.values).for_each(|i| self.expression(i, Place::Free));
            }
        }
    }

    fn compare(&mut self, compare: &ast::Compare<'_>) {
        self.expression(&compare.expr, Place::Free);
        for operand in &compare.ops {
            match operand.op {
                CompareOpKind::In | CompareOpKind::NotIn => {
                    self.expression(&operand.expr, Place::Read);
                    self.takes(&operand.expr, "`in`", LOOPED);
                }
                CompareOpKind::Eq
                | CompareOpKind::Ne
                | CompareOpKind::Lt
                | CompareOpKind::Lte
                | CompareOpKind::Gt
                | CompareOpKind::Gte => self.expression(&operand.expr, Place::Free),
            }
        }
    }

    fn operation(&mut self, operation: &ast::BinOp<'_>, place: Place, part: Place) {
        let (left, right) = (&operation.left, &operation.right);
        match operation.op {
            BinOpKind::ScAnd | BinOpKind::ScOr => {
                self.guarded(left, Place::Free, |reading| reading.expression(right, place));
            }
            BinOpKind::Eq
            | BinOpKind::Ne
            | BinOpKind::Lt
            | BinOpKind::Lte
            | BinOpKind::Gt
            | BinOpKind::Gte => {
                self.expression(left, Place::Free);
                self.expression(right, Place::Free);
            }
            BinOpKind::In => {
                self.expression(left, Place::Free);
                self.expression(right, Place::Read);
                self.takes(right, "`in`", LOOPED);
            }
            BinOpKind::Add
            | BinOpKind::Sub
            | BinOpKind::Mul
            | BinOpKind::Div
            | BinOpKind::FloorDiv
            | BinOpKind::Rem
            | BinOpKind::Pow
            | BinOpKind::Concat => {
                self.expression(left, part);
                self.expression(right, part);
                self.computed(operation);
            }
        }
    }

    /// Reads what is in the brackets of a path.
    fn subscripts(&mut self, path: &Expr<'_>) {
        if let Expr::GetAttr(attribute) = path {
            self.subscripts(&attribute.expr);
        } else if let Expr::GetItem(item) = path {
            self.subscripts(&item.expr);
            self.expression(&item.subscript_expr, Place::Read);
        }
    }

    pub(super) fn arguments(&mut self, arguments: &[CallArg<'_>], place: Place) {
        for argument in arguments {
            match argument {
                CallArg::Pos(value)
                | CallArg::Kwarg(_, value)
                | CallArg::PosSplat(value)
                | CallArg::KwargSplat(value) => self.expression(value, place),
            }
        }
    }

    pub(super) fn mention(
        &mut self,
        chain: Chain<'_>,
        end: usize,
        place: Place,
        with_fallback: bool,
    ) {
        let Chain { root, mut parts, start } = chain;
        let (mut root, mut local, mut direct) = (root.to_owned(), None, true);
        match self.local(&root) {
            None => {}
            Some(Local::Namespace | Local::Value(_)) => return,
            Some(Local::Loop { .. }) => {
                if place != Place::Asked && !with_fallback {
                    self.part_of_loop(&parts, start..end);
                }
                return;
            }
            Some(Local::Alias(of, before)) => {
                let name = std::mem::replace(&mut root, of.clone());
                parts.splice(0..0, before.iter().cloned());
                local = Some(name).filter(|name| self.ambiguous.contains(name));
                direct = false;
            }
        }
        let (span, guard) = (start..end, self.guard);
        if self.found.mentions.len() == MOST_MENTIONS {
            self.found.problems.push(TextProblem {
                span: span.clone(),
                message: format!("a text names more than {MOST_MENTIONS} variables"),
                unknown: None,
                help: "shorten it, or split it over several templates".into(),
            });
        }
        self.found.mentions.push(Mention {
            root,
            parts,
            span,
            place,
            guard,
            with_fallback,
            local,
            direct,
            used: None,
        });
    }
}

/// The path that an expression spells, if it is one.
pub(super) fn chain<'t>(expression: &'t Expr<'_>) -> Option<Chain<'t>> {
    if let Expr::Var(variable) = expression {
        let start = variable.span().start_offset as usize;
        return Some(Chain { root: variable.id, parts: Vec::new(), start });
    }
    if let Expr::GetAttr(attribute) = expression {
        let mut of = chain(&attribute.expr)?;
        of.parts.push(TextPart::Key(attribute.name.to_owned()));
        return Some(of);
    }
    let Expr::GetItem(item) = expression else { return None };
    let mut of = chain(&item.expr)?;
    of.parts.push(subscript(&item.subscript_expr));
    Some(of)
}

fn subscript(expression: &Expr<'_>) -> TextPart {
    let Expr::Const(constant) = expression else { return TextPart::Computed };
    match (constant.value.as_str(), constant.value.as_i64()) {
        (Some(key), _) => TextPart::Key(key.to_owned()),
        (None, Some(index)) => TextPart::Index(index),
        (None, None) => TextPart::Computed,
    }
}

/// The last byte of an expression.
pub(super) fn end_of(expression: &Expr<'_>) -> usize {
    expression.span().end_offset as usize
}

/// Whether a value is made by `namespace(…)`.
fn is_namespace(value: &Expr<'_>) -> bool {
    let Expr::Call(call) = value else { return false };
    let Expr::Var(function) = &call.expr else { return false };
    function.id == "namespace"
}
