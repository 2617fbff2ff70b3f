//! Blocks for the caches and small tiles for the registers, in plain Rust that the compiler vectorizes; operands are read
//! where they lie.
//!
//! A strip of B (`KC` × tile width) stays in the nearest caches while up to `MC` rows pass by; the sums of these rows wait in
//! a block of their own between two blocks of k. With B stored `[k, n]` a tile's vectors run along n; with B stored `[n, k]`
//! (nt) they run along k, and their lanes are added up at the end.

use super::format::{Bf16, Bf16F32, F32, Format, Int8, Shared, by_format, refuses};
use crate::device::Pool;
use crate::kernels::{Args, Body, CpuKernel};
use crate::ops::{Matmul, Transpose};

/// `matmul/blocked`.
pub static BLOCKED: CpuKernel = CpuKernel {
    id: "matmul/blocked",
    about: "cache blocks and small tiles in plain code, vectorized by the compiler; no packing",
    provider: "own",
    prologue: None,
    refuses,
    build: |on, case, _| {
        let wide = on.isa.avx2;
        Ok(if wide {
            by_format(
                case,
                body::<F32, true>,
                body::<Bf16, true>,
                body::<Bf16F32, true>,
                body::<Int8, true>,
            )
        } else {
            by_format(
                case,
                body::<F32, false>,
                body::<Bf16, false>,
                body::<Bf16F32, false>,
                body::<Int8, false>,
            )
        })
    },
};

/// Rows whose sums wait at a time.
const MC: usize = 64;
/// Length of a block of k.
const KC: usize = 512;
/// Rows of a tile.
const MR: usize = 4;
/// Columns of a tile that runs along n.
const WIDE: usize = 16;
/// Columns of a tile that runs along k, and the lanes of its sums.
const DOTS: usize = 4;
const LANES: usize = 8;

/// Strides of one product's operands, which start at element 0.
#[derive(Clone, Copy)]
struct Strides {
    a: (usize, usize),
    b: (usize, usize),
}

fn body<F: Format, const AVX2: bool>(p: Matmul) -> Body {
    let products = p.products();
    let strides = Strides { a: p.a_strides(), b: p.b_strides() };
    Box::new(move |args: &mut Args<'_>| {
        let (a, b) = (args.read[0].as_ref::<F::In>(), args.read[1].as_ref::<F::In>());
        let c = Shared::new(args.written[0].as_mut::<F::Out>());
        args.pool.run(|thread| {
            let mine = Pool::share(p.m * p.batch, MR, thread, args.pool.threads());
            for product in &products {
                let start = product.c / p.n.max(1);
                let (from, to) = (start.max(mine.start), (start + product.rows).min(mine.end));
                for row in (from..to).step_by(MC) {
                    let rows = MC.min(to - row);
                    // Nothing is left of empty operands.
                    let from = product.a + (row - start) * strides.a.0;
                    let a = a.get(from..).unwrap_or_default();
                    // SAFETY: rows of C that lie in this thread's share alone.
                    let c = unsafe { c.part(row * p.n, rows * p.n) };
                    let b = &b[product.b..];
                    #[cfg(target_arch = "x86_64")]
                    if AVX2 {
                        // SAFETY: `build` chose this path because the processor has AVX2.
                        unsafe { rows_avx2::<F>(&p, strides, a, b, rows, c) };
                        continue;
                    }
                    row_block::<F>(&p, strides, a, b, rows, c);
                }
            }
        });
    })
}

/// [`row_block`], compiled for 256-bit vectors.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn rows_avx2<F: Format>(
    p: &Matmul,
    strides: Strides,
    a: &[F::In],
    b: &[F::In],
    rows: usize,
    c: &mut [F::Out],
) {
    row_block::<F>(p, strides, a, b, rows, c)
}

