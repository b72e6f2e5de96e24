//! What a text names, by minijinja's own tree: each variable with what is done with its value, and the filters, tests
//! and functions that there are not.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use engine::step::{TextName, TextPart, TextProblem, TextRole};
use minijinja::machinery::ast::{BinOpKind, CallArg, CompareOpKind, Expr, Stmt, UnaryOpKind};
use minijinja::machinery::{Span, ast};

use super::known::{FILTERS, FUNCTIONS, TESTS, TEXT_FILTERS};

/// A variable of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mention {
    pub(super) root: String,
    pub(super) parts: Vec<TextPart>,
    /// Its bytes in the text; with its fallback, where that is a variable as well.
    pub(super) span: Range<usize>,
    pub(super) place: Place,
    /// The innermost condition about it, by its index.
    pub(super) guard: Option<usize>,
    /// Whether it has a fallback that may be missing as well; the span holds both then.
    pub(super) with_fallback: bool,
    /// The variable of the text by which it is named, if that may be another field as well.
    pub(super) local: Option<String>,
}

/// Where a value is used, from what needs most to what needs least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In the text: nothing, or an empty text, would leave a hole.
    Printed,
    /// Where there must be something: a loop, a filter, a sum.
    Read,
    /// Where nothing is as good as anything: a condition, a fallback's first choice.
    Free,
}

/// What decides whether a part of the text is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Guard {
    pub(super) outer: Option<usize>,
    /// The mentions that it asks for, by their indices.
    pub(super) asks: Range<usize>,
}

/// What was found in a text.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) mentions: Vec<Mention>,
    pub(super) guards: Vec<Guard>,
    pub(super) problems: Vec<TextProblem>,
    /// Whether the text sets variables, on which more may hang than is known here.
    pub(super) sets: bool,
}

/// The most variables that a text may name, and the longest path by which a variable of the text names another.
const MOST_MENTIONS: usize = 2_000;
const LONGEST_ALIAS: usize = 32;

impl Mention {
    /// The path as people write it, and as minijinja reads it.
    pub(super) fn shown(&self) -> String {
        self.parts.iter().fold(self.root.clone(), |shown, part| match part {
            TextPart::Key(key) if is_word(key) => format!("{shown}.{key}"),
            TextPart::Key(key) => format!("{shown}['{key}']"),
            TextPart::Index(index) => format!("{shown}[{index}]"),
            TextPart::Computed => format!("{shown}[…]"),
        })
    }

    /// The names of the path with dots between.
    pub(super) fn dotted(&self) -> String {
        self.parts.iter().fold(self.root.clone(), |dotted, part| match part {
            TextPart::Key(key) => format!("{dotted}.{key}"),
            TextPart::Index(index) => format!("{dotted}.{index}"),
            TextPart::Computed => dotted,
        })
    }

    pub(super) fn name(&self) -> TextName {
        TextName {
            root: self.root.clone(),
            parts: self.parts.clone(),
            span: self.span.clone(),
            role: match self.place {
                Place::Printed => TextRole::Printed,
                Place::Read | Place::Free => TextRole::Read,
            },
        }
    }
}

fn is_word(key: &str) -> bool {
    key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !key.starts_with(|c: char| c.is_ascii_digit())
}

/// Reads a text's tree.
pub(super) fn of(tree: &Stmt<'_>) -> Found {
    let mut reading = Reading { locals: vec![HashMap::new()], ..Reading::default() };
    reading.statement(tree);
    reading.found
}

/// What a variable that the text sets is another name of.
type Alias = Option<(String, Vec<TextPart>)>;

#[derive(Default)]
struct Reading {
    found: Found,
    /// The variables that the text sets, innermost last.
    locals: Vec<HashMap<String, Alias>>,
    /// Those that are set twice, or under a condition: they are another name of more than one field.
    ambiguous: HashSet<String>,
    guard: Option<usize>,
}

