//! What the operator asked for: the types, and how they are read from a `mandrill.toml`.
//!
//! Reading is strict. Every problem of a file is reported, each with its line and, for a mistyped
//! key or value, with the one that was probably meant. A [`Config`] that came out of [`check`]
//! satisfies every rule written here; one built in code should too.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::exit::Failure;
use crate::target::Target;

pub use check::{Checked, check};
pub use findings::{Problem, closest};
pub use url::{Endpoint, UrlTemplate};

pub mod duration;

mod check;
mod findings;
mod group;
mod parts;
mod section;
mod url;

/// The largest config that is read, in bytes: room for a fleet of twenty thousand.
pub const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// Reads the config a command was pointed at.
///
/// # Errors
///
/// Exit 2, in one line: the file cannot be read, or its first problem and how many there are.
///
/// # Blocking
///
/// Reads a file.
pub fn load(path: &Path) -> Result<Config, Failure> {
    let checked = load_checked(path)?;
    if let Some(config) = checked.config {
        return Ok(config);
    }
    let file = path.display();
    let problems = &checked.problems;
    let first = &problems[0];
    let others = match problems.len() {
        1 => String::new(),
        count => format!(" (and {} more: `mandrill check-config {file}`)", count - 1),
    };
    Err(Failure::usage(format!(
        "{file}:{}: {first}{others}",
        first.line
    )))
}

/// Reads a config and keeps everything that was found in it.
///
/// # Errors
///
/// Exit 2: the file cannot be read at all.
///
/// # Blocking
///
/// Reads a file.
pub fn load_checked(path: &Path) -> Result<Checked, Failure> {
    let file = path.display();
    let unreadable = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Failure::usage(format!(
            "{file}: there is no such config; `mandrill init` writes one, -c FILE names another"
        )),
        _ => Failure::usage(format!("{file}: cannot read the config: {error}")),
    };
    let mut bytes = Vec::new();
    let opened = File::open(path).map_err(unreadable)?;
    opened
        .take(CONFIG_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > CONFIG_BYTES_MAX {
        return Err(Failure::usage(format!(
            "{file}: larger than {CONFIG_BYTES_MAX} bytes, so this is no config"
        )));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = &error.as_bytes()[..valid];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        Failure::usage(format!(
            "{file}:{line}: this is no text (UTF-8), so no config"
        ))
    })?;
    Ok(check(&text, path.parent().unwrap_or(Path::new(""))))
}

/// Everything `mandrill run` needs to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The service itself.
    pub service: Service,
    /// Where requests come from.
    pub source: Source,
    /// What a group gets that says nothing else.
    pub policy: Policy,
    /// The fleet; names are unique, and so are targets over all groups.
    pub groups: Vec<Group>,
    /// Where the service can be asked.
    pub listen: Listen,
}

impl Config {
    /// Finds a target: its group and its place in [`Group::targets`], counted from 0.
    pub fn lookup(&self, target: &Target) -> Option<(&Group, usize)> {
        self.groups.iter().find_map(|group| {
            let index = group.targets.iter().position(|own| own == target)?;
            Some((group, index))
        })
    }

    /// The port of a target that mandrill spawns; `None` for unknown targets and other groups.
    pub fn port_of(&self, target: &Target) -> Option<u16> {
        let (group, index) = self.lookup(target)?;
        match &group.restarter {
            RestarterSpec::Process { first_port, .. } => {
                first_port.checked_add(u16::try_from(index).ok()?)
            }
            RestarterSpec::Command { .. } => None,
        }
    }

    /// All targets, group by group.
    pub fn targets(&self) -> impl Iterator<Item = (&Group, &Target)> {
        self.groups
            .iter()
            .flat_map(|group| group.targets.iter().map(move |target| (group, target)))
    }

