//! Which field a column of a file fills: as somebody says, else by its header, else by what stands in it.

use serde::{Deserialize, Serialize};

use crate::address;
use crate::custom_field::CustomField;

/// What a column fills.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub enum Target {
    /// A field that all contacts have, by its name.
    Own(Own),
    /// A custom field, by its key.
    Custom(String),
}

/// A field that all contacts have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Own {
    /// The address.
    Email,
    /// The first name.
    FirstName,
    /// The last name.
    LastName,
    /// Both names in one.
    Name,
    /// The company.
    Company,
    /// The job title.
    Title,
    /// Telephone.
    Phone,
    /// Country.
    Country,
    /// State or province.
    Region,
    /// City.
    City,
    /// The IANA zone.
    TimeZone,
    /// A profile.
    Linkedin,
    /// BCP 47 tag.
    Locale,
    /// Words with `;` or `|` between them.
    Tags,
}

/// The fields, their names, and the words by which headers call them, without case and punctuation.
const OWN: [(Own, &str, &[&str]); 14] = [
    (
        Own::Email,
        "email",
        &["email", "emailaddress", "mail", "workemail", "primaryemail", "emails"],
    ),
    (Own::FirstName, "first_name", &["firstname", "givenname", "forename", "vorname"]),
    (Own::LastName, "last_name", &["lastname", "surname", "familyname", "nachname"]),
    (Own::Name, "name", &["name", "fullname", "contactname"]),
    (
        Own::Company,
        "company",
        &["company", "companyname", "account", "accountname", "organization", "organisation"],
    ),
    (Own::Title, "title", &["title", "jobtitle", "position", "role"]),
    (Own::Phone, "phone", &["phone", "phonenumber", "mobile", "telephone", "workphone"]),
    (Own::Country, "country", &["country", "countrycode", "countryregion"]),
    (Own::Region, "region", &["state", "region", "province", "stateregion"]),
    (Own::City, "city", &["city", "town"]),
    (Own::TimeZone, "time_zone", &["timezone", "tz"]),
    (Own::Linkedin, "linkedin_url", &["linkedin", "linkedinurl", "linkedinprofile"]),
    (Own::Locale, "locale", &["locale", "language"]),
    (Own::Tags, "tags", &["tags", "labels"]),
];

impl Own {
    /// The field's name.
    pub fn name(self) -> &'static str {
        OWN.iter().find(|(own, _, _)| *own == self).map_or("", |(_, name, _)| name)
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        match target {
            Target::Own(own) => own.name().into(),
            Target::Custom(key) => format!("custom.{key}"),
        }
    }
}

impl From<String> for Target {
    fn from(text: String) -> Self {
        if let Some((own, _, _)) = OWN.iter().find(|(_, name, _)| *name == text) {
            return Self::Own(*own);
        }
        Self::Custom(text.strip_prefix("custom.").unwrap_or(&text).to_owned())
    }
}

/// Reads what somebody says a column fills.
///
/// # Errors
/// Which fields there are.
pub(super) fn target(text: &str, custom: &[CustomField]) -> Result<Target, String> {
    let read = Target::from(text.to_owned());
    let known = match &read {
        Target::Own(_) => true,
        Target::Custom(key) => {
            text.starts_with("custom.") && custom.iter().any(|field| field.key == *key)
        }
    };
    if known {
        return Ok(read);
    }
    let own = OWN.iter().map(|(_, name, _)| (*name).to_owned());
    let keys = custom.iter().map(|field| format!("custom.{}", field.key));
    let names: Vec<String> = own.chain(keys).collect();
    Err(format!("`{text}` is no field; there are: {}", names.join(", ")))
}

/// What each column probably fills; a field is filled by the first column that fits.
pub(super) fn propose(
    header: &[String],
    samples: &[Vec<String>],
    custom: &[CustomField],
) -> Vec<Option<Target>> {
    let mut proposed: Vec<Option<Target>> = Vec::with_capacity(header.len());
    for name in header {
        let word = word(name);
        let own = OWN.iter().find(|(_, _, words)| words.contains(&word.as_str()));
        let by_custom = || {
            let fits = |field: &&CustomField| {
                self::word(&field.key) == word || self::word(&field.label) == word
            };
            custom.iter().find(fits).map(|field| Target::Custom(field.key.clone()))
        };
        let found = own.map(|(own, _, _)| Target::Own(*own)).or_else(by_custom);
        proposed.push(found.filter(|found| !proposed.contains(&Some(found.clone()))));
    }
    let email = Some(Target::Own(Own::Email));
    if !proposed.contains(&email)
        && let Some(at) =
            (0..header.len()).find(|at| proposed[*at].is_none() && are_addresses(*at, samples))
    {
        proposed[at] = email;
    }
    proposed
}

/// Whether most of what stands in a column are addresses.
fn are_addresses(column: usize, samples: &[Vec<String>]) -> bool {
    let cells = samples.iter().filter_map(|row| row.get(column)).filter(|cell| !cell.is_empty());
    let (mut all, mut good) = (0_usize, 0_usize);
    for cell in cells {
        all += 1;
        good += usize::from(address::read(cell).is_some());
    }
    good > 0 && good * 5 >= all * 4
}

/// A header without case, blanks and punctuation.
pub(super) fn word(name: &str) -> String {
    name.chars().filter(|letter| letter.is_alphanumeric()).collect::<String>().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proposed(header: &[&str], row: &[&str]) -> Vec<Option<String>> {
        let owned =
            |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>();
        let found = propose(&owned(header), &[owned(row)], &[]);
        found.into_iter().map(|target| target.map(String::from)).collect()
    }

    #[test]
    fn a_column_is_known_by_its_header_or_by_what_stands_in_it() {
        let told = proposed(
            &["First Name", "E-mail", "Job-Title", "Shoe size"],
            &["Ada", "a@b.example", "VP", "38"],
        );
        let told: Vec<Option<&str>> = told.iter().map(Option::as_deref).collect();
        assert_eq!(told, [Some("first_name"), Some("email"), Some("title"), None]);
        let told = proposed(&["Who", "Kontakt"], &["Ada", "ada@b.example"]);
        assert_eq!(told, [None, Some("email".to_owned())]);
        let told = proposed(&["Mail", "Email"], &["x@y.example", "a@b.example"]);
        assert_eq!(told, [Some("email".to_owned()), None], "the first that fits");
    }
}
