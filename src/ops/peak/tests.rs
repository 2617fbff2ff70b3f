use super::*;

#[test]
fn factors_are_whole_numbers_in_8_bit_floats_too() {
    let spec = |dtype| TensorSpec::new(Role::Stream, dtype, &[17]);
    let values = |dtype| {
        let next = std::cell::Cell::new(-9i8);
        let one = |_| {
            next.set(next.get() + 1);
            next.get()
        };
        integers(spec(dtype), 1, 0, one).to_f64()
    };
    assert_eq!(values(DType::E4m3), (-8..=8).map(f64::from).collect::<Vec<_>>());
}

#[test]
fn traffic_is_counted_as_stream_does() {
    let bytes = |kind| Probe { kind, size: 1000 }.cost(Precision::F32).bytes.0;
    assert_eq!(bytes(ProbeKind::Read), 1000);
    assert_eq!(bytes(ProbeKind::Write), 1000);
    assert_eq!(bytes(ProbeKind::Copy), 2000);
    assert_eq!(bytes(ProbeKind::Triad), 3000);
    assert_eq!(bytes(ProbeKind::Update2r1w), 3000);
    assert_eq!(bytes(ProbeKind::Update3r2w), 5000);
    assert_eq!(bytes(ProbeKind::Update4r3w), 7000);
}

#[test]
fn an_update_probe_moves_the_bytes_of_its_optimizers() {
    use crate::ops::{Rule, Update};
    for (kind, rule) in [
        (ProbeKind::Update2r1w, Rule::Sgd),
        (ProbeKind::Update3r2w, Rule::Momentum),
        (ProbeKind::Update4r3w, Rule::Adamw),
    ] {
        let probe = Probe { kind, size: 4096 }.cost(Precision::F32);
        let update = Update { rule, params: 1024 }.cost(rule.precision(Precision::F32));
        assert_eq!(probe.bytes, update.bytes);
    }
}

#[test]
fn flops_are_those_executed() {
    let flops = |kind| Probe { kind, size: 4000 }.cost(Precision::F32).flops.0;
    assert_eq!(flops(ProbeKind::Fma), 4_000_000);
    assert_eq!(flops(ProbeKind::Triad), 2000);
    assert_eq!(flops(ProbeKind::Update4r3w), 6000);
    assert_eq!(flops(ProbeKind::Copy), 0);
    for (inputs, dot) in [(DType::F32, 1), (DType::Bf16, 2), (DType::I8, 4)] {
        for threads in [1, 2, 7] {
            let probe = Probe::arithmetic(threads);
            let rounds = probe.rounds(inputs, threads);
            let executed = rounds * 2 * CHAINS as u64 * dot * threads as u64;
            let counted = probe.cost(Precision::F32).flops.0;
            assert!(rounds % 2 == 1 && executed >= counted);
            assert!((executed - counted) as f64 / (counted as f64) < 1e-4);
        }
    }
}

#[test]
fn streams_beyond_the_cache_are_four_times_its_size_but_bounded() {
    for kind in ProbeKind::ALL.into_iter().filter(|&k| k != ProbeKind::Fma) {
        for llc in [1u64 << 20, 32 << 20, 512 << 20] {
            let probe = Probe::beyond_cache(kind, Bytes(llc));
            let case = crate::ops::Case::new(crate::ops::Problem::Peak(probe), Precision::F32);
            let together = case.buffer_bytes().0;
            assert!(together >= (4 * llc).min(240 << 20), "{probe}: {together}");
            assert!(together <= (256 << 20) + 64, "{probe}: {together}");
            assert_eq!(case.invalid(), None);
        }
    }
}

#[test]
fn sizes_that_measure_nothing_are_refused() {
    assert!(Probe { kind: ProbeKind::Fma, size: 0 }.invalid().is_some());
    assert!(Probe { kind: ProbeKind::Copy, size: 6 }.invalid().is_some());
    assert!(Probe { kind: ProbeKind::Copy, size: 1 << 50 }.invalid().is_some());
    assert_eq!(Probe { kind: ProbeKind::Fma, size: 6 }.invalid(), None);
}

#[test]
fn the_checksum_notices_one_changed_word() {
    let probe = Probe { kind: ProbeKind::Read, size: 4000 };
    let mut inputs = probe.inputs(Precision::F32, 1);
    let before = probe.expected(&inputs);
    std::sync::Arc::get_mut(&mut inputs.tensors).unwrap()[0].as_mut::<f32>()[999] += 1.0;
    assert_ne!(before, probe.expected(&inputs));
}
