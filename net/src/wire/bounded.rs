//! Byte strings and lists that are measured before they are read.

use core::fmt;
use std::sync::{Arc, OnceLock};

use minicbor::decode::{Decoder, Error as DecodeError};
use minicbor::encode::{Encoder, Error as EncodeError, Write};
use minicbor::{Decode, Encode};
use oplog::Digest;

use super::MESSAGE_BYTES_MAX;

/// Bytes that only their receiver understands. Cloning shares them, so that a push to many costs one copy.
#[derive(Clone)]
pub struct Sealed(Arc<Shared>);

struct Shared {
    bytes: Box<[u8]>,
    /// Once somebody asked: whoever files, signs or tells of them does.
    id: OnceLock<Digest>,
}

impl Sealed {
    /// Wraps bytes.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Shared {
            bytes: bytes.into(),
            id: OnceLock::new(),
        }))
    }

    /// Returns their name as an envelope ([`oplog::tag::envelope_hash`]), computed once for all who
    /// share them.
    #[must_use]
    pub fn id(&self) -> Digest {
        let hash = || oplog::tag::envelope_hash(&self.0.bytes);
        *self.0.id.get_or_init(hash)
    }

    /// Returns the bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// Returns how many bytes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.bytes.len()
    }

    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.bytes.is_empty()
    }
}

impl PartialEq for Sealed {
    fn eq(&self, other: &Self) -> bool {
        self.0.bytes == other.0.bytes
    }
}

impl Eq for Sealed {}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.bytes.len())
    }
}

impl From<Vec<u8>> for Sealed {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(bytes)
    }
}

impl<C> Encode<C> for Sealed {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
        e.bytes(&self.0.bytes)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Sealed {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        bytes_upto::<MESSAGE_BYTES_MAX>(d).map(|b| Self::new(b.into()))
    }
}

/// Reads a byte string of at most `MAX` bytes into a [`Sealed`].
pub(super) fn sealed<const MAX: usize, C>(
    d: &mut Decoder<'_>,
    _: &mut C,
) -> Result<Sealed, DecodeError> {
    bytes_upto::<MAX>(d).map(|b| Sealed::new(b.into()))
}

/// Reads an array of at most `MAX` items.
pub(crate) fn list<'b, T, const MAX: usize, C>(
    d: &mut Decoder<'b>,
    ctx: &mut C,
) -> Result<Vec<T>, DecodeError>
where
    T: Decode<'b, C>,
{
    let claimed = d
        .array()?
        .ok_or_else(|| DecodeError::message("indefinite array"))?;
    if usize::try_from(claimed).map_or(true, |n| n > MAX) {
        return Err(DecodeError::message("too many items"));
    }
    (0..claimed).map(|_| d.decode_with(ctx)).collect()
}

fn bytes_upto<'b, const MAX: usize>(d: &mut Decoder<'b>) -> Result<&'b [u8], DecodeError> {
    let bytes = d.bytes()?;
    if bytes.len() > MAX {
        return Err(DecodeError::message("too many bytes"));
    }
    Ok(bytes)
}
