//! Merging: one handler for a message that comes again while it is in hand.

use super::delivering::{Delivering, Stage};
use super::engine::Engine;
use crate::lease::{Handle, IdHash, Lease};
use crate::{DeliveryKey, Event, Instant, Message, Received};

impl Engine<'_> {
    /// Merges the next message with what is in hand of it, if there is something.
    pub(super) fn merge(&mut self, now: Instant, hash: IdHash) -> bool {
        let Some(Received { message, deadline }) = self.intake.next() else {
            return false;
        };
        let deadline = *deadline;
        let message = Message {
            id: message.id.clone(),
            lease: message.lease.clone(),
            attempt: message.attempt,
            // It is not looked at.
            payload: Vec::new(),
        };
        if self.table.is_detached(hash, &message.lease) {
            // A duplicate that is late: what came under this lease has had its nack sent, and the
            // message may have come under another one since.
            self.stats.totals.merged += 1;
            self.emit(|| Event::Merged(key(&message)));
            return true;
        }
        let Some(older) = self.table.find_hashed(hash, &message.id) else {
            return false;
        };
        // An older delivery that was not noticed to be over must not go on under the new lease.
        if self
            .table
            .get(older)
            .is_some_and(|lease| now >= lease.deadline)
        {
            self.lose(older);
        }
        let newest = |lease: &Lease<Delivering>| {
            let first = lease.owner.delivery.attempt();
            lease.newer_attempt().unwrap_or(first)
        };
        // A nack on its way whose message comes again has taken effect: only its answer is late.
        // Merged with it, the new delivery would have to wait until its lease runs out. An earlier
        // attempt is no new delivery but a duplicate that is late.
        if self
            .table
            .get(older)
            .is_some_and(|lease| lease.owner.is_nacked() && message.attempt >= newest(lease))
        {
            self.table.detach(older, &message.lease);
        }
        let Some(older) = self.table.find_hashed(hash, &message.id) else {
            return false;
        };
        self.stats.totals.merged += 1;
        self.emit(|| Event::Merged(key(&message)));
        let is_newer = |lease: &Lease<Delivering>| message.attempt > newest(lease);
        if self.table.get(older).is_some_and(is_newer) {
            // One handler, and now two attempts.
            self.poison.spare(&message.id);
        }
        // A duplicate that is late must not put its old lease in the place of the newer one.
        let is_late = self.table.get(older).is_some_and(|lease| {
            let newer = (newest(lease), lease.deadline);
            *lease.token() != message.lease && (message.attempt, deadline) < newer
        });
        if !is_late {
            let newer = (&message.lease, message.attempt);
            self.table.adopt(now, older, newer, deadline);
            self.show_lease(older);
            // A nack that waits for an extension of the older lease waits for nothing now.
            self.release_held(older);
        }
        true
    }

    /// Shows the lease of a delivery, as it is now, to those who look at the delivery.
    pub(super) fn show_lease(&mut self, handle: Handle) {
        let Some(lease) = self.table.get(handle) else {
            return;
        };
        match lease.owner.stage {
            Stage::Buffered => {
                let token = lease.token().clone();
                if let Some(delivering) = self.table.owner_mut(handle) {
                    delivering.delivery.set_lease_token(token);
                }
            }
            Stage::Running(_) if !lease.is_lost => {
                lease.owner.delivery.set_lease_deadline(lease.deadline);
            }
            _ => {}
        }
    }
}

/// The name in events of a message that is not in hand.
pub(super) fn key(message: &Message) -> DeliveryKey {
    DeliveryKey {
        id: message.id.clone(),
        attempt: message.attempt,
    }
}
