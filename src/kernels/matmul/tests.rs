//! Every kernel on every path against the f64 reference, on awkward sizes.

use super::ROWS;
use crate::device::{Capabilities, CpuDevice, Device, Isa};
use crate::kernels::Kernel;
use crate::ops::{Case, Groups, Matmul, Precision, Problem, Tensor, Transpose};

const PRECISIONS: [Precision; 4] =
    [Precision::F32, Precision::BF16, Precision::BF16_F32, Precision::INT8];
const TRANSPOSES: [Transpose; 3] = [Transpose::Nn, Transpose::Nt, Transpose::Tn];

/// The instruction sets to test: what this machine has, and less and less of it.
fn isas() -> Vec<Isa> {
    let all = Isa::detect();
    if !all.amx_bf16 || !all.amx_int8 {
        println!("no AMX here: products of tiles are not tested");
    }
    let vectors = Isa { amx_bf16: false, amx_int8: false, ..all };
    let plain_avx512 = Isa { avx512_bf16: false, avx512_vnni: false, ..vectors };
    let avx2 = Isa { avx512: false, ..plain_avx512 };
    let mut isas = vec![all, vectors, plain_avx512, avx2, Isa::PORTABLE];
    isas.dedup();
    isas
}

fn device(isa: Isa) -> Device {
    let found = CpuDevice::detect(false);
    Device::Cpu(CpuDevice {
        capabilities: Capabilities { isa, ..found.capabilities },
        pin: false,
        rayon: false,
    })
}

fn case(p: Matmul, precision: Precision, threads: usize) -> Case {
    Case { threads, ..Case::new(Problem::Matmul(p), precision) }
}

/// The first entry that deviates, in words.
fn wrong(case: &Case, c: &Tensor, expected: &crate::ops::Expected) -> Option<String> {
    let part = &expected.parts[0];
    let entries = part.entries.clone().unwrap_or_else(|| (0..c.spec.len() as u64).collect());
    assert_eq!(entries.len(), part.values.len());
    entries.iter().zip(&part.values).zip(&part.scales).find_map(|((&entry, want), scale)| {
        let got = c.get(entry as usize);
        let deviation = (got - want).abs() / scale;
        let fine = deviation <= expected.tolerance;
        (!fine).then(|| {
            format!(
                "{case}: entry {entry} is {got}, not {want}: {deviation:e} > {:e}",
                expected.tolerance
            )
        })
    })
}

/// Runs `kernels` on `isas` with `threads`, twice each, and compares with the reference.
fn check(
    kernels: &[&dyn Kernel],
    isas: &[Isa],
    p: Matmul,
    precision: Precision,
    threads: &[usize],
) {
    let first = case(p, precision, 1);
    let inputs = first.inputs(17);
    let expected = first.expected(&inputs, 2);
    for kernel in kernels {
        for &isa in isas {
            let device = device(isa);
            for &threads in threads {
                let case = case(p, precision, threads);
                let refusal = kernel.refuses(device.capabilities(), &case);
                assert_eq!(refusal, None, "{case}");
                let mut ready = kernel.prepare(&device, &case, &inputs).expect("prepares");
                for launch in ["first", "second"] {
                    ready.reset().expect("resets");
                    ready.launch(0).expect("launches");
                    let outputs = ready.outputs().expect("has outputs");
                    if let Some(reason) = wrong(&case, &outputs[0], &expected) {
                        panic!("{} on {isa:?}, {launch} launch: {reason}", kernel.id());
                    }
                }
            }
        }
    }
}

#[test]
fn every_path_is_right_around_tile_edges_and_for_empty_products() {
    // Tiles are 4 × 8, 6 × 16 and 12 × 32 here, words hold up to four k.
    let sizes = [
        (0, 3, 5),
        (3, 0, 5),
        (3, 5, 0),
        (1, 1, 1),
        (1, 33, 7),
        (13, 1, 31),
        (5, 7, 3),
        (11, 31, 4),
        (12, 32, 64),
        (13, 33, 65),
        (25, 17, 129),
        (6, 16, 2),
        (7, 15, 1),
        (49, 161, 37),
    ];
    for (m, n, k) in sizes {
        for transpose in TRANSPOSES {
            for precision in PRECISIONS {
                let p = Matmul { transpose, ..Matmul::new(m, n, k) };
                check(ROWS, &isas(), p, precision, &[1, 3]);
            }
        }
    }
}

