//! Rungs 1 and 2: on the ordinary pipes of any GPU, any head size.

use std::borrow::Cow;

use super::{DOUT, K, Q, V, defines, problem, query_rows, refuses, sample, step, types, unwritten};
use crate::kernels::cuda::{Architecture, Buffer, CudaKernel, Needs, Plan};
use crate::ops::{Attention, Case, DType, Pass, Precision};
use crate::units::Bytes;

/// Threads of a block of `naive`.
const THREADS: usize = 256;
/// Most workspace that `naive` asks for.
const MOST_WORKSPACE: Bytes = Bytes(32 << 30);
/// Queries of a block of `online-softmax`, one a warp.
const WARPS: usize = 8;
/// Shared memory that every GPU gives without being asked.
const SHARED: usize = 48 << 10;

const ANY: Needs = Needs::From(Architecture::plain(75));

/// `attention/naive`.
pub(super) static NAIVE: CudaKernel = CudaKernel {
    id: "attention/naive",
    about: "the textbook in steps through a score matrix in memory, one thread an entry",
    file: "kernels/attention/naive.cu",
    text: include_str!("../../../../kernels/attention/naive.cu"),
    needs: ANY,
    refuses: |case| refuses(case).or_else(|| matrices_beyond(case)),
    plan: |case, _| {
        let sizes = [("THREADS", THREADS)];
        let plan = match case.pass {
            Pass::Forward | Pass::Decode => forward(&problem(case)),
            Pass::Backward => backward(&problem(case), case.precision.output),
        };
        Plan { defines: types(case).into_iter().chain(defines(&sizes)).collect(), ..plan }
    },
    variants: || {
        let passes = [Pass::Forward, Pass::Backward];
        let of = |p| passes.map(|pass| sample(p, pass, 80)).into_iter().chain(decodes(p, 80));
        [Precision::F32, Precision::BF16, Precision::BF16_F32].into_iter().flat_map(of).collect()
    },
    claims: &[],
    registers: 64,
    shared: 0,
};

/// `attention/online-softmax`.
pub(super) static ONLINE_SOFTMAX: CudaKernel = CudaKernel {
    id: "attention/online-softmax",
    about: "one pass over the keys with a running softmax, one warp a query, tiles in shared memory",
    file: "kernels/attention/online_softmax.cu",
    text: include_str!("../../../../kernels/attention/online_softmax.cu"),
    needs: ANY,
    refuses: |case| {
        refuses(case).or_else(|| {
            if case.pass == Pass::Backward {
                return Some("does forward and decode; use attention/flash-mma".into());
            }
            let needs = tiles(&problem(case));
            (needs > SHARED).then(|| {
                format!(
                    "tiles of 32 keys and values take {needs} of {SHARED} bytes of shared memory"
                )
                .into()
            })
        })
    },
    plan: online,
    variants: || {
        let of = |p| {
            [64, 80, 128]
                .into_iter()
                .flat_map(move |d| decodes(p, d).chain([sample(p, Pass::Forward, d)]))
        };
        [Precision::F32, Precision::BF16, Precision::BF16_F32].into_iter().flat_map(of).collect()
    },
    claims: &["SHFL"],
    registers: 80,
    shared: 0,
};

/// A decode with either cache.
fn decodes(precision: Precision, head_dim: usize) -> impl Iterator<Item = Case> {
    let caches = [DType::F32, DType::Bf16].into_iter();
    caches.map(move |dtype| sample(precision.with_state(dtype), Pass::Decode, head_dim))
}

/// Entries of a matrix of scores.
fn entries(shape: &Attention) -> usize {
    query_rows(shape).saturating_mul(shape.seq_kv)
}

fn matrices_beyond(case: &Case) -> Option<Cow<'static, str>> {
    let matrices = if case.pass == Pass::Backward { 2 } else { 1 };
    let needs = Bytes((entries(&problem(case)) as u64).saturating_mul(4 * matrices));
    (needs > MOST_WORKSPACE)
        .then(|| format!("its score matrices need {needs}; use a later rung").into())
}

