//! Order within keys: who of a key may start, and what becomes of those behind one that is not
//! done.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::builder::Settings;
use super::delivering::Stage;
use super::engine::{Engine, drop_quietly};
use super::shedding::Shed;
use super::shutdown::STEPS_MAX;
use crate::isolate::panic_message;
use crate::lease::Handle;
use crate::order::{LaneId, Lanes, NackedHead, OrderKey, Tails};
use crate::{DeliveryKey, Event, Instant, Message, MessageId, Settle};

/// Tells the key of a message.
pub(super) type KeyOf = Box<dyn FnMut(&Message) -> Option<OrderKey> + Send>;

/// Messages that are to be handed back because the one before them is away so long.
#[derive(Debug)]
pub(super) struct Leaving {
    tail: VecDeque<Handle>,
    after: Duration,
}

/// Who waits for whom.
pub(super) struct Order {
    key_of: KeyOf,
    policy: NackedHead,
    lanes: Lanes<Handle>,
    /// The lane of each delivery that is in one, by its slot.
    places: Vec<Option<LaneId>>,
    pub(super) shed: Shed,
    /// Stalls end no earlier than this: in a pause nobody can come back.
    stalled_until: Instant,
}

impl Order {
    pub(super) fn new(key_of: KeyOf, policy: NackedHead, wait: Duration) -> Box<Self> {
        Box::new(Self {
            key_of,
            policy,
            lanes: Lanes::new(),
            places: Vec::new(),
            shed: Shed::new(wait),
            stalled_until: Instant::ZERO,
        })
    }

    /// Has nobody be waited for in vain before then.
    pub(super) fn stall_until(&mut self, until: Instant) {
        self.stalled_until = until;
    }

    /// When the first stall ends.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        let end = self.lanes.next_wake()?.max(self.stalled_until);
        // A pause may be for ever.
        (end < Instant::from_nanos(u64::MAX)).then_some(end)
    }

    /// The key of a message, or the panic in place of it.
    pub(super) fn key_of(&mut self, message: &Message) -> Result<Option<OrderKey>, String> {
        let key_of = &mut self.key_of;
        // Unwind safe: what the function has of its own is its own to keep in order.
        catch_unwind(AssertUnwindSafe(|| key_of(message))).map_err(panic_message)
    }

    /// Has a delivery line up, which may wait for one that is away until then; returns whether it
    /// may start.
    fn join(&mut self, key: OrderKey, id: &MessageId, handle: Handle, until: Instant) -> bool {
        let (lane, is_head) = self.lanes.join(key, id, handle);
        let slot = handle.slot();
        if slot >= self.places.len() {
            self.places.resize(slot + 1, None);
        }
        self.places[slot] = Some(lane);
        if !is_head {
            self.lanes.hasten(lane, until);
        }
        is_head
    }

    /// The lane of a delivery, which leaves it.
    fn take_place(&mut self, handle: Handle) -> Option<LaneId> {
        self.places.get_mut(handle.slot())?.take()
    }
}

