//! Pictures of other people, taken apart by a process of its own.
//!
//! Decoding is the one place where the window looks into bytes that a stranger shaped. So a child does
//! it, which may use only so much memory and processor time and can write no file, and which hands
//! back plain pixels; what it says is checked like anything else that comes from outside.

use std::io::{self, Cursor, Read, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use image::codecs::jpeg::JpegEncoder;
use image::metadata::Orientation;
use image::{
    DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage, imageops,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::api::THUMBNAIL_BYTES_MAX;

/// The option of `decent-desktop` that makes a process a decoder.
pub const DECODER_OPTION: &str = "--decode-picture";
/// Longest picture that is decoded, in bytes.
pub const PICTURE_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Longest side of a picture that is decoded, in pixels.
const SIDE_MAX: u32 = 8_192;
/// Most pixels of a picture that is decoded.
const PIXELS_MAX: u64 = 32_000_000;
/// Memory that a decoder may ask for, in bytes.
const ALLOC_MAX: u64 = 192 * 1024 * 1024;
/// Address space of the child, in bytes: the program itself and what decoding takes.
#[cfg(unix)]
const ADDRESS_SPACE_MAX: u64 = 1024 * 1024 * 1024;
/// Processor time of the child, in seconds.
#[cfg(unix)]
const CPU_SECS_MAX: u64 = 10;
/// How long the child may take.
const TIME_MAX: Duration = Duration::from_secs(20);
/// Width and height, big-endian, stand before the pixels.
const HEAD_BYTES: usize = 8;
/// Longest side of a thumbnail, in pixels.
pub const THUMBNAIL_SIDE: u32 = 400;
/// How fine a thumbnail is drawn, tried one after the other until it is short enough: by how much its
/// sides are divided, and the quality of JPEG.
const FINENESS: [(u32, u8); 5] = [(1, 80), (1, 60), (1, 40), (2, 50), (4, 50)];
/// What is behind the clear parts of a picture where a format has none.
const PAPER: u32 = 255;

/// Plain pixels: red, green, blue and alpha of each, row by row.
#[derive(Clone, PartialEq, Eq)]
pub struct Pixels {
    /// In pixels, at least 1.
    pub width: u32,
    /// In pixels, at least 1.
    pub height: u32,
    /// Four bytes a pixel; alpha is not multiplied in.
    pub rgba: Vec<u8>,
}

impl core::fmt::Debug for Pixels {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Pixels({} x {})", self.width, self.height)
    }
}

/// Why a picture is not shown.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// Longer than [`PICTURE_BYTES_MAX`].
    #[error("the picture has {len} bytes, at most {PICTURE_BYTES_MAX} are decoded")]
    TooLong {
        /// Its length.
        len: u64,
    },
    /// No PNG, JPEG, GIF or WebP.
    #[error("this is no PNG, JPEG, GIF or WebP picture")]
    Format,
    /// More pixels than are decoded.
    #[error("{width} x {height} pixels are too many")]
    TooLarge {
        /// In pixels.
        width: u32,
        /// In pixels.
        height: u32,
    },
    /// The bytes are not what they claim to be.
    #[error("cannot decode the picture")]
    Decode(#[from] ImageError),
    /// The decoder ended without pixels, or with others than it told of.
    #[error("the picture cannot be decoded")]
    Child,
    /// The decoder took too long.
    #[error("the picture took too long to decode")]
    Slow,
    /// The decoder cannot be started or spoken to.
    #[error("cannot run the decoder")]
    Io(#[from] io::Error),
}

/// Whether a file of this media type is shown as a picture.
#[must_use]
pub fn is_picture(media_type: &str) -> bool {
    matches!(
        media_type,
        "image/png" | "image/jpeg" | "image/gif" | "image/webp"
    )
}

/// The decoder: takes a picture from standard input, gives pixels to standard output, and is no
/// larger than `side` on either side.
///
/// # Errors
/// When the picture is too large or damaged, or nobody listens.
pub fn decoder(side: u32) -> Result<(), PictureError> {
    confine();
    let mut encoded = Vec::new();
    io::stdin()
        .lock()
        .take(PICTURE_BYTES_MAX + 1)
        .read_to_end(&mut encoded)?;
    let pixels = decode_here(&encoded, side)?;
    let mut out = io::stdout().lock();
    out.write_all(&pixels.width.to_be_bytes())?;
    out.write_all(&pixels.height.to_be_bytes())?;
    out.write_all(&pixels.rgba)?;
    Ok(out.flush()?)
}

/// Takes from this process what a decoder does not need.
fn confine() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, setrlimit};
        for (resource, max) in [
            (Resource::As, ADDRESS_SPACE_MAX),
            (Resource::Cpu, CPU_SECS_MAX),
            (Resource::Fsize, 0),
            (Resource::Nofile, 3),
            (Resource::Core, 0),
        ] {
            let limit = Rlimit {
                current: Some(max),
                maximum: Some(max),
            };
            // Where the system does not know a limit, those inside the decoder hold all the same.
            let _kept = setrlimit(resource, limit);
        }
    }
}

