//! The backward pass with recomputation, after FlashAttention-2 (Dao 2023, algorithm 2).
//!
//! All operands of a KV head and its query heads are packed once, each in the directions that its products run. A work item is
//! a block of keys, against every block of queries that sees them: scores are recomputed, probabilities come from the
//! saved log-sum-exp, and dK and dV of the block stay in its thread. dQ gets a part from every block of keys, so each thread
//! sums its own, and the sums meet at the end: no thread ever waits for another inside a head.

use half::bf16;

use crate::device::Pool;
use crate::kernels::attention::io::OutPtr;
use crate::kernels::attention::team::{Team, Workspace, over_heads, teams};
use crate::ops::{Attention, Tensor};

use super::gradient::{BLOCK, LD, Operands, Packed, Plan, Scratch, pack_keys, pack_queries};
use super::micro::{ACROSS, ADD, PACKED, ROWS, SET, Tile};
use super::pack::CHUNK;
use super::vector::{Format, Simd, exp2};

/// The backward pass of one problem, with its workspace.
pub struct Backward<S, F> {
    s: S,
    plan: Plan,
    packed: Workspace,
    scratch: Workspace,
    format: std::marker::PhantomData<F>,
}

impl<S: Simd, F: Format> Backward<S, F> {
    /// Allocates for `shape` and `threads`.
    pub fn new(s: S, shape: Attention, threads: usize) -> Self {
        let plan = Plan::new::<S, F>(shape);
        let teams = teams(shape.batch * shape.kv_heads, threads);
        Backward {
            s,
            plan,
            packed: Workspace::new(teams, plan.packed(None).0),
            scratch: Workspace::new(threads, plan.scratch::<S>(None).0),
            format: std::marker::PhantomData,
        }
    }

    /// Writes dQ, dK and dV from Q, K, V, dO, the output and the log-sum-exp.
    pub fn run(&mut self, pool: &Pool, read: &[Tensor], [dq, dk, dv]: [OutPtr; 3]) {
        let [q, k, v, dout, out, lse] = read else {
            unreachable!("a backward pass reads four operands and two saved tensors")
        };
        let operands = Operands::<F::Elem> {
            q: q.as_ref(),
            k: k.as_ref(),
            v: v.as_ref(),
            dout: dout.as_ref(),
            out,
            lse: lse.as_ref(),
        };
        let (s, plan, shape) = (self.s, self.plan, self.plan.shape);
        let (packed, scratch) = (self.packed.parts(), self.scratch.parts());
        let own = |thread| plan.scratch::<S>(Some(scratch(thread))).1.expect("cut from a part");
        over_heads(pool, shape.batch * shape.kv_heads, |team: &Team<'_>, kv_head| {
            let packed = plan.packed(Some(packed(team.slot()))).1.expect("cut from a part");
            let (key_chunks, query_chunks) = (plan.keys / CHUNK, plan.queries / CHUNK);
            let sums = team.threads();
            team.each(key_chunks + shape.group() * query_chunks + sums.len(), |_, job| {
                s.vectorize(
                    #[inline(always)]
                    || {
                        // SAFETY: every chunk and every thread's dQ has one worker, before any is read.
                        unsafe {
                            if job < key_chunks {
                                pack_keys::<S, F>(&plan, packed, &operands, kv_head, job);
                            } else if let Some(thread) =
                                (job - key_chunks).checked_sub(shape.group() * query_chunks)
                            {
                                let len = shape.group() * plan.queries * plan.width_qk;
                                own(sums.start + thread).dq.slice(0, len).fill(0.0);
                            } else {
                                let job = job - key_chunks;
                                let (member, chunk) = (job / query_chunks, job % query_chunks);
                                pack_queries::<S, F>(
                                    &plan, packed, &operands, kv_head, member, chunk,
                                );
                            }
                        }
                    },
                );
            });
            team.each(key_chunks, |thread, block| {
                let block = Block::<S, F> {
                    s,
                    plan,
                    packed,
                    scratch: own(thread),
                    first: block * BLOCK,
                    cols: BLOCK.min(shape.seq_kv - block * BLOCK),
                    format: std::marker::PhantomData,
                };
                s.vectorize(
                    #[inline(always)]
                    || {
                        // SAFETY: the packed operands are complete, the scratch is this thread's own, and no other item
                        // writes these rows of dK and dV.
                        unsafe { block.run(kv_head, dk, dv) }
                    },
                );
            });
            team.each(shape.group() * query_chunks, |_, job| {
                let (member, chunk) = (job / query_chunks, job % query_chunks);
                s.vectorize(
                    #[inline(always)]
                    || {
                        for i in chunk * CHUNK..((chunk + 1) * CHUNK).min(shape.seq_q) {
                            let at = (member * plan.queries + i) * plan.width_qk;
                            let total = own(sums.start).dq;
                            for thread in sums.start + 1..sums.end {
                                // SAFETY: all blocks are done, and every row has one worker.
                                unsafe {
                                    add(s, total.at(at), own(thread).dq.at(at), plan.width_qk);
                                }
                            }
                            let row = (kv_head * shape.group() + member) * shape.seq_q + i;
                            let width = shape.head_dim_qk;
                            // SAFETY: as above, and for this row of dQ too.
                            unsafe {
                                dq.write(s, row * width, total.at(at), width, shape.scale() as f32);
                            }
                        }
                    },
                );
            });
        });
    }
}

