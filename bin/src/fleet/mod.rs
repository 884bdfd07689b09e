//! The hosts: what they are now, how one is restarted, and how that is proven.
//!
//! ```text
//! Fleet ─→ child  ─→ change, start ─→ launch      one child of a process group, spawned by us
//!       ─→ remote ─→ command ─→ launch            one target of a command group, elsewhere
//!       ─→ verify ─→ probe                        the proof: another incarnation, and healthy
//! ```
//!
//! A restart is fenced: it says which incarnation it is about, and does nothing to another one.
//! That makes its effect happen at most once, however often a crash has it taken up again. Every
//! step that a crash can fall behind has a name in [`FAULT_POINTS`].
//!
//! Files and exec run on the [`BlockingPool`]; children are watched by pidfd and probes are async
//! sockets, so that waiting holds no thread. Timers and sockets are async-io's, on any executor.
//!
//! Absent on purpose: policy, intents and retries, which the service decides, and a supervisor that
//! starts again what died by itself, which would hide the failure from the operator.

mod change;
mod child;
mod command;
mod error;
mod host;
mod identity;
mod launch;
mod observe;
mod probe;
mod procfs;
mod record;
mod remote;
mod running;
mod start;
mod steps;
mod strays;
mod verify;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use mayhem_bridge::{BlockingError, BlockingPool};

use self::child::Child;
use self::host::{Host, Kind};
use self::verify::Proof;
use crate::config::Config;
use crate::target::Target;

pub use self::error::{FleetError, RestartError, VerifyError};
pub use self::identity::{HostState, Identity, Liveness};
pub use self::steps::{COMMAND_FAULT_POINTS, FAULT_POINTS, OPEN_FAULT_POINTS};

/// Every target of a config. Clones are the same fleet.
///
/// Dropping the last clone leaves the children alive; [`stop_all`](Self::stop_all) ends them.
#[derive(Clone)]
pub struct Fleet {
    inner: Arc<Inner>,
}

impl Fleet {
    /// Adopts the children that live and starts those that are missing, without waiting for their
    /// health. A child that cannot be started is down and no error.
    ///
    /// A living child that the config has no longer is logged and left alone, as the config may be
    /// the mistake; [`stop_all`](Self::stop_all) ends it with the others.
    ///
    /// The caller holds `STATE.lock`: two fleets over one state would start every child twice.
    ///
    /// # Errors
    ///
    /// [`FleetError::Files`] when `STATE.children/` or a file in it cannot be used,
    /// [`FleetError::Config`] when a probe's address makes no sense. Children that have been
    /// started by then stay, and the next fleet adopts them.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: what was started is adopted by the next fleet.
    pub async fn open(config: Arc<Config>, pool: BlockingPool) -> Result<Self, FleetError> {
        let folder = children_folder(&config.service.state);
        let boot_id = work(&pool, "make the children's folder", {
            let folder = folder.clone();
            move || {
                record::make_folder(&folder)?;
                procfs::machine_boot_id().map_err(FleetError::files("/proc".as_ref()))
            }
        });
        let boot_id: Arc<str> = boot_id.await??.into();
        let mut hosts = BTreeMap::new();
        for (group, target) in config.targets() {
            let host = Host::new(&config, group, target, &folder, &boot_id)?;
            hosts.insert(target.clone(), host);
        }
        let strays = strays::adopt(&config, &pool, &folder, &boot_id).await?;
        let fleet = Self {
            inner: Arc::new(Inner {
                config,
                pool,
                hosts,
                strays,
            }),
        };
        let opened = join_all(fleet.children().map(|child| fleet.adopt_or_start(child))).await;
        opened.into_iter().collect::<Result<(), FleetError>>()?;
        Ok(fleet)
    }

    /// What can be seen of every target while no daemon runs, in the order of the config; starts
    /// and changes nothing.
    ///
    /// # Blocking
    ///
    /// Reads a small file per child and, after a crash in the middle of a start, all of `/proc`.
    pub fn observe(state: &Path, config: &Config) -> Vec<(Target, HostState)> {
        observe::observe(state, config)
    }

    /// The children that live although the config has them no longer; starts and changes nothing.
    ///
    /// # Blocking
    ///
    /// As [`observe`](Self::observe).
    pub fn strays(state: &Path, config: &Config) -> Vec<(Target, Identity)> {
        observe::strays(state, config)
    }

    /// Which incarnation a target is now; `None` for a child that is dead.
    ///
    /// # Errors
    ///
    /// [`FleetError::Unknown`] when the boot identity of a target elsewhere cannot be read,
    /// [`FleetError::UnknownTarget`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only asks.
    pub async fn identity(&self, target: &Target) -> Result<Option<Identity>, FleetError> {
        match &self.host(target)?.kind {
            Kind::Child(child) => Ok(child.identity()),
            Kind::Remote(remote) => {
                let identity = remote.identity(&self.inner.pool, Instant::now() + ASK_MAX);
                identity.await.map(Some).map_err(FleetError::Unknown)
            }
        }
    }

