//! The register tile: up to `MR` × `NR` sums, fed by one panel of A and one of B, word by word.
//!
//! A word is 32 bits: one f32, two bf16, two i16, four int8, or one i32. A vector of B's words meets each broadcast word of A;
//! what "meets" means is all that differs between formats and instruction sets, and stands in [`Lanes`].

use bytemuck::Pod;
use half::bf16;

use super::plan::TileSize;

/// What a tile reads and writes.
pub(super) struct Tile<S> {
    /// Words of A: packed `[depth, rows]`, or where the operand lies.
    pub a: *const u32,
    /// Distance between rows, and between neighbouring k, of an A that is not packed.
    pub a_strides: (usize, usize),
    /// Words of B `[depth, vectors]`, after the initial sums where the format has them.
    pub b: *const u32,
    /// Distance between neighbouring k of B.
    pub b_stride: usize,
    /// Words of the sums.
    pub depth: usize,
    /// The sums in memory, row-major.
    pub c: *mut S,
    /// Distance between rows of `c`.
    pub c_stride: usize,
    /// Columns of `c`; what is left of the last vector is computed and dropped.
    pub columns: usize,
    /// Whether what is in `c` is to be added to.
    pub add: bool,
}

/// A vector of 32-bit lanes.
pub(super) trait Lanes {
    /// The vector.
    type V: Copy;
    /// A lane of sums.
    type Sum: Pod + Send + Sync;
    /// Lanes of a vector.
    const LANES: usize;
    /// Whether packed panels of B begin with the initial sums of their columns.
    const HEADER: bool = false;

    /// Sums of zero.
    ///
    /// # Safety
    /// Here and below: the processor has the instruction set, and pointers are good for what is read or written there.
    unsafe fn zero() -> Self::V;
    /// A vector of words, from any address.
    unsafe fn load(from: *const u32) -> Self::V;
    /// One word in all lanes.
    unsafe fn splat(from: *const u32) -> Self::V;
    /// `sum` plus the product of words.
    unsafe fn dot(sum: Self::V, a: Self::V, b: Self::V) -> Self::V;
    /// Writes the first `columns` sums, added to what is there if `add`.
    unsafe fn store(sum: Self::V, to: *mut Self::Sum, columns: usize, add: bool);
}

/// Steps of k that packed panels are asked for ahead.
const AHEAD: usize = 16;

/// Computes a tile of `M` rows and `N` vectors.
///
/// # Safety
/// The processor has the instruction set of `L`. `t.a` holds `depth` × `M` words at its strides (packed: rows 1, k `M` apart),
/// `t.b` `depth` rows of `N` vectors, `t.c` `M` rows of `t.columns` ≤ `N` vectors, which nobody else touches.
#[inline(always)]
pub(super) unsafe fn tile<L: Lanes, const M: usize, const N: usize, const PACKED: bool>(
    t: &Tile<L::Sum>,
) {
    // SAFETY: every address below lies in the ranges that this function's contract grants.
    unsafe {
        let mut sums = [[L::zero(); N]; M];
        let (mut a, mut b) = (t.a, t.b);
        if L::HEADER {
            for row in &mut sums {
                for (j, sum) in row.iter_mut().enumerate() {
                    *sum = L::load(b.add(j * L::LANES));
                }
            }
            b = b.add(N * L::LANES);
        }
        for i in 0..M {
            for j in 0..N {
                prefetch(t.c.wrapping_add(i * t.c_stride + j * L::LANES));
            }
        }
        for _ in 0..t.depth {
            let mut y = [L::zero(); N];
            if PACKED {
                // The panel of A streams from L2, as does that of B, which L1 is too small for: ask for both in time.
                for j in (0..N * L::LANES).step_by(16) {
                    prefetch(b.wrapping_add(AHEAD * t.b_stride + j));
                }
                prefetch(a.wrapping_add(AHEAD * M));
            }
            for (j, y) in y.iter_mut().enumerate() {
                *y = L::load(b.add(j * L::LANES));
            }
            for (i, row) in sums.iter_mut().enumerate() {
                let x = L::splat(a.add(if PACKED { i } else { i * t.a_strides.0 }));
                for (sum, y) in row.iter_mut().zip(y) {
                    *sum = L::dot(*sum, x, y);
                }
            }
            // The last step may leave the operand, where nothing is read.
            a = a.wrapping_add(if PACKED { M } else { t.a_strides.1 });
            b = b.wrapping_add(t.b_stride);
        }
        for (i, row) in sums.into_iter().enumerate() {
            let c = t.c.add(i * t.c_stride);
            for (j, sum) in row.into_iter().enumerate() {
                let columns = t.columns.saturating_sub(j * L::LANES).min(L::LANES);
                if columns > 0 {
                    L::store(sum, c.add(j * L::LANES), columns, t.add);
                }
            }
        }
    }
}

