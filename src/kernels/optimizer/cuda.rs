//! The ladder of CUDA optimizer kernels: `scalar`, `vectorized`, `multi-tensor`; each does every rule.

use std::borrow::Cow;

use crate::kernels::Kernel;
use crate::kernels::cuda::plan::{MOST_BLOCKS, Word};
use crate::kernels::cuda::{
    Architecture, Buffer, CudaKernel, Init, Needs, Plan, Scalar, Step, Workspace,
};
use crate::ops::{Case, DType, Hyper, Precision, Problem, Rule, Update};

/// The CUDA kernels, up the ladder.
pub static CUDA_ROWS: &[&dyn Kernel] = &[&SCALAR, &VECTORIZED, &MULTI_TENSOR];

const THREADS: u32 = 256;
/// Groups of 16 bytes of parameters that a thread of `vectorized` has in flight: in bf16 one has 16 bytes of moments four times
/// over, and two would spill where division calls its slow path.
fn unroll(case: &Case) -> u64 {
    if case.precision.inputs == DType::Bf16 { 1 } else { 2 }
}

/// Parameters that a block of `multi-tensor` updates at most.
const CHUNK: u64 = 4096;

static SCALAR: CudaKernel = CudaKernel {
    id: "optimizer/scalar",
    about: "one thread a parameter, fused",
    file: "kernels/optimizer/scalar.cu",
    text: include_str!("../../../kernels/optimizer/scalar.cu"),
    needs: Needs::From(Architecture::plain(75)),
    refuses,
    plan: |case, _| {
        let blocks = |update: &Update| (update.params as u64).div_ceil(u64::from(THREADS));
        flat_plan(case, "optimizer_scalar", blocks)
    },
    variants,
    claims: &[],
    registers: 40,
    shared: 0,
};

static VECTORIZED: CudaKernel = CudaKernel {
    id: "optimizer/vectorized",
    about: "16-byte accesses, several in flight, a grid that strides",
    file: "kernels/optimizer/vectorized.cu",
    text: include_str!("../../../kernels/optimizer/vectorized.cu"),
    needs: Needs::From(Architecture::plain(75)),
    refuses,
    plan: |case, _| {
        let wide = 16 / case.precision.inputs.size() as u64;
        flat_plan(case, "optimizer_vectorized", |update| {
            let turn = u64::from(THREADS) * unroll(case) * wide;
            (update.params as u64).div_ceil(turn).min(MOST_BLOCKS)
        })
    },
    variants,
    claims: &["LDG.E.128", "STG.E.128"],
    registers: 128,
    shared: 0,
};

static MULTI_TENSOR: CudaKernel = CudaKernel {
    id: "optimizer/multi-tensor",
    about: "one launch over a list of tensors, by tables of pointers",
    file: "kernels/optimizer/multi_tensor.cu",
    text: include_str!("../../../kernels/optimizer/multi_tensor.cu"),
    needs: Needs::From(Architecture::plain(75)),
    refuses,
    plan: multi_tensor,
    variants,
    claims: &[],
    registers: 80,
    shared: 0,
};

/// f32 throughout, or bf16 parameters and gradients with f32 moments.
fn refuses(case: &Case) -> Option<Cow<'static, str>> {
    let Problem::Update(update) = &case.problem else {
        return Some("does optimizer steps only".into());
    };
    let p = case.precision;
    let takes =
        matches!((p.inputs, p.output), (DType::F32, DType::F32) | (DType::Bf16, DType::Bf16))
            && p.accumulate == DType::F32
            && p.state.unwrap_or(DType::F32) == DType::F32;
    if !takes {
        let rule = update.rule.name();
        return Some(format!("does f32, and bf16 with f32 state; not {p} for {rule}").into());
    }
    (update.params as u64 > u64::from(THREADS) * (u64::from(u32::MAX) >> 1))
        .then(|| "more blocks than a grid has".into())
}

/// Every rule in f32 and bf16.
fn variants() -> Vec<Case> {
    let case = |rule: Rule, base| {
        let update = Update { rule, params: 5000 };
        Case::new(Problem::Update(update), rule.precision(base))
    };
    let bases = [Precision::F32, Precision::BF16];
    bases.iter().flat_map(|&base| Rule::ALL.map(|rule| case(rule, base))).collect()
}

fn update_of(case: &Case) -> Update {
    match case.problem {
        Problem::Update(update) => update,
        _ => unreachable!("`refuses` lets updates through only"),
    }
}

fn defines(case: &Case) -> Vec<String> {
    let rule = update_of(case).rule;
    let param = if case.precision.inputs == DType::Bf16 { "bf16" } else { "float" };
    vec![
        format!("-DRULE={}", rule.name().to_uppercase()),
        format!("-DPARAM={param}"),
        format!("-DTHREADS={THREADS}"),
        format!("-DUNROLL={}", unroll(case)),
        format!("-DCHUNK={CHUNK}"),
    ]
}

