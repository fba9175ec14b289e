//! Why an operation on the group failed, and whose fault it is.

use oplog::DeviceId;

/// An operation on the group failed. The state it started from is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// What somebody sent breaks a rule. Nothing is wrong here; drop it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// What we stored is not what we wrote.
    #[error("damaged: {what}")]
    Damaged {
        /// Which thing.
        what: &'static str,
    },
    /// The change that we ourselves asked for makes no sense in this group.
    #[error("cannot commit: {reason}")]
    CannotCommit {
        /// Why not.
        reason: &'static str,
    },
    /// OpenMLS failed where it should not.
    #[error("openmls: {detail}")]
    Internal {
        /// What it said.
        detail: String,
    },
}

/// The rule that a message of somebody else breaks. Ids are those of `docs/protocol.md`; `C.2`
/// are the checks that OpenMLS leaves to its application.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Bounds. Longer than the limit; nothing was parsed.
    #[error("{what}: {len} bytes, at most {max} allowed")]
    TooLong {
        /// What came.
        what: &'static str,
        /// How long it is.
        len: usize,
        /// How long it may be.
        max: usize,
    },
    /// K1. Not the encoding of such a message, or bytes go on behind it.
    #[error("{what}: malformed")]
    Malformed {
        /// What should have come.
        what: &'static str,
    },
    /// K1. A message of another kind: application data, a lone proposal, an encrypted handshake.
    #[error("not a commit in plain form")]
    NotACommit,
    /// K1. OpenMLS found a signature, hash, tag, epoch or key that does not hold.
    #[error("invalid by RFC 9420: {detail}")]
    Invalid {
        /// What OpenMLS said.
        detail: String,
    },
    /// K1, B5. The commit is not bound to the op that carries it.
    #[error("the authenticated data is not that of the op")]
    WrongAad,
    /// K1. The leaf that committed is not the op's device.
    #[error("not committed by {expected}")]
    WrongSender {
        /// The op's author device.
        expected: DeviceId,
    },
    /// C.2-5. The sender is no member of the group, and does not declare to commit itself in (A5).
    #[error("committed from outside the group")]
    External,
    /// K2. A proposal other than Add and Remove by value.
    #[error("a commit may not carry this proposal: {kind}")]
    ForbiddenProposal {
        /// Which kind.
        kind: &'static str,
    },
    /// K2. The group context changes in more than its epoch.
    #[error("the group context has unexpected extensions")]
    ContextChanged,
    /// A15. The commit does not change what its op declares.
    #[error("the declared roster delta is not what the commit does")]
    DeltaMismatch,
    /// A15. The delta cannot be applied to the roster before it.
    #[error("the roster delta does not fit: {reason}")]
    DeltaMisfit {
        /// Why not.
        reason: &'static str,
    },
    /// A15. The tree holds other devices than the roster says.
    #[error("the tree does not hold the devices of the roster")]
    RosterMismatch,
    /// K1. The declared hash is of another roster.
    #[error("the roster hash does not match")]
    RosterHash,
    /// I11. The declared commitment is to another epoch root.
    #[error("the epoch root is not the one committed to")]
    RootMismatch,
    /// C.2-1. The credential is not of the form CBOR{user, certificate hash}.
    #[error("leaf {leaf}: the credential is malformed")]
    BadCredential {
        /// Which leaf.
        leaf: u32,
    },
    /// C.2-1. No such device certificate is known.
    #[error("leaf {leaf}: its certificate is unknown")]
    UnknownCert {
        /// Which leaf.
        leaf: u32,
    },
    /// C.2-1. User or signature key are not those of the certificate.
    #[error("leaf {leaf}: does not match its certificate")]
    CertMismatch {
        /// Which leaf.
        leaf: u32,
    },
    /// C.2-2. A leaf that stayed has another credential or signature key.
    #[error("leaf {leaf}: its identity changed")]
    IdentityChanged {
        /// Which leaf.
        leaf: u32,
    },
    /// C.2-2. Two leaves of one device.
    #[error("{device} has two leaves")]
    DuplicateDevice {
        /// Whose.
        device: DeviceId,
    },
    /// C.2-4, B1. The lifetime is not exactly (0, 2^64 − 1), or the leaf came by an Update.
    #[error("leaf {leaf}: wrong lifetime or source")]
    Lifetime {
        /// Which leaf.
        leaf: u32,
    },
    /// C.2-4. Capabilities or extensions other than the ones we use.
    #[error("leaf {leaf}: capabilities or extensions that are not allowed")]
    Capabilities {
        /// Which leaf.
        leaf: u32,
    },
    /// A21. An X25519 key of low order, or none at all.
    #[error("a low-order or malformed x25519 key")]
    WeakKey,
    /// C.2-4. More devices than a group may have.
    #[error("{len} devices, at most {max} allowed")]
    TooManyDevices {
        /// How many there would be.
        len: usize,
        /// How many there may be.
        max: usize,
    },
    /// B1. The key package is of another ciphersuite, or not marked `last_resort`.
    #[error("the key package has the wrong suite or extensions")]
    KeyPackageForm,
    /// K2. The key package belongs to another device than the one to be added.
    #[error("the key package is not of {expected}")]
    KeyPackageOwner {
        /// Whose it should be.
        expected: DeviceId,
    },
    /// B5. The Welcome answers no key package of ours, or this one's secret is gone.
    #[error("the welcome is not for this key package")]
    NotForUs,
    /// B5. The Welcome leads into another group, or to another epoch than its commit.
    #[error("the welcome leads elsewhere")]
    WrongGroup,
}
