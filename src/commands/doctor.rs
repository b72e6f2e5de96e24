//! `salesos doctor`: each dependency, its version, what is wrong, and what to do.

mod faults;

use std::cell::Cell;

use anyhow::Result;
use serde::Serialize;

use crate::Ending;
use crate::database::{Database, MIGRATIONS, Role, applied};
use crate::listing::{self, Listing};
use crate::settings::{KafkaSettings, Settings, SystemMailSettings};
use crate::{kafka, postgres};

/// Its arguments.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    listing: Listing,
}

/// What was found of one dependency.
#[derive(Serialize)]
struct Finding {
    what: &'static str,
    right: bool,
    detail: String,
}

pub(crate) async fn run(args: Args, settings: Settings) -> Result<Ending> {
    let right = Cell::new(true);
    let look = || async {
        let mut findings = vec![programs(&settings), folder(&settings), database(&settings).await];
        findings.extend(system_mail(&settings).await);
        if let Some(settings) = &settings.kafka {
            findings.push(broker(settings).await);
        }
        findings.extend(faults::find(&settings).await);
        right.set(findings.iter().all(|finding| finding.right));
        Ok(findings)
    };
    let cells = |finding: &Finding| {
        let state = if finding.right { "right" } else { "WRONG" };
        vec![finding.what.into(), state.into(), finding.detail.clone()]
    };
    listing::show(&args.listing, &["dependency", "state", "detail"], cells, look).await?;
    Ok(if right.get() { Ending::Done } else { Ending::Refused })
}

fn programs(settings: &Settings) -> Finding {
    match postgres::newest() {
        Ok(found) => Finding {
            what: "Postgres programs",
            right: true,
            detail: format!("version {} in {}", found.major, found.folder.display()),
        },
        // A database of another machine needs none here.
        Err(error) => Finding {
            what: "Postgres programs",
            right: settings.database.is_some(),
            detail: format!("{error:#}"),
        },
    }
}

fn folder(settings: &Settings) -> Finding {
    let folder = &settings.data_dir;
    let (right, detail) = match std::fs::metadata(folder) {
        Ok(found) if found.is_dir() && !found.permissions().readonly() => {
            (true, "there".to_owned())
        }
        Ok(_) => {
            (false, "is no folder that can be written to; take another by SALESOS_DATA_DIR".into())
        }
        Err(_) => (true, "not there yet; `salesos dev` makes it".into()),
    };
    Finding { what: "data folder", right, detail: format!("{} {detail}", folder.display()) }
}

/// Nothing in development without a mail server: files need none.
async fn system_mail(settings: &Settings) -> Option<Finding> {
    let (right, detail) = match &settings.system_mail {
        SystemMailSettings::Nowhere => (
            false,
            "SYSTEM_MAIL_URL is not set, so sign-up, invitations and forgotten passwords answer 503; set it and \
             SYSTEM_MAIL_FROM"
                .into(),
        ),
        SystemMailSettings::Files => return None,
        SystemMailSettings::Server(server, _) => match server.check().await {
            Ok(()) => (true, format!("{} answers", server.address())),
            Err(reason) => (false, reason),
        },
    };
    Some(Finding { what: "system mail", right, detail })
}

async fn broker(settings: &KafkaSettings) -> Finding {
    match kafka::check(settings).await {
        Ok(()) => Finding {
            what: "Kafka",
            right: true,
            detail: format!("answers at {}", settings.brokers),
        },
        Err(error) => Finding { what: "Kafka", right: false, detail: format!("{error:#}") },
    }
}

async fn database(settings: &Settings) -> Finding {
    let looked = async {
        let database = Database::find(settings)?;
        let pool = database.pool(Role::Owner, 1).await?;
        database.check_version(&pool).await?;
        let version: String = sqlx::query_scalar("show server_version").fetch_one(&pool).await?;
        anyhow::Ok((version, applied(&pool).await?))
    };
    match looked.await {
        Ok((version, applied)) => {
            let all = MIGRATIONS.iter().count();
            let known =
                applied.iter().filter(|version| MIGRATIONS.version_exists(**version)).count();
            let newer = applied.len() - known;
            let right = known >= all;
            let advice = match (right, newer) {
                (false, _) => "; run `salesos migrate`".to_owned(),
                (true, 0) => String::new(),
                (true, newer) => format!(", and {newer} of a newer version of SalesOS"),
            };
            let detail = format!("version {version}, {known} of {all} migrations applied{advice}");
            Finding { what: "database", right, detail }
        }
        Err(error) => Finding { what: "database", right: false, detail: format!("{error:#}") },
    }
}
