//! The bytes of a batch, and of the rows that say how far a log is indexed.

use minicbor::{Decoder, Encoder};
use oplog::SpaceId;
use oplog::store::Label;

use crate::log::{Mark, Write};
use crate::rows::RowChange;

/// Everything that belongs to one commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    /// Counts commits.
    pub(crate) seq: u64,
    /// The vault's counter once the commit has happened.
    pub(crate) vault_counter: u64,
    /// Changes of kept rows.
    pub(crate) kept: Vec<RowChange>,
    /// Secrets that the commit erases.
    pub(crate) erased: Vec<Label>,
    /// Bytes for the logs.
    pub(crate) writes: Vec<Write>,
    /// Changes of the index.
    pub(crate) rows: Vec<RowChange>,
}

/// Returns the bytes of a batch, and where in them the value of each kept row stands.
pub(super) fn encode(batch: &Batch) -> (Vec<u8>, Vec<usize>) {
    let mut e = Encoder::new(Vec::new());
    let mut places = Vec::new();
    // Writing to a vector cannot fail.
    let _ = encode_into(&mut e, batch, &mut places);
    (e.into_writer(), places)
}

type Written = Result<(), minicbor::encode::Error<core::convert::Infallible>>;

fn encode_into(e: &mut Encoder<Vec<u8>>, batch: &Batch, places: &mut Vec<usize>) -> Written {
    e.array(6)?.u64(batch.seq)?.u64(batch.vault_counter)?;
    e.array(batch.kept.len() as u64)?;
    for change in &batch.kept {
        encode_row(e, change)?;
        let len = change.value.as_ref().map_or(0, Vec::len);
        places.push(e.writer().len() - len);
    }
    e.array(batch.erased.len() as u64)?;
    for label in &batch.erased {
        e.bytes(label.as_bytes())?;
    }
    e.array(batch.writes.len() as u64)?;
    for write in &batch.writes {
        e.array(4)?.bytes(write.space.as_bytes())?;
        e.u32(write.segment)?.u32(write.offset)?;
        e.bytes(&write.bytes)?;
    }
    e.array(batch.rows.len() as u64)?;
    for change in &batch.rows {
        encode_row(e, change)?;
    }
    Ok(())
}

fn encode_row(e: &mut Encoder<Vec<u8>>, change: &RowChange) -> Written {
    e.array(3)?.str(&change.table)?.bytes(&change.key)?;
    match &change.value {
        Some(value) => e.bytes(value)?.ok(),
        None => e.null()?.ok(),
    }
}

/// Reads a batch back; sealed bytes are our own, so `None` means a defect or another version.
pub(super) fn decode(plain: &[u8]) -> Option<(Batch, Vec<usize>)> {
    let d = &mut Decoder::new(plain);
    let mut places = Vec::new();
    (d.array().ok()? == Some(6)).then_some(())?;
    let mut batch = Batch {
        seq: d.u64().ok()?,
        vault_counter: d.u64().ok()?,
        ..Batch::default()
    };
    for _ in 0..d.array().ok()?? {
        let change = decode_row(d)?;
        let len = change.value.as_ref().map_or(0, Vec::len);
        places.push(d.position() - len);
        batch.kept.push(change);
    }
    for _ in 0..d.array().ok()?? {
        let label = d.bytes().ok()?.try_into().ok()?;
        batch.erased.push(Label::from_bytes(label));
    }
    for _ in 0..d.array().ok()?? {
        (d.array().ok()? == Some(4)).then_some(())?;
        batch.writes.push(Write {
            space: SpaceId::from_bytes(d.bytes().ok()?.try_into().ok()?),
            segment: d.u32().ok()?,
            offset: d.u32().ok()?,
            bytes: d.bytes().ok()?.to_vec(),
        });
    }
    for _ in 0..d.array().ok()?? {
        batch.rows.push(decode_row(d)?);
    }
    (d.position() == plain.len()).then_some((batch, places))
}

fn decode_row(d: &mut Decoder<'_>) -> Option<RowChange> {
    (d.array().ok()? == Some(3)).then_some(())?;
    let table = d.str().ok()?.to_owned().into();
    let key = d.bytes().ok()?.to_vec();
    let value = if d.datatype().ok()? == minicbor::data::Type::Null {
        d.null().ok()?;
        None
    } else {
        Some(d.bytes().ok()?.to_vec())
    };
    Some(RowChange { table, key, value })
}

/// Where a log ended when a row was written, as bytes of a row.
pub(crate) fn encode_mark(space: &SpaceId, indexed: Mark, durable: Mark) -> Vec<u8> {
    let words = [indexed.segment, indexed.end, durable.segment, durable.end];
    let words = words.iter().flat_map(|word| word.to_le_bytes());
    space.as_bytes().iter().copied().chain(words).collect()
}

/// Reads [`encode_mark`] back: whose log, what is indexed, and how much of it was durable.
pub(crate) fn decode_mark(bytes: &[u8]) -> Option<(SpaceId, Mark, Mark)> {
    let mut rest = bytes;
    let space = SpaceId::from_bytes(crate::segment::take(&mut rest)?);
    let mut mark = || {
        Some(Mark {
            segment: u32::from_le_bytes(crate::segment::take(&mut rest)?),
            end: u32::from_le_bytes(crate::segment::take(&mut rest)?),
        })
    };
    Some((space, mark()?, mark()?))
}
