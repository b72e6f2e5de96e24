//! The text of files that are not UTF-8, if their letters identify the encoding. A file of DOS or of an old Mac can be
//! decoded as windows-1252 as well, which puts signs in the middle of names; such a file is refused. Pure.

use encoding_rs::{Encoding, WINDOWS_1252};

use super::ImportError;

/// With at least this many letters that two encodings read differently, the guess is trusted.
const TELLING: usize = 10;
/// How many such letters are compared at most.
const MOST: usize = 1_000;
/// This many ordinary letters outweigh one sign in the middle of a word.
const WEIGHT: usize = 20;
/// The longest word that an error shows, in letters.
const SHOWN: usize = 40;

/// Signs that no word has between two letters.
const NEVER_BETWEEN: &str = "‚„†‡ˆ‰‹›˜“”¡¢£¤¥¦§¨«¬¯±¶¸»¼½¾¿";
/// Signs of brands and lists, rarely right before a lowercase letter.
const BRANDS: &str = "™®©•";
/// Signs that never follow a letter.
const NEVER_AFTER: &str = "‚„ˆ‰‡ƒ¡¿¤";
/// Signs that follow a letter only before a number.
const BEFORE_NUMBER: &str = "¢£¥§¸";
/// Signs that are never right before a lowercase letter.
const NEVER_BEFORE: &str = "†‡ˆ˜ƒ¤¸¬‰¦£¥§";
/// What some lowercase letters of DOS and of an old Mac are decoded as.
const CAPITALS: &str = "ŠŽŒŸÆ";
const VOWELS: &str = "aeiouyàáâãäåāăąæèéêëēėęěìíîïīįıòóôõöøōőœùúûüūůűųýÿ";

/// Refuses text with a control character of U+0080 to U+009F: nobody types one, so the text was decoded wrongly.
pub(super) fn refuse_controls(text: &str) -> Result<(), ImportError> {
    match text.find(|letter: char| matches!(letter, '\u{80}'..='\u{9f}')) {
        Some(at) => Err(unknown(text, at)),
        None => Ok(()),
    }
}

/// The text of bytes that are not UTF-8.
pub(super) fn decode(bytes: &[u8]) -> Result<String, ImportError> {
    let mut detector = chardetng::EncodingDetector::new(chardetng::Iso2022JpDetection::Deny);
    detector.feed(bytes, true);
    let guess = detector.guess(None, chardetng::Utf8Detection::Deny);
    let text = whole(guess, bytes)?;
    refuse_controls(&text)?;
    if !is_latin(guess) {
        return match mixed(&text) {
            Some(at) => Err(unknown(&text, at)),
            None => Ok(text),
        };
    }
    if let Some(at) = odd(&text) {
        return Err(unknown(&text, at));
    }
    western(bytes, guess, &text).unwrap_or(Ok(text))
}

/// All of a text, in an encoding that is known or guessed.
pub(super) fn whole(encoding: &'static Encoding, bytes: &[u8]) -> Result<String, ImportError> {
    let (text, has_errors) = encoding.decode_without_bom_handling(bytes);
    match text.find('\u{fffd}').filter(|_| has_errors) {
        Some(at) => Err(unknown(&text, at)),
        None => Ok(text.into_owned()),
    }
}

/// The refusal of a file whose encoding is unknown, with the word at `at`.
fn unknown(text: &str, at: usize) -> ImportError {
    let mark = if text.contains('\n') { '\n' } else { '\r' };
    let line = 1 + text[..at].matches(mark).count() as u64;
    let ends_word = |letter: char| letter.is_ascii() && !letter.is_ascii_alphabetic();
    let begins = text[..at].rfind(ends_word).map_or(0, |before| before + 1);
    let ends = text[at..].find(ends_word).map_or(text.len(), |length| at + length);
    let shown = |letter: char| if letter.is_control() { '\u{fffd}' } else { letter };
    let word: String = text[begins..ends].chars().take(SHOWN).map(shown).collect();
    let problem = format!("its encoding is unknown, as `{word}` shows; save the file as CSV UTF-8");
    ImportError::Unreadable { line, problem }
}

