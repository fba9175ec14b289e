//! Who talks: salted interests, and claims that prove a device and a key (A8).

use oplog::hash::{H, hkdf, hmac};
use oplog::keys;
use oplog::{DeviceId, Digest, EpochId, Secret, SpaceId};
use std::collections::{BTreeMap, BTreeSet};

use crate::sync::INTERESTS_MAX;
use crate::sync::frame::{Claim, Salted, epoch_field};
use crate::sync::source::SyncSource;

/// Interests are padded to a multiple of this, so that their number says little about the Spaces.
const PADDING: usize = 16;

/// Which side of a session this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It opened the channel, and leads.
    Initiator,
    /// It was called, and answers.
    Responder,
}

impl Role {
    pub(super) const fn other(self) -> Self {
        match self {
            Self::Initiator => Self::Responder,
            Self::Responder => Self::Initiator,
        }
    }

    const fn field(self) -> &'static [u8] {
        match self {
            Self::Initiator => b"initiator",
            Self::Responder => b"responder",
        }
    }
}

/// `k_sync` of one retained epoch: `HKDF(root(E), "sync")`.
#[derive(Clone, Debug)]
pub struct SyncKey {
    /// Of which Space.
    pub space: SpaceId,
    /// Of which epoch.
    pub epoch: EpochId,
    /// The key.
    pub key: Secret,
    /// Whether to offer it: the newest four epochs, the Seal's, and the tag generations of the
    /// last 30 days (A8). Keys that are not offered still match what the peer offers.
    pub offered: bool,
}

/// Keys, offers and what the peer proved.
#[derive(Debug)]
pub(super) struct Handshake {
    role: Role,
    keys: Vec<SyncKey>,
    transcript: [u8; 32],
    /// Interests that either side offered and this one has the key of, with the key's index.
    known: BTreeMap<Salted16, usize>,
    claimed: BTreeSet<SpaceId>,
    peers: BTreeMap<SpaceId, DeviceId>,
}

type Salted16 = [u8; 16];

impl Handshake {
    /// Binds the session to both nonces, and to the channel when it has a name of its own.
    pub(super) fn new(
        role: Role,
        keys: Vec<SyncKey>,
        mine: &Digest,
        theirs: &Digest,
        binding: &[u8],
    ) -> Self {
        let (initiator, responder) = match role {
            Role::Initiator => (mine, theirs),
            Role::Responder => (theirs, mine),
        };
        let transcript = H::new("sync-transcript")
            .field(initiator.as_bytes())
            .field(responder.as_bytes())
            .field(binding)
            .finish();
        Self {
            role,
            keys,
            transcript,
            known: BTreeMap::new(),
            claimed: BTreeSet::new(),
            peers: BTreeMap::new(),
        }
    }

    /// Returns this side's interests, sorted among random ones.
    pub(super) fn interests(&mut self, padding: &[u8; 32]) -> Vec<Salted> {
        let mut out: Vec<Salted16> = Vec::new();
        for (index, key) in self.keys.iter().enumerate().filter(|(_, k)| k.offered) {
            if out.len() == INTERESTS_MAX {
                break;
            }
            let salted = self.salt(key, self.role);
            self.known.insert(salted, index);
            out.push(salted);
        }
        let padded = out.len().max(1).next_multiple_of(PADDING);
        for n in out.len()..padded {
            let n = u32::try_from(n).unwrap_or(u32::MAX);
            let fill = hkdf(padding, "sync-padding", &[&n.to_be_bytes()]);
            let mut salted = [0; 16];
            salted.copy_from_slice(fill.split_at(16).0);
            out.push(salted);
        }
        out.sort_unstable();
        out.into_iter().map(Into::into).collect()
    }

    /// Takes the other side's interests.
    pub(super) fn match_interests(&mut self, theirs: &[Salted]) {
        let theirs: BTreeSet<Salted16> = theirs.iter().map(|s| **s).collect();
        for (index, key) in self.keys.iter().enumerate() {
            let salted = self.salt(key, self.role.other());
            if theirs.contains(&salted) {
                self.known.insert(salted, index);
            }
        }
    }

    /// Returns claims for the Spaces that the peer is known to share and that were not claimed yet.
    ///
    /// The initiator knows them by the responder's offers; later, and for the responder, also by
    /// the peer's claims, since an offer can be older or newer than all keys of the other side.
    pub(super) fn claims(&mut self, theirs: &[Salted], source: &impl SyncSource) -> Vec<Claim> {
        let offered: BTreeSet<Salted16> = theirs.iter().map(|s| **s).collect();
        let mut out = Vec::new();
        for (salted, index) in &self.known {
            let Some(key) = self.keys.get(*index) else {
                continue;
            };
            let shared = offered.contains(salted) || self.peers.contains_key(&key.space);
            if !shared || out.len() == INTERESTS_MAX || self.claimed.contains(&key.space) {
                continue;
            }
            let Some(device) = source.device(&key.space) else {
                continue;
            };
            let message = self.message(self.role, &key.space, &device);
            let Some((signer, sig)) = source.sign(&key.space, &message) else {
                continue;
            };
            if signer != device {
                continue;
            }
            self.claimed.insert(key.space);
            out.push(Claim {
                interest: (*salted).into(),
                device,
                proof: self.proof(key, self.role, &device),
                sig,
            });
        }
        out
    }

    /// Checks the peer's claims. Returns false when one is forged; unknown interests are ignored.
    pub(super) fn check_claims(&mut self, claims: &[Claim]) -> bool {
        let other = self.role.other();
        for claim in claims {
            let index = self.known.get::<Salted16>(&claim.interest);
            let Some(key) = index.and_then(|index| self.keys.get(*index)) else {
                continue;
            };
            let message = self.message(other, &key.space, &claim.device);
            if claim.proof != self.proof(key, other, &claim.device)
                || keys::verify(claim.device.as_bytes(), &message, &claim.sig).is_err()
            {
                return false;
            }
            self.peers.insert(key.space, claim.device);
        }
        true
    }

    /// Returns the Spaces that both sides have proved to share, with the peer's device in each.
    pub(super) fn shared(&self) -> BTreeMap<SpaceId, DeviceId> {
        let both = self
            .peers
            .iter()
            .filter(|(space, _)| self.claimed.contains(*space));
        both.map(|(space, device)| (*space, *device)).collect()
    }

    fn salt(&self, key: &SyncKey, role: Role) -> Salted16 {
        let fields = [role.field(), &self.transcript, epoch_field(&key.epoch)];
        let mac = hmac(key.key.as_bytes(), &fields);
        let mut out = [0; 16];
        out.copy_from_slice(mac.split_at(16).0);
        out
    }

    fn proof(&self, key: &SyncKey, role: Role, device: &DeviceId) -> Digest {
        let fields = [
            b"proof".as_slice(),
            role.field(),
            &self.transcript,
            epoch_field(&key.epoch),
            device.as_bytes(),
        ];
        Digest::from_bytes(hmac(key.key.as_bytes(), &fields))
    }

    fn message(&self, role: Role, space: &SpaceId, device: &DeviceId) -> Vec<u8> {
        let digest = H::new("sync-auth")
            .field(role.field())
            .field(&self.transcript)
            .field(space.as_bytes())
            .field(device.as_bytes())
            .finish();
        [b"decent sync v1".as_slice(), &digest].concat()
    }
}
