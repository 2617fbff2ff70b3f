//! The library on the fake driver, whose cuBLASLt reads layouts as the real one documents them.

use super::*;
use crate::check::check;
use crate::device::GpuDevice;
use crate::device::cuda::fake::{Conditions, FakeDriver};
use crate::nvrtc::Compiler;
use crate::ops::{Cache, Matmul, Problem, Transpose};

fn gpu(architecture: &str, conditions: &str) -> Device {
    let conditions = Conditions::parse(conditions).unwrap();
    let driver = FakeDriver::under(architecture.parse().unwrap(), conditions).unwrap();
    Device::Gpu(GpuDevice::on(&driver, 0, Compiler::find(None).unwrap()).unwrap())
}

fn case(p: Matmul, precision: Precision) -> Case {
    Case::new(Problem::Matmul(p), precision)
}

fn odd(transpose: Transpose, [m, n, k]: [usize; 3]) -> Matmul {
    Matmul { transpose, ..Matmul::new(m, n, k) }
}

fn ready<'d>(device: &'d Device, case: &Case) -> Result<Box<dyn Prepared + 'd>> {
    CublasLt.prepare(device, case, &case.inputs(7))
}

/// What is wrong with an answer, if anything.
fn wrong(device: &Device, case: &Case) -> Option<String> {
    let mut prepared = ready(device, case).unwrap_or_else(|e| panic!("{case}: {e}"));
    prepared.launch(0).unwrap();
    let inputs = case.inputs(7);
    check(case, &inputs, &case.expected(&inputs, 1), &prepared.outputs().unwrap()).wrong
}

#[test]
fn every_storage_and_precision_is_right_on_odd_sizes_and_in_batches() {
    let device = gpu("sm_90a", "");
    for transpose in [Transpose::Nn, Transpose::Nt, Transpose::Tn] {
        for sizes in [[7, 13, 5], [1, 33, 17], [31, 1, 2]] {
            for precision in &PRECISIONS[..6] {
                for batch in [1, 3] {
                    let case = case(Matmul { batch, ..odd(transpose, sizes) }, *precision);
                    assert_eq!(wrong(&device, &case), None, "{case}");
                }
            }
        }
    }
    for precision in &PRECISIONS[6..] {
        let case = case(Matmul { batch: 2, ..odd(Transpose::Nt, [48, 32, 64]) }, *precision);
        assert_eq!(wrong(&device, &case), None, "{case}");
    }
}

#[test]
fn a_transposition_that_is_told_wrong_is_found_out() {
    // The fake multiplies what it is told to: two sizes that fit either way give another answer.
    let p = odd(Transpose::Nt, [5, 9, 9]);
    let told = layout::gemm(&p, Precision::F32);
    let turned = layout::gemm(&Matmul { transpose: Transpose::Nn, ..p }, Precision::F32);
    assert_eq!((told.a.rows, told.a.ld), (turned.a.rows, turned.a.ld));
    assert!(told.transpose_a && !turned.transpose_a);
    let device = gpu("sm_80", "");
    let nt = case(p, Precision::F32);
    let mut prepared =
        ready(&device, &case(Matmul { transpose: Transpose::Nn, ..p }, Precision::F32)).unwrap();
    prepared.launch(0).unwrap();
    let inputs = nt.inputs(7);
    let checked = check(&nt, &inputs, &nt.expected(&inputs, 1), &prepared.outputs().unwrap());
    assert!(checked.wrong.is_some());
}

