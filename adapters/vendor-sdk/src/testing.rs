//! What the crate's tests share: clocks turned by hand, and a callback that hands its messages out.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use tempfile::TempDir;

use crate::time::{Source, Times, nanos};
use crate::{Client, Leased, Options, Outgoing, SubscribeOptions, Subscription};

/// How long a test waits for something that is to come: long, so that only a defect fails it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Both clocks of a machine.
#[derive(Debug)]
pub(crate) struct Hand {
    boot: AtomicI64,
    wall: AtomicI64,
}

impl Hand {
    pub(crate) fn new() -> Arc<Self> {
        // Some years of wall time and an hour of boot time, so that both can go back.
        let boot = AtomicI64::new(3_600_000_000_000);
        Arc::new(Self {
            boot,
            wall: AtomicI64::new(1_000_000_000_000_000_000),
        })
    }

    /// Time goes on.
    pub(crate) fn pass(&self, duration: Duration) {
        self.boot.fetch_add(nanos(duration), Ordering::SeqCst);
        self.wall.fetch_add(nanos(duration), Ordering::SeqCst);
    }

    /// Somebody sets the wall clock.
    pub(crate) fn set_wall_back(&self, duration: Duration) {
        self.wall.fetch_sub(nanos(duration), Ordering::SeqCst);
    }

    /// The clocks of a process, in the boot of this number.
    pub(crate) fn times(self: &Arc<Self>, boot: u8) -> Times {
        Times::new(Arc::clone(self) as Arc<dyn Source>, [boot; 16])
    }
}

impl Source for Hand {
    fn boot(&self) -> i64 {
        self.boot.load(Ordering::SeqCst)
    }

    fn wall(&self) -> i64 {
        self.wall.load(Ordering::SeqCst)
    }
}

/// A folder of its own with a queue file in it.
#[derive(Debug)]
pub(crate) struct Place {
    folder: TempDir,
    pub(crate) hand: Arc<Hand>,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self {
            folder,
            hand: Hand::new(),
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("queue")
    }

    pub(crate) fn open(&self) -> Client {
        self.open_with(Options::default())
    }

    pub(crate) fn open_with(&self, options: Options) -> Client {
        Client::open_with(&self.path(), options, self.hand.times(1)).expect("the file opens")
    }
}

/// Subscribes with a callback that only hands over.
pub(crate) fn collect(
    client: &Client,
    options: SubscribeOptions,
) -> (Subscription, Receiver<Leased>) {
    let (deliveries, delivered) = bounded(1024);
    let subscription = client
        .subscribe("reader", options, move |leased| {
            // Ignored: the test has ended.
            let _ = deliveries.send(leased);
        })
        .expect("a subscription");
    (subscription, delivered)
}

/// The next delivery.
pub(crate) fn next(delivered: &Receiver<Leased>) -> Leased {
    delivered.recv_timeout(PATIENCE).expect("a delivery")
}

/// Messages with their number as payload.
pub(crate) fn numbered(count: u8) -> Vec<Outgoing> {
    (0..count).map(|number| vec![number].into()).collect()
}
