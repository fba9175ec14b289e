//! Looks for many secrets at once in many bytes.

use std::collections::{BTreeMap, BTreeSet};

/// Most of a disk: looked at in one step.
const ZEROS: [u8; 4096] = [0; 4096];
/// Bytes by which a secret is looked up.
const START: usize = 8;

/// Secrets to look for, by how they begin.
pub struct Scanner {
    /// Which three bytes a secret begins with: nearly everything begins otherwise.
    begins: Vec<bool>,
    secrets: BTreeMap<[u8; START], Vec<Vec<u8>>>,
}

impl Scanner {
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut this = Self {
            begins: vec![false; 1 << 24],
            secrets: BTreeMap::new(),
        };
        for secret in secrets {
            let start = secret[..START].try_into().unwrap();
            this.begins[prefix(&start)] = true;
            this.secrets.entry(start).or_default().push(secret.to_vec());
        }
        this
    }

    pub fn len(&self) -> usize {
        self.secrets.values().map(Vec::len).sum()
    }

    /// Returns which of them are in these bytes.
    pub fn find(&self, bytes: &[u8]) -> BTreeSet<Vec<u8>> {
        let mut found = BTreeSet::new();
        let mut at = 0;
        while let Some(window) = bytes.get(at..at + START) {
            if bytes.get(at..at + ZEROS.len()) == Some(&ZEROS) {
                at += ZEROS.len();
                continue;
            }
            // A disk is mostly zeros, and no secret begins with three of them.
            let here = at;
            at += 1;
            if window[0] | window[1] | window[2] == 0 {
                continue;
            }
            let start: [u8; START] = window.try_into().unwrap();
            if !self.begins[prefix(&start)] {
                continue;
            }
            for secret in self.secrets.get(&start).into_iter().flatten() {
                if bytes[here..].starts_with(secret) {
                    found.insert(secret.clone());
                }
            }
        }
        found
    }
}

fn prefix(start: &[u8; START]) -> usize {
    usize::from(start[0]) << 16 | usize::from(start[1]) << 8 | usize::from(start[2])
}

/// How text may show bytes: as they are, in hexadecimal, in Base64 and Base32, and as `Debug` lists them.
pub fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    use data_encoding::{BASE32_NOPAD, BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
    let list: Vec<String> = secret.iter().map(u8::to_string).collect();
    let texts = [
        HEXLOWER.encode(secret),
        HEXUPPER.encode(secret),
        BASE64_NOPAD.encode(secret),
        BASE64URL_NOPAD.encode(secret),
        BASE32_NOPAD.encode(secret),
        BASE32_NOPAD.encode(secret).to_lowercase(),
        list.join(", "),
        list.join(","),
    ];
    let texts = texts.into_iter().map(String::into_bytes);
    texts.chain([secret.to_vec()]).collect()
}

#[test]
fn whatever_is_planted_is_found() {
    let secret: Vec<u8> = (100..132).collect();
    let late: Vec<u8> = (100..131).chain([9]).collect();
    let scanner = Scanner::new([&secret[..], &late]);
    assert_eq!(scanner.len(), 2);
    for (before, after) in [(0, 0), (1, 0), (0, 1), (511, 700), (4096, 3)] {
        for planted in [&secret, &late] {
            let bytes = [vec![0; before], planted.clone(), vec![7; after]].concat();
            assert_eq!(scanner.find(&bytes), BTreeSet::from([planted.clone()]));
        }
    }
    let torn = [&secret[..31], &[0], &secret[31..]].concat();
    assert_eq!(scanner.find(&torn), BTreeSet::new());
    for form in forms(&secret) {
        let all = forms(&secret);
        let text = Scanner::new(all.iter().map(Vec::as_slice));
        let line = [b"key=".to_vec(), form, b" done".to_vec()].concat();
        assert!(!text.find(&line).is_empty());
    }
}
