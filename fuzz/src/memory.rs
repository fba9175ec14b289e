//! An allocator that counts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static NOW: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator as it came; counting touches nothing of it.
#[allow(unsafe_code, reason = "an allocator cannot be written without")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(0, layout.size());
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        unsafe { System.realloc(at, layout, size) }
    }
}

fn count(more: usize, less: usize) {
    // A thread that ends counts no more.
    let _ = NOW.try_with(|now| {
        now.set(now.get().saturating_add(more));
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(now.get())));
        now.set(now.get().saturating_sub(less));
    });
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// What bytes of anybody may cost in memory before their signature is looked at, beside twice their
/// length.
const ROOM_BYTES: usize = 64 * 1024;

/// Runs something that reads these bytes.
///
/// # Panics
/// When it took more memory at once than twice the bytes and 64 KiB.
pub fn bounded<T>(bytes: &[u8], read: impl FnOnce(&[u8]) -> T) -> T {
    let before = NOW.with(Cell::get);
    PEAK.with(|peak| peak.set(before));
    let result = read(bytes);
    let took = PEAK.with(Cell::get).saturating_sub(before);
    let most = bytes.len() * 2 + ROOM_BYTES;
    assert!(took <= most, "{} bytes took {took} of memory", bytes.len());
    result
}
