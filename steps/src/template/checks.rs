//! What can't work in a text whatever its variables hold: filters, tests and functions that do not exist or get other
//! arguments than they take, values of a kind that is not taken, calls of what can't be called.

use std::ops::Range;

use engine::step::{TextKind, TextPart, TextProblem, TextUse};
use minijinja::Value;
use minijinja::machinery::ast::{CallArg, Expr};
use minijinja::machinery::{Span, ast};

use super::kinds;
use super::known::{FILTERS, FUNCTIONS, LOOP, LOOP_METHODS, TESTS, TEXT_FILTERS};
use super::mentions::Place;
use super::reading::{Chain, Local, Reading, chain, end_of};
use super::signatures::{Argument, By, Callee, Signature, Wants, is_any};

impl Reading {
    pub(super) fn filter(&mut self, filter: &ast::Filter<'_>, span: Span, place: Place) {
        let is_known = self.known("filter", filter.name, span, FILTERS);
        let fallback = is_fallback(filter.name);
        let input = match place {
            _ if fallback => Place::Free,
            Place::Printed if TEXT_FILTERS.contains(&filter.name) => Place::Printed,
            Place::Printed | Place::Read | Place::Free | Place::Asked => Place::Read,
        };
        if let Some(expression) = &filter.expr {
            self.expression(expression, input);
        }
        let printed = filter.name == "format" && place == Place::Printed;
        let given = if printed { Place::Printed } else { Place::Read };
        self.arguments(&filter.args, if fallback { Place::Free } else { given });
        if is_known {
            self.applied(filter, span);
        }
        // A fallback that is a variable may be empty as well.
        let varies = first_value(&filter.args).is_some_and(|value| chain(value).is_some());
        if let (true, true, Place::Printed) = (fallback, varies, place)
            && let Some(chain) = filter.expr.as_ref().and_then(chain)
        {
            self.mention(chain, span.end_offset as usize, Place::Printed, true);
        }
    }

    /// Checks what a known filter is applied to and given.
    fn applied(&mut self, filter: &ast::Filter<'_>, span: Span) {
        let at = name_at(filter.name, span);
        let takes = Callee::Filter.signature(filter.name).takes;
        let used = TextUse { by: format!("the filter `{}`", filter.name), takes };
        match &filter.expr {
            Some(value) => self.value_for(value, &used, &at),
            // The text of a block.
            None => self.kind_for(TextKind::Text, &used, &at),
        }
        self.counted(Callee::Filter, filter.name, &filter.args, &at);
        self.nested(filter, span);
        if filter.name == "map" {
            self.mapped(&filter.args, at);
        } else if let ("format", Some(text)) = (filter.name, &filter.expr) {
            self.formatted(text, &filter.args, &at);
        }
    }

    /// Filters and tests that are named by a text, as in `map("upper")`.
    fn nested(&mut self, filter: &ast::Filter<'_>, span: Span) {
        let (callee, index, known) = match filter.name {
            "map" => (Callee::Filter, 0, FILTERS),
            "select" | "reject" => (Callee::Test, 0, TESTS),
            "selectattr" | "rejectattr" => (Callee::Test, 1, TESTS),
            _other => return,
        };
        let Some(CallArg::Pos(Expr::Const(literal))) = filter.args.get(index) else { return };
        let Some(name) = literal.value.as_str() else { return };
        let rest = filter.args.get(index + 1..).unwrap_or_default();
        // `map` keeps arguments with a name to itself.
        let counts =
            callee == Callee::Test || rest.iter().all(|one| matches!(one, CallArg::Pos(_)));
        if self.known(callee.name(), name, span, known) && counts {
            self.counted(callee, name, rest, &name_at(filter.name, span));
        }
    }

