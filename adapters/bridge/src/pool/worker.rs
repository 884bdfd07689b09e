//! The life of a pool's thread: take a job, run it, tell, retire when idle for long.

use std::io;

use super::limiter::Permit;
use super::nested::{Lender, begin};
use super::shared::Shared;
use super::state::{Queued, Running, Seat, State};
use crate::inventory::{ThreadKind, Worker, announce};
use crate::panic::contain;
use crate::sync::{Arc, Instant, MutexGuard, bug, thread, unique_id};

/// Starts a thread; call it with the pool's lock, whose state is `state`.
pub(super) fn start(shared: &Arc<Shared>, state: &mut State) -> io::Result<()> {
    shared.may_start_a_thread()?;
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
            turn: None,
            is_at_work: false,
            has_ended: false,
        },
    );
    Ok(())
}

fn work(shared: &Arc<Shared>, worker: &Arc<Worker>, seat: u64) {
    while let Some((queued, permit)) = next_job(shared, worker, seat) {
        run(&Lender::new(shared, worker, None), queued, permit);
    }
}

/// Waits for a job, and for a permit to run it. `None` means that the thread is to end, and that
/// its seat was cleared.
fn next_job(shared: &Shared, worker: &Arc<Worker>, seat: u64) -> Option<(Queued, Option<Permit>)> {
    let retires_at = Instant::now().checked_add(shared.keep_alive);
    let mut state = shared.lock();
    state.set_at_work(seat, false);
    let mut timed_out = false;
    let mut permit = None;
    loop {
        if timed_out && bug("a_retiring_thread_looks_no_more") {
            break;
        }
        if !state.queue.is_empty() && permit.is_none() {
            (state, permit) = ask_for_permit(shared, state, worker, seat);
            // The lock was let go on the way: the queue may be empty now, or the pool closed.
            if shared.limiter.is_some() && permit.is_none() {
                continue;
            }
        }
        if let Some(queued) = state.queue.pop_front() {
            state.set_at_work(seat, true);
            state.begin(&queued, Running::on_a_seat(&queued, worker));
            return Some((queued, permit));
        }
        // Not for later: while we idle, others may need it.
        if bug("an_unused_permit_is_lost") {
            std::mem::forget(permit.take());
        }
        drop(permit.take());
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
    shared.tell_of_end(state);
    drop(retired);
    None
}

/// A permit, waited for without the pool's lock; none if the pool needs none, or if the wait was
/// called off.
fn ask_for_permit<'a>(
    shared: &'a Shared,
    mut state: MutexGuard<'a, State>,
    worker: &Worker,
    seat: u64,
) -> (MutexGuard<'a, State>, Option<Permit>) {
    let Some(limiter) = &shared.limiter else {
        return (state, None);
    };
    let turn = match limiter.ask() {
        Ok(permit) => return (state, Some(permit)),
        Err(turn) => turn,
    };
    // Before the lock goes: a shutdown that finds us in line must be able to call us back.
    if let Some(seat) = state.workers.get_mut(&seat) {
        seat.turn = Some(Arc::clone(&turn));
    }
    drop(state);
    worker.set_blocked(true);
    let permit = turn.wait();
    worker.set_blocked(false);
    let mut state = shared.lock();
    if let Some(seat) = state.workers.get_mut(&seat) {
        seat.turn = None;
    }
    (state, permit)
}

/// Runs a claimed job on the thread of the job that waits for it, under its permit.
pub(super) fn run_nested(lender: Arc<Lender>, queued: Queued) {
    run(&lender, queued, None);
}

fn run(lender: &Arc<Lender>, Queued { id, job }: Queued, permit: Option<Permit>) {
    let (shared, worker) = (lender.pool(), lender.worker());
    let (panicked, tell) = {
        let _acting = begin(Arc::clone(lender));
        job.run()
    };
    worker.end_job(id);

    // First the place and the permit, then the news: whoever hears the result finds room.
    shared.finish(id, panicked, permit);
    if let Err(panic) = contain(tell) {
        log::error!(
            "pool {}: telling a result panicked: {}",
            shared.name,
            panic.message()
        );
    }
}
