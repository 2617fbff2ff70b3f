//! Hand-counted costs, and wrong answers that the reference's tolerance must catch.

use std::sync::Arc;

use super::*;
use crate::ops::{Case, Problem, Tensor};

const LLAMA: Attention = Attention {
    batch: 2,
    heads: 32,
    kv_heads: 8,
    seq_q: 1,
    seq_kv: 4096,
    head_dim_qk: 128,
    head_dim_v: 128,
    causal: false,
};

#[test]
fn causal_counts_half_and_a_prefix_counts_whole() {
    assert_eq!(Attention::new(3, 1024, 64, false).pairs(), 3 * 1024 * 1024);
    assert_eq!(Attention::new(3, 1024, 64, true).pairs(), 3 * 1024 * 1024 / 2);
    // 4 queries after a prefix of 6 keys: 24 pairs with the prefix, half of the 4 × 4 square.
    let chunk = Attention { seq_q: 4, seq_kv: 10, ..Attention::new(1, 1, 8, true) };
    assert_eq!(chunk.pairs(), 24 + 8);
    assert_eq!((chunk.visible(0), chunk.visible(3)), (7, 10));
    // A decode sees the whole cache, masked or not.
    assert_eq!(LLAMA.pairs(), 2 * 32 * 4096);
    assert_eq!(Attention { causal: true, ..LLAMA }.pairs(), 2 * 32 * 4096);
}

#[test]
fn forward_costs_two_products_and_each_tensor_once() {
    let cost = Attention::new(12, 128, 64, false).cost(Precision::F32, Pass::Forward);
    assert_eq!(cost.flops, Flops(4 * 12 * 128 * 128 * 64));
    assert_eq!(cost.bytes, Bytes(4 * 12 * 128 * 64 * 4));
}

#[test]
fn a_grouped_decode_reads_its_cache_once() {
    let precision = Precision::F32.with_state(DType::Bf16);
    let cost = LLAMA.cost(precision, Pass::Decode);
    assert_eq!(cost.flops, Flops(4 * 2 * 32 * 4096 * 128));
    let (query, cache) = (2 * 32 * 128 * 4, 2 * 8 * 4096 * 128 * 2);
    assert_eq!(cost.bytes, Bytes(2 * query + 2 * cache));
}

#[test]
fn deepseek_counts_both_head_sizes() {
    let shape = Attention { head_dim_v: 128, ..Attention::new(128, 1000, 192, true) };
    let pairs = 128 * 1000 * 1000 / 2;
    let forward = shape.cost(Precision::BF16, Pass::Forward);
    assert_eq!(forward.flops, Flops(2 * pairs * (192 + 128)));
    let backward = shape.cost(Precision::BF16, Pass::Backward);
    assert_eq!(backward.flops, Flops(2 * pairs * (3 * 192 + 2 * 128)));
    // Q, K, dQ, dK of 192; V, dV, O, dO of 128, two bytes each; the log-sum-exp in f32.
    assert_eq!(backward.bytes, Bytes(128 * 1000 * (4 * 192 * 2 + 4 * 128 * 2 + 4)));
}

/// The largest deviation of `got` from `expected`, in tolerances.
fn deviation(expected: &Expected, got: &Expected) -> f64 {
    let mut worst = 0.0f64;
    for (want, got) in expected.parts.iter().zip(&got.parts) {
        for ((w, s), g) in want.values.iter().zip(&want.scales).zip(&got.values) {
            worst = worst.max((w - g).abs() / s);
        }
    }
    worst / expected.tolerance
}

fn case(shape: Attention, precision: Precision, pass: Pass) -> Case {
    Case { pass, ..Case::new(Problem::Attention(shape), precision) }
}

