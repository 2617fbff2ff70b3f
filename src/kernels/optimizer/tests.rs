use crate::device::cpu::detect_capabilities;
use crate::device::{Capabilities, CpuDevice, Device, Isa};
use crate::kernels::{Kernel, Prepared};
use crate::ops::{Case, DType, Expected, Precision, Problem, Rule, Tensor, Update};

use super::ROWS;

const LENGTHS: [usize; 13] = [0, 1, 7, 15, 16, 17, 63, 64, 65, 1009, 2048, 4099, 6149];

fn case(rule: Rule, params: usize, base: Precision, threads: usize) -> Case {
    let problem = Problem::Update(Update { rule, params });
    Case { threads, ..Case::new(problem, rule.precision(base)) }
}

/// This machine with each instruction set that it can force.
fn devices() -> Vec<(&'static str, Device)> {
    let detected = Isa::detect();
    let mut paths = vec![("portable", Isa::PORTABLE)];
    if detected.avx2 {
        paths.push(("avx2", Isa { avx2: true, ..Isa::PORTABLE }));
    }
    if detected.avx512 {
        paths.push(("avx512", detected));
    }
    let device = |isa| {
        let capabilities = Capabilities { isa, ..detect_capabilities() };
        Device::Cpu(CpuDevice { capabilities, pin: false, rayon: false })
    };
    paths.into_iter().map(|(name, isa)| (name, device(isa))).collect()
}

/// The largest scaled error; NaN and missing results count as infinite.
fn deviation(expected: &Expected, outputs: &[Tensor]) -> f64 {
    let mut worst = 0f64;
    for part in &expected.parts {
        let tensor = outputs.iter().find(|t| t.spec.role == part.role).expect("a result");
        assert_eq!(tensor.spec.len(), part.values.len());
        for (i, (want, scale)) in part.values.iter().zip(&part.scales).enumerate() {
            let error = (tensor.get(i) - want).abs();
            let scaled = if error == 0.0 { 0.0 } else { error / scale };
            worst = worst.max(if scaled.is_nan() { f64::INFINITY } else { scaled });
        }
    }
    worst
}

fn prepare<'d>(kernel: &dyn Kernel, device: &'d Device, case: &Case) -> Box<dyn Prepared + 'd> {
    assert_eq!(kernel.refuses(device.capabilities(), case), None, "{} {case}", kernel.id());
    kernel.prepare(device, case, &case.inputs(11)).unwrap()
}

