//! `scalemark run --device cuda`: the same run on GPUs, each calibrated first.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::external::Joined;
use super::interrupt;
use super::run::{Args, Seat, go, open, told};
use super::run_plan::{Order, Plan};
use crate::device::cuda::{self, Attributes};
use crate::device::machine::{DetectOptions, Machine};
use crate::device::{Capabilities, DriverName, Gpus};
use crate::error::{Error, Result};
use crate::kernels::Registry;
use crate::measure::gpu::Calibration;
use crate::nvrtc::Compiler;
use crate::record::Record;
use crate::store::RunWriter;
use crate::worker::protocol::{Reply, Request};
use crate::worker::{Client, Processes, Spawn};

/// How long a calibration may take: it is seconds, and half a minute where a context is slow to come up.
const CALIBRATE_LIMIT: Duration = Duration::from_secs(120);

/// A GPU of a run, as `machine.json` has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Gpu {
    /// Its name in records.
    pub(super) device: String,
    /// What it is.
    attributes: Attributes,
    /// What measuring itself came to on it, at the start of the run.
    pub(super) calibration: Calibration,
}

impl Gpu {
    /// What kernels ask of it.
    pub(super) fn capabilities(&self) -> Capabilities {
        Capabilities {
            memory: self.calibration.memory_free,
            ..cuda::capabilities_of(&self.attributes)
        }
    }
}

/// How a provider's workers on a GPU are started: from this very binary.
///
/// # Errors
/// When the path of this binary cannot be found out.
fn spawn(provider: &str, device: &str, nvrtc: Option<&Path>) -> anyhow::Result<Spawn> {
    let program = std::env::current_exe().context("failed to find the path of this program")?;
    let nvrtc = nvrtc.map(|path| ("SCALEMARK_NVRTC".to_owned(), path.display().to_string()));
    Ok(Spawn::scalemark(program, provider, nvrtc.into_iter().collect()).on(device))
}

/// What an external program knows a GPU by, whatever driver: the fake one's is a GPU to it as any.
pub fn for_programs(ordinal: u32) -> String {
    format!("cuda:{ordinal}")
}

/// The workers of this build on a GPU: one a provider, our kernels and each library.
///
/// # Errors
/// When the path of this binary cannot be found out.
pub fn processes(
    gpu: Gpus,
    capabilities: &Capabilities,
    (seed, patience): (u64, Option<Duration>),
    nvrtc: Option<&Path>,
) -> anyhow::Result<Processes> {
    let device = gpu.to_string();
    let providers: BTreeSet<String> =
        Registry::cuda().kernels().map(|kernel| kernel.provider().to_owned()).collect();
    let one = |provider: &String| Ok((provider.clone(), spawn(provider, &device, nvrtc)?));
    let spawns = providers.iter().map(one).collect::<anyhow::Result<_>>()?;
    let processes = Processes::new(spawns, seed).given_up_when(interrupt::is_urgent);
    // What the fake driver executes is simulated, and takes as long as that takes.
    let processes = match gpu.driver {
        DriverName::Cuda => processes.on_gpu(capabilities.clone()),
        DriverName::Fake(_) => processes,
    };
    Ok(match patience {
        Some(patience) => processes.with_patience_for(providers, patience),
        None => processes,
    })
}

/// The GPUs that were asked for, by their names in records: what there is to say against them is said before any work.
///
/// # Errors
/// One line: no driver or one too old, no such GPU, no NVRTC.
pub fn look(gpus: Gpus, nvrtc: Option<&Path>) -> Result<Vec<(String, Attributes)>> {
    let found = cuda::of(gpus)?;
    Compiler::find(nvrtc)?;
    let named = |attributes: Attributes| {
        (Gpus::one(gpus.driver, attributes.ordinal).to_string(), attributes)
    };
    Ok(found.into_iter().map(named).collect())
}

