//! The text of a file as CRMs and spreadsheets write it.

use super::{ImportError, kind, letters};

/// Text from bytes: by the byte order mark, else as UTF-8, else in an older encoding if the letters identify it. A file
/// that is UTF-8 but for one byte is refused there: a guess would spoil all its other letters.
pub(super) fn decode(bytes: &[u8]) -> Result<String, ImportError> {
    kind::refuse(bytes)?;
    // DOS ends a file with this byte.
    let bytes = bytes.strip_suffix(b"\x1a").unwrap_or(bytes);
    let text = match encoding_rs::Encoding::for_bom(bytes) {
        Some((encoding, mark)) if encoding == encoding_rs::UTF_8 => utf_8(&bytes[mark..])?,
        Some((encoding, mark)) => letters::whole(encoding, &bytes[mark..])?,
        None if is_legacy(bytes) => letters::decode(bytes)?,
        None => utf_8(bytes)?,
    };
    kind::refuse_text(&text)?;
    letters::refuse_controls(&text)?;
    // An old Mac ends its lines with `\r` alone.
    Ok(if text.contains('\n') { text } else { text.replace('\r', "\n") })
}

/// Whether a file is not UTF-8 from its first letter beyond ASCII onwards.
fn is_legacy(bytes: &[u8]) -> bool {
    match std::str::from_utf8(bytes) {
        Ok(_) => false,
        Err(error) => bytes[..error.valid_up_to()].is_ascii(),
    }
}

fn utf_8(bytes: &[u8]) -> Result<String, ImportError> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => Err(bad_byte(bytes, error.valid_up_to())),
    }
}

fn bad_byte(bytes: &[u8], at: usize) -> ImportError {
    let before = &bytes[..at];
    let mark = if bytes.contains(&b'\n') { b'\n' } else { b'\r' };
    let line = 1 + before.iter().filter(|byte| **byte == mark).count() as u64;
    let start = before.iter().rposition(|byte| *byte == mark).map_or(0, |at| at + 1);
    let column = 1 + String::from_utf8_lossy(&before[start..]).chars().count();
    let problem = format!("a byte at letter {column} is not UTF-8; save the file as CSV UTF-8");
    ImportError::Unreadable { line, problem }
}

/// A table as text: where its first line is, and what parts its cells.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Table<'a> {
    pub(super) text: &'a str,
    /// How many lines stand before it.
    pub(super) before: u64,
    pub(super) delimiter: u8,
}

const DELIMITERS: [u8; 4] = [b'|', b'\t', b';', b','];
/// A byte order mark; a second one is no letter of the first cell.
const MARK: char = '\u{feff}';
/// How many lines are read to tell the delimiter.
const TELLING: usize = 20;

/// The table of a file; a first line such as `sep=;`, as Excel writes and reads it, names the delimiter.
pub(super) fn table(text: &str) -> Table<'_> {
    let text = text.trim_start_matches(MARK);
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let line = first.trim_end_matches('\r').trim_matches('"');
    let named = line.get(..4).filter(|begins| begins.eq_ignore_ascii_case("sep="));
    let named = named.and_then(|_| line.as_bytes().get(4).copied());
    match named.filter(|delimiter| DELIMITERS.contains(delimiter)) {
        Some(delimiter) => Table { text: rest.trim_start_matches(MARK), before: 1, delimiter },
        None => Table { text, before: 0, delimiter: delimiter(text) },
    }
}

/// The delimiter that parts most lines into as many cells as each other. What stands in quotes parts nothing.
fn delimiter(text: &str) -> u8 {
    let mut lines: Vec<[usize; 4]> = Vec::new();
    let (mut line, mut is_quoted, mut last) = ([0; 4], false, b'\n');
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        // A quote within a cell, such as that of 5", opens none.
        let begins_cell = matches!(last, b'\n' | b'\r') || DELIMITERS.contains(&last);
        last = byte;
        if byte == b'"' {
            let is_doubled = is_quoted && bytes.next_if_eq(&b'"').is_some();
            is_quoted = is_doubled || (!is_quoted && begins_cell);
            continue;
        }
        match DELIMITERS.iter().position(|delimiter| *delimiter == byte) {
            Some(at) if !is_quoted => line[at] += 1,
            None if byte == b'\n' && !is_quoted => lines.push(std::mem::take(&mut line)),
            Some(_) | None => {}
        }
        if lines.len() == TELLING {
            break;
        }
    }
    lines.push(line);
    let alike = |at: usize| {
        let with = |cells: usize| lines.iter().filter(|line| line[at] == cells).count();
        let counts = lines.iter().map(|line| line[at]).filter(|cells| *cells > 0);
        counts.map(|cells| (with(cells), cells)).max().unwrap_or_default()
    };
    let best = (0..DELIMITERS.len()).max_by_key(|at| alike(*at));
    best.map_or(b',', |at| DELIMITERS[at])
}

