//! `corpus/src/linear.cu`

use crate::{Kernel, Source, assert_close, vary};

#[test]
pub(crate) fn saxpy_adds_a_multiple_and_leaves_the_tail_alone() {
    let mut source = Source::new(1);
    let (x, y) = (source.floats(1000), source.floats(1000));
    let kernel = Kernel::new("linear", "saxpy").grid(4, 1).block(256, 1);
    let out = kernel.scalar(2.5f32).input(&x).in_out(&y).scalar(999i32).run().get::<f32>(0);
    for i in 0..999 {
        assert_eq!(out[i], 2.5f32.mul_add(x[i], y[i]));
    }
    assert_eq!(out[999], y[999]);
}

#[test]
pub(crate) fn saxpy_by_vectors_is_the_same() {
    let mut source = Source::new(2);
    let (x, y) = (source.floats(516), source.floats(516));
    let kernel = Kernel::new("linear", "saxpy_vector").grid(2, 1).block(96, 1);
    let out = kernel.scalar(-0.5f32).input(&x).in_out(&y).scalar(516i32).run().get::<f32>(0);
    for i in 0..516 {
        assert_eq!(out[i], (-0.5f32).mul_add(x[i], y[i]));
    }
}

#[test]
pub(crate) fn a_grid_stride_loop_reaches_every_element_once() {
    let x: Vec<f64> = (0..1003).map(|i| i as f64 * 0.1).collect();
    let kernel = Kernel::new("linear", "scale_stride").grid(3, 1).block(64, 1);
    let out = kernel.scalar(3.0f64).in_out(&x).scalar(1003u64).run().get::<f64>(0);
    assert!(out.iter().zip(&x).all(|(out, x)| *out == x * 3.0));
}

#[test]
pub(crate) fn a_dot_product_by_atomics_is_right_in_any_order() {
    let mut source = Source::new(3);
    let n = vary([2000, 300, 1201]);
    let (x, y) = (source.floats(n), source.floats(n));
    let kernel = Kernel::new("linear", "dot").grid(4, 1).block(128, 1).any_order();
    let out = kernel.input(&x).input(&y).in_out(&[0f32]).scalar(n as i32).run().get::<f32>(0);
    let exact: f64 = x.iter().zip(&y).map(|(x, y)| *x as f64 * *y as f64).sum();
    assert_close(&out, [exact], 1e-4);
}

#[test]
pub(crate) fn matvec_sums_a_row_by_a_warp() {
    let mut source = Source::new(4);
    let (m, n) = (21, vary([300, 512, 70]));
    let (a, x) = (source.floats(m * n), source.floats(n));
    let kernel = Kernel::new("linear", "matvec").grid(6, 1).block(128, 1);
    let kernel = kernel.input(&a).input(&x).output::<f32>(m).scalar(m as i32).scalar(n as i32);
    let dot = |r: usize| (0..n).map(|j| a[r * n + j] as f64 * x[j] as f64).sum();
    assert_close(&kernel.run().get::<f32>(0), (0..m).map(dot), 1e-5);
}
