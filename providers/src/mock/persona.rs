//! Personas: how each recipient of mock mail behaves, and what comes back after a mail.
//!
//! Owns no table. Who somebody is follows from the seed and the address, what they do from the send key as
//! well, and nothing here reads a clock or a file.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::draw::{draw, happens};
use crate::mail::InboundKind;

/// How a recipient behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Persona {
    /// Nothing ever comes back.
    Silent,
    /// Opens mail.
    Opener,
    /// Opens mail and follows a link.
    Clicker,
    /// Opens mail and answers, some at the first mail, some at a later one.
    Replier,
    /// A notice answers the first mail of a thread, and nothing follows.
    OutOfOffice,
    /// The address does not exist.
    HardBounce,
    /// The mailbox is full for half of the first mails, and opens the others.
    SoftBounce,
    /// Opens mail and unsubscribes, some at the first mail, some at a later one.
    Unsubscriber,
    /// Answers at once and wants no further mail.
    Angry,
}

/// How common each persona is: parts of the sum of all. The default is a sales list of fair quality.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PersonaSettings {
    /// Parts of [`Persona::Silent`], default 34.
    pub silent: u32,
    /// Parts of [`Persona::Opener`], default 22.
    pub opener: u32,
    /// Parts of [`Persona::Clicker`], default 12.
    pub clicker: u32,
    /// Parts of [`Persona::Replier`], default 14.
    pub replier: u32,
    /// Parts of [`Persona::OutOfOffice`], default 5.
    pub out_of_office: u32,
    /// Parts of [`Persona::HardBounce`], default 4.
    pub hard_bounce: u32,
    /// Parts of [`Persona::SoftBounce`], default 3.
    pub soft_bounce: u32,
    /// Parts of [`Persona::Unsubscriber`], default 4.
    pub unsubscriber: u32,
    /// Parts of [`Persona::Angry`], default 2.
    pub angry: u32,
}

impl Default for PersonaSettings {
    fn default() -> Self {
        Self {
            silent: 34,
            opener: 22,
            clicker: 12,
            replier: 14,
            out_of_office: 5,
            hard_bounce: 4,
            soft_bounce: 3,
            unsubscriber: 4,
            angry: 2,
        }
    }
}

/// Something that comes back after a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reaction {
    pub(super) kind: InboundKind,
    /// How long after the send.
    pub(super) after: Duration,
}

const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// Delays in microseconds, so that reactions to a batch of mails fall on different instants.
const OPEN: RangeInclusive<u64> = 2 * MINUTE..=40 * HOUR;
const CLICK: RangeInclusive<u64> = 5 * SECOND..=5 * MINUTE;
const REPLY: RangeInclusive<u64> = 10 * MINUTE..=50 * HOUR;
const ANGRY_REPLY: RangeInclusive<u64> = MINUTE..=2 * HOUR;
const NOTICE: RangeInclusive<u64> = 5 * SECOND..=2 * MINUTE;
const HARD_BOUNCE: RangeInclusive<u64> = 2 * SECOND..=2 * MINUTE;
const SOFT_BOUNCE: RangeInclusive<u64> = MINUTE..=4 * HOUR;
const UNSUBSCRIBE: RangeInclusive<u64> = 10 * SECOND..=3 * MINUTE;

impl PersonaSettings {
    /// Only silent recipients, for tests and benchmarks.
    pub fn all_silent() -> Self {
        Self::only(Persona::Silent)
    }

    /// Only recipients of one kind.
    pub fn only(persona: Persona) -> Self {
        let part = |of: Persona| u32::from(of == persona);
        Self {
            silent: part(Persona::Silent),
            opener: part(Persona::Opener),
            clicker: part(Persona::Clicker),
            replier: part(Persona::Replier),
            out_of_office: part(Persona::OutOfOffice),
            hard_bounce: part(Persona::HardBounce),
            soft_bounce: part(Persona::SoftBounce),
            unsubscriber: part(Persona::Unsubscriber),
            angry: part(Persona::Angry),
        }
    }

    /// Who the recipient is, the same in every run with this seed; silent where all parts are 0.
    pub fn persona(&self, seed: u64, recipient: &str) -> Persona {
        let parts = self.parts();
        let sum: u64 = parts.iter().map(|(_, part)| u64::from(*part)).sum();
        let recipient = recipient.to_ascii_lowercase();
        let drawn = draw(&[&seed.to_be_bytes(), b"persona", recipient.as_bytes()]);
        let mut left = drawn.checked_rem(sum).unwrap_or(0);
        for (persona, part) in parts {
            if left < u64::from(part) {
                return persona;
            }
            left -= u64::from(part);
        }
        Persona::Silent
    }

