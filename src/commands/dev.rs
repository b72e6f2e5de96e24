//! `salesos dev`: everything in one process, over a Postgres of its own.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use api::TokenKeys;
use crm::vault::Vault;
use engine::clock;
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{demo, seed};
use crate::database::{Database, Role, Running};
use crate::out;
use crate::postgres::{Cluster, secret, unusable, write_secret};
use crate::process::Telling;
use crate::settings::{DatabaseSettings, EmailProvider, Settings, SystemMailSettings};
use crate::{Ending, kafka, listening, process, telemetry};

/// Its arguments.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The data folder; that of SALESOS_DATA_DIR, else .salesos, where none is named.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// The API's port; 0 takes a free one.
    #[arg(long, default_value_t = 3000)]
    port: u16,
    /// Make demo data, enroll fifty contacts and watch them: three weeks in about a minute.
    #[arg(long)]
    demo: bool,
    /// How many times as fast as the real clock the engine's runs, up to 1000000; by default 1, or 30000
    /// with --demo. Not with DATABASE_URL
    #[arg(long, value_parser = scale)]
    time_scale: Option<f64>,
}

/// The file of the data folder that keeps the key that signs tokens.
const JWT_SECRET: &str = "jwt.secret";
/// The file in which a data folder keeps the key that seals secrets.
const ENCRYPTION_KEY: &str = "encryption.key";

/// What the demo runs at: three weeks take about a minute.
const DEMO_SCALE: f64 = 30_000.0;

fn scale(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(scale) if (1.0..=1_000_000.0).contains(&scale) => Ok(scale),
        Ok(_) | Err(_) => {
            Err("write a number from 1 to 1000000, such as 86400 for a day a second".into())
        }
    }
}

pub(crate) async fn run(args: Args, mut settings: Settings) -> Result<Ending> {
    if let Some(data_dir) = &args.data_dir {
        settings.data_dir.clone_from(data_dir);
    }
    let listener = listening::take(IpAddr::V4(Ipv4Addr::LOCALHOST), args.port).await?;
    telemetry::measure()?;
    let stop = CancellationToken::new();
    listening::stop_on_signals(&stop)?;
    let (database, cluster) = open(&args, &settings).await?;
    let worked = work(&args, &settings, &database, cluster.as_ref(), listener, &stop).await;
    Running::forget(&settings.data_dir);
    if let Some(cluster) = cluster {
        cluster.stop().await?;
    }
    worked.map(|()| Ending::Done)
}

/// The database that the settings name, else one of our own.
async fn open(args: &Args, settings: &Settings) -> Result<(Database, Option<Arc<Cluster>>)> {
    let Some(named) = &settings.database else {
        let cluster = Cluster::start(&settings.data_dir).await?;
        return Ok((Database::at(&DatabaseSettings::of_url(&cluster.url()))?, Some(cluster)));
    };
    if args.time_scale.is_some() || args.demo {
        bail!(
            "--time-scale and --demo change the database's clock; unset DATABASE_URL, so that dev makes one of its own"
        );
    }
    Ok((Database::at(named)?, None))
}

/// The data folder, which is there from here on.
pub(super) fn folder(data_dir: &Path) -> Result<PathBuf> {
    let made = std::fs::create_dir_all(data_dir).and_then(|()| data_dir.canonicalize());
    made.with_context(|| unusable(data_dir))
}

async fn work(
    args: &Args,
    settings: &Settings,
    database: &Database,
    cluster: Option<&Arc<Cluster>>,
    listener: TcpListener,
    stop: &CancellationToken,
) -> Result<()> {
    let owner = database.pool(Role::Owner, 4).await?;
    database.migrate(&owner).await?;
    if let Some(kafka) = &settings.kafka {
        kafka::apply(kafka, &kafka::wanted(&owner).await?, Some(&kafka::Topics::FOR_DEVELOPMENT))
            .await?;
    }
    let data_dir = folder(&settings.data_dir)?;
    let tasks = TaskTracker::new();
    if let Some(cluster) = cluster {
        let (cluster, stopping) = (Arc::clone(cluster), stop.clone());
        tasks.spawn(async move { cluster.watch(stopping).await });
        keep_time(args, &owner, &tasks, stop).await?;
    }
    // The owner of the tables is under row-level security as well.
    let worker = database.pool(Role::Worker, 4).await?;
    let definitions = process::definitions(worker.clone(), &data_dir);
    let seeded = if args.demo { Some(seed::seed(&worker, &definitions).await?) } else { None };
    let vault = vault(settings, &data_dir)?;
    process::start(database, data_dir.clone(), settings, vault, Telling::Here, &tasks, stop)
        .await?;
    let api_url = format!("http://{}", listener.local_addr()?);
    let router = api::router(services(settings, database, &data_dir).await?);
    listening::serve(listener, router, &tasks, stop)?;
    let running = Running {
        database_url: database.url().into(),
        api_url: api_url.clone(),
        process: std::process::id(),
    };
    running.tell(&data_dir)?;
    out::notice(format_args!("ready {api_url}"));
    if let Some(seeded) = seeded {
        out::notice(format_args!("login {} password {}", seed::EMAIL, seed::PASSWORD));
        seed::enroll(&worker, &definitions, &seeded).await?;
        demo::watch(&worker, &seeded, &data_dir, &api_url, stop).await?;
        clock::set_scale(&mut *owner.acquire().await?, 1.0).await?;
    }
    stop.cancelled().await;
    tasks.close();
    let _stopped =
        tokio::time::timeout(std::time::Duration::from_millis(2_000), tasks.wait()).await;
    worker.close().await;
    owner.close().await;
    Ok(())
}

