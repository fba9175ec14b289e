//! Proofs: one op, all that decides what becomes of it, and the outcome, for people without a profile.
//!
//! Bytes: magic 15 ‖ hash 32 ‖ canonical CBOR of the body. The hash is `H("proof")` over the
//! body. Inside are the whole control plane and, of content, the op, its causal past, what acts on
//! it, and the author's lane; texts of everything else are pruned, their signed headers stay.
//!
//! Who verifies trusts nobody: every signature is checked, every op accepted again, the outcome
//! computed again. A proof cannot show what was left out of it: that the control plane had gone on
//! is seen by comparing its heads with those of another proof or member.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use fold::content::{OrderKey, index};
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use oplog::hash::H;
use oplog::store::{Direction, Store, StoreError, prefix_end};
use oplog::{AcceptedOp, CodecError, Digest, Hlc, OpId, Scope, SignedOp, SpaceId, codec};
use rand_core::CryptoRng;

use super::outcome::Outcome;
use super::replay::scratch_error;
use super::scratch::{Scratch, ScratchError};
use crate::blobs::ChunkStore;
use crate::error::CommandError;
use crate::node::Node;
use crate::space::Space;

const MAGIC: &[u8; 15] = b"decent proof v1";
const HASH_LEN: usize = 32;
/// Longest proof that is looked at, in bytes: 256 MiB.
pub const PROOF_BYTES_MAX: usize = 256 * 1024 * 1024;

