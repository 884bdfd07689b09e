//! The SDK's and the pool's errors as the port's two kinds.

use mayhem_bridge::BlockingError;
use mayhem_core::BrokerError;

/// Only a busy file is worth trying again; after any other error the SDK's handle has latched.
pub(crate) fn of_sdk(error: vendor_sdk::Error) -> BrokerError {
    if error.is_retryable() {
        BrokerError::Retryable(Box::new(error))
    } else {
        BrokerError::Permanent(Box::new(error))
    }
}

/// A thread may be had later; a closed pool or a panic stays.
pub(crate) fn of_pool(error: BlockingError) -> BrokerError {
    match error {
        BlockingError::Spawn(_) | BlockingError::Cancelled => {
            BrokerError::Retryable(Box::new(error))
        }
        _ => BrokerError::Permanent(Box::new(error)),
    }
}

#[cfg(test)]
mod tests;
