//! Products of few rows with B stored `[n, k]` (a decoder's linear layers): dot products along k, so that B is read once, where
//! it lies, at the speed of memory. Packing it would cost more than the product.

use std::arch::x86_64::*;

use half::bf16;

use super::avx512::{Bf16x32, F32x16, I8x64};
use super::tile::Lanes;
use crate::device::Pool;
use crate::device::memory::AlignedBytes;
use crate::kernels::matmul::format::Shared;
use crate::kernels::{Args, Body};
use crate::ops::{Matmul, Transpose};

/// Most rows that are done this way.
const ROWS: usize = 24;
/// Rows and columns that are done at a time: 16 sums, and as many chains as hide the latency of the dot product.
const TILE: (usize, usize) = (4, 4);
/// Bytes of a vector.
const CHUNK: usize = 64;

/// Whether a product is of this kind.
pub(super) fn suits(p: &Matmul) -> bool {
    p.transpose == Transpose::Nt && p.products().iter().all(|product| product.rows <= ROWS)
}

/// A format whose vectors can be added up.
pub(super) trait Dots: Lanes + 'static {
    /// An operand as stored.
    type Element: bytemuck::Pod + Send + Sync;
    /// What the bytes of A are flipped by.
    const FLIP: u8;

    /// Writes rows `rows` ≤ 4 of the columns of `part`.
    ///
    /// # Safety
    /// The processor has the format's instruction set, and `part` keeps the promises of its fields.
    unsafe fn columns(rows: usize, part: &Part<Self::Sum>);
}

/// Some columns of up to four rows.
pub(super) struct Part<S> {
    /// Rows of A, padded to whole vectors that are `a_stride` bytes apart; readable.
    a: *const u8,
    a_stride: usize,
    /// Rows of B, `depth` bytes each and as far apart; readable.
    b: *const u8,
    depth: usize,
    /// How many columns: rows of B, and sums in each row of `c`.
    columns: usize,
    /// Where sums go: writable, by this thread alone.
    c: Out<S>,
    /// Sums between rows of C.
    c_stride: usize,
}

/// The first sum, in the format of sums or as bf16.
#[derive(Clone, Copy)]
enum Out<S> {
    Wide(*mut S),
    Narrow(*mut bf16),
}

/// One vector's worth of k: a function of its own, as a closure is not always inlined across target features.
///
/// # Safety
/// A vector is readable at each address; the processor has the instruction set of `L`.
#[inline(always)]
unsafe fn step<L: Lanes, const M: usize>(
    a: *const u8,
    a_stride: usize,
    b: [*const u8; TILE.1],
    sums: &mut [[L::V; TILE.1]; M],
    offsets: &mut [L::V; TILE.1],
) {
    // SAFETY: this function's contract.
    unsafe {
        for j in 0..TILE.1 {
            let y = L::load(b[j].cast());
            if L::HEADER {
                let offset = 0x8080_8080u32;
                offsets[j] = L::dot(offsets[j], L::splat(&raw const offset), y);
            }
            for (i, sums) in sums.iter_mut().enumerate() {
                let x = L::load(a.add(i * a_stride).cast());
                sums[j] = L::dot(sums[j], x, y);
            }
        }
    }
}

/// # Safety
/// As [`Dots::columns`] asks.
#[inline(always)]
unsafe fn columns<L: Lanes, const M: usize>(
    part: &Part<L::Sum>,
    reduce: impl Fn(L::V) -> L::Sum,
    minus: impl Fn(L::Sum, L::Sum) -> L::Sum,
    round: impl Fn(L::Sum) -> bf16,
) {
    // SAFETY: every address lies in the ranges that `part` promises.
    unsafe {
        let whole = part.depth / CHUNK * CHUNK;
        let mut tail = [[0u8; CHUNK]; TILE.1];
        let mut j = 0;
        while j < part.columns {
            let width = (part.columns - j).min(TILE.1);
            // The last columns repeat the last one.
            let mut b = [part.b; TILE.1];
            for (jj, b) in b.iter_mut().enumerate() {
                *b = part.b.add((j + jj.min(width - 1)) * part.depth);
            }
            let mut sums = [[L::zero(); TILE.1]; M];
            let mut offsets = [L::zero(); TILE.1];
            for at in (0..whole).step_by(CHUNK) {
                let b = [b[0].add(at), b[1].add(at), b[2].add(at), b[3].add(at)];
                step::<L, M>(part.a.add(at), part.a_stride, b, &mut sums, &mut offsets);
            }
            if whole < part.depth {
                for (tail, b) in tail.iter_mut().zip(b) {
                    let rest = part.depth - whole;
                    std::ptr::copy_nonoverlapping(b.add(whole), tail.as_mut_ptr(), rest);
                }
                let b = [tail[0].as_ptr(), tail[1].as_ptr(), tail[2].as_ptr(), tail[3].as_ptr()];
                step::<L, M>(part.a.add(whole), part.a_stride, b, &mut sums, &mut offsets);
            }
            for (i, sums) in sums.into_iter().enumerate() {
                for jj in 0..width {
                    let sum = minus(reduce(sums[jj]), reduce(offsets[jj]));
                    let at = i * part.c_stride + j + jj;
                    match part.c {
                        Out::Wide(c) => c.add(at).write(sum),
                        Out::Narrow(c) => c.add(at).write(round(sum)),
                    }
                }
            }
            j += width;
        }
    }
}

