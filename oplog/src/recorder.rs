//! Which secrets passed through, for tests that then search a whole disk for them.
//!
//! Whatever keeps, derives or uses a secret tells it here: the vault, the provider under MLS, the keys of
//! envelopes. Without the feature `test-utils` that is a call of nothing, and no program that people run has
//! the feature (`cli/tests/tidy.rs`); with it nothing is kept until a test begins.
//!
//! Not per thread: OpenMLS works on a pool of them.

#[cfg(not(feature = "test-utils"))]
mod switch {
    /// Does nothing: this is no test.
    #[inline]
    pub const fn secret(_: &'static str, _: &[u8]) {}

    /// Does nothing: this is no test.
    #[inline]
    pub const fn sealed(_: &[u8], _: &[u8]) {}
}

#[cfg(feature = "test-utils")]
mod switch {
    use core::sync::atomic::{AtomicBool, Ordering};
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::{Mutex, MutexGuard, PoisonError};

    /// Shorter ones, such as nonces, are found by chance; and they are no keys.
    const SECRET_BYTES_MIN: usize = 16;
    /// What has fewer different bytes, such as MLS's empty secrets, is found everywhere.
    const DIFFERENT_MIN: usize = 8;

    /// Asked first: ordinary tests pass here at every key, on several threads.
    static RECORDING: AtomicBool = AtomicBool::new(false);
    static RECORDED: Mutex<Option<Recorded>> = Mutex::new(None);

    /// What was told while recording.
    #[derive(Clone, Debug, Default)]
    pub struct Recorded {
        /// Each secret, with those who told it.
        pub secrets: BTreeMap<Vec<u8>, BTreeSet<&'static str>>,
        /// Secrets as they were sealed in place for the disk: secret and ciphertext.
        pub sealed: BTreeSet<(Vec<u8>, Vec<u8>)>,
    }

    fn recorded() -> MutexGuard<'static, Option<Recorded>> {
        RECORDED.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps everything that is told from now on, by whatever runs in this process.
    pub fn begin() {
        recorded().get_or_insert_default();
        RECORDING.store(true, Ordering::Relaxed);
    }

    /// Returns what was told so far.
    #[must_use]
    pub fn told() -> Recorded {
        recorded().clone().unwrap_or_default()
    }

    /// Says that somebody holds this secret.
    pub fn secret(who: &'static str, secret: &[u8]) {
        if !RECORDING.load(Ordering::Relaxed) {
            return;
        }
        if let Some(recorded) = recorded().as_mut()
            && secret.len() >= SECRET_BYTES_MIN
            && secret.iter().collect::<BTreeSet<_>>().len() >= DIFFERENT_MIN
        {
            let whose = recorded.secrets.entry(secret.to_vec()).or_default();
            whose.insert(who);
        }
    }

    /// Says that this secret goes to the disk in this form.
    pub fn sealed(secret: &[u8], ciphertext: &[u8]) {
        if !RECORDING.load(Ordering::Relaxed) {
            return;
        }
        if let Some(recorded) = recorded().as_mut() {
            let pair = (secret.to_vec(), ciphertext.to_vec());
            recorded.sealed.insert(pair);
        }
    }
}

pub use switch::*;

#[cfg(all(test, feature = "test-utils"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_key_is_not_recorded() {
        let key: [u8; 32] = std::array::from_fn(|n| u8::try_from(n).expect("below 32"));
        secret("early", &key);
        begin();
        secret("a nonce", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        secret("an empty secret of MLS", &[0; 32]);
        secret("a key", &key);
        secret("again", &key);
        sealed(&key, b"sealed");
        let told = told();
        let of: Vec<_> = told.secrets.get(&key[..]).into_iter().flatten().collect();
        assert_eq!(of, [&"a key", &"again"]);
        assert!(!told.secrets.keys().any(|s| s == &[0; 32]));
        assert!(told.sealed.contains(&(key.to_vec(), b"sealed".to_vec())));
    }
}