    fn parts(&self) -> [(Persona, u32); 9] {
        [
            (Persona::Silent, self.silent),
            (Persona::Opener, self.opener),
            (Persona::Clicker, self.clicker),
            (Persona::Replier, self.replier),
            (Persona::OutOfOffice, self.out_of_office),
            (Persona::HardBounce, self.hard_bounce),
            (Persona::SoftBounce, self.soft_bounce),
            (Persona::Unsubscriber, self.unsubscriber),
            (Persona::Angry, self.angry),
        ]
    }
}

/// One mail to one recipient, as far as chance goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Occasion<'a> {
    pub(super) seed: u64,
    pub(super) recipient: &'a str,
    pub(super) send_key: &'a str,
    /// Whether the mail refers to no earlier one.
    pub(super) begins_thread: bool,
}

impl Occasion<'_> {
    fn draw(&self, purpose: &str) -> u64 {
        let recipient = self.recipient.to_ascii_lowercase();
        let (seed, key) = (self.seed.to_be_bytes(), self.send_key.as_bytes());
        draw(&[&seed, purpose.as_bytes(), recipient.as_bytes(), key])
    }

    fn happens(&self, purpose: &str, share: f64) -> bool {
        happens(self.draw(purpose), share)
    }

    /// A delay within the range, early rather than late.
    fn delay(&self, purpose: &str, range: RangeInclusive<u64>) -> Duration {
        // Squaring a share of 0 to 1 in millionths bends the even draw towards the early end.
        let share = self.draw(purpose) % 1_000_001;
        let width = u128::from(range.end() - range.start());
        let late = width * u128::from(share) * u128::from(share) / 1_000_000_000_000;
        let late = u64::try_from(late).expect("a share of a width is no wider than the width");
        Duration::from_micros(range.start() + late)
    }
}

impl Persona {
    /// What comes back after this mail, in the order of time.
    pub(super) fn react(self, on: &Occasion<'_>) -> Vec<Reaction> {
        use InboundKind::{AutoReplied, BouncedHard, BouncedSoft, Clicked, Replied, Unsubscribed};
        let only = |kind, delay| vec![Reaction { kind, after: on.delay("alone", delay) }];
        match self {
            Self::Silent => Vec::new(),
            Self::Opener => open_and_then(on, 0.8, None),
            Self::Clicker => open_and_then(on, 0.9, Some((Clicked, 0.8, CLICK))),
            // Later mails are likelier to be answered, so that sequences end at every depth.
            Self::Replier if on.begins_thread => {
                open_and_then(on, 1.0, Some((Replied, 0.5, REPLY)))
            }
            Self::Replier => open_and_then(on, 1.0, Some((Replied, 0.7, REPLY))),
            Self::OutOfOffice if on.begins_thread => only(AutoReplied, NOTICE),
            Self::OutOfOffice => Vec::new(),
            Self::HardBounce => only(BouncedHard, HARD_BOUNCE),
            Self::SoftBounce if on.begins_thread && on.happens("mailbox full", 0.5) => {
                only(BouncedSoft, SOFT_BOUNCE)
            }
            Self::SoftBounce => open_and_then(on, 0.8, None),
            Self::Unsubscriber => open_and_then(on, 1.0, Some((Unsubscribed, 0.6, UNSUBSCRIBE))),
            Self::Angry => only(Replied, ANGRY_REPLY),
        }
    }
}

type Next = (InboundKind, f64, RangeInclusive<u64>);

fn open_and_then(on: &Occasion<'_>, open_share: f64, next: Option<Next>) -> Vec<Reaction> {
    if !on.happens("opens", open_share) {
        return Vec::new();
    }
    let opened = Reaction { kind: InboundKind::Opened, after: on.delay("open", OPEN) };
    let next = next.filter(|(kind, share, _)| on.happens(kind.as_str(), *share));
    let next = next
        .map(|(kind, _, delay)| Reaction { kind, after: opened.after + on.delay("next", delay) });
    std::iter::once(opened).chain(next).collect()
}

#[cfg(test)]
mod tests;
