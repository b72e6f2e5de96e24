//! The zone of a country or a region, from the data files `country_zones.csv` and `region_zones.csv`.
//!
//! Never guesses: a country of several zones gives none without its region.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::Zone;

/// Names under which the countries of `region_zones.csv` are known, beside their codes.
const COUNTRIES_OF_REGIONS: [(&str, &str); 6] = [
    ("united states", "us"),
    ("united states of america", "us"),
    ("usa", "us"),
    ("u.s.", "us"),
    ("canada", "ca"),
    ("australia", "au"),
];

impl Zone {
    /// The zone of a country, by its code (ISO 3166-1) or English name, in any case.
    ///
    /// `None` for a country of several zones, such as `US`, and for one that the file does not hold.
    pub fn of_country(code_or_english_name: &str) -> Option<Self> {
        let zone = countries().get(&normal(code_or_english_name))?;
        Self::parse(zone).ok()
    }

    /// The zone of a state of the United States or Australia, or of a province of Canada, by its code or
    /// English name; the one of most of its people where there are two.
    ///
    /// A country of one zone gives that, whatever the region is. `None` when neither is known.
    pub fn of_region(country: &str, region: &str) -> Option<Self> {
        let country = normal(country);
        let named = COUNTRIES_OF_REGIONS.iter().find(|(name, _)| *name == country);
        let code = named.map_or(country.as_str(), |(_, code)| code);
        match regions().get(&(code.to_owned(), normal(region))) {
            Some(zone) => Self::parse(zone).ok(),
            None => Self::of_country(&country),
        }
    }
}

fn normal(name: &str) -> String {
    name.trim().to_lowercase()
}

/// The lines of a data file, each in its columns.
fn rows<const COLUMNS: usize>(text: &'static str) -> impl Iterator<Item = [&'static str; COLUMNS]> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(|line| {
        let columns: Vec<&str> = line.splitn(COLUMNS, ',').collect();
        columns.try_into().expect("every line of the files that ship has all columns")
    })
}

/// Zones by the code and by every name.
fn countries() -> &'static HashMap<String, &'static str> {
    static COUNTRIES: OnceLock<HashMap<String, &'static str>> = OnceLock::new();
    COUNTRIES.get_or_init(|| {
        rows(include_str!("../../data/country_zones.csv"))
            .flat_map(|[code, zone, names]| {
                let names = names.split(';').chain([code]);
                names.map(move |name| (normal(name), zone))
            })
            .collect()
    })
}

/// Zones by country and region, the latter by code and by name.
fn regions() -> &'static HashMap<(String, String), &'static str> {
    static REGIONS: OnceLock<HashMap<(String, String), &'static str>> = OnceLock::new();
    REGIONS.get_or_init(|| {
        rows(include_str!("../../data/region_zones.csv"))
            .flat_map(|[country, code, zone, names]| {
                let names = names.split(';').chain([code]);
                names.map(move |region| ((normal(country), normal(region)), zone))
            })
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn country(name: &str) -> Option<String> {
        Zone::of_country(name).map(|zone| zone.name().to_owned())
    }

    fn region(country: &str, region: &str) -> Option<String> {
        Zone::of_region(country, region).map(|zone| zone.name().to_owned())
    }

    #[test]
    fn a_country_of_one_zone_is_found_by_code_and_by_name() {
        for (name, zone) in [
            ("AT", "Europe/Vienna"),
            ("austria", "Europe/Vienna"),
            (" Poland ", "Europe/Warsaw"),
            ("Czech Republic", "Europe/Prague"),
            ("UK", "Europe/London"),
            ("China", "Asia/Shanghai"),
            ("TÜRKIYE", "Europe/Istanbul"),
        ] {
            assert_eq!(country(name).as_deref(), Some(zone), "{name}");
        }
    }

    #[test]
    fn a_country_of_several_zones_gives_none() {
        for name in
            ["US", "United States", "CA", "AU", "BR", "Brazil", "RU", "MX", "ID", "", "Atlantis"]
        {
            assert_eq!(country(name), None, "{name}");
        }
    }

    #[test]
    fn a_region_is_found_by_code_and_by_name() {
        for (of, name, zone) in [
            ("US", "CA", Some("America/Los_Angeles")),
            ("United States", "New York", Some("America/New_York")),
            ("usa", "arizona", Some("America/Phoenix")),
            ("Canada", "British Columbia", Some("America/Vancouver")),
            ("Canada", "Québec", Some("America/Toronto")),
            ("AU", "QLD", Some("Australia/Brisbane")),
            ("US", "Bavaria", None),
            ("US", "", None),
            ("Germany", "Bavaria", Some("Europe/Berlin")),
            ("Brazil", "Bahia", None),
        ] {
            assert_eq!(region(of, name).as_deref(), zone, "{name}, {of}");
        }
    }

    #[test]
    fn every_line_of_the_files_names_a_zone_and_stands_once() {
        for zone in countries().values().chain(regions().values()) {
            assert_eq!(Zone::parse(zone).expect("a zone").name(), *zone);
        }
        let lines = rows::<3>(include_str!("../../data/country_zones.csv"));
        let names: usize = lines.map(|[_, _, names]| names.split(';').count() + 1).sum();
        assert_eq!(names, countries().len(), "a name stands twice");
        let lines = rows::<4>(include_str!("../../data/region_zones.csv"));
        let names: usize = lines.map(|[.., names]| names.split(';').count() + 1).sum();
        assert_eq!(names, regions().len(), "a region stands twice");
    }
}