#[test]
fn every_kernel_does_every_rule_at_every_length_and_thread_count() {
    for (path, device) in devices() {
        for kernel in ROWS {
            for rule in Rule::ALL {
                for base in [Precision::F32, Precision::BF16] {
                    for (length, threads) in
                        LENGTHS.iter().flat_map(|&n| [1, 2, 3].map(|threads| (n, threads)))
                    {
                        let case = case(rule, length, base, threads);
                        let expected = case.expected(&case.inputs(11), 1);
                        let mut prepared = prepare(*kernel, &device, &case);
                        prepared.launch(0).unwrap();
                        let outputs = prepared.outputs().unwrap().into_owned();
                        let deviation = deviation(&expected, &outputs);
                        assert!(
                            deviation <= expected.tolerance,
                            "{} {path} {case}: {deviation:e}",
                            kernel.id()
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn a_long_update_over_several_threads_is_right_at_its_sampled_entries() {
    for (_, device) in devices() {
        for base in [Precision::F32, Precision::BF16] {
            let case = case(Rule::Adamw, (1 << 22) + 77, base, 2);
            let expected = case.expected(&case.inputs(11), 2);
            for kernel in ROWS {
                let mut prepared = prepare(*kernel, &device, &case);
                prepared.launch(0).unwrap();
                let outputs = prepared.outputs().unwrap().into_owned();
                for part in &expected.parts {
                    let tensor = outputs.iter().find(|t| t.spec.role == part.role).unwrap();
                    let entries = part.entries.as_ref().unwrap();
                    for ((&at, want), scale) in entries.iter().zip(&part.values).zip(&part.scales) {
                        let error = (tensor.get(at as usize) - want).abs();
                        assert!(error <= expected.tolerance * scale, "{} {at}", kernel.id());
                    }
                }
            }
        }
    }
}

#[test]
fn many_launches_in_a_row_stay_finite_and_normal() {
    for (_, device) in devices() {
        for kernel in ROWS {
            for (rule, base) in
                Rule::ALL.into_iter().flat_map(|r| [(r, Precision::F32), (r, Precision::BF16)])
            {
                let mut prepared = prepare(*kernel, &device, &case(rule, 131, base, 1));
                for slot in 0..10_000 {
                    prepared.launch(slot).unwrap();
                }
                for tensor in prepared.outputs().unwrap().into_owned() {
                    for x in tensor.to_f64() {
                        let normal = x == 0.0 || (x as f32).is_normal();
                        assert!(normal, "{} {} {:?}: {x}", kernel.id(), rule.name(), tensor.spec);
                    }
                }
            }
        }
    }
}

#[test]
fn a_reset_restores_every_vector() {
    for (_, device) in devices() {
        for kernel in ROWS {
            let case = case(Rule::Adamw, 1009, Precision::BF16, 2);
            let inputs = case.inputs(11);
            let mut prepared = prepare(*kernel, &device, &case);
            prepared.launch(0).unwrap();
            let once = prepared.outputs().unwrap().into_owned();
            prepared.launch(0).unwrap();
            let twice = prepared.outputs().unwrap().into_owned();
            prepared.reset().unwrap();
            for ((tensor, once), twice) in
                prepared.outputs().unwrap().into_owned().iter().zip(&once).zip(&twice)
            {
                assert_eq!(*tensor.bytes, *inputs.get(tensor.spec.role).bytes);
                assert_ne!(*once.bytes, *twice.bytes);
            }
            prepared.launch(0).unwrap();
            for (again, once) in prepared.outputs().unwrap().into_owned().iter().zip(&once) {
                assert_eq!(*again.bytes, *once.bytes);
            }
        }
    }
}

#[test]
fn portable_and_vector_paths_agree() {
    let simd = ROWS.iter().find(|k| k.id().0 == "optimizer/simd").unwrap();
    for rule in Rule::ALL {
        let case = case(rule, 4099, Precision::F32, 2);
        let tolerance = case.expected(&case.inputs(11), 1).tolerance;
        let answers: Vec<_> = devices()
            .iter()
            .map(|(_, device)| {
                let mut prepared = prepare(*simd, device, &case);
                prepared.launch(0).unwrap();
                prepared.outputs().unwrap().into_owned()
            })
            .collect();
        for other in &answers[1..] {
            for (a, b) in answers[0].iter().zip(other) {
                for (x, y) in a.to_f64().iter().zip(b.to_f64()) {
                    let scale = x.abs().max(y.abs()).max(1e-2);
                    assert!((x - y).abs() <= tolerance * scale, "{} {x} {y}", rule.name());
                }
            }
        }
    }
}

#[test]
fn an_elements_answer_does_not_depend_on_where_it_stands() {
    let device = &devices().pop().unwrap().1;
    let simd = ROWS.iter().find(|k| k.id().0 == "optimizer/simd").unwrap();
    let outputs = |params| {
        let mut prepared = prepare(*simd, device, &case(Rule::Adamw, params, Precision::F32, 1));
        prepared.launch(0).unwrap();
        prepared.outputs().unwrap().into_owned()
    };
    for (short, long) in outputs(1009).iter().zip(&outputs(1024)) {
        assert_eq!(short.as_ref::<f32>(), &long.as_ref::<f32>()[..1009]);
    }
}

#[test]
fn other_dtypes_are_refused_with_a_reason() {
    let device = &devices()[0].1;
    for kernel in ROWS {
        for precision in [
            Precision::BF16_F32.with_state(DType::F32),
            Precision::F32.with_state(DType::Bf16),
            Precision::INT8.with_state(DType::F32),
        ] {
            let problem = Problem::Update(Update { rule: Rule::Adam, params: 8 });
            let reason = kernel.refuses(device.capabilities(), &Case::new(problem, precision));
            assert!(reason.is_some_and(|r| !r.is_empty()), "{} {precision}", kernel.id());
        }
    }
}

#[test]
fn updates_beyond_the_cache_are_streamed_in_narrower_vectors() {
    use super::lanes::streaming_isa;
    use crate::ops::Cache;
    let isa = Isa { avx2: true, avx512: true, ..Isa::PORTABLE };
    let on = Capabilities {
        isa,
        last_level_cache: crate::units::Bytes(1 << 20),
        ..detect_capabilities()
    };
    let small = case(Rule::Adamw, 1 << 10, Precision::F32, 1);
    assert!(streaming_isa(&on, &small).avx512);
    assert!(!streaming_isa(&on, &Case { cache: Cache::Cold, ..small }).avx512);
    assert!(!streaming_isa(&on, &case(Rule::Adamw, 1 << 20, Precision::F32, 1)).avx512);
    assert!(streaming_isa(&on, &case(Rule::Adamw, 1 << 20, Precision::F32, 1)).avx2);
}