    fn mapped(&mut self, arguments: &[CallArg<'_>], at: Range<usize>) {
        let by_filter = arguments.iter().any(|one| matches!(one, CallArg::Pos(_)));
        let by_attribute =
            arguments.iter().any(|one| matches!(one, CallArg::Kwarg("attribute", _)));
        let message = match (by_filter, by_attribute) {
            (true, false) | (false, true) => return,
            (false, false) if is_spread(arguments) => return,
            (false, false) => "the filter `map` takes a filter's name or `attribute`",
            (true, true) => "the filter `map` takes a filter's name or `attribute`, not both",
        };
        self.problem(at, message, "write `map('upper')` or `map(attribute='name')`");
    }

    pub(super) fn test(&mut self, test: &ast::Test<'_>, span: Span) {
        let asked = matches!(test.name, "defined" | "undefined");
        self.expression(&test.expr, if asked { Place::Asked } else { Place::Free });
        self.arguments(&test.args, Place::Read);
        if self.known("test", test.name, span, TESTS) {
            let at = name_at(test.name, span);
            let takes = Callee::Test.signature(test.name).takes;
            let used = TextUse { by: format!("the test `{}`", test.name), takes };
            self.value_for(&test.expr, &used, &at);
            self.counted(Callee::Test, test.name, &test.args, &at);
        }
    }

    pub(super) fn call(&mut self, call: &ast::Call<'_>, span: Span) {
        if let Expr::GetAttr(method) = &call.expr {
            self.expression(&method.expr, Place::Read);
        } else if !matches!(call.expr, Expr::Var(_)) {
            self.expression(&call.expr, Place::Read);
        }
        self.arguments(&call.args, Place::Read);
        if let Expr::Var(function) = &call.expr {
            self.function(function.id, function.span(), &call.args);
        } else if let Expr::GetAttr(method) = &call.expr {
            self.method(method, &call.args, span);
        }
    }

    fn function(&mut self, name: &str, span: Span, arguments: &[CallArg<'_>]) {
        let at = name_at(name, span);
        match self.local(name) {
            None => {
                if self.known("function", name, span, FUNCTIONS) {
                    self.counted(Callee::Function, name, arguments, &at);
                }
            }
            Some(Local::Loop { recursive: true } | Local::Value(None)) => {}
            Some(Local::Loop { recursive: false }) => self.problem(
                at,
                format!("`{name}` can't be called: its `for` is not recursive"),
                "write `recursive` at the end of the `for`",
            ),
            Some(Local::Alias(..) | Local::Namespace | Local::Value(Some(_))) => {
                let help = format!("write `{{{{ {name} }}}}`");
                self.problem(at, format!("`{name}` is a value and can't be called"), help);
            }
        }
    }

    fn method(&mut self, method: &ast::GetAttr<'_>, arguments: &[CallArg<'_>], span: Span) {
        let path = chain(&method.expr);
        let start = path.as_ref().map_or(span.start_offset as usize, |path| path.start);
        let at = start..span.end_offset as usize;
        let is_method = LOOP_METHODS.contains(&method.name);
        let of_loop = match path.as_ref().map(|path| (path, self.local(path.root))) {
            Some((path, Some(Local::Loop { .. }))) if path.parts.is_empty() => true,
            // They may hold the state of a `for`.
            Some((_, Some(Local::Namespace | Local::Value(None)))) => is_method,
            // That there is none is found already.
            Some((path, None)) if path.root == "loop" => return,
            Some((
                _,
                None | Some(Local::Alias(..) | Local::Loop { .. } | Local::Value(Some(_))),
            ))
            | None => false,
        };
        if of_loop && is_method {
            return self.counted(Callee::Method, method.name, arguments, &at);
        }
        let (message, unknown, help) = if of_loop {
            let unknown = Some((method.name.to_owned(), LOOP_METHODS.to_vec()));
            (format!("`loop` has no `.{}(…)`", method.name), unknown, one_of(LOOP_METHODS))
        } else {
            let message = format!("`.{}(…)` can't be called: values have no methods", method.name);
            let help = if FILTERS.contains(&method.name) {
                format!("write the filter: `… | {}`", method.name)
            } else {
                "write a filter, as in `{{ contact.first_name | upper }}`".into()
            };
            (message, None, help)
        };
        self.found.problems.push(TextProblem { span: at, message, unknown, help });
    }

    /// Refuses a part that `loop` does not have.
    pub(super) fn part_of_loop(&mut self, parts: &[TextPart], span: Range<usize>) {
        let Some(TextPart::Key(part)) = parts.first() else { return };
        if LOOP.contains(&part.as_str()) {
            return;
        }
        self.found.problems.push(TextProblem {
            span,
            message: format!("`loop` has no `{part}`"),
            unknown: Some((part.clone(), LOOP.to_vec())),
            help: one_of(LOOP),
        });
    }

    /// Refuses to set a part of something that is no namespace.
    pub(super) fn part_is_set(&mut self, target: &Expr<'_>) {
        let Some(Chain { root, start, parts: _ }) = chain(target) else { return };
        match self.local(root) {
            Some(Local::Namespace | Local::Value(None)) => {}
            Some(Local::Alias(..) | Local::Loop { .. } | Local::Value(Some(_))) | None => self
                .problem(
                    start..end_of(target),
                    format!("parts of `{root}` can't be set: it is not a namespace"),
                    "set a variable of its own, or a part of a `namespace()`",
                ),
        }
    }

    /// Notes what takes a value, and refuses a value of a kind that it does not take.
    pub(super) fn takes(&mut self, value: &Expr<'_>, by: &str, takes: &'static [TextKind]) {
        let start = chain(value).map_or(value.span().start_offset as usize, |path| path.start);
        let used = TextUse { by: by.to_owned(), takes };
        self.value_for(value, &used, &(start..end_of(value)));
    }

    pub(super) fn value_for(&mut self, value: &Expr<'_>, used: &TextUse, at: &Range<usize>) {
        if is_any(used.takes) {
            return;
        }
        if let Some(path) = chain(value) {
            self.path_for(&path, end_of(value), used, at);
        } else if let Expr::Filter(filter) = value
            && is_fallback(filter.name)
        {
            for value in filter.expr.iter().chain(first_value(&filter.args)) {
                self.value_for(value, used, at);
            }
        } else if let Expr::IfExpr(choice) = value {
            for value in std::iter::once(&choice.true_expr).chain(&choice.false_expr) {
                self.value_for(value, used, at);
            }
        } else if let Some(kind) = kinds::of(value) {
            self.kind_for(kind, used, at);
        }
    }

    /// The kind of a field is known to the reader of the document alone.
    fn path_for(&mut self, path: &Chain<'_>, end: usize, used: &TextUse, at: &Range<usize>) {
        let certain = path.parts.is_empty() && !self.ambiguous.contains(path.root);
        match self.local(path.root) {
            Some(&Local::Value(Some(kind))) if certain => self.kind_for(kind, used, at),
            Some(Local::Value(_) | Local::Namespace | Local::Loop { .. }) => {}
            Some(Local::Alias(..)) | None => {
                let span = path.start..end;
                let mut mentions = self.found.mentions.iter_mut().rev();
                let mention = mentions.find(|one| one.span == span && !one.with_fallback);
                if let Some(mention) = mention.filter(|mention| mention.local.is_none()) {
                    mention.used = Some(used.clone());
                }
            }
        }
    }

    fn kind_for(&mut self, kind: TextKind, used: &TextUse, at: &Range<usize>) {
        if !used.takes.contains(&kind) {
            let (message, help) = used.refusal("this", kind.name());
            self.problem(at.clone(), message, help);
        }
    }

    /// Refuses arguments with which every run would be held.
    fn counted(
        &mut self,
        callee: Callee,
        name: &str,
        arguments: &[CallArg<'_>],
        at: &Range<usize>,
    ) {
        let signature = callee.signature(name);
        let by = format!("the {} `{name}`", callee.name());
        let slots: Vec<&Argument> = signature.by_position().collect();
        let (mut values, mut named) = (Vec::new(), Vec::new());
        for argument in arguments {
            match argument {
                CallArg::Pos(value) => values.push(value),
                CallArg::Kwarg(name, value) => named.push((*name, value)),
                CallArg::PosSplat(_) | CallArg::KwargSplat(_) => {}
            }
        }
        let is_named = |(name, _, by): &Argument| {
            *by != By::Position && named.iter().any(|(given, _)| given == name)
        };
        let required = signature.arguments.iter().take(signature.least).skip(values.len());
        // `loop.cycle(*none)` divides by zero.
        let lacks = (callee == Callee::Method || !is_spread(arguments))
            && required.into_iter().any(|argument| !is_named(argument));
        if lacks || (values.len() > slots.len() && !signature.takes_more_values()) {
            let takes = in_words(signature, slots.len());
            let given = match values.len() {
                0 => "none is given".to_owned(),
                1 => "1 is given".to_owned(),
                many => format!("{many} are given"),
            };
            let help = format!("write {}", usage(name, signature));
            self.problem(at.clone(), format!("{by} takes {takes}, and {given}"), help);
        }
        for (argument, value) in slots.iter().zip(&values) {
            self.wanted(&by, argument, value, at);
        }
        for (given, value) in named {
            match signature.by_name().find(|(name, _, _)| *name == given) {
                Some((name, _, _)) if slots.iter().take(values.len()).any(|s| s.0 == *name) => {
                    self.problem(at.clone(), format!("{by} gets `{name}` twice"), "remove one");
                }
                Some(argument) => self.wanted(&by, argument, value, at),
                None if signature.takes_more_names() => {}
                None => self.unknown_name(&by, given, signature, at),
            }
        }
    }

    fn unknown_name(&mut self, by: &str, given: &str, signature: Signature, at: &Range<usize>) {
        let names: Vec<&'static str> = signature.by_name().map(|(name, _, _)| *name).collect();
        let help = if names.is_empty() {
            "remove its name, or remove it".to_owned()
        } else {
            one_of(&names)
        };
        self.found.problems.push(TextProblem {
            span: at.clone(),
            message: format!("{by} has no argument `{given}`"),
            unknown: Some((given.to_owned(), names)),
            help,
        });
    }

    /// Refuses an argument that is never what the callee takes there.
    fn wanted(&mut self, by: &str, argument: &Argument, value: &Expr<'_>, at: &Range<usize>) {
        let (name, wants, _) = *argument;
        let used = TextUse { by: format!("`{name}` of {by}"), takes: wants.kinds() };
        self.value_for(value, &used, at);
        match wants {
            Wants::Anything | Wants::Words | Wants::Truth | Wants::Pairs => {}
            Wants::OneOf(words) => {
                let word = literal(value);
                let word = word.as_ref().and_then(Value::as_str);
                if let Some(word) = word.filter(|word| !words.contains(word)) {
                    self.found.problems.push(TextProblem {
                        span: at.clone(),
                        message: format!("{} can't be `{word}`", used.by),
                        unknown: Some((word.to_owned(), words.to_vec())),
                        help: one_of(words),
                    });
                }
            }
            Wants::Whole(least) => {
                let number = literal(value).filter(Value::is_number);
                let fits = |number: &Value| number.as_i64().is_some_and(|number| number >= least);
                if let Some(number) = number.filter(|number| !fits(number)) {
                    let wanted = match least {
                        i64::MIN => "a whole number".to_owned(),
                        least => format!("a whole number, {least} or more"),
                    };
                    let message = format!("{} takes {wanted}, not {number}", used.by);
                    self.problem(at.clone(), message, format!("write {wanted}"));
                }
            }
        }
    }

    /// Refuses a name that there is not; gives whether there is.
    fn known(
        &mut self,
        kind: &str,
        name: &str,
        span: Span,
        known: &'static [&'static str],
    ) -> bool {
        if known.contains(&name) {
            return true;
        }
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
            span: name_at(name, span),
            message: format!("there is no {kind} `{name}`"),
            unknown: Some((name.to_owned(), known.to_vec())),
            help,
        });
        false
    }

    pub(super) fn problem(
        &mut self,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let (message, help) = (message.into(), help.into());
        self.found.problems.push(TextProblem { span, message, unknown: None, help });
    }
}

