//! Lists of bytes that JSON wrote out in decimal digits, put back into bytes.
//!
//! OpenMLS stores its rows as JSON, where a key of 32 bytes is a hundred letters. LZ4 finds repeats
//! and knows nothing of letters that are rarer than others, so it makes little of that. What is found
//! is `n,n,…` with at least [`RUN_MIN`] numbers below 256 as JSON writes them; all else stays as it is.
//!
//! # Invariants
//! - [`undo`] of [`squeeze`] gives the same bytes, whatever they are.
//! - Nothing is allocated for a claim that the bytes do not bear out.

use zeroize::Zeroizing;

/// Fewest numbers that are worth it: so many are always longer than what stands for them.
const RUN_MIN: usize = 16;

/// Writes in turn: length of what stays, that, how many numbers, those as bytes.
pub(crate) fn squeeze(plain: &[u8]) -> Zeroizing<Vec<u8>> {
    // Neither ever grows beyond this: no copy of secrets is left behind.
    let mut out = Zeroizing::new(Vec::with_capacity(plain.len() + 2 * LENGTH_BYTES));
    let mut found = Zeroizing::new(Vec::with_capacity(plain.len().div_ceil(2)));
    let mut rest = plain;
    loop {
        let (stays, after) = next_run(rest, &mut found);
        push_length(&mut out, stays.len());
        out.extend_from_slice(stays);
        push_length(&mut out, found.len());
        out.extend_from_slice(&found);
        if after.is_empty() {
            return out;
        }
        rest = after;
    }
}

/// Reverses [`squeeze`]. None if it did not write these bytes, or for more than `max` bytes.
pub(crate) fn undo(bytes: &[u8], max: usize) -> Option<Zeroizing<Vec<u8>>> {
    let mut len = 0_usize;
    each(bytes, |stays, numbers| {
        let digits: usize = numbers.iter().map(|n| decimal_len(*n) + 1).sum();
        len = len.saturating_add(stays.len() + digits.saturating_sub(1));
    })?;
    if len > max {
        return None;
    }
    let mut out = Zeroizing::new(Vec::with_capacity(len));
    each(bytes, |stays, numbers| {
        out.extend_from_slice(stays);
        for (at, n) in numbers.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            push_decimal(&mut out, *n);
        }
    })?;
    Some(out)
}

/// What stays before the first run, and what follows it; its numbers go into `found`.
fn next_run<'a>(bytes: &'a [u8], found: &mut Vec<u8>) -> (&'a [u8], &'a [u8]) {
    let mut from = 0;
    while let Some(tail) = bytes.get(from..).filter(|tail| !tail.is_empty()) {
        let len = numbers(tail, found);
        if found.len() >= RUN_MIN {
            let (stays, _) = bytes.split_at_checked(from).unwrap_or((bytes, &[]));
            return (stays, tail.get(len..).unwrap_or(&[]));
        }
        // No run begins inside of what was read: it would have been the same, and shorter.
        from += len.max(1);
    }
    found.clear();
    (bytes, &[])
}

/// Takes the numbers of `n,n,…` at the start; returns how long that is.
fn numbers(bytes: &[u8], found: &mut Vec<u8>) -> usize {
    found.clear();
    let (mut end, mut at) = (0, 0);
    while let Some((n, len)) = bytes.get(at..).and_then(decimal) {
        found.push(n);
        end = at + len;
        if bytes.get(end) != Some(&b',') {
            break;
        }
        at = end + 1;
    }
    end
}

/// The number below 256 that these bytes begin with, as JSON writes it, and its length.
fn decimal(bytes: &[u8]) -> Option<(u8, usize)> {
    let (first, rest) = bytes.split_first().filter(|(b, _)| b.is_ascii_digit())?;
    let (mut value, mut len) = (u16::from(first - b'0'), 1);
    if value > 0 {
        for digit in rest.iter().take(2).take_while(|b| b.is_ascii_digit()) {
            value = value * 10 + u16::from(digit - b'0');
            len += 1;
        }
    }
    if bytes.get(len).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    Some((u8::try_from(value).ok()?, len))
}

const fn decimal_len(n: u8) -> usize {
    match n {
        0..=9 => 1,
        10..=99 => 2,
        100..=255 => 3,
    }
}

fn push_decimal(out: &mut Vec<u8>, n: u8) {
    if n >= 100 {
        out.push(b'0' + n / 100);
    }
    if n >= 10 {
        out.push(b'0' + n / 10 % 10);
    }
    out.push(b'0' + n % 10);
}

fn each(mut bytes: &[u8], mut give: impl FnMut(&[u8], &[u8])) -> Option<()> {
    while !bytes.is_empty() {
        let stays = take(&mut bytes)?;
        let numbers = take(&mut bytes)?;
        give(stays, numbers);
    }
    Some(())
}

/// A length, and so many bytes.
fn take<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, rest) = bytes.split_first_chunk::<LENGTH_BYTES>()?;
    let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
    let (taken, rest) = rest.split_at_checked(len)?;
    *bytes = rest;
    Some(taken)
}

fn push_length(out: &mut Vec<u8>, len: usize) {
    // A state has at most 64 MiB.
    let len = u32::try_from(len).unwrap_or(u32::MAX);
    out.extend_from_slice(&len.to_le_bytes());
}

/// Bytes of a length. LZ4 takes most of them away.
const LENGTH_BYTES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn there_and_back(plain: &[u8]) -> usize {
        let squeezed = squeeze(plain);
        assert_eq!(undo(&squeezed, plain.len()).unwrap().as_slice(), plain);
        assert!(squeezed.len() <= plain.len() + 2 * LENGTH_BYTES);
        if let Some(less) = plain.len().checked_sub(1) {
            assert!(undo(&squeezed, less).is_none(), "more than allowed");
        }
        squeezed.len()
    }

    #[test]
    fn lists_of_bytes_take_a_byte_for_each() {
        let list: Vec<String> = (0..=255).map(|n: u8| n.to_string()).collect();
        let json = format!("{{\"vec\":[{}],\"n\":7}}", list.join(","));
        assert!(there_and_back(json.as_bytes()) < 256 + 40);
    }

    #[test]
    fn what_is_no_list_of_bytes_comes_back_as_it_was() {
        let zeros = "00,".repeat(40);
        let large = "256,".repeat(40);
        let long = "1234,".repeat(40);
        let edge = format!("{}300,{}", "7,".repeat(20), "8,".repeat(20));
        for text in ["", ",", "1", "1,2,3", "[1,2", &zeros, &large, &long, &edge] {
            there_and_back(text.as_bytes());
        }
    }

    proptest! {
        #[test]
        fn any_text_of_digits_comes_back(text in "[0-9,\\[\\]x]{0,400}") {
            there_and_back(text.as_bytes());
        }

        #[test]
        fn any_list_comes_back(list in proptest::collection::vec(0_u16..300, 0..200), before in "[0-9,]{0,9}") {
            let list: Vec<String> = list.iter().map(u16::to_string).collect();
            there_and_back(format!("{before}{}", list.join(",")).as_bytes());
        }

        #[test]
        fn any_bytes_are_undone_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = undo(&bytes, 1_000);
        }
    }
}
