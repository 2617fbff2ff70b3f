//! The worker's end of the protocol: holds the kernels of one provider, and measures on command.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use super::extra::Repeating;
use super::protocol::{Hello, Reply, Request, VERSION};
use crate::check;
use crate::device::core_share::CoreProbe;
use crate::device::cuda::nvtx;
use crate::device::{Device, memory};
use crate::error::{Error, Result};
use crate::kernels::peak::anchor::fma_anchor;
use crate::kernels::{Prepared, Registry};
use crate::measure::clock::Clock;
use crate::measure::gpu::{Bench, Kept};
use crate::measure::{covariates, visit};
use crate::ops::{Cache, Case, Expected, Inputs};

/// Rough length of the warm-up that follows the check of an answer.
const WARM_UP_NS: u64 = 2_000_000;

/// Launches on operands that are updated in place before they are restored: few enough that their values stay like those
/// of a training run under way, and enough that large ones, whose restoring takes as long as several launches, need it once.
const LAUNCHES_A_RESET: usize = 64;

/// What a worker was started for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Terms {
    /// Whose kernels it holds.
    pub provider: String,
    /// Facts about libraries that it drives, for its greeting.
    pub libraries: BTreeMap<String, String>,
    /// How many percent more work its kernels do than they should, for a proof that this is noticed; 0 goes the same way, which
    /// itself takes some instructions.
    pub extra_percent: Option<u32>,
}

/// Greets, then answers requests until `input` ends or an exit is asked for.
///
/// # Errors
/// When `output` is closed, or a request is no request.
pub fn serve(
    registry: &Registry,
    terms: Terms,
    device: &Device,
    clock: &dyn Clock,
    input: impl BufRead,
    mut output: impl Write,
) -> Result<()> {
    let Terms { provider, libraries, extra_percent } = terms;
    let kernels =
        registry.kernels().filter(|k| k.provider() == provider).map(|k| k.id().0).collect();
    let hello = Hello {
        protocol: VERSION,
        program: env!("CARGO_PKG_NAME").into(),
        version: env!("CARGO_PKG_VERSION").into(),
        provider,
        kernels,
        device: device.name().into(),
        libraries,
    };
    let mut say = |reply: &Reply| -> Result<()> {
        let mut line = serde_json::to_string(reply).expect("a reply has a JSON form");
        line.push('\n');
        output
            .write_all(line.as_bytes())
            .and_then(|()| output.flush())
            .map_err(Error::io("write", "standard output"))
    };
    say(&Reply::Hello(hello))?;
    let mut worker = Worker {
        registry,
        device,
        clock,
        extra_percent,
        held: HashMap::new(),
        case: None,
        core: CoreProbe::default(),
        bench: None,
    };
    for line in input.lines() {
        let line = line.map_err(Error::io("read", "standard input"))?;
        let request = serde_json::from_str(&line)
            .map_err(|e| Error::Worker(format!("this is no request of protocol {VERSION}: {e}")))?;
        if request == Request::Exit {
            break;
        }
        say(&worker.answer(request)?)?;
    }
    Ok(())
}

struct Worker<'d> {
    registry: &'d Registry,
    device: &'d Device,
    clock: &'d dyn Clock,
    extra_percent: Option<u32>,
    held: HashMap<u64, Held<'d>>,
    /// Operands and answer of the last case: the kernels of a case come one after another.
    case: Option<Shared>,
    core: CoreProbe,
    /// What is measured with, where the device is a GPU; made when it is first needed.
    bench: Option<Bench<'d>>,
}

struct Held<'d> {
    /// The kernel and its case.
    name: String,
    /// What a GPU's measuring keeps of it.
    kept: Kept,
    case: Case,
    prepared: Box<dyn Prepared + 'd>,
    slot: usize,
    /// `slot` when the operands were last restored.
    reset_at: usize,
    /// The shortest launch so far.
    shortest_ns: f64,
    updates_in_place: bool,
}

struct Shared {
    case: Case,
    inputs: Inputs,
    expected: Expected,
}

impl<'d> Worker<'d> {
    /// A panic of a kernel costs that kernel, not the worker.
    ///
    /// # Errors
    /// When a GPU's context is lost: this process is of no further use.
    fn answer(&mut self, request: Request) -> Result<Reply> {
        let outcome = catch_unwind(AssertUnwindSafe(|| match request {
            Request::Prepare { handle, kernel, case, seed, expected, .. } => {
                self.prepare(handle, &kernel, &case, seed, expected.as_deref())
            }
            Request::Sample { handle, iterations, count } => self.sample(handle, iterations, count),
            Request::Release { handle } => {
                // What is kept for later cases is resident, but not this kernel's.
                let idle = memory::idle_bytes().0;
                let peak_resident = covariates::resident_peak().map(|b| b.0.saturating_sub(idle));
                self.held.remove(&handle);
                // A parked worker holds on to nothing that the next one needs the memory for.
                if self.held.is_empty() {
                    self.case = None;
                }
                Ok(Reply::Released { peak_resident })
            }
            Request::Calibrate => {
                let bench = self
                    .bench()?
                    .ok_or_else(|| Error::Usage("this worker has no GPU to calibrate".into()))?;
                Ok(Reply::Calibrated(Box::new(bench.calibrate()?)))
            }
            Request::Exit => unreachable!("an exit ends the loop before it gets here"),
        }));
        Ok(match outcome {
            Ok(Ok(reply)) => reply,
            Ok(Err(error @ Error::Lost(_))) => return Err(error),
            // A library that is missing or lacks a function is no fault of the kernel.
            Ok(Err(error @ (Error::Library(_) | Error::Refused(_)))) if !self.is_gpus(&error) => {
                Reply::Refused { reason: error.to_string() }
            }
            Ok(Err(error)) => Reply::Failed { reason: error.to_string() },
            Err(panic) => Reply::Failed { reason: format!("panicked: {}", message(&*panic)) },
        })
    }

