//! How a child comes to life, step by step, so that a crash between any two leaves it findable.
//!
//! The nonce is durable; the old child is stopped; the new one is spawned with the nonce in its
//! environment; its number is recorded; its start is logged. A later daemon that finds a nonce and
//! no number looks for the process that carries it. Everything here runs on the pool.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use uuid::Uuid;

use super::child::Turn;
use super::procfs::{self, NONCE};
use super::record::{Process, Record};
use super::running::{self, Running};
use super::steps::{OPEN, Steps};
use super::{FleetError, Identity};
use crate::fault;

impl Turn {
    /// Adopts the child if it lives, else starts it. That it cannot be started is no error of the
    /// fleet: it is down then, and says why.
    pub(super) fn adopt_or_start(&mut self) -> Result<(), FleetError> {
        if let Some(running) = self.adopt()? {
            let (target, pid) = (&self.child.target, running.pid());
            log::info!(host = target.as_str(); "{target} lives as pid {pid}: adopted");
            return self.child.files.log_start(pid, running.started());
        }
        self.sweep();
        let latest = self.record.process.as_ref();
        self.child
            .note_dead(latest.map(|process| Identity::Process {
                pid: process.pid,
                started: process.started,
            }));
        self.prepare(&OPEN)?;
        if let Err(detail) = self.start(&OPEN) {
            log::error!(
                host = self.child.target.as_str();
                "{} cannot be started: {detail}", self.child.target
            );
        }
        Ok(())
    }

    /// Takes the child up if it lives; `None` when it does not.
    pub(super) fn adopt(&mut self) -> Result<Option<Arc<Running>>, FleetError> {
        if let Some(record) = self.child.files.read()?
            && *record.boot_id == *self.child.boot_id
        {
            // Of another boot of the machine nothing is left, whatever the numbers say.
            *self.record = record;
        }
        let found = self.find().map_err(FleetError::files("/proc".as_ref()))?;
        let Some((running, nonce)) = found else {
            return Ok(None);
        };
        let running = Arc::new(running);
        self.child.install(Arc::clone(&running));
        if let Some(nonce) = nonce {
            self.note(&running, nonce)?;
        }
        Ok(Some(running))
    }

    /// Makes the next start's nonce durable. Nothing has been done to the child before this
    /// returns.
    pub(super) fn prepare(&mut self, steps: &Steps) -> Result<(), FleetError> {
        let record = Record {
            boot_id: self.child.boot_id.to_string(),
            process: self.record.process.clone(),
            next: Some(Uuid::now_v7().simple().to_string()),
        };
        self.child.files.write(&record)?;
        *self.record = record;
        fault::point(steps.nonce_durable);
        Ok(())
    }

    /// Starts the child under the prepared nonce; the old one is dead and swept up after.
    ///
    /// # Errors
    ///
    /// Why it could not be started, for the operator.
    pub(super) fn start(&mut self, steps: &Steps) -> Result<(), String> {
        self.spawn(steps)
            .inspect_err(|detail| self.child.note_failure(detail))
    }

    /// Kills what the dead child left behind in its process group: it may hold the port.
    ///
    /// Found by the nonce, as the group's number may be another's by now.
    pub(super) fn sweep(&self) {
        if let Err(error) = self.try_sweep() {
            log::warn!(
                host = self.child.target.as_str();
                "what pid {:?} left behind may still run: {error}",
                self.record.process.as_ref().map(|process| process.pid)
            );
        }
    }

    fn spawn(&mut self, steps: &Steps) -> Result<(), String> {
        let child = Arc::clone(&self.child);
        let nonce = self.record.next.clone().expect("prepare was called");
        if child.is_closed() {
            return Err("the fleet is being stopped".to_owned());
        }
        let mut command = child.launch.to_command()?;
        fault::point(steps.before_spawn);
        let mut spawned = command
            .env(NONCE, &nonce)
            .spawn()
            .map_err(|error| format!("{}: {error}", command.get_program().display()))?;
        fault::point(steps.after_spawn);
        let running = match Running::spawned(spawned.id()) {
            Ok(running) => Arc::new(running),
            Err(error) => {
                // A process that cannot be watched must not stay. Ignored: it is our own child, so
                // that both calls can only fail if it is gone already.
                let _ = spawned.kill();
                let _ = spawned.wait();
                return Err(format!("pid {} cannot be watched: {error}", spawned.id()));
            }
        };
        child.install(Arc::clone(&running));
        // The child lives: whatever fails now, it can be found again by its nonce.
        if let Err(error) = self.note(&running, nonce) {
            warn_unwritten(&child.target, &error);
            return Ok(());
        }
        fault::point(steps.after_record);
        if let Err(error) = child.files.log_start(running.pid(), running.started()) {
            warn_unwritten(&child.target, &error);
        }
        fault::point(steps.after_log);
        Ok(())
    }

    fn note(&mut self, running: &Running, nonce: String) -> Result<(), FleetError> {
        *self.record = Record {
            boot_id: self.child.boot_id.to_string(),
            process: Some(Process {
                nonce,
                pid: running.pid(),
                started: running.started(),
            }),
            next: None,
        };
        self.child.files.write(&self.record)
    }

    /// Finds the living child, and with which nonce if that was not on record as its own.
    fn find(&self) -> io::Result<Option<(Running, Option<String>)>> {
        if let Some(process) = &self.record.process
            && let Some(running) = Running::adopt(process.pid, process.started)?
        {
            return Ok(Some((running, None)));
        }
        let Some(next) = self.record.next.as_deref() else {
            return Ok(None);
        };
        // A daemon that was killed in the middle of spawn can leave a process that is not yet the
        // program it will be, and shows no environment for some microseconds.
        for _ in 0..SCANS {
            if let Some(stat) = procfs::leader(procfs::find_by_nonce(&[next])?)
                && let Some(running) = Running::adopt(stat.pid, stat.started)?
            {
                return Ok(Some((running, Some(next.to_owned()))));
            }
            thread::sleep(BETWEEN_SCANS);
        }
        Ok(None)
    }

    fn try_sweep(&self) -> io::Result<()> {
        let process = self.record.process.as_ref();
        let nonces: Vec<&str> = process
            .map(|process| process.nonce.as_str())
            .into_iter()
            .chain(self.record.next.as_deref())
            .collect();
        if nonces.is_empty() {
            return Ok(());
        }
        // Again until there is nothing: what is killed may have started more in the meantime.
        for _ in 0..SWEEPS {
            let mut is_clean = true;
            for (stat, carried) in procfs::find_by_nonce(&nonces)? {
                // What left the group did so to outlive the child; that is respected. Of a child
                // whose number was never known, everything is taken for its group.
                let of = process.filter(|process| process.nonce == nonces[carried]);
                if of.is_none_or(|process| process.pid == stat.group) {
                    running::kill(stat.pid, stat.started)?;
                    is_clean = false;
                }
            }
            if is_clean {
                break;
            }
        }
        Ok(())
    }
}

fn warn_unwritten(target: &crate::target::Target, error: &FleetError) {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    log::warn!(
        host = target.as_str();
        "{target} was started but not recorded: {error}: {}", cause.unwrap_or_default()
    );
}

const SWEEPS: u32 = 3;
/// A tenth of a second in all, spent only after a crash in the middle of a start.
const SCANS: u32 = 5;
const BETWEEN_SCANS: Duration = Duration::from_millis(20);
