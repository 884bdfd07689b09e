//! Shielded work: polled by the consumer itself, beside the handlers, and abandoned when the grace
//! is over.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::StreamExt;
use futures::future::BoxFuture;

use super::engine::{Engine, drop_quietly};
use super::shutdown::STEPS_MAX;
use crate::lease::Handle;
use crate::{Event, Instant, Phase};

/// Shielded work of a delivery; tells which, and its panic.
pub(super) struct Shielding {
    handle: Handle,
    work: BoxFuture<'static, Option<String>>,
}

impl Future for Shielding {
    type Output = (Handle, Option<String>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let panic = ready!(self.work.as_mut().poll(cx));
        Poll::Ready((self.handle, panic))
    }
}

impl Engine<'_> {
    /// Starts shielded work of a delivery.
    pub(super) fn shield(&mut self, handle: Handle, work: BoxFuture<'static, Option<String>>) {
        let is_open = self.stats.phase < Phase::Flushing;
        match self.running_mut(handle) {
            Some(running) if is_open => {
                running.shields.get_or_insert_default().count += 1;
                self.shields.push(Shielding { handle, work });
            }
            // Too late. Dropped, it tells whoever waits for it.
            _ => drop_quietly(work),
        }
    }

    pub(super) fn poll_shields(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        // Nearly always: an empty set would take the waker all the same.
        if self.shields.is_empty() {
            return self.drop_abandoned(now);
        }
        let mut is_busy = false;
        // Bounded: it yields after it has polled as many as there are.
        while let Poll::Ready(Some((handle, panic))) = self.shields.poll_next_unpin(cx) {
            is_busy = true;
            let running = self.running_mut(handle);
            let Some(shields) = running.and_then(|running| running.shields.as_mut()) else {
                continue;
            };
            shields.count -= 1;
            if let Some(message) = panic {
                shields.panic = Some(message.clone());
                self.emit_about(handle, |delivery| Event::ShieldPanicked {
                    delivery,
                    message,
                });
            }
            self.conclude_shielded(now, handle);
        }
        is_busy
    }

    /// Has the shielded work that is left dropped; its deliveries end as abandoned.
    pub(super) fn abandon_shields(&mut self) {
        if !self.shields.is_empty() {
            self.abandoned = Some(std::mem::take(&mut self.shields).into_iter());
        }
    }

    /// Drops abandoned work, a part at a time; returns whether there was some.
    fn drop_abandoned(&mut self, now: Instant) -> bool {
        let Some(mut abandoned) = self.abandoned.take() else {
            return false;
        };
        self.work += STEPS_MAX;
        for Shielding { handle, work } in abandoned.by_ref().take(STEPS_MAX) {
            drop_quietly(work);
            let running = self.running_mut(handle);
            if let Some(shields) = running.and_then(|running| running.shields.as_mut()) {
                shields.count -= 1;
                shields.is_abandoned = true;
                self.conclude_shielded(now, handle);
            }
        }
        self.abandoned = (abandoned.len() > 0).then_some(abandoned);
        true
    }

    /// Settles a delivery if its handler and its shielded work have ended.
    fn conclude_shielded(&mut self, now: Instant, handle: Handle) {
        let running = self.running_mut(handle);
        let shields = running.and_then(|running| running.shields.as_mut());
        let finish = shields
            .filter(|shields| shields.count == 0)
            .and_then(|shields| shields.finish.take());
        if let Some(finish) = finish {
            self.conclude(now, handle, finish);
        }
    }
}