/// The answer to `shape` from operands that `change` tampered with.
fn tampered(
    shape: Attention,
    precision: Precision,
    pass: Pass,
    change: impl Fn(Role, &mut [f32]),
) -> f64 {
    let case = case(shape, precision, pass);
    let inputs = case.inputs(3);
    let expected = case.expected(&inputs, 2);
    let mut tensors = (*inputs.tensors).clone();
    for tensor in &mut tensors {
        let role = tensor.spec.role;
        let mut values: Vec<f32> = tensor.to_f64().iter().map(|&x| x as f32).collect();
        change(role, &mut values);
        match tensor.spec.dtype {
            DType::Bf16 => tensor
                .as_mut::<half::bf16>()
                .iter_mut()
                .zip(&values)
                .for_each(|(to, &x)| *to = half::bf16::from_f32(x)),
            _ => tensor.as_mut::<f32>().copy_from_slice(&values),
        }
    }
    let other = Inputs { seed: 3, tensors: Arc::new(tensors) };
    deviation(&expected, &case.expected(&other, 2))
}

const BOTH: [Precision; 2] = [Precision::F32, Precision::BF16];

/// The same operands without the last key of their only KV head.
fn without_last_key(inputs: &Inputs) -> Inputs {
    let shorten = |tensor: &Tensor| {
        if !matches!(tensor.spec.role, Role::K | Role::V) {
            return tensor.clone();
        }
        let mut spec = tensor.spec.clone();
        spec.shape[2] -= 1;
        let mut short = Tensor::zeroed(spec);
        let len = short.bytes.len();
        short.bytes.copy_from_slice(&tensor.bytes[..len]);
        short
    };
    Inputs { seed: inputs.seed, tensors: Arc::new(inputs.tensors.iter().map(shorten).collect()) }
}

#[test]
fn a_dropped_key_is_wrong_in_every_pass() {
    for precision in BOTH {
        for pass in [Pass::Forward, Pass::Backward, Pass::Decode] {
            let seq_q = if pass == Pass::Decode { 1 } else { 64 };
            // Eight queries share the cache: a key that one of them hardly looks at, another does.
            let shape = Attention { seq_q, kv_heads: 1, ..Attention::new(8, 64, 32, false) };
            let inputs = shape.inputs(precision, pass, 3);
            let expected = shape.expected(precision, pass, &inputs, 2);
            let short = Attention { seq_kv: 63, ..shape };
            let got = short.expected(precision, pass, &without_last_key(&inputs), 2);
            let gone = deviation(&expected, &got);
            assert!(gone > 2.0, "{precision} {pass:?}: {gone}");
        }
    }
}

#[test]
fn a_single_key_too_many_is_wrong() {
    let shape = Attention::new(1, 64, 32, true);
    for precision in BOTH {
        let inputs = shape.inputs(precision, Pass::Forward, 3);
        let expected = shape.expected(precision, Pass::Forward, &inputs, 1);
        let full = Attention { causal: false, ..shape };
        let unmasked = full.expected(precision, Pass::Forward, &inputs, 1);
        // The row before the last may not see the last key, and here it does; all other rows are right.
        let mut wrong = expected.clone();
        let row = 62 * 32..63 * 32;
        wrong.parts[0].values[row.clone()].copy_from_slice(&unmasked.parts[0].values[row]);
        let off = deviation(&expected, &wrong);
        assert!(off > 2.0, "{precision}: {off}");
    }
}

#[test]
fn heads_that_take_turns_on_the_kv_heads_are_wrong() {
    // Head h belongs to KV head h / 2; a kernel that takes h % 2 swaps heads 1 and 2.
    let shape = Attention { kv_heads: 2, ..Attention::new(4, 64, 32, false) };
    for precision in BOTH {
        for pass in [Pass::Forward, Pass::Backward] {
            let swapped = tampered(shape, precision, pass, |role, x| {
                if role == Role::K || role == Role::V {
                    x.rotate_left(64 * 32);
                }
            });
            assert!(swapped > 10.0, "{precision} {pass:?}: {swapped}");
        }
    }
}