macro_rules! dots {
    ($lanes:ty, $element:ty, $flip:literal, $features:literal, $reduce:ident, $minus:expr, $round:expr) => {
        impl Dots for $lanes {
            type Element = $element;
            const FLIP: u8 = $flip;

            unsafe fn columns(rows: usize, part: &Part<Self::Sum>) {
                #[target_feature(enable = $features)]
                unsafe fn run<const M: usize>(part: &Part<<$lanes as Lanes>::Sum>) {
                    // SAFETY: the caller's contract; the closures run with this function's target features.
                    unsafe { columns::<$lanes, M>(part, |v| $reduce(v), $minus, $round) }
                }
                // SAFETY: this function's contract.
                unsafe {
                    match rows {
                        1 => run::<1>(part),
                        2 => run::<2>(part),
                        3 => run::<3>(part),
                        _ => run::<4>(part),
                    }
                }
            }
        }
    };
}

dots!(F32x16, f32, 0, "avx512f", _mm512_reduce_add_ps, |sum, _| sum, bf16::from_f32);
dots!(Bf16x32, bf16, 0, "avx512f,avx512bf16", _mm512_reduce_add_ps, |sum, _| sum, bf16::from_f32);
dots!(
    I8x64,
    i8,
    0x80,
    "avx512f,avx512vnni",
    _mm512_reduce_add_epi32,
    |sum: i32, offset| { sum.wrapping_sub(offset) },
    |_| unreachable!("integer sums are not rounded to bf16")
);

/// Builds the body of a launch of `p`, which [`suits`]; `narrow` says that results are bf16.
pub(super) fn body<L: Dots>(p: Matmul, narrow: bool) -> Body {
    let products = p.products();
    let size = size_of::<L::Element>();
    let (depth, a_stride) = (p.k * size, (p.k * size).next_multiple_of(CHUNK));
    let mut rows_of_a = AlignedBytes::zeroed(p.m * p.batch * a_stride);
    Box::new(move |args: &mut Args<'_>| {
        let (a, b) = (&args.read[0].bytes, &args.read[1].bytes);
        // Padding stays 0: it meets the zeros behind the ends of B's rows.
        if depth > 0 {
            for (to, from) in rows_of_a.chunks_exact_mut(a_stride).zip(a.chunks_exact(depth)) {
                to.iter_mut().zip(from).for_each(|(to, from)| *to = from ^ L::FLIP);
            }
        }
        let (wide, small) = if narrow {
            (None, Some(Shared::new(args.written[0].as_mut::<bf16>())))
        } else {
            (Some(Shared::new(args.written[0].as_mut::<L::Sum>())), None)
        };
        let rows_of_a = &rows_of_a;
        args.pool.run(|thread| {
            let mine = Pool::share(p.n, TILE.1, thread, args.pool.threads());
            for product in products.iter().filter(|_| !mine.is_empty()) {
                for row in (0..product.rows).step_by(TILE.0) {
                    let first = product.c / p.n + row;
                    let c = first * p.n + mine.start;
                    // SAFETY: the rows and columns lie within the operands and the result; the threads' columns are disjoint;
                    // `build` checked the instruction set.
                    unsafe {
                        let part = Part {
                            a: rows_of_a.as_ptr().add(first * a_stride),
                            a_stride,
                            b: b.as_ptr().add(product.b * size + mine.start * depth),
                            depth,
                            columns: mine.len(),
                            c: match (wide, small) {
                                (_, Some(all)) => Out::Narrow(all.at(c)),
                                (Some(all), _) => Out::Wide(all.at(c)),
                                _ => unreachable!("a result is wide or narrow"),
                            },
                            c_stride: p.n,
                        };
                        L::columns((product.rows - row).min(TILE.0), &part);
                    }
                }
            }
        });
    })
}
