//! A CPU kernel's time by file and line, from samples of the running program, and where it stands under the roofs.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use pprof::{ProfilerGuardBuilder, Report, Symbol};

use crate::cmd::prove::callgrind;
use crate::device::{CpuDevice, Device};
use crate::gate::workers::Job;
use crate::kernels::{Kernel, Prepared, Registry};
use crate::ops::{Case, DType, Precision, Probe, ProbeKind, Problem};
use crate::units::{ByteRate, FlopRate, Nanos};
use crate::worker::extra::CYCLE;

/// Samples a second of CPU time; a prime, so that no loop keeps step with it.
const RATE: i32 = 997;
/// Launches between two resets of operands that they change.
const LAUNCHES_A_RESET: usize = 64;
/// Functions that are named.
const NAMED: usize = 15;
/// How long a probe of a roof runs.
const PROBE: Duration = Duration::from_millis(200);

/// What to do beside sampling.
pub struct Options<'a> {
    /// How long to launch.
    pub time: Duration,
    /// Where to draw the flame graph.
    pub svg: Option<&'a Path>,
    /// Whether to count instructions under valgrind.
    pub instructions: bool,
    /// Seed of operands.
    pub seed: u64,
}

/// Launches the kernel over and over while it is sampled; the text to print.
///
/// # Errors
/// When the kernel cannot be prepared, sampling not be started, or a file not be written.
pub fn run(kernel: &dyn Kernel, case: &Case, options: &Options) -> anyhow::Result<String> {
    let device = Device::Cpu(CpuDevice::detect(true));
    let inputs = case.inputs(options.seed);
    let mut prepared = kernel.prepare(&device, case, &inputs)?;
    stretch(&mut *prepared, LAUNCHES_A_RESET.min(4))?;
    prepared.reset()?;
    // Unwinding from within these can hang.
    let builder = ProfilerGuardBuilder::default().frequency(RATE);
    let builder = builder.blocklist(&["libc", "libgcc", "pthread", "vdso"]);
    let guard = builder.build().context("failed to start the sampling of this process")?;
    let (start, mut launched, mut fastest) = (Instant::now(), 0, f64::INFINITY);
    while start.elapsed() < options.time {
        let before = Instant::now();
        let count = stretch(&mut *prepared, LAUNCHES_A_RESET)?;
        fastest = fastest.min(before.elapsed().as_nanos() as f64 / count as f64);
        launched += count;
        prepared.reset()?;
    }
    let report = guard.report().build().context("failed to take the samples apart")?;
    drop(guard);
    drop(prepared);
    let samples = Samples::of(&report);
    if samples.all == 0 {
        bail!("no sample was taken in {:?}; ask for more by --time", options.time);
    }
    let mut text = format!(
        "{} on {}: {} a launch, the best {LAUNCHES_A_RESET} of {launched} in a row\n\n",
        kernel.id(),
        case.key(),
        Nanos(fastest)
    );
    text += &placement(&device, case, Nanos(fastest))?;
    text += &samples.text();
    if let Some(path) = options.svg {
        let file =
            File::create(path).with_context(|| format!("failed to create {}", path.display()))?;
        report.flamegraph(file).context("failed to draw the flame graph")?;
        text += &format!("\nflame graph: {}\n", path.display());
    }
    text += &match options.instructions {
        false => "\ncounters: none read; --instructions counts what is executed, under valgrind\n"
            .to_owned(),
        true => instructions(kernel, case)?,
    };
    Ok(text)
}

/// What samples of the calling thread must be within to count: resets are not.
#[inline(never)]
fn stretch(prepared: &mut dyn Prepared, launches: usize) -> crate::Result<usize> {
    let (start, slots) = (Instant::now(), prepared.slots());
    for slot in 0..launches {
        prepared.launch(slot % slots)?;
        // A long kernel need not be launched so often.
        if start.elapsed() > Duration::from_secs(1) {
            return Ok(slot + 1);
        }
    }
    Ok(launches)
}

