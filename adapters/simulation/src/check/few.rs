//! What the checker remembers by number, where there are but a few: quicker than any map.

/// Values by number, the latest of which is the likeliest to be asked for.
pub(super) struct Few<N, V>(Vec<(N, V)>);

impl<N: Copy + PartialEq, V> Few<N, V> {
    pub(super) fn get(&self, number: N) -> Option<&V> {
        let found = self.0.iter().rev().find(|it| it.0 == number);
        found.map(|it| &it.1)
    }

    /// Puts a value in the place of the one before it, which is returned.
    pub(super) fn insert(&mut self, number: N, value: V) -> Option<V> {
        let found = self.0.iter_mut().rev().find(|it| it.0 == number);
        if let Some(it) = found {
            return Some(std::mem::replace(&mut it.1, value));
        }
        self.0.push((number, value));
        None
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

impl<N, V> Default for Few<N, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}
