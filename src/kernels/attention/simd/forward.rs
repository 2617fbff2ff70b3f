//! Tiled online softmax on the CPU, after FlashAttention-2 (Dao 2023).
//!
//! K and V of a head are packed into panels once and shared by the query heads of its group and by all threads. A work item is
//! a block of queries of one head: for every block of keys, each row tile computes its scores into a buffer that stays in
//! the first-level cache, turns them into probabilities against the running maximum, and adds their product with V to the
//! unnormalized output. Keys beyond the last that a row tile sees are never touched.

use crate::device::Pool;
use crate::kernels::attention::io::OutPtr;
use crate::kernels::attention::team::{Shared, Team, Workspace, over_heads, teams};
use crate::ops::Attention;

use super::micro::{PACKED, RESCALE, ROWS, SET, Tile};
use super::pack::{self, CHUNK, Rows};
use super::vector::{Format, Simd, exp2};

/// Keys that a row tile goes through between two rescalings.
const KEYS: usize = 256;
/// Row length of the score buffer; the odd line keeps rows out of each other's cache sets.
const LD: usize = KEYS + 16;
/// Queries of a work item.
const QUERIES: usize = CHUNK;

/// The forward pass of one problem, with its workspace.
pub struct Forward<S, F> {
    s: S,
    shape: Attention,
    packed: Workspace,
    scratch: Workspace,
    format: std::marker::PhantomData<F>,
}

/// Where an item keeps its state.
#[derive(Clone, Copy)]
struct Scratch {
    /// The queries, packed.
    q: *mut f32,
    /// Scores, then probabilities, of a row tile.
    scores: *mut f32,
    /// Unnormalized output.
    out: *mut f32,
    /// Running maxima of the raw scores.
    max: *mut f32,
    /// Running sums of the exponentials.
    sum: *mut f32,
    /// Factors of a rescaling.
    alpha: *mut f32,
}

impl<S: Simd, F: Format> Forward<S, F> {
    /// Allocates for `shape` and `threads`.
    pub fn new(s: S, shape: Attention, threads: usize) -> Self {
        let width_out = shape.head_dim_v.next_multiple_of(S::NR);
        let packed = pack::across_len::<F>(shape.seq_kv, shape.head_dim_qk)
            + pack::along_len::<F>(shape.seq_kv, shape.head_dim_v, S::NR);
        let scratch =
            QUERIES * (pack::words::<F>(shape.head_dim_qk) + width_out + 2) + S::MR * LD + 64;
        let teams = teams(shape.batch * shape.kv_heads, threads);
        Forward {
            s,
            shape,
            packed: Workspace::new(teams, packed),
            scratch: Workspace::new(threads, scratch),
            format: std::marker::PhantomData,
        }
    }

    /// Writes the output and, where it is given, the natural log-sum-exp of every row.
    pub fn run(
        &mut self,
        pool: &Pool,
        [q, k, v]: [&[F::Elem]; 3],
        out: OutPtr,
        lse: Option<Shared<f32>>,
    ) {
        let shape = self.shape;
        let (s, packed, scratch) = (self.s, self.packed.parts(), self.scratch.parts());
        let values = pack::across_len::<F>(shape.seq_kv, shape.head_dim_qk);
        over_heads(pool, shape.batch * shape.kv_heads, |team: &Team<'_>, kv_head| {
            let keys = packed(team.slot());
            // SAFETY: the part of a team holds both packed operands.
            let vals = unsafe { keys.offset(values) };
            team.each(shape.seq_kv.div_ceil(CHUNK), |_, chunk| {
                let k = Rows::of(k, kv_head, shape.seq_kv, shape.head_dim_qk);
                let v = Rows::of(v, kv_head, shape.seq_kv, shape.head_dim_v);
                s.vectorize(
                    #[inline(always)]
                    || {
                        // SAFETY: the workspace was allocated for these operands, and every chunk has one worker.
                        unsafe {
                            let part = CHUNK * pack::words::<F>(k.width);
                            pack::across::<F>(k, chunk, S::NR, keys.slice(chunk * part, part));
                            pack::along::<F>(v, chunk, S::NR, vals);
                        }
                    },
                );
            });
            let blocks = shape.seq_q.div_ceil(QUERIES);
            team.each(shape.group() * blocks, |thread, item| {
                // The longest rows of a causal mask first: short ones fill the gaps at the end.
                let (block, member) = (blocks - 1 - item / shape.group(), item % shape.group());
                let head = kv_head * shape.group() + member;
                let block = Block::<S, F> {
                    s,
                    shape,
                    // SAFETY: both are inside the part of the team, and only read from here on.
                    keys: unsafe { keys.at(0) },
                    // SAFETY: as above.
                    values: unsafe { vals.at(0) },
                    scratch: Scratch::new::<S, F>(&shape, scratch(thread)),
                    first: block * QUERIES,
                    rows: QUERIES.min(shape.seq_q - block * QUERIES),
                    format: std::marker::PhantomData,
                };
                let q = Rows::of(q, head, shape.seq_q, shape.head_dim_qk);
                s.vectorize(
                    #[inline(always)]
                    || {
                        // SAFETY: the packed operands are complete, the scratch is this thread's own, and no other item
                        // writes these rows of the results.
                        unsafe { block.run(q, head, out, lse) }
                    },
                );
            });
        });
    }
}