/// Calibrates a GPU in a worker of its own: this process holds nothing of it.
fn calibrate(device: &str, attributes: Attributes, spawn: &Spawn) -> Result<Gpu> {
    let unusable = |reason: String| Error::Library(format!("{device} cannot be used: {reason}"));
    let mut client = Client::start(spawn).map_err(|e| unusable(e.to_string()))?;
    match client.ask(&Request::Calibrate, CALIBRATE_LIMIT) {
        Ok(Reply::Calibrated(calibration)) => {
            Ok(Gpu { device: device.to_owned(), attributes, calibration: *calibration })
        }
        Ok(Reply::Refused { reason } | Reply::Failed { reason }) => Err(unusable(reason)),
        Ok(other) => Err(unusable(format!("the worker answered out of turn: {other:?}"))),
        Err(error) => Err(unusable(error.to_string())),
    }
}

/// The kernels that can take part, those of external programs on the first of the GPUs included.
fn join(order: &Order, first: &Attributes) -> Result<Joined> {
    order.external.join(Registry::cuda(), &for_programs(first.ordinal))
}

/// Everything that stands between an order and its measuring.
struct Ready {
    gpus: Vec<Gpu>,
    plan: Plan,
    seats: Vec<Seat>,
}

fn ready(
    order: &Order,
    driver: DriverName,
    gpus: Vec<Gpu>,
    nvrtc: Option<&Path>,
    joined: &Joined,
) -> anyhow::Result<Ready> {
    let plan = Plan::new(order, joined.registry, &gpus[0].capabilities())?;
    let seat = |gpu: &Gpu| {
        let capabilities = gpu.capabilities();
        let patience = (order.effort.seed, order.external.patience()?);
        let one = Gpus::one(driver, gpu.attributes.ordinal);
        let own = processes(one, &capabilities, patience, nvrtc)?;
        let device = for_programs(gpu.attributes.ordinal);
        let processes = joined.processes(own, &capabilities, &device)?;
        Ok(Seat { device: gpu.device.clone(), capabilities, processes })
    };
    let seats = gpus.iter().map(seat).collect::<anyhow::Result<_>>()?;
    Ok(Ready { gpus, plan, seats })
}

/// Looks, and calibrates; says in one line what stands against it, with exit code 3.
pub(super) fn calibrated(
    gpus: Gpus,
    nvrtc: Option<&Path>,
) -> anyhow::Result<Result<Vec<Gpu>, ExitCode>> {
    let found = look(gpus, nvrtc).and_then(|found| {
        let one = |(device, attributes): (String, Attributes)| {
            let spawn = spawn("own", &device, nvrtc).map_err(|e| Error::Usage(format!("{e:#}")))?;
            calibrate(&device, attributes, &spawn)
        };
        found.into_iter().map(one).collect::<Result<Vec<Gpu>>>()
    });
    usable(found)
}

/// What was found; where a GPU is not there or cannot be used, that in one line, and exit code 3.
fn usable<T>(found: Result<T>) -> anyhow::Result<Result<T, ExitCode>> {
    match found {
        Ok(found) => Ok(Ok(found)),
        Err(error @ (Error::Library(_) | Error::Refused(_) | Error::Lost(_))) => {
            super::note(&format!("error: {error}"));
            Ok(Err(ExitCode::from(3)))
        }
        Err(error) => Err(error.into()),
    }
}

