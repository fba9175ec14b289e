//! Files in and out: read, sealed and stored piece by piece; fetched, opened and written piece by piece.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use blobstore::{
    BlobRef, CHUNK_BYTES, ChunkStore, Description, Manifest, Opener, SealedChunk, Sealer,
};
use oplog::payload::Attachment;
use oplog::store::StoreError;
use oplog::{BlobId, SpaceId};

use super::{Handle, fresh_rng};
use crate::command::Command;
use crate::error::CommandError;

/// Longest file that can be attached, in bytes.
pub(super) const ATTACHMENT_BYTES_MAX: u64 = 64 * 1024 * 1024;

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
        path.display(), len.div_ceil(1 << 20), ATTACHMENT_BYTES_MAX >> 20
    )]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// Its length in bytes.
        len: u64,
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
    /// into a post. `progress` hears bytes done and bytes in all.
    ///
    /// # Errors
    /// When the file cannot be read, is too large or changes meanwhile; when the node cannot store it.
    pub async fn attach(
        &self,
        space: SpaceId,
        path: &Path,
        progress: impl FnMut(u64, u64) + Send,
    ) -> Result<Attachment, AttachError> {
        let mut stored = Vec::new();
        let attached = self.seal(space, path, progress, &mut stored).await;
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
        path: &Path,
        mut progress: impl FnMut(u64, u64) + Send,
        stored: &mut Vec<BlobId>,
    ) -> Result<Attachment, AttachError> {
        let io = |source| AttachError::Io {
            path: path.to_owned(),
            source,
        };
        let changed = || AttachError::Changed {
            path: path.to_owned(),
        };
        // Before opening: to open a pipe waits for somebody who writes.
        let meta = std::fs::metadata(path).map_err(|source| {
            if source.kind() == io::ErrorKind::NotFound {
                let path = path.to_owned();
                AttachError::Missing { path, source }
            } else {
                io(source)
            }
        })?;
        if !meta.is_file() {
            return Err(AttachError::NotAFile {
                path: path.to_owned(),
            });
        }
        let mut file = File::open(path).map_err(io)?;
        let total = meta.len();
        if total > ATTACHMENT_BYTES_MAX {
            return Err(AttachError::TooLarge {
                path: path.to_owned(),
                len: total,
            });
        }
        let mut rng = fresh_rng().map_err(io)?;
        let mut sealer = Sealer::new(&mut rng);
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut done = 0;
        progress(0, total);
        loop {
            let len = file.read(&mut buffer).map_err(io)?;
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
            thumbnail: None,
        };
        let (blob, manifest) = sealed.describe(about, &mut rng).map_err(invalid)?;
        stored.push(manifest.id());
        self.store_chunk(manifest).await?;
        let chunks = stored.clone();
        self.command(Command::Upload { space, chunks }).await?;
        Ok(blob.to_attachment(total, name, media_type))
    }

    /// Fetches what is missing of an attachment, checks every chunk and writes the file. A file that
    /// is there already is replaced only once the new one is whole.
    ///
    /// # Errors
    /// When nobody has it, it is not what the post names, or the file cannot be written.
    pub async fn save(
        &self,
        space: SpaceId,
        attachment: &Attachment,
        to: &Path,
        mut progress: impl FnMut(u64, u64) + Send,
    ) -> Result<(), AttachError> {
        let io = |source| AttachError::Io {
            path: to.to_owned(),
            source,
        };
        // The first round fetches the manifest, the second what it names.
        for _ in 0..2 {
            let attachment = attachment.clone();
            self.command(Command::FetchBlob { space, attachment })
                .await?;
        }
        let blob = BlobRef::from(attachment);
        let sealed = self.load_chunk(attachment.manifest).await?;
        let manifest = Manifest::open(&blob, &sealed).map_err(invalid)?;
        let total = manifest.len();
        let mut opener = Opener::new(&blob, manifest);
        let part = Part::create(to).map_err(io)?;
        let mut done = 0;
        progress(0, total);
        while let Some((_, id)) = opener.wanted() {
            let chunk = self.load_chunk(id).await?;
            let plain = opener.push(&chunk).map_err(invalid)?;
            (&part.file).write_all(&plain).map_err(io)?;
            done += u64::try_from(plain.len()).unwrap_or(u64::MAX);
            progress(done, total);
        }
        part.keep_as(to).map_err(io)
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

#[expect(clippy::needless_pass_by_value, reason = "shaped for map_err")]
fn invalid(error: impl ToString) -> AttachError {
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
