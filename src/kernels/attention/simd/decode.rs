//! One query a sequence against a KV cache: bound by memory, so the cache is streamed once for all query heads of a group.
//!
//! A work item is a part of the keys of one KV head. With many KV heads each is one part; with few the keys are split, as
//! in Flash-Decoding (Dao et al. 2023), and the parts' outputs are combined through their maxima and sums.

use crate::kernels::Body;
use crate::kernels::attention::io::OutPtr;
use crate::kernels::attention::team::{Shared, Workspace, deal};
use crate::ops::Attention;

use super::vector::{Elem, Simd, exp2};

/// Keys between two rescalings; their scores and values stay in the first two cache levels.
const KEYS: usize = 128;
/// Query heads that go through a key together.
const TOGETHER: usize = 4;
/// Registers of the output that are summed together for each of these heads.
const STRIP: usize = 4;

/// The sizes of a decode.
#[derive(Clone, Copy)]
struct Plan {
    shape: Attention,
    /// Parts that the keys of a head are split into, and the keys of each but the last.
    parts: usize,
    keys: usize,
    /// Padded widths of a query and of an output row.
    width_qk: usize,
    width_v: usize,
}

/// A work item's own memory.
#[derive(Clone, Copy)]
struct Scratch {
    q: Shared<f32>,
    scores: Shared<f32>,
    /// For each head of the group the maximum, the sum, and the unnormalized output: what a combination needs.
    partial: Shared<f32>,
}

impl Plan {
    fn new<S: Simd>(shape: Attention, threads: usize) -> Self {
        let heads = shape.batch * shape.kv_heads;
        let wanted = if heads.is_multiple_of(threads) || heads >= 8 * threads {
            1
        } else {
            (4 * threads).div_ceil(heads)
        };
        let keys = shape.seq_kv.div_ceil(wanted).next_multiple_of(KEYS);
        Plan {
            shape,
            parts: shape.seq_kv.div_ceil(keys),
            keys,
            width_qk: shape.head_dim_qk.next_multiple_of(S::LANES),
            width_v: shape.head_dim_v.next_multiple_of(STRIP * S::LANES),
        }
    }

    /// Numbers that one head of a group leaves in a part.
    fn partial(&self) -> usize {
        16 + self.width_v
    }

    fn len(&self) -> usize {
        self.group() * (self.width_qk + KEYS + self.partial())
    }

    /// Query heads of a group, padded.
    fn group(&self) -> usize {
        self.shape.group().next_multiple_of(TOGETHER)
    }

    fn scratch(&self, part: Shared<f32>) -> Scratch {
        // SAFETY: the part was allocated with `len`, the sum of these lengths.
        unsafe {
            Scratch {
                q: part,
                scores: part.offset(self.group() * self.width_qk),
                partial: part.offset(self.group() * (self.width_qk + KEYS)),
            }
        }
    }
}

/// The body of a decode with queries of `Q` and a cache of `C`.
pub fn body<S: Simd, Q: Elem, C: Elem>(s: S, shape: Attention, threads: usize) -> Body {
    let plan = Plan::new::<S>(shape, threads);
    let heads = shape.batch * shape.kv_heads;
    let mut memory = Workspace::new(heads * plan.parts, plan.len());
    Box::new(move |args| {
        let (q, k, v) =
            (args.read[0].as_ref::<Q>(), args.read[1].as_ref::<C>(), args.read[2].as_ref::<C>());
        let out = OutPtr::new(&mut args.written[0]);
        let memory = memory.parts();
        deal(args.pool, heads * plan.parts, |_, item| {
            let scratch = plan.scratch(memory(item));
            s.vectorize(
                #[inline(always)]
                || {
                    // SAFETY: the memory and, where a head is one part, the head's output are this item's own.
                    unsafe {
                        part(s, &plan, item, scratch, q, k, v);
                        if plan.parts == 1 {
                            combine(s, &plan, item, |_| scratch, out);
                        }
                    }
                },
            );
        });
        if plan.parts > 1 {
            deal(args.pool, heads, |_, head| {
                s.vectorize(
                    #[inline(always)]
                    || {
                        let of = |part| plan.scratch(memory(head * plan.parts + part));
                        // SAFETY: all parts are done, and the head's output and parts have this one worker.
                        unsafe { combine(s, &plan, head, of, out) }
                    },
                );
            });
        }
    })
}

