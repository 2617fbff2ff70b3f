//! `corpus/src/network.cu`

use crate::{Kernel, Source, assert_close, vary};

fn softmax(x: &[f32]) -> Vec<f64> {
    let largest = x.iter().fold(f64::MIN, |most, x| most.max(*x as f64));
    let sum: f64 = x.iter().map(|x| (*x as f64 - largest).exp()).sum();
    x.iter().map(|x| (*x as f64 - largest).exp() / sum).collect()
}

#[test]
pub(crate) fn softmax_by_a_block_in_three_passes() {
    let n = vary([150, 64, 301]);
    let x: Vec<f32> = Source::new(1).floats(5 * n).iter().map(|x| 8.0 * x).collect();
    let kernel = Kernel::new("network", "softmax_block").grid(5, 1).block(96, 1);
    let out = kernel.input(&x).output::<f32>(5 * n).scalar(n as i32).run().get::<f32>(0);
    assert_close(&out, x.chunks(n).flat_map(softmax), 1e-6);
}

#[test]
pub(crate) fn softmax_by_a_warp_in_one_pass() {
    let (rows, n) = vary([(7, 77), (8, 128), (5, 20)]);
    let x: Vec<f32> = Source::new(2).floats(rows * n).iter().map(|x| 20.0 * x).collect();
    let kernel = Kernel::new("network", "softmax_online").grid(4, 1).block(64, 1);
    let kernel = kernel.input(&x).output::<f32>(rows * n).scalar(rows as i32).scalar(n as i32);
    assert_close(&kernel.run().get::<f32>(0), x.chunks(n).flat_map(softmax), 1e-6);
}

/// Normalized rows, means, reciprocal deviations.
fn normalize(x: &[f32], n: usize) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let (mut h, mut means, mut deviations) = (Vec::new(), Vec::new(), Vec::new());
    for row in x.chunks(n) {
        let mean = row.iter().map(|x| *x as f64).sum::<f64>() / n as f64;
        let square = row.iter().map(|x| (*x as f64 - mean).powi(2)).sum::<f64>() / n as f64;
        let r = 1.0 / (square + 1e-5).sqrt();
        h.extend(row.iter().map(|x| (*x as f64 - mean) * r));
        means.push(mean);
        deviations.push(r);
    }
    (h, means, deviations)
}

#[test]
pub(crate) fn layernorm_and_what_it_keeps_for_its_gradient() {
    let (rows, n) = (4, vary([130, 64, 257]));
    let mut source = Source::new(3);
    let (x, gain, bias) = (source.floats(rows * n), source.floats(n), source.floats(n));
    let kernel = Kernel::new("network", "layernorm").grid(rows, 1).block(64, 1);
    let kernel = kernel.input(&x).input(&gain).input(&bias).output::<f32>(rows * n);
    let out = kernel.output::<f32>(rows).output::<f32>(rows).scalar(n as i32).run();
    let (h, means, deviations) = normalize(&x, n);
    let y = h.iter().enumerate().map(|(i, h)| h * gain[i % n] as f64 + bias[i % n] as f64);
    assert_close(&out.get::<f32>(0), y, 1e-5);
    assert_close(&out.get::<f32>(1), means, 1e-6);
    assert_close(&out.get::<f32>(2), deviations, 1e-5);
}

#[test]
pub(crate) fn the_gradient_of_layernorm() {
    let (rows, n) = (3, vary([96, 130, 40]));
    let mut source = Source::new(4);
    let (x, dy, gain) = (source.floats(rows * n), source.floats(rows * n), source.floats(n));
    let (h, means, deviations) = normalize(&x, n);
    let single = |x: &[f64]| x.iter().map(|x| *x as f32).collect::<Vec<_>>();
    let kernel =
        Kernel::new("network", "layernorm_backward").grid(rows, 1).block(64, 1).any_order();
    let kernel = kernel.input(&dy).input(&x).input(&gain);
    let kernel = kernel.input(&single(&means)).input(&single(&deviations));
    let kernel = kernel.output::<f32>(rows * n).in_out(&vec![0f32; n]).in_out(&vec![0f32; n]);
    let out = kernel.scalar(n as i32).run();
    let dx = (0..rows * n).map(|i| {
        let row = i / n * n;
        let d = |j: usize| gain[j] as f64 * dy[row + j] as f64;
        let a = (0..n).map(d).sum::<f64>() / n as f64;
        let b = (0..n).map(|j| d(j) * h[row + j]).sum::<f64>() / n as f64;
        (d(i % n) - a - h[i] * b) * deviations[i / n]
    });
    assert_close(&out.get::<f32>(0), dx, 1e-4);
    let rows_of = |j: usize| (0..rows).map(move |r| r * n + j);
    assert_close(
        &out.get::<f32>(1),
        (0..n).map(|j| rows_of(j).map(|i| dy[i] as f64 * h[i]).sum::<f64>()),
        1e-5,
    );
    assert_close(
        &out.get::<f32>(2),
        (0..n).map(|j| rows_of(j).map(|i| dy[i] as f64).sum::<f64>()),
        1e-5,
    );
}

