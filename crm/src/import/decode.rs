//! The text of a file as CRMs and spreadsheets write it.

use super::ImportError;

/// Text from bytes: by the byte order mark, else UTF-8 where it is that, else an older encoding by guess. A file that is
/// UTF-8 but for a byte is refused where that stands: to guess would spoil all its other letters.
pub(super) fn decode(bytes: &[u8]) -> Result<String, ImportError> {
    refuse_other_files(bytes)?;
    if let Some((encoding, mark)) = encoding_rs::Encoding::for_bom(bytes) {
        if encoding == encoding_rs::UTF_8 {
            return match std::str::from_utf8(&bytes[mark..]) {
                Ok(text) => Ok(text.to_owned()),
                Err(error) => Err(bad_byte(&bytes[mark..], error.valid_up_to())),
            };
        }
        return Ok(encoding.decode_without_bom_handling(&bytes[mark..]).0.into_owned());
    }
    let error = match std::str::from_utf8(bytes) {
        Ok(text) => return Ok(text.to_owned()),
        Err(error) => error,
    };
    if bytes[..error.valid_up_to()].iter().any(|byte| !byte.is_ascii()) {
        return Err(bad_byte(bytes, error.valid_up_to()));
    }
    let mut detector = chardetng::EncodingDetector::new(chardetng::Iso2022JpDetection::Deny);
    detector.feed(bytes, true);
    let guess = detector.guess(None, chardetng::Utf8Detection::Deny);
    Ok(guess.decode_without_bom_handling(bytes).0.into_owned())
}

fn bad_byte(bytes: &[u8], at: usize) -> ImportError {
    let before = &bytes[..at];
    let line = 1 + before.iter().filter(|byte| **byte == b'\n').count() as u64;
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let column = 1 + String::from_utf8_lossy(&before[start..]).chars().count();
    let problem = format!("a byte at letter {column} is no UTF-8; save the file as UTF-8");
    ImportError::Unreadable { line, problem }
}

/// Refuses what is no text, whatever its name ends with.
fn refuse_other_files(bytes: &[u8]) -> Result<(), ImportError> {
    let kinds: [(&[u8], &'static str); 4] = [
        (b"PK\x03\x04", "a ZIP archive or a spreadsheet of Excel; save its table as CSV"),
        (b"\xd0\xcf\x11\xe0", "an old spreadsheet of Excel; save its table as CSV"),
        (b"\x1f\x8b", "packed by gzip; unpack it"),
        (b"%PDF", "a PDF; export the table as CSV"),
    ];
    match kinds.into_iter().find(|(mark, _)| bytes.starts_with(mark)) {
        Some((_, kind)) => Err(ImportError::NoText { kind }),
        None => Ok(()),
    }
}

/// The delimiter that the header line has most of.
pub(super) fn delimiter(text: &str) -> u8 {
    let header = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let count = |delimiter: &u8| header.bytes().filter(|byte| byte == delimiter).count();
    let most = [b'|', b'\t', b';', b','].into_iter().max_by_key(count);
    most.unwrap_or(b',')
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
    }

    #[test]
    fn the_delimiter_is_the_one_that_the_header_has_most_of() {
        assert_eq!(delimiter("a;b;c,d\n1;2;3"), b';');
        assert_eq!(delimiter("\n\nname\temail\n"), b'\t');
        assert_eq!(delimiter("email"), b',');
    }
}
