//! One op on its way in: `SignedOp → VerifiedOp → AcceptedOp`.
//!
//! Each state is a type that only the step before it can make, so no function asks
//! whether something was checked. [`AcceptedOp`] is made by the log alone.

use minicbor::decode::Decoder;
use minicbor::encode::{Encoder, Error as EncodeError, Write};
use rand_core::CryptoRng;

use crate::codec::{CodecError, Same};
use crate::header::{CONTROL_PAYLOAD_BYTES_MAX, HEADER_BYTES_MAX, Header, payload_hash};
use crate::ids::{EpochId, OpId, Signature, SpaceId};
use crate::keys::{self, SecretKey, SignatureError};
use crate::kind::Kind;
use crate::mutants::{Mutant, on};
use crate::payload::Payload;

/// Longest op on the wire in bytes: header, payload, signature and their framing.
pub const OP_BYTES_MAX: usize = HEADER_BYTES_MAX + CONTROL_PAYLOAD_BYTES_MAX + 128;

/// Batches with a bad signature are halved down to so many, then checked one by one. Guess: a
/// batch of 32 costs a third of 32 single checks.
const HALVED_DOWN_TO: usize = 32;

/// Decoded, well-formed, its payload matching its header, and nothing more: the author is only a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedOp {
    id: OpId,
    header: Header,
    header_bytes: Vec<u8>,
    sig: Signature,
    /// Absent once pruned.
    payload: Option<Vec<u8>>,
}

impl SignedOp {
    /// Signs an op: fills in payload hash and length, and signs with the device's key.
    #[must_use]
    pub fn sign(mut header: Header, payload: &Payload, device: &SecretKey) -> Self {
        header.kind = payload.kind().number();
        Self::sign_raw(header, payload.encode(), device)
    }

    /// Signs any payload bytes under any kind, well-formed or not.
    #[must_use]
    pub fn sign_raw(mut header: Header, payload: Vec<u8>, device: &SecretKey) -> Self {
        header.payload_hash = payload_hash(&payload);
        header.payload_len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let header_bytes = header.encode();
        let id = OpId::of_header(&header_bytes);
        let sig = device.sign(&signed_message(&id));
        Self {
            id,
            header,
            header_bytes,
            sig,
            payload: Some(payload),
        }
    }

