//! Epochs: founding a group, committing a change, processing somebody's commit, joining.
//!
//! Functions from state to state. Who may be added or removed is not decided here but declared
//! by the op around a commit; here it is checked that the commit does exactly that (K1, A15).

use core::fmt;
use std::collections::BTreeMap;

use openmls::prelude::{
    ConfirmationTag, GroupId, LeafNodeIndex, MlsGroup, MlsGroupCreateConfig, MlsGroupJoinConfig,
    MlsMessageBodyIn, MlsMessageIn, PURE_PLAINTEXT_WIRE_FORMAT_POLICY, ProcessedMessageContent,
    Proposal, ProposalOrRefType, Sender, StagedCommit, StagedWelcome, WelcomeError,
};
use openmls_traits::OpenMlsProvider as _;
use oplog::payload::{CommitClass, DeviceCert, KEY_PACKAGE_BYTES_MAX, RosterDelta, RosterEntry};
use oplog::{CONTROL_PAYLOAD_BYTES_MAX, DeviceId, Digest, EpochId, Secret, UserId};
use rand_core::CryptoRng;
use tls_codec::{Deserialize as _, Serialize as _};

use crate::device::{Certs, LocalDevice, MoreCerts, cert_book};
use crate::error::{Error, Refusal};
use crate::key_package::{KeyPackageSecret, check_form, key_package_digest, open_key_package};
use crate::keys::EpochRoot;
use crate::leaf::{capabilities, check_leaf, lifetime};
use crate::provider::{CIPHERSUITE, MlsSigner, Provider};
use crate::roster::{Basis, Leaves, Roster, check_roster, leaves, sorted_delta};
use crate::state::{GroupState, Rows};

/// Longest MLS commit in bytes: that of a control op's payload.
pub const COMMIT_BYTES_MAX: usize = CONTROL_PAYLOAD_BYTES_MAX;
/// Longest Welcome in bytes. With 1,000 devices the tree in it takes about 450 KB, and each of
/// up to 1,000 joiners about 150 bytes; a guess with room.
pub const WELCOME_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Bytes of a commit that neither its adds nor its path account for; generous.
const COMMIT_BASE_BYTES: usize = 8 * 1024;
/// Bytes that an Add takes besides its key package, and a Remove altogether; generous.
const PROPOSAL_BYTES: usize = 64;
/// Bytes that a path takes for each device: at worst one sealed secret (84) and a share of a key.
const PATH_BYTES_PER_DEVICE: usize = 128;

/// Label of the MLS exporter for epoch roots (B6).
const ROOT_LABEL: &str = "space/epoch-root/v1";

/// An epoch that this device is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// Needed to go on to the next epoch.
    pub state: GroupState,
    /// Needed to read and write in this one.
    pub root: EpochRoot,
}

impl Epoch {
    /// Returns the epoch's number: a label, equal on every branch of one height.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.state.number()
    }

    /// Returns who is in the group.
    #[must_use]
    pub const fn roster(&self) -> &Roster {
        self.state.roster()
    }
}

/// What a commit is to do. Nothing at all means: new keys for the committer.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// Devices to add, each with the key package it offered.
    pub add: Vec<(DeviceCert, Vec<u8>)>,
    /// Devices to remove. One that is added too is re-added.
    pub remove: Vec<DeviceId>,
    /// Renew the committer's keys even when the commit only adds. Costs a path: 83 KB instead
    /// of half a KB in a group of 1,000.
    pub force_path: bool,
}

/// A commit of our own, with everything its op must declare.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The MLS message.
    pub message: Vec<u8>,
    /// For whoever was added; `None` when nobody was.
    pub welcome: Option<Vec<u8>>,
    /// GroupInfo without the tree (A5), about 240 bytes.
    pub group_info: Vec<u8>,
    /// The epoch it leads to. Ours are never processed again: store this with the op.
    pub next: Epoch,
    /// What it changes.
    pub delta: RosterDelta,
    /// How much that is.
    pub class: CommitClass,
    /// Commitment to the new epoch root.
    pub root_commit: Digest,
    /// Hash of the new roster.
    pub roster_hash: Digest,
}

/// What the op around a commit says of it.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// [`commit_aad`] of the op.
    pub aad: &'a [u8],
    /// The op's author device.
    pub device: DeviceId,
    /// Declared change.
    pub delta: &'a RosterDelta,
    /// Declared commitment to the new root.
    pub root_commit: Digest,
    /// Declared hash of the new roster.
    pub roster_hash: Digest,
}

