//! What is told of mails.

use engine::topic::{Described, Topic};
use schemars::JsonSchema;
use serde::Serialize;

use super::{CONTACT, ENROLLMENT, MAILBOX, MESSAGE};

pub(crate) const BOUNCED: Topic<Heard> = Topic::new(
    "email.bounced",
    1,
    "A mail came back: its address takes none, or took none this time.",
);
pub(crate) const CLICKED: Topic<Heard> =
    Topic::new("email.clicked", 1, "A link of a mail was followed.");
pub(crate) const FAILED: Topic<Failed> =
    Topic::new("email.failed", 1, "A mail was refused for good, so that it did not leave.");
pub(crate) const OPENED: Topic<Heard> = Topic::new("email.opened", 1, "A mail was looked at.");
pub(crate) const REPLIED: Topic<Heard> =
    Topic::new("email.replied", 1, "A person answered a mail.");
pub(crate) const SENT: Topic<Sent> =
    Topic::new("email.sent", 1, "The mailbox's provider accepted a mail.");

pub(super) const TOPICS: [Described; 6] = [
    BOUNCED.describe(),
    CLICKED.describe(),
    FAILED.describe(),
    OPENED.describe(),
    REPLIED.describe(),
    SENT.describe(),
];

/// The data of [`SENT`].
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Sent {
    /// The mail (`msg_…`).
    #[schemars(regex(pattern = MESSAGE))]
    pub(crate) message_id: String,
    /// To whom it went (`con_…`).
    #[schemars(regex(pattern = CONTACT))]
    pub(crate) contact_id: String,
    /// The mailbox that it left through (`epa_…`).
    #[schemars(regex(pattern = MAILBOX))]
    pub(crate) mailbox_id: String,
    /// The enrollment that sent it (`enr_…`); null where none did.
    #[schemars(regex(pattern = ENROLLMENT))]
    pub(crate) enrollment_id: Option<String>,
    /// The id of the step that sent it; null where none did.
    pub(crate) step: Option<String>,
}

/// The data of [`FAILED`].
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Failed {
    /// The mail (`msg_…`).
    #[schemars(regex(pattern = MESSAGE))]
    pub(crate) message_id: String,
    /// To whom it was written (`con_…`).
    #[schemars(regex(pattern = CONTACT))]
    pub(crate) contact_id: String,
    /// Why it failed.
    pub(crate) reason: String,
}

/// What came in for a mail: the data of [`OPENED`], [`CLICKED`], [`REPLIED`] and [`BOUNCED`].
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Heard {
    /// The mail (`msg_…`).
    #[schemars(regex(pattern = MESSAGE))]
    pub(crate) message_id: String,
    /// To whom it went (`con_…`).
    #[schemars(regex(pattern = CONTACT))]
    pub(crate) contact_id: String,
    /// The enrollment that sent it (`enr_…`); null where none did.
    #[schemars(regex(pattern = ENROLLMENT))]
    pub(crate) enrollment_id: Option<String>,
    /// The id of the step that sent it; null where none did.
    pub(crate) step: Option<String>,
    /// How it came back: `hard` where the address takes no mail, `soft` where it took none this time; null where it did
    /// not.
    pub(crate) bounce: Option<Bounce>,
}

/// How a mail came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum Bounce {
    Hard,
    Soft,
}