#[test]
fn a_missing_scale_is_wrong() {
    let shape = Attention::new(1, 16, 4, false);
    let twice = tampered(shape, Precision::BF16, Pass::Forward, |role, x| {
        if role == Role::Q {
            x.iter_mut().for_each(|x| *x *= 2.0);
        }
    });
    assert!(twice > 5.0, "{twice}");
}

#[test]
fn one_query_and_one_key_are_counted_by_hand() {
    let shape = Attention::new(1, 1, 2, true);
    let case = case(shape, Precision::F32, Pass::Forward);
    let inputs = case.inputs(9);
    // One key has probability 1: the output is its value, and nothing flows back to Q and K.
    let out = case.expected(&inputs, 1);
    assert_eq!(out.parts[0].values, inputs.get(Role::V).to_f64());
    let back = Case { pass: Pass::Backward, ..case };
    let inputs = back.inputs(9);
    let parts = back.expected(&inputs, 1).parts;
    assert!(parts[0].values.iter().chain(&parts[1].values).all(|x| x.abs() < 1e-15));
    assert_eq!(parts[2].values, inputs.get(Role::DOut).to_f64());
}

/// `Σ O∘dO` as a function of one operand, for a numerical derivative.
fn loss(shape: &Attention, inputs: &Inputs) -> f64 {
    let out = shape.expected(Precision::F32, Pass::Forward, inputs, 1);
    let dout = inputs.get(Role::DOut).to_f64();
    out.parts[0].values.iter().zip(&dout).map(|(o, d)| o * d).sum()
}

#[test]
fn gradients_agree_with_differences_of_the_forward_pass() {
    let shape = Attention {
        kv_heads: 2,
        seq_q: 3,
        seq_kv: 5,
        head_dim_v: 2,
        ..Attention::new(4, 1, 3, true)
    };
    let case = case(shape, Precision::F32, Pass::Backward);
    let inputs = case.inputs(5);
    let expected = case.expected(&inputs, 1);
    for (part, role) in expected.parts.iter().zip([Role::Q, Role::K, Role::V]) {
        for i in 0..part.values.len() {
            let moved = |by: f32| {
                let mut tensors = (*inputs.tensors).clone();
                let tensor = tensors.iter_mut().find(|t| t.spec.role == role).unwrap();
                let x = &mut tensor.as_mut::<f32>()[i];
                let before = *x;
                *x += by;
                let step = f64::from(*x) - f64::from(before);
                let inputs = Inputs { seed: 5, tensors: Arc::new(tensors) };
                (loss(&shape, &inputs), step)
            };
            let ((up, a), (down, b)) = (moved(1e-3), moved(-1e-3));
            let slope = (up - down) / (a - b);
            assert!(
                (slope - part.values[i]).abs() < 1e-5 * part.scales[i].max(0.1),
                "{role:?} {i}: {slope} {}",
                part.values[i]
            );
        }
    }
}

#[test]
fn a_sample_agrees_with_the_whole_and_holds_the_corners() {
    let shape = Attention { kv_heads: 2, ..Attention::new(4, 40, 8, true) };
    for pass in [Pass::Forward, Pass::Backward] {
        let inputs = shape.inputs(Precision::F32, pass, 11);
        let whole = reference::answer(&shape, Precision::F32, pass, &inputs, 2, true);
        let some = reference::answer(&shape, Precision::F32, pass, &inputs, 2, false);
        assert!(whole.is_full());
        for (all, some) in whole.parts.iter().zip(&some.parts) {
            let entries = some.entries.as_ref().expect("a sample says which");
            assert!(entries.len() >= 64 * 8 && entries.windows(2).all(|w| w[0] < w[1]));
            assert_eq!((entries[0], entries[entries.len() - 1]), (0, all.values.len() as u64 - 1));
            for (i, e) in entries.iter().enumerate() {
                assert!((some.values[i] - all.values[*e as usize]).abs() < 1e-14);
                assert!((some.scales[i] - all.scales[*e as usize]).abs() < 1e-14);
            }
        }
    }
}
