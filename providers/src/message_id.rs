//! Message-IDs that follow from what is sent, so that a retry carries the id of the first attempt and mail
//! programs show both as one.
//!
//! Owns no table, and never draws anything by chance.

use crate::draw;

/// Where an address has no domain that may stand in a Message-ID; `.invalid` belongs to nobody (RFC 2606).
const FALLBACK_DOMAIN: &str = "salesos.invalid";

/// The Message-ID of what is sent under this key from this mailbox, with its angle brackets (RFC 5322, 3.6.4).
///
/// The right side is the mailbox's domain in lower case; a domain that is not plain ASCII is left out.
pub fn derive(send_key: &str, mailbox: &str) -> String {
    let mailbox = mailbox.to_ascii_lowercase();
    let domain = mailbox.rsplit_once('@').map_or("", |(_, domain)| domain);
    let domain = if is_plain(domain) { domain } else { FALLBACK_DOMAIN };
    let left = draw::hex(&[b"message-id", send_key.as_bytes(), mailbox.as_bytes()], 32);
    format!("<{left}@{domain}>")
}

/// Whether the text is one Message-ID: angle brackets around printable ASCII with one `@` inside.
pub fn is_valid(text: &str) -> bool {
    let Some(inside) = text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')) else {
        return false;
    };
    let allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'<' && byte != b'>';
    let (left, right) = inside.split_once('@').unwrap_or_default();
    !left.is_empty() && !right.is_empty() && !right.contains('@') && inside.bytes().all(allowed)
}

fn is_plain(domain: &str) -> bool {
    let labels = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    domain.len() <= 253 && domain.split('.').all(labels)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_retry_carries_the_same_id_and_another_send_another() {
        let id = derive("run_1/intro/0", "Ann@Example.com");
        assert_eq!(id, derive("run_1/intro/0", "ann@example.com"));
        assert_ne!(id, derive("run_1/intro/1", "ann@example.com"));
        assert_ne!(id, derive("run_1/intro/0", "bob@example.com"));
        assert!(id.ends_with("@example.com>"), "{id}");
    }

    #[test]
    fn what_is_no_message_id_is_seen() {
        for bad in [
            "",
            "a@b",
            "<a@b",
            "<ab>",
            "<@b>",
            "<a@>",
            "<a@b@c>",
            "<a @b>",
            "<a@b>\r\nX: 1",
            "<é@b>",
        ] {
            assert!(!is_valid(bad), "{bad}");
        }
        assert!(is_valid("<a.b+c@d.example>"));
    }

    proptest! {
        #[test]
        fn every_derived_id_is_valid(key in ".*", mailbox in ".*") {
            prop_assert!(is_valid(&derive(&key, &mailbox)));
        }
    }
}
