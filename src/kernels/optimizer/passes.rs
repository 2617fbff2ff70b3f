//! The textbook: each statement of a formula is a loop of its own, with a temporary vector between statements.
//!
//! `naive` runs every loop over a thread's whole share, as a framework without fusion does; `blocked` runs the same loops
//! over blocks, so that all but the first touch of a block hit the L1 cache.

use super::constants::Constants;
use super::update;
use super::vectors::{Element, Part, Shared, Vectors};
use crate::device::memory::AlignedBytes;
use crate::device::{Capabilities, Pool};
use crate::error::Result;
use crate::kernels::{Args, Body};
use crate::ops::{Case, DType, Rule};

/// Parameters in a block: five vectors of it take 20 KiB of an L1 cache of at least 32.
const BLOCK: usize = 1024;
/// Threads get whole pages of f32, so that none writes into another's cache line.
const GRAIN: usize = 2048;

/// Whole shares in each pass; the temporary is as long as the vectors.
pub fn build_naive(_: &Capabilities, case: &Case, _: &Pool) -> Result<Body> {
    build(case, None, update(case)?.params)
}

/// Blocks; each thread has a temporary of one block.
pub fn build_blocked(_: &Capabilities, case: &Case, pool: &Pool) -> Result<Body> {
    build(case, Some(BLOCK), BLOCK * pool.threads())
}

fn build(case: &Case, block: Option<usize>, workspace: usize) -> Result<Body> {
    let rule = update(case)?.rule;
    let needed = !matches!(rule, Rule::Sgd | Rule::Momentum);
    let workspace = if needed { workspace } else { 0 };
    Ok(match case.precision.inputs {
        DType::Bf16 => body::<half::bf16>(rule, block, workspace),
        _ => body::<f32>(rule, block, workspace),
    })
}

fn body<E: Element>(rule: Rule, block: Option<usize>, workspace: usize) -> Body {
    let constants = Constants::of(rule);
    let mut memory = AlignedBytes::zeroed(workspace * size_of::<f32>());
    Box::new(move |args: &mut Args<'_>| {
        let pool = args.pool;
        let threads = pool.threads();
        let vectors = Vectors::<E>::new(args);
        let temporaries = Shared::new(bytemuck::cast_slice_mut::<u8, f32>(&mut memory));
        pool.run(|thread| {
            let share = Pool::share(vectors.len(), GRAIN, thread, threads);
            let step_by = block.unwrap_or(share.len()).max(1);
            for start in share.clone().step_by(step_by) {
                let end = (start + step_by).min(share.end);
                let at = if block.is_some() { thread * BLOCK } else { start };
                // SAFETY: shares of threads do not overlap, and the blocks of one follow each other; a thread's temporary is
                // its own block, or the stretch of its share.
                let (part, temporary) =
                    unsafe { (vectors.part(start..end), temporaries.part(at..at + (end - start))) };
                step(rule, &constants, part, temporary);
            }
        });
    })
}

/// The rule's statements, one loop each. `temporary` is as long as the part (or empty where the rule needs none).
fn step<E: Element>(rule: Rule, k: &Constants<f32>, part: Part<'_, E>, temporary: &mut [f32]) {
    let Part { grads, params, first, second } = part;
    let d = temporary;
    match rule {
        Rule::Sgd => descend_along(params, k.rate, grads),
        Rule::Momentum => {
            accumulate(first, k.decay1, 1.0, grads);
            descend(params, 1.0, k.rate, first);
        }
        Rule::Nesterov => {
            accumulate(first, k.decay1, 1.0, grads);
            for ((d, g), m) in d.iter_mut().zip(grads).zip(&*first) {
                *d = g.widen() + k.decay1 * m;
            }
            descend(params, 1.0, k.rate, d);
        }
        Rule::Adagrad => {
            accumulate_squares(first, 1.0, 1.0, grads);
            roots(d, first, k);
            divide_along(d, grads);
            descend(params, 1.0, k.rate, d);
        }
        Rule::Rmsprop => {
            accumulate_squares(first, k.decay2, k.gain2, grads);
            roots(d, first, k);
            divide_along(d, grads);
            descend(params, 1.0, k.rate, d);
        }
        Rule::Adam | Rule::Adamw => {
            accumulate(first, k.decay1, k.gain1, grads);
            accumulate_squares(second, k.decay2, k.gain2, grads);
            roots(d, second, k);
            divide_along(d, first);
            descend(params, k.kept, k.rate, d);
        }
        Rule::Lion => {
            for ((d, g), m) in d.iter_mut().zip(grads).zip(&*first) {
                *d = k.decay1 * m + k.gain1 * g.widen();
            }
            d.iter_mut().for_each(|d| *d = if *d == 0.0 { 0.0 } else { d.signum() });
            descend(params, k.kept, k.rate, d);
            accumulate(first, k.decay2, k.gain2, grads);
        }
    }
}

/// m ← decay·m + gain·g
fn accumulate<E: Element>(m: &mut [f32], decay: f32, gain: f32, grads: &[E]) {
    for (m, g) in m.iter_mut().zip(grads) {
        *m = decay * *m + gain * g.widen();
    }
}

/// v ← decay·v + gain·g²
fn accumulate_squares<E: Element>(v: &mut [f32], decay: f32, gain: f32, grads: &[E]) {
    for (v, g) in v.iter_mut().zip(grads) {
        *v = decay * *v + gain * (g.widen() * g.widen());
    }
}

/// d ← √v·c + ε
fn roots(d: &mut [f32], v: &[f32], k: &Constants<f32>) {
    for (d, v) in d.iter_mut().zip(v) {
        *d = v.sqrt() * k.root + k.eps;
    }
}

/// d ← x / d
fn divide_along<E: Element>(d: &mut [f32], x: &[E]) {
    for (d, x) in d.iter_mut().zip(x) {
        *d = x.widen() / *d;
    }
}

/// p ← kept·p − rate·d
fn descend<E: Element>(params: &mut [E], kept: f32, rate: f32, d: &[f32]) {
    for (p, d) in params.iter_mut().zip(d) {
        *p = E::narrow(kept * p.widen() - rate * d);
    }
}

/// p ← p − rate·g
fn descend_along<E: Element>(params: &mut [E], rate: f32, grads: &[E]) {
    for (p, g) in params.iter_mut().zip(grads) {
        *p = E::narrow(p.widen() - rate * g.widen());
    }
}
