//! What comes back: when it is due, to whom it is delivered, and how it is acknowledged.

use std::fs;

use chrono::{DateTime, TimeDelta, Utc};
use providers::mail::{Address, InboundKind, InboundMail, OutgoingMail, SendError};
use providers::mock::{MockMail, Persona, PersonaSettings};

use super::{TempFolder, names_in};
use crate::mail::{MAILBOX, mail, start};

/// Later than all reactions to what was sent at the start.
fn much_later() -> DateTime<Utc> {
    start() + TimeDelta::days(10)
}

fn ids(inbound: &[InboundMail]) -> Vec<String> {
    inbound.iter().map(|inbound| inbound.id.clone()).collect()
}

/// Sends one mail each to `count` recipients.
async fn send_to_many(mock: &MockMail, count: u32) {
    for n in 0..count {
        let to = Address { name: String::new(), email: format!("person{n}@example.org") };
        let mail = OutgoingMail { to, ..mail(&format!("run_{n}/intro/0")) };
        mock.send(&mail, start()).await.unwrap();
    }
}

#[tokio::test]
async fn reactions_are_delivered_when_due_oldest_first_until_acknowledged() {
    let folder = TempFolder::new();
    let mock = folder.mailbox(MAILBOX, PersonaSettings::only(Persona::Angry));
    send_to_many(&mock, 30).await;
    assert_eq!(mock.received(start(), 100).await.unwrap(), []);
    let all = mock.received(much_later(), 100).await.unwrap();
    assert_eq!(all.len(), 30);
    assert!(all.is_sorted_by_key(|inbound| inbound.at));
    let half = mock.received(all[14].at, 100).await.unwrap();
    assert_eq!(half, all[..15], "an instant is due itself, and the next one is not");
    assert_eq!(mock.received(much_later(), 7).await.unwrap(), all[..7]);
    mock.acknowledge(&ids(&all[..10])).await.unwrap();
    assert_eq!(mock.received(much_later(), 100).await.unwrap(), all[10..]);
    assert_eq!(names_in(&folder.path().join("inbound/cur")).len(), 10);
}

#[tokio::test]
async fn an_answer_names_the_mail_that_it_answers() {
    let folder = TempFolder::new();
    let mock = folder.mailbox(MAILBOX, PersonaSettings::only(Persona::Angry));
    let mail = mail("run_1/intro/0");
    // A follow-up by its subject, whose answer begins with one `Re:` all the same.
    let mail = OutgoingMail { subject: format!("Re: {}", mail.subject), ..mail };
    mock.send(&mail, start()).await.unwrap();
    let answer = mock.received(much_later(), 10).await.unwrap().remove(0);
    assert_eq!(answer.kind, InboundKind::Replied);
    assert_eq!((&answer.from, answer.to.email.as_str()), (&mail.to, MAILBOX));
    assert_eq!(answer.mailbox, MAILBOX);
    assert_eq!(answer.send_key.as_deref(), Some("run_1/intro/0"));
    assert_eq!(answer.in_reply_to.as_ref(), Some(&mail.message_id));
    assert!(answer.message_id.unwrap().ends_with("@example.org>"));
    assert_eq!(answer.subject, "Re: A quick question");
    assert!(answer.text.contains("\n> Hello Bob,\n"), "{}", answer.text);
}

#[tokio::test]
async fn the_same_seed_plays_the_same_everywhere_and_another_seed_does_not() {
    let mut plays = Vec::new();
    for seed in [1, 1, 2] {
        let folder = TempFolder::new();
        let settings = PersonaSettings::default();
        let mock = MockMail::new(folder.path().into(), MAILBOX.into(), seed, settings);
        send_to_many(&mock, 60).await;
        plays.push(mock.received(much_later(), 1_000).await.unwrap());
    }
    assert!(plays[0].len() > 20, "{}", plays[0].len());
    assert_eq!(plays[0], plays[1]);
    assert_ne!(plays[0], plays[2]);
}

#[tokio::test]
async fn a_mail_that_is_sent_again_brings_nothing_new() {
    let folder = TempFolder::new();
    let mock = folder.mailbox(MAILBOX, PersonaSettings::only(Persona::HardBounce));
    mock.send(&mail("run_1/intro/0"), start()).await.unwrap();
    mock.send(&mail("run_1/intro/0"), start()).await.unwrap();
    let first = mock.received(much_later(), 10).await.unwrap();
    assert_eq!(first.len(), 1, "at the same instant it is the same file");
    // As a retry after a crash, at a later instant.
    mock.send(&mail("run_1/intro/0"), start() + TimeDelta::minutes(5)).await.unwrap();
    let both = mock.received(much_later(), 10).await.unwrap();
    assert_eq!(ids(&both), [first[0].id.clone(), first[0].id.clone()]);
    mock.acknowledge(&ids(&first)).await.unwrap();
    assert_eq!(mock.received(much_later(), 10).await.unwrap(), []);
}

