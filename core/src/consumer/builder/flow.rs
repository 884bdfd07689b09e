//! How much is taken in, and how fast it is started.

use super::Builder;
use crate::Rate;

impl<B, C, H> Builder<B, C, H> {
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
}
