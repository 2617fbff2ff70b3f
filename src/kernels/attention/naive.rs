//! The textbook: the whole score matrix of a head, its softmax, and its product with V, in plain loops.

use std::borrow::Cow;

use super::io::{self, OutPtr};
use super::simd::Portable;
use super::team::{Workspace, deal};
use crate::device::{Capabilities, Pool};
use crate::error::Result;
use crate::kernels::{Args, Body, CpuKernel};
use crate::ops::{Attention, Case, Pass, Problem, Tensor};
use crate::units::Bytes;

/// The foot of the ladder.
pub static NAIVE: CpuKernel = CpuKernel {
    id: "attention/naive",
    about: "the textbook: plain loops over the whole score matrix of each head",
    provider: "own",
    refuses,
    build,
    prologue: Some(super::simd::prologue),
};

fn refuses(on: &Capabilities, case: &Case) -> Option<Cow<'static, str>> {
    if let Some(reason) = super::refuses(on, case) {
        return Some(reason);
    }
    let Problem::Attention(shape) = case.problem else { return None };
    let needs = Bytes((case.threads * workspace(&shape, case.pass) * 4) as u64);
    (needs > on.memory).then(|| {
        format!("the score matrices of {} threads need {needs}; use attention/simd", case.threads)
            .into()
    })
}

/// The f32 that a thread needs for a head's operands, widened, and its matrices.
fn workspace(shape: &Attention, pass: Pass) -> usize {
    let Attention { seq_q, seq_kv, head_dim_qk, head_dim_v, .. } = *shape;
    let forward = seq_q * head_dim_qk + seq_kv * (head_dim_qk + head_dim_v) + seq_q * seq_kv;
    match pass {
        Pass::Forward | Pass::Decode => forward + head_dim_v,
        Pass::Backward => {
            let gradients = seq_q * head_dim_qk + seq_kv * (head_dim_qk + head_dim_v);
            forward + seq_q * seq_kv + 2 * seq_q * head_dim_v + seq_q + gradients
        }
    }
}

fn build(_: &Capabilities, case: &Case, pool: &Pool) -> Result<Body> {
    let Problem::Attention(shape) = case.problem else {
        unreachable!("an attention kernel was asked for {:?}", case.problem)
    };
    let len = workspace(&shape, case.pass);
    let mut memory = Workspace::new(pool.threads(), len);
    let pass = case.pass;
    Ok(Box::new(move |args: &mut Args<'_>| {
        let memory = memory.parts();
        // SAFETY: each thread has a part of this length to itself.
        let own = |thread| unsafe { memory(thread).slice(0, len) };
        match pass {
            Pass::Forward | Pass::Decode => {
                let out = OutPtr::new(&mut args.written[0]);
                deal(args.pool, shape.batch * shape.heads, |thread, head| {
                    forward(&shape, args.read, head, own(thread), out);
                });
            }
            Pass::Backward => {
                let [dq, dk, dv] = args.written else {
                    unreachable!("a backward pass has three results")
                };
                let results = [dq, dk, dv].map(OutPtr::new);
                deal(args.pool, shape.batch * shape.kv_heads, |thread, kv_head| {
                    backward(&shape, args.read, kv_head, own(thread), results);
                });
            }
        }
    }))
}

/// Cuts the next `len` numbers off `memory`.
fn cut<'a>(memory: &mut &'a mut [f32], len: usize) -> &'a mut [f32] {
    let (part, rest) = std::mem::take(memory).split_at_mut(len);
    *memory = rest;
    part
}

/// A head of a tensor, widened to f32.
fn head<'a>(tensor: &Tensor, index: usize, len: usize, memory: &mut &'a mut [f32]) -> &'a [f32] {
    let to = cut(memory, len);
    io::read(tensor, index * len, to);
    to
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// `to += factor·x`.
fn add(to: &mut [f32], factor: f32, x: &[f32]) {
    to.iter_mut().zip(x).for_each(|(to, x)| *to += factor * x);
}

