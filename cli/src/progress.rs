//! Progress bars for long work, on a terminal that is looked at.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar, or nothing.
#[derive(Debug)]
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// A bar of bytes; hidden unless `shown` and standard error is a terminal.
    pub(crate) fn bytes(what: &str, shown: bool) -> Self {
        let bar = visible(shown);
        let style = "{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        bar.set_message(what.to_owned());
        Self(bar)
    }

    /// A bar of ops; hidden like that of bytes.
    pub(crate) fn ops(what: &str, shown: bool) -> Self {
        let bar = visible(shown);
        let style = "{msg} {bar:30} {human_pos}/{human_len} {per_sec}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        bar.set_message(what.to_owned());
        Self(bar)
    }

    /// Something that turns while nobody knows how long it takes.
    pub(crate) fn spinner(what: &str, shown: bool) -> Self {
        let bar = visible(shown);
        bar.set_message(what.to_owned());
        if !bar.is_hidden() {
            bar.enable_steady_tick(Duration::from_millis(120));
        }
        Self(bar)
    }

    /// Shows how far it is.
    pub(crate) fn at(&self, done: u64, total: u64) {
        self.0.set_length(total);
        self.0.set_position(done);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn visible(shown: bool) -> ProgressBar {
    if shown && std::io::stderr().is_terminal() {
        ProgressBar::new_spinner()
    } else {
        ProgressBar::hidden()
    }
}
