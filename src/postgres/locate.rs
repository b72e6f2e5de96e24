//! Finds the programs of a Postgres server on this machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The oldest major version that SalesOS runs on.
pub(crate) const OLDEST: u32 = 14;

/// The folder that holds `postgres`, `initdb` and `pg_ctl`, and their version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Programs {
    /// The major version.
    pub(crate) major: u32,
    /// The folder.
    pub(crate) folder: PathBuf,
}

impl Programs {
    /// The path of a program.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// The newest server on this machine.
pub(crate) fn newest() -> Result<Programs> {
    let found = all();
    match found.iter().max() {
        Some(programs) if programs.major >= OLDEST => Ok(programs.clone()),
        Some(programs) => bail!(
            "Postgres {} is too old, {OLDEST} or newer is needed; install the package postgresql or set DATABASE_URL",
            programs.major
        ),
        None => bail!(
            "no Postgres server here; run `make setup`, install the package postgresql, or set DATABASE_URL"
        ),
    }
}

/// The server for data of this version, as their `PG_VERSION` tells it.
pub(crate) fn of_version(version: &str, folder: &Path) -> Result<Programs> {
    let major = major(version).with_context(|| {
        format!("the data in {} are of no version that can be read", folder.display())
    })?;
    let found = all();
    let newest = found.iter().map(|programs| programs.major).max().unwrap_or_default();
    found.into_iter().find(|programs| programs.major == major).with_context(|| {
        format!(
            "{} holds the data of Postgres {major}, this machine has Postgres {newest}; \
             install postgresql-{major} or take another --data-dir",
            folder.display()
        )
    })
}

fn all() -> Vec<Programs> {
    let mut folders: Vec<PathBuf> = Vec::new();
    for folder in std::env::var_os("PATH").iter().flat_map(std::env::split_paths) {
        if let Ok(program) = folder.join("pg_ctl").canonicalize() {
            folders.extend(program.parent().map(Path::to_path_buf));
        }
    }
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        folders.push(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    }
    for (above, below) in [
        ("/usr/lib/postgresql", "bin"),
        ("/usr/local/lib/postgresql", "bin"),
        ("/opt/homebrew/opt", "bin"),
    ] {
        let versions = std::fs::read_dir(above).into_iter().flatten().flatten();
        folders.extend(versions.map(|version| version.path().join(below)));
    }
    folders.push("/usr/local/pgsql/bin".into());
    folders.sort();
    folders.dedup();
    folders.into_iter().filter_map(programs).collect()
}

fn programs(folder: PathBuf) -> Option<Programs> {
    let whole = ["postgres", "initdb", "pg_ctl"].iter().all(|name| folder.join(name).is_file());
    if !whole {
        return None;
    }
    let output = Command::new(folder.join("postgres")).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Some(Programs { major: major(&text)?, folder })
}

/// The major version of `postgres (PostgreSQL) 15.18 (Debian …)`.
fn major(text: &str) -> Option<u32> {
    let version =
        text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_debian_and_others_print_them() {
        assert_eq!(major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"), Some(15));
        assert_eq!(major("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major("nothing"), None);
    }
}
