//! A file system of its own, small enough to be filled.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A tmpfs over one folder, in a mount namespace that a sleeping process holds open.
///
/// Outside the namespace the folder is empty; its files are reached through `/proc/PID/root`.
#[derive(Debug)]
pub struct Space {
    holder: Child,
    is_root: bool,
    folder: PathBuf,
}

impl Space {
    /// Mounts `bytes` over `folder`; `None` where the machine does not allow it.
    pub fn mount(folder: &Path, bytes: u64) -> Option<Self> {
        [true, false]
            .into_iter()
            .find_map(|is_root| Self::try_mount(folder, bytes, is_root))
    }

    fn try_mount(folder: &Path, bytes: u64, is_root: bool) -> Option<Self> {
        let mut command = Command::new("unshare");
        if is_root {
            command.arg("--mount");
        } else {
            command.args(["--user", "--map-root-user", "--mount"]);
        }
        let script = "mount -t tmpfs -o size=$1 tmpfs \"$2\" && echo ready && exec sleep 600";
        let mut holder = command
            .args(["sh", "-c", script, "sh", &bytes.to_string()])
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut line = String::new();
        let stdout = holder.stdout.take()?;
        // Ignored: an error reads as "not ready".
        let _ = BufReader::new(stdout).read_line(&mut line);
        let space = Self {
            holder,
            is_root,
            folder: folder.to_owned(),
        };
        (line == "ready\n").then_some(space)
    }

    /// The path of a folder in here for a process that is outside.
    pub(super) fn seen_from_outside(&self, folder: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(folder.strip_prefix("/").unwrap_or(folder))
    }

    /// A command that runs `program` in here.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.arg("--target").arg(self.holder.id().to_string());
        if !self.is_root {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.arg("--mount").arg("--").arg(program);
        command
    }

    /// Fills the file system to the last byte.
    pub fn fill(&self) {
        let filler = self.seen_from_outside(&self.folder).join("filler");
        let mut filler = File::options()
            .create(true)
            .append(true)
            .open(filler)
            .expect("a filler");
        for size in [1 << 16, 1 << 12, 1 << 6, 1] {
            let bytes = vec![0; size];
            // Until the disk says no.
            while filler.write_all(&bytes).is_ok() {}
        }
    }

    /// Gives back what [`Space::fill`] took.
    pub fn empty(&self) {
        let filler = self.seen_from_outside(&self.folder).join("filler");
        fs::remove_file(filler).expect("the filler is there");
    }

    /// Makes the file system read-only.
    pub fn make_read_only(&self) {
        let mut command = self.command(Path::new("mount"));
        command.args(["-o", "remount,bind,ro"]).arg(&self.folder);
        let status = command.status().expect("mount runs");
        assert!(status.success(), "the file system can be made read-only");
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        // Ignored, both: it may have ended by itself, and the namespace goes with it.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
