//! The crates `gemm` (with AVX-512) and `gemmkit`: on every machine, for they are built in.

use std::borrow::Cow;
use std::collections::BTreeMap;

use gemmkit::{MatMut, MatRef};
use half::bf16;

use crate::device::pool::affinity;
use crate::device::{Capabilities, Pool};
use crate::error::Result;
use crate::kernels::{Args, Body, CpuKernel};
use crate::ops::{Case, Matmul, Precision, Problem, Transpose};

/// The crate `gemm`: f32.
pub static GEMM: CpuKernel = CpuKernel {
    id: "matmul/gemm",
    about: "the crate gemm 0.19 with AVX-512, threads by rayon",
    provider: "gemm",
    refuses: |_, case| unsupported(case, &[Precision::F32], "f32"),
    build: build_gemm,
    prologue: None,
};

/// The crate `gemmkit`: f32, bf16 and int8.
pub static GEMMKIT: CpuKernel = CpuKernel {
    id: "matmul/gemmkit",
    about: "the crate gemmkit 0.1 with AVX-512, bf16 and VNNI instructions, threads by rayon",
    provider: "gemmkit",
    refuses: |_, case| {
        unsupported(case, &[Precision::F32, Precision::BF16, Precision::INT8], "f32, bf16 and int8")
    },
    build: build_gemmkit,
    prologue: None,
};

fn unsupported(case: &Case, precisions: &[Precision], names: &str) -> Option<Cow<'static, str>> {
    (!precisions.contains(&case.precision))
        .then(|| format!("computes {names}, not {}", case.precision).into())
}

/// Makes the calling thread one of rayon's, each pinned to a CPU: a product then forks without waking a pool from outside.
pub fn enter_worker(threads: usize) -> BTreeMap<String, String> {
    let cpus = affinity::allowed();
    show_all_cpus_to_gemmkit(threads);
    if let Some(&first) = cpus.first() {
        affinity::pin(first);
    }
    let pin = move |thread: usize| {
        if let Some(&cpu) = cpus.get(thread) {
            affinity::pin(cpu);
        }
    };
    let built = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .use_current_thread()
        .start_handler(pin)
        .build_global();
    let pool = if built.is_ok() { "own, pinned" } else { "the global one" };
    BTreeMap::from([(
        "rayon".to_owned(),
        format!("{} threads, {pool}", rayon::current_num_threads()),
    )])
}

/// gemmkit counts the CPUs that its first parallel caller may run on, once, and never takes more threads than that: a first
/// caller that is pinned to one would keep it on one thread for good. So the first comes from a pool that is not pinned,
/// which then goes again.
fn show_all_cpus_to_gemmkit(threads: usize) {
    /// Large enough that gemmkit looks for threads: its cube is above `PARALLEL_THRESHOLD_DEFAULT`.
    const SIZE: usize = 128;
    let Ok(pool) = rayon::ThreadPoolBuilder::new().num_threads(threads).build() else { return };
    let (ones, mut out) = (vec![1f32; SIZE * SIZE], vec![0f32; SIZE * SIZE]);
    let operand = || MatRef::new(&ones, SIZE, SIZE, SIZE as isize, 1);
    let result = MatMut::new(&mut out, SIZE, SIZE, SIZE as isize, 1);
    let parallel = gemmkit::Parallelism::Rayon(threads);
    pool.install(|| gemmkit::gemm(1.0, operand(), operand(), 0.0, result, parallel));
}

/// The products of a case as (rows of C, offsets of A, B and C), one for each batch entry or expert.
pub(super) fn products(p: &Matmul) -> Vec<(usize, usize, usize, usize)> {
    if p.groups.is_some() {
        let mut start = 0;
        let mut place = |(e, rows): (usize, usize)| {
            let product = (rows, start * p.k, e * p.k * p.n, start * p.n);
            start += rows;
            product
        };
        return p.group_rows().into_iter().enumerate().map(&mut place).collect();
    }
    (0..p.batch).map(|i| (p.m, i * p.m * p.k, i * p.k * p.n, i * p.m * p.n)).collect()
}

fn matmul(case: &Case) -> Matmul {
    match case.problem {
        Problem::Matmul(product) => product,
        _ => unreachable!("the registry offers matmul kernels to matmul cases alone"),
    }
}

