//! Rung 4, for one query a sequence: the KV cache split over blocks, and a launch that combines the parts.

use std::borrow::Cow;

use super::{K, Q, V, cache, defines, problem, refuses, sample, step, types, unwritten};
use crate::kernels::cuda::{Architecture, Buffer, CudaKernel, Needs, Plan};
use crate::ops::{Attention, Case, DType, Pass, Precision};

/// Warps of a block.
const WARPS: usize = 4;
/// Query heads that share a block's loads at most, and numbers of a query or output of each that a lane holds at most, all
/// heads together: what fits its registers.
const MOST_HEADS: usize = 8;
const MOST_HELD: usize = 64;
/// Bytes of keys that a lane loads at once.
const IN_FLIGHT: usize = 64;
/// Blocks to keep two on each of an H100's 132 multiprocessors busy.
const BLOCKS: usize = 2 * 132;
/// Fewest keys of a part: a shorter one costs more to combine than to read.
const LEAST_KEYS: usize = 128;

/// `attention/decode`.
pub(super) static DECODE: CudaKernel = CudaKernel {
    id: "attention/decode",
    about: "one query a sequence: keys split over blocks, heads of a group share loads, parts combined",
    file: "kernels/attention/decode.cu",
    text: include_str!("../../../../kernels/attention/decode.cu"),
    needs: Needs::From(Architecture::plain(75)),
    refuses: |case| refuses(case).or_else(|| beyond(case)),
    plan,
    variants,
    claims: &["LDG.E.128", "SHFL"],
    registers: 255,
    shared: (WARPS * MOST_HEADS * (MOST_WIDTH + 2) * 4) as u32,
};

/// Longest value that its static shared memory is declared for.
const MOST_WIDTH: usize = 256;

fn beyond(case: &Case) -> Option<Cow<'static, str>> {
    if case.pass != Pass::Decode {
        return Some("does decodes, not whole sequences".into());
    }
    let shape = problem(case);
    let unit = 16 / cache(case).size();
    let widths = [shape.head_dim_qk, shape.head_dim_v];
    if let Some(width) = widths.iter().find(|w| !w.is_multiple_of(unit)) {
        return Some(
            format!("reads 16 bytes at a time, and {width} is no multiple of {unit}").into(),
        );
    }
    widths
        .iter()
        .find(|w| **w > MOST_WIDTH)
        .map(|width| format!("does a head_dim up to {MOST_WIDTH}, not {width}").into())
}

/// How a key is held by lanes.
struct Form {
    /// Query heads of a block.
    heads: usize,
    /// Lanes that hold a key, and 16-byte units of each.
    lanes: usize,
    chunks: usize,
}

/// As few lanes as hold the numbers (8 read whole lines), for each doubling of them is a shuffle more for every score.
fn form(shape: &Attention, cache: DType) -> Form {
    let sets = shape.group().div_ceil(MOST_HEADS);
    let heads = shape.group().div_ceil(sets);
    let unit = 16 / cache.size();
    let units = shape.head_dim_qk.max(shape.head_dim_v) / unit;
    let chunks = |lanes: usize| units.div_ceil(lanes);
    let fits = |lanes: &usize| {
        chunks(*lanes) * unit * heads <= MOST_HELD && chunks(*lanes) * 16 <= IN_FLIGHT
    };
    let least = units.next_power_of_two().min(8);
    let lanes = [least, 16].into_iter().find(fits).unwrap_or(32);
    Form { heads, lanes, chunks: chunks(lanes) }
}

/// How many parts the keys are split into for so many sets of heads, and the keys of each.
fn split(shape: &Attention, sets: usize) -> [usize; 2] {
    let wanted = BLOCKS.div_ceil(sets).min(shape.seq_kv.div_ceil(LEAST_KEYS)).max(1);
    let keys = shape.seq_kv.div_ceil(wanted);
    [shape.seq_kv.div_ceil(keys), keys]
}

fn plan(case: &Case, _: Architecture) -> Plan {
    let shape = problem(case);
    let form = form(&shape, cache(case));
    let sets = shape.batch * shape.kv_heads * shape.group().div_ceil(form.heads);
    let [parts, keys] = split(&shape, sets);
    let sizes = [
        ("WARPS", WARPS),
        ("D_QK", shape.head_dim_qk),
        ("D_V", shape.head_dim_v),
        ("HEADS", form.heads),
        ("LANES", form.lanes),
        ("CHUNKS", form.chunks),
        ("UNROLL", (IN_FLIGHT / 16 / form.chunks).max(1)),
    ];
    let rows = shape.batch * shape.heads;
    let [sums, weights] = [0, 1].map(Buffer::Workspace);
    let part = step(
        "attention_decode",
        sets * parts,
        32 * WARPS,
        vec![Q, K, V, sums, weights],
        &[shape.group(), shape.seq_kv, parts, keys],
        Some(shape.scale()),
    );
    let combine = step(
        "attention_decode_combine",
        rows,
        32 * WARPS,
        vec![Buffer::Written(0), sums, weights],
        &[parts],
        None,
    );
    Plan {
        defines: types(case).into_iter().chain(defines(&sizes)).collect(),
        workspace: vec![
            unwritten("sums", rows * parts * shape.head_dim_v * 4),
            unwritten("weights", rows * parts * 8),
        ],
        steps: vec![part, combine],
        ..Plan::default()
    }
}

/// Head sizes and groups that differ in form.
fn variants() -> Vec<Case> {
    let mut cases = Vec::new();
    for precision in [Precision::F32, Precision::BF16, Precision::F32.with_state(DType::Bf16)] {
        for (head_dim, group) in
            [(64, 1), (80, 2), (128, 1), (128, 4), (128, 8), (192, 7), (256, 8)]
        {
            let case = sample(precision, Pass::Decode, head_dim);
            let shape = Attention { heads: group, ..problem(&case) };
            cases.push(Case { problem: crate::ops::Problem::Attention(shape), ..case });
        }
    }
    cases
}