/// The arithmetic intensity, what was reached, and what probes reach here and now.
fn placement(device: &Device, case: &Case, launch: Nanos) -> anyhow::Result<String> {
    let cost = case.cost();
    let intensity = cost.flops.0 as f64 / cost.bytes.0 as f64;
    let arithmetic = Probe::arithmetic(case.threads);
    let cache = match device {
        Device::Cpu(cpu) => cpu.capabilities.last_level_cache,
        _ => unreachable!("this profiles the CPU"),
    };
    let precision = match case.precision.inputs {
        DType::Bf16 => Precision::BF16_F32,
        DType::I8 => Precision::INT8,
        _ => Precision::F32,
    };
    let probe = |probe, precision| Case {
        threads: case.threads,
        ..Case::new(Problem::Peak(probe), precision)
    };
    let fma = probe(arithmetic, precision);
    let read = probe(Probe::beyond_cache(ProbeKind::Read, cache), Precision::F32);
    let roofs = (shortest(device, &fma)?, shortest(device, &read)?);
    let (peak, bandwidth): (FlopRate, ByteRate) =
        (fma.cost().flops / roofs.0, read.cost().bytes / roofs.1);
    let floor = (cost.flops / peak).0.max((cost.bytes / bandwidth).0);
    let bound = if (cost.flops / peak).0 >= (cost.bytes / bandwidth).0 {
        "arithmetic"
    } else {
        "memory, where operands come from there"
    };
    Ok(format!(
        "roofline: {intensity:.1} operations a byte; {} and {}; probes reach {peak} and read {bandwidth}\n\
         bound by {bound}; {:.0} % of what the roofs allow\n\n",
        cost.flops / launch,
        cost.bytes / launch,
        100.0 * floor / launch.0
    ))
}

/// The shortest launch of a probe, by whichever kernel is fastest.
fn shortest(device: &Device, probe: &Case) -> anyhow::Result<Nanos> {
    let Device::Cpu(cpu) = device else { unreachable!("this profiles the CPU") };
    let inputs = probe.inputs(1);
    let mut shortest = f64::INFINITY;
    let registry = Registry::default();
    for kernel in registry.for_case(probe) {
        let slow = cpu.capabilities.isa.avx2 && kernel.id().0 == "peak/portable";
        if slow || kernel.refuses(&cpu.capabilities, probe).is_some() {
            continue;
        }
        let mut prepared = kernel.prepare(device, probe, &inputs)?;
        let start = Instant::now();
        while start.elapsed() < PROBE {
            let before = Instant::now();
            prepared.launch(0)?;
            shortest = shortest.min(before.elapsed().as_nanos() as f64);
        }
    }
    Ok(Nanos(shortest))
}

/// What the kernel executes in a launch.
fn instructions(kernel: &dyn Kernel, case: &Case) -> anyhow::Result<String> {
    let scratch = tempfile::tempdir().context("failed to create a temporary folder")?;
    let job = Job { kernel: kernel.id().0, case: *case };
    let counted = callgrind::count(&job, 0, scratch.path())?;
    Ok(format!(
        "\ncounters: {:.0} instructions a launch under valgrind's callgrind, which has no AVX-512: of the AVX2 path where there is one. Cycles and \
         misses are not read\n",
        counted.instructions as f64 / CYCLE as f64
    ))
}

/// Samples by where they were taken.
#[derive(Debug, Default)]
struct Samples {
    all: isize,
    files: HashMap<String, isize>,
    lines: HashMap<String, isize>,
}

impl Samples {
    fn of(report: &Report) -> Samples {
        let mut samples = Samples::default();
        for (frames, &count) in &report.data {
            let stack: Vec<Place> = frames.frames.iter().flatten().map(Place::of).collect();
            let within = |function: &str| stack.iter().any(|place| place.is_here(function));
            // The calling thread also resets operands.
            if within("run") && !within("stretch") {
                continue;
            }
            let (file, line) = whose(&stack);
            samples.all += count;
            *samples.files.entry(file).or_default() += count;
            *samples.lines.entry(line).or_default() += count;
        }
        samples
    }

