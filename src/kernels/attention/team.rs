//! How heads, blocks and threads share the work, and the memory that they share.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::device::Pool;
use crate::device::memory::AlignedBytes;

/// The threads that work on one head together.
pub enum Team<'a> {
    /// All threads of the pool, one head after the other.
    All(&'a Pool),
    /// This thread alone; the others have heads of their own.
    One(usize),
}

impl Team<'_> {
    /// Runs `f(thread, item)` for `0..items`, handed out one by one in order, and waits for all.
    pub fn each(&self, items: usize, f: impl Fn(usize, usize) + Sync) {
        match self {
            Team::One(thread) => (0..items).for_each(|item| f(*thread, item)),
            Team::All(pool) => deal(pool, items, f),
        }
    }

    /// The place of this team's own memory: teams that exist at the same time have different ones.
    pub fn slot(&self) -> usize {
        match self {
            Team::One(thread) => *thread,
            Team::All(_) => 0,
        }
    }

    /// The threads that take part.
    pub fn threads(&self) -> std::ops::Range<usize> {
        match self {
            Team::One(thread) => *thread..thread + 1,
            Team::All(pool) => 0..pool.threads(),
        }
    }
}

/// Hands items to the threads of a pool, one by one in order.
pub fn deal(pool: &Pool, items: usize, f: impl Fn(usize, usize) + Sync) {
    let next = AtomicUsize::new(0);
    pool.run(|thread| {
        loop {
            let item = next.fetch_add(1, Relaxed);
            if item >= items {
                break;
            }
            f(thread, item);
        }
    });
}

/// Teams that exist at the same time for `heads` equal heads: one a thread where that balances, else one of all.
pub fn teams(heads: usize, threads: usize) -> usize {
    if heads.is_multiple_of(threads) || heads >= 8 * threads { threads } else { 1 }
}

/// Runs `f(team, head)` for every head.
pub fn over_heads(pool: &Pool, heads: usize, f: impl Fn(&Team<'_>, usize) + Sync) {
    match teams(heads, pool.threads()) {
        1 if pool.threads() > 1 => (0..heads).for_each(|head| f(&Team::All(pool), head)),
        _ => deal(pool, heads, |thread, head| f(&Team::One(thread), head)),
    }
}

/// A pointer that threads share; whoever dereferences it says why nobody else does.
pub struct Shared<T>(*mut T);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Shared<T> {}

// SAFETY: the pointer itself is plain data; every access through it is an unsafe block that argues for itself.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// The start of a slice that stays borrowed as long as its owner sees to it.
    pub fn new(slice: &mut [T]) -> Self {
        Shared(slice.as_mut_ptr())
    }

    /// The slice from element `index` on.
    ///
    /// # Safety
    /// The slice has at least `index` elements.
    #[inline(always)]
    pub unsafe fn offset(self, index: usize) -> Self {
        // SAFETY: the caller vouches for the index.
        Shared(unsafe { self.0.add(index) })
    }

    /// The address of element `index`.
    ///
    /// # Safety
    /// The slice has at least `index` elements.
    #[inline(always)]
    pub unsafe fn at(self, index: usize) -> *mut T {
        // SAFETY: the caller vouches for the index.
        unsafe { self.0.add(index) }
    }

    /// A part of the slice.
    ///
    /// # Safety
    /// The part is inside the slice, and nobody else uses it while the result lives.
    #[inline(always)]
    pub unsafe fn slice<'a>(self, start: usize, len: usize) -> &'a mut [T] {
        // SAFETY: the caller vouches for both.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(start), len) }
    }
}

/// Equal parts of f32 workspace, allocated once and zero at first.
pub struct Workspace {
    bytes: AlignedBytes,
    part: usize,
}

impl Workspace {
    /// `parts` parts of at least `len` f32, each on cache lines of its own.
    pub fn new(parts: usize, len: usize) -> Self {
        // An odd number of lines apart, so that the parts of two threads do not meet in the same cache sets.
        let part = (len.div_ceil(16) | 1) * 16;
        Workspace { bytes: AlignedBytes::zeroed(parts * part * 4), part }
    }

    /// The start of each part.
    pub fn parts(&mut self) -> impl Fn(usize) -> Shared<f32> + Sync + Copy + use<> {
        let floats: &mut [f32] = bytemuck::cast_slice_mut(&mut self.bytes);
        let (base, part, len) = (Shared::new(floats), self.part, floats.len());
        move |index| {
            assert!((index + 1) * part <= len, "part {index} of a workspace is out of range");
            // SAFETY: in range, as just checked.
            Shared(unsafe { base.at(index * part) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn every_head_and_item_is_done_once_by_either_kind_of_team() {
        for (heads, threads) in [(1, 1), (1, 3), (4, 2), (5, 2), (17, 2), (3, 3)] {
            let pool = Pool::new(threads);
            let done = Mutex::new(vec![0; heads * 7]);
            over_heads(&pool, heads, |team, head| {
                assert!(team.slot() < teams(heads, threads));
                team.each(7, |thread, item| {
                    assert!(team.threads().contains(&thread));
                    done.lock().unwrap()[head * 7 + item] += 1;
                });
            });
            assert!(done.into_inner().unwrap().iter().all(|&n| n == 1));
        }
    }
}