/// What the control plane says of the epoch a Welcome leads to.
#[derive(Clone, Copy, Debug)]
pub struct ExpectedJoin<'a> {
    /// The group named in Genesis.
    pub group_id: Digest,
    /// Number of the epoch the commit began.
    pub number: u64,
    /// The commit op's author device.
    pub device: DeviceId,
    /// The epoch's roster.
    pub roster: &'a Roster,
    /// The commit's commitment to the root.
    pub root_commit: Digest,
    /// The commit's hash of the roster.
    pub roster_hash: Digest,
}

/// What became of a commit that holds.
#[derive(Clone, Debug)]
pub enum Processed {
    /// We are in the epoch it began.
    Next(Box<Epoch>),
    /// It removed us. What remains is public; its root stays unknown to us, so the declared
    /// commitment to it is unchecked.
    Removed {
        /// Who is left.
        roster: Roster,
    },
}

/// Returns an op's authenticated data for its commit: the header's binding ‖ the parent epoch.
#[must_use]
pub fn commit_aad(binding: &Digest, parent: &EpochId) -> Vec<u8> {
    [binding.as_bytes().as_slice(), parent.as_bytes()].concat()
}

/// Returns how much a delta changes (B5, A4): it is a Remove only when it takes out, without
/// putting back, a device of somebody other than the committer.
#[must_use]
pub fn commit_class(delta: &RosterDelta, before: &Roster, committer: &UserId) -> CommitClass {
    let returns = |device| delta.added.iter().any(|added| added.device == device);
    let of_other = |device: &DeviceId| {
        let owner = before.as_map().get(device);
        owner.is_some_and(|(user, _)| user != committer)
    };
    if delta.removed.iter().any(|d| of_other(d) && !returns(*d)) {
        CommitClass::Remove
    } else if delta.added.is_empty() && delta.removed.is_empty() {
        CommitClass::Update
    } else {
        CommitClass::Add
    }
}

/// Founds a group with this device alone in it. The hash of the founder's leaf stands in the
/// roster where others have that of their key package.
///
/// # Errors
/// [`Error::Internal`] only.
pub fn found(
    me: &LocalDevice,
    group_id: &Digest,
    rng: &mut impl CryptoRng,
) -> Result<Epoch, Error> {
    let provider = Provider::new(&Rows::default(), rng);
    let config = MlsGroupCreateConfig::builder()
        .ciphersuite(CIPHERSUITE)
        .wire_format_policy(PURE_PLAINTEXT_WIRE_FORMAT_POLICY)
        .use_ratchet_tree_extension(true)
        .max_past_epochs(0)
        .number_of_resumption_psks(0)
        .lifetime(lifetime())
        .capabilities(capabilities())
        .build();
    let group = MlsGroup::new_with_group_id(
        &provider,
        &MlsSigner(me.mls_key()),
        &config,
        GroupId::from_slice(group_id.as_bytes()),
        me.credential(),
    )
    .map_err(internal)?;
    let leaf = group.own_leaf_node().map(|n| n.tls_serialize_detached());
    let leaf = leaf.and_then(Result::ok).ok_or_else(|| Error::Internal {
        detail: "the founder has no leaf".to_owned(),
    })?;
    let cert = me.cert();
    let roster = Roster::from(BTreeMap::from([(
        cert.device,
        (cert.user, key_package_digest(&leaf)),
    )]));
    finish(provider, &group, &Basis::Whole(&roster), &cert_book([cert]))
}

/// Commits a change on top of an epoch. A commit that only adds carries no path (B1).
///
/// `certs` knows the certificates of everyone in the group; those of added devices come with
/// the change.
///
/// # Errors
/// [`Error::CannotCommit`] when the change makes no sense here, [`Error::Refused`] when a key
/// package breaks a rule or the result would.
pub fn commit(
    me: &LocalDevice,
    from: &GroupState,
    change: &Change,
    aad: &[u8],
    certs: &impl Certs,
    rng: &mut impl CryptoRng,
) -> Result<Committed, Error> {
    commit_over(Provider::new(&from.rows, rng), me, from, change, aad, certs)
}