/// The numbers of a step that all parameters share, in the order of `Constants` in rules.cuh.
fn constants(rule: Rule) -> impl Iterator<Item = Scalar> {
    let h = Hyper::of(rule);
    let adam = matches!(rule, Rule::Adam | Rule::Adamw);
    let rate = if adam { h.corrected_lr() } else { h.lr };
    let beta1 = if h.momentum > 0.0 { h.momentum } else { h.beta1 };
    let correction = if adam { h.root_correction() } else { 1.0 };
    let all = [rate, h.kept(), beta1, 1.0 - beta1, h.beta2, 1.0 - h.beta2, h.eps, correction];
    all.into_iter().map(|x| Scalar::F32(x as f32))
}

fn flat_plan(case: &Case, entry: &'static str, blocks: impl Fn(&Update) -> u64) -> Plan {
    let update = update_of(case);
    let scalars =
        [Scalar::U64(update.params as u64)].into_iter().chain(constants(update.rule)).collect();
    let step = Step::flat(entry, blocks(&update) as u32, THREADS, Plan::buffers(case), scalars);
    let steps = if update.params == 0 { Vec::new() } else { vec![step] };
    Plan { defines: defines(case), steps, ..Plan::default() }
}

/// The flat vector in uneven pieces, as (first, length): a model's tensors of all sizes, most of them aligned.
fn pieces(params: u64) -> Vec<(u64, u64)> {
    let mut pieces = Vec::new();
    let mut first = 0;
    while first < params {
        let left = params - first;
        let rough = (left * 5 / 11).max(1);
        // Every third leaves those after it where 16 bytes do not begin.
        let len = if pieces.len() % 3 == 2 { rough } else { rough.next_multiple_of(64) };
        pieces.push((first, len.min(left)));
        first += len.min(left);
    }
    pieces
}

fn multi_tensor(case: &Case, _: Architecture) -> Plan {
    let update = update_of(case);
    let sizes: Vec<u64> = case.operands().iter().map(|o| o.dtype.size() as u64).collect();
    let (mut tensors, mut chunks) = (Vec::new(), Vec::new());
    for (number, (first, len)) in pieces(update.params as u64).into_iter().enumerate() {
        let buffers = [Buffer::Read(0), Buffer::Written(0), Buffer::Written(1), Buffer::Written(2)];
        for (i, buffer) in buffers.into_iter().enumerate() {
            // A moment that the rule lacks has no address.
            let size = sizes.get(i).copied();
            tensors.push(size.map_or(Word::Number(0), |size| Word::Address(buffer, first * size)));
        }
        tensors.push(Word::Number(len));
        for chunk in (0..len).step_by(CHUNK as usize) {
            chunks.extend([Word::Number(number as u64), Word::Number(chunk)]);
        }
    }
    let blocks = chunks.len() as u32 / 2;
    let table = |name, words| Workspace { name, init: Init::Words(words), written: false };
    let buffers = vec![Buffer::Workspace(0), Buffer::Workspace(1)];
    let scalars = constants(update.rule).collect();
    let step = Step::flat("optimizer_multi_tensor", blocks, THREADS, buffers, scalars);
    Plan {
        defines: defines(case),
        workspace: vec![table("tensors", tensors), table("chunks", chunks)],
        steps: if blocks == 0 { Vec::new() } else { vec![step] },
        ..Plan::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_uneven_cover_every_parameter_and_are_not_all_aligned() {
        for params in [1, 2, 63, 64, 65, 1009, 123_457] {
            let pieces = pieces(params);
            let mut next = 0;
            for &(first, len) in &pieces {
                assert!(first == next && len > 0);
                next = first + len;
            }
            assert_eq!(next, params);
        }
        let pieces = pieces(123_457);
        assert!(pieces.iter().any(|(first, _)| first % 4 != 0));
        assert!(pieces.iter().filter(|(first, _)| first % 8 == 0).count() >= 3);
        assert!(super::pieces(0).is_empty());
    }

    #[test]
    fn every_chunk_of_every_tensor_has_one_block() {
        let case = Case::new(
            Problem::Update(Update { rule: Rule::Adamw, params: 100_000 }),
            Rule::Adamw.precision(Precision::F32),
        );
        let plan = multi_tensor(&case, Architecture::plain(80));
        let Init::Words(chunks) = &plan.workspace[1].init else { panic!("a table of words") };
        assert_eq!(plan.steps[0].grid[0] as usize * 2, chunks.len());
        let covered: u64 = pieces(100_000).iter().map(|(_, len)| len.div_ceil(CHUNK)).sum();
        assert_eq!(covered as usize * 2, chunks.len());
    }
}
