//! Canonical CBOR: one encoding for every value, and no other accepted.
//!
//! minicbor reads more than it writes: long integers, trailing bytes, doubled or
//! unknown keys. Whatever is signed or hashed therefore passes [`decode`], which
//! encodes what it read and wants the same bytes back. Allocation stays bounded
//! by the input, since no length claim is trusted before the bytes behind it exist.

use minicbor::decode::Decoder;
use minicbor::{Decode, Encode};

/// Encodes and decodes a newtype over an array of bytes as a byte string of just that length.
///
/// The caller's crate needs `minicbor`.
#[macro_export]
macro_rules! fixed_bytes {
    ($name:ident, $len:expr) => {
        impl<C> ::minicbor::Encode<C> for $name {
            fn encode<W: ::minicbor::encode::Write>(
                &self,
                e: &mut ::minicbor::Encoder<W>,
                _: &mut C,
            ) -> Result<(), ::minicbor::encode::Error<W::Error>> {
                e.bytes(&self.0)?.ok()
            }
        }

        impl<'b, C> ::minicbor::Decode<'b, C> for $name {
            fn decode(
                d: &mut ::minicbor::Decoder<'b>,
                _: &mut C,
            ) -> Result<Self, ::minicbor::decode::Error> {
                let bytes = d.bytes()?;
                <[u8; $len]>::try_from(bytes).map(Self).map_err(|_| {
                    ::minicbor::decode::Error::message(concat!(
                        "wrong length of ",
                        stringify!($name)
                    ))
                })
            }
        }
    };
}

/// Bytes that are not the canonical encoding of the expected type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// S0. Not CBOR, or not of the expected shape.
    #[error("{what}: {detail}")]
    Malformed {
        /// What was being read.
        what: &'static str,
        /// What minicbor said.
        detail: String,
    },
    /// S0. The value is fine but its bytes are not the one encoding of it.
    #[error("{what}: not the canonical encoding")]
    NotCanonical {
        /// What was being read.
        what: &'static str,
    },
    /// S0. More bytes than the limit; nothing was read.
    #[error("{what}: {len} bytes, at most {max} allowed")]
    TooLong {
        /// What was being read.
        what: &'static str,
        /// How many bytes came.
        len: usize,
        /// How many may come.
        max: usize,
    },
    /// S0. A field holds a value that the format forbids.
    #[error("{what}: {detail}")]
    Forbidden {
        /// What was being read.
        what: &'static str,
        /// Which value is wrong.
        detail: &'static str,
    },
}

/// Returns the canonical encoding.
#[must_use]
pub fn encode<T: Encode<()>>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    match minicbor::encode(value, &mut out) {
        Ok(()) => out,
        // Writing to a Vec cannot fail, and no encoder of ours raises an error.
        Err(_) => Vec::new(),
    }
}

/// Returns whether these bytes are the canonical encoding, without making another copy of it.
pub(crate) fn encodes_to<T: Encode<()>>(value: &T, bytes: &[u8]) -> bool {
    let mut same = Same(bytes);
    minicbor::encode(value, &mut same).is_ok() && same.0.is_empty()
}

/// Takes what is written as long as it is what stands here.
pub(crate) struct Same<'a>(pub(crate) &'a [u8]);

/// Something else was written.
#[derive(Debug)]
pub(crate) struct Differs;

impl minicbor::encode::Write for Same<'_> {
    type Error = Differs;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Differs> {
        self.0 = match (bytes, self.0) {
            // What CBOR puts before each item is one byte as a rule: no call for that.
            ([byte], [first, rest @ ..]) if byte == first => rest,
            _ => self.0.strip_prefix(bytes).ok_or(Differs)?,
        };
        Ok(())
    }
}

/// Reads exactly one value from exactly these bytes.
///
/// # Errors
/// When the bytes are malformed, go on behind the value, or differ from what [`encode`] gives.
pub fn decode<'b, T>(what: &'static str, bytes: &'b [u8]) -> Result<T, CodecError>
where
    T: Decode<'b, ()> + Encode<()>,
{
    let mut decoder = Decoder::new(bytes);
    let value: T = decoder.decode().map_err(|e| CodecError::Malformed {
        what,
        detail: e.to_string(),
    })?;
    if decoder.position() != bytes.len() || !encodes_to(&value, bytes) {
        return Err(CodecError::NotCanonical { what });
    }
    Ok(value)
}

/// Like [`decode`], but looks at the length before anything else.
///
/// # Errors
/// As [`decode`], and when there are more than `max` bytes.
pub fn decode_bounded<'b, T>(
    what: &'static str,
    bytes: &'b [u8],
    max: usize,
) -> Result<T, CodecError>
where
    T: Decode<'b, ()> + Encode<()>,
{
    if bytes.len() > max {
        return Err(CodecError::TooLong {
            what,
            len: bytes.len(),
            max,
        });
    }
    decode(what, bytes)
}

/// Returns whether the items ascend strictly, as every set in the format does.
pub fn is_sorted_set<T: Ord>(items: &[T]) -> bool {
    items.is_sorted_by(|a, b| a < b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_shortest_form_without_a_tail_is_read() {
        for (bytes, fine) in [
            (&[0x05][..], true),
            (&[0x18, 0x05], false),       // 5 in two bytes
            (&[0x05, 0x00], false),       // a tail
            (&[0x9b, 0xff, 0xff], false), // a length claim with nothing behind it
            (&[], false),
        ] {
            assert_eq!(decode::<u64>("n", bytes).is_ok(), fine, "{bytes:02x?}");
        }
    }

    #[test]
    fn a_huge_length_claim_allocates_nothing() {
        // An array that claims 2^62 items.
        let bytes = [0x9b, 0x40, 0, 0, 0, 0, 0, 0, 0, 0x01];
        assert!(decode::<Vec<u64>>("list", &bytes).is_err());
    }
}
