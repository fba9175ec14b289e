//! Pictures that are on the screen or were lately: what is known of each, and what to ask for.

use std::collections::BTreeMap;

use egui::{ColorImage, Context, TextureHandle, TextureOptions};

use crate::api::BlobId;
use crate::worker::Detail;

/// Pictures kept as textures; each has at most 2.5 MB.
const KEPT_MAX: usize = 32;
/// Pictures of which anything is known.
const KNOWN_MAX: usize = 1_024;
/// After how long a picture that did not come is asked for again, in seconds, and doubled each time.
const AGAIN_SECS: f64 = 5.0;
/// The longest such time, in seconds.
const AGAIN_SECS_MAX: f64 = 300.0;

/// What is known of the pictures.
#[derive(Default)]
pub(crate) struct Pictures {
    known: BTreeMap<BlobId, Known>,
    /// The one that fills the window.
    large: Option<(BlobId, TextureHandle)>,
    /// Files that are fetched: hundredths that have come.
    fetching: BTreeMap<BlobId, u64>,
    /// Counts looks, to tell which was looked at last.
    looks: u64,
}

impl core::fmt::Debug for Pictures {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Pictures").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Known {
    texture: Option<TextureHandle>,
    /// How fine the texture is.
    detail: Option<Detail>,
    /// What was asked for and has not come.
    asked: Option<Detail>,
    /// Why it did not come, and when to ask again, in seconds of the window's clock.
    trouble: Option<(String, f64)>,
    tries: u32,
    looked_at: u64,
}

/// What there is to draw of a picture.
pub(crate) enum Shown {
    /// It, or a thumbnail of it.
    Texture(TextureHandle),
    /// Nothing yet.
    Coming,
    /// Nothing, and in words why.
    Trouble(String),
}

impl Pictures {
    /// Returns what there is of a picture; `wanted` says how fine it is to be. Asks for what is missing.
    pub(crate) fn look(
        &mut self,
        ctx: &Context,
        id: BlobId,
        wanted: Detail,
        ask: impl FnOnce(Detail),
    ) -> Shown {
        self.looks += 1;
        let looks = self.looks;
        let now = ctx.input(|i| i.time);
        let known = self.known.entry(id).or_default();
        known.looked_at = looks;
        let next = match known.detail {
            // What its sender drew comes first: it is small, and mostly here in no time.
            None if known.tries == 0 => Some(Detail::Thumbnail),
            None => Some(wanted),
            Some(detail) if detail < wanted => Some(wanted),
            Some(_) => None,
        };
        if let Some(next) = next
            && known.asked.is_none()
        {
            let due = known.trouble.as_ref().is_none_or(|(_, at)| now >= *at);
            if due {
                known.asked = Some(next);
                ask(next);
            } else if let Some((_, at)) = &known.trouble {
                let left = std::time::Duration::try_from_secs_f64(at - now);
                ctx.request_repaint_after(left.unwrap_or_default());
            }
        }
        match (&known.texture, &known.trouble) {
            (Some(texture), _) => Shown::Texture(texture.clone()),
            (None, Some((words, _))) if !words.is_empty() => Shown::Trouble(words.clone()),
            (None, _) => Shown::Coming,
        }
    }

    /// Takes what came of a picture.
    pub(crate) fn take(
        &mut self,
        ctx: &Context,
        id: BlobId,
        detail: Detail,
        shown: Result<ColorImage, String>,
    ) {
        let now = ctx.input(|i| i.time);
        if detail == Detail::Large {
            if let Ok(image) = shown {
                let texture = ctx.load_texture(id.to_string(), image, TextureOptions::LINEAR);
                self.large = Some((id, texture));
            }
            return;
        }
        let known = self.known.entry(id).or_default();
        known.asked = None;
        match shown {
            Ok(image) => {
                let texture = ctx.load_texture(id.to_string(), image, TextureOptions::LINEAR);
                known.texture = Some(texture);
                known.detail = Some(detail);
                known.trouble = None;
                known.tries = 0;
            }
            // Its sender drew none: the picture itself is asked for next.
            Err(words) if words.is_empty() => {
                known.tries = known.tries.max(1);
                known.trouble = None;
            }
            Err(words) => {
                let wait = AGAIN_SECS * f64::from(1_u32 << known.tries.min(10));
                known.trouble = Some((words, now + wait.min(AGAIN_SECS_MAX)));
                known.tries = known.tries.saturating_add(1);
            }
        }
        self.forget();
    }

