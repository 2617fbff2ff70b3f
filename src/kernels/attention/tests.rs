//! Every rung, path, pass and number format against the f64 reference.

use super::ROWS;
use crate::device::{Capabilities, CpuDevice, Device, Isa};
use crate::ops::{Attention, Case, DType, Expected, Pass, Precision, Problem, Tensor};
use crate::units::Bytes;

/// The instruction sets to force; those that the processor lacks fall back to the next.
const PATHS: [Isa; 4] = [
    Isa::PORTABLE,
    Isa { avx2: true, ..Isa::PORTABLE },
    Isa { avx2: true, avx512: true, ..Isa::PORTABLE },
    Isa { avx2: true, avx512: true, avx512_bf16: true, ..Isa::PORTABLE },
];

/// The worst error of any checked entry, in tolerances; NaN if an entry is.
fn worst(expected: &Expected, outputs: &[Tensor]) -> f64 {
    let mut worst = 0.0f64;
    for part in &expected.parts {
        let got = outputs.iter().find(|t| t.spec.role == part.role).expect("the result is there");
        for (i, (want, scale)) in part.values.iter().zip(&part.scales).enumerate() {
            let at = part.entries.as_ref().map_or(i, |e| e[i] as usize);
            let error = (got.get(at) - want).abs() / scale;
            if error.is_nan() {
                return f64::NAN;
            }
            worst = worst.max(error);
        }
        if part.entries.is_none() {
            assert_eq!(part.values.len(), got.spec.len());
        }
    }
    worst / expected.tolerance
}

fn device(isa: Isa) -> Device {
    let capabilities = Capabilities {
        isa,
        threads: 3,
        memory: Bytes(1 << 32),
        last_level_cache: Bytes(1 << 20),
        gpu: None,
    };
    Device::Cpu(CpuDevice { capabilities, pin: false, rayon: false })
}

fn shape(
    b: usize,
    h: usize,
    kv: usize,
    q: usize,
    s: usize,
    d: (usize, usize),
    c: bool,
) -> Attention {
    Attention {
        batch: b,
        heads: h,
        kv_heads: kv,
        seq_q: q,
        seq_kv: s,
        head_dim_qk: d.0,
        head_dim_v: d.1,
        causal: c,
    }
}

fn case(shape: Attention, precision: Precision, pass: Pass, threads: usize) -> Case {
    Case { pass, threads, ..Case::new(Problem::Attention(shape), precision) }
}

/// Checks every rung that takes the case, on every path, twice in a row.
fn check(shape: Attention, precision: Precision, pass: Pass, threads: usize) {
    let case = case(shape, precision, pass, threads);
    assert_eq!(case.invalid(), None);
    let inputs = case.inputs(7);
    let expected = case.expected(&inputs, 2);
    let mut took = 0;
    for kernel in ROWS {
        // Paths are the vector rung's alone.
        let paths = if kernel.id().0 == "attention/simd" { &PATHS[..] } else { &PATHS[..1] };
        for &isa in paths {
            let device = device(isa);
            if kernel.refuses(device.capabilities(), &case).is_some() {
                continue;
            }
            took += 1;
            let mut prepared = kernel.prepare(&device, &case, &inputs).unwrap();
            for launch in 0..2 {
                prepared.reset().unwrap();
                prepared.launch(0).unwrap();
                let worst = worst(&expected, &prepared.outputs().unwrap());
                assert!(
                    worst <= 1.0,
                    "{} on {isa:?}, launch {launch}, {case}: {worst} times the tolerance {}",
                    kernel.id(),
                    expected.tolerance
                );
            }
        }
    }
    assert!(took >= 5, "{case}: only {took} paths took it");
}

const PRECISIONS: [Precision; 3] = [Precision::F32, Precision::BF16, Precision::BF16_F32];
const HEADS: [(usize, usize); 3] = [(2, 2), (4, 2), (7, 1)];
const DIMS: [(usize, usize); 6] = [(1, 1), (7, 7), (64, 64), (80, 80), (128, 128), (192, 128)];

fn sweep(pass: Pass, sequences: &[(usize, usize)]) {
    let mut turn = 0;
    for &(q, s) in sequences {
        for precision in PRECISIONS {
            for (heads, kv) in HEADS {
                for causal in [false, true] {
                    // Head sizes, threads and batch take turns: all meet all others somewhere in the sweep.
                    turn += 1;
                    let (d, threads, batch) = (DIMS[turn % 6], 1 + (turn / 6) % 3, 1 + turn % 2);
                    check(shape(batch, heads, kv, q, s, d, causal), precision, pass, threads);
                }
            }
        }
    }
}

#[test]
fn forward_is_right_at_awkward_sizes() {
    sweep(Pass::Forward, &[(1, 1), (2, 3), (11, 13), (12, 12), (13, 33), (31, 97), (97, 257)]);
}

#[test]
fn backward_is_right_at_awkward_sizes() {
    sweep(Pass::Backward, &[(1, 1), (2, 3), (11, 13), (12, 12), (13, 33), (31, 97), (97, 193)]);
}

#[test]
fn decode_is_right_at_awkward_sizes() {
    sweep(Pass::Decode, &[(1, 1), (1, 2), (1, 17), (1, 127), (1, 129), (1, 521)]);
}

#[test]
fn long_rows_are_rescaled_across_blocks() {
    for precision in [Precision::F32, Precision::BF16] {
        for causal in [false, true] {
            check(shape(1, 2, 1, 110, 530, (64, 64), causal), precision, Pass::Forward, 2);
            check(shape(1, 2, 1, 100, 210, (64, 64), causal), precision, Pass::Backward, 2);
        }
    }
}

#[test]
fn a_decode_reads_a_cache_of_another_type() {
    for (inputs, state) in [
        (Precision::F32, DType::Bf16),
        (Precision::BF16, DType::F32),
        (Precision::BF16, DType::Bf16),
    ] {
        for d in DIMS {
            for (heads, kv) in HEADS {
                check(
                    shape(2, heads, kv, 1, 150, d, false),
                    inputs.with_state(state),
                    Pass::Decode,
                    3,
                );
            }
        }
    }
}

#[test]
fn a_case_of_another_format_or_pass_is_refused_with_a_reason() {
    let small = Attention::new(1, 4, 8, false);
    let mut f16 = Precision::BF16;
    f16.inputs = DType::F16;
    for kernel in ROWS {
        let on = device(Isa::PORTABLE);
        let reason = kernel.refuses(on.capabilities(), &case(small, f16, Pass::Forward, 1));
        assert!(reason.unwrap().contains("f16"));
        let state = Precision::F32.with_state(DType::I8);
        let decode = Attention { seq_q: 1, ..small };
        assert!(kernel.refuses(on.capabilities(), &case(decode, state, Pass::Decode, 1)).is_some());
    }
    let blocked = ROWS[1].refuses(
        device(Isa::PORTABLE).capabilities(),
        &case(small, Precision::F32, Pass::Backward, 1),
    );
    assert!(blocked.unwrap().contains("attention/simd"));
}