/// Whether an encoding has Latin letters, each of one byte.
fn is_latin(encoding: &'static Encoding) -> bool {
    let latin = [
        WINDOWS_1252,
        encoding_rs::WINDOWS_1250,
        encoding_rs::WINDOWS_1254,
        encoding_rs::WINDOWS_1257,
        encoding_rs::WINDOWS_1258,
        encoding_rs::ISO_8859_2,
        encoding_rs::ISO_8859_3,
        encoding_rs::ISO_8859_4,
        encoding_rs::ISO_8859_10,
        encoding_rs::ISO_8859_13,
        encoding_rs::ISO_8859_14,
        encoding_rs::ISO_8859_15,
        encoding_rs::ISO_8859_16,
    ];
    latin.contains(&encoding)
}

/// The text as windows-1252, by far the most frequent encoding, if its letters fit better than those of another guess;
/// a refusal if neither fits better. `None` keeps the guess.
fn western(
    bytes: &[u8],
    guess: &'static Encoding,
    guessed: &str,
) -> Option<Result<String, ImportError>> {
    if guess == WINDOWS_1252 {
        return None;
    }
    let text = WINDOWS_1252.decode_without_bom_handling(bytes).0;
    if refuse_controls(&text).is_err() || odd(&text).is_some() {
        return None;
    }
    let (mut differ, mut for_guess, mut for_western) = (Vec::new(), 0_usize, 0_usize);
    for at in (0..bytes.len()).filter(|at| !bytes[*at].is_ascii()) {
        let (as_guessed, as_western) =
            (Place::of(guess, bytes, at), Place::of(WINDOWS_1252, bytes, at));
        if as_guessed.letter == as_western.letter {
            continue;
        }
        if !as_western.letter.is_alphabetic() {
            return None;
        }
        differ.push(at);
        for_guess += usize::from(as_guessed.fits());
        for_western += usize::from(as_western.fits());
        if differ.len() == MOST {
            break;
        }
    }
    let first = *differ.first()?;
    if for_western > for_guess {
        return Some(Ok(text.into_owned()));
    }
    // Few files have another encoding than windows-1252, so one letter does not prove it.
    if for_guess < for_western + 2 && differ.len() < TELLING {
        let at = guessed.char_indices().nth(first).map_or(0, |(at, _)| at);
        return Some(Err(unknown(guessed, at)));
    }
    None
}

/// A letter and its neighbours, in an encoding with one byte per letter.
struct Place {
    before: Option<char>,
    letter: char,
    after: Option<char>,
}

impl Place {
    fn of(encoding: &'static Encoding, bytes: &[u8], at: usize) -> Self {
        let letter = |at: usize| {
            let byte = bytes.get(at..=at)?;
            encoding.decode_without_bom_handling(byte).0.chars().next()
        };
        Self {
            before: at.checked_sub(1).and_then(letter),
            letter: letter(at).unwrap_or_default(),
            after: letter(at + 1),
        }
    }

    /// Whether the letter fits into a word: a vowel between consonants, a consonant next to a vowel.
    fn fits(&self) -> bool {
        let (follows, leads) =
            (self.before.is_some_and(is_vowel), self.after.is_some_and(is_vowel));
        match self.letter {
            'ñ' => leads,
            'ń' => !leads,
            'ã' => matches!(self.after, Some('o' | 'e')),
            'ă' => !matches!(self.after, Some('o' | 'e')),
            'ï' | 'ë' if follows => true,
            letter if is_vowel(letter) => !follows && !leads,
            _consonant => follows || leads,
        }
    }
}

fn is_vowel(letter: char) -> bool {
    letter.to_lowercase().any(|letter| VOWELS.contains(letter))
}

fn is_consonant(letter: char) -> bool {
    letter.is_alphabetic() && !is_vowel(letter)
}

/// How unlikely a sign is at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Odd {
    /// In no word.
    Never,
    /// In no name, but perhaps in a sentence.
    Seldom,
}

