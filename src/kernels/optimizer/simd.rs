//! One fused pass: every vector is read once and written once, and all that lies between stays in registers.
//!
//! Beyond the cache that is the least traffic there is, and plain stores reach the limit of the access pattern: the lines
//! are in the cache already, having been read. Non-temporal stores (which evict them first) and software prefetch were
//! measured to slow an update down.

use super::constants::Constants;
use super::lanes::{Lanes, Portable, streaming_isa};
use super::update;
use super::vectors::{Element, Part, Vectors};
use crate::device::{Capabilities, Isa, Pool};
use crate::error::Result;
use crate::kernels::{Args, Body};
use crate::ops::{Case, DType, Rule};

/// Parameters that stay together when threads share: a page of f32, two of bf16 pairs, and whole cache lines of each.
const GRAIN: usize = 2048;

/// Chooses the vectors that suit the processor and the size.
pub fn build(on: &Capabilities, case: &Case, _: &Pool) -> Result<Body> {
    let rule = update(case)?.rule;
    let isa = streaming_isa(on, case);
    Ok(match case.precision.inputs {
        DType::Bf16 => body(choose::<half::bf16>(&isa, rule), rule),
        _ => body(choose::<f32>(&isa, rule), rule),
    })
}

/// A fused pass over one part, compiled for certain instructions.
///
/// # Safety
/// The processor has these instructions.
type Sweep<E> = unsafe fn(&Constants<f32>, Part<'_, E>);

fn body<E: Element + Stored>(sweep: Sweep<E>, rule: Rule) -> Body {
    let constants = Constants::of(rule);
    Box::new(move |args: &mut Args<'_>| {
        let (pool, threads) = (args.pool, args.pool.threads());
        let vectors = Vectors::<E>::new(args);
        let work = |thread| {
            let share = Pool::share(vectors.len(), GRAIN, thread, threads);
            // SAFETY: shares of threads do not overlap; `choose` asked the processor for the instructions.
            unsafe { sweep(&constants, vectors.part(share)) };
        };
        // With one grain, the other threads have nothing to do.
        if vectors.len() <= GRAIN { (0..threads).for_each(work) } else { pool.run(work) }
    })
}

/// The pass of `rule` for the widest vectors of `isa`.
fn choose<E: Element + Stored>(isa: &Isa, rule: Rule) -> Sweep<E> {
    match rule {
        Rule::Sgd => path::<Sgd, E>(isa),
        Rule::Momentum => path::<Momentum, E>(isa),
        Rule::Nesterov => path::<Nesterov, E>(isa),
        Rule::Adagrad => path::<Adagrad, E>(isa),
        Rule::Rmsprop => path::<Rmsprop, E>(isa),
        Rule::Adam => path::<Adam, E>(isa),
        Rule::Adamw => path::<Adamw, E>(isa),
        Rule::Lion => path::<Lion, E>(isa),
    }
}

fn path<F: Formula, E: Element + Stored>(isa: &Isa) -> Sweep<E> {
    #[cfg(target_arch = "x86_64")]
    {
        use super::lanes_x86::{Ymm, Zmm};

        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
        unsafe fn avx512<F: Formula, E: Element + Stored>(k: &Constants<f32>, part: Part<'_, E>) {
            // SAFETY: this function is compiled for the instructions of `Zmm`, which its caller promises.
            unsafe { sweep::<Zmm, F, E>(k, part) }
        }

        #[target_feature(enable = "avx2,fma")]
        unsafe fn avx2<F: Formula, E: Element + Stored>(k: &Constants<f32>, part: Part<'_, E>) {
            // SAFETY: this function is compiled for the instructions of `Ymm`, which its caller promises.
            unsafe { sweep::<Ymm, F, E>(k, part) }
        }

        if isa.avx512 {
            return avx512::<F, E>;
        }
        if isa.avx2 {
            return avx2::<F, E>;
        }
    }
    let _ = isa;
    sweep::<Portable, F, E>
}

/// A number format that lanes are loaded from and stored to.
trait Stored: Copy {
    /// # Safety
    /// See [`Lanes`].
    unsafe fn load<V: Lanes>(from: *const Self) -> V;
    /// # Safety
    /// See [`Lanes`].
    unsafe fn store<V: Lanes>(to: *mut Self, x: V);
}

impl Stored for f32 {
    #[inline(always)]
    unsafe fn load<V: Lanes>(from: *const f32) -> V {
        // SAFETY: the caller's promise is that of `Lanes`.
        unsafe { V::load(from) }
    }
    #[inline(always)]
    unsafe fn store<V: Lanes>(to: *mut f32, x: V) {
        // SAFETY: the caller's promise is that of `Lanes`.
        unsafe { x.store(to) }
    }
}

impl Stored for half::bf16 {
    #[inline(always)]
    unsafe fn load<V: Lanes>(from: *const half::bf16) -> V {
        // SAFETY: the caller's promise is that of `Lanes`.
        unsafe { V::load_bf16(from) }
    }
    #[inline(always)]
    unsafe fn store<V: Lanes>(to: *mut half::bf16, x: V) {
        // SAFETY: the caller's promise is that of `Lanes`.
        unsafe { x.store_bf16(to) }
    }
}

