//! What a shell keeps beside the log: drafts, what was read, how things look. Sealed like every row.
//!
//! To the node these are names with bytes. They belong to this device, go nowhere, and no rule of a
//! Space depends on them.

use oplog::store::{Direction, Store, prefix_end};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::error::CommandError;
use crate::identity::NODE_TABLE;
use crate::node::Node;

/// Longest name in bytes: two ids in hexadecimal, and what they are for.
pub const KEEPSAKE_NAME_BYTES_MAX: usize = 256;
/// Longest value in bytes: a draft is no longer than a post.
pub const KEEPSAKE_BYTES_MAX: usize = 64 * 1024;
const KEEPSAKE: &[u8] = b"keepsake/";

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Returns what is kept under names that begin so, by name.
    ///
    /// # Errors
    /// When storage fails.
    pub fn keepsakes(&self, beginning: &str) -> Result<Vec<(String, Vec<u8>)>, CommandError> {
        let start = row(beginning);
        let mut found = Vec::new();
        self.store.scan(
            NODE_TABLE,
            &start,
            &prefix_end(&start),
            Direction::Forward,
            &mut |key, value| {
                let name = key.strip_prefix(KEEPSAKE).unwrap_or_default();
                found.push((String::from_utf8_lossy(name).into_owned(), value.to_vec()));
                std::ops::ControlFlow::Continue(())
            },
        )?;
        Ok(found)
    }

    /// Keeps a value under a name; an empty one is forgotten.
    pub(crate) fn keep_for_shell(&mut self, name: &str, value: &[u8]) -> Result<(), CommandError> {
        if name.len() > KEEPSAKE_NAME_BYTES_MAX || value.len() > KEEPSAKE_BYTES_MAX {
            return Err(CommandError::Invalid {
                what: format!("what is to be kept as {name:?} is too long"),
            });
        }
        if value.is_empty() {
            self.store.delete(NODE_TABLE, &row(name));
        } else {
            self.store.put(NODE_TABLE, &row(name), value);
        }
        Ok(())
    }
}

fn row(name: &str) -> Vec<u8> {
    [KEEPSAKE, name.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use oplog::Timestamp;
    use oplog::store::MemStore;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;
    use crate::blobs::MemChunks;
    use crate::identity::Identity;

    #[test]
    fn what_a_shell_keeps_is_found_by_the_beginning_of_its_name() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let now = Timestamp::from_ms(1_000);
        let me = Identity::generate("Ann", now, &mut rng);
        let mut node = Node::create(MemStore::new(), MemChunks::new(), rng, me, now).unwrap();
        for (name, value) in [("draft/a", "one"), ("draft/b", "two"), ("look", "dark")] {
            node.keep_for_shell(name, value.as_bytes()).unwrap();
        }
        node.keep_for_shell("draft/b", b"").unwrap();
        let drafts = node.keepsakes("draft/").unwrap();
        assert_eq!(drafts, [("draft/a".to_owned(), b"one".to_vec())]);
        assert_eq!(node.keepsakes("").unwrap().len(), 2);
        let long = vec![0; KEEPSAKE_BYTES_MAX + 1];
        assert!(node.keep_for_shell("look", &long).is_err());
        assert_eq!(
            node.keepsakes("look").unwrap().len(),
            1,
            "nothing was changed"
        );
    }
}
