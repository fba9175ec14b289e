//! An op, read from the bytes of its row.

use serde_json::Value;

use super::act::{self, Act, QuorumAct, kind_name};
use super::cbor::Cbor;
use super::crypto::{Signatures, hash};
use super::form;
use super::id::{Bytes, Channel, Id, hex, unhex};

/// One op as it was signed.
#[derive(Clone, Debug)]
pub(super) struct Op {
    pub(super) id: Id,
    pub(super) space: Id,
    pub(super) kind: u16,
    pub(super) user: Id,
    pub(super) device: Id,
    /// `None` on the control plane.
    pub(super) channel: Option<Channel>,
    pub(super) seq: u64,
    pub(super) back: Option<Id>,
    pub(super) ctl: Vec<Id>,
    pub(super) prev: Vec<Id>,
    pub(super) epoch: Id,
    pub(super) hlc: u64,
    pub(super) wall: u64,
    pub(super) payload_len: u64,
    pub(super) header_len: usize,
    /// `None` when it was pruned.
    pub(super) payload: Option<Vec<u8>>,
    /// `None` when there is none here, or it does not follow the format.
    pub(super) act: Option<Act>,
    /// What a signature inside the payload covers.
    pub(super) binding: Id,
    /// Of Genesis: the Space it founds.
    pub(super) founds: Id,
    pub(super) signed: bool,
}

impl Op {
    pub(super) const fn is_control(&self) -> bool {
        self.channel.is_none()
    }

    /// Everything it names.
    pub(super) fn refs(&self) -> impl Iterator<Item = &Id> {
        self.back.iter().chain(&self.ctl).chain(&self.prev)
    }

    /// What it does, or of the act of a quorum what that does.
    pub(super) fn deed(&self) -> Option<&Act> {
        match &self.act {
            Some(Act::Quorum(quorum)) => Some(&quorum.action),
            act => act.as_ref(),
        }
    }

    /// The admins behind it, if it is the act of a quorum.
    pub(super) const fn quorum(&self) -> Option<&QuorumAct> {
        match &self.act {
            Some(Act::Quorum(quorum)) => Some(quorum),
            _ => None,
        }
    }

    /// A post, or a thread with its first post.
    pub(super) const fn is_post(&self) -> bool {
        matches!(self.kind, act::POST | act::THREAD_CREATE)
    }

    /// Kinds that act on one earlier op.
    pub(super) const fn has_target(&self) -> bool {
        matches!(self.kind, 65 | 67..=74)
    }

    /// The one op that such a kind acts on.
    pub(super) fn target(&self) -> Option<&Id> {
        match self.prev.as_slice() {
            [target] if self.has_target() => Some(target),
            _ => None,
        }
    }

    /// The order of views (B3).
    pub(super) const fn order(&self) -> Order {
        (self.hlc, self.wall, self.device, self.id)
    }

