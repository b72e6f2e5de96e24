//! Mail addresses: the one parser of all that take an address or compare one (RFC 5321, RFC 5322; UTS 46 for domains in
//! other scripts). No statements of its own.

use email_address::{EmailAddress, Options};

/// The longest address that mail servers take (RFC 5321, 4.5.3.1.3).
const LONGEST: usize = 254;
/// What begins a label that is written in another script (RFC 5890).
const ENCODED: &str = "xn--";

/// Why a text is not accepted as an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// No mail can be sent to it.
    #[error("is not a valid email address; write it as name@domain.tld")]
    Unusable,
    /// It holds a name and an address in angle brackets.
    #[error("holds more than an address; write the address alone, as name@domain.tld")]
    Named,
}

/// An address with the name that is written before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The name; empty if there is none.
    pub name: String,
    /// The address as it is stored.
    pub email: String,
}

/// Reads an address that stands alone; gives it as it is stored: as typed, without blanks around it, and with a domain of
/// another script in its ASCII form.
///
/// # Errors
/// `Named` for `Ann <ann@example.com>`, `Unusable` for anything else that is not an address.
pub fn parse(text: &str) -> Result<String, Invalid> {
    read(text).ok_or_else(|| match named(text) {
        Some(_) => Invalid::Named,
        None => Invalid::Unusable,
    })
}

/// The same, `None` if it is not an address: a host on the internet has a dot in its name, and neither a quoted name nor
/// an address of a machine in brackets is anybody's.
pub fn read(text: &str) -> Option<String> {
    let (local, domain) = trimmed(text).rsplit_once('@')?;
    if local.starts_with('"') {
        return None;
    }
    let domain = ascii(domain)?;
    let host = domain.rsplit('.').next().unwrap_or_default();
    let is_host = domain.contains('.') && !domain.starts_with('.') && !host.is_empty();
    if !is_host || host.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let email = format!("{local}@{domain}");
    let options = Options::default().without_display_text().without_domain_literal();
    let is_address = EmailAddress::parse_with_options(&email, options).is_ok();
    (is_address && email.len() <= LONGEST).then_some(email)
}

/// Reads `Ann Lee <ann@example.com>`, `<ann@example.com>`, or an address that stands alone.
pub fn named(text: &str) -> Option<Named> {
    let text = trimmed(text);
    if let Some(email) = read(text) {
        return Some(Named { name: String::new(), email });
    }
    let (name, email) = text.strip_suffix('>')?.rsplit_once('<')?;
    let email = read(email)?;
    let name = name.trim();
    let unquoted = ['"', '\''].into_iter().find_map(|quote| {
        name.strip_prefix(quote)?.strip_suffix(quote).map(|inner| inner.replace("\\\"", "\""))
    });
    let name = unquoted.unwrap_or_else(|| name.to_owned());
    // Mail programs write the address itself where they know no name.
    let name = if name.contains('@') { String::new() } else { name.trim().to_owned() };
    Some(Named { name, email })
}

/// An address as it is stored, for whoever looks one up; other text stays as it is, without blanks around it.
pub fn stored(text: &str) -> String {
    read(text).unwrap_or_else(|| trimmed(text).to_owned())
}

/// The address as people write it, if its domain is of another script: rows from before domains were stored in ASCII,
/// and hashes of such addresses, have this spelling.
pub fn in_script(email: &str) -> Option<String> {
    let (local, domain) = email.rsplit_once('@')?;
    if !is_encoded(domain) {
        return None;
    }
    let (domain, read) = idna::domain_to_unicode(domain);
    let spelled = format!("{local}@{domain}");
    (read.is_ok() && spelled != email).then_some(spelled)
}

/// All spellings of an address that rows may have, in lower case; the one of today is first.
pub(crate) fn spellings(email: &str) -> Vec<String> {
    let typed = email.to_lowercase();
    let stored = stored(email).to_lowercase();
    let mut spellings: Vec<String> = in_script(&stored).into_iter().collect();
    if typed != stored && !spellings.contains(&typed) {
        spellings.push(typed);
    }
    spellings.insert(0, stored);
    spellings
}

/// Part of an address or of a domain that is searched for, as addresses are stored.
pub(crate) fn stored_part(text: &str) -> String {
    let (before, domain) = match text.rsplit_once('@') {
        Some((local, domain)) => (format!("{local}@"), domain),
        None if text.contains('.') => (String::new(), text),
        None => return text.to_owned(),
    };
    if domain.is_ascii() {
        return text.to_owned();
    }
    idna::domain_to_ascii(domain)
        .map_or_else(|_| text.to_owned(), |domain| format!("{before}{domain}"))
}