/// `to += from`, whole registers.
///
/// # Safety
/// Both are valid for `len` numbers, a multiple of the lanes, and nobody else uses `to`.
#[inline(always)]
unsafe fn add<S: Simd>(s: S, to: *mut f32, from: *const f32, len: usize) {
    for i in (0..len).step_by(S::LANES) {
        // SAFETY: the caller vouches for the range.
        unsafe { s.store(to.add(i), s.add(s.load(to.add(i)), s.load(from.add(i)))) };
    }
}

/// One work item: a block of keys against all the queries that see it.
struct Block<S, F> {
    s: S,
    plan: Plan,
    packed: Packed,
    scratch: Scratch,
    first: usize,
    cols: usize,
    format: std::marker::PhantomData<F>,
}

impl<S: Simd, F: Format> Block<S, F> {
    /// The first query that sees key `key`.
    #[inline(always)]
    fn first_query(&self, key: usize) -> usize {
        let shape = &self.plan.shape;
        if shape.causal { (key + shape.seq_q).saturating_sub(shape.seq_kv) } else { 0 }
    }

    /// # Safety
    /// The packed operands are complete, and nobody else uses the scratch or writes these rows of dK and dV.
    #[inline(always)]
    unsafe fn run(&self, kv_head: usize, dk: OutPtr, dv: OutPtr) {
        let (s, plan, shape) = (self.s, &self.plan, &self.plan.shape);
        // SAFETY: the scratch has this room, for this thread alone.
        unsafe {
            self.scratch.dk.slice(0, BLOCK * plan.width_qk).fill(0.0);
            self.scratch.dv.slice(0, BLOCK * plan.width_v).fill(0.0);
        }
        for member in 0..shape.group() {
            let start = self.first_query(self.first) / BLOCK * BLOCK;
            for from in (start..shape.seq_q).step_by(BLOCK) {
                let rows = BLOCK.min(shape.seq_q - from);
                for row in (0..rows).step_by(S::MR) {
                    let last = (row + S::MR).min(rows) - 1;
                    let seen = shape.visible(from + last);
                    if seen > self.first {
                        let cols = self.cols.min(seen - self.first);
                        // SAFETY: the caller's obligations are the same.
                        unsafe { self.queries(member, from, row, rows, cols) };
                    }
                }
                // SAFETY: the caller's obligations are the same.
                unsafe { self.sum(member, from, rows) };
            }
        }
        for j in 0..self.cols {
            let row = kv_head * shape.seq_kv + self.first + j;
            // SAFETY: these rows are this item's own.
            unsafe {
                let (from_k, from_v) =
                    (self.scratch.dk.at(j * plan.width_qk), self.scratch.dv.at(j * plan.width_v));
                let (qk, v) = (shape.head_dim_qk, shape.head_dim_v);
                dk.write(s, row * qk, from_k, qk, shape.scale() as f32);
                dv.write(s, row * v, from_v, v, 1.0);
            }
        }
    }

    /// P, dS and the part of dQ of the row tile `from + row …`.
    #[inline(always)]
    unsafe fn queries(&self, member: usize, from: usize, row: usize, rows: usize, cols: usize) {
        let (s, plan, own) = (self.s, &self.plan, self.scratch);
        let query = member * plan.queries + from + row;
        for panel in 0..cols.div_ceil(S::NR) {
            let key = self.first + panel * S::NR;
            // SAFETY: packed operands have whole tiles beyond the last row, and the buffers whole panels.
            unsafe {
                s.tile::<F, PACKED, LD, SET>(Tile {
                    depth: plan.words_qk,
                    a: self.packed.q.at(query * plan.words_qk),
                    b: self.packed.k.at(key * plan.words_qk),
                    c: own.scores.at(panel * S::NR),
                    ldc: LD,
                    alpha: std::ptr::null(),
                });
                s.tile::<F, PACKED, LD, SET>(Tile {
                    depth: plan.words_v,
                    a: self.packed.dout.at(query * plan.words_v),
                    b: self.packed.v.at(key * plan.words_v),
                    c: own.dp.at(panel * S::NR),
                    ldc: LD,
                    alpha: std::ptr::null(),
                });
            }
        }
        for i in (0..S::MR).step_by(2) {
            // SAFETY: the caller's obligations are the same; tiles have an even number of rows.
            unsafe { self.pair(query, from, row, rows, i, cols) };
        }
        for panel in 0..plan.width_qk / S::NR {
            // SAFETY: as above; this thread's dQ has whole tiles beyond the last query.
            unsafe {
                s.tile::<F, ROWS, LD, ADD>(Tile {
                    depth: cols.div_ceil(F::PER_WORD),
                    a: if F::PER_WORD == 1 {
                        own.ds.at(row * LD)
                    } else {
                        own.ds_rows.at(row * LD)
                    },
                    b: self
                        .packed
                        .k_along
                        .at((panel * plan.words_keys + self.first / F::PER_WORD) * S::NR),
                    c: own.dq.at(query * plan.width_qk + panel * S::NR),
                    ldc: plan.width_qk,
                    alpha: std::ptr::null(),
                });
            }
        }
    }