#[test]
pub(crate) fn activations_are_those_of_f64() {
    let n = 100;
    let mut source = Source::new(5);
    let x: Vec<f32> = source.floats(n).iter().map(|x| 6.0 * x).collect();
    let up = source.floats(n);
    let kernel = Kernel::new("network", "gelu").grid(2, 1).block(64, 1);
    let out = kernel.input(&x).output::<f32>(n).scalar(n as i32).run().get::<f32>(0);
    let gelu = |x: &f32| {
        let x = *x as f64;
        0.5 * x * (1.0 + (0.7978845608 * (x + 0.044715 * x * x * x)).tanh())
    };
    assert_close(&out, x.iter().map(gelu), 1e-6);
    let kernel = Kernel::new("network", "swiglu").grid(2, 1).block(64, 1);
    let out = kernel.input(&x).input(&up).output::<f32>(n).scalar(n as i32).run().get::<f32>(0);
    let swiglu = |(x, up): (&f32, &f32)| *x as f64 / (1.0 + (-*x as f64).exp()) * *up as f64;
    assert_close(&out, x.iter().zip(&up).map(swiglu), 1e-6);
}

#[test]
pub(crate) fn pairs_of_f16_are_computed_apart() {
    // 2, -3; 0.5, NaN; -0, 1 as pairs, upper half first, times 2 plus 1.
    let x = [0x4000_c200u32, 0x3800_7e00, 0x8000_3c00];
    let kernel = Kernel::new("network", "relu_f16x2").grid(1, 1).block(32, 1);
    let kernel = kernel.input(&x).output::<u32>(3).scalar(0x4000_4000u32).scalar(0x3c00_3c00u32);
    let out = kernel.scalar(3i32).run().get::<u32>(0);
    assert_eq!(out, [0x4500_3c00, 0x4000_3c00, 0x3c00_4200]);
}

#[test]
pub(crate) fn rotary_embedding_turns_pairs_by_position() {
    let (positions, heads, half) = vary([(40, 2, 16), (300, 1, 4), (7, 3, 31)]);
    let q = Source::new(6).floats(positions * heads * 2 * half);
    let kernel = Kernel::new("network", "rope").grid(positions, heads).block(32, 1);
    let kernel = kernel.in_out(&q).scalar(heads as i32).scalar(half as i32).scalar(10_000f32);
    let expected = (0..q.len()).map(|i| {
        let (position, j) = (i / (heads * 2 * half), i % half);
        let angle = position as f64 * 10_000f64.powf(-(j as f64) / half as f64);
        let (s, c) = angle.sin_cos();
        if i % (2 * half) < half {
            q[i] as f64 * c - q[i + half] as f64 * s
        } else {
            q[i - half] as f64 * s + q[i] as f64 * c
        }
    });
    assert_close(&kernel.run().get::<f32>(0), expected, 1e-5);
}

#[test]
pub(crate) fn cross_entropy_and_its_gradient() {
    let (rows, n) = (4, vary([70, 32, 260]));
    let mut source = Source::new(7);
    let x: Vec<f32> = source.floats(rows * n).iter().map(|x| 5.0 * x).collect();
    let targets = source.integers(rows, n as u64);
    let kernel = Kernel::new("network", "cross_entropy").grid(rows, 1).block(32, 1);
    let kernel = kernel.input(&x).input(&targets).output::<f32>(rows).output::<f32>(rows * n);
    let out = kernel.scalar(n as i32).run();
    let p: Vec<f64> = x.chunks(n).flat_map(softmax).collect();
    let loss = (0..rows).map(|r| -p[r * n + targets[r] as usize].ln());
    assert_close(&out.get::<f32>(0), loss, 1e-5);
    let hit = |i: usize| (i % n == targets[i / n] as usize) as i32 as f64;
    assert_close(&out.get::<f32>(1), p.iter().enumerate().map(|(i, p)| p - hit(i)), 1e-6);
}

#[test]
pub(crate) fn embeddings_of_tokens_and_positions_are_added() {
    let (t, width, n, words) = (vary([5, 3, 7]), vary([12, 8, 4]), 10, 8);
    let mut source = Source::new(8);
    let (table, positions) = (source.floats(words * width), source.floats(t * width));
    let tokens = source.integers(n, words as u64);
    let kernel = Kernel::new("network", "embed").grid(1, 1).block(32, 1);
    let kernel = kernel.input(&tokens).input(&table).input(&positions).output::<f32>(n * width);
    let kernel = kernel.scalar(t as i32).scalar(width as i32 / 4).scalar(n as i32);
    for (i, found) in kernel.run().get::<f32>(0).into_iter().enumerate() {
        let (at, c) = (i / width, i % width);
        assert_eq!(found, table[tokens[at] as usize * width + c] + positions[at % t * width + c]);
    }
}

#[test]
pub(crate) fn rows_are_quantized_by_their_largest_entry() {
    let (rows, n) = (3, vary([50, 128, 290]));
    let x = Source::new(9).floats(rows * n);
    let kernel = Kernel::new("network", "quantize_rows").grid(rows, 1).block(32, 1);
    let kernel = kernel.input(&x).output::<i8>(rows * n).output::<f32>(rows).scalar(n as i32);
    let out = kernel.run();
    let (q, scales) = (out.get::<i8>(0), out.get::<f32>(1));
    for r in 0..rows {
        let row = &x[r * n..(r + 1) * n];
        let step = row.iter().fold(0f32, |most, x| most.max(x.abs())) / 127.0;
        assert_eq!(scales[r], step);
        for (j, x) in row.iter().enumerate() {
            assert_eq!(q[r * n + j] as f32, (x / step).round_ties_even());
        }
    }
}
