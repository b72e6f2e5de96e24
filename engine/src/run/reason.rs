//! How runs are found by why they are held or how they ended: one meaning of `error` for listings, bulk actions and the
//! command line.

/// The longest text that is searched for.
const LONGEST: usize = 200;

/// Reads what somebody searches for as a glob over the whole reason: a text without `*` matches anywhere in it, and in
/// one with `*` each stands for any text, as in `timeout*`. Case counts.
///
/// # Errors
/// What is wrong with the text, and what to write.
pub fn reason_glob(text: &str) -> Result<String, String> {
    if text.chars().count() > LONGEST {
        return Err(format!("is longer than {LONGEST} characters; write a part of the reason"));
    }
    if text.chars().all(|c| c == '*' || c.is_whitespace()) {
        return Err("matches every reason; write a part of the reason, such as `timeout*`".into());
    }
    if text.contains('\0') {
        return Err("contains a NUL character; remove it".into());
    }
    let glob = if text.contains('*') { text.to_owned() } else { format!("*{text}*") };
    // Several stars say no more than one, and cost more to match.
    let mut short = String::with_capacity(glob.len());
    for c in glob.chars() {
        if c != '*' || !short.ends_with('*') {
            short.push(c);
        }
    }
    Ok(short)
}

/// A glob as a pattern of SQL's `like`.
pub(crate) fn like(glob: &str) -> String {
    glob.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_").replace('*', "%")
}

#[cfg(test)]
mod tests {
    use super::{like, reason_glob};

    #[test]
    fn a_text_matches_anywhere_and_stars_match_the_whole_reason() {
        let glob = |text: &str| reason_glob(text).expect("a reason");
        assert_eq!(glob("timeout"), "*timeout*");
        assert_eq!(glob("timeout*"), "timeout*");
        assert_eq!(glob("a***b"), "a*b");
        assert_eq!(like(&glob("100%_\\")), "%100\\%\\_\\\\%");
    }

    #[test]
    fn what_would_match_everything_is_refused() {
        for text in ["", "*", " ** ", "x\0", &"x".repeat(201)] {
            assert!(reason_glob(text).is_err(), "{text:?}");
        }
        assert!(reason_glob(&"x".repeat(200)).is_ok());
    }
}
