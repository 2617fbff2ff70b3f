//! `corpus/src/physics.cu`

use crate::{Kernel, Source, assert_close, vary};

#[test]
pub(crate) fn jacobi_averages_neighbours_and_keeps_borders() {
    let (m, n) = vary([(23, 37), (32, 48), (17, 3)]);
    let x = Source::new(1).floats(m * n);
    let kernel = Kernel::new("physics", "jacobi").grid(3, 2).block(16, 16);
    let kernel = kernel.input(&x).output::<f32>(m * n).scalar(m as i32).scalar(n as i32);
    let at = |i: usize| x[i] as f64;
    let expected = (0..m * n).map(|i| {
        let (r, c) = (i / n, i % n);
        if r == 0 || r == m - 1 || c == 0 || c == n - 1 {
            at(i)
        } else {
            (at(i - n) + at(i + n) + at(i - 1) + at(i + 1)) / 4.0
        }
    });
    assert_close(&kernel.run().get::<f32>(0), expected, 1e-6);
}

#[test]
pub(crate) fn a_stencil_walks_along_the_third_dimension() {
    let (nx, ny, nz) = (12, 9, vary([7, 16, 4]));
    let x: Vec<f64> = Source::new(2).floats(nx * ny * nz).iter().map(|x| *x as f64).collect();
    let kernel = Kernel::new("physics", "stencil3d").grid(2, 2).block(8, 8);
    let kernel = kernel.input(&x).in_out(&vec![0f64; nx * ny * nz]);
    let kernel = kernel.scalar(nx as i32).scalar(ny as i32).scalar(nz as i32);
    let out = kernel.run().get::<f64>(0);
    for (at, found) in out.into_iter().enumerate() {
        let (i, j, k) = (at % nx, at / nx % ny, at / (nx * ny));
        let inner = i > 0 && j > 0 && k > 0 && i < nx - 1 && j < ny - 1 && k < nz - 1;
        let plane = nx * ny;
        let expected = if inner {
            x[at - plane] + x[at + plane] + x[at - 1] + x[at + 1] + x[at - nx] + x[at + nx]
                - 6.0 * x[at]
        } else {
            0.0
        };
        assert!((found - expected).abs() < 1e-12, "{at}");
    }
}

#[test]
pub(crate) fn a_convolution_reads_its_weights_from_constant_memory() {
    let n = vary([300, 384, 100]);
    let mut source = Source::new(3);
    let (x, weights) = (source.floats(n), source.floats(9));
    let kernel = Kernel::new("physics", "convolve").grid(3, 1).block(128, 1);
    let kernel = kernel.symbol("weights", &weights).input(&x).output::<f32>(n).scalar(n as i32);
    let expected = (0..n).map(|i| {
        let inside = |k: &usize| (4..n + 4).contains(&(i + k));
        (0..9).filter(inside).map(|k| weights[k] as f64 * x[i + k - 4] as f64).sum::<f64>()
    });
    assert_close(&kernel.run().get::<f32>(0), expected, 1e-5);
}

#[test]
pub(crate) fn life_wraps_around() {
    let (m, n) = vary([(19, 30), (24, 32), (3, 17)]);
    let x: Vec<u8> = Source::new(4).words(m * n).iter().map(|x| (x % 3 == 0) as u8).collect();
    let kernel = Kernel::new("physics", "life").grid(2, 3).block(16, 8);
    let kernel = kernel.input(&x).output::<u8>(m * n).scalar(m as i32).scalar(n as i32);
    for (i, found) in kernel.run().get::<u8>(0).into_iter().enumerate() {
        let around: u8 = (0..9)
            .filter(|k| *k != 4)
            .map(|k| x[(i / n + m + k / 3 - 1) % m * n + (i % n + n + k % 3 - 1) % n])
            .sum();
        assert_eq!(found, (around == 3 || around == 2 && x[i] == 1) as u8);
    }
}

#[test]
pub(crate) fn bodies_attract_each_other() {
    let n = 128;
    let x = Source::new(5).floats(4 * n);
    let kernel = Kernel::new("physics", "bodies").grid(2, 1).block(64, 1);
    let out = kernel.input(&x).output::<f32>(4 * n).scalar(n as i32).run().get::<f32>(0);
    let at = |i: usize| x[i] as f64;
    let expected = (0..4 * n).map(|e| {
        let (i, axis) = (e / 4, e % 4);
        let pull = |j: usize| {
            let d = |a: usize| at(4 * j + a) - at(4 * i + a);
            let square = d(0) * d(0) + d(1) * d(1) + d(2) * d(2) + 1e-3;
            d(axis) * at(4 * j + 3) / (square * square.sqrt())
        };
        if axis == 3 { 0.0 } else { (0..n).map(pull).sum() }
    });
    assert_close(&out, expected, 1e-4);
}

#[test]
pub(crate) fn a_fast_transform_is_the_slow_ones() {
    let x = Source::new(6).floats(2 * 256 * 2);
    let kernel = Kernel::new("physics", "fft256").grid(2, 1).block(128, 1);
    let out = kernel.in_out(&x).run().get::<f32>(0);
    let expected = (0..1024).map(|e| {
        let (base, k) = (e / 512 * 512, e % 512 / 2);
        let term = |j: usize| {
            let (sine, cosine) = (-std::f64::consts::TAU * (j * k % 256) as f64 / 256.0).sin_cos();
            let (re, im) = (x[base + 2 * j] as f64, x[base + 2 * j + 1] as f64);
            if e % 2 == 0 { re * cosine - im * sine } else { re * sine + im * cosine }
        };
        (0..256).map(term).sum::<f64>()
    });
    assert_close(&out, expected, 1e-4);
}

#[test]
pub(crate) fn large_angles_are_reduced_through_local_memory() {
    let mut x = Source::new(7).floats(320);
    x.iter_mut().enumerate().for_each(|(i, x)| *x *= 10f32.powi(i as i32 % 7));
    let kernel = Kernel::new("physics", "waves").grid(5, 1).block(64, 1);
    let out = kernel.input(&x).output::<f32>(320).scalar(320i32).run().get::<f32>(0);
    assert_close(&out, x.iter().map(|x| (*x as f64).sin() + ((3.0 * x) as f64).cos()), 1e-6);
}
