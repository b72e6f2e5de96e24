//! Full names, taken apart into a first and a last one. Pure.

use super::words::{self, Part};

/// The first and the last name of a full one; what can't be told apart is the one that such a name begins with.
pub(super) fn split(full: &str) -> (String, String) {
    let full = full.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((last, first)) = full.split_once(',') {
        let ends =
            |word: &str| matches!(words::after_name(word), Some(Part::Degree | Part::Suffix));
        let mut words = first.split([' ', ',']).filter(|word| !word.is_empty()).peekable();
        if words.peek().is_none() || !words.all(ends) {
            let (first, last) = (bare(first), bare(last));
            return (first.join(" "), last.join(" "));
        }
    }
    let words = bare(&full);
    let is_cjk = words.iter().all(|word| word.chars().all(is_cjk)) && !words.is_empty();
    match words.as_slice() {
        [] => (String::new(), String::new()),
        // A family's name comes first there, and is not parted from the given one by a blank.
        [whole] if is_cjk => (String::new(), (*whole).to_owned()),
        [family, given @ ..] if is_cjk => (given.join(" "), (*family).to_owned()),
        words => {
            let particle = |word: &&str| words::before_name(word) == Some(Part::Particle);
            let at = words.iter().skip(1).position(particle).map_or(1, |at| at + 1);
            // What stands last is no particle of anything.
            let at = if at + 1 == words.len() { 1 } else { at };
            (words[..at].join(" "), words[at..].join(" "))
        }
    }
}

/// The words of a name without titles before and degrees after it; one word stays at least.
fn bare(name: &str) -> Vec<&str> {
    let split = |letter: char| letter == ' ' || letter == ',';
    let mut words: Vec<&str> = name.split(split).filter(|word| !word.is_empty()).collect();
    let is_title = |word: &str| {
        // Such as "Dipl.-Ing.".
        word.split_inclusive(['.', '-'])
            .filter(|part| part.chars().any(char::is_alphanumeric))
            .all(|part| words::before_name(part) == Some(Part::Title))
    };
    while words.len() > 1 && is_title(words[0]) {
        words.remove(0);
    }
    while words.len() > 1
        && words.last().is_some_and(|word| words::after_name(word) == Some(Part::Degree))
    {
        words.pop();
    }
    words
}

/// Whether a letter is of Chinese, Japanese or Korean.
fn is_cjk(letter: char) -> bool {
    matches!(letter, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{2ffff}' | '々')
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn a_full_name_is_taken_apart() {
        for (full, first, last) in [
            ("Ada Lovelace", "Ada", "Lovelace"),
            ("Ludwig van Beethoven", "Ludwig", "van Beethoven"),
            ("van der Berg, Anna", "Anna", "van der Berg"),
            ("Juan Carlos de Borbón", "Juan Carlos", "de Borbón"),
            ("María de la Cruz", "María", "de la Cruz"),
            ("Dr. Eva Muster", "Eva", "Muster"),
            ("Prof. Dr. Eva Muster", "Eva", "Muster"),
            ("Dipl.-Ing. Max Muster", "Max", "Muster"),
            ("Herr Max Muster", "Max", "Muster"),
            ("Muster, Dr. Max", "Max", "Muster"),
            ("Eva Muster, PhD", "Eva", "Muster"),
            ("John Smith Jr.", "John", "Smith Jr."),
            ("John Smith, Jr.", "John", "Smith Jr."),
            ("Madonna", "Madonna", ""),
            ("  José   María  Pérez ", "José", "María Pérez"),
            ("王小明", "", "王小明"),
            ("山田 太郎", "太郎", "山田"),
            ("김민수", "", "김민수"),
            ("Jean-Luc Picard", "Jean-Luc", "Picard"),
            ("Van Morrison", "Van", "Morrison"),
            ("Dr", "Dr", ""),
            ("Muster,", "", "Muster"),
            ("", "", ""),
        ] {
            assert_eq!(split(full), (first.to_owned(), last.to_owned()), "{full}");
        }
    }
}
