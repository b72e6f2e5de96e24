//! Faults on purpose: what is written and what is answered.

use std::time::Duration;

use futures_util::FutureExt;
use providers::mail::SendError;
use providers::mock::{Faults, PersonaSettings};

use super::{TempFolder, names_in};
use crate::mail::{MAILBOX, mail, start};

#[tokio::test]
async fn a_lost_answer_leaves_the_mail_for_the_one_who_asks() {
    let folder = TempFolder::new();
    let faults = Faults { answer_lost_share: 1.0, ..Faults::default() };
    let mock = folder.mailbox(MAILBOX, PersonaSettings::all_silent()).with_faults(faults);
    let answer = mock.send(&mail("run_1/intro/0"), start()).await;
    assert!(matches!(answer, Err(SendError::Unknown { .. })), "{answer:?}");
    let found = mock.find("run_1/intro/0").await.unwrap().unwrap();
    assert_eq!(found.message_id, mail("run_1/intro/0").message_id);
}

#[tokio::test]
async fn what_is_refused_or_put_off_leaves_nothing() {
    let folder = TempFolder::new();
    let put_off = Faults { temporary_share: 1.0, ..Faults::default() };
    let refused = Faults { refuse_share: 1.0, ..put_off };
    let mock = || folder.mailbox(MAILBOX, PersonaSettings::default());
    let answer = mock().with_faults(put_off).send(&mail("run_1/intro/0"), start()).await;
    assert!(matches!(answer, Err(SendError::Temporary { .. })), "{answer:?}");
    let answer = mock().with_faults(refused).send(&mail("run_1/intro/0"), start()).await;
    assert!(matches!(answer, Err(SendError::Refused { .. })), "{answer:?}");
    assert_eq!(names_in(folder.path()), Vec::<String>::new());
}

#[tokio::test]
async fn retries_get_through_a_mailbox_that_is_busy_half_of_the_time() {
    let folder = TempFolder::new();
    let faults = Faults { temporary_share: 0.5, ..Faults::default() };
    let mock = folder.mailbox(MAILBOX, PersonaSettings::all_silent()).with_faults(faults);
    let mut attempts = 0;
    for n in 0..50 {
        let mail = mail(&format!("run_{n}/intro/0"));
        loop {
            attempts += 1;
            assert!(attempts < 1_000, "the same attempt is drawn again and again");
            // Clones share the count of attempts.
            if mock.clone().send(&mail, start()).await.is_ok() {
                break;
            }
        }
    }
    assert!((70..140).contains(&attempts), "{attempts}");
    assert_eq!(names_in(mock.mail_folder()).len(), 50);
}

#[tokio::test]
async fn a_slow_mailbox_does_not_answer_at_once() {
    let folder = TempFolder::new();
    // A refusal needs no disk, so that it would come at once without the delay.
    let refused = Faults { refuse_share: 1.0, ..Faults::default() };
    let slow = Faults { slow: Some(Duration::from_secs(3_600)), ..refused };
    let mock = || folder.mailbox(MAILBOX, PersonaSettings::all_silent());
    let mail = mail("run_1/intro/0");
    assert!(mock().with_faults(refused).send(&mail, start()).now_or_never().is_some());
    assert!(mock().with_faults(slow).send(&mail, start()).now_or_never().is_none());
}
