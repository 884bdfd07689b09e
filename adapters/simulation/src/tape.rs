//! Every choice of a simulation, written down: the tape.
//!
//! A choice has a label, for people, and a value below its count; 0 is always the harmless one: no
//! fault, the first, the shortest. Played back, a tape makes the same run again, and a tape of
//! fewer and smaller values makes a simpler one: that is what shrinking relies on.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;

/// The values of a run's choices, in order. Choices beyond its end are 0.
///
/// Its text is short for what is mostly 0: `3.0x12.5` are 3, twelve times 0, and 5.
///
/// # Examples
///
/// ```
/// use mayhem_sim::Tape;
///
/// let tape: Tape = "3.0x12.5".parse().unwrap();
/// assert_eq!(tape.values().len(), 14);
/// assert_eq!(tape.to_string(), "3.0x12.5");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tape(Vec<u64>);

/// One choice of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What it was about.
    pub label: &'static str,
    /// What it came to.
    pub value: u64,
}

/// A text is no [`Tape`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotATape;

/// Makes a simulation's choices; all clones use one tape.
///
/// # Examples
///
/// ```
/// use mayhem_sim::Simulation;
///
/// let sim = Simulation::new(7);
/// let dice = sim.dice();
/// let (size, is_slow) = (dice.choose("size", 10), dice.chance("slow", 0.5));
///
/// let dice = Simulation::replay(&sim.tape()).dice();
/// assert_eq!(dice.choose("size", 10), size);
/// assert_eq!(dice.chance("slow", 0.5), is_slow);
/// ```
#[derive(Clone)]
pub struct Dice {
    choices: Arc<Choices>,
}

struct Choices {
    source: Source,
    /// `None` where they are not written down.
    made: Option<Mutex<Vec<Choice>>>,
    /// How often each thing happened: of few kinds.
    hits: Mutex<Vec<(&'static str, u64)>>,
}

/// Where choices come from. Of several threads one draws at a time: that which holds what was
/// made. Where nothing is written down there is but one thread.
enum Source {
    /// The state of a generator.
    Seed(AtomicU64),
    Tape {
        values: Vec<u64>,
        next: AtomicUsize,
    },
}

impl Tape {
    /// The values.
    pub fn values(&self) -> &[u64] {
        &self.0
    }

    /// How many choices are not the harmless one.
    pub fn fault_count(&self) -> usize {
        self.0.iter().filter(|value| **value > 0).count()
    }
}

impl From<Vec<u64>> for Tape {
    /// Without the zeros at the end, which say nothing.
    fn from(mut values: Vec<u64>) -> Self {
        let length = values.iter().rposition(|value| *value > 0);
        values.truncate(length.map_or(0, |last| last + 1));
        Self(values)
    }
}

impl fmt::Display for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runs = self.0.chunk_by(|one, other| one == other);
        for (index, run) in runs.enumerate() {
            let dot = if index == 0 { "" } else { "." };
            match run {
                [value] => write!(f, "{dot}{value}")?,
                [value, ..] => write!(f, "{dot}{value}x{}", run.len())?,
                [] => {}
            }
        }
        Ok(())
    }
}

impl FromStr for Tape {
    type Err = NotATape;

    fn from_str(text: &str) -> Result<Self, NotATape> {
        let mut values = Vec::new();
        for part in text.trim().split('.').filter(|part| !part.is_empty()) {
            let (value, count) = part.split_once('x').unwrap_or((part, "1"));
            let value: u64 = value.parse().map_err(|_| NotATape)?;
            let count: usize = count.parse().map_err(|_| NotATape)?;
            if values.len() + count > TAPE_MAX {
                return Err(NotATape);
            }
            values.resize(values.len() + count, value);
        }
        Ok(Self::from(values))
    }
}

impl fmt::Display for NotATape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a tape is numbers with dots between them, such as 3.0x12.5")
    }
}

impl Error for NotATape {}

impl Dice {
    pub(crate) fn with_seed(seed: u64) -> Self {
        Self::new(Source::Seed(AtomicU64::new(seed)), true)
    }

    /// Of one thread, and not written down.
    pub(crate) fn without_tape(seed: u64) -> Self {
        Self::new(Source::Seed(AtomicU64::new(seed)), false)
    }

    pub(crate) fn with_tape(tape: &Tape) -> Self {
        let source = Source::Tape {
            values: tape.0.clone(),
            next: AtomicUsize::new(0),
        };
        Self::new(source, true)
    }