/// A text without blanks around it, nor the invisible letters that are copied along with an address.
fn trimmed(text: &str) -> &str {
    let marks =
        ['\u{200b}', '\u{200c}', '\u{200d}', '\u{200e}', '\u{200f}', '\u{2060}', '\u{feff}'];
    text.trim_matches(|letter: char| letter.is_whitespace() || marks.contains(&letter))
}

fn is_encoded(domain: &str) -> bool {
    let encoded = |label: &str| {
        label.get(..ENCODED.len()).is_some_and(|begins| begins.eq_ignore_ascii_case(ENCODED))
    };
    domain.split('.').any(encoded)
}

/// A domain in ASCII; one that is plain ASCII stays as it was typed.
fn ascii(domain: &str) -> Option<String> {
    if domain.is_ascii() && !is_encoded(domain) {
        return Some(domain.to_owned());
    }
    idna::domain_to_ascii_strict(domain).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_is_stored() {
        for (text, stored) in [
            (" ada@b.example ", "ada@b.example"),
            ("Ada.L+tag@B.Example", "Ada.L+tag@B.Example"),
            ("o'neill@b.example", "o'neill@b.example"),
            ("a@müller.example", "a@xn--mller-kva.example"),
            ("a@MÜLLER.example", "a@xn--mller-kva.example"),
            ("a@mu\u{308}ller.example", "a@xn--mller-kva.example"),
            ("a@XN--MLLER-KVA.example", "a@xn--mller-kva.example"),
            ("a@straße.example", "a@xn--strae-oqa.example"),
            ("a@例え。テスト", "a@xn--r8jz45g.xn--zckzah"),
            ("a@b.example\u{200b}", "a@b.example"),
            ("\u{a0}a@b.example\u{feff}", "a@b.example"),
        ] {
            assert_eq!(read(text).as_deref(), Some(stored), "{text}");
            assert_eq!(read(stored).as_deref(), Some(stored), "{stored}");
            assert_eq!(super::stored(text), stored);
        }
    }

    #[test]
    fn what_no_mail_can_be_sent_to_is_refused() {
        for text in [
            "",
            "nobody",
            "@b.example",
            "a@",
            "a@b",
            "a@b..example",
            "a@.example",
            "a@b.example.",
            "a b@c.example",
            "a@b@c.example",
            "a@[127.0.0.1]",
            "a@[IPv6:::1]",
            "a@127.0.0.1",
            "\"x y\"@b.example",
            "\"ada\"@b.example",
            "a@b.example, c@d.example",
            "a@b.example;c@d.example",
            "a@xn--\u{fc}.example",
            "mailto:a@",
            "a@b .example",
        ] {
            assert_eq!(parse(text), Err(Invalid::Unusable), "{text}");
        }
        let long = format!("{}@{}.example", "a".repeat(64), "b".repeat(63));
        assert!(read(&long).is_some());
        assert_eq!(read(&format!("{}@b.example", "a".repeat(65))), None);
    }

    #[test]
    fn a_name_before_an_address_is_taken_apart_and_refused_where_an_address_is_asked_for() {
        for (text, name, email) in [
            ("Ann Lee <ann@b.example>", "Ann Lee", "ann@b.example"),
            ("\"Lee, Ann\" <ann@b.example>", "Lee, Ann", "ann@b.example"),
            ("'Ann Lee' <ann@b.example>", "Ann Lee", "ann@b.example"),
            ("Ann<ann@b.example>", "Ann", "ann@b.example"),
            ("<ann@müller.example>", "", "ann@xn--mller-kva.example"),
            ("ann@b.example <ann@b.example>", "", "ann@b.example"),
        ] {
            let read = Some(Named { name: name.into(), email: email.into() });
            assert_eq!(named(text), read, "{text}");
            assert_eq!(parse(text), Err(Invalid::Named), "{text}");
        }
        for text in
            ["Ann <nobody>", "Ann <a@[127.0.0.1]>", "Ann a@b.example", "<>", ">a@b.example<"]
        {
            assert_eq!(named(text), None, "{text}");
        }
    }

    #[test]
    fn a_domain_of_another_script_has_two_spellings() {
        assert_eq!(in_script("a@xn--mller-kva.example").as_deref(), Some("a@müller.example"));
        assert_eq!(in_script("a@b.example"), None);
        assert_eq!(in_script("nobody"), None);
        assert_eq!(stored_part("@müller.example"), "@xn--mller-kva.example");
        assert_eq!(stored_part("müller.example"), "xn--mller-kva.example");
        assert_eq!(stored_part("jörg"), "jörg");
        assert_eq!(stored_part("b.example"), "b.example");
    }
}
