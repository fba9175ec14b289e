//! Sealing and opening, in bytes a second on one core: `cargo bench -p blobstore`.

use blobstore::{CHUNK_BYTES, ContentHasher, Description, Manifest, Opener, SealedChunk, Sealer};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use std::hint::black_box;

const FILE_BYTES: usize = 32 * CHUNK_BYTES;

fn seal(bytes: &[u8], rng: &mut ChaCha20Rng) -> Option<(Vec<SealedChunk>, blobstore::Sealed)> {
    let mut sealer = Sealer::new(rng);
    let mut chunks = Vec::new();
    let mut rest = bytes;
    while let Some(chunk) = sealer.push(&mut rest).ok()? {
        chunks.push(chunk);
    }
    let (last, sealed) = sealer.finish().ok()?;
    chunks.push(last);
    Some((chunks, sealed))
}

fn benches(c: &mut Criterion) {
    let rng = &mut ChaCha20Rng::from_seed([1; 32]);
    let file = vec![0x5a; FILE_BYTES];
    let mut group = c.benchmark_group("blob");
    group.throughput(Throughput::Bytes(FILE_BYTES as u64));
    group.sample_size(20);
    group.bench_function("seal and hash 8 MiB", |b| {
        b.iter(|| seal(black_box(&file), rng))
    });
    group.bench_function("digest for dedup 8 MiB", |b| {
        b.iter(|| {
            let mut hasher = ContentHasher::new();
            hasher.push(black_box(&file));
            hasher.finish()
        });
    });
    let Some((chunks, sealed)) = seal(&file, rng) else {
        return;
    };
    let Ok((blob, manifest)) = sealed.describe(Description::default(), rng) else {
        return;
    };
    let Ok(manifest) = Manifest::open(&blob, &manifest) else {
        return;
    };
    group.bench_function("open 8 MiB", |b| {
        b.iter(|| {
            let mut opener = Opener::new(&blob, manifest.clone());
            chunks
                .iter()
                .filter_map(|c| opener.push(black_box(c)).ok())
                .map(|c| c.len())
                .sum::<usize>()
        });
    });
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
