//! `scalemark sim`: anybody's kernel on the simulator, with every check on.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context, bail};
use ptxsim::{Argument, Finding, Launch, Memory, Module, Options, Pointer, Report};
use serde::Serialize;

use super::simulate::schedule;
use crate::device::sim;
use crate::kernels::cuda::{Architecture, HEADERS};
use crate::nvrtc::{Compiler, Source};
use crate::ops::{DType, Role, Tensor, TensorSpec, random};
use crate::report::listing::{self, Listing};

/// Options of `sim`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  scalemark sim saxpy.cu --entry saxpy --grid 4 --block 256 --arg f32:2.0 --arg in:f32:1000 --arg inout:f32:1000 --arg u32:1000
  scalemark sim reverse.cu --entry reverse --block 256 --arg in:f32:256 --arg out:f32:256 --lines     what each line comes to
  scalemark sim kernel.ptx --entry f --grid 2,2 --block 32,8 --arg out:bf16:4096 --seeds 20

An argument is a number (u32:5, i32:-1, u64:9, f32:1.5, f64:2) or memory: in:TYPE:LENGTH is random and read-only, inout:… is random
and may be written, out:… is memory that nobody has written; a type is f32, f64, bf16, f16, i8 or i32.
Findings name kernel, line, block, warp and lanes; the counters are of the first schedule. Exit code 1 when there is a finding")]
pub struct Args {
    /// CUDA source, compiled by NVRTC, or PTX
    file: PathBuf,
    /// The kernel: an extern "C" function, or a name as PTX has it
    #[arg(long)]
    entry: String,
    /// Blocks, as x or x,y or x,y,z
    #[arg(long, default_value = "1")]
    grid: Dim,
    /// Threads of a block
    #[arg(long, default_value = "32")]
    block: Dim,
    /// Blocks of a cluster [default: what the kernel says]
    #[arg(long)]
    cluster: Option<Dim>,
    /// Bytes of dynamic shared memory
    #[arg(long, default_value_t = 0)]
    shared: u32,
    /// An argument, in the kernel's order; once for each
    #[arg(long = "arg", value_name = "ARG", allow_hyphen_values = true)]
    arguments: Vec<Given>,
    /// What a .cu is compiled for
    #[arg(long, default_value = "sm_90a")]
    arch: Architecture,
    /// Options for the compiler, such as -DN=8
    #[arg(long = "option", value_name = "OPTION", allow_hyphen_values = true)]
    options: Vec<String>,
    /// Schedules to try
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    seeds: u64,
    /// The library NVRTC, or the folder that it is in [default: searched for]
    #[arg(long, value_name = "PATH")]
    nvrtc: Option<PathBuf>,
    /// Show what each line came to, in the first schedule
    #[arg(long, conflicts_with = "json")]
    lines: bool,
    /// With --lines: write it as a page too
    #[arg(long, value_name = "FILE", requires = "lines")]
    html: Option<PathBuf>,
    /// Print one JSON object: findings, what the kernel printed, counters and, of a .cu, what the compiler says that it takes
    #[arg(long)]
    json: bool,
}

/// One to three sizes.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Dim([u32; 3]);

impl FromStr for Dim {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let sizes: Vec<u32> = text.split(',').filter_map(|s| s.trim().parse().ok()).collect();
        let asked = text.split(',').count();
        if sizes.len() != asked || asked > 3 || sizes.contains(&0) {
            return Err(format!("`{text}` is no size; write 4 or 4,2 or 4,2,1"));
        }
        let at = |i: usize| sizes.get(i).copied().unwrap_or(1);
        Ok(Dim([at(0), at(1), at(2)]))
    }
}

/// An argument as it was given.
#[derive(Debug, Clone, PartialEq)]
enum Given {
    Number(Argument),
    Memory { filled: bool, written: bool, dtype: DType, len: usize },
}