fn forward(shape: &Attention, read: &[Tensor], h: usize, mut memory: &mut [f32], out: OutPtr) {
    let Attention { seq_q, seq_kv, head_dim_qk: qk, head_dim_v: vv, .. } = *shape;
    let kv_head = h / shape.group();
    let q = head(&read[0], h, seq_q * qk, &mut memory);
    let k = head(&read[1], kv_head, seq_kv * qk, &mut memory);
    let v = head(&read[2], kv_head, seq_kv * vv, &mut memory);
    let scores = cut(&mut memory, seq_q * seq_kv);
    let row = cut(&mut memory, vv);
    let scale = shape.scale() as f32;
    for i in 0..seq_q {
        for j in 0..shape.visible(i) {
            scores[i * seq_kv + j] = scale * dot(&q[i * qk..][..qk], &k[j * qk..][..qk]);
        }
    }
    for i in 0..seq_q {
        let line = &mut scores[i * seq_kv..][..shape.visible(i)];
        let max = line.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        line.iter_mut().for_each(|x| *x = (*x - max).exp());
        let sum: f32 = line.iter().sum();
        line.iter_mut().for_each(|x| *x /= sum);
    }
    for i in 0..seq_q {
        row.fill(0.0);
        for j in 0..shape.visible(i) {
            add(row, scores[i * seq_kv + j], &v[j * vv..][..vv]);
        }
        // SAFETY: this row of the output belongs to this head alone.
        unsafe { out.write(Portable, (h * seq_q + i) * vv, row.as_ptr(), vv, 1.0) };
    }
}

fn backward(
    shape: &Attention,
    read: &[Tensor],
    kv_head: usize,
    mut memory: &mut [f32],
    [out_q, out_k, out_v]: [OutPtr; 3],
) {
    let Attention { seq_q, seq_kv, head_dim_qk: qk, head_dim_v: vv, .. } = *shape;
    let scale = shape.scale() as f32;
    let k = head(&read[1], kv_head, seq_kv * qk, &mut memory);
    let v = head(&read[2], kv_head, seq_kv * vv, &mut memory);
    let dk = cut(&mut memory, seq_kv * qk);
    let dv = cut(&mut memory, seq_kv * vv);
    dk.fill(0.0);
    dv.fill(0.0);
    let rest = memory;
    for h in kv_head * shape.group()..(kv_head + 1) * shape.group() {
        let mut memory = &mut *rest;
        let q = head(&read[0], h, seq_q * qk, &mut memory);
        let dout = head(&read[3], h, seq_q * vv, &mut memory);
        let out = head(&read[4], h, seq_q * vv, &mut memory);
        let lse = head(&read[5], h, seq_q, &mut memory);
        let p = cut(&mut memory, seq_q * seq_kv);
        let ds = cut(&mut memory, seq_q * seq_kv);
        let dq = cut(&mut memory, seq_q * qk);
        dq.fill(0.0);
        for i in 0..seq_q {
            let (q, dout) = (&q[i * qk..][..qk], &dout[i * vv..][..vv]);
            let d = dot(dout, &out[i * vv..][..vv]);
            for j in 0..shape.visible(i) {
                let at = i * seq_kv + j;
                p[at] = (scale * dot(q, &k[j * qk..][..qk]) - lse[i]).exp();
                ds[at] = p[at] * (dot(dout, &v[j * vv..][..vv]) - d) * scale;
            }
        }
        for i in 0..seq_q {
            for j in 0..shape.visible(i) {
                let at = i * seq_kv + j;
                add(&mut dq[i * qk..][..qk], ds[at], &k[j * qk..][..qk]);
                add(&mut dk[j * qk..][..qk], ds[at], &q[i * qk..][..qk]);
                add(&mut dv[j * vv..][..vv], p[at], &dout[i * vv..][..vv]);
            }
        }
        // SAFETY: this head's dQ belongs to its KV head alone.
        unsafe { out_q.write(Portable, h * dq.len(), dq.as_ptr(), dq.len(), 1.0) };
    }
    // SAFETY: so do the KV head's gradients.
    unsafe {
        out_k.write(Portable, kv_head * dk.len(), dk.as_ptr(), dk.len(), 1.0);
        out_v.write(Portable, kv_head * dv.len(), dv.as_ptr(), dv.len(), 1.0);
    }
}
