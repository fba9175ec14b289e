//! Whole blobs: what comes back, what is refused, what a holder sees.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use blobstore::{
    BlobRef, CHUNK_BYTES, ChunkIndex, ChunkStore, ContentHasher, DedupKey, Description, Manifest,
    MemChunks, OpenError, Opener, SealError, Sealed, SealedChunk, Sealer, missing, padded_len,
};
use oplog::aead::TAG_LEN;
use oplog::{ChannelId, Secret};
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

fn rng(seed: u8) -> ChaCha20Rng {
    ChaCha20Rng::from_seed([seed; 32])
}

/// Bytes without a pattern that a mistake about places could hide in.
fn content(len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    blake3::Hasher::new().finalize_xof().fill(&mut out);
    out
}

fn run(
    mut sealer: Sealer,
    bytes: &[u8],
    piece: usize,
) -> Result<(Vec<SealedChunk>, Sealed), SealError> {
    let mut chunks = Vec::new();
    for mut rest in bytes.chunks(piece.max(1)) {
        while let Some(chunk) = sealer.push(&mut rest)? {
            chunks.push(chunk);
        }
    }
    let (last, sealed) = sealer.finish()?;
    chunks.push(last);
    Ok((chunks, sealed))
}

struct Blob {
    chunks: Vec<SealedChunk>,
    at: BlobRef,
    manifest: Manifest,
}

fn blob(bytes: &[u8]) -> Blob {
    let rng = &mut rng(1);
    let (chunks, sealed) = run(Sealer::new(rng), bytes, 100_000).unwrap();
    let described = Description {
        name: "a.bin".into(),
        ..Description::default()
    };
    let (at, sealed) = sealed.describe(described, rng).unwrap();
    let manifest = Manifest::open(&at, &sealed).unwrap();
    Blob {
        chunks,
        at,
        manifest,
    }
}

fn open(blob: &Blob, chunks: &[SealedChunk]) -> Result<Vec<u8>, OpenError> {
    let mut opener = Opener::new(&blob.at, blob.manifest.clone());
    let mut out = Vec::new();
    for chunk in chunks {
        out.extend(opener.push(chunk)?);
    }
    opener.finish()?;
    Ok(out)
}

const EDGES: [usize; 9] = [
    0,
    1,
    1024,
    1025,
    CHUNK_BYTES - 1,
    CHUNK_BYTES,
    CHUNK_BYTES + 1,
    2 * CHUNK_BYTES,
    3 * CHUNK_BYTES + 77,
];