    /// Reads an op from the bytes on the wire. The error says what is wrong with them.
    pub(super) fn read(bytes: &[u8], signatures: Signatures) -> Result<Self, &'static str> {
        let outer = Cbor::read(bytes).ok_or("not the one CBOR form")?;
        let Some([Cbor::Bytes(header_bytes), Cbor::Bytes(sig), payload]) = outer.list() else {
            return Err("not header, signature and payload");
        };
        let payload = match payload {
            Cbor::Bytes(payload) => Some(payload.clone()),
            Cbor::Null => None,
            _ => return Err("the payload is neither bytes nor null"),
        };
        let header = Cbor::read(header_bytes).ok_or("the header is not the one CBOR form")?;
        let mut op = Self::signed_header(header_bytes, sig, signatures)?;
        if let Some(payload) = &payload {
            let hash = hash("payload", &[payload]);
            let named = header.get(14).and_then(Cbor::bytes);
            if named != Some(&hash.0[..]) || op.payload_len != payload.len() as u64 {
                return Err("the payload is not the one the header names");
            }
            let named = form::strict(op.kind, payload);
            op.act = named.and_then(|named| act::act(op.kind, &named));
        }
        op.payload = payload;
        Ok(op)
    }

    /// Reads the part of an op that is signed.
    pub(super) fn signed_header(
        bytes: &[u8],
        sig: &[u8],
        signatures: Signatures,
    ) -> Result<Self, &'static str> {
        let header = Cbor::read(bytes).ok_or("the header is not the one CBOR form")?;
        let mut op = Self::header(&header, bytes).ok_or("the header lacks a field")?;
        let sig = Bytes::take(sig).ok_or("the signature is not 64 bytes")?;
        op.signed = signatures.signed(&op.device, "decent op v1", &op.id, &sig);
        Ok(op)
    }

    fn header(header: &Cbor, bytes: &[u8]) -> Option<Self> {
        let Cbor::Map(fields) = header else {
            return None;
        };
        let number = |key| header.get(key).and_then(Cbor::number);
        let id = |key| header.get(key).and_then(Cbor::bytes).and_then(Id::take);
        let ids = |key| -> Option<Vec<Id>> {
            let list = header.get(key)?.list()?;
            list.iter().map(|id| Id::take(id.bytes()?)).collect()
        };
        let channel = match header.get(6)? {
            Cbor::Number(0) => None,
            Cbor::Bytes(bytes) => Some(Channel::take(bytes)?),
            _ => return None,
        };
        let plane = if channel.is_none() { 0 } else { 1 };
        let (ctl, prev) = (ids(9)?, ids(10)?);
        let sorted = |ids: &[Id]| ids.is_sorted_by(|a, b| a < b);
        let sound = number(0) == Some(1)
            && number(2) == Some(plane)
            && fields.iter().all(|(key, _)| *key <= 15)
            && sorted(&ctl)
            && sorted(&prev)
            // B2: sixteen of each; content names at most four heads of the control plane.
            && ctl.len() <= if channel.is_none() { 16 } else { 4 }
            && prev.len() <= 16
            && (channel.is_some() || prev.is_empty())
            && id(14).is_some();
        let bound = fields.iter().filter(|(key, _)| *key <= 13).cloned();
        sound.then_some(Self {
            id: hash("op", &[bytes]),
            space: id(1)?,
            kind: u16::try_from(number(3)?).ok()?,
            user: id(4)?,
            device: id(5)?,
            channel,
            seq: number(7)?,
            back: match header.get(8) {
                Some(back) => Some(Id::take(back.bytes()?)?),
                None => None,
            },
            ctl,
            prev,
            epoch: id(11)?,
            hlc: number(12)?,
            wall: number(13)?,
            payload_len: number(15)?,
            header_len: bytes.len(),
            payload: None,
            act: None,
            binding: hash("bind", &[&Cbor::Map(bound.collect()).write()]),
            founds: hash("space", &[bytes]),
            signed: false,
        })
    }

    /// Compares what the rest of the row says with the op. Returns the fields that differ, each
    /// with what it should say.
    pub(super) fn differing(&self, row: &Value) -> Vec<(&'static str, Value)> {
        let list = |ids: &[Id]| ids.iter().map(|id| Value::from(id.to_string())).collect();
        let text = |id: &dyn ToString| Value::from(id.to_string());
        let bytes = row.get("bytes").and_then(Value::as_str).and_then(unhex);
        let outer = bytes.and_then(|bytes| Cbor::read(&bytes));
        let fields = outer.as_ref().and_then(Cbor::list);
        let part = |at: usize| fields.and_then(|f| f.get(at)).and_then(Cbor::bytes);
        let header = part(0).and_then(Cbor::read);
        let hash = header
            .as_ref()
            .and_then(|h| h.get(14))
            .and_then(Cbor::bytes);
        let mut expected: Vec<(&'static str, Value)> = vec![
            ("op", text(&self.id)),
            ("space", text(&self.space)),
            ("kind", Value::from(kind_name(self.kind))),
            ("kind_number", Value::from(self.kind)),
            ("author", text(&self.user)),
            ("device", text(&self.device)),
            (
                "plane",
                Value::from(if self.is_control() {
                    "control"
                } else {
                    "content"
                }),
            ),
            ("channel", self.channel.map_or(Value::Null, |c| text(&c))),
            ("seq", Value::from(self.seq)),
            ("back", self.back.map_or(Value::Null, |b| text(&b))),
            ("ctl", list(&self.ctl)),
            ("prev", list(&self.prev)),
            ("epoch", text(&self.epoch)),
            ("hlc", text(&self.hlc)),
            ("wall_ms", Value::from(self.wall)),
            ("payload_hash", hash.map_or(Value::Null, |h| hex(h).into())),
            ("payload_len", Value::from(self.payload_len)),
            ("sig", part(1).map_or(Value::Null, |sig| hex(sig).into())),
            ("accepted", Value::from(true)),
        ];
        match &self.payload {
            None => expected.push(("payload", Value::Null)),
            // Bytes that have no one form are shown as each reader can.
            Some(payload) => {
                if let Some(named) = form::loose(self.kind, payload) {
                    expected.push(("payload", named));
                }
            }
        }
        expected.retain(|(name, value)| row.get(*name) != Some(value));
        expected
    }
}

/// Time, wall clock, device, op.
pub(super) type Order = (u64, u64, Id, Id);
