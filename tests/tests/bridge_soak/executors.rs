//! Executors that can die: they run their tasks until they are told to stop, and are then dropped
//! with whatever they have.

use std::thread::{self, JoinHandle};

use async_executor::{Executor, Task};
use futures::channel::oneshot;
use futures::executor::{LocalPool, block_on};
use futures::future::{BoxFuture, join_all};
use futures::task::LocalSpawnExt;

/// A kind of executor.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    LocalPool,
    AsyncExecutor,
    TokioCurrentThread,
    TokioMultiThread,
}

pub(crate) const ALL: [Kind; 4] = [
    Kind::LocalPool,
    Kind::AsyncExecutor,
    Kind::TokioCurrentThread,
    Kind::TokioMultiThread,
];

/// An executor on a thread of its own.
pub(crate) struct Running {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Running {
    pub(crate) fn start(kind: Kind, tasks: Vec<BoxFuture<'static, ()>>) -> Self {
        let (stop, is_stopped) = oneshot::channel();
        let thread = thread::spawn(move || run(kind, tasks, is_stopped));
        Self { stop, thread }
    }

    /// Ends the executor, and its tasks wherever they are.
    pub(crate) fn die(self) {
        let Self { stop, thread } = self;
        drop(stop);
        thread.join().expect("no task panics");
    }
}

fn run(kind: Kind, tasks: Vec<BoxFuture<'static, ()>>, is_stopped: oneshot::Receiver<()>) {
    let until_stopped = async move {
        // Ignored: it is dropped to say it.
        let _ = is_stopped.await;
    };
    match kind {
        Kind::LocalPool => {
            let mut pool = LocalPool::new();
            for task in tasks {
                pool.spawner().spawn_local(task).expect("the pool is there");
            }
            pool.run_until(until_stopped);
        }
        Kind::AsyncExecutor => {
            let executor = Executor::new();
            let tasks: Vec<_> = tasks.into_iter().map(|task| executor.spawn(task)).collect();
            block_on(executor.run(until_stopped));
            // It cannot just be dropped: a task that another thread is waking at that moment comes
            // into its queue after that was emptied, and is leaked, with our stream in it and the
            // threads that wait for room there. (The same moment: smol-rs/async-executor#163.)
            block_on(executor.run(join_all(tasks.into_iter().map(Task::cancel))));
        }
        Kind::TokioCurrentThread => {
            let builder = tokio::runtime::Builder::new_current_thread();
            on_tokio(builder, tasks, until_stopped);
        }
        Kind::TokioMultiThread => {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(2);
            on_tokio(builder, tasks, until_stopped);
        }
    }
}

fn on_tokio(
    mut builder: tokio::runtime::Builder,
    tasks: Vec<BoxFuture<'static, ()>>,
    until_stopped: impl Future<Output = ()>,
) {
    let runtime = builder.build().expect("a runtime");
    for task in tasks {
        runtime.spawn(task);
    }
    runtime.block_on(until_stopped);
}
