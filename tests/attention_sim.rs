//! The attention ladder on the simulator, beyond the sizes of `verify`: where tiles and parts end, under several schedules and
//! architectures. Needs NVRTC, as `scripts/test.sh` brings it.

mod common;

use common::right;
use scalemark::device::{Device, SimDevice};
use scalemark::kernels::Registry;
use scalemark::nvrtc::Compiler;
use scalemark::ops::{Attention, Case, DType, Pass, Precision, Problem};

fn case(shape: Attention, precision: Precision, pass: Pass) -> Case {
    Case { pass, ..Case::new(Problem::Attention(shape), precision) }
}

/// `heads` query heads for each of two KV heads.
fn shape(heads: usize, seq_q: usize, seq_kv: usize, head_dim: usize, causal: bool) -> Attention {
    Attention { kv_heads: 2, seq_q, ..Attention::new(2 * heads, seq_kv, head_dim, causal) }
}

#[test]
fn flash_forward_is_right_around_its_tiles_of_queries_and_keys() {
    let sizes = [(1, 1, 64), (16, 33, 128), (127, 129, 64), (129, 129, 64), (128, 160, 128)];
    let mut cases = Vec::new();
    for (seq_q, seq_kv, head_dim) in sizes {
        for causal in [true, false] {
            let one = Attention { kv_heads: 1, ..shape(1, seq_q, seq_kv, head_dim, causal) };
            cases.push(case(Attention { heads: 1, ..one }, Precision::BF16, Pass::Forward));
        }
    }
    cases.push(case(shape(3, 5, 70, 128, true), Precision::BF16_F32, Pass::Forward));
    right("attention/flash-mma", "sm_80", &cases, &[0, 1]);
}

#[test]
fn flash_backward_is_right_around_its_tiles_and_sums_over_the_heads_of_a_group() {
    let sizes = [(1, 1, 64), (33, 129, 64), (63, 65, 128), (65, 66, 128)];
    let mut cases = Vec::new();
    for (seq_q, seq_kv, head_dim) in sizes {
        for causal in [true, false] {
            let one = Attention { kv_heads: 1, ..shape(1, seq_q, seq_kv, head_dim, causal) };
            cases.push(case(Attention { heads: 1, ..one }, Precision::BF16, Pass::Backward));
        }
    }
    cases.push(case(shape(3, 5, 34, 64, true), Precision::BF16_F32, Pass::Backward));
    right("attention/flash-mma", "sm_80", &cases, &[0, 1]);
}

#[test]
fn flash_meets_no_bank_twice_and_whole_sectors_only() {
    let square = Attention::new(1, 128, 128, false);
    for (pass, precision) in [
        (Pass::Forward, Precision::BF16),
        (Pass::Forward, Precision::BF16_F32),
        (Pass::Backward, Precision::BF16),
    ] {
        let one = case(square, precision, pass);
        let counters = right("attention/flash-mma", "sm_90a", &[one], &[0]);
        let counter = |name: &str| {
            let found = counters.iter().find(|(known, _)| known == name);
            found.map_or(0.0, |(_, value)| *value)
        };
        assert!(counter("shared_load_wavefronts") > 0.0, "{counters:?}");
        for kind in ["load", "store"] {
            assert_eq!(counter(&format!("shared_{kind}_conflicts")), 0.0, "{one}");
            let sectors = |which: &str| counter(&format!("global_{kind}_{which}sectors"));
            assert_eq!(sectors(""), sectors("ideal_"), "{kind} of {one}");
        }
    }
}

#[test]
fn a_second_launch_overwrites_the_gradients() {
    let row = Registry::cuda().get("attention/flash-mma").unwrap();
    let sim = SimDevice::new("sm_80".parse().unwrap(), Compiler::find(None).unwrap()).unwrap();
    let one = case(shape(2, 20, 40, 64, true), Precision::BF16, Pass::Backward);
    let inputs = one.inputs(3);
    let device = Device::Sim(sim);
    let mut ready = row.prepare(&device, &one, &inputs).unwrap();
    let mut launched = || {
        ready.launch(0).unwrap();
        let outputs = ready.outputs().unwrap();
        outputs.iter().map(|tensor| tensor.bytes.to_vec()).collect::<Vec<_>>()
    };
    let first = launched();
    assert_eq!(first.len(), 3);
    assert!(first == launched());
}

#[test]
fn decode_is_right_for_any_group_and_where_parts_end() {
    let f32_bf16 = Precision::F32.with_state(DType::Bf16);
    let mut cases = Vec::new();
    for (group, seq_kv, head_dim) in
        [(1, 1, 64), (1, 129, 128), (4, 300, 128), (8, 257, 64), (11, 40, 80), (3, 17, 192)]
    {
        for precision in [Precision::F32, Precision::BF16, f32_bf16] {
            cases.push(case(shape(group, 1, seq_kv, head_dim, true), precision, Pass::Decode));
        }
    }
    let two = Attention { batch: 2, head_dim_v: 128, ..shape(2, 1, 33, 192, false) };
    cases.push(case(two, Precision::BF16, Pass::Decode));
    right("attention/decode", "sm_80", &cases, &[0]);
    right("attention/decode", "sm_75", &cases[..3], &[1]);
}

#[test]
fn the_first_rungs_are_right_with_odd_heads_and_prompts_that_go_on() {
    let shapes = [shape(3, 9, 33, 40, true), shape(1, 8, 32, 33, false), shape(2, 1, 65, 7, true)];
    let forward = |precision| shapes.map(|s| case(s, precision, Pass::Forward));
    for kernel in ["attention/naive", "attention/online-softmax"] {
        for precision in [Precision::F32, Precision::BF16_F32] {
            right(kernel, "sm_75", &forward(precision), &[0, 1]);
        }
    }
    let backward = shapes.map(|s| case(s, Precision::F32, Pass::Backward));
    right("attention/naive", "sm_75", &backward, &[0]);
}
