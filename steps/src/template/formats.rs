//! `'%s: %.1f' | format(…)`: whether the text has a value for each of its conversions, and one that it can write.
//!
//! The conversions are those of minijinja's `formatting.rs`, after Python's `%`.

use std::ops::Range;

use engine::step::TextUse;
use minijinja::machinery::ast::{CallArg, Expr};

use super::reading::Reading;
use super::signatures::NUMERIC;

/// What a text does with the values that it formats.
#[derive(Debug, PartialEq, Eq)]
enum Conversions<'t> {
    /// It writes them in turn, each by a letter.
    InTurn(Vec<char>),
    /// It writes some by name.
    ByName,
    /// It holds a `%` that begins none.
    Wrong(&'t str),
}

impl Reading {
    /// Refuses values that a literal text can't write.
    pub(super) fn formatted(
        &mut self,
        text: &Expr<'_>,
        arguments: &[CallArg<'_>],
        at: &Range<usize>,
    ) {
        let Expr::Const(literal) = text else { return };
        let Some(text) = literal.value.as_str() else { return };
        let mut values = Vec::new();
        for argument in arguments {
            match argument {
                CallArg::Pos(value) => values.push(value),
                CallArg::Kwarg(..) | CallArg::PosSplat(_) | CallArg::KwargSplat(_) => return,
            }
        }
        let letters = match conversions(text) {
            Conversions::InTurn(letters) => letters,
            Conversions::ByName => return,
            Conversions::Wrong(part) => {
                let message = format!("`{part}` is not a conversion of the filter `format`");
                let help = "write `%s` for any value, `%d` for a whole number, `%.2f` for one with decimals, `%%` \
                            for a percent sign";
                return self.problem(at.clone(), message, help);
            }
        };
        if values.len() < letters.len() {
            let (wanted, given) = (letters.len(), values.len());
            let message =
                format!("this text needs {wanted} values, and the filter `format` gets {given}");
            return self.problem(at.clone(), message, "give it one for each conversion");
        }
        for (letter, value) in letters.into_iter().zip(values) {
            if !matches!(letter, 's' | 'c') {
                let used = TextUse { by: format!("`%{letter}`"), takes: NUMERIC };
                self.value_for(value, &used, at);
            }
        }
    }
}

fn conversions(text: &str) -> Conversions<'_> {
    let mut letters = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('%') {
        if let Some(after) = after.strip_prefix('%') {
            rest = after;
            continue;
        }
        if after.starts_with('(') {
            return Conversions::ByName;
        }
        let digits = |part: &str| part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let flagged = after.trim_start_matches(['#', '0', '-', ' ', '+']);
        let wide = &flagged[flagged.len() - digits(flagged)..];
        let precise = match wide.strip_prefix('.') {
            Some(part) => &part[part.len() - digits(part)..],
            None => wide,
        };
        let typed = precise.strip_prefix(['h', 'l', 'L']).unwrap_or(precise);
        let mut characters = typed.chars();
        match characters.next().filter(|letter| "dioxXeEfFgGcs".contains(*letter)) {
            Some(letter) => letters.push(letter),
            None => {
                let end = rest.len() - characters.as_str().len();
                let start = rest.len() - after.len() - 1;
                return Conversions::Wrong(&rest[start..end]);
            }
        }
        rest = characters.as_str();
    }
    Conversions::InTurn(letters)
}

#[cfg(test)]
mod tests {
    use super::{Conversions, conversions};

    #[test]
    fn the_conversions_of_a_text_are_found_in_their_order() {
        for (text, letters) in [
            ("no conversion, 100%%", ""),
            ("%s and %5.1f%%", "sf"),
            ("%-8s|%+d|% i|%08.3lf|%#x|%c", "sdifxc"),
            ("ä%sö", "s"),
        ] {
            assert_eq!(conversions(text), Conversions::InTurn(letters.chars().collect()), "{text}");
        }
        assert_eq!(conversions("%(name)s"), Conversions::ByName);
        assert_eq!(conversions("100% of"), Conversions::InTurn(vec!['o']));
        for (text, part) in [("100%", "%"), ("%s %y", "%y"), ("%5.2ü!", "%5.2ü")] {
            assert_eq!(conversions(text), Conversions::Wrong(part), "{text}");
        }
    }
}
