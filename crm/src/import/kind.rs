//! Files that are not CSV, whatever their name: each is refused with what it is and what to export instead. Pure.

use super::ImportError;

/// What other files begin with.
const MARKS: [(&[u8], &str); 13] = [
    (b"\xd0\xcf\x11\xe0", OLD_EXCEL),
    (b"\x09\x08", OLD_EXCEL),
    (b"ID;PWXL", "a spreadsheet in the SYLK format; open it and save the sheet as CSV UTF-8"),
    (b"\x1f\x8b", "packed by gzip; unpack it"),
    (b"BZh", "packed by bzip2; unpack it"),
    (b"\xfd7zXZ\x00", "packed by xz; unpack it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it"),
    (b"Rar!", "a RAR archive; unpack it"),
    (b"%PDF", "a PDF; export the table as CSV"),
    (b"SQLite format 3\x00", "a SQLite database; export the table as CSV"),
    (b"PAR1", "a Parquet file; export the table as CSV"),
    (b"\x89PNG", "a picture; export the table as CSV"),
    (b"\xff\xd8\xff", "a picture; export the table as CSV"),
];
const OLD_EXCEL: &str =
    "an old spreadsheet of Excel (.xls); open it and save the sheet as CSV UTF-8";

/// Names of files within the ZIP archives that spreadsheets are.
const SHEETS: [(&[u8], &str); 3] = [
    (b"xl/", "a spreadsheet of Excel (.xlsx); open it and save the sheet as CSV UTF-8"),
    (
        b"opendocument.spreadsheet",
        "a spreadsheet of LibreOffice (.ods); open it and save the sheet as CSV in UTF-8",
    ),
    (b"Index/Document.iwa", "a spreadsheet of Numbers; open it and export the table as CSV"),
];
/// How many bytes of an archive's beginning and end are searched for the names in it.
const NAMES: usize = 64 * 1024;
/// How many bytes of text are read to identify it.
const HEAD: usize = 4 * 1024;

const HTML: &str = "a page of HTML, as some products name .xls; open it in a spreadsheet and save the sheet as CSV UTF-8";

/// What text of another kind begins with, in any case.
const BEGINNINGS: [(&str, &str); 12] = [
    ("<!doctype html", HTML),
    ("<html", HTML),
    ("<head", HTML),
    ("<body", HTML),
    ("<meta", HTML),
    ("<style", HTML),
    ("<table", HTML),
    ("mime-version:", HTML),
    ("<?xml", "XML; open it in a spreadsheet and save the sheet as CSV UTF-8, or export CSV"),
    ("begin:vcard", "a vCard (.vcf), which is an address book; export the contacts as CSV instead"),
    ("begin:vcalendar", "a calendar (.ics); export the contacts as CSV instead"),
    ("{\\rtf", "a text document (.rtf); save its table as CSV UTF-8"),
];

/// Refuses a file that is something else by its first bytes.
pub(super) fn refuse(bytes: &[u8]) -> Result<(), ImportError> {
    let mark = MARKS.into_iter().find(|(mark, _)| bytes.starts_with(mark));
    if let Some((_, kind)) = mark {
        return Err(ImportError::NoText { kind });
    }
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
        return Err(ImportError::NoText { kind: archive(bytes) });
    }
    let head = &bytes[..bytes.len().min(HEAD)];
    refuse_text(&String::from_utf8_lossy(head))
}

/// What a ZIP archive is by the names of the files in it.
fn archive(bytes: &[u8]) -> &'static str {
    let ends = [&bytes[..bytes.len().min(NAMES)], &bytes[bytes.len().saturating_sub(NAMES)..]];
    let holds =
        |name: &[u8]| ends.iter().any(|part| part.windows(name.len()).any(|window| window == name));
    let sheet = SHEETS.into_iter().find(|(name, _)| holds(name));
    sheet.map_or("a ZIP archive; unpack it and import the CSV file in it", |(_, kind)| kind)
}

/// Refuses text of another kind by its beginning.
pub(super) fn refuse_text(text: &str) -> Result<(), ImportError> {
    let text =
        text.trim_start_matches(|letter: char| letter.is_whitespace() || letter == '\u{feff}');
    let begins =
        |with: &str| text.get(..with.len()).is_some_and(|begins| begins.eq_ignore_ascii_case(with));
    if let Some((_, kind)) = BEGINNINGS.into_iter().find(|(with, _)| begins(with)) {
        return Err(ImportError::NoText { kind });
    }
    let mut signs = text.chars().filter(|letter| !letter.is_whitespace());
    let kind = match (signs.next(), signs.next()) {
        (Some('{'), Some('"' | '}')) | (Some('['), Some('{' | '[' | '"' | ']')) => {
            "JSON, such as Close exports; export the contacts as CSV instead"
        }
        _table => return Ok(()),
    };
    Err(ImportError::NoText { kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(bytes: &[u8]) -> String {
        refuse(bytes).map_or_else(|error| error.to_string(), |()| "a table".into())
    }

    #[test]
    fn a_file_of_another_kind_says_what_it_is_and_what_to_export() {
        let html = "the file is a page of HTML";
        let json = "the file is JSON, such as Close exports; export the contacts as CSV instead";
        let cases: [(&[u8], &str); 14] = [
            (b"PK\x03\x04 ... xl/workbook.xml", "the file is a spreadsheet of Excel (.xlsx)"),
            (
                b"PK\x03\x04mimetypeapplication/vnd.oasis.opendocument.spreadsheet",
                "the file is a spreadsheet of LibreOffice",
            ),
            (b"PK\x03\x04 and more", "the file is a ZIP archive; unpack it"),
            (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "the file is an old spreadsheet of Excel (.xls)"),
            (b"\xef\xbb\xbf\n<!DOCTYPE html><table>", html),
            (b"<html xmlns:o=\"urn\">", html),
            (b"<Table><tr><td>Email", html),
            (b"<?xml version=\"1.0\"?>\n<Workbook>", "the file is XML"),
            (b"BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Ada", "the file is a vCard (.vcf)"),
            (b"[{\"email\": \"a@b.example\"}]", json),
            (b"{\n  \"data\": []\n}", json),
            (b"[\n  {\n    \"id\": 1", json),
            (b"[]", json),
            (b"%PDF-1.7", "the file is a PDF"),
        ];
        for (bytes, kind) in cases {
            let told = told(bytes);
            assert!(told.starts_with(kind), "{told}");
        }
        for table in ["Email,Name\n", "[Email],[Name]\n", "ID;Prénom;Email\n", "<none>,Email\n", ""]
        {
            assert_eq!(told(table.as_bytes()), "a table", "{table}");
        }
    }
}