/// Decodes in this process.
fn decode_here(encoded: &[u8], side: u32) -> Result<Pixels, PictureError> {
    let len = u64::try_from(encoded.len()).unwrap_or(u64::MAX);
    if len > PICTURE_BYTES_MAX {
        return Err(PictureError::TooLong { len });
    }
    let mut reader = ImageReader::new(Cursor::new(encoded)).with_guessed_format()?;
    let known = matches!(
        reader.format(),
        Some(ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::Gif | ImageFormat::WebP)
    );
    if !known {
        return Err(PictureError::Format);
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_MAX);
    limits.max_image_height = Some(SIDE_MAX);
    limits.max_alloc = Some(ALLOC_MAX);
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > PIXELS_MAX {
        return Err(PictureError::TooLarge { width, height });
    }
    // Cameras lie on their side and say so.
    let turned = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(turned);
    let side = side.max(1);
    if image.width() > side || image.height() > side {
        image = image.thumbnail(side, side);
    }
    let image = image.into_rgba8();
    Ok(Pixels {
        width: image.width(),
        height: image.height(),
        rgba: image.into_raw(),
    })
}

/// Has a picture decoded by `program`, which is `decent-desktop`. No side of it is longer than `side`.
///
/// # Errors
/// When it is none, is too large, takes too long, or the program cannot be run.
pub async fn decode(program: &Path, encoded: &[u8], side: u32) -> Result<Pixels, PictureError> {
    let len = u64::try_from(encoded.len()).unwrap_or(u64::MAX);
    if len > PICTURE_BYTES_MAX {
        return Err(PictureError::TooLong { len });
    }
    let mut child = tokio::process::Command::new(program)
        .arg(DECODER_OPTION)
        .arg(side.to_string())
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let (Some(mut to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(PictureError::Child);
    };
    let pixels_max = u64::from(side) * u64::from(side) * 4;
    let talk = async {
        // A decoder that has seen enough hangs up before all was said.
        let _heard = to.write_all(encoded).await;
        drop(to);
        let mut said = Vec::new();
        from.take(HEAD_BYTES as u64 + pixels_max + 1)
            .read_to_end(&mut said)
            .await?;
        let ended = child.wait().await?;
        if ended.success() {
            taken(&said, side).ok_or(PictureError::Child)
        } else {
            Err(PictureError::Child)
        }
    };
    match tokio::time::timeout(TIME_MAX, talk).await {
        Ok(said) => said,
        Err(_) => Err(PictureError::Slow),
    }
}

/// Reads what a decoder said.
fn taken(said: &[u8], side: u32) -> Option<Pixels> {
    let (width, rest) = said.split_first_chunk::<4>()?;
    let (height, rgba) = rest.split_first_chunk::<4>()?;
    let (width, height) = (u32::from_be_bytes(*width), u32::from_be_bytes(*height));
    let fits = |len: u32| (1..=side).contains(&len);
    if !fits(width) || !fits(height) {
        return None;
    }
    let len = u64::from(width) * u64::from(height) * 4;
    (rgba.len() as u64 == len).then(|| Pixels {
        width,
        height,
        rgba: rgba.to_vec(),
    })
}

/// Draws a thumbnail of pixels no larger than [`THUMBNAIL_SIDE`]: a JPEG with nothing in it but the
/// picture. `None` when it does not become short enough.
#[must_use]
pub fn thumbnail(pixels: &Pixels) -> Option<Vec<u8>> {
    let on_paper = pixels.rgba.chunks_exact(4).flat_map(|pixel| {
        let [red, green, blue, alpha] = *pixel else {
            return [0; 3];
        };
        let alpha = u32::from(alpha);
        [red, green, blue].map(|c| {
            let mixed = (u32::from(c) * alpha + PAPER * (255 - alpha)) / 255;
            u8::try_from(mixed).unwrap_or(u8::MAX)
        })
    });
    let flat = RgbImage::from_raw(pixels.width, pixels.height, on_paper.collect())?;
    FINENESS.into_iter().find_map(|(by, quality)| {
        let mut out = Vec::new();
        let encoder = JpegEncoder::new_with_quality(&mut out, quality);
        let side = |len: u32| (len / by).max(1);
        let small =
            (by > 1).then(|| imageops::thumbnail(&flat, side(flat.width()), side(flat.height())));
        let drawn = small.as_ref().unwrap_or(&flat);
        drawn.write_with_encoder(encoder).ok()?;
        (out.len() <= THUMBNAIL_BYTES_MAX).then_some(out)
    })
}

/// Writes pixels as a PNG, for a picture that was pasted.
///
/// # Errors
/// When they are not as many as their sides say.
pub fn png(pixels: Pixels) -> Result<Vec<u8>, PictureError> {
    let image = image::RgbaImage::from_raw(pixels.width, pixels.height, pixels.rgba)
        .ok_or(PictureError::Child)?;
    let mut out = Cursor::new(Vec::new());
    image.write_to(&mut out, ImageFormat::Png)?;
    Ok(out.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks(width: u32, height: u32) -> Pixels {
        let pixel = |at: u32| {
            let dark = (at % width / 8 + at / width / 8).is_multiple_of(2);
            if dark {
                [20, 40, 60, 255]
            } else {
                [250, 240, 230, 128]
            }
        };
        Pixels {
            width,
            height,
            rgba: (0..width * height).flat_map(pixel).collect(),
        }
    }

    /// Bytes that nothing makes smaller.
    fn noise(width: u32, height: u32) -> Pixels {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        };
        Pixels {
            width,
            height,
            rgba: (0..width * height * 4).map(|_| next()).collect(),
        }
    }

    #[test]
    fn a_picture_comes_back_as_it_was_or_smaller() {
        let png = png(checks(64, 32)).unwrap();
        assert_eq!(decode_here(&png, 64).unwrap(), checks(64, 32));
        let small = decode_here(&png, 16).unwrap();
        assert_eq!((small.width, small.height), (16, 8));
    }

    #[test]
    fn a_thumbnail_is_short_and_decodes_whatever_the_picture() {
        for pixels in [checks(400, 300), noise(400, 400), checks(1, 1)] {
            let encoded = thumbnail(&pixels).unwrap();
            assert!(encoded.len() <= THUMBNAIL_BYTES_MAX, "{}", encoded.len());
            let back = decode_here(&encoded, 400).unwrap();
            let by = pixels.width / back.width;
            assert!(by <= 4, "{back:?} of {pixels:?}");
            assert_eq!(
                (back.width * by, back.height * by),
                (pixels.width, pixels.height)
            );
        }
    }

    #[test]
    fn what_is_no_picture_or_too_large_is_refused() {
        for bytes in [
            &b""[..],
            b"hello",
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            b"BM\0\0",
        ] {
            let refused = decode_here(bytes, 10);
            assert!(matches!(refused, Err(PictureError::Format)), "{refused:?}");
        }
        // A head that claims more than there may be: the IHDR of a PNG, with its checksum made right.
        let mut claims = png(checks(8, 8)).unwrap();
        claims[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
        let sum = crc(&claims[12..29]);
        claims[29..33].copy_from_slice(&sum.to_be_bytes());
        let refused = decode_here(&claims, 10);
        assert!(
            matches!(refused, Err(PictureError::Decode(_))),
            "{refused:?}"
        );
        let whole = png(checks(64, 64)).unwrap();
        for len in 1..whole.len() - 1 {
            // Ends somewhere: an error, never a panic.
            let _cut = decode_here(&whole[..len], 10);
        }
    }

    /// CRC-32 as PNG has it (ISO/IEC 15948, annex D).
    fn crc(bytes: &[u8]) -> u32 {
        let mut crc = u32::MAX;
        for byte in bytes {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = (crc >> 1) ^ (0xedb8_8320 & 0_u32.wrapping_sub(crc & 1));
            }
        }
        !crc
    }

    #[test]
    fn a_decoder_that_lies_is_not_believed() {
        let said = |width: u32, height: u32, pixels: usize| {
            let head = [width.to_be_bytes(), height.to_be_bytes()].concat();
            [head, vec![0; pixels]].concat()
        };
        assert!(taken(&said(2, 2, 16), 2).is_some());
        for lie in [
            said(2, 2, 15),
            said(2, 2, 17),
            said(0, 2, 0),
            said(3, 1, 12),
            said(u32::MAX, u32::MAX, 4),
            vec![0; 7],
        ] {
            assert_eq!(taken(&lie, 2), None);
        }
    }
}