/// The first unlikely sign of Latin text, unless ordinary letters outweigh such signs.
fn odd(text: &str) -> Option<usize> {
    let (mut never, mut seldom, mut letters) = (Vec::new(), Vec::new(), 0_usize);
    for (at, letter) in text.char_indices().filter(|(_, letter)| !letter.is_ascii()) {
        let (before, after) = (&text[..at], &text[at + letter.len_utf8()..]);
        match oddness(before, letter, after) {
            Some(Odd::Never) => never.push(at),
            Some(Odd::Seldom) => seldom.push(at),
            None => letters += usize::from(letter.is_alphabetic()),
        }
    }
    let first = |signs: &[usize], weight: usize| {
        signs.first().copied().filter(|_| signs.len() * weight > letters)
    };
    first(&never, WEIGHT).or_else(|| first(&seldom, 1))
}

fn oddness(before: &str, letter: char, after: &str) -> Option<Odd> {
    let (last, next) = (before.chars().next_back(), after.chars().next());
    let last_letter = last.filter(|last| last.is_alphabetic());
    let next_letter = next.filter(|next| next.is_alphabetic());
    let is_between = last_letter.is_some() && next_letter.is_some();
    let leads_lower = next_letter.is_some_and(char::is_lowercase);
    let leads_number = next.is_some_and(|next| next.is_ascii_digit());
    let is_capital_within = last_letter.is_some_and(|last| last.is_lowercase() || leads_lower);
    let never = (is_between && NEVER_BETWEEN.contains(letter))
        || (last_letter.is_some() && NEVER_AFTER.contains(letter))
        || (last_letter.is_some() && !leads_number && BEFORE_NUMBER.contains(letter))
        || (leads_lower && NEVER_BEFORE.contains(letter))
        || (is_capital_within && CAPITALS.contains(letter))
        || is_umlaut(last_letter, letter, next_letter)
        || is_sharp_s(before, letter, next);
    if never {
        return Some(Odd::Never);
    }
    let follows_word = last.is_some_and(char::is_alphanumeric);
    let seldom = match letter {
        '–' | '—' => last_letter.is_some() && leads_lower,
        '‘' => {
            let is_ending = matches!(next, Some('s' | 't' | 'd' | 'm'));
            last_letter.is_some() && leads_lower && !is_ending && next.is_some_and(is_consonant)
        }
        '…' | '€' => leads_lower && !follows_word,
        _brand if BRANDS.contains(letter) => {
            leads_lower && (last_letter.is_some() || letter != '•')
        }
        _other => false,
    };
    (seldom && is_short(before, after)).then_some(Odd::Seldom)
}

/// `š` in place of a vowel: `ö` of an old Mac or, among capitals, `Ü` of DOS.
fn is_umlaut(last: Option<char>, letter: char, next: Option<char>) -> bool {
    let (Some(last), Some(next)) = (last, next) else { return false };
    let is_capitals = last.is_uppercase() && next.is_uppercase();
    letter == 'š' && (is_capitals || (is_consonant(last) && "bdfghlrswz".contains(next)))
}

/// `á` in place of a `ß` of DOS, as in `Groá`, but not in the Portuguese `Croácia`.
fn is_sharp_s(before: &str, letter: char, next: Option<char>) -> bool {
    let follows = before.ends_with(['a', 'o']) || before.ends_with("ei");
    letter == 'á' && follows && !matches!(next, Some('c' | 'z'))
}

/// Whether the text around a sign, within its cell, is as short as a name.
fn is_short(before: &str, after: &str) -> bool {
    let parts = [',', ';', '\t', '|', '\n', '\r', '"'];
    let begins = before.rsplit(parts).next().unwrap_or_default();
    let ends = after.split(parts).next().unwrap_or_default();
    begins.split_whitespace().count() + ends.split_whitespace().count() <= 4
}

