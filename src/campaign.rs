//! A run from plan to records: which kernels take a case, what they are measured against, and what is written.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::check;
use crate::device::Capabilities;
use crate::error::Result;
use crate::kernels::cuda::Architecture;
use crate::kernels::peak::tensor_precision;
use crate::kernels::{CudaKernel, Kernel, Registry};
use crate::measure::{Finding, Goal, Job, measure};
use crate::ops::{Cache, Case, DType, Family, Pass, Precision, Probe, ProbeKind, Problem};
use crate::plan::Planned;
use crate::plan::estimate::{Basis, Estimator};
use crate::record::{Counter, Outcome, Record, Sample};
use crate::units::{ByteRate, Bytes, FlopRate, Nanos};
use crate::worker::Processes;

/// Everything about one kernel on one case that goes into the files.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The outcome.
    pub record: Record,
    /// Every sample.
    pub samples: Vec<Sample>,
    /// Named numbers.
    pub counters: Vec<Counter>,
}

/// What the machine was measured to reach in this run.
#[derive(Debug, Clone, Default)]
pub struct Peaks {
    /// Of the GPU that they are of: its tensor cores may go beyond what a probe reaches, which is then no roof.
    gpu: Option<Architecture>,
    flops: HashMap<(DType, usize), FlopRate>,
    bytes: HashMap<(ProbeKind, usize), ByteRate>,
}

impl Peaks {
    /// None yet, of a device with these capabilities.
    pub fn on(capabilities: &Capabilities) -> Peaks {
        Peaks { gpu: capabilities.gpu.map(|gpu| gpu.architecture), ..Peaks::default() }
    }

    /// Takes note of a measured probe; the best kernel of a kind counts.
    pub fn learn(&mut self, record: &Record) {
        if let Some((flops, bytes)) = record.reached() {
            self.note(&record.case, flops, bytes);
        }
    }

    /// Takes note of what a probe was seen to reach; what is no probe is passed over.
    pub fn note(&mut self, case: &Case, flops: FlopRate, bytes: ByteRate) {
        let Problem::Peak(probe) = case.problem else { return };
        let threads = case.threads;
        if probe.kind == ProbeKind::Fma {
            let inputs = case.precision.inputs;
            let is_roof = |on| inputs == DType::F32 || tensor_precision(inputs, on).is_some();
            if !self.gpu.is_none_or(is_roof) {
                return;
            }
            let best = self.flops.entry((inputs, threads)).or_insert(flops);
            best.0 = best.0.max(flops.0);
        } else {
            let best = self.bytes.entry((probe.kind, threads)).or_insert(bytes);
            best.0 = best.0.max(bytes.0);
        }
    }

    /// The arithmetic roof of a case; none for optimizers, whose arithmetic is not what limits them, and for probes.
    pub fn flop_rate(&self, case: &Case) -> Option<FlopRate> {
        match case.problem {
            Problem::Matmul(_) | Problem::Attention(_) => {
                self.flops.get(&(case.precision.inputs, case.threads)).copied()
            }
            Problem::Update(_) | Problem::Peak(_) => None,
        }
    }

    /// The bandwidth roof of a case: the fastest read, copy or triad; none for optimizers, which are measured beside a probe of
    /// their own pattern (see [`Campaign::measure`]), nor where the operands stay in the cache, to which a roof measured beyond
    /// it does not apply.
    ///
    /// On a GPU an update has that of streams, and products and attention have one only where the arithmetic roof of their dtype
    /// is known as well: the nearer of the two cannot be told from one of them. A decode is bound by memory in any case.
    pub fn byte_rate(&self, case: &Case, on: &Capabilities) -> Option<ByteRate> {
        if !beyond_cache(case, on.last_level_cache) {
            return None;
        }
        let rate = |kind| self.bytes.get(&(kind, case.threads)).copied();
        match case.problem {
            Problem::Matmul(_) | Problem::Attention(_)
                if on.gpu.is_some()
                    && case.pass != Pass::Decode
                    && self.flop_rate(case).is_none() =>
            {
                None
            }
            Problem::Update(_) if on.gpu.is_none() => None,
            Problem::Matmul(_) | Problem::Attention(_) | Problem::Update(_) => {
                [ProbeKind::Read, ProbeKind::Copy, ProbeKind::Triad]
                    .into_iter()
                    .filter_map(rate)
                    .max_by(|a, b| a.0.total_cmp(&b.0))
            }
            Problem::Peak(_) => None,
        }
    }
}

/// Whether a case's operands come from main memory.
fn beyond_cache(case: &Case, last_level_cache: Bytes) -> bool {
    case.cache == Cache::Cold || case.buffer_bytes() >= last_level_cache * 2
}

