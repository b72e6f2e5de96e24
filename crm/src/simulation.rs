//! What a sequence will do to a cohort before anybody is enrolled: who is in it, through which mailboxes it is sent,
//! and what is assumed of the answers. Walking through it is `engine::rehearsal`'s part, by the worker's decisions.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use engine::definition::Definition;
use engine::limit::Rule;
use engine::rehearsal::{Act, Assumption, Assumptions, Forecast, Person, Wanted, forecast};
use engine::timing::Zone;
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::contact;
use crate::enrollment::{self, DOMAIN_LIMIT};
use crate::{customer, mailbox};

/// The most people of one simulation.
pub const PEOPLE: usize = 2_000_000;
/// The most days of one simulation.
pub const DAYS: u32 = 731;

/// How a cohort is enrolled, through what it is sent, and what is assumed.
#[derive(Debug, Clone)]
pub struct Plan {
    /// When the first are enrolled.
    pub starts_at: DateTime<Utc>,
    /// For how many days it is looked ahead.
    pub days: u32,
    /// How many are enrolled a day; all at once where nothing is said.
    pub per_day: Option<u32>,
    /// Over how many mailboxes they are spread, in turn.
    pub mailboxes: u32,
    /// What each mailbox lets through.
    pub rule: Rule,
    /// What share of the mails is answered how.
    pub answers: Answers,
    /// Draws other people for the answers.
    pub seed: u64,
}

/// What share of the mails sent is answered how, each 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Answers {
    /// Looked at, within two days.
    pub opened: f64,
    /// A link followed, within two days.
    pub clicked: f64,
    /// Answered, within four days.
    pub replied: f64,
    /// Refused for good, within ten minutes.
    pub bounced: f64,
    /// No more mail wanted, within four days.
    pub unsubscribed: f64,
}

impl Answers {
    fn assumptions(self, seed: u64) -> Assumptions {
        let hours = |hours: u64| Duration::from_secs(hours * 3_600);
        let answer = |name, share, within, signal, observes| Assumption {
            after: MAIL,
            name,
            share,
            within,
            signal,
            observes,
        };
        let all = [
            answer("opened", self.opened, hours(48), None, Some("opened")),
            answer("clicked", self.clicked, hours(48), None, Some("clicked")),
            answer("replied", self.replied, hours(96), Some("email.replied"), Some("replied")),
            answer("bounced", self.bounced, hours(1) / 6, Some("email.bounced.hard"), None),
            answer(
                "unsubscribed",
                self.unsubscribed,
                hours(96),
                Some("contact.unsubscribed"),
                None,
            ),
        ];
        Assumptions { all: all.into_iter().filter(|assumed| assumed.share > 0.0).collect(), seed }
    }
}

/// The step type that sends.
const MAIL: &str = "email.send";

/// People who are nobody: so many, spread over zones by weight, with the fields that sequences ask for most.
pub fn strangers(count: usize, zones: &[(Zone, u32)], plan: &Plan) -> Vec<Person> {
    let profiles: Vec<Arc<Value>> = PROFILES
        .iter()
        .map(|(first_name, title, company, country)| {
            Arc::new(json!({
                "first_name": first_name, "last_name": "Example", "title": title, "company": company,
                "country": country, "email": "someone@example.com", "status": "active", "score": 0, "tags": [],
                "custom": {}, "created_on": plan.starts_at.date_naive(),
            }))
        })
        .collect();
    let wheel: Vec<&Zone> = zones
        .iter()
        .flat_map(|(zone, weight)| std::iter::repeat_n(zone, *weight as usize))
        .collect();
    let mailboxes = plan.mailbox_keys();
    (0..count.min(PEOPLE))
        .map(|n| {
            let id = Uuid::from_u128(n as u128 + 1);
            Person {
                run_id: id,
                subject_id: id,
                subject: Arc::clone(&profiles[n % profiles.len()]),
                zone: wheel
                    .get(n % wheel.len().max(1))
                    .map_or_else(Zone::utc, |zone| (*zone).clone()),
                starts_at: plan.start_of(n),
                limit_keys: Arc::clone(&mailboxes[n % mailboxes.len()]),
            }
        })
        .collect()
}

