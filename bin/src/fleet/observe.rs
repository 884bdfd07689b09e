//! Looking at a fleet that no daemon is tending: files and `/proc` only, nothing is changed.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;

use super::procfs::{self, Stat};
use super::record::{ChildFiles, Record};
use super::{FleetError, HostState, Identity, Liveness, children_folder};
use crate::config::{Config, Group, RestarterSpec};
use crate::target::Target;

/// What can be seen of every target, in the order of the config.
///
/// What cannot be read is [`Liveness::Unknown`] and says why.
///
/// # Blocking
///
/// Reads a small file per child and, after a crash in the middle of a start, all of `/proc`.
pub(super) fn observe(state: &Path, config: &Config) -> Vec<(Target, HostState)> {
    let children = config.targets().filter(|(group, _)| is_process(group));
    let children = children.map(|(_, target)| target.clone()).collect();
    let mut seen: HashMap<Target, HostState> = look(&children_folder(state), children)
        .into_iter()
        .collect();
    let targets = config.targets();
    targets
        .map(|(_, target)| {
            let seen = seen.remove(target).unwrap_or_else(|| unknown(None));
            (target.clone(), seen)
        })
        .collect()
}

/// The children that live although the config has them no longer.
///
/// # Blocking
///
/// As [`observe`].
pub(super) fn strays(state: &Path, config: &Config) -> Vec<(Target, Identity)> {
    let folder = children_folder(state);
    // Ignored: without the folder there has never been a child.
    let names = stray_names(&folder, config).unwrap_or_default();
    let seen = look(&folder, names).into_iter();
    seen.filter_map(|(target, state)| Some((target, state.identity?)))
        .collect()
}

/// The children that have a record, and no place in a process group of the config.
pub(super) fn stray_names(folder: &Path, config: &Config) -> io::Result<Vec<Target>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let name = name.to_str().and_then(|name| name.strip_suffix(".child"));
        let Some(target) = name.and_then(|name| Target::parse(name).ok()) else {
            continue;
        };
        if !config
            .lookup(&target)
            .is_some_and(|(group, _)| is_process(group))
        {
            names.push(target);
        }
    }
    names.sort();
    Ok(names)
}

fn is_process(group: &Group) -> bool {
    matches!(group.restarter, RestarterSpec::Process { .. })
}

/// Looks at children by their records.
fn look(folder: &Path, children: Vec<Target>) -> Vec<(Target, HostState)> {
    let boot_id = procfs::machine_boot_id();
    let records: Vec<_> = children
        .iter()
        .map(|target| ChildFiles::new(folder, target).read())
        .collect();
    let nonces: Vec<&str> = records
        .iter()
        .filter_map(|read| read.as_ref().ok()?.as_ref()?.next.as_deref())
        .collect();
    let carriers = match nonces.is_empty() {
        true => Vec::new(),
        // Ignored: without the list such a child is shown as down.
        false => procfs::find_by_nonce(&nonces).unwrap_or_default(),
    };
    let state = |read: &Result<Option<Record>, FleetError>| match (read, &boot_id) {
        (Err(why), _) => unknown(Some(describe(why))),
        (Ok(None), _) => down(),
        (_, Err(why)) => unknown(Some(format!("the machine's boot id: {why}"))),
        (Ok(Some(record)), Ok(boot_id)) if record.boot_id != *boot_id => down(),
        (Ok(Some(record)), _) => alive(record, &nonces, &carriers).map_or_else(down, up),
    };
    let states: Vec<_> = records.iter().map(state).collect();
    children.into_iter().zip(states).collect()
}

fn alive(record: &Record, nonces: &[&str], carriers: &[(Stat, usize)]) -> Option<Stat> {
    if let Some(process) = &record.process
        && let Ok(Some(stat)) = procfs::stat(process.pid)
        && stat.started == process.started
        && !stat.is_dead()
    {
        return Some(stat);
    }
    let next = record.next.as_deref()?;
    let carriers = carriers.iter();
    carriers
        .filter(|(stat, carried)| nonces[*carried] == next && stat.group == stat.pid)
        .map(|(stat, _)| *stat)
        .next()
}

fn up(stat: Stat) -> HostState {
    HostState {
        liveness: Liveness::Up,
        identity: Some(Identity::Process {
            pid: stat.pid,
            started: stat.started,
        }),
        detail: None,
    }
}

fn down() -> HostState {
    HostState {
        liveness: Liveness::Down,
        identity: None,
        detail: None,
    }
}

fn unknown(detail: Option<String>) -> HostState {
    HostState {
        liveness: Liveness::Unknown,
        identity: None,
        detail,
    }
}

fn describe(error: &FleetError) -> String {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    match cause {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
