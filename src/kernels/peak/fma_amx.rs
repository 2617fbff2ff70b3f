//! The arithmetic probe by products of tiles.
//!
//! Six tiles of 16 × 16 sums hold the [`CHAINS`] accumulators four times over, each [`CHAINS`] / 16 rows; the result is the
//! mean of the four, which is exact if all are right. A product takes 16 steps at once (see [`Probe::rounds`]): eight words of
//! k add what the other eight take away. One starts every 16 cycles and takes 52 (Intel 64 and IA-32 Architectures
//! Optimization Reference Manual, chapter 20), so that six keep the unit busy. The last step, which adds a·b, is a product
//! with all but one word of each column of B zero; it is not counted.

use std::arch::asm;

use super::fma::{Burst, body, mean_i32};
use crate::device::amx::{Amx, release, shape_whole};
use crate::kernels::Body;
use crate::ops::peak::{CHAINS, PERIOD};
use crate::ops::{DType, Probe};

/// Rows of a tile, words of a row, and hence words of k that a product takes.
const SIDE: usize = 16;
/// How often the accumulators are held.
const COPIES: usize = 4;

const _: () = assert!(COPIES * CHAINS == 6 * SIDE * SIDE && 2 * PERIOD == SIDE);

/// A tile's words in memory.
#[repr(align(64))]
struct Tile([[u32; SIDE]; SIDE]);

/// The probe of `inputs`; none where this process has no products of such tiles.
pub fn build(probe: &Probe, inputs: DType, threads: usize) -> Option<Body> {
    let (amx, pairs) = (Amx::detect(), probe.rounds(inputs, threads) / 2);
    match inputs {
        DType::Bf16 if amx.bf16 => {
            Some(body::<half::bf16, f32>(bf16, pairs, threads, |sum, n| sum / n as f32))
        }
        DType::I8 if amx.int8 => Some(body::<i8, i32>(int8, pairs, threads, mean_i32)),
        _ => None,
    }
}

/// Defines a burst by the product `$product` of words that `$minus` negates, whose four sums `$mean` makes one.
macro_rules! burst {
    ($(#[$doc:meta])* $name:ident($t:ty, $acc:ty), $product:literal, $minus:expr, $mean:expr) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// [`Amx::detect`] found this product.
        unsafe fn $name(burst: Burst<'_, $t, $acc>) {
            let words = |factors: &[$t]| -> [u32; PERIOD] {
                bytemuck::pod_read_unaligned(bytemuck::cast_slice(factors))
            };
            let (a, b) = (words(burst.a), words(burst.b));
            let minus: [u32; PERIOD] = b.map($minus);
            // Column c of the product: the sum over w of a(w)·b(c), each once added and once taken away.
            let left = Tile([std::array::from_fn(|w| a[w % PERIOD]); SIDE]);
            let right = Tile(std::array::from_fn(|w| {
                let row = if w < PERIOD { &b } else { &minus };
                std::array::from_fn(|c| row[c % PERIOD])
            }));
            // Column c of the last product: a(c)·b(c).
            let last = Tile(std::array::from_fn(|w| {
                std::array::from_fn(|c| if w == c % PERIOD { b[w] } else { 0 })
            }));
            let mut sums = [<$acc>::default(); COPIES * CHAINS];
            for copy in sums.chunks_exact_mut(CHAINS) {
                copy.copy_from_slice(burst.x);
            }
            let products = (2 * burst.pairs + 1).div_ceil((COPIES * SIDE) as u64);
            // SAFETY: products of tiles were found, by this function's contract.
            unsafe { shape_whole() };
            // SAFETY: six tiles of 1024 bytes lie in `sums`, one each in `left`, `right` and `last`; tiles are shaped, and no
            // other code of this thread uses them meanwhile. `products` is at least 1.
            unsafe {
                asm!(
                    "tileloadd tmm0, [{sums} + {row}]",
                    "tileloadd tmm1, [{sums} + {row} + 1024]",
                    "tileloadd tmm2, [{sums} + {row} + 2048]",
                    "tileloadd tmm3, [{sums} + {row} + 3072]",
                    "tileloadd tmm4, [{sums} + {row} + 4096]",
                    "tileloadd tmm5, [{sums} + {row} + 5120]",
                    "tileloadd tmm6, [{left} + {row}]",
                    "tileloadd tmm7, [{right} + {row}]",
                    ".p2align 5",
                    "2:",
                    concat!($product, " tmm0, tmm6, tmm7"),
                    concat!($product, " tmm1, tmm6, tmm7"),
                    concat!($product, " tmm2, tmm6, tmm7"),
                    concat!($product, " tmm3, tmm6, tmm7"),
                    concat!($product, " tmm4, tmm6, tmm7"),
                    concat!($product, " tmm5, tmm6, tmm7"),
                    "dec {products}",
                    "jnz 2b",
                    "tileloadd tmm7, [{last} + {row}]",
                    concat!($product, " tmm0, tmm6, tmm7"),
                    concat!($product, " tmm1, tmm6, tmm7"),
                    concat!($product, " tmm2, tmm6, tmm7"),
                    concat!($product, " tmm3, tmm6, tmm7"),
                    concat!($product, " tmm4, tmm6, tmm7"),
                    concat!($product, " tmm5, tmm6, tmm7"),
                    "tilestored [{sums} + {row}], tmm0",
                    "tilestored [{sums} + {row} + 1024], tmm1",
                    "tilestored [{sums} + {row} + 2048], tmm2",
                    "tilestored [{sums} + {row} + 3072], tmm3",
                    "tilestored [{sums} + {row} + 4096], tmm4",
                    "tilestored [{sums} + {row} + 5120], tmm5",
                    sums = in(reg) sums.as_mut_ptr(),
                    left = in(reg) left.0.as_ptr(),
                    right = in(reg) right.0.as_ptr(),
                    last = in(reg) last.0.as_ptr(),
                    row = in(reg) 4 * SIDE,
                    products = inout(reg) products => _,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
            // SAFETY: as above.
            unsafe { release() };
            let out: &mut [$acc; CHAINS] = burst.out.try_into().expect("CHAINS results");
            for (i, out) in out.iter_mut().enumerate() {
                *out = $mean(std::array::from_fn(|copy| sums[copy * CHAINS + i]));
            }
        }
    };
}

burst! {
    /// Pairs of bf16.
    bf16(half::bf16, f32), "tdpbf16ps", |pair| pair ^ 0x8000_8000, |x: [f32; COPIES]| x.iter().sum::<f32>() / COPIES as f32
}
burst! {
    /// Quadruples of int8.
    int8(i8, i32), "tdpbssd", |four| u32::from_ne_bytes(four.to_ne_bytes().map(u8::wrapping_neg)),
    |x: [i32; COPIES]| x.iter().sum::<i32>() / COPIES as i32
}
