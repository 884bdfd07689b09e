//! Polling handlers: when they start, when they are woken, and how long each poll takes.

use std::future::Future;
use std::time::Duration;

use super::engine::Engine;
use crate::clock::Stopwatch;
use crate::handler::Finish;
use crate::lease::Handle;
use crate::slots::{Polled, Slots};
use crate::{Delivery, Instant};

impl Engine<'_> {
    /// Takes up messages and starts handlers; what waits for a permit comes first.
    ///
    /// A message is taken up, started and polled for the first time in one go, while all that
    /// belongs to it is in the processor's cache.
    pub(super) fn start_handlers<F, S>(
        &mut self,
        now: Instant,
        handlers: &mut Slots<F>,
        start: &S,
        is_inline: bool,
        watch: &mut Stopwatch,
    ) -> bool
    where
        F: Future<Output = Finish>,
        S: Fn(Delivery) -> F,
    {
        let mut now = now;
        let outstanding = self.stats.outstanding;
        for count in 0..STARTS_MAX {
            self.work += 1;
            if let Some((handle, delivery)) = self.next_start(now) {
                let (slot, polled) = handlers.start(handle, || start(delivery));
                self.keep_end(handle, polled);
                self.watch(now, handle, slot);
                if is_inline && self.time_poll(handle, watch) {
                    // A lease may have ended meanwhile.
                    now = self.shared.clock.now();
                    self.observing.now = now;
                }
            } else if !self.accept(now) {
                // Messages whose lease had ended made room.
                return count > 0 || self.stats.outstanding != outstanding;
            }
        }
        true
    }

    /// Polls the handlers that were woken.
    pub(super) fn poll_handlers<F: Future<Output = Finish>>(
        &mut self,
        handlers: &mut Slots<F>,
        is_inline: bool,
        watch: &mut Stopwatch,
    ) {
        // Handlers that are cancelled are not polled again.
        if self.poll_cancelling(handlers, is_inline) && is_inline {
            return;
        }
        self.work += handlers.poll(POLLS_MAX, |handle, polled| {
            self.keep_end(handle, polled);
            if is_inline {
                self.time_poll(handle, watch);
            }
        });
    }

    /// Notes that a handler has ended, if it has.
    fn keep_end(&mut self, handle: Handle, polled: Polled) {
        match polled {
            Polled::Pending => {}
            Polled::Acked => self.acked.push(handle),
            Polled::Ended(finish) => self.finished.push((handle, finish)),
        }
    }

    /// Reports the poll that has just ended if it was a long one; returns whether it took any time
    /// that can be seen.
    #[inline]
    fn time_poll(&mut self, handle: Handle, watch: &mut Stopwatch) -> bool {
        let nanos = watch.lap(&*self.shared.clock);
        // Most polls end within a tick of a coarse clock.
        if nanos > 0 {
            self.note_poll(handle, nanos);
        }
        nanos > 0
    }

    #[cold]
    fn note_poll(&mut self, handle: Handle, nanos: u64) {
        self.observing.slowest_poll = self.observing.slowest_poll.max(nanos);
        let took = Duration::from_nanos(nanos);
        if took > self.shared.slow_poll
            && let Some(lease) = self.table.get(handle)
        {
            lease.owner.delivery.check_poll(took);
        }
    }

    pub(super) fn handle_finished(&mut self, now: Instant) -> bool {
        // As in most passes.
        if self.acked.is_empty() && self.finished.is_empty() {
            return false;
        }
        let mut acked = std::mem::take(&mut self.acked);
        let mut finished = std::mem::take(&mut self.finished);
        for handle in acked.drain(..) {
            self.finish_acked(now, handle);
        }
        for (handle, finish) in finished.drain(..) {
            self.finish(now, handle, finish);
        }
        // Their memory is used again.
        (self.acked, self.finished) = (acked, finished);
        true
    }
}

/// How many steps one pass does to take messages up, which is one, and to start them, another. With
/// twice as many a message was measured to take a twentieth more of the processor's time.
const STARTS_MAX: usize = 256;

/// How many woken handlers are polled in one pass, or up to a word of 64 more.
const POLLS_MAX: usize = 256;