    /// Reads an op from the wire: S0 without the signature.
    ///
    /// # Errors
    /// When the bytes are too long, malformed or not canonical, or when the payload is not the one
    /// that the header names.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let op = Self::parse(bytes, Header::decode)?;
        if !op.encodes_to(bytes) {
            return Err(CodecError::NotCanonical { what: "op" });
        }
        op.check_payload()?;
        Ok(op)
    }

    /// Reads an op from a record of this node: its bytes were found canonical before it was accepted.
    /// The caller compares the id, and with it every byte but the signature's.
    ///
    /// # Errors
    /// When the bytes are malformed, or the payload is not the one that the header names.
    pub(crate) fn decode_stored(bytes: &[u8]) -> Result<Self, CodecError> {
        let op = Self::parse(bytes, Header::decode_known)?;
        op.check_payload()?;
        Ok(op)
    }

    fn parse(
        bytes: &[u8],
        header: impl FnOnce(&[u8]) -> Result<Header, CodecError>,
    ) -> Result<Self, CodecError> {
        const WHAT: &str = "op";
        let bad = |detail: &str| CodecError::Malformed {
            what: WHAT,
            detail: detail.to_owned(),
        };
        if bytes.len() > OP_BYTES_MAX {
            return Err(CodecError::TooLong {
                what: WHAT,
                len: bytes.len(),
                max: OP_BYTES_MAX,
            });
        }
        let mut d = Decoder::new(bytes);
        let parts = d.array().map_err(|e| bad(&e.to_string()))?;
        if parts != Some(3) {
            return Err(bad("not an array of header, signature and payload"));
        }
        let header_bytes = d.bytes().map_err(|e| bad(&e.to_string()))?;
        let sig: Signature = d.decode().map_err(|e| bad(&e.to_string()))?;
        let payload = match d.datatype() {
            Ok(minicbor::data::Type::Null) => d.null().map(|()| None),
            _ => d.bytes().map(|p| Some(p.to_vec())),
        }
        .map_err(|e| bad(&e.to_string()))?;
        if d.position() != bytes.len() {
            return Err(CodecError::NotCanonical { what: WHAT });
        }
        Ok(Self {
            header: header(header_bytes)?,
            id: OpId::of_header(header_bytes),
            header_bytes: header_bytes.to_vec(),
            sig,
            payload,
        })
    }

    fn check_payload(&self) -> Result<(), CodecError> {
        let Some(payload) = &self.payload else {
            return Ok(());
        };
        let long = usize::try_from(self.header.payload_len).is_ok_and(|len| len == payload.len());
        if !long || payload_hash(payload) != self.header.payload_hash {
            return Err(CodecError::Forbidden {
                what: "op",
                detail: "the payload is not the one the header names",
            });
        }
        Ok(())
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// When the device's key is weak or did not sign this op.
    pub fn verify(self) -> Result<VerifiedOp, SignatureError> {
        if !on(Mutant::SignatureUnchecked) {
            keys::verify(
                self.header.device.as_bytes(),
                &signed_message(&self.id),
                &self.sig,
            )?;
        }
        Ok(VerifiedOp(self))
    }

    /// Checks many signatures, together while all hold and one by one near one that does not.
    /// The results stand in the order of the ops.
    ///
    /// Cost: about a quarter of single checks at 256 ops, less with few authors. Halving finds a
    /// bad one among many without paying for each; if all are bad it costs twice as much as single checks.
    #[expect(
        clippy::result_large_err,
        reason = "either way the caller gets the op back"
    )]
    pub fn verify_batch(
        ops: Vec<Self>,
        rng: &mut impl CryptoRng,
    ) -> Vec<Result<VerifiedOp, (Self, SignatureError)>> {
        let messages: Vec<Vec<u8>> = ops.iter().map(|op| signed_message(&op.id)).collect();
        let items: Vec<_> = ops
            .iter()
            .zip(&messages)
            .map(|(op, m)| (op.header.device.as_bytes(), m.as_slice(), &op.sig))
            .collect();
        let mut checks = Vec::with_capacity(ops.len());
        // Depth first and left to right, so that results come in order.
        let mut stack = vec![items.as_slice()];
        while let Some(part) = stack.pop() {
            if part.len() > 1 && keys::verify_all(part.iter().copied(), rng) {
                checks.extend(part.iter().map(|_| Ok(())));
            } else if part.len() > HALVED_DOWN_TO {
                let (left, right) = part.split_at(part.len() / 2);
                stack.extend([right, left]);
            } else {
                checks.extend(part.iter().map(|(key, m, sig)| keys::verify(key, m, sig)));
            }
        }
        ops.into_iter()
            .zip(checks)
            .map(|(op, check)| match check {
                Err(error) if !on(Mutant::SignatureUnchecked) => Err((op, error)),
                Ok(()) | Err(_) => Ok(VerifiedOp(op)),
            })
            .collect()
    }

    /// Returns the bytes for the wire: `[header, signature, payload or null]`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.size());
        let written = self.write(&mut Encoder::new(&mut out));
        debug_assert!(written.is_ok(), "writing to a Vec cannot fail");
        out
    }

    fn encodes_to(&self, bytes: &[u8]) -> bool {
        let mut same = Same(bytes);
        self.write(&mut Encoder::new(&mut same)).is_ok() && same.0.is_empty()
    }

    fn write<W: Write>(&self, e: &mut Encoder<W>) -> Result<(), EncodeError<W::Error>> {
        e.array(3)?
            .bytes(&self.header_bytes)?
            .bytes(self.sig.as_bytes())?;
        match &self.payload {
            Some(payload) => e.bytes(payload)?,
            None => e.null()?,
        };
        Ok(())
    }

    /// Returns about how many bytes it has on the wire, without encoding it.
    #[must_use]
    pub fn size(&self) -> usize {
        self.header_bytes.len() + self.payload.as_ref().map_or(0, Vec::len) + 80
    }

    /// Returns the op's id.
    #[must_use]
    pub const fn id(&self) -> OpId {
        self.id
    }

    /// Returns the header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Returns the header's bytes, which the id hashes.
    #[must_use]
    pub fn header_bytes(&self) -> &[u8] {
        &self.header_bytes
    }

    /// Returns the signature.
    #[must_use]
    pub const fn signature(&self) -> &Signature {
        &self.sig
    }

    /// Returns the payload's bytes, `None` when they were pruned.
    #[must_use]
    pub fn payload_bytes(&self) -> Option<&[u8]> {
        self.payload.as_deref()
    }

    /// Returns the payload, `None` when it was pruned or its kind is unknown.
    ///
    /// # Errors
    /// When the bytes are not a payload of the op's kind.
    pub fn payload(&self) -> Result<Option<Payload>, CodecError> {
        match (self.header.kind(), &self.payload) {
            (Some(kind), Some(bytes)) => Payload::decode(kind, bytes).map(Some),
            _ => Ok(None),
        }
    }

    /// Returns the Space this op belongs to: named by the header, or founded by it.
    #[must_use]
    pub fn space(&self) -> SpaceId {
        if self.header.kind() == Some(Kind::Genesis) {
            SpaceId::of_genesis(&self.header_bytes)
        } else {
            self.header.space
        }
    }

    /// Returns the epoch that this op begins, `None` unless it is a Commit or Genesis.
    #[must_use]
    pub fn begins_epoch(&self) -> Option<EpochId> {
        match self.header.kind() {
            Some(Kind::Genesis) => Some(EpochId::genesis(&self.space())),
            Some(Kind::Commit) => Some(EpochId::of_commit(&self.id)),
            _ => None,
        }
    }

    /// Returns this op without its payload; id and signature stay what they were.
    #[must_use]
    pub fn pruned(mut self) -> Self {
        self.payload = None;
        self
    }
}

/// The author's device signed these bytes. Only [`SignedOp::verify`] and [`SignedOp::verify_batch`] make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedOp(SignedOp);

impl VerifiedOp {
    /// Returns the op.
    #[must_use]
    pub const fn op(&self) -> &SignedOp {
        &self.0
    }

    /// Gives the op back, without the proof.
    #[must_use]
    pub fn into_op(self) -> SignedOp {
        self.0
    }
}

impl core::ops::Deref for VerifiedOp {
    type Target = SignedOp;

    fn deref(&self) -> &SignedOp {
        &self.0
    }
}

/// In the log, with its whole causal past. Only the log makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedOp(VerifiedOp);

impl AcceptedOp {
    pub(crate) const fn new(op: VerifiedOp) -> Self {
        Self(op)
    }

    /// Takes an op out of this node's own store, where only accepted ops lie.
    ///
    /// The name says what the caller vouches for: the bytes were sealed by this node after acceptance.
    #[must_use]
    pub const fn danger_from_own_store(op: SignedOp) -> Self {
        Self(VerifiedOp(op))
    }
}

impl core::ops::Deref for AcceptedOp {
    type Target = SignedOp;

    fn deref(&self) -> &SignedOp {
        &self.0.0
    }
}

/// What a device signs: `"decent op v1" ‖ OpId`.
pub(crate) fn signed_message(id: &OpId) -> Vec<u8> {
    [b"decent op v1".as_slice(), id.as_bytes()].concat()
}
