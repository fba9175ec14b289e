//! Every message survives the wire, and nothing else gets in.

use oplog::{BlobId, Digest, SecretKey, Signature, Tag};
use proptest::prelude::*;

use super::*;

fn bytes<const N: usize>() -> impl Strategy<Value = [u8; N]> {
    prop::array::uniform::<_, N>(any::<u8>())
}

fn sealed() -> impl Strategy<Value = Sealed> {
    prop::collection::vec(any::<u8>(), 0..200).prop_map(Sealed::new)
}

fn cursor() -> impl Strategy<Value = Cursor> {
    any::<u64>().prop_map(Cursor::from_raw)
}

fn auth() -> impl Strategy<Value = RecvAuth> {
    bytes::<64>().prop_map(|b| RecvAuth {
        sig: Signature::from_bytes(b),
    })
}

fn tag() -> impl Strategy<Value = Tag> {
    bytes::<16>().prop_map(Tag::from_bytes)
}

fn recv() -> impl Strategy<Value = RecvId> {
    bytes::<16>().prop_map(RecvId::from_bytes)
}

fn digest() -> impl Strategy<Value = Digest> {
    bytes::<32>().prop_map(Digest::from_bytes)
}

fn blob() -> impl Strategy<Value = BlobId> {
    bytes::<32>().prop_map(BlobId::from_bytes)
}

fn filed() -> impl Strategy<Value = Vec<Filed>> {
    let one = (cursor(), sealed()).prop_map(|(cursor, sealed)| Filed { cursor, sealed });
    prop::collection::vec(one, 0..5)
}

fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        Just(Request::Ping),
        (bytes::<32>(), sealed(), any::<u32>()).prop_map(|(seed, envelope, ttl)| {
            let key = SecretKey::from_seed(&seed);
            Request::Put(PutRequest::sign(&key, envelope.as_bytes().to_vec(), ttl))
        }),
        (
            prop::collection::vec((tag(), cursor()), 0..9),
            any::<bool>()
        )
            .prop_map(|(tags, replace)| Request::Subscribe {
                tags: tags
                    .into_iter()
                    .map(|(tag, after)| Subscription { tag, after })
                    .collect(),
                replace,
            }),
        prop::collection::vec(tag(), 0..9).prop_map(|tags| Request::Unsubscribe { tags }),
        (tag(), cursor(), any::<u16>()).prop_map(|(tag, after, limit)| Request::Fetch {
            tag,
            after,
            limit
        }),
        (tag(), any::<(u32, u32)>(), sealed()).prop_map(|(tag, (from, to), frame)| {
            let hours = HourRange {
                from: Hour::from_raw(from),
                to: Hour::from_raw(to),
            };
            Request::Neg { tag, hours, frame }
        }),
        (tag(), prop::collection::vec(digest(), 0..9))
            .prop_map(|(tag, ids)| Request::FetchIds { tag, ids }),
        (blob(), sealed(), digest()).prop_map(|(id, bytes, delete_token_hash)| {
            Request::PutChunk {
                id,
                bytes,
                delete_token_hash,
            }
        }),
        blob().prop_map(|id| Request::GetChunk { id }),
        prop::collection::vec(blob(), 0..9).prop_map(|ids| Request::HasChunks { ids }),
        (blob(), digest()).prop_map(|(id, token)| Request::DeleteChunk { id, token }),
        digest().prop_map(|recv_pk| Request::MboxNew { recv_pk }),
        (bytes::<16>(), sealed(), any::<u32>()).prop_map(|(id, bytes, ttl_secs)| {
            Request::MboxPut {
                send_id: SendId::from_bytes(id),
                bytes,
                ttl_secs,
            }
        }),
        (recv(), cursor(), auth()).prop_map(|(recv_id, after, auth)| Request::MboxGet {
            recv_id,
            after,
            auth
        }),
        (recv(), cursor(), auth()).prop_map(|(recv_id, upto, auth)| Request::MboxDel {
            recv_id,
            upto,
            auth
        }),
        (recv(), cursor(), auth()).prop_map(|(recv_id, after, auth)| {
            Request::MboxSubscribe {
                recv_id,
                after,
                auth,
            }
        }),
    ]
}

