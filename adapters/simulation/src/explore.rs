//! Looks for a run that breaks a promise, and makes it small.

use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use mayhem_core::Instant;

use crate::{Hang, Simulation, Tape, Violation};

/// A run that broke a promise.
#[derive(Clone, Debug)]
pub struct Found {
    /// The seed that led there.
    pub seed: u64,
    /// The promise.
    pub violation: Violation,
    /// The choices: the same run again, or one that breaks the same promise with fewer of them.
    pub tape: Tape,
}

/// Runs `scenario` with one seed after the other until one breaks a promise, which is made smaller
/// then.
///
/// # Errors
///
/// The run that was found; to be [printed](Found), and run again with [`Simulation::replay`].
///
/// # Examples
///
/// A handler of one's own, checked against a hundred brokers that fail in ways of their own:
///
/// ```
/// use mayhem_core::{Consumer, Delivery, Verdict};
/// use mayhem_sim::{
///     Checker, Faults, Hang, Hazards, Promises, SimBroker, SimSettings, SimStore, Simulation,
///     StoreSettings, explore,
/// };
///
/// fn saves_before_it_acks(sim: &Simulation) -> Result<(), Hang> {
///     sim.set_hazards(Hazards::swarm(&sim.dice()));
///     let faults = Faults::swarm(&sim.dice());
///     let broker = SimBroker::new(sim, SimSettings { faults, ..SimSettings::default() });
///     let store = SimStore::new(sim, StoreSettings::swarm(&sim.dice()));
///     (0..10).for_each(|number| drop(broker.publish([number])));
///     broker.finish();
///
///     let checker = Checker::new(sim, &broker);
///     let saved = store.clone();
///     checker.before_ack(move |id| saved.is_durable(id.as_str()));
///     let consumer = Consumer::builder()
///         .broker(broker.clone())
///         .clock(sim.clock())
///         .max_deliveries(1_000)
///         .handler(async |delivery: &Delivery| {
///             let handler = async {
///                 match store.commit(delivery.id().as_str()).await {
///                     Ok(()) => Verdict::Ack,
///                     Err(_) => Verdict::Retry { after: None },
///                 }
///             };
///             checker.watch(delivery, handler).await
///         })
///         .on_event(checker.observer())
///         .build();
///     let promises = Promises { max_deliveries: 1_000, ..Promises::default() };
///     checker.begin(sim, &consumer.control(), promises);
///     let report = sim.run(consumer.run())?;
///     checker.end(&report);
///     checker.violation().map_or(Ok(()), |violation| Err(Hang::Violated(violation)))
/// }
///
/// if let Err(found) = explore(0..100, saves_before_it_acks) {
///     panic!("{found}");
/// }
/// ```
///
/// What is printed then begins with the seed and ends with the tape. Either is the run again, to be
/// looked at closely:
///
/// ```
/// use mayhem_sim::{Hang, Simulation};
///
/// fn scenario(sim: &Simulation) -> Result<(), Hang> {
///     sim.run(sim.clock().sleep(std::time::Duration::from_secs(1)))
/// }
///
/// assert!(scenario(&Simulation::new(42)).is_ok());
/// let tape = "3.0x12.5".parse().expect("a tape");
/// assert!(scenario(&Simulation::replay(&tape)).is_ok());
/// ```
pub fn explore(
    seeds: Range<u64>,
    mut scenario: impl FnMut(&Simulation) -> Result<(), Hang>,
) -> Result<(), Box<Found>> {
    for seed in seeds {
        let sim = Simulation::new(seed);
        if let Err(violation) = attempt(&sim, &mut scenario) {
            let found = Found {
                seed,
                violation,
                tape: sim.tape(),
            };
            return Err(Box::new(shrink(found, SHRINK_TRIES, scenario)));
        }
    }
    Ok(())
}

/// Runs a scenario once. A hang and a panic are broken promises too: `no hang` and `no panic`.
///
/// # Errors
///
/// The promise that was broken.
pub fn attempt<T>(
    sim: &Simulation,
    scenario: impl FnOnce(&Simulation) -> Result<T, Hang>,
) -> Result<T, Violation> {
    // Unwind safe: the simulation is not run again after a panic.
    match catch_unwind(AssertUnwindSafe(|| scenario(sim))) {
        Ok(Ok(output)) => Ok(output),
        Ok(Err(Hang::Violated(violation))) => Err(violation),
        Ok(Err(hang)) => Err(Violation {
            invariant: "no hang",
            detail: hang.to_string(),
            at: sim.now(),
        }),
        Err(payload) => {
            let text = payload.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
            Err(Violation {
                invariant: "no panic",
                detail: text.unwrap_or("not a text").to_owned(),
                at: sim.now(),
            })
        }
    }
}

/// Makes the tape of a run smaller as long as the same promise is broken, in at most `tries` runs:
/// choices are cut out, set to 0, and halved.
pub fn shrink(
    mut found: Found,
    tries: usize,
    mut scenario: impl FnMut(&Simulation) -> Result<(), Hang>,
) -> Found {
    let mut left = tries;
    let mut is_broken = |found: &mut Found, values: Vec<u64>| {
        let tape = Tape::from(values);
        if left == 0 || tape == found.tape {
            return false;
        }
        left -= 1;
        let sim = Simulation::replay(&tape);
        match attempt(&sim, &mut scenario) {
            Err(violation) if violation.invariant == found.violation.invariant => {
                found.violation = violation;
                found.tape = tape;
                true
            }
            _ => false,
        }
    };
    // What the run did not come to is the first to go.
    let mut length = usize::MAX;
    while found.tape.values().len() < length {
        length = found.tape.values().len();
        spans(&mut found, &mut is_broken, |values, span| {
            values.drain(span);
        });
        spans(&mut found, &mut is_broken, |values, span| {
            values[span].fill(0)
        });
        halve(&mut found, &mut is_broken);
    }
    found
}

/// Changes ever shorter spans, from the end to the start.
fn spans(
    found: &mut Found,
    is_broken: &mut impl FnMut(&mut Found, Vec<u64>) -> bool,
    change: impl Fn(&mut Vec<u64>, Range<usize>),
) {
    let mut size = found.tape.values().len();
    while size > 0 {
        let mut end = found.tape.values().len();
        while end > 0 {
            let start = end.saturating_sub(size);
            let mut values = found.tape.values().to_vec();
            if values[start..end].iter().any(|value| *value > 0) || end < values.len() {
                change(&mut values, start..end);
                is_broken(found, values);
            }
            end = start.min(found.tape.values().len());
        }
        size /= 2;
    }
}

fn halve(found: &mut Found, is_broken: &mut impl FnMut(&mut Found, Vec<u64>) -> bool) {
    let mut index = 0;
    while index < found.tape.values().len() {
        let mut values = found.tape.values().to_vec();
        values[index] /= 2;
        let is_smaller = values[index] > 0 && is_broken(found, values);
        if !is_smaller {
            index += 1;
        }
    }
}

impl Simulation {
    fn now(&self) -> Instant {
        self.world().now()
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seed,
            violation,
            tape,
        } = self;
        writeln!(f, "seed {seed}: {violation}")?;
        write!(f, "with {} faults: {tape}", tape.fault_count())
    }
}

/// Some seconds of small runs.
const SHRINK_TRIES: usize = 4_000;
