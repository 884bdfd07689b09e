//! What the checker remembers by name: asked for with every fact and event, and never removed.

use std::cell::Cell;
use std::hash::Hash;

use crate::fingerprint::Map;

/// Values by their names, in the order in which they were first asked for.
///
/// The map holds but places, so that a look touches little, growing moves little, and a name is
/// cloned once. Mostly it is not even asked: one fact or event looks for one name several times.
pub(super) struct Named<K, V> {
    places: Map<K, usize>,
    values: Vec<(K, V)>,
    /// What was found last.
    last: Cell<usize>,
}

impl<K: Clone + Eq + Hash, V: Default> Named<K, V> {
    pub(super) fn get(&self, name: &K) -> Option<&V> {
        let place = self.find(name)?;
        self.values.get(place).map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, name: &K) -> Option<&mut V> {
        let place = self.find(name)?;
        self.values.get_mut(place).map(|(_, value)| value)
    }

    /// The value of a name, made if there is none.
    pub(super) fn get_or_default(&mut self, name: &K) -> &mut V {
        let place = self.find(name).unwrap_or_else(|| {
            self.places.insert(name.clone(), self.values.len());
            self.values.push((name.clone(), V::default()));
            self.values.len() - 1
        });
        &mut self.values[place].1
    }

    fn find(&self, name: &K) -> Option<usize> {
        let last = self.last.get();
        if self.values.get(last).is_some_and(|it| it.0 == *name) {
            return Some(last);
        }
        let place = self.places.get(name).copied();
        place.inspect(|place| self.last.set(*place))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &(K, V)> {
        self.values.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut (K, V)> {
        self.values.iter_mut()
    }
}

impl<K, V> Default for Named<K, V> {
    fn default() -> Self {
        Self {
            places: Map::default(),
            values: Vec::new(),
            last: Cell::new(0),
        }
    }
}
