//! The words that headers and cells are read by, from the data files of this crate: `import_headers.csv`,
//! `seller_headers.csv`, `opt_out_values.csv` and `name_words.csv`.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

/// By how much a word ranks worse that is known only without what stands before or after it.
const WITHIN: usize = 100;

/// What may stand before a word, such as in "Person - Name" and "Mailing City".
const BEFORE: [&str; 29] = [
    "person",
    "contact",
    "lead",
    "prospect",
    "kontakt",
    "contacto",
    "primary",
    "main",
    "business",
    "work",
    "mailing",
    "invitee",
    "attendee",
    "participant",
    "registrant",
    "guest",
    "subscriber",
    "recipient",
    "member",
    "defaultaddress",
    "billing",
    "private",
    "current",
    "your",
    "geschäftliche",
    "geschäftlicher",
    "geschäftliches",
    "home",
    "other",
];
/// What may stand after a word, such as in "Phone (work)" and "Ville (bureau)".
const AFTER: [&str; 18] = [
    "work",
    "business",
    "office",
    "geschäftlich",
    "beruflich",
    "arbeit",
    "bureau",
    "professionnel",
    "deltrabajo",
    "trabajo",
    "primary",
    "main",
    "1",
    "home",
    "other",
    "privat",
    "domicile",
    "autre",
];

/// The lines of a data file: a word, and the words that it stands for.
pub(super) fn lines(
    text: &'static str,
) -> impl Iterator<Item = (&'static str, impl Iterator<Item = &'static str>)> {
    let lines = text.lines().filter(|line| !line.starts_with('#')).skip(1);
    lines.filter_map(|line| line.split_once(',')).map(|(of, words)| (of, words.split_whitespace()))
}

/// Fields by the words of headers, each with the word's rank; 0 is the best.
static HEADERS: LazyLock<HashMap<&str, (&str, usize)>> = LazyLock::new(|| {
    let mut headers = HashMap::new();
    for (field, words) in lines(include_str!("../../data/import_headers.csv")) {
        for (rank, word) in words.enumerate() {
            headers.entry(word).or_insert((field, rank));
        }
    }
    headers
});

/// The field that a header names, and how well it does; 0 is the best.
pub(super) fn field(header: &str) -> Option<(&'static str, usize)> {
    let word = word(header);
    if let Some(found) = HEADERS.get(word.as_str()) {
        return Some(*found);
    }
    let known = |part: &str, rank: usize| {
        HEADERS.get(part).map(|(field, within)| (*field, WITHIN * rank + within))
    };
    let ends = |part: &str, rank: usize| {
        let ends =
            AFTER.iter().enumerate().filter_map(|(at, end)| Some((at, part.strip_suffix(end)?)));
        ends.filter_map(|(at, rest)| known(rest, rank + at)).next()
    };
    let begins = |(at, begin): (usize, &&str)| {
        let rest = word.strip_prefix(begin)?;
        known(rest, 1 + at).or_else(|| ends(rest, 1 + at))
    };
    ends(&word, 1).or_else(|| BEFORE.iter().enumerate().find_map(begins))
}

/// What tells that a column is about the seller.
#[derive(Default)]
struct Sellers {
    parts: Vec<&'static str>,
    words: HashSet<&'static str>,
    after: HashSet<&'static str>,
}

static SELLERS: LazyLock<Sellers> = LazyLock::new(|| {
    let mut sellers = Sellers::default();
    for (how, words) in lines(include_str!("../../data/seller_headers.csv")) {
        match how {
            "part" => sellers.parts.extend(words),
            "word" => sellers.words.extend(words),
            _after => sellers.after.extend(words),
        }
    }
    sellers
});

/// Whether a column is about the seller, or about whoever did something to the record.
pub(super) fn is_about_seller(header: &str) -> bool {
    let joined = word(header);
    let words = split(header);
    SELLERS.parts.iter().any(|part| joined.contains(part))
        || words.iter().any(|word| SELLERS.words.contains(word.as_str()))
        || words.iter().skip(1).any(|word| SELLERS.after.contains(word.as_str()))
}

static OPT_OUTS: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| {
    let said = lines(include_str!("../../data/opt_out_values.csv"));
    said.flat_map(|(says, words)| words.map(move |word| (word, says))).collect()
});

/// What a cell says of its person's mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Says {
    /// Yes, whatever the column asks.
    Flag,
    /// They want none.
    Unsubscribed,
    /// Their address takes none.
    Bounced,
}