impl Scratch {
    fn new<S: Simd, F: Format>(shape: &Attention, part: Shared<f32>) -> Self {
        let q = QUERIES * pack::words::<F>(shape.head_dim_qk);
        let out = QUERIES * shape.head_dim_v.next_multiple_of(S::NR);
        let mut next = 0;
        let mut take = |len: usize| {
            // SAFETY: the part was allocated as the sum of these lengths.
            let at = unsafe { part.at(next) };
            next += len;
            at
        };
        Scratch {
            q: take(q),
            out: take(out),
            scores: take(S::MR * LD),
            max: take(QUERIES),
            sum: take(QUERIES),
            alpha: take(32),
        }
    }
}

/// One work item: a block of queries of one head against all the keys that it sees.
struct Block<S, F> {
    s: S,
    shape: Attention,
    keys: *const f32,
    values: *const f32,
    scratch: Scratch,
    first: usize,
    rows: usize,
    format: std::marker::PhantomData<F>,
}

impl<S: Simd, F: Format> Block<S, F> {
    /// # Safety
    /// Operands and scratch are as [`Forward::new`] lays them out, and nobody else uses the scratch or writes these rows.
    #[inline(always)]
    unsafe fn run(&self, q: Rows<'_, F::Elem>, head: usize, out: OutPtr, lse: Option<Shared<f32>>) {
        let Scratch { q: packed, max, sum, .. } = self.scratch;
        let words = pack::words::<F>(self.shape.head_dim_qk);
        let chunk = self.first / CHUNK;
        // SAFETY: a block of queries is one chunk, and the scratch holds one; maxima and sums have a place for each query.
        unsafe {
            let part = std::slice::from_raw_parts_mut(packed, CHUNK * words);
            pack::across::<F>(q, chunk, S::MR, part);
            for i in 0..QUERIES {
                *max.add(i) = f32::NEG_INFINITY;
                *sum.add(i) = 0.0;
            }
        }
        let visible = self.shape.visible(self.first + self.rows - 1);
        for from in (0..visible).step_by(KEYS) {
            for row in (0..self.rows).step_by(S::MR) {
                let last = (row + S::MR).min(self.rows) - 1;
                let seen = self.shape.visible(self.first + last);
                if seen > from {
                    // SAFETY: the caller's obligations are the same.
                    unsafe { self.tile(row, from, KEYS.min(seen - from)) };
                }
            }
        }
        // SAFETY: the caller's obligations are the same.
        unsafe { self.finish(head, out, lse) };
    }

