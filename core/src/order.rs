//! Messages of one key, one after the other: a queue for every key with a message in hand.
//!
//! [`Lanes`] is a state machine without clock, future or lock. A lane has a head, which may start
//! or has started, and behind it a tail in the order of receipt; lanes know nothing of each other,
//! so that no key waits for another. What is deliberately absent: the keys themselves. A lane is
//! found by a hash of 64 bits, and two keys that share one share a lane, which costs them nothing
//! but time.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::{Instant, MessageId};

/// Names what messages must share to be handled one after the other: an account, a device.
///
/// # Examples
///
/// ```
/// use mayhem_core::OrderKey;
///
/// assert_eq!(OrderKey::of("account 7"), OrderKey::of(&"account 7".to_owned()));
/// assert_ne!(OrderKey::of(&(7, "eu")), OrderKey::of(&(8, "eu")));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OrderKey(u64);

impl OrderKey {
    /// The key of whatever can be hashed. Takes no memory.
    pub fn of<K: Hash + ?Sized>(key: &K) -> Self {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// What becomes of the messages of a key behind the first, when that has ended and is not done: it
/// was nacked, whatever for, or its lease was lost.
///
/// Those behind one whose lease was lost while it waited are handed back in either case.
///
/// Those of a key that come after one that was shed, because the broker delivered far too much, are
/// shed as well until that one is back, for a [`lease`](crate::Builder::lease) at most.
///
/// No consumer can promise order by itself. While the first message is away the broker may give it
/// to another consumer, or give the later ones to another consumer; only a broker that keeps the
/// keys of a subscription in order, or that gives all of a key to one consumer, makes a whole of
/// it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum NackedHead {
    /// They wait, under lease, until it comes back, and then it goes first.
    ///
    /// For a broker that redelivers one message and not those after it, to the same consumer. The
    /// wait ends when the message has not come back a [`lease`](crate::Builder::lease) after its
    /// delay, or when it would use up what the first of them may be under lease; then they are
    /// released as with `ReleaseTail`. In a [pause](crate::Control::pause) it does not end, except
    /// for the latter reason, for nobody can come back. New messages of the key wait as well, and
    /// all of them count as in hand: where they alone fill the
    /// [`prefetch`](crate::Builder::prefetch), the one that they wait for has no room to come back
    /// to before the wait ends.
    #[default]
    Stall,
    /// They are handed back, not as an attempt and with the same delay.
    ///
    /// For a broker that redelivers in order once everything from the first message on is its own
    /// again, as those with ordering keys do.
    ReleaseTail,
}

/// The keys with messages in hand.
#[derive(Debug)]
pub(crate) struct Lanes<T> {
    /// Only ever asked for one key: its order is of no consequence.
    by_key: HashMap<OrderKey, LaneId>,
    lanes: Vec<Lane<T>>,
    free: Vec<LaneId>,
    stalls: BTreeSet<(Instant, LaneId)>,
}

/// Names a lane as long as something is in it.
pub(crate) type LaneId = u32;

impl<T: Copy + Eq> Lanes<T> {
    pub(crate) fn new() -> Self {
        Self {
            by_key: HashMap::new(),
            lanes: Vec::new(),
            free: Vec::new(),
            stalls: BTreeSet::new(),
        }
    }

    /// Has a message line up; returns where, and whether it is the head and may start.
    pub(crate) fn join(&mut self, key: OrderKey, id: &MessageId, item: T) -> (LaneId, bool) {
        let number = self.lane_of(key);
        let lane = &mut self.lanes[number as usize];
        let is_back = lane.stall.as_ref().is_some_and(|stall| stall.id == *id);
        if is_back && let Some(stall) = lane.stall.take() {
            self.stalls.remove(&(stall.until, number));
        }
        let is_head = lane.head.is_none() && lane.stall.is_none();
        if is_head {
            lane.head = Some(item);
        } else {
            lane.tail.push_back(item);
        }
        (number, is_head)
    }

    /// Lets those who wait in a lane for its stall to end wait no longer than until then.
    pub(crate) fn hasten(&mut self, number: LaneId, until: Instant) {
        let stall = &mut self.lanes[number as usize].stall;
        if let Some(stall) = stall.as_mut().filter(|stall| until < stall.until) {
            self.stalls.remove(&(stall.until, number));
            stall.until = until;
            self.stalls.insert((until, number));
        }
    }

    /// Takes out a message that is done; returns who may start now.
    pub(crate) fn pass(&mut self, number: LaneId, item: T) -> Option<T> {
        let lane = &mut self.lanes[number as usize];
        if lane.head != Some(item) {
            lane.tail.retain(|other| *other != item);
            return None;
        }
        lane.head = lane.tail.pop_front();
        let next = lane.head;
        self.forget_if_empty(number);
        next
    }

