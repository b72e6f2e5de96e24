//! The word that was probably meant.
//!
//! Never decides anything: what it finds stands in an error message only.

use crate::work;

/// The longest word that is compared, in bytes; comparing takes the product of the lengths.
const LONGEST: usize = 100;

/// The candidate closest to `word`, ignoring case; `None` when nothing is close.
pub(super) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    if word.len() > LONGEST {
        return None;
    }
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .filter(|candidate| {
            word.len().abs_diff(candidate.len()) <= word.len().max(candidate.len()) / 3
        })
        .inspect(|candidate| work::count(word.len() * candidate.len()))
        .map(|candidate| (strsim::damerau_levenshtein(&word, &candidate.to_lowercase()), candidate))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, candidate)| *distance <= allowed(&word, candidate))
        .map(|(_, candidate)| candidate)
}

/// A third of the longer word may differ, so that `x` is not taken for `s`.
fn allowed(word: &str, candidate: &str) -> usize {
    word.chars().count().max(candidate.chars().count()) / 3
}

/// `; did you mean `…`?` or nothing.
pub(super) fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> String {
    nearest(word, candidates).map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_typo_finds_its_word_and_nonsense_finds_none() {
        let days = ["monday", "tuesday", "wednesday"];
        assert_eq!(nearest("tusday", days), Some("tuesday"));
        assert_eq!(nearest("Wendesday", days), Some("wednesday"));
        assert_eq!(nearest("fortnight", days), None);
        assert_eq!(nearest("", days), None);
        assert_eq!(nearest("monday", []), None);
    }
}
