//! The header of an op: everything that acceptance needs, and all that the id and signature cover.
//!
//! Fields and limits are those of `docs/protocol.md` B2; the bytes are frozen by
//! golden vectors in `docs/format.md`. The payload hangs on by its hash, so that it
//! can be pruned while the DAG stays whole.

use minicbor::decode::{Decoder, Error as DecodeError};
use minicbor::encode::{Encoder, Error as EncodeError, Write};

use crate::codec::{self, CodecError};
use crate::hash::{H, hash};
use crate::hlc::{Hlc, Timestamp};
use crate::ids::{DeviceId, Digest, EpochId, Lane, OpId, Scope, SpaceId, UserId};
use crate::kind::Kind;

/// The format that this crate writes, and the only one it accepts.
pub const VERSION: u8 = 1;
/// Most control heads, and most content dependencies, that one op may name (B2).
pub const REFS_MAX: usize = 16;
/// Most control heads a content op may name, so that its view is a stored snapshot or a cheap join (A20).
pub const CONTENT_CTL_REFS_MAX: usize = 4;
/// Longest header in bytes (B2).
pub const HEADER_BYTES_MAX: usize = 2 * 1024;
/// Longest payload of a content op in bytes (B2). Larger things are blobs.
pub const CONTENT_PAYLOAD_BYTES_MAX: usize = 60 * 1024;
/// Longest payload of a control op in bytes (B2): 1 MiB less what op and envelope add, so that every
/// valid op fits an envelope. A commit that adds 100 devices to a group of 1,000 has some 200 KiB.
pub const CONTROL_PAYLOAD_BYTES_MAX: usize = 1020 * 1024;

/// The signed part of an op.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The Space; all zero in Genesis, whose own hash names it.
    pub space: SpaceId,
    /// What the op does, as its number on the wire; see [`Header::kind`].
    pub kind: u16,
    /// Who acts.
    pub user: UserId,
    /// With which device; its key signs.
    pub device: DeviceId,
    /// Control plane or channel.
    pub scope: Scope,
    /// Position in the lane, from 0 without gaps.
    pub seq: u64,
    /// The op before it in the lane; absent exactly at `seq` 0.
    pub back: Option<OpId>,
    /// Control heads that the author had seen, sorted; of a control op, its parents.
    pub ctl: Vec<OpId>,
    /// Content ops this one refers to, sorted: thread, reply, the target of an edit. Empty in control ops.
    pub prev: Vec<OpId>,
    /// The MLS epoch in which it was written; all zero in Genesis.
    pub epoch: EpochId,
    /// Logical time.
    pub hlc: Hlc,
    /// The author's wall clock, for display only.
    pub wall: Timestamp,
    /// `H("payload", payload bytes)`.
    pub payload_hash: Digest,
    /// Length of the payload in bytes.
    pub payload_len: u32,
}

impl Header {
    /// Returns what the op does, `None` for numbers this version does not know.
    #[must_use]
    pub const fn kind(&self) -> Option<Kind> {
        Kind::from_number(self.kind)
    }

    /// Returns whether this op belongs to the control plane.
    #[must_use]
    pub const fn is_control(&self) -> bool {
        matches!(self.scope, Scope::Control)
    }

    /// Returns the lane it stands in.
    #[must_use]
    pub const fn lane(&self) -> Lane {
        Lane {
            device: self.device,
            scope: self.scope,
        }
    }

