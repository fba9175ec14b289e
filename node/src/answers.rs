//! Answers to those who asked to come in: the bundle with which a newcomer begins.
//!
//! Only who made the commit has its Welcome. A relay may forget the newcomer's mailbox with the bundle
//! in it; the newcomer finds that out, opens another, and asks anew by the same key package. So Welcomes
//! are kept for a while, and the answer given again.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use mls::sealed_box;
use net::wire::{MAIL_BYTES_MAX, bucket_for};
use oplog::payload::History;
use oplog::store::{Direction, Store, StoreError, prefix_end};
use oplog::{DeviceId, Digest, EpochId, Hlc, Kind, Lane, OpId, Scope, SignedOp, SpaceId, codec};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::commit::MadeCommit;
use crate::error::CommandError;
use crate::identity::NODE_TABLE;
use crate::message::{BUNDLE_BYTES_MAX, EARLIER_TOPICS_MAX, JoinBundle, JoinRequest, Mail, Topic};
use crate::node::Node;
use crate::space::Space;

const WELCOME: &[u8] = b"welcome/";
/// How long a Welcome is kept, in milliseconds: as long as key packages live, 7 days (B1).
const KEPT_MS: u64 = 7 * 86_400_000;
/// How soon the same answer goes to the same mailbox again, in milliseconds.
const AGAIN_MS: u64 = 300_000;
/// Most mailboxes that one commit's bundles go to: whoever asks again and again gets nothing more.
const ANSWERED_MAX: usize = 1_000;

/// The Welcome of a commit of ours, and the mailboxes that got it.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
struct WelcomeRow {
    #[n(0)]
    welcome: ByteVec,
    /// When it was made, in milliseconds.
    #[n(1)]
    at: u64,
    #[n(2)]
    answered: Vec<Answered>,
}

