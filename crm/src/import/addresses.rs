//! The address of a cell as products write it: with a name, a label, a scheme or a comment around it, or several addresses
//! in one cell. Ambiguous text is not an address. Pure.

use super::words::{self, Says};
use crate::address::{self, Named};

/// The longest text that is one address with what is around it, in bytes.
const LONGEST: usize = 500;
/// What separates a text from the address that it links to, such as in Monday's exports.
const LINKS: [&str; 4] = [" - ", " – ", " — ", "|"];
/// Words between several addresses.
const BETWEEN: [&str; 6] = ["/", "&", "and", "or", "und", "oder"];
/// What may surround an address without being part of it.
const AROUND: [char; 17] =
    ['"', '\'', '`', '´', '‘', '’', '‚', '“', '”', '„', '«', '»', '‹', '›', ',', ';', ':'];

/// The address of a cell; of several, the first.
pub(super) fn first(cell: &str) -> Option<Named> {
    let cell = &plain(cell);
    if let Some(alone) = alone(cell) {
        return Some(alone);
    }
    let parts = parts(cell);
    let mut named = parts.iter().map(|part| alone(part));
    let first = named.next()??;
    named.all(|other| other.is_some()).then_some(first)
}

/// The text without invisible characters, and with fullwidth letters as plain ones.
fn plain(cell: &str) -> String {
    let plain = |letter: char| match letter {
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' => None,
        '\u{ad}' | '\u{feff}' => None,
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(letter) - 0xfee0),
        '\u{fe6b}' => Some('@'),
        '\u{3001}' => Some(','),
        '\u{3002}' | '\u{ff61}' => Some('.'),
        blank if blank.is_whitespace() && blank != '\n' && blank != '\t' => Some(' '),
        other => Some(other),
    };
    cell.chars().filter_map(plain).collect()
}

/// The address of a text that holds one. Its form alone decides how it is read, so that no text takes long.
fn alone(text: &str) -> Option<Named> {
    let text = bare(text);
    if text.len() > LONGEST {
        return None;
    }
    if !text.contains('|')
        && let Some(email) = address::read(text)
    {
        return Some(Named { name: String::new(), email });
    }
    if text.ends_with('>') {
        return bracketed(text);
    }
    if let Some((shown, link)) = markdown(text) {
        return linked(shown, link);
    }
    if text.starts_with('(') || text.ends_with(')') {
        return commented(text);
    }
    if let Some(email) = labelled(text) {
        return alone(email);
    }
    let links = LINKS.iter().filter_map(|between| Some((text.rfind(*between)?, between.len())));
    let (at, length) = links.max()?;
    linked(&text[..at], &text[at + length..])
}

/// A text without blanks, quotes and separators around it, and without dots behind it.
fn bare(text: &str) -> &str {
    let is_around = |letter: char| letter.is_whitespace() || AROUND.contains(&letter);
    let text = text.trim_start_matches(is_around);
    text.trim_end_matches(|letter: char| is_around(letter) || letter == '.')
}

/// `Ann Lee <ann@example.com>`.
fn bracketed(text: &str) -> Option<Named> {
    let (name, email) = text.strip_suffix('>')?.rsplit_once('<')?;
    if name.contains(['<', '>']) {
        return None;
    }
    let email = alone(email)?.email;
    // Mail programs write the address itself where they know no name.
    let name = if name.contains('@') { "" } else { name };
    let name = without_comment(&name.replace("\\\"", "\""));
    Some(Named { name: bare(&name).to_owned(), email })
}

/// A name without what is in brackets behind a part of it.
fn without_comment(name: &str) -> String {
    let parted = name.split_once('(').filter(|(before, _)| !bare(before).is_empty());
    let parted = parted.and_then(|(before, rest)| Some((before, rest.split_once(')')?.1)));
    parted.map_or_else(
        || name.to_owned(),
        |(before, after)| format!("{} {}", before.trim_end(), after.trim_start()),
    )
}