/// Scores, softmax and product, with where the results go.
fn passes(
    shape: &Attention,
    out: Buffer,
    lse: Buffer,
    scores: Buffer,
) -> Vec<crate::kernels::cuda::Step> {
    let Attention { seq_q, seq_kv, head_dim_qk, head_dim_v, .. } = *shape;
    let (rows, group, causal) = (query_rows(shape), shape.group(), usize::from(shape.causal));
    let blocks = |threads: usize| threads.div_ceil(THREADS);
    vec![
        step(
            "attention_scores",
            blocks(entries(shape)),
            THREADS,
            vec![Q, K, scores],
            &[rows, group, seq_q, seq_kv, head_dim_qk, causal],
            Some(shape.scale()),
        ),
        step(
            "attention_softmax",
            blocks(rows),
            THREADS,
            vec![lse, scores],
            &[rows, seq_q, seq_kv, causal],
            None,
        ),
        step(
            "attention_product",
            blocks(rows * head_dim_v),
            THREADS,
            vec![V, out, scores],
            &[rows, group, seq_q, seq_kv, head_dim_v, causal],
            None,
        ),
    ]
}

fn forward(shape: &Attention) -> Plan {
    let workspace =
        vec![unwritten("lse", 4 * query_rows(shape)), unwritten("scores", 4 * entries(shape))];
    let steps = passes(shape, Buffer::Written(0), Buffer::Workspace(0), Buffer::Workspace(1));
    Plan { workspace, steps, ..Plan::default() }
}

fn backward(shape: &Attention, output: DType) -> Plan {
    let Attention { seq_q, seq_kv, head_dim_qk, head_dim_v, .. } = *shape;
    let (rows, group, causal) = (query_rows(shape), shape.group(), usize::from(shape.causal));
    let keys = shape.batch * shape.kv_heads * seq_kv;
    let [out, lse, delta, p, ds] = [0, 1, 2, 3, 4].map(Buffer::Workspace);
    let [dq, dk, dv] = [0, 1, 2].map(Buffer::Written);
    let blocks = |threads: usize| threads.div_ceil(THREADS);
    // dK is a sum over queries of dS and Q, dV of P and dO.
    let over_queries = |from, to, weights, head_dim: usize, factor| {
        step(
            "attention_gradient_keys",
            blocks(keys * head_dim),
            THREADS,
            vec![from, to, weights],
            &[keys, group, seq_q, seq_kv, head_dim, causal],
            Some(factor),
        )
    };
    let steps = vec![
        step(
            "attention_delta",
            blocks(rows),
            THREADS,
            vec![DOUT, out, delta],
            &[rows, head_dim_v],
            None,
        ),
        step(
            "attention_gradient_scores",
            blocks(entries(shape)),
            THREADS,
            vec![Q, K, V, DOUT, lse, delta, p, ds],
            &[rows, group, seq_q, seq_kv, head_dim_qk, head_dim_v, causal],
            Some(shape.scale()),
        ),
        step(
            "attention_gradient_queries",
            blocks(rows * head_dim_qk),
            THREADS,
            vec![K, dq, ds],
            &[rows, group, seq_q, seq_kv, head_dim_qk, causal],
            Some(shape.scale()),
        ),
        over_queries(Q, dk, ds, head_dim_qk, shape.scale()),
        over_queries(DOUT, dv, p, head_dim_v, 1.0),
    ];
    Plan {
        workspace: vec![
            unwritten("out", output.size() * rows * head_dim_v),
            unwritten("lse", 4 * rows),
            unwritten("delta", 4 * rows),
            unwritten("p", 4 * entries(shape)),
            unwritten("ds", 4 * entries(shape)),
        ],
        prologue: passes(shape, out, lse, p),
        steps,
        ..Plan::default()
    }
}

/// Bytes of shared memory of `online-softmax`: 32 keys, an odd number of words apart, 32 values, and the queries.
fn tiles(shape: &Attention) -> usize {
    4 * (32 * (shape.head_dim_qk | 1) + 32 * shape.head_dim_v + WARPS * shape.head_dim_qk)
}

fn online(case: &Case, _: Architecture) -> Plan {
    let shape = problem(case);
    let Attention { seq_q, seq_kv, head_dim_qk, head_dim_v, .. } = shape;
    let sizes = [("WARPS", WARPS), ("COLUMNS", head_dim_v.div_ceil(32))];
    let launch = step(
        "attention_online_softmax",
        shape.batch * shape.heads * seq_q.div_ceil(WARPS),
        32 * WARPS,
        vec![Q, K, V, Buffer::Written(0)],
        &[shape.group(), seq_q, seq_kv, head_dim_qk, head_dim_v, usize::from(shape.causal)],
        Some(shape.scale()),
    );
    let shared = tiles(&shape) as u32;
    Plan {
        defines: types(case).into_iter().chain(defines(&sizes)).collect(),
        steps: vec![crate::kernels::cuda::Step { shared, ..launch }],
        ..Plan::default()
    }
}
