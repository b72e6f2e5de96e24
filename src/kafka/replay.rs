//! Has the group read events again from an instant on. Safe: what was applied is known by `processed_events`.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::{ANSWERS_WITHIN, GROUP, Heard, client, consumer, metadata};
use crate::settings::KafkaSettings;

/// From where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    /// From the first that there is.
    Beginning,
    /// From the first that was written then, or later.
    Instant(DateTime<Utc>),
}

/// Sets the group back in these topics; gives in how many partitions. Nobody may be reading meanwhile.
///
/// # Errors
/// Somebody reads, or the broker did not answer.
pub(crate) async fn replay(
    settings: &KafkaSettings,
    topics: BTreeSet<String>,
    from: From,
) -> Result<usize> {
    let asking: BaseConsumer<Heard> = client(&consumer::group(settings), &Heard::default())?;
    tokio::task::spawn_blocking(move || set_back(&asking, &topics, from)).await?
}

fn set_back(asking: &BaseConsumer<Heard>, topics: &BTreeSet<String>, from: From) -> Result<usize> {
    let groups = asking.fetch_group_list(Some(GROUP), ANSWERS_WITHIN)?;
    let members: usize = groups.groups().iter().map(|group| group.members().len()).sum();
    if members > 0 {
        bail!(
            "{members} consumers are reading; stop `salesos consumer` and whatever else reads, then try again"
        );
    }
    let mut wanted = TopicPartitionList::new();
    for (name, partitions) in metadata(asking.client())? {
        for partition in 0..i32::try_from(partitions)? {
            if topics.contains(&name) {
                let at = match from {
                    From::Beginning => Offset::Beginning,
                    From::Instant(instant) => Offset::Offset(instant.timestamp_millis()),
                };
                wanted.add_partition_offset(&name, partition, at)?;
            }
        }
    }
    if wanted.count() == 0 {
        return Ok(0);
    }
    let found = match from {
        From::Beginning => wanted,
        From::Instant(_) => asking.offsets_for_times(wanted, ANSWERS_WITHIN)?,
    };
    let mut asked = TopicPartitionList::new();
    for place in found.elements() {
        asked.add_partition(place.topic(), place.partition());
    }
    let read = asking.committed_offsets(asked, ANSWERS_WITHIN)?;
    let mut back = TopicPartitionList::new();
    for place in found.elements() {
        let (topic, partition) = (place.topic(), place.partition());
        let read = read.find_partition(topic, partition).map(|place| place.offset());
        // Never forward: what was not read yet is read. Where nothing was, all of it is.
        let Some(Offset::Offset(read)) = read else { continue };
        let (low, _) = asking.fetch_watermarks(topic, partition, ANSWERS_WITHIN)?;
        let from = match place.offset() {
            Offset::Offset(offset) => offset.max(low),
            Offset::Beginning => low,
            // Nothing was written since.
            Offset::End | Offset::Stored | Offset::Invalid | Offset::OffsetTail(_) => read,
        };
        if from < read {
            back.add_partition_offset(topic, partition, Offset::Offset(from))?;
        }
    }
    if back.count() > 0 {
        asking.commit(&back, CommitMode::Sync)?;
    }
    Ok(back.count())
}