    fn text(&self) -> String {
        let mut text = format!("{} samples by file:\n", self.all);
        for (heading, by) in [("", &self.files), ("\nby line:\n", &self.lines)] {
            text += heading;
            let mut rows: Vec<(&String, isize)> = by.iter().map(|(k, v)| (k, *v)).collect();
            rows.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
            for (name, count) in rows.into_iter().take(NAMED) {
                text += &format!("  {:>5.1} %  {name}\n", 100.0 * count as f64 / self.all as f64);
            }
        }
        text
    }
}

/// A function on the stack, inlined or not.
#[derive(Debug, Clone, PartialEq)]
struct Place {
    /// Its name; that of an inlined one without its modules.
    function: String,
    /// Its file below `src`, if it is one of ours, and the line there.
    own: Option<(String, u32)>,
}

impl Place {
    fn of(symbol: &Symbol) -> Place {
        const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/");
        let file = symbol.filename.as_ref().and_then(|path| path.to_str());
        let file = file.and_then(|path| path.strip_prefix(SOURCES));
        Place {
            function: symbol.name(),
            own: file.map(|file| (file.to_owned(), symbol.lineno.unwrap_or(0))),
        }
    }

    /// Whether it is a function of this very file.
    fn is_here(&self, function: &str) -> bool {
        let name = self.function.rsplit("::").next();
        self.own.as_ref().is_some_and(|(file, _)| file == "cmd/profile/cpu.rs")
            && name == Some(function)
    }
}

/// The innermost file of ours that a sample was in, whatever it called, and the line with its function; what is in none is told by
/// its own name.
fn whose(stack: &[Place]) -> (String, String) {
    let own = stack.iter().find_map(|place| Some((place, place.own.as_ref()?)));
    match own {
        Some((place, (file, line))) => {
            let function = place.function.rsplit("::").next().unwrap_or_default();
            (file.clone(), format!("{file}:{line} {function}"))
        }
        None => {
            let name = stack.first().map_or("unknown", |place| place.function.as_str());
            ("elsewhere".to_owned(), name.to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_of_the_innermost_file_of_ours() {
        let place = |function: &str, own: Option<(&str, u32)>| Place {
            function: function.into(),
            own: own.map(|(file, line)| (file.to_owned(), line)),
        };
        let stack = [
            place("eq", None),
            place("step", Some(("kernels/matmul/simd/tile.rs", 40))),
            place(
                "scalemark::kernels::matmul::simd::drive::run",
                Some(("kernels/matmul/simd/drive.rs", 9)),
            ),
            place("scalemark::cmd::profile::cpu::stretch", Some(("cmd/profile/cpu.rs", 99))),
        ];
        let (file, line) = whose(&stack);
        assert_eq!(file, "kernels/matmul/simd/tile.rs");
        assert_eq!(line, "kernels/matmul/simd/tile.rs:40 step");
        assert_eq!(whose(&stack[..1]), ("elsewhere".into(), "eq".into()));
        assert!(stack[3].is_here("stretch") && !stack[2].is_here("run"));
    }

    #[test]
    fn this_programs_own_functions_are_told_by_their_files() {
        let mut seen = Vec::new();
        backtrace(&mut |symbol| seen.push(Place::of(symbol)));
        assert!(seen.iter().any(|place| place.is_here("backtrace")), "{seen:?}");
    }

    /// The functions that this one is called by, itself included, as samples have them.
    #[inline(never)]
    fn backtrace(each: &mut dyn FnMut(&Symbol)) {
        let guard = ProfilerGuardBuilder::default().frequency(RATE).build().unwrap();
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(300) {
            std::hint::black_box(start.elapsed());
        }
        let report = guard.report().build().unwrap();
        report.data.keys().flat_map(|frames| &frames.frames).flatten().for_each(each);
    }
}
