//! What the queue's lock protects: the values in line, their marks, and the books.
//!
//! Plain data, and no code of the user's runs in here: weights and keys come in as numbers.

use std::collections::{HashMap, VecDeque};
use std::task::Waker;

use super::closing::CloseHook;
use super::flow::FlowState;
use super::outcome::CloseReason;

pub(super) struct State<T> {
    pub(super) values: VecDeque<T>,
    /// Of a stream that weighs or keys its values.
    marks: Option<Marks>,
    /// A push that finds fewer values than this needs no other look: it is open, there is room,
    /// and no watermark is crossed. The true limit is this or more.
    pub(super) limit: usize,
    /// The room that permits hold.
    pub(super) reserved: usize,
    pub(super) phase: Phase,
    pub(super) consumer: Option<Waker>,
    /// Threads that wait for room.
    pub(super) blocked: usize,
    /// Whoever else is to be told of room.
    pub(super) signals: Signals,
    pub(super) flow: FlowState,
    pub(super) on_close: Option<CloseHook>,
    pub(super) reason: Option<CloseReason>,
    pub(super) counts: Counts,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Takes and gives values.
    Open,
    /// Takes no more, except by permits; what is there is still given.
    Draining,
    /// Neither takes nor gives.
    Closed,
}

#[derive(Default)]
pub(super) struct Counts {
    pub(super) taken: u64,
    pub(super) displaced: u64,
    pub(super) discarded: u64,
    pub(super) refused: u64,
    pub(super) late: u64,
    pub(super) deadlocks: u64,
}

/// Told once, when there is room or the stream closes. Taken out under the lock, told outside it.
#[derive(Default)]
pub(super) struct Signals {
    /// Tasks that wait in `push_async` or `permit_async`, by the id of their wait.
    pub(super) tasks: Vec<(u64, Waker)>,
    /// The closures of `when_ready`, one per sink.
    pub(super) ready: Vec<(u64, Box<dyn FnOnce() + Send>)>,
}

impl Signals {
    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty() && self.ready.is_empty()
    }
}

/// What a value weighs, and under which key it is kept.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    pub(super) weight: usize,
    pub(super) key: Option<u128>,
}

impl Mark {
    /// Of a value in a stream that neither weighs nor keys.
    pub(super) const PLAIN: Self = Self {
        weight: 1,
        key: None,
    };
}

/// The marks of the values in line.
#[derive(Default)]
struct Marks {
    line: VecDeque<Mark>,
    weight: usize,
    /// The number in line of the value of each key; `passed` is the number of the first in line.
    by_key: HashMap<u128, u64>,
    passed: u64,
}

impl Marks {
    fn push(&mut self, mark: Mark) {
        if let Some(key) = mark.key {
            self.by_key
                .insert(key, self.passed + self.line.len() as u64);
        }
        self.weight += mark.weight;
        self.line.push_back(mark);
    }

    fn pop(&mut self) {
        let Some(mark) = self.line.pop_front() else {
            return;
        };
        self.weight -= mark.weight;
        self.passed += 1;
        if let Some(key) = mark.key {
            self.by_key.remove(&key);
        }
    }
}

impl<T> State<T> {
    pub(super) fn new(is_marked: bool, on_close: Option<CloseHook>) -> Self {
        Self {
            values: VecDeque::new(),
            marks: is_marked.then(Marks::default),
            limit: 0,
            reserved: 0,
            phase: Phase::Open,
            consumer: None,
            blocked: 0,
            signals: Signals::default(),
            flow: FlowState::default(),
            on_close,
            reason: None,
            counts: Counts::default(),
        }
    }

    /// What the values in line weigh.
    pub(super) fn weight(&self) -> usize {
        match &self.marks {
            Some(marks) => marks.weight,
            None => self.values.len(),
        }
    }

    /// What is not to be given to anybody: values in line, in the consumer's hand, and permits.
    pub(super) fn held(&self, in_hand: usize) -> usize {
        self.weight() + in_hand + self.reserved
    }

    /// Adds a value to the line.
    #[inline]
    pub(super) fn append(&mut self, value: T, mark: Mark) {
        self.values.push_back(value);
        if let Some(marks) = &mut self.marks {
            marks.push(mark);
        }
    }

    /// Takes the first value out of the line, to be displaced.
    pub(super) fn displace(&mut self) -> Option<T> {
        let value = self.values.pop_front()?;
        if let Some(marks) = &mut self.marks {
            marks.pop();
        }
        self.counts.displaced += 1;
        Some(value)
    }

    /// Puts the value in the place of the one with the same key.
    ///
    /// # Errors
    ///
    /// The value, if none has its key.
    pub(super) fn replace(&mut self, value: T, mark: Mark) -> Result<T, T> {
        let place = self.marks.as_ref().and_then(|marks| {
            let number = marks.by_key.get(&mark.key?)?;
            usize::try_from(number - marks.passed).ok()
        });
        match place.and_then(|place| self.values.get_mut(place)) {
            Some(older) => {
                self.counts.displaced += 1;
                Ok(std::mem::replace(older, value))
            }
            None => Err(value),
        }
    }

    /// Moves the first `count` values into the hand.
    pub(super) fn move_to(&mut self, hand: &mut VecDeque<T>, count: usize) {
        hand.extend(self.values.drain(..count));
        if let Some(marks) = &mut self.marks {
            (0..count).for_each(|_| marks.pop());
        }
    }

    /// Takes everything out of the line, unread.
    pub(super) fn clear(&mut self) -> VecDeque<T> {
        if let Some(marks) = &mut self.marks {
            *marks = Marks::default();
        }
        let unread = std::mem::take(&mut self.values);
        self.counts.discarded += unread.len() as u64;
        unread
    }

    /// Whether anybody waits to be told of room.
    pub(super) fn is_waited_for(&self) -> bool {
        self.blocked > 0 || !self.signals.is_empty()
    }

    /// Whether the consumer will get no more values than it has.
    pub(super) fn is_over(&self) -> bool {
        match self.phase {
            Phase::Open => false,
            // What a permit holds is still to come.
            Phase::Draining => self.values.is_empty() && self.reserved == 0,
            Phase::Closed => true,
        }
    }

    /// Learns how far pushes may go without a look, now that the hand holds so much.
    pub(super) fn learn(&mut self, capacity: usize, high: Option<usize>, in_hand: usize) {
        if self.marks.is_some() || self.phase != Phase::Open {
            self.limit = 0;
            return;
        }
        let mut most = capacity;
        if let Some(high) = high
            && !self.flow.is_paused
        {
            // The push that reaches the mark takes the long way.
            most = high - 1;
        }
        self.limit = most.saturating_sub(in_hand + self.reserved);
    }
}
