//! How errors are classified.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mayhem_bridge::BlockingError;
use mayhem_core::BrokerError;
use vendor_sdk::Error;

use super::{of_pool, of_sdk};

#[test]
fn only_a_locked_file_is_worth_trying_again() {
    let path = || "queue".into();
    let detail = || "why".to_owned();
    let waited = Duration::from_secs(5);
    let full = Error::Full {
        path: path(),
        detail: detail(),
    };
    let errors = [
        Error::Latched {
            first: Arc::new(full.clone()),
        },
        full,
        Error::Io {
            path: path(),
            detail: detail(),
        },
        Error::Corrupt {
            path: path(),
            detail: detail(),
        },
        Error::Closed { path: path() },
        Error::Refused {
            path: path(),
            detail: detail(),
        },
    ];

    for error in errors {
        assert!(matches!(of_sdk(error), BrokerError::Permanent(_)));
    }
    let locked = of_sdk(Error::Locked {
        path: path(),
        waited,
    });
    let BrokerError::Retryable(cause) = locked else {
        panic!("{locked:?}")
    };
    assert_eq!(
        cause.to_string(),
        "queue was locked by another process for 5s"
    );
}

#[test]
fn a_pool_without_a_thread_may_have_one_later_and_a_closed_one_never() {
    let no_thread = BlockingError::Spawn(io::Error::from(io::ErrorKind::WouldBlock));
    assert!(matches!(of_pool(no_thread), BrokerError::Retryable(_)));
    assert!(matches!(
        of_pool(BlockingError::Cancelled),
        BrokerError::Retryable(_)
    ));
    assert!(matches!(
        of_pool(BlockingError::PoolClosed),
        BrokerError::Permanent(_)
    ));
}
