//! The runtimes that the contracts are run on.

use std::fmt;
use std::sync::Arc;

use futures::executor::{LocalPool, ThreadPool};
use futures::future::LocalBoxFuture;
use futures::task::Spawn;
use mayhem_core::Clock;
use mayhem_sim::Simulation;
use mayhem_smol::{SmolClock, SmolSpawn};
use mayhem_tokio::{TokioClock, TokioSpawn};

/// A clock, a spawner and a way to drive a future, all of one executor.
pub trait Runtime: fmt::Debug + Default {
    /// The clock under test.
    fn clock(&self) -> Arc<dyn Clock>;

    /// The spawner under test.
    fn spawner(&self) -> Arc<dyn Spawn>;

    /// Drives a future, and what was spawned, until the future is done.
    fn block_on(&mut self, future: LocalBoxFuture<'_, ()>);
}

/// smol's global executor.
#[derive(Debug, Default)]
pub struct SmolGlobal;

/// A smol executor that the test drives.
#[derive(Debug, Default)]
pub struct SmolOwn {
    executor: Arc<smol::Executor<'static>>,
}

/// tokio's current-thread runtime.
#[derive(Debug)]
pub struct TokioCurrentThread {
    runtime: tokio::runtime::Runtime,
}

/// tokio's multi-thread runtime.
#[derive(Debug)]
pub struct TokioMultiThread {
    runtime: tokio::runtime::Runtime,
}

/// The `LocalPool` of futures, with smol's clock.
#[derive(Debug, Default)]
pub struct LocalPoolRuntime {
    pool: LocalPool,
}

/// The `ThreadPool` of futures, with smol's clock.
#[derive(Debug)]
pub struct ThreadPoolRuntime {
    pool: ThreadPool,
}

/// The simulation, in virtual time.
#[derive(Debug)]
pub struct SimRuntime {
    sim: Simulation,
}

impl Runtime for SmolGlobal {
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(SmolClock)
    }

    fn spawner(&self) -> Arc<dyn Spawn> {
        Arc::new(SmolSpawn::global())
    }

    fn block_on(&mut self, future: LocalBoxFuture<'_, ()>) {
        smol::block_on(future);
    }
}

impl Runtime for SmolOwn {
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(SmolClock)
    }

    fn spawner(&self) -> Arc<dyn Spawn> {
        Arc::new(SmolSpawn::on(Arc::clone(&self.executor)))
    }

    fn block_on(&mut self, future: LocalBoxFuture<'_, ()>) {
        smol::block_on(self.executor.run(future));
    }
}

impl Default for TokioCurrentThread {
    fn default() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        Self {
            runtime: runtime.expect("a runtime without input and output needs nothing"),
        }
    }
}

impl Runtime for TokioCurrentThread {
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(TokioClock::on(self.runtime.handle().clone()))
    }

    fn spawner(&self) -> Arc<dyn Spawn> {
        Arc::new(TokioSpawn::on(self.runtime.handle().clone()))
    }

    fn block_on(&mut self, future: LocalBoxFuture<'_, ()>) {
        self.runtime.block_on(future);
    }
}

impl Default for TokioMultiThread {
    fn default() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_time()
            .build();
        Self {
            runtime: runtime.expect("two threads can be started"),
        }
    }
}

impl Runtime for TokioMultiThread {
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(TokioClock::on(self.runtime.handle().clone()))
    }

    fn spawner(&self) -> Arc<dyn Spawn> {
        Arc::new(TokioSpawn::on(self.runtime.handle().clone()))
    }

    fn block_on(&mut self, future: LocalBoxFuture<'_, ()>) {
        self.runtime.block_on(future);
    }
}

impl Runtime for LocalPoolRuntime {
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(SmolClock)
    }

    #[expect(
        clippy::arc_with_non_send_sync,
        reason = "the spawner of a LocalPool stays on its thread; the others' are shared"
    )]
    fn spawner(&self) -> Arc<dyn Spawn> {
        Arc::new(self.pool.spawner())
    }

    fn block_on(&mut self, future: LocalBoxFuture<'_, ()>) {
        self.pool.run_until(future);
    }
}

impl Default for ThreadPoolRuntime {
    fn default() -> Self {
        let pool = ThreadPool::builder().pool_size(2).create();
        Self {
            pool: pool.expect("two threads can be started"),
        }
    }
}

impl Runtime for ThreadPoolRuntime {
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(SmolClock)
    }

    fn spawner(&self) -> Arc<dyn Spawn> {
        Arc::new(self.pool.clone())
    }

    fn block_on(&mut self, future: LocalBoxFuture<'_, ()>) {
        futures::executor::block_on(future);
    }
}

impl Default for SimRuntime {
    fn default() -> Self {
        Self {
            sim: Simulation::new(1),
        }
    }
}

impl Runtime for SimRuntime {
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(self.sim.clock())
    }

    fn spawner(&self) -> Arc<dyn Spawn> {
        Arc::new(self.sim.spawner())
    }

    fn block_on(&mut self, future: LocalBoxFuture<'_, ()>) {
        if let Err(hang) = self.sim.run(future) {
            panic!("{hang}");
        }
    }
}
