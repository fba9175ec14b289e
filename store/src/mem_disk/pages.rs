//! The bytes of a file in memory, page by page: zeros cost nothing, copies share.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes of a page.
const PAGE: usize = 4096;

/// The content of a file. A page of zeros is not there; clones share pages until one is written.
#[derive(Clone, Default)]
pub(super) struct Pages {
    len: usize,
    pages: Arc<BTreeMap<usize, Arc<[u8; PAGE]>>>,
}

impl Pages {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn stored_bytes(&self) -> usize {
        self.pages.len() * PAGE
    }

    /// Fills `out` from `at`; returns whether the file is that long.
    pub(super) fn read(&self, at: usize, out: &mut [u8]) -> bool {
        let end = at.checked_add(out.len());
        if end.is_none_or(|end| end > self.len) {
            return false;
        }
        for (number, within, part) in split(at, out.len()) {
            let Some(out) = out.get_mut(part) else {
                return false;
            };
            let from = self.pages.get(&number).and_then(|page| page.get(within));
            match from {
                Some(from) => out.copy_from_slice(from),
                None => out.fill(0),
            }
        }
        true
    }

    /// Writes at `at`, growing the file as needed.
    pub(super) fn write(&mut self, at: usize, bytes: &[u8]) {
        self.len = self.len.max(at + bytes.len());
        for (number, within, part) in split(at, bytes.len()) {
            let Some(bytes) = bytes.get(part) else { return };
            if bytes.iter().all(|b| *b == 0) && !self.pages.contains_key(&number) {
                continue;
            }
            let pages = Arc::make_mut(&mut self.pages);
            let page = pages.entry(number).or_insert_with(|| Arc::new([0; PAGE]));
            if let Some(place) = Arc::make_mut(page).get_mut(within) {
                place.copy_from_slice(bytes);
            }
        }
    }

    pub(super) fn set_len(&mut self, len: usize) {
        if len < self.len {
            let pages = Arc::make_mut(&mut self.pages);
            pages.retain(|number, _| number * PAGE < len);
            if let Some(last) = pages.get_mut(&(len / PAGE))
                && let Some(cut) = Arc::make_mut(last).get_mut(len % PAGE..)
            {
                cut.fill(0);
            }
        }
        self.len = len;
    }

    pub(super) fn to_vec(&self) -> Vec<u8> {
        let mut out = vec![0; self.len];
        self.read(0, &mut out);
        out
    }
}

/// Cuts a range at page bounds: page, range within it, range within the whole.
fn split(
    at: usize,
    len: usize,
) -> impl Iterator<Item = (usize, core::ops::Range<usize>, core::ops::Range<usize>)> {
    let mut done = 0;
    core::iter::from_fn(move || {
        let here = at + done;
        let n = (PAGE - here % PAGE).min(len.checked_sub(done)?);
        if n == 0 {
            return None;
        }
        let part = done..done + n;
        done += n;
        Some((here / PAGE, here % PAGE..here % PAGE + n, part))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_bytes() {
        let (mut pages, mut bytes) = (Pages::default(), Vec::new());
        for n in 0..400_usize {
            let at = n * 7919 % 20_000;
            let data = vec![u8::try_from(n % 3).unwrap(); n * 31 % 9_000];
            if n % 17 == 3 {
                pages.set_len(at);
                bytes.resize(at, 0);
            } else {
                pages.write(at, &data);
                bytes.resize(bytes.len().max(at + data.len()), 0);
                bytes[at..at + data.len()].copy_from_slice(&data);
            }
            assert_eq!(pages.to_vec(), bytes, "step {n}");
            let mut part = vec![9; 100];
            assert_eq!(pages.read(at, &mut part), at + 100 <= bytes.len());
        }
    }

    #[test]
    fn zeros_take_no_room_and_copies_are_apart() {
        let mut pages = Pages::default();
        pages.write(0, &vec![0; 1_000_000]);
        assert_eq!((pages.len(), pages.pages.len()), (1_000_000, 0));
        pages.write(5_000, b"x");
        let copy = pages.clone();
        pages.write(5_000, b"y");
        assert_eq!((copy.to_vec()[5_000], pages.to_vec()[5_000]), (b'x', b'y'));
    }
}
