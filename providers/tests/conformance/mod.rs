//! The promises that every mail provider keeps. A new provider adds a bench and a test per promise that calls
//! the function here; nothing here knows which provider it talks to.

use providers::mail::{Address, MailProvider, OutgoingMail, SendError};

use crate::mail::{header, mail, start};

mod mock;

/// A provider with an empty mailbox, and a view behind its back.
pub(crate) struct Bench {
    /// The provider under test, connected to [`crate::mail::MAILBOX`].
    pub(crate) provider: MailProvider,
    /// The raw mail that the mailbox really holds, in the order of sending.
    pub(crate) held: Box<dyn Fn() -> Vec<String>>,
}

/// What was sent is found under its key, and says the same as the answer did.
pub(crate) async fn what_was_sent_is_found(bench: &Bench) {
    let sent = bench.provider.send(&mail("run_1/intro/0"), start()).await.unwrap();
    assert_eq!(bench.provider.find("run_1/intro/0").await, Ok(Some(sent.clone())));
    assert_eq!(sent.thread_id, sent.message_id);
    let held = (bench.held)();
    assert_eq!(held.len(), 1);
    assert_eq!(header(&held[0], "X-Send-Key").unwrap(), "run_1/intro/0");
    assert_eq!(header(&held[0], "Message-ID").unwrap(), sent.message_id);
}

/// A key under which nothing was sent finds nothing, however alike it looks.
pub(crate) async fn an_unknown_key_finds_nothing(bench: &Bench) {
    assert_eq!(bench.provider.find("run_1/intro/0").await, Ok(None), "in an empty mailbox");
    bench.provider.send(&mail("run_1/intro/10"), start()).await.unwrap();
    for key in
        ["run_1/intro/1", "run_1/intro", "run_1/intro/100", "", "run_1/intro/10--", "*", ".."]
    {
        assert_eq!(bench.provider.find(key).await, Ok(None), "{key}");
    }
}

/// A mail that follows another carries its thread, in the answer and when it is found.
pub(crate) async fn a_follow_up_stays_in_its_thread(bench: &Bench) {
    let first = bench.provider.send(&mail("run_1/intro/0"), start()).await.unwrap();
    let mut thread = vec![first.message_id.clone()];
    for key in ["run_1/bump/0", "run_1/last/0"] {
        let follow_up = OutgoingMail {
            in_reply_to: thread.last().cloned(),
            references: thread.clone(),
            ..mail(key)
        };
        let sent = bench.provider.send(&follow_up, start()).await.unwrap();
        assert_eq!(sent.thread_id, first.thread_id);
        assert!(!thread.contains(&sent.message_id), "{sent:?}");
        assert_eq!(bench.provider.find(key).await, Ok(Some(sent.clone())));
        let held = (bench.held)().pop().unwrap();
        assert_eq!(header(&held, "References"), Some(thread.join(" ")));
        thread.push(sent.message_id);
    }
}

/// Every script arrives, encoded as mail programs expect it.
pub(crate) async fn any_script_arrives(bench: &Bench) {
    let greeting = OutgoingMail {
        to: Address { name: "山田 太郎".into(), email: "taro@example.org".into() },
        subject: "Grüße, 你好, 🎉 and a subject that is far longer than one line of a header"
            .into(),
        text: "Schöne Grüße\n".into(),
        html: Some("<p>Schöne Grüße</p>".into()),
        ..mail("run_1/intro/0")
    };
    bench.provider.send(&greeting, start()).await.unwrap();
    let raw = (bench.held)().remove(0);
    assert!(raw.is_ascii(), "{raw}");
    assert!(header(&raw, "Subject").unwrap().starts_with("=?utf-8?b?"), "{raw}");
    assert!(header(&raw, "To").unwrap().ends_with("<taro@example.org>"), "{raw}");
    assert!(header(&raw, "Content-Type").unwrap().starts_with("multipart/alternative"), "{raw}");
    assert!(raw.split("\r\n").all(|line| line.len() <= 78), "{raw}");
}

/// No value of a mail begins another header or another recipient: such a mail is refused, and nothing leaves.
pub(crate) async fn no_value_begins_another_header(bench: &Bench) {
    let evil = "Hi\r\nBcc: eve@example.net";
    let named = |address: Address| Address { name: evil.into(), ..address };
    let plain = || mail("run_1/intro/0");
    let attempts = [
        OutgoingMail { subject: evil.into(), ..plain() },
        OutgoingMail { subject: "Hi\nBcc: eve@example.net".into(), ..plain() },
        OutgoingMail { subject: "Hi\rBcc: eve@example.net".into(), ..plain() },
        OutgoingMail { to: named(plain().to), ..plain() },
        OutgoingMail { from: named(plain().from), ..plain() },
        OutgoingMail {
            to: Address { email: "bob@example.org, eve@example.net".into(), ..plain().to },
            ..plain()
        },
        OutgoingMail { message_id: format!("<a@b>{evil}"), ..plain() },
        OutgoingMail { references: vec![format!("<a@b>{evil}")], ..plain() },
        OutgoingMail { send_key: evil.into(), ..plain() },
        OutgoingMail { unsubscribe_url: Some(evil.into()), ..plain() },
        OutgoingMail { headers: vec![("X-Note".into(), evil.into())], ..plain() },
        OutgoingMail { headers: vec![(evil.into(), "1".into())], ..plain() },
        OutgoingMail { headers: vec![("Bcc".into(), "eve@example.net".into())], ..plain() },
    ];
    for attempt in attempts {
        let answer = bench.provider.send(&attempt, start()).await;
        assert!(matches!(answer, Err(SendError::Refused { .. })), "{answer:?} for {attempt:?}");
    }
    assert_eq!((bench.held)(), Vec::<String>::new());
}

/// A name that only looks like syntax arrives as a name.
pub(crate) async fn a_name_stays_a_name(bench: &Bench) {
    let to = Address { name: "Ray, \"Bob\" <eve@example.net>".into(), ..mail("").to };
    bench.provider.send(&OutgoingMail { to, ..mail("run_1/intro/0") }, start()).await.unwrap();
    let to = header(&(bench.held)()[0], "To").unwrap();
    let name = to.strip_suffix(" <bob@example.org>").unwrap();
    let quoted = name.starts_with('"') && name.ends_with('"');
    assert!(quoted || (name.starts_with("=?utf-8?") && !name.contains('@')), "{to}");
}

/// A provider never deduplicates: that nothing is sent twice is its caller's doing, and has to show.
pub(crate) async fn two_sends_under_one_key_are_both_held(bench: &Bench) {
    let first = bench.provider.send(&mail("run_1/intro/0"), start()).await.unwrap();
    let second = bench.provider.send(&mail("run_1/intro/0"), start()).await.unwrap();
    assert_ne!(first.provider_id, second.provider_id);
    assert_eq!((bench.held)().len(), 2);
    assert_eq!(bench.provider.find("run_1/intro/0").await, Ok(Some(first)));
}

/// A mailbox to which nothing came has nothing, and unknown ids are acknowledged without harm.
pub(crate) async fn an_empty_inbox_is_empty(bench: &Bench) {
    assert_eq!(bench.provider.received(start(), 10).await, Ok(Vec::new()));
    assert_eq!(bench.provider.acknowledge(&["no such id".into()]).await, Ok(()));
}
