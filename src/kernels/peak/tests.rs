use crate::device::cpu::detect_capabilities;
use crate::device::{Capabilities, CpuDevice, Device, Isa};
use crate::kernels::Kernel;
use crate::ops::{Case, Expected, Precision, Probe, ProbeKind, Problem, Tensor};

use super::ROWS;

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

fn case(kind: ProbeKind, size: usize, precision: Precision, threads: usize) -> Case {
    Case { threads, ..Case::new(Problem::Peak(Probe { kind, size }), precision) }
}

/// What is wrong with the first result that is, if any.
fn wrong(expected: &Expected, outputs: &[Tensor]) -> Option<String> {
    for part in &expected.parts {
        let tensor = outputs.iter().find(|t| t.spec.role == part.role).expect("a result");
        for (i, (want, scale)) in part.values.iter().zip(&part.scales).enumerate() {
            let at = part.entries.as_ref().map_or(i, |entries| entries[i] as usize);
            let (got, error) = (tensor.get(at), (tensor.get(at) - want).abs());
            // NaN is wrong: the comparison is written so that it fails.
            let right = error == 0.0 || error / scale <= expected.tolerance;
            if !right {
                return Some(format!("{:?}[{at}] is {got}, not {want}", part.role));
            }
        }
    }
    None
}

/// Launches twice from the same operands and checks both answers.
fn verify(kernel: &dyn Kernel, path: &str, device: &Device, case: &Case) {
    let inputs = case.inputs(3);
    let expected = case.expected(&inputs, 1);
    let mut prepared = kernel.prepare(device, case, &inputs).unwrap();
    for _ in 0..2 {
        prepared.launch(0).unwrap();
        let problem = wrong(&expected, &prepared.outputs().unwrap());
        assert_eq!(problem, None, "{} {path} {case}", kernel.id());
        prepared.reset().unwrap();
        let cleared = wrong(&expected, &prepared.outputs().unwrap());
        assert!(cleared.is_some() || case.buffer_bytes().0 < 8, "{case} is right before it ran");
    }
}

#[test]
fn every_kernel_answers_every_stream_probe_at_every_length_and_thread_count() {
    for (path, device) in devices() {
        for kernel in ROWS {
            for kind in ProbeKind::ALL.into_iter().filter(|&k| k != ProbeKind::Fma) {
                for len in [1, 7, 8, 15, 16, 17, 63, 64, 65, 1009, 1024, 4099, 100_003] {
                    for threads in [1, 2, 3] {
                        let case = case(kind, 4 * len, Precision::F32, threads);
                        if kernel.refuses(device.capabilities(), &case).is_none() {
                            verify(*kernel, path, &device, &case);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_stream_that_is_only_sampled_is_right() {
    let (path, device) = &devices().pop().unwrap();
    for kind in ProbeKind::ALL.into_iter().filter(|&k| k != ProbeKind::Fma) {
        let case = case(kind, 4 * ((1 << 20) + 5), Precision::F32, 2);
        for kernel in ROWS.iter().filter(|k| k.refuses(device.capabilities(), &case).is_none()) {
            verify(*kernel, path, device, &case);
        }
    }
}

#[test]
fn every_kernel_answers_the_arithmetic_probe_in_every_dtype_exactly() {
    if !Isa::detect().amx_bf16 {
        println!("no AMX here: peak/amx is tested for its refusals alone");
    }
    for (path, device) in devices() {
        for kernel in ROWS.iter().filter(|k| k.id().0 != "peak/non-temporal") {
            for precision in [Precision::F32, Precision::BF16, Precision::BF16_F32, Precision::INT8]
            {
                for (size, threads) in [(1, 1), (7, 1), (1000, 2), (5000, 3), (20_000, 1)] {
                    let case = case(ProbeKind::Fma, size, precision, threads);
                    let refusal = kernel.refuses(device.capabilities(), &case);
                    if kernel.id().0 == "peak/amx" {
                        let isa = device.capabilities().isa;
                        let tiles = match precision.inputs {
                            crate::ops::DType::Bf16 => isa.amx_bf16,
                            crate::ops::DType::I8 => isa.amx_int8,
                            _ => false,
                        };
                        assert_eq!(refusal.is_none(), tiles, "{path}: {refusal:?}");
                        if !tiles {
                            continue;
                        }
                    }
                    assert_eq!(kernel.refuses(device.capabilities(), &case), None);
                    verify(*kernel, path, &device, &case);
                }
            }
        }
    }
}

#[test]
fn updates_stay_bounded_over_many_launches() {
    let (_, device) = &devices().pop().unwrap();
    for kind in [ProbeKind::Update2r1w, ProbeKind::Update3r2w, ProbeKind::Update4r3w] {
        let case = case(kind, 4096, Precision::F32, 1);
        let inputs = case.inputs(3);
        for kernel in &ROWS[..2] {
            let mut prepared = kernel.prepare(device, &case, &inputs).unwrap();
            for slot in 0..10_000 {
                prepared.launch(slot).unwrap();
            }
            for tensor in prepared.outputs().unwrap().into_owned() {
                for (x, g) in tensor.to_f64().iter().zip(inputs.tensors[0].to_f64()) {
                    assert!((x - 2.0 * g).abs() <= 1e-6 * g.abs(), "{x} is not twice {g}");
                    assert!(*x == 0.0 || (*x as f32).is_normal());
                }
            }
        }
    }
}

#[test]
fn streaming_stores_are_refused_where_nothing_is_written_or_the_processor_has_none() {
    let non_temporal = ROWS.last().unwrap();
    let (portable, best) = (&devices()[0].1, &devices().pop().unwrap().1);
    for kind in ProbeKind::ALL {
        let case = case(kind, 4096, Precision::F32, 1);
        assert!(non_temporal.refuses(portable.capabilities(), &case).is_some());
        let takes = non_temporal.refuses(best.capabilities(), &case).is_none();
        let writes = matches!(kind, ProbeKind::Write | ProbeKind::Copy | ProbeKind::Triad);
        assert_eq!(takes, writes && best.capabilities().isa.avx2, "{}", kind.name());
    }
}

#[test]
fn dtypes_that_no_probe_has_are_refused_with_a_reason() {
    let device = &devices()[0].1;
    for kernel in ROWS {
        let streams = case(ProbeKind::Copy, 4096, Precision::BF16, 1);
        assert!(kernel.refuses(device.capabilities(), &streams).is_some());
        let f64s = crate::ops::DType::F64;
        let doubles = Precision { inputs: f64s, accumulate: f64s, output: f64s, state: None };
        let arithmetic = case(ProbeKind::Fma, 100, doubles, 1);
        assert!(kernel.refuses(device.capabilities(), &arithmetic).is_some());
    }
}
