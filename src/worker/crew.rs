//! The worker processes of a run: one a provider and replica, started when first needed, parked while others measure.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::client::{Client, Spawn};
use super::exchange::Handover;
use super::protocol::{Reply, Request, Visit};
use super::trace::Trace;
use crate::device::Capabilities;
use crate::error::{Error, Result};
use crate::measure::{Crew, Job};
use crate::ops::Case;
use crate::units::Bytes;

/// Longest wait for a preparation: compiling, allocating and checking take seconds, not minutes.
const PREPARE_LIMIT: Duration = Duration::from_secs(180);

/// The same on a GPU whatever the case: a context that comes up, a library of half a gigabyte that is read from a cold disk.
const GPU_PREPARE_FLOOR: Duration = Duration::from_secs(60);
/// What the host needs at least for a byte of operands: it makes them, uploads them and checks the answer.
const HOST_NS_A_BYTE: f64 = 4.0;
/// How much slower than the GPU's limits a kernel may be that is not hung: one thread an entry, uncoalesced.
const SLOWEST: f64 = 1000.0;
/// Launches of a preparation: the checked one, and those that tell a rough time.
const LAUNCHES: f64 = 5.0;
/// How much longer than it should take a preparation may take: a machine may be busy.
const SLACK: f64 = 5.0;

/// Longest wait for a kernel to be freed.
const RELEASE_LIMIT: Duration = Duration::from_secs(60);

/// Worker processes by provider and replica.
pub struct Processes {
    spawns: HashMap<String, Spawn>,
    live: HashMap<(String, usize), Client>,
    handles: HashMap<(usize, String), Handle>,
    next_handle: u64,
    seed: u64,
    expected: Option<PathBuf>,
    given_up: Option<fn() -> bool>,
    external: HashSet<String>,
    handover: Option<Handover>,
    patience: Option<Duration>,
    /// Own workers that [`Processes::patience`] is for too.
    impatient: HashSet<String>,
    /// What the GPU can do that the workers are on, where they are on one.
    gpu: Option<Capabilities>,
    /// What is told of every request, and the device that it is told of.
    trace: Option<(Arc<Mutex<Trace>>, String)>,
}

struct Handle {
    number: u64,
    provider: String,
    launch_ns: f64,
}

impl Processes {
    /// No process yet; `spawns` says how to start those of each provider.
    pub fn new(spawns: HashMap<String, Spawn>, seed: u64) -> Self {
        Processes {
            spawns,
            live: HashMap::new(),
            handles: HashMap::new(),
            next_handle: 1,
            seed,
            expected: None,
            given_up: None,
            external: HashSet::new(),
            handover: None,
            patience: None,
            impatient: HashSet::new(),
            gpu: None,
            trace: None,
        }
    }

    /// Tells every request to `trace` from now on, as one of `device`.
    pub fn tell(&mut self, trace: Arc<Mutex<Trace>>, device: &str) {
        self.trace = Some((trace, device.to_owned()));
    }

    /// Adds external programs by provider: they get operands in files, and their results are checked here.
    ///
    /// # Errors
    /// When there is no place for such files.
    pub fn with_external(
        mut self,
        spawns: impl IntoIterator<Item = (String, Spawn)>,
        capabilities: &Capabilities,
    ) -> Result<Self> {
        for (provider, spawn) in spawns {
            self.external.insert(provider.clone());
            self.spawns.insert(provider, spawn);
        }
        if !self.external.is_empty() {
            self.handover = Some(Handover::new(capabilities.clone(), self.seed)?);
        }
        Ok(self)
    }

    /// Waits for workers end in an error when `given_up` becomes true.
    pub fn given_up_when(mut self, given_up: fn() -> bool) -> Self {
        self.given_up = Some(given_up);
        self
    }

    fn launch(&self, provider: &str) -> Result<Client> {
        let spawn = self.spawns.get(provider).ok_or_else(|| {
            Error::Worker(format!("nobody knows how to start a worker for `{provider}`"))
        })?;
        let client = Client::start(spawn)?;
        Ok(match self.given_up {
            Some(given_up) => client.given_up_when(given_up),
            None => client,
        })
    }

