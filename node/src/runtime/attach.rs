//! Files out: read, sealed and stored piece by piece.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use blobstore::{CHUNK_BYTES, ChunkStore, Description, SealedChunk, Sealer};
use oplog::payload::Attachment;
use oplog::{BlobId, SpaceId};

use super::{Handle, fresh_rng};
use crate::command::Command;
use crate::error::CommandError;

/// Longest file that can be attached, in bytes.
pub const ATTACHMENT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What is attached.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// A file; its name and its ending tell what it is called and what it is.
    File(&'a Path),
    /// Bytes in memory, such as a picture that was pasted.
    Bytes {
        /// What to call it.
        name: &'a str,
        /// The bytes.
        bytes: &'a [u8],
    },
}

impl Content<'_> {
    /// What errors call it.
    fn path(&self) -> &Path {
        match *self {
            Self::File(path) => path,
            Self::Bytes { name, .. } => Path::new(name),
        }
    }

    /// Returns a reader and how many bytes it should give.
    fn open(&self) -> Result<(Box<dyn Read + Send + '_>, u64), AttachError> {
        let path = match *self {
            Self::File(path) => path,
            Self::Bytes { bytes, .. } => {
                let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                return Ok((Box::new(bytes), len));
            }
        };
        let to_owned = || path.to_owned();
        let io = |source| AttachError::Io {
            path: to_owned(),
            source,
        };
        // Before opening: to open a pipe waits for somebody who writes.
        let meta = std::fs::metadata(path).map_err(|source| {
            if source.kind() == io::ErrorKind::NotFound {
                let path = to_owned();
                AttachError::Missing { path, source }
            } else {
                io(source)
            }
        })?;
        if !meta.is_file() {
            return Err(AttachError::NotAFile { path: to_owned() });
        }
        let file = File::open(path).map_err(io)?;
        Ok((Box::new(file), meta.len()))
    }
}

/// Why a file was not attached, or not saved.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The file cannot be read or written.
    #[error("{}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no such file to attach.
    #[error("{}", path.display())]
    Missing {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A folder, a pipe or a device.
    #[error("{} is not a file", path.display())]
    NotAFile {
        /// Which.
        path: PathBuf,
    },
    /// The file is too long.
    #[error(
        "{} is too large: {} MiB, at most {} MiB are allowed",
        path.display(), len.div_ceil(1 << 20), max >> 20
    )]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// Its length in bytes.
        len: u64,
        /// How long it may be, in bytes.
        max: u64,
    },
    /// The file changed while it was read.
    #[error("{} changed while it was being read", path.display())]
    Changed {
        /// Which.
        path: PathBuf,
    },
    /// The node could not do its part.
    #[error(transparent)]
    Command(#[from] CommandError),
}

impl Handle {
    /// Seals a file into chunks, stores them and queues them for the relays. The attachment goes
    /// into a post. `thumbnail` is a small picture of it, encoded, for those who have not fetched
    /// it yet: at most [`THUMBNAIL_BYTES_MAX`](blobstore::THUMBNAIL_BYTES_MAX) bytes, and free of
    /// what the file tells of place and time. `progress` hears bytes done and bytes in all.
    ///
    /// # Errors
    /// When the file cannot be read, is too large or changes meanwhile; when the thumbnail is too
    /// long; when the node cannot store it.
    pub async fn attach(
        &self,
        space: SpaceId,
        content: Content<'_>,
        thumbnail: Option<Vec<u8>>,
        progress: impl FnMut(u64, u64) + Send,
    ) -> Result<Attachment, AttachError> {
        let mut stored = Vec::new();
        let sealed = self.seal(space, content, thumbnail, progress, &mut stored);
        let attached = sealed.await;
        if attached.is_err() {
            // No post will name these chunks, and they may be what fills the disk.
            self.forget_chunks(stored).await;
        }
        attached
    }

    /// Does the work of `attach`, and notes in `stored` every chunk that is on the disk.
    async fn seal(
        &self,
        space: SpaceId,
        content: Content<'_>,
        thumbnail: Option<Vec<u8>>,
        mut progress: impl FnMut(u64, u64) + Send,
        stored: &mut Vec<BlobId>,
    ) -> Result<Attachment, AttachError> {
        let path = content.path();
        let io = |source| AttachError::Io {
            path: path.to_owned(),
            source,
        };
        let changed = || AttachError::Changed {
            path: path.to_owned(),
        };
        let (mut reader, total) = content.open()?;
        if total > ATTACHMENT_BYTES_MAX {
            return Err(AttachError::TooLarge {
                path: path.to_owned(),
                len: total,
                max: ATTACHMENT_BYTES_MAX,
            });
        }
        let mut rng = fresh_rng().map_err(io)?;
        let mut sealer = Sealer::new(&mut rng);
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut done = 0;
        progress(0, total);
        loop {
            let len = reader.read(&mut buffer).map_err(io)?;
            let Some(mut piece) = buffer.get(..len).filter(|piece| !piece.is_empty()) else {
                break;
            };
            done += u64::try_from(len).unwrap_or(u64::MAX);
            if done > total {
                return Err(changed());
            }
            while let Some(chunk) = sealer.push(&mut piece).map_err(invalid)? {
                stored.push(chunk.id());
                self.store_chunk(chunk).await?;
            }
            progress(done, total);
        }
        if done != total {
            return Err(changed());
        }
        let (last, sealed) = sealer.finish().map_err(invalid)?;
        stored.push(last.id());
        self.store_chunk(last).await?;
        let name = path
            .file_name()
            .map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        let media_type = media_type(path).to_owned();
        let about = Description {
            name: name.clone(),
            media_type: media_type.clone(),
            thumbnail,
        };
        let (blob, manifest) = sealed.describe(about, &mut rng).map_err(invalid)?;
        stored.push(manifest.id());
        self.store_chunk(manifest).await?;
        let chunks = stored.clone();
        self.command(Command::Upload { space, chunks }).await?;
        Ok(blob.to_attachment(total, name, media_type))
    }

    /// Lets go of chunks that nothing names. What cannot be removed only takes room.
    async fn forget_chunks(&self, chunks: Vec<BlobId>) {
        let forget = move |node: &mut super::LiveNode| {
            for id in chunks {
                if let Err(error) = ChunkStore::remove(node.chunks_mut(), &id) {
                    tracing::debug!(%error, "a chunk stays without use");
                }
            }
        };
        if let Err(error) = self.with_node(forget).await {
            tracing::debug!(%error, "chunks stay without use");
        }
    }

    async fn store_chunk(&self, chunk: SealedChunk) -> Result<(), CommandError> {
        let put = move |node: &mut super::LiveNode| {
            node.room_for_chunks()?;
            Ok(ChunkStore::put(node.chunks_mut(), &chunk)?)
        };
        self.with_node(put).await?
    }
}

#[expect(clippy::needless_pass_by_value, reason = "shaped for map_err")]
pub(super) fn invalid(error: impl ToString) -> AttachError {
    AttachError::Command(CommandError::Invalid {
        what: error.to_string(),
    })
}

/// What a file most likely is, by its ending; a hint for those who show it.
fn media_type(path: &Path) -> &'static str {
    let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    match ending.as_deref() {
        Some("txt" | "md" | "log") => "text/plain",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("gif") => "image/gif",
        Some("webp") => "image/webp",
        Some("pdf") => "application/pdf",
        Some("zip") => "application/zip",
        Some("mp3") => "audio/mpeg",
        Some("mp4") => "video/mp4",
        _ => "application/octet-stream",
    }
}
