//! The changes of a child in their order: started, restarted, stopped.

use std::sync::Arc;
use std::time::Instant;

use async_io::Timer;
use futures::future::{Either, select};
use rustix::process::Signal;

use super::child::{Child, KILL_PATIENCE, Turn};
use super::steps::RESTART;
use super::{ASK_MAX, Fleet, FleetError, Identity, Liveness, RestartError, work};
use crate::fault;
use crate::target::Target;

impl Fleet {
    pub(super) async fn adopt_or_start(&self, child: &Arc<Child>) -> Result<(), FleetError> {
        // Nobody else knows the fleet yet, so that the turn is there at once.
        let turn = child.turn(Liveness::Starting, Instant::now() + ASK_MAX);
        let mut turn = turn.await.map_err(|_| FleetError::Closed)?;
        work(&self.inner.pool, "start a child", move || {
            turn.adopt_or_start()
        })
        .await?
    }

    pub(super) async fn restart_child(
        &self,
        child: &Arc<Child>,
        before: Option<&Identity>,
        request: Option<&str>,
        deadline: Instant,
    ) -> Result<(), RestartError> {
        let turn = child.turn(Liveness::Restarting, deadline).await?;
        let present = turn.fence(before)?;
        // Whatever could keep the new child from being started is found out while the old one
        // lives.
        let (turn, prepared) = self
            .with_turn(turn, |turn| {
                let program = turn.child.launch.resolve();
                program.map_err(RestartError::Failed)?;
                turn.prepare(&RESTART).map_err(RestartError::from)
            })
            .await?;
        prepared?;
        fault::point("restart.before-kill");
        if let Some(running) = present {
            turn.stop(&running, request, deadline).await?;
        }
        let (_turn, started) = self
            .with_turn(turn, |turn| {
                turn.sweep();
                turn.start(&RESTART)
            })
            .await?;
        started.map_err(RestartError::Failed)
    }

    /// Runs a step of a change on the pool. The turn goes with it: if the future is dropped, others
    /// wait until the step is over.
    async fn with_turn<R: Send + 'static>(
        &self,
        mut turn: Turn,
        step: impl FnOnce(&mut Turn) -> R + Send + 'static,
    ) -> Result<(Turn, R), FleetError> {
        work(&self.inner.pool, "restart a child", move || {
            let result = step(&mut turn);
            (turn, result)
        })
        .await
    }

    /// Stops one child and gives its name if that did not work.
    pub(super) async fn stop_child(&self, child: &Arc<Child>, deadline: Instant) -> Option<Target> {
        let last = deadline.max(Instant::now()) + KILL_PATIENCE;
        // A change that has begun is waited for: it may be about to spawn.
        let quiet = std::pin::pin!(child.quiet());
        let record = match select(quiet, Timer::at(last)).await {
            Either::Left((record, _)) => Some(record),
            Either::Right(_) => None,
        };
        if let Some(running) = child.alive() {
            // Ignored, twice: what cannot be signalled is found to live on.
            let _ = running.signal(Signal::TERM);
            if !running.ended_by(deadline).await {
                log::warn!(
                    host = child.target.as_str();
                    "pid {} did not end by SIGTERM in time: sending SIGKILL", running.pid()
                );
                let _ = running.signal(Signal::KILL);
                running.ended_by(last).await;
            }
        }
        if child.alive().is_some() {
            return Some(child.target.clone());
        }
        let record = record?;
        let turn = Turn {
            child: Arc::clone(child),
            record,
        };
        // Ignored: without a pool there is nothing left to sweep with.
        let _ = self.with_turn(turn, |turn| turn.sweep()).await;
        None
    }
}