const PROFILES: [(&str, &str, &str, &str); 4] = [
    ("Ada", "VP Sales", "Example Ltd", "GB"),
    ("Ben", "Head of Operations", "Sample Inc", "US"),
    ("Cleo", "Account Executive", "Muster GmbH", "DE"),
    ("", "", "", ""),
];

/// A customer's contacts who can be mailed, oldest first, at most `most`.
///
/// # Errors
/// What the statements returned.
pub async fn contacts(
    db: &mut PgConnection,
    customer_id: Uuid,
    definition: &Definition,
    plan: &Plan,
    most: usize,
) -> Result<Vec<Person>, sqlx::Error> {
    let customer = customer::find(&mut *db, customer_id).await?;
    let sender = mailbox::find_default(&mut *db, customer_id).await?;
    let zones = enrollment::Zones::new(customer.as_ref(), sender.as_ref());
    let mut found = Vec::new();
    let mut before = None;
    loop {
        let page = contact::active(&mut *db, customer_id, before).await?;
        let Some(last) = page.last() else { break };
        before = Some(last.id);
        found.extend(page);
        if found.len() >= most {
            break;
        }
    }
    found.truncate(most);
    found.reverse();
    let mailboxes = plan.mailbox_keys();
    let person = |(n, contact): (usize, contact::Contact)| {
        let mut keys = mailboxes[n % mailboxes.len()].as_ref().clone();
        keys[DOMAIN_LIMIT] = enrollment::domain(&contact).into();
        Person {
            run_id: contact.id,
            subject_id: contact.id,
            zone: zones.of(definition, &contact),
            subject: Arc::new(contact::subject(&contact)),
            starts_at: plan.start_of(n),
            limit_keys: Arc::new(keys),
        }
    };
    Ok(found.into_iter().enumerate().map(person).collect())
}

impl Plan {
    /// When the n-th is enrolled.
    fn start_of(&self, n: usize) -> DateTime<Utc> {
        let day = self.per_day.map_or(0, |per_day| n / (per_day.max(1) as usize));
        self.starts_at + TimeDelta::days(i64::try_from(day).unwrap_or(i64::MAX).min(36_500))
    }

    fn mailbox_names(&self) -> impl Iterator<Item = String> {
        (1..=self.mailboxes.max(1)).map(|number| format!("mailbox {number}"))
    }

    fn mailbox_keys(&self) -> Vec<Arc<Value>> {
        self.mailbox_names().map(|name| Arc::new(json!({ mailbox::LIMIT: name }))).collect()
    }
}

/// What is told of a simulation besides its counts, and how much of the machine it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Telling {
    /// The acts of how many people, of the first.
    pub traced: usize,
    /// On how many threads.
    pub threads: usize,
}

/// Looks ahead; `trace` is told the acts of the first people, in the order of their instants.
pub fn simulate(
    definition: Arc<Definition>,
    people: &[Person],
    plan: &Plan,
    zone: Zone,
    telling: Telling,
    trace: impl FnMut(&Act),
) -> Forecast {
    let rules: HashMap<(String, String), Rule> = plan
        .mailbox_names()
        .map(|name| ((mailbox::LIMIT.to_owned(), name), plan.rule.clone()))
        .filter(|_| plan.rule != Rule::default())
        .collect();
    let assumptions = plan.answers.assumptions(plan.seed);
    let wanted = Wanted {
        definition,
        people,
        rules,
        outlook: &assumptions,
        until: plan.starts_at + TimeDelta::days(plan.days.min(DAYS).into()),
        zone,
        counted: &[MAIL],
        by: mailbox::LIMIT,
        traced: telling.traced,
        threads: telling.threads,
    };
    forecast(&wanted, trace)
}
