//! SIGINT, SIGTERM and SIGHUP, caught from the first moment to the last.
//!
//! The first signal asks for a drain, the second for a hand-over now, and the third ends the
//! process on the spot. ctrlc does the catching on a thread of its own; a flag set beside it
//! remembers which signal it was, for the exit code that a parent expects: 130 after SIGINT, 143
//! after the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use async_channel::{Receiver, Sender};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::exit::{Exit, Failure};

/// The process's stop signals.
#[derive(Clone, Debug)]
pub struct Signals {
    count: Arc<AtomicUsize>,
    arrivals: Receiver<usize>,
}

impl Signals {
    /// Catches the signals from now on. Call it before the first file is touched.
    ///
    /// # Errors
    ///
    /// When the handler cannot be set: the process has one already, or has no thread to spare.
    pub fn install() -> Result<Self, Failure> {
        let count = Arc::new(AtomicUsize::new(0));
        let last = Arc::new(AtomicUsize::new(0));
        let (sender, arrivals) = async_channel::bounded(2);
        let caught = Handler {
            count: Arc::clone(&count),
            last: Arc::clone(&last),
            sender,
        };
        // ctrlc first: it replaces what is there, while the flags chain to it.
        ctrlc::set_handler(move || caught.signal())
            .map_err(|error| Failure::new(Exit::Error, format!("cannot catch signals: {error}")))?;
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            let number = usize::try_from(signal).unwrap_or_default();
            signal_hook::flag::register_usize(signal, Arc::clone(&last), number).map_err(
                |error| {
                    Failure::new(
                        Exit::Error,
                        format!("cannot catch signal {signal}: {error}"),
                    )
                },
            )?;
        }
        Ok(Self { count, arrivals })
    }

    /// How many signals have come so far.
    pub fn count(&self) -> usize {
        // Acquire: pairs with the handler's increment, so that what it did before is seen.
        self.count.load(Ordering::Acquire)
    }

    /// Waits for the next signal and tells which one it is: 1 for the first, 2 for the second.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a signal is taken only when the future returns it.
    pub async fn next(&self) -> usize {
        match self.arrivals.recv().await {
            Ok(nth) => nth,
            // The handler lives as long as the process, and with it the sender.
            Err(_) => std::future::pending().await,
        }
    }
}

struct Handler {
    count: Arc<AtomicUsize>,
    last: Arc<AtomicUsize>,
    sender: Sender<usize>,
}

impl Handler {
    fn signal(&self) {
        // Release: see `Signals::count`.
        let nth = self.count.fetch_add(1, Ordering::Release) + 1;
        if nth >= 3 {
            // The number is stored a few instructions after this thread is woken, by the same
            // signal handler. Only here is it worth waiting for: nothing may hold up the first two.
            thread::sleep(NUMBER_WAIT);
            // Relaxed: one word that orders nothing else.
            let last = self.last.load(Ordering::Relaxed);
            let exit = if i32::try_from(last) == Ok(SIGINT) {
                Exit::Interrupted
            } else {
                Exit::Terminated
            };
            std::process::exit(exit.code().into());
        }
        // Ignored: the queue has room for the two signals that come before an exit.
        let _ = self.sender.try_send(nth);
    }
}

/// Thousands of times what a signal handler takes.
const NUMBER_WAIT: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests;
