//! Which field a column of a file fills: the one that a mapping names, else the one that its header names best, else, for
//! the address, by its values. A column about the seller is never proposed.

use serde::{Deserialize, Serialize};

use super::addresses;
use super::words::{self, Part, Says};
use crate::custom_field::CustomField;

/// How many rows are read to tell what a column holds.
pub(super) const SAMPLES: usize = 100;

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
    /// Words with `;`, `|` or `,` between them.
    Tags,
    /// Whether the person wants no mail, or that their address takes none.
    Unsubscribed,
}

/// The fields and their names.
const OWN: [(Own, &str); 15] = [
    (Own::Email, "email"),
    (Own::FirstName, "first_name"),
    (Own::LastName, "last_name"),
    (Own::Name, "name"),
    (Own::Company, "company"),
    (Own::Title, "title"),
    (Own::Phone, "phone"),
    (Own::Country, "country"),
    (Own::Region, "region"),
    (Own::City, "city"),
    (Own::TimeZone, "time_zone"),
    (Own::Linkedin, "linkedin_url"),
    (Own::Locale, "locale"),
    (Own::Tags, "tags"),
    (Own::Unsubscribed, "unsubscribed"),
];

impl Own {
    /// The field's name.
    pub fn name(self) -> &'static str {
        OWN.iter().find(|(own, _)| *own == self).map_or("", |(_, name)| name)
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
        if let Some((own, _)) = OWN.iter().find(|(_, name)| *name == text) {
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
    let own = OWN.iter().map(|(_, name)| (*name).to_owned());
    let keys = custom.iter().map(|field| format!("custom.{}", field.key));
    let names: Vec<String> = own.chain(keys).collect();
    Err(format!("`{text}` is no field; there are: {}", names.join(", ")))
}

/// A file's columns, as proposals need them.
pub(super) struct Columns<'a> {
    pub(super) header: &'a [String],
    /// All rows.
    pub(super) rows: &'a [(u64, Vec<String>)],
    /// The columns that a mapping names: they are nobody's proposal.
    pub(super) said: &'a [usize],
}

/// What each column probably fills.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Proposed {
    /// By column.
    pub(super) targets: Vec<Option<Target>>,
    /// The columns of addresses, the best first: a row's address is that of the first one that has one.
    pub(super) emails: Vec<usize>,
    /// Columns of addresses of which nothing tells which is the contact's.
    pub(super) equals: Vec<usize>,
    /// Columns of addresses that are about the seller.
    pub(super) sellers: Vec<usize>,
}