    /// Returns every op that this one names: `back`, `ctl`, `prev`.
    pub fn refs(&self) -> impl Iterator<Item = OpId> + '_ {
        self.back.iter().chain(&self.ctl).chain(&self.prev).copied()
    }

    /// Returns the canonical bytes: what is hashed into the id and signed.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(&Fields {
            header: self,
            last: 15,
        })
    }

    /// Returns `H("bind", fields 0–13)`. An MLS commit carries it as authenticated data, and an
    /// identity key signs it, before the payload that holds either can exist (B5, A1).
    #[must_use]
    pub fn binding(&self) -> Digest {
        let fields = codec::encode(&Fields {
            header: self,
            last: 13,
        });
        Digest::from_bytes(H::new("bind").field(&fields).finish())
    }

    /// Reads canonical bytes.
    ///
    /// # Errors
    /// When they are too long, malformed, not canonical, of another version, or break a limit of B2.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        const WHAT: &str = "op header";
        if bytes.len() > HEADER_BYTES_MAX {
            return Err(CodecError::TooLong {
                what: WHAT,
                len: bytes.len(),
                max: HEADER_BYTES_MAX,
            });
        }
        let header = Self::decode_known(bytes)?;
        let fields = Fields {
            header: &header,
            last: 15,
        };
        if !codec::encodes_to(&fields, bytes) {
            return Err(CodecError::NotCanonical { what: WHAT });
        }
        header.check_limits()?;
        Ok(header)
    }

    /// Reads bytes that were found canonical before, as their hash shows.
    ///
    /// # Errors
    /// When they are malformed.
    pub(crate) fn decode_known(bytes: &[u8]) -> Result<Self, CodecError> {
        let bad = |detail: String| CodecError::Malformed {
            what: "op header",
            detail,
        };
        let mut d = Decoder::new(bytes);
        let header = Self::read(&mut d).map_err(|e| bad(e.to_string()))?;
        if d.position() != bytes.len() {
            return Err(bad("goes on behind its fields".to_owned()));
        }
        Ok(header)
    }

    fn read(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let entries = d
            .map()?
            .ok_or_else(|| DecodeError::message("indefinite map"))?;
        let mut h = Self::blank();
        let mut plane = 0;
        let mut next_key = 0;
        for _ in 0..entries {
            let key = d.u8()?;
            if key < next_key {
                return Err(DecodeError::message("keys are not ascending"));
            }
            // `back` alone may be absent.
            if key != next_key && (next_key, key) != (8, 9) {
                return Err(DecodeError::message("a field is missing"));
            }
            next_key = key + 1;
            match key {
                0 if d.u8()? != VERSION => return Err(DecodeError::message("unknown version")),
                0 => {}
                1 => h.space = d.decode()?,
                2 => plane = d.u8()?,
                3 => h.kind = d.u16()?,
                4 => h.user = d.decode()?,
                5 => h.device = d.decode()?,
                6 => h.scope = d.decode()?,
                7 => h.seq = d.u64()?,
                8 => h.back = Some(d.decode()?),
                9 => h.ctl = read_refs(d)?,
                10 => h.prev = read_refs(d)?,
                11 => h.epoch = d.decode()?,
                12 => h.hlc = d.decode()?,
                13 => h.wall = d.decode()?,
                14 => h.payload_hash = d.decode()?,
                15 => h.payload_len = d.u32()?,
                _ => return Err(DecodeError::message("unknown field")),
            }
        }
        if next_key != 16 {
            return Err(DecodeError::message("a field is missing"));
        }
        if plane != u8::from(!h.is_control()) {
            return Err(DecodeError::message("plane and scope disagree"));
        }
        Ok(h)
    }

    pub(crate) fn check_limits(&self) -> Result<(), CodecError> {
        let forbid = |detail| {
            Err(CodecError::Forbidden {
                what: "op header",
                detail,
            })
        };
        if !codec::is_sorted_set(&self.ctl) || !codec::is_sorted_set(&self.prev) {
            return forbid("references are not a sorted set");
        }
        if self.is_control() && !self.prev.is_empty() {
            return forbid("a control op names content");
        }
        if !self.is_control() && self.ctl.len() > CONTENT_CTL_REFS_MAX {
            return forbid("a content op names more than 4 control heads");
        }
        let max = if self.is_control() {
            CONTROL_PAYLOAD_BYTES_MAX
        } else {
            CONTENT_PAYLOAD_BYTES_MAX
        };
        if usize::try_from(self.payload_len).is_ok_and(|len| len > max) {
            return forbid("the payload is too long");
        }
        Ok(())
    }

    pub(crate) const fn blank() -> Self {
        Self {
            space: SpaceId::ZERO,
            kind: 0,
            user: UserId::ZERO,
            device: DeviceId::ZERO,
            scope: Scope::Control,
            seq: 0,
            back: None,
            ctl: Vec::new(),
            prev: Vec::new(),
            epoch: EpochId::ZERO,
            hlc: Hlc::ZERO,
            wall: Timestamp::from_ms(0),
            payload_hash: Digest::ZERO,
            payload_len: 0,
        }
    }
}