    /// Restarts a target if it is the incarnation `before`, or was when it died; `None` stands for
    /// a child that is dead. `request` is the message's id, for logs and the command's environment.
    ///
    /// A child is stopped (SIGTERM, then SIGKILL) and started; a command is run to its end. That it
    /// came back is for [`verify`](Self::verify) to say. After a crash call this again with the
    /// same
    /// `before`, also for a child that is dead: only the fence knows whether it has been restarted.
    ///
    /// # Errors
    ///
    /// See [`RestartError`]: `Changed`, `Unknown` and `Files` mean that nothing was done.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: a child may be left dead, to be started by the next restart with the same
    /// `before` or the next fleet; a command is killed. Neither can lead to a second restart.
    pub async fn restart(
        &self,
        target: &Target,
        before: Option<&Identity>,
        request: Option<&str>,
        deadline: Instant,
    ) -> Result<(), RestartError> {
        match &self.host(target)?.kind {
            Kind::Child(child) => self.restart_child(child, before, request, deadline).await,
            Kind::Remote(remote) => {
                let pool = &self.inner.pool;
                remote.restart(pool, before, request, deadline).await
            }
        }
    }

    /// Kills what a command that an earlier daemon started for `request` has left running. Does
    /// nothing for a child.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it runs to its end on its thread.
    pub async fn end_leftover(&self, target: &Target, request: &str) {
        if let Ok(Host {
            kind: Kind::Remote(remote),
            ..
        }) = self.host(target)
        {
            remote.end_leftover(&self.inner.pool, request).await;
        }
    }

    /// Waits until a target is another incarnation than `before` and has been healthy for `settle`
    /// without a break; without a probe, alive for `settle`.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Failed`] as soon as it is certain that it will not come, such as a child that
    /// ended again; [`VerifyError::Lost`] when it did not come before `deadline`.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only asks.
    pub async fn verify(
        &self,
        target: &Target,
        before: Option<&Identity>,
        settle: Duration,
        deadline: Instant,
    ) -> Result<Identity, VerifyError> {
        let host = self.host(target);
        let host = host.map_err(|error| VerifyError::Failed(error.to_string()))?;
        let proof = Proof {
            pool: &self.inner.pool,
            before,
            probe: host.probe.as_ref(),
            settle,
            deadline,
        };
        match &host.kind {
            Kind::Child(child) => proof.of_child(child).await,
            Kind::Remote(remote) => proof.of_remote(remote).await,
        }
    }

    /// Whether a target is healthy now, by one question: alive, and the probe's answer is good. One
    /// elsewhere without a probe is healthy when its boot identity can be read.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only asks.
    pub async fn is_healthy(&self, target: &Target) -> bool {
        let Ok(host) = self.host(target) else {
            return false;
        };
        let pool = &self.inner.pool;
        let deadline = Instant::now() + ASK_MAX;
        match (&host.kind, &host.probe) {
            (Kind::Child(child), _) if child.alive().is_none() => false,
            (_, Some(probe)) => probe.ask(pool, deadline).await.is_ok(),
            (Kind::Child(_), None) => true,
            (Kind::Remote(remote), None) => remote.identity(pool, deadline).await.is_ok(),
        }
    }

    /// Watches the children until [`stop_all`](Self::stop_all), so that one that dies by itself is
    /// logged and reaped in that moment. Drive it beside everything else.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: without it a death is seen as soon as somebody looks.
    pub async fn watch(&self) {
        join_all(self.all_children().map(|child| child.watch())).await;
    }

    /// Stops every child: SIGTERM at once, SIGKILL at `deadline`; restarts are refused from now on.
    /// Gives those that could not be stopped even so, which nearly always means none.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: some children may be left, as after a crash.
    pub async fn stop_all(&self, deadline: Instant) -> Vec<Target> {
        for child in self.all_children() {
            child.close();
        }
        let stopped = join_all(
            self.all_children()
                .map(|child| self.stop_child(child, deadline)),
        )
        .await;
        stopped.into_iter().flatten().collect()
    }

    /// How every target is doing, in the order of the config.
    pub fn states(&self) -> Vec<(Target, HostState)> {
        let targets = self.inner.config.targets();
        targets
            .filter_map(|(_, target)| {
                let state = match &self.inner.hosts.get(target)?.kind {
                    Kind::Child(child) => child.state(),
                    Kind::Remote(remote) => remote.state(),
                };
                Some((target.clone(), state))
            })
            .collect()
    }

    fn children(&self) -> impl Iterator<Item = &Arc<Child>> {
        self.inner
            .hosts
            .values()
            .filter_map(|host| match &host.kind {
                Kind::Child(child) => Some(child),
                Kind::Remote(_) => None,
            })
    }

    /// With those that the config has no longer.
    fn all_children(&self) -> impl Iterator<Item = &Arc<Child>> {
        self.children().chain(&self.inner.strays)
    }

    fn host(&self, target: &Target) -> Result<&Host, FleetError> {
        let host = self.inner.hosts.get(target);
        host.ok_or_else(|| FleetError::UnknownTarget(target.clone()))
    }
}

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.inner.hosts.keys()).finish()
    }
}

struct Inner {
    config: Arc<Config>,
    pool: BlockingPool,
    hosts: BTreeMap<Target, Host>,
    strays: Vec<Arc<Child>>,
}

/// Runs blocking work on the pool.
async fn work<R: Send + 'static>(
    pool: &BlockingPool,
    label: &'static str,
    job: impl FnOnce() -> R + Send + 'static,
) -> Result<R, FleetError> {
    let done = pool.run_async(label, move |_| job()).await;
    done.map_err(|error| {
        log::error!("{label}: {error}");
        match error {
            BlockingError::PoolClosed | BlockingError::Cancelled => FleetError::Closed,
            error => FleetError::Internal(error.to_string()),
        }
    })
}

/// `STATE.children/`
fn children_folder(state: &Path) -> PathBuf {
    let mut folder = state.as_os_str().to_owned();
    folder.push(".children");
    folder.into()
}

/// How long one question to a target may take in all.
const ASK_MAX: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
