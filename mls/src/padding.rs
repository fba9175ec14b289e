//! Padding to a few sizes, so that length tells little (B13).
//!
//! Inside: length of the content as u32 big-endian ‖ content ‖ zeros.

/// Sizes in bytes that whole envelopes come in.
pub const BUCKETS: [usize; 6] = [1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20];

/// Bytes of the length in front.
pub(crate) const PREFIX_LEN: usize = 4;

/// Pads content so that with `overhead` more bytes it fills the least bucket it fits in.
/// `None` when it fits in none.
pub(crate) fn pad(content: &[u8], overhead: usize) -> Option<Vec<u8>> {
    let needed = content.len().checked_add(PREFIX_LEN + overhead)?;
    let bucket = BUCKETS.into_iter().find(|bucket| *bucket >= needed)?;
    let mut out = Vec::with_capacity(bucket - overhead);
    out.extend_from_slice(&u32::try_from(content.len()).ok()?.to_be_bytes());
    out.extend_from_slice(content);
    out.resize(bucket - overhead, 0);
    Some(out)
}

/// Reverses [`pad`]. `None` unless length and zeros are as they must be.
pub(crate) fn unpad(mut padded: Vec<u8>) -> Option<Vec<u8>> {
    let (prefix, rest) = padded.split_first_chunk::<PREFIX_LEN>()?;
    let len = usize::try_from(u32::from_be_bytes(*prefix)).ok()?;
    let (_, zeros) = rest.split_at_checked(len)?;
    if zeros.iter().any(|byte| *byte != 0) {
        return None;
    }
    padded.drain(..PREFIX_LEN);
    padded.truncate(len);
    Some(padded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_fills_a_bucket_and_comes_back() {
        for bucket in BUCKETS {
            for len in [0, bucket / 2, bucket - 77, bucket - 76] {
                let content = vec![7; len];
                let padded = pad(&content, 72).unwrap();
                assert!(BUCKETS.contains(&(padded.len() + 72)), "{len}");
                assert_eq!(unpad(padded), Some(content));
            }
        }
        assert_eq!(pad(&vec![0; (1 << 20) - 75], 72), None);
    }

    #[test]
    fn a_wrong_length_or_dirty_padding_is_refused() {
        for bad in [
            vec![],
            vec![0, 0, 0],
            vec![0, 0, 0, 2, 1],
            vec![0xff, 0xff, 0xff, 0xff, 1],
            vec![0, 0, 0, 1, 5, 1],
        ] {
            assert_eq!(unpad(bad.clone()), None, "{bad:?}");
        }
    }
}
