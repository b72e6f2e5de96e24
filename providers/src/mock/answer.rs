//! The words of those who answer mock mail.
//!
//! Owns no table, and never decides whether somebody answers.

use chrono::{DateTime, Utc};

use super::inbox;
use super::persona::{Occasion, Persona, Reaction};
use crate::mail::{Address, InboundKind, InboundMail, OutgoingMail};
use crate::message_id;

const REPLIES: [&str; 4] = [
    "Thanks for reaching out. Could you send me some times for next week?",
    "Interesting. What would this cost for a team of twenty?",
    "Not a priority this quarter, please come back to me after the summer.",
    "I am not the right person for this, but my colleague may be. I have forwarded it.",
];
const ANGRY_REPLY: &str = "I never asked for this. Stop writing to me.";
const OUT_OF_OFFICE: &str = "I am out of the office and will read your message when I am back.";
const HARD_BOUNCE: &str = "550 5.1.1 The address that you tried to reach does not exist.";
const SOFT_BOUNCE: &str = "452 4.2.2 The mailbox of the recipient is full, try again later.";

/// A reaction as the sender's mailbox gets it.
pub(super) fn inbound(
    mailbox: &str,
    persona: Persona,
    reaction: Reaction,
    mail: &OutgoingMail,
    now: DateTime<Utc>,
) -> InboundMail {
    let words = words(persona, reaction.kind, mail);
    let own = format!("{}/{}", mail.send_key, reaction.kind.as_str());
    let (subject, text) = words.clone().unwrap_or_default();
    InboundMail {
        id: inbox::id(reaction.kind, &mail.send_key, mailbox),
        kind: reaction.kind,
        mailbox: mailbox.to_owned(),
        from: mail.to.clone(),
        to: Address { name: mail.from.name.clone(), email: mailbox.to_owned() },
        send_key: Some(mail.send_key.clone()),
        message_id: words.map(|_| message_id::derive(&own, &mail.to.email)),
        in_reply_to: Some(mail.message_id.clone()),
        subject,
        text,
        at: now + reaction.after,
    }
}

/// Who gets this mail, as far as chance goes.
pub(super) fn occasion(seed: u64, mail: &OutgoingMail) -> Occasion<'_> {
    Occasion {
        seed,
        recipient: &mail.to.email,
        send_key: &mail.send_key,
        begins_thread: mail.references.is_empty() && mail.in_reply_to.is_none(),
    }
}

/// Subject and text; none for what is a notice and no mail.
fn words(persona: Persona, kind: InboundKind, mail: &OutgoingMail) -> Option<(String, String)> {
    let subject = mail.subject.strip_prefix("Re: ").unwrap_or(&mail.subject);
    match kind {
        InboundKind::Opened | InboundKind::Clicked | InboundKind::Unsubscribed => None,
        InboundKind::Replied => {
            let text = if persona == Persona::Angry { ANGRY_REPLY } else { reply(mail) };
            Some((format!("Re: {subject}"), quoting(text, mail)))
        }
        InboundKind::AutoReplied => {
            Some((format!("Automatic reply: {subject}"), OUT_OF_OFFICE.to_owned()))
        }
        InboundKind::BouncedHard => Some((undelivered(), HARD_BOUNCE.to_owned())),
        InboundKind::BouncedSoft => Some((undelivered(), SOFT_BOUNCE.to_owned())),
    }
}

fn reply(mail: &OutgoingMail) -> &'static str {
    let drawn = crate::draw::draw(&[b"reply", mail.send_key.as_bytes()]);
    let index = usize::try_from(drawn % REPLIES.len() as u64).expect("it is less than a length");
    REPLIES[index]
}

fn quoting(text: &str, mail: &OutgoingMail) -> String {
    let quoted: String = mail.text.lines().map(|line| format!("> {line}\n")).collect();
    format!("{text}\n\n{quoted}")
}

fn undelivered() -> String {
    "Undelivered Mail Returned to Sender".to_owned()
}
