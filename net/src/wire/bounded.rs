//! Byte strings and lists that are measured before they are read.

use core::fmt;
use std::sync::Arc;

use minicbor::decode::{Decoder, Error as DecodeError};
use minicbor::encode::{Encoder, Error as EncodeError, Write};
use minicbor::{Decode, Encode};

use super::MESSAGE_BYTES_MAX;

/// Bytes that only their receiver understands. Cloning shares them, so that a push to many costs one copy.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(Arc<[u8]>);

impl Sealed {
    /// Wraps bytes.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }

    /// Returns the bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns how many bytes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

impl From<Vec<u8>> for Sealed {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(bytes)
    }
}

impl<C> Encode<C> for Sealed {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Sealed {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        bytes_upto::<MESSAGE_BYTES_MAX>(d).map(|b| Self(b.into()))
    }
}

/// Reads a byte string of at most `MAX` bytes into a [`Sealed`].
pub(super) fn sealed<const MAX: usize, C>(
    d: &mut Decoder<'_>,
    _: &mut C,
) -> Result<Sealed, DecodeError> {
    bytes_upto::<MAX>(d).map(|b| Sealed(b.into()))
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