/// `ann@example.com (work)`, `(work) ann@example.com` and `Ann Lee (ann@example.com)`.
fn commented(text: &str) -> Option<Named> {
    let (text, comment) = match text.strip_suffix(')') {
        Some(text) => text.rsplit_once('(')?,
        None => {
            let (comment, text) = text.strip_prefix('(')?.split_once(')')?;
            (text, comment)
        }
    };
    match (text.contains('@'), comment.contains('@')) {
        (true, false) => alone(text).filter(|_| !is_opt_out(comment)),
        (false, true) => {
            let email = alone(comment)?.email;
            Some(Named { name: bare(text).to_owned(), email }).filter(|_| !is_opt_out(text))
        }
        (true, true) => same(alone(text)?, &alone(comment)?),
        (false, false) => None,
    }
}

/// What follows the label of `mailto:ann@example.com`, `SMTP:ann@example.com` and `Work: ann@example.com`.
fn labelled(text: &str) -> Option<&str> {
    let (label, email) = text.split_once(':').filter(|(label, _)| !label.contains('@'))?;
    let word = words::word(label);
    let is_email = |text: &str| words::field(text).is_some_and(|(field, _)| field == "email");
    if word == "mailto" {
        let email = email.split('?').next().unwrap_or_default();
        // An escaped address is not the one to store.
        return Some(email.trim_start_matches('/')).filter(|email| !email.contains('%'));
    }
    let is_label = word == "smtp" || is_email(&word) || is_email(&format!("{word}email"));
    Some(email).filter(|_| is_label && !word.is_empty())
}

/// `[ann@example.com](mailto:ann@example.com)`.
fn markdown(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix('[')?.strip_suffix(')')?.split_once("](")
}

/// `ann@example.com - ann@example.com`, a text and its link; the text may be anything but another address.
fn linked(shown: &str, link: &str) -> Option<Named> {
    let link = alone(link)?;
    match shown.contains('@') {
        true => same(alone(shown)?, &link),
        false => Some(Named { name: String::new(), ..link }).filter(|_| !is_opt_out(shown)),
    }
}

/// An address that is written twice.
fn same(named: Named, other: &Named) -> Option<Named> {
    let is_same = named.email.eq_ignore_ascii_case(&other.email);
    is_same.then_some(named)
}

/// Whether a text next to an address says that nobody should write there.
fn is_opt_out(text: &str) -> bool {
    words::says(text).is_some_and(|says| says != Says::Flag)
}

