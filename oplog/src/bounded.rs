//! A map that forgets its oldest entries: for what can be looked up or worked out again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// At most `max` entries; the first in are the first out.
#[derive(Clone, Debug)]
pub(crate) struct Bounded<K, V> {
    entries: BTreeMap<K, V>,
    /// Keys in the order of insertion, with some that are gone already.
    order: VecDeque<K>,
    max: usize,
}

impl<K: Ord + Clone, V> Bounded<K, V> {
    pub(crate) const fn new(max: usize) -> Self {
        Self {
            entries: BTreeMap::new(),
            order: VecDeque::new(),
            max,
        }
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        if self.entries.insert(key.clone(), value).is_some() {
            return;
        }
        self.order.push_back(key);
        while self.entries.len() > self.max
            && let Some(oldest) = self.order.pop_front()
        {
            self.entries.remove(&oldest);
        }
        if self.order.len() > self.max.saturating_mul(4) {
            let mut seen = BTreeSet::new();
            self.order
                .retain(|key| self.entries.contains_key(key) && seen.insert(key.clone()));
        }
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key)
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        self.entries.remove(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_holds_more_than_it_may_and_forgets_the_oldest() {
        let mut map = Bounded::new(3);
        for n in 0..10_000_u32 {
            map.insert(n, n);
            if n % 2 == 0 {
                map.remove(&n);
            }
            assert!(map.entries.len() <= 3 && map.order.len() <= 13);
        }
        assert_eq!(map.get(&9_999), Some(&9_999));
        assert_eq!(map.get(&9_991), None);
    }
}
