//! When and how the service stops: signals, a store that died, and the end of the demo.

use std::cell::Cell;
use std::time::Duration;

use async_channel::{Receiver, Sender};
use futures::future::{self, Either};
use mayhem_core::{Control, Plan};

use super::events::Announcer;

/// How long what was cancelled may take to end, and the last settlements to be written.
///
/// Together below the second within which a second signal ends the process.
const HAND_OVER: Duration = Duration::from_millis(350);

/// Asks the consumer to stop, each step once.
#[derive(Debug)]
pub(super) struct Stopper {
    control: Control,
    announcer: Announcer,
    grace: Duration,
    steps: Cell<usize>,
    /// Closed when the first step is taken.
    stopping: (Sender<()>, Receiver<()>),
    /// Closed when somebody asks for more than a drain.
    hurried: (Sender<()>, Receiver<()>),
}

impl Stopper {
    pub(super) fn new(control: Control, announcer: Announcer, grace: Duration) -> Self {
        Self {
            control,
            announcer,
            grace,
            steps: Cell::new(0),
            stopping: async_channel::bounded(1),
            hurried: async_channel::bounded(1),
        }
    }

    /// A receiver that closes when the service begins to stop.
    pub(super) fn stopping(&self) -> Receiver<()> {
        self.stopping.1.clone()
    }

    /// Stops pulling, hands back what has not started, and lets the rest finish within the grace.
    pub(super) fn drain(&self) {
        if self.steps.get() == 0 {
            self.announcer.shutdown("drain");
            let reserve = (HAND_OVER * 2).min(self.grace / 2);
            self.step(Plan {
                drain: self.grace - reserve,
                grace: reserve / 2,
                flush: reserve / 2,
            });
        }
    }

    /// Cancels what runs and hands everything back now.
    pub(super) fn hand_over(&self) {
        self.hurried.0.close();
        let plan = Plan {
            drain: Duration::ZERO,
            grace: HAND_OVER,
            flush: HAND_OVER,
        };
        while self.steps.get() < 2 {
            if self.steps.get() == 1 {
                self.announcer.shutdown("hand over");
            }
            self.step(plan);
        }
    }

    /// Whether nobody asked for more than a drain.
    pub(super) fn is_ordered(&self) -> bool {
        !self.hurried.0.is_closed()
    }

    /// Runs `work` to its end, unless somebody asks for more than a drain; tells whether it ended.
    ///
    /// # Cancel safety
    ///
    /// As `work`.
    pub(super) async fn unless_hurried(&self, work: impl Future<Output = ()>) -> bool {
        let work = std::pin::pin!(work);
        let hurried = std::pin::pin!(self.hurried.1.recv());
        matches!(future::select(work, hurried).await, Either::Left(_))
    }

    fn step(&self, plan: Plan) {
        self.steps.set(self.steps.get() + 1);
        self.stopping.0.close();
        self.control.stop(plan);
    }
}