/// Starts a run on GPUs.
///
/// # Errors
/// On usage errors, and when the folder cannot be written.
pub fn start(
    order: &Order,
    gpus: Gpus,
    nvrtc: Option<&Path>,
    args: &Args,
) -> anyhow::Result<ExitCode> {
    if args.dry_run {
        let found = match usable(look(gpus, nvrtc))? {
            Ok(found) => found,
            Err(code) => return Ok(code),
        };
        let capabilities = cuda::capabilities_of(&found[0].1);
        let joined = join(order, &found[0].1)?;
        let plan = Plan::new(order, joined.registry, &capabilities)?;
        let on: Vec<&str> = found.iter().map(|(device, _)| device.as_str()).collect();
        super::show(&format!("{}on {}\n", plan.text(&capabilities), on.join(", ")))?;
        return Ok(ExitCode::SUCCESS);
    }
    let driver = gpus.driver;
    let gpus = match calibrated(gpus, nvrtc)? {
        Ok(gpus) => gpus,
        Err(code) => return Ok(code),
    };
    let joined = join(order, &gpus[0].attributes)?;
    let Ready { gpus, plan, mut seats } = ready(order, driver, gpus, nvrtc, &joined)?;
    let mut machine = Machine::detect(&DetectOptions::default());
    let (major, minor) = Compiler::find(nvrtc)?.version;
    let libraries = &mut machine.software.libraries;
    if let Some(seat) = seats.first_mut() {
        let mut others = plan.providers(&seat.capabilities);
        others.retain(|provider| provider != "own");
        libraries.extend(told(seat.processes.introduce(others)));
    }
    libraries.insert("nvrtc".into(), format!("{major}.{minor}"));
    libraries.insert("cuda driver".into(), gpus[0].attributes.driver_version());
    let mut value = serde_json::to_value(&machine)?;
    value["run"] = json!({ "order": order.redacted(), "goal": plan.goal, "suite": plan.suite });
    value["gpus"] = serde_json::to_value(&gpus)?;
    let writer = open(args.out.as_deref(), &gpus[0].attributes.slug(), &value)?;
    advise(&gpus);
    let code = go(&plan, seats, writer, &[], args.trace.as_deref())?;
    Ok(judged(&gpus, code))
}

/// Goes on with one, on the same GPUs.
///
/// # Errors
/// When these are others, and as [`start`].
pub fn resume(
    order: &Order,
    gpus: Gpus,
    machine: &Value,
    writer: RunWriter,
    before: &[Record],
    trace: Option<&Path>,
) -> anyhow::Result<ExitCode> {
    let then: Vec<Gpu> = serde_json::from_value(machine["gpus"].clone())
        .context("machine.json does not say which GPUs the run was on")?;
    let driver = gpus.driver;
    let gpus = match calibrated(gpus, None)? {
        Ok(gpus) => gpus,
        Err(code) => return Ok(code),
    };
    let facts = |all: &[Gpu]| -> Vec<String> {
        all.iter().map(|gpu| format!("{}: {}", gpu.device, gpu.attributes.line())).collect()
    };
    if facts(&then) != facts(&gpus) {
        bail!(
            "the run was measured on {}, and here are {}; start a new run",
            facts(&then).join("; "),
            facts(&gpus).join("; ")
        );
    }
    let joined = join(order, &gpus[0].attributes)?;
    let Ready { gpus, plan, seats } = ready(order, driver, gpus, None, &joined)?;
    let code = go(&plan, seats, writer, before, trace)?;
    Ok(judged(&gpus, code))
}

/// Says how times would repeat better; nothing is set.
fn advise(gpus: &[Gpu]) {
    for gpu in gpus {
        if let Some(reason) = &gpu.calibration.unmonitored {
            super::note(&format!(
                "{}: {reason}; samples say nothing of power, temperature and throttling",
                gpu.device
            ));
        }
        let told = gpu.calibration.reading.throttle;
        if told.is_some_and(|throttle| !throttle.is_locked()) {
            super::note(&format!(
                "{}: its clocks are free to move; `nvidia-smi -i {} --lock-gpu-clocks=MHZ` (as root) makes times repeat better",
                gpu.device, gpu.attributes.bus
            ));
        }
    }
}

/// The exit code of a run whose calibration may be off: 3, where nothing worse was found.
fn judged(gpus: &[Gpu], code: ExitCode) -> ExitCode {
    let mut unfit = false;
    for gpu in gpus {
        for reason in &gpu.calibration.unfit {
            unfit = true;
            super::note(&format!("unfit: {}: {reason}; its times cannot be trusted", gpu.device));
        }
    }
    if unfit && code == ExitCode::SUCCESS { ExitCode::from(3) } else { code }
}
