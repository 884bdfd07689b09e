//! A batch that gathers: who has joined it, until it is closed.

use std::sync::{Arc, Mutex};

use futures::channel::oneshot;

use super::LEFT_OUT;
use super::lead::{Ended, Told};
use crate::control::lock;
use crate::signal::Signal;
use crate::{Delivery, Verdict};

/// Messages that wait to be handled together.
pub(super) struct Batch<B> {
    state: Mutex<State<B>>,
    /// Set when it has as many messages as it may.
    complete: Arc<Signal>,
}

struct State<B> {
    /// In the order in which they have joined; empty once they were taken.
    seats: Vec<Seat<B>>,
    is_closed: bool,
}

struct Seat<B> {
    delivery: Delivery,
    /// None: it leads, or has led and is gone.
    told: Option<oneshot::Sender<Told<B>>>,
}

/// What one that has joined a batch gets.
pub(super) struct Seated<B> {
    /// What it is told.
    pub(super) told: oneshot::Receiver<Told<B>>,
    /// To be set, without a lock, when it has made the batch complete.
    pub(super) complete: Option<Arc<Signal>>,
}

/// Those of a batch that is being handled, in the order of their deliveries.
pub(super) struct Members<B> {
    /// Where each is told how it ended; not the one that leads, and none that has led.
    told: Vec<Option<oneshot::Sender<Told<B>>>>,
    /// Which of them leads; none when the one that leads was left out.
    leader: Option<usize>,
}

impl<B> Batch<B> {
    /// A batch with the message that leads.
    pub(super) fn new(delivery: Delivery, count_max: usize) -> Self {
        let is_closed = count_max <= 1;
        let complete = Signal::default();
        if is_closed {
            complete.set();
        }
        let first = Seat {
            delivery,
            told: None,
        };
        Self {
            state: Mutex::new(State {
                seats: vec![first],
                is_closed,
            }),
            complete: Arc::new(complete),
        }
    }

    pub(super) fn complete(&self) -> Arc<Signal> {
        Arc::clone(&self.complete)
    }

    /// Adds a message; gives it back if the batch is closed.
    pub(super) fn join(&self, delivery: Delivery, count_max: usize) -> Result<Seated<B>, Delivery> {
        let mut state = lock(&self.state);
        if state.is_closed {
            return Err(delivery);
        }
        let (sender, told) = oneshot::channel();
        state.seats.push(Seat {
            delivery,
            told: Some(sender),
        });
        // Those that have left count as well: the batch cannot grow for ever.
        state.is_closed = state.seats.len() >= count_max;
        let complete = state.is_closed.then(|| self.complete());
        Ok(Seated { told, complete })
    }

    /// The next to lead, and where it is told so, unless it has left; closes the batch when there
    /// is none.
    pub(super) fn next(&self) -> Option<(usize, oneshot::Sender<Told<B>>)> {
        let mut state = lock(&self.state);
        let mut seats = state.seats.iter_mut().enumerate();
        let next = seats.find_map(|(index, seat)| {
            let told = seat.told.take()?;
            Some((index, told))
        });
        if next.is_some() {
            return next;
        }
        state.is_closed = true;
        let left = std::mem::take(&mut state.seats);
        // Dropped without the lock.
        drop(state);
        drop(left);
        None
    }

    /// Closes the batch and takes those that are still there and still have their leases.
    pub(super) fn close(&self, leader: usize) -> (Vec<Delivery>, Members<B>) {
        let mut state = lock(&self.state);
        state.is_closed = true;
        let seats = std::mem::take(&mut state.seats);
        drop(state);
        let mut deliveries = Vec::with_capacity(seats.len());
        let mut members = Members {
            told: Vec::with_capacity(seats.len()),
            leader: None,
        };
        for (index, Seat { delivery, told }) in seats.into_iter().enumerate() {
            let is_leader = index == leader;
            let is_there = is_leader || told.as_ref().is_some_and(|told| !told.is_canceled());
            if !is_there || delivery.is_lease_lost() {
                continue;
            }
            if is_leader {
                members.leader = Some(deliveries.len());
            }
            deliveries.push(delivery);
            members.told.push(told);
        }
        (deliveries, members)
    }
}

impl<B> Members<B> {
    /// The next to lead, and where it is told so, unless it has left.
    pub(super) fn next(&mut self) -> Option<oneshot::Sender<Told<B>>> {
        let mut members = self.told.iter_mut().enumerate();
        let (index, told) = members.find_map(|(index, told)| {
            let told = told.take()?;
            Some((index, told))
        })?;
        self.leader = Some(index);
        Some(told)
    }

    /// Tells all how they have ended; returns how the one that leads has.
    pub(super) fn end(&mut self, verdicts: Result<Vec<Verdict>, String>) -> Ended {
        let members = std::mem::take(&mut self.told);
        let count = members.len();
        let ended: Vec<Ended> = match verdicts {
            Ok(verdicts) if verdicts.len() == count => verdicts.into_iter().map(Ok).collect(),
            Ok(verdicts) => {
                let given = verdicts.len();
                vec![Err(format!("{given} verdicts for a batch of {count}")); count]
            }
            Err(message) => vec![Err(message); count],
        };
        let mut own = Ok(LEFT_OUT);
        for (index, (told, ended)) in members.into_iter().zip(ended).enumerate() {
            if self.leader == Some(index) {
                own = ended;
            } else if let Some(told) = told {
                // Ignored: it has left meanwhile.
                let _ = told.send(Told::Ended(ended));
            }
        }
        own
    }
}
