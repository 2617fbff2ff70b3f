//! What waits in the stream of a fake GPU, and how it executes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ptxsim::{Argument, Checks, Counters, Kind, Launch, Memory, Module, Options, Pointer};

use super::blas::{self, Multiplication};
use super::clock::{self, Telemetry};
use super::conditions::{Conditions, Skew};
use super::profiler::{Ran, Recorder};
use crate::device::cuda::blas::Gemm;
use crate::device::cuda::driver::{Address, Shape};
use crate::device::cuda::probes::{BLOCK, CLOCK, EMPTY, SPIN};
use crate::error::{Error, Result};
use crate::throttle::Throttle;
use crate::units::Bytes;

/// Something enqueued.
#[derive(Debug, Clone)]
pub enum Work {
    /// A kernel.
    Launch(Arc<Call>),
    /// A copy within the GPU: to, from, bytes.
    Copy(Pointer, Pointer, u64),
    /// A fill: where, with what, bytes.
    Fill(Pointer, u8, u64),
    /// An event that takes the time.
    Record(usize),
    /// A product by cuBLASLt.
    Multiply(Arc<Multiplication>),
    /// Launches that were captured.
    Graph(Arc<Vec<Work>>),
}

/// A launch with its arguments.
#[derive(Debug)]
pub struct Call {
    pub module: Arc<Module>,
    pub module_id: usize,
    pub entry: String,
    pub shape: Shape,
    pub arguments: Vec<Vec<u8>>,
}

/// A word that the host sets, and when it did, by its own time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Word {
    pub value: u32,
    pub set_at: f64,
}

type CallKey = (usize, String, Shape, Vec<Vec<u8>>);

/// Memory, queue and clocks.
#[derive(Debug)]
pub struct Stream {
    pub conditions: Conditions,
    pub memory: Memory,
    /// When it was enqueued, by which call, and what.
    pub queue: VecDeque<(f64, u32, Work)>,
    pub events: HashMap<usize, Option<f64>>,
    pub words: HashMap<u64, Word>,
    pub host_ns: f64,
    pub device_ns: f64,
    pub lost: Option<String>,
    /// What a profiler is told.
    pub recorder: Recorder,
    l2: Bytes,
    /// What each launch took and counted, and of which generation of memory its results are.
    executed: HashMap<CallKey, (u64, f64, Arc<Counters>)>,
    /// Counts what the host has done to memory: a launch that is repeated with nothing in between would write the same.
    pub generation: u64,
    /// Products whose results are of the present generation of memory.
    multiplied: HashMap<(Gemm, [Address; 3]), u64>,
    fills: HashMap<(Pointer, u64), u8>,
    launches: HashMap<String, u64>,
    number: u64,
    waits: u64,
    slowed: bool,
    flushed: bool,
}

impl Stream {
    pub fn new(conditions: Conditions, l2: Bytes) -> Self {
        Stream {
            conditions,
            memory: Memory::new(),
            queue: VecDeque::new(),
            events: HashMap::new(),
            words: HashMap::new(),
            host_ns: 0.0,
            device_ns: 0.0,
            lost: None,
            recorder: Recorder::default(),
            l2,
            executed: HashMap::new(),
            generation: 0,
            multiplied: HashMap::new(),
            fills: HashMap::new(),
            launches: HashMap::new(),
            number: 0,
            waits: 0,
            slowed: false,
            flushed: false,
        }
    }

    /// Puts work into the queue, which costs the host a call.
    pub fn enqueue(&mut self, work: Work) {
        self.host_ns += clock::CALL_NS;
        let call = self.recorder.call(&work, self.host_ns);
        self.queue.push_back((self.host_ns, call, work));
    }

