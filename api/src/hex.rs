//! Bytes as text in URLs and headers: two lowercase letters or digits each.

/// The bytes as text.
pub(crate) fn write(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).expect("a nibble is below 16");
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The bytes of a text that [`write()`] made.
pub(crate) fn read(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|letter| letter.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let digits = digits?;
    let pairs = digits.chunks_exact(2);
    pairs.remainder().is_empty().then(|| pairs.map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_was_written_is_read_back_and_nothing_else_is() {
        let bytes = [0, 15, 16, 255];
        assert_eq!(super::write(&bytes), "000f10ff");
        assert_eq!(super::read("000f10ff"), Some(bytes.to_vec()));
        assert_eq!(super::read("abc"), None);
        assert_eq!(super::read("zz"), None);
    }
}