fn push() -> impl Strategy<Value = Push> {
    prop_oneof![
        (tag(), cursor(), filed()).prop_map(|(tag, prev, items)| Push::Envelopes {
            tag,
            prev,
            items
        }),
        tag().prop_map(|tag| Push::Behind { tag }),
        (recv(), filed(), cursor()).prop_map(|(recv_id, items, prev)| Push::Mail {
            recv_id,
            items,
            prev
        }),
        recv().prop_map(|recv_id| Push::MailBehind { recv_id }),
    ]
}

fn response() -> impl Strategy<Value = Response> {
    prop_oneof![
        Just(Response::Ok),
        (0u8..9, any::<u32>()).prop_map(|(code, retry_after_ms)| {
            let codes = [
                ErrorCode::Malformed,
                ErrorCode::BadSignature,
                ErrorCode::NotFound,
                ErrorCode::TooLarge,
                ErrorCode::QuotaExceeded,
                ErrorCode::RateLimited,
                ErrorCode::Full,
                ErrorCode::TooMany,
                ErrorCode::Internal,
            ];
            Response::Error(RelayError {
                code: codes[usize::from(code)],
                retry_after_ms,
            })
        }),
        bytes::<32>().prop_map(|c| Response::Pong {
            challenge: Challenge::from_bytes(c)
        }),
        cursor().prop_map(|cursor| Response::Filed { cursor }),
        (filed(), any::<bool>()).prop_map(|(items, more)| Response::Page { items, more }),
        sealed().prop_map(|frame| Response::Neg { frame }),
        sealed().prop_map(|bytes| Response::Chunk { bytes }),
        prop::collection::vec(any::<bool>(), 0..9).prop_map(|has| Response::Has { has }),
        (recv(), bytes::<16>()).prop_map(|(recv_id, send)| Response::Mailbox {
            recv_id,
            send_id: SendId::from_bytes(send)
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn decoding_inverts_encoding(request in request(), push in push(), response in response()) {
        for call in [Call::Request(request), Call::Push(push)] {
            prop_assert_eq!(decode_call(&encode_call(call.clone())), Ok(call));
        }
        for reply in [Reply::Response(response), Reply::Ack] {
            prop_assert_eq!(decode_reply(&encode_reply(reply.clone())), Ok(reply));
        }
    }

    #[test]
    fn any_bytes_decode_or_fail_cleanly(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = decode_call(&bytes);
        let _ = decode_reply(&bytes);
    }

    #[test]
    fn a_changed_message_is_refused_or_another_one(
        request in request(), at in any::<usize>(), to in any::<u8>(),
    ) {
        let bytes = encode_call(Call::Request(request));
        let mut changed = bytes.clone();
        let at = at % changed.len();
        changed[at] = to;
        // Whatever is read has exactly one encoding: the bytes it was read from.
        if let Ok(call) = decode_call(&changed) {
            prop_assert_eq!(encode_call(call), changed);
        }
        prop_assert!(decode_call(&[&bytes[..], &[0]].concat()).is_err(), "a tail");
    }

    #[test]
    fn a_put_is_valid_only_as_signed(seed in bytes::<32>(), envelope in sealed(), ttl in any::<u32>()) {
        let put = PutRequest::sign(&SecretKey::from_seed(&seed), envelope.as_bytes().to_vec(), ttl);
        let id = oplog::tag::envelope_hash(envelope.as_bytes());
        prop_assert_eq!(put.verify(), Ok(id));
        // Whether somebody asked for its id makes no difference to what it is.
        prop_assert_eq!(&put.envelope, &envelope);
        prop_assert_eq!(envelope.id(), id);
        prop_assert_ne!(Sealed::new([envelope.as_bytes(), b"x"].concat()).id(), id);
        let other = SecretKey::from_seed(&[9; 32]);
        let changes: [&dyn Fn(&mut PutRequest); 4] = [
            &|p| p.ttl_secs ^= 1,
            &|p| p.tag = Tag::of_key(&other.public()),
            &|p| p.pk = Digest::from_bytes(other.public()),
            &|p| p.envelope = Sealed::new([p.envelope.as_bytes(), b"x"].concat()),
        ];
        for change in changes {
            let mut forged = put.clone();
            change(&mut forged);
            prop_assert!(forged.verify().is_err());
        }
    }
}

#[test]
fn lists_and_blobs_stop_at_their_limits() {
    let tag = Tag::ZERO;
    let tags = |n| Request::Unsubscribe { tags: vec![tag; n] };
    let ids = |n| Request::FetchIds {
        tag,
        ids: vec![Digest::ZERO; n],
    };
    let chunk = |n| Request::PutChunk {
        id: BlobId::ZERO,
        bytes: Sealed::new(vec![0; n]),
        delete_token_hash: Digest::ZERO,
    };
    let mail = |n| Request::MboxPut {
        send_id: SendId::from_bytes([0; 16]),
        bytes: Sealed::new(vec![0; n]),
        ttl_secs: 1,
    };
    let put = |n| {
        Request::Put(PutRequest {
            tag,
            pk: Digest::ZERO,
            sig: Signature::ZERO,
            envelope: Sealed::new(vec![0; n]),
            ttl_secs: 1,
        })
    };
    let neg = |n| Request::Neg {
        tag,
        hours: HourRange {
            from: Hour::default(),
            to: Hour::MAX,
        },
        frame: Sealed::new(vec![0; n]),
    };
    let rows: [(&dyn Fn(usize) -> Request, usize); 6] = [
        (&tags, SUBSCRIBE_TAGS_MAX),
        (&ids, IDS_MAX),
        (&chunk, CHUNK_BYTES_MAX),
        (&mail, MAIL_BYTES_MAX),
        (&put, ENVELOPE_BYTES_MAX),
        (&neg, NEG_FRAME_BYTES_MAX),
    ];
    for (row, (make, max)) in rows.into_iter().enumerate() {
        let reads = |n| decode_call(&encode_call(Call::Request(make(n)))).is_ok();
        assert!(reads(max) && !reads(max + 1), "row {row}");
    }
}

#[test]
fn a_full_page_fits_into_a_message() {
    let items: Vec<Filed> = (0..PAGE_ITEMS_MAX)
        .map(|n| Filed {
            cursor: Cursor::from_raw(u64::MAX - n as u64),
            sealed: Sealed::new(vec![0; PAGE_BYTES_MAX / PAGE_ITEMS_MAX]),
        })
        .collect();
    let page = Reply::Response(Response::Page { items, more: true });
    assert!(encode_reply(page.clone()).len() <= MESSAGE_BYTES_MAX);
    assert_eq!(decode_reply(&encode_reply(page.clone())), Ok(page));
}

#[test]
fn another_version_is_refused() {
    let mut bytes = encode_call(Call::Request(Request::Ping));
    // [version, message]: the version follows the array's head.
    bytes[1] = WIRE_VERSION + 1;
    assert!(decode_call(&bytes).is_err());
}

#[test]
fn every_length_up_to_a_mebibyte_has_a_bucket() {
    for (len, bucket) in [
        (0, Some(1024)),
        (1024, Some(1024)),
        (1025, Some(4096)),
        (ENVELOPE_BYTES_MAX, Some(ENVELOPE_BYTES_MAX)),
        (ENVELOPE_BYTES_MAX + 1, None),
    ] {
        assert_eq!(bucket_for(len), bucket, "{len}");
        assert_eq!(is_bucket(len), bucket == Some(len), "{len}");
    }
}

/// A failure means old clients and relays cannot talk to new ones: raise [`WIRE_VERSION`].
#[test]
fn the_encoding_is_frozen() {
    let key = SecretKey::from_seed(&[7; 32]);
    let put = Call::Request(Request::Put(PutRequest::sign(&key, vec![1, 2, 3], 60)));
    let push = Call::Push(Push::Envelopes {
        tag: Tag::from_bytes([4; 16]),
        prev: Cursor::from_raw(1),
        items: vec![Filed {
            cursor: Cursor::from_raw(2),
            sealed: Sealed::new(vec![5]),
        }],
    });
    for (call, frozen) in [
        (put, include_str!("../../tests/vectors/put_v1.hex")),
        (push, include_str!("../../tests/vectors/push_v1.hex")),
    ] {
        assert_eq!(hex(&encode_call(call)), frozen.trim());
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