    /// Executes all that waits, and lets the host wait for it; `telemetry` then tells how the GPU fared.
    pub fn drain(&mut self, telemetry: &mut Telemetry) -> Result<()> {
        if self.queue.is_empty() && self.lost.is_none() {
            return Ok(());
        }
        self.waits += 1;
        let before = self.device_ns;
        let throttle = self.conditions.throttle.filter(|(_, nth)| self.waits.is_multiple_of(*nth));
        self.slowed = throttle.is_some_and(|(reasons, _)| reasons.is_slowed());
        while let Some((enqueued, call, work)) = self.queue.pop_front() {
            if let Some(reason) = &self.lost {
                return Err(Error::Lost(reason.clone()));
            }
            self.device_ns = self.device_ns.max(enqueued);
            if let Err(error) = self.execute(&work, call, clock::EMPTY_NS) {
                if let Error::Lost(reason) = &error {
                    self.lost = Some(reason.clone());
                }
                self.queue.clear();
                return Err(error);
            }
        }
        self.host_ns = self.host_ns.max(self.device_ns);
        let slow = if self.slowed { clock::SLOWED } else { 1.0 };
        telemetry.mhz = f64::from(clock::KHZ) / 1e3 * slow;
        telemetry.throttle = throttle.map_or(Throttle(0), |(reasons, _)| reasons);
        telemetry.power_mw = (clock::LIMIT_MW as f64 * slow) as u64;
        telemetry.temperature_c = if self.slowed { 88 } else { 61 };
        telemetry.energy_mj += (self.device_ns - before) * telemetry.power_mw as f64 / 1e9;
        self.lost.clone().map_or(Ok(()), |reason| Err(Error::Lost(reason)))
    }

    /// Lets the GPU's time pass.
    fn pass(&mut self, ns: f64) {
        self.number += 1;
        let slow = if self.slowed { 1.0 / clock::SLOWED } else { 1.0 };
        self.device_ns += ns * slow * clock::jitter(self.number);
    }

    /// Executes work that a call enqueued.
    fn execute(&mut self, work: &Work, of: u32, overhead: f64) -> Result<()> {
        let before = self.device_ns;
        let broken = |e: ptxsim::Error| Error::Lost(format!("an illegal memory access: {e}"));
        match work {
            Work::Copy(to, from, bytes) => {
                let contents = self.memory.read(*from, *bytes as usize).map_err(broken)?;
                self.memory.write(*to, &contents).map_err(broken)?;
                self.generation += 1;
                let skewed = self.conditions.skew == Some(Skew::Copy);
                self.pass(clock::traffic_ns(2 * bytes) * if skewed { 0.1 } else { 1.0 });
                self.recorder.ran(of, &Ran::Copy(*bytes), before, self.device_ns);
            }
            Work::Fill(at, byte, bytes) => {
                if self.fills.insert((*at, *bytes), *byte) != Some(*byte) {
                    self.memory.write(*at, &vec![*byte; *bytes as usize]).map_err(broken)?;
                    self.generation += 1;
                }
                self.flushed = *bytes >= self.l2.0;
                self.pass(clock::traffic_ns(*bytes));
                self.recorder.ran(of, &Ran::Fill(*bytes), before, self.device_ns);
            }
            Work::Record(event) => {
                self.events.insert(*event, Some(self.device_ns));
            }
            Work::Graph(all) => {
                for work in all.iter() {
                    self.execute(work, of, clock::EMPTY_IN_GRAPH_NS)?;
                }
            }
            Work::Multiply(product) => {
                self.inject(blas::ENTRY)?;
                let fresh = self.multiplied.insert(product.key(), self.generation);
                if fresh != Some(self.generation) {
                    product.execute(&mut self.memory).map_err(|e| illegal(blas::ENTRY, &e))?;
                }
                // What was flushed comes from memory again, as a kernel's operands do.
                let warm = if std::mem::take(&mut self.flushed) { 1.0 } else { 0.6 };
                self.pass(overhead);
                self.pass(product.ns * warm);
                self.recorder.ran(of, &Ran::Product, before, self.device_ns);
            }
            Work::Launch(call) => {
                let (ns, counters) = self.launch(call)?;
                self.pass(overhead);
                self.device_ns += ns;
                let ran = Ran::Kernel(&call.entry, call.shape, counters);
                self.recorder.ran(of, &ran, before, self.device_ns);
            }
        }
        Ok(())
    }

    /// Counts a launch of this name, and breaks where the conditions say so.
    fn inject(&mut self, entry: &str) -> Result<()> {
        let count = self.launches.entry(entry.to_owned()).or_default();
        *count += 1;
        let from =
            |faults: &HashMap<String, u64>| faults.get(entry).is_some_and(|nth| *count >= *nth);
        if from(&self.conditions.hang) {
            hang();
        }
        match from(&self.conditions.illegal) {
            true => Err(illegal(entry, "injected by SCALEMARK_FAKE")),
            false => Ok(()),
        }
    }