    /// How long an external program may take to answer before it counts as hung, in place of this build's own limits.
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// How long the workers of these providers of this build's may take, likewise.
    pub fn with_patience_for(
        mut self,
        providers: impl IntoIterator<Item = String>,
        patience: Duration,
    ) -> Self {
        self.impatient.extend(providers);
        self.with_patience(patience)
    }

    /// The workers are on a GPU with these capabilities: what a case takes there at most is known, and a hang is noticed sooner.
    pub fn on_gpu(mut self, capabilities: Capabilities) -> Self {
        self.gpu = Some(capabilities);
        self
    }

    /// The usual limit of a preparation.
    fn prepare_limit(&self, case: &Case) -> Duration {
        self.gpu.as_ref().and_then(|on| gpu_prepare_limit(on, case)).unwrap_or(PREPARE_LIMIT)
    }

    /// The limit of a wait for this provider.
    fn limit(&self, provider: &str, usual: Duration) -> Duration {
        let theirs = self.external.contains(provider) || self.impatient.contains(provider);
        self.patience.filter(|_| theirs).unwrap_or(usual)
    }

    /// The file with the expected answer of the case that comes next; `None`: workers compute it, and what was laid out for
    /// an earlier case is given back.
    pub fn expect(&mut self, path: Option<&Path>) {
        self.expected = path.map(Path::to_owned);
        if path.is_none()
            && let Some(handover) = &mut self.handover
        {
            handover.clear();
        }
    }

    /// Starts the first worker of each of `providers`, and returns what each said of the libraries that it drives. One
    /// that cannot be started is left out: its kernels will say why.
    pub fn introduce(
        &mut self,
        providers: Vec<String>,
    ) -> BTreeMap<String, BTreeMap<String, String>> {
        let mut libraries = BTreeMap::new();
        for provider in providers {
            let Ok(mut client) = self.launch(&provider) else { continue };
            client.park();
            libraries.insert(provider.clone(), client.hello().libraries.clone());
            self.live.insert((provider, 0), client);
        }
        libraries.retain(|_, facts| !facts.is_empty());
        libraries
    }

    /// Starts the worker at this place, if there is none alive.
    fn ensure(&mut self, process: usize, provider: &str) -> Result<&mut Client> {
        let place = (provider.to_owned(), process);
        // One that died while it held nothing (the system took its memory back) has harmed no kernel.
        let holds = |(key, handle): (&(usize, String), &Handle)| {
            key.0 == process && handle.provider == provider
        };
        let idle = !self.handles.iter().any(holds);
        if idle && self.live.get_mut(&place).is_some_and(|client| !client.is_alive()) {
            self.live.remove(&place);
        }
        if !self.live.contains_key(&place) {
            let client = self.launch(provider)?;
            self.live.insert(place.clone(), client);
        }
        Ok(self.live.get_mut(&place).expect("started just above"))
    }

    /// Asks one worker, starting it if need be, and parks it afterwards. A worker that fails is forgotten, so that the
    /// next request starts a new one.
    fn ask(
        &mut self,
        process: usize,
        provider: &str,
        request: &Request,
        limit: Duration,
    ) -> Result<Reply> {
        let asked = Instant::now();
        let client = self.ensure(process, provider)?;
        let reply = client.ask(request, limit);
        if let Some((trace, device)) = &self.trace {
            let worker = format!("{provider} {process}");
            let mut trace = trace.lock().unwrap_or_else(|broken| broken.into_inner());
            trace.note(device, &worker, request, asked, &reply);
        }
        let client = self.live.get_mut(&(provider.to_owned(), process));
        match &reply {
            Ok(_) => client.into_iter().for_each(Client::park),
            Err(_) => self.forget(process, provider),
        }
        reply
    }

