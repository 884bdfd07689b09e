//! The journal as async code: every call runs on a pool thread.

use std::fmt;
use std::time::Duration;

use mayhem_bridge::BlockingPool;
use mayhem_core::BranchError;

use super::fatal::Fatal;
use crate::exit::Failure;
use crate::journal::{Journal, StoreError, StoreErrorKind};

/// The journal behind the pool.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    journal: Journal,
    pool: BlockingPool,
    fatal: Fatal,
}

impl Stored {
    pub(super) fn new(journal: Journal, pool: BlockingPool, fatal: Fatal) -> Self {
        Self {
            journal,
            pool,
            fatal,
        }
    }

    /// Runs one journal call under the job's name. Trouble that ends the service is raised at once.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses the answer, not the call: it runs to its end on its thread.
    pub(super) async fn call<R: Send + 'static>(
        &self,
        job: &'static str,
        call: impl FnOnce(&Journal) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, Trouble> {
        let journal = self.journal.clone();
        match self.pool.run_async(job, move |_| call(&journal)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) if error.kind() == StoreErrorKind::Busy => Err(Trouble::Busy(error)),
            Ok(Err(error)) => {
                self.fatal.raise(Failure::store(error.to_string()));
                Err(Trouble::Fatal)
            }
            Err(error) => {
                self.fatal.raise(Failure::failed(format!(
                    "the pool thread for {job}: {error}"
                )));
                Err(Trouble::Fatal)
            }
        }
    }
}

/// Why the journal gave no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Another process has it locked: try again.
    Busy(StoreError),
    /// It cannot be used any more, and the service is stopping.
    Fatal,
}

impl Trouble {
    /// As a branch reports it: the message goes back uncounted, since it is not its fault.
    pub(super) fn into_branch_error(self) -> BranchError {
        let after = match self {
            Self::Busy(_) => Duration::from_secs(1),
            Self::Fatal => Duration::ZERO,
        };
        BranchError::postpone(after, self.to_string())
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy(error) => error.fmt(f),
            Self::Fatal => f.write_str("the journal cannot be used; the service is stopping"),
        }
    }
}
