//! A member who cheats: for the demo and the tests, which show that honest nodes refuse it.
//!
//! Nothing else may call this. What is forged here never enters the own log.

use minicbor::bytes::ByteVec;
use oplog::payload::Post;
use oplog::store::Store;
use oplog::{ChannelId, Kind, OpId, Payload, Scope, SignedOp, SpaceId};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::error::CommandError;
use crate::message::Sealed;
use crate::node::Node;

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// For the demo and tests: publishes a post that rests on everything this device has seen,
    /// its own removal and the epoch after it included, without asking the own acceptance.
    /// It goes out sealed for the last epoch whose keys are here.
    ///
    /// # Errors
    /// When the Space or the keys are not here, or storage fails.
    pub fn danger_publish_forged(
        &mut self,
        space: SpaceId,
        channel: ChannelId,
        body: &str,
    ) -> Result<OpId, CommandError> {
        let scope = Scope::Channel(channel);
        let mut header = self.next_header(&space, Kind::Post, scope, &[])?;
        let tip = self.known_space(&space)?.tip;
        if let Some(s) = self.spaces.get_mut(&space)
            && let Some(newest) = s.authority.canonical_tip(s.log.dag(), |_| true)
        {
            header.epoch = newest;
        }
        let payload = Payload::Post(Post {
            thread: None,
            reply_to: None,
            body: body.to_owned(),
            attachments: Vec::new(),
            mentions: Vec::new(),
        });
        let op = SignedOp::sign(header, &payload, &self.me.device);
        let sealed = Sealed::Ops(vec![ByteVec::from(op.encode())]);
        let request = self.seal_under(&space, scope, &tip, &sealed)?;
        let request = request.ok_or_else(|| CommandError::Group {
            why: "the keys to seal with are not here".to_owned(),
        })?;
        self.publish(&request);
        Ok(op.id())
    }
}
