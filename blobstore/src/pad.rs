//! Padmé: hides all but O(log log n) bits of a length at a cost of at most 12 %.
//!
//! Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and Communication
//! with PURBs", PoPETs 2019, algorithm 1. Below [`PADDED_BYTES_MIN`] every length is
//! the same, since Padmé alone would tell files of a few bytes apart.

/// Least padded length in bytes: that of the smallest envelope.
pub const PADDED_BYTES_MIN: usize = 1024;

/// Returns the length that `len` bytes are padded to. Never less than `len`; a length that is
/// itself a result stays as it is.
#[must_use]
pub const fn padded_len(len: usize) -> usize {
    if len <= PADDED_BYTES_MIN {
        return PADDED_BYTES_MIN;
    }
    let exponent = len.ilog2();
    let kept_bits = exponent.ilog2() + 1;
    let mask = (1_usize << (exponent - kept_bits)) - 1;
    match len.checked_add(mask) {
        Some(sum) => sum & !mask,
        None => usize::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CHUNK_BYTES;
    use std::collections::BTreeSet;

    #[test]
    fn known_lengths() {
        // Worked by hand from the algorithm: exponent, bits kept, rounding unit.
        for (len, padded) in [
            (0, 1024),
            (1, 1024),
            (1024, 1024),
            (1025, 1088), // 10, 4, 64
            (4096, 4096),
            (4097, 4352),       // 12, 4, 256
            (100_000, 100_352), // 16, 5, 2048
            (CHUNK_BYTES - 1, CHUNK_BYTES),
            (CHUNK_BYTES, CHUNK_BYTES),
        ] {
            assert_eq!(padded_len(len), padded, "{len}");
        }
    }

    #[test]
    fn a_chunk_shows_few_sizes_each_at_most_an_eighth_too_long() {
        let mut sizes = BTreeSet::new();
        for len in 1..=CHUNK_BYTES {
            let padded = padded_len(len);
            assert!(padded >= len && padded <= CHUNK_BYTES);
            assert!(len <= PADDED_BYTES_MIN || padded - len <= len / 8, "{len}");
            assert_eq!(padded_len(padded), padded);
            sizes.insert(padded);
        }
        assert!(sizes.len() < 200, "{} sizes", sizes.len());
    }

    #[test]
    fn the_longest_length_does_not_overflow() {
        assert_eq!(padded_len(usize::MAX), usize::MAX);
    }
}
