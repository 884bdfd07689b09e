use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::{LaneId, Lanes, OrderKey};
use crate::{Instant, MessageId};

#[derive(Clone, Debug)]
enum Step {
    /// A new message of this key, or the one that this key waits for.
    Join(u8, bool),
    /// What becomes of one of those in the lanes.
    Pass(prop::sample::Index),
    Dissolve(prop::sample::Index),
    /// What becomes of one of the heads, for so long.
    Stall(prop::sample::Index, u64),
    EndStall(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4_u8, any::<bool>()).prop_map(|(key, is_back)| Step::Join(key, is_back)),
        2 => any::<prop::sample::Index>().prop_map(Step::Pass),
        1 => any::<prop::sample::Index>().prop_map(Step::Dissolve),
        2 => (any::<prop::sample::Index>(), 0..100_u64).prop_map(|(at, end)| Step::Stall(at, end)),
        1 => (0..100_u64).prop_map(Step::EndStall),
    ]
}

/// What a lane is like: the head first, unless it is away.
#[derive(Debug, Default)]
struct Model {
    items: Vec<u32>,
    away: Option<(MessageId, u64)>,
}

impl Model {
    fn head(&self) -> Option<u32> {
        let is_here = self.away.is_none();
        self.items.first().copied().filter(|_| is_here)
    }
}

#[derive(Default)]
struct World {
    lanes: BTreeMap<u8, Model>,
    /// Key and lane of each that is in one.
    places: BTreeMap<u32, (u8, LaneId)>,
    last: u32,
}

impl World {
    fn any(&self, at: &prop::sample::Index) -> Option<(u32, u8, LaneId)> {
        let (item, (key, lane)) = self.places.iter().nth(at.index(self.places.len().max(1)))?;
        Some((*item, *key, *lane))
    }

    fn model(&mut self, key: u8) -> &mut Model {
        self.lanes.entry(key).or_default()
    }

