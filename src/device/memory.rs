//! Host memory for operands: aligned, zeroed, on huge pages where the system grants them, and counted.

use std::alloc::{GlobalAlloc, Layout, System, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::units::Bytes;

/// Alignment of small blocks: a cache line and a zmm register.
const LINE: usize = 64;
/// Alignment of blocks of at least this size: a huge page.
const HUGE: usize = 2 << 20;

/// A block of bytes aligned to 64 (2 MiB for blocks of at least that size), zero at first, every page touched.
#[derive(Debug)]
pub struct AlignedBytes {
    start: NonNull<u8>,
    layout: Layout,
    len: usize,
}

// SAFETY: the block is owned exclusively, like a `Box<[u8]>`.
unsafe impl Send for AlignedBytes {}
// SAFETY: shared access is only through `&[u8]`.
unsafe impl Sync for AlignedBytes {}

impl AlignedBytes {
    /// `len` zero bytes. First touch of pages is slow, so it happens here, never inside a clock.
    pub fn zeroed(len: usize) -> Self {
        let align = if len >= HUGE { HUGE } else { LINE };
        let layout = Layout::from_size_align(len.max(1), align)
            .expect("a tensor's size fits the address space");
        // SAFETY: the layout's size is at least 1.
        let start = unsafe { alloc_zeroed(layout) };
        let Some(start) = NonNull::new(start) else { handle_alloc_error(layout) };
        let mut block = AlignedBytes { start, layout, len };
        block.touch();
        block
    }

    /// Asks for huge pages and makes every page present.
    fn touch(&mut self) {
        #[cfg(target_os = "linux")]
        if self.len >= HUGE {
            // SAFETY: the range is this block's own memory, and the advice changes no contents.
            unsafe { libc::madvise(self.start.as_ptr().cast(), self.len, libc::MADV_HUGEPAGE) };
        }
        for page in self.iter_mut().step_by(4096) {
            // SAFETY: `page` is a valid exclusive reference; the volatile write keeps the touch from being removed.
            unsafe { std::ptr::write_volatile(page, 0) };
        }
    }
}

impl Drop for AlignedBytes {
    fn drop(&mut self) {
        // SAFETY: allocated in `zeroed` with this very layout.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}

impl Clone for AlignedBytes {
    fn clone(&self) -> Self {
        let mut copy = AlignedBytes::zeroed(self.len);
        copy.copy_from_slice(self);
        copy
    }
}

impl Deref for AlignedBytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: `len` bytes from `start` are allocated, initialized and owned.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for AlignedBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

static LIVE: AtomicU64 = AtomicU64::new(0);
static PEAK: AtomicU64 = AtomicU64::new(0);
static CALLS: AtomicU64 = AtomicU64::new(0);

/// The system's allocator with exact counts of live bytes, their peak, and calls.
///
/// The binary installs it, so that a worker can report the bytes that a kernel allocated, and notice one that allocates
/// inside the clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct CountingAllocator;

// SAFETY: every call is handed on to `System` unchanged; counting touches only atomics.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's obligations are `System`'s.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's obligations are `System`'s.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as u64, Relaxed);
        // SAFETY: the caller's obligations are `System`'s.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        LIVE.fetch_sub(layout.size() as u64, Relaxed);
        count(new_size);
        // SAFETY: the caller's obligations are `System`'s.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

fn count(bytes: usize) {
    CALLS.fetch_add(1, Relaxed);
    let live = LIVE.fetch_add(bytes as u64, Relaxed) + bytes as u64;
    PEAK.fetch_max(live, Relaxed);
}

/// A reading of the allocator's counters; all zero where [`CountingAllocator`] is not installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AllocatorReading {
    /// Bytes allocated and not yet freed.
    pub live: Bytes,
    /// The most that was live since the last [`AllocatorReading::reset_peak`].
    pub peak: Bytes,
    /// Calls that allocated.
    pub calls: u64,
}

impl AllocatorReading {
    /// The counters now.
    pub fn now() -> Self {
        AllocatorReading {
            live: Bytes(LIVE.load(Relaxed)),
            peak: Bytes(PEAK.load(Relaxed)),
            calls: CALLS.load(Relaxed),
        }
    }

    /// Starts a new peak from what is live now.
    pub fn reset_peak() {
        PEAK.store(LIVE.load(Relaxed), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_zero_and_aligned_at_every_size() {
        for len in [0, 1, 63, 64, 4097, HUGE - 1, HUGE, HUGE + 1] {
            let block = AlignedBytes::zeroed(len);
            assert_eq!(block.len(), len);
            assert!(block.iter().all(|&b| b == 0));
            assert_eq!(block.as_ptr() as usize % if len >= HUGE { HUGE } else { LINE }, 0);
        }
    }

    #[test]
    fn a_clone_is_a_copy() {
        let mut a = AlignedBytes::zeroed(100);
        a[7] = 9;
        let b = a.clone();
        a[7] = 1;
        assert_eq!(b[7], 9);
    }
}