impl Columns<'_> {
    /// What each column probably fills. A field is filled by the column whose header names it best; one without any value
    /// comes last.
    pub(super) fn propose(&self, custom: &[CustomField]) -> Proposed {
        let mut targets: Vec<Option<Target>> = vec![None; self.header.len()];
        let mut named = Vec::new();
        for at in self.free() {
            match self.own(at) {
                Some((own, rank)) => named.push((own, self.is_empty(at), rank, at)),
                None => targets[at] = self.custom(at, custom),
            }
        }
        named.sort_by_key(|(_, is_empty, rank, at)| (*is_empty, *rank, *at));
        let mut emails = Vec::new();
        for (own, _, _, at) in named {
            let target = Some(Target::Own(own));
            if own == Own::Email {
                emails.push(at);
            }
            let takes_several = matches!(own, Own::Email | Own::Unsubscribed);
            if takes_several || !targets.contains(&target) {
                targets[at] = target;
            }
        }
        part_names(&mut targets);
        let mut proposed = Proposed { targets, emails, ..Proposed::default() };
        if proposed.emails.is_empty() {
            self.find_address(&mut proposed);
        }
        proposed
    }

    /// The columns that no mapping names.
    fn free(&self) -> impl Iterator<Item = usize> {
        (0..self.header.len()).filter(|at| !self.said.contains(at))
    }

    /// The field that a header names, where the values may be of it, and how well it does.
    fn own(&self, at: usize) -> Option<(Own, usize)> {
        let header = &self.header[at];
        let (name, rank) = words::field(header)?;
        // "Unsubscribed from all email" has a word of seller columns, and is about the contact.
        if name != "unsubscribed" && words::is_about_seller(header) {
            return None;
        }
        let own = match Target::from(name.to_owned()) {
            Target::Own(own) => own,
            // A status is many things; it counts where it says of somebody that they want no mail.
            Target::Custom(_) => return self.states(at).then_some((Own::Unsubscribed, rank)),
        };
        let fits = match own {
            Own::Email
            | Own::Phone
            | Own::Region
            | Own::TimeZone
            | Own::Locale
            | Own::Tags
            | Own::Unsubscribed => true,
            Own::FirstName | Own::LastName | Own::Name | Own::Company | Own::City => {
                !self.are_addresses(at)
            }
            Own::Title => {
                let is_title = |word: &str| words::before_name(word) == Some(Part::Title);
                let is_salutation = |cell: &str| cell.split_whitespace().all(is_title);
                !self.are_addresses(at) && !self.most(at, is_salutation)
            }
            // "CC" are also those who get a copy.
            Own::Country => {
                words::word(header) != "cc" || self.most(at, |cell| cell.chars().count() <= 3)
            }
            // "URL" is any page.
            Own::Linkedin => {
                words::word(header).contains("linkedin")
                    || self.most(at, |cell| cell.to_lowercase().contains("linkedin."))
            }
        };
        fits.then_some((own, rank))
    }

    /// The custom field whose key or label the header is; our own export writes `custom.KEY`.
    fn custom(&self, at: usize, custom: &[CustomField]) -> Option<Target> {
        let header = &self.header[at];
        let word = words::word(header);
        let fits = |field: &&CustomField| {
            header.strip_prefix("custom.") == Some(&field.key)
                || words::word(&field.key) == word
                || words::word(&field.label) == word
        };
        custom.iter().find(fits).map(|field| Target::Custom(field.key.clone()))
    }

    /// Finds the address by values, where no header names one.
    fn find_address(&self, proposed: &mut Proposed) {
        let of_addresses = self.free().filter(|at| proposed.targets[*at].is_none());
        let of_addresses = of_addresses.filter(|at| self.are_addresses(*at));
        let (sellers, found): (Vec<usize>, Vec<usize>) =
            of_addresses.partition(|at| words::is_about_seller(&self.header[*at]));
        proposed.sellers = sellers;
        // A header that only speaks of mail, such as "Staff email", is no better: it may be anybody's.
        match found.as_slice() {
            [one] => {
                proposed.targets[*one] = Some(Target::Own(Own::Email));
                proposed.emails = vec![*one];
            }
            several => proposed.equals = several.to_vec(),
        }
    }

    fn is_empty(&self, at: usize) -> bool {
        !self.rows.iter().any(|(_, cells)| cells.get(at).is_some_and(|cell| !cell.is_empty()))
    }

    /// Whether any row says that its person wants no mail, or that their address takes none.
    fn states(&self, at: usize) -> bool {
        let cells = self.rows.iter().filter_map(|(_, cells)| cells.get(at));
        cells.filter_map(|cell| words::says(cell)).any(|says| says != Says::Flag)
    }

    /// Whether most of a column's values are addresses.
    fn are_addresses(&self, at: usize) -> bool {
        self.most(at, |cell| addresses::first(cell).is_some())
    }

    /// Whether most of a column's first values are of a kind; no value is of none.
    fn most(&self, at: usize, is: impl Fn(&str) -> bool) -> bool {
        let rows = self.rows.iter().take(SAMPLES);
        let cells = rows.filter_map(|(_, cells)| cells.get(at)).filter(|cell| !cell.is_empty());
        let (mut all, mut such) = (0_usize, 0_usize);
        for cell in cells {
            all += 1;
            such += usize::from(is(cell));
        }
        such > 0 && such * 5 >= all * 4
    }
}