#[test]
fn the_fastest_algorithm_is_taken_by_measurement_and_told() {
    let device = gpu("sm_80", "");
    let case = case(Matmul::new(256, 192, 320), Precision::BF16);
    let prepared = ready(&device, &case).unwrap();
    let driven = prepared.driven().unwrap();
    // Its first guess is 20; 24 declines, and 6 wants more workspace than it is offered.
    assert!(driven.contains("algorithm 66 (tile 20, stages 8"), "{driven}");
    assert!(driven.ends_with("the fastest of 3 tried"), "{driven}");
    let counters: std::collections::BTreeMap<String, f64> =
        prepared.counters().unwrap().into_iter().collect();
    let get = |name: &str| counters[&format!("cublaslt.{name}")];
    assert_eq!((get("algorithm_id"), get("split_k"), get("waves")), (66.0, 1.0, 1.5));
    assert_eq!((get("algorithms_found"), get("algorithms_run")), (4.0, 3.0));
    assert!(get("chosen_ns") < get("first_guess_ns"));
    // What it needs counts as its memory, not what was offered.
    assert_eq!(prepared.allocated(), case.buffer_bytes() + Bytes(1 << 20));
}

#[test]
fn cold_sets_are_all_computed_and_all_restored() {
    let device = gpu("sm_80", "");
    let case = Case { cache: Cache::Cold, ..case(Matmul::new(64, 48, 96), Precision::F32) };
    let mut prepared = ready(&device, &case).unwrap();
    assert!(prepared.slots() > 1);
    let nan = |prepared: &mut dyn Prepared| {
        prepared.outputs().unwrap()[0].to_f64().iter().all(|x| x.is_nan())
    };
    assert!(nan(&mut *prepared), "what was tried is no answer yet");
    for slot in 0..prepared.slots() {
        prepared.launch(slot).unwrap();
    }
    assert!(!nan(&mut *prepared));
    prepared.reset().unwrap();
    assert!(nan(&mut *prepared));
}

#[test]
fn a_missing_library_is_refused_with_the_way_to_get_it() {
    let device = gpu("sm_80", "no-cublaslt");
    let error = ready(&device, &case(Matmul::new(8, 8, 8), Precision::F32)).err().unwrap();
    assert!(matches!(&error, Error::Refused(_)), "{error}");
    assert!(error.to_string().contains("pip install nvidia-cublas"), "{error}");
}

#[test]
fn what_the_library_has_no_algorithm_for_is_refused_with_what_it_has() {
    let hopper = gpu("sm_90a", "");
    let reason = |device: &Device, p, precision| {
        let error = ready(device, &case(p, precision)).err().unwrap();
        assert!(matches!(&error, Error::Refused(_)), "{error}");
        error.to_string()
    };
    let nn = odd(Transpose::Nn, [32, 32, 32]);
    let nt = odd(Transpose::Nt, [32, 32, 32]);
    assert!(reason(&hopper, nn, Precision::E4M3).contains("e4m3 products are nt"));
    assert!(reason(&hopper, nn, Precision::INT8).contains("int8 products are nt"));
    let odd_nt = odd(Transpose::Nt, [32, 32, 30]);
    assert!(reason(&hopper, odd_nt, Precision::INT8).contains("multiples of 4"));
    let ampere = gpu("sm_80", "");
    assert!(reason(&ampere, nt, Precision::E4M3).contains("from sm_89 on"));
    let turing = gpu("sm_75", "");
    assert!(reason(&turing, nt, Precision::BF16).contains("from sm_80 on"));
}

#[test]
fn what_it_does_not_take_is_refused_without_a_gpu() {
    let on = crate::device::cpu::detect_capabilities();
    let refusal = |p, precision| CublasLt.refuses(&on, &case(p, precision)).unwrap();
    assert!(refusal(Matmul::new(8, 8, 0), Precision::F32).contains("no empty operands"));
    assert!(refusal(Matmul::new(8, 8, 8), Precision::F32).contains("use --device cuda"));
    let f64s = Precision { output: DType::F64, ..Precision::F32 };
    assert!(refusal(Matmul::new(8, 8, 8), f64s).contains("not f32-f32-f64"));
}

#[test]
fn a_gpu_that_is_lost_while_algorithms_are_tried_is_lost() {
    let device = gpu("sm_80", "illegal=cublasLtMatmul");
    let error = ready(&device, &case(Matmul::new(8, 8, 8), Precision::F32)).err().unwrap();
    assert!(matches!(error, Error::Lost(_)), "{error}");
}
