//! An allocator that counts what this thread holds.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static NOW: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

#[expect(
    unsafe_code,
    reason = "an allocator cannot be written without; every call goes on to the system's as it came"
)]
// SAFETY: counting touches nothing of what the system's allocator gives.
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

/// What bytes of anybody may take beside twice their length, before their signature is looked at.
const ROOM_BYTES: usize = 64 * 1024;

/// Reads these bytes, and returns what was read with whether it took more memory at once than twice the
/// bytes and 64 KiB.
pub fn bounded<T>(bytes: &[u8], read: impl FnOnce(&[u8]) -> T) -> (T, bool) {
    let before = NOW.with(Cell::get);
    PEAK.with(|peak| peak.set(before));
    let result = read(bytes);
    let took = PEAK.with(Cell::get).saturating_sub(before);
    (result, took <= bytes.len() * 2 + ROOM_BYTES)
}

#[test]
fn memory_is_counted() {
    let (kept, fits) = bounded(&[], |_| vec![0_u8; ROOM_BYTES]);
    assert!(fits && kept.len() == ROOM_BYTES);
    let (_, fits) = bounded(&[], |_| vec![0_u8; ROOM_BYTES + 1]);
    assert!(!fits);
    let (_, fits) = bounded(&[0; 8], |_| drop(vec![0_u8; ROOM_BYTES + 17]));
    assert!(!fits, "what is freed again counts while it is there");
}
