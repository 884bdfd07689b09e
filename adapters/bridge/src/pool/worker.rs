//! The life of a pool's thread: take a job, run it, tell, retire when idle for long.

use std::io;

use super::job::Runnable;
use super::shared::{Queued, Seat, Shared, State};
use crate::inventory::{ThreadKind, Worker, announce};
use crate::panic::{contain, wake};
use crate::sync::{Arc, Instant, thread, unique_id};

/// Starts a thread; call it with the pool's lock, whose state is `state`.
pub(super) fn start(shared: &Arc<Shared>, state: &mut State) -> io::Result<()> {
    let is_free = |number: &usize| state.workers.values().all(|seat| seat.number != *number);
    let number = (1..).find(is_free).unwrap_or_default();
    let name = format!("{}-{number}", shared.name);
    let worker = Arc::new(announce(
        ThreadKind::Pool,
        name.clone(),
        Arc::clone(&shared.name),
    ));
    let seat = unique_id();
    let handle = thread::Builder::new().name(name).spawn({
        let shared = Arc::clone(shared);
        let worker = Arc::clone(&worker);
        move || {
            worker.begin();
            work(&shared, &worker, seat);
        }
    })?;
    state.workers.insert(
        seat,
        Seat {
            number,
            worker,
            handle: Some(handle),
            has_ended: false,
        },
    );
    Ok(())
}

fn work(shared: &Shared, worker: &Worker, seat: u64) {
    while let Some(Queued { id, job }) = next_job(shared, seat) {
        run(shared, worker, id, job);
    }
}

/// Waits for a job. `None` means that the thread is to end, and that its seat was cleared.
fn next_job(shared: &Shared, seat: u64) -> Option<Queued> {
    let retires_at = Instant::now().checked_add(shared.keep_alive);
    let mut state = shared.lock();
    let mut timed_out = false;
    loop {
        if let Some(queued) = state.queue.pop_front() {
            state
                .running
                .insert(queued.id, Arc::clone(queued.job.context()));
            return Some(queued);
        }
        if !state.is_open || timed_out {
            break;
        }
        (state, timed_out) = shared.work.wait_until(state, retires_at);
    }

    let is_shutting_down = !state.is_open;
    let mut retired = None;
    if is_shutting_down {
        if let Some(seat) = state.workers.get_mut(&seat) {
            seat.has_ended = true;
        }
    } else {
        // A thread cannot join itself: dropping its handle detaches it, with nothing left to do.
        retired = state.workers.remove(&seat);
    }
    drop(state);
    drop(retired);
    shared.ended.notify_all();
    None
}

fn run(shared: &Shared, worker: &Worker, id: u64, job: Box<dyn Runnable>) {
    worker.begin_job(id, job.context().label_cow());
    let (panicked, tell) = job.run();
    worker.end_job(id);

    // First the place, then the news: whoever hears the result finds room for the next job.
    let mut state = shared.lock();
    state.running.remove(&id);
    state.counts.finished += 1;
    state.counts.panicked += u64::from(panicked);
    let next = state.next_waiting();
    drop(state);
    wake(next);
    if let Err(panic) = contain(tell) {
        log::error!(
            "pool {}: telling a result panicked: {}",
            shared.name,
            panic.message()
        );
    }
}
