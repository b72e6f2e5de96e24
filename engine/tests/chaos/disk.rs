//! A small disk that can be full: a tmpfs that is made no larger than what lies on it. Takes root, who alone
//! may mount; without, the folder is like any other.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cluster::User;

const SIZE: &str = "1g";

pub(crate) struct Disk {
    folder: PathBuf,
    mounted: bool,
}

impl Disk {
    /// Makes the folder, and mounts it where that is allowed.
    pub(crate) fn make(folder: PathBuf, user: User) -> Self {
        fs::create_dir_all(&folder).unwrap();
        let mounted = mount(&format!("size={SIZE}"), &folder);
        if let User::Other { uid, gid } = user {
            chown(&folder, Some(uid), Some(gid)).unwrap();
        }
        Self { folder, mounted }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether it can be full at all.
    pub(crate) fn can_be_full(&self) -> bool {
        self.mounted
    }

    /// Leaves no room for a single page more.
    pub(crate) fn fill(&self) {
        // Files may grow while it is made smaller: then it is looked at again.
        let filled = (0..20).any(|_| {
            let said = Command::new("df").args(["-k", "--output=used"]).arg(&self.folder).output();
            let said = String::from_utf8(said.unwrap().stdout).unwrap();
            let used: u64 = said.lines().nth(1).unwrap().trim().parse().unwrap();
            mount(&format!("remount,size={}k", used.max(4)), &self.folder)
        });
        assert!(filled, "a disk can't be filled");
    }

    /// Gives the room back.
    pub(crate) fn free(&self) {
        if self.mounted {
            assert!(mount(&format!("remount,size={SIZE}"), &self.folder), "a disk stays full");
        }
    }
}

/// Says whether it could be mounted so.
fn mount(options: &str, folder: &Path) -> bool {
    Command::new("mount")
        .args(["-t", "tmpfs", "-o", options, "tmpfs"])
        .arg(folder)
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