/// For tests: a commit as [`commit`] makes it, whose path one member alone cannot open.
///
/// # Errors
/// As [`commit`], and [`Error::CannotCommit`] when nothing of it is sealed to them alone.
#[cfg(feature = "test-utils")]
pub fn danger_commit_without(
    me: &LocalDevice,
    from: &GroupState,
    aad: &[u8],
    certs: &impl Certs,
    victim: &DeviceId,
    rng: &mut impl CryptoRng,
) -> Result<Committed, Error> {
    const NOT_ALONE: Error = Error::CannotCommit {
        reason: "nothing is sealed to this device alone",
    };
    let mut provider = Provider::new(&from.rows, rng);
    let group = load(from, &provider)?;
    let seen = leaves(group.public_group(), certs)?;
    let at = seen.iter().find(|(_, leaf)| leaf.device == *victim);
    let at = at.map(|(at, _)| *at).ok_or(NOT_ALONE)?;
    let key = group.members().find(|member| member.index.u32() == at);
    let key = key.map(|member| member.encryption_key).ok_or(NOT_ALONE)?;
    let spoilt = provider.spoil(key);
    let change = Change {
        add: Vec::new(),
        remove: Vec::new(),
        force_path: true,
    };
    let made = commit_over(provider, me, from, &change, aad, certs)?;
    if spoilt.load(core::sync::atomic::Ordering::Relaxed) {
        Ok(made)
    } else {
        Err(NOT_ALONE)
    }
}

fn commit_over(
    provider: Provider,
    me: &LocalDevice,
    from: &GroupState,
    change: &Change,
    aad: &[u8],
    certs: &impl Certs,
) -> Result<Committed, Error> {
    let more = cert_book(change.add.iter().map(|(cert, _)| cert).chain([me.cert()]));
    let certs = &MoreCerts {
        more: &more,
        base: certs,
    };
    let delta = declared_delta(change);
    from.roster.apply(&delta)?;
    let mut group = load(from, &provider)?;
    let before = leaves(group.public_group(), certs)?;
    let removed = removal_indices(&before, &delta, me)?;
    let packages = change.add.iter();
    let packages = packages
        .map(|(cert, bytes)| open_key_package(bytes, cert))
        .collect::<Result<Vec<_>, _>>()?;

    group.set_aad(aad.to_vec());
    let only_renews = packages.is_empty() && removed.is_empty();
    let bundle = group
        .commit_builder()
        .consume_proposal_store(false)
        .force_self_update(change.force_path || only_renews)
        .propose_adds(packages)
        .propose_removals(removed)
        .load_psks(provider.storage())
        .map_err(internal)?
        // The Welcome carries the tree; the GroupInfo for the op is made below, without it.
        .create_group_info(false)
        .build(
            provider.rand(),
            provider.crypto(),
            &MlsSigner(me.mls_key()),
            |_| true,
        )
        .map_err(internal)?
        .stage_commit(&provider)
        .map_err(internal)?;
    let message = bundle.commit().to_bytes().map_err(internal)?;
    let welcome = bundle.to_welcome_msg().map(|w| w.to_bytes()).transpose();
    let welcome = welcome.map_err(internal)?;
    check_len("commit", &message, COMMIT_BYTES_MAX)?;
    check_len(
        "welcome",
        welcome.as_deref().unwrap_or(&[]),
        WELCOME_BYTES_MAX,
    )?;

    let staged = group.pending_commit().ok_or_else(|| Error::Internal {
        detail: "no pending commit".to_owned(),
    })?;
    let actual = actual_delta(staged, &before, certs, false)?;
    group.merge_pending_commit(&provider).map_err(internal)?;
    let group_info = group
        .export_group_info(provider.crypto(), &MlsSigner(me.mls_key()), false)
        .map_err(internal)?
        .to_bytes()
        .map_err(internal)?;
    let basis = Basis::Commit {
        before: &before,
        roster: &from.roster,
        declared: &delta,
        actual: &actual,
    };
    let next = finish(provider, &group, &basis, certs)?;
    Ok(Committed {
        message,
        welcome,
        group_info,
        class: commit_class(&delta, &from.roster, &me.cert().user),
        root_commit: next.root.commitment(),
        roster_hash: next.roster().hash(),
        next,
        delta,
    })
}

