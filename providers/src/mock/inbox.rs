//! What comes back to the mock's mailboxes: one file per notice or mail, which lies in `inbound/new` from the
//! send on, falls due at the instant in its name, and moves to `inbound/cur` once acknowledged.
//!
//! Nothing comes back for a mail that never left: it is prepared in `inbound/prepared` first, and laid down
//! once the mail is in its folder. A crash in between is made good when somebody asks for the mail.
//!
//! Owns no table. A file that can't be read moves to `inbound/unreadable` and is never deleted.

use std::collections::{BinaryHeap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::files;
use crate::draw;
use crate::mail::{InboundKind, InboundMail};

/// Microseconds since 1970 in this many digits sort as names as they do as numbers, until the year 5138.
const DUE_DIGITS: usize = 17;

/// The folder of what comes back for mails that are about to leave.
const PREPARED: &str = "prepared";

/// The inbox of all mailboxes of one data folder.
#[derive(Debug, Clone)]
pub(super) struct Inbox {
    root: PathBuf,
}

/// What stands in the name of an inbound file behind its instant. It does not hang on the instant, so that a
/// mail that is sent again after a crash makes the same ids.
pub(super) fn id(kind: InboundKind, send_key: &str, mailbox: &str) -> String {
    format!("{}-{}-{}", kind.as_str(), files::name_for(send_key), mailbox_mark(mailbox))
}

/// Ends the id, so that a mailbox finds its own without opening a file.
fn mailbox_mark(mailbox: &str) -> String {
    draw::hex(&[b"mailbox", mailbox.as_bytes()], 12)
}

impl Inbox {
    pub(super) fn new(data_folder: &Path) -> Self {
        Self { root: data_folder.join("inbound") }
    }

    /// Prepares what comes back for a mail that is about to leave.
    pub(super) fn prepare(&self, provider_id: &str, reactions: &[InboundMail]) -> io::Result<()> {
        if reactions.is_empty() {
            return Ok(());
        }
        let bytes = serde_json::to_vec_pretty(reactions)?;
        files::write_whole(&self.root.join(PREPARED), &format!("{provider_id}.json"), &bytes)
    }

    /// Lays down what was prepared for a mail that has left. Once more changes nothing.
    pub(super) fn release(&self, provider_id: &str) -> io::Result<()> {
        let (folder, name) = (self.root.join(PREPARED), format!("{provider_id}.json"));
        let file = folder.join(&name);
        let bytes = match fs::read(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        let Ok(reactions) = serde_json::from_slice::<Vec<InboundMail>>(&bytes) else {
            return self.set_aside(&file, &name);
        };
        for reaction in &reactions {
            self.put(reaction)?;
        }
        match fs::remove_file(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Lays one down until it is due. The same once more changes nothing.
    fn put(&self, inbound: &InboundMail) -> io::Result<()> {
        let due = inbound.at.timestamp_micros().max(0);
        let name = format!("{due:0DUE_DIGITS$}-{}.json", inbound.id);
        let bytes = serde_json::to_vec_pretty(inbound)?;
        files::write_whole(&self.root.join("new"), &name, &bytes)
    }

    /// Those of one mailbox that are due, oldest first.
    pub(super) fn due_of(
        &self,
        mailbox: &str,
        now: DateTime<Utc>,
        limit: usize,
    ) -> io::Result<Vec<InboundMail>> {
        let mark = format!("-{}.json", mailbox_mark(mailbox));
        self.due(now, limit, |name| name.ends_with(&mark))
    }

    /// Those of all mailboxes that are due, oldest first.
    pub(super) fn due_of_all(
        &self,
        now: DateTime<Utc>,
        limit: usize,
    ) -> io::Result<Vec<InboundMail>> {
        self.due(now, limit, |_| true)
    }

    fn due(
        &self,
        now: DateTime<Utc>,
        limit: usize,
        wanted: impl Fn(&str) -> bool,
    ) -> io::Result<Vec<InboundMail>> {
        let folder = self.root.join("new");
        let now = format!("{:0DUE_DIGITS$}", now.timestamp_micros().max(0));
        // Holds the `limit` oldest names and no more, however many files there are.
        let mut oldest: BinaryHeap<String> = BinaryHeap::new();
        files::each_name(&folder, |name| {
            let due = split(name).is_some_and(|(due, _)| due <= now.as_str());
            let early =
                || oldest.len() < limit || oldest.peek().is_some_and(|last| name < last.as_str());
            if due && wanted(name) && early() {
                oldest.push(name.to_owned());
                if oldest.len() > limit {
                    oldest.pop();
                }
            }
        })?;
        let mut found = Vec::with_capacity(oldest.len());
        for name in oldest.into_sorted_vec() {
            found.extend(self.read(&folder, &name)?);
        }
        Ok(found)
    }

    /// `None` where it was acknowledged meanwhile, or where nobody can read it.
    fn read(&self, folder: &Path, name: &str) -> io::Result<Option<InboundMail>> {
        let file = folder.join(name);
        let bytes = match fs::read(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        match serde_json::from_slice::<InboundMail>(&bytes) {
            // The name is what acknowledging looks for, also where a person wrote the file.
            Ok(inbound) => {
                let id = split(name).map_or(name, |(_, id)| id).to_owned();
                Ok(Some(InboundMail { id, ..inbound }))
            }
            Err(_unreadable) => self.set_aside(&file, name).map(|()| None),
        }
    }

    /// Keeps a file that nobody can read, out of the way.
    fn set_aside(&self, file: &Path, name: &str) -> io::Result<()> {
        tracing::warn!(file = name, "an inbound file can't be read, it is set aside");
        files::move_to(file, &self.root.join("unreadable"), name)
    }

    /// Moves all files with these ids aside, those of a repeated send too, due or not.
    pub(super) fn acknowledge(&self, ids: &[String]) -> io::Result<()> {
        let folder = self.root.join("new");
        let ids: HashSet<&str> = ids.iter().map(String::as_str).collect();
        let mut names: Vec<String> = Vec::new();
        files::each_name(&folder, |name| {
            if split(name).is_some_and(|(_, id)| ids.contains(id)) {
                names.push(name.to_owned());
            }
        })?;
        for name in names {
            files::move_to(&folder.join(&name), &self.root.join("cur"), &name)?;
        }
        Ok(())
    }
}

/// The instant and the id in the name of an inbound file.
fn split(name: &str) -> Option<(&str, &str)> {
    let (due, id) = name.strip_suffix(".json")?.split_at_checked(DUE_DIGITS)?;
    let digits = due.bytes().all(|byte| byte.is_ascii_digit());
    id.strip_prefix('-').filter(|_| digits).map(|id| (due, id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_split_into_instant_and_id() {
        let name = "01795492800000000-opened-run_1~intro~0-0a1b.json";
        assert_eq!(split(name), Some(("01795492800000000", "opened-run_1~intro~0-0a1b")));
        for other in ["readme.txt", "1.json", "0179549280000000x-a.json", "é-é.json"] {
            assert_eq!(split(other), None, "{other}");
        }
    }
}