/// (row stride, column stride) of A with `rows` rows, and of B.
fn strides(p: &Matmul) -> ((isize, isize), (isize, isize)) {
    let (m, n, k) = (p.m as isize, p.n as isize, p.k as isize);
    let a = if p.transpose == Transpose::Tn { (1, m) } else { (k, 1) };
    let b = if p.transpose == Transpose::Nt { (1, k) } else { (n, 1) };
    (a, b)
}

fn build_gemm(_: &Capabilities, case: &Case, _: &Pool) -> Result<Body> {
    let p = matmul(case);
    let ((a_rs, a_cs), (b_rs, b_cs)) = strides(&p);
    let products = products(&p);
    let parallelism = if case.threads > 1 {
        gemm::Parallelism::Rayon(case.threads)
    } else {
        gemm::Parallelism::None
    };
    let n = p.n;
    Ok(Box::new(move |args: &mut Args<'_>| {
        let (a, b) = (args.read[0].as_ref::<f32>(), args.read[1].as_ref::<f32>());
        let c = args.written[0].as_mut::<f32>();
        for &(rows, a_at, b_at, c_at) in &products {
            let (a, b, c) = (&a[a_at..], &b[b_at..], &mut c[c_at..c_at + rows * n]);
            assert!(a.len() >= rows * p.k && b.len() >= p.k * n, "operands hold the product");
            // SAFETY: with these strides a product of rows × n × k touches rows·k elements of A, k·n of B and rows·n of C,
            // which the slices above were just checked to hold (for tn there is one product of all rows).
            unsafe {
                gemm::gemm(
                    rows,
                    n,
                    p.k,
                    c.as_mut_ptr(),
                    1,
                    n as isize,
                    false,
                    a.as_ptr(),
                    a_cs,
                    a_rs,
                    b.as_ptr(),
                    b_cs,
                    b_rs,
                    0.0,
                    1.0,
                    false,
                    false,
                    false,
                    parallelism,
                );
            }
        }
    }))
}

fn build_gemmkit(_: &Capabilities, case: &Case, _: &Pool) -> Result<Body> {
    let p = matmul(case);
    let products = products(&p);
    let par = if case.threads > 1 {
        gemmkit::Parallelism::Rayon(case.threads)
    } else {
        gemmkit::Parallelism::Serial
    };
    let precision = case.precision;
    Ok(Box::new(move |args: &mut Args<'_>| {
        let [a, b] = args.read else { unreachable!("a product has two operands") };
        let c = &mut args.written[0];
        for place in &products {
            match precision {
                Precision::INT8 => {
                    let (a, b, c) = views::<i8, i32>(&p, place, a.as_ref(), b.as_ref(), c.as_mut());
                    gemmkit::gemm_i8(1, a, b, 0, c, par);
                }
                Precision::BF16 => {
                    let (a, b, c) =
                        views::<bf16, bf16>(&p, place, a.as_ref(), b.as_ref(), c.as_mut());
                    gemmkit::gemm(bf16::ONE, a, b, bf16::ZERO, c, par);
                }
                _ => {
                    let (a, b, c) =
                        views::<f32, f32>(&p, place, a.as_ref(), b.as_ref(), c.as_mut());
                    gemmkit::gemm(1.0, a, b, 0.0, c, par);
                }
            }
        }
    }))
}

type Views<'a, I, O> = (MatRef<'a, I>, MatRef<'a, I>, MatMut<'a, O>);

fn views<'a, I, O>(
    p: &Matmul,
    &(rows, a_at, b_at, c_at): &(usize, usize, usize, usize),
    a: &'a [I],
    b: &'a [I],
    c: &'a mut [O],
) -> Views<'a, I, O> {
    let ((a_rs, a_cs), (b_rs, b_cs)) = strides(p);
    (
        MatRef::new(&a[a_at..a_at + rows * p.k], rows, p.k, a_rs, a_cs),
        MatRef::new(&b[b_at..b_at + p.k * p.n], p.k, p.n, b_rs, b_cs),
        MatMut::new(&mut c[c_at..c_at + rows * p.n], rows, p.n, p.n as isize, 1),
    )
}
