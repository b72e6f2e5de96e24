//! `salesos kafka`: the topics that SalesOS writes to.

use std::time::Duration;

use anyhow::Result;

use crate::Ending;
use crate::database::{Database, Role};
use crate::kafka::{self, Topic, Topics};
use crate::listing;
use crate::out;
use crate::settings::Settings;

/// Its subcommands.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Lists the topics of all events and of their dead letters, those of workflows among them; makes what is missing where
    /// that is asked for. What is there is left as it is.
    Topics {
        /// Make those that are missing.
        #[arg(long)]
        apply: bool,
        /// So many partitions for each; a topic of dead letters has one.
        #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(i32).range(1..=1000))]
        partitions: i32,
        /// On so many brokers each; by default as the brokers are set.
        #[arg(long, value_parser = clap::value_parser!(i32).range(1..=32))]
        replication: Option<i32>,
        /// How long events stay.
        #[arg(long, default_value = "7d", value_parser = engine::timing::duration)]
        retention: Duration,
        /// JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
}

pub(crate) async fn run(command: Command, settings: Settings) -> Result<Ending> {
    let Command::Topics { apply, partitions, replication, retention, json } = command;
    let brokers = settings.kafka()?;
    let db = Database::find(&settings)?.pool(Role::Worker, 2).await?;
    let wanted = kafka::wanted(&db).await?;
    let how = Topics { partitions, replication, retention };
    let topics = kafka::apply(brokers, &wanted, apply.then_some(&how)).await?;
    if json {
        out::line(serde_json::to_string_pretty(&topics)?);
    } else {
        print(&topics);
    }
    let left = topics.iter().filter(|topic| !["there", "made"].contains(&topic.state.as_str()));
    let left = left.count();
    if left == 0 {
        return Ok(Ending::Done);
    }
    if !apply {
        out::problem(format_args!(
            "{left} topics are missing; `salesos kafka topics --apply` makes them"
        ));
    }
    Ok(Ending::Refused)
}

fn print(topics: &[Topic]) {
    let mut table = listing::plain(&["topic", "state", "partitions", "retention"]);
    for topic in topics {
        let retention = topic.retention_milliseconds.map(|milliseconds| match milliseconds {
            ..0 => "for good".to_owned(),
            _ => format!("{} h", milliseconds / 3_600_000),
        });
        table.add_row([
            topic.name.clone(),
            topic.state.clone(),
            topic.partitions.map(|count| count.to_string()).unwrap_or_default(),
            retention.unwrap_or_default(),
        ]);
    }
    out::line(&table);
}
