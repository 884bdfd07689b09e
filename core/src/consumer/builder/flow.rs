//! How much is taken in, and how fast it is started.

use super::Builder;
use crate::{Message, NackedHead, OrderKey, Rate};

impl<B, C, H> Builder<B, C, H> {
    /// How many deliveries may be in hand, waiting ones included, at least 1. Default: 1000.
    ///
    /// Once there are, the intake rests until a fifth of them has ended. Should be no less than
    /// the broker's own limit of outstanding messages: what stays in the broker's buffers is under
    /// lease as well and is not extended.
    ///
    /// What a broker delivers beyond the double of this is shed: handed back at once, the newest
    /// first and not as an attempt, with [`Event::Shed`](crate::Event::Shed).
    pub fn prefetch(mut self, count_max: usize) -> Self {
        self.settings.prefetch = count_max.max(1);
        self
    }

    /// How many bytes of payload may be in hand, at least 1. Default: 100 MiB.
    ///
    /// The same rule as for [`prefetch`](Self::prefetch), beside it: the intake rests while either
    /// limit is reached. A broker is not told of bytes; it is asked for as many messages as will
    /// fit if they are like the latest ones. What takes the bytes in hand beyond the double of the
    /// limit is shed, but for one thing: where the limit was not reached, the next message is
    /// taken in whatever its size, so that one that is larger than the limit can pass.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_core::Consumer;
    ///
    /// let builder = Consumer::builder().prefetch(10_000).prefetch_bytes(64 << 20);
    /// # drop(builder);
    /// ```
    pub fn prefetch_bytes(mut self, bytes_max: usize) -> Self {
        self.settings.prefetch_bytes = bytes_max.max(1);
        self
    }

    /// How many handlers may start in a time. Default: as many as there are permits for.
    ///
    /// Messages that wait for the rate are kept under lease like those that wait for a permit. Can
    /// be changed while the consumer runs: see [`Control::set_rate`](crate::Control::set_rate).
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_core::{Consumer, Rate};
    ///
    /// // What the service behind the handler can bear.
    /// let builder = Consumer::builder().concurrency(8).rate(Rate::per_second(50));
    /// # drop(builder);
    /// ```
    pub fn rate(mut self, rate: Rate) -> Self {
        self.settings.rate = Some(rate);
        self
    }

    /// Handles messages of one key one after the other, in the order in which they were received.
    /// Default: no message waits for another.
    ///
    /// Keys do not wait for each other, and a message without a key waits for none. Whoever waits
    /// has no permit and is kept under lease. The next one starts when the handler of the one
    /// before has ended, with its shielded work, and an ack or a dead letter is on its way to the
    /// broker; what follows when it has not succeeded, [`nacked_head`](Self::nacked_head) says. A
    /// redelivery that follows a lost lease or another consumer's nack is received when it comes.
    ///
    /// Whoever waits for nearly as long as [`lease_max`](Self::lease_max) is handed back like any
    /// other message, and has not succeeded either: what may be in hand of one key, times what a
    /// handler takes, should fit into that.
    ///
    /// `key_of` is called by `run()` itself, once for each message; it must not block. If it panics
    /// that is a failed attempt of the message.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_core::{Consumer, Message, NackedHead, OrderKey};
    ///
    /// // The payload begins with the number of an account.
    /// let builder = Consumer::builder()
    ///     .ordered_by(|message: &Message| message.payload.get(..4).map(OrderKey::of))
    ///     .nacked_head(NackedHead::ReleaseTail);
    /// # drop(builder);
    /// ```
    pub fn ordered_by(
        mut self,
        key_of: impl FnMut(&Message) -> Option<OrderKey> + Send + 'static,
    ) -> Self {
        self.settings.key_of = Some(Box::new(key_of));
        self
    }

    /// What becomes of the messages of a key behind one that was nacked. Default:
    /// [`NackedHead::Stall`]. Of no consequence without [`ordered_by`](Self::ordered_by).
    pub fn nacked_head(mut self, policy: NackedHead) -> Self {
        self.settings.nacked_head = policy;
        self
    }
}
