//! Files as people have them.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use super::*;

fn parsed(csv: &str) -> Parsed {
    read(csv.as_bytes(), &BTreeMap::new(), &[]).unwrap()
}

fn refused(csv: &str) -> String {
    read(csv.as_bytes(), &BTreeMap::new(), &[]).unwrap_err().to_string()
}

fn first(parsed: &Parsed) -> &NewContact {
    &parsed.chunks[0][0].contact
}

#[test]
fn rows_are_refused_with_their_reason_and_line() {
    let csv = "\u{feff}First Name;E-mail\r\nAda; ADA@example.com \r\n\r\nAda;ada@example.com\r\n\
               Bob;nobody\r\nCid;\r\n;;\r\nDan;dan@example.com;more\r\n";
    let parsed = parsed(csv);
    let Counts { rows, duplicate, invalid_email, missing_email, invalid, .. } = parsed.counts;
    assert_eq!((rows, duplicate, invalid_email, missing_email, invalid), (5, 1, 1, 1, 1));
    assert_eq!(first(&parsed).email, "ADA@example.com");
    let lines: Vec<u64> = parsed.refused.iter().map(|row| row.line).collect();
    assert_eq!(lines, [4, 5, 6, 8]);
    assert!(parsed.refused[3].value.starts_with("3 cells where the header has 2"));
}

#[test]
fn a_file_that_is_no_table_of_contacts_says_what_is_wrong() {
    assert_eq!(
        refused("Name,Phone\nAda,1\n"),
        "no column holds email addresses; name one `Email` (found: Name, Phone)"
    );
    assert_eq!(
        refused("Email,Name,Email\na@b.example,A,c@d.example\n"),
        "the header `Email` stands twice, again in column 3; name each column once"
    );
    let wide = (0..500).map(|n| format!("c{n}")).collect::<Vec<_>>().join(",");
    assert!(
        refused(&format!("{wide}\n")).starts_with("the file has 500 columns; 200 are the most")
    );
    assert_eq!(
        refused("email,name\na@b.example,A\0B\n"),
        "line 2 can't be read as CSV: `name` holds a byte of zero; export the file as text"
    );
    let open = format!("email,name\na@b.example,\"A\n{}", "x@y.example,Y\n".repeat(10_000));
    assert!(refused(&open).contains("is there a quote that nobody closed?"), "{}", refused(&open));
}

#[test]
fn a_mapping_goes_before_what_is_probable() {
    let mapping = |pairs: &[(&str, Option<&str>)]| {
        let owned =
            |(name, field): &(&str, Option<&str>)| ((*name).to_owned(), field.map(str::to_owned));
        pairs.iter().map(owned).collect::<BTreeMap<_, _>>()
    };
    let csv = b"Email,Alt,Role\na@b.example,c@d.example,CEO\n";
    let read = |pairs: &[(&str, Option<&str>)]| read(csv, &mapping(pairs), &[]);
    let alt = read(&[("Alt", Some("email")), ("Role", None)]).unwrap();
    assert_eq!((first(&alt).email.as_str(), &first(&alt).title), ("c@d.example", &None));
    let twice = read(&[("Alt", Some("email")), ("Email", Some("email"))]).unwrap_err().to_string();
    assert!(twice.contains("fills `email` as well"), "{twice}");
    let unknown = read(&[("Role", Some("custom.rank"))]).unwrap_err().to_string();
    assert!(
        unknown.starts_with("column `Role`: `custom.rank` is no field; there are: email"),
        "{unknown}"
    );
    let missing = read(&[("Rolle", Some("title"))]).unwrap_err().to_string();
    assert!(
        missing.contains("the file has no such column; there are: Email, Alt, Role"),
        "{missing}"
    );
}

#[test]
fn names_in_one_column_and_letters_of_an_old_export_are_read() {
    let old =
        read(b"name,email\nJos\xe9 Garc\xeda,jose@example.com\n", &BTreeMap::new(), &[]).unwrap();
    let contact = first(&old);
    assert_eq!((contact.first_name.as_str(), contact.last_name.as_str()), ("José", "García"));
}

#[test]
fn a_messy_export_is_counted_as_its_makers_counted_it() {
    let folder =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/contacts");
    let Ok(bytes) = std::fs::read(folder.join("contacts.csv")) else {
        eprintln!("skipped: no shared contacts here");
        return;
    };
    let parsed = read(&bytes, &BTreeMap::new(), &[]).unwrap();
    let Counts { rows, duplicate, invalid_email, missing_email, invalid, .. } = parsed.counts;
    assert_eq!((rows, parsed.taken()), (1000, 957));
    assert_eq!((duplicate, invalid_email, missing_email, invalid), (19, 18, 6, 0));
}
