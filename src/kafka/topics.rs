//! The topics that SalesOS writes to: which there should be, which there are, and making those that are missing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Result;
use engine::definition_store;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use sqlx::PgPool;

use super::{ANSWERS_WITHIN, Heard, dead_letter, reach, topic_setting};
use crate::settings::KafkaSettings;

/// How topics are made.
pub(crate) struct Topics {
    /// So many partitions each; more let more consumers share the work.
    pub(crate) partitions: i32,
    /// On so many brokers each; by default what the brokers' own settings say.
    pub(crate) replication: Option<i32>,
    /// How long events stay.
    pub(crate) retention: Duration,
}

impl Topics {
    /// As `salesos dev` makes them.
    pub(crate) const FOR_DEVELOPMENT: Self =
        Self { partitions: 3, replication: None, retention: Duration::from_secs(7 * 24 * 60 * 60) };
}

/// A topic as it stands.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Topic {
    pub(crate) name: String,
    /// `there`, `missing`, `made`, or why it could not be made.
    pub(crate) state: String,
    pub(crate) partitions: Option<usize>,
    /// In milliseconds; -1 is for good.
    pub(crate) retention_milliseconds: Option<i64>,
}

/// The topics of all events: SalesOS' own, and those that workflows publish.
///
/// # Errors
/// What the statement returned.
pub(crate) async fn wanted(db: &PgPool) -> Result<BTreeSet<String>, sqlx::Error> {
    let published = definition_store::values(db, "event.publish", "topic").await?;
    let own = crm::event::topics().into_iter().map(str::to_owned);
    Ok(own.chain(published).collect())
}

/// What there is of the topics that are wanted, and of those of their dead letters; makes the missing ones where that is
/// asked for.
///
/// # Errors
/// The broker did not answer, or refused the question.
pub(crate) async fn apply(
    settings: &KafkaSettings,
    wanted: &BTreeSet<String>,
    make: Option<&Topics>,
) -> Result<Vec<Topic>> {
    let (admin, there) = reach(settings).await?;
    let there: BTreeMap<String, usize> = there.into_iter().collect();
    let dead: Vec<String> = wanted.iter().map(|topic| dead_letter::topic(topic)).collect();
    let all: BTreeSet<&String> = wanted.iter().chain(&dead).collect();
    let asked = all.iter().map(|name| name.as_str()).filter(|name| there.contains_key(*name));
    let kept = topic_setting(&admin, asked, "retention.ms").await?;
    let mut topics: Vec<Topic> = all
        .into_iter()
        .map(|name| Topic {
            name: name.clone(),
            state: if there.contains_key(name) { "there" } else { "missing" }.into(),
            partitions: there.get(name).copied(),
            retention_milliseconds: kept.get(name).copied(),
        })
        .collect();
    if let Some(how) = make {
        create(&admin, how, wanted, &mut topics).await?;
    }
    Ok(topics)
}

/// Makes those that are missing, each by itself.
async fn create(
    admin: &AdminClient<Heard>,
    how: &Topics,
    wanted: &BTreeSet<String>,
    topics: &mut [Topic],
) -> Result<()> {
    let retention = i64::try_from(how.retention.as_millis())?;
    let text = retention.to_string();
    let replication = how.replication.unwrap_or(-1);
    let mut missing: Vec<&mut Topic> =
        topics.iter_mut().filter(|topic| topic.state == "missing").collect();
    // Few letters are dead, and they are read by people: in one order.
    let partitions = |name: &str| if wanted.contains(name) { how.partitions } else { 1 };
    let names: Vec<String> = missing.iter().map(|topic| topic.name.clone()).collect();
    if names.is_empty() {
        return Ok(());
    }
    let new: Vec<NewTopic> = names
        .iter()
        .map(|name| {
            NewTopic::new(name, partitions(name), TopicReplication::Fixed(replication))
                .set("retention.ms", &text)
        })
        .collect();
    let options = AdminOptions::new()
        .operation_timeout(Some(ANSWERS_WITHIN))
        .request_timeout(Some(ANSWERS_WITHIN));
    let made = admin.create_topics(&new, &options).await?;
    for (topic, made) in missing.iter_mut().zip(made) {
        match made {
            Ok(_) => {
                topic.state = "made".into();
                topic.partitions = usize::try_from(partitions(&topic.name)).ok();
                topic.retention_milliseconds = Some(retention);
            }
            Err((_, code)) => topic.state = format!("not made: {code}"),
        }
    }
    Ok(())
}