impl Engine<'_> {
    /// Has a delivery wait for its turn and for a permit.
    pub(super) fn line_up(&mut self, handle: Handle, key: Result<Option<OrderKey>, String>) {
        let key = match key {
            Ok(key) => key,
            Err(message) => return self.key_panicked(handle, message),
        };
        let (Some(order), Some(key)) = (&mut self.order, key) else {
            return self.waiting.push_back(handle);
        };
        let Some(lease) = self.table.get(handle) else {
            return;
        };
        let until = latest(&self.settings, lease.received);
        if order.join(key, lease.owner.delivery.id(), handle, until) {
            self.waiting.push_back(handle);
        }
        self.stats.stalled_keys = order.lanes.stalled();
    }

    /// A delivery has left its scope, or is not to enter it; it is `away` so long, or done.
    pub(super) fn leave_lane(
        &mut self,
        handle: Handle,
        delivery: &DeliveryKey,
        away: Option<Duration>,
    ) {
        let Some(order) = &mut self.order else {
            return;
        };
        let Some(lane) = order.take_place(handle) else {
            return;
        };
        let Some(after) = away else {
            return self.waiting.extend(order.lanes.pass(lane, handle));
        };
        if order.policy == NackedHead::Stall && order.lanes.is_head(lane, handle) {
            self.stall(lane, delivery, after);
        } else {
            let tail = order.lanes.dissolve(lane, handle);
            self.release_tail(&delivery.id, tail, after);
        }
    }

    /// Ends the stalls that have lasted long enough.
    pub(super) fn poll_order(&mut self, now: Instant) -> bool {
        let end = self.order.as_ref().and_then(|order| order.next_wake());
        let is_busy = end.is_some_and(|end| end <= now) && self.end_stalls(now);
        self.poll_leaving() || is_busy
    }

    /// Ends the stalls that end by then, a part at a time; returns whether there were any.
    fn end_stalls(&mut self, until: Instant) -> bool {
        for count in 0..STEPS_MAX {
            let order = self.order.as_mut();
            let Some((head, tail)) = order.and_then(|order| order.lanes.end_stall(until)) else {
                return count > 0;
            };
            self.work += 1;
            self.release_tail(&head, tail, Duration::ZERO);
            let order = self.order.as_ref();
            self.stats.stalled_keys = order.map_or(0, |order| order.lanes.stalled());
        }
        true
    }

    /// Ends all order, for nothing starts any more; returns who waited for somebody else.
    pub(super) fn end_order(&mut self) -> Option<Tails<Handle>> {
        self.stats.stalled_keys = 0;
        let Order { key_of, lanes, .. } = *self.order.take()?;
        drop_quietly(key_of);
        Some(lanes.into_tails())
    }

    /// Hands back those behind a message that is away, a part at a time; returns whether there
    /// are more.
    fn poll_leaving(&mut self) -> bool {
        for _ in 0..STEPS_MAX {
            let Some(Leaving { tail, after }) = self.leaving.front_mut() else {
                return false;
            };
            let after = *after;
            let Some(handle) = tail.pop_front() else {
                self.leaving.pop_front();
                continue;
            };
            self.work += 1;
            // It may have been lost meanwhile, and its place be that of another one.
            let Some(lease) = self.table.get(handle) else {
                continue;
            };
            if let Some(order) = &mut self.order {
                order.take_place(handle);
            }
            // Or it was handed back for another reason.
            if matches!(lease.owner.stage, Stage::Buffered) {
                let settle = Settle::Nack {
                    after,
                    counted: false,
                };
                self.settle(handle, settle, true);
            }
        }
        !self.leaving.is_empty()
    }

    /// Until when those behind a head that comes back `after` this long wait for it.
    fn stall_end(&self, lane: LaneId, after: Duration) -> Instant {
        let lease = self.settings.lease;
        let end = self.observing.now + after + lease;
        let order = self.order.as_ref();
        let second = order.and_then(|order| order.lanes.second(lane));
        let Some(second) = second.and_then(|second| self.table.get(second)) else {
            return end;
        };
        end.min(latest(&self.settings, second.received))
    }

    fn stall(&mut self, lane: LaneId, head: &DeliveryKey, after: Duration) {
        let until = self.stall_end(lane, after);
        let Some(order) = &mut self.order else {
            return;
        };
        order.lanes.stall(lane, &head.id, until);
        // Bounded: the one that ends first makes room.
        let is_crowded = order.lanes.stalled() > self.settings.prefetch;
        let first = order.lanes.next_wake().filter(|_| is_crowded);
        self.stats.stalled_keys = order.lanes.stalled();
        self.emit(|| Event::KeyStalled(head.clone()));
        if let Some(end) = first {
            self.end_stalls(end);
        }
    }

    fn release_tail(&mut self, head: &MessageId, tail: VecDeque<Handle>, after: Duration) {
        if !tail.is_empty() {
            let (head, count) = (head.clone(), tail.len());
            self.leaving.push_back(Leaving { tail, after });
            self.emit(|| Event::TailReleased { head, count });
        }
    }

    /// A message without a key that can be told is not started: it might be out of order.
    fn key_panicked(&mut self, handle: Handle, message: String) {
        let error = self.tell_key_panic(handle, message);
        let settle = self.retry(handle, None, Some(error));
        self.settle_or_park(self.observing.now, handle, settle, false);
    }

    /// Tells that the key of a message cannot be told, and returns the words for it.
    pub(super) fn tell_key_panic(&mut self, handle: Handle, message: String) -> String {
        self.stats.totals.panicked += 1;
        let error = format!("the key of its order: {message}");
        let message = error.clone();
        self.emit_about(handle, |delivery| Event::HandlerPanicked {
            delivery,
            message,
        });
        error
    }
}

/// Until when a message may wait that was received then: some time before it is lost, so that it
/// can still be handed back.
fn latest(settings: &Settings, received: Instant) -> Instant {
    received + settings.lease_max - settings.lease / 4
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Order")
            .field("policy", &self.policy)
            .field("lanes", &self.lanes)
            .finish_non_exhaustive()
    }
}