/// A path before it is known what its root is.
struct Chain<'t> {
    root: &'t str,
    parts: Vec<TextPart>,
    start: usize,
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
                self.assign(&set.target, None);
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
            reading.locals.push(HashMap::from([("loop".to_owned(), None)]));
            reading.assign(&looped.target, None);
            if let Some(filter) = &looped.filter_expr {
                reading.expression(filter, Place::Free);
            }
            reading.all(&looped.body);
            reading.locals.pop();
            reading.all(&looped.else_body);
        });
    }

    /// Reads a condition, and what is there only under it.
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
        let place = if chain(value).is_some() { Place::Free } else { Place::Read };
        self.expression(value, place);
        let alias = chain(value).and_then(|chain| match self.local(chain.root) {
            None => Some((chain.root.to_owned(), chain.parts)),
            Some(alias) => {
                let (root, parts) = alias.clone()?;
                Some((root, parts.into_iter().chain(chain.parts).collect()))
            }
        });
        let alias =
            alias.filter(|(_, parts): &(String, Vec<TextPart>)| parts.len() <= LONGEST_ALIAS);
        self.assign(target, alias);
    }

    /// Notes a variable that the text sets; a part of a namespace is none.
    fn assign(&mut self, target: &Expr<'_>, alias: Alias) {
        self.found.sets = true;
        if let Expr::Var(variable) = target
            && !self.locals.is_empty()
        {
            if self.guard.is_some() || self.local(variable.id).is_some() {
                self.ambiguous.insert(variable.id.to_owned());
            }
            let scope = self.locals.last_mut().expect("a text has a scope");
            scope.insert(variable.id.to_owned(), alias);
        } else if let Expr::List(list) = target {
            list.items.iter().for_each(|item| self.assign(item, None));
        } else if let Expr::Tuple(tuple) = target {
            tuple.items.iter().for_each(|item| self.assign(item, None));
        }
    }

    fn local(&self, name: &str) -> Option<&Alias> {
        self.locals.iter().rev().find_map(|scope| scope.get(name))
    }

    fn expression(&mut self, expression: &Expr<'_>, place: Place) {
        if let Some(chain) = chain(expression) {
            let end = expression.span().end_offset as usize;
            self.mention(chain, end, place, false);
            return self.subscripts(expression);
        }
        // What is computed with must be there, wherever the result goes.
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
                for bound in [&slice.start, &slice.stop, &slice.step].into_iter().flatten() {
                    self.expression(bound, Place::Read);
                }
            }
            Expr::UnaryOp(operation) => match operation.op {
                UnaryOpKind::Not => self.expression(&operation.expr, Place::Free),
                UnaryOpKind::Neg => self.expression(&operation.expr, part),
            },
            Expr::BinOp(operation) => self.operation(operation, place, part),
            Expr::Compare(compare) => {
                self.expression(&compare.expr, Place::Free);
                for operand in &compare.ops {
                    let place = match operand.op {
                        CompareOpKind::In | CompareOpKind::NotIn => Place::Read,
                        CompareOpKind::Eq
                        | CompareOpKind::Ne
                        | CompareOpKind::Lt
                        | CompareOpKind::Lte
                        | CompareOpKind::Gt
                        | CompareOpKind::Gte => Place::Free,
                    };
                    self.expression(&operand.expr, place);
                }
            }
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
                self.expression(left, Place::Read);
                self.expression(right, Place::Read);
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

    fn filter(&mut self, filter: &ast::Filter<'_>, span: Span, place: Place) {
        self.known("filter", filter.name, span, FILTERS);
        self.counted("filter", filter.name, &filter.args, span);
        let fallback = matches!(filter.name, "default" | "d");
        let input = match place {
            _ if fallback => Place::Free,
            Place::Printed if TEXT_FILTERS.contains(&filter.name) => Place::Printed,
            Place::Printed | Place::Read | Place::Free => Place::Read,
        };
        if let Some(expression) = &filter.expr {
            self.expression(expression, input);
        }
        let printed = filter.name == "format" && place == Place::Printed;
        let given = if printed { Place::Printed } else { Place::Read };
        self.arguments(&filter.args, if fallback { Place::Free } else { given });
        self.named(filter, span);
        // A fallback that is a variable may be empty as well.
        let varies = filter.args.iter().any(|argument| match argument {
            CallArg::Pos(value) => chain(value).is_some(),
            CallArg::Kwarg(..) | CallArg::PosSplat(_) | CallArg::KwargSplat(_) => false,
        });
        if let (true, true, Place::Printed) = (fallback, varies, place)
            && let Some(chain) = filter.expr.as_ref().and_then(chain)
        {
            self.mention(chain, span.end_offset as usize, Place::Printed, true);
        }
    }

    /// Filters and tests that are named by a text, as in `map("upper")`.
    fn named(&mut self, filter: &ast::Filter<'_>, span: Span) {
        let text = |index: usize| {
            let Some(CallArg::Pos(Expr::Const(name))) = filter.args.get(index) else { return None };
            name.value.as_str().map(str::to_owned)
        };
        let (kind, named, known) = match filter.name {
            "map" => ("filter", text(0), FILTERS),
            "select" | "reject" => ("test", text(0), TESTS),
            "selectattr" | "rejectattr" => ("test", text(1), TESTS),
            _other => return,
        };
        if let Some(name) = named {
            self.known(kind, &name, span, known);
        }
    }

    fn test(&mut self, test: &ast::Test<'_>, span: Span) {
        self.known("test", test.name, span, TESTS);
        self.counted("test", test.name, &test.args, span);
        self.expression(&test.expr, Place::Free);
        self.arguments(&test.args, Place::Read);
    }

    fn call(&mut self, call: &ast::Call<'_>, span: Span) {
        if let Expr::Var(function) = &call.expr {
            if self.local(function.id).is_none() {
                self.known("function", function.id, function.span(), FUNCTIONS);
            }
        } else if let Expr::GetAttr(method) = &call.expr {
            self.method(method, span);
        } else {
            self.expression(&call.expr, Place::Read);
        }
        self.arguments(&call.args, Place::Read);
    }

    fn method(&mut self, method: &ast::GetAttr<'_>, span: Span) {
        self.expression(&method.expr, Place::Read);
        let of = chain(&method.expr);
        if of.as_ref().is_some_and(|chain| chain.root == "loop") {
            return;
        }
        let start = of.map_or(span.start_offset as usize, |chain| chain.start);
        let help = if FILTERS.contains(&method.name) {
            format!("write the filter: `… | {}`", method.name)
        } else {
            "write a filter, as in `{{ contact.first_name | upper }}`".into()
        };
        self.found.problems.push(TextProblem {
            span: start..span.end_offset as usize,
            message: format!("`.{}(…)` can't be called: values have no methods", method.name),
            unknown: None,
            help,
        });
    }

    fn arguments(&mut self, arguments: &[CallArg<'_>], place: Place) {
        for argument in arguments {
            match argument {
                CallArg::Pos(value)
                | CallArg::Kwarg(_, value)
                | CallArg::PosSplat(value)
                | CallArg::KwargSplat(value) => self.expression(value, place),
            }
        }
    }

    /// Refuses a number of arguments on which every run would be held.
    fn counted(&mut self, kind: &str, name: &str, arguments: &[CallArg<'_>], span: Span) {
        let given = arguments.iter().filter(|argument| matches!(argument, CallArg::Pos(_))).count();
        if given < arguments.len() {
            return;
        }
        let Some((least, most)) = super::known::arguments(kind, name) else { return };
        if (least..=most).contains(&given) {
            return;
        }
        let takes = if least == most { least.to_string() } else { format!("{least} to {most}") };
        let start = span.start_offset as usize;
        self.found.problems.push(TextProblem {
            span: start..(start + name.len()).min(span.end_offset as usize),
            message: format!("the {kind} `{name}` takes {takes} arguments, and {given} are given"),
            unknown: None,
            help: "write the arguments in the brackets behind its name".into(),
        });
    }

    fn known(&mut self, kind: &str, name: &str, span: Span, known: &'static [&'static str]) {
        if known.contains(&name) {
            return;
        }
        // The arguments of a filter are not what is wrong with it.
        let start = span.start_offset as usize;
        let help = match kind {
            "function" => "write `{{ contact.first_name }}` for a field; functions are \
                           `range`, `dict` and `namespace`"
                .to_owned(),
            _filter_or_test => {
                let some: Vec<String> = known.iter().take(12).map(|k| format!("`{k}`")).collect();
                format!("write another {kind}, such as {}", some.join(", "))
            }
        };
        self.found.problems.push(TextProblem {
            span: start..(start + name.len()).min(span.end_offset as usize),
            message: format!("there is no {kind} `{name}`"),
            unknown: Some((name.to_owned(), known)),
            help,
        });
    }

    fn mention(&mut self, chain: Chain<'_>, end: usize, place: Place, with_fallback: bool) {
        let Chain { root, mut parts, start } = chain;
        let mut root = root.to_owned();
        let mut local = None;
        match self.local(&root).cloned() {
            None => {}
            Some(None) => return,
            Some(Some((of, before))) => {
                let name = std::mem::replace(&mut root, of);
                local = Some(name).filter(|name| self.ambiguous.contains(name));
                parts.splice(0..0, before);
            }
        }
        let (span, guard) = (start..end, self.guard);
        if self.found.mentions.len() == MOST_MENTIONS {
            self.found.problems.push(TextProblem {
                span: span.clone(),
                message: format!("a text names more than {MOST_MENTIONS} variables"),
                unknown: None,
                help: "shorten it, or part it among several templates".into(),
            });
        }
        self.found.mentions.push(Mention { root, parts, span, place, guard, with_fallback, local });
    }
}

/// The path that an expression spells, if it is one.
fn chain<'t>(expression: &'t Expr<'_>) -> Option<Chain<'t>> {
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
