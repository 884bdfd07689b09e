//! What is kept for each task: for few of them, and asked for with every poll.

use crate::world::TaskId;

/// Values by task, in the order of the tasks.
pub(crate) struct ByTask<T>(Vec<(TaskId, T)>);

impl<T> ByTask<T> {
    pub(crate) fn get(&self, id: TaskId) -> Option<&T> {
        let place = self.find(id).ok()?;
        Some(&self.0[place].1)
    }

    pub(crate) fn get_mut(&mut self, id: TaskId) -> Option<&mut T> {
        let place = self.find(id).ok()?;
        Some(&mut self.0[place].1)
    }

    pub(crate) fn insert(&mut self, id: TaskId, value: T) {
        match self.find(id) {
            Ok(place) => self.0[place].1 = value,
            // Mostly the last: later tasks have larger names.
            Err(place) => self.0.insert(place, (id, value)),
        }
    }

    pub(crate) fn remove(&mut self, id: TaskId) -> Option<T> {
        let place = self.find(id).ok()?;
        Some(self.0.remove(place).1)
    }

    pub(crate) fn retain(&mut self, is_kept: impl Fn(TaskId) -> bool) {
        self.0.retain(|(id, _)| is_kept(*id));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(TaskId, T)> {
        self.0.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    fn find(&self, id: TaskId) -> Result<usize, usize> {
        self.0.binary_search_by_key(&id, |(id, _)| *id)
    }
}

impl<T> Default for ByTask<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}