    /// Ends a process that cannot be trusted any more; what it held is gone.
    fn forget(&mut self, process: usize, provider: &str) {
        self.live.remove(&(provider.to_owned(), process));
        self.handles
            .retain(|(number, _), handle| *number != process || handle.provider != provider);
    }

    /// Hands the operands of a job to an external program, and checks what its first launch leaves.
    fn prepare_external(
        &mut self,
        process: usize,
        job: &Job,
        number: u64,
        request: &mut Request,
    ) -> Result<Reply> {
        let handover = self.handover.as_mut().expect("made with the external programs");
        // Nothing of the program's is lost when there is no room for its operands.
        let laid = match handover.lay(&job.case, self.expected.as_deref()) {
            Ok(laid) => laid,
            Err(error) => return Ok(Reply::Failed { reason: error.to_string() }),
        };
        if let Request::Prepare { exchange, expected, .. } = request {
            (*exchange, *expected) = (Some(Box::new(laid.clone())), None);
        }
        // One that compiles takes its time, on a GPU as well.
        let limit = self.limit(&job.provider, PREPARE_LIMIT);
        let reply = self.ask(process, &job.provider, request, limit)?;
        match reply {
            Reply::Refused { .. } | Reply::Failed { .. } => Ok(reply),
            Reply::Ready { .. } => {
                let handover = self.handover.as_ref().expect("as above");
                let verdict = handover.judge(&laid, reply);
                if !matches!(verdict, Reply::Prepared { .. }) {
                    let release = Request::Release { handle: number };
                    self.ask(process, &job.provider, &release, RELEASE_LIMIT)?;
                }
                Ok(verdict)
            }
            other => {
                self.forget(process, &job.provider);
                Err(Error::Worker(format!("the worker answered out of turn: {other:?}")))
            }
        }
    }
}

/// How long making a case ready may take on a GPU: its estimate with slack, and never less than a floor.
fn gpu_prepare_limit(on: &Capabilities, case: &Case) -> Option<Duration> {
    let gpu = on.gpu?;
    let cost = case.cost();
    let launch = (cost.flops / gpu.flop_rate).0.max((cost.bytes / gpu.byte_rate).0) * SLOWEST;
    let host = HOST_NS_A_BYTE * case.buffer_bytes().0 as f64;
    let needs = Duration::from_nanos((SLACK * (host + LAUNCHES * launch)) as u64);
    Some(GPU_PREPARE_FLOOR + needs)
}

/// What cannot be true of the samples of an external program that were asked for and waited for.
fn incredible(visit: &Visit, iterations: u64, count: usize, waited: Duration) -> Option<String> {
    if visit.samples.len() != count {
        return Some(format!("the worker took {} samples, not {count}", visit.samples.len()));
    }
    if visit.samples.iter().any(|s| s.iterations != iterations || s.wall_ns == 0) {
        return Some(format!(
            "a sample of the worker is not of {iterations} launches, or took 0 ns"
        ));
    }
    let mut shares = visit.samples.iter().filter_map(|s| s.core_share);
    if let Some(share) = shares.find(|share| !(*share > 0.0 && *share <= 1.0)) {
        return Some(format!("the worker had a share of {share} of a core, which is none"));
    }
    let claimed: u128 = visit.samples.iter().map(|s| u128::from(s.wall_ns)).sum();
    (claimed > waited.as_nanos()).then(|| {
        format!(
            "the worker's samples add up to {claimed} ns, but it answered within {} ns",
            waited.as_nanos()
        )
    })
}

impl Crew for Processes {
    /// What goes wrong here goes wrong in the preparation too, which says so.
    fn start(&mut self, process: usize, job: &Job) {
        if let Ok(client) = self.ensure(process, &job.provider) {
            client.park();
        }
        if let Some(handover) = &mut self.handover
            && self.external.contains(&job.provider)
        {
            let _ = handover.lay_operands(&job.case, self.expected.as_deref());
        }
    }

