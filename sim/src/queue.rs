//! Virtual time: what happens next, and among equals what was planned first.

use std::collections::BTreeMap;

/// Milliseconds since the world began.
pub(crate) type Millis = u64;

/// Things to come, in order of time and then of planning.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    waiting: BTreeMap<(Millis, u64), T>,
    planned: u64,
    now: Millis,
}

impl<T> Queue<T> {
    pub(crate) const fn new() -> Self {
        Self {
            waiting: BTreeMap::new(),
            planned: 0,
            now: 0,
        }
    }

    /// Plans something; what lies in the past happens next.
    pub(crate) fn plan(&mut self, at: Millis, what: T) {
        self.planned += 1;
        self.waiting.insert((at.max(self.now), self.planned), what);
    }

    /// Takes what happens next, unless that is after `until`; time moves with it.
    pub(crate) fn next(&mut self, until: Millis) -> Option<T> {
        let key = *self.waiting.first_key_value()?.0;
        if key.0 > until {
            return None;
        }
        self.now = key.0;
        self.waiting.remove(&key)
    }

    /// Lets time pass to `at` when nothing is left before it.
    pub(crate) const fn advance(&mut self, at: Millis) {
        if at > self.now {
            self.now = at;
        }
    }

    pub(crate) const fn now(&self) -> Millis {
        self.now
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }
}
