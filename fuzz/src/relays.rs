//! A relay and what clients send to it.

use net::wire::{Call, Request};
use oplog::Timestamp;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use relay::{ConnId, Limits, MemStore, RelayCore};

use crate::edits::raw_or_edits;
use crate::people;

/// Two connections, one of them honest: whatever the other sends, the honest one is served.
pub fn relay(data: &[u8]) {
    let mut core = RelayCore::new(MemStore::new(), Limits::default());
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let (honest, hostile) = (ConnId(1), ConnId(2));
    let now = |n: u64| Timestamp::from_ms(1_767_225_600_000 + n * 50);
    assert!(core.connected(honest, now(0), &mut rng));
    assert!(core.connected(hostile, now(0), &mut rng));
    for (n, piece) in (1..).zip(data.chunks(64).take(40)) {
        let bytes = raw_or_edits(&people::CALLS, piece);
        let Ok(Call::Request(request)) = net::wire::decode_call(&bytes) else {
            continue;
        };
        let answer = core.handle(hostile, request, now(n), &mut rng);
        answer.expect("the store in memory does not fail");
    }
    for call in people::CALLS.iter() {
        let Ok(Call::Request(request @ Request::Put(_))) = net::wire::decode_call(call) else {
            continue;
        };
        let answer = core.handle(honest, request, now(100), &mut rng);
        let answer = answer.expect("the store in memory does not fail");
        let filed = matches!(answer.response, Some(net::wire::Response::Filed { .. }));
        assert!(filed, "{:?}", answer.response);
    }
}
