//! What a process is made of: the registry of step types, the writers, the worker, the relay and the
//! consumer, which Kafka may stand between, the loop that looks what came in, the API. Composition only.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use crm::consumer::Consumer;
use crm::inbound::{self, Inbound, Kind};
use crm::vault::Vault;
use engine::definition_store::Definitions;
use engine::relay::{self, Sink};
use engine::worker::{self, Worker};
use engine::{clock, id, run};
use providers::mail::{InboundKind, InboundMail, MailProvider};
use providers::mock::{MockMail, PersonaSettings};
use providers::system_mail::SystemMail;
use sqlx::PgPool;
use steps::{AllowedHosts, Http, Mailboxes, Services, Webhooks};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::database::{Database, Role};
use crate::settings::Settings;
use crate::{kafka, telemetry};

/// By which the people who answer mock mail are drawn; the same for every start.
const SEED: u64 = 7;
/// How many things that came in are applied at once.
const INBOUND_BATCH: usize = 500;
/// How often a batch of old answers is forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked whether a score falls below its level.
const SCORE_EVERY: Duration = Duration::from_secs(2);
const KEEP_UP_EVERY: Duration = Duration::from_secs(5);
const INBOUND_EVERY: Duration = Duration::from_millis(100);

/// The definitions that this binary can read; mock mail lies under the data folder. Who only reads them asks
/// no other system.
pub(crate) fn definitions(db: PgPool, data_dir: &Path) -> Definitions {
    let (http, webhooks) = (Http::new(AllowedHosts::default()), Http::anywhere(false));
    working(db, data_dir, None, http, Webhooks { http: webhooks, vault: Vault::default() })
}

/// The same for who also runs their steps, which ask others these ways.
fn working(
    db: PgPool,
    data_dir: &Path,
    system_mail: Option<SystemMail>,
    http: Http,
    webhooks: Webhooks,
) -> Definitions {
    let mailboxes = Mailboxes { data_dir: data_dir.to_path_buf(), seed: SEED };
    Definitions::new(steps::registry(&Services { db, mailboxes, system_mail, http, webhooks }))
}

/// Where events are told and applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Telling {
    /// In this process.
    Here,
    /// By a `salesos publisher` and a `salesos consumer`.
    Elsewhere,
}

/// Starts everything that works in the background.
pub(crate) async fn start(
    database: &Database,
    data_dir: PathBuf,
    settings: &Settings,
    vault: Vault,
    telling: Telling,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<()> {
    let db = database.pool(Role::Worker, settings.pools.worker).await?;
    let http = Http::new(settings.http_allow.clone());
    let webhooks = Webhooks { http: Http::anywhere(!settings.is_production), vault };
    let system_mail = settings.system_mail.sender(&data_dir);
    let definitions = working(db.clone(), &data_dir, system_mail, http, webhooks);
    let worker = Worker {
        queue: worker::pool(database.options(Role::Worker)).await?,
        definitions: definitions.clone(),
        writers: crm::writers::all(),
        settings: worker::Settings {
            name: process_name(),
            retention: settings.retention,
            ..worker::Settings::default()
        },
        db: db.clone(),
    };
    let stopping = stop.clone();
    tasks.spawn(async move { worker.run(stopping).await });
    match telling {
        Telling::Here => tell(&db, definitions, settings, tasks, stop)?,
        Telling::Elsewhere => {}
    }
    tasks.spawn(keep_up(stop.clone()));
    let (scoring, stopping) = (db.clone(), stop.clone());
    tasks.spawn(async move { score(&scoring, &stopping).await });
    let (forgetting, stopping) = (db.clone(), stop.clone());
    tasks.spawn(async move { forget(&forgetting, &stopping).await });
    let stopping = stop.clone();
    tasks.spawn(async move { receive(&db, &data_dir, &stopping).await });
    Ok(())
}

/// Tells events and applies them, through Kafka where the settings say so.
fn tell(
    db: &PgPool,
    definitions: Definitions,
    settings: &Settings,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<()> {
    if settings.kafka.is_some() {
        consume(db, definitions, settings, tasks, stop)?;
        return publish(db, settings, tasks, stop);
    }
    let consumer = Arc::new(Consumer { db: db.clone(), definitions });
    relay(db, consumer, tasks, stop);
    Ok(())
}

/// Publishes events to Kafka.
pub(crate) fn publish(
    db: &PgPool,
    settings: &Settings,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<()> {
    let producer = kafka::Producer::new(settings.kafka()?)?;
    relay(db, Arc::new(producer), tasks, stop);
    Ok(())
}

/// Applies the events that Kafka has.
pub(crate) fn consume(
    db: &PgPool,
    definitions: Definitions,
    settings: &Settings,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<()> {
    let consumer = Arc::new(Consumer { db: db.clone(), definitions });
    tasks.spawn(kafka::consume(settings.kafka()?.clone(), db.clone(), consumer, stop.clone()));
    Ok(())
}

fn relay(db: &PgPool, sink: Arc<dyn Sink>, tasks: &TaskTracker, stop: &CancellationToken) {
    let settings = relay::Settings { name: process_name(), ..relay::Settings::default() };
    tasks.spawn(relay::run(db.clone(), sink, settings, stop.clone()));
}

/// How operators see this process.
fn process_name() -> String {
    format!("process {}", std::process::id())
}

/// Keeps the metrics small until told to stop.
pub(crate) async fn keep_up(stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(KEEP_UP_EVERY)).await.is_some() {
        telemetry::keep_up();
    }
}

/// Computes scores again whose level falls by now, until told to stop.
async fn score(db: &PgPool, stop: &CancellationToken) {
    let once = || async {
        let mut tx = engine::transaction::begin(db).await?;
        let computed = crm::engagement::compute_due(&mut tx).await?;
        tx.commit().await?;
        Ok::<_, sqlx::Error>(computed)
    };
    let mut pause = SCORE_EVERY;
    while stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
        pause = SCORE_EVERY;
        match once().await {
            Ok(0) => {}
            // There may be more, as after rules were changed.
            Ok(_) => pause = Duration::ZERO,
            Err(error) => tracing::warn!(%error, "scores could not be computed"),
        }
    }
}

/// Forgets answers that were kept for their day, deliveries for their month, and what was applied, until told to stop.
async fn forget(db: &PgPool, stop: &CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(FORGET_EVERY)).await.is_some() {
        for (what, forgotten) in [
            ("answers of a day ago", crm::idempotency::forget(db).await),
            ("events that were applied long ago", crm::consumer::forget(db).await),
            ("deliveries of a month ago", crm::webhook::forget(db).await),
        ] {
            match forgotten {
                Ok(forgotten) => tracing::debug!(forgotten, what, "forgot"),
                Err(error) => tracing::warn!(%error, what, "could not be forgotten"),
            }
        }
    }
}

/// Looks what came in to mock mailboxes, and applies it, until told to stop.
async fn receive(db: &PgPool, data_dir: &Path, stop: &CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(INBOUND_EVERY)).await.is_some() {
        if let Err(error) = receive_once(db, data_dir, stop).await {
            tracing::warn!(%error, "what came in could not be applied; it is tried again");
        }
    }
}