/// Puts the clock in force that this start asks for. A database whose clock was once moved keeps a clock
/// of its own: it must never jump back.
async fn keep_time(
    args: &Args,
    owner: &PgPool,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<()> {
    let moved = clock::is_virtual(owner).await?;
    let wanted = args.time_scale.or(args.demo.then_some(DEMO_SCALE));
    if wanted.is_none() && !moved {
        return Ok(());
    }
    let mut tx = owner.begin().await?;
    clock::set_scale(&mut tx, wanted.unwrap_or(1.0)).await?;
    tx.commit().await?;
    let (owner, stop) = (owner.clone(), stop.clone());
    tasks.spawn(async move {
        let _stopped = stop.run_until_cancelled(clock::keep_running(owner)).await;
    });
    Ok(())
}

/// Says at the start what a production without a mail server can't do.
pub(super) fn warn_without_mail(settings: &Settings) {
    match settings.system_mail {
        SystemMailSettings::Nowhere => tracing::warn!(
            "SYSTEM_MAIL_URL is not set, so sign-up, invitations and forgotten passwords answer 503; set it and \
             SYSTEM_MAIL_FROM"
        ),
        SystemMailSettings::Files | SystemMailSettings::Server(..) => {}
    }
}

/// What the API needs.
pub(super) async fn services(
    settings: &Settings,
    database: &Database,
    data_dir: &Path,
) -> Result<api::Services> {
    warn_without_mail(settings);
    Ok(api::Services {
        // The API reads definitions and runs none of their steps.
        definitions: process::definitions(database.unopened(Role::Api), data_dir),
        pool: database.serving_pool(settings.pools.api).await?,
        metrics: telemetry::metrics,
        broker: settings.kafka.as_ref().map(kafka::probe).transpose()?,
        outside: settings.serving.outside.clone(),
        vault: vault(settings, data_dir)?,
        settings: api::Settings {
            keys: token_keys(settings, data_dir)?,
            access_seconds: settings.access_seconds,
            refresh_seconds: settings.refresh_seconds,
            sender: match settings.email_provider {
                EmailProvider::Mock => crm::enrollment::Sender::DefaultOrMock,
                EmailProvider::Connected => crm::enrollment::Sender::Default,
            },
            public_url: settings.public_url.clone(),
            user_mail: match settings.system_mail {
                SystemMailSettings::Nowhere => api::UserMail::Impossible,
                SystemMailSettings::Files | SystemMailSettings::Server(..) => {
                    api::UserMail::Possible
                }
            },
        },
    })
}

/// Whether this data folder keeps a key that signs tokens.
pub(super) fn keeps_jwt_secret(data_dir: &Path) -> bool {
    data_dir.join(JWT_SECRET).exists()
}

/// The keys of tokens: the settings', else one that this data folder keeps.
fn token_keys(settings: &Settings, data_dir: &Path) -> Result<Arc<TokenKeys>> {
    if let Some(keys) = &settings.token_keys {
        return Ok(Arc::clone(keys));
    }
    let secret = kept(data_dir, JWT_SECRET)?;
    let keys = TokenKeys::secrets(&[&secret]);
    keys.map(Arc::new)
        .map_err(|problem| anyhow!("{} {problem}", data_dir.join(JWT_SECRET).display()))
}

/// What seals the secrets that are kept: the settings' keys, else one that this data folder keeps.
pub(super) fn vault(settings: &Settings, data_dir: &Path) -> Result<Vault> {
    if let Some(vault) = &settings.vault {
        return Ok(vault.clone());
    }
    let vault = Vault::of(&[&kept(data_dir, ENCRYPTION_KEY)?]);
    vault.map_err(|problem| anyhow!("{} {problem}", data_dir.join(ENCRYPTION_KEY).display()))
}

/// Whether this data folder keeps a key that seals secrets.
pub(super) fn keeps_encryption_key(data_dir: &Path) -> bool {
    data_dir.join(ENCRYPTION_KEY).exists()
}

/// A secret that this data folder keeps, drawn where it keeps none.
fn kept(data_dir: &Path, name: &str) -> Result<String> {
    let file = data_dir.join(name);
    if let Ok(kept) = std::fs::read_to_string(&file) {
        return Ok(kept);
    }
    let drawn = format!("{}{}", secret()?, secret()?);
    write_secret(&file, &drawn)?;
    Ok(drawn)
}
