//! Ids as the dump writes them: lower-case hex, ordered bytewise.

use core::fmt;

/// So many bytes, written in hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bytes<const N: usize>(pub(super) [u8; N]);

/// An op, person, device, epoch, Space or hash.
pub(super) type Id = Bytes<32>;

/// A channel.
pub(super) type Channel = Bytes<16>;

impl<const N: usize> Bytes<N> {
    /// Reads hex; `None` unless it is exactly so long.
    #[must_use]
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes = unhex(text)?;
        Some(Self(bytes.try_into().ok()?))
    }

    /// Takes bytes; `None` unless there are exactly so many.
    #[must_use]
    pub(super) fn take(bytes: &[u8]) -> Option<Self> {
        Some(Self(bytes.try_into().ok()?))
    }

    /// Whether every byte is zero.
    #[must_use]
    pub(super) fn is_zero(&self) -> bool {
        self.0 == [0; N]
    }
}

impl<const N: usize> fmt::Display for Bytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl<const N: usize> fmt::Debug for Bytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.to_string();
        f.write_str(text.get(..8).unwrap_or(&text))
    }
}

/// Reads hex of any length.
#[must_use]
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|c| match c {
            '0'..='9' | 'a'..='f' => u8::try_from(c.to_digit(16)?).ok(),
            _ => None,
        })
        .collect();
    let digits = digits?;
    let mut pairs = digits.chunks_exact(2);
    let bytes = pairs
        .by_ref()
        .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
        .collect();
    pairs.remainder().is_empty().then_some(bytes)
}

/// Writes hex.
#[must_use]
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
