//! Types around comparisons and searches: what can be equal, ordered, looked into or matched.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, LiteralValue, operators};

use super::expression::{NoPattern, check_pattern};
use super::refusals::Problem;
use super::type_check::{Check, Type, shown};

impl Check<'_> {
    /// `==` and `!=`.
    pub(super) fn equality(&mut self, call: &CallExpr, expression: &IdedExpr) -> Type {
        let [left, right] = call.args.as_slice() else { return Type::Bool };
        let (a, b) = (self.infer(left), self.infer(right));
        self.comparable(expression, (left, a), (right, b));
        Type::Bool
    }

    /// What orders, looks into or searches.
    pub(super) fn test(&mut self, call: &CallExpr, expression: &IdedExpr) -> Type {
        match (call.func_name.as_str(), call.target.as_deref(), call.args.as_slice()) {
            (operators::IN, None, [item, list]) => self.membership(item, list),
            (name @ ("contains" | "startsWith" | "endsWith" | "matches"), target, arguments) => {
                match (target, arguments) {
                    (Some(target), [argument]) => {
                        self.search(call, expression, target, argument);
                    }
                    (_, _) => {
                        let message = format!("`{name}` stands behind a text and takes one text");
                        let help = format!("write `contact.title.{name}('VP')`");
                        self.refuse(expression, message, help);
                    }
                }
            }
            (_, _, [left, right]) => self.order(call, expression, left, right),
            (_, _, _) => {}
        }
        Type::Bool
    }

    fn membership(&mut self, item: &IdedExpr, list: &IdedExpr) {
        self.infer(item);
        let found = self.infer(list);
        if !found.fits(&[Type::List]) {
            let message = format!("`in` looks into a list, but this is {}", found.name());
            let help =
                "write `'vip' in contact.tags`, or `contact.title.contains('VP')` for a text";
            self.problems.push(Problem::at(self.span(list), message).help(help));
        }
    }

    fn search(
        &mut self,
        call: &CallExpr,
        expression: &IdedExpr,
        target: &IdedExpr,
        argument: &IdedExpr,
    ) {
        if call.func_name == "contains" && self.is_list(target) {
            let message = "`contains` looks into a text, not into a list";
            self.refuse(expression, message, "write `'vip' in contact.tags`");
            return;
        }
        self.sides(call, &[Type::Text], "works on texts");
        if call.func_name == "matches" {
            self.pattern(argument);
        }
    }

    fn order(&mut self, call: &CallExpr, at: &IdedExpr, left: &IdedExpr, right: &IdedExpr) {
        let (a, b) = (self.infer(left), self.infer(right));
        for (side, found) in [(left, a), (right, b)] {
            if !found.fits(&[Type::Number, Type::Text, Type::Date]) {
                let message = format!("{} can't order {}", shown(&call.func_name), found.name());
                let problem = Problem::at(self.span(side), message);
                self.problems.push(problem.help("use `==` or `!=` here"));
                return;
            }
        }
        self.comparable(at, (left, a), (right, b));
    }

    fn is_list(&mut self, expression: &IdedExpr) -> bool {
        let known = self.problems.len();
        let found = self.infer(expression);
        self.problems.truncate(known);
        found == Type::List
    }

    fn pattern(&mut self, argument: &IdedExpr) {
        let Expr::Literal(LiteralValue::String(pattern)) = &argument.expr else {
            let message = "`matches` wants its pattern as a text in quotes";
            self.refuse(
                argument,
                message,
                "write `contact.title.matches('^VP')`, or use `contains`",
            );
            return;
        };
        let (message, help) = match check_pattern(pattern.inner()) {
            Ok(()) => return,
            Err(NoPattern::Syntax) => (
                "this is no regular expression",
                "write a `\\` before brackets and dots that are meant as such",
            ),
            Err(NoPattern::TooLarge) => (
                "this regular expression is too large",
                "repeat less of it, or ask with `contains` and `startsWith`",
            ),
        };
        self.problems.push(Problem::at(self.span(argument), message).help(help));
    }

    fn comparable(&mut self, at: &IdedExpr, left: (&IdedExpr, Type), right: (&IdedExpr, Type)) {
        let (a, b) = (left.1, right.1);
        for (date, other, text) in [(a, b, right.0), (b, a, left.0)] {
            if date == Type::Date && other == Type::Text {
                return self.date(text);
            }
        }
        if a == b || [a, b].iter().any(|t| matches!(t, Type::Any | Type::Null)) {
            return;
        }
        let message = format!("{} can't be compared with {}", a.name(), b.name());
        let help = match (a, b) {
            (Type::Number, Type::Text) | (Type::Text, Type::Number) => {
                "write numbers without quotes and texts in quotes, on both sides alike"
            }
            (Type::Bool, _) | (_, Type::Bool) => "write `true` or `false` without quotes",
            (Type::List, _) | (_, Type::List) => "write `'vip' in contact.tags`",
            (
                Type::Text | Type::Number | Type::Date | Type::Null | Type::Any,
                Type::Text | Type::Number | Type::Date | Type::Null | Type::Any,
            ) => "compare a date with a text such as `'2027-01-31'`",
        };
        self.refuse(at, message, help);
    }

    fn date(&mut self, text: &IdedExpr) {
        let Expr::Literal(LiteralValue::String(literal)) = &text.expr else { return };
        let day = literal.inner().get(..10).unwrap_or_default();
        if day.parse::<chrono::NaiveDate>().is_err() {
            let message = "this is no date";
            self.problems.push(
                Problem::at(self.span(text), message).help("write a date such as `'2027-01-31'`"),
            );
        }
    }
}
