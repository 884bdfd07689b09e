//! The brokers that are put through the port's contract: the durable local one, in real time, and
//! the simulated one, in virtual time.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::executor::block_on;
use futures::future::{Either, LocalBoxFuture, select};
use mayhem_bridge::BlockingPool;
use mayhem_core::{Broker, Clock, Instant, MessageId};
use mayhem_local::LocalBroker;
use mayhem_sim::contract::World;
use mayhem_sim::{Fate, Faults, SimBroker, SimSettings, Simulation};
use mayhem_smol::SmolClock;
use rusqlite::Connection;
use tempfile::TempDir;
use vendor_sdk::{Client, Options, SubscribeOptions};

/// The topic of the local broker.
pub const TOPIC: &str = "contract";

/// The durable broker, with this many threads for its callbacks; one keeps the order.
#[derive(Debug)]
pub struct Local<const THREADS: usize> {
    /// The SDK's handle on the file.
    pub client: Client,
    /// Where blocking calls run.
    pub pool: BlockingPool,
    lease: Duration,
    // Last: the folder goes after what lives in it.
    folder: TempDir,
}

impl<const THREADS: usize> Local<THREADS> {
    /// Opens a file of its own.
    ///
    /// # Panics
    ///
    /// When it cannot.
    pub fn new(lease: Duration, options: Options) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let client = Client::open(&folder.path().join("queue"), options).expect("it opens");
        Self {
            client,
            pool: BlockingPool::builder().name("store").threads(2).build(),
            lease,
            folder,
        }
    }

    /// Subscribes.
    ///
    /// # Panics
    ///
    /// When it cannot.
    pub fn subscribe(&self) -> LocalBroker {
        let options = SubscribeOptions {
            lease: self.lease,
            max_outstanding: OUTSTANDING_MAX,
            threads: THREADS,
            ..SubscribeOptions::new(TOPIC)
        };
        let client = self.client.clone();
        let broker = LocalBroker::open(client, "contract", options, self.pool.clone());
        broker.expect("it subscribes")
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("queue")
    }
}

impl<const THREADS: usize> World for Local<THREADS> {
    const IS_ORDERED: bool = THREADS == 1;

    fn open(lease: Duration) -> Self {
        Self::new(lease, Options::default())
    }

    fn connect(&self) -> Arc<dyn Broker> {
        Arc::new(self.subscribe())
    }

    fn restart(&mut self) {
        self.client.close().expect("it was in order");
        self.client = Client::open(&self.file(), Options::default()).expect("it opens again");
    }

    fn publish(&self, payload: &[u8]) -> MessageId {
        let ids = self.client.publish(TOPIC, vec![payload.to_vec().into()]);
        ids.expect("published")[0].to_string().into()
    }

    fn dead_reason(&self, id: &MessageId) -> Option<String> {
        let letters = self.client.dead_letters(TOPIC).expect("read");
        letters
            .into_iter()
            .find(|letter| letter.id.to_string() == id.as_str())
            .map(|letter| letter.reason)
    }

    fn stall(&self) -> Option<Box<dyn Any>> {
        let other = Connection::open(self.file()).expect("it opens");
        other.busy_timeout(MINUTE).expect("a time");
        // The file has one writer at a time, and this one writes until it is dropped.
        other.execute_batch("BEGIN IMMEDIATE").expect("it begins");
        Some(Box::new(other))
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(SmolClock)
    }

    fn block_on(&self, future: LocalBoxFuture<'_, ()>) {
        block_on(future);
    }
}

thread_local! {
    /// The seed of the simulated worlds that are opened next on this thread.
    pub static SEED: Cell<u64> = const { Cell::new(1) };
}

/// The simulated broker.
pub struct Simulated {
    /// Its world.
    pub simulation: Simulation,
    /// The broker.
    pub broker: SimBroker,
}

impl World for Simulated {
    const IS_ORDERED: bool = true;

    fn open(lease: Duration) -> Self {
        let simulation = Simulation::new(SEED.get());
        let settings = SimSettings {
            lease,
            call_latency: Duration::ZERO..=Duration::from_millis(5),
            receive_latency: Duration::from_millis(1)..=Duration::from_millis(1),
            ..SimSettings::default()
        };
        Self {
            broker: SimBroker::new(&simulation, settings),
            simulation,
        }
    }

    fn connect(&self) -> Arc<dyn Broker> {
        self.broker.reopen();
        Arc::new(self.broker.clone())
    }

    fn restart(&mut self) {
        // Forgets every lease, as a broker does that keeps them in memory.
        self.broker.set_faults(Faults {
            stream_reset: 1.0,
            ..Faults::default()
        });
        let pull = mayhem_core::Pull::Next { count_max: 1 };
        let reset = self.simulation.run(self.broker.receive(pull));
        assert!(reset.expect("it does not hang").is_err());
        self.broker.set_faults(Faults::default());
    }

    fn publish(&self, payload: &[u8]) -> MessageId {
        self.broker.publish(payload)
    }

    fn dead_reason(&self, id: &MessageId) -> Option<String> {
        match self.broker.truth(id).fate {
            Fate::Dead { reason } => Some(reason),
            _ => None,
        }
    }

    fn stall(&self) -> Option<Box<dyn Any>> {
        self.broker.set_faults(Faults {
            black_holes: vec![Instant::ZERO..Instant::from_nanos(u64::MAX)],
            ..Faults::default()
        });
        Some(Box::new(Stall(self.broker.clone())))
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(self.simulation.clock())
    }

    fn block_on(&self, future: LocalBoxFuture<'_, ()>) {
        let horizon = self.simulation.clock().sleep(HORIZON);
        let ended = self.simulation.run(select(future, horizon));
        let is_over = matches!(ended.expect("nothing hangs"), Either::Left(_));
        assert!(is_over, "it has no end");
    }
}

impl fmt::Debug for Simulated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulated").finish_non_exhaustive()
    }
}

struct Stall(SimBroker);

impl Drop for Stall {
    fn drop(&mut self) {
        self.0.set_faults(Faults::default());
    }
}

/// More than any check holds, even when its leases run out unread several times.
const OUTSTANDING_MAX: usize = 256;
/// Far beyond what any check waits for, in virtual time.
const HORIZON: Duration = Duration::from_secs(24 * 3600);
const MINUTE: Duration = Duration::from_secs(60);
