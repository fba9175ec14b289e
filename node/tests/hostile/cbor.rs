//! Bytes that say what a valid encoding says, or nearly, and are not that encoding.

/// A CBOR item, apart from its bytes.
#[derive(Clone, Debug)]
enum Item {
    Uint(u64),
    Bytes(Vec<u8>),
    Text(Vec<u8>),
    Array(Vec<Self>),
    Map(Vec<Self>),
    /// Anything, as bytes.
    Raw(Vec<u8>),
}

fn head(major: u8, value: u64) -> Vec<u8> {
    let major = major << 5;
    match value {
        0..24 => vec![major | value as u8],
        24..256 => vec![major | 24, value as u8],
        256..65_536 => [&[major | 25][..], &(value as u16).to_be_bytes()].concat(),
        65_536..4_294_967_296 => [&[major | 26][..], &(value as u32).to_be_bytes()].concat(),
        _ => [&[major | 27][..], &value.to_be_bytes()].concat(),
    }
}

/// A head that is longer than need be.
fn wide(major: u8, value: u64) -> Vec<u8> {
    let major = major << 5;
    match value {
        0..24 => vec![major | 24, value as u8],
        24..256 => [&[major | 25][..], &(value as u16).to_be_bytes()].concat(),
        256..65_536 => [&[major | 26][..], &(value as u32).to_be_bytes()].concat(),
        _ => [&[major | 27][..], &value.to_be_bytes()].concat(),
    }
}

impl Item {
    fn read(bytes: &mut &[u8]) -> Self {
        let first = bytes[0];
        let (major, info) = (first >> 5, first & 31);
        if major == 7 {
            *bytes = &bytes[1..];
            return Self::Raw(vec![first]);
        }
        let width = match info {
            0..24 => 0,
            24 => 1,
            25 => 2,
            26 => 4,
            _ => 8,
        };
        let value = if width == 0 {
            u64::from(info)
        } else {
            bytes[1..=width]
                .iter()
                .fold(0, |value, byte| value << 8 | u64::from(*byte))
        };
        *bytes = &bytes[1 + width..];
        let mut take = |len: u64| {
            let (taken, rest) = bytes.split_at(len as usize);
            *bytes = rest;
            taken.to_vec()
        };
        match major {
            0 => Self::Uint(value),
            2 => Self::Bytes(take(value)),
            3 => Self::Text(take(value)),
            4 => Self::Array((0..value).map(|_| Self::read(bytes)).collect()),
            5 => Self::Map((0..value * 2).map(|_| Self::read(bytes)).collect()),
            other => panic!("major {other} in what we wrote"),
        }
    }

    fn write(&self) -> Vec<u8> {
        let all = |items: &[Self]| items.iter().flat_map(Self::write).collect::<Vec<u8>>();
        match self {
            Self::Uint(value) => head(0, *value),
            Self::Bytes(bytes) => [head(2, bytes.len() as u64), bytes.clone()].concat(),
            Self::Text(bytes) => [head(3, bytes.len() as u64), bytes.clone()].concat(),
            Self::Array(items) => [head(4, items.len() as u64), all(items)].concat(),
            Self::Map(items) => [head(5, items.len() as u64 / 2), all(items)].concat(),
            Self::Raw(bytes) => bytes.clone(),
        }
    }

    fn inside(&self) -> &[Self] {
        match self {
            Self::Array(items) | Self::Map(items) => items,
            _ => &[],
        }
    }

    fn at(&mut self, path: &[usize]) -> &mut Self {
        match (path, self) {
            ([], item) => item,
            ([first, rest @ ..], Self::Array(items) | Self::Map(items)) => items[*first].at(rest),
            _ => panic!("no such path"),
        }
    }

    fn paths(&self, here: &[usize], all: &mut Vec<Vec<usize>>) {
        all.push(here.to_vec());
        for (n, item) in self.inside().iter().enumerate() {
            item.paths(&[here, &[n]].concat(), all);
        }
    }