/// Beside a column of first names, one that is headed "Name" holds the last ones, and the other way round.
fn part_names(targets: &mut [Option<Target>]) {
    let is = |own| move |target: &Option<Target>| *target == Some(Target::Own(own));
    let (first, last) =
        (targets.iter().any(is(Own::FirstName)), targets.iter().any(is(Own::LastName)));
    let other = match (first, last) {
        (true, false) => Own::LastName,
        (false, true) => Own::FirstName,
        (true, true) | (false, false) => return,
    };
    if let Some(name) = targets.iter_mut().find(|target| is(Own::Name)(target)) {
        *name = Some(Target::Own(other));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proposed(header: &[&str], rows: &[&[&str]]) -> (Vec<String>, Vec<String>) {
        let owned =
            |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>();
        let header = owned(header);
        let rows: Vec<_> = rows.iter().map(|row| (1, owned(row))).collect();
        let columns = Columns { header: &header, rows: &rows, said: &[] };
        let found = columns.propose(&[]);
        let told =
            found.targets.into_iter().map(|target| target.map(String::from).unwrap_or_default());
        (told.collect(), found.equals.into_iter().map(|at| header[at].clone()).collect())
    }

    #[test]
    fn a_column_is_known_by_its_header_or_by_its_values() {
        for (header, row, told) in [
            (
                ["First Name", "E-mail", "Job-Title", "Shoe size"],
                ["Ada", "a@b.example", "VP", "38"],
                ["first_name", "email", "title", ""],
            ),
            (
                ["Who", "Kontakt", "Owner", "Zuständig"],
                ["Ada", "ada@b.example", "ann@us.example", "bo@us.example"],
                ["", "email", "", ""],
            ),
            (
                ["Title", "Name", "Vorname", "Partner e-mail"],
                ["Dr.", "Muster", "Eva", "eva@b.example"],
                ["", "last_name", "first_name", "email"],
            ),
            (
                ["Owner email", "Name", "CC", "URL"],
                ["ann@us.example", "eva@b.example", "AT", "https://b.example"],
                ["", "email", "country", ""],
            ),
            (
                ["Title", "Position", "Email", "Status"],
                ["VP", "Head", "a@b.example", "Unsubscribed"],
                ["", "title", "email", "unsubscribed"],
            ),
            (
                ["Work Phone", "Phone", "Email", "Status"],
                ["1", "", "a@b.example", "Open"],
                ["phone", "", "email", ""],
            ),
            (
                ["Mail", "Email", "Phone", "LinkedIn"],
                ["x@y.example", "a@b.example", "1", "in/ada"],
                ["email", "email", "phone", "linkedin_url"],
            ),
        ] {
            let (found, equals) = proposed(&header, &[&row]);
            assert_eq!(found, told, "{header:?}");
            assert_eq!(equals, Vec::<String>::new());
        }
    }

    #[test]
    fn of_several_columns_of_addresses_the_better_named_one_is_first_and_unnamed_ones_are_told() {
        let header = ["Mail", "Email", "Work email"].map(str::to_owned);
        let rows = [(2, ["m@b.example", "e@b.example", "w@b.example"].map(str::to_owned).to_vec())];
        let columns = Columns { header: &header, rows: &rows, said: &[] };
        assert_eq!(columns.propose(&[]).emails, [1, 2, 0]);
        let but_one = Columns { said: &[1], ..columns };
        assert_eq!(but_one.propose(&[]).emails, [2, 0]);
        let row = ["a@b.example", "c@d.example", "bo@us.example"];
        let (found, equals) = proposed(&["Left", "Right", "Verantwortlich"], &[&row]);
        assert_eq!((found.concat(), equals), (String::new(), vec!["Left".into(), "Right".into()]));
        let (_, equals) = proposed(&["Partner mail", "Kunden-Mail", "Other one"], &[&row]);
        assert_eq!(equals, ["Partner mail", "Kunden-Mail", "Other one"]);
        let row = ["Ada", "true", "a@b.example"];
        let hubspot = ["First Name", "Unsubscribed from all email", "Email"];
        assert_eq!(proposed(&hubspot, &[&row]).0, ["first_name", "unsubscribed", "email"]);
    }
}
