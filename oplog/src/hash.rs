//! The one hash of the protocol: BLAKE3 under a domain, over length-prefixed fields.
//!
//! `H(d, f…)` = BLAKE3 `derive_key("decent/v1/" + d)` over (u32 big-endian length ‖ field)…;
//! `HMAC(k, m)` = BLAKE3 keyed; `HKDF(k, l)` = `H(l, k)` (`docs/protocol.md`, conventions).
//! A domain says what a digest is for, so that no digest can stand in for another.

use std::cell::RefCell;
use std::collections::BTreeMap;

use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};
use zeroize::Zeroizing;

use crate::recorder;

/// Most domains whose keys are kept; the protocol has fewer.
const DOMAINS_MAX: usize = 256;

thread_local! {
    /// What a domain's name comes to: half of what a short hash costs.
    static DOMAINS: RefCell<BTreeMap<String, ContextKey>> = const { RefCell::new(BTreeMap::new()) };
}

fn context_key(domain: &str) -> ContextKey {
    DOMAINS.with_borrow_mut(|known| {
        if let Some(key) = known.get(domain) {
            return *key;
        }
        let key = hash_derive_key_context(&format!("decent/v1/{domain}"));
        if known.len() < DOMAINS_MAX {
            known.insert(domain.to_owned(), key);
        }
        key
    })
}

/// A hash under one domain, fed field by field.
#[derive(Clone, Debug)]
pub struct H(blake3::Hasher);

impl H {
    /// Begins a hash for this purpose.
    #[must_use]
    pub fn new(domain: &str) -> Self {
        Self(blake3::Hasher::new_from_context_key(&context_key(domain)))
    }

    /// Adds one field; its length is hashed too, so that fields cannot run together.
    #[inline]
    #[must_use]
    pub fn field(mut self, bytes: &[u8]) -> Self {
        self.add(bytes);
        self
    }

    /// Adds one field in place: a hasher has two kilobytes, and moving it costs more than a short field.
    pub fn add(&mut self, bytes: &[u8]) {
        add(&mut self.0, bytes);
    }

    /// Returns the digest.
    #[inline]
    #[must_use]
    pub fn finish(self) -> [u8; 32] {
        *self.0.finalize().as_bytes()
    }
}

/// Returns `H(domain, fields…)`.
#[must_use]
pub fn hash(domain: &str, fields: &[&[u8]]) -> [u8; 32] {
    let mut hasher = H::new(domain);
    for field in fields {
        hasher.add(field);
    }
    hasher.finish()
}

/// Returns the first 16 bytes of `H(domain, fields…)`.
#[must_use]
pub fn hash16(domain: &str, fields: &[&[u8]]) -> [u8; 16] {
    let digest = hash(domain, fields);
    let mut out = [0; 16];
    out.copy_from_slice(digest.split_at(16).0);
    out
}

/// Returns `HMAC(key, fields…)`: BLAKE3 keyed, over length-prefixed fields.
#[must_use]
pub fn hmac(key: &[u8; 32], fields: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_keyed(key);
    for field in fields {
        add(&mut hasher, field);
    }
    *hasher.finalize().as_bytes()
}

fn add(hasher: &mut blake3::Hasher, field: &[u8]) {
    let len = u32::try_from(field.len()).unwrap_or(u32::MAX);
    hasher.update(&len.to_be_bytes());
    hasher.update(field);
}

/// Returns `HKDF(key, label ‖ context…)`: a key for one purpose.
#[must_use]
pub fn hkdf(key: &[u8; 32], label: &str, context: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut hasher = H::new(label);
    hasher.add(key);
    for field in context {
        hasher.add(field);
    }
    let out = Zeroizing::new(hasher.finish());
    recorder::secret("hkdf, key", key);
    recorder::secret("hkdf, derived", &*out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_do_not_run_together_and_domains_differ() {
        let ab = H::new("t").field(b"a").field(b"b").finish();
        assert_ne!(ab, H::new("t").field(b"ab").finish());
        assert_ne!(ab, H::new("t").field(b"a").field(b"b").field(b"").finish());
        assert_ne!(ab, H::new("u").field(b"a").field(b"b").finish());
    }
}
