//! Mail as every provider takes and gives it, and the enum that holds one arm per provider.
//!
//! Owns no table. A provider sends what it is told and says what its mailbox holds; it never decides whether
//! a mail may be sent, and never remembers that it was.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::mock::MockMail;

/// A person's address as it stands in a header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The name shown; empty where only the address is known.
    pub name: String,
    /// The address itself, such as `ann@example.com`.
    pub email: String,
}

/// A mail that is ready to leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingMail {
    /// Who sends it; the mailbox's own address.
    pub from: Address,
    /// The one person who gets it.
    pub to: Address,
    /// The subject, one line, in any script.
    pub subject: String,
    /// The body as plain text.
    pub text: String,
    /// The body as HTML, beside the plain text.
    pub html: Option<String>,
    /// The Message-ID with its angle brackets; [`crate::message_id::derive`] makes it.
    pub message_id: String,
    /// The Message-ID of the mail that this one follows.
    pub in_reply_to: Option<String>,
    /// The Message-IDs of the thread, oldest first.
    pub references: Vec<String>,
    /// The same for every attempt of one step's iteration, and for no other: `run_01h…/intro/0`. It leaves as
    /// the header `X-Send-Key`.
    pub send_key: String,
    /// Where one click unsubscribes; leaves as `List-Unsubscribe` and `List-Unsubscribe-Post` (RFC 8058).
    pub unsubscribe_url: Option<String>,
    /// Further headers, name and value; none that the other fields already make.
    pub headers: Vec<(String, String)>,
}

impl OutgoingMail {
    /// What names the thread: the oldest mail that it refers to, else itself.
    pub fn thread_id(&self) -> &str {
        let oldest = self.references.first().or(self.in_reply_to.as_ref());
        oldest.unwrap_or(&self.message_id)
    }
}

/// A mail that the provider holds as sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentMail {
    /// The provider's own name for it.
    pub provider_id: String,
    /// The Message-ID under which it went out, which the provider may have chosen anew.
    pub message_id: String,
    /// The provider's name for its thread.
    pub thread_id: String,
}

/// Why a provider gave no answer that counts as sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Nothing was sent; it is worth trying again, not before `after` where the provider said so.
    #[error("{reason}")]
    Temporary { reason: String, after: Option<Duration> },
    /// Nothing was sent, and trying again would be refused alike.
    #[error("{reason}")]
    Refused { reason: String },
    /// Nobody knows whether it was sent; [`MailProvider::find`] is to be asked.
    #[error("{reason}")]
    Unknown { reason: String },
    /// Nothing was sent; a person has to connect the mailbox again first.
    #[error("{reason}")]
    Unauthorized { reason: String },
}

/// What an inbound mail or notice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InboundKind {
    /// The recipient saw the mail.
    Opened,
    /// The recipient followed a link.
    Clicked,
    /// A person answered.
    Replied,
    /// A machine answered, such as an out-of-office notice.
    AutoReplied,
    /// The address can never be reached.
    BouncedHard,
    /// The address could not be reached this time.
    BouncedSoft,
    /// The recipient wants no further mail.
    Unsubscribed,
}

impl InboundKind {
    /// The name it has in JSON and in file names.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Clicked => "clicked",
            Self::Replied => "replied",
            Self::AutoReplied => "auto_replied",
            Self::BouncedHard => "bounced_hard",
            Self::BouncedSoft => "bounced_soft",
            Self::Unsubscribed => "unsubscribed",
        }
    }
}

/// Something that came back to a mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboundMail {
    /// What [`MailProvider::acknowledge`] takes. It may be delivered again under the same id until then, and
    /// the caller applies each id once.
    pub id: String,
    /// What it is.
    pub kind: InboundKind,
    /// The mailbox that it reached.
    pub mailbox: String,
    /// Who it is from: the recipient of the mail that it is about.
    pub from: Address,
    /// Who it is to.
    pub to: Address,
    /// The send key of the mail that it is about, where the provider knows it.
    pub send_key: Option<String>,
    /// Its own Message-ID, where it is a mail and not a notice.
    pub message_id: Option<String>,
    /// The Message-ID of the mail that it is about.
    pub in_reply_to: Option<String>,
    /// Its subject; empty for a notice.
    pub subject: String,
    /// Its text; empty for a notice.
    pub text: String,
    /// When it came.
    pub at: DateTime<Utc>,
}

/// One connected mailbox at one of the providers. Clones share what they hold.
#[derive(Debug, Clone)]
pub enum MailProvider {
    /// Files in a folder, and personas that answer.
    Mock(MockMail),
}

impl MailProvider {
    /// Sends one mail at `now`. It never looks whether the same send key was sent before.
    ///
    /// # Errors
    /// As [`SendError`] says; after `Unknown` ask [`MailProvider::find`].
    pub async fn send(
        &self,
        mail: &OutgoingMail,
        now: DateTime<Utc>,
    ) -> Result<SentMail, SendError> {
        match self {
            Self::Mock(mock) => mock.send(mail, now).await,
        }
    }

    /// What the mailbox holds as sent under this key; the oldest where there are several.
    ///
    /// # Errors
    /// `Temporary` or `Unauthorized`, where the mailbox could not be asked.
    pub async fn find(&self, send_key: &str) -> Result<Option<SentMail>, SendError> {
        match self {
            Self::Mock(mock) => mock.find(send_key).await,
        }
    }

    /// What came to this mailbox until `now` and is not acknowledged, oldest first, at most `limit`.
    ///
    /// # Errors
    /// `Temporary` or `Unauthorized`, where the mailbox could not be asked.
    pub async fn received(
        &self,
        now: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<InboundMail>, SendError> {
        match self {
            Self::Mock(mock) => mock.received(now, limit).await,
        }
    }

    /// Says that these were applied and need not be delivered again; unknown ids change nothing.
    ///
    /// # Errors
    /// `Temporary` or `Unauthorized`, where the mailbox could not be told.
    pub async fn acknowledge(&self, ids: &[String]) -> Result<(), SendError> {
        match self {
            Self::Mock(mock) => mock.acknowledge(ids).await,
        }
    }
}