    /// Asks again at once for what did not come.
    pub(crate) fn again(&mut self, id: BlobId) {
        if let Some(known) = self.known.get_mut(&id) {
            known.trouble = None;
        }
    }

    /// Returns the picture that fills the window.
    pub(crate) fn large(&self, id: BlobId) -> Option<&TextureHandle> {
        let large = self.large.as_ref().filter(|(of, _)| *of == id);
        large.map(|(_, texture)| texture)
    }

    /// Lets go of the picture that filled the window.
    pub(crate) fn close(&mut self) {
        self.large = None;
    }

    /// Notes how much of a file has come.
    pub(crate) fn fetching(&mut self, id: BlobId, percent: Option<u64>) {
        match percent {
            Some(percent) => self.fetching.insert(id, percent),
            None => self.fetching.remove(&id),
        };
    }

    /// Returns how many hundredths of a file have come, while it is fetched.
    pub(crate) fn percent(&self, id: BlobId) -> Option<u64> {
        self.fetching.get(&id).copied()
    }

    /// Lets go of what was not looked at for longest.
    fn forget(&mut self) {
        let textures = self.known.iter().filter(|(_, k)| k.texture.is_some());
        let mut kept: Vec<(u64, BlobId)> = textures.map(|(id, k)| (k.looked_at, *id)).collect();
        kept.sort_unstable();
        let over = kept.len().saturating_sub(KEPT_MAX);
        for (_, id) in kept.iter().take(over) {
            self.known.remove(id);
        }
        while self.known.len() > KNOWN_MAX {
            let oldest = self.known.iter().min_by_key(|(_, known)| known.looked_at);
            let Some(id) = oldest.map(|(id, _)| *id) else {
                return;
            };
            self.known.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u64) -> BlobId {
        BlobId::of_sealed(&n.to_be_bytes())
    }

    fn dot() -> ColorImage {
        ColorImage::filled([1, 1], egui::Color32::RED)
    }

    fn asked(pictures: &mut Pictures, ctx: &Context, id: BlobId) -> Option<Detail> {
        let mut asked = None;
        pictures.look(ctx, id, Detail::Inline, |detail| asked = Some(detail));
        asked
    }

    #[test]
    fn the_thumbnail_comes_first_and_nothing_is_asked_for_twice() {
        let (ctx, mut pictures) = (Context::default(), Pictures::default());
        assert_eq!(asked(&mut pictures, &ctx, id(1)), Some(Detail::Thumbnail));
        assert_eq!(asked(&mut pictures, &ctx, id(1)), None);
        pictures.take(&ctx, id(1), Detail::Thumbnail, Ok(dot()));
        assert_eq!(asked(&mut pictures, &ctx, id(1)), Some(Detail::Inline));
        pictures.take(&ctx, id(1), Detail::Inline, Ok(dot()));
        assert_eq!(asked(&mut pictures, &ctx, id(1)), None);
    }

    #[test]
    fn without_a_thumbnail_the_picture_itself_is_asked_for() {
        let (ctx, mut pictures) = (Context::default(), Pictures::default());
        asked(&mut pictures, &ctx, id(1));
        pictures.take(&ctx, id(1), Detail::Thumbnail, Err(String::new()));
        assert_eq!(asked(&mut pictures, &ctx, id(1)), Some(Detail::Inline));
    }

    #[test]
    fn what_did_not_come_is_told_and_asked_for_again_later_or_by_hand() {
        let (ctx, mut pictures) = (Context::default(), Pictures::default());
        asked(&mut pictures, &ctx, id(1));
        let gone = Err("nobody has it".to_owned());
        pictures.take(&ctx, id(1), Detail::Thumbnail, gone);
        let shown = pictures.look(&ctx, id(1), Detail::Inline, |_| panic!("too soon"));
        assert!(matches!(shown, Shown::Trouble(words) if words == "nobody has it"));
        pictures.again(id(1));
        assert_eq!(asked(&mut pictures, &ctx, id(1)), Some(Detail::Inline));
    }

    #[test]
    fn only_so_many_are_kept_and_those_are_the_last_ones() {
        let (ctx, mut pictures) = (Context::default(), Pictures::default());
        for n in 0..2 * KEPT_MAX as u64 {
            asked(&mut pictures, &ctx, id(n));
            pictures.take(&ctx, id(n), Detail::Inline, Ok(dot()));
        }
        assert_eq!(pictures.known.len(), KEPT_MAX);
        assert!(pictures.known.contains_key(&id(2 * KEPT_MAX as u64 - 1)));
        assert!(!pictures.known.contains_key(&id(0)));
    }
}
