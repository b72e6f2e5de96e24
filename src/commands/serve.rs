//! `salesos serve`: the API, with all services behind the gateway in one process, or some, each on its own port.

use std::net::IpAddr;

use anyhow::{Context, Result, bail};
use api::{GATEWAY_PORT, InternalSecret, Service, Services};
use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::background::ends_in_order;
use super::dev;
use crate::database::Database;
use crate::out;
use crate::settings::{AuthMode, Settings};
use crate::{Ending, listening, telemetry};

/// Its arguments.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Serve these alone, each on its own port: gateway, auth, crm, email, calendar, sequences, activities,
    /// ops. All of them answer on the gateway's port where none is named.
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = part)]
    only: Vec<Part>,
    /// The address of this machine to listen on; 0.0.0.0 is all of them.
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1")]
    listen: IpAddr,
    /// The port of the one that is served, in place of its own; 0 takes a free one.
    #[arg(long)]
    port: Option<u16>,
}

/// What answers on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// All services behind the gateway.
    Whole,
    /// The gateway, before services that run elsewhere.
    Gateway,
    /// A service.
    Service(Service),
}

fn part(name: &str) -> Result<Part, String> {
    match name {
        "gateway" => Ok(Part::Gateway),
        name => name
            .parse::<Service>()
            .map(Part::Service)
            .map_err(|problem| format!("{problem}, gateway")),
    }
}

impl Part {
    fn port(self) -> u16 {
        match self {
            Self::Whole | Self::Gateway => GATEWAY_PORT,
            Self::Service(service) => service.port(),
        }
    }

    /// What stands behind its URL in the line that says that it is ready.
    fn suffix(self) -> String {
        match self {
            Self::Whole => String::new(),
            Self::Gateway => " gateway".into(),
            Self::Service(service) => format!(" {service}"),
        }
    }

    fn router(self, services: Services, settings: &Settings) -> Result<Router> {
        let serving = &settings.serving;
        match self {
            Self::Whole => Ok(api::router(services)),
            Self::Gateway => {
                let secret = internal_secret(settings)?;
                Ok(api::gateway(services, secret, |service| serving.target(service)))
            }
            Self::Service(service) => {
                let mode = match serving.auth_mode {
                    Some(AuthMode::Direct) => api::AuthMode::Direct,
                    Some(AuthMode::Gateway) | None => {
                        api::AuthMode::Gateway(internal_secret(settings)?.clone())
                    }
                };
                Ok(api::alone(services, service, &mode))
            }
        }
    }
}

pub(crate) async fn run(args: Args, settings: Settings) -> Result<Ending> {
    let parts = if args.only.is_empty() { vec![Part::Whole] } else { args.only.clone() };
    check(&parts, &args, &settings)?;
    let mut listeners = Vec::with_capacity(parts.len());
    for part in &parts {
        let port = args.port.unwrap_or_else(|| part.port());
        listeners.push((*part, listening::take(args.listen, port).await?));
    }
    telemetry::measure()?;
    let stop = CancellationToken::new();
    listening::stop_on_signals(&stop)?;
    let database = Database::find(&settings)?;
    database.check_migrated().await?;
    let tasks = TaskTracker::new();
    serve(listeners, &settings, &database, &tasks, &stop).await?;
    if !ends_in_order(&tasks, &stop).await {
        tracing::warn!("some requests took too long and end without their answer");
    }
    Ok(Ending::Done)
}

/// Refuses what can't work, before a port is taken.
fn check(parts: &[Part], args: &Args, settings: &Settings) -> Result<()> {
    if parts.len() > 1 && args.port.is_some() {
        bail!("--port is for one alone; leave it out, or start a process for each");
    }
    for (at, part) in parts.iter().enumerate() {
        if parts[..at].contains(part) {
            bail!("--only names{} twice; name each once", part.suffix());
        }
    }
    let mode = settings.serving.auth_mode;
    if parts.contains(&Part::Gateway) && mode == Some(AuthMode::Direct) {
        bail!(
            "AUTH_MODE is `direct`, so that callers go to each service themselves; leave it empty, or the gateway out"
        );
    }
    let alone = parts.iter().any(|part| *part != Part::Whole);
    if alone && mode != Some(AuthMode::Direct) {
        internal_secret(settings)?;
    }
    // Tokens and cursors of one process are read by the others.
    if alone && settings.token_keys.is_none() && !dev::keeps_jwt_secret(&settings.data_dir) {
        bail!(
            "JWT_SECRET is not set, nor JWT_PRIVATE_KEY; what runs apart shares one of at least 32 characters, or the keys"
        );
    }
    if alone && settings.vault.is_none() && !dev::keeps_encryption_key(&settings.data_dir) {
        bail!(
            "ENCRYPTION_KEY is not set; what runs apart shares one of at least 32 characters, as workers do"
        );
    }
    Ok(())
}

fn internal_secret(settings: &Settings) -> Result<&InternalSecret> {
    settings.serving.internal_secret.as_ref().context(
        "INTERNAL_SECRET is not set; gateway and services that run apart share one of at least 32 characters",
    )
}

async fn serve(
    listeners: Vec<(Part, TcpListener)>,
    settings: &Settings,
    database: &Database,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<()> {
    let data_dir = dev::folder(&settings.data_dir)?;
    let services = dev::services(settings, database, &data_dir).await?;
    for (part, listener) in listeners {
        let ready = format!("ready http://{}{}", listener.local_addr()?, part.suffix());
        let router = part.router(services.clone(), settings)?;
        listening::serve(listener, router, tasks, stop)?;
        out::notice(&ready);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_served_alone_is_named_and_a_misspelled_one_is_told_all_names() {
        assert_eq!(part("gateway"), Ok(Part::Gateway));
        assert_eq!(part("crm"), Ok(Part::Service(Service::Crm)));
        let refused = part("crn").expect_err("there is no such service");
        assert!(refused.contains("`crn`") && refused.ends_with("ops, gateway"), "{refused}");
    }
}
