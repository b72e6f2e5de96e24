//! Where a contact's clock stands: as somebody gave it, else where region and country lie, else where the telephone
//! number does. What none of them tells stays unknown.

use std::collections::HashMap;
use std::sync::LazyLock;

use engine::timing::Zone;

/// How a contact's zone became known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ZoneSource {
    /// Somebody gave it.
    Given,
    /// By country and region.
    Region,
    /// By the country, which has one zone.
    Country,
    /// By the calling code of the telephone number.
    Phone,
}

impl ZoneSource {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Given, Self::Region, Self::Country, Self::Phone];

    /// The stored word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::Region => "region",
            Self::Country => "country",
            Self::Phone => "phone",
        }
    }
}

/// Country calling codes of one country each, to the country's code.
static CALLING_CODES: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| {
    let lines = include_str!("../../data/calling_codes.csv").lines();
    lines
        .filter(|line| !line.starts_with('#'))
        .skip(1)
        .filter_map(|line| line.split_once(','))
        .collect()
});

/// The longest calling code.
const LONGEST_CODE: usize = 3;

/// The zone of these, and what told it.
pub(super) fn derived(
    country: Option<&str>,
    region: Option<&str>,
    phone: Option<&str>,
) -> Option<(Zone, ZoneSource)> {
    if let Some(country) = country {
        let of_country = Zone::of_country(country);
        if of_country.is_none()
            && let Some(zone) = region.and_then(|region| Zone::of_region(country, region))
        {
            return Some((zone, ZoneSource::Region));
        }
        // A country that is known but does not tell the zone is not overruled by a number that may roam.
        return of_country.map(|zone| (zone, ZoneSource::Country));
    }
    let code = calling_country(phone?)?;
    Zone::of_country(code).map(|zone| (zone, ZoneSource::Phone))
}

/// The country of a number in international form.
fn calling_country(phone: &str) -> Option<&'static str> {
    let phone = phone.trim();
    let digits: String = phone.chars().filter(char::is_ascii_digit).collect();
    let national = match phone.strip_prefix('+') {
        Some(_) => digits.as_str(),
        None => digits.strip_prefix("00")?,
    };
    (1..=LONGEST_CODE).find_map(|length| CALLING_CODES.get(national.get(..length)?).copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(country: &str, region: &str, phone: &str) -> Option<(String, &'static str)> {
        let some = |text: &'static str| Some(text).filter(|text| !text.is_empty());
        let leak = |text: &str| some(Box::leak(text.to_owned().into_boxed_str()));
        let (zone, source) = derived(leak(country), leak(region), leak(phone))?;
        Some((zone.name().to_owned(), source.word()))
    }

    #[test]
    fn what_is_known_best_tells_the_zone_and_what_is_unknown_stays_so() {
        let is = |zone: &str, source| Some((zone.to_owned(), source));
        assert_eq!(told("Austria", "", ""), is("Europe/Vienna", "country"));
        assert_eq!(told("US", "California", ""), is("America/Los_Angeles", "region"));
        assert_eq!(told("", "", "+43 1 234567"), is("Europe/Vienna", "phone"));
        assert_eq!(told("", "", "0049-30-123"), is("Europe/Berlin", "phone"));
        for (country, region, phone) in [
            ("US", "", "+43 1 234567"),
            ("Atlantis", "", ""),
            ("", "", "+1 212 555 0100"),
            ("", "", "01 234567"),
            ("", "", ""),
        ] {
            assert_eq!(told(country, region, phone), None, "{country} {region} {phone}");
        }
    }
}