    /// Rows i and i + 1 of a row tile: scores and dP become P and dS, zero where the mask hides them.
    #[inline(always)]
    unsafe fn pair(
        &self,
        query: usize,
        from: usize,
        row: usize,
        rows: usize,
        i: usize,
        cols: usize,
    ) {
        let (s, own, shape) = (self.s, self.scratch, &self.plan.shape);
        let factor = s.splat((shape.scale() * std::f64::consts::LOG2_E) as f32);
        // A tile of keys may reach past the panels of these rows, into what other queries left.
        let padded = (cols.next_multiple_of(S::NR) + 16).min(LD);
        let seen = [i, i + 1].map(|i| {
            let index = (from + row + i).min(from + rows - 1);
            shape.visible(index).saturating_sub(self.first).min(cols)
        });
        // SAFETY: buffers have rows of `LD` ≥ `padded`, and the packed rows whole tiles.
        unsafe {
            let (lse, d) = (self.packed.lse.at(query + i), self.packed.d.at(query + i));
            let lse = [s.splat(-*lse), s.splat(-*lse.add(1))];
            let d = [s.splat(*d), s.splat(*d.add(1))];
            for j in (0..padded).step_by(S::LANES) {
                let mut p = [s.splat(0.0); 2];
                let mut ds = p;
                for r in 0..2 {
                    if j < seen[r] {
                        let at = (i + r) * LD + j;
                        p[r] = exp2(s, s.fma(s.load(own.scores.at(at)), factor, lse[r]));
                        ds[r] = s.mul(p[r], s.sub(s.load(own.dp.at(at)), d[r]));
                        if j + S::LANES > seen[r] {
                            p[r] = s.keep_first(p[r], seen[r] - j);
                            ds[r] = s.keep_first(ds[r], seen[r] - j);
                        }
                    }
                }
                if F::PER_WORD == 1 {
                    for r in 0..2 {
                        s.store(own.p.at((row + i + r) * LD + j), p[r]);
                        s.store(own.ds.at((row + i + r) * LD + j), ds[r]);
                    }
                } else {
                    s.store(own.p.at((row + i) / 2 * LD + j), s.pairs(p[0], p[1]));
                    s.store(own.ds.at((row + i) / 2 * LD + j), s.pairs(ds[0], ds[1]));
                    for (r, &ds) in ds.iter().enumerate() {
                        let line = own.ds_rows.at((row + i + r) * LD).cast::<bf16>();
                        s.store_bf16(line.add(j), ds);
                    }
                }
            }
        }
    }

    /// Adds what a block of queries contributes to dK and dV.
    #[inline(always)]
    unsafe fn sum(&self, member: usize, from: usize, rows: usize) {
        let (s, plan, own) = (self.s, &self.plan, self.scratch);
        let ends = rows.div_ceil(F::PER_WORD);
        for j in (0..self.cols).step_by(S::MR) {
            let start = self.first_query(self.first + j).saturating_sub(from) / F::PER_WORD;
            if start >= ends {
                break;
            }
            let word = from / F::PER_WORD + start;
            // SAFETY: P and dS have a row of words for each step and room for a whole tile of keys; the packed queries have a
            // panel of all steps for each tile of columns; the sums have whole tiles.
            unsafe {
                for panel in 0..plan.width_v / S::NR {
                    let line = (member * plan.width_v / S::NR + panel) * plan.words_queries + word;
                    s.tile::<F, ACROSS, LD, ADD>(Tile {
                        depth: ends - start,
                        a: own.p.at(start * LD + j),
                        b: self.packed.dout_along.at(line * S::NR),
                        c: own.dv.at(j * plan.width_v + panel * S::NR),
                        ldc: plan.width_v,
                        alpha: std::ptr::null(),
                    });
                }
                for panel in 0..plan.width_qk / S::NR {
                    let line = (member * plan.width_qk / S::NR + panel) * plan.words_queries + word;
                    s.tile::<F, ACROSS, LD, ADD>(Tile {
                        depth: ends - start,
                        a: own.ds.at(start * LD + j),
                        b: self.packed.q_along.at(line * S::NR),
                        c: own.dk.at(j * plan.width_qk + panel * S::NR),
                        ldc: plan.width_qk,
                        alpha: std::ptr::null(),
                    });
                }
            }
        }
    }
}
