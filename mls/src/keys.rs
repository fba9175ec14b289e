//! Keys that follow from an epoch's root (B6), each for one purpose.
//!
//! Whoever was in the group in that epoch has the root and hence all of these; nobody else has
//! any. They are derived when asked for and wiped when dropped.

use oplog::hash::{H, hkdf};
use oplog::{ChannelId, Digest, Scope, Secret};

/// The MLS exporter's output for an epoch: `Exporter("space/epoch-root/v1", confirmation tag, 32)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochRoot(Secret);

impl EpochRoot {
    /// Wraps a root, as the vault gives it back.
    #[must_use]
    pub const fn new(secret: Secret) -> Self {
        Self(secret)
    }

    /// Returns the secret, for the vault.
    #[must_use]
    pub const fn secret(&self) -> &Secret {
        &self.0
    }

    /// Returns `H("rc", root)`: what a Commit op declares, so that members notice a split key.
    #[must_use]
    pub fn commitment(&self) -> Digest {
        Digest::from_bytes(H::new("rc").field(self.0.as_bytes()).finish())
    }
}

/// Derives the keys of one epoch.
#[derive(Clone, Debug)]
pub struct EpochKeys {
    root: EpochRoot,
    hint: Secret,
}

impl EpochKeys {
    /// Prepares the keys of this root.
    #[must_use]
    pub fn new(root: &EpochRoot) -> Self {
        Self {
            root: root.clone(),
            hint: derive(root, "hint", &[]),
        }
    }

    /// `HKDF(root, "ctl")`: seals control ops.
    #[must_use]
    pub fn control(&self) -> Secret {
        derive(&self.root, "ctl", &[])
    }

    /// `HKDF(root, "chan" ‖ channel)`: seals what is said in a channel.
    #[must_use]
    pub fn channel(&self, channel: &ChannelId) -> Secret {
        derive(&self.root, "chan", &[channel.as_bytes()])
    }

    /// The key that seals in a scope: [`EpochKeys::control`] or [`EpochKeys::channel`].
    #[must_use]
    pub fn scope(&self, scope: &Scope) -> Secret {
        match scope {
            Scope::Control => self.control(),
            Scope::Channel(id) => self.channel(id),
        }
    }

    /// `HKDF(root, "topic")`: write keys and tags of a generation come from it (A23).
    #[must_use]
    pub fn topic(&self) -> TopicKey {
        TopicKey::new(derive(&self.root, "topic", &[]))
    }

    /// `HKDF(root, "sync")`: recognises members in a Hello (A8).
    #[must_use]
    pub fn sync(&self) -> Secret {
        derive(&self.root, "sync", &[])
    }

    /// `HKDF(root, "dedup" ‖ channel)`: convergent blob keys of a channel in a key generation (A7).
    #[must_use]
    pub fn dedup(&self, channel: &ChannelId) -> Secret {
        derive(&self.root, "dedup", &[channel.as_bytes()])
    }

    /// `HKDF(root, "hint")`: commits an envelope to this epoch (A24).
    #[must_use]
    pub const fn hint(&self) -> &Secret {
        &self.hint
    }
}

/// The key from which the tags of one generation come. A generation lasts from the epoch that
/// removed a leaf (or the first) to the next that does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicKey(Secret);

impl TopicKey {
    /// Wraps a topic key, as a bundle or the vault gives it.
    #[must_use]
    pub const fn new(secret: Secret) -> Self {
        Self(secret)
    }

    /// Returns the secret, for the vault and for newcomers, who cannot derive it.
    #[must_use]
    pub const fn secret(&self) -> &Secret {
        &self.0
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

fn derive(root: &EpochRoot, label: &str, context: &[&[u8]]) -> Secret {
    Secret::from_bytes(*hkdf(root.0.as_bytes(), label, context))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_purposes_epochs_or_channels_share_a_key() {
        let mut seen = BTreeSet::new();
        for n in 0..3u8 {
            let keys = EpochKeys::new(&EpochRoot::new(Secret::from_bytes([n; 32])));
            for c in 0..3u8 {
                let channel = ChannelId::from_bytes([c; 16]);
                assert!(seen.insert(*keys.channel(&channel).as_bytes()));
                assert!(seen.insert(*keys.dedup(&channel).as_bytes()));
            }
            for key in [keys.control(), keys.sync(), keys.hint().clone()] {
                assert!(seen.insert(*key.as_bytes()));
            }
            assert!(seen.insert(*keys.topic().as_bytes()));
            assert!(seen.insert(*keys.root.commitment().as_bytes()));
        }
        assert_eq!(seen.len(), 3 * 11);
    }

    #[test]
    fn debug_shows_no_key() {
        let keys = EpochKeys::new(&EpochRoot::new(Secret::from_bytes([0xab; 32])));
        let shown = format!("{keys:?} {:?} {:?}", keys.topic(), keys.control());
        assert!(
            !shown.contains("171") && !shown.contains("ab, ab"),
            "{shown}"
        );
    }

    /// A failure means old envelopes can no longer be opened.
    #[test]
    fn derivations_are_frozen() {
        let keys = EpochKeys::new(&EpochRoot::new(Secret::from_bytes([7; 32])));
        let of = |secret: &Secret| hex::encode(secret.as_bytes());
        let channel = ChannelId::from_bytes([1; 16]);
        let text = [
            of(&keys.control()),
            of(&keys.channel(&channel)),
            hex::encode(keys.topic().as_bytes()),
            of(&keys.sync()),
            of(&keys.dedup(&channel)),
            of(keys.hint()),
            keys.root.commitment().to_string(),
        ]
        .join("\n");
        assert_eq!(text, include_str!("../tests/vectors/epoch_keys.hex").trim());
    }
}
