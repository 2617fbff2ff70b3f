use super::*;
use crate::kernels::cuda::CudaKernel;

fn rows() -> impl Iterator<Item = &'static CudaKernel> {
    CUDA_ROWS.iter().filter_map(|row| row.as_cuda())
}

fn case(shape: Attention, precision: Precision, pass: Pass) -> Case {
    Case { pass, ..Case::new(Problem::Attention(shape), precision) }
}

#[test]
fn every_pass_has_a_ladder_on_bf16() {
    let square = Attention::new(4, 256, 64, true);
    let takers = |shape, pass| {
        let case = case(shape, Precision::BF16, pass);
        rows().filter(|row| (row.refuses)(&case).is_none()).map(|row| row.id).collect::<Vec<_>>()
    };
    let forward = ["attention/naive", "attention/online-softmax", "attention/flash-mma"];
    assert_eq!(takers(square, Pass::Forward), forward);
    assert_eq!(takers(square, Pass::Backward), ["attention/naive", "attention/flash-mma"]);
    let decode = ["attention/naive", "attention/online-softmax", "attention/decode"];
    assert_eq!(takers(Attention { seq_q: 1, ..square }, Pass::Decode), decode);
}

#[test]
fn other_precisions_and_sizes_beyond_31_bits_are_refused() {
    let shape = Attention::new(1, 64, 64, false);
    let long = Attention { batch: 1 << 16, seq_kv: 1 << 16, ..shape };
    for row in rows() {
        let variant = (row.variants)()[0];
        let eight = Precision { inputs: DType::E4m3, ..variant.precision };
        assert!((row.refuses)(&Case { precision: eight, ..variant }).unwrap().contains("e4m3"));
        let long = Case { problem: Problem::Attention(long), ..variant };
        assert!((row.refuses)(&long).unwrap().contains("31-bit"), "{}", row.id);
    }
}

#[test]
fn a_backward_pass_starts_from_a_forward_pass_outside_the_clock() {
    let shape = Attention::new(2, 100, 64, true);
    for row in rows() {
        let backward = case(shape, Precision::BF16, Pass::Backward);
        if (row.refuses)(&backward).is_some() {
            continue;
        }
        let plan = (row.plan)(&backward, row.needs.least());
        assert_eq!(plan.check(&backward), None);
        let writes = |steps: &[Step], buffer| steps.iter().any(|s| s.buffers.contains(&buffer));
        // The saved output and log-sum-exp are workspace of the prologue, gradients results of the steps.
        for saved in [0, 1].map(Buffer::Workspace) {
            assert!(writes(&plan.prologue, saved) && writes(&plan.steps, saved), "{}", row.id);
        }
        for gradient in [0, 1, 2].map(Buffer::Written) {
            assert!(!writes(&plan.prologue, gradient) && writes(&plan.steps, gradient));
        }
        let forward = case(shape, Precision::BF16, Pass::Forward);
        assert!((row.plan)(&forward, row.needs.least()).prologue.is_empty());
    }
}

#[test]
fn the_parts_of_a_decode_cover_its_keys_and_fill_the_machine() {
    for (kv_heads, seq_kv) in [(1, 1), (1, 129), (1, 100_000), (8, 4097), (512, 4096)] {
        let shape = Attention { kv_heads, seq_kv, ..Attention::new(kv_heads, 1, 128, true) };
        let case = case(shape, Precision::BF16, Pass::Decode);
        let plan = (decode::DECODE.plan)(&case, decode::DECODE.needs.least());
        let Scalar::U32(parts) = plan.steps[0].scalars[2] else { panic!("parts are a u32") };
        let Scalar::U32(keys) = plan.steps[0].scalars[3] else { panic!("keys are a u32") };
        let (parts, keys) = (parts as usize, keys as usize);
        assert!(parts * keys >= seq_kv && (parts - 1) * keys < seq_kv, "{shape}");
        assert_eq!(plan.steps[0].grid[0] as usize, kv_heads * parts);
        let blocks = kv_heads * parts;
        assert!(blocks >= 264 || keys <= 128, "{shape}");
    }
}
