//! Where a run of the suite keeps its files, and who clears up after it, also where it was killed itself: a
//! janitor of a few lines of shell that waits until this process lets go of its standard input.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The workers stand in the janitor's process group. Frozen ones are woken, so that they find their standard
/// input closed and end; whoever is left at the end is killed with the group.
const JANITOR: &str = r#"
cat >/dev/null
kill -CONT -$$ 2>/dev/null
if [ -f "$1/data/postmaster.pid" ]; then
  postmaster=$(head -n 1 "$1/data/postmaster.pid")
  kill -QUIT "$postmaster" 2>/dev/null
  for _ in $(seq 100); do kill -0 "$postmaster" 2>/dev/null || break; sleep 0.1; done
fi
for disk in "$1"/wal "$1"/tables; do
  if [ -d "$disk" ] && mountpoint -q "$disk"; then umount "$disk" 2>/dev/null || umount -l "$disk"; fi
done
[ -f "$1/keep" ] || rm -rf "$1"
kill -KILL -$$
"#;

/// The folder, with its janitor.
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    janitor: Child,
}

impl Place {
    /// Makes a folder that others may enter: Postgres may run as another user.
    pub(crate) fn make() -> Self {
        let folder = std::env::temp_dir().join(format!("salesos-chaos-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        let janitor = Command::new("sh")
            .args(["-c", JANITOR, "janitor"])
            .arg(&folder)
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("a shell can be started");
        Self { folder, janitor }
    }

    /// The process group of the workers.
    pub(crate) fn group(&self) -> i32 {
        i32::try_from(self.janitor.id()).expect("a process has a small number")
    }

    /// Leaves the files to whoever wants to know why the suite failed.
    pub(crate) fn keep(&self) -> &Path {
        fs::write(self.folder.join("keep"), "").unwrap();
        &self.folder
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.janitor.stdin.take());
        let _ended = self.janitor.wait();
    }
}
