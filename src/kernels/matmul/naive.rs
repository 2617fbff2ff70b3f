//! The textbook: three loops and one accumulator.

use super::format::{Bf16, Bf16F32, F32, Format, Int8, Shared, by_format, refuses};
use crate::device::Pool;
use crate::kernels::{Args, Body, CpuKernel};
use crate::ops::Matmul;

/// `matmul/naive`.
pub static NAIVE: CpuKernel = CpuKernel {
    id: "matmul/naive",
    about: "three loops, one accumulator; rows shared out to threads",
    provider: "own",
    refuses,
    build: |_, case, _| {
        Ok(by_format(case, body::<F32>, body::<Bf16>, body::<Bf16F32>, body::<Int8>))
    },
    prologue: None,
};

fn body<F: Format>(p: Matmul) -> Body {
    let products = p.products();
    let ((a_row, a_k), (b_k, b_column)) = (p.a_strides(), p.b_strides());
    Box::new(move |args: &mut Args<'_>| {
        let (a, b) = (args.read[0].as_ref::<F::In>(), args.read[1].as_ref::<F::In>());
        let c = Shared::new(args.written[0].as_mut::<F::Out>());
        args.pool.run(|thread| {
            let mine = Pool::share(p.m * p.batch, 1, thread, args.pool.threads());
            for product in &products {
                let start = product.c / p.n.max(1);
                for row in start.max(mine.start)..(start + product.rows).min(mine.end) {
                    let a0 = product.a + (row - start) * a_row;
                    // SAFETY: row `row` of C; the shares of the threads are disjoint.
                    let c = unsafe { c.part(row * p.n, p.n) };
                    for (j, c) in c.iter_mut().enumerate() {
                        let mut sum = F::Sum::default();
                        for i in 0..p.k {
                            let x = a[a0 + i * a_k];
                            let y = b[product.b + i * b_k + j * b_column];
                            sum = F::add_term(sum, F::widen(x), F::widen(y));
                        }
                        *c = F::finish(sum);
                    }
                }
            }
        });
    })
}