/// The first word of another script that has a single such letter among Latin ones, if most of its words are like that.
fn mixed(text: &str) -> Option<usize> {
    let mut words = Vec::new();
    let mut at = 0;
    for word in text.split(|letter: char| letter.is_ascii() && !letter.is_ascii_alphabetic()) {
        if !word.is_ascii() {
            words.push((at, is_mixed(word)));
        }
        at += word.len() + 1;
    }
    let mixed = words.iter().filter(|(_, is_mixed)| *is_mixed).count();
    let first = words.iter().find(|(_, is_mixed)| *is_mixed)?;
    (mixed * 2 > words.len()).then_some(first.0)
}

/// Whether a word of Latin letters has a single letter of another script.
fn is_mixed(word: &str) -> bool {
    let mut runs = word.split(|letter: char| letter.is_ascii()).filter(|run| !run.is_empty());
    word.contains(|letter: char| letter.is_ascii()) && runs.any(|run| run.chars().count() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(bytes: &[u8]) -> String {
        let file = [b"Email,Name\na@b.example,", bytes, b"\n"].concat();
        match decode(&file) {
            Ok(text) => text.trim_end().rsplit(',').next().unwrap_or_default().to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn names_of_dos_and_of_an_old_mac_are_refused_with_their_line() {
        let names: [&[u8]; 22] = [
            // IBM850 and IBM437: Müller, Jörg, José, Zoë, François, García, Peña, López, Groß, São.
            b"M\x81ller",
            b"J\x94rg",
            b"Jos\x82",
            b"Zo\x89",
            b"Fran\x87ois",
            b"Garc\xa1a",
            b"Pe\xa4a",
            b"L\xa2pez",
            b"Gro\xe1",
            b"S\xc6o",
            b"M\x9aLLER",
            // Mac Roman: Müller, Jörg, Jäger, José, Noël, François, Peña, López, Groß, Søren, Österreich.
            b"M\x9fller",
            b"J\x9arg",
            b"J\x8ager",
            b"Jos\x8e",
            b"No\x91l",
            b"Fran\x8dois",
            b"Pe\x96a",
            b"L\x97pez",
            b"Gro\xa7",
            b"S\xbfren",
            b"\x85sterreich",
        ];
        for name in names {
            let told = told(name);
            let begins = "line 2 can't be read as CSV: its encoding is unknown, as `";
            assert!(told.starts_with(begins), "{name:?}: {told}");
            assert!(told.ends_with("save the file as CSV UTF-8"), "{told}");
        }
    }

    #[test]
    fn names_of_an_old_export_are_read_where_their_letters_tell_the_encoding() {
        let names: [(&[u8], &str); 12] = [
            (b"Jos\xe9 Garc\xeda", "José García"),
            (b"M\xfcller", "Müller"),
            (b"H\xe9l\xe8ne", "Hélène"),
            (b"Pe\xf1a", "Peña"),
            (b"Jo\xe3o", "João"),
            (b"S\xf8ren", "Søren"),
            (b"Wa\xb3\xeasa", "Wałęsa"),
            (b"O\x92Neill", "O’Neill"),
            (b"\x84Acme\x93 GmbH", "„Acme“ GmbH"),
            (b"Acme\x99 \x96 5\x80", "Acme™ – 5€"),
            (b"Tom\xe1\x9a", "Tomáš"),
            (b"Cro\xe1cia", "Croácia"),
        ];
        for (bytes, name) in names {
            assert_eq!(told(bytes), name);
        }
        let told = told(b"Ana\xefs");
        assert!(told.contains("encoding is unknown"), "two encodings fit: {told}");
    }

    #[test]
    fn a_sentence_may_hold_signs_that_no_name_does() {
        let odd = |text: &str| super::odd(text).is_some();
        assert!(odd("Email,Name\na,Pe–a\n"));
        assert!(!odd("Email,Note\na,he waited for a long time–then he left\n"));
        assert!(!odd("Email,Note\na,Müller\nb,win–win\n"), "other letters are as they should be");
        let many = "Müller ".repeat(30);
        assert!(!odd(&format!("{many},x‡y")) && odd(&format!("Müller,{}", "x‡y,".repeat(30))));
        assert!(mixed("a,Сергей Iванов\nb,Анна\n").is_none());
        assert!(mixed("a,ソニー株式会社ABC\n").is_none());
    }
}
