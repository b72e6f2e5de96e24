//! Did-you-mean: the known name that is nearest to a wrong one. Pure text; knows no registry.

use crate::work;

/// The longest word that is compared, in bytes; nobody means a name by a longer one, and comparing takes the
/// product of the lengths.
const LONGEST: usize = 100;

/// The known name that is near enough to be what was meant.
pub(super) fn nearest<'n>(
    wrong: &str,
    known: impl IntoIterator<Item = &'n str>,
) -> Option<&'n str> {
    if wrong.len() > LONGEST {
        return None;
    }
    let wrong = wrong.to_lowercase();
    known
        .into_iter()
        .inspect(|name| work::count(wrong.len() * name.len()))
        .map(|name| (score(&wrong, &name.to_lowercase()), name))
        .filter(|(score, _)| *score >= 0.72)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}

/// How alike two names are, 0 to 1. A name that holds the other whole counts as near, as in
/// `replied` for `email.replied`.
fn score(wrong: &str, name: &str) -> f64 {
    let spelled_alike = strsim::normalized_damerau_levenshtein(wrong, name);
    let begins_alike = strsim::jaro_winkler(wrong, name) - 0.1;
    let part_of_it = wrong.len() >= 3 && name.split(['.', '_', '-']).any(|part| part == wrong);
    spelled_alike.max(begins_alike).max(if part_of_it { 0.75 } else { 0.0 })
}

/// A help text: the nearest name, or else all of them.
pub fn help<'n>(wrong: &str, known: impl IntoIterator<Item = &'n str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match nearest(wrong, known.iter().copied()) {
        Some(name) => format!("did you mean `{name}`?"),
        None if known.is_empty() => "there is none to name here; remove it".into(),
        None => format!("write {}", one_of(&known)),
    }
}

/// The most names that a message lists.
const LISTED: usize = 12;

/// Names in backticks, as in "`a`, `b` or `c`".
pub(super) fn one_of(names: &[&str]) -> String {
    let mut quoted: Vec<String> =
        names.iter().take(LISTED).map(|name| format!("`{name}`")).collect();
    if names.len() > LISTED {
        return format!("{} and {} more", quoted.join(", "), names.len() - LISTED);
    }
    let last = quoted.pop().unwrap_or_default();
    if quoted.is_empty() { last } else { format!("{} or {last}", quoted.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::{help, nearest, one_of};

    #[test]
    fn a_slip_of_the_keys_finds_the_name_and_a_stranger_finds_none() {
        let known = ["email.send", "wait", "wait.signal", "branch"];
        assert_eq!(nearest("emial.send", known), Some("email.send"));
        assert_eq!(nearest("wait.singal", known), Some("wait.signal"));
        assert_eq!(nearest("Branch", known), Some("branch"));
        assert_eq!(nearest("zebra", known), None);
        assert_eq!(nearest("replied", ["email.replied", "email.sent"]), Some("email.replied"));
    }

    #[test]
    fn lists_read_as_a_sentence() {
        assert_eq!(one_of(&["a", "b", "c"]), "`a`, `b` or `c`");
        assert_eq!(one_of(&["a"]), "`a`");
        assert_eq!(help("zebra", ["a", "b"]), "write `a` or `b`");
    }
}