/// The line on which a quote opens that is never closed, or closed in the midst of a cell of a later line: the next quote
/// of the file, which opens a cell itself, ended it.
pub(super) fn open_quote(table: &Table<'_>) -> Option<u64> {
    let bytes = table.text.as_bytes();
    let (mut line, mut at) = (table.before + 1, 0);
    let mut begins_cell = true;
    while let Some(byte) = bytes.get(at) {
        if *byte == b'"' && begins_cell {
            let opens = line;
            let Some(end) = closing(bytes, at + 1) else { return Some(opens) };
            line += bytes[at..end].iter().filter(|byte| **byte == b'\n').count() as u64;
            at = end + 1;
            begins_cell = false;
            let after = bytes[at..].iter().find(|byte| **byte != b' ');
            let ends_cell =
                after.is_none_or(|byte| *byte == table.delimiter || matches!(byte, b'\r' | b'\n'));
            if line > opens && !ends_cell {
                return Some(opens);
            }
            continue;
        }
        line += u64::from(*byte == b'\n');
        begins_cell = *byte == table.delimiter || matches!(byte, b'\r' | b'\n');
        at += 1;
    }
    None
}

/// Where a quoted cell ends; two quotes in it are one of its letters.
fn closing(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += bytes.get(at..)?.iter().position(|byte| *byte == b'"')?;
        if bytes.get(at + 1) != Some(&b'"') {
            return Some(at);
        }
        at += 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_that_is_wrong_is_named_by_its_place_and_old_letters_are_guessed() {
        let told = |bytes: &[u8]| decode(bytes).map_err(|error| error.to_string());
        let mixed = "name,email\nZoë,a@b.example\nJos".as_bytes();
        let spoiled = [mixed, b"\xe9,c@d.example\n"].concat();
        let error = told(&spoiled).expect_err("a byte is wrong");
        assert!(error.starts_with("line 3 can't be read as CSV: a byte at letter 4"), "{error}");
        assert_eq!(told(b"name\nJos\xe9 Garc\xeda\n"), Ok("name\nJosé García\n".into()));
        assert_eq!(told(b"\xff\xfen\0a\0m\0e\0"), Ok("name".into()));
        assert!(told(b"PK\x03\x04...").is_err_and(|error| error.contains("ZIP")));
        assert_eq!(
            told(b"name,email\rAda,a@b.example\r\x1a"),
            Ok("name,email\nAda,a@b.example\n".into())
        );
        let unknown = "line 2 can't be read as CSV: its encoding is unknown, as `M\u{fffd}ller` shows; save the file as CSV UTF-8";
        assert_eq!(told("name\nM\u{81}ller\n".as_bytes()), Err(unknown.into()), "also in UTF-8");
        let odd = told(b"\xff\xfen\0\x00\xd8m\0").expect_err("half a pair of UTF-16");
        assert!(odd.starts_with("line 1 can't be read as CSV"), "{odd}");
    }

    #[test]
    fn the_delimiter_is_the_one_that_parts_the_lines_alike() {
        assert_eq!(delimiter("a;b;c,d\n1;2;3"), b';');
        assert_eq!(delimiter("\n\nname\temail\n"), b'\t');
        assert_eq!(delimiter("email"), b',');
        assert_eq!(
            delimiter("\"E-Mail\";\"Name, Vorname\";\"Ort, Land\"\na;\"b, c\";\"d, e\"\n"),
            b';'
        );
        assert_eq!(delimiter("Notes, and more\n\"a, b\"\nName;Mail\nA;1\nB;2\n"), b';');
        assert_eq!(delimiter("Name;Sum\nA;1,50\nB;2,30\n"), b';');
        assert_eq!(delimiter("5\" pipe;Name\na;b\nc;d\n"), b';');
        assert_eq!(delimiter("Name\tSaid\nA\t\"\"\"x\"\", y, z\"\nB\t\"a, b, c\"\n"), b'\t');
    }

    #[test]
    fn a_first_line_may_name_the_delimiter() {
        let table_of = |text, before, delimiter| Table { text, before, delimiter };
        assert_eq!(table("sep=;\r\na;b\r\n"), table_of("a;b\r\n", 1, b';'));
        assert_eq!(table("SEP=\t\na,b\tc\n"), table_of("a,b\tc\n", 1, b'\t'));
        assert_eq!(table("sep=x\na,b\n"), table_of("sep=x\na,b\n", 0, b','));
        assert_eq!(table("sep="), table_of("sep=", 0, b','));
        assert_eq!(table("\u{feff}\"sep=;\"\r\n\u{feff}a;b\n"), table_of("a;b\n", 1, b';'));
    }

    #[test]
    fn a_quote_that_is_never_closed_is_told_by_its_line() {
        let told = |text: &str| open_quote(&table(text));
        assert_eq!(told("a,b\n1,\"x\n2,y\n"), Some(2));
        assert_eq!(told("a,b\n1,\"x\n2,\"y\"\n3,z\n"), Some(2), "the next one ended it");
        assert_eq!(told("sep=;\na;b\n1;\"x\n"), Some(3));
        assert_eq!(told("a,b\n1,\""), Some(2));
        for whole in [
            "a,b\n1,\"x\ny\"\n2,\"say \"\"hi\"\"\"\n",
            "a,b\n1,\"Office \"Hero\"\"\n2,y\n",
            "a,b\n1,5\" pipe\n2,y\n",
            "a,b\n\"x\ny\" ,1\n",
            "\"a\"",
            "",
        ] {
            assert_eq!(told(whole), None, "{whole}");
        }
    }
}