/// When an answer went to a mailbox.
#[derive(Clone, Copy, Debug, Encode, Decode)]
#[cbor(map)]
struct Answered {
    #[n(0)]
    mailbox: Digest,
    /// In milliseconds.
    #[n(1)]
    at: u64,
}

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// After a commit of ours that adds devices: whoever asked gets their bundle.
    pub(crate) fn welcome_newcomers(
        &mut self,
        space: &SpaceId,
        made: &MadeCommit,
        added: &BTreeSet<DeviceId>,
    ) -> Result<(), CommandError> {
        let Some(welcome) = &made.welcome else {
            return Ok(());
        };
        let mut kept = WelcomeRow {
            welcome: ByteVec::from(welcome.clone()),
            at: self.now.as_ms(),
            answered: Vec::new(),
        };
        for device in added {
            let Some(applicant) = self.forget_applicant(space, device) else {
                continue;
            };
            let requests: Vec<JoinRequest> = applicant.replies().collect();
            let bundle = self.bundle(space, made.op, welcome, &applicant.request)?;
            self.send_bundle(&requests, bundle)?;
            let at = kept.at;
            kept.answered
                .extend(requests.iter().map(|request| Answered {
                    mailbox: request.reply_to,
                    at,
                }));
        }
        self.keep_welcome(space, &made.op, &kept);
        Ok(())
    }

    fn bundle(
        &mut self,
        space: &SpaceId,
        commit: OpId,
        welcome: &[u8],
        request: &JoinRequest,
    ) -> Result<JoinBundle, CommandError> {
        let s = self.known_space(space)?;
        // Who was here before lacks keys, not ops: what they had seen they need not be given.
        let asked = request
            .comes_back
            .as_ref()
            .and_then(|op| SignedOp::decode(op).ok());
        let asked = asked.filter(|op| {
            matches!(
                op.header().kind(),
                Some(Kind::ReaddRequest | Kind::CommitComplaint)
            )
        });
        let had = |op: &OpId| {
            asked
                .as_ref()
                .is_some_and(|asked| s.log.dag().precedes(op, &asked.id()))
        };
        let generation = s.generation_of(&EpochId::of_commit(&commit));
        let topic = s
            .generation(&generation)
            .map(|g| Digest::from_bytes(*g.topic.secret().as_bytes()));
        let topic = topic.ok_or_else(|| CommandError::Group {
            why: "the topic key is not here".to_owned(),
        })?;
        let control = s
            .log
            .dag()
            .iter()
            .filter(|node| !had(&node.op.id()))
            .map(|node| ByteVec::from(node.op.encode()))
            .collect();
        let content = match asked {
            Some(_) => Vec::new(),
            None => self.history(space)?,
        };
        let relays = self.relays.values().map(|r| r.address.clone()).collect();
        let earlier = s.generations.iter().rev().filter(|g| g.epoch != generation);
        let earlier = earlier.take(EARLIER_TOPICS_MAX).map(|g| Topic {
            generation: g.epoch,
            key: Digest::from_bytes(*g.topic.secret().as_bytes()),
        });
        let earlier = earlier.collect();
        Ok(JoinBundle {
            space: *space,
            control,
            commit,
            welcome: ByteVec::from(welcome.to_vec()),
            generation,
            topic,
            content,
            relays,
            earlier,
        })
    }

    /// What of the past a newcomer gets: everything while it fits, headers alone where the channel's
    /// policy keeps the past to those who were there, and for what is too long. The graph stays whole.
    fn history(&self, space: &SpaceId) -> Result<Vec<ByteVec>, CommandError> {
        let s = self.known_space(space)?;
        let mut ops: Vec<(Hlc, OpId, SignedOp)> = Vec::new();
        for channel in s.view.channels() {
            for head in s.table.lanes(&self.store, &Scope::Channel(channel.id))? {
                let lane: Lane = head.lane;
                for seq in 0..=head.seq {
                    for op in s.table.at(&self.store, &lane, seq)? {
                        let Some(op) = s.op(&self.store, &op)? else {
                            continue;
                        };
                        let op: SignedOp = (*op).clone();
                        let op = if channel.history == History::SinceJoin {
                            op.pruned()
                        } else {
                            op
                        };
                        ops.push((op.header().hlc, op.id(), op));
                    }
                }
            }
        }
        ops.sort_unstable_by_key(|(hlc, id, _)| (*hlc, *id));
        let mut room = BUNDLE_BYTES_MAX / 2;
        let mut out: Vec<ByteVec> = Vec::with_capacity(ops.len());
        for (_, _, op) in ops.into_iter().rev() {
            let bytes = op.encode();
            let fits = bytes.len() <= room;
            room = room.saturating_sub(bytes.len());
            out.push(ByteVec::from(if fits {
                bytes
            } else {
                op.pruned().encode()
            }));
        }
        out.reverse();
        Ok(out)
    }

    fn send_bundle(
        &mut self,
        requests: &[JoinRequest],
        bundle: JoinBundle,
    ) -> Result<(), CommandError> {
        let mut mail = Mail::Bundle(Box::new(bundle));
        if let Mail::Bundle(bundle) = &mail
            && !fits_mail(codec::encode(&mail).len())
        {
            let attachment = self.store_blob(&codec::encode(&**bundle), "bundle")?;
            mail = Mail::Blob(attachment);
        }
        for request in requests {
            self.send_mail_to(request, &mail);
        }
        Ok(())
    }

    /// Whether this device has answered a request by a commit, which then counts for the present branch.
    /// The answer goes to the mailbox that is named now, unless it went there.
    pub(crate) fn answer_again(
        &mut self,
        space: &SpaceId,
        request: &JoinRequest,
    ) -> Result<bool, StoreError> {
        let Some(s) = self.spaces.get(space) else {
            return Ok(false);
        };
        let own = self.me.device_id();
        let member = s.view.authorised_user(&request.cert.device) == Some(request.cert.user);
        let commit = s.commit_that_added(request).filter(|_| member);
        let Some(commit) = commit
            .filter(|(_, author)| *author == own)
            .map(|(op, _)| op)
        else {
            return Ok(false);
        };
        let key = welcome_key(space, &commit);
        let row = self.store.get(NODE_TABLE, &key)?;
        let Some(Ok(mut row)) = row.map(|row| codec::decode::<WelcomeRow>("welcome", &row)) else {
            return Ok(false);
        };
        let now = self.now.as_ms();
        let mailbox = request.reply_to;
        let lately = |answered: &Answered| {
            answered.mailbox == mailbox && now.saturating_sub(answered.at) < AGAIN_MS
        };
        if row.answered.iter().any(lately) || row.answered.len() >= ANSWERED_MAX {
            return Ok(true);
        }
        row.answered.retain(|answered| answered.mailbox != mailbox);
        row.answered.push(Answered { mailbox, at: now });
        self.keep_welcome(space, &commit, &row);
        let again = |node: &mut Self| {
            let bundle = node.bundle(space, commit, &row.welcome, request)?;
            node.send_bundle(std::slice::from_ref(request), bundle)
        };
        match again(self) {
            Ok(()) => {}
            Err(CommandError::Store { source }) => return Err(source),
            Err(error) => tracing::debug!(%error, "not answered again"),
        }
        Ok(true)
    }

    fn keep_welcome(&mut self, space: &SpaceId, commit: &OpId, row: &WelcomeRow) {
        self.welcomes_from = None;
        let key = welcome_key(space, commit);
        self.store.put(NODE_TABLE, &key, &codec::encode(row));
    }

    /// Housekeeping: forgets Welcomes whose key packages are past their time.
    pub(crate) fn expire_welcomes(&mut self) -> Result<(), StoreError> {
        let now = self.now.as_ms();
        // Welcomes are long, and read at every tick only when one may be over.
        if self
            .welcomes_from
            .is_some_and(|from| now.saturating_sub(from) <= KEPT_MS)
        {
            return Ok(());
        }
        let mut oldest = u64::MAX;
        let mut old: Vec<Vec<u8>> = Vec::new();
        let end = prefix_end(WELCOME);
        self.store.scan(
            NODE_TABLE,
            WELCOME,
            &end,
            Direction::Forward,
            &mut |key, row| {
                match codec::decode::<WelcomeRow>("welcome", row) {
                    Ok(row) if now.saturating_sub(row.at) <= KEPT_MS => oldest = oldest.min(row.at),
                    Ok(_) | Err(_) => old.push(key.to_vec()),
                }
                ControlFlow::Continue(())
            },
        )?;
        for key in old {
            self.store.delete(NODE_TABLE, &key);
        }
        self.welcomes_from = Some(oldest);
        Ok(())
    }
}

impl Space {
    /// The commit of the present branch that added a device by the key package of this request, and who
    /// made it.
    fn commit_that_added(&self, request: &JoinRequest) -> Option<(OpId, DeviceId)> {
        let package = mls::key_package_digest(&request.key_package);
        let epochs = self.authority.epochs();
        let chain = epochs.chain(&self.tip);
        let records = chain.iter().rev().filter_map(|id| epochs.epoch(id));
        records
            .into_iter()
            .find(|record| {
                let added = record.delta.added.iter();
                added.into_iter().any(|entry| {
                    entry.device == request.cert.device && entry.key_package == package
                })
            })
            .map(|record| (record.commit, record.device))
    }
}

fn welcome_key(space: &SpaceId, commit: &OpId) -> Vec<u8> {
    [WELCOME, space.as_bytes(), commit.as_bytes()].concat()
}

/// Returns whether so many bytes fit one mailbox message; longer ones travel as a blob.
fn fits_mail(len: usize) -> bool {
    // Room for the box's own length prefix.
    bucket_for(len + sealed_box::OVERHEAD + 8).is_some_and(|bucket| bucket <= MAIL_BYTES_MAX)
}