    /// Rows `row …` of the block against keys `from … from + cols`.
    #[inline(always)]
    unsafe fn tile(&self, row: usize, from: usize, cols: usize) {
        let Scratch { q, scores, out, alpha, .. } = self.scratch;
        let (s, shape) = (self.s, &self.shape);
        let words = pack::words::<F>(shape.head_dim_qk);
        for panel in 0..cols.div_ceil(S::NR) {
            // SAFETY: the packed operands have whole panels beyond the last key and query, and a row of the score buffer
            // has room for `KEYS`, which whole panels make up.
            unsafe {
                s.tile::<F, PACKED, LD, SET>(Tile {
                    depth: words,
                    a: q.add(row * words),
                    b: self.keys.add((from + panel * S::NR) * words),
                    c: scores.add(panel * S::NR),
                    ldc: LD,
                    alpha,
                });
            }
        }
        // SAFETY: the caller's obligations are the same.
        unsafe { self.softmax(row, from, cols) };
        let width = shape.head_dim_v.next_multiple_of(S::NR);
        let all = pack::words::<F>(shape.seq_kv.next_multiple_of(CHUNK));
        for panel in 0..width / S::NR {
            // SAFETY: as above; the output has a row for each row of the block's tiles.
            unsafe {
                let tile = Tile {
                    depth: cols.div_ceil(F::PER_WORD),
                    a: scores,
                    b: self.values.add((panel * all + from / F::PER_WORD) * S::NR),
                    c: out.add(row * width + panel * S::NR),
                    ldc: width,
                    alpha,
                };
                if from == 0 {
                    s.tile::<F, ROWS, LD, SET>(tile);
                } else {
                    s.tile::<F, ROWS, LD, RESCALE>(tile);
                }
            }
        }
    }

    /// Turns the scores of a row tile into probabilities against the running maxima, in the format's words.
    #[inline(always)]
    unsafe fn softmax(&self, row: usize, from: usize, cols: usize) {
        let Scratch { scores, max, sum, alpha, .. } = self.scratch;
        let s = self.s;
        let factor = (self.shape.scale() * std::f64::consts::LOG2_E) as f32;
        let padded = cols.next_multiple_of(S::LANES);
        // SAFETY: a row of the score buffer holds `padded` numbers, maxima and sums one for each row of a tile, and `alpha`
        // whole registers for them.
        unsafe {
            for i in 0..S::MR {
                let line = scores.add(i * LD);
                let query = self.first + row + i;
                let seen = if row + i < self.rows {
                    self.shape.visible(query).saturating_sub(from).min(cols)
                } else {
                    cols
                };
                for j in seen..padded {
                    *line.add(j) = f32::NEG_INFINITY;
                }
                let mut top = [s.splat(f32::NEG_INFINITY); 2];
                for j in (0..padded).step_by(S::LANES) {
                    top[0] = s.max(top[0], s.load(line.add(j)));
                    top.swap(0, 1);
                }
                let before = *max.add(row + i);
                let now = before.max(s.largest(s.max(top[0], top[1])));
                *max.add(row + i) = now;
                *alpha.add(i) = (before - now) * factor;
            }
            for i in (0..S::MR).step_by(S::LANES) {
                s.store(alpha.add(i), exp2(s, s.load(alpha.add(i))));
            }
            for i in 0..S::MR {
                let line = scores.add(i * LD);
                let shift = s.splat(-*max.add(row + i) * factor);
                let scale = s.splat(factor);
                let mut total = s.splat(0.0);
                for j in (0..padded).step_by(S::LANES) {
                    let p = exp2(s, s.fma(s.load(line.add(j)), scale, shift));
                    total = s.add(total, p);
                    if F::PER_WORD == 1 {
                        s.store(line.add(j), p);
                    } else {
                        // Half as wide, so never ahead of what is still to be read.
                        s.store_bf16(line.cast::<half::bf16>().add(j), p);
                    }
                }
                *sum.add(row + i) = *sum.add(row + i) * *alpha.add(i) + s.sum(total);
            }
        }
    }

    /// Normalizes and writes the rows.
    #[inline(always)]
    unsafe fn finish(&self, head: usize, out: OutPtr, lse: Option<Shared<f32>>) {
        let width = self.shape.head_dim_v.next_multiple_of(S::NR);
        for i in 0..self.rows {
            let place = head * self.shape.seq_q + self.first + i;
            // SAFETY: the rows are this item's own, in scratch and results.
            unsafe {
                let (max, sum) = (*self.scratch.max.add(i), *self.scratch.sum.add(i));
                let line = self.scratch.out.add(i * width);
                out.write(
                    self.s,
                    place * self.shape.head_dim_v,
                    line,
                    self.shape.head_dim_v,
                    1.0 / sum,
                );
                if let Some(lse) = lse {
                    *lse.at(place) = max * self.shape.scale() as f32 + sum.ln();
                }
            }
        }
    }
}
