//! `scalemark run --device sim`: records of what kernels execute, exact and without times.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use super::interrupt;
use super::progress::Progress;
use super::simulate::{self, Pace};
use crate::device::{Device, SimDevice};
use crate::kernels::cuda::Architecture;
use crate::kernels::{CudaKernel, Kernel, Registry};
use crate::plan::Planned;
use crate::plan::select::Selection;
use crate::plan::suite::Suite;
use crate::record::{Counter, Outcome, Record};
use crate::store::RunWriter;
use crate::units::Bytes;

/// What is to be simulated.
pub struct Plan {
    device: Device,
    cases: Vec<Planned>,
    kernels: Vec<&'static dyn Kernel>,
    seed: u64,
}

impl Plan {
    /// The cases of a selection, suite `sim` where it names no source.
    ///
    /// # Errors
    /// On usage errors, and where there is no NVRTC.
    pub fn new(
        selection: &Selection,
        seed: u64,
        architecture: Architecture,
        nvrtc: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let mut selection = selection.clone();
        if !selection.names_a_source() {
            selection.suite = Some(Suite::Sim);
        }
        let kernels = selection.kernels(&Registry::cuda())?;
        let device = simulate::device(architecture, nvrtc)?;
        Ok(Plan { device, cases: selection.cases(1)?, kernels, seed })
    }

    /// NVRTC, for the machine's list of libraries.
    pub fn compiler(&self) -> String {
        let (major, minor) = self.sim().compiler.version;
        format!("{major}.{minor} for {}", self.sim().architecture)
    }

    fn sim(&self) -> &SimDevice {
        match &self.device {
            Device::Sim(sim) => sim,
            Device::Cpu(_) | Device::Gpu(_) => unreachable!("made by `simulate::device`"),
        }
    }

    fn takers(&self, planned: &Planned) -> impl Iterator<Item = &'static CudaKernel> {
        let wanted = |k: &&'static dyn Kernel| self.kernels.iter().any(|w| w.id() == k.id());
        Registry::cuda().for_case(&planned.case).filter(wanted).filter_map(|k| k.as_cuda())
    }

    /// What would be simulated, for `--dry-run`.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let (mut seconds, pace) = (0.0, Pace::default());
        for planned in &self.cases {
            let takes = |k: &&CudaKernel| pace.refuses(self.sim(), k, &planned.case).is_none();
            let takers: Vec<&CudaKernel> = self.takers(planned).filter(takes).collect();
            seconds += takers.iter().map(|k| pace.estimate(k, &planned.case)).sum::<f64>();
            let names: Vec<&str> = takers.iter().map(|k| k.id).collect();
            text += &format!("{}  {}\n", planned.case, names.join(" "));
        }
        let (cases, architecture) = (self.cases.len(), self.sim().architecture);
        text + &format!("\n{cases} cases simulated for {architecture}; about {seconds:.0} s\n")
    }
}

/// Simulates what is not in `before`, writes the run folder, and prints the table.
///
/// # Errors
/// When the folder cannot be written; an error says where that is which was simulated until then.
pub fn go(plan: &Plan, mut writer: RunWriter, before: &[Record]) -> anyhow::Result<ExitCode> {
    interrupt::catch();
    let start = Instant::now();
    let mut records = before.to_vec();
    let mut progress = Progress::new(plan.cases.len());
    let mut pace = Pace::default();
    'cases: for planned in &plan.cases {
        let key = planned.case.key();
        progress.now(&key);
        let mut job = None;
        for kernel in plan.takers(planned) {
            if interrupt::is_asked() {
                break 'cases;
            }
            if writer.has(&key, kernel.id, plan.device.name()) {
                continue;
            }
            let record_id = writer.next_id();
            let (record, counters) = one(plan, planned, kernel, record_id, &mut job, &mut pace);
            let writing = interrupt::hold();
            writer.append(&record, &[], &counters)?;
            records.push(record);
            drop(writing);
        }
        let of_case: Vec<&Record> = records.iter().filter(|r| r.case.key() == key).collect();
        let words = of_case.iter().map(|r| format!("{} {}", r.kernel, r.outcome.status()));
        progress.step(&format!("{key}: {}", words.collect::<Vec<_>>().join(", ")));
    }
    let interrupted = interrupt::is_asked();
    let _writing = interrupt::hold();
    progress.finish();
    super::run::conclude(writer, &records, start, interrupted)
}

fn one(
    plan: &Plan,
    planned: &Planned,
    kernel: &'static CudaKernel,
    record_id: u64,
    job: &mut Option<simulate::Job>,
    pace: &mut Pace,
) -> (Record, Vec<Counter>) {
    let case = planned.case;
    let mut record = Record {
        record_id,
        case,
        kernel: kernel.id.into(),
        provider: kernel.provider().into(),
        device: plan.device.name().into(),
        model: planned.models.join(";").into(),
        placement: None,
        outcome: Outcome::Simulated,
        check: None,
        allocated: None,
        peak_resident: None,
        peak_flops: None,
        peak_bytes: None,
        source_hash: kernel.source_hash().into(),
    };
    if let Some(reason) = pace.refuses(plan.sim(), kernel, &case) {
        record.outcome = Outcome::Refused(reason.into());
        return (record, Vec::new());
    }
    let job = job.get_or_insert_with(|| simulate::Job::new(case, plan.seed));
    match simulate::simulate_guarded(&plan.device, kernel, job) {
        Ok(done) => {
            pace.learn(kernel, &case, done.seconds);
            record.check = Some(done.checked.check);
            record.allocated = Some::<Bytes>(done.allocated);
            if let Some(wrong) = done.checked.wrong {
                record.outcome = Outcome::Wrong(wrong.into());
            }
            let counter =
                |(name, value): (String, f64)| Counter { record_id, name: name.into(), value };
            (record, done.counters.into_iter().map(counter).collect())
        }
        Err(error) => {
            record.outcome = Outcome::Failed(error.to_string().into());
            (record, Vec::new())
        }
    }
}