impl FromStr for Given {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no argument; write u32:5, f32:1.5 or in:f32:1024");
        let number = |value: &str, of: &str| -> Option<Argument> {
            Some(match of {
                "u32" => value.parse::<u32>().ok()?.into(),
                "i32" => value.parse::<i32>().ok()?.into(),
                "u64" => value.parse::<u64>().ok()?.into(),
                "i64" => value.parse::<i64>().ok()?.into(),
                "f32" => value.parse::<f32>().ok()?.into(),
                "f64" => value.parse::<f64>().ok()?.into(),
                _ => return None,
            })
        };
        match text.split(':').collect::<Vec<_>>()[..] {
            [of, value] => number(value, of).map(Given::Number).ok_or_else(wrong),
            [way @ ("in" | "out" | "inout"), dtype, len] => Ok(Given::Memory {
                filled: way != "out",
                written: way != "in",
                dtype: dtype.parse().map_err(|_| wrong())?,
                len: len.parse().map_err(|_| wrong())?,
            }),
            _ => Err(wrong()),
        }
    }
}

/// Compiles, runs once for each seed, and prints findings, what the kernel printed, results and counters.
///
/// # Errors
/// A file that cannot be read, compiled or taken apart; an instruction that the simulator does not execute.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let text = std::fs::read_to_string(&args.file)
        .with_context(|| format!("failed to read {}", args.file.display()))?;
    let name = args.file.to_string_lossy();
    let (ptx, resources) = if args.file.extension().is_some_and(|e| e == "ptx") {
        (text.clone(), None)
    } else {
        let source = Source { name: &name, text: &text, headers: HEADERS };
        let compiler = Compiler::find(args.nvrtc.as_deref())?;
        let built = compiler.compile(&source, &args.arch.to_string(), &args.options)?;
        (built.ptx, built.resources.into_iter().find(|one| one.entry == args.entry))
    };
    let module = Module::parse(&ptx)?;
    if !module.entries().any(|entry| entry == args.entry) {
        let known: Vec<&str> = module.entries().collect();
        bail!(
            "{} has no kernel `{}`; it has {}",
            args.file.display(),
            args.entry,
            known.join(", ")
        );
    }
    let resources = resources.map(|one| {
        let block = sim::footprint(&one, args.block.0, args.shared);
        sim::taken(&one, block, args.arch).collect()
    });
    let mut seen = Seen { resources, ..Seen::default() };
    let (mut shown_results, mut instructions) = (String::new(), Vec::new());
    for seed in 0..args.seeds {
        let mut memory = Memory::new();
        let (launch, shown) = launch(&args, &mut memory)?;
        let options = Options { lines: args.lines && seed == 0, ..schedule(seed) };
        let report = match ptxsim::run(&module, &launch, &mut memory, &options) {
            Ok(report) => report,
            Err(ptxsim::Error::Finding(finding)) => {
                Report { findings: vec![*finding], ..Report::default() }
            }
            Err(error) => return Err(error.into()),
        };
        seen.findings.extend(report.findings.iter().map(|finding| Found::new(seed, finding)));
        if seed == 0 {
            instructions = report.instructions;
            seen.output = report.output;
            seen.counters = sim::named(&report.counters).into_iter().collect();
            for (number, pointer, spec) in &shown {
                shown_results += &results(*number, *pointer, spec, &memory)?;
            }
        }
    }
    if args.lines && instructions.is_empty() {
        super::note("no lines: a finding ended the launch");
    } else if args.lines {
        let sources: Vec<listing::Source> =
            HEADERS.iter().copied().chain([(&*name, text.as_str())]).collect();
        let title = format!("{} of {name}", args.entry);
        let listing = Listing::new(&title, &instructions, &sources, ("PTX", &ptx));
        super::profile::show(&listing, listing::Shown::Executed, args.html.as_deref())?;
    }
    let out = if args.json {
        serde_json::to_string_pretty(&seen)? + "\n"
    } else {
        seen.text(&shown_results, args.seeds)
    };
    super::show(&out)?;
    Ok(ExitCode::from(u8::from(!seen.findings.is_empty())))
}

/// What is printed.
#[derive(Debug, Default, Serialize)]
struct Seen {
    /// Of every schedule.
    findings: Vec<Found>,
    /// What the kernel printed, in the first schedule.
    output: String,
    /// Of the first schedule.
    counters: BTreeMap<String, f64>,
    /// What the compiler says; none for PTX.
    resources: Option<BTreeMap<&'static str, f64>>,
}

