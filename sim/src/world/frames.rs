//! Frames on their way: requests, answers and pushes, what the line does to them, and their names in a trace.

use std::collections::{BTreeMap, VecDeque};

use net::wire::{Filed, Push, Request, Response, Sealed};
use node::{Event, RequestId};
use relay::ConnId;

use super::{DownFrame, Next, REQUEST_TIMEOUT_MS, UpFrame, World};
use crate::fault::Class;
use crate::queue::Millis;
use crate::trace::Kind;

impl World {
    pub(super) fn send_request(
        &mut self,
        node: u16,
        relay: node::RelayId,
        id: RequestId,
        request: Request,
    ) {
        let index = self.device(node).relay_names.get(&relay).copied();
        let state = index.map(|index| self.device(node).conns[usize::from(index)].state);
        let (Some(index), Some(crate::line::State::Up(conn))) = (index, state) else {
            let at = self.now();
            self.queue.plan(at, Next::Unsent { node, relay, id });
            return;
        };
        self.device(node).conns[usize::from(index)]
            .in_flight
            .insert(id);
        let at = self.now() + REQUEST_TIMEOUT_MS;
        self.queue.plan(
            at,
            Next::Timeout {
                node,
                relay: index,
                conn,
                id,
            },
        );
        self.up(node, index, conn, UpFrame::Request(id, Box::new(request)));
    }

    pub(super) fn timeout(&mut self, node: u16, relay: u16, conn: ConnId, id: RequestId) {
        if !self.is_up(node, relay, conn) || !self.runs(node) {
            return;
        }
        if self.device(node).conns[usize::from(relay)]
            .in_flight
            .remove(&id)
            && let Some(name) = self.relay_name(node, relay)
        {
            let result = Err(transport_error());
            self.event(
                node,
                Event::RelayAnswered {
                    relay: name,
                    request: id,
                    result,
                },
            );
        }
    }

    pub(super) fn up(&mut self, node: u16, relay: u16, conn: ConnId, frame: UpFrame) {
        let bytes = match &frame {
            UpFrame::Request(_, request) => {
                net::wire::encode_call(net::wire::Call::Request((**request).clone()))
            }
            UpFrame::Ack(_) => Vec::new(),
        };
        self.check_frame(node, &bytes);
        if let UpFrame::Request(_, request) = &frame
            && let Request::Put(put) = &**request
        {
            self.check_nonce(node, &put.envelope);
            self.check_sealed_for(node, put.envelope.as_bytes());
        }
        let (a, b) = self.carry((node, relay, true), bytes.len(), &bytes, || match &frame {
            UpFrame::Request(_, request) => request_name(request),
            UpFrame::Ack(_) => "ack".to_owned(),
        });
        // A copy that arrives at the same time comes first.
        for at in [b, a].into_iter().flatten() {
            let frame = frame.clone();
            let next = Next::ToRelay {
                node,
                relay,
                conn,
                frame,
            };
            self.queue.plan(at, next);
        }
    }

    pub(super) fn down(&mut self, node: u16, relay: u16, conn: ConnId, frame: DownFrame) {
        let (len, bytes) = match &frame {
            DownFrame::Response(_, response) => match &**response {
                Response::Page { items, more } => self.digest(b"page", &[u8::from(*more)], items),
                other => encoded(net::wire::encode_reply(net::wire::Reply::Response(
                    other.clone(),
                ))),
            },
            DownFrame::Push(_, push) => match &**push {
                Push::Envelopes { tag, prev, items } => {
                    let head = [tag.as_bytes().as_slice(), &prev.as_raw().to_be_bytes()].concat();
                    self.digest(b"push", &head, items)
                }
                other => encoded(net::wire::encode_call(net::wire::Call::Push(other.clone()))),
            },
        };
        let (a, b) = self.carry((node, relay, false), len, &bytes, || match &frame {
            DownFrame::Response(_, response) => response_name(response),
            DownFrame::Push(_, push) => push_name(push),
        });
        // A copy that arrives at the same time comes first.
        for at in [b, a].into_iter().flatten() {
            let frame = frame.clone();
            let next = Next::ToNode {
                node,
                relay,
                conn,
                frame,
            };
            self.queue.plan(at, next);
        }
    }

    /// Returns about how long a frame with envelopes is, and what the trace's hash covers of it: a
    /// hash for each envelope instead of the envelope, which goes to many and is the same for all.
    fn digest(&mut self, kind: &[u8], head: &[u8], items: &[Filed]) -> (usize, Vec<u8>) {
        let mut len = FRAME_BYTES + head.len();
        let mut bytes = [kind, head].concat();
        for item in items {
            len += FILED_BYTES + item.sealed.len();
            bytes.extend_from_slice(&item.cursor.as_raw().to_be_bytes());
            bytes.extend_from_slice(&self.hashed.of(&item.sealed));
        }
        (len, bytes)
    }

