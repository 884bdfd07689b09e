//! The consumer: built once, run once.

mod answers;
mod batch;
mod builder;
mod calls;
mod changing;
mod delivering;
mod engine;
mod handling;
mod hooks;
mod intake;
mod merging;
mod observing;
mod ordering;
mod parking;
mod poison;
mod polling;
mod settlements;
mod shedding;
mod shielding;
mod shutdown;
mod timeouts;

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;

use async_channel::Receiver;
pub use builder::{Builder, NoBroker, NoClock, NoHandler};

use builder::Settings;
use engine::{Engine, drop_quietly};
use hooks::Hooks;

use crate::control::Shared;
use crate::handler::Execution;
use crate::slots::Slots;
use crate::{Broker, Control, Plan, Report};

/// Receives messages under lease, runs a handler for each, and settles them.
///
/// See the [crate's example](crate) and [`Builder`].
#[must_use = "a consumer does nothing until it is run"]
pub struct Consumer<E> {
    broker: Arc<dyn Broker>,
    execution: E,
    settings: Settings,
    shared: Arc<Shared>,
    control: Control,
    stops: Receiver<Plan>,
}

impl Consumer<NoHandler> {
    /// Starts with nothing: a broker, a clock and a handler must be given before `build` exists.
    pub fn builder() -> Builder<NoBroker, NoClock, NoHandler> {
        Builder::new()
    }
}

impl<E: Execution> Consumer<E> {
    /// A handle to this consumer.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Consumes until [`Control::stop`], the end of the source, or a failure of the broker; then
    /// does what was to be done [after the stop](Builder::after_stop).
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: dropping the future drops the handlers and settles nothing; the leases run
    /// out by themselves and the messages are delivered again.
    pub async fn run(self) -> Report {
        let Self {
            broker,
            execution,
            mut settings,
            shared,
            control,
            stops,
        } = self;
        let hooks = std::mem::take(&mut settings.hooks);
        let clock = Arc::clone(&shared.clock);
        let late_stops = Box::pin(stops.clone());
        let mut engine = Engine::new(&*broker, settings, shared, stops);
        let mut handlers = Slots::new(engine.handlers_max());
        let start = |delivery| execution.execute(delivery);
        let mut report = poll_fn(|cx| engine.poll(cx, &mut handlers, &start, E::IS_INLINE)).await;
        let requests = engine.shutdown.requests;
        // Before the hooks, which may take away what handlers need.
        drop(handlers);
        drop(engine);
        drop_quietly(execution);
        let after_stop = Hooks {
            clock: &*clock,
            requests,
            stops: late_stops,
        };
        report.hooks = after_stop.run(hooks).await;
        // Kept until now: without any sender a stop could not be waited for.
        drop(control);
        report
    }
}

impl<E> fmt::Debug for Consumer<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
