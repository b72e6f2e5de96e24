//! A mail provider that needs no network: sending writes an .eml file that a mail program opens, and each
//! recipient plays a persona whose reactions come in later.
//!
//! Owns no table. It writes whatever it is told and never deduplicates, so that a double send shows.
//!
//! Below the data folder lie `mail/<mailbox>/<send key>--<nonce>.eml` and
//! `inbound/new/<due>-<kind>-<send key>-<mailbox mark>.json`, where `due` is in microseconds since 1970; of a
//! mail that is just leaving, `inbound/prepared/<send key>--<nonce>.json`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::mail::{InboundMail, OutgoingMail, SendError, SentMail};
use crate::mime;

mod answer;
mod fault;
pub(crate) mod files;
mod inbox;
mod persona;
mod sent;

pub use fault::Faults;
pub use persona::{Persona, PersonaSettings};

use fault::{Attempts, Fault};
use inbox::Inbox;

/// One mock mailbox. Clones share the counts of attempts that faults are drawn by; keep one per mailbox.
#[derive(Debug, Clone)]
pub struct MockMail {
    mailbox: String,
    mail_folder: PathBuf,
    inbox: Inbox,
    seed: u64,
    persona: PersonaSettings,
    faults: Faults,
    attempts: Arc<Attempts>,
}

impl MockMail {
    /// A mailbox with this address below the data folder; folders are made when first written to.
    pub fn new(folder: PathBuf, mailbox: String, seed: u64, persona: PersonaSettings) -> Self {
        let mailbox = mailbox.to_ascii_lowercase();
        Self {
            mail_folder: folder.join("mail").join(files::name_for(&mailbox)),
            inbox: Inbox::new(&folder),
            mailbox,
            seed,
            persona,
            faults: Faults::default(),
            attempts: Arc::default(),
        }
    }

    /// Lets sends go wrong on purpose.
    #[must_use]
    pub fn with_faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// The folder in which its sent mail lies.
    pub fn mail_folder(&self) -> &Path {
        &self.mail_folder
    }

    /// Who plays the recipient with this address.
    pub fn persona(&self, recipient: &str) -> Persona {
        self.persona.persona(self.seed, recipient)
    }

    /// As [`crate::mail::MailProvider::send`].
    ///
    /// # Errors
    /// `Refused` for a mail that can't be built, `Unknown` where the disk failed, and what the faults say.
    pub async fn send(
        &self,
        mail: &OutgoingMail,
        now: DateTime<Utc>,
    ) -> Result<SentMail, SendError> {
        if let Some(slow) = self.faults.slow {
            tokio::time::sleep(slow).await;
        }
        let fault = self.fault(&mail.send_key);
        match fault {
            Fault::Temporary => return Err(temporary("the mock mailbox is busy, try again")),
            Fault::Refused => {
                return Err(SendError::Refused { reason: "the mock refuses this mail".into() });
            }
            Fault::None | Fault::AnswerLost => {}
        }
        let raw = mime::build(mail, now)
            .map_err(|invalid| SendError::Refused { reason: invalid.to_string() })?;
        let sent = SentMail {
            provider_id: sent::new_id(&mail.send_key),
            message_id: mail.message_id.clone(),
            thread_id: mail.thread_id().to_owned(),
        };
        let written = self.write(raw, self.reactions(mail, now), sent.provider_id.clone()).await;
        written.map_err(|error| SendError::Unknown {
            reason: format!("the mock could not write the mail, look at its data folder: {error}"),
        })?;
        if fault == Fault::AnswerLost {
            return Err(SendError::Unknown { reason: "the answer of the mock was lost".into() });
        }
        Ok(sent)
    }

    /// As [`crate::mail::MailProvider::find`]; it lists the mailbox's folder once. What a crash kept from
    /// coming back for the mail comes from then on.
    ///
    /// # Errors
    /// `Temporary`, where the folder could not be read.
    pub async fn find(&self, send_key: &str) -> Result<Option<SentMail>, SendError> {
        let (folder, send_key) = (self.mail_folder.clone(), send_key.to_owned());
        let inbox = self.inbox.clone();
        let found = blocking(move || {
            let found = sent::find(&folder, &send_key)?;
            found.as_ref().map_or(Ok(()), |sent| inbox.release(&sent.provider_id))?;
            Ok(found)
        });
        found.await.map_err(unreadable)
    }

    /// As [`crate::mail::MailProvider::received`]; it lists the inbox once.
    ///
    /// # Errors
    /// `Temporary`, where the folder could not be read.
    pub async fn received(
        &self,
        now: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<InboundMail>, SendError> {
        let (inbox, mailbox) = (self.inbox.clone(), self.mailbox.clone());
        blocking(move || inbox.due_of(&mailbox, now, limit)).await.map_err(unreadable)
    }

    /// What came to any mailbox of the data folder, for a process that serves them all in one listing; each
    /// says which mailbox it reached, and any mailbox of the folder may acknowledge it.
    ///
    /// # Errors
    /// `Temporary`, where the folder could not be read.
    pub async fn received_by_all(
        folder: &Path,
        now: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<InboundMail>, SendError> {
        let inbox = Inbox::new(folder);
        blocking(move || inbox.due_of_all(now, limit)).await.map_err(unreadable)
    }

    /// As [`crate::mail::MailProvider::acknowledge`]; it lists the inbox once.
    ///
    /// # Errors
    /// `Temporary`, where a file could not be moved.
    pub async fn acknowledge(&self, ids: &[String]) -> Result<(), SendError> {
        let (inbox, ids) = (self.inbox.clone(), ids.to_vec());
        blocking(move || inbox.acknowledge(&ids)).await.map_err(unreadable)
    }

    fn fault(&self, send_key: &str) -> Fault {
        if self.faults == Faults::default() {
            return Fault::None;
        }
        self.faults.draw(self.seed, send_key, self.attempts.next(send_key))
    }

    fn reactions(&self, mail: &OutgoingMail, now: DateTime<Utc>) -> Vec<InboundMail> {
        let persona = self.persona(&mail.to.email);
        let reactions = persona.react(&answer::occasion(self.seed, mail)).into_iter();
        reactions
            .map(|reaction| answer::inbound(&self.mailbox, persona, reaction, mail, now))
            .collect()
    }

    /// The mail between what it brings back and its release: whenever a crash comes, nobody reacts to a mail
    /// that never left, and none that left stays without its reactions.
    async fn write(
        &self,
        raw: Vec<u8>,
        reactions: Vec<InboundMail>,
        provider_id: String,
    ) -> io::Result<()> {
        let (inbox, folder) = (self.inbox.clone(), self.mail_folder.clone());
        blocking(move || {
            inbox.prepare(&provider_id, &reactions)?;
            sent::put(&folder, &provider_id, &raw)?;
            inbox.release(&provider_id)
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

fn temporary(reason: &str) -> SendError {
    SendError::Temporary { reason: reason.to_owned(), after: None }
}

fn unreadable(error: io::Error) -> SendError {
    temporary(&format!("the mock's data folder can't be used, look at its rights: {error}"))
}
