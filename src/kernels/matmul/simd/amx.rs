//! Tiles of 32 × 32 sums by AMX: four tile registers of sums, two of A and two of B, which take 16 words of k at once.
//!
//! A product of 16 × 16 × 16 words starts every 16 cycles, in which two tiles can be loaded from the nearest cache: 2 × 2 sums
//! load one tile a product. A panel of A is `[16 words of k, rows, 16 words]`, or the operand itself where its rows are whole
//! steps of k; a panel of B is that of vectors, padded to whole steps of k.

use std::arch::asm;
use std::arch::x86_64::*;

use half::bf16;

use super::pack::{Side, Source, Words};
use super::pack512::{ZmmBf16, ZmmPlainI8, transpose_16x16};
use super::plan::TileSize;
use super::tile::{Engine, Tile};
use crate::device::amx;

/// Rows of a tile register, and words of each.
const SIDE: usize = 16;

/// Words for tiles, made by the vector packing `$vectors`.
macro_rules! tile_words {
    ($(#[$doc:meta])* $name:ident, $element:ty, $vectors:ty) => {
        $(#[$doc])*
        pub(super) struct $name;

        impl Words for $name {
            type Element = $element;
            const PER_WORD: usize = <$vectors>::PER_WORD;
            const A_IN_PLACE: usize = A_IN_PLACE;

            fn reads_a(s: &Source<$element>) -> bool {
                s.k_stride == 1
                    && s.lanes.is_multiple_of(SIDE)
                    && s.depth.is_multiple_of(SIDE * Self::PER_WORD)
                    && s.lane_stride.is_multiple_of(SIDE * Self::PER_WORD)
            }

            unsafe fn pack(side: Side, s: Source<$element>, width: usize, to: *mut u32) {
                let words = s.depth.div_ceil(Self::PER_WORD);
                let padded = words.next_multiple_of(SIDE);
                // SAFETY: the trait's contract; panels have room for whole steps of k, those of A for whole registers too.
                unsafe {
                    if side == Side::B {
                        <$vectors>::pack(side, s, width, to);
                        return to.add(words * width).write_bytes(0, (padded - words) * width);
                    }
                    if s.k_stride == 1 {
                        return copy_rows(
                            s.start.cast(),
                            s.lane_stride * size_of::<$element>(),
                            s.lanes,
                            s.depth * size_of::<$element>(),
                            to,
                        );
                    }
                    let rows = s.lanes.next_multiple_of(SIDE);
                    let step = SIDE * Self::PER_WORD;
                    for (at, k) in (0..s.depth).step_by(step).enumerate() {
                        for lane in (0..s.lanes).step_by(SIDE) {
                            let mut block = [0u32; SIDE * (SIDE + 1)];
                            let part = Source {
                                start: s.start.add(lane * s.lane_stride + k * s.k_stride),
                                lanes: (s.lanes - lane).min(SIDE),
                                depth: (s.depth - k).min(step),
                                ..s
                            };
                            // As a panel of B, whose offset and initial sums these formats do without.
                            <$vectors>::pack(Side::B, part, SIDE, block.as_mut_ptr());
                            turn(block.as_ptr(), to.add((at * rows + lane) * SIDE));
                        }
                    }
                }
            }
        }
    };
}

tile_words!(
    /// bf16 in pairs of neighbouring k.
    TileBf16, bf16, ZmmBf16);
tile_words!(
    /// int8 in quadruples of neighbouring k.
    TileI8, i8, ZmmPlainI8);

/// Copies `lanes` rows of so many bytes, `stride` bytes apart, to a panel of A; zeros fill the rest of steps and registers.
///
/// # Safety
/// The processor has the instructions; rows are readable, the panel writable.
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn copy_rows(from: *const u8, stride: usize, lanes: usize, bytes: usize, to: *mut u32) {
    let rows = lanes.next_multiple_of(SIDE);
    for lane in 0..rows {
        for (at, byte) in (0..bytes).step_by(64).enumerate() {
            let mask = match bytes - byte {
                _ if lane >= lanes => 0,
                left if left >= 64 => !0,
                left => (1u64 << left) - 1,
            };
            // SAFETY: the bytes of the mask belong to row `lane`, and none where there is no such row; a panel holds `rows`
            // rows of 64 bytes for every 64 bytes of k.
            unsafe {
                let x =
                    _mm512_maskz_loadu_epi8(mask, from.wrapping_add(lane * stride + byte).cast());
                _mm512_storeu_si512(to.add((at * rows + lane) * SIDE).cast(), x);
            }
        }
    }
}

/// Transposes 16 × 16 words.
///
/// # Safety
/// The processor has the instructions; both are 256 words.
#[target_feature(enable = "avx512f")]
unsafe fn turn(from: *const u32, to: *mut u32) {
    let mut x = [_mm512_setzero_si512(); SIDE];
    for (i, x) in x.iter_mut().enumerate() {
        // SAFETY: within the 256 words.
        *x = unsafe { _mm512_loadu_si512(from.add(i * SIDE).cast()) };
    }
    for (i, x) in transpose_16x16(x).into_iter().enumerate() {
        // SAFETY: as above.
        unsafe { _mm512_storeu_si512(to.add(i * SIDE).cast(), x) };
    }
}

/// Panels of B up to which A is read in place where it can be: rows a power of two apart share sets of the caches.
const A_IN_PLACE: usize = 8;

/// What the loop over k needs: addresses, and distances in bytes.
pub(super) struct Steps {
    a: *const u8,
    a_row: usize,
    /// From the first to the second register of rows.
    a_half: usize,
    a_step: usize,
    b: *const u8,
    b_row: usize,
    count: usize,
    c: *mut u8,
    c_row: usize,
    add: bool,
}

/// Defines the loop over k: what begins the sums anew, what loads them, a step, and what stores them.
macro_rules! steps {
    ($name:ident: zero [$($zero:literal)*] load [$($load:literal)*] step [$($step:expr),*] store [$($store:literal)*]) => {
        /// # Safety
        /// Tiles are shaped; addresses are good for whole registers at their distances; `count` is not 0.
        unsafe fn $name(s: &Steps) {
            // SAFETY: this function's contract.
            unsafe {
                asm!(
                    "test {add:e}, {add:e}",
                    "jnz 3f",
                    $($zero,)*
                    "jmp 2f",
                    "3:",
                    $($load,)*
                    ".p2align 5",
                    "2:",
                    $($step,)*
                    // The rows of sums, and then those below: their stores would wait for the lines.
                    "prefetchw [{next}]",
                    "prefetchw [{next} + 64]",
                    "add {next}, {c_row}",
                    "prefetchw [{next}]",
                    "prefetchw [{next} + 64]",
                    "add {next}, {c_row}",
                    "add {a}, {a_step}",
                    "add {a1}, {a_step}",
                    "add {b}, {b_step}",
                    "dec {count}",
                    "jnz 2b",
                    $($store,)*
                    a = inout(reg) s.a => _,
                    a1 = inout(reg) s.a.wrapping_add(s.a_half) => _,
                    a_row = in(reg) s.a_row,
                    a_step = in(reg) s.a_step,
                    b = inout(reg) s.b => _,
                    b_row = in(reg) s.b_row,
                    b_step = in(reg) SIDE * s.b_row,
                    count = inout(reg) s.count => _,
                    c = in(reg) s.c,
                    c1 = in(reg) s.c.wrapping_add(SIDE * s.c_row),
                    c_row = in(reg) s.c_row,
                    add = in(reg) u32::from(s.add),
                    next = inout(reg) s.c => _,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }
    };
}

/// Defines the loops of one product: `two` registers of rows or one, `wide` or narrow.
macro_rules! products {
    ($product:literal: $two_wide:ident $one_wide:ident $two_narrow:ident $one_narrow:ident) => {
        steps!($two_wide:
            zero ["tilezero tmm0" "tilezero tmm1" "tilezero tmm2" "tilezero tmm3"]
            load ["tileloadd tmm0, [{c} + {c_row}]" "tileloadd tmm1, [{c} + {c_row} + 64]"
                "tileloadd tmm2, [{c1} + {c_row}]" "tileloadd tmm3, [{c1} + {c_row} + 64]"]
            step ["tileloadd tmm6, [{b} + {b_row}]", "tileloadd tmm4, [{a} + {a_row}]",
                concat!($product, " tmm0, tmm4, tmm6"),
                "prefetcht0 [{b} + 4096 + 0]", "prefetcht0 [{b} + 4096 + 64]", "prefetcht0 [{b} + 4096 + 128]", "prefetcht0 [{b} + 4096 + 192]", "prefetcht0 [{b} + 4096 + 256]", "prefetcht0 [{b} + 4096 + 320]", "prefetcht0 [{b} + 4096 + 384]", "prefetcht0 [{b} + 4096 + 448]",
                "tileloadd tmm7, [{b} + {b_row} + 64]",
                concat!($product, " tmm1, tmm4, tmm7"),
                "prefetcht0 [{b} + 4096 + 512]", "prefetcht0 [{b} + 4096 + 576]", "prefetcht0 [{b} + 4096 + 640]", "prefetcht0 [{b} + 4096 + 704]", "prefetcht0 [{b} + 4096 + 768]", "prefetcht0 [{b} + 4096 + 832]", "prefetcht0 [{b} + 4096 + 896]", "prefetcht0 [{b} + 4096 + 960]",
                "tileloadd tmm5, [{a1} + {a_row}]",
                concat!($product, " tmm2, tmm5, tmm6"),
                "prefetcht0 [{b} + 4096 + 1024]", "prefetcht0 [{b} + 4096 + 1088]", "prefetcht0 [{b} + 4096 + 1152]", "prefetcht0 [{b} + 4096 + 1216]", "prefetcht0 [{b} + 4096 + 1280]", "prefetcht0 [{b} + 4096 + 1344]", "prefetcht0 [{b} + 4096 + 1408]", "prefetcht0 [{b} + 4096 + 1472]",
                concat!($product, " tmm3, tmm5, tmm7"), "prefetcht0 [{b} + 4096 + 1536]", "prefetcht0 [{b} + 4096 + 1600]", "prefetcht0 [{b} + 4096 + 1664]", "prefetcht0 [{b} + 4096 + 1728]", "prefetcht0 [{b} + 4096 + 1792]", "prefetcht0 [{b} + 4096 + 1856]", "prefetcht0 [{b} + 4096 + 1920]", "prefetcht0 [{b} + 4096 + 1984]"]
            store ["tilestored [{c} + {c_row}], tmm0" "tilestored [{c} + {c_row} + 64], tmm1"
                "tilestored [{c1} + {c_row}], tmm2" "tilestored [{c1} + {c_row} + 64], tmm3"]);
        steps!($one_wide:
            zero ["tilezero tmm0" "tilezero tmm1"]
            load ["tileloadd tmm0, [{c} + {c_row}]" "tileloadd tmm1, [{c} + {c_row} + 64]"]
            step ["tileloadd tmm4, [{a} + {a_row}]", "tileloadd tmm6, [{b} + {b_row}]",
                concat!($product, " tmm0, tmm4, tmm6"),
                "tileloadd tmm7, [{b} + {b_row} + 64]",
                concat!($product, " tmm1, tmm4, tmm7")]
            store ["tilestored [{c} + {c_row}], tmm0" "tilestored [{c} + {c_row} + 64], tmm1 /* {c1} */"]);
        steps!($two_narrow:
            zero ["tilezero tmm0" "tilezero tmm2"]
            load ["tileloadd tmm0, [{c} + {c_row}]" "tileloadd tmm2, [{c1} + {c_row}]"]
            step ["tileloadd tmm6, [{b} + {b_row}]", "tileloadd tmm4, [{a} + {a_row}]",
                concat!($product, " tmm0, tmm4, tmm6"),
                "tileloadd tmm5, [{a1} + {a_row}]",
                concat!($product, " tmm2, tmm5, tmm6")]
            store ["tilestored [{c} + {c_row}], tmm0" "tilestored [{c1} + {c_row}], tmm2"]);
        steps!($one_narrow:
            zero ["tilezero tmm0"]
            load ["tileloadd tmm0, [{c} + {c_row}]"]
            step ["tileloadd tmm6, [{b} + {b_row}]", "tileloadd tmm4, [{a} + {a_row}]",
                concat!($product, " tmm0, tmm4, tmm6")]
            store ["tilestored [{c} + {c_row}], tmm0 /* {c1} */"]);
    };
}

products!("tdpbf16ps": bf16_2x2 bf16_1x2 bf16_2x1 bf16_1x1);
products!("tdpbssd": int8_2x2 int8_1x2 int8_2x1 int8_1x1);

/// A sum that tiles hold.
pub(super) trait Sum: bytemuck::Pod + Send + Sync {
    /// The loops over k, by whether there are two registers of rows, and of columns.
    const LOOPS: [[unsafe fn(&Steps); 2]; 2];
    /// Bytes of an operand's element.
    const ELEMENT: usize;
    /// `a + b`.
    fn plus(a: Self, b: Self) -> Self;
}

impl Sum for f32 {
    const LOOPS: [[unsafe fn(&Steps); 2]; 2] = [[bf16_1x1, bf16_1x2], [bf16_2x1, bf16_2x2]];
    const ELEMENT: usize = 2;
    fn plus(a: f32, b: f32) -> f32 {
        a + b
    }
}

impl Sum for i32 {
    const LOOPS: [[unsafe fn(&Steps); 2]; 2] = [[int8_1x1, int8_1x2], [int8_2x1, int8_2x2]];
    const ELEMENT: usize = 1;
    fn plus(a: i32, b: i32) -> i32 {
        a.wrapping_add(b)
    }
}

/// Tiles of `S`.
pub(super) struct Tiles<S>(std::marker::PhantomData<S>);

impl<S: Sum> Engine for Tiles<S> {
    type Sum = S;
    const MR: usize = 2 * SIDE;
    const NR: usize = 2 * SIDE;
    const LANES: usize = SIDE;
    const SIZE: TileSize = TileSize {
        mr: 2 * SIDE,
        nr: 2 * SIDE,
        grain: SIDE,
        kc: KC,
        a_block: A_BLOCK,
        b_block: B_BLOCK,
        rows_stay: true,
    };

    unsafe fn begin() {
        // SAFETY: `build` asked for products of tiles.
        unsafe { amx::shape_whole() };
    }

    unsafe fn end() {
        // SAFETY: as above.
        unsafe { amx::release() };
    }

    unsafe fn round(from: &[f32], to: &mut [bf16]) {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
        unsafe fn vectors(from: &[f32], to: &mut [bf16]) {
            let whole = from.len() / 32 * 32;
            for at in (0..whole).step_by(32) {
                // SAFETY: 32 elements from `at` on lie in both.
                unsafe {
                    let low = _mm512_loadu_ps(from.as_ptr().add(at));
                    let high = _mm512_loadu_ps(from.as_ptr().add(at + 16));
                    let pairs: __m512i = std::mem::transmute(_mm512_cvtne2ps_pbh(high, low));
                    _mm512_storeu_si512(to.as_mut_ptr().add(at).cast(), pairs);
                }
            }
            super::tile::round(&from[whole..], &mut to[whole..]);
        }
        assert_eq!(from.len(), to.len());
        // SAFETY: `build` asked for the instructions.
        unsafe { vectors(from, to) }
    }

    unsafe fn tile(rows: usize, vectors: usize, packed: bool, t: &Tile<S>) {
        let two = rows > SIDE;
        let panel = rows.next_multiple_of(SIDE);
        let a_row = if packed { 4 * SIDE } else { t.a_strides.0 * S::ELEMENT };
        let whole = rows == panel && t.columns == vectors * SIDE;
        let mut spare = std::mem::MaybeUninit::<[S; 4 * SIDE * SIDE]>::uninit();
        let (c, c_row, add) = match whole {
            true => (t.c.cast::<u8>(), t.c_stride * size_of::<S>(), t.add),
            false => (spare.as_mut_ptr().cast(), 2 * SIDE * size_of::<S>(), false),
        };
        let steps = Steps {
            a: t.a.cast(),
            a_row,
            a_half: SIDE * a_row,
            a_step: if packed { panel * 4 * SIDE } else { 4 * SIDE },
            b: t.b.cast(),
            b_row: 4 * t.b_stride,
            count: t.depth / SIDE,
            c,
            c_row,
            add,
        };
        // SAFETY: panels are whole registers, as `pack` pads them and `reads_a` asks; so are the sums or the spare memory.
        unsafe { S::LOOPS[usize::from(two)][usize::from(vectors > 1)](&steps) };
        if !whole {
            for i in 0..rows {
                // SAFETY: these rows and columns were stored to the spare memory; those of `c` are writable, by the trait's
                // contract.
                let (from, to) = unsafe {
                    (
                        std::slice::from_raw_parts(
                            spare.as_ptr().cast::<S>().add(i * 2 * SIDE),
                            t.columns,
                        ),
                        std::slice::from_raw_parts_mut(t.c.add(i * t.c_stride), t.columns),
                    )
                };
                for (to, &from) in to.iter_mut().zip(from) {
                    *to = if t.add { S::plus(*to, from) } else { from };
                }
            }
        }
    }
}

/// Words of k in a block: a third of the nearest cache for a panel of A, beside which those of B and sums pass. Against 256
/// (measured in one process each, on a busy machine): products of 2048 cubed 6 to 10 % faster, of 512 cubed in bf16 some 10 %
/// slower.
const KC: usize = 128;
/// Bytes of a block of A: little, so that it is packed shortly before its use.
const A_BLOCK: usize = 128 << 10;
/// Bytes of a block of B: half of L2.
const B_BLOCK: usize = 1 << 20;