/// Runs the formula over a part; what is left of a whole vector takes the same way through a padded copy, so that an
/// element's answer does not depend on where it stands.
///
/// # Safety
/// The processor has the instructions of `V`.
#[inline(always)]
unsafe fn sweep<V: Lanes, F: Formula, E: Element + Stored>(
    constants: &Constants<f32>,
    part: Part<'_, E>,
) {
    let len = part.params.len();
    let (g, p) = (part.grads.as_ptr(), part.params.as_mut_ptr());
    let (m, v) = (part.first.as_mut_ptr(), part.second.as_mut_ptr());
    // SAFETY: the caller promises the instructions.
    let k = constants.map(|x| unsafe { V::splat(x) });
    let whole = len / V::N * V::N;
    let mut at = 0;
    while at < whole {
        // SAFETY: `N` elements from `at` lie within every vector that the rule has.
        unsafe {
            step::<V, F, E>(&k, g.add(at), p.add(at), m.wrapping_add(at), v.wrapping_add(at))
        };
        at += V::N;
    }
    let rest = len - whole;
    if rest > 0 {
        const WIDEST: usize = 16;
        let (mut gs, mut ps) = ([E::zeroed(); WIDEST], [E::zeroed(); WIDEST]);
        let (mut ms, mut vs) = ([0f32; WIDEST], [0f32; WIDEST]);
        gs[..rest].copy_from_slice(&part.grads[whole..]);
        ps[..rest].copy_from_slice(&part.params[whole..]);
        if F::MOMENTS >= 1 {
            ms[..rest].copy_from_slice(&part.first[whole..]);
        }
        if F::MOMENTS >= 2 {
            vs[..rest].copy_from_slice(&part.second[whole..]);
        }
        // SAFETY: the arrays hold the widest vector.
        unsafe {
            step::<V, F, E>(&k, gs.as_ptr(), ps.as_mut_ptr(), ms.as_mut_ptr(), vs.as_mut_ptr())
        };
        part.params[whole..].copy_from_slice(&ps[..rest]);
        if F::MOMENTS >= 1 {
            part.first[whole..].copy_from_slice(&ms[..rest]);
        }
        if F::MOMENTS >= 2 {
            part.second[whole..].copy_from_slice(&vs[..rest]);
        }
    }
}

/// One vector of parameters.
///
/// # Safety
/// See [`Lanes`]; `m` and `v` need to point to anything only as far as the formula has moments.
#[inline(always)]
unsafe fn step<V: Lanes, F: Formula, E: Stored>(
    k: &Constants<V>,
    g: *const E,
    p: *mut E,
    m: *mut f32,
    v: *mut f32,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let zero = V::splat(0.0);
        let first = if F::MOMENTS >= 1 { V::load(m) } else { zero };
        let second = if F::MOMENTS >= 2 { V::load(v) } else { zero };
        let (params, first, second) = F::step(k, E::load(g), E::load(p), first, second);
        E::store(p, params);
        if F::MOMENTS >= 1 {
            first.store(m);
        }
        if F::MOMENTS >= 2 {
            second.store(v);
        }
    }
}

/// A rule of the table in [`crate::ops::optimizer`] on vectors.
trait Formula {
    /// See [`Rule::moments`].
    const MOMENTS: usize;
    /// From gradient, parameter and moments to the new parameter and moments.
    ///
    /// # Safety
    /// The processor has the instructions of `V`.
    unsafe fn step<V: Lanes>(k: &Constants<V>, g: V, p: V, m: V, v: V) -> (V, V, V);
}

/// Implements [`Formula`] for a type of the rule's name.
macro_rules! formula {
    ($name:ident, $moments:literal, |$k:ident, $g:ident, $p:ident, $m:ident, $v:ident| $body:block) => {
        struct $name;

        impl Formula for $name {
            const MOMENTS: usize = $moments;

            #[inline(always)]
            unsafe fn step<V: Lanes>($k: &Constants<V>, $g: V, $p: V, $m: V, $v: V) -> (V, V, V) {
                // SAFETY: the caller promises the instructions, and the methods used here touch no memory.
                unsafe { $body }
            }
        }
    };
}

formula!(Sgd, 0, |k, g, p, m, v| { (p.sub(k.rate.mul(g)), m, v) });
formula!(Momentum, 1, |k, g, p, m, v| {
    let m = k.decay1.mul_add(m, g);
    (p.sub(k.rate.mul(m)), m, v)
});
formula!(Nesterov, 1, |k, g, p, m, v| {
    let m = k.decay1.mul_add(m, g);
    (p.sub(k.rate.mul(k.decay1.mul_add(m, g))), m, v)
});
formula!(Adagrad, 1, |k, g, p, m, v| {
    let m = g.mul_add(g, m);
    (p.sub(k.rate.mul(g).div(m.sqrt().add(k.eps))), m, v)
});
formula!(Rmsprop, 1, |k, g, p, m, v| {
    let m = k.decay2.mul_add(m, k.gain2.mul(g.mul(g)));
    (p.sub(k.rate.mul(g).div(m.sqrt().add(k.eps))), m, v)
});
formula!(Adam, 2, |k, g, p, m, v| {
    let m = k.decay1.mul_add(m, k.gain1.mul(g));
    let v = k.decay2.mul_add(v, k.gain2.mul(g.mul(g)));
    (p.sub(k.rate.mul(m).div(v.sqrt().mul_add(k.root, k.eps))), m, v)
});
formula!(Adamw, 2, |k, g, p, m, v| {
    let (p, m, v) = Adam::step(k, g, k.kept.mul(p), m, v);
    (p, m, v)
});
formula!(Lion, 1, |k, g, p, m, v| {
    let sign = k.decay1.mul_add(m, k.gain1.mul(g)).sign();
    let p = k.kept.mul(p).sub(k.rate.mul(sign));
    (p, k.decay2.mul_add(m, k.gain2.mul(g)), v)
});
