//! One child of a process group: what is known of it, and the order in which it is changed.
//!
//! Two locks, never held at once by the same step. `view` is what everybody may see; it is held for
//! the length of an assignment. The [`Turn`] is the right to change the child, waited for without a
//! thread; it travels into the pool's jobs and back, so that a restart whose future is dropped
//! keeps others out until its last job has ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_channel::{Receiver, Sender};
use async_io::Timer;
use futures::future::{Either, select};
use parking_lot::Mutex;
use rustix::process::Signal;
use smol::lock::{Mutex as TurnMutex, MutexGuardArc};

use super::launch::Launch;
use super::record::{ChildFiles, Record};
use super::running::Running;
use super::{HostState, Identity, Liveness, RestartError};
use crate::fault;
use crate::target::Target;

/// One child that mandrill spawns, stops and starts itself.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) target: Target,
    pub(super) launch: Launch,
    pub(super) files: ChildFiles,
    /// The machine's boot.
    pub(super) boot_id: Arc<str>,
    turn: Arc<TurnMutex<Record>>,
    view: Mutex<View>,
    /// Wakes [`watch`](Self::watch) when there is another process to watch. Holds one token.
    news: (Sender<()>, Receiver<()>),
}

impl Child {
    pub(super) fn new(
        target: Target,
        launch: Launch,
        files: ChildFiles,
        boot_id: Arc<str>,
    ) -> Arc<Self> {
        Arc::new(Self {
            target,
            launch,
            files,
            boot_id,
            turn: Arc::default(),
            view: Mutex::default(),
            news: async_channel::bounded(1),
        })
    }

    /// The living process. Whoever finds it dead first has it reaped and logged.
    pub(super) fn alive(&self) -> Option<Arc<Running>> {
        let mut view = self.view.lock();
        let running = view.running.clone()?;
        let Some(end) = running.reap() else {
            return Some(running);
        };
        let lived = running.attached_for();
        let detail = format!("pid {} {end} after {lived:.1?}", running.pid());
        let is_ours = view.doing.is_some() || view.closed;
        view.running = None;
        view.detail = Some(detail.clone());
        drop(view);
        if !is_ours {
            log::warn!(host = self.target.as_str(); "{} is down: {detail}", self.target);
        }
        None
    }

    /// The living process's identity.
    pub(super) fn identity(&self) -> Option<Identity> {
        self.alive().map(|running| running.identity())
    }

    /// Why it is down, for a text.
    pub(super) fn detail(&self) -> String {
        let detail = self.view.lock().detail.clone();
        detail.unwrap_or_else(|| "it was never started".to_owned())
    }

    /// What an operator sees.
    pub(super) fn state(&self) -> HostState {
        let identity = self.identity();
        let view = self.view.lock();
        let settled = match identity {
            Some(_) => Liveness::Up,
            None => Liveness::Down,
        };
        HostState {
            liveness: view.doing.unwrap_or(settled),
            detail: match identity {
                Some(_) => None,
                None => view.detail.clone(),
            },
            identity,
        }
    }

    /// Waits for the right to change the child.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the right goes to the next in line.
    pub(super) async fn turn(
        self: &Arc<Self>,
        doing: Liveness,
        deadline: Instant,
    ) -> Result<Turn, RestartError> {
        let lock = std::pin::pin!(self.turn.lock_arc());
        let record = match select(lock, Timer::at(deadline)).await {
            Either::Left((record, _)) => record,
            Either::Right(_) => {
                return Err(RestartError::Failed(
                    "another change of the child took too long".to_owned(),
                ));
            }
        };
        let mut view = self.view.lock();
        if view.closed {
            return Err(RestartError::Closed);
        }
        view.doing = Some(doing);
        Ok(Turn {
            child: Arc::clone(self),
            record,
        })
    }

    /// Watches the child until [`close`](Self::close), so that its end is seen when it happens.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: without it an end is seen as soon as somebody looks.
    pub(super) async fn watch(&self) {
        loop {
            match self.alive() {
                Some(running) => running.ended().await,
                None if self.news.1.recv().await.is_err() => return,
                None => {}
            }
        }
    }

