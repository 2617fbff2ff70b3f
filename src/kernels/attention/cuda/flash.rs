//! Rung 3: tiles on tensor cores, forward and backward.

use std::borrow::Cow;

use super::{DOUT, K, Q, V, defines, problem, query_rows, refuses, sample, step, types, unwritten};
use crate::kernels::cuda::{Architecture, Buffer, CudaKernel, Needs, Plan, Step};
use crate::ops::{Attention, Case, DType, Pass, Precision};

/// Warps of a block.
const WARPS: usize = 4;

/// Rows of the tiles, by head size: what fits 255 registers a thread and 99 KiB of shared memory.
struct Tiles {
    /// Queries of a block, and keys of a step, of the forward pass.
    forward: [usize; 2],
    /// Keys of a block, and queries of a step, of dK and dV.
    keys: [usize; 2],
    /// Queries of a block, and keys of a step, of dQ.
    queries: [usize; 2],
}

const fn tiles(head_dim: usize) -> Tiles {
    match head_dim {
        64 => Tiles { forward: [128, 64], keys: [128, 32], queries: [128, 32] },
        _ => Tiles { forward: [128, 32], keys: [64, 64], queries: [64, 64] },
    }
}

/// `attention/flash-mma`.
pub(super) static FLASH_MMA: CudaKernel = CudaKernel {
    id: "attention/flash-mma",
    about: "tiled online softmax on tensor cores: mma.sync, cp.async, scores in registers",
    file: "kernels/attention/flash_mma.cu",
    text: include_str!("../../../../kernels/attention/flash_mma.cu"),
    needs: Needs::From(Architecture::plain(80)),
    refuses: |case| refuses(case).or_else(|| beyond(case)),
    plan,
    variants: || {
        let of = |precision| {
            let passes = [Pass::Forward, Pass::Backward];
            passes.into_iter().flat_map(move |pass| [64, 128].map(|d| sample(precision, pass, d)))
        };
        [Precision::BF16, Precision::BF16_F32].into_iter().flat_map(of).collect()
    },
    claims: &["HMMA.16816.F32.BF16", "LDSM.16.M88.4", "LDGSTS.E", "MUFU.EX2"],
    registers: 255,
    shared: 0,
};

fn beyond(case: &Case) -> Option<Cow<'static, str>> {
    let shape = problem(case);
    if case.pass == Pass::Decode {
        return Some("has 127 of its 128 rows idle in a decode; use attention/decode".into());
    }
    if case.precision.inputs != DType::Bf16 {
        return Some(format!("does bf16 on tensor cores, not {}", case.precision.inputs).into());
    }
    let (qk, v) = (shape.head_dim_qk, shape.head_dim_v);
    (qk != v || !matches!(qk, 64 | 128))
        .then(|| format!("does a head_dim of 64 or 128, not {qk} and {v}").into())
}

fn plan(case: &Case, _: Architecture) -> Plan {
    let shape = problem(case);
    let backward = case.pass == Pass::Backward;
    let rows = tiles(shape.head_dim_qk);
    let sizes = [
        ("HEAD_DIM", shape.head_dim_qk),
        ("WARPS", WARPS),
        ("BM", rows.forward[0]),
        ("BN", rows.forward[1]),
        ("BKV", rows.keys[0]),
        ("BQ", rows.keys[1]),
        ("BDQ", rows.queries[0]),
        ("BDK", rows.queries[1]),
        ("SAVE_LSE", usize::from(backward)),
        ("BACKWARD", usize::from(backward)),
    ];
    let plan = if backward {
        gradients(&shape, case.precision.output)
    } else {
        Plan { steps: vec![forward(&shape, vec![Q, K, V, Buffer::Written(0)])], ..Plan::default() }
    };
    Plan { defines: types(case).into_iter().chain(defines(&sizes)).collect(), ..plan }
}

/// A block for each of `tiles` of a head, with what all launches are told.
fn launch(
    entry: &'static str,
    shape: &Attention,
    blocks: usize,
    buffers: Vec<Buffer>,
    shared: usize,
) -> Step {
    let sizes = [shape.group(), shape.seq_q, shape.seq_kv, usize::from(shape.causal)];
    let launch = step(entry, blocks, 32 * WARPS, buffers, &sizes, Some(shape.scale()));
    Step { shared: shared as u32, ..launch }
}

fn forward(shape: &Attention, buffers: Vec<Buffer>) -> Step {
    let [queries, keys] = tiles(shape.head_dim_qk).forward;
    let blocks = shape.batch * shape.heads * shape.seq_q.div_ceil(queries);
    let shared = (queries + 4 * keys) * shape.head_dim_qk * 2;
    launch("attention_flash_mma", shape, blocks, buffers, shared)
}

fn gradients(shape: &Attention, output: DType) -> Plan {
    let rows = query_rows(shape);
    let row = shape.head_dim_qk * 2;
    let [out, lse, delta] = [0, 1, 2].map(Buffer::Workspace);
    let [dq, dk, dv] = [0, 1, 2].map(Buffer::Written);
    let delta_of_rows = step(
        "attention_flash_delta",
        rows.div_ceil(WARPS),
        32 * WARPS,
        vec![DOUT, out, delta],
        &[rows],
        None,
    );
    let [block, each] = tiles(shape.head_dim_qk).keys;
    let of_keys = launch(
        "attention_flash_gradient_keys",
        shape,
        shape.batch * shape.kv_heads * shape.seq_kv.div_ceil(block),
        vec![Q, K, V, DOUT, dk, dv, lse, delta],
        2 * block * row + 2 * (2 * each * row + 2 * each * 4),
    );
    let [block, each] = tiles(shape.head_dim_qk).queries;
    let of_queries = launch(
        "attention_flash_gradient_queries",
        shape,
        shape.batch * shape.heads * shape.seq_q.div_ceil(block),
        vec![Q, K, V, DOUT, dq, lse, delta],
        (2 * block + 4 * each) * row,
    );
    Plan {
        workspace: vec![
            unwritten("out", output.size() * rows * shape.head_dim_v),
            unwritten("lse", 4 * rows),
            unwritten("delta", 4 * rows),
        ],
        prologue: vec![forward(shape, vec![Q, K, V, out, lse])],
        steps: vec![delta_of_rows, of_keys, of_queries],
        ..Plan::default()
    }
}
