//! Multiply-accumulate in registers: [`CHAINS`] independent accumulators, so many that no instruction waits for another.
//!
//! Each step adds a·b to every accumulator or takes it away again (see [`Probe::rounds`]); nothing but registers is touched,
//! and all accumulators are written out at the end, so that no compiler can leave a step out.

use std::hint::black_box;
use std::ops::{Add, Mul, Neg};
use std::sync::Mutex;

use crate::device::Isa;
use crate::kernels::{Args, Body};
use crate::ops::peak::{CHAINS, PERIOD};
use crate::ops::{DType, Probe, Tensor};

/// Operands and results of one thread; `a` and `b` hold [`PERIOD`] factors, each of as many numbers as a step multiplies.
pub struct Burst<'a, T, A> {
    /// What the accumulators begin as.
    pub x: &'a [A],
    /// First factors.
    pub a: &'a [T],
    /// Second factors.
    pub b: &'a [T],
    /// What the accumulators end as: x + a·b.
    pub out: &'a mut [A],
    /// Steps after the first, in pairs.
    pub pairs: u64,
}

/// A burst compiled for certain instructions.
///
/// # Safety
/// The processor has these instructions.
pub type Run<T, A> = unsafe fn(Burst<'_, T, A>);

/// The probe in `inputs`, whose threads share the steps.
pub fn build(isa: &Isa, probe: &Probe, inputs: DType, threads: usize) -> Body {
    let pairs = probe.rounds(inputs, threads) / 2;
    match inputs {
        DType::I8 => body::<i8, i32>(choose_i8(isa), pairs, threads, mean_i32),
        DType::Bf16 => {
            body::<half::bf16, f32>(choose_bf16(isa), pairs, threads, |sum, n| sum / n as f32)
        }
        _ => body::<f32, f32>(choose_f32(isa), pairs, threads, |sum, n| sum / n as f32),
    }
}

/// Through f64, whose division vectorizes, and which holds every i32.
pub fn mean_i32(sum: i32, n: usize) -> i32 {
    (f64::from(sum) / n as f64) as i32
}

/// Every thread runs the whole burst; the result is the mean of theirs, which is exact if all are right.
pub fn body<T, A>(run: Run<T, A>, pairs: u64, threads: usize, mean: fn(A, usize) -> A) -> Body
where
    T: bytemuck::Pod + Sync,
    A: bytemuck::Pod + Send + Sync + std::iter::Sum,
{
    let state = |_| Mutex::new([A::zeroed(); CHAINS]);
    let mut states: Vec<_> = (0..threads.max(1)).map(state).collect();
    Box::new(move |args: &mut Args<'_>| {
        let [x, a, b] = [0, 1, 2].map(|i| &args.read[i]);
        args.pool.run(|thread| {
            let mut out = states[thread].lock().unwrap_or_else(|e| e.into_inner());
            let burst = Burst {
                x: x.as_ref::<A>(),
                a: a.as_ref::<T>(),
                b: b.as_ref::<T>(),
                out: &mut out[..],
                pairs,
            };
            // SAFETY: the instructions were asked for when `run` was chosen.
            unsafe { run(burst) };
        });
        let result = Tensor::as_mut::<A>(&mut args.written[0]);
        for (i, result) in result.iter_mut().enumerate() {
            let each = states.iter_mut().map(|s| s.get_mut().unwrap_or_else(|e| e.into_inner())[i]);
            *result = mean(each.sum(), threads);
        }
    })
}

/// f32: one product a step.
pub fn choose_f32(isa: &Isa) -> Run<f32, f32> {
    #[cfg(target_arch = "x86_64")]
    {
        use super::fma_x86 as x86;
        if isa.avx512 {
            return x86::f32_avx512;
        }
        if isa.avx2 {
            return x86::f32_avx2;
        }
    }
    let _ = isa;
    portable::<f32, f32, 1>
}

/// bf16 with f32 sums: two products a step.
fn choose_bf16(isa: &Isa) -> Run<half::bf16, f32> {
    #[cfg(target_arch = "x86_64")]
    {
        use super::fma_x86 as x86;
        if isa.avx512_bf16 {
            return x86::bf16_avx512;
        }
        if isa.avx2 {
            return x86::bf16_avx2;
        }
    }
    let _ = isa;
    portable::<half::bf16, f32, 2>
}

/// int8 with i32 sums: four products a step.
fn choose_i8(isa: &Isa) -> Run<i8, i32> {
    #[cfg(target_arch = "x86_64")]
    {
        use super::fma_x86 as x86;
        if isa.avx512_vnni {
            return x86::i8_avx512;
        }
        if isa.avx2 {
            return x86::i8_avx2;
        }
    }
    let _ = isa;
    portable::<i8, i32, 4>
}

/// A factor that widens to the type of its accumulator.
trait Factor<A>: Copy {
    /// 1.
    const ONE: A;
    /// As an accumulator, exactly.
    fn widen(self) -> A;
}

impl Factor<f32> for f32 {
    const ONE: f32 = 1.0;
    fn widen(self) -> f32 {
        self
    }
}

impl Factor<f32> for half::bf16 {
    const ONE: f32 = 1.0;
    fn widen(self) -> f32 {
        self.to_f32()
    }
}

impl Factor<i32> for i8 {
    const ONE: i32 = 1;
    fn widen(self) -> i32 {
        self.into()
    }
}

/// Plain Rust: multiplication and addition apart, for a fused one is a library call on targets without it.
///
/// The products a·b never change, and a compiler computes them once; so what is multiplied each step is the accumulator, by a
/// 1 that the compiler does not know: x ← x·1 + (a·b).
///
/// # Safety
/// None; unsafe only to be a [`Run`].
unsafe fn portable<T: Factor<A>, A, const DOT: usize>(burst: Burst<'_, T, A>)
where
    A: Copy + Mul<Output = A> + Add<Output = A> + Neg<Output = A>,
{
    /// Accumulators that fit the registers of SSE2 or NEON with what is added to them.
    const GROUP: usize = 4 * PERIOD;
    let one = black_box(T::ONE);
    let products: [[A; PERIOD]; DOT] = std::array::from_fn(|d| {
        std::array::from_fn(|i| burst.a[i * DOT + d].widen() * burst.b[i * DOT + d].widen())
    });
    let minus = products.map(|row| row.map(|product| -product));
    let add = |sums: &mut [A; GROUP], products: &[[A; PERIOD]; DOT]| {
        for row in products {
            for (i, sum) in sums.iter_mut().enumerate() {
                *sum = *sum * one + row[i % PERIOD];
            }
        }
    };
    for (x, out) in burst.x.chunks_exact(GROUP).zip(burst.out.chunks_exact_mut(GROUP)) {
        let mut sums: [A; GROUP] = std::array::from_fn(|i| x[i]);
        for _ in 0..burst.pairs {
            add(&mut sums, &products);
            add(&mut sums, &minus);
        }
        add(&mut sums, &products);
        out.copy_from_slice(&sums);
    }
}
