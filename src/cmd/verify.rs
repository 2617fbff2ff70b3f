//! `scalemark verify`: answers only.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use super::external::External;
use super::progress::Progress;
use super::run::{Seat, spawns};
use super::run_gpu;
use super::simulate::{self, Pace};
use crate::check;
use crate::device::cpu::detect_capabilities;
use crate::device::{Device, DeviceName, Gpus, cuda};
use crate::kernels::cuda::Architecture;
use crate::kernels::{CudaKernel, Kernel, Registry};
use crate::measure::{Crew, Job};
use crate::ops::{
    Attention, Case, DType, Groups, Matmul, Pass, Precision, Probe, ProbeKind, Problem, Rule,
    Transpose, Update,
};
use crate::plan::select::Selection;
use crate::plan::{Planned, merge};
use crate::record::Check;
use crate::worker::protocol::Reply;
use crate::worker::{self, Processes};

/// Options of `verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  scalemark verify                          every kernel on awkward sizes
  scalemark verify --kernel matmul/simd -m 1,17,255,256,257 --dtype f32,bf16,int8
  scalemark verify --suite quick            the cases of a suite
  scalemark verify --baselines torch        a framework's answers too
  scalemark verify --device cuda            every CUDA kernel, on a GPU
  scalemark verify --device sim             every CUDA kernel, simulated: no GPU needed
  scalemark verify --device sim:sm_80 --kernel optimizer/vectorized --params 4099
  scalemark verify --device sim --kernel matmul/wgmma-tma -m 192 --dtype bf16 --seeds 20    other orders of warps and copies

Exit code 1 when an answer is wrong or a kernel fails; refusals are fine; 3 where there is no GPU")]
pub struct Args {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    external: External,
    /// Where to run: cpu; cuda, cuda:0,1 or cuda:all (GPUs); sim or sim:sm_80 (the PTX simulator) [default: cpu]
    #[arg(long, default_value_t, hide_default_value = true, value_name = "DEVICE")]
    device: DeviceName,
    /// Seed of the operands
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Schedules to simulate, each of another order of warps and of asynchronous work
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    seeds: u64,
    /// The library NVRTC, or the folder that it is in [default: searched for]
    #[arg(long, value_name = "PATH")]
    nvrtc: Option<PathBuf>,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    kernel: &'a str,
    case_key: &'a str,
    status: &'a str,
    detail: &'a str,
    check: Option<&'a str>,
    deviation: Option<f64>,
    tolerance: Option<f64>,
}

/// What was found so far, told line by line or in the end.
struct Tally {
    json: bool,
    counts: HashMap<&'static str, usize>,
    bad: Vec<String>,
}

impl Tally {
    fn new(json: bool) -> Self {
        Tally { json, counts: HashMap::new(), bad: Vec::new() }
    }

    fn note(
        &mut self,
        kernel: &str,
        case_key: &str,
        (status, detail, checked): Verdict,
    ) -> anyhow::Result<()> {
        *self.counts.entry(status).or_default() += 1;
        if self.json {
            let line = Line {
                kernel,
                case_key,
                status,
                detail: &detail,
                check: checked.map(|c| if c.full { "full" } else { "sampled" }),
                deviation: checked.map(|c| c.deviation),
                tolerance: checked.map(|c| c.tolerance),
            };
            super::show(&(serde_json::to_string(&line)? + "\n"))?;
        }
        if matches!(status, "wrong" | "failed") {
            self.bad.push(format!("{status}: {kernel} on {case_key}: {detail}"));
        }
        Ok(())
    }

    fn finish(self, cases: usize) -> anyhow::Result<ExitCode> {
        for line in &self.bad {
            super::note(line);
        }
        let count = |status| self.counts.get(status).copied().unwrap_or(0);
        let (right, wrong, failed, refused) =
            (count("right"), count("wrong"), count("failed"), count("refused"));
        if !self.json {
            super::show(&format!(
                "{right} right, {wrong} wrong, {failed} failed, {refused} refused, on {cases} cases\n"
            ))?;
        }
        Ok(if self.bad.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }
}

/// A status, its reason, and the check, where it got that far.
type Verdict = (&'static str, String, Option<Check>);

/// Checks every chosen kernel on every chosen case, each provider in a worker process.
///
/// # Errors
/// On usage errors, and when no temporary file can be written.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    if let DeviceName::Sim(architecture) = args.device {
        return simulated(&args, architecture);
    }
    if let DeviceName::Gpus(gpus) = args.device
        && args.seeds == 1
    {
        return on_gpus(&args, gpus);
    }
    if args.seeds > 1 {
        anyhow::bail!("--seeds explores schedules of the simulator; add --device sim");
    }
    let capabilities = detect_capabilities();
    let planned = if args.selection.names_a_source() {
        args.selection.cases(capabilities.threads)?
    } else {
        args.selection.filtered(awkward(capabilities.threads), "the awkward sizes")?
    };
    let joined = args.external.join(Registry::default(), "cpu")?;
    let kernels = args.selection.kernels(&joined.registry)?;
    let own = Processes::new(spawns(&capabilities)?, args.seed);
    let processes = joined.processes(own, &capabilities, "cpu")?;
    let seat = Seat { device: "cpu".into(), capabilities, processes };
    let mut tally = Tally::new(args.json);
    in_workers(&args, &planned, (joined.registry, &kernels), seat, &mut tally)?;
    tally.finish(planned.len())
}