/// What a cell says, if it says anything.
pub(super) fn says(cell: &str) -> Option<Says> {
    match *OPT_OUTS.get(word(cell).as_str())? {
        "flag" => Some(Says::Flag),
        "bounced" => Some(Says::Bounced),
        _unsubscribed => Some(Says::Unsubscribed),
    }
}

/// What a word is in a full name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Title,
    Degree,
    Suffix,
    Particle,
}

static NAME_WORDS: LazyLock<HashMap<(&str, bool), Part>> = LazyLock::new(|| {
    let mut parts = HashMap::new();
    for (kind, words) in lines(include_str!("../../data/name_words.csv")) {
        let (part, ends) = match kind {
            "title" => (Part::Title, false),
            "degree" => (Part::Degree, true),
            "suffix" => (Part::Suffix, true),
            _particle => (Part::Particle, false),
        };
        for word in words {
            parts.entry((word, ends)).or_insert(part);
        }
    }
    parts
});

/// What a word is at a name's beginning or within it.
pub(super) fn before_name(text: &str) -> Option<Part> {
    NAME_WORDS.get(&(word(text).as_str(), false)).copied()
}

/// What a word is at a name's end.
pub(super) fn after_name(text: &str) -> Option<Part> {
    NAME_WORDS.get(&(word(text).as_str(), true)).copied()
}

/// A header or cell without case, blanks and punctuation.
pub(super) fn word(text: &str) -> String {
    text.chars().filter(|letter| letter.is_alphanumeric()).collect::<String>().to_lowercase()
}

/// The words of a header, also of one written as `OwnerEmail`, in lower case.
fn split(header: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for letter in header.chars() {
        if !letter.is_alphanumeric() || (was_lower && letter.is_uppercase()) {
            words.push(String::new());
        }
        if letter.is_alphanumeric() {
            let last = words.last_mut().expect("there is a word at least");
            last.extend(letter.to_lowercase());
        }
        was_lower = letter.is_lowercase();
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_about_the_seller_is_known_in_several_languages() {
        for header in [
            "Owner",
            "Contact owner",
            "OwnerEmail",
            "OWNERID",
            "Sales rep",
            "Rep",
            "Account Manager",
            "Assigned to",
            "Created by",
            "Last Modified By",
            "Account executive",
            "AE e-mail",
            "SDR",
            "Besitzer",
            "Kontaktbesitzer",
            "Zuständig",
            "Zuständiger Mitarbeiter",
            "Verantwortlich",
            "Verantwortlicher",
            "Betreuer",
            "Erstellt von",
            "Geändert von",
            "Zugewiesen an",
            "Propriétaire",
            "Responsable",
            "Commercial",
            "Créé par",
            "Modifié par",
            "Chargé d'affaires",
            "Propietario",
            "Vendedor",
            "Creado por",
            "Asignado a",
            "Proprietario",
            "Eigenaar",
            "Aangemaakt door",
            "担当者",
            "Ответственный",
        ] {
            assert!(is_about_seller(header), "{header}");
        }
        for header in [
            "Email",
            "Contact e-mail",
            "Name",
            "Company",
            "Kontakt",
            "Firma",
            "By",
            "Report",
            "Username",
            "Salesforce ID",
            "Titel",
            "Nombre",
            "Nom",
            "Société",
            "Agentur",
        ] {
            assert!(!is_about_seller(header), "{header}");
        }
    }

    #[test]
    fn a_header_names_its_field_also_with_what_stands_around_it() {
        for (header, named) in [
            ("E-mail 1 - Value", "email"),
            ("Person - Email - Work", "email"),
            ("Contact e-mail", "email"),
            ("MAILINGCITY", "city"),
            ("Person - Job title", "title"),
            ("Business Country/Region", "country"),
            ("Ville (bureau)", "city"),
            ("Ort geschäftlich", "city"),
            ("HASOPTEDOUTOFEMAIL", "unsubscribed"),
            ("First_Name", "first_name"),
            ("Prénom", "first_name"),
            ("Apellidos", "last_name"),
        ] {
            assert_eq!(field(header).map(|(field, _)| field), Some(named), "{header}");
        }
        for header in
            ["E-mail Type", "E-mail 1 - Label", "Birthday", "Notes", "Salutation", "Owner"]
        {
            assert_eq!(field(header), None, "{header}");
        }
        let rank = |header| field(header).map(|(_, rank)| rank);
        assert!(rank("Email") < rank("Mail") && rank("Job Title") < rank("Title"));
        assert!(rank("Business City") < rank("Home City") && rank("City") < rank("Person - City"));
    }
}