#[test]
fn every_path_is_right_over_several_blocks_of_k_rows_and_columns() {
    // 512 words of k, up to four k a word; 192 rows of A or more, 2048 columns of B or more, in a block.
    for (m, n, k) in [(67, 131, 1031), (401, 353, 521), (19, 65, 4099)] {
        for transpose in TRANSPOSES {
            for precision in PRECISIONS {
                let p = Matmul { transpose, ..Matmul::new(m, n, k) };
                check(&[&super::BLOCKED, &super::SIMD], &isas(), p, precision, &[2]);
            }
        }
    }
}

#[test]
fn every_path_is_right_on_wide_products_of_several_column_blocks() {
    for precision in PRECISIONS {
        for transpose in [Transpose::Nn, Transpose::Nt] {
            let p = Matmul { transpose, ..Matmul::new(13, 4391, 523) };
            check(&[&super::SIMD], &isas(), p, precision, &[1]);
        }
    }
}

#[test]
fn every_path_is_right_on_few_rows() {
    for m in [1, 2, 3, 4, 7, 24, 25] {
        for (n, k) in [(1, 1), (9, 129), (67, 1000)] {
            for transpose in TRANSPOSES {
                for precision in PRECISIONS {
                    let p = Matmul { transpose, batch: 2, ..Matmul::new(m, n, k) };
                    check(&[&super::SIMD], &isas(), p, precision, &[1, 3]);
                }
            }
        }
    }
}

#[test]
fn every_path_is_right_on_batches() {
    for (m, n, k) in [(13, 33, 65), (2, 3, 5), (90, 70, 40)] {
        for transpose in TRANSPOSES {
            for precision in PRECISIONS {
                let p = Matmul { batch: 3, transpose, ..Matmul::new(m, n, k) };
                check(ROWS, &isas(), p, precision, &[1, 2, 3]);
            }
        }
    }
}

#[test]
fn every_path_is_right_on_groups_also_with_experts_that_get_no_rows() {
    for (m, experts, skew) in [(61, 4, 0.0), (61, 4, 1.0), (5, 9, 0.0), (40, 16, 3.0)] {
        for transpose in [Transpose::Nn, Transpose::Nt] {
            for precision in PRECISIONS {
                let groups = Some(Groups { experts, skew });
                let p = Matmul { groups, transpose, ..Matmul::new(m, 45, 67) };
                check(ROWS, &isas(), p, precision, &[1, 2, 3]);
            }
        }
    }
}

#[test]
fn large_products_pass_freivalds_check() {
    let kernel = &super::SIMD;
    for precision in PRECISIONS {
        let p = Matmul { transpose: Transpose::Nt, ..Matmul::new(523, 1031, 1029) };
        let case = case(p, precision, 2);
        let inputs = case.inputs(3);
        let device = device(Isa::detect());
        let mut ready = kernel.prepare(&device, &case, &inputs).expect("prepares");
        ready.launch(0).expect("launches");
        let deviation = p.freivalds(precision, &inputs, &ready.outputs().expect("outputs")[0], 9);
        assert!(deviation <= p.tolerance(precision), "{precision}: {deviation:e}");
    }
}

#[test]
fn integers_agree_to_the_bit_on_every_path_also_at_the_ends_of_their_range() {
    let p = Matmul::new(14, 37, 1030);
    let case = case(p, Precision::INT8, 1);
    let mut inputs = case.inputs(5);
    for (i, t) in
        std::sync::Arc::get_mut(&mut inputs.tensors).expect("not shared").iter_mut().enumerate()
    {
        for (j, x) in t.as_mut::<i8>().iter_mut().enumerate() {
            *x = [-128, 127, -128, -127, 0][(j + i) % 5];
        }
    }
    let expected = case.expected(&inputs, 1);
    for kernel in ROWS {
        for isa in isas() {
            let device = device(isa);
            let mut ready = kernel.prepare(&device, &case, &inputs).expect("prepares");
            ready.launch(0).expect("launches");
            let c = &ready.outputs().expect("outputs")[0];
            assert_eq!(wrong(&case, c, &expected), None, "{} on {isa:?}", kernel.id());
        }
    }
}

#[test]
fn other_precisions_and_ops_are_refused_with_a_reason() {
    let f16 = "f16-f32-f16".parse::<Precision>().expect("a precision");
    let update = crate::ops::Update { rule: crate::ops::Rule::ALL[0], params: 10 };
    for kernel in ROWS {
        let on = device(Isa::detect());
        let product = case(Matmul::new(2, 2, 2), f16, 1);
        let reason = kernel.refuses(on.capabilities(), &product).expect("f16 is refused");
        assert!(reason.contains("f16"), "{reason}");
        let other = Case::new(Problem::Update(update), Precision::F32);
        assert!(kernel.refuses(on.capabilities(), &other).is_some());
    }
}
