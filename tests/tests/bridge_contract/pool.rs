//! The blocking pool and the inventory, used from tasks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use futures::FutureExt;
use futures::stream::StreamExt;
use mayhem_bridge::{
    BlockingError, BlockingPool, Overflow, Portal, ThreadKind, ThreadState, callback_stream,
    inventory, register_driver,
};

use crate::executors::{Run, Task};
use crate::{PATIENCE, eventually};

pub(crate) fn blocking_work_waits_for_room_and_stays_within_its_bounds(run: Run) {
    let pool = BlockingPool::builder()
        .name("bounded")
        .threads(2)
        .queue(1)
        .build();
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let tasks: Vec<Task> = (0..32)
        .map(|value| {
            let pool = pool.clone();
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            async move {
                let work = move |_: &_| {
                    let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(now, Ordering::SeqCst);
                    thread::yield_now();
                    running.fetch_sub(1, Ordering::SeqCst);
                    value
                };
                assert_eq!(pool.run_async("bounded", work).await.unwrap(), value);
            }
            .boxed()
        })
        .collect();
    run(tasks);
    assert!((1..=2).contains(&most.load(Ordering::SeqCst)));
    let stats = pool.stats();
    assert_eq!((stats.accepted, stats.finished, stats.waiting), (32, 32, 0));
    assert!(pool.shutdown(PATIENCE).is_clean());
}

pub(crate) fn a_panic_in_a_job_is_carried_to_the_task(run: Run) {
    let pool = BlockingPool::builder().name("panics").threads(1).build();
    let task = async move {
        let outcome: Result<(), _> = pool.run_async("bad", |_| panic!("in the job")).await;
        let Err(BlockingError::Panicked(panic)) = outcome else {
            unreachable!("{outcome:?}")
        };
        assert_eq!(panic.message(), "in the job");
        assert_eq!(pool.run_async("good", |_| 1).await.unwrap(), 1);
    };
    run(vec![task.boxed()]);
}

pub(crate) fn a_cancelled_job_tells_its_task(run: Run) {
    let pool = BlockingPool::builder()
        .name("cancels")
        .threads(1)
        .queue(1)
        .build();
    let task = async move {
        let running = pool
            .run("running", |cx| {
                while cx.check_cancelled().is_ok() {
                    thread::yield_now();
                }
                7
            })
            .unwrap();
        eventually("it runs", || pool.stats().running == 1);
        let queued = pool.run("queued", |_| ()).unwrap();
        queued.cancel();
        assert!(matches!(queued.await, Err(BlockingError::Cancelled)));
        running.cancel();
        assert_eq!(running.await.unwrap(), 7);
    };
    run(vec![task.boxed()]);
}

pub(crate) fn accepted_jobs_run_or_are_named_by_the_shutdown(run: Run) {
    let pool = BlockingPool::builder()
        .name("ends")
        .threads(1)
        .queue(8)
        .build();
    let ran = Arc::new(AtomicUsize::new(0));
    let (release, is_released) = channel::<()>();
    // Here and below: released by the drop of the sender.
    let blocker = pool.run("blocker", move |_| is_released.recv().unwrap_or(()));
    let jobs: Vec<_> = (0..8)
        .map(|_| {
            let ran = Arc::clone(&ran);
            pool.run("counted", move |_| ran.fetch_add(1, Ordering::SeqCst))
        })
        .map(|job| job.expect("there is room"))
        .collect();
    eventually("the blocker runs", || pool.stats().running == 1);

    let report = pool.shutdown(Duration::from_millis(1));
    assert_eq!(report.never_started, ["counted"; 8]);
    let abandoned: Vec<_> = report
        .abandoned
        .iter()
        .map(|it| it.job.as_deref())
        .collect();
    assert_eq!(abandoned, [Some("blocker")]);
    let task = async move {
        for job in jobs {
            assert!(matches!(job.await, Err(BlockingError::PoolClosed)));
        }
        drop(release);
        blocker.expect("there was room").await.unwrap();
    };
    run(vec![task.boxed()]);
    assert_eq!(ran.load(Ordering::SeqCst), 0);
    assert!(pool.shutdown(PATIENCE).is_clean());
}

pub(crate) fn the_inventory_lists_every_thread_with_its_owner(run: Run) {
    // Tests of other executors run in the same process: the names must be this one's.
    let unique = thread_number();
    let named = |part: &str| format!("{part}-{unique}");

    let pool = BlockingPool::builder()
        .name(named("pool"))
        .threads(1)
        .build();
    let (sink, mut stream) = callback_stream::<u32>(named("stream"))
        .capacity(1)
        .overflow(Overflow::Block)
        .build();
    let (portal, driver) = Portal::builder().name(named("portal")).build();
    let (release, is_released) = channel::<()>();
    let (strayed, is_stray) = channel::<()>();

    let job = pool
        .run("hold", move |_| is_released.recv().unwrap_or(()))
        .unwrap();
    let vendor = thread::spawn(move || (0..2).for_each(|value| drop(sink.push(value))));
    let stray = thread::Builder::new()
        .name(named("stray"))
        .spawn(move || is_stray.recv().unwrap_or(()))
        .unwrap();
    let names = ["pool", "stream", "portal", "main", "stray"].map(named);
    let script = async move {
        let [pool, stream_name, portal_name, main, stray] = &names;
        let find = |owner: &str| inventory().into_iter().find(|it| it.owner == owner);
        let is = |owner: &str, state| find(owner).is_some_and(|it| it.state == state);
        eventually("the job runs", || is(pool, ThreadState::Running));
        eventually("the push waits", || is(stream_name, ThreadState::Blocked));

        let worker = find(pool).unwrap();
        assert_eq!(
            (worker.kind, worker.job.as_deref()),
            (ThreadKind::Pool, Some("hold"))
        );
        assert_eq!(worker.name, format!("{pool}-1"));
        assert_eq!(find(stream_name).unwrap().kind, ThreadKind::Vendor);
        // We are in the portal's poll, and then also say that we drive.
        assert_eq!(find(portal_name).unwrap().kind, ThreadKind::Driver);
        {
            let _driving = register_driver(main.clone());
            let driver = find(main).unwrap();
            assert_eq!(driver.job, Some(format!("portal {portal_name}")));
        }
        if cfg!(target_os = "linux") {
            let listed = || inventory().into_iter().find(|it| it.name == *stray);
            eventually("the stray has its name", || listed().is_some());
            assert_eq!(listed().unwrap().owner, "unclaimed");
        }
        drop(release);
        job.await.unwrap();
        assert_eq!(stream.by_ref().collect::<Vec<_>>().await, [0, 1]);
        drop(strayed);
    };
    let scripted = portal.run_coroutine_threadsafe(script).unwrap();
    drop(portal);
    run(vec![driver.map(drop).boxed()]);
    scripted.wait().unwrap();
    vendor.join().unwrap();
    stray.join().unwrap();

    let listed: Vec<_> = inventory().into_iter().map(|it| it.owner).collect();
    assert!(!listed.contains(&named("stream")) && !listed.contains(&named("portal")));
}

/// A number that no other running thread has.
fn thread_number() -> String {
    let id = format!("{:?}", thread::current().id());
    id.chars().filter(char::is_ascii_digit).collect()
}