/// Asks for the cache line at `address`, which need not be valid.
#[inline(always)]
pub(super) fn prefetch<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch never faults, and SSE is part of x86-64.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Rounds to nearest, ties to even, without the branch on NaN that keeps a loop from being vectorized.
#[inline(always)]
pub(super) fn round(from: &[f32], to: &mut [bf16]) {
    for (to, from) in to.iter_mut().zip(from) {
        let bits = from.to_bits();
        let rounded = (bits.wrapping_add(0x7fff + (bits >> 16 & 1))) >> 16;
        let quiet = bits >> 16 | 0x40;
        *to = bf16::from_bits(if from.is_nan() { quiet } else { rounded } as u16);
    }
}

/// The tiles of one format on one instruction set.
pub(super) trait Engine: 'static {
    /// A sum in memory.
    type Sum: Pod + Send + Sync;
    /// Most rows of a tile.
    const MR: usize;
    /// Most columns of a tile.
    const NR: usize;
    /// Columns of one vector.
    const LANES: usize;
    /// The tile and the blocks that suit it.
    const SIZE: TileSize = TileSize::of_vectors(Self::MR, Self::NR);

    /// Makes the calling thread ready for tiles.
    ///
    /// # Safety
    /// The processor has the instruction set.
    unsafe fn begin() {}

    /// Ends what [`Engine::begin`] began.
    ///
    /// # Safety
    /// As there.
    unsafe fn end() {}

    /// Rounds sums to bf16: to nearest, ties to even. Both are of one length.
    ///
    /// # Safety
    /// The processor has the instruction set.
    unsafe fn round(from: &[f32], to: &mut [bf16]) {
        round(from, to)
    }

    /// Computes a tile of `rows` ≤ `MR` rows and `vectors` ≤ `NR / LANES` vectors.
    ///
    /// # Safety
    /// As [`tile`] asks.
    unsafe fn tile(rows: usize, vectors: usize, packed: bool, t: &Tile<Self::Sum>);
}

/// Makes an [`Engine`] of a [`Lanes`]: its name, the lanes, vectors of a tile, all numbers of rows up to the most, that most,
/// and the target features.
macro_rules! engine {
    ($(#[$doc:meta])* $name:ident, $lanes:ty, $vectors:literal, [$($rows:literal)*], $mr:literal
        $(, $features:literal)?) => {
        $(#[$doc])*
        pub(in super::super) struct $name;

        impl super::tile::Engine for $name {
            type Sum = <$lanes as super::tile::Lanes>::Sum;
            const MR: usize = $mr;
            const NR: usize = $vectors * Self::LANES;
            const LANES: usize = <$lanes as super::tile::Lanes>::LANES;

            unsafe fn tile(
                rows: usize,
                vectors: usize,
                packed: bool,
                t: &super::tile::Tile<Self::Sum>,
            ) {
                $(#[target_feature(enable = $features)])?
                unsafe fn run<const M: usize, const N: usize, const PACKED: bool>(
                    t: &super::tile::Tile<<$lanes as super::tile::Lanes>::Sum>,
                ) {
                    // SAFETY: this function's caller passes on the contract of `tile`.
                    unsafe { super::tile::tile::<$lanes, M, N, PACKED>(t) }
                }
                debug_assert!((1..=$vectors).contains(&vectors));
                let wide = vectors > 1;
                // SAFETY: the trait's contract is that of `tile`, for the sizes that are dispatched on here.
                unsafe {
                    match (rows, packed, wide) {
                        $(
                            ($rows, true, true) => run::<$rows, $vectors, true>(t),
                            ($rows, true, false) => run::<$rows, 1, true>(t),
                            ($rows, false, true) => run::<$rows, $vectors, false>(t),
                            ($rows, false, false) => run::<$rows, 1, false>(t),
                        )*
                        _ => unreachable!("a tile has at most {} rows, not {rows}", $mr),
                    }
                }
            }
        }
    };
}
pub(super) use engine;
