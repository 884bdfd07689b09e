//! How programs are started: argv without a shell, a cleared environment, a process group of its
//! own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::target::Target;

/// A program to start, with all its arguments filled in.
#[derive(Clone, Debug)]
pub(super) struct Launch {
    argv: Vec<String>,
    environment: BTreeMap<&'static str, String>,
}

impl Launch {
    /// A child of a process group; `{port}` is filled in wherever it stands.
    pub(super) fn child(argv: &[String], port: Option<u16>) -> Self {
        let port = port.map(|port| port.to_string()).unwrap_or_default();
        Self::new(argv.iter().map(|part| part.replace("{port}", &port)))
    }

    /// A command about a target; an argument that is `{target}`, and no part of one, is filled in.
    pub(super) fn command(argv: &[String], target: &Target) -> Self {
        let fill = |part: &String| match part.as_str() {
            "{target}" => target.to_string(),
            part => part.to_owned(),
        };
        Self::new(argv.iter().map(fill)).with("MANDRILL_TARGET", target.as_str())
    }

    /// The same with one more variable.
    pub(super) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.environment.insert(name, value.to_owned());
        self
    }

    /// Finds the program: an absolute path, or a name that the search path knows.
    ///
    /// # Errors
    ///
    /// What is wrong, for the operator.
    ///
    /// # Blocking
    ///
    /// Asks the file system.
    pub(super) fn resolve(&self) -> Result<PathBuf, String> {
        let Some(program) = self.argv.first().filter(|program| !program.is_empty()) else {
            return Err("the argv is empty".to_owned());
        };
        if Path::new(program).is_absolute() {
            return check(Path::new(program)).map_err(|error| format!("{program}: {error}"));
        }
        if program.contains('/') {
            return Err(format!(
                "{program}: give the absolute path, or a name alone to have it searched for"
            ));
        }
        std::env::split_paths(&search_path())
            .find_map(|folder| check(&folder.join(program)).ok())
            .ok_or_else(|| format!("{program}: not found in {}", search_path().display()))
    }

    /// The command, not tied to us by anything: no terminal, no environment, no folder.
    ///
    /// # Blocking
    ///
    /// Asks the file system.
    pub(super) fn to_command(&self) -> Result<Command, String> {
        let mut command = Command::new(self.resolve()?);
        command
            .args(&self.argv[1..])
            .env_clear()
            .env("PATH", search_path())
            .envs(&self.environment)
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Ok(command)
    }

    fn new(argv: impl Iterator<Item = String>) -> Self {
        Self {
            argv: argv.collect(),
            environment: BTreeMap::new(),
        }
    }
}

/// The operator's own search path, without what depends on the current folder, which is `/` for
/// everything that is started here.
fn search_path() -> OsString {
    let own = std::env::var_os("PATH").unwrap_or_default();
    let absolute = std::env::split_paths(&own).filter(|folder| folder.is_absolute());
    match std::env::join_paths(absolute) {
        Ok(path) if !path.is_empty() => path,
        _ => DEFAULT_PATH.into(),
    }
}

fn check(program: &Path) -> io::Result<PathBuf> {
    let metadata = program.metadata()?;
    if !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "not an executable file",
        ));
    }
    Ok(program.to_owned())
}

/// Where programs are looked for when the environment does not say.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

#[cfg(test)]
mod tests;
