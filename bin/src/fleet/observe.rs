//! Looking at a fleet that no daemon is tending: files and `/proc` only, nothing is changed.

use std::collections::HashMap;
use std::path::Path;

use super::procfs::{self, Stat};
use super::record::{ChildFiles, Record};
use super::{HostState, Identity, Liveness, children_folder};
use crate::config::{Config, RestarterSpec};
use crate::target::Target;

/// What can be seen of every target, in the order of the config.
///
/// What cannot be read is [`Liveness::Unknown`] and says why.
///
/// # Blocking
///
/// Reads a small file per child and, after a crash in the middle of a start, all of `/proc`.
pub(super) fn observe(state: &Path, config: &Config) -> Vec<(Target, HostState)> {
    let folder = children_folder(state);
    let boot_id = procfs::machine_boot_id();
    let mut records = HashMap::new();
    for (group, target) in config.targets() {
        if let RestarterSpec::Process { .. } = group.restarter {
            let read = ChildFiles::new(&folder, target).read();
            let read = read.map_err(|error| describe(&error));
            records.insert(target, read);
        }
    }
    let nonces: Vec<&str> = records
        .values()
        .filter_map(|read| read.as_ref().ok()?.as_ref()?.next.as_deref())
        .collect();
    let carriers = match nonces.is_empty() {
        true => Vec::new(),
        // Ignored: without the list such a child is shown as down.
        false => procfs::find_by_nonce(&nonces).unwrap_or_default(),
    };
    let look = |target: &Target| -> HostState {
        let record = match records.get(target) {
            None => return unknown(None),
            Some(Err(why)) => return unknown(Some(why.clone())),
            Some(Ok(None)) => return down(),
            Some(Ok(Some(record))) => record,
        };
        match &boot_id {
            Err(why) => unknown(Some(format!("the machine's boot id: {why}"))),
            Ok(boot_id) if record.boot_id != *boot_id => down(),
            Ok(_) => alive(record, &nonces, &carriers).map_or_else(down, up),
        }
    };
    config
        .targets()
        .map(|(_, target)| (target.clone(), look(target)))
        .collect()
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

fn describe(error: &super::FleetError) -> String {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    match cause {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
