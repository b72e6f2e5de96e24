//! What the mock does beyond what every provider promises: its folders, its recipients and its faults.

use std::fs;
use std::path::{Path, PathBuf};

use providers::mock::{MockMail, PersonaSettings};
use uuid::Uuid;

mod faults;
mod inbound;

/// A data folder of its own for one test, deleted at its end.
pub(crate) struct TempFolder(PathBuf);

impl TempFolder {
    pub(crate) fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("salesos-mock-{}", Uuid::now_v7().simple()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    /// A mailbox in this folder, with seed 1.
    pub(crate) fn mailbox(&self, address: &str, persona: PersonaSettings) -> MockMail {
        MockMail::new(self.0.clone(), address.into(), 1, persona)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        // What is left in the temporary folder harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The names of all files in a folder, sorted; none where there is no folder.
pub(crate) fn names_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// All mail of a folder, in the order of sending per send key.
pub(crate) fn held_in(folder: &Path) -> Vec<String> {
    let nonce = |name: &String| name.rsplit_once("--").unwrap().1.to_owned();
    let mut names = names_in(folder);
    names.sort_by_key(nonce);
    names.iter().map(|name| fs::read_to_string(folder.join(name)).unwrap()).collect()
}

#[tokio::test]
async fn a_mail_is_a_file_named_by_its_send_key_in_the_folder_of_its_mailbox() {
    let folder = TempFolder::new();
    let mock = folder.mailbox("Ann@Example.com", PersonaSettings::all_silent());
    let sent = mock.send(&crate::mail::mail("run_1/intro/0"), crate::mail::start()).await.unwrap();
    let names = names_in(&folder.path().join("mail/ann@example.com"));
    assert_eq!(names, [format!("{}.eml", sent.provider_id)]);
    assert!(names[0].starts_with("run_1~intro~0--"), "{names:?}");
}

#[tokio::test]
async fn no_mailbox_and_no_key_leads_out_of_the_data_folder() {
    let folder = TempFolder::new();
    let data = folder.path().join("data");
    for address in ["..", "../../outside", "/outside@example.com", "a/../../b@example.com"] {
        let mock = MockMail::new(data.clone(), address.into(), 1, PersonaSettings::all_silent());
        let sent = mock.send(&crate::mail::mail("../../../x"), crate::mail::start()).await;
        assert_eq!(sent.unwrap(), mock.find("../../../x").await.unwrap().unwrap());
        assert_eq!(mock.mail_folder().parent(), Some(data.join("mail").as_path()));
    }
    assert_eq!(names_in(folder.path()), ["data"]);
    assert_eq!(names_in(&data), ["mail"]);
}