    /// Whether restarts of this group are carried out: always for what mandrill spawned itself,
    /// otherwise only with both keys, `service.armed` and the group's `armed`.
    pub fn is_live(&self, group: &Group) -> bool {
        match group.restarter {
            RestarterSpec::Process { .. } => true,
            RestarterSpec::Command { .. } => self.service.armed && group.armed,
        }
    }
}

/// `[service]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The journal; its neighbours are `STATE.queue`, `STATE.lock` and `STATE.children/`.
    pub state: PathBuf,
    /// How long a stop waits for what has started.
    pub grace: Duration,
    /// The first of the two keys; see [`Config::is_live`].
    pub armed: bool,
}

impl Service {
    /// `STATE` with a suffix: the path of one of its neighbours.
    pub fn beside(&self, suffix: &str) -> PathBuf {
        let mut path = self.state.clone().into_os_string();
        path.push(suffix);
        path.into()
    }
}

impl Default for Service {
    fn default() -> Self {
        Self {
            state: PathBuf::from("./mandrill.db"),
            grace: Duration::from_secs(25),
            armed: false,
        }
    }
}

/// `[source]`; its kind is always the embedded queue, `STATE.queue`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// How long a delivery is ours before it must be extended.
    pub lease: Duration,
    /// How long a lease is extended in all.
    pub max_lease: Duration,
    /// How many requests are handled at a time.
    pub max_in_flight: usize,
    /// How many attempts a request gets before it is dead-lettered.
    pub max_deliveries: u32,
}

impl Default for Source {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(60),
            max_lease: Duration::from_secs(30 * 60),
            max_in_flight: 32,
            max_deliveries: 5,
        }
    }
}

/// `[policy]`, and the same keys in a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How long after a verified restart the next request of the target is blocked.
    pub cooldown: Duration,
    /// How many targets of a group are restarted at a time.
    pub max_concurrent: usize,
    /// How long after one target is verified the next of its group starts.
    pub spacing: Duration,
    /// How long a target must be healthy without a break to be verified.
    pub settle: Duration,
    /// From the start to the verdict; past it the target is lost.
    pub timeout: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            cooldown: Duration::from_secs(7 * 24 * 60 * 60),
            max_concurrent: 1,
            spacing: Duration::from_secs(30),
            settle: Duration::from_secs(20),
            timeout: Duration::from_secs(10 * 60),
        }
    }
}

/// `[[group]]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name, well-formed as a target and at most 63 bytes long.
    pub name: String,
    /// The second of the two keys; see [`Config::is_live`].
    pub armed: bool,
    /// Its targets; for a process group `NAME-1` to `NAME-COUNT`.
    pub targets: Vec<Target>,
    /// Its policy, with all that it did not say itself taken from `[policy]`.
    pub policy: Policy,
    /// How a target is restarted.
    pub restarter: RestarterSpec,
    /// How a target's health is asked; without it a target is healthy as soon as it is back.
    pub probe: Option<ProbeSpec>,
    /// The argv that prints a target's boot identity; command groups have one.
    pub boot_id: Option<Vec<String>>,
}

/// `restarter = { kind = … }`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestarterSpec {
    /// Children that mandrill spawns, stops and starts itself.
    Process {
        /// What is executed; `{port}` stands for the child's port.
        argv: Vec<String>,
        /// How many children.
        count: u16,
        /// The port of the first child; the others count on from it.
        first_port: u16,
    },
    /// A command that restarts the target, wherever that is.
    Command {
        /// What is executed; an argument that is `{target}` stands for the target.
        argv: Vec<String>,
        /// How long it may take before its process group is killed.
        timeout: Duration,
    },
}

/// `probe = { kind = "http", … }`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeSpec {
    /// The address; `{target}` and `{port}` stand for the target's.
    pub url: String,
    /// How long from one question to the next.
    pub every: Duration,
    /// The status that means healthy.
    pub expect: u16,
    /// How long one answer may take.
    pub timeout: Duration,
}

/// `[listen]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listen {
    /// The path of the control socket.
    pub control: Option<PathBuf>,
}

#[cfg(test)]
mod tests;
