//! What all clones of a broker share: who looks, who waits and who is told.

use std::sync::Arc;
use std::task::{Poll, Waker};

use futures::future::{poll_fn, select};
use mayhem_core::{BrokerError, Clock, Instant, Outcome, Pull, Received};

use super::asked::Asked;
use super::awaited::Waiter;
use super::settings::SimSettings;
use super::wire::{Batch, Wire};
use crate::guarded::{Guarded, Held, Hold};
use crate::world::World;

pub(super) struct Shared {
    pub(super) clock: Arc<dyn Clock>,
    /// Where facts are added to the fingerprint; `None` outside a simulation.
    pub(super) world: Option<Arc<World>>,
    pub(super) settings: SimSettings,
    pub(super) wire: Guarded<Wire>,
}

impl Shared {
    /// Catches up with the clock, looks or changes, and wakes whoever waits for a change.
    pub(super) fn visit<T>(&self, visit: impl FnOnce(&mut Wire, Instant) -> T) -> T {
        self.visit_seen(visit).0
    }

    /// As [`visit`](Self::visit); also the count of changes that this look has seen.
    pub(super) fn visit_seen<T>(&self, visit: impl FnOnce(&mut Wire, Instant) -> T) -> (T, u64) {
        let (output, seen, waiting) = self.wire.with(|wire| {
            let now = self.clock.now();
            let (facts_before, changes_before) = (wire.ledger.facts().len(), wire.changes);
            let ledger_before = wire.ledger.changes();
            wire.catch_up(now);
            let output = visit(wire, now);
            self.tell(wire, facts_before);
            let has_changed = wire.ledger.changes() != ledger_before;
            wire.changes += u64::from(has_changed);
            if wire.changes == changes_before {
                return (output, wire.changes, None);
            }
            wire.wakes += 1;
            let spare = std::mem::take(&mut wire.spare);
            let waiting = std::mem::replace(&mut wire.waiting, spare);
            (output, wire.changes, Some(waiting))
        });
        if let Some(mut waiting) = waiting {
            // Woken after the look: a waker is foreign code.
            waiting.drain(..).for_each(Waker::wake);
            self.wire.with(|wire| wire.spare = waiting);
        }
        (output, seen)
    }

    /// Tells whoever listens of the facts from a number on, and of what calls have come to.
    fn tell(&self, wire: &mut Wire, first: usize) {
        let facts = &wire.ledger.facts()[first..];
        if let Some(listener) = &mut wire.listener
            && !facts.is_empty()
        {
            listener(facts);
        }
        if let Some(world) = &self.world {
            facts.iter().for_each(|fact| world.record(fact));
        }
        for (call, stage) in wire.call_stages.drain(..) {
            if let Some(listener) = &mut wire.call_listener {
                listener(call, stage);
            }
        }
    }

    /// Waits until `look` finds what it looks for; it looks after every change of the truth.
    pub(super) async fn wait<T>(&self, mut look: impl FnMut(&mut Wire, Instant) -> Option<T>) -> T {
        loop {
            let ((found, next), seen) = self.visit_seen(|wire, now| {
                let found = look(wire, now);
                (found, wire.next_event(now))
            });
            if let Some(found) = found {
                return found;
            }
            // Its place among those who wait, and when it took that.
            let mut place = None;
            let changed = poll_fn(|cx| {
                let waker = cx.waker();
                // Dropped after the look, as it is woken.
                let replaced = self.wire.with(|wire| {
                    if wire.changes != seen {
                        return Err(Changed);
                    }
                    Ok(match place {
                        Some((index, wakes)) if wakes == wire.wakes => {
                            let present: &mut Waker = &mut wire.waiting[index];
                            let is_new = !present.will_wake(waker);
                            is_new.then(|| std::mem::replace(present, waker.clone()))
                        }
                        _ => {
                            place = Some((wire.waiting.len(), wire.wakes));
                            wire.waiting.push(waker.clone());
                            None
                        }
                    })
                });
                match replaced {
                    Ok(_) => Poll::Pending,
                    Err(Changed) => Poll::Ready(()),
                }
            });
            match next {
                Some(next) => {
                    select(changed, self.clock.sleep_until(next)).await;
                }
                None => changed.await,
            }
        }
    }

    pub(super) async fn call(&self, batch: Batch) -> Result<Vec<Outcome>, BrokerError> {
        let batch = Arc::new(batch);
        let asked = Asked::new(self, &batch);
        let answer = self.answer(batch).await;
        asked.answered(&answer);
        answer
    }

    async fn answer(&self, batch: Arc<Batch>) -> Result<Vec<Outcome>, BrokerError> {
        self.visit(|wire, now| {
            wire.check_usable(now)?;
            wire.check_refused()
        })?;
        let latency = &self.settings.call_latency;
        let waiter = Waiter::new(self);
        let call = waiter.call;
        let answer_at = self.visit(|wire, now| wire.send_call(now, batch, call, latency));
        let (Ok(wake_at) | Err(wake_at)) = answer_at;
        self.clock.sleep_until(wake_at).await;
        // Catches up, so that the effect has happened.
        self.visit(|wire, now| wire.check_usable(now))?;
        match (answer_at, waiter.take()) {
            (Ok(_), Some(outcomes)) => Ok(outcomes),
            _ => Err(BrokerError::Retryable("simulated: no reply".into())),
        }
    }

    pub(super) async fn receive(&self, pull: Pull) -> Result<Vec<Received>, BrokerError> {
        self.visit(Wire::connect)?;
        self.leave_black_hole().await;
        match pull {
            Pull::Next { count_max } => {
                assert!(count_max > 0, "a pull asks for at least one message");
                self.wait(|wire, now| match wire.check_usable(now) {
                    Ok(()) => wire.arrived(now, count_max, &self.settings).map(Ok),
                    Err(error) => Some(Err(error)),
                })
                .await
            }
            Pull::Hold => {
                self.wait(|wire, now| match wire.check_usable(now) {
                    Ok(()) => wire.held(now).map(Ok),
                    Err(error) => Some(Err(error)),
                })
                .await
            }
            Pull::Close => {
                let closed_at = self.visit(|wire, now| {
                    wire.is_closed = true;
                    wire.changes += 1;
                    now + wire.draw_latency(&self.settings.receive_latency)
                });
                self.clock.sleep_until(closed_at).await;
                self.visit(|wire, now| {
                    wire.check_usable(now)?;
                    Ok(wire.all_arrived(now))
                })
            }
        }
    }

    async fn leave_black_hole(&self) {
        let end = self.visit(|wire, now| wire.faults.black_hole_end(now));
        if let Some(end) = end {
            self.clock.sleep_until(end).await;
        }
    }
}

/// The truth is another than it was.
struct Changed;

impl Hold for Shared {
    fn hold(&self) -> Held<'_> {
        self.wire.hold()
    }
}
