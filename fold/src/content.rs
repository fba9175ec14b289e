//! What people see: from accepted content ops to pages of posts.
//!
//! Two halves, and nothing cached between them. [`index`] turns one accepted op
//! into rows, and looks at nothing but that op. [`ContentView`] reads rows and
//! bodies when somebody asks, and judges every op anew by the D-rules
//! (`docs/protocol.md` B8) against what [`Standing`] says about authority *now*.
//! So an authority change needs no index work at all: a view after it is the view
//! from scratch, by construction (I19).
//!
//! Deliberately not here: whether an op is valid (S0–S2, `oplog`), what authority
//! folds to (the caller's [`Standing`]), names of people, and any notion of what a
//! replica saw first.
//!
//! # Invariants
//! - Order-free: the same ops give the same rows, pages and [`ContentView::state_hash`], whatever came first.
//! - Listing reads rows in thread order and never walks an author's lane, unless that author was removed.
//! - Every op that is not shown names the rule and the op that decided.

use core::ops::Range;

use oplog::store::{Location, StoreError};
use oplog::{AcceptedOp, Lane, OpId};

mod causality;
mod hash;
pub mod index;
mod judge;
mod moderation;
mod order;
mod page;
mod post;
mod relations;
mod standing;
pub mod text;
mod threads;
mod view;

pub use index::Line;
pub use judge::{Late, OPEN_LATE_OPS_MAX, Rule, SCOPE_LATE_OPS_MAX, Verdict};
pub use moderation::Tombstone;
pub use order::OrderKey;
pub use page::{Cursor, Include, Page};
pub use post::{HiddenBy, PostState, PostView, Reaction, Revision};
pub use standing::{Closed, EffectiveRemoval, Sponsorship, Standing};
pub use threads::{ThreadSort, ThreadView};
pub use view::ContentView;

/// Where the accepted ops of one Space lie. Rows hold locations, so that a page is a few positioned reads.
pub trait Bodies {
    /// Reads the op with this id, at this place.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the record is not that op: the view goes on without that op
    /// and names it in [`ContentView::damaged`]. Anything else ends the query.
    fn read(&self, id: &OpId, at: &Location) -> Result<AcceptedOp, StoreError>;

    /// Finds an op by id, `None` when it is not here.
    ///
    /// # Errors
    /// When storage fails.
    fn op(&self, id: &OpId) -> Result<Option<AcceptedOp>, StoreError>;

    /// Visits the ops of a lane in this range of positions, by position and then by id. An
    /// equivocated lane has more than one op at a position.
    ///
    /// # Errors
    /// When storage fails.
    fn lane(
        &self,
        lane: &Lane,
        seqs: Range<u64>,
        visit: &mut dyn FnMut(u64, OpId),
    ) -> Result<(), StoreError>;
}
