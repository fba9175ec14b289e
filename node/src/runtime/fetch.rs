//! Files in: fetched, opened and handed on piece by piece.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use blobstore::{BlobRef, ChunkStore, Manifest, Opener, SealedChunk};
use oplog::payload::Attachment;
use oplog::store::StoreError;
use oplog::{BlobId, SpaceId};
use tokio::time::MissedTickBehavior;

use super::Handle;
use super::attach::{AttachError, invalid};
use crate::command::Command;
use crate::error::CommandError;

/// How often it is looked how much of a file has come.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What is known of a file before its content is fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// Its length in bytes, which its content will be held to.
    pub len: u64,
    /// A small picture of it, encoded by its sender: to be decoded with care.
    pub thumbnail: Option<Vec<u8>>,
}

impl Handle {
    /// Fetches what is missing of an attachment, checks every chunk and writes the file. A file that
    /// is there already is replaced only once the new one is whole. `progress` hears bytes that are
    /// here and bytes in all.
    ///
    /// # Errors
    /// When nobody has it, it is not what the post names, or the file cannot be written.
    pub async fn save(
        &self,
        space: SpaceId,
        attachment: &Attachment,
        to: &Path,
        progress: impl FnMut(u64, u64) + Send,
    ) -> Result<(), AttachError> {
        let io = |source| AttachError::Io {
            path: to.to_owned(),
            source,
        };
        let manifest = self.manifest(space, attachment).await?;
        let part = Part::create(to).map_err(io)?;
        self.fetch(space, attachment, &manifest, progress).await?;
        let write = |plain: &[u8]| (&part.file).write_all(plain).map_err(io);
        self.open_chunks(attachment, manifest, write).await?;
        part.keep_as(to).map_err(io)
    }

    /// Fetches what is missing of an attachment, checks every chunk and returns the content.
    ///
    /// # Errors
    /// When it has more than `bytes_max`, which is known before anything of the content is fetched;
    /// when nobody has it, or it is not what the post names.
    pub async fn content(
        &self,
        space: SpaceId,
        attachment: &Attachment,
        bytes_max: u64,
        progress: impl FnMut(u64, u64) + Send,
    ) -> Result<Vec<u8>, AttachError> {
        let manifest = self.manifest(space, attachment).await?;
        if manifest.len() > bytes_max {
            return Err(AttachError::TooLarge {
                path: PathBuf::from(&attachment.name),
                len: manifest.len(),
                max: bytes_max,
            });
        }
        self.fetch(space, attachment, &manifest, progress).await?;
        let mut content = Vec::new();
        let keep = |plain: &[u8]| {
            content.extend_from_slice(plain);
            Ok(())
        };
        self.open_chunks(attachment, manifest, keep).await?;
        Ok(content)
    }

    /// Returns what the sender says of an attachment's content, of which nothing is fetched.
    ///
    /// # Errors
    /// When nobody has the manifest, or it is not what the post names.
    pub async fn preview(
        &self,
        space: SpaceId,
        attachment: &Attachment,
    ) -> Result<Preview, AttachError> {
        let manifest = self.manifest(space, attachment).await?;
        Ok(Preview {
            len: manifest.len(),
            thumbnail: manifest.description().thumbnail.clone(),
        })
    }

    /// Returns the manifest; fetches it if it is not here.
    async fn manifest(
        &self,
        space: SpaceId,
        attachment: &Attachment,
    ) -> Result<Manifest, AttachError> {
        let id = attachment.manifest;
        let has = move |node: &mut super::LiveNode| ChunkStore::has(node.chunks_mut(), &id);
        let here: Result<bool, StoreError> = self.with_node(has).await?;
        if !here.map_err(CommandError::from)? {
            // Without the manifest, that is all that is asked for.
            let attachment = attachment.clone();
            self.command(Command::FetchBlob { space, attachment })
                .await?;
        }
        let sealed = self.load_chunk(id).await?;
        Manifest::open(&BlobRef::from(attachment), &sealed).map_err(invalid)
    }

    /// Waits until all of the content is here.
    async fn fetch(
        &self,
        space: SpaceId,
        attachment: &Attachment,
        manifest: &Manifest,
        mut progress: impl FnMut(u64, u64) + Send,
    ) -> Result<(), AttachError> {
        let total = manifest.len();
        let attachment = attachment.clone();
        let mut fetching = std::pin::pin!(self.command(Command::FetchBlob { space, attachment }));
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                fetched = &mut fetching => {
                    fetched?;
                    progress(total, total);
                    return Ok(());
                }
                _ = look.tick() => progress(self.here(manifest).await?, total),
            }
        }
    }

    /// Returns how many bytes of the content are here, at least.
    async fn here(&self, manifest: &Manifest) -> Result<u64, CommandError> {
        let wanted = manifest.clone();
        let count = move |node: &mut super::LiveNode| {
            blobstore::missing(&wanted, node.chunks_mut()).map(|missing| missing.len())
        };
        let missing: Result<usize, StoreError> = self.with_node(count).await?;
        let chunks = manifest.chunks().len();
        let here = chunks.saturating_sub(missing?);
        let share = u128::from(manifest.len()) * here as u128 / chunks.max(1) as u128;
        Ok(u64::try_from(share).unwrap_or(u64::MAX))
    }

    /// Opens one chunk after the other.
    async fn open_chunks(
        &self,
        attachment: &Attachment,
        manifest: Manifest,
        mut take: impl FnMut(&[u8]) -> Result<(), AttachError> + Send,
    ) -> Result<(), AttachError> {
        let mut opener = Opener::new(&BlobRef::from(attachment), manifest);
        while let Some((_, id)) = opener.wanted() {
            let chunk = self.load_chunk(id).await?;
            take(&opener.push(&chunk).map_err(invalid)?)?;
        }
        Ok(())
    }

    async fn load_chunk(&self, id: BlobId) -> Result<SealedChunk, CommandError> {
        let get = move |node: &mut super::LiveNode| ChunkStore::get(node.chunks_mut(), &id);
        let chunk: Result<Option<SealedChunk>, StoreError> = self.with_node(get).await?;
        let what = || "a part of this attachment".to_owned();
        chunk?.ok_or_else(|| CommandError::NotFound { what: what() })
    }
}

/// A file that is being written, under a name that nobody else has. It goes when it is not kept.
struct Part {
    file: File,
    path: PathBuf,
}

impl Part {
    /// Makes one beside `to`.
    fn create(to: &Path) -> Result<Self, io::Error> {
        let mut name = to.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let path = to.with_file_name(name);
        // Of a process that had this number once and was killed.
        if let Err(error) = std::fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let file = File::create_new(&path)?;
        Ok(Self { file, path })
    }

    /// Gives it its name, once all of it is on the disk.
    fn keep_as(self, to: &Path) -> Result<(), io::Error> {
        self.file.sync_all()?;
        std::fs::rename(&self.path, to)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // After `keep_as` there is nothing by this name; otherwise half a file is of no use.
        let _gone = std::fs::remove_file(&self.path);
    }
}