    /// Executes a kernel, and tells how long it takes beyond what any launch does, and what a row's counted.
    fn launch(&mut self, call: &Arc<Call>) -> Result<(f64, Arc<Counters>)> {
        self.inject(&call.entry)?;
        let word = |i: usize| {
            let bytes = call.arguments.get(i).and_then(|a| <[u8; 8]>::try_from(&a[..]).ok());
            bytes.map(u64::from_le_bytes).unwrap_or_default()
        };
        let ns = match call.entry.as_str() {
            EMPTY => {
                let late = self.conditions.skew == Some(Skew::Cold) && self.flushed;
                self.flushed = false;
                if late { 10_000.0 } else { 0.0 }
            }
            BLOCK => {
                let go = self.words.get(&word(0)).copied().unwrap_or_default();
                if go.value == 0 {
                    self.words.entry(word(1)).or_default().value = 1;
                    return Ok((word(2) as f64, Arc::default()));
                }
                // It sees the word when the host has set it.
                self.device_ns = self.device_ns.max(go.set_at);
                0.0
            }
            SPIN => {
                let fast = self.conditions.skew == Some(Skew::Spin);
                word(0) as f64 * if fast { 0.7 } else { 1.0 }
            }
            CLOCK => {
                let slow = if self.slowed { clock::SLOWED } else { 1.0 };
                let cycles = word(1) as f64 * f64::from(clock::KHZ) / 1e6 * slow;
                let both = [word(1).to_le_bytes(), (cycles as u64).to_le_bytes()].concat();
                let written = self.memory.write(Pointer(word(0)), &both);
                written.map_err(|e| illegal(CLOCK, &e.to_string()))?;
                word(1) as f64
            }
            _ => {
                let (ns, counters) = self.simulate(call)?;
                let slow = if self.slowed { 1.0 / clock::SLOWED } else { 1.0 };
                // What lies in the cache comes from there, at three times the pace of memory, unless it was just flushed.
                let warm = if std::mem::take(&mut self.flushed) { 1.0 } else { 0.6 };
                self.number += 1;
                return Ok((ns * slow * warm * clock::jitter(self.number), counters));
            }
        };
        Ok((ns, Arc::default()))
    }

    /// Executes a kernel of a row, unless the very launch was executed and nobody but launches has touched memory since.
    fn simulate(&mut self, call: &Arc<Call>) -> Result<(f64, Arc<Counters>)> {
        let key: CallKey = (call.module_id, call.entry.clone(), call.shape, call.arguments.clone());
        if let Some((generation, ns, counters)) = self.executed.get(&key)
            && *generation == self.generation
        {
            return Ok((*ns, Arc::clone(counters)));
        }
        let launch = Launch {
            entry: call.entry.clone(),
            grid: call.shape.grid,
            block: call.shape.block,
            cluster: call.shape.cluster,
            shared: call.shape.shared,
            arguments: call.arguments.iter().map(|bytes| Argument(bytes.clone())).collect(),
            may_write: None,
        };
        let options = Options { checks: Checks::none(), ..Options::default() };
        let report = ptxsim::run(&call.module, &launch, &mut self.memory, &options)
            .map_err(|error| as_hardware(&call.entry, error))?;
        let (ns, counters) = (clock::kernel_ns(&report.counters), Arc::new(report.counters));
        self.executed.insert(key, (self.generation, ns, Arc::clone(&counters)));
        Ok((ns, counters))
    }
}

/// What hardware would make of a mistake: it stops at few of them.
fn as_hardware(entry: &str, error: ptxsim::Error) -> Error {
    match error {
        ptxsim::Error::Finding(finding) => match finding.kind {
            Kind::Deadlock | Kind::Budget => hang(),
            Kind::Misaligned => lost(entry, "misaligned address", 716, &finding.to_string()),
            Kind::Trap => lost(entry, "device-side assert triggered", 710, &finding.to_string()),
            Kind::OutOfBounds | Kind::ReadOnly => illegal(entry, &finding.to_string()),
            _ => lost(entry, "an illegal instruction was encountered", 715, &finding.to_string()),
        },
        other => Error::Library(format!("the fake driver cannot run {entry}: {other}")),
    }
}

fn illegal(entry: &str, detail: &str) -> Error {
    lost(entry, "an illegal memory access was encountered", 700, detail)
}

fn lost(entry: &str, what: &str, number: u32, detail: &str) -> Error {
    Error::Lost(format!(
        "the CUDA driver failed to run kernels to their end: {what} ({number}), in {entry}: {detail}"
    ))
}

/// As a kernel that never ends: the host waits until somebody ends it.
fn hang() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(60));
    }
}
