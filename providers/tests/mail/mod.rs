//! Mail to send in tests, and a look into raw mail.

use chrono::{DateTime, Utc};
use providers::mail::{Address, OutgoingMail};
use providers::message_id;

/// The mailbox that tests send from.
pub(crate) const MAILBOX: &str = "ann@example.com";

/// 2026-11-24T04:00:00Z.
pub(crate) fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_492_800, 0).unwrap()
}

/// A plain mail under this key.
pub(crate) fn mail(send_key: &str) -> OutgoingMail {
    OutgoingMail {
        from: Address { name: "Ann Lee".into(), email: MAILBOX.into() },
        to: Address { name: "Bob Ray".into(), email: "bob@example.org".into() },
        subject: "A quick question".into(),
        text: "Hello Bob,\n\nhow are you?\n".into(),
        html: None,
        message_id: message_id::derive(send_key, MAILBOX),
        in_reply_to: None,
        references: Vec::new(),
        send_key: send_key.into(),
        unsubscribe_url: None,
        headers: Vec::new(),
    }
}

/// The value of the only header of this name in raw mail, unfolded; `None` where there is none.
pub(crate) fn header(raw: &str, name: &str) -> Option<String> {
    let (head, _) = raw.split_once("\r\n\r\n").unwrap();
    let unfolded = head.replace("\r\n ", " ");
    let begin = format!("{}:", name.to_ascii_lowercase());
    let mut lines =
        unfolded.split("\r\n").filter(|line| line.to_ascii_lowercase().starts_with(&begin));
    let found = lines.next()?[begin.len()..].trim().to_owned();
    assert!(lines.next().is_none(), "`{name}` stands twice in {head}");
    Some(found)
}
