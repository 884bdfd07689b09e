//! Checks at every step what a consumer promises, whatever its broker and its handler do.
//!
//! The checker sees three things: the broker's facts, the consumer's events and the handler's
//! life. `checks` holds what they must agree on; this file is where they come in. The invariants
//! are named in [`INVARIANTS`].

mod batching;
mod calls;
mod checks;
mod deaf;
mod facts;
mod few;
mod hand;
mod held;
mod hooks;
mod idle;
mod invariants;
mod life;
mod limits;
mod named;
mod order;
mod poison;
mod room;
mod slow;
mod steps;
mod timeouts;
mod told;
mod verdicts;

use std::fmt;
use std::future::{Future, poll_fn};
use std::hash::Hash;
use std::mem::discriminant;
use std::pin::pin;
use std::sync::Arc;

use mayhem_core::{
    Broker, Clock, Control, Delivery, DeliveryKey, Event, Instant, MessageId, Plan, Report, Verdict,
};

pub use self::checks::Promises;
use self::checks::{Checks, Start};
pub use self::invariants::INVARIANTS;
use crate::executor::Place;
use crate::guarded::Guarded;
use crate::world::World;
use crate::{SimBroker, SimClock, Simulation, Violation};

/// Watches one broker and the consumers that use it one after the other; the first broken promise
/// ends [`Simulation::run`].
///
/// # Examples
///
/// ```
/// use mayhem_core::{Consumer, Delivery, Verdict};
/// use mayhem_sim::{Checker, Promises, SimBroker, SimSettings, Simulation};
///
/// let sim = Simulation::new(3);
/// let broker = SimBroker::new(&sim, SimSettings::default());
/// broker.publish("restart web-1");
/// broker.finish();
///
/// let checker = Checker::new(&sim, &broker);
/// let consumer = Consumer::builder()
///     .broker(broker.clone())
///     .clock(sim.clock())
///     .handler(async |delivery: &Delivery| {
///         let handler = async { Verdict::Ack };
///         checker.watch(delivery, handler).await
///     })
///     .on_event(checker.observer())
///     .build();
/// checker.begin(&sim, &consumer.control(), Promises::default());
/// let report = sim.run(consumer.run()).expect("no promise is broken");
/// checker.end(&report);
/// assert_eq!(checker.violation(), None);
/// ```
#[derive(Clone)]
pub struct Checker {
    world: Arc<World>,
    clock: SimClock,
    checks: Arc<Guarded<Checks>>,
}

/// Work of a delivery that goes on after its handler; tells the checker when it is dropped.
#[must_use = "what is held ends when it is dropped"]
pub struct Hold {
    checker: Checker,
    id: MessageId,
    generation: usize,
}

impl Checker {
    /// Watches `broker` from now on, in place of whoever listened to it before.
    pub fn new(sim: &Simulation, broker: &SimBroker) -> Self {
        let checks = Checks {
            extend_count_max: broker.caps().extend_count_max,
            ..Checks::default()
        };
        let checker = Self {
            world: sim.world(),
            clock: sim.clock(),
            checks: Arc::new(Guarded::new(checks)),
        };
        sim.hold(Place::Checker, checker.checks.clone());
        let listener = checker.clone();
        broker.on_facts(move |facts| {
            listener.check(|checks, now| facts.iter().try_for_each(|fact| checks.fact(fact, now)));
        });
        let listener = checker.clone();
        broker.on_call(move |call, stage| {
            listener.check(|checks, now| checks.call(call, stage, now));
        });
        checker
    }

    /// A consumer's life begins; its stats are looked at after every poll in `sim`.
    pub fn begin(&self, sim: &Simulation, control: &Control, promises: Promises) {
        self.check(|checks, now| {
            checks.begin(promises, now);
            Ok(())
        });
        let (checker, control) = (self.clone(), control.clone());
        sim.watch(move || {
            let stats = control.stats();
            checker.check(|checks, now| checks.stats(&stats, now));
        });
    }

    /// For the consumer's `on_event`.
    pub fn observer(&self) -> impl FnMut(&Event) + Send + use<> {
        let checker = self.clone();
        move |event| {
            let delivery = event.delivery().map(|key| (&key.id, key.attempt));
            checker
                .world
                .record(&(discriminant(event), HashOf(delivery)));
            checker.check(|checks, now| checks.event(event, now));
        }
    }

    /// Runs a handler, and remembers what it came to.
    pub async fn watch(
        &self,
        delivery: &Delivery,
        handler: impl Future<Output = Verdict>,
    ) -> Verdict {
        let mut handler = pin!(handler);
        let mut scope = Scope {
            checker: self,
            start: None,
            delivery: delivery.key(),
            polling: None,
        };
        let verdict = poll_fn(|cx| {
            let remaining = (!delivery.is_lease_lost()).then(|| delivery.lease_remaining());
            self.check(|checks, now| {
                let start = match scope.start {
                    Some(start) => start,
                    None => checks.start(delivery, now)?,
                };
                scope.start = Some(start);
                checks.poll(&start, delivery, remaining, now)
            });
            scope.polling = Some(self.clock.now());
            let polled = handler.as_mut().poll(cx);
            scope.polled();
            polled
        })
        .await;
        if let Some(start) = scope.start.take() {
            let end = checks::End::Verdict(verdict.clone());
            self.check(|checks, now| checks.finish(&start, delivery.id(), end, now));
        }
        verdict
    }