    /// Puts a frame on the line; returns when its copies arrive.
    pub(super) fn carry(
        &mut self,
        (node, relay, up): (u16, u16, bool),
        len: usize,
        bytes: &[u8],
        name: impl Fn() -> String,
    ) -> (Option<Millis>, Option<Millis>) {
        self.frames += 1;
        self.bytes += len as u64;
        let now = self.now();
        let passes = self.passes(node, relay, up);
        let ways = (Some(node), Some(relay));
        if !passes {
            let cut = self
                .cuts
                .values()
                .find(|c| c.active && c.nodes.contains(&node) && c.relays.contains(&relay));
            let class = cut.map_or(Class::HalfOpen, |c| c.class);
            self.fired.note(class);
            let text = if up { "up " } else { "down " };
            self.note(ways.0, ways.1, Kind::Lost, bytes, || {
                format!("{text}{}", name())
            });
            return (None, None);
        }
        let line = self.line.clone();
        let device = &mut self.devices[usize::from(node)];
        let conn = &mut device.conns[usize::from(relay)];
        let clogged = conn.clogged_until;
        let way = if up { &mut conn.up } else { &mut conn.down };
        if clogged > now {
            self.fired.note(Class::Clog);
        }
        let arrivals = way.send(&line, len, now, clogged, &mut self.fired);
        let kind = if arrivals.0.is_some() {
            Kind::Send
        } else {
            Kind::Lost
        };
        let text = if up { "up " } else { "down " };
        let when = arrivals.0;
        self.note_until(ways.0, ways.1, kind, when, bytes, || {
            let after = when.map_or_else(String::new, |at| format!(" +{} ms", at - now));
            format!("{text}{}{after}", name())
        });
        (arrivals.0, arrivals.1)
    }

    pub(super) fn reach_relay(&mut self, node: u16, relay: u16, conn: ConnId, frame: UpFrame) {
        let (now, time) = (self.now(), self.time());
        if !self.relays[usize::from(relay)].conns.contains_key(&conn) {
            // The machine at the other end knows no such connection and says so.
            let (at, why) = (now + self.line.delay_min_ms, "reset by the other end");
            self.queue.plan(
                at,
                Next::Broken {
                    node,
                    relay,
                    conn,
                    why,
                },
            );
            return;
        }
        match frame {
            UpFrame::Ack(id) => {
                let answer = self.host(relay).push_done(conn, id, true);
                self.pushes(relay, answer.pushes);
            }
            UpFrame::Request(id, request) => {
                let host = &mut self.relays[usize::from(relay)];
                match host.before(&request, now, &mut self.fired) {
                    crate::relay_host::Fate::Silence => {}
                    crate::relay_host::Fate::Instead(response) => {
                        self.down(
                            node,
                            relay,
                            conn,
                            DownFrame::Response(id, Box::new(response)),
                        );
                    }
                    crate::relay_host::Fate::Handle => {
                        let put = match &*request {
                            Request::Put(put) => Some(put.clone()),
                            _ => None,
                        };
                        let answer = host.handle(conn, *request, time);
                        if let Some(put) = put {
                            self.note_filed(relay, &put, answer.response.as_ref());
                        }
                        if let Some(mut response) = answer.response {
                            let host = &mut self.relays[usize::from(relay)];
                            host.twist_response(node, &mut response, now, &mut self.fired);
                            let frame = DownFrame::Response(id, Box::new(response));
                            self.down(node, relay, conn, frame);
                        }
                        self.pushes(relay, answer.pushes);
                    }
                }
            }
        }
    }

    pub(super) fn pushes(&mut self, relay: u16, pushes: Vec<relay::Pushed>) {
        let now = self.now();
        for pushed in pushes {
            let host = &mut self.relays[usize::from(relay)];
            let Some(node) = host.conns.get(&pushed.conn).copied() else {
                continue;
            };
            let mut push = pushed.push;
            host.twist_push(node, &mut push, now, &mut self.fired);
            let at = now + REQUEST_TIMEOUT_MS;
            self.queue.plan(
                at,
                Next::PushLost {
                    relay,
                    conn: pushed.conn,
                    id: pushed.id,
                },
            );
            self.down(
                node,
                relay,
                pushed.conn,
                DownFrame::Push(pushed.id, Box::new(push)),
            );
        }
    }

