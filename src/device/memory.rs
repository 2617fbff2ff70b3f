//! Host memory for operands: aligned, zeroed, on huge pages where the system grants them, and counted.

use std::alloc::{GlobalAlloc, Layout, System, alloc, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::units::Bytes;

/// Alignment of small blocks: a cache line and a zmm register.
const LINE: usize = 64;
/// Alignment of blocks of at least this size: a page. Where streams begin within a page decides whether the loads of one wait for
/// the stores of another (their addresses are compared by the low 12 bits): left to the allocator, an update of a few thousand
/// parameters ran at another level in every process, up to twice as slow.
const PAGE: usize = 4096;
/// Alignment of blocks of at least this size: a huge page.
const HUGE: usize = 2 << 20;

/// A block of bytes aligned to 64, to 4 KiB and to 2 MiB (blocks of at least that size each), zero at first, every page touched.
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
        if let Some(mut block) = idle::take(len) {
            block.len = len;
            count(len);
            block.fill(0);
            return block;
        }
        let align = alignment(len);
        let layout = Layout::from_size_align(len.max(1), align)
            .expect("a tensor's size fits the address space");
        // SAFETY: the layout's size is at least 1.
        let start = unsafe { alloc(layout) };
        let Some(start) = NonNull::new(start) else { handle_alloc_error(layout) };
        advise_huge_pages(start.as_ptr(), len);
        // SAFETY: the block has at least `len` bytes. Zeroing makes every page present, after the advice on its size.
        unsafe { start.as_ptr().write_bytes(0, len) };
        AlignedBytes { start, layout, len }
    }
}

/// What a block of `len` bytes is aligned to.
fn alignment(len: usize) -> usize {
    match len {
        HUGE.. => HUGE,
        PAGE.. => PAGE,
        _ => LINE,
    }
}

impl Drop for AlignedBytes {
    fn drop(&mut self) {
        if idle::keeps(self) {
            LIVE.fetch_sub(self.len as u64, Relaxed);
            let (start, layout) = (self.start, self.layout);
            return idle::put(AlignedBytes { start, layout, len: 0 });
        }
        // A block that was taken over for fewer bytes was counted as those; the allocator will subtract all of it.
        LIVE.fetch_add((self.layout.size() - self.len.max(1)) as u64, Relaxed);
        // SAFETY: allocated in `zeroed` with this very layout.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}

/// Large blocks that are kept when they are dropped, for the next that fits.
///
/// The first touch of memory is slow, on a virtual machine whose host takes free pages back down to 0.4 GB/s: a process that
/// prepares one kernel after another would spend most of its time there. Off until [`keep_large_blocks`].
mod idle {
    use super::{AlignedBytes, HUGE};
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    /// The most that is kept; 0: nothing.
    pub static LIMIT: AtomicUsize = AtomicUsize::new(0);
    pub static BYTES: AtomicUsize = AtomicUsize::new(0);
    static BLOCKS: Mutex<Vec<AlignedBytes>> = Mutex::new(Vec::new());

    pub fn keeps(block: &AlignedBytes) -> bool {
        let size = block.layout.size();
        size >= HUGE
            && BYTES.load(Relaxed) + size <= LIMIT.load(Relaxed)
            && !std::thread::panicking()
    }

    pub fn put(block: AlignedBytes) {
        BYTES.fetch_add(block.layout.size(), Relaxed);
        BLOCKS.lock().unwrap_or_else(|e| e.into_inner()).push(block);
    }

    /// The smallest block that holds `len` bytes and is not more than half as large again.
    pub fn take(len: usize) -> Option<AlignedBytes> {
        if len < HUGE || LIMIT.load(Relaxed) == 0 {
            return None;
        }
        let mut blocks = BLOCKS.lock().unwrap_or_else(|e| e.into_inner());
        let fits = |size: usize| size >= len && size <= len + len / 2;
        let sizes =
            blocks.iter().map(|b| b.layout.size()).enumerate().filter(|&(_, size)| fits(size));
        let (index, size) = sizes.min_by_key(|&(_, size)| size)?;
        BYTES.fetch_sub(size, Relaxed);
        Some(blocks.swap_remove(index))
    }
}

/// From now on, blocks of at least 2 MiB are kept for the next that fits when they are dropped: up to a 32nd of `available`
/// memory in all, for a run has a dozen processes that keep some, beside what one of them needs.
pub fn keep_large_blocks(available: Bytes) {
    idle::LIMIT.store((available.0 / 32) as usize, Relaxed);
}

/// Bytes of blocks that are kept and not in use: resident, but nobody's.
pub fn idle_bytes() -> Bytes {
    Bytes(idle::BYTES.load(Relaxed) as u64)
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

/// Asks for huge pages on the whole huge pages within a block: their first touch is seven times as fast, and a stream through
/// them misses the TLB less.
fn advise_huge_pages(start: *mut u8, len: usize) {
    #[cfg(target_os = "linux")]
    {
        let first = (start as usize).next_multiple_of(HUGE);
        let end = (start as usize + len) / HUGE * HUGE;
        if first < end {
            // SAFETY: the range lies within the block, and the advice changes no contents.
            unsafe { libc::madvise(first as *mut libc::c_void, end - first, libc::MADV_HUGEPAGE) };
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (start, len);
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
        large(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's obligations are `System`'s.
        large(unsafe { System.alloc_zeroed(layout) }, layout.size())
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
        large(unsafe { System.realloc(ptr, layout, new_size) }, new_size)
    }
}

/// Blocks of several huge pages are worth the advice, whoever asks for them.
fn large(block: *mut u8, size: usize) -> *mut u8 {
    if size >= 4 * HUGE && !block.is_null() {
        advise_huge_pages(block, size);
    }
    block
}

fn count(bytes: usize) {
    CALLS.fetch_add(1, Relaxed);
    // Wrapping: where the allocator is not installed, blocks that come and go leave the count below zero.
    let live = LIVE.fetch_add(bytes as u64, Relaxed).wrapping_add(bytes as u64);
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
        for len in [0, 1, 63, 64, PAGE - 1, PAGE, PAGE + 1, HUGE - 1, HUGE, HUGE + 1] {
            let block = AlignedBytes::zeroed(len);
            assert_eq!(block.len(), len);
            assert!(block.iter().all(|&b| b == 0));
            assert_eq!(block.as_ptr() as usize % alignment(len), 0);
        }
    }

    #[test]
    fn a_kept_block_comes_back_zeroed_and_of_the_right_length() {
        keep_large_blocks(Bytes(1 << 30));
        for _ in 0..3 {
            let mut block = AlignedBytes::zeroed(5 * HUGE);
            assert!(block.iter().all(|&b| b == 0));
            block.fill(7);
            drop(block);
            let smaller = AlignedBytes::zeroed(4 * HUGE + 3);
            assert_eq!(smaller.len(), 4 * HUGE + 3);
            assert!(smaller.iter().all(|&b| b == 0));
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
