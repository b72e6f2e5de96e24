//! `salesos`: one binary for everything. Composition only: settings, telemetry, one file per subcommand.

// As the ban on `println!` in clippy.toml: `eprintln!` panics once nobody reads, so `out` prints this as well.
#![warn(clippy::print_stderr)]

mod commands;
mod customer;
mod database;
mod kafka;
mod listening;
mod listing;
mod out;
mod postgres;
mod process;
mod settings;
mod spelling;
mod telemetry;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use settings::Settings;

/// Which database a command works on, and how it ends.
const AFTER_HELP: &str = "\
Commands work on the database of DATABASE_URL, else on that of the `salesos dev` that runs on \
SALESOS_DATA_DIR (.salesos by default); .env.example lists all settings.

Exit status: 0 done, 1 failed or refused, 2 wrong usage, or a question without a terminal, 3 nothing matched. A plan ends with 0 where it \
would change nothing, 1 where it is refused, 2 where it can be applied.";

/// Sales sequences as durable workflows on Postgres.
#[derive(Parser)]
#[command(version, about, max_term_width = 100, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Everything in one process, over a Postgres of its own or that of DATABASE_URL.
    Dev(commands::dev::Args),
    /// The API: all services behind the gateway in one process, or some, each on its own port.
    Serve(commands::serve::Args),
    /// What works in the background: runs steps, looks what came in, tells events where there is no Kafka.
    Worker(commands::worker::Args),
    /// Publishes events to Kafka.
    Publisher(commands::publisher::Args),
    /// Applies the events that Kafka has: the timeline, engagement, webhooks.
    Consumer(commands::consumer::Args),
    /// Events on their way out: how many wait, and why; telling them again.
    #[command(subcommand)]
    Outbox(commands::outbox::Command),
    /// Kafka's topics: which there are, and making those that are missing.
    #[command(subcommand)]
    Kafka(commands::kafka::Command),
    /// Brings the database's schema up to date.
    Migrate(commands::migrate::Args),
    /// Opens psql on the database, or prints its URL.
    Db(commands::db::Args),
    /// Demo data: a customer, a login, a mailbox, fifty contacts, the sequence that ships.
    Seed(commands::seed::Args),
    /// Prints the document of the API (OpenAPI 3.1).
    Openapi,
    /// Says of each dependency whether it is right, and what to do where it is not.
    Doctor(commands::doctor::Args),
    /// Workflow files and the sequences that they become.
    #[command(subcommand)]
    Workflows(commands::workflows::Command),
    /// What SalesOS tells of: JSON Schemas and the reference of all topics.
    #[command(subcommand)]
    Events(commands::events::Command),
    /// Act on a contact: unsubscribe it
    #[command(subcommand)]
    Contacts(commands::contacts::Command),
    /// Imports contacts from a CSV file.
    Import(commands::import::Args),
    /// Imports the contacts of a CSV file and enrolls them in a sequence.
    Enroll(commands::enroll::Args),
    /// Runs: who stands where, and why.
    #[command(subcommand)]
    Runs(commands::runs::Command),
    /// Step jobs: what is held, and trying it again.
    #[command(subcommand)]
    Jobs(commands::jobs::Command),
    /// What comes again by the calendar: a run of a workflow, or an event.
    #[command(subcommand)]
    Schedules(commands::schedules::Command),
    /// What bulk commands started: watch it, stop it.
    #[command(subcommand)]
    Operations(commands::operations::Command),
    /// Users of customers, and operators of the platform.
    #[command(subcommand)]
    Users(commands::users::Command),
}

/// How a command ended, where it did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// It did what it was asked for.
    Done,
    /// Something was refused, and said so.
    Refused,
    /// Nothing matched.
    NothingMatched,
    /// There is something to apply.
    Changes,
    /// It would have had to ask a person, and there was none.
    NobodyToAsk,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = match Settings::read() {
        Ok(settings) => run(cli.command, settings).await,
        Err(error) => Err(error),
    };
    match ended {
        Ok(Ending::Done) => ExitCode::SUCCESS,
        Ok(Ending::Refused) => ExitCode::from(1),
        Ok(Ending::Changes | Ending::NobodyToAsk) => ExitCode::from(2),
        Ok(Ending::NothingMatched) => ExitCode::from(3),
        Err(error) => {
            out::problem(format_args!("error: {error:#}"));
            ExitCode::from(1)
        }
    }
}

async fn run(command: Command, settings: Settings) -> anyhow::Result<Ending> {
    telemetry::start(&settings.log_filter)?;
    match command {
        Command::Dev(args) => commands::dev::run(args, settings).await,
        Command::Serve(args) => commands::serve::run(args, settings).await,
        Command::Worker(args) => commands::worker::run(args, settings).await,
        Command::Publisher(args) => commands::publisher::run(args, settings).await,
        Command::Consumer(args) => commands::consumer::run(args, settings).await,
        Command::Outbox(command) => commands::outbox::run(command, settings).await,
        Command::Kafka(command) => commands::kafka::run(command, settings).await,
        Command::Migrate(args) => commands::migrate::run(args, settings).await,
        Command::Db(args) => commands::db::run(args, settings).await,
        Command::Seed(args) => commands::seed::run(args, settings).await,
        Command::Openapi => commands::openapi::run(),
        Command::Doctor(args) => commands::doctor::run(args, settings).await,
        Command::Workflows(command) => commands::workflows::run(command, settings).await,
        Command::Events(command) => commands::events::run(command),
        Command::Contacts(command) => commands::contacts::run(command, settings).await,
        Command::Import(args) => commands::import::run(args, settings).await,
        Command::Enroll(args) => commands::enroll::run(args, settings).await,
        Command::Runs(command) => commands::runs::run(command, settings).await,
        Command::Jobs(command) => commands::jobs::run(command, settings).await,
        Command::Schedules(command) => commands::schedules::run(command, settings).await,
        Command::Operations(command) => commands::operations::run(command, settings).await,
        Command::Users(command) => commands::users::run(command, settings).await,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_command_can_be_parsed() {
        Cli::command().debug_assert();
    }
}
