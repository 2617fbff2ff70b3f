//! The worker processes of a run: one a provider and replica, started when first needed, parked while others measure.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::client::{Client, Spawn};
use super::protocol::{Reply, Request, Visit};
use crate::error::{Error, Result};
use crate::measure::{Crew, Job};
use crate::units::Bytes;

/// Longest wait for a preparation: compiling, allocating and checking take seconds, not minutes.
const PREPARE_LIMIT: Duration = Duration::from_secs(180);

/// Worker processes by provider and replica.
pub struct Processes {
    spawns: HashMap<String, Spawn>,
    live: HashMap<(String, usize), Client>,
    handles: HashMap<(usize, String), Handle>,
    next_handle: u64,
    seed: u64,
    expected: Option<PathBuf>,
    given_up: Option<fn() -> bool>,
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
        }
    }

    /// Waits for workers end in an error when `given_up` becomes true.
    pub fn given_up_when(mut self, given_up: fn() -> bool) -> Self {
        self.given_up = Some(given_up);
        self
    }

    fn start(&self, provider: &str) -> Result<Client> {
        let spawn = self.spawns.get(provider).ok_or_else(|| {
            Error::Worker(format!("nobody knows how to start a worker for `{provider}`"))
        })?;
        let client = Client::start(spawn)?;
        Ok(match self.given_up {
            Some(given_up) => client.given_up_when(given_up),
            None => client,
        })
    }

    /// The file with the expected answer of the case that comes next; `None`: workers compute it.
    pub fn expect(&mut self, path: Option<&Path>) {
        self.expected = path.map(Path::to_owned);
    }

    /// Starts the first worker of each of `providers`, and returns what each said of the libraries that it drives. One
    /// that cannot be started is left out: its kernels will say why.
    pub fn introduce(
        &mut self,
        providers: Vec<String>,
    ) -> BTreeMap<String, BTreeMap<String, String>> {
        let mut libraries = BTreeMap::new();
        for provider in providers {
            let Ok(mut client) = self.start(&provider) else { continue };
            client.park();
            libraries.insert(provider.clone(), client.hello().libraries.clone());
            self.live.insert((provider, 0), client);
        }
        libraries.retain(|_, facts| !facts.is_empty());
        libraries
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
        let place = (provider.to_owned(), process);
        let holds = |(number, _): &(usize, String), handle: &Handle| {
            *number == process && handle.provider == provider
        };
        // One that died while it held nothing (the system took its memory back) has harmed no kernel.
        let idle = !self.handles.iter().any(|(key, handle)| holds(key, handle));
        if idle && self.live.get_mut(&place).is_some_and(|client| !client.is_alive()) {
            self.live.remove(&place);
        }
        if !self.live.contains_key(&place) {
            let client = self.start(provider)?;
            self.live.insert(place.clone(), client);
        }
        let client = self.live.get_mut(&place).expect("started just above");
        let reply = client.ask(request, limit);
        match &reply {
            Ok(_) => client.park(),
            Err(_) => {
                self.live.remove(&place);
                self.handles.retain(|key, handle| !holds(key, handle));
            }
        }
        reply
    }
}

impl Crew for Processes {
    fn prepare(&mut self, process: usize, job: &Job) -> Result<Reply> {
        let handle = self.next_handle;
        self.next_handle += 1;
        let request = Request::Prepare {
            handle,
            kernel: job.kernel.clone(),
            case: Box::new(job.case),
            seed: self.seed,
            expected: self.expected.as_ref().map(|path| path.to_string_lossy().into_owned()),
        };
        let reply = self.ask(process, &job.provider, &request, PREPARE_LIMIT)?;
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
        let limit = Duration::from_secs_f64(30.0 + 20.0 * expected_s);
        let request = Request::Sample { handle: handle.number, iterations, count };
        match self.ask(process, &job.provider, &request, limit)? {
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
        match self.ask(process, &job.provider, &request, Duration::from_secs(60))? {
            Reply::Released { peak_resident } => Ok(peak_resident.map(Bytes)),
            other => Err(Error::Worker(format!("the worker answered a release with {other:?}"))),
        }
    }
}