    fn new(source: Source, is_written: bool) -> Self {
        let made = is_written.then(|| Mutex::new(Vec::with_capacity(CHOICES)));
        Self {
            choices: Arc::new(Choices {
                source,
                made,
                hits: Mutex::default(),
            }),
        }
    }

    /// One of `count` values from 0, which is the harmless one. Not on the tape when there is but
    /// one.
    pub fn choose(&self, label: &'static str, count: u64) -> u64 {
        if count <= 1 {
            return 0;
        }
        let draw = |dice: &mut Rng| dice.u64(..count);
        self.choices.make(label, draw, count - 1)
    }

    /// Whether something happens that has a probability. Not on the tape when it cannot.
    #[inline]
    pub fn chance(&self, label: &'static str, probability: f64) -> bool {
        // Most cannot happen, and of the others most do not.
        probability > 0.0 && self.choices.happens(label, probability)
    }

    /// A duration of up to `max`; 0 is the shortest.
    pub fn duration(&self, label: &'static str, max: Duration) -> Duration {
        let nanos = u64::try_from(max.as_nanos()).unwrap_or(u64::MAX - 1);
        Duration::from_nanos(self.choose(label, nanos.saturating_add(1)))
    }

    /// One of several; the first is the harmless one. Panics when there are none.
    pub fn pick<T: Copy>(&self, label: &'static str, items: &[T]) -> T {
        let index = self.choose(label, items.len() as u64);
        items[usize::try_from(index).expect("below the length of a slice")]
    }

    /// The choices made so far, if they are written down.
    pub fn choices(&self) -> Vec<Choice> {
        let made = self.choices.made.as_ref();
        made.map_or_else(Vec::new, |made| lock(made).clone())
    }

    /// The values of the choices made so far, if they are written down.
    pub fn tape(&self) -> Tape {
        let made = self.choices.made.as_ref().map(lock);
        let values = made.iter().flat_map(|made| made.iter());
        Tape::from(values.map(|choice| choice.value).collect::<Vec<u64>>())
    }

    /// How often each [`chance`](Self::chance) came about, by label.
    pub fn hits(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.choices.hits).iter().copied().collect()
    }
}

impl fmt::Debug for Dice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dice")
            .field("hits", &self.hits())
            .finish_non_exhaustive()
    }
}

impl Choices {
    /// Makes the choice whether something happens that has a probability; counts it if it does.
    fn happens(&self, label: &'static str, probability: f64) -> bool {
        let draw = |dice: &mut Rng| u64::from(dice.f64() < probability);
        let is_hit = self.make(label, draw, 1) == 1;
        if is_hit {
            self.count(label);
        }
        is_hit
    }

    #[cold]
    fn count(&self, label: &'static str) {
        let mut hits = lock(&self.hits);
        match hits.iter_mut().find(|it| it.0 == label) {
            Some((_, count)) => *count += 1,
            None => hits.push((label, 1)),
        }
    }

    /// Makes a choice of up to `value_max`.
    #[inline]
    fn make(&self, label: &'static str, draw: impl FnOnce(&mut Rng) -> u64, value_max: u64) -> u64 {
        if let (Source::Seed(state), None) = (&self.source, &self.made) {
            // Most runs, by far.
            return roll(state, draw);
        }
        let made = self.made.as_ref().map(lock);
        // Relaxed: under the lock, or of one thread.
        let value = match &self.source {
            Source::Seed(state) => roll(state, draw),
            Source::Tape { values, next } => {
                let index = next.load(Ordering::Relaxed);
                next.store(index + 1, Ordering::Relaxed);
                values.get(index).map_or(0, |value| (*value).min(value_max))
            }
        };
        if let Some(mut made) = made {
            made.push(Choice { label, value });
        }
        value
    }
}

fn roll(state: &AtomicU64, draw: impl FnOnce(&mut Rng) -> u64) -> u64 {
    // Relaxed: under a lock, or of one thread.
    let mut dice = Rng::with_seed(state.load(Ordering::Relaxed));
    let value = draw(&mut dice);
    state.store(dice.get_seed(), Ordering::Relaxed);
    value
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What most runs choose, so that the list seldom has to be moved.
const CHOICES: usize = 4_096;

/// Far more choices than any run makes, and no harm to memory.
const TAPE_MAX: usize = 50_000_000;
