//! The CUDA probes: what memory, the fp32 pipes and the tensor cores of a GPU give.

use std::borrow::Cow;

use crate::kernels::Kernel;
use crate::kernels::cuda::plan::MOST_BLOCKS;
use crate::kernels::cuda::{
    Architecture, Buffer, CudaKernel, Init, Needs, Plan, Scalar, Step, Workspace,
};
use crate::ops::peak::CHAINS;
use crate::ops::{Case, DType, Precision, Probe, ProbeKind, Problem};

/// The CUDA probes.
pub static CUDA_ROWS: &[&dyn Kernel] = &[&STREAMS, &FMA, &MMA, &MMA_E4M3, &WGMMA];

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
    shared: 8 * 128 * 4,
};

static MMA: CudaKernel = CudaKernel {
    id: "peak/mma",
    about: "mma.sync in registers, in bf16, f16, tf32 and int8",
    file: "kernels/peak/mma.cu",
    text: include_str!("../../../kernels/peak/mma.cu"),
    needs: Needs::From(Architecture::plain(80)),
    refuses: |case| multiplies(case, &[DType::Bf16, DType::F16, DType::Tf32, DType::I8]),
    plan: mma,
    variants: || tensor_variants(&[DType::Bf16, DType::F16, DType::Tf32, DType::I8]),
    claims: &["HMMA.16816"],
    registers: 64,
    shared: 8 * CHAINS as u32 * 4,
};

static MMA_E4M3: CudaKernel = CudaKernel {
    id: "peak/mma-e4m3",
    about: "mma.sync in registers, in e4m3",
    needs: Needs::From(Architecture::plain(89)),
    refuses: |case| multiplies(case, &[DType::E4m3]),
    variants: || tensor_variants(&[DType::E4m3]),
    claims: &[],
    ..MMA
};

static WGMMA: CudaKernel = CudaKernel {
    id: "peak/wgmma",
    about: "wgmma on tiles in shared memory, in bf16, f16, tf32, int8 and e4m3",
    file: "kernels/peak/wgmma.cu",
    text: include_str!("../../../kernels/peak/wgmma.cu"),
    needs: Needs::Exactly(Architecture::specific(90)),
    refuses: |case| multiplies(case, &TENSOR),
    plan: wgmma,
    variants: || tensor_variants(&TENSOR),
    claims: &["HGMMA.64x192x16"],
    registers: 128,
    shared: 320 * 128,
};

/// The formats that tensor cores multiply, and whose sums have 32 bits.
const TENSOR: [DType; 5] = [DType::Bf16, DType::F16, DType::Tf32, DType::I8, DType::E4m3];

/// The precision in which a probe of tensor cores multiplies a format; `None` where they do not know it, and where no probe here has
/// their fastest instruction: `tcgen05` on sm_100 to sm_110.
pub fn tensor_precision(inputs: DType, on: Architecture) -> Option<Precision> {
    let is_probed = (80..=90).contains(&on.number) || on.number >= 120;
    let known = TENSOR.contains(&inputs) && (inputs != DType::E4m3 || on.number >= 89);
    (is_probed && known).then_some(sums(inputs))
}

/// Sums and results in 32 bits.
const fn sums(inputs: DType) -> Precision {
    match inputs {
        DType::I8 => Precision::INT8,
        _ => Precision { inputs, accumulate: DType::F32, output: DType::F32, state: None },
    }
}

fn tensor_variants(formats: &[DType]) -> Vec<Case> {
    let probe = Problem::Peak(Probe { kind: ProbeKind::Fma, size: 2000 });
    formats.iter().map(|&inputs| Case::new(probe, sums(inputs))).collect()
}

fn multiplies(case: &Case, formats: &[DType]) -> Option<Cow<'static, str>> {
    match case.problem {
        Problem::Peak(Probe { kind: ProbeKind::Fma, .. }) => {
            let p = case.precision;
            let takes = formats.contains(&p.inputs) && p == sums(p.inputs);
            let names: Vec<&str> = formats.iter().map(|format| format.name()).collect();
            let names = names.join(", ");
            (!takes).then(|| {
                format!("multiplies {names} with sums and results in 32 bits, not {p}").into()
            })
        }
        Problem::Peak(_) => Some("multiplies; streams has the others".into()),
        _ => Some("does probes only".into()),
    }
}

fn mma(case: &Case, _: Architecture) -> Plan {
    tensor(case, ["peak_mma", "peak_mma_mean"], 8, 256)
}

fn wgmma(case: &Case, _: Architecture) -> Plan {
    tensor(case, ["peak_wgmma", "peak_wgmma_mean"], 64, 256)
}