/// The place of a name: the arguments after it are not what is wrong with it.
fn name_at(name: &str, span: Span) -> Range<usize> {
    let start = span.start_offset as usize;
    start..(start + name.len()).min(span.end_offset as usize)
}

fn is_fallback(filter: &str) -> bool {
    matches!(filter, "default" | "d")
}

/// The first argument without a name.
fn first_value<'t, 's>(arguments: &'t [CallArg<'s>]) -> Option<&'t Expr<'s>> {
    arguments.iter().find_map(|argument| match argument {
        CallArg::Pos(value) => Some(value),
        CallArg::Kwarg(..) | CallArg::PosSplat(_) | CallArg::KwargSplat(_) => None,
    })
}

/// Whether some arguments are known only when the text is filled in.
fn is_spread(arguments: &[CallArg<'_>]) -> bool {
    arguments.iter().any(|one| matches!(one, CallArg::PosSplat(_) | CallArg::KwargSplat(_)))
}

/// The value of a literal.
fn literal(value: &Expr<'_>) -> Option<Value> {
    if matches!(value, Expr::Const(_) | Expr::UnaryOp(_)) { value.as_const() } else { None }
}

fn in_words(signature: Signature, most: usize) -> String {
    let count = |count: usize| match count {
        0 => "no arguments".to_owned(),
        1 => "1 argument".to_owned(),
        many => format!("{many} arguments"),
    };
    match signature.least {
        least if signature.takes_more_values() => format!("at least {}", count(least)),
        _none if most == 0 && !signature.arguments.is_empty() => {
            "only arguments with a name".to_owned()
        }
        least if least == most => count(most),
        least => format!("{least} to {}", count(most)),
    }
}

/// How something is written with its arguments.
fn usage(name: &str, signature: Signature) -> String {
    let values = signature.by_position().map(|(name, _, _)| (*name).to_owned());
    let named = signature.by_name().filter(|(_, _, by)| *by == By::Name);
    let arguments: Vec<String> =
        values.chain(named.map(|(name, _, _)| format!("{name}=…"))).collect();
    match arguments.as_slice() {
        [] => format!("`{name}` without arguments"),
        arguments => format!("`{name}({})`", arguments.join(", ")),
    }
}

fn one_of(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    format!("write one of {}", quoted.join(", "))
}
