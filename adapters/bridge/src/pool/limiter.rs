//! Permits that several pools share.

use std::collections::VecDeque;
use std::fmt;

use crate::sync::{Arc, Condvar, Mutex, MutexGuard};

/// A bound on what several [`BlockingPool`](crate::BlockingPool)s run together. Clones share it.
///
/// A job holds one permit from its start until its work has really returned: also when its owner
/// has cancelled or [abandoned](crate::Job::abandon_on_cancel) it, for until then it still burdens
/// whatever the limiter protects. Permits go to the threads in the order in which they came for
/// one; within a pool its jobs start in the order of their acceptance.
///
/// A job that runs inside another, because that one waits for it, shares the outer one's permit:
/// see [`BlockingPool`](crate::BlockingPool#nesting).
///
/// # Examples
///
/// ```
/// use mayhem_bridge::{BlockingPool, Limiter};
///
/// // Two pools, one database that bears three connections.
/// let connections = Limiter::new(3);
/// let reads = BlockingPool::builder().name("reads").threads(3).limiter(&connections).build();
/// let writes = BlockingPool::builder().name("writes").threads(2).limiter(&connections).build();
///
/// let read = reads.run("read", |_| 1).unwrap();
/// let write = writes.run("write", |_| 2).unwrap();
/// assert_eq!(read.wait().unwrap() + write.wait().unwrap(), 3);
/// assert_eq!((connections.stats().held, connections.stats().granted), (0, 2));
/// ```
#[derive(Clone)]
pub struct Limiter {
    shared: Arc<Shared>,
}

impl Limiter {
    /// Makes a limiter with so many permits.
    ///
    /// # Panics
    ///
    /// If `permits` is 0: nothing would ever run.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::Limiter;
    ///
    /// let limiter = Limiter::new(3);
    /// assert_eq!((limiter.stats().permits, limiter.stats().held), (3, 0));
    /// ```
    pub fn new(permits: usize) -> Self {
        assert!(permits > 0, "a limiter has at least one permit");
        let state = State {
            held: 0,
            abandoned: 0,
            granted: 0,
            line: VecDeque::new(),
        };
        Self {
            shared: Arc::new(Shared {
                permits,
                state: Mutex::new(state),
            }),
        }
    }

    /// Counts of this moment.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::{BlockingPool, Limiter};
    ///
    /// let limiter = Limiter::new(1);
    /// let pool = BlockingPool::builder().name("doc").limiter(&limiter).build();
    /// pool.run("first", |_| ()).unwrap().wait().unwrap();
    /// let stats = limiter.stats();
    /// assert_eq!((stats.granted, stats.held, stats.waiting), (1, 0, 0));
    /// ```
    pub fn stats(&self) -> LimiterStats {
        let state = self.shared.state.lock();
        LimiterStats {
            permits: self.shared.permits,
            held: state.held,
            abandoned: state.abandoned,
            waiting: state.line.len(),
            granted: state.granted,
        }
    }

    /// Whether both are the same limiter.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// A permit now, or a place in the line.
    pub(super) fn ask(&self) -> Result<Permit, Arc<Turn>> {
        let mut state = self.shared.state.lock();
        // Nobody is in line while there is a permit: whoever gives one back hands it on.
        if state.held < self.shared.permits {
            state.held += 1;
            state.granted += 1;
            drop(state);
            return Ok(Permit {
                limiter: Some(self.clone()),
            });
        }
        let turn = Arc::new(Turn {
            limiter: self.clone(),
            answered: Condvar::new(),
            answer: Mutex::new(None),
        });
        state.line.push_back(Arc::clone(&turn));
        Err(turn)
    }

    /// A job that holds a permit was given up by its owner.
    pub(super) fn note_abandoned(&self) {
        self.shared.state.lock().abandoned += 1;
    }

    pub(super) fn give_back(&self, was_abandoned: bool) {
        let mut state = self.shared.state.lock();
        state.abandoned -= usize::from(was_abandoned);
        hand_on(state);
    }
}

/// Gives a permit that is free to the next in line.
fn hand_on(mut state: MutexGuard<'_, State>) {
    let next = state.line.pop_front();
    if next.is_some() {
        state.granted += 1;
    } else {
        state.held -= 1;
    }
    drop(state);
    if let Some(turn) = next {
        turn.answer(Answer::Granted);
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("Limiter")
            .field(&self.stats())
            .finish()
    }
}

/// A limiter's counts at one moment.
///
/// # Examples
///
/// ```
/// use mayhem_bridge::{Limiter, LimiterStats};
///
/// let stats: LimiterStats = Limiter::new(2).stats();
/// let is_exhausted = stats.held == stats.permits;
/// assert!(!is_exhausted);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimiterStats {
    /// How many permits there are.
    pub permits: usize,
    /// Permits held; never more than there are.
    pub held: usize,
    /// Of those, permits held by jobs whose owner has given them up.
    pub abandoned: usize,
    /// Threads that wait for a permit, each with a job to run.
    pub waiting: usize,
    /// Permits granted since the limiter was made.
    pub granted: u64,
}

/// The right to run a job; given back when dropped.
pub(super) struct Permit {
    limiter: Option<Limiter>,
}

impl Permit {
    /// Gives it back after a job that may have been given up meanwhile.
    pub(super) fn end(mut self, was_abandoned: bool) {
        if let Some(limiter) = self.limiter.take() {
            limiter.give_back(was_abandoned);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(limiter) = self.limiter.take() {
            limiter.give_back(false);
        }
    }
}

/// A place in the line for a permit.
pub(super) struct Turn {
    limiter: Limiter,
    answer: Mutex<Option<Answer>>,
    answered: Condvar,
}

enum Answer {
    Granted,
    Withdrawn,
}

impl Turn {
    /// Parks until the permit is there; `None` if the place was withdrawn.
    pub(super) fn wait(&self) -> Option<Permit> {
        let mut answer = self.answer.lock();
        loop {
            match answer.take() {
                Some(Answer::Granted) => {
                    return Some(Permit {
                        limiter: Some(self.limiter.clone()),
                    });
                }
                Some(Answer::Withdrawn) => return None,
                None => (answer, _) = self.answered.wait_until(answer, None),
            }
        }
    }

    /// Takes the place out of the line, if it is still there.
    pub(super) fn withdraw(&self) {
        let mut state = self.limiter.shared.state.lock();
        let place = state
            .line
            .iter()
            .position(|turn| std::ptr::eq(Arc::as_ptr(turn), self));
        let turn = place.and_then(|place| state.line.remove(place));
        drop(state);
        if let Some(turn) = turn {
            turn.answer(Answer::Withdrawn);
        }
    }

    /// Answered once: by whoever took the turn out of the line.
    fn answer(&self, answer: Answer) {
        *self.answer.lock() = Some(answer);
        self.answered.notify_one();
    }
}

struct Shared {
    permits: usize,
    state: Mutex<State>,
}

struct State {
    held: usize,
    abandoned: usize,
    granted: u64,
    /// Empty while a permit is free.
    line: VecDeque<Arc<Turn>>,
}
