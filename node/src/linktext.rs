//! The text form of what people hand to each other: `decent://…/` and base32 of canonical CBOR.
//!
//! The checksum tells a typing error from a forgery and is no protection: whoever reads such a text
//! judges everything in it.

use data_encoding::BASE32_NOPAD;
use minicbor::{Decode, Encode};
use oplog::codec;
use oplog::hash::hash16;

/// Why a text cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// It begins otherwise.
    Other,
    /// It is longer than such a text may be.
    TooLong,
    /// A letter is missing, added or wrong.
    Damaged,
}

/// Writes a value behind a prefix.
pub(crate) fn write(prefix: &str, value: &impl Encode<()>) -> String {
    let code = BASE32_NOPAD.encode(&codec::encode(value));
    format!("{prefix}{}", code.to_ascii_lowercase())
}

/// Reads what [`write`] wrote, in letters of either case.
pub(crate) fn read<T: for<'b> Decode<'b, ()> + Encode<()>>(
    prefix: &str,
    what: &'static str,
    text: &str,
    bytes_max: usize,
) -> Result<T, Unreadable> {
    let text = text.trim();
    if text.len() > bytes_max {
        return Err(Unreadable::TooLong);
    }
    let code = text.strip_prefix(prefix).ok_or(Unreadable::Other)?;
    let bytes = BASE32_NOPAD.decode(code.to_ascii_uppercase().as_bytes());
    let bytes = bytes.map_err(|_cause| Unreadable::Damaged)?;
    codec::decode(what, &bytes).map_err(|_cause| Unreadable::Damaged)
}

/// The first bytes of a hash over the parts of a text.
pub(crate) fn checksum(domain: &str, parts: &[&[u8]]) -> u32 {
    let digest = hash16(domain, parts);
    digest.first_chunk().map_or(0, |b| u32::from_be_bytes(*b))
}
