//! Online softmax over blocks of keys, in plain Rust that the compiler turns into vectors.
//!
//! K of a block is transposed, so that a block's scores grow along the keys and need no sums across lanes; nothing but one
//! row of a block's scores is ever materialized (Milakov and Gimelshein 2018; Rabe and Staats 2021).

use std::borrow::Cow;

use super::io::{self, OutPtr};
use super::simd::Portable;
use super::simd::vector::EXP2;
use super::team::{Workspace, deal};
use crate::device::{Capabilities, Pool};
use crate::error::Result;
use crate::kernels::{Args, Body, CpuKernel};
use crate::ops::{Attention, Case, Pass, Problem, Tensor};

/// Keys of a block.
const KEYS: usize = 64;

/// The middle of the ladder.
pub static BLOCKED: CpuKernel = CpuKernel {
    id: "attention/blocked",
    about: "online softmax over blocks of keys, plain Rust that autovectorizes",
    provider: "own",
    refuses,
    build,
    prologue: None,
};

fn refuses(on: &Capabilities, case: &Case) -> Option<Cow<'static, str>> {
    super::refuses(on, case).or_else(|| {
        (case.pass == Pass::Backward)
            .then(|| "has no backward pass; use attention/naive or attention/simd".into())
    })
}

fn build(_: &Capabilities, case: &Case, pool: &Pool) -> Result<Body> {
    let Problem::Attention(shape) = case.problem else {
        unreachable!("an attention kernel was asked for {:?}", case.problem)
    };
    // Queries and output of a head, a block of keys as it is and transposed, and one of values.
    let (qk, v) = (shape.head_dim_qk, shape.head_dim_v);
    let len = shape.seq_q * (qk + v + 2) + KEYS * (2 * qk + v);
    let mut memory = Workspace::new(pool.threads(), len);
    Ok(Box::new(move |args: &mut Args<'_>| {
        let memory = memory.parts();
        let out = OutPtr::new(&mut args.written[0]);
        deal(args.pool, shape.batch * shape.heads, |thread, head| {
            // SAFETY: each thread has a part of this length to itself.
            let memory = unsafe { memory(thread).slice(0, len) };
            forward(&shape, args.read, head, memory, out);
        });
    }))
}

/// `2ˣ`, as in the vector rung; branch-free, so that a loop over an array becomes vectors.
#[inline(always)]
fn exp2(x: f32) -> f32 {
    const MAGIC: f32 = 12_582_912.0;
    let x = if x > -126.0 { x } else { -126.0 };
    let shifted = x + MAGIC;
    let f = x - (shifted - MAGIC);
    let p = EXP2[..5].iter().rev().fold(EXP2[5], |p, c| p * f + c);
    f32::from_bits(p.to_bits().wrapping_add(shifted.to_bits() << 23))
}

fn forward(shape: &Attention, read: &[Tensor], head: usize, memory: &mut [f32], out: OutPtr) {
    let Attention { seq_q, seq_kv, head_dim_qk: qk, head_dim_v: vv, .. } = *shape;
    let kv_head = head / shape.group();
    let (q, memory) = memory.split_at_mut(seq_q * qk);
    let (rows, memory) = memory.split_at_mut(seq_q * vv);
    let (state, memory) = memory.split_at_mut(seq_q * 2);
    let (k, memory) = memory.split_at_mut(KEYS * qk);
    let (across, v) = memory.split_at_mut(KEYS * qk);
    let v = &mut v[..KEYS * vv];
    io::read(&read[0], head * seq_q * qk, q);
    rows.fill(0.0);
    state.chunks_mut(2).for_each(|s| s.copy_from_slice(&[f32::NEG_INFINITY, 0.0]));
    let factor = (shape.scale() * std::f64::consts::LOG2_E) as f32;
    for from in (0..seq_kv).step_by(KEYS) {
        let keys = KEYS.min(seq_kv - from);
        io::read(&read[1], (kv_head * seq_kv + from) * qk, &mut k[..keys * qk]);
        io::read(&read[2], (kv_head * seq_kv + from) * vv, &mut v[..keys * vv]);
        for c in 0..qk {
            for j in 0..keys {
                across[c * KEYS + j] = k[j * qk + c];
            }
        }
        for i in 0..seq_q {
            let seen = shape.visible(i).saturating_sub(from).min(keys);
            if seen > 0 {
                let line = &mut rows[i * vv..][..vv];
                block(&q[i * qk..][..qk], across, v, seen, factor, &mut state[2 * i..][..2], line);
            }
        }
    }
    for i in 0..seq_q {
        let (line, sum) = (&rows[i * vv..][..vv], state[2 * i + 1]);
        // SAFETY: this row of the output belongs to this head alone.
        unsafe { out.write(Portable, (head * seq_q + i) * vv, line.as_ptr(), vv, 1.0 / sum) };
    }
}

/// One query against the first `seen` keys of a block.
fn block(
    q: &[f32],
    across: &[f32],
    v: &[f32],
    seen: usize,
    factor: f32,
    state: &mut [f32],
    out: &mut [f32],
) {
    let mut p = [0.0f32; KEYS];
    for (&q, keys) in q.iter().zip(across.chunks_exact(KEYS)) {
        for (p, k) in p.iter_mut().zip(keys) {
            *p += q * k;
        }
    }
    p[seen..].fill(f32::NEG_INFINITY);
    let max = p.iter().fold(state[0], |max, &x| if x > max { x } else { max });
    let alpha = exp2((state[0] - max) * factor);
    p.iter_mut().for_each(|x| *x = exp2((*x - max) * factor));
    state[0] = max;
    state[1] = state[1] * alpha + p[..seen].iter().sum::<f32>();
    out.iter_mut().for_each(|x| *x *= alpha);
    for (&p, v) in p[..seen].iter().zip(v.chunks_exact(out.len())) {
        for (out, v) in out.iter_mut().zip(v) {
            *out += p * v;
        }
    }
}
