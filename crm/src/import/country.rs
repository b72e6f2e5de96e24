//! Countries as files write them, read as codes of ISO 3166-1, from `countries.csv`. Pure.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::words;

/// Codes by the words that stand for them; the code itself is one.
static COUNTRIES: LazyLock<HashMap<String, &str>> = LazyLock::new(|| {
    let mut countries = HashMap::new();
    for (code, names) in words::lines(include_str!("../../data/countries.csv")) {
        countries.insert(code.to_lowercase(), code);
        countries.extend(names.map(|name| (name.to_owned(), code)));
    }
    countries
});

/// The code of a country by its code or name; `None` if it is not known for certain.
pub(super) fn code(text: &str) -> Option<&'static str> {
    COUNTRIES.get(words::word(text).as_str()).copied()
}

#[cfg(test)]
mod tests {
    use engine::timing::Zone;

    use super::*;

    #[test]
    fn a_country_is_known_by_its_codes_and_its_common_names() {
        for (text, found) in [
            ("Germany", "DE"),
            ("Deutschland", "DE"),
            ("DEU", "DE"),
            ("de", "DE"),
            ("UK", "GB"),
            ("England", "GB"),
            ("U.S.A.", "US"),
            ("United States of America", "US"),
            ("ÖSTERREICH", "AT"),
            ("o\u{308}sterreich", "AT"),
            ("Suisse", "CH"),
            ("España", "ES"),
            ("The Netherlands", "NL"),
            ("Korea, Republic of", "KR"),
            ("Bosnia & Herzegovina", "BA"),
            ("Côte d’Ivoire", "CI"),
            ("日本", "JP"),
        ] {
            assert_eq!(code(text), Some(found), "{text}");
        }
        for text in ["", "Atlantis", "XX", "Congo", "America", "D", "DE/AT", "Germany, Austria"] {
            assert_eq!(code(text), None, "{text}");
        }
    }

    #[test]
    fn no_word_stands_for_two_countries_and_a_code_has_the_zone_of_its_names() {
        let mut seen: HashMap<&str, &str> = HashMap::new();
        for (code, names) in words::lines(include_str!("../../data/countries.csv")) {
            for name in names {
                assert_eq!(words::word(name), name, "written as it is looked up");
                assert!(seen.insert(name, code).is_none_or(|other| other == code), "{name}");
                if let Some(zone) = Zone::of_country(name) {
                    assert!(Zone::of_country(code) == Some(zone), "{name}");
                }
            }
        }
    }
}
