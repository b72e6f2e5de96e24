//! Faults beyond the dependencies themselves: each check names one with what to do, and is silent if all is well.

use std::path::Path;

use anyhow::Result;
use crm::vault::Vault;
use crm::{mailbox, webhook};
use engine::worker;
use sqlx::PgPool;

use super::Finding;
use crate::commands::dev;
use crate::database::{Database, Role};
use crate::settings::Settings;

/// All faults that are found.
pub(super) async fn find(settings: &Settings) -> Vec<Finding> {
    let mut found = vec![mail_folder(&settings.data_dir), allowed_hosts(settings)];
    // That the database does not answer, or lacks migrations, is a finding of its own.
    if let Ok(db) = database(settings).await {
        found.push(workers(&db).await);
        found.push(encryption_key(&db, settings).await);
        found.push(mailboxes(&db, settings).await);
    }
    found.into_iter().flatten().collect()
}

async fn database(settings: &Settings) -> Result<PgPool> {
    let database = Database::find(settings)?;
    database.check_migrated().await?;
    database.pool(Role::Worker, 1).await
}

fn fault(what: &'static str, detail: String) -> Option<Finding> {
    Some(Finding { what, right: false, detail })
}

/// A check that failed is a finding as well.
fn unseen(what: &'static str, error: &sqlx::Error) -> Option<Finding> {
    fault(what, format!("can't be checked: {error}"))
}

/// Mock mail, and the answers to it, which nobody would see.
fn mail_folder(data_dir: &Path) -> Option<Finding> {
    for name in ["mail", "inbound"] {
        let folder = data_dir.join(name);
        if folder.symlink_metadata().is_err() {
            continue;
        }
        let readable = std::fs::read_dir(&folder).and_then(|entries| {
            // What is below is read as well: a mailbox has a folder of its own.
            for entry in entries {
                let path = entry?.path();
                if path.is_dir() {
                    std::fs::read_dir(path)?;
                }
            }
            folder.metadata()
        });
        let problem = match readable {
            Ok(found) if !found.permissions().readonly() => continue,
            Ok(_) => "it is read-only".to_owned(),
            Err(error) => error.to_string(),
        };
        let detail = format!(
            "{} can't be used: {problem}; make it a folder that the user who runs SalesOS can read and write",
            folder.display()
        );
        return fault("mail folder", detail);
    }
    None
}

/// Hosts of `http.request` that nobody has outside of an inner network, which is refused in any case.
fn allowed_hosts(settings: &Settings) -> Option<Finding> {
    let doubtful = settings.http_allow.without_domain();
    if doubtful.is_empty() {
        return None;
    }
    let detail = format!(
        "{} in SALESOS_HTTP_ALLOW names no public host; write whole names with commas between, such as api.example.com",
        doubtful.iter().map(|host| format!("`{host}`")).collect::<Vec<_>>().join(", ")
    );
    fault("SALESOS_HTTP_ALLOW", detail)
}

async fn workers(db: &PgPool) -> Option<Finding> {
    match worker::alive(db, "").await {
        Ok(alive) if alive.workers > 0 => None,
        Ok(_) => fault(
            "worker",
            "no worker is running, so no step runs; start one by `salesos worker`, or run `salesos dev`".into(),
        ),
        Err(error) => unseen("worker", &error),
    }
}

/// Secrets that were sealed by a key which is gone: webhooks can't be signed.
async fn encryption_key(db: &PgPool, settings: &Settings) -> Option<Finding> {
    let vault = match &settings.vault {
        Some(vault) => vault.clone(),
        None if dev::keeps_encryption_key(&settings.data_dir) => {
            match dev::vault(settings, &settings.data_dir) {
                Ok(vault) => vault,
                Err(error) => return fault("encryption key", format!("{error:#}")),
            }
        }
        None => Vault::default(),
    };
    match webhook::unopened(db, &vault).await {
        Ok(0) => None,
        Ok(lost) => fault(
            "encryption key",
            format!(
                "the secrets of {lost} webhooks don't open with the keys here; add the key that sealed them to \
                 ENCRYPTION_KEY, behind the newest, or bring encryption.key back into the data folder"
            ),
        ),
        Err(error) => unseen("encryption key", &error),
    }
}

/// In production nobody is mailed without a mailbox.
async fn mailboxes(db: &PgPool, settings: &Settings) -> Option<Finding> {
    if !settings.is_production {
        return None;
    }
    match mailbox::customers_without(db).await {
        Ok(0) => None,
        Ok(lacking) => fault(
            "mailboxes",
            format!(
                "{lacking} customers have no connected mailbox, so their contacts are refused as `no_mailbox`; connect \
                 one for each"
            ),
        ),
        Err(error) => unseen("mailboxes", &error),
    }
}