    /// Takes out the head, which is not done, and keeps its place until it is back, until then at
    /// the latest.
    pub(crate) fn stall(&mut self, number: LaneId, id: &MessageId, until: Instant) {
        let lane = &mut self.lanes[number as usize];
        lane.head = None;
        let id = id.clone();
        lane.stall = Some(Stall { id, until });
        self.stalls.insert((until, number));
    }

    /// Takes out a message that is not done, and all those behind it, which it returns.
    pub(crate) fn dissolve(&mut self, number: LaneId, item: T) -> VecDeque<T> {
        let lane = &mut self.lanes[number as usize];
        if lane.head == Some(item) {
            lane.head = None;
            let tail = std::mem::take(&mut lane.tail);
            self.forget_if_empty(number);
            return tail;
        }
        // Those that wait are lost in the order in which they came: the first is found at once.
        let place = lane.tail.iter().position(|other| *other == item);
        let Some(place) = place else {
            return VecDeque::new();
        };
        let behind = lane.tail.split_off(place + 1);
        lane.tail.pop_back();
        behind
    }

    pub(crate) fn is_head(&self, number: LaneId, item: T) -> bool {
        self.lanes[number as usize].head == Some(item)
    }

    /// Ends the first stall if it ends by `until`; returns who was waited for, and who waited.
    pub(crate) fn end_stall(&mut self, until: Instant) -> Option<(MessageId, VecDeque<T>)> {
        let (end, number) = *self.stalls.first()?;
        if end > until {
            return None;
        }
        self.stalls.remove(&(end, number));
        let lane = &mut self.lanes[number as usize];
        let stall = lane.stall.take()?;
        let tail = std::mem::take(&mut lane.tail);
        self.forget_if_empty(number);
        Some((stall.id, tail))
    }

    /// The first of those that wait behind the head of a lane.
    pub(crate) fn second(&self, number: LaneId) -> Option<T> {
        self.lanes[number as usize].tail.front().copied()
    }

    /// When the first stall ends.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        self.stalls.first().map(|(until, _)| *until)
    }

    /// How many keys wait for a message to come back.
    pub(crate) fn stalled(&self) -> usize {
        self.stalls.len()
    }

    /// Everybody who waits behind a head, each lane in order.
    pub(crate) fn into_tails(self) -> Tails<T> {
        Tails {
            tail: VecDeque::new(),
            lanes: self.lanes.into_iter(),
        }
    }

    fn lane_of(&mut self, key: OrderKey) -> LaneId {
        let (lanes, free) = (&mut self.lanes, &mut self.free);
        *self.by_key.entry(key).or_insert_with(|| {
            if let Some(number) = free.pop() {
                lanes[number as usize].key = key;
                return number;
            }
            lanes.push(Lane {
                key,
                head: None,
                stall: None,
                tail: VecDeque::new(),
            });
            u32::try_from(lanes.len() - 1).expect("fewer keys than 2^32")
        })
    }

    fn forget_if_empty(&mut self, number: LaneId) {
        let lane = &mut self.lanes[number as usize];
        if lane.head.is_none() && lane.stall.is_none() {
            // A tail without either was taken out before.
            debug_assert!(lane.tail.is_empty());
            self.by_key.remove(&lane.key);
            self.free.push(number);
        }
    }
}

/// Those who waited when all order ended.
#[derive(Debug)]
pub(crate) struct Tails<T> {
    tail: VecDeque<T>,
    lanes: std::vec::IntoIter<Lane<T>>,
}

impl<T> Tails<T> {
    /// Appends some of them to `waiting`, in so many steps; returns whether there may be more.
    pub(crate) fn append_to(&mut self, waiting: &mut VecDeque<T>, count_max: usize) -> bool {
        for _ in 0..count_max {
            match self.tail.pop_front() {
                Some(item) => waiting.push_back(item),
                None => match self.lanes.next() {
                    Some(lane) => self.tail = lane.tail,
                    None => return false,
                },
            }
        }
        true
    }
}

#[derive(Debug)]
struct Lane<T> {
    key: OrderKey,
    /// Who may start or has started.
    head: Option<T>,
    /// Who is waited for; then there is no head.
    stall: Option<Stall>,
    tail: VecDeque<T>,
}

/// A head that is away.
#[derive(Debug)]
struct Stall {
    id: MessageId,
    until: Instant,
}

#[cfg(test)]
mod tests;
