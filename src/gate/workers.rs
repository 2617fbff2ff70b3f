//! Builds of scalemark, driven through the worker protocol.
//!
//! A process is a fresh worker, from a fresh copy of its build, that measures the kernels in a shuffled order, in an environment of another
//! size each time, which moves its stack. (Operands begin at page boundaries in every build, so there is no offset to shuffle.) All builds launch a kernel
//! equally often in a sample.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::rounds::{Arm, Broken, Builds, Ran, Sample, gpu_levels, level};
use crate::error::{Error, Result};
use crate::ops::Case;
use crate::stats::random::Random;
use crate::units::Nanos;
use crate::worker::protocol::{Reply, Request, Timed};
use crate::worker::{Client, Spawn};

/// Variable whose length differs from process to process.
const PADDING: &str = "SCALEMARK_PADDING";
/// Longest wait for a preparation.
const PREPARE_LIMIT: Duration = Duration::from_secs(180);

/// An environment variable of a random length, below a page.
pub fn padding(random: &mut Random) -> (String, String) {
    (PADDING.to_owned(), "x".repeat(random.below(4096)))
}

/// A copy of a build that no process has run yet, in `folder` and always at the same path.
///
/// A program's code lies where its file lies in memory, for all processes of that file alike: one copy of a build ran a decode of
/// attention 2 % faster than another in every process, gate after gate. What each process has of its own is noise, and no bias.
///
/// # Errors
/// When the file cannot be copied.
pub fn fresh(program: &Path, folder: &Path) -> Result<PathBuf> {
    let copy = folder.join("build");
    match std::fs::remove_file(&copy) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(Error::io("remove", &copy)(error));
        }
        _ => {}
    }
    std::fs::copy(program, &copy).map_err(Error::io("copy", program))?;
    Ok(copy)
}

/// A kernel on a case, as both sides are asked for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// `family/name`.
    pub kernel: String,
    /// What to compute.
    pub case: Case,
}

/// How a process measures a kernel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effort {
    /// Aimed length of a sample.
    pub slice: Nanos,
    /// Samples of a kernel in a process.
    pub samples: usize,
    /// Times that a process comes back to a kernel.
    pub sweeps: usize,
}

impl Default for Effort {
    /// 24 samples of 2 ms in three sweeps: about 50 ms of a kernel in a process.
    fn default() -> Self {
        Effort { slice: Nanos(2e6), samples: 24, sweeps: 3 }
    }
}

/// Workers of three builds.
pub struct Workers {
    /// How to start a process of each arm, in the order of [`Arm::ALL`]; the twin's program is the base's.
    pub spawns: [Spawn; 3],
    /// A folder that every process gets a copy of its program in.
    pub folder: PathBuf,
    /// What is measured; the judge's subjects are these.
    pub jobs: Vec<Job>,
    /// How much of it a process does.
    pub effort: Effort,
    /// Seed of operands.
    pub seed: u64,
    /// Launches in a sample are a multiple of this.
    pub granule: u64,
    /// Whether they run on a GPU, where each job is two subjects: subject `i` is job `i` in time, and subject `i + jobs.len()` the
    /// same in cycles of the multiprocessors.
    pub on_gpu: bool,
    /// Launches in a sample, by job, once known.
    pub iterations: Vec<Option<u64>>,
    /// Bytes that each arm said it allocates, by job.
    pub allocated: Vec<[Option<u64>; 3]>,
}

impl Workers {
    /// Nothing known yet of `jobs`.
    pub fn new(spawns: [Spawn; 3], folder: PathBuf, jobs: Vec<Job>, seed: u64) -> Self {
        let (iterations, allocated) = (vec![None; jobs.len()], vec![[None; 3]; jobs.len()]);
        let (effort, granule) = (Effort::default(), 1);
        Workers {
            spawns,
            folder,
            jobs,
            effort,
            seed,
            granule,
            on_gpu: false,
            iterations,
            allocated,
        }
    }

    /// The subjects that a job is.
    fn subjects_of(&self, job: usize) -> impl Iterator<Item = usize> + use<> {
        [Some(job), self.on_gpu.then_some(job + self.jobs.len())].into_iter().flatten()
    }