#[tokio::test]
async fn a_mailbox_gets_its_own_and_the_folder_gives_all() {
    let folder = TempFolder::new();
    let settings = PersonaSettings::only(Persona::Angry);
    let [ann, eve] = [MAILBOX, "eve@example.com"].map(|it| folder.mailbox(it, settings));
    ann.send(&mail("run_1/intro/0"), start()).await.unwrap();
    eve.send(&mail("run_2/intro/0"), start()).await.unwrap();
    for (mock, key) in [(&ann, "run_1/intro/0"), (&eve, "run_2/intro/0")] {
        let own = mock.received(much_later(), 10).await.unwrap();
        assert_eq!(own.len(), 1);
        assert_eq!(own[0].send_key.as_deref(), Some(key));
    }
    let all = MockMail::received_by_all(folder.path(), much_later(), 10).await.unwrap();
    assert_eq!(all.len(), 2);
    ann.acknowledge(&ids(&all)).await.unwrap();
    assert_eq!(eve.received(much_later(), 10).await.unwrap(), []);
}

#[tokio::test]
async fn half_written_and_foreign_files_are_left_alone_and_unreadable_ones_set_aside() {
    let folder = TempFolder::new();
    let mock = folder.mailbox(MAILBOX, PersonaSettings::only(Persona::Angry));
    mock.send(&mail("run_1/intro/0"), start()).await.unwrap();
    let new = folder.path().join("inbound/new");
    let good = names_in(&new).remove(0);
    // The same mailbox, earlier, and without a whole JSON value in it.
    let broken = good.replacen("replied-run_1", "replied-run_0", 1);
    for name in [&broken, ".half.part", "notes.txt"] {
        fs::write(new.join(name), "{").unwrap();
    }
    let received = mock.received(much_later(), 10).await.unwrap();
    assert_eq!(received.len(), 1);
    assert_eq!(names_in(&folder.path().join("inbound/unreadable")), [broken]);
    assert_eq!(names_in(&new), [".half.part", &good, "notes.txt"]);
}

#[tokio::test]
async fn a_file_that_a_person_laid_down_is_delivered_and_acknowledged_by_its_name() {
    let folder = TempFolder::new();
    let mock = folder.mailbox(MAILBOX, PersonaSettings::only(Persona::Angry));
    mock.send(&mail("run_1/intro/0"), start()).await.unwrap();
    let new = folder.path().join("inbound/new");
    let good = names_in(&new).remove(0);
    fs::copy(new.join(&good), new.join(good.replacen("replied-", "by-hand-", 1))).unwrap();
    let received = mock.received(much_later(), 10).await.unwrap();
    assert!(received[0].id.starts_with("by-hand-run_1~intro~0-"), "{}", received[0].id);
    mock.acknowledge(&ids(&received[..1])).await.unwrap();
    assert_eq!(names_in(&new), [good]);
}

#[tokio::test]
async fn nobody_reacts_to_a_mail_that_never_left() {
    let folder = TempFolder::new();
    let mock = folder.mailbox(MAILBOX, PersonaSettings::only(Persona::HardBounce));
    // A file where the folder of mail belongs stops the send as a crash before its last act does.
    let blocked = folder.path().join("mail");
    fs::write(&blocked, "").unwrap();
    let answer = mock.send(&mail("run_1/intro/0"), start()).await;
    assert!(matches!(answer, Err(SendError::Unknown { .. })), "{answer:?}");
    assert_eq!(mock.received(much_later(), 10).await.unwrap(), []);
    fs::remove_file(&blocked).unwrap();
    assert_eq!(mock.find("run_1/intro/0").await.unwrap(), None);
    mock.send(&mail("run_1/intro/0"), start()).await.unwrap();
    assert_eq!(mock.received(much_later(), 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_a_crash_kept_back_comes_once_somebody_asks_for_the_mail() {
    let folder = TempFolder::new();
    let mock = folder.mailbox(MAILBOX, PersonaSettings::only(Persona::Angry));
    // A file where inbound files belong stops the send right after the mail has left.
    let blocked = folder.path().join("inbound/new");
    fs::create_dir(folder.path().join("inbound")).unwrap();
    fs::write(&blocked, "").unwrap();
    let answer = mock.send(&mail("run_1/intro/0"), start()).await;
    assert!(matches!(answer, Err(SendError::Unknown { .. })), "{answer:?}");
    fs::remove_file(&blocked).unwrap();
    assert_eq!(mock.received(much_later(), 10).await.unwrap(), []);
    for _again in 0..2 {
        assert!(mock.find("run_1/intro/0").await.unwrap().is_some());
        assert_eq!(mock.received(much_later(), 10).await.unwrap().len(), 1);
    }
    assert_eq!(names_in(&folder.path().join("inbound/prepared")), Vec::<String>::new());
}
