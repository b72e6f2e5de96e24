use proptest::prelude::*;

use super::*;

fn mail() -> OutgoingMail {
    OutgoingMail {
        from: Address { name: "Ann Lee".into(), email: "ann@example.com".into() },
        to: Address { name: "Jürgen Groß".into(), email: "juergen@example.org".into() },
        subject: "Grüße aus Köln".into(),
        text: "Guten Tag,\n\nschöne Grüße.\n".into(),
        html: None,
        message_id: "<intro@example.com>".into(),
        in_reply_to: None,
        references: Vec::new(),
        send_key: "run_1/intro/0".into(),
        unsubscribe_url: None,
        headers: Vec::new(),
    }
}

fn at() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_492_800, 0).expect("an instant of 2026")
}

fn text_of(mail: &OutgoingMail) -> String {
    let raw = build(mail, at()).expect("the mail is valid");
    String::from_utf8(raw).expect("all parts are encoded")
}

#[test]
fn a_plain_mail_carries_all_its_headers() {
    let text = text_of(&mail());
    for line in [
        "From: \"Ann Lee\" <ann@example.com>\r\n",
        "Date: Tue, 24 Nov 2026 04:00:00 +0000\r\n",
        "Message-ID: <intro@example.com>\r\n",
        "X-Send-Key: run_1/intro/0\r\n",
        "MIME-Version: 1.0\r\n",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(text.contains("=?utf-8?b?"), "{text}");
    assert!(text.is_ascii(), "{text}");
}

#[test]
fn html_stands_beside_the_plain_text_and_the_bytes_are_the_same_each_time() {
    let mail = OutgoingMail { html: Some("<p>Hi</p>".into()), ..mail() };
    let text = text_of(&mail);
    assert!(text.contains("Content-Type: multipart/alternative;"), "{text}");
    let plain = text.find("text/plain").expect("a plain part");
    assert!(plain < text.find("text/html").expect("an HTML part"), "{text}");
    assert_eq!(text, text_of(&mail));
}

#[test]
fn a_thread_and_one_click_unsubscribing_are_named() {
    let mail = OutgoingMail {
        in_reply_to: Some("<b@example.com>".into()),
        references: vec!["<a@example.com>".into(), "<b@example.com>".into()],
        unsubscribe_url: Some("https://sales.example/u/1".into()),
        headers: vec![("X-Campaign".into(), "Frühling".into())],
        ..mail()
    };
    let text = text_of(&mail);
    for line in [
        "In-Reply-To: <b@example.com>\r\n",
        "References: <a@example.com> <b@example.com>\r\n",
        "List-Unsubscribe: <https://sales.example/u/1>\r\n",
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n",
        "X-Campaign: =?utf-8?b?",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[test]
fn what_can_not_leave_is_refused_by_field() {
    let control = |field: &str| InvalidMail::ControlCharacter { field: field.into() };
    let header = |name: &str| InvalidMail::Header { name: name.into() };
    let named = |name: &str| Address { name: name.into(), ..mail().to };
    let at_address = |email: &str| Address { email: email.into(), ..mail().to };
    let with = |name: &str, value: &str| OutgoingMail {
        headers: vec![(name.into(), value.into())],
        ..mail()
    };
    let cases = [
        (OutgoingMail { subject: "a\r\nBcc: x@y.example".into(), ..mail() }, control("subject")),
        (OutgoingMail { subject: "a\u{2028}b".into(), ..mail() }, control("subject")),
        (OutgoingMail { to: named("a\nBcc: x@y.example"), ..mail() }, control("to")),
        (OutgoingMail { to: at_address("a@b.example\nX: 1"), ..mail() }, control("to")),
        (
            OutgoingMail { from: at_address("nobody"), ..mail() },
            InvalidMail::Address { field: "from" },
        ),
        (
            OutgoingMail { to: at_address("jürgen@example.org"), ..mail() },
            InvalidMail::NotAscii { field: "to" },
        ),
        (
            OutgoingMail { message_id: "<a@b>\r\nX: 1".into(), ..mail() },
            InvalidMail::MessageId { field: "message_id" },
        ),
        (
            OutgoingMail { send_key: "a\r\nX: 1".into(), ..mail() },
            InvalidMail::NotPrintable { field: "send_key" },
        ),
        (
            OutgoingMail { unsubscribe_url: Some("https://a >\r\nX: 1".into()), ..mail() },
            InvalidMail::NotPrintable { field: "unsubscribe_url" },
        ),
        (
            OutgoingMail { subject: "a".repeat(901), ..mail() },
            InvalidMail::TooLong { field: "subject".into() },
        ),
        (with("X-A", "1\r\nBcc: x@y.example"), control("X-A")),
        (with("X-A\r\nBcc", "1"), header("X-A\r\nBcc")),
        (with("bCC", "x@y.example"), header("bCC")),
        (with("Content-Type", "text/html"), header("Content-Type")),
    ];
    for (mail, expected) in cases {
        assert_eq!(build(&mail, at()), Err(expected));
    }
}

#[test]
fn an_instant_without_a_date_header_is_refused() {
    let early = DateTime::from_timestamp(-1, 0).expect("an instant of 1969");
    assert_eq!(build(&mail(), early), Err(InvalidMail::Date { year: 1969 }));
}

proptest! {
    #[test]
    fn any_one_line_name_and_subject_leave_as_ascii(
        name in "[^\\p{C}\u{2028}\u{2029}]{0,40}|[ -~]{0,40}",
        subject in "[^\\p{C}\u{2028}\u{2029}]{0,200}|[ -~]{0,200}",
    ) {
        let named = |address: Address| Address { name: name.clone(), ..address };
        let mail = OutgoingMail { from: named(mail().from), to: named(mail().to), subject, ..mail() };
        let raw = build(&mail, at());
        prop_assert!(raw.as_ref().is_ok_and(|raw| raw.is_ascii()), "{raw:?}");
    }

    #[test]
    fn no_address_breaks_the_builder(email in "[ -~]{0,30}@[ -~]{0,20}|\"[ -~]{0,20}\"@a.example") {
        let mail = OutgoingMail { to: Address { email, ..mail().to }, ..mail() };
        if let Ok(raw) = build(&mail, at()) {
            let text = String::from_utf8_lossy(&raw);
            prop_assert_eq!(text.matches("\r\nTo: ").count(), 1);
        }
    }
}