/// Processes somebody else's commit on top of its parent epoch (K1, A15).
///
/// # Errors
/// [`Error::Refused`] when the commit breaks a rule. The state it was tried on stays good.
pub fn process(
    from: &GroupState,
    message: &[u8],
    expected: &Expected<'_>,
    certs: &impl Certs,
) -> Result<Processed, Error> {
    check_len("commit", message, commit_len_max(from, expected.delta))?;
    from.roster.apply(expected.delta)?;
    let message = read_message("commit", message)?;
    let MlsMessageBodyIn::PublicMessage(message) = message.extract() else {
        return Err(Refusal::NotACommit.into());
    };
    let provider = Provider::without_randomness(&from.rows);
    let mut group = load(from, &provider)?;
    let before = leaves(group.public_group(), certs)?;
    let context = group.extensions().clone();

    let message = group.process_message(&provider, message).map_err(invalid)?;
    if message.aad() != expected.aad {
        return Err(Refusal::WrongAad.into());
    }
    let external = is_external(message.sender(), &before, expected)?;
    let ProcessedMessageContent::StagedCommitMessage(staged) = message.into_content() else {
        return Err(Refusal::NotACommit.into());
    };
    if *staged.group_context().extensions() != context {
        return Err(Refusal::ContextChanged.into());
    }
    let mut actual = actual_delta(&staged, &before, certs, external)?;
    if external {
        actual
            .added
            .push(external_leaf(&staged, expected.device, certs)?);
    }
    let removes_us = staged.self_removed();
    group
        .merge_staged_commit(&provider, *staged)
        .map_err(internal)?;

    let basis = Basis::Commit {
        before: &before,
        roster: &from.roster,
        declared: expected.delta,
        actual: &actual,
    };
    if removes_us {
        let roster = check_roster(group.public_group(), &basis, certs)?;
        check_declared(&roster, expected.roster_hash)?;
        return Ok(Processed::Removed { roster });
    }
    let next = finish(provider, &group, &basis, certs)?;
    check_declared(next.roster(), expected.roster_hash)?;
    check_root(&next, expected.root_commit)?;
    Ok(Processed::Next(Box::new(next)))
}

/// Enters the epoch that a Welcome leads to.
///
/// The secret stays usable: another branch may have added us with the same key package.
///
/// # Errors
/// [`Error::Refused`] when the Welcome is not for this key package, leads elsewhere than its
/// commit, or any leaf of the tree is not who the roster says.
pub fn join(
    secret: &KeyPackageSecret,
    welcome: &[u8],
    expected: &ExpectedJoin<'_>,
    certs: &impl Certs,
) -> Result<Epoch, Error> {
    check_len("welcome", welcome, WELCOME_BYTES_MAX)?;
    let message = read_message("welcome", welcome)?;
    let MlsMessageBodyIn::Welcome(welcome) = message.extract() else {
        return Err(Refusal::Malformed { what: "welcome" }.into());
    };
    if welcome.ciphersuite() != CIPHERSUITE {
        return Err(Refusal::KeyPackageForm.into());
    }
    let provider = Provider::without_randomness(&secret.rows);
    let config = MlsGroupJoinConfig::builder()
        .wire_format_policy(PURE_PLAINTEXT_WIRE_FORMAT_POLICY)
        .use_ratchet_tree_extension(true)
        .max_past_epochs(0)
        .number_of_resumption_psks(0)
        .build();
    let builder = StagedWelcome::build_from_welcome(&provider, &config, welcome);
    let builder = builder.map_err(|e| {
        if matches!(
            e,
            WelcomeError::NoMatchingKeyPackage | WelcomeError::JoinerSecretNotFound
        ) {
            Refusal::NotForUs.into()
        } else {
            invalid(e)
        }
    })?;
    if !builder.processed_welcome().psks().is_empty() {
        let kind = "PreSharedKey";
        return Err(Refusal::ForbiddenProposal { kind }.into());
    }
    // OpenMLS would ask the wall clock; `check_leaf` compares with the one allowed lifetime.
    let staged = builder.skip_lifetime_validation().build();
    let staged = staged.map_err(invalid)?;
    let context = staged.group_context();
    if context.group_id().as_slice() != expected.group_id.as_bytes()
        || context.epoch().as_u64() != expected.number
    {
        return Err(Refusal::WrongGroup.into());
    }
    if context.extensions().iter().next().is_some() {
        return Err(Refusal::ContextChanged.into());
    }
    let sender = staged.welcome_sender_index().u32();
    let group = staged.into_group(&provider).map_err(invalid)?;

    let sender = leaves(group.public_group(), certs)?.remove(&sender);
    if sender.is_none_or(|leaf| leaf.device != expected.device) {
        return Err(Refusal::WrongSender {
            expected: expected.device,
        }
        .into());
    }
    let mut next = finish(provider, &group, &Basis::Whole(expected.roster), certs)?;
    // The init key must not live on in every snapshot of this branch.
    next.state.rows.remove_all(&secret.rows);
    check_declared(next.roster(), expected.roster_hash)?;
    check_root(&next, expected.root_commit)?;
    Ok(next)
}

