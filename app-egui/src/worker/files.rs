//! Files and pictures: chosen, sealed and sent; fetched, decoded and saved.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::{After, Profile, Tell, Voice};
use crate::api::{
    ATTACHMENT_BYTES_MAX, Answer, AttachError, Attachment, BlobId, Command, Content, Handle,
    SpaceId, file_name,
};
use crate::model::LineId;
use crate::picture::{self, PICTURE_BYTES_MAX, Pixels, THUMBNAIL_SIDE};
use crate::text;

/// Longest picture that is fetched without being asked for, in bytes.
pub const AUTO_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Longest side of a picture between posts, in pixels: twice its size in points.
const INLINE_SIDE: u32 = 800;
/// Longest side of a picture that fills the window, in pixels.
const LARGE_SIDE: u32 = 2_048;
/// Pictures that are fetched and decoded at once.
const PICTURES_AT_ONCE: usize = 3;
/// Names tried for a file whose own is taken.
const NAMES_MAX: u32 = 1_000;

/// Least time that somebody takes to answer a dialog: one that ends sooner was not there.
const SEEN: Duration = Duration::from_millis(300);

/// A file that somebody chose for a post.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picked {
    /// Its name.
    pub name: String,
    /// Its length in bytes.
    pub size: u64,
    /// Where it is.
    pub source: Source,
}

/// Where a chosen file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// On the disk.
    File(PathBuf),
    /// In memory: it was pasted.
    Memory(Arc<[u8]>),
}

/// What a chosen file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The draft of a line.
    Draft(LineId),
    /// The topic that is being written.
    Topic,
}

/// How much of a picture is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// What its sender drew of it; nothing else is fetched.
    Thumbnail,
    /// As it stands between posts.
    Inline,
    /// As it fills the window.
    Large,
}

/// Where a file is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveTo {
    /// In the folder of downloads, under a name that is free.
    Downloads,
    /// Where the person says.
    Chosen,
}

/// What these tasks share.
#[derive(Clone)]
pub(super) struct Files {
    handle: Handle,
    voice: Voice,
    profile: Arc<Profile>,
    /// A turn for each picture.
    turns: Arc<Semaphore>,
}

impl Files {
    pub(super) fn new(handle: Handle, voice: Voice, profile: Arc<Profile>) -> Self {
        Self {
            handle,
            voice,
            profile,
            turns: Arc::new(Semaphore::new(PICTURES_AT_ONCE)),
        }
    }

    /// Asks the person for files.
    pub(super) async fn pick(self, target: Target) {
        if !self.profile.dialogs {
            return;
        }
        let dialog = rfd::AsyncFileDialog::new().set_title(text::t("attach-files"));
        if let Some(files) = self.answered(dialog.pick_files(), "attach-no-dialog").await {
            let paths = files.iter().map(|file| file.path().to_owned()).collect();
            self.look_at(target, paths).await;
        }
    }

    /// Waits for what a dialog of the desktop gives; says `trouble` where it never came up, which the dialog
    /// itself tells nobody.
    async fn answered<T>(
        &self,
        dialog: impl Future<Output = Option<T>>,
        trouble: &str,
    ) -> Option<T> {
        let asked = Instant::now();
        let answer = dialog.await;
        if answer.is_none() && asked.elapsed() < SEEN {
            self.voice.tell(Tell::Said(Err(text::t(trouble)))).await;
        }
        answer
    }

    /// Takes files by their paths.
    pub(super) async fn look_at(self, target: Target, paths: Vec<PathBuf>) {
        let looked = tokio::task::spawn_blocking(move || {
            let all = paths.into_iter();
            all.map(on_disk).collect::<Vec<Result<Picked, String>>>()
        });
        let mut picked = Vec::new();
        for file in looked.await.unwrap_or_default() {
            match file {
                Ok(file) => picked.push(file),
                Err(words) => self.voice.tell(Tell::Said(Err(words))).await,
            }
        }
        if !picked.is_empty() {
            self.voice.tell(Tell::Picked(target, picked)).await;
        }
    }

    /// Takes the picture that the clipboard holds.
    pub(super) async fn paste(self, target: Target) {
        let pasted = tokio::task::spawn_blocking(clipboard).await.ok().flatten();
        let tell = match pasted {
            Some(png) => {
                let picked = Picked {
                    name: text::t("pasted-name"),
                    size: u64::try_from(png.len()).unwrap_or(u64::MAX),
                    source: Source::Memory(png.into()),
                };
                Tell::Picked(target, vec![picked])
            }
            None => Tell::Said(Err(text::t("paste-nothing"))),
        };
        self.voice.tell(tell).await;
    }

