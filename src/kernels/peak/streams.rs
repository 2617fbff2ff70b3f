//! Memory traffic by access pattern: one loop a pattern, in vectors of any width.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::device::{Isa, Pool};
use crate::kernels::optimizer::lanes::{Lanes, Portable, Wide};
use crate::kernels::{Args, Body};
use crate::ops::ProbeKind;
use crate::ops::peak::{PATTERN, SCALAR};

/// Elements that stay together when threads share: a page.
const GRAIN: usize = 1024;
/// Lanes of the widest vector.
const WIDEST: usize = 16;

/// The addresses of the streams, at one thread's share: read-only ones and those written, in the op's order; unused ones
/// dangle.
#[derive(Clone, Copy)]
struct Streams {
    read: [*const f32; 2],
    written: [*mut f32; 3],
}

// SAFETY: threads read and write disjoint shares of what the addresses stand for (see `build`).
unsafe impl Send for Streams {}
// SAFETY: as for `Send`.
unsafe impl Sync for Streams {}

impl Streams {
    /// Further on by `elements`, where the streams are as long as that.
    fn at(&self, elements: usize) -> Streams {
        Streams {
            read: self.read.map(|p| p.wrapping_add(elements)),
            written: self.written.map(|p| p.wrapping_add(elements)),
        }
    }
}

/// Runs a pattern over so many elements of the streams; read returns the exclusive or of what it saw.
///
/// # Safety
/// The processor has the instructions that it was compiled for; the streams of its kind hold that many elements, which
/// nobody else touches meanwhile; streams for streaming stores are aligned to 64 bytes.
type Sweep = unsafe fn(Streams, usize) -> u32;

/// The probe of `kind` in the widest vectors of `isa`, with stores around the caches or plain ones.
pub fn build(isa: &Isa, kind: ProbeKind, non_temporal: bool) -> Body {
    let sweep = choose(isa, kind, non_temporal);
    Box::new(move |args: &mut Args<'_>| {
        let mut streams =
            Streams { read: [std::ptr::dangling(); 2], written: [std::ptr::dangling_mut(); 3] };
        for (to, tensor) in streams.read.iter_mut().zip(args.read) {
            *to = tensor.as_ref::<f32>().as_ptr();
        }
        for (to, tensor) in streams.written.iter_mut().zip(args.written.iter_mut()) {
            *to = tensor.as_mut::<f32>().as_mut_ptr();
        }
        // What is no stream: the checksum of read and the pattern of write.
        let (len, other) = match kind {
            ProbeKind::Read => (args.read[0].spec.len(), 1),
            ProbeKind::Write => (args.written[0].spec.len(), PATTERN),
            _ => (args.written[0].spec.len(), args.written[0].spec.len()),
        };
        let mut lens = args.read.iter().chain(&*args.written).map(|t| t.spec.len());
        assert!(lens.all(|n| n == len || n == other), "streams of one length");
        let threads = args.pool.threads();
        let seen = AtomicU32::new(0);
        args.pool.run(|thread| {
            let share = Pool::share(len, GRAIN, thread, threads);
            let mut mine = streams.at(share.start);
            if kind == ProbeKind::Write {
                mine.read = streams.read;
            }
            // SAFETY: `choose` asked the processor; shares lie within the streams (all of `len`) and do not overlap; tensors
            // are aligned to 64 bytes, and so is every multiple of the grain.
            let word = unsafe { sweep(mine, share.len()) };
            seen.fetch_xor(word, Relaxed);
        });
        if kind == ProbeKind::Read {
            args.written[0].as_mut::<i32>()[0] = seen.into_inner() as i32;
        }
    })
}

fn choose(isa: &Isa, kind: ProbeKind, nt: bool) -> Sweep {
    match (kind, nt) {
        (ProbeKind::Read, _) => path::<Read>(isa),
        (ProbeKind::Write, false) => path::<Write<false>>(isa),
        (ProbeKind::Write, true) => path::<Write<true>>(isa),
        (ProbeKind::Copy, false) => path::<Copy<false>>(isa),
        (ProbeKind::Copy, true) => path::<Copy<true>>(isa),
        (ProbeKind::Triad, false) => path::<Triad<false>>(isa),
        (ProbeKind::Triad, true) => path::<Triad<true>>(isa),
        (ProbeKind::Update2r1w, _) => path::<Update<1>>(isa),
        (ProbeKind::Update3r2w, _) => path::<Update<2>>(isa),
        (ProbeKind::Update4r3w, _) => path::<Update<3>>(isa),
        (ProbeKind::Fma, _) => unreachable!("arithmetic has no streams"),
    }
}