    /// Whether a worker has made ready for a job, or why not.
    fn prepare(&mut self, client: &mut Client, arm: Arm, job: usize) -> Result<(), String> {
        let Job { kernel, case } = &self.jobs[job];
        let request = Request::Prepare {
            handle: job as u64 + 1,
            kernel: kernel.clone(),
            case: Box::new(*case),
            seed: self.seed,
            // Each build answers for itself: a file of answers is of one build's format.
            expected: None,
            exchange: None,
        };
        match client.ask(&request, PREPARE_LIMIT) {
            Ok(Reply::Prepared { launch_ns, allocated, .. }) => {
                let wanted = (self.effort.slice.0 / launch_ns).ceil().clamp(1.0, 1e9) as u64;
                self.iterations[job].get_or_insert(wanted.next_multiple_of(self.granule));
                self.allocated[job][arm as usize] = Some(allocated);
                Ok(())
            }
            Ok(Reply::Wrong { reason, .. }) => Err(format!("wrong: {reason}")),
            Ok(Reply::Refused { reason }) => Err(format!("refused: {reason}")),
            Ok(Reply::Failed { reason }) => Err(format!("failed: {reason}")),
            Ok(other) => Err(format!("answered out of turn: {other:?}")),
            Err(error) => Err(format!("failed: {error}")),
        }
    }

    fn sample(&self, client: &mut Client, job: usize, count: usize) -> Result<Vec<Timed>, String> {
        let iterations = self.iterations[job].unwrap_or(1);
        let request = Request::Sample { handle: job as u64 + 1, iterations, count };
        match client.ask(&request, Duration::from_secs(60)) {
            Ok(Reply::Samples(visit)) => Ok(visit.samples),
            Ok(Reply::Failed { reason }) => Err(format!("failed: {reason}")),
            Ok(other) => Err(format!("answered a request for samples with {other:?}")),
            Err(error) => Err(format!("failed: {error}")),
        }
    }
}

impl Builds for Workers {
    fn process(&mut self, arm: Arm, subjects: &[usize], random: &mut Random) -> Result<Ran> {
        let mut jobs: Vec<usize> = Vec::new();
        for subject in subjects {
            let job = subject % self.jobs.len();
            if !jobs.contains(&job) {
                jobs.push(job);
            }
        }
        let spawn = &self.spawns[arm as usize];
        let mut spawn = Spawn { program: fresh(&spawn.program, &self.folder)?, ..spawn.clone() };
        spawn.env.push(padding(random));
        let mut client = Client::start(&spawn)?;
        let mut ran = Ran::default();
        let both: Vec<Vec<usize>> =
            (0..self.jobs.len()).map(|job| self.subjects_of(job).collect()).collect();
        let breaks = |ran: &mut Ran, job: usize, reason: String| {
            let broken = |&subject: &usize| Broken { subject, arm, reason: reason.clone() };
            ran.broken.extend(both[job].iter().map(broken));
        };
        let mut taken: Vec<(usize, Vec<Timed>)> = Vec::new();
        for job in jobs {
            match self.prepare(&mut client, arm, job) {
                Ok(()) => taken.push((job, Vec::new())),
                Err(reason) => breaks(&mut ran, job, reason),
            }
        }
        let turn = self.effort.samples.div_ceil(self.effort.sweeps);
        for sweep in 0..self.effort.sweeps {
            for i in 0..taken.len() {
                // There and back, so that no kernel always follows the same one.
                let at = if sweep % 2 == 0 { i } else { taken.len() - 1 - i };
                let job = taken[at].0;
                if ran.broken.iter().any(|broken| broken.subject == job) {
                    continue;
                }
                match self.sample(&mut client, job, turn) {
                    Ok(samples) => taken[at].1.extend(samples),
                    Err(reason) => breaks(&mut ran, job, reason),
                }
            }
        }
        // The end of a process frees what it holds.
        taken.retain(|(job, _)| !ran.broken.iter().any(|broken| broken.subject == *job));
        for (job, samples) in taken {
            let Job { kernel, case } = &self.jobs[job];
            let levels = match self.on_gpu {
                true => gpu_levels(&samples),
                false => [level(&samples, case.threads), None],
            };
            let levels = both[job].iter().zip(levels).filter(|(s, _)| subjects.contains(s));
            ran.levels.extend(levels.filter_map(|(&subject, level)| Some((subject, level?))));
            let (kernel, case_key) = (kernel, case.key());
            ran.samples.extend(samples.into_iter().enumerate().map(|(index, timed)| Sample {
                kernel: kernel.clone(),
                case_key: case_key.clone(),
                index,
                timed,
                peak_resident: None,
            }));
        }
        Ok(ran)
    }
}

/// A worker of `program` with an environment of its own.
pub fn spawn(program: PathBuf, provider: &str, environment: Vec<(String, String)>) -> Spawn {
    Spawn::scalemark(program, provider, environment)
}

/// The kernels that a build has.
///
/// # Errors
/// When it cannot be started, or speaks another protocol.
pub fn introduce(spawn: &Spawn) -> Result<(String, Vec<String>)> {
    let client = Client::start(spawn)?;
    let hello = client.hello();
    if hello.program != env!("CARGO_PKG_NAME") {
        let program = spawn.program.display();
        return Err(Error::Usage(format!("{program} is {}, not scalemark", hello.program)));
    }
    Ok((hello.version.clone(), hello.kernels.clone()))
}
