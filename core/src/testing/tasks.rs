//! The same specs for handlers that are tasks: what is a handler inside `run()` elsewhere is
//! spawned.
//!
//! A handler need not be `Send` for it, so that every spec can be run so; the task is the one that
//! `spawned_handler` makes.

use std::rc::Rc;

use futures::executor::{LocalPool, LocalSpawner};
use futures::future::BoxFuture;
use futures::task::{LocalFutureObj, LocalSpawn as _, Spawn};

use crate::handler::{Finish, sealed, task};
use crate::{Builder, Delivery, Execution, Handler, NoHandler, Spawned, Verdict};

/// How a rig runs handlers.
pub(crate) trait Mode {
    fn new(pool: &LocalPool) -> Self;
}

impl Mode for NoHandler {
    fn new(_pool: &LocalPool) -> Self {
        Self
    }
}

/// No handler was given yet; it will be spawned.
pub(crate) struct OnPool(LocalSpawner);

impl Mode for OnPool {
    fn new(pool: &LocalPool) -> Self {
        Self(pool.spawner())
    }
}

impl<B, C> Builder<B, C, OnPool> {
    pub(crate) fn handler<H: Handler + 'static>(self, handler: H) -> Builder<B, C, Tasks<H>> {
        self.execution(|OnPool(spawner)| Tasks {
            spawner,
            handler: Rc::new(handler),
        })
    }

    /// For the specs that bring an executor of their own.
    pub(crate) fn spawned_handler<S, F>(self, spawn: S, handler: F) -> Builder<B, C, Spawned<S, F>>
    where
        S: Spawn,
        F: for<'a> Fn(&'a Delivery) -> BoxFuture<'a, Verdict> + Send + Sync + 'static,
    {
        self.execution(|_| NoHandler)
            .spawned_handler(spawn, handler)
    }
}

/// Handlers that are tasks of a pool.
pub(crate) struct Tasks<H> {
    spawner: LocalSpawner,
    handler: Rc<H>,
}

impl<H> sealed::Sealed for Tasks<H> {}

impl<H: Handler + 'static> Execution for Tasks<H> {
    const IS_INLINE: bool = false;

    async fn execute(&self, delivery: Delivery) -> Finish {
        let (handler, view) = (Rc::clone(&self.handler), delivery.clone());
        let (task, ended) = task(delivery, async move { handler.handle(&view).await });
        let task = LocalFutureObj::new(Box::new(task));
        match self.spawner.spawn_local_obj(task) {
            Ok(()) => ended.await.unwrap_or(Finish::Dropped),
            Err(_) => Finish::Refused,
        }
    }
}
