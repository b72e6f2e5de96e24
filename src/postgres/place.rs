//! Where the cluster's files lie, and as whom Postgres runs. Postgres refuses to run as root: then it runs
//! as the user `postgres` that its package makes, who must be able to reach its folder.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use engine::context::draw;

/// Where clusters of a root whose folder nobody else can enter lie.
const SHARED: &str = "/var/lib/salesos";

/// The user that Postgres runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum User {
    /// Whoever we are.
    Ourselves,
    /// Another one, because we are root.
    Other { uid: u32, gid: u32 },
}

/// The cluster's place.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// As whom Postgres runs.
    pub(super) user: User,
    /// The folder that holds the cluster's folder.
    pub(super) base: PathBuf,
}

impl Place {
    /// Finds the place for a data folder, which is there.
    pub(super) fn of(data_dir: &Path) -> Result<Self> {
        let user = user()?;
        let User::Other { uid, gid } = user else {
            return Ok(Self { user, base: data_dir.to_path_buf() });
        };
        let base = if reachable(data_dir, uid, gid) {
            data_dir.join("cluster")
        } else {
            let name = draw(&[data_dir.as_os_str().as_encoded_bytes()]);
            Path::new(SHARED).join(format!("{name:016x}"))
        };
        let made = fs::create_dir_all(&base).and_then(|()| chown(&base, Some(uid), Some(gid)));
        made.with_context(|| format!("can't prepare {} for Postgres", base.display()))?;
        fs::set_permissions(&base, fs::Permissions::from_mode(0o700))?;
        Ok(Self { user, base })
    }

    /// The folder of the server's sockets: none where its path is too long for one (`sun_path` of unix(7), 107 bytes), or
    /// would have to be escaped in a URL or in Postgres' list of folders.
    pub(super) fn sockets(&self) -> Option<&str> {
        let folder = self.base.to_str()?;
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-".contains(letter);
        let fits = folder.len() + "/.s.PGSQL.65535".len() <= 107;
        (fits && folder.chars().all(plain)).then_some(folder)
    }

    /// A command that runs as Postgres' user, in a process group of its own: a Ctrl-C on the terminal
    /// reaches us alone, and we stop Postgres in order.
    pub(super) fn command(&self, program: PathBuf) -> Command {
        let mut command = Command::new(program);
        command.process_group(0).current_dir("/").env("LC_ALL", "C.UTF-8");
        match self.user {
            User::Ourselves => {}
            User::Other { uid, gid } => {
                command.uid(uid).gid(gid);
            }
        }
        command
    }

    /// Gives a file to Postgres' user.
    pub(super) fn hand_over(&self, file: &Path) -> Result<()> {
        match self.user {
            User::Ourselves => Ok(()),
            User::Other { uid, gid } => Ok(chown(file, Some(uid), Some(gid))?),
        }
    }
}

/// What to say of a data folder that can't be made or written to.
pub(crate) fn unusable(data_dir: &Path) -> String {
    format!("can't write to the data folder {}; take another --data-dir", data_dir.display())
}

fn user() -> Result<User> {
    let ourselves = fs::metadata("/proc/self").map(|metadata| metadata.uid()).unwrap_or(1);
    if ourselves != 0 {
        return Ok(User::Ourselves);
    }
    let users = fs::read_to_string("/etc/passwd").context("can't read /etc/passwd")?;
    for line in users.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        if let ["postgres", _, uid, gid, ..] = fields.as_slice() {
            return Ok(User::Other { uid: uid.parse()?, gid: gid.parse()? });
        }
    }
    bail!(
        "Postgres refuses to run as root, and there is no user `postgres` to run it as; make one, or run as another user"
    )
}

/// Whether a user can reach a folder: every folder above lets others pass.
fn reachable(folder: &Path, uid: u32, gid: u32) -> bool {
    folder.ancestors().all(|above| {
        fs::metadata(above).is_ok_and(|metadata| {
            let mode = metadata.mode();
            mode & 0o001 != 0
                || (metadata.uid() == uid && mode & 0o100 != 0)
                || (metadata.gid() == gid && mode & 0o010 != 0)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_lies_where_its_path_is_short_and_plain() {
        let sockets = |base: &str| {
            let place = Place { user: User::Ourselves, base: base.into() };
            place.sockets().map(str::to_owned)
        };
        let longest = format!("/{}", "d".repeat(91));
        for good in ["/home/ann/sales-os_1/.salesos", &longest] {
            assert_eq!(sockets(good).as_deref(), Some(good));
        }
        for bad in ["/home/ann/sales os", "/home/jürg", "/home/a,b", &format!("{longest}d")] {
            assert_eq!(sockets(bad), None, "{bad}");
        }
    }
}