/// The probes that give the roofs of `cases`, each once, ahead of them; updates have theirs beside them.
pub fn probes_for(cases: &[Planned], on: &Capabilities) -> Vec<Planned> {
    let last_level_cache = on.last_level_cache;
    let mut probes = Vec::new();
    for case in cases.iter().map(|p| &p.case) {
        let on_gpu = |dtype| on.gpu.and_then(|gpu| tensor_precision(dtype, gpu.architecture));
        let fma = |dtype| match dtype {
            _ if on.gpu.is_some() => on_gpu(dtype).unwrap_or(Precision::F32),
            DType::Bf16 => Precision::BF16_F32,
            DType::I8 => Precision::INT8,
            _ => Precision::F32,
        };
        let streams = [ProbeKind::Read, ProbeKind::Copy, ProbeKind::Triad];
        let stream = |kind| (Probe::beyond_cache(kind, last_level_cache), Precision::F32);
        let mut wanted = Vec::new();
        match case.problem {
            Problem::Matmul(_) | Problem::Attention(_) => {
                // A GPU's multiprocessors do in some 0.1 ms what a thread of a CPU does in one.
                let workers = on.gpu.map_or(case.threads, |gpu| gpu.multiprocessors as usize / 4);
                // Tensor cores do some ten times as much, and a launch is to be long beside its start and its end.
                let tensor = on_gpu(case.precision.inputs).is_some();
                let work = match on.gpu {
                    Some(gpu) if tensor => 8 * gpu.multiprocessors as usize,
                    _ => workers,
                };
                wanted.push((Probe::arithmetic(work), fma(case.precision.inputs)));
                wanted.extend(streams.map(stream));
            }
            Problem::Update(_) if on.gpu.is_some() => wanted.extend(streams.map(stream)),
            Problem::Update(_) | Problem::Peak(_) => {}
        }
        let threads = case.threads;
        probes.extend(wanted.into_iter().map(|(probe, precision)| {
            Planned::bare(Case { threads, ..Case::new(Problem::Peak(probe), precision) })
        }));
    }
    crate::plan::merge(probes)
}

/// A run under way.
pub struct Campaign<'a> {
    /// The device's name in records.
    pub device: String,
    /// What the device can do.
    pub capabilities: &'a Capabilities,
    /// All kernels that there are.
    pub registry: Registry,
    /// The kernels that take part.
    pub kernels: Vec<&'static dyn Kernel>,
    /// Whether probes are there for the roofs that they give, and not for their own sake.
    pub roofs_only: bool,
    /// Whether updates are measured beside a probe of their own access pattern.
    pub patterns: bool,
    /// The worker processes.
    pub processes: Processes,
    /// When a case is measured well enough.
    pub goal: Goal,
    /// When the whole run should end, where it has such a limit.
    pub deadline: Option<Instant>,
    /// The seed of all operands.
    pub seed: u64,
    /// Asked before every visit to a kernel.
    pub interrupted: &'a dyn Fn() -> bool,
    /// Where the threads are; asked before each case of several threads.
    pub placement: &'a dyn Fn() -> Option<String>,
    /// The measured roofs.
    pub peaks: Peaks,
    /// Predicts launch times, ever better.
    pub estimator: Estimator,
    /// The number of the next record.
    pub next_record: u64,
    /// Folder for expected answers that workers share.
    pub scratch: tempfile::TempDir,
}