/// Returns `H("payload", bytes)`.
#[must_use]
pub fn payload_hash(payload: &[u8]) -> Digest {
    Digest::from_bytes(hash("payload", &[payload]))
}

fn read_refs(d: &mut Decoder<'_>) -> Result<Vec<OpId>, DecodeError> {
    let claimed = d
        .array()?
        .ok_or_else(|| DecodeError::message("indefinite array"))?;
    if claimed > REFS_MAX as u64 {
        return Err(DecodeError::message("more than 16 references"));
    }
    (0..claimed).map(|_| d.decode()).collect()
}

/// The header's fields from 0 to `last`, as a CBOR map.
struct Fields<'a> {
    header: &'a Header,
    last: u8,
}

impl<C> minicbor::Encode<C> for Fields<'_> {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        let h = self.header;
        let absent = u64::from(h.back.is_none());
        e.map(u64::from(self.last) + 1 - absent)?;
        e.u8(0)?.u8(VERSION)?;
        e.u8(1)?.encode_with(h.space, ctx)?;
        e.u8(2)?.u8(u8::from(!h.is_control()))?;
        e.u8(3)?.u16(h.kind)?;
        e.u8(4)?.encode_with(h.user, ctx)?;
        e.u8(5)?.encode_with(h.device, ctx)?;
        e.u8(6)?.encode_with(h.scope, ctx)?;
        e.u8(7)?.u64(h.seq)?;
        if let Some(back) = h.back {
            e.u8(8)?.encode_with(back, ctx)?;
        }
        e.u8(9)?.encode_with(&h.ctl, ctx)?;
        e.u8(10)?.encode_with(&h.prev, ctx)?;
        e.u8(11)?.encode_with(h.epoch, ctx)?;
        e.u8(12)?.encode_with(h.hlc, ctx)?;
        e.u8(13)?.encode_with(h.wall, ctx)?;
        if self.last >= 15 {
            e.u8(14)?.encode_with(h.payload_hash, ctx)?;
            e.u8(15)?.u32(h.payload_len)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn arb_header() -> impl Strategy<Value = Header> {
        let refs = |n| proptest::collection::btree_set(any::<[u8; 32]>(), 0..=n);
        (
            any::<[[u8; 32]; 5]>(),
            any::<[u64; 3]>(),
            any::<(u16, u32, bool)>(),
            refs(4),
            refs(16),
        )
            .prop_map(
                |(ids, [seq, hlc, wall], (kind, len, control), ctl, prev)| Header {
                    space: SpaceId::from_bytes(ids[0]),
                    kind,
                    user: UserId::from_bytes(ids[1]),
                    device: DeviceId::from_bytes(ids[2]),
                    scope: if control {
                        Scope::Control
                    } else {
                        Scope::Channel(crate::ChannelId::from_bytes([7; 16]))
                    },
                    seq,
                    back: (seq > 0).then(|| OpId::from_bytes(ids[3])),
                    ctl: ctl.into_iter().map(OpId::from_bytes).collect(),
                    prev: if control {
                        vec![]
                    } else {
                        prev.into_iter().map(OpId::from_bytes).collect()
                    },
                    epoch: EpochId::from_bytes(ids[4]),
                    hlc: Hlc::from_raw(hlc),
                    wall: Timestamp::from_ms(wall),
                    payload_hash: Digest::from_bytes(ids[3]),
                    payload_len: len % 60_000,
                },
            )
    }

    proptest! {
        #[test]
        fn decode_inverts_encode(header in arb_header()) {
            prop_assert_eq!(Header::decode(&header.encode()), Ok(header));
        }

        #[test]
        fn any_bytes_decode_or_fail_cleanly(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            if let Ok(header) = Header::decode(&bytes) {
                prop_assert_eq!(header.encode(), bytes);
            }
        }

        #[test]
        fn one_changed_byte_is_another_header_or_none(header in arb_header(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
            let mut bytes = header.encode();
            let at = at.index(bytes.len());
            prop_assume!(bytes[at] != to);
            bytes[at] = to;
            prop_assert_ne!(Header::decode(&bytes), Ok(header));
        }
    }
}
