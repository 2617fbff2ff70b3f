//! Rows made ready on the fake driver: every set computes, and is restored.

use super::*;
use crate::check::check;
use crate::device::Device;
use crate::device::cuda::fake::{Conditions, FakeDriver};
use crate::kernels::{Kernel, Registry};
use crate::nvrtc::Compiler;
use crate::ops::{Attention, Cache, Matmul, Pass, Precision, Problem, Rule, Transpose, Update};

fn gpu(architecture: &str, conditions: &str) -> Device {
    let conditions = Conditions::parse(conditions).unwrap();
    let driver = FakeDriver::under(architecture.parse().unwrap(), conditions).unwrap();
    Device::Gpu(GpuDevice::on(&driver, 0, Compiler::find(None).unwrap()).unwrap())
}

fn row(id: &str) -> &'static CudaKernel {
    Registry::cuda().get(id).and_then(|kernel| kernel.as_cuda()).unwrap()
}

fn ready<'d>(device: &'d Device, id: &str, case: &Case, inputs: &Inputs) -> GpuPrepared<'d> {
    let Device::Gpu(gpu) = device else { panic!("made as a GPU") };
    GpuPrepared::new(gpu, row(id), case, inputs).unwrap()
}

/// What lies in a written buffer of one set.
fn written(prepared: &GpuPrepared<'_>, which: usize, slot: usize) -> Vec<u8> {
    let slots = &prepared.operands.written[which];
    let mut bytes = vec![0; slots.len as usize];
    prepared.device.context.download(slots.at(slot), &mut bytes).unwrap();
    bytes
}

fn cold_update(params: usize) -> Case {
    let update = Problem::Update(Update { rule: Rule::Adamw, params });
    let precision = Rule::Adamw.precision(Precision::F32);
    Case { cache: Cache::Cold, ..Case::new(update, precision) }
}

#[test]
fn every_set_of_a_cold_case_computes_the_same_by_its_own_table_of_addresses() {
    let device = gpu("sm_80", "");
    let case = cold_update(5000);
    let inputs = case.inputs(3);
    let mut prepared = ready(&device, "optimizer/multi-tensor", &case, &inputs);
    assert!(prepared.slots() >= 6, "twice the cache: {}", prepared.slots());
    for slot in 0..prepared.slots() {
        prepared.launch(slot).unwrap();
    }
    let expected = case.expected(&inputs, 1);
    let checked = check(&case, &inputs, &expected, &prepared.outputs().unwrap());
    assert_eq!(checked.wrong, None);
    for which in 0..prepared.operands.written.len() {
        let first = written(&prepared, which, 0);
        for slot in 1..prepared.slots() {
            assert!(written(&prepared, which, slot) == first, "buffer {which} of set {slot}");
        }
    }
}

#[test]
fn a_reset_restores_the_sets_that_launches_changed() {
    let device = gpu("sm_80", "");
    let case = cold_update(5000);
    let inputs = case.inputs(3);
    let mut prepared = ready(&device, "optimizer/vectorized", &case, &inputs);
    let before = written(&prepared, 0, 1);
    prepared.launch(1).unwrap();
    assert!(written(&prepared, 0, 1) != before, "an update changes its parameters");
    assert_eq!(prepared.operands.dirty.iter().filter(|dirty| **dirty).count(), 1);
    prepared.reset().unwrap();
    assert!(written(&prepared, 0, 1) == before);
    assert!(!prepared.operands.dirty.contains(&true));
}

#[test]
fn results_are_nan_until_a_kernel_writes_them_and_after_a_reset() {
    let device = gpu("sm_80", "");
    let case = Case::new(Problem::Matmul(Matmul::new(8, 8, 8)), Precision::F32);
    let inputs = case.inputs(3);
    let mut prepared = ready(&device, "matmul/tiled", &case, &inputs);
    let nan = |prepared: &mut GpuPrepared<'_>| {
        prepared.outputs().unwrap()[0].as_ref::<f32>().iter().filter(|x| x.is_nan()).count()
    };
    assert_eq!(nan(&mut prepared), 64);
    prepared.launch(0).unwrap();
    assert_eq!(nan(&mut prepared), 0);
    prepared.reset().unwrap();
    assert_eq!(nan(&mut prepared), 64);
}

#[test]
fn tensor_maps_prologues_and_several_launches_give_right_answers() {
    let product = Problem::Matmul(Matmul { transpose: Transpose::Nt, ..Matmul::new(64, 128, 64) });
    let attention = Attention { kv_heads: 1, ..Attention::new(2, 65, 64, true) };
    let decode = Problem::Attention(Attention { seq_q: 1, ..attention });
    let of = |problem, precision, pass| Case { pass, ..Case::new(problem, precision) };
    for (architecture, id, case) in [
        ("sm_90a", "matmul/wgmma-tma", of(product, Precision::BF16, Pass::Forward)),
        ("sm_90a", "matmul/wgmma-tma-cluster", of(product, Precision::BF16, Pass::Forward)),
        (
            "sm_80",
            "attention/flash-mma",
            of(Problem::Attention(attention), Precision::BF16, Pass::Backward),
        ),
        ("sm_75", "attention/decode", of(decode, Precision::F32, Pass::Decode)),
    ] {
        let device = gpu(architecture, "");
        let inputs = case.inputs(3);
        if let Some(reason) = row(id).refuses(device.capabilities(), &case) {
            panic!("{id} refuses {case}: {reason}");
        }
        let mut prepared = ready(&device, id, &case, &inputs);
        prepared.launch(0).unwrap();
        let expected = case.expected(&inputs, 1);
        let checked = check(&case, &inputs, &expected, &prepared.outputs().unwrap());
        assert_eq!(checked.wrong, None, "{id} on {case}");
        let counters = prepared.counters().unwrap();
        let delta = counters.iter().find(|(name, _)| name == "device_memory_delta_bytes");
        assert!(delta.unwrap().1 >= prepared.allocated().0 as f64, "{counters:?}");
    }
}

#[test]
fn an_access_beyond_a_buffer_loses_the_context_for_good() {
    let device = gpu("sm_80", "illegal=matmul_tiled");
    let case = Case::new(Problem::Matmul(Matmul::new(8, 8, 8)), Precision::F32);
    let inputs = case.inputs(3);
    let mut prepared = ready(&device, "matmul/tiled", &case, &inputs);
    prepared.launch(0).unwrap();
    for _ in 0..2 {
        assert!(matches!(prepared.outputs(), Err(Error::Lost(reason)) if reason.contains("(700)")));
    }
}

#[test]
fn memory_that_is_short_is_told_in_numbers_before_anything_is_allocated() {
    let device = gpu("sm_80", "memory=64MiB,held=63MiB");
    let Device::Gpu(on) = &device else { panic!("made as a GPU") };
    let case = Case::new(Problem::Matmul(Matmul::new(512, 512, 512)), Precision::F32);
    let before = on.context.room().unwrap();
    let refused = GpuPrepared::new(on, row("matmul/tiled"), &case, &case.inputs(1));
    let Err(Error::Refused(reason)) = refused else { panic!("it does not fit") };
    assert!(
        reason.starts_with("needs 4.00 MiB of the GPU's memory, and 0 B of 64.0 MiB"),
        "{reason}"
    );
    assert!(reason.contains("process 1 holds 63.0 MiB"), "{reason}");
    assert_eq!(on.context.room().unwrap(), before);
}
