//! Freivalds' check: a whole product against its operands in O(mn + mk + kn).

use super::reference::{sum_roundoff, widen};
use super::{Matmul, Transpose};
use crate::ops::random::Stream;
use crate::ops::{Inputs, Precision, Role, Tensor};

/// See [`Matmul::freivalds`].
pub(super) fn deviation(
    p: &Matmul,
    precision: Precision,
    inputs: &Inputs,
    c: &Tensor,
    seed: u64,
) -> f64 {
    if p.n == 0 {
        return 0.0;
    }
    let (a, b) = (inputs.get(Role::A), inputs.get(Role::B));
    let stream = Stream::new(seed, 0xf7e1);
    let sign = |j: usize| if stream.bits(j as u64) & 1 == 0 { 1.0 } else { -1.0 };
    let r: Vec<f64> = (0..p.n).map(sign).collect();
    let tolerance = p.tolerance(precision);
    let (sum, output) = (sum_roundoff(p.k, precision), precision.output.unit_roundoff());
    let mut worst = 0f64;
    let mut row = vec![0.0; p.n];
    for product in p.products().iter().filter(|product| product.rows > 0) {
        let y = times_r(p, b, product.b, &r);
        let z = times_y(p, a, product.a, product.rows, &y);
        for (i, (want, scale)) in z.into_iter().enumerate() {
            widen(c, product.c + i * p.n, &mut row);
            let got: f64 = row.iter().zip(&r).map(|(c, r)| c * r).sum();
            let error = (got - want).abs();
            let deviation = if tolerance == 0.0 || p.k == 0 {
                error
            } else {
                let norm = row.iter().map(|c| c * c).sum::<f64>().sqrt();
                // Rounding errors of n results are 0.4·u·norm in the mean, over many rows up to five times that.
                let scale = sum * scale / (p.n as f64).sqrt() + 3.0 * output * norm;
                error / (scale / tolerance).max(1e-30)
            };
            // `max` alone would drop a NaN.
            if deviation.is_nan() {
                return deviation;
            }
            worst = worst.max(deviation);
        }
    }
    worst
}

/// B·r and |B|·1, one pair for each k.
fn times_r(p: &Matmul, b: &Tensor, from: usize, r: &[f64]) -> Vec<(f64, f64)> {
    let mut y = vec![(0.0, 0.0); p.k];
    if p.transpose == Transpose::Nt {
        let mut line = vec![0.0; p.k];
        for (j, r) in r.iter().enumerate() {
            widen(b, from + j * p.k, &mut line);
            for (y, b) in y.iter_mut().zip(&line) {
                *y = (y.0 + b * r, y.1 + b.abs());
            }
        }
    } else {
        let mut line = vec![0.0; p.n];
        for (i, y) in y.iter_mut().enumerate() {
            widen(b, from + i * p.n, &mut line);
            *y = line.iter().zip(r).fold((0.0, 0.0), |y, (b, r)| (y.0 + b * r, y.1 + b.abs()));
        }
    }
    y
}

/// A·y and |A|·|y|, one pair for each row.
fn times_y(p: &Matmul, a: &Tensor, from: usize, rows: usize, y: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut z = vec![(0.0, 0.0); rows];
    if p.transpose == Transpose::Tn {
        let mut line = vec![0.0; rows];
        for (i, y) in y.iter().enumerate() {
            widen(a, from + i * p.m, &mut line);
            for (z, a) in z.iter_mut().zip(&line) {
                *z = (z.0 + a * y.0, z.1 + a.abs() * y.1);
            }
        }
    } else {
        let mut line = vec![0.0; p.k];
        for (i, z) in z.iter_mut().enumerate() {
            widen(a, from + i * p.k, &mut line);
            *z = line
                .iter()
                .zip(y)
                .fold((0.0, 0.0), |z, (a, y)| (z.0 + a * y.0, z.1 + a.abs() * y.1));
        }
    }
    z
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{DType, Groups};

    /// The right product, rounded to the output's format.
    fn right(p: &Matmul, precision: Precision, inputs: &Inputs) -> Tensor {
        let mut c = Tensor::zeroed(p.results(precision).remove(0));
        let values = p.expected(precision, inputs, 2).parts.remove(0).values;
        match c.spec.dtype {
            DType::Bf16 => {
                let out = c.as_mut::<half::bf16>().iter_mut();
                out.zip(values).for_each(|(c, v)| *c = half::bf16::from_f64(v));
            }
            DType::I32 => c.as_mut::<i32>().iter_mut().zip(values).for_each(|(c, v)| *c = v as i32),
            _ => c.as_mut::<f32>().iter_mut().zip(values).for_each(|(c, v)| *c = v as f32),
        }
        c
    }

    fn problems() -> Vec<Matmul> {
        let base = Matmul::new(70, 150, 64);
        let groups = Some(Groups { experts: 6, skew: 2.5 });
        vec![
            base,
            Matmul { batch: 3, transpose: Transpose::Nt, ..base },
            Matmul { batch: 2, transpose: Transpose::Tn, ..base },
            Matmul { groups, ..base },
            Matmul { groups, transpose: Transpose::Nt, ..base },
        ]
    }

    #[test]
    fn a_right_product_passes_and_one_wrong_entry_or_tile_does_not() {
        for p in problems() {
            for precision in [Precision::F32, Precision::BF16_F32, Precision::BF16, Precision::INT8]
            {
                let inputs = p.inputs(precision, 11);
                let c = right(&p, precision, &inputs);
                let tolerance = p.tolerance(precision);
                let fine = p.freivalds(precision, &inputs, &c, 1);
                assert!(fine <= tolerance, "{p} {precision}: {fine:e} > {tolerance:e}");

                let last = c.spec.len() - 1;
                let mut one = c.clone();
                match precision.output {
                    DType::I32 => one.as_mut::<i32>()[last] += 1,
                    DType::Bf16 => one.as_mut::<half::bf16>()[last] = half::bf16::from_f32(40.0),
                    _ => one.as_mut::<f32>()[last] += 0.05,
                }
                let wrong = p.freivalds(precision, &inputs, &one, 1);
                assert!(wrong > tolerance, "{p} {precision}: {wrong:e} <= {tolerance:e}");

                let mut tile = c.clone();
                let size = precision.output.size();
                for row in 8..16 {
                    tile.bytes[(row * p.n + 32) * size..(row * p.n + 64) * size].fill(0);
                }
                assert!(p.freivalds(precision, &inputs, &tile, 1) > tolerance, "{p} {precision}");
            }
        }
    }

    #[test]
    fn a_product_that_was_never_written_is_not_a_number() {
        let p = Matmul::new(3, 5, 4);
        let inputs = p.inputs(Precision::F32, 1);
        let c = Tensor::poisoned(p.results(Precision::F32).remove(0));
        assert!(p.freivalds(Precision::F32, &inputs, &c, 1).is_nan());
    }
}
