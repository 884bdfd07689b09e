//! What the handlers of a life do: a fan-out of two that takes its time, fails and misbehaves.

use std::cell::Cell;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use mayhem_core::{BranchError, Delivery, Verdict};
use mayhem_sim::{Checker, Dice, SimClock, SimStore};

use crate::kills::Kills;
use crate::settings::{BRANCH_ENDS, Settings};

/// What the handlers of one consumer share.
#[derive(Clone)]
pub(crate) struct Play {
    pub(crate) clock: SimClock,
    pub(crate) dice: Dice,
    pub(crate) store: SimStore,
    pub(crate) checker: Checker,
    pub(crate) settings: Arc<Settings>,
    pub(crate) kills: Kills,
    pub(crate) has_canary: bool,
    /// Whether they do nothing that they should not.
    pub(crate) is_decent: bool,
    /// Tells the world that a promise was broken, which and how.
    pub(crate) broken: Arc<OnceLock<(&'static str, &'static str)>>,
}

/// Counts the branches that are alive.
struct Alive(Arc<AtomicUsize>);

impl Play {
    pub(crate) async fn decide(&self, delivery: &Delivery) -> Verdict {
        let alive = Arc::new(AtomicUsize::new(0));
        if self.has_canary && self.dice.chance("canary", CANARY) {
            return Verdict::Ack;
        }
        self.kills.may_kill(&self.dice, delivery).await;
        let (restart, record, notify) = (
            self.restart(Alive::new(&alive)),
            self.record(delivery, Alive::new(&alive)),
            self.notify(Alive::new(&alive)),
        );
        let policy = self.settings.features.policy;
        let verdict = match policy.run(delivery, restart, record, notify).await {
            Ok(verdict) => verdict,
            Err(detail) => {
                self.checker.violate("fan-out kept", detail);
                Verdict::Ack
            }
        };
        // Relaxed: the branches ran in this very task.
        if alive.load(Ordering::Relaxed) > 0 {
            self.break_promise("in hand once", "a branch outlives its fan-out");
        }
        self.kills.may_kill(&self.dice, delivery).await;
        self.misbehave(delivery).await;
        // Where other branches were enough, the effect may not be safe.
        let is_raced = policy.is_raced();
        if is_raced && verdict == Verdict::Ack && !self.store.is_durable(delivery.id().as_str()) {
            return Verdict::Retry { after: None };
        }
        verdict
    }

    pub(crate) fn break_promise(&self, invariant: &'static str, detail: &'static str) {
        // Ignored: the first that was broken is told.
        let _ = self.broken.set((invariant, detail));
    }

    async fn restart(&self, _alive: Alive) -> Result<(), BranchError> {
        self.work("restart").await;
        self.end(self.settings.branch_ends)
    }

    /// How a branch ends: one way of so many; the last of them are bad.
    fn end(&self, ways: u64) -> Result<(), BranchError> {
        let end = match ways - 1 - self.dice.choose("end of the branch", ways) {
            0 => {
                self.checker.branch_failed();
                panic_as_planned();
            }
            1 => BranchError::dead("planned"),
            2 => BranchError::postpone(self.delay(), "planned"),
            3 => BranchError::retry("planned"),
            4 => BranchError::retry_after(self.delay(), "planned"),
            _ => return Ok(()),
        };
        self.checker.branch_failed();
        Err(end)
    }

    /// What a branch wants its message to be put off by: some want less than there may be.
    fn delay(&self) -> Duration {
        self.dice.pick("delay", &[3, 1, 0]) * SECOND
    }

    async fn record(&self, delivery: &Delivery, _alive: Alive) -> Result<(), BranchError> {
        self.work("record").await;
        if self.settings.branch_ends < BRANCH_ENDS[0] {
            self.end(self.settings.branch_ends)?;
        }
        let commit = self.store.commit(delivery.id().as_str()).await;
        commit.map_err(|failed| {
            self.checker.branch_failed();
            BranchError::retry(failed)
        })
    }

    async fn notify(&self, _alive: Alive) -> Result<(), BranchError> {
        self.end(self.settings.branch_ends)
    }

    async fn work(&self, label: &'static str) {
        let slowness = self.settings.slowness;
        let longest = self.settings.lease / 40 * slowness;
        // By steps: to a nanosecond nothing ever happens at the same time.
        let steps = self.dice.choose(label, 11);
        let length = longest / 10 * u32::try_from(steps).unwrap_or(0);
        if !length.is_zero() {
            self.clock.sleep(length).await;
        }
    }

    /// What a handler does now and then that it should not.
    async fn misbehave(&self, delivery: &Delivery) {
        let kinds = if self.is_decent { 62 } else { 66 };
        let unit = self.settings.lease / 40;
        match self.dice.choose("misbehaviour", kinds) {
            60 => panic_as_planned(),
            // One that was cancelled is past it, though its batch goes on.
            61 if !delivery.is_cancelled() => {
                let hold = self.checker.hold(delivery);
                let rest = self.clock.sleep(self.dice.duration("shielded", 20 * unit));
                let is_bad = self.dice.choose("shielded work panics", 4) == 3;
                let shielded = async move {
                    let _hold = hold;
                    rest.await;
                    if is_bad {
                        panic_as_planned();
                    }
                };
                drop(delivery.shield(shielded));
            }
            // The whole process stands still for up to two leases.
            62 => self.clock.block(self.dice.duration("blocks", 80 * unit)),
            63 => self
                .clock
                .suspend(self.dice.duration("suspended", 80 * unit)),
            // Never ends by itself.
            64 => delivery.lease_lost().await,
            65 => self.clock.set_wall(0),
            _ => {}
        }
    }
}

impl Alive {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts the polls of a future, and says when one too many is due.
pub(crate) struct PollsLeft(Rc<Cell<u64>>);

impl PollsLeft {
    pub(crate) fn new(count: u64) -> Self {
        Self(Rc::new(Cell::new(count)))
    }

    /// Counts one poll; whether there was one left.
    pub(crate) fn take(&self) -> bool {
        let left = self.0.get();
        self.0.set(left.saturating_sub(1));
        left > 0
    }
}

/// Panics as part of a life, of which no hook need tell anybody.
pub(crate) fn panic_as_planned() -> ! {
    resume_unwind(Box::new("planned"))
}

/// How often the handler of the canary acks without having done anything.
const CANARY: f64 = 1.0 / 1_000.0;

const SECOND: Duration = Duration::from_secs(1);