/// A proof that does not hold.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// It does not begin like one.
    #[error("not a Decent proof")]
    NotAProof,
    /// Longer than [`PROOF_BYTES_MAX`].
    #[error("the proof is too long")]
    TooLong,
    /// Its bytes are not those its hash was made of.
    #[error("the proof was cut or changed: its hash does not hold")]
    Changed,
    /// The content makes no sense.
    #[error("the proof is malformed")]
    Malformed(#[source] CodecError),
    /// Its ops are not in causal order, or one is there twice.
    #[error("the proof's ops are out of order")]
    Order,
    /// A signature does not hold.
    #[error("the signature of op {op} does not hold")]
    Signature {
        /// Of which op.
        op: OpId,
    },
    /// An op breaks a rule.
    #[error("op {op} breaks rule {rule}: {why}")]
    Refused {
        /// Which.
        op: OpId,
        /// The rule's id.
        rule: &'static str,
        /// In words.
        why: String,
    },
    /// An op builds on something that the proof lacks.
    #[error("the proof lacks what op {op} builds on")]
    Incomplete {
        /// Which.
        op: OpId,
    },
    /// The op that it is about is not inside.
    #[error("the proof lacks the op it is about")]
    Lacks,
    /// Its ops do not make the control plane that it claims.
    #[error("the proof claims another control plane than its ops make")]
    Heads,
    /// Its ops give another outcome than it claims.
    #[error("the proof claims \"{claimed}\", its ops give \"{found}\"")]
    Differs {
        /// What it says.
        claimed: String,
        /// What comes out.
        found: String,
    },
    /// Memory as a store failed.
    #[error("cannot run the proof")]
    Store(#[from] StoreError),
}

/// What a proof shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Of which Space.
    pub space: SpaceId,
    /// Its name.
    pub name: String,
    /// What became of the op.
    pub outcome: Outcome,
    /// The text of the op, if it has one that is shown.
    pub body: Option<String>,
    /// The control plane that it rests on.
    pub heads: Vec<OpId>,
    /// How many signed ops were checked.
    pub ops: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
struct Claim {
    #[n(0)]
    op: OpId,
    #[n(1)]
    state: String,
    #[n(2)]
    rule: Option<String>,
    #[n(3)]
    deciding: Vec<OpId>,
    #[n(4)]
    heads: Vec<OpId>,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
struct Body {
    #[n(0)]
    space: SpaceId,
    #[n(1)]
    claim: Claim,
    /// By (hlc, id).
    #[n(2)]
    ops: Vec<ByteVec>,
}

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Returns a proof of what became of an op, for [`verify`].
    ///
    /// # Errors
    /// When the op is not here, or storage fails.
    pub fn prove(&self, space: SpaceId, op: OpId) -> Result<Vec<u8>, CommandError> {
        let s = self.known_space(&space)?;
        if !s.table.contains(&self.store, &op)? {
            return Err(CommandError::UnknownOp { op });
        }
        let ops = s.evidence(&self.store, &op)?;
        let encoded = ops.iter().map(|op| ByteVec::from(op.encode())).collect();
        let scratch = Scratch::of(space, ops).map_err(scratch_error)?;
        let outcome = scratch
            .outcome(&op)?
            .ok_or(CommandError::UnknownOp { op })?;
        let claim = Claim {
            op,
            state: outcome.state.to_owned(),
            rule: outcome.rule.map(str::to_owned),
            deciding: outcome.deciding,
            heads: scratch.space.log.dag().heads().to_vec(),
        };
        Ok(seal(&Body {
            space,
            claim,
            ops: encoded,
        }))
    }
}

impl Scratch {
    fn outcome(&self, op: &OpId) -> Result<Option<Outcome>, StoreError> {
        let found = self.space.op(&self.store, op)?;
        found
            .map(|op| self.space.outcome(&self.store, &op))
            .transpose()
    }
}

impl Space {
    /// Returns every op that decides what becomes of one, in causal order.
    fn evidence<S: Store>(&self, store: &S, op: &OpId) -> Result<Vec<SignedOp>, StoreError> {
        let mut whole: BTreeSet<OpId> = BTreeSet::from([*op]);
        let mut todo = vec![*op];
        let mut found: BTreeMap<OpId, AcceptedOp> = BTreeMap::new();
        // What acts on the op, on its thread, and on what acts on them. Each op has one target.
        while let Some(id) = todo.pop() {
            let acts = self.acting_on(store, &id)?;
            todo.extend(acts.into_iter().filter(|act| whole.insert(*act)));
        }
        if let Some(thread) = self
            .with_content(store, |c| c.post(op))?
            .and_then(|p| p.thread)
            && whole.insert(thread)
        {
            whole.extend(self.acting_on(store, &thread)?);
        }
        let mut todo: Vec<OpId> = whole.iter().copied().collect();
        // Of the lanes that were cut, every op: forks and quotas are judged on them.
        for id in whole.clone() {
            let Some(act) = self.op(store, &id)? else {
                continue;
            };
            let h = act.header();
            if h.scope != Scope::Control {
                let lane = self.table.range(store, &h.lane(), 0, None, usize::MAX)?;
                todo.extend(lane.into_iter().map(|(_, id)| id));
            }
        }
        todo.extend(self.log.dag().iter().map(|node| node.op.id()));
        while let Some(id) = todo.pop() {
            if found.contains_key(&id) {
                continue;
            }
            if let Some(op) = self.op(store, &id)? {
                todo.extend(op.header().refs());
                found.insert(id, op);
            }
        }
        let mut ops: Vec<SignedOp> = found
            .into_values()
            .map(|op| {
                let keep = op.header().is_control() || whole.contains(&op.id());
                let op = SignedOp::clone(&op);
                if keep { op } else { op.pruned() }
            })
            .collect();
        ops.sort_by_key(key);
        Ok(ops)
    }

    fn acting_on<S: Store>(&self, store: &S, target: &OpId) -> Result<Vec<OpId>, StoreError> {
        let from = [&self.no.0.to_be_bytes()[..], target.as_bytes()].concat();
        let mut acts = Vec::new();
        store.scan(
            index::REL,
            &from,
            &prefix_end(&from),
            Direction::Forward,
            &mut |row, _| {
                let tail = row.get(row.len().saturating_sub(OrderKey::LEN)..);
                acts.extend(tail.and_then(OrderKey::from_bytes).map(|key| key.id));
                ControlFlow::Continue(())
            },
        )?;
        Ok(acts)
    }
}

fn key(op: &SignedOp) -> (Hlc, OpId) {
    (op.header().hlc, op.id())
}

fn seal(body: &Body) -> Vec<u8> {
    let body = codec::encode(body);
    [MAGIC.as_slice(), hash(&body).as_bytes(), &body].concat()
}

fn hash(body: &[u8]) -> Digest {
    Digest::from_bytes(H::new("proof").field(body).finish())
}

/// Checks a proof without any profile: signatures, acceptance, and the outcome computed again.
///
/// # Errors
/// What does not hold. Any changed byte is one of these.
pub fn verify(bytes: &[u8]) -> Result<Proof, ProofError> {
    if bytes.len() > PROOF_BYTES_MAX {
        return Err(ProofError::TooLong);
    }
    let rest = bytes
        .strip_prefix(MAGIC.as_slice())
        .ok_or(ProofError::NotAProof)?;
    let (claimed, body) = rest
        .split_first_chunk::<HASH_LEN>()
        .ok_or(ProofError::NotAProof)?;
    if hash(body).as_bytes() != claimed {
        return Err(ProofError::Changed);
    }
    check(codec::decode("proof", body).map_err(ProofError::Malformed)?)
}

fn check(body: Body) -> Result<Proof, ProofError> {
    let mut ops = Vec::with_capacity(body.ops.len());
    for bytes in &body.ops {
        ops.push(SignedOp::decode(bytes).map_err(ProofError::Malformed)?);
    }
    if !ops.is_sorted_by(|a, b| key(a) < key(b)) {
        return Err(ProofError::Order);
    }
    let count = ops.len();
    let scratch = Scratch::of(body.space, ops).map_err(|error| match error {
        ScratchError::Signature(op) => ProofError::Signature { op },
        ScratchError::Refused { op, rule, why } => ProofError::Refused { op, rule, why },
        ScratchError::Incomplete(op) => ProofError::Incomplete { op },
        ScratchError::Store(error) => ProofError::Store(error),
    })?;
    let claim = body.claim;
    let outcome = scratch.outcome(&claim.op)?.ok_or(ProofError::Lacks)?;
    let heads = scratch.space.log.dag().heads().to_vec();
    if heads != claim.heads {
        return Err(ProofError::Heads);
    }
    if outcome.state != claim.state
        || outcome.rule != claim.rule.as_deref()
        || outcome.deciding != claim.deciding
    {
        return Err(ProofError::Differs {
            claimed: words(&claim.state, claim.rule.as_deref(), &claim.deciding),
            found: words(outcome.state, outcome.rule, &outcome.deciding),
        });
    }
    let post = scratch
        .space
        .with_content(&scratch.store, |content| content.post(&claim.op))?;
    let body_text = post.map(|post| scratch.space.post_view(post, None).body);
    Ok(Proof {
        space: body.space,
        name: scratch.space.name(),
        outcome,
        body: body_text.filter(|text| !text.is_empty()),
        heads,
        ops: count,
    })
}

fn words(state: &str, rule: Option<&str>, deciding: &[OpId]) -> String {
    let by: Vec<String> = deciding.iter().map(OpId::short).collect();
    format!("{state} {} {}", rule.unwrap_or("-"), by.join(" "))
}