/// Goes through the keys of one part.
///
/// # Safety
/// Nobody else uses the scratch.
#[inline(always)]
unsafe fn part<S: Simd, Q: Elem, C: Elem>(
    s: S,
    plan: &Plan,
    item: usize,
    scratch: Scratch,
    q: &[Q],
    k: &[C],
    v: &[C],
) {
    let shape = &plan.shape;
    let (head, from) = (item / plan.parts, item % plan.parts * plan.keys);
    let until = (from + plan.keys).min(shape.seq_kv);
    let (qk, vv) = (shape.head_dim_qk, shape.head_dim_v);
    let k = &k[head * shape.seq_kv * qk..][..shape.seq_kv * qk];
    let v = &v[head * shape.seq_kv * vv..][..shape.seq_kv * vv];
    let factor = (shape.scale() * std::f64::consts::LOG2_E) as f32;
    for g in 0..plan.group() {
        // SAFETY: the scratch has a row for each head of the padded group.
        let (row, partial) = unsafe {
            (
                scratch.q.slice(g * plan.width_qk, plan.width_qk),
                scratch.partial.slice(g * plan.partial(), plan.partial()),
            )
        };
        row.fill(0.0);
        if g < shape.group() {
            let from = &q[(head * shape.group() + g) * qk..][..qk];
            row.iter_mut().zip(from).for_each(|(to, x)| *to = x.wide() * factor);
        }
        partial.fill(0.0);
        partial[0] = f32::NEG_INFINITY;
    }
    for start in (from..until).step_by(KEYS) {
        let keys = KEYS.min(until - start);
        for g in (0..shape.group()).step_by(TOGETHER) {
            // SAFETY: the scratch has rows for whole bundles of heads, and the cache these keys.
            unsafe {
                match shape.group() - g {
                    1 => scores::<S, C, 1>(s, plan, scratch, g, &k[start * qk..], keys),
                    2 => scores::<S, C, 2>(s, plan, scratch, g, &k[start * qk..], keys),
                    _ => scores::<S, C, TOGETHER>(s, plan, scratch, g, &k[start * qk..], keys),
                }
            }
        }
        for g in 0..shape.group() {
            // SAFETY: as above.
            unsafe { softmax(s, plan, scratch, g, keys) };
        }
        for g in (0..shape.group()).step_by(TOGETHER) {
            // SAFETY: as above.
            unsafe {
                match shape.group() - g {
                    1 => values::<S, C, 1>(s, plan, scratch, g, &v[start * vv..], keys),
                    2 => values::<S, C, 2>(s, plan, scratch, g, &v[start * vv..], keys),
                    _ => values::<S, C, TOGETHER>(s, plan, scratch, g, &v[start * vv..], keys),
                }
            }
        }
    }
}

/// A register of the cache; lanes from `len` on are zero.
///
/// # Safety
/// `at` is valid for `len` numbers, or for a register of them.
#[inline(always)]
unsafe fn load<S: Simd, C: Elem>(s: S, at: *const C, len: usize) -> S::V {
    if len >= S::LANES {
        // SAFETY: the caller vouches for a register.
        return unsafe { C::load(s, at) };
    }
    let mut lanes = [C::ZERO; 16];
    for (i, lane) in lanes[..len].iter_mut().enumerate() {
        // SAFETY: the caller vouches for `len` numbers.
        *lane = unsafe { *at.add(i) };
    }
    // SAFETY: no register has more than 16 lanes.
    unsafe { C::load(s, lanes.as_ptr()) }
}

/// Scores of `keys` keys for heads `g … g + G`, in powers of two.
///
/// # Safety
/// The scratch has G rows from `g` on, for `keys` ≤ [`KEYS`].
#[inline(always)]
unsafe fn scores<S: Simd, C: Elem, const G: usize>(
    s: S,
    plan: &Plan,
    scratch: Scratch,
    g: usize,
    k: &[C],
    keys: usize,
) {
    let width = plan.shape.head_dim_qk;
    let whole = width / S::LANES * S::LANES;
    for j in 0..keys {
        let key = &k[j * width..][..width];
        let mut sums = [s.splat(0.0); G];
        for c in (0..whole).step_by(S::LANES) {
            // SAFETY: a register inside the key, and the scratch holds G rows.
            unsafe {
                let x = C::load(s, key.as_ptr().add(c));
                for (h, sum) in sums.iter_mut().enumerate() {
                    *sum = s.fma(x, s.load(scratch.q.at((g + h) * plan.width_qk + c)), *sum);
                }
            }
        }
        // SAFETY: as above, for what is left of the key.
        unsafe {
            if whole < width {
                let x = load(s, key.as_ptr().add(whole), width - whole);
                for (h, sum) in sums.iter_mut().enumerate() {
                    *sum = s.fma(x, s.load(scratch.q.at((g + h) * plan.width_qk + whole)), *sum);
                }
            }
            for (h, &sum) in sums.iter().enumerate() {
                *scratch.scores.at((g + h) * KEYS + j) = s.sum(sum);
            }
        }
    }
}

