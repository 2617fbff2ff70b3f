//! Attention in register tiles: the vector rung of the ladder.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod backward;
mod decode;
mod forward;
mod gradient;
mod micro;
mod pack;
mod portable;
#[cfg(test)]
mod tests;
pub mod vector;

use half::bf16;

use super::io::OutPtr;
use super::team::Shared;
use crate::device::{Capabilities, Isa, Pool};
use crate::error::Result;
use crate::kernels::{Body, CpuKernel};
use crate::ops::{Attention, Case, DType, Inputs, Pass, Problem, Role, Tensor};
pub use portable::Portable;
use vector::{Format, Paired, Simd, Single};

/// Tiled online softmax through packed panels and register tiles.
pub static SIMD: CpuKernel = CpuKernel {
    id: "attention/simd",
    about: "tiled online softmax, packed panels and register tiles (AVX-512, AVX2, portable)",
    provider: "own",
    refuses: super::refuses,
    build,
    prologue: Some(prologue),
};

/// Something to do with whatever instruction set and format fit.
trait With {
    type Out;
    fn with<S: Simd, F: Format>(self, s: S) -> Self::Out;
}

/// Calls `f` with the best instruction set that `isa` grants and the processor has.
fn choose<W: With>(isa: &Isa, inputs: DType, f: W) -> W::Out {
    fn format<S: Simd, W: With>(s: S, inputs: DType, f: W) -> W::Out {
        match inputs {
            DType::Bf16 => f.with::<S, Paired>(s),
            _ => f.with::<S, Single>(s),
        }
    }
    #[cfg(target_arch = "x86_64")]
    {
        use avx2::Avx2;
        use avx512::Avx512;
        if isa.avx512 {
            let dot = Avx512::<true>::new().filter(|_| isa.avx512_bf16 && inputs == DType::Bf16);
            if let Some(s) = dot {
                return f.with::<_, Paired>(s);
            }
            if let Some(s) = Avx512::<false>::new() {
                return format(s, inputs, f);
            }
        }
        if let Some(s) = Avx2::new().filter(|_| isa.avx2) {
            return format(s, inputs, f);
        }
    }
    let _ = isa;
    format(Portable, inputs, f)
}

/// The Q, K and V of a launch.
fn operands<E: bytemuck::Pod>(read: &[Tensor]) -> [&[E]; 3] {
    [read[0].as_ref(), read[1].as_ref(), read[2].as_ref()]
}

fn problem(case: &Case) -> Attention {
    match case.problem {
        Problem::Attention(shape) => shape,
        ref other => unreachable!("an attention kernel was asked for {other:?}"),
    }
}

struct Build<'a> {
    case: &'a Case,
    threads: usize,
}

impl With for Build<'_> {
    type Out = Body;

    fn with<S: Simd, F: Format>(self, s: S) -> Body {
        let shape = problem(self.case);
        match self.case.pass {
            Pass::Forward => {
                let mut forward = forward::Forward::<S, F>::new(s, shape, self.threads);
                Box::new(move |args| {
                    let out = OutPtr::new(&mut args.written[0]);
                    forward.run(args.pool, operands(args.read), out, None);
                })
            }
            Pass::Backward => {
                let mut backward = backward::Backward::<S, F>::new(s, shape, self.threads);
                Box::new(move |args| {
                    let [dq, dk, dv] = args.written else {
                        unreachable!("a backward pass has three results")
                    };
                    let results = [dq, dk, dv].map(OutPtr::new);
                    backward.run(args.pool, args.read, results);
                })
            }
            Pass::Decode => match self.case.precision.state.unwrap_or(self.case.precision.inputs) {
                DType::Bf16 => decode::body::<S, F::Elem, bf16>(s, shape, self.threads),
                _ => decode::body::<S, F::Elem, f32>(s, shape, self.threads),
            },
        }
    }
}

fn build(on: &Capabilities, case: &Case, pool: &Pool) -> Result<Body> {
    Ok(choose(&on.isa, case.precision.inputs, Build { case, threads: pool.threads() }))
}

struct Save<'a> {
    case: &'a Case,
    inputs: &'a Inputs,
    pool: &'a Pool,
}

impl With for Save<'_> {
    type Out = Vec<Tensor>;

    fn with<S: Simd, F: Format>(self, s: S) -> Vec<Tensor> {
        let shape = problem(self.case);
        let [mut out, mut lse] = shape.saved(self.case.precision).map(Tensor::poisoned);
        let operands = [Role::Q, Role::K, Role::V].map(|role| self.inputs.get(role).as_ref());
        forward::Forward::<S, F>::new(s, shape, self.pool.threads()).run(
            self.pool,
            operands,
            OutPtr::new(&mut out),
            Some(Shared::new(lse.as_mut())),
        );
        vec![out, lse]
    }
}

/// What a backward pass starts from: the output and the log-sum-exp of the forward pass of this rung, whichever kernel asks.
pub fn prologue(
    on: &Capabilities,
    case: &Case,
    inputs: &Inputs,
    pool: &Pool,
) -> Result<Vec<Tensor>> {
    match case.pass {
        Pass::Backward => Ok(choose(&on.isa, case.precision.inputs, Save { case, inputs, pool })),
        Pass::Forward | Pass::Decode => Ok(Vec::new()),
    }
}