    /// Every way to say this one item otherwise.
    fn otherwise(&self) -> Vec<(&'static str, Kind, Vec<u8>)> {
        use Kind::{Odd, Wide};
        let plain = self.write();
        let mut all = vec![
            ("a tag in front", Odd, [&[0xc1][..], &plain].concat()),
            (
                "a self-describing tag in front",
                Odd,
                [&[0xd9, 0xd9, 0xf7][..], &plain].concat(),
            ),
            ("a half float", Odd, vec![0xf9, 0x7e, 0x00]),
            (
                "a NaN with a message",
                Odd,
                vec![0xfb, 0x7f, 0xf8, 0, 0, 0xde, 0xad, 0xbe, 0xef],
            ),
            ("undefined", Odd, vec![0xf7]),
            ("a simple value", Odd, vec![0xf8, 0xff]),
            ("a stop code", Odd, vec![0xff]),
            ("a reserved head", Odd, vec![plain[0] & 0xe0 | 28]),
        ];
        let sized = |major: u8, len: u64, body: Vec<u8>| {
            vec![
                (
                    "a longer length",
                    Wide,
                    [wide(major, len), body.clone()].concat(),
                ),
                (
                    "a length of 4 GiB",
                    Odd,
                    [&[major << 5 | 26, 0xff, 0xff, 0xff, 0xff][..], &body].concat(),
                ),
                (
                    "a length of 2^63",
                    Odd,
                    [&[major << 5 | 27, 0x80, 0, 0, 0, 0, 0, 0, 0][..], &body].concat(),
                ),
            ]
        };
        let all_of = |items: &[Self]| items.iter().flat_map(Self::write).collect::<Vec<u8>>();
        match self {
            Self::Uint(value) => all.extend([
                ("a longer integer", Wide, wide(0, *value)),
                ("a negative integer", Odd, head(1, *value)),
                (
                    "the same number as a float",
                    Odd,
                    [&[0xfb][..], &(*value as f64).to_be_bytes()].concat(),
                ),
                (
                    "a bignum",
                    Odd,
                    [&[0xc2, 0x48][..], &value.to_be_bytes()].concat(),
                ),
            ]),
            Self::Bytes(bytes) => {
                all.extend(sized(2, bytes.len() as u64, bytes.clone()));
                all.extend([
                    (
                        "bytes in pieces",
                        Odd,
                        [&[0x5f][..], &plain, &[0xff]].concat(),
                    ),
                    (
                        "text for bytes",
                        Odd,
                        [head(3, bytes.len() as u64), bytes.clone()].concat(),
                    ),
                    (
                        "bytes as a list of numbers",
                        Odd,
                        Self::Array(bytes.iter().map(|b| Self::Uint(u64::from(*b))).collect())
                            .write(),
                    ),
                ]);
            }
            Self::Text(bytes) => {
                all.extend(sized(3, bytes.len() as u64, bytes.clone()));
                all.extend([
                    (
                        "text in pieces",
                        Odd,
                        [&[0x7f][..], &plain, &[0xff]].concat(),
                    ),
                    (
                        "bytes for text",
                        Odd,
                        [head(2, bytes.len() as u64), bytes.clone()].concat(),
                    ),
                    ("broken UTF-8", Odd, vec![0x62, 0xc3, 0x28]),
                    ("a surrogate as UTF-8", Odd, vec![0x63, 0xed, 0xa0, 0x80]),
                    ("an overlong slash", Odd, vec![0x62, 0xc0, 0xaf]),
                ]);
            }
            Self::Array(items) => {
                all.extend(sized(4, items.len() as u64, all_of(items)));
                all.push((
                    "a list without length",
                    Odd,
                    [&[0x9f][..], &all_of(items), &[0xff]].concat(),
                ));
            }
            Self::Map(items) => {
                all.extend(sized(5, items.len() as u64 / 2, all_of(items)));
                let mut twice = items.clone();
                twice.extend(items[items.len().saturating_sub(2)..].to_vec());
                let mut turned = items.clone();
                if turned.len() >= 4 {
                    turned.rotate_left(2);
                }
                let mut more = items.clone();
                more.extend([Self::Uint(23), Self::Uint(0)]);
                let mut deep = items.clone();
                let bomb = [vec![0x81; 900], vec![0x00]].concat();
                deep.extend([Self::Uint(22), Self::Raw(bomb)]);
                all.push((
                    "a map without length",
                    Odd,
                    [&[0xbf][..], &all_of(items), &[0xff]].concat(),
                ));
                if items.len() >= 2 {
                    all.push(("a key twice", Odd, Self::Map(twice).write()));
                }
                if items.len() >= 4 {
                    all.push(("keys out of order", Wide, Self::Map(turned).write()));
                }
                all.push(("an unknown key", Wide, Self::Map(more).write()));
                all.push(("a nest under an unknown key", Wide, Self::Map(deep).write()));
            }
            Self::Raw(_) => {}
        }
        // A number that takes eight bytes has no longer form.
        all.retain(|(.., bytes)| *bytes != plain);
        all
    }
}

/// What of the strictness a change meets first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A reader that is not strict takes it for the same value.
    Wide,
    /// It is of another type, or cut off.
    Odd,
}

/// Returns every change of one item of this encoding: where, what, and the bytes.
pub fn changes(valid: &[u8]) -> Vec<(String, Kind, Vec<u8>)> {
    let whole = Item::read(&mut &valid[..]);
    assert_eq!(
        whole.write(),
        valid,
        "the encoding is canonical to begin with"
    );
    let mut paths = Vec::new();
    whole.paths(&[], &mut paths);
    let mut all = Vec::new();
    for path in paths {
        let item = whole.clone().at(&path).clone();
        for (what, kind, bytes) in item.otherwise() {
            let mut changed = whole.clone();
            *changed.at(&path) = Item::Raw(bytes);
            let at: Vec<String> = path.iter().map(ToString::to_string).collect();
            all.push((
                format!("{what} at /{}", at.join("/")),
                kind,
                changed.write(),
            ));
        }
    }
    all.push((
        "a byte behind".to_owned(),
        Kind::Wide,
        [valid, &[0]].concat(),
    ));
    all.push((
        "itself behind".to_owned(),
        Kind::Wide,
        [valid, valid].concat(),
    ));
    for cut in [0, 1, valid.len() / 2, valid.len() - 1] {
        all.push((
            format!("only {cut} bytes"),
            Kind::Odd,
            valid[..cut].to_vec(),
        ));
    }
    all
}

#[test]
fn every_change_changes_bytes_and_no_two_are_the_same() {
    let valid = [0xa2, 0x00, 0x18, 0x18, 0x01, 0x82, 0x41, 0x05, 0x61, b'a'];
    let all = changes(&valid);
    let mut bytes: Vec<_> = all.iter().map(|(.., bytes)| bytes.clone()).collect();
    assert!(bytes.iter().all(|b| b != &valid));
    assert!(all.len() > 60, "{}", all.len());
    bytes.sort();
    bytes.dedup();
    // A head of the same kind is reserved in the same way wherever it stands alone.
    assert!(
        bytes.len() + 4 >= all.len(),
        "{} of {}",
        bytes.len(),
        all.len()
    );
}
