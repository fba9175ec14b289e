//! Inputs that are changes of something valid.

/// Applies changes of four bytes each: what to do, where (in 65,536ths of the length), with what.
#[must_use]
pub fn edits(valid: &[u8], changes: &[u8]) -> Vec<u8> {
    let mut bytes = valid.to_vec();
    for change in changes.chunks_exact(4).take(64) {
        let [what, high, low, value] = change else {
            continue;
        };
        let share = usize::from(u16::from_be_bytes([*high, *low]));
        let at = bytes.len() * share / 65_536;
        match what % 6 {
            0 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= value;
                }
            }
            1 => bytes.insert(at, *value),
            2 => {
                if at < bytes.len() {
                    bytes.remove(at);
                }
            }
            3 => bytes.truncate(at.max(1)),
            4 => {
                // A piece of it once more, somewhere else.
                let len = usize::from(*value).min(bytes.len() - at);
                let piece: Vec<u8> = bytes.iter().skip(at).take(len).copied().collect();
                bytes.extend(piece);
            }
            _ => bytes.extend(std::iter::repeat_n(*value, usize::from(*low))),
        }
    }
    bytes
}

/// The input as it is when its first byte is even, else as changes of one of these.
pub(crate) fn raw_or_edits(valid: &[Vec<u8>], data: &[u8]) -> Vec<u8> {
    match data.split_first() {
        Some((first, rest)) if first % 2 == 1 && !valid.is_empty() => {
            let which = usize::from(first / 2) % valid.len();
            valid
                .get(which)
                .map_or_else(Vec::new, |valid| edits(valid, rest))
        }
        Some((_, rest)) => rest.to_vec(),
        None => Vec::new(),
    }
}