fn path<P: Pattern>(isa: &Isa) -> Sweep {
    #[cfg(target_arch = "x86_64")]
    {
        use crate::kernels::optimizer::lanes_x86::{Ymm, Zmm};

        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
        unsafe fn avx512<P: Pattern>(streams: Streams, len: usize) -> u32 {
            // SAFETY: this function is compiled for the instructions of `Zmm`; the rest is the caller's promise.
            unsafe { sweep::<Zmm, P>(streams, len) }
        }

        #[target_feature(enable = "avx2,fma")]
        unsafe fn avx2<P: Pattern>(streams: Streams, len: usize) -> u32 {
            // SAFETY: this function is compiled for the instructions of `Ymm`; the rest is the caller's promise.
            unsafe { sweep::<Ymm, P>(streams, len) }
        }

        if isa.avx512 {
            return avx512::<P>;
        }
        if isa.avx2 {
            return avx2::<P>;
        }
    }
    let _ = isa;
    sweep::<Portable, P>
}

/// Four vectors at a time where that pays, then single ones, then single elements.
///
/// # Safety
/// See [`Sweep`] and [`Lanes`].
#[inline(always)]
unsafe fn sweep<V: Lanes, P: Pattern>(streams: Streams, len: usize) -> u32 {
    let mut at = 0;
    // SAFETY: every step stays below `len`; the rest is the caller's promise.
    unsafe {
        let mut seen = [V::splat(0.0); 4];
        while P::UNROLLED && at + 4 * V::N <= len {
            for (i, seen) in seen.iter_mut().enumerate() {
                P::step(streams, at + i * V::N, seen);
            }
            at += 4 * V::N;
        }
        while at + V::N <= len {
            P::step(streams, at, &mut seen[0]);
            at += V::N;
        }
        V::fence();
        let mut last = Wide([0.0]);
        while at < len {
            P::step(streams, at, &mut last);
            at += 1;
        }
        let mut words = [0f32; 4 * WIDEST];
        for (i, seen) in seen.into_iter().enumerate() {
            seen.store(words.as_mut_ptr().add(i * V::N));
        }
        words.iter().chain(&last.0).fold(0, |all, word| all ^ word.to_bits())
    }
}

/// What is done with one vector of each stream.
trait Pattern {
    /// Whether four vectors go together, which sums need, for they wait for each other. Not where there are stores: unrolled,
    /// the probe of Nesterov's traffic stayed below the optimizer itself (the optimizer at 1.08 of it, mean of eight
    /// processes; 0.95 without). Why is not settled; a guess is that prefetchers follow short strides better.
    const UNROLLED: bool;
    /// The vectors at element `at`; `seen` is what a reading probe collects.
    ///
    /// # Safety
    /// See [`Sweep`] and [`Lanes`].
    unsafe fn step<V: Lanes>(streams: Streams, at: usize, seen: &mut V);
}

/// Implements [`Pattern`] for a type, whose parameter (if any) says how it stores or how much.
macro_rules! pattern {
    ($name:ident $(<const $param:ident: $t:ty>)?, $unrolled:literal, |$s:ident, $at:ident, $seen:ident| $body:block) => {
        struct $name $(<const $param: $t>)?;

        impl $(<const $param: $t>)? Pattern for $name $(<$param>)? {
            const UNROLLED: bool = $unrolled;

            #[inline(always)]
            unsafe fn step<V: Lanes>($s: Streams, $at: usize, $seen: &mut V) {
                // SAFETY: the caller's promise.
                unsafe { $body }
            }
        }
    };
}

/// Stores around the caches or plainly.
///
/// # Safety
/// See [`Lanes`].
#[inline(always)]
unsafe fn put<const NT: bool, V: Lanes>(x: V, to: *mut f32) {
    // SAFETY: the caller's promise.
    unsafe { if NT { x.stream(to) } else { x.store(to) } }
}

pattern!(Read, true, |s, at, seen| { *seen = seen.xor(V::load(s.read[0].add(at))) });
pattern!(Write<const NT: bool>, false, |s, at, _seen| {
    put::<NT, V>(V::load(s.read[0].add(at % PATTERN)), s.written[0].add(at))
});
pattern!(Copy<const NT: bool>, false, |s, at, _seen| {
    put::<NT, V>(V::load(s.read[0].add(at)), s.written[0].add(at))
});
pattern!(Triad<const NT: bool>, false, |s, at, _seen| {
    let (b, c) = (V::load(s.read[0].add(at)), V::load(s.read[1].add(at)));
    put::<NT, V>(V::splat(SCALAR).mul_add(c, b), s.written[0].add(at))
});
pattern!(Update<const WRITTEN: usize>, false, |s, at, _seen| {
    let g = V::load(s.read[0].add(at));
    // All loads before the first store: the order in which the optimizers touch memory.
    let mut updated = [g; WRITTEN];
    for (x, from) in updated.iter_mut().zip(s.written) {
        *x = V::splat(0.5).mul_add(V::load(from.add(at)), g);
    }
    for (x, to) in updated.into_iter().zip(s.written) {
        x.store(to.add(at));
    }
});
