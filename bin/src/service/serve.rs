//! Puts the service together, drives it, and takes it apart in order.
//!
//! Up: lock, journal, queue, pool, fleet, consumer. Down: stop pulling, hand back what has not
//! started, drain, flush settlements (all of that is the engine's stop), stop the children, close
//! the queue and the journal, print the totals, give the lock back.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_channel::Receiver;
use futures::future::{self, LocalBoxFuture, OptionFuture};
use jiff::Timestamp;
use mayhem_bridge::BlockingPool;
use mayhem_core::Report;
use serde_json::{Value, json};
use vendor_sdk::Client;

use super::assembly::{self, Assembly};
use super::chaos::Chaos;
use super::dead_letters;
use super::events::Announcer;
use super::fatal::Fatal;
use super::report::{Summary, threads};
use super::signals::Signals;
use super::stop::Stopper;
use super::vitals::vitals;
use crate::config::Config;
use crate::control::{self, Control};
use crate::exit::{Exit, Failure};
use crate::fleet::Fleet;
use crate::journal::{Journal, Outcome};
use crate::lock::Lock;
use crate::queue;

/// What a service is made of before it is opened.
pub(crate) struct Setup {
    pub(crate) config: Arc<Config>,
    pub(crate) signals: Signals,
    pub(crate) announcer: Announcer,
    pub(crate) chaos: Option<Chaos>,
}

/// What runs beside the service and ends it: the demo's publisher.
///
/// It is begun once the fleet is up, with a receiver that closes when the service begins to stop,
/// and returns the ids that were published.
pub(crate) type Companion =
    Box<dyn FnOnce(Receiver<()>) -> LocalBoxFuture<'static, Result<Vec<String>, Failure>>>;

/// Runs a service until it is told to stop, or its companion ends.
///
/// # Errors
///
/// [`Failure`] with the exit code that tells why it ended, or could not begin.
///
/// # Blocking
///
/// For as long as the service runs.
pub(crate) fn serve(setup: Setup, companion: Option<Companion>) -> Result<(), Failure> {
    let service = &setup.config.service;
    let lock = Lock::take(&service.state)?;
    let _driver = mayhem_bridge::register_driver("mandrill");
    let _claims = [("ctrl-c", "mandrill"), ("async-io", "smol")]
        .map(|(name, owner)| mayhem_bridge::claim_threads(name, owner));
    let journal = Journal::open(&service.state).map_err(|error| store(&error))?;
    let client = queue::open(service)?;
    let pool = BlockingPool::builder()
        .name("mandrill")
        .threads(POOL_THREADS)
        .build();
    let parts = Parts {
        setup,
        journal,
        client,
        pool,
    };
    let ended = smol::block_on(parts.live(companion));
    let closed = parts.close(ended);
    drop(lock);
    closed
}

struct Parts {
    setup: Setup,
    journal: Journal,
    client: Client,
    pool: BlockingPool,
}

/// How the living part ended.
struct Ended {
    report: Report,
    outstanding: usize,
    /// The threads while everything was still up.
    threads: Vec<Value>,
    published: Option<Result<Vec<String>, Failure>>,
    fatal: Option<Failure>,
    was_handed_back: bool,
}

impl Parts {
    /// Everything between opening and closing the files.
    async fn live(&self, companion: Option<Companion>) -> Result<Ended, Failure> {
        dead_letters::settle(&self.client, &self.journal, &self.pool).await;
        let Setup {
            config,
            announcer,
            chaos,
            ..
        } = &self.setup;
        let fleet = Fleet::open(Arc::clone(config), self.pool.clone())
            .await
            .map_err(|error| store(&error))?;
        let assembly = Assembly::new(assembly::Ingredients {
            config,
            fleet: &fleet,
            journal: &self.journal,
            client: &self.client,
            pool: &self.pool,
            announcer,
            chaos: *chaos,
        })
        .await?;
        let Assembly {
            consumer,
            control,
            cancelled,
            fatal,
        } = assembly;
        let stopper = Stopper::new(control.clone(), announcer.clone(), config.service.grace);
        let companion = companion.map(|begin| begin(stopper.stopping()));
        let companion = async {
            let ended = OptionFuture::from(companion).await;
            if ended.is_some() {
                stopper.drain();
            }
            ended
        };
        log::info!(
            "up as pid {}: {} targets, state {}",
            std::process::id(),
            config.targets().count(),
            config.service.state.display()
        );
        let work = async {
            let (report, published) = future::join(consumer.run(), companion).await;
            let threads = threads();
            let fatal = fatal.take();
            let is_clean = stopper.is_ordered()
                && !cancelled.is_any()
                && fatal.is_none()
                && report.error.is_none();
            let is_clean = is_clean && stopper.unless_hurried(stop_children(&fleet)).await;
            let outstanding = control.stats().outstanding;
            let was_handed_back = !is_clean;
            Ended {
                report,
                outstanding,
                threads,
                published,
                fatal,
                was_handed_back,
            }
        };
        let beside = self.tend(&fleet, &fatal, &stopper, &control);
        match future::select(pin!(work), pin!(beside)).await {
            future::Either::Left((ended, _)) => Ok(ended),
            future::Either::Right((never, _)) => match never {},
        }
    }

