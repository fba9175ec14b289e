//! QR codes out of half-block letters.

use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;

/// Returns `text` as a QR code, dark on light so that cameras read it on dark terminals too;
/// `None` when it is too long for one.
pub(crate) fn draw(text: &str) -> Option<String> {
    let code = QrCode::new(text).ok()?;
    Some(
        code.render::<Dense1x2>()
            .dark_color(Dense1x2::Light)
            .light_color(Dense1x2::Dark)
            .build(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_fits_and_a_book_does_not() {
        let link = format!("decent://join/{}", "a".repeat(400));
        let code = draw(&link).unwrap();
        assert!(code.lines().count() > 20);
        assert!(draw(&"a".repeat(10_000)).is_none());
    }
}