/// Checks every chosen kernel on every chosen case in the workers of a device.
fn in_workers(
    args: &Args,
    planned: &[Planned],
    (registry, kernels): (Registry, &[&'static dyn Kernel]),
    seat: Seat,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let Seat { capabilities, mut processes, .. } = seat;
    let scratch = worker::scratch()?;
    let mut progress = Progress::new(planned.len());
    for Planned { case, .. } in planned {
        let key = case.key();
        progress.now(&key);
        let takers: Vec<_> =
            registry.for_case(case).filter(|k| kernels.iter().any(|w| w.id() == k.id())).collect();
        let expected = scratch.path().join("expected");
        let mut shared = false;
        for kernel in takers {
            let job =
                Job { kernel: kernel.id().0, provider: kernel.provider().to_owned(), case: *case };
            let verdict = match kernel.refuses(&capabilities, case) {
                Some(reason) => ("refused", reason.into_owned(), None),
                None => {
                    if !shared {
                        let answer = case.expected(&case.inputs(args.seed), capabilities.threads);
                        check::save_expected(&expected, &answer)?;
                        processes.expect(Some(&expected));
                        shared = true;
                    }
                    let reply = processes.prepare(0, &job);
                    let _ = processes.release(0, &job);
                    match reply {
                        Ok(Reply::Prepared { check, .. }) => ("right", String::new(), Some(check)),
                        Ok(Reply::Wrong { reason, check }) => ("wrong", reason, check),
                        Ok(Reply::Refused { reason }) => ("refused", reason, None),
                        Ok(Reply::Failed { reason }) => ("failed", reason, None),
                        Ok(other) => ("failed", format!("the worker answered {other:?}"), None),
                        Err(error) => ("failed", error.to_string(), None),
                    }
                }
            };
            tally.note(&job.kernel, &key, verdict)?;
        }
        progress.step(&format!("{key}: {} wrong or failed so far", tally.bad.len()));
    }
    progress.finish();
    Ok(())
}

/// Checks every chosen CUDA kernel on every chosen case on GPUs.
fn on_gpus(args: &Args, gpus: Gpus) -> anyhow::Result<ExitCode> {
    let nvrtc = args.nvrtc.as_deref();
    let found = match run_gpu::look(gpus, nvrtc) {
        Ok(found) => found,
        Err(error) => {
            super::note(&format!("error: {error}"));
            return Ok(ExitCode::from(3));
        }
    };
    let planned = if args.selection.names_a_source() {
        args.selection.cases(1)?
    } else {
        args.selection.filtered(awkward_for_sim(), "the awkward sizes")?
    };
    let first = run_gpu::for_programs(found[0].1.ordinal);
    let joined = args.external.join(Registry::cuda(), &first)?;
    let registry = joined.registry;
    let kernels = args.selection.kernels(&registry)?;
    let mut tally = Tally::new(args.json);
    let cases = planned.len() * found.len();
    for (device, attributes) in found {
        let capabilities = cuda::capabilities_of(&attributes);
        let one = Gpus::one(gpus.driver, attributes.ordinal);
        let patience = (args.seed, args.external.patience()?);
        let processes = run_gpu::processes(one, &capabilities, patience, nvrtc)?;
        let device_of_programs = run_gpu::for_programs(attributes.ordinal);
        let processes = joined.processes(processes, &capabilities, &device_of_programs)?;
        let seat = Seat { device, capabilities, processes };
        in_workers(args, &planned, (registry, &kernels), seat, &mut tally)?;
    }
    tally.finish(cases)
}

/// Checks every chosen CUDA kernel on every chosen case, on the simulator in this process.
fn simulated(args: &Args, architecture: Architecture) -> anyhow::Result<ExitCode> {
    let planned = if args.selection.names_a_source() {
        args.selection.cases(1)?
    } else {
        args.selection.filtered(awkward_for_sim(), "the awkward sizes")?
    };
    let kernels = args.selection.kernels(&Registry::cuda())?;
    let mut device = simulate::device(architecture, args.nvrtc.as_deref())?;
    let mut pace = Pace::default();
    let mut progress = Progress::new(planned.len());
    let mut tally = Tally::new(args.json);
    for Planned { case, .. } in &planned {
        let key = case.key();
        progress.now(&key);
        let mut job = None;
        let takers = Registry::cuda().for_case(case);
        for kernel in takers.filter(|k| kernels.iter().any(|w| w.id() == k.id())) {
            let Some(row) = kernel.as_cuda() else { continue };
            let Device::Sim(sim) = &device else { unreachable!("made by `simulate::device`") };
            let verdict = match pace.refuses(sim, row, case) {
                Some(reason) => ("refused", reason, None),
                None => {
                    let job = job.get_or_insert_with(|| simulate::Job::new(*case, args.seed));
                    every_schedule(&mut device, row, job, args.seeds, &mut pace)
                }
            };
            tally.note(row.id, &key, verdict)?;
        }
        progress.step(&format!("{key}: {} wrong or failed so far", tally.bad.len()));
    }
    progress.finish();
    tally.finish(planned.len())
}

/// The first schedule's verdict, unless another's is worse.
fn every_schedule(
    device: &mut Device,
    row: &CudaKernel,
    job: &simulate::Job,
    seeds: u64,
    pace: &mut Pace,
) -> Verdict {
    let mut first = None;
    for seed in 0..seeds {
        if let Device::Sim(sim) = device {
            sim.options = simulate::schedule(seed);
        }
        let outcome = simulate::simulate_guarded(device, row, job);
        if let Ok(done) = &outcome {
            pace.learn(row, &job.case, done.seconds);
        }
        let in_schedule = |reason: String| {
            if seeds > 1 { format!("in schedule {seed}: {reason}") } else { reason }
        };
        match outcome {
            Ok(done) => match done.checked.wrong {
                None => {
                    first.get_or_insert(("right", String::new(), Some(done.checked.check)));
                }
                Some(wrong) => return ("wrong", in_schedule(wrong), Some(done.checked.check)),
            },
            Err(error) => return ("failed", in_schedule(error.to_string()), None),
        }
    }
    first.unwrap_or_else(|| unreachable!("--seeds is at least 1"))
}

/// Odd and round sizes that take seconds to simulate: below, at and above tiles, chunks and vectors.
fn awkward_for_sim() -> Vec<Planned> {
    let mut cases: Vec<Planned> = awkward(1)
        .into_iter()
        .filter(|p| !matches!(p.case.problem, Problem::Update(_)))
        .filter(|p| p.case.cost().flops.0 < 20_000_000)
        .collect();
    cases.extend(attention_for_sim());
    for rule in Rule::ALL {
        for base in [Precision::F32, Precision::BF16] {
            for params in [1, 17, 4099, 12_288] {
                let update = Problem::Update(Update { rule, params });
                cases.push(Planned::bare(Case::new(update, rule.precision(base))));
            }
        }
    }
    for kind in ProbeKind::ALL.into_iter().filter(|kind| *kind != ProbeKind::Fma) {
        for size in [4, 76, 4096, 40_012] {
            let probe = Problem::Peak(Probe { kind, size });
            cases.push(Planned::bare(Case::new(probe, Precision::F32)));
        }
    }
    // Tensor cores keep sums and results in 32 bits.
    let sums = |inputs| Precision { output: DType::F32, ..inputs };
    let halves = [Precision::BF16_F32, sums(Precision::F16), sums(Precision::E4M3)];
    let precisions = [Precision::F32, Precision::TF32, Precision::INT8].into_iter().chain(halves);
    for (precision, size) in precisions.flat_map(|p| [1, 1000].map(|size| (p, size))) {
        let probe = Problem::Peak(Probe { kind: ProbeKind::Fma, size });
        cases.push(Planned::bare(Case::new(probe, precision)));
    }
    merge(cases)
}

/// What tensor cores and split caches add: both head sizes of `flash-mma` in both passes with shared KV heads, results in f32,
/// more queries than a tile, and caches of more than one part.
fn attention_for_sim() -> impl Iterator<Item = Planned> {
    let case = |shape, precision, pass| {
        Planned::bare(Case { pass, ..Case::new(Problem::Attention(shape), precision) })
    };
    let grouped = |seq_q, seq_kv, head_dim, causal| Attention {
        kv_heads: 1,
        seq_q,
        ..Attention::new(2, seq_kv, head_dim, causal)
    };
    let forward = [(129, 129, 64, true), (1, 130, 128, false), (127, 128, 128, true)];
    let forward = forward.map(|(q, kv, d, causal)| (grouped(q, kv, d, causal), Pass::Forward));
    let backward = [(65, 65, 128, true), (31, 97, 64, true), (33, 63, 128, false)];
    let backward = backward.map(|(q, kv, d, causal)| (grouped(q, kv, d, causal), Pass::Backward));
    let whole = forward.into_iter().chain(backward).flat_map(move |(shape, pass)| {
        [Precision::BF16, Precision::BF16_F32].map(|precision| case(shape, precision, pass))
    });
    let long = Attention { batch: 2, kv_heads: 2, seq_q: 1, ..Attention::new(14, 257, 128, true) };
    let caches = [Precision::F32.with_state(DType::Bf16), Precision::BF16];
    whole.chain(caches.map(|precision| case(long, precision, Pass::Decode)))
}

/// Sizes where kernels break: 1, primes, a tile and its neighbours; every op, layout, dtype, pass and head grouping.
fn awkward(threads: usize) -> Vec<Planned> {
    let mut cases = Vec::new();
    let mut add = |problem, precision, pass, threads| {
        cases.push(Planned::bare(Case { pass, threads, ..Case::new(problem, precision) }));
    };
    for precision in [Precision::F32, Precision::BF16, Precision::BF16_F32, Precision::INT8] {
        for transpose in [Transpose::Nn, Transpose::Nt, Transpose::Tn] {
            for (m, n, k) in [
                (1, 1, 1),
                (1, 127, 64),
                (31, 33, 17),
                (64, 64, 64),
                (97, 101, 103),
                (255, 257, 256),
            ] {
                let product = Matmul { transpose, ..Matmul::new(m, n, k) };
                add(Problem::Matmul(product), precision, Pass::Forward, 1);
                add(Problem::Matmul(product), precision, Pass::Forward, threads);
            }
        }
        let batched = Matmul { batch: 3, ..Matmul::new(17, 19, 23) };
        add(Problem::Matmul(batched), precision, Pass::Forward, threads);
        let groups = Some(Groups { experts: 5, skew: 1.0 });
        let grouped = Matmul { groups, transpose: Transpose::Nt, ..Matmul::new(37, 29, 31) };
        add(Problem::Matmul(grouped), precision, Pass::Forward, threads);
    }
    for precision in [Precision::F32, Precision::BF16] {
        for causal in [true, false] {
            for (heads, kv_heads, seq, head_dim) in
                [(1, 1, 1, 1), (2, 2, 67, 64), (4, 2, 129, 80), (8, 1, 64, 128)]
            {
                let square = Attention { kv_heads, ..Attention::new(heads, seq, head_dim, causal) };
                add(Problem::Attention(square), precision, Pass::Forward, threads);
                add(Problem::Attention(square), precision, Pass::Backward, threads);
                let decode = Attention { seq_q: 1, ..square };
                add(Problem::Attention(decode), precision, Pass::Decode, threads);
            }
            // A chunk of a longer prompt: queries that follow keys of their own.
            let chunk = Attention {
                batch: 2,
                kv_heads: 2,
                seq_q: 33,
                seq_kv: 131,
                ..Attention::new(4, 131, 128, causal)
            };
            add(Problem::Attention(chunk), precision, Pass::Forward, threads);
            add(Problem::Attention(chunk), precision, Pass::Backward, threads);
            let latent = Attention { head_dim_v: 128, ..Attention::new(2, 65, 192, causal) };
            add(Problem::Attention(latent), precision, Pass::Forward, threads);
        }
    }
    for rule in Rule::ALL {
        for params in [1, 15, 17, 1009, 4099] {
            let update = Problem::Update(Update { rule, params });
            add(update, rule.precision(Precision::F32), Pass::Forward, threads);
        }
    }
    let mixed = Problem::Update(Update { rule: Rule::Adamw, params: 1009 });
    add(mixed, Rule::Adamw.precision(Precision::BF16), Pass::Forward, threads);
    merge(cases)
}