    /// Whether an error is of a GPU's driver, which is there and should have worked: no missing library of a baseline.
    fn is_gpus(&self, error: &Error) -> bool {
        matches!((self.device, error), (Device::Gpu(_), Error::Library(_)))
    }

    /// A range for the profilers of a GPU.
    fn range(&self, what: &str, name: &str) -> Option<nvtx::Range> {
        matches!(self.device, Device::Gpu(_)).then(|| nvtx::range(&format!("{what} {name}")))?
    }

    /// What a GPU is measured with.
    fn bench(&mut self) -> Result<Option<&Bench<'d>>> {
        if let (Device::Gpu(gpu), None) = (self.device, &self.bench) {
            self.bench = Some(Bench::new(gpu)?);
        }
        Ok(self.bench.as_ref())
    }

    fn prepare(
        &mut self,
        handle: u64,
        kernel: &str,
        case: &Case,
        seed: u64,
        expected: Option<&str>,
    ) -> Result<Reply> {
        let row = self.registry.get(kernel).ok_or_else(|| {
            Error::Usage(format!("this worker has no kernel `{kernel}`; it is another build"))
        })?;
        if let Some(reason) = row.refuses(self.device.capabilities(), case) {
            return Ok(Reply::Refused { reason: reason.into_owned() });
        }
        if self
            .case
            .as_ref()
            .is_none_or(|shared| shared.case != *case || shared.inputs.seed != seed)
        {
            self.case = None;
            let inputs = case.inputs(seed);
            let expected = match expected {
                Some(path) => check::load_expected(Path::new(path))?,
                None => case.expected(&inputs, self.device.capabilities().threads),
            };
            self.case = Some(Shared { case: *case, inputs, expected });
        }
        let shared = self.case.as_ref().expect("set just above");
        covariates::reset_resident_peak();
        let name = format!("{kernel} {}", case.key());
        let _range = self.range("prepare", &name);
        let start = self.clock.now();
        let mut prepared = row.prepare(self.device, case, &shared.inputs)?;
        let prepare_ns = self.clock.now() - start;
        prepared.launch(0)?;
        let checked = check::check(case, &shared.inputs, &shared.expected, &prepared.outputs()?);
        if let Some(reason) = checked.wrong {
            return Ok(Reply::Wrong { reason, check: Some(checked.check) });
        }
        if let Some(percent) = self.extra_percent {
            prepared = Box::new(Repeating::new(prepared, percent));
        }
        let mut slot = 0;
        let clock = self.clock;
        let launch_ns = match self.bench()? {
            Some(bench) => bench.rough(&mut *prepared, &mut slot)?,
            None => visit::rough_launch_ns(&mut *prepared, &mut slot, clock, WARM_UP_NS)?,
        };
        let mut counters: BTreeMap<String, f64> =
            prepared.counters().unwrap_or_default().into_iter().collect();
        counters.insert("prepare_ns".into(), prepare_ns as f64);
        let reply = Reply::Prepared {
            check: checked.check,
            launch_ns,
            allocated: prepared.allocated().0,
            slots: prepared.slots(),
            counters,
            // Behind each flush of a GPU's cache stands one launch.
            most_iterations: (self.bench.is_some() && case.cache == Cache::Cold).then_some(1),
            driven: prepared.driven(),
        };
        let updates_in_place = case.operands().iter().any(|spec| spec.in_out);
        self.held.insert(
            handle,
            Held {
                name,
                kept: Kept::default(),
                case: *case,
                prepared,
                slot,
                reset_at: 0,
                shortest_ns: launch_ns,
                updates_in_place,
            },
        );
        Ok(reply)
    }

    fn sample(&mut self, handle: u64, iterations: u64, count: usize) -> Result<Reply> {
        let isa = self.device.capabilities().isa;
        let held = self
            .held
            .get_mut(&handle)
            .ok_or_else(|| Error::Worker(format!("there is no prepared kernel number {handle}")))?;
        let coming = (iterations as usize).saturating_mul(count) + visit::MOST_WARM_UPS;
        if held.updates_in_place && held.slot - held.reset_at + coming > LAUNCHES_A_RESET {
            held.prepared.reset()?;
            held.reset_at = held.slot;
        }
        if let Some(bench) = &self.bench {
            let _range = nvtx::range(&format!("sample {}", held.name));
            let Held { prepared, slot, kept, case, shortest_ns, .. } = held;
            let wanted = (iterations, count);
            let visit = bench.take(case, &mut **prepared, slot, kept, *shortest_ns, wanted)?;
            return Ok(Reply::Samples(visit));
        }
        let (work, time) = fma_anchor(&isa);
        let mut visit = visit::take(
            &mut *held.prepared,
            &mut held.slot,
            self.clock,
            iterations,
            count,
            &mut held.shortest_ns,
            &mut self.core,
        )?;
        visit.anchor = Some((work / time).0);
        Ok(Reply::Samples(visit))
    }
}

/// The text of a panic.
fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}