    /// Refuses every change from now on.
    pub(super) fn close(&self) {
        self.view.lock().closed = true;
        self.news.0.close();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.view.lock().closed
    }

    /// Waits for the changes under way. After [`close`](Self::close) there are no others.
    pub(super) async fn quiet(&self) -> MutexGuardArc<Record> {
        self.turn.lock_arc().await
    }

    /// Takes the child up as the process that is now to be seen.
    pub(super) fn install(&self, running: Arc<Running>) {
        let mut view = self.view.lock();
        view.latest = Some(running.identity());
        view.running = Some(running);
        view.detail = None;
        drop(view);
        // Ignored: a token that is there already wakes as well, and a closed channel has no
        // watcher.
        let _ = self.news.0.try_send(());
    }

    /// Notes what was last known of a child that is dead.
    pub(super) fn note_dead(&self, latest: Option<Identity>) {
        self.view.lock().latest = latest;
    }

    /// Notes why the child could not be started.
    pub(super) fn note_failure(&self, detail: &str) {
        self.view.lock().detail = Some(detail.to_owned());
    }
}

/// The right to change one child, with its record.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) child: Arc<Child>,
    pub(super) record: MutexGuardArc<Record>,
}

impl Turn {
    /// Lets a restart through if it is about the incarnation that is there: alive, or dead and the
    /// last one. Gives the process that is to be stopped first.
    ///
    /// The dead count because a restart may be taken up again after its kill. A dead one that is
    /// not
    /// `before` is the proof that the restart has been carried out: its child is gone again, and to
    /// start another would be a second restart.
    pub(super) fn fence(
        &self,
        before: Option<&Identity>,
    ) -> Result<Option<Arc<Running>>, RestartError> {
        let alive = self.child.alive();
        let latest = self.child.view.lock().latest.clone();
        match (&alive, latest, before) {
            (_, Some(latest), Some(before)) if latest == *before => Ok(alive),
            (None, _, None) | (None, None, Some(_)) => Ok(None),
            (Some(running), _, _) => Err(RestartError::Changed {
                present: running.identity(),
            }),
            (None, Some(present), Some(_)) => Err(RestartError::Changed { present }),
        }
    }

    /// Stops a process: SIGTERM, and SIGKILL to what does not go.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a process that was told to go goes, and the next restart finds it so.
    pub(super) async fn stop(
        &self,
        running: &Running,
        request: Option<&str>,
        deadline: Instant,
    ) -> Result<(), RestartError> {
        let failed = |error| RestartError::Failed(format!("pid {}: {error}", running.pid()));
        let now = Instant::now();
        let patience = (deadline.saturating_duration_since(now) / 2).min(STOP_GRACE_MAX);
        running.signal(Signal::TERM).map_err(failed)?;
        fault::point("restart.term-sent");
        if !running.ended_by(now + patience).await {
            log::warn!(
                id = request, host = self.child.target.as_str();
                "pid {} did not end {patience:.1?} after SIGTERM: sending SIGKILL", running.pid()
            );
            running.signal(Signal::KILL).map_err(failed)?;
            let last = deadline.max(Instant::now() + KILL_PATIENCE);
            if !running.ended_by(last).await {
                let text = format!("pid {} did not end after SIGKILL", running.pid());
                return Err(RestartError::Failed(text));
            }
        }
        self.child.alive();
        fault::point("restart.child-dead");
        Ok(())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.child.view.lock().doing = None;
    }
}

/// What everybody may see of a child.
#[derive(Debug, Default)]
struct View {
    running: Option<Arc<Running>>,
    /// The last incarnation that is known of, alive or dead.
    latest: Option<Identity>,
    /// What is being done to it.
    doing: Option<Liveness>,
    detail: Option<String>,
    closed: bool,
}

/// How long a child may take to end by SIGTERM; less when the deadline of the restart is near.
const STOP_GRACE_MAX: Duration = Duration::from_secs(5);
/// How long SIGKILL may take at least: the process may be deep in the kernel.
pub(super) const KILL_PATIENCE: Duration = Duration::from_secs(1);