#[test]
fn every_length_around_an_edge_comes_back_and_shows_padded_sizes_only() {
    for len in EDGES {
        let bytes = content(len);
        let blob = blob(&bytes);
        assert_eq!(open(&blob, &blob.chunks).as_ref(), Ok(&bytes), "{len}");
        assert_eq!(blob.manifest.len(), len as u64);
        let (last, full) = blob.chunks.split_last().unwrap();
        assert!(
            full.iter()
                .all(|c| c.bytes().len() == CHUNK_BYTES + TAG_LEN)
        );
        let plain = last.bytes().len() - TAG_LEN;
        assert_eq!(
            plain,
            padded_len(plain),
            "{len}: {plain} is no padded length"
        );
        assert_eq!(full.len(), len.saturating_sub(1) / CHUNK_BYTES);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_goes_in_comes_out_however_it_was_cut(len in 0..3 * CHUNK_BYTES, piece in 1..2 * CHUNK_BYTES) {
        let bytes = content(len);
        let rng = &mut rng(2);
        let (chunks, sealed) = run(Sealer::new(rng), &bytes, piece).unwrap();
        let (at, sealed) = sealed.describe(Description::default(), rng).unwrap();
        let manifest = Manifest::open(&at, &sealed).unwrap();
        let blob = Blob { chunks, at, manifest };
        prop_assert_eq!(open(&blob, &blob.chunks), Ok(bytes));
    }

    #[test]
    fn any_changed_byte_is_refused(
        len in 0..2 * CHUNK_BYTES,
        which in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        flip in 1..=u8::MAX,
    ) {
        let blob = blob(&content(len));
        let mut chunks = blob.chunks.clone();
        let which = which.index(chunks.len());
        let mut bytes = chunks[which].bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        chunks[which] = SealedChunk::from_bytes(bytes).unwrap();
        let due = ChunkIndex::new(u32::try_from(which).unwrap());
        prop_assert_eq!(open(&blob, &chunks), Err(OpenError::WrongChunk { at: due, found: chunks[which].id() }));
    }

    #[test]
    fn any_bytes_in_place_of_a_manifest_are_refused(bytes in prop::collection::vec(any::<u8>(), 16..2000)) {
        let blob = blob(b"x");
        let forged = SealedChunk::from_bytes(bytes).unwrap();
        let named = BlobRef { manifest: forged.id(), ..blob.at.clone() };
        prop_assert!(Manifest::open(&blob.at, &forged).is_err());
        prop_assert!(Manifest::open(&named, &forged).is_err());
    }
}

#[test]
fn chunks_out_of_place_are_refused_by_name() {
    let blob = blob(&content(2 * CHUNK_BYTES + 5));
    let at = ChunkIndex::new;
    let pick = |places: &[usize]| {
        places
            .iter()
            .map(|p| blob.chunks[*p].clone())
            .collect::<Vec<_>>()
    };
    for (places, expected) in [
        (
            &[1, 0, 2][..],
            OpenError::Reordered {
                expected: at(0),
                found: at(1),
            },
        ),
        (
            &[0, 2, 1],
            OpenError::Reordered {
                expected: at(1),
                found: at(2),
            },
        ),
        (
            &[0, 0, 1, 2],
            OpenError::Reordered {
                expected: at(1),
                found: at(0),
            },
        ),
        (&[0, 1], OpenError::Truncated { next: at(2) }),
        (&[], OpenError::Truncated { next: at(0) }),
        (&[0, 1, 2, 2], OpenError::TooMany { at: at(3) }),
    ] {
        assert_eq!(open(&blob, &pick(places)), Err(expected), "{places:?}");
    }
}

#[test]
fn a_refused_chunk_leaves_its_place_open() {
    let bytes = content(CHUNK_BYTES + 9);
    let blob = blob(&bytes);
    let mut opener = Opener::new(&blob.at, blob.manifest.clone());
    assert!(opener.push(&blob.chunks[1]).is_err());
    let mut out = opener.push(&blob.chunks[0]).unwrap();
    out.extend(opener.push(&blob.chunks[1]).unwrap());
    assert_eq!(out, bytes);
    assert_eq!(opener.wanted(), None);
}

/// The sender of a blob may lie about everything that he can seal himself.
#[test]
fn chunks_that_the_sender_sealed_wrongly_are_refused() {
    let rng = &mut rng(3);
    let key = content(32);
    let secret: [u8; 32] = key.try_into().unwrap();
    let data_key = oplog::hash::hkdf(&secret, "data", &[]);
    let seal = |index: u8, last: u8, plain: &[u8]| {
        let mut nonce = [0; 24];
        nonce[7] = index;
        nonce[8] = last;
        SealedChunk::from_bytes(oplog::aead::seal(&data_key, &nonce, &[], plain)).unwrap()
    };
    let padded = |len: usize| {
        let mut out = vec![7; len];
        out.resize(padded_len(len), 0);
        out
    };
    // Claims 5 bytes, in one chunk that was sealed as told.
    let claims = |chunk: SealedChunk| {
        let at = {
            let bytes = [9; 5].as_slice();
            let (_, sealed) = run(Sealer::new(rng), bytes, 5).unwrap();
            let (at, _) = sealed.describe(Description::default(), rng).unwrap();
            let mut attachment = at.to_attachment(5, String::new(), String::new());
            attachment.key = oplog::Digest::from_bytes(secret);
            BlobRef::from(&attachment)
        };
        // A manifest of 5 bytes and this chunk, as its sender would write it.
        let mut cbor = vec![0xa4, 0, 5, 1, 0x81, 0x58, 32];
        cbor.extend_from_slice(chunk.id().as_bytes());
        cbor.extend_from_slice(&[2, 0x60, 3, 0x60]);
        let mut plain = u32::try_from(cbor.len()).unwrap().to_be_bytes().to_vec();
        plain.extend_from_slice(&cbor);
        plain.resize(padded_len(plain.len()), 0);
        let salt = at.to_attachment(0, String::new(), String::new()).salt;
        let manifest_key = oplog::hash::hkdf(&secret, "manifest", &[&*salt]);
        let sealed = oplog::aead::seal(&manifest_key, &[0; 24], &[], &plain);
        let sealed = SealedChunk::from_bytes(sealed).unwrap();
        let at = BlobRef {
            manifest: sealed.id(),
            ..at
        };
        let manifest = Manifest::open(&at, &sealed).unwrap();
        let blob = Blob {
            chunks: vec![chunk],
            at,
            manifest,
        };
        open(&blob, &blob.chunks)
    };
    let mut claims = claims;
    let at = ChunkIndex::new(0);
    for (name, chunk, expected) in [
        ("as told", seal(0, 1, &padded(5)), Ok(vec![7; 5])),
        (
            "more than told",
            seal(0, 1, &padded(6)),
            Err(OpenError::LengthLies { at, expected: 5 }),
        ),
        (
            "not padded",
            seal(0, 1, &[7; 5]),
            Err(OpenError::LengthLies { at, expected: 5 }),
        ),
        (
            "too short",
            seal(0, 1, &[7; 4]),
            Err(OpenError::LengthLies { at, expected: 5 }),
        ),
        (
            "padded too far",
            seal(0, 1, &[padded(5), vec![0; 64]].concat()),
            Err(OpenError::LengthLies { at, expected: 5 }),
        ),
        (
            "not marked last",
            seal(0, 0, &padded(5)),
            Err(OpenError::Seal { at }),
        ),
        (
            "for another place",
            seal(1, 1, &padded(5)),
            Err(OpenError::Seal { at }),
        ),
    ] {
        assert_eq!(claims(chunk), expected, "{name}");
    }
}

#[test]
fn a_download_goes_on_where_it_stopped() {
    let bytes = content(4 * CHUNK_BYTES + 1);
    let blob = blob(&bytes);
    let mut store = MemChunks::new();
    for place in [0, 3] {
        store.put(&blob.chunks[place]).unwrap();
    }
    let lacking: Vec<u32> = missing(&blob.manifest, &store)
        .unwrap()
        .iter()
        .map(|(i, _)| i.get())
        .collect();
    assert_eq!(lacking, [1, 2, 4]);
    for (index, id) in missing(&blob.manifest, &store).unwrap() {
        let sent = blob.chunks[index.get() as usize].bytes().to_vec();
        store.put(&SealedChunk::expect(id, sent).unwrap()).unwrap();
    }
    assert!(missing(&blob.manifest, &store).unwrap().is_empty());
    // After a restart that kept the first two chunks' content.
    let mut opener = Opener::resume(&blob.at, blob.manifest.clone(), ChunkIndex::new(2));
    let mut out = bytes[..2 * CHUNK_BYTES].to_vec();
    while let Some((_, id)) = opener.wanted() {
        let chunk = store.get(&id).unwrap().unwrap();
        out.extend(opener.push(&chunk).unwrap());
    }
    assert_eq!(out, bytes);
}

fn digest(bytes: &[u8]) -> blobstore::ContentDigest {
    let mut hasher = ContentHasher::new();
    hasher.push(bytes);
    hasher.finish()
}

#[test]
fn equal_files_share_chunks_only_within_one_channel_and_generation() {
    let bytes = content(CHUNK_BYTES + 100);
    let key = |generation: u8, channel: u8| {
        DedupKey::derive(
            &Secret::from_bytes([generation; 32]),
            &ChannelId::from_bytes([channel; 16]),
        )
    };
    let ids = |dedup: &DedupKey, bytes: &[u8], piece| {
        let (chunks, sealed) = run(Sealer::convergent(dedup, digest(bytes)), bytes, piece).unwrap();
        assert_eq!(chunks.len(), sealed.chunks().len());
        sealed
    };
    let first = ids(&key(1, 1), &bytes, 1000);
    let again = ids(&key(1, 1), &bytes, 77_777);
    assert_eq!(first.chunks(), again.chunks());
    for other in [
        ids(&key(1, 2), &bytes, 1000),
        ids(&key(2, 1), &bytes, 1000),
        ids(&key(1, 1), &bytes[1..], 1000),
        run(Sealer::new(&mut rng(9)), &bytes, 1000).unwrap().1,
    ] {
        assert!(first.chunks().iter().all(|id| !other.chunks().contains(id)));
    }
    // The manifests of equal files differ: names are nobody's business.
    let rng = &mut rng(4);
    let (a, _) = first.describe(Description::default(), rng).unwrap();
    let (b, _) = again.describe(Description::default(), rng).unwrap();
    assert_ne!(a.manifest, b.manifest);
}

#[test]
fn a_file_that_changed_after_its_digest_is_not_sealed_under_it() {
    let dedup = DedupKey::derive(
        &Secret::from_bytes([1; 32]),
        &ChannelId::from_bytes([1; 16]),
    );
    let sealer = Sealer::convergent(&dedup, digest(b"before"));
    assert_eq!(
        run(sealer, b"after", 3).unwrap_err(),
        SealError::ContentChanged
    );
}

#[test]
fn a_blob_beyond_the_limit_ends_with_an_error() {
    let mut sealer = Sealer::new(&mut rng(5));
    let block = vec![0; CHUNK_BYTES];
    let mut made = 0;
    let error = loop {
        let mut rest = block.as_slice();
        match sealer.push(&mut rest) {
            Ok(Some(_)) => {
                made += 1;
                while sealer.push(&mut rest).is_ok_and(|c| c.is_some()) {
                    made += 1;
                }
            }
            Ok(None) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(error, SealError::TooLong);
    assert_eq!(made, blobstore::CHUNKS_MAX - 1);
}
