//! Canonical CBOR: one encoding for every value, and no other accepted.
//!
//! minicbor reads more than it writes: long integers, trailing bytes, doubled or
//! unknown keys. Whatever is signed or hashed therefore passes [`decode`], which
//! encodes what it read and wants the same bytes back. Allocation stays bounded
//! by the input, since no length claim is trusted before the bytes behind it exist.

use minicbor::data::Type;
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

/// How deep arrays and maps may lie in each other. The deepest type of ours needs half of it.
const DEPTH_MAX: usize = 16;
/// Fewer bytes than this nest too little to cost anything.
const DEPTH_MATTERS_FROM: usize = 1024;

/// Refuses bytes that nest deeper than any type of ours: minicbor takes 16 bytes of memory for each level of
/// what it skips, under keys that it does not know.
fn check_depth(what: &'static str, bytes: &[u8]) -> Result<(), CodecError> {
    if bytes.len() < DEPTH_MATTERS_FROM {
        return Ok(());
    }
    let malformed = |e: &minicbor::decode::Error| CodecError::Malformed {
        what,
        detail: e.to_string(),
    };
    let mut decoder = Decoder::new(bytes);
    // Items that are still to come, level by level.
    let mut left = [0_u64; DEPTH_MAX];
    let mut depth = 0;
    loop {
        let kind = decoder.datatype().map_err(|e| malformed(&e))?;
        // Never canonical here, and of those without a length it shows only at their end.
        let odd = matches!(
            kind,
            Type::ArrayIndef | Type::MapIndef | Type::BytesIndef | Type::StringIndef | Type::Tag
        );
        if odd {
            return Err(CodecError::NotCanonical { what });
        }
        let items = if kind == Type::Array {
            decoder.array().map_err(|e| malformed(&e))?
        } else if kind == Type::Map {
            let pairs = decoder.map().map_err(|e| malformed(&e))?;
            pairs.map(|pairs| pairs.saturating_mul(2))
        } else {
            decoder.skip().map_err(|e| malformed(&e))?;
            None
        };
        match items {
            Some(items) if items > 0 => {
                let Some(level) = left.get_mut(depth) else {
                    return Err(CodecError::Forbidden {
                        what,
                        detail: "nested too deeply",
                    });
                };
                *level = items;
                depth += 1;
            }
            _ => loop {
                let Some(above) = depth.checked_sub(1) else {
                    return Ok(());
                };
                let Some(level) = left.get_mut(above) else {
                    return Ok(());
                };
                *level -= 1;
                if *level > 0 {
                    break;
                }
                depth = above;
            },
        }
    }
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
    check_depth(what, bytes)?;
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
    fn what_nests_deeper_than_any_type_is_not_even_skipped() {
        // A header's map with an unknown key behind which arrays lie in each other.
        let nested =
            |depth: usize| [vec![0xa1, 0x18, 0x63], vec![0x81; depth], vec![0x05]].concat();
        let deep = decode::<crate::Hlc>("deep", &nested(2_000)).unwrap_err();
        let detail = "nested too deeply";
        assert_eq!(
            deep,
            CodecError::Forbidden {
                what: "deep",
                detail
            }
        );
        // As wide as one likes, and as deep as types go.
        let wide = encode(&vec![vec![vec![7_u8; 9]; 9]; 99]);
        assert!(wide.len() > DEPTH_MATTERS_FROM);
        assert!(decode::<Vec<Vec<Vec<u8>>>>("wide", &wide).is_ok());
        assert!(check_depth("cut", &wide[..wide.len() - 1]).is_err());
        let most = [
            vec![0x81; DEPTH_MAX],
            vec![0x99, 0x07, 0xd0],
            vec![0x05; 2_000],
        ]
        .concat();
        assert!(check_depth("deepest", &most[1..]).is_ok());
        assert!(check_depth("too deep", &most).is_err());
    }

    #[test]
    fn a_huge_length_claim_allocates_nothing() {
        // An array that claims 2^62 items.
        let bytes = [0x9b, 0x40, 0, 0, 0, 0, 0, 0, 0, 0x01];
        assert!(decode::<Vec<u64>>("list", &bytes).is_err());
    }
}