    /// Seals files and writes the post that has them.
    pub(super) async fn send(self, mut command: Command, files: Vec<Picked>, after: After) {
        let (Command::Post { space, .. } | Command::CreateThread { space, .. }) = &command else {
            return;
        };
        let space = *space;
        let total: u64 = files.iter().map(|file| file.size).sum();
        let mut sealed = Vec::with_capacity(files.len());
        let mut before = 0;
        for file in files {
            let attached = self.seal(space, &file, &after, before, total).await;
            match attached {
                Ok(attachment) => sealed.push(attachment),
                Err(error) => {
                    let answer = Err(in_words(&error));
                    return self.voice.tell(Tell::Done(after, answer)).await;
                }
            }
            before += file.size;
        }
        if let Command::Post { attachments, .. } | Command::CreateThread { attachments, .. } =
            &mut command
        {
            *attachments = sealed;
        }
        let answer = self.handle.command(command).await;
        let answer: Result<Answer, String> = answer.map_err(|error| error.to_string());
        self.voice.tell(Tell::Done(after, answer)).await;
    }

    async fn seal(
        &self,
        space: SpaceId,
        file: &Picked,
        after: &After,
        before: u64,
        total: u64,
    ) -> Result<Attachment, AttachError> {
        let thumbnail = self.thumbnail(file).await;
        let (voice, after) = (self.voice.clone(), after.clone());
        let mut last = None;
        let progress = move |done: u64, _: u64| {
            let percent = (before + done) * 100 / total.max(1);
            if last.replace(percent) != Some(percent) {
                voice.hint(Tell::Sealing(after.clone(), percent));
            }
        };
        let content = match &file.source {
            Source::File(path) => Content::File(path),
            Source::Memory(bytes) => Content::Bytes {
                name: &file.name,
                bytes,
            },
        };
        let attached = self.handle.attach(space, content, thumbnail, progress);
        attached.await
    }

    /// Draws a thumbnail; `None` of what is no picture, or cannot be decoded here.
    async fn thumbnail(&self, file: &Picked) -> Option<Vec<u8>> {
        let program = self.profile.decoder.as_deref()?;
        if file.size > PICTURE_BYTES_MAX {
            return None;
        }
        let bytes = match &file.source {
            Source::Memory(bytes) => Arc::clone(bytes),
            Source::File(path) if looks_like_picture(path) => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || std::fs::read(path));
                read.await.ok()?.ok()?.into()
            }
            Source::File(_) => return None,
        };
        let pixels = picture::decode(program, &bytes, THUMBNAIL_SIDE)
            .await
            .ok()?;
        let draw = tokio::task::spawn_blocking(move || picture::thumbnail(&pixels));
        draw.await.ok().flatten()
    }

    /// Fetches and decodes a picture.
    pub(super) async fn picture(self, space: SpaceId, file: Attachment, detail: Detail) {
        let id = file.manifest;
        // Nobody closes it.
        let Ok(_turn) = self.turns.acquire().await else {
            return;
        };
        let shown = self.decoded(space, &file, detail).await;
        let tell = match shown {
            Ok(Some(pixels)) => Tell::Picture(id, detail, Ok(image_of(&pixels))),
            Ok(None) => Tell::Picture(id, detail, Err(String::new())),
            Err(words) => Tell::Picture(id, detail, Err(words)),
        };
        self.voice.tell(tell).await;
    }

    async fn decoded(
        &self,
        space: SpaceId,
        file: &Attachment,
        detail: Detail,
    ) -> Result<Option<Pixels>, String> {
        let Some(program) = self.profile.decoder.as_deref() else {
            return Err(text::t("picture-no-decoder"));
        };
        let (bytes, side) = match detail {
            Detail::Thumbnail => {
                let preview = self.handle.preview(space, file).await;
                match preview.map_err(|error| in_words(&error))?.thumbnail {
                    Some(bytes) => (bytes, THUMBNAIL_SIDE),
                    None => return Ok(None),
                }
            }
            Detail::Inline | Detail::Large => {
                let progress = self.progress(file.manifest);
                let read = self
                    .handle
                    .content(space, file, PICTURE_BYTES_MAX, progress);
                let read = read.await;
                self.voice.hint(Tell::Fetching(file.manifest, None));
                let side = if detail == Detail::Large {
                    LARGE_SIDE
                } else {
                    INLINE_SIDE
                };
                (read.map_err(|error| in_words(&error))?, side)
            }
        };
        let decoded = picture::decode(program, &bytes, side).await;
        decoded.map(Some).map_err(|error| error.to_string())
    }

    /// Tells how much of a file has come, in hundredths.
    fn progress(&self, id: BlobId) -> impl FnMut(u64, u64) + Send + 'static {
        let voice = self.voice.clone();
        let mut last = None;
        move |done, total| {
            let percent = done * 100 / total.max(1);
            if last.replace(percent) != Some(percent) {
                voice.hint(Tell::Fetching(id, Some(percent)));
            }
        }
    }

    /// Fetches a file and writes it.
    pub(super) async fn save(self, space: SpaceId, file: Attachment, to: SaveTo) {
        let name = file_name(&file.name);
        let path = match to {
            SaveTo::Downloads => {
                let Some(folder) = self.profile.downloads.clone() else {
                    let words = text::t("save-no-folder");
                    return self.voice.tell(Tell::Said(Err(words))).await;
                };
                let free = tokio::task::spawn_blocking(move || vacant(&folder, &name));
                match free.await {
                    Ok(Ok(path)) => path,
                    Ok(Err(error)) => {
                        return self.voice.tell(Tell::Said(Err(error.to_string()))).await;
                    }
                    Err(_) => return,
                }
            }
            SaveTo::Chosen if self.profile.dialogs => {
                let dialog = rfd::AsyncFileDialog::new().set_file_name(name);
                match self.answered(dialog.save_file(), "save-no-dialog").await {
                    Some(chosen) => chosen.path().to_owned(),
                    None => return,
                }
            }
            SaveTo::Chosen => return,
        };
        let progress = self.progress(file.manifest);
        let saved = self.handle.save(space, &file, &path, progress).await;
        self.voice.tell(Tell::Fetching(file.manifest, None)).await;
        let said = match saved {
            Ok(()) => Ok(text::named("said-written", &path.display().to_string())),
            Err(error) => Err(in_words(&error)),
        };
        self.voice.tell(Tell::Said(said)).await;
    }
}

