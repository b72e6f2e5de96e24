//! The mock on the bench of conformance.

use providers::mail::MailProvider;
use providers::mock::PersonaSettings;

use super::Bench;
use crate::mock::TempFolder;

/// The promises, on an empty mock mailbox each.
fn bench(folder: &TempFolder) -> Bench {
    let mock = folder.mailbox(crate::mail::MAILBOX, PersonaSettings::all_silent());
    let mail_folder = mock.mail_folder().to_path_buf();
    let held = move || crate::mock::held_in(&mail_folder);
    Bench { provider: MailProvider::Mock(mock), held: Box::new(held) }
}

#[tokio::test]
async fn what_was_sent_is_found() {
    super::what_was_sent_is_found(&bench(&TempFolder::new())).await;
}

#[tokio::test]
async fn an_unknown_key_finds_nothing() {
    super::an_unknown_key_finds_nothing(&bench(&TempFolder::new())).await;
}

#[tokio::test]
async fn a_follow_up_stays_in_its_thread() {
    super::a_follow_up_stays_in_its_thread(&bench(&TempFolder::new())).await;
}

#[tokio::test]
async fn any_script_arrives() {
    super::any_script_arrives(&bench(&TempFolder::new())).await;
}

#[tokio::test]
async fn no_value_begins_another_header() {
    super::no_value_begins_another_header(&bench(&TempFolder::new())).await;
}

#[tokio::test]
async fn a_name_stays_a_name() {
    super::a_name_stays_a_name(&bench(&TempFolder::new())).await;
}

#[tokio::test]
async fn two_sends_under_one_key_are_both_held() {
    super::two_sends_under_one_key_are_both_held(&bench(&TempFolder::new())).await;
}

#[tokio::test]
async fn an_empty_inbox_is_empty() {
    super::an_empty_inbox_is_empty(&bench(&TempFolder::new())).await;
}