impl Campaign<'_> {
    /// Measures every kernel on one case; `remaining` kernels × cases are still to come, this case's included. The entries
    /// are in the registry's order; kernels for which `skip` is true are left out.
    ///
    /// An update beyond the cache takes turns with a probe of its own access pattern, of the same length and in the same
    /// processes, and its roof is the probe's median there. A roof measured minutes before, in other processes, was another
    /// machine's: the host had moved the cores, or a neighbour had come or gone (a share of 0.87 or 1.6 where turns give 1).
    ///
    /// # Errors
    /// When the expected answer cannot be shared with the workers (a full disk).
    pub fn measure(
        &mut self,
        planned: &Planned,
        remaining: usize,
        skip: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<Entry>> {
        let case = planned.case;
        let goal = Goal { budget: self.budget(remaining), ..self.goal };
        let mut outcomes: Vec<(&'static dyn Kernel, Option<Finding>)> = Vec::new();
        let mut jobs = Vec::new();
        for kernel in self.taking_part(planned).filter(|k| !skip(&k.id().0)) {
            let id = kernel.id().0;
            let reason = kernel
                .refuses(self.capabilities, &case)
                .map(|reason| reason.into_owned())
                .or_else(|| self.too_long(&id, &case, &goal));
            match reason {
                Some(reason) => outcomes
                    .push((kernel, Some(Finding::without_timing(Outcome::Refused(reason.into()))))),
                None => {
                    jobs.push(Job { kernel: id, provider: kernel.provider().to_owned(), case });
                    outcomes.push((kernel, None));
                }
            }
        }
        let ours = jobs.len();
        if ours > 0 {
            jobs.extend(self.pattern(&case));
        }
        let placement = match case.threads {
            _ if self.capabilities.gpu.is_some() => None,
            1 => Some("one-core".to_owned()),
            _ => (self.placement)(),
        };
        let mut findings = self.measure_jobs(&case, &jobs, &goal)?;
        let roof = findings.split_off(ours).pop().zip(jobs.last()).and_then(|(finding, probe)| {
            let Some(Outcome::Measured(timing)) = finding.outcome else { return None };
            Some(probe.case.cost().bytes / timing.median)
        });
        let roof = roof.or_else(|| self.peaks.byte_rate(&case, self.capabilities));
        let mut findings = findings.into_iter();
        let mut entries = Vec::new();
        for (kernel, refused) in outcomes {
            let Some(finding) = refused.or_else(|| findings.next()) else { continue };
            if let Some(entry) = self.entry(planned, kernel, finding, placement.clone(), roof) {
                entries.push(entry);
            }
        }
        Ok(entries)
    }

    /// The kernels that do the op of `case`: those that were asked for, and for a probe that is there for the roof that it
    /// gives those that could be the fastest, whatever was asked for.
    pub fn taking_part(
        &self,
        planned: &Planned,
    ) -> impl Iterator<Item = &'static dyn Kernel> + use<> {
        let case = &planned.case;
        let asked = |k: &&'static dyn Kernel| {
            planned.wants(&k.id()) && self.kernels.iter().any(|w| w.id() == k.id())
        };
        let for_roof = self.roofs_only && case.problem.family() == Family::Peak;
        let has_vectors = self.capabilities.isa.avx2;
        let roof = |k: &&'static dyn Kernel| {
            let portable = has_vectors && k.id().0 == "peak/portable";
            !portable && k.refuses(self.capabilities, case).is_none()
        };
        let takes = |k: &&'static dyn Kernel| if for_roof { roof(k) } else { asked(k) };
        let wanted: Vec<&'static dyn Kernel> = self.registry.for_case(case).filter(takes).collect();
        wanted.into_iter()
    }

    /// The probe of an update's access pattern, where its operands come from main memory.
    fn pattern(&self, case: &Case) -> Option<Job> {
        let Problem::Update(update) = case.problem else { return None };
        if !self.patterns || !beyond_cache(case, self.capabilities.last_level_cache) {
            return None;
        }
        let kind = ProbeKind::of_update(&update);
        let probe = Problem::Peak(Probe { kind, size: update.params * size_of::<f32>() });
        let case =
            Case { threads: case.threads, cache: case.cache, ..Case::new(probe, Precision::F32) };
        Some(Job { kernel: "peak/simd".into(), provider: "own".into(), case })
    }

    /// Jobs that fit into memory together are measured together, the others in several groups.
    fn measure_jobs(&mut self, case: &Case, jobs: &[Job], goal: &Goal) -> Result<Vec<Finding>> {
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        // Each kernel holds its buffer sets, each worker the pristine operands beside them.
        let each = self.capabilities.case_bytes(case).0 + case.buffer_bytes().0;
        let together = (self.capabilities.memory.0 / 10 * 7 / each.max(1)).clamp(1, 64) as usize;
        let shared = self.share_expected(case)?;
        self.processes.expect(shared.as_deref());
        let start = Instant::now();
        let now = move || start.elapsed().as_nanos() as u64;
        let mut findings = Vec::new();
        for group in jobs.chunks(together) {
            findings.extend(measure(&mut self.processes, group, goal, &now, self.interrupted));
        }
        self.processes.expect(None);
        if let Some(path) = shared {
            let _ = std::fs::remove_file(path);
        }
        Ok(findings)
    }

    /// Computes the answer once for all workers where that is dear; an update's costs less than sharing it.
    fn share_expected(&self, case: &Case) -> Result<Option<std::path::PathBuf>> {
        if !matches!(case.problem, Problem::Matmul(_) | Problem::Attention(_)) {
            return Ok(None);
        }
        let inputs = case.inputs(self.seed);
        let path = self.scratch.path().join("expected");
        check::save_expected(&path, &case.expected(&inputs, self.capabilities.threads))?;
        Ok(Some(path))
    }

    /// The time for one kernel on one case: the goal's, or three times its fair share of what is left until the deadline, for
    /// most need less than theirs.
    fn budget(&self, remaining: usize) -> Nanos {
        let Some(deadline) = self.deadline else { return self.goal.budget };
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let fair = left.as_nanos() as f64 / remaining.max(1) as f64;
        Nanos(self.goal.budget.0.min(3.0 * fair).max(5e7))
    }

    /// Why even the fewest launches, or making ready for them, would take too long, in numbers.
    fn too_long(&self, kernel: &str, case: &Case, goal: &Goal) -> Option<String> {
        /// Operands are made, copied, checked and restored; memory that is touched for the first time sets the pace.
        const READY_PER_BYTE: Nanos = Nanos(4.0);
        let budget = goal.budget;
        let ready = Nanos(READY_PER_BYTE.0 * self.capabilities.case_bytes(case).0 as f64);
        let all = Nanos(ready.0 * goal.min_processes as f64);
        if all.0 > 10.0 * budget.0 {
            return Some(format!(
                "would take about {ready} to make ready in each of {} processes; the budget is {budget} (--budget raises \
                 it)",
                goal.min_processes
            ));
        }
        // Check, warm-up, and one sample behind an untimed launch, in each process.
        let launches = 4 * goal.min_processes;
        let prediction = self.estimator.predict(kernel, case);
        let (slack, basis) = match prediction.basis {
            Basis::Measured => (1.5, "measured on another size"),
            Basis::Nominal => (4.0, "a guess"),
        };
        let needs = Nanos(prediction.launch.0 * launches as f64);
        (needs.0 > slack * budget.0).then(|| {
            format!(
                "would take about {} a launch ({basis}) and {needs} for the {launches} launches that it needs at least; \
                 the budget is {budget} (--budget raises it)",
                prediction.launch
            )
        })
    }

    fn entry(
        &mut self,
        planned: &Planned,
        kernel: &'static dyn Kernel,
        finding: Finding,
        placement: Option<String>,
        roof: Option<ByteRate>,
    ) -> Option<Entry> {
        let case = planned.case;
        let outcome = finding.outcome?;
        let measured = matches!(outcome, Outcome::Measured(_));
        let record_id = self.next_record;
        self.next_record += 1;
        let build = || format!("{}-{}", env!("CARGO_PKG_VERSION"), env!("SCALEMARK_GIT_COMMIT"));
        let mut record = Record {
            record_id,
            case,
            kernel: kernel.id().0.into(),
            provider: kernel.provider().into(),
            device: self.device.as_str().into(),
            model: planned.models.join(";").into(),
            placement: placement.filter(|_| measured).map(Into::into),
            outcome,
            check: finding.check,
            allocated: finding.allocated,
            peak_resident: finding.peak_resident,
            peak_flops: self.peaks.flop_rate(&case),
            peak_bytes: roof,
            source_hash: kernel.as_cuda().map_or_else(build, CudaKernel::source_hash).into(),
        };
        let share = record.share_of_peak();
        if let (Outcome::Measured(timing), Some(share)) = (&mut record.outcome, share)
            && share > 1.05
        {
            // A finding about the method, not a record to celebrate.
            let note =
                format!("{:.0} % of the measured peak: the method, not the kernel", share * 100.0);
            timing.note = match timing.note.is_empty() {
                true => note.into(),
                false => format!("{}; {note}", timing.note).into(),
            };
        }
        self.peaks.learn(&record);
        self.estimator.learn(&record);
        let samples = finding.samples.iter().enumerate().flat_map(|(process, samples)| {
            samples.iter().enumerate().map(move |(index, s)| Sample {
                record_id,
                process,
                index,
                wall_ns: s.wall_ns,
                cpu_ns: s.cpu_ns,
                run_queue_ns: s.run_queue_ns,
                core_share: s.core_share,
                sm_mhz: s.gpu.and_then(|gpu| gpu.sm_mhz),
                power_mw: s.gpu.and_then(|gpu| gpu.power_mw),
                temperature_c: s.gpu.and_then(|gpu| gpu.temperature_c),
                throttle: s.gpu.and_then(|gpu| gpu.throttle),
                iterations: s.iterations,
            })
        });
        let counters = finding.counters.iter().map(|(name, &value)| Counter {
            record_id,
            name: name.as_str().into(),
            value,
        });
        Some(Entry { samples: samples.collect(), counters: counters.collect(), record })
    }
}
