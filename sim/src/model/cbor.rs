//! CBOR as `docs/format.md` allows it, read into a tree and written back.

/// One value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cbor {
    Null,
    Bool(bool),
    Number(u64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Self>),
    /// Keys ascend.
    Map(Vec<(u64, Self)>),
}

/// Deeper than any form in the format.
const DEPTH_MAX: usize = 16;

impl Cbor {
    /// Reads one value with nothing behind it. `None` unless the bytes are the one form that
    /// this value has.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let value = read(&mut rest, DEPTH_MAX)?;
        (rest.is_empty() && value.write() == bytes).then_some(value)
    }

    /// Writes the value.
    pub(super) fn write(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write(self, &mut out);
        out
    }

    /// Of a map: the value at this key.
    pub(super) fn get(&self, key: u64) -> Option<&Self> {
        match self {
            Self::Map(fields) => fields.iter().find(|(k, _)| *k == key).map(|(_, v)| v),
            _ => None,
        }
    }

    pub(super) fn number(&self) -> Option<u64> {
        match self {
            Self::Number(n) => Some(*n),
            _ => None,
        }
    }

    pub(super) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub(super) fn list(&self) -> Option<&[Self]> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }
}

fn take<'a>(rest: &mut &'a [u8], n: u64) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(usize::try_from(n).ok()?)?;
    *rest = left;
    Some(taken)
}

fn read(rest: &mut &[u8], depth: usize) -> Option<Cbor> {
    let depth = depth.checked_sub(1)?;
    let first = *take(rest, 1)?.first()?;
    let (major, info) = (first >> 5, first & 31);
    if major == 7 {
        return match info {
            20 => Some(Cbor::Bool(false)),
            21 => Some(Cbor::Bool(true)),
            22 => Some(Cbor::Null),
            _ => None,
        };
    }
    let argument = match info {
        0..=23 => u64::from(info),
        24..=27 => take(rest, 1 << (info - 24))?
            .iter()
            .fold(0, |n, byte| n << 8 | u64::from(*byte)),
        _ => return None,
    };
    // A list or map has at least a byte for each item, so a hostile length ends early.
    Some(match major {
        0 => Cbor::Number(argument),
        2 => Cbor::Bytes(take(rest, argument)?.to_vec()),
        3 => Cbor::Text(String::from_utf8(take(rest, argument)?.to_vec()).ok()?),
        4 => {
            let mut items = Vec::new();
            for _ in 0..argument {
                items.push(read(rest, depth)?);
            }
            Cbor::List(items)
        }
        5 => {
            let mut fields = Vec::new();
            for _ in 0..argument {
                let Cbor::Number(key) = read(rest, depth)? else {
                    return None;
                };
                if fields.last().is_some_and(|(last, _)| *last >= key) {
                    return None;
                }
                fields.push((key, read(rest, depth)?));
            }
            Cbor::Map(fields)
        }
        _ => return None,
    })
}

fn head(major: u8, n: u64, out: &mut Vec<u8>) {
    let bytes = n.to_be_bytes();
    let (info, from) = match n {
        0..=23 => (bytes[7], 8),
        24..=0xff => (24, 7),
        0x100..=0xffff => (25, 6),
        0x1_0000..=0xffff_ffff => (26, 4),
        _ => (27, 0),
    };
    out.push(major << 5 | info);
    out.extend(bytes.iter().skip(from));
}

fn write(value: &Cbor, out: &mut Vec<u8>) {
    match value {
        Cbor::Null => out.push(0xf6),
        Cbor::Bool(yes) => out.push(if *yes { 0xf5 } else { 0xf4 }),
        Cbor::Number(n) => head(0, *n, out),
        Cbor::Bytes(bytes) => {
            head(2, bytes.len() as u64, out);
            out.extend(bytes);
        }
        Cbor::Text(text) => {
            head(3, text.len() as u64, out);
            out.extend(text.as_bytes());
        }
        Cbor::List(items) => {
            head(4, items.len() as u64, out);
            items.iter().for_each(|item| write(item, out));
        }
        Cbor::Map(fields) => {
            head(5, fields.len() as u64, out);
            for (key, value) in fields {
                head(0, *key, out);
                write(value, out);
            }
        }
    }
}