/// The one way into an epoch: checks who is in it, takes its root and its rows.
fn finish(
    provider: Provider,
    group: &MlsGroup,
    basis: &Basis<'_>,
    certs: &impl Certs,
) -> Result<Epoch, Error> {
    let roster = check_roster(group.public_group(), basis, certs)?;
    let root = epoch_root(&provider, group)?;
    let id = <[u8; 32]>::try_from(group.group_id().as_slice());
    let group_id = id.map_err(|_cause| Refusal::WrongGroup)?;
    let state = GroupState {
        group_id: Digest::from_bytes(group_id),
        number: group.epoch().as_u64(),
        roster,
        rows: provider.into_rows(),
    };
    Ok(Epoch { state, root })
}

fn epoch_root(provider: &Provider, group: &MlsGroup) -> Result<EpochRoot, Error> {
    let context = confirmation_tag_bytes(group.confirmation_tag())?;
    let root = group
        .export_secret(provider.crypto(), ROOT_LABEL, &context, 32)
        .map_err(internal)?;
    let root = zeroize::Zeroizing::new(root);
    let root = <[u8; 32]>::try_from(root.as_slice()).map_err(|_cause| Error::Internal {
        detail: "an exported secret of the wrong length".to_owned(),
    })?;
    Ok(EpochRoot::new(Secret::from_bytes(root)))
}

/// The tag alone, without the length in front of it.
fn confirmation_tag_bytes(tag: &ConfirmationTag) -> Result<Vec<u8>, Error> {
    let encoded = tag.tls_serialize_detached().map_err(internal)?;
    match encoded.split_first() {
        Some((32, tag)) if tag.len() == 32 => Ok(tag.to_vec()),
        _ => Err(Error::Internal {
            detail: "a confirmation tag of the wrong length".to_owned(),
        }),
    }
}

fn load(from: &GroupState, provider: &Provider) -> Result<MlsGroup, Error> {
    let id = GroupId::from_slice(from.group_id.as_bytes());
    MlsGroup::load(provider.storage(), &id)
        .ok()
        .flatten()
        .ok_or(Error::Damaged {
            what: "group state",
        })
}

fn declared_delta(change: &Change) -> RosterDelta {
    let added = change.add.iter().map(|(cert, key_package)| RosterEntry {
        device: cert.device,
        user: cert.user,
        key_package: key_package_digest(key_package),
    });
    sorted_delta(added.collect(), change.remove.clone())
}

/// Says whether the commit came from outside the group; whoever sent it is the op's device.
///
/// From outside comes only a device that commits itself in, or back in, and declares that (A5).
/// Whether it may is K2's to say, of the op.
fn is_external(sender: &Sender, before: &Leaves, expected: &Expected<'_>) -> Result<bool, Refusal> {
    match sender {
        Sender::Member(sender) => match before.get(&sender.u32()) {
            Some(leaf) if leaf.device == expected.device => Ok(false),
            _ => Err(Refusal::WrongSender {
                expected: expected.device,
            }),
        },
        Sender::NewMemberCommit if expected.delta.is_of_itself(&expected.device) => Ok(true),
        Sender::NewMemberCommit | Sender::NewMemberProposal | Sender::External(_) => {
            Err(Refusal::External)
        }
    }
}

/// What an external commit adds: the leaf of its path. The hash of that leaf stands in the roster
/// where others have that of their key package.
fn external_leaf(
    staged: &StagedCommit,
    device: DeviceId,
    certs: &impl Certs,
) -> Result<RosterEntry, Refusal> {
    let node = staged.update_path_leaf_node().ok_or(Refusal::External)?;
    // OpenMLS has not placed it yet, and in a refusal its place would say nothing.
    let leaf = check_leaf(u32::MAX, node, certs)?;
    if leaf.device != device {
        return Err(Refusal::WrongSender { expected: device });
    }
    let bytes = node.tls_serialize_detached();
    let bytes = bytes.map_err(|_cause| Refusal::External)?;
    Ok(RosterEntry {
        device,
        user: leaf.user,
        key_package: key_package_digest(&bytes),
    })
}

