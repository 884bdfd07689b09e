//! The executors, each as a function that runs tasks to their end.

use std::sync::Arc;

use futures::executor::{LocalPool, ThreadPool, block_on};
use futures::future::{BoxFuture, join_all};
use futures::task::{LocalSpawnExt, SpawnExt};

pub(crate) use crate::hostile::hostile_executor;

/// A task of the suite.
pub(crate) type Task = BoxFuture<'static, ()>;

/// Runs tasks, concurrently, to their end. A panic in one of them must come out.
pub(crate) type Run = fn(Vec<Task>);

pub(crate) fn futures_block_on(tasks: Vec<Task>) {
    block_on(join_all(tasks));
}

pub(crate) fn futures_local_pool(tasks: Vec<Task>) {
    let mut pool = LocalPool::new();
    let spawner = pool.spawner();
    for task in tasks {
        spawner.spawn_local(task).expect("the pool is there");
    }
    pool.run();
}

pub(crate) fn futures_thread_pool(tasks: Vec<Task>) {
    let pool = ThreadPool::builder()
        .pool_size(2)
        .create()
        .expect("two threads");
    let spawn = |task| pool.spawn_with_handle(task).expect("the pool is there");
    block_on(join_all(tasks.into_iter().map(spawn)));
}

pub(crate) fn smol_global(tasks: Vec<Task>) {
    smol::block_on(join_all(tasks.into_iter().map(smol::spawn)));
}

pub(crate) fn tokio_current_thread(tasks: Vec<Task>) {
    on_tokio(&mut tokio::runtime::Builder::new_current_thread(), tasks);
}

pub(crate) fn tokio_multi_thread(tasks: Vec<Task>) {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    on_tokio(builder.worker_threads(2), tasks);
}

pub(crate) fn async_executor_alone(tasks: Vec<Task>) {
    let executor = Arc::new(async_executor::Executor::new());
    let tasks: Vec<_> = tasks.into_iter().map(|task| executor.spawn(task)).collect();
    block_on(executor.run(join_all(tasks)));
}

fn on_tokio(builder: &mut tokio::runtime::Builder, tasks: Vec<Task>) {
    let runtime = builder.build().expect("a runtime");
    runtime.block_on(async {
        for outcome in join_all(tasks.into_iter().map(tokio::spawn)).await {
            if let Err(error) = outcome {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    });
}