/// Up to `MC` rows of C.
#[inline(always)]
fn row_block<F: Format>(
    p: &Matmul,
    strides: Strides,
    a: &[F::In],
    b: &[F::In],
    rows: usize,
    c: &mut [F::Out],
) {
    let mut column = 0;
    while column < p.n {
        let b = &b[(column * strides.b.1).min(b.len())..];
        let left = p.n - column;
        column += match p.transpose {
            Transpose::Nt if left >= DOTS => {
                strip::<F, true, DOTS>(p, strides, a, b, rows, column, c)
            }
            Transpose::Nt => strip::<F, true, 1>(p, strides, a, b, rows, column, c),
            _ if left >= WIDE => strip::<F, false, WIDE>(p, strides, a, b, rows, column, c),
            _ => strip::<F, false, 1>(p, strides, a, b, rows, column, c),
        };
    }
}

/// `W` columns of C from `column` on, for all `rows`; returns `W`.
#[inline(always)]
fn strip<F: Format, const DOT: bool, const W: usize>(
    p: &Matmul,
    strides: Strides,
    a: &[F::In],
    b: &[F::In],
    rows: usize,
    column: usize,
    c: &mut [F::Out],
) -> usize {
    let mut sums = [[F::Sum::default(); W]; MC];
    for k0 in (0..p.k).step_by(KC) {
        let depth = KC.min(p.k - k0);
        let b = &b[k0 * strides.b.0..];
        let mut row = 0;
        while row < rows {
            let a = &a[row * strides.a.0 + k0 * strides.a.1..];
            row += if rows - row >= MR {
                tile::<F, DOT, MR, W>(strides, depth, a, b, &mut sums[row..])
            } else {
                tile::<F, DOT, 1, W>(strides, depth, a, b, &mut sums[row..])
            };
        }
    }
    for (sums, c) in sums.iter().zip(c.chunks_exact_mut(p.n)).take(rows) {
        for (sum, c) in sums.iter().zip(&mut c[column..column + W]) {
            *c = F::finish(*sum);
        }
    }
    W
}

/// Adds `R` × `W` sums of `depth` terms to the first rows of `sums`; returns `R`.
#[inline(always)]
fn tile<F: Format, const DOT: bool, const R: usize, const W: usize>(
    strides: Strides,
    depth: usize,
    a: &[F::In],
    b: &[F::In],
    sums: &mut [[F::Sum; W]],
) -> usize {
    let mut tile = [[F::Sum::default(); W]; R];
    if DOT {
        let a: [&[F::In]; R] = std::array::from_fn(|r| &a[r * strides.a.0..][..depth]);
        let b: [&[F::In]; W] = std::array::from_fn(|w| &b[w * strides.b.1..][..depth]);
        let mut lanes = [[[F::Sum::default(); LANES]; W]; R];
        let whole = depth / LANES * LANES;
        for k in (0..whole).step_by(LANES) {
            for r in 0..R {
                for w in 0..W {
                    let (x, y) = (&a[r][k..k + LANES], &b[w][k..k + LANES]);
                    for l in 0..LANES {
                        let sum = &mut lanes[r][w][l];
                        *sum = F::add_term(*sum, F::widen(x[l]), F::widen(y[l]));
                    }
                }
            }
        }
        for r in 0..R {
            for w in 0..W {
                tile[r][w] = lanes[r][w].into_iter().fold(F::Sum::default(), F::add);
                for k in whole..depth {
                    tile[r][w] = F::add_term(tile[r][w], F::widen(a[r][k]), F::widen(b[w][k]));
                }
            }
        }
    } else {
        for k in 0..depth {
            let y: &[F::In; W] = b[k * strides.b.0..][..W].try_into().expect("a row of the strip");
            for (r, tile) in tile.iter_mut().enumerate() {
                let x = F::widen(a[r * strides.a.0 + k * strides.a.1]);
                for w in 0..W {
                    tile[w] = F::add_term(tile[w], x, F::widen(y[w]));
                }
            }
        }
    }
    for (sums, tile) in sums.iter_mut().zip(tile) {
        for w in 0..W {
            sums[w] = F::add(sums[w], tile[w]);
        }
    }
    R
}