/// What a staged commit really does, proposal by proposal.
fn actual_delta(
    staged: &StagedCommit,
    before: &Leaves,
    certs: &impl Certs,
    external: bool,
) -> Result<RosterDelta, Refusal> {
    let (mut added, mut removed) = (Vec::new(), Vec::new());
    for queued in staged.queued_proposals() {
        let forbidden = |kind| Err(Refusal::ForbiddenProposal { kind });
        if queued.proposal_or_ref_type() != ProposalOrRefType::Proposal {
            return forbidden("by reference");
        }
        match queued.proposal() {
            Proposal::Add(add) => {
                let package = add.key_package();
                let leaf = check_form(package, certs)?;
                let bytes = package.tls_serialize_detached();
                let bytes = bytes.map_err(|_cause| Refusal::KeyPackageForm)?;
                added.push(RosterEntry {
                    device: leaf.device,
                    user: leaf.user,
                    key_package: key_package_digest(&bytes),
                });
            }
            Proposal::Remove(remove) => {
                let leaf = before.get(&remove.removed().u32());
                removed.push(leaf.ok_or(Refusal::DeltaMismatch)?.device);
            }
            Proposal::Update(_) => return forbidden("Update"),
            Proposal::PreSharedKey(_) => return forbidden("PreSharedKey"),
            Proposal::ReInit(_) => return forbidden("ReInit"),
            // How an external commit comes by its init secret (RFC 9420 §12.4.3.2).
            Proposal::ExternalInit(_) if external => {}
            Proposal::ExternalInit(_) => return forbidden("ExternalInit"),
            Proposal::GroupContextExtensions(_) => return forbidden("GroupContextExtensions"),
            Proposal::SelfRemove => return forbidden("SelfRemove"),
            Proposal::Custom(_) => return forbidden("custom"),
        }
    }
    Ok(sorted_delta(added, removed))
}

fn removal_indices(
    before: &Leaves,
    delta: &RosterDelta,
    me: &LocalDevice,
) -> Result<Vec<LeafNodeIndex>, Error> {
    if delta.removed.contains(&me.cert().device) {
        return Err(Error::CannotCommit {
            reason: "a device cannot remove itself",
        });
    }
    let removed = before
        .iter()
        .filter(|(_, leaf)| delta.removed.contains(&leaf.device));
    Ok(removed.map(|(at, _)| LeafNodeIndex::new(*at)).collect())
}

fn read_message(what: &'static str, bytes: &[u8]) -> Result<MlsMessageIn, Refusal> {
    MlsMessageIn::tls_deserialize_exact(bytes).map_err(|_cause| Refusal::Malformed { what })
}

/// Returns how long a commit with this delta may be. OpenMLS checks two signatures for each Add,
/// declared or not, before we see any of it: so undeclared ones must not fit in great number.
fn commit_len_max(from: &GroupState, delta: &RosterDelta) -> usize {
    let adds = delta.added.len() * (KEY_PACKAGE_BYTES_MAX + PROPOSAL_BYTES);
    let removes = delta.removed.len() * PROPOSAL_BYTES;
    let path = (from.roster.len() + delta.added.len()) * PATH_BYTES_PER_DEVICE;
    (COMMIT_BASE_BYTES + adds + removes + path).min(COMMIT_BYTES_MAX)
}

fn check_len(what: &'static str, bytes: &[u8], max: usize) -> Result<(), Refusal> {
    if bytes.len() <= max {
        return Ok(());
    }
    Err(Refusal::TooLong {
        what,
        len: bytes.len(),
        max,
    })
}

fn check_declared(roster: &Roster, declared: Digest) -> Result<(), Refusal> {
    if roster.hash() == declared {
        Ok(())
    } else {
        Err(Refusal::RosterHash)
    }
}

fn check_root(epoch: &Epoch, declared: Digest) -> Result<(), Refusal> {
    if epoch.root.commitment() == declared {
        Ok(())
    } else {
        Err(Refusal::RootMismatch)
    }
}

fn invalid(error: impl fmt::Display) -> Error {
    Error::Refused(Refusal::Invalid {
        detail: error.to_string(),
    })
}

fn internal(error: impl fmt::Display) -> Error {
    Error::Internal {
        detail: error.to_string(),
    }
}
