//! Suite `gpu`: sizes that fill a GPU of a data centre.

use super::{attention, matmul, update};
use crate::models::{self, Step};
use crate::ops::{Attention, DType, Matmul, Pass, Precision, Problem, Rule, Transpose};
use crate::plan::Planned;
use crate::plan::select::planned_parts;
use crate::units::Bytes;

/// Models whose layers differ in width, heads and experts.
const ON_GPUS: &[&str] =
    &["gpt2-xl", "llama-3-8b", "llama-3-70b", "mixtral-8x7b", "qwen3-32b", "deepseek-v3"];

/// Tokens of a training or prefill step, and so the rows of its products: some dozens of tiles for every multiprocessor.
const TOKENS: usize = 8192;
/// Sequences of a decode, and the tokens that each has behind it.
const DECODED: (usize, usize) = (64, 8192);

/// What a case's operands may take together.
const MOST_ON_GPUS: Bytes = Bytes(16 << 30);

/// What fills a GPU: nothing that is over before its blocks have spread, nothing beyond some 16 GB.
pub(super) fn cases() -> Vec<Planned> {
    let mut cases = Vec::new();
    let square = |size| Matmul::new(size, size, size);
    for size in [1024, 2048, 4096, 8192, 16384] {
        cases.push(matmul(square(size), Precision::BF16, 1));
    }
    for size in [1024, 2048, 4096, 8192] {
        cases.push(matmul(square(size), Precision::F32, 1));
    }
    // Each format and storage once, at the size that libraries are known by; 8-bit formats as Hopper has them.
    for precision in [Precision::TF32, Precision::F16] {
        cases.push(matmul(square(8192), precision, 1));
    }
    for precision in [Precision::BF16, Precision::INT8, Precision::E4M3] {
        let nt = Matmul { transpose: Transpose::Nt, ..square(8192) };
        cases.push(matmul(nt, precision, 1));
    }
    cases.push(matmul(Matmul { transpose: Transpose::Tn, ..square(8192) }, Precision::BF16, 1));
    for head_dim in [64, 128] {
        for seq in [1024, 2048, 4096, 8192, 16384] {
            for causal in [true, false] {
                let one = Attention::new(2048 / head_dim, seq, head_dim, causal);
                let problem = Attention { batch: 2 * TOKENS / seq, ..one };
                cases.push(attention(problem, Precision::BF16, Pass::Forward, 1));
                if seq <= 8192 {
                    cases.push(attention(problem, Precision::BF16, Pass::Backward, 1));
                }
            }
        }
    }
    for rule in Rule::ALL {
        for params in [1 << 22, 1 << 24, 1 << 27] {
            cases.push(update(rule, params, Precision::F32, 1));
        }
    }
    cases.push(update(Rule::Adamw, 1 << 27, Precision::BF16, 1));
    for model in ON_GPUS.iter().map(|name| models::find(name).expect("a built-in model")) {
        let seq = TOKENS.min(model.context);
        let forward = Step::new(Pass::Forward, TOKENS / seq, seq);
        let parts = planned_parts(model, &forward, Precision::BF16, 1);
        // The update of a whole model is one of optimizers' sizes, but for its memory.
        let update = |p: &Planned| matches!(p.case.problem, Problem::Update(_));
        cases.extend(parts.into_iter().filter(|p| !update(p)));
        let (batch, behind) = DECODED;
        let decode = Step::new(Pass::Decode, batch, behind.min(model.context));
        let precision = Precision::BF16.with_state(DType::Bf16);
        let parts = planned_parts(model, &decode, precision, 1);
        cases.extend(parts.into_iter().filter(|p| matches!(p.case.problem, Problem::Attention(_))));
    }
    cases.retain(|p| p.case.buffer_bytes() < MOST_ON_GPUS);
    cases
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::Suite;
    use super::*;

    #[test]
    fn what_suite_gpu_has_fills_a_gpu_and_fits_into_one() {
        let cases = Suite::Gpu.cases(1);
        for case in cases.iter().map(|p| p.case) {
            assert_eq!(case.threads, 1);
            assert!(case.buffer_bytes() < MOST_ON_GPUS, "{case} needs {}", case.buffer_bytes());
            // On an H100 of 800 TFLOP/s (bf16) and 3 TB/s, longer than a launch takes to spread.
            let cost = case.cost();
            let seconds = (cost.flops.0 as f64 / 8e14).max(cost.bytes.0 as f64 / 3e12);
            assert!(seconds > 2e-6, "{case} takes {seconds} s");
        }
        let models: HashSet<&str> = cases
            .iter()
            .flat_map(|p| p.models.iter().map(|m| m.split(':').next().unwrap()))
            .collect();
        assert_eq!(models.len(), ON_GPUS.len(), "{models:?}");
        let formats: HashSet<DType> = cases.iter().map(|p| p.case.precision.inputs).collect();
        for dtype in [DType::F32, DType::Tf32, DType::Bf16, DType::F16, DType::E4m3, DType::I8] {
            assert!(formats.contains(&dtype), "no {dtype}");
        }
        let passes: HashSet<Pass> = cases.iter().map(|p| p.case.pass).collect();
        assert_eq!(passes.len(), 3);
    }
}
