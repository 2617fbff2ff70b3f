//! What the backward pass keeps in memory, and how its operands get there.

use half::bf16;

use crate::kernels::attention::team::Shared;
use crate::ops::{Attention, DType, Tensor};

use super::pack::{self, CHUNK, Rows};
use super::vector::{Elem, Format, Simd};

/// Keys of a work item, and queries of a block; a chunk of the packed operands.
pub const BLOCK: usize = CHUNK;
/// Row length of the score buffers.
pub const LD: usize = BLOCK + 16;

/// Sizes in f32 that follow from the problem and the tiles.
#[derive(Clone, Copy)]
pub struct Plan {
    pub shape: Attention,
    /// Padded rows and widths.
    pub queries: usize,
    pub keys: usize,
    pub width_qk: usize,
    pub width_v: usize,
    /// Words of a row of Q and K, and of V and dO.
    pub words_qk: usize,
    pub words_v: usize,
    /// Words of a column of the queries of one head, and of the keys.
    pub words_queries: usize,
    pub words_keys: usize,
}

/// Where the packed operands of a KV head lie.
#[derive(Clone, Copy)]
pub struct Packed {
    /// K along its rows, K and V across them.
    pub k_along: Shared<f32>,
    pub k: Shared<f32>,
    pub v: Shared<f32>,
    /// For each query head: Q and dO both ways, the log-sum-exp in powers of two and D of each row.
    pub q: Shared<f32>,
    pub q_along: Shared<f32>,
    pub dout: Shared<f32>,
    pub dout_along: Shared<f32>,
    pub lse: Shared<f32>,
    pub d: Shared<f32>,
}

/// A thread's own memory.
#[derive(Clone, Copy)]
pub struct Scratch {
    /// Scores and dP of a row tile.
    pub scores: Shared<f32>,
    pub dp: Shared<f32>,
    /// P and dS of a block, in the format's words across the queries, and dS along the keys.
    pub p: Shared<f32>,
    pub ds: Shared<f32>,
    pub ds_rows: Shared<f32>,
    /// Sums of the block of keys.
    pub dk: Shared<f32>,
    pub dv: Shared<f32>,
    /// This thread's part of dQ, for all heads of the group.
    pub dq: Shared<f32>,
}

/// Cuts a part of a workspace into consecutive pieces, and knows how long they are together.
struct Cutter {
    part: Option<Shared<f32>>,
    next: usize,
}

impl Cutter {
    fn take(&mut self, len: usize) -> Option<Shared<f32>> {
        // SAFETY: the part was allocated by the same cuts, made without one.
        let at = self.part.map(|part| unsafe { part.offset(self.next) });
        self.next += len.next_multiple_of(16);
        at
    }
}

impl Plan {
    pub fn new<S: Simd, F: Format>(shape: Attention) -> Self {
        let (queries, keys) =
            (shape.seq_q.next_multiple_of(CHUNK), shape.seq_kv.next_multiple_of(CHUNK));
        Plan {
            shape,
            queries,
            keys,
            width_qk: shape.head_dim_qk.next_multiple_of(S::NR),
            width_v: shape.head_dim_v.next_multiple_of(S::NR),
            words_qk: pack::words::<F>(shape.head_dim_qk),
            words_v: pack::words::<F>(shape.head_dim_v),
            words_queries: pack::words::<F>(queries),
            words_keys: pack::words::<F>(keys),
        }
    }

    pub fn packed(&self, part: Option<Shared<f32>>) -> (usize, Option<Packed>) {
        let group = self.shape.group();
        let mut cut = Cutter { part, next: 0 };
        let k_along = cut.take(self.width_qk * self.words_keys);
        let k = cut.take(self.keys * self.words_qk);
        let v = cut.take(self.keys * self.words_v);
        let q = cut.take(group * self.queries * self.words_qk);
        let q_along = cut.take(group * self.width_qk * self.words_queries);
        let dout = cut.take(group * self.queries * self.words_v);
        let dout_along = cut.take(group * self.width_v * self.words_queries);
        let lse = cut.take(group * self.queries);
        let d = cut.take(group * self.queries);
        let made = || {
            Some(Packed {
                k_along: k_along?,
                k: k?,
                v: v?,
                q: q?,
                q_along: q_along?,
                dout: dout?,
                dout_along: dout_along?,
                lse: lse?,
                d: d?,
            })
        };
        (cut.next, made())
    }

