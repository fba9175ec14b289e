//! What a frame costs in a channel of mixed heights, scrolled, without a screen: `cargo bench -p app-egui`.
//!
//! Prints the CPU time of a frame at three sizes: layout, tessellation left out as in a hidden window,
//! and that of the first frame after a channel switch. Whether that is good enough stands in
//! `docs/desktop.md`.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a bench reads the clock, and one that cannot go on should stop"
)]

use std::time::Instant;

use app_egui::bench::Room;

/// Frames that are measured.
const FRAMES: usize = 600;

fn main() {
    println!("posts      first frame    median       p99        worst");
    for posts in [1_000, 100_000, 1_000_000] {
        let mut room = Room::of(posts);
        let began = Instant::now();
        room.frame(0.0);
        let first = began.elapsed();
        let mut frames = Vec::with_capacity(FRAMES);
        for at in 0..FRAMES {
            // Up by a screen, now and then a long way.
            let wheel = if at % 50 == 0 { 40_000.0 } else { 320.0 };
            let began = Instant::now();
            room.frame(wheel);
            frames.push(began.elapsed());
        }
        frames.sort_unstable();
        let of = |part: usize| frames.get(FRAMES * part / 100).unwrap();
        println!(
            "{posts:>9}  {first:>10.2?}  {:>10.2?}  {:>10.2?}  {:>10.2?}",
            of(50),
            of(99),
            frames.last().unwrap()
        );
    }
}
