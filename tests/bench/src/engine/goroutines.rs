//! The same work in Go, where it is installed: a process of its own, which tells the
//! processor time it took.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::measure::Failure;

/// The program, built.
#[derive(Debug)]
pub(crate) struct Goroutines {
    program: PathBuf,
    /// Where the program is, until it is not needed any more.
    _folder: TempDir,
}

impl Goroutines {
    /// Builds the program; nothing where that is not possible, which is told.
    pub(crate) fn build() -> Result<Option<Self>, Failure> {
        let folder = tempfile::tempdir()?;
        let program = folder.path().join("goroutines");
        fs::write(folder.path().join("goroutines.go"), SOURCE)?;
        let built = Command::new("go")
            .args(["build", "-o", "goroutines", "goroutines.go"])
            .current_dir(folder.path())
            // It needs nothing but what is installed.
            .envs([("GOPROXY", "off"), ("GOTOOLCHAIN", "local")])
            .output();
        let reason = match built {
            Ok(output) if output.status.success() => {
                return Ok(Some(Self {
                    program,
                    _folder: folder,
                }));
            }
            Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                "go is missing (Debian: apt-get install golang-go)".to_owned()
            }
            Err(error) => error.to_string(),
        };
        eprintln!("mayhem-bench: goroutines are not measured: {reason}");
        Ok(None)
    }

    /// Has the program handle `n` messages; returns the processor time of that.
    pub(crate) fn run(&self, n: u64) -> Result<Duration, Failure> {
        let output = Command::new(&self.program).arg(n.to_string()).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        match text.trim().parse() {
            Ok(nanos) if output.status.success() => Ok(Duration::from_nanos(nanos)),
            _ => Err(format!("the program in Go failed: {output:?}").into()),
        }
    }
}

const SOURCE: &str = include_str!("goroutines.go");