    fn apply(&mut self, lanes: &mut Lanes<u32>, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Join(key, is_back) => {
                self.last += 1;
                let item = self.last;
                let away = self.model(key).away.as_ref().map(|(id, _)| id.clone());
                let id = away.filter(|_| is_back);
                let id = id.unwrap_or_else(|| MessageId::from(item.to_string()));
                let (lane, is_head) = lanes.join(OrderKey::of(&key), &id, item);
                let model = self.model(key);
                if model.away.as_ref().is_some_and(|(away, _)| *away == id) {
                    model.away = None;
                    model.items.insert(0, item);
                } else {
                    model.items.push(item);
                }
                prop_assert_eq!(is_head, model.head() == Some(item));
                self.places.insert(item, (key, lane));
            }
            Step::Pass(at) => {
                let Some((item, key, lane)) = self.any(&at) else {
                    return Ok(());
                };
                self.places.remove(&item);
                let model = self.model(key);
                let was_head = model.head() == Some(item);
                model.items.retain(|other| *other != item);
                let next = model.head().filter(|_| was_head);
                prop_assert_eq!(lanes.pass(lane, item), next);
            }
            Step::Dissolve(at) => {
                let Some((item, key, lane)) = self.any(&at) else {
                    return Ok(());
                };
                self.places.remove(&item);
                let items = &mut self.model(key).items;
                let place = items.iter().position(|other| *other == item).unwrap_or(0);
                let behind = items.split_off(place + 1);
                items.pop();
                prop_assert_eq!(Vec::from(lanes.dissolve(lane, item)), &behind[..]);
                self.places.retain(|item, _| !behind.contains(item));
            }
            Step::Stall(at, end) => {
                let Some((item, key, lane)) = self.any(&at) else {
                    return Ok(());
                };
                let is_head = self.model(key).head() == Some(item);
                prop_assert_eq!(lanes.is_head(lane, item), is_head);
                if !is_head {
                    return Ok(());
                }
                self.places.remove(&item);
                let model = self.model(key);
                model.items.remove(0);
                let id = MessageId::from(item.to_string());
                lanes.stall(lane, &id, Instant::from_nanos(end));
                model.away = Some((id, end));
            }
            Step::EndStall(until) => self.end_stall(lanes, until)?,
        }
        Ok(())
    }

    fn end_stall(&mut self, lanes: &mut Lanes<u32>, until: u64) -> Result<(), TestCaseError> {
        let ends = self.lanes.values().filter_map(|model| model.away.as_ref());
        let first = ends.map(|(_, end)| *end).min();
        prop_assert_eq!(lanes.next_wake(), first.map(Instant::from_nanos));
        let ended = lanes.end_stall(Instant::from_nanos(until));
        prop_assert_eq!(ended.is_some(), first.is_some_and(|first| first <= until));
        let Some((id, tail)) = ended else {
            return Ok(());
        };
        let mut models = self.lanes.values_mut();
        let is_it = |model: &&mut Model| model.away.as_ref().is_some_and(|(away, _)| *away == id);
        let model = models.find(is_it).expect("a key that waits for it");
        prop_assert_eq!(model.away.as_ref().map(|(_, end)| *end), first);
        model.away = None;
        let items = std::mem::take(&mut model.items);
        self.places.retain(|item, _| !items.contains(item));
        prop_assert_eq!(Vec::from(tail), items);
        Ok(())
    }

    fn check(&self, lanes: &Lanes<u32>) -> Result<(), TestCaseError> {
        let in_use = |model: &&Model| !model.items.is_empty() || model.away.is_some();
        prop_assert_eq!(
            lanes.by_key.len(),
            self.lanes.values().filter(in_use).count()
        );
        let away = self.lanes.values().filter(|model| model.away.is_some());
        prop_assert_eq!(lanes.stalled(), away.count());
        for model in self.lanes.values() {
            let Some((_, lane)) = model.items.first().and_then(|item| self.places.get(item)) else {
                continue;
            };
            let behind = usize::from(model.away.is_none());
            prop_assert_eq!(lanes.second(*lane), model.items.get(behind).copied());
        }
        Ok(())
    }
}

proptest! {
    /// Beside a list for each key: one head at a time, in the order of receipt, and nothing left.
    #[test]
    fn lanes_do_what_a_list_for_each_key_does(
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let (mut world, mut lanes) = (World::default(), Lanes::new());
        for step in steps {
            world.apply(&mut lanes, step)?;
            world.check(&lanes)?;
        }

        while lanes.end_stall(Instant::from_nanos(u64::MAX)).is_some() {}
        let left: Vec<(u32, (u8, LaneId))> = world.places.into_iter().collect();
        for (item, (_, lane)) in left.into_iter().rev() {
            // From the back, so that each is still where it was; some went with their stall.
            if lanes.lanes[lane as usize].tail.contains(&item) || lanes.is_head(lane, item) {
                lanes.pass(lane, item);
            }
        }
        prop_assert!(lanes.by_key.is_empty(), "{lanes:?}");
        prop_assert_eq!(lanes.free.len(), lanes.lanes.len());
        prop_assert_eq!(lanes.next_wake(), None);
    }
}

#[test]
fn those_who_wait_are_handed_over_in_their_order() {
    let mut lanes = Lanes::new();
    for item in 0..6_u32 {
        let id = MessageId::from(item.to_string());
        lanes.join(OrderKey::of(&(item % 2)), &id, item);
    }

    let (mut tails, mut waiting) = (lanes.into_tails(), VecDeque::from([1]));
    for expected in [3, 5] {
        // A lane is a step as well.
        assert!(tails.append_to(&mut waiting, 3));
        assert_eq!(waiting.len(), expected);
    }
    assert!(!tails.append_to(&mut waiting, 3));
    assert_eq!(waiting, [1, 2, 4, 3, 5]);
}