    fn prepare(&mut self, process: usize, job: &Job) -> Result<Reply> {
        let handle = self.next_handle;
        self.next_handle += 1;
        let mut request = Request::Prepare {
            handle,
            kernel: job.kernel.clone(),
            case: Box::new(job.case),
            seed: self.seed,
            expected: self.expected.as_ref().map(|path| path.to_string_lossy().into_owned()),
            exchange: None,
        };
        let reply = if self.external.contains(&job.provider) {
            self.prepare_external(process, job, handle, &mut request)?
        } else {
            let limit = self.limit(&job.provider, self.prepare_limit(&job.case));
            self.ask(process, &job.provider, &request, limit)?
        };
        if let Reply::Prepared { launch_ns, .. } = reply {
            self.handles.insert(
                (process, job.kernel.clone()),
                Handle { number: handle, provider: job.provider.clone(), launch_ns },
            );
        }
        Ok(reply)
    }

    fn sample(
        &mut self,
        process: usize,
        job: &Job,
        iterations: u64,
        count: usize,
    ) -> Result<Visit> {
        let handle = self.handles.get(&(process, job.kernel.clone())).ok_or_else(|| {
            Error::Worker(format!("{} was not prepared in process {process}", job.kernel))
        })?;
        let expected_s = handle.launch_ns * iterations as f64 * count as f64 / 1e9;
        // Twenty times what it should take, and never less than half a minute: a machine may stall, a hang is for ever.
        let usual = Duration::from_secs_f64(30.0 + 20.0 * expected_s);
        let limit = self.limit(&job.provider, usual);
        let request = Request::Sample { handle: handle.number, iterations, count };
        let start = Instant::now();
        match self.ask(process, &job.provider, &request, limit)? {
            Reply::Samples(visit) if self.external.contains(&job.provider) => {
                match incredible(&visit, iterations, count, start.elapsed()) {
                    None => Ok(visit),
                    Some(reason) => {
                        self.forget(process, &job.provider);
                        Err(Error::Worker(reason))
                    }
                }
            }
            Reply::Samples(visit) => Ok(visit),
            Reply::Failed { reason } => Err(Error::Worker(reason)),
            other => Err(Error::Worker(format!(
                "the worker answered a request for samples with {other:?}"
            ))),
        }
    }

    fn release(&mut self, process: usize, job: &Job) -> Result<Option<Bytes>> {
        let Some(handle) = self.handles.remove(&(process, job.kernel.clone())) else {
            return Ok(None);
        };
        let request = Request::Release { handle: handle.number };
        match self.ask(process, &job.provider, &request, RELEASE_LIMIT)? {
            Reply::Released { peak_resident } => Ok(peak_resident.map(Bytes)),
            other => Err(Error::Worker(format!("the worker answered a release with {other:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::GpuFacts;
    use crate::device::cuda::{attributes::tests::sample, capabilities_of};
    use crate::ops::{Matmul, Precision, Problem};

    #[test]
    fn on_a_gpu_a_hang_is_noticed_after_a_floor_and_what_the_case_takes_at_worst() {
        let on = capabilities_of(&sample());
        let limit = |size| {
            let case = Case::new(Problem::Matmul(Matmul::new(size, size, size)), Precision::F32);
            gpu_prepare_limit(&on, &case).unwrap()
        };
        let small = limit(64);
        assert!(small >= GPU_PREPARE_FLOOR && small < GPU_PREPARE_FLOOR * 2, "{small:?}");
        // A naive kernel that takes a thousand times what the GPU allows (66 TFLOP/s) is waited for.
        let GpuFacts { flop_rate, .. } = on.gpu.unwrap();
        let naive = 5.0 * 1000.0 * 2.0 * 8192f64.powi(3) / flop_rate.0;
        assert!(limit(8192).as_secs_f64() > naive, "{:?} against {naive} s", limit(8192));
        let cpu = Capabilities { gpu: None, ..on.clone() };
        let case = Case::new(Problem::Matmul(Matmul::new(8, 8, 8)), Precision::F32);
        assert_eq!(gpu_prepare_limit(&cpu, &case), None);
    }
}