/// A probe of tensor cores: an instruction multiplies eight values of each factor (`kernels/peak/factors.cuh`).
fn tensor(case: &Case, entries: [&'static str; 2], sets: u64, threads: u32) -> Plan {
    let format = match case.precision.inputs {
        DType::Bf16 => 0,
        DType::F16 => 1,
        DType::Tf32 => 2,
        DType::I8 => 3,
        _ => 4,
    };
    let how = Multiply { entries, sets, written: 1, values: 8 };
    let defines = vec![format!("-DFORMAT={format}")];
    Plan { defines, ..multiply_adds(case, &how, threads) }
}

fn fma(case: &Case, _: Architecture) -> Plan {
    let how =
        Multiply { entries: ["peak_fma", "peak_fma_mean"], sets: SETS, written: SETS, values: 1 };
    multiply_adds(case, &how, CHAINS as u32)
}

/// How a probe of multiply-adds does them.
struct Multiply {
    /// What steps the accumulators, and what takes their mean.
    entries: [&'static str; 2],
    /// Sets of accumulators that a block has.
    sets: u64,
    /// How many of these it writes: all, or one where they must agree.
    written: u64,
    /// Values of each factor in an instruction, for one of the probe.
    values: u64,
}

fn multiply_adds(case: &Case, how: &Multiply, threads: u32) -> Plan {
    let (probe, inputs) = (probe_of(case), case.precision.inputs);
    // At least some 64 steps each, at most what fills an H100.
    let a_step = 2 * CHAINS as u64 * Probe::dot(inputs) as u64 * how.values;
    let steps_in_all = (probe.size as u64 * 1000).div_ceil(a_step);
    let blocks = (steps_in_all / 64 / how.sets).clamp(1, MOST_BLOCKS);
    let sets = blocks * how.sets;
    let pairs = probe.rounds(inputs, (sets * how.values) as usize) / 2;
    let [x, a, b] = [0, 1, 2].map(Buffer::Read);
    let [result, work] = [Buffer::Written(0), Buffer::Workspace(0)];
    let written = blocks * how.written;
    let (pairs, count) = (vec![Scalar::U32(pairs as u32)], vec![Scalar::U32(written as u32)]);
    let [step, end] = how.entries;
    Plan {
        workspace: unwritten("sets", written * CHAINS as u64 * 4),
        steps: vec![
            Step::flat(step, blocks as u32, threads, vec![x, a, b, work], pairs),
            mean(end, vec![result, work], count),
        ],
        ..Plan::default()
    }
}

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

/// The mean over the sets: see `kernels/peak/mean.cuh`.
fn mean(entry: &'static str, buffers: Vec<Buffer>, count: Vec<Scalar>) -> Step {
    const CHAINS_A_BLOCK: u32 = 8;
    const LANES: u32 = 128;
    let blocks = CHAINS as u32 / CHAINS_A_BLOCK;
    Step::flat(entry, blocks, CHAINS_A_BLOCK * LANES, buffers, count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::check;
    use crate::device::cuda::fake::{Conditions, FakeDriver};
    use crate::device::{Device, GpuDevice};
    use crate::nvrtc::Compiler;

    #[test]
    fn tensor_cores_answer_the_probe_exactly_in_every_format_and_number_of_steps() {
        for (name, rows) in [("sm_89", [&MMA, &MMA_E4M3]), ("sm_90a", [&WGMMA; 2])] {
            let driver = FakeDriver::under(name.parse().unwrap(), Conditions::default()).unwrap();
            let gpu = GpuDevice::on(&driver, 0, Compiler::find(None).unwrap()).unwrap();
            let device = Device::Gpu(gpu);
            for (inputs, size) in TENSOR.iter().flat_map(|&f| [1, 300, 20_000].map(|s| (f, s))) {
                let probe = Problem::Peak(Probe { kind: ProbeKind::Fma, size });
                let precision = tensor_precision(inputs, Architecture::plain(89)).unwrap();
                let case = Case::new(probe, precision);
                let row = rows[usize::from(inputs == DType::E4m3)];
                // Several seeds, so that each value of a factor has its turn.
                for seed in [1, 2, 3] {
                    let operands = case.inputs(seed);
                    let mut prepared = row.prepare(&device, &case, &operands).unwrap();
                    prepared.launch(0).unwrap();
                    let expected = case.expected(&operands, 1);
                    let checked = check(&case, &operands, &expected, &prepared.outputs().unwrap());
                    assert_eq!(checked.wrong, None, "{case} on {name}");
                }
            }
        }
    }

    #[test]
    fn roofs_of_tensor_cores_are_taken_where_a_probe_has_their_fastest_instruction() {
        let on = |number, inputs| tensor_precision(inputs, Architecture::plain(number));
        assert_eq!(on(80, DType::Bf16), Some(Precision::BF16_F32));
        assert_eq!(on(120, DType::I8), Some(Precision::INT8));
        assert_eq!((on(80, DType::E4m3), on(80, DType::F32)), (None, None));
        assert!(on(89, DType::E4m3).is_some() && on(90, DType::E4m3).is_some());
        for number in [75, 100, 103] {
            assert_eq!(on(number, DType::Bf16), None, "sm_{number}");
        }
    }
}