/// Turns the scores of head `g` into probabilities against its running maximum, and rescales its output.
///
/// # Safety
/// The scratch has a row for head `g`.
#[inline(always)]
unsafe fn softmax<S: Simd>(s: S, plan: &Plan, scratch: Scratch, g: usize, keys: usize) {
    // SAFETY: the caller vouches for the row.
    let (scores, partial) = unsafe {
        (
            scratch.scores.slice(g * KEYS, KEYS),
            scratch.partial.slice(g * plan.partial(), plan.partial()),
        )
    };
    let padded = keys.next_multiple_of(S::LANES);
    scores[keys..padded].fill(f32::NEG_INFINITY);
    let before = partial[0];
    let now = scores[..padded].iter().fold(before, |max, &x| if x > max { x } else { max });
    let alpha = (before - now).exp2();
    let mut total = s.splat(0.0);
    // SAFETY: whole registers of the two rows.
    unsafe {
        for j in (0..padded).step_by(S::LANES) {
            let at = scores.as_mut_ptr().add(j);
            let p = exp2(s, s.sub(s.load(at), s.splat(now)));
            total = s.add(total, p);
            s.store(at, p);
        }
        for c in (16..partial.len()).step_by(S::LANES) {
            let at = partial.as_mut_ptr().add(c);
            s.store(at, s.mul(s.load(at), s.splat(alpha)));
        }
    }
    partial[0] = now;
    partial[1] = partial[1] * alpha + s.sum(total);
}

/// Adds the weighted values of `keys` keys to the outputs of heads `g … g + G`.
///
/// # Safety
/// The scratch has G rows from `g` on, for `keys` ≤ [`KEYS`].
#[inline(always)]
unsafe fn values<S: Simd, C: Elem, const G: usize>(
    s: S,
    plan: &Plan,
    scratch: Scratch,
    g: usize,
    v: &[C],
    keys: usize,
) {
    let width = plan.shape.head_dim_v;
    for from in (0..width).step_by(STRIP * S::LANES) {
        // SAFETY: the caller's obligations are the same, and a strip is whole where it is said to be.
        unsafe {
            if from + STRIP * S::LANES <= width {
                strip::<S, C, G, true>(s, plan, scratch, g, v, keys, from);
            } else {
                strip::<S, C, G, false>(s, plan, scratch, g, v, keys, from);
            }
        }
    }
}

/// Columns `from …` of [`values`], as many as [`STRIP`] registers hold; `WHOLE`: all of them are there.
///
/// # Safety
/// As for [`values`]; with `WHOLE` the values are wide enough.
#[inline(always)]
unsafe fn strip<S: Simd, C: Elem, const G: usize, const WHOLE: bool>(
    s: S,
    plan: &Plan,
    scratch: Scratch,
    g: usize,
    v: &[C],
    keys: usize,
    from: usize,
) {
    let width = plan.shape.head_dim_v;
    let mut sums = [[s.splat(0.0); STRIP]; G];
    for j in 0..keys {
        let row = &v[j * width..][..width];
        let mut x = [s.splat(0.0); STRIP];
        for (n, x) in x.iter_mut().enumerate() {
            let at = from + n * S::LANES;
            // SAFETY: inside the row, as the caller vouches or as is asked here.
            unsafe {
                if WHOLE {
                    *x = C::load(s, row.as_ptr().add(at));
                } else if at < width {
                    *x = load(s, row.as_ptr().add(at), width - at);
                }
            }
        }
        for (h, sums) in sums.iter_mut().enumerate() {
            // SAFETY: the scratch has a score for this key and head.
            let p = s.splat(unsafe { *scratch.scores.at((g + h) * KEYS + j) });
            for (sum, &x) in sums.iter_mut().zip(&x) {
                *sum = s.fma(p, x, *sum);
            }
        }
    }
    for (h, sums) in sums.iter().enumerate() {
        for (n, &sum) in sums.iter().enumerate() {
            // SAFETY: the padded output row has whole strips.
            unsafe {
                let out = scratch.partial.at((g + h) * plan.partial() + 16 + from + n * S::LANES);
                s.store(out, s.add(s.load(out), sum));
            }
        }
    }
}

/// Joins the parts of a KV head, normalizes, and writes the outputs of its query heads.
///
/// # Safety
/// The parts are complete, and nobody else uses the first or writes these rows of the output.
#[inline(always)]
unsafe fn combine<S: Simd>(
    s: S,
    plan: &Plan,
    head: usize,
    of: impl Fn(usize) -> Scratch,
    out: OutPtr,
) {
    for g in 0..plan.shape.group() {
        // SAFETY: every part has a row for head `g`.
        let row = |part| unsafe {
            of(part).partial.slice(g * plan.partial(), plan.partial()) as *mut [f32]
        };
        // SAFETY: no two of these parts are the same, and none is used otherwise.
        unsafe {
            let total = &mut *row(0);
            for part in 1..plan.parts {
                let other = &*row(part);
                let max = total[0].max(other[0]);
                let (keep, take) = ((total[0] - max).exp2(), (other[0] - max).exp2());
                total[0] = max;
                for (x, y) in total[1..].iter_mut().zip(&other[1..]) {
                    *x = *x * keep + *y * take;
                }
            }
            let width = plan.shape.head_dim_v;
            let place = (head * plan.shape.group() + g) * width;
            out.write(s, place, total[16..].as_ptr(), width, 1.0 / total[1]);
        }
    }
}