/// A finding, and the schedule that it was made in.
#[derive(Debug, Serialize)]
struct Found {
    seed: u64,
    kind: String,
    message: String,
    kernel: String,
    instruction: String,
    ptx_line: u32,
    file: String,
    line: u32,
    block: [u32; 3],
    warp: u32,
    lanes: u32,
    count: u64,
    #[serde(skip)]
    text: String,
}

impl Found {
    fn new(seed: u64, finding: &Finding) -> Found {
        Found {
            seed,
            kind: format!("{:?}", finding.kind),
            message: finding.message.clone(),
            kernel: finding.kernel.clone(),
            instruction: finding.instruction.clone(),
            ptx_line: finding.line,
            file: finding.file.clone(),
            line: finding.source_line,
            block: finding.block,
            warp: finding.warp,
            lanes: finding.lanes,
            count: finding.count,
            text: finding.to_string(),
        }
    }
}

impl Seen {
    /// Findings first, for people.
    fn text(&self, results: &str, seeds: u64) -> String {
        let mut out = String::new();
        for finding in &self.findings {
            out += &format!("finding (seed {}): {}\n", finding.seed, finding.text);
        }
        out += &self.output;
        out += results;
        for (name, value) in &self.counters {
            out += &format!("{name} {value}\n");
        }
        for (name, value) in self.resources.iter().flatten() {
            out += &format!("{name} {value}\n");
        }
        if self.findings.is_empty() {
            out += &format!("no finding in {seeds} schedule(s)\n");
        }
        out
    }
}

/// Memory that the kernel may write: the number of its argument, where it is, and what.
type Shown = Vec<(usize, Pointer, TensorSpec)>;

fn launch(args: &Args, memory: &mut Memory) -> anyhow::Result<(Launch, Shown)> {
    let (mut arguments, mut shown) = (Vec::new(), Vec::new());
    for (number, given) in args.arguments.iter().enumerate() {
        let &Given::Memory { filled, written, dtype, len } = given else {
            let Given::Number(argument) = given else { continue };
            arguments.push(argument.clone());
            continue;
        };
        let spec = TensorSpec::new(Role::Stream, dtype, &[len]);
        let pointer = memory.allocate(&format!("argument {number}"), spec.bytes().0)?;
        if filled {
            let tensor: Tensor = random::normal(spec.clone(), 1, number as u32, 1.0);
            memory.write(pointer, &tensor.bytes[..spec.bytes().0 as usize])?;
        }
        if written {
            shown.push((number, pointer, spec));
        }
        arguments.push(pointer.into());
    }
    let launch = Launch {
        entry: args.entry.clone(),
        grid: args.grid.0,
        block: args.block.0,
        cluster: args.cluster.map(|c| c.0),
        shared: args.shared,
        arguments,
        may_write: Some(shown.iter().map(|(_, pointer, _)| *pointer).collect()),
    };
    Ok((launch, shown))
}

/// The first numbers of what may have been written.
fn results(
    number: usize,
    at: Pointer,
    spec: &TensorSpec,
    memory: &Memory,
) -> anyhow::Result<String> {
    let mut tensor = Tensor::zeroed(spec.clone());
    let len = spec.bytes().0 as usize;
    tensor.bytes[..len].copy_from_slice(&memory.read(at, len)?);
    let mut words = Vec::new();
    for i in 0..spec.len().min(8) {
        let size = spec.dtype.size();
        let written = memory.is_written(at.offset((i * size) as i64), size)?;
        words.push(if written { tensor.get(i).to_string() } else { "?".into() });
    }
    let more = if spec.len() > 8 { " …" } else { "" };
    Ok(format!("argument {number}: {}{more}\n", words.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_numbers_or_memory() {
        assert_eq!("u32:5".parse(), Ok(Given::Number(Argument::from(5u32))));
        let memory = Given::Memory { filled: false, written: true, dtype: DType::Bf16, len: 7 };
        assert_eq!("out:bf16:7".parse(), Ok(memory));
        for bad in ["5", "u32:x", "in:f32", "to:f32:3", "in:f33:3", "u32:-1"] {
            assert!(bad.parse::<Given>().is_err(), "{bad}");
        }
        assert_eq!("3,2".parse(), Ok(Dim([3, 2, 1])));
        for bad in ["", "0", "1,2,3,4", "a"] {
            assert!(bad.parse::<Dim>().is_err(), "{bad}");
        }
    }
}
