//! A batch as it was received: taken in one message after the other, and dropped a part at a time.
//!
//! What a message leaves when it is taken in is dropped later, with that of others: one by one it
//! was measured to take 9 ns more, and all at once, of a million messages, 8 ms of one poll.

use crate::Received;

/// Messages that are not yet taken in, and what others have left.
#[derive(Debug, Default)]
pub(super) struct Batch {
    messages: Vec<Received>,
    /// How many of them were taken in.
    taken: usize,
    /// Long batches that were taken in.
    spent: Vec<Vec<Received>>,
}

impl Batch {
    /// The next message to take in.
    pub(super) fn next(&self) -> Option<&Received> {
        self.messages.get(self.taken)
    }

    /// The same; whatever is moved out of it is not needed any more.
    pub(super) fn next_mut(&mut self) -> Option<&mut Received> {
        self.messages.get_mut(self.taken)
    }

    /// Notes that the next message was taken in.
    pub(super) fn advance(&mut self) {
        self.taken += 1;
        if self.taken >= self.messages.len() {
            self.replace(Vec::new());
        }
    }

    /// Goes on with other messages; those that are not taken in are forgotten.
    pub(super) fn replace(&mut self, messages: Vec<Received>) {
        let spent = std::mem::replace(&mut self.messages, messages);
        self.taken = 0;
        if spent.len() > DROPPED_MAX {
            self.spent.push(spent);
        }
    }

    /// Drops some of what was left; returns whether there was something.
    pub(super) fn drop_some(&mut self) -> bool {
        let Some(spent) = self.spent.last_mut() else {
            return false;
        };
        spent.truncate(spent.len().saturating_sub(DROPPED_MAX));
        // The room as well: the system takes milliseconds to take back that of a million messages.
        spent.shrink_to_fit();
        if spent.is_empty() {
            self.spent.pop();
        }
        true
    }
}

/// How many messages are dropped at once: each takes a few nanoseconds, and the allocator's for its
/// payload.
const DROPPED_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Instant, Message};

    #[test]
    fn a_long_batch_is_dropped_a_part_at_a_time() {
        let mut batch = Batch::default();
        let count = 3 * DROPPED_MAX + 1;
        batch.replace((0..count).map(received).collect());

        for number in 0..count {
            let id = batch.next().map(|received| received.message.id.to_string());
            assert_eq!(id, Some(number.to_string()));
            batch.advance();
        }

        assert!(batch.next().is_none(), "all of it was taken in");
        let mut left = vec![count];
        while batch.drop_some() {
            left.push(batch.spent.iter().map(Vec::len).sum());
        }
        let parts = left.windows(2).map(|pair| pair[0] - pair[1]);
        assert!(parts.clone().all(|part| part <= DROPPED_MAX), "{left:?}");
        assert_eq!(parts.sum::<usize>(), count);
    }

    #[test]
    fn a_short_batch_leaves_nothing() {
        let mut batch = Batch::default();
        batch.replace(vec![received(0)]);

        batch.advance();

        assert!(!batch.drop_some());
    }

    #[test]
    fn messages_that_are_forgotten_are_dropped_as_well() {
        let mut batch = Batch::default();
        batch.replace((0..DROPPED_MAX + 1).map(received).collect());
        batch.advance();

        batch.replace(Vec::new());

        assert!(batch.next().is_none());
        assert!(batch.drop_some() && batch.drop_some() && !batch.drop_some());
    }

    fn received(number: usize) -> Received {
        Received {
            message: Message {
                id: number.to_string().into(),
                lease: "lease".into(),
                attempt: 1,
                payload: vec![0; 8],
            },
            deadline: Instant::from_nanos(1),
        }
    }
}
