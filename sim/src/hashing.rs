//! Hash maps that iterate in the same order in every run.
//!
//! We have none that are iterated, but OpenMLS does: it takes the members that a commit removes
//! out of one, so a commit with two removals has two possible encodings. The standard library
//! seeds them once a thread, with 16 bytes that it asks `getrandom` for and that nothing in Rust
//! can set. So this program answers that call itself, and each world gets a thread of its own.
//!
//! # Invariants
//! - Only what asks for exactly the length of those seeds, on the thread of a world, gets fixed
//!   bytes: any other draw goes to the system, and shows as a run that cannot be repeated.
//! - Linux only. Elsewhere the standard library asks something else, and such worlds may differ.

use std::panic::resume_unwind;
use std::thread;

/// Runs something on a fresh thread, on which hash maps iterate in the same order in every run.
pub(crate) fn in_fixed_order<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    let ran = thread::scope(|scope| {
        let world = scope.spawn(|| {
            #[cfg(target_os = "linux")]
            linux::FIXED.set(true);
            run()
        });
        world.join()
    });
    ran.unwrap_or_else(|panic| resume_unwind(panic))
}

#[cfg(target_os = "linux")]
mod linux {
    use std::cell::Cell;
    use std::fs::File;
    use std::io::Read as _;
    use std::{ptr, slice};

    /// What the standard library asks for: two keys of 64 bits.
    const SEEDS_BYTES: usize = 16;
    /// They are as good as any: nobody attacks a world by its hash maps.
    const SEED_BYTE: u8 = 0x5d;

    thread_local! {
        pub(super) static FIXED: Cell<bool> = const { Cell::new(false) };
    }

    /// Stands in for that of the C library in everything that is linked here.
    #[expect(
        unsafe_code,
        reason = "a function of the C library has its name and its raw pointers"
    )]
    #[unsafe(no_mangle)]
    extern "C" fn getrandom(out: *mut u8, len: usize, _flags: u32) -> isize {
        if out.is_null() {
            // Some ask for nothing, to see whether the call exists.
            return if len == 0 { 0 } else { -1 };
        }
        // SAFETY: the caller gives `len` bytes to write to, and nobody else uses them meanwhile.
        let out = unsafe {
            ptr::write_bytes(out, SEED_BYTE, len);
            slice::from_raw_parts_mut(out, len)
        };
        let drawn = if len == SEEDS_BYTES && FIXED.get() {
            Ok(())
        } else {
            File::open("/dev/urandom").and_then(|mut system| system.read_exact(out))
        };
        // Callers stop at a failure, or read the same file themselves.
        drawn.map_or(-1, |()| len.cast_signed())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    #[expect(
        clippy::disallowed_types,
        clippy::iter_over_hash_type,
        reason = "their order is what is tested"
    )]
    fn a_hash_map_has_one_order_in_every_world() {
        let order = || {
            let mut order = Vec::new();
            for n in (0..64_u32).collect::<std::collections::HashSet<_>>() {
                order.push(n);
            }
            order
        };
        let (one, other) = (in_fixed_order(order), in_fixed_order(order));
        assert_eq!(one, other);
        // Two outside a world differ: were it not so, this would test nothing.
        assert_ne!(order(), order());
    }
}
