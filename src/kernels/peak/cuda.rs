//! The CUDA probes: what memory and the fp32 pipes of a GPU give.

use std::borrow::Cow;

use crate::kernels::Kernel;
use crate::kernels::cuda::plan::MOST_BLOCKS;
use crate::kernels::cuda::{
    Architecture, Buffer, CudaKernel, Init, Needs, Plan, Scalar, Step, Workspace,
};
use crate::ops::peak::CHAINS;
use crate::ops::{Case, DType, Precision, Probe, ProbeKind, Problem};

/// The CUDA probes.
pub static CUDA_ROWS: &[&dyn Kernel] = &[&STREAMS, &FMA];

const THREADS: u32 = 256;
/// Sets of accumulators that a block of `fma` has.
const SETS: u64 = 4;

static STREAMS: CudaKernel = CudaKernel {
    id: "peak/streams",
    about: "read, write, copy, triad and updates in place, 16 bytes an access",
    file: "kernels/peak/streams.cu",
    text: include_str!("../../../kernels/peak/streams.cu"),
    needs: Needs::From(Architecture::plain(75)),
    refuses: |case| match case.problem {
        Problem::Peak(probe) => match probe.kind {
            ProbeKind::Fma => Some("has streams; fma multiplies".into()),
            _ => None,
        },
        _ => Some("does probes only".into()),
    },
    plan: streams,
    variants: || {
        let kinds = ProbeKind::ALL.into_iter().filter(|kind| *kind != ProbeKind::Fma);
        let case = |kind| Case::new(Problem::Peak(Probe { kind, size: 40_004 }), Precision::F32);
        kinds.map(case).collect()
    },
    claims: &["LDG.E.128", "STG.E.128"],
    registers: 48,
    shared: 256,
};

static FMA: CudaKernel = CudaKernel {
    id: "peak/fma",
    about: "f32 multiply-adds in registers",
    file: "kernels/peak/fma.cu",
    text: include_str!("../../../kernels/peak/fma.cu"),
    needs: Needs::From(Architecture::plain(75)),
    refuses: |case| match case.problem {
        Problem::Peak(Probe { kind: ProbeKind::Fma, .. }) => {
            let p = case.precision;
            (p.inputs != DType::F32 || p.accumulate != DType::F32)
                .then(|| Cow::from(format!("multiplies f32, not {p}")))
        }
        Problem::Peak(_) => Some("multiplies; streams has the others".into()),
        _ => Some("does probes only".into()),
    },
    plan: fma,
    variants: || {
        let probe = Probe { kind: ProbeKind::Fma, size: 1000 };
        vec![Case::new(Problem::Peak(probe), Precision::F32)]
    },
    claims: &["FFMA"],
    registers: 48,
    shared: 0,
};

fn probe_of(case: &Case) -> Probe {
    match case.problem {
        Problem::Peak(probe) => probe,
        _ => unreachable!("`refuses` lets probes through only"),
    }
}

fn unwritten(name: &'static str, bytes: u64) -> Vec<Workspace> {
    vec![Workspace { name, init: Init::Unwritten(bytes), written: true }]
}

fn streams(case: &Case, _: Architecture) -> Plan {
    let probe = probe_of(case);
    let words = probe.len() as u64;
    let blocks = words.div_ceil(4 * u64::from(THREADS)).clamp(1, MOST_BLOCKS) as u32;
    let [read, written, partial] = [Buffer::Read(0), Buffer::Written(0), Buffer::Workspace(0)];
    let whole = vec![Scalar::U64(words)];
    let one = |entry, buffers| vec![Step::flat(entry, blocks, THREADS, buffers, whole.clone())];
    let (steps, workspace) = match probe.kind {
        ProbeKind::Read => {
            let mut steps = one("peak_read", vec![read, partial]);
            let count = vec![Scalar::U32(blocks)];
            steps.push(Step::flat("peak_read_end", 1, THREADS, vec![written, partial], count));
            (steps, unwritten("partial", 4 * u64::from(blocks)))
        }
        ProbeKind::Write => (one("peak_write", vec![read, written]), Vec::new()),
        ProbeKind::Copy => (one("peak_copy", vec![read, written]), Vec::new()),
        ProbeKind::Triad => (one("peak_triad", vec![read, Buffer::Read(1), written]), Vec::new()),
        ProbeKind::Update2r1w => (one("peak_update1", Plan::buffers(case)), Vec::new()),
        ProbeKind::Update3r2w => (one("peak_update2", Plan::buffers(case)), Vec::new()),
        ProbeKind::Update4r3w => (one("peak_update3", Plan::buffers(case)), Vec::new()),
        ProbeKind::Fma => unreachable!("`refuses` lets streams through only"),
    };
    Plan { defines: vec![format!("-DTHREADS={THREADS}")], workspace, steps, ..Plan::default() }
}

fn fma(case: &Case, _: Architecture) -> Plan {
    let probe = probe_of(case);
    // At least some 64 steps each, at most what fills an H100.
    let steps_in_all = (probe.size as u64 * 1000).div_ceil(2 * CHAINS as u64);
    let blocks = (steps_in_all / 64 / SETS).clamp(1, MOST_BLOCKS);
    let sets = blocks * SETS;
    let pairs = probe.rounds(DType::F32, sets as usize) / 2;
    let [x, a, b] = [0, 1, 2].map(Buffer::Read);
    let [result, work] = [Buffer::Written(0), Buffer::Workspace(0)];
    let threads = CHAINS as u32;
    let pairs = vec![Scalar::U32(pairs as u32)];
    let count = vec![Scalar::U32(sets as u32)];
    Plan {
        workspace: unwritten("sets", sets * CHAINS as u64 * 4),
        steps: vec![
            Step::flat("peak_fma", blocks as u32, threads, vec![x, a, b, work], pairs),
            Step::flat("peak_fma_mean", 1, threads, vec![result, work], count),
        ],
        ..Plan::default()
    }
}