    /// All that goes on beside the work until it ends: signals, questions, deaths of children.
    async fn tend(
        &self,
        fleet: &Fleet,
        fatal: &Fatal,
        stopper: &Stopper,
        consumer: &mayhem_core::Control,
    ) -> Infallible {
        let socket = self.listen();
        future::join5(
            watch_signals(&self.setup.signals, stopper),
            async {
                fatal.raised().await;
                stopper.hand_over();
            },
            async {
                if let Some(socket) = &socket {
                    socket.serve(|| status(fleet, consumer)).await;
                }
            },
            self.tend_dead_letters(),
            fleet.watch(),
        )
        .await;
        // Only the work's end ends this.
        future::pending().await
    }

    /// Listens for `mandrill status`; without the socket the service still runs.
    fn listen(&self) -> Option<Control> {
        let service = &self.setup.config.service;
        let path = self.setup.config.listen.control.clone();
        let path = path.unwrap_or_else(|| control::default_path(&service.state));
        Control::listen(&path)
            .inspect_err(|error| {
                log::warn!(
                    "control socket {}: {error}; status shows no threads",
                    path.display()
                );
            })
            .ok()
    }

    async fn tend_dead_letters(&self) {
        loop {
            async_io::Timer::after(DEAD_LETTERS_EVERY).await;
            dead_letters::settle(&self.client, &self.journal, &self.pool).await;
        }
    }

    /// Closes the files, prints the totals, and says how it all ended.
    fn close(self, ended: Result<Ended, Failure>) -> Result<(), Failure> {
        let accounted = match &ended {
            Ok(Ended {
                published: Some(Ok(ids)),
                ..
            }) => Some(self.account(ids)),
            _ => None,
        };
        let closed = self.close_files();
        let ended = ended?;
        let announcer = &self.setup.announcer;
        let outstanding = u64::try_from(ended.outstanding).unwrap_or(u64::MAX);
        let totals = &ended.report.totals;
        let mut summary = Summary::new(totals, outstanding, announcer.verdicts(), ended.threads);
        if let Some((count, is_accounted)) = accounted {
            summary = summary.with_published(count, is_accounted);
        }
        summary.print(announcer);
        announcer.stdout().flush(FLUSH_MAX);
        if let Some(failure) = ended.fatal {
            return Err(failure);
        }
        if let Some(error) = ended.report.error {
            return Err(store(&error));
        }
        if let Some(Err(failure)) = ended.published {
            return Err(failure);
        }
        closed?;
        if ended.was_handed_back {
            let message = "stopped before all was done; what was left is handed back to the queue \
                           and the next start finishes it";
            return Err(Failure::new(Exit::HandedBack, message));
        }
        Ok(())
    }

    /// Closes the queue and the journal, unless a call still runs: it would have to be waited for,
    /// and what is committed is safe without.
    fn close_files(&self) -> Result<(), Failure> {
        let pool = self.pool.shutdown(POOL_CLOSE_MAX);
        if !pool.is_clean() {
            log::warn!("calls were still running at the end: {pool:?}");
            return Ok(());
        }
        self.client.close().map_err(|error| store(&error))?;
        self.journal.close().map_err(|error| store(&error))
    }

    /// Counts the published ids, and tells whether each is finished or still in the queue.
    fn account(&self, ids: &[String]) -> (u64, bool) {
        let queued: std::collections::HashSet<String> = match self.client.browse(queue::TOPIC) {
            Ok(messages) => messages
                .iter()
                .map(|message| message.id.to_string())
                .collect(),
            Err(error) => {
                log::error!("{error}");
                return (ids.len() as u64, false);
            }
        };
        let is_known = |id: &String| {
            let row = self.journal.find(id).ok().flatten();
            queued.contains(id) || row.is_some_and(|row| row.outcome != Outcome::Open)
        };
        (ids.len() as u64, ids.iter().all(is_known))
    }
}

async fn watch_signals(signals: &Signals, stopper: &Stopper) {
    loop {
        match signals.next().await {
            1 => stopper.drain(),
            _ => stopper.hand_over(),
        }
    }
}

async fn stop_children(fleet: &Fleet) {
    let left = fleet.stop_all(Instant::now() + CHILDREN_STOP_MAX).await;
    for target in left {
        log::error!("{target} could not be stopped");
    }
}

/// What only the running daemon knows.
fn status(fleet: &Fleet, consumer: &mayhem_core::Control) -> Value {
    let targets: Vec<Value> = fleet
        .states()
        .into_iter()
        .map(|(target, state)| {
            let liveness = state.liveness.as_str();
            json!({
                "name": target,
                "state": liveness,
                "detail": state.detail,
                "before": state.identity,
            })
        })
        .collect();
    json!({
        "at": Timestamp::now(),
        "consumer": vitals(consumer),
        "threads": threads(),
        "targets": targets,
    })
}

/// A failure of the state: exit 4, with the error and its sources in one line.
fn store(error: &dyn std::error::Error) -> Failure {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        line = format!("{line}: {cause}");
        source = cause.source();
    }
    Failure::store(line)
}

/// Journal, files, exec and queue calls side by side; each is short.
const POOL_THREADS: usize = 6;
/// How long the calls that still run at the end are waited for.
const POOL_CLOSE_MAX: Duration = Duration::from_millis(200);
/// How long a slow reader of standard output is waited for at the end.
const FLUSH_MAX: Duration = Duration::from_millis(300);
/// How long a child may take to end on SIGTERM before it is killed.
const CHILDREN_STOP_MAX: Duration = Duration::from_secs(3);
/// How often dead letters are looked for.
const DEAD_LETTERS_EVERY: Duration = Duration::from_secs(60);
