//! Invite links: `decent://join/<base32 CBOR>`, one parser for links, QR codes and paste.
//!
//! A link names the Space, the invite, the invite's secret key and where to reach
//! the Space. Whoever holds it may ask to join; who it admits is decided by the
//! Space's rules (`docs/protocol.md` B19). Reading one connects to nothing.

use core::fmt;
use core::str::FromStr;

use minicbor::{Decode, Encode};
use oplog::{OpId, Secret, SecretKey, SpaceId};

use crate::linktext::{self, Unreadable};

/// Longest link in bytes.
pub const LINK_BYTES_MAX: usize = 1024;
/// Most relays a link names.
pub const LINK_RELAYS_MAX: usize = 4;
const PREFIX: &str = "decent://join/";

/// Why a text is not an invite link.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Not `decent://join/…`.
    #[error("not an invite: it does not begin with {PREFIX}")]
    NotALink,
    /// A letter is missing, added or wrong.
    #[error("the invite is incomplete or mistyped")]
    Damaged,
    /// More than a link may have.
    #[error("the invite is too long")]
    TooLong,
}

impl From<Unreadable> for LinkError {
    fn from(why: Unreadable) -> Self {
        match why {
            Unreadable::Other => Self::NotALink,
            Unreadable::TooLong => Self::TooLong,
            Unreadable::Damaged => Self::Damaged,
        }
    }
}

/// What a link says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InviteLink {
    /// Which Space.
    pub space: SpaceId,
    /// The op that opened the invite.
    pub invite: OpId,
    /// Seed of the invite's secret key.
    pub secret: Secret,
    /// Relays of the Space: multiaddresses that end in `/p2p/…`.
    pub relays: Vec<String>,
    /// The Space's name, for the preview; the inviter's claim.
    pub name: String,
}

impl InviteLink {
    /// Returns the invite's key.
    #[must_use]
    pub fn key(&self) -> SecretKey {
        SecretKey::from_seed(self.secret.as_bytes())
    }
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct Wire {
    #[n(0)]
    space: SpaceId,
    #[n(1)]
    invite: OpId,
    #[n(2)]
    secret: oplog::Digest,
    #[n(3)]
    relays: Vec<String>,
    #[n(4)]
    name: String,
    /// First bytes of a hash over the rest: tells a typing error from a forgery.
    #[n(5)]
    check: u32,
}

impl Wire {
    fn checksum(&self) -> u32 {
        let mut parts: Vec<&[u8]> = vec![
            self.space.as_bytes(),
            self.invite.as_bytes(),
            self.secret.as_bytes(),
        ];
        parts.extend(self.relays.iter().map(String::as_bytes));
        parts.push(self.name.as_bytes());
        linktext::checksum("invite-check", &parts)
    }
}

impl fmt::Display for InviteLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut wire = Wire {
            space: self.space,
            invite: self.invite,
            secret: oplog::Digest::from_bytes(*self.secret.as_bytes()),
            relays: self.relays.clone(),
            name: self.name.clone(),
            check: 0,
        };
        wire.check = wire.checksum();
        f.write_str(&linktext::write(PREFIX, &wire))
    }
}

impl FromStr for InviteLink {
    type Err = LinkError;

    fn from_str(text: &str) -> Result<Self, LinkError> {
        let wire: Wire = linktext::read(PREFIX, "invite", text, LINK_BYTES_MAX)?;
        if wire.check != wire.checksum() {
            return Err(LinkError::Damaged);
        }
        if wire.relays.len() > LINK_RELAYS_MAX || wire.name.len() > oplog::payload::NAME_BYTES_MAX {
            return Err(LinkError::TooLong);
        }
        Ok(Self {
            space: wire.space,
            invite: wire.invite,
            secret: Secret::from_bytes(*wire.secret.as_bytes()),
            relays: wire.relays,
            name: wire.name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> InviteLink {
        InviteLink {
            space: SpaceId::from_bytes([1; 32]),
            invite: OpId::from_bytes([2; 32]),
            secret: Secret::from_bytes([3; 32]),
            relays: vec!["/ip4/127.0.0.1/tcp/4001/p2p/12D3KooW".to_owned()],
            name: "Allotment".to_owned(),
        }
    }

    #[test]
    fn a_link_survives_the_round_trip_in_any_case() {
        let text = sample().to_string();
        assert_eq!(text.parse(), Ok(sample()));
        let upper = format!(
            "decent://join/{}",
            text.strip_prefix(PREFIX).unwrap().to_uppercase()
        );
        assert_eq!(upper.parse(), Ok(sample()));
    }

    #[test]
    fn every_mistyped_letter_is_noticed() {
        let text = sample().to_string();
        for at in PREFIX.len()..text.len() {
            for letter in ["a", "7"] {
                let mut wrong = text.clone();
                wrong.replace_range(at..=at, letter);
                if wrong != text {
                    assert!(
                        wrong.parse::<InviteLink>().is_err(),
                        "letter {at} → {letter}"
                    );
                }
            }
            let cut: String = text.chars().take(at).collect();
            assert!(cut.parse::<InviteLink>().is_err(), "cut at {at}");
        }
    }
}