/// An error with what caused it.
fn in_words(error: &AttachError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

fn on_disk(path: PathBuf) -> Result<Picked, String> {
    let shown = file_name(&path.file_name().unwrap_or_default().to_string_lossy());
    let meta = std::fs::metadata(&path).map_err(|error| format!("{shown}: {error}"))?;
    if !meta.is_file() {
        return Err(text::named("attach-no-file", &shown));
    }
    if meta.len() > ATTACHMENT_BYTES_MAX {
        return Err(text::named("attach-too-large", &shown));
    }
    Ok(Picked {
        name: shown,
        size: meta.len(),
        source: Source::File(path),
    })
}

fn looks_like_picture(path: &Path) -> bool {
    let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    matches!(
        ending.as_deref(),
        Some("png" | "jpg" | "jpeg" | "gif" | "webp")
    )
}

/// The picture that the clipboard holds, as a PNG.
fn clipboard() -> Option<Vec<u8>> {
    let image = arboard::Clipboard::new().ok()?.get_image().ok()?;
    let pixels = Pixels {
        width: u32::try_from(image.width).ok()?,
        height: u32::try_from(image.height).ok()?,
        rgba: image.bytes.into_owned(),
    };
    picture::png(pixels).ok()
}

/// Returns a path in this folder by which nothing goes: the name, or the name with a number.
fn vacant(folder: &Path, name: &str) -> std::io::Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let (stem, ending) = match name.rsplit_once('.') {
        Some((stem, ending)) if !stem.is_empty() => (stem, format!(".{ending}")),
        _ => (name, String::new()),
    };
    let names = (1..NAMES_MAX).map(|n| match n {
        1 => name.to_owned(),
        n => format!("{stem} ({n}){ending}"),
    });
    let mut paths = names.map(|name| folder.join(name));
    let free = paths.find(|path| std::fs::symlink_metadata(path).is_err());
    free.ok_or_else(|| std::io::ErrorKind::AlreadyExists.into())
}

fn image_of(pixels: &Pixels) -> egui::ColorImage {
    let len = |side: u32| usize::try_from(side).unwrap_or_default();
    let size = [len(pixels.width), len(pixels.height)];
    egui::ColorImage::from_rgba_unmultiplied(size, &pixels.rgba)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_saved_beside_others_of_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("Downloads");
        for wanted in ["rota.tar.gz", "rota.tar (2).gz", "rota.tar (3).gz"] {
            let path = vacant(&folder, "rota.tar.gz").unwrap();
            assert_eq!(path, folder.join(wanted));
            std::fs::write(path, b"").unwrap();
        }
        std::fs::write(folder.join("plain"), b"").unwrap();
        assert_eq!(vacant(&folder, "plain").unwrap(), folder.join("plain (2)"));
    }

    #[test]
    fn only_files_of_a_size_that_can_be_sent_are_taken() {
        let dir = tempfile::tempdir().unwrap();
        assert!(on_disk(dir.path().to_owned()).is_err(), "a folder");
        assert!(on_disk(dir.path().join("nothing")).is_err());
        let path = dir.path().join("large.bin");
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(ATTACHMENT_BYTES_MAX).unwrap();
        assert_eq!(on_disk(path.clone()).unwrap().name, "large.bin");
        file.set_len(ATTACHMENT_BYTES_MAX + 1).unwrap();
        assert!(on_disk(path).is_err(), "a byte more");
    }
}
