//! How many bytes of messages are held at once.

use core::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

/// A number of bytes that messages on their way share, over connections and threads.
///
/// Whoever wants to hold more than is left is told so and holds nothing: nobody waits.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    max: usize,
    used: AtomicUsize,
    of: Option<Budget>,
}

/// Bytes taken from a [`Budget`], given back when dropped.
#[derive(Debug)]
pub struct Held {
    of: Budget,
    bytes: usize,
}

impl Budget {
    /// Makes a budget of so many bytes.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self::part_of(max, None)
    }

    /// Makes a budget without a limit, for whoever asks only for what they want to have.
    #[must_use]
    pub fn unlimited() -> Self {
        Self::new(usize::MAX)
    }

    /// Makes a budget for one of those who share this one: what is held of it is held of both.
    #[must_use]
    pub fn share(&self, max: usize) -> Self {
        Self::part_of(max, Some(self.clone()))
    }

    fn part_of(max: usize, of: Option<Self>) -> Self {
        let used = AtomicUsize::new(0);
        Self(Arc::new(Inner { max, used, of }))
    }

    /// Returns how many bytes it has.
    #[must_use]
    pub fn max(&self) -> usize {
        self.0.max
    }

    /// Returns how many bytes are held.
    #[must_use]
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Acquire)
    }

    /// Holds so many bytes, or none if there are not as many left.
    #[must_use]
    pub fn hold(&self, bytes: usize) -> Option<Held> {
        let mut held = Held {
            of: self.clone(),
            bytes: 0,
        };
        held.grow(bytes).then_some(held)
    }

    fn take(&self, bytes: usize) -> bool {
        let fits = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.0.max);
        let (set, fetch) = (Ordering::AcqRel, Ordering::Acquire);
        if self.0.used.fetch_update(set, fetch, fits).is_err() {
            return false;
        }
        let whole = self.0.of.as_ref().is_none_or(|of| of.take(bytes));
        if !whole {
            self.0.used.fetch_sub(bytes, Ordering::AcqRel);
        }
        whole
    }

    fn give_back(&self, bytes: usize) {
        self.0.used.fetch_sub(bytes, Ordering::AcqRel);
        if let Some(of) = &self.0.of {
            of.give_back(bytes);
        }
    }
}

impl Held {
    /// Holds so many bytes more; returns whether there were as many.
    #[must_use]
    pub fn grow(&mut self, bytes: usize) -> bool {
        let taken = self.of.take(bytes);
        if taken {
            self.bytes += bytes;
        }
        taken
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.of.give_back(self.bytes);
    }
}

/// A message, and what it takes of a budget for as long as it is here.
#[derive(Debug)]
pub struct Carried<T> {
    /// The message.
    pub message: T,
    /// What it takes; `None` for what is not counted.
    pub held: Option<Held>,
}

impl<T> From<T> for Carried<T> {
    fn from(message: T) -> Self {
        Self {
            message,
            held: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_given_back_and_never_more_than_there_is() {
        let all = Budget::new(10);
        let mut held = all.hold(6).unwrap();
        assert!(all.hold(5).is_none());
        assert!(held.grow(4));
        assert!(!held.grow(1));
        assert_eq!(all.used(), 10);
        drop(held);
        assert_eq!(all.used(), 0);
        assert!(all.hold(usize::MAX).is_none());
    }

    #[test]
    fn a_share_takes_of_the_whole_and_what_does_not_fit_takes_nothing() {
        let all = Budget::new(10);
        let (one, two) = (all.share(8), all.share(8));
        let held = one.hold(7).unwrap();
        assert!(one.hold(2).is_none());
        assert!(two.hold(4).is_none());
        assert_eq!((all.used(), one.used(), two.used()), (7, 7, 0));
        let rest = two.hold(3).unwrap();
        drop(held);
        assert_eq!((all.used(), one.used(), two.used()), (3, 0, 3));
        drop(rest);
        assert_eq!(all.used(), 0);
    }

    #[test]
    fn threads_that_race_hold_no_more_than_there_is() {
        let all = Budget::new(64);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for bytes in (1..=40).cycle().take(20_000) {
                        let held = all.hold(bytes);
                        assert!(all.used() <= 64);
                        drop(held);
                    }
                });
            }
        });
        assert_eq!(all.used(), 0);
    }
}
