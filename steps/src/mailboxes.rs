//! Which provider a mailbox sends through.

use std::path::PathBuf;

use crm::mailbox::Mailbox;
use engine::step::StepError;
use providers::mail::MailProvider;
use providers::mock::{MockMail, PersonaSettings};

/// Opens mailboxes.
#[derive(Debug, Clone)]
pub struct Mailboxes {
    /// Under which folder mock mail lies.
    pub data_dir: PathBuf,
    /// By which the people who answer mock mail are drawn.
    pub seed: u64,
}

impl Mailboxes {
    /// The provider of a mailbox.
    ///
    /// # Errors
    /// `Fail` for a provider that this binary does not speak.
    pub fn open(&self, mailbox: &Mailbox) -> Result<MailProvider, StepError> {
        match mailbox.provider.as_str() {
            "mock" => Ok(MailProvider::Mock(MockMail::new(
                self.data_dir.clone(),
                mailbox.email.clone(),
                self.seed,
                PersonaSettings::default(),
            ))),
            other => Err(StepError::Fail {
                reason: format!("this version does not send through {other}"),
            }),
        }
    }
}