async fn receive_once(db: &PgPool, data_dir: &Path, stop: &CancellationToken) -> Result<()> {
    let now = clock::now(db).await?;
    let items = MockMail::received_by_all(data_dir, now, INBOUND_BATCH).await?;
    let Some(first) = items.first() else { return Ok(()) };
    // Any mailbox of the folder may acknowledge what came to all of them.
    let mailbox = MailProvider::Mock(MockMail::new(
        data_dir.to_path_buf(),
        first.mailbox.clone(),
        SEED,
        PersonaSettings::default(),
    ));
    let mut applied = Vec::with_capacity(items.len());
    for item in items {
        // What was applied is acknowledged; the rest comes again at the next start.
        if stop.is_cancelled() {
            break;
        }
        match apply(db, &item).await {
            Ok(()) => applied.push(item.id),
            Err(error) => tracing::warn!(%error, inbound.id = item.id, "it is tried again"),
        }
    }
    Ok(mailbox.acknowledge(&applied).await?)
}

/// Applies one thing that came in, in one transaction. What belongs to no run of ours is let be.
async fn apply(db: &PgPool, item: &InboundMail) -> Result<()> {
    let Some(send_key) = &item.send_key else { return Ok(()) };
    let run_id = send_key.split('/').next().and_then(|run| id::read("run", run).ok());
    let Some(run_id) = run_id else { return Ok(()) };
    let Some(run) = run::find(db, None, run_id).await? else { return Ok(()) };
    let inbound = Inbound {
        id: crm::consumer::id_of(&item.id),
        kind: kind(item.kind),
        send_key: send_key.clone(),
        at: item.at,
    };
    let mut tx = db.begin().await?;
    inbound::apply(&mut tx, run.customer_id, &inbound).await?;
    Ok(tx.commit().await?)
}

fn kind(kind: InboundKind) -> Kind {
    match kind {
        InboundKind::Opened => Kind::Opened,
        InboundKind::Clicked => Kind::Clicked,
        InboundKind::Replied => Kind::Replied,
        InboundKind::AutoReplied => Kind::AutoReplied,
        InboundKind::BouncedHard => Kind::BouncedHard,
        InboundKind::BouncedSoft => Kind::BouncedSoft,
        InboundKind::Unsubscribed => Kind::Unsubscribed,
    }
}