    /// To be kept in work that is shielded by the handler of `delivery`.
    pub fn hold(&self, delivery: &Delivery) -> Hold {
        let mut generation = 0;
        self.check(|checks, _| {
            generation = checks.hold(delivery.id());
            Ok(())
        });
        Hold {
            checker: self.clone(),
            id: delivery.id().clone(),
            generation,
        }
    }

    /// A branch of a fan-out has failed, which is to be told once.
    pub fn branch_failed(&self) {
        self.check(|checks, now| {
            checks.branch_failures += 1;
            checks.error_at = now;
            Ok(())
        });
    }

    /// To be called with every change of the concurrency that is asked for.
    pub fn concurrency_wanted(&self, count_max: usize) {
        self.check(|checks, _| {
            checks.limits.wanted = Some(count_max);
            Ok(())
        });
    }

    /// To be called with every stop that is asked for.
    pub fn stopped(&self, plan: &Plan) {
        self.check(|checks, now| {
            checks.stopped(plan, now);
            Ok(())
        });
    }

    /// The consumer has returned its report.
    pub fn end(&self, report: &Report) {
        self.check(|checks, now| checks.end(report, now));
    }

    /// The consumer was dropped while it ran.
    pub fn crashed(&self) {
        self.check(|checks, _| {
            checks.crashed();
            Ok(())
        });
    }

    /// What must hold when the broker is told of an ack that counts: that the effect is safe.
    pub fn before_ack(&self, is_safe: impl FnMut(&MessageId) -> bool + Send + 'static) {
        self.checks
            .with(|checks| checks.is_safe = Some(Box::new(is_safe)));
    }

    /// Has the run end because of a promise of the scenario's own.
    pub fn violate(&self, invariant: &'static str, detail: impl Into<String>) {
        self.check(|_, _| Err(Broken(invariant, detail.into())));
    }

    /// The first promise that was broken.
    pub fn violation(&self) -> Option<Violation> {
        self.world.violation()
    }

    fn check(&self, check: impl FnOnce(&mut Checks, Time) -> Result<(), Broken>) {
        let time = Time {
            now: self.clock.now(),
            stolen: self.clock.stolen(),
        };
        let broken = self.checks.with(|checks| {
            if checks.stolen_at.stolen != time.stolen {
                checks.stolen_at = time;
            }
            check(checks, time)
        });
        if let Err(Broken(invariant, detail)) = broken {
            self.world.violate(Violation {
                invariant,
                detail,
                at: time.now,
            });
        }
    }
}

impl fmt::Debug for Checker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checker")
            .field("violation", &self.violation())
            .finish_non_exhaustive()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.checker.check(|checks, now| {
            let is_panic = std::thread::panicking();
            checks.release(&self.id, self.generation, is_panic, now)
        });
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// The instant of a check, and how much time was taken from the program until then.
#[derive(Clone, Copy, Debug, Default)]
struct Time {
    now: Instant,
    stolen: std::time::Duration,
}

/// The invariant and what happened.
struct Broken(&'static str, String);

/// A handler that is running; dropped early, it was cancelled or has panicked.
struct Scope<'a> {
    checker: &'a Checker,
    start: Option<Start>,
    delivery: DeliveryKey,
    /// Since when it is being polled.
    polling: Option<Instant>,
}

impl Scope<'_> {
    /// A poll has ended.
    fn polled(&mut self) {
        let Some((start, began)) = self.start.zip(self.polling.take()) else {
            return;
        };
        let took = self.checker.clock.now() - began;
        if !took.is_zero() {
            let delivery = &self.delivery;
            self.checker.check(|checks, now| {
                checks.polled(&start, delivery, took, now);
                Ok(())
            });
        }
    }
}

impl Drop for Scope<'_> {
    fn drop(&mut self) {
        // One that has panicked was a poll as well.
        self.polled();
        if let Some(start) = self.start.take() {
            let end = if std::thread::panicking() {
                checks::End::Panicked
            } else {
                checks::End::Cancelled
            };
            self.checker
                .check(|checks, now| checks.finish(&start, &self.delivery.id, end, now));
        }
    }
}

/// Hashes texts and numbers only, which is the same everywhere.
struct HashOf<'a>(Option<(&'a MessageId, u32)>);

impl Hash for HashOf<'_> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        if let Some((id, attempt)) = self.0 {
            id.as_str().hash(state);
            attempt.hash(state);
        }
    }
}
