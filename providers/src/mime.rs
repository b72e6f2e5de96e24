//! Makes the RFC 5322 bytes of a mail, for every provider that takes them raw.
//!
//! Owns no table. It never lets a value of a header begin another header: what holds a control character is
//! refused, what is not ASCII is encoded.

use std::time::SystemTime;

use chrono::{DateTime, Datelike, Utc};
use lettre::Message;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MessageBuilder, MultiPart, SinglePart};

use crate::mail::{Address, OutgoingMail};
use crate::{draw, message_id};

/// The header that carries the send key, by which a mailbox is asked what it holds.
pub const SEND_KEY_HEADER: &str = "X-Send-Key";

/// Headers that the fields of a mail make, and that its free headers may not repeat; `bcc` and `cc` are here
/// because a mail has one recipient.
const OWN_HEADERS: [&str; 14] = [
    "from",
    "sender",
    "to",
    "cc",
    "bcc",
    "subject",
    "date",
    "message-id",
    "in-reply-to",
    "references",
    "mime-version",
    "x-send-key",
    "list-unsubscribe",
    "list-unsubscribe-post",
];

/// A line that can't be folded may be this long (RFC 5322, 2.1.1), less the room for the header's name.
const LONGEST_LINE_BYTES: usize = 900;

/// Why no bytes were made; sending it again would fail alike.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMail {
    /// An address that no mail can go to or come from.
    #[error("`{field}` holds no valid address, give one such as `ann@example.com`")]
    Address { field: &'static str },
    /// An address with letters outside of ASCII, which few mail servers take (RFC 6531).
    #[error("`{field}` holds an address that is not ASCII, write its domain as `xn--…`")]
    NotAscii { field: &'static str },
    /// A line break or another control character where one line of text belongs.
    #[error("`{field}` holds a line break or another control character, take it out")]
    ControlCharacter { field: String },
    /// A text that no mail server has to take as one line.
    #[error("`{field}` is longer than {LONGEST_LINE_BYTES} bytes, shorten it")]
    TooLong { field: String },
    /// A Message-ID without angle brackets, without `@`, or not in ASCII.
    #[error("`{field}` holds no Message-ID, write it as `<left@example.com>`")]
    MessageId { field: &'static str },
    /// A send key or an unsubscribe address with a blank or a letter outside of ASCII, or empty.
    #[error("`{field}` must be printable ASCII without blanks")]
    NotPrintable { field: &'static str },
    /// A header that a field of the mail already makes, or whose name is none.
    #[error("header `{name}` can't be set, choose another name that no field of the mail makes")]
    Header { name: String },
    /// A year that a Date header can't hold.
    #[error("year {year} is outside of 1970 to 9998, check the clock")]
    Date { year: i32 },
}

/// The mail as bytes, dated `now`; the same mail at the same instant gives the same bytes.
///
/// With HTML it is `multipart/alternative`, plain text first, else one plain part, both in UTF-8.
///
/// # Errors
/// What stands in the mail and can't leave, by field.
pub fn build(mail: &OutgoingMail, now: DateTime<Utc>) -> Result<Vec<u8>, InvalidMail> {
    if !(1970..9999).contains(&now.year()) {
        return Err(InvalidMail::Date { year: now.year() });
    }
    let builder = Message::builder()
        .from(mailbox("from", &mail.from)?)
        .to(mailbox("to", &mail.to)?)
        .subject(one_line("subject", &mail.subject)?)
        .date(SystemTime::from(now))
        .message_id(Some(checked_id("message_id", &mail.message_id)?));
    let builder = thread(builder, mail)?;
    let builder = further_headers(builder, mail)?;
    let message = match &mail.html {
        Some(html) => builder.multipart(alternative(mail, html)),
        None => builder.singlepart(plain(&mail.text)),
    };
    // All that can fail here is that the library reads back an unusual address from its own header.
    let message = message.map_err(|_| InvalidMail::Address { field: "from or to" })?;
    Ok(message.formatted())
}

/// Reads a sender, `name@example.com` or `Name <name@example.com>`; `None` if a mail can't come from it.
pub fn read_sender(text: &str) -> Option<Address> {
    let read: Mailbox = text.parse().ok()?;
    let address = Address { name: read.name.unwrap_or_default(), email: read.email.to_string() };
    mailbox("from", &address).is_ok().then_some(address)
}

fn mailbox(field: &'static str, address: &Address) -> Result<Mailbox, InvalidMail> {
    let name = one_line(field, &address.name)?;
    one_line(field, &address.email)?;
    if !address.email.is_ascii() {
        return Err(InvalidMail::NotAscii { field });
    }
    let email = address.email.parse().map_err(|_| InvalidMail::Address { field })?;
    Ok(Mailbox::new(Some(name).filter(|name| !name.trim().is_empty()), email))
}

fn thread(mut builder: MessageBuilder, mail: &OutgoingMail) -> Result<MessageBuilder, InvalidMail> {
    if let Some(id) = &mail.in_reply_to {
        builder = builder.in_reply_to(checked_id("in_reply_to", id)?);
    }
    let ids: Result<Vec<String>, InvalidMail> =
        mail.references.iter().map(|id| checked_id("references", id)).collect();
    let ids = ids?;
    Ok(if ids.is_empty() { builder } else { builder.references(ids.join(" ")) })
}

fn further_headers(
    builder: MessageBuilder,
    mail: &OutgoingMail,
) -> Result<MessageBuilder, InvalidMail> {
    let key = printable("send_key", &mail.send_key)?;
    let mut builder = builder.raw_header(raw(SEND_KEY_HEADER, key)?);
    if let Some(url) = &mail.unsubscribe_url {
        let url = printable("unsubscribe_url", url)?;
        builder = builder
            .raw_header(raw("List-Unsubscribe", format!("<{url}>"))?)
            .raw_header(raw("List-Unsubscribe-Post", "List-Unsubscribe=One-Click".into())?);
    }
    for (name, value) in &mail.headers {
        let lower = name.to_ascii_lowercase();
        if OWN_HEADERS.contains(&lower.as_str()) || lower.starts_with("content-") {
            return Err(InvalidMail::Header { name: name.clone() });
        }
        builder = builder.raw_header(raw(name, one_line(name, value)?)?);
    }
    Ok(builder)
}

fn alternative(mail: &OutgoingMail, html: &str) -> MultiPart {
    // Drawn from the content, so that no body can hold its own boundary by accident or on purpose.
    let parts = [mail.message_id.as_bytes(), mail.text.as_bytes(), html.as_bytes()];
    let boundary = draw::hex(&parts, 40);
    let html = SinglePart::builder().header(ContentType::TEXT_HTML).body(html.to_owned());
    MultiPart::alternative().boundary(boundary).singlepart(plain(&mail.text)).singlepart(html)
}

fn plain(text: &str) -> SinglePart {
    SinglePart::builder().header(ContentType::TEXT_PLAIN).body(text.to_owned())
}

fn raw(name: &str, value: String) -> Result<HeaderValue, InvalidMail> {
    let invalid = || InvalidMail::Header { name: name.chars().take(76).collect() };
    // The library lets control characters pass here; RFC 5322 (2.2) allows printable ASCII alone.
    let printable = name.bytes().all(|byte| byte.is_ascii_graphic());
    let name = HeaderName::new_from_ascii(name.to_owned()).ok().filter(|_| printable);
    Ok(HeaderValue::new(name.ok_or_else(invalid)?, value))
}

fn checked_id(field: &'static str, id: &str) -> Result<String, InvalidMail> {
    if !message_id::is_valid(id) {
        return Err(InvalidMail::MessageId { field });
    }
    at_most_one_line(field, id)
}

fn printable(field: &'static str, text: &str) -> Result<String, InvalidMail> {
    let allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'<' && byte != b'>';
    if !text.is_empty() && text.bytes().all(allowed) {
        at_most_one_line(field, text)
    } else {
        Err(InvalidMail::NotPrintable { field })
    }
}

fn one_line(field: &str, text: &str) -> Result<String, InvalidMail> {
    // U+2028 and U+2029 are no controls, yet some programs break lines at them.
    let breaks = |letter: char| letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}');
    if text.contains(breaks) {
        return Err(InvalidMail::ControlCharacter { field: field.to_owned() });
    }
    at_most_one_line(field, text)
}

fn at_most_one_line(field: &str, text: &str) -> Result<String, InvalidMail> {
    if text.len() > LONGEST_LINE_BYTES {
        return Err(InvalidMail::TooLong { field: field.to_owned() });
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests;