/// The parts of a text of several addresses.
fn parts(cell: &str) -> Vec<String> {
    let cell = cell.replace(":::", ";");
    let cell = cell.trim();
    let list = cell.strip_prefix('[').and_then(|list| list.strip_suffix(']')).unwrap_or(cell);
    let (mut parts, mut part) = (Vec::new(), String::new());
    let (mut is_quoted, mut depth) = (false, 0_usize);
    for letter in list.chars() {
        match letter {
            '"' => is_quoted = !is_quoted,
            '<' | '(' => depth += 1,
            '>' | ')' => depth = depth.saturating_sub(1),
            _other => {}
        }
        let ends = match letter {
            ';' | '|' | '\n' | '\t' => true,
            // A comma before an address is part of its name.
            ',' => part.contains('@'),
            _other => false,
        };
        match ends && !is_quoted && depth == 0 {
            true => parts.push(std::mem::take(&mut part)),
            false => part.push(letter),
        }
    }
    parts.push(part);
    parts.retain(|part| !bare(part).is_empty());
    if let [one] = parts.as_slice()
        && !one.contains(['<', '('])
    {
        let words = one.split_whitespace().filter(|word| !BETWEEN.contains(word));
        return words.map(str::to_owned).collect();
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(cell: &str) -> (String, String) {
        first(cell).map(|named| (named.name, named.email)).unwrap_or_default()
    }

    #[test]
    fn an_address_is_taken_out_of_what_products_write_around_it() {
        for cell in [
            "ada@b.example",
            "mailto:ada@b.example",
            "MAILTO:ada@b.example?subject=Hi%20there",
            "mailto:// ada@b.example",
            "SMTP:ada@b.example",
            "E-Mail: ada@b.example",
            "Work: ada@b.example",
            "ada@b.example - ada@b.example",
            "ADA@b.example - ada@b.example",
            "ada@b.example – mailto:ada@b.example",
            "Mail me - ada@b.example",
            "[ada@b.example](mailto:ada@b.example)",
            "<mailto:ada@b.example|ada@b.example>",
            "ada@b.example <mailto:ada@b.example>",
            "<ada@b.example>",
            "'ada@b.example'",
            "'ada@b.example",
            "\"ada@b.example\"",
            "“ada@b.example”",
            "ada@b.example.",
            "ada@b.example,",
            " ; ada@b.example;; ",
            "ada@b.example (work)",
            "(work) ada@b.example",
            "ada@b.example (ada@b.example)",
            "ada＠b.example",
            "ａｄａ＠ｂ．ｅｘａｍｐｌｅ",
            "a\u{200b}da@\u{ad}b.exam\u{feff}ple\u{200e}",
            "\u{a0}ada@b.example\u{a0}",
            "\u{202a}ada@b.example\u{202c}",
        ] {
            let (name, email) = read(cell);
            assert_eq!(
                (name.as_str(), email.to_lowercase().as_str()),
                ("", "ada@b.example"),
                "{cell}"
            );
        }
    }

    #[test]
    fn a_name_around_an_address_is_kept() {
        for (cell, name) in [
            ("Ada Lovelace <ada@b.example>", "Ada Lovelace"),
            ("\"Lovelace, Ada\" <ada@b.example>", "Lovelace, Ada"),
            ("'Ada Lovelace' <mailto:ada@b.example>;", "Ada Lovelace"),
            ("Lovelace, Ada <ada@b.example>", "Lovelace, Ada"),
            ("Ada (Sales) Lovelace <ada@b.example>", "Ada Lovelace"),
            ("Ada Lovelace <ada@b.example> (work)", "Ada Lovelace"),
            ("Ada Lovelace (ada@b.example)", "Ada Lovelace"),
        ] {
            assert_eq!(read(cell), (name.into(), "ada@b.example".into()), "{cell}");
        }
    }

    #[test]
    fn of_several_addresses_the_first_is_taken() {
        for (cell, name) in [
            ("Ada <ada@b.example>; Bob <bob@b.example>", "Ada"),
            ("Lovelace, Ada <ada@b.example>, Moe, Bob <bob@b.example>", "Lovelace, Ada"),
            ("\"Lovelace, Ada\" <ada@b.example>, \"Moe; Bob\" <bob@b.example>", "Lovelace, Ada"),
            ("ada@b.example; bob@b.example", ""),
            ("ada@b.example ::: bob@b.example", ""),
            ("ada@b.example, bob@b.example,", ""),
            ("ada@b.example\nbob@b.example", ""),
            ("ada@b.example | bob@b.example", ""),
            ("ada@b.example bob@b.example", ""),
            ("ada@b.example / bob@b.example", ""),
            ("SMTP:ada@b.example;smtp:bob@b.example", ""),
            ("[\"ada@b.example\",\"bob@b.example\"]", ""),
            ("['ada@b.example', 'bob@b.example']", ""),
        ] {
            assert_eq!(read(cell), (name.into(), "ada@b.example".into()), "{cell}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_no_address() {
        let long = format!("{}ada@b.example", "mailto:".repeat(9_000));
        for cell in [
            "",
            "-",
            "nobody",
            "ada@b.example - bob@b.example",
            "ada@b.example (bob@b.example)",
            "[ada@b.example](mailto:bob@b.example)",
            "ada@b.example; nobody",
            "nobody, ada@b.example",
            "ask ada@b.example first",
            "not ada@b.example",
            "Ada: ada@b.example",
            "Owner: ada@b.example",
            "unsubscribed - ada@b.example",
            "ada@b.example (bounced)",
            "mailto:ada%2Btag@b.example",
            "ada @b.example",
            "ada lovelace@b.example",
            "ada\u{a0}lovelace@b.example",
            "\"x y\"@b.example",
            "\"ada\"@b.example",
            "a@[127.0.0.1]",
            ".ada@b.example",
            "http://ada@b.example",
            "<ada@b.example",
            long.as_str(),
        ] {
            assert_eq!(first(cell), None, "{cell}");
        }
    }
}
