//! What drives the consumer.

use std::future::Future;

use crate::measure::Failure;

/// An executor that runs one future on the calling thread.
pub(crate) enum Executor {
    /// futures' own.
    BlockOn,
    /// smol's, with its reactor.
    Smol,
    /// tokio's, on the current thread.
    Tokio(tokio::runtime::Runtime),
}

impl Executor {
    /// A runtime for the current thread, without input, output and timers.
    pub(crate) fn tokio() -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        Ok(Self::Tokio(runtime))
    }

    /// Runs the future to its end.
    pub(crate) fn run<F: Future>(&self, future: F) -> F::Output {
        match self {
            Self::BlockOn => futures::executor::block_on(future),
            Self::Smol => smol::block_on(future),
            Self::Tokio(runtime) => runtime.block_on(future),
        }
    }
}