    pub fn scratch<S: Simd>(&self, part: Option<Shared<f32>>) -> (usize, Option<Scratch>) {
        let mut cut = Cutter { part, next: 0 };
        let scores = cut.take(S::MR * LD);
        let dp = cut.take(S::MR * LD);
        let p = cut.take(BLOCK * LD);
        let ds = cut.take(BLOCK * LD);
        let ds_rows = cut.take(BLOCK * LD);
        let dk = cut.take(BLOCK * self.width_qk);
        let dv = cut.take(BLOCK * self.width_v);
        let dq = cut.take(self.shape.group() * self.queries * self.width_qk);
        let made = || {
            Some(Scratch {
                scores: scores?,
                dp: dp?,
                p: p?,
                ds: ds?,
                ds_rows: ds_rows?,
                dk: dk?,
                dv: dv?,
                dq: dq?,
            })
        };
        (cut.next, made())
    }
}

/// The operands of a launch.
pub struct Operands<'a, E> {
    pub q: &'a [E],
    pub k: &'a [E],
    pub v: &'a [E],
    pub dout: &'a [E],
    pub out: &'a Tensor,
    pub lse: &'a [f32],
}

/// # Safety
/// Nobody else uses this chunk of the packed keys and values.
#[inline(always)]
pub unsafe fn pack_keys<S: Simd, F: Format>(
    plan: &Plan,
    packed: Packed,
    from: &Operands<'_, F::Elem>,
    kv_head: usize,
    chunk: usize,
) {
    let shape = &plan.shape;
    let k = Rows::of(from.k, kv_head, shape.seq_kv, shape.head_dim_qk);
    let v = Rows::of(from.v, kv_head, shape.seq_kv, shape.head_dim_v);
    let (qk, vv) = (CHUNK * plan.words_qk, CHUNK * plan.words_v);
    // SAFETY: the caller vouches for the chunk; the plan gave each operand its room.
    unsafe {
        pack::across::<F>(k, chunk, S::NR, packed.k.slice(chunk * qk, qk));
        pack::across::<F>(v, chunk, S::NR, packed.v.slice(chunk * vv, vv));
        pack::along::<F>(k, chunk, S::NR, packed.k_along);
    }
}

/// # Safety
/// Nobody else uses this chunk of the packed queries and output gradients.
#[inline(always)]
pub unsafe fn pack_queries<S: Simd, F: Format>(
    plan: &Plan,
    packed: Packed,
    from: &Operands<'_, F::Elem>,
    kv_head: usize,
    member: usize,
    chunk: usize,
) {
    let shape = &plan.shape;
    let head = kv_head * shape.group() + member;
    let q = Rows::of(from.q, head, shape.seq_q, shape.head_dim_qk);
    let dout = Rows::of(from.dout, head, shape.seq_q, shape.head_dim_v);
    let (qk, v) = (CHUNK * plan.words_qk, CHUNK * plan.words_v);
    let chunks = plan.queries / CHUNK;
    // SAFETY: the caller vouches for the chunk; the plan gave each operand its room for every member of the group.
    unsafe {
        pack::across::<F>(q, chunk, S::MR, packed.q.slice((member * chunks + chunk) * qk, qk));
        pack::across::<F>(dout, chunk, S::MR, packed.dout.slice((member * chunks + chunk) * v, v));
        let at = member * plan.width_qk * plan.words_queries;
        pack::along::<F>(q, chunk, S::NR, packed.q_along.offset(at));
        let at = member * plan.width_v * plan.words_queries;
        pack::along::<F>(dout, chunk, S::NR, packed.dout_along.offset(at));
        let at = member * plan.queries + chunk * CHUNK;
        let (lse, d) = (packed.lse.slice(at, CHUNK), packed.d.slice(at, CHUNK));
        let width = shape.head_dim_v;
        for (i, (lse, d)) in lse.iter_mut().zip(d).enumerate() {
            let query = chunk * CHUNK + i;
            // Rows beyond the end get probabilities of next to nothing, and gradients of zero.
            (*lse, *d) = (1e30, 0.0);
            if query < shape.seq_q {
                let row = head * shape.seq_q + query;
                let gradient = &from.dout[row * width..][..width];
                *lse = from.lse[row] * std::f32::consts::LOG2_E;
                *d = match from.out.spec.dtype {
                    DType::Bf16 => {
                        dot(gradient, &from.out.as_ref::<bf16>()[row * width..][..width])
                    }
                    _ => dot(gradient, &from.out.as_ref::<f32>()[row * width..][..width]),
                };
            }
        }
    }
}

/// Sixteen partial sums, so that the compiler may use vectors.
#[inline(always)]
fn dot<A: Elem, B: Elem>(a: &[A], b: &[B]) -> f32 {
    let mut sums = [0.0; 16];
    for (a, b) in a.chunks(16).zip(b.chunks(16)) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a.wide() * b.wide();
        }
    }
    sums.iter().sum()
}