    pub(super) fn reach_node(&mut self, node: u16, relay: u16, conn: ConnId, frame: DownFrame) {
        let now = self.now();
        if !self.is_up(node, relay, conn) {
            return;
        }
        if let Some(asleep) = self.device(node).asleep_until.filter(|until| *until > now) {
            // Left in the system's buffers until the app runs again.
            self.queue.plan(
                asleep,
                Next::ToNode {
                    node,
                    relay,
                    conn,
                    frame,
                },
            );
            return;
        }
        let Some(name) = self.relay_name(node, relay) else {
            return;
        };
        match frame {
            DownFrame::Response(id, response) => {
                self.note(
                    Some(node),
                    Some(relay),
                    Kind::Recv,
                    &id.0.to_be_bytes(),
                    || response_name(&response),
                );
                self.device(node).conns[usize::from(relay)]
                    .in_flight
                    .remove(&id);
                let event = Event::RelayAnswered {
                    relay: name,
                    request: id,
                    result: Ok(*response),
                };
                self.event(node, event);
            }
            DownFrame::Push(id, push) => {
                self.note(
                    Some(node),
                    Some(relay),
                    Kind::Recv,
                    &id.0.to_be_bytes(),
                    || push_name(&push),
                );
                self.up(node, relay, conn, UpFrame::Ack(id));
                self.event(
                    node,
                    Event::RelayPushed {
                        relay: name,
                        push: *push,
                    },
                );
            }
        }
    }
}

/// Hashes of the last envelopes, by where they lie: each goes to many.
#[derive(Debug, Default)]
pub(super) struct Hashed {
    /// Each is kept alive here: nothing else can come to lie where it lies.
    known: BTreeMap<usize, (Sealed, [u8; 32])>,
    /// In the order of coming.
    order: VecDeque<usize>,
}

impl Hashed {
    /// Returns the hash of an envelope.
    fn of(&mut self, sealed: &Sealed) -> [u8; 32] {
        let place = sealed.as_bytes().as_ptr().addr();
        if let Some((_, hash)) = self.known.get(&place) {
            return *hash;
        }
        let hash = *blake3::hash(sealed.as_bytes()).as_bytes();
        // Those without bytes lie nowhere.
        if sealed.is_empty() {
            return hash;
        }
        if self.order.len() == HASHED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.order.push_back(place);
        self.known.insert(place, (sealed.clone(), hash));
        hash
    }
}

fn encoded(bytes: Vec<u8>) -> (usize, Vec<u8>) {
    (bytes.len(), bytes)
}

/// Envelopes whose hashes are kept.
const HASHED_MAX: usize = 128;
/// Bytes of a frame besides its envelopes.
const FRAME_BYTES: usize = 16;
/// Bytes of an envelope in a frame besides its own.
const FILED_BYTES: usize = 16;

/// What the driver says when the transport failed.
pub(super) fn transport_error() -> net::wire::RelayError {
    net::wire::RelayError {
        code: net::wire::ErrorCode::Internal,
        retry_after_ms: 1_000,
    }
}

fn request_name(request: &Request) -> String {
    let name = match request {
        Request::Ping => "ping",
        Request::Put(_) => "put",
        Request::Subscribe { .. } => "subscribe",
        Request::Unsubscribe { .. } => "unsubscribe",
        Request::Fetch { .. } => "fetch",
        Request::Neg { .. } => "neg",
        Request::FetchIds { .. } => "fetch-ids",
        Request::PutChunk { .. } => "put-chunk",
        Request::GetChunk { .. } => "get-chunk",
        Request::HasChunks { .. } => "has-chunks",
        Request::DeleteChunk { .. } => "delete-chunk",
        Request::MboxNew { .. } => "mbox-new",
        Request::MboxPut { .. } => "mbox-put",
        Request::MboxGet { .. } => "mbox-get",
        Request::MboxDel { .. } => "mbox-del",
        Request::MboxSubscribe { .. } => "mbox-subscribe",
    };
    name.to_owned()
}

fn response_name(response: &Response) -> String {
    match response {
        Response::Ok => "ok".to_owned(),
        Response::Error(error) => format!("error {}", error.code),
        Response::Pong { .. } => "pong".to_owned(),
        Response::Filed { .. } => "filed".to_owned(),
        Response::Page { items, more } => {
            format!("page of {}{}", items.len(), if *more { "+" } else { "" })
        }
        Response::Neg { .. } => "neg".to_owned(),
        Response::Chunk { .. } => "chunk".to_owned(),
        Response::Has { .. } => "has".to_owned(),
        Response::Mailbox { .. } => "mailbox".to_owned(),
    }
}

fn push_name(push: &Push) -> String {
    match push {
        Push::Envelopes { items, .. } => format!("push of {}", items.len()),
        Push::Behind { .. } => "behind".to_owned(),
        Push::Mail { items, .. } => format!("mail of {}", items.len()),
        Push::MailBehind { .. } => "mail behind".to_owned(),
    }
}
