//! From a launch to a report: checks of the launch, host threads, and the merging of what they found.
//!
//! Where nothing in the program lets blocks talk to each other through global memory, clusters are independent: host
//! threads take them one by one, each with a schedule of its own seed. Otherwise all resident clusters run
//! interleaved on one host thread. Results, counters and findings are the same for any number of host threads.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Machine;
use super::machine::{Random, Shape};
use super::start::Templates;
use crate::ast::Init;
use crate::check::{self, Checker, Clash, Plan, Trace};
use crate::count::Counter;
use crate::error::{Error, Finding, Result};
use crate::launch::{Launch, Options, Report};
use crate::memory::{Allocation, Image, Memory, Pointer};
use crate::module::Module;
use crate::program::Program;

/// Most shared memory of a block: what the largest of today's devices gives, in bytes.
const MOST_SHARED: u32 = 228 * 1024;

/// Executes a launch to its end.
///
/// # Errors
/// [`Error::Unsupported`] where the entry holds an instruction that is not executed; [`Error::Launch`] where the
/// launch does not fit; [`Error::Finding`] for the first mistake, in order of blocks, that ends the execution.
pub fn run(
    module: &Module,
    launch: &Launch,
    memory: &mut Memory,
    options: &Options,
) -> Result<Report> {
    let program = module.program(&launch.entry)?;
    let variables = module.variables(&program, memory)?;
    let shape = shape(&program, launch)?;
    let parameters = parameters(&program, launch)?;
    let may_write = may_write(launch, memory, &variables)?;
    let job = Job {
        program: &program,
        memory,
        parameters: &parameters,
        may_write: may_write.as_deref(),
        shape,
        options,
        templates: Templates::new(&program, &variables),
        plan: options.checks.registers.then(|| Plan::new(&program)),
        count: Mutex::new(Counter::new(&program, options.lines)),
    };
    let before = job.image();
    let clusters: u64 = (0..3).map(|k| (shape.grid[k] / shape.cluster[k]) as u64).product();
    let parts =
        if program.communicates { vec![job.together(clusters)] } else { job.apart(clusters) };
    job.report(parts, before.as_ref())
}

/// What all host threads share.
struct Job<'a> {
    program: &'a Program,
    memory: &'a Memory,
    parameters: &'a [u8],
    may_write: Option<&'a [bool]>,
    shape: Shape,
    options: &'a Options,
    templates: Templates,
    plan: Option<Plan>,
    /// What all machines that have ended came to.
    count: Mutex<Counter>,
}

/// What one machine came to.
struct Part {
    /// The first cluster that it ran.
    cluster: u64,
    end: Result<(), Box<Finding>>,
    findings: Vec<Finding>,
    output: String,
    outcome: check::Outcome,
}

impl<'a> Job<'a> {
    fn counter(&self) -> Counter {
        Counter::new(self.program, self.options.lines)
    }

    fn machine(&'a self, number: u64) -> Machine<'a> {
        Machine {
            program: self.program,
            memory: self.memory,
            parameters: self.parameters,
            may_write: self.may_write,
            shape: self.shape,
            options: self.options,
            clusters: Vec::new(),
            pending: Vec::new(),
            random: Random::new(self.options.seed, number),
            check: Checker::new(self.program, self.plan.as_ref(), &self.shape, self.options),
            count: self.counter(),
            findings: Vec::new(),
            output: String::new(),
            executed: 0,
            progress: 0,
            tickets: 0,
            templates: &self.templates,
        }
    }

    fn part(&self, mut machine: Machine, cluster: u64, next: impl FnMut() -> Option<u64>) -> Part {
        let end = machine.run(next);
        let outcome = machine.check.finish();
        let Machine { findings, count, output, .. } = machine;
        // Sums: whose come first changes nothing.
        self.count.lock().expect("no thread panics while it adds").merge(&count);
        Part { cluster, end, findings, output, outcome }
    }

    /// All clusters on one host thread, as many at a time as are resident.
    fn together(&self, clusters: u64) -> Part {
        let mut machine = self.machine(0);
        let blocks: u64 = self.shape.cluster.iter().map(|n| *n as u64).product();
        let resident = (self.options.resident as u64 / blocks).clamp(1, clusters);
        (0..resident).for_each(|index| _ = machine.start(index));
        let mut rest = resident..clusters;
        self.part(machine, 0, || rest.next())
    }

    /// Cluster by cluster, on all host threads. After a mistake only clusters before it are still of interest.
    fn apart(&self, clusters: u64) -> Vec<Part> {
        let (next, failed) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
        let parts = Mutex::new(Vec::new());
        let work = || {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= clusters || index > failed.load(Ordering::Relaxed) {
                    return;
                }
                let mut machine = self.machine(index);
                machine.start(index);
                let part = self.part(machine, index, || None);
                if part.end.is_err() {
                    failed.fetch_min(index, Ordering::Relaxed);
                }
                parts.lock().expect("no thread panics while it holds the list").push(part);
            }
        };
        let cores = || std::thread::available_parallelism().map_or(1, |n| n.get());
        let threads = if self.options.threads == 0 { cores() } else { self.options.threads };
        let threads = threads.min(clusters as usize);
        if threads <= 1 {
            work();
        } else {
            std::thread::scope(|scope| (0..threads).for_each(|_| _ = scope.spawn(work)));
        }
        let mut parts = parts.into_inner().expect("no thread panics while it holds the list");
        parts.sort_by_key(|part| part.cluster);
        parts
    }

    /// What the kernel may change, where races of independent clusters are looked for: to run some of them again.
    fn image(&self) -> Option<Image> {
        let apart = !self.program.communicates && self.shape.grid != self.shape.cluster;
        let may = |k: usize, allocation: &Allocation| {
            allocation.writable && self.may_write.is_none_or(|may| may[k])
        };
        (apart && self.options.checks.races).then(|| self.memory.image(may))
    }

    /// Runs clusters again that touch the same bytes, to tell who does.
    fn locate(&self, outcomes: &[check::Outcome], numbers: &[u64], before: &Image) -> Vec<Finding> {
        let clashes = check::clashes(outcomes);
        if clashes.is_empty() {
            return Vec::new();
        }
        let after = self.image();
        let mut traces = HashMap::new();
        for index in clashes.iter().flat_map(|clash| clash.sides.map(|side| side.0)) {
            let bytes = || {
                let own = clashes.iter().filter(|c| c.sides.iter().any(|side| side.0 == index));
                own.map(|clash| clash.byte).collect()
            };
            traces.entry(index).or_insert_with(|| {
                self.memory.restore(before);
                self.trace(numbers[index], bytes())
            });
        }
        after.iter().for_each(|after| self.memory.restore(after));
        let finding = |clash: &Clash| {
            let found = clash.sides.map(|(index, writes, _)| {
                let same = |t: &&Trace| (t.byte, t.writes) == (clash.byte, writes);
                traces[&index].iter().find(same).copied()
            });
            clash.finding(found, outcomes, self.program, self.memory)
        };
        clashes.iter().map(finding).collect()
    }

    /// The accesses of a cluster to bytes of global memory.
    fn trace(&self, number: u64, bytes: Vec<(usize, u64)>) -> Vec<Trace> {
        let mut machine = self.machine(number);
        machine.check.watch(bytes);
        machine.start(number);
        // It ended well before; should it not do so now, what came until then counts.
        let _ = machine.run(|| None);
        let ids: Vec<[u32; 3]> = machine.clusters[0].blocks.iter().map(|block| block.id).collect();
        let named = |trace: Trace| Trace { block: ids[trace.block[0] as usize], ..trace };
        machine.check.traces().into_iter().map(named).collect()
    }

    fn report(&self, parts: Vec<Part>, before: Option<&Image>) -> Result<Report> {
        let mut report = Report::default();
        let (mut outcomes, mut numbers) = (Vec::new(), Vec::new());
        for part in parts {
            if let Err(mut finding) = part.end {
                finding.message += &note(&report.findings, &part.findings);
                return Err(Error::Finding(finding));
            }
            for finding in part.findings {
                let same = |f: &&mut Finding| {
                    f.kind == finding.kind
                        && f.line == finding.line
                        && f.instruction == finding.instruction
                };
                match report.findings.iter_mut().find(same) {
                    Some(known) => known.count += finding.count,
                    None => report.findings.push(finding),
                }
            }
            report.output += &part.output;
            outcomes.push(part.outcome);
            numbers.push(part.cluster);
        }
        if let Some(before) = before {
            report.findings.extend(self.locate(&outcomes, &numbers, before));
        }
        let count = self.count.lock().expect("no thread panics while it adds");
        report.counters = count.finish(self.program);
        report.instructions = count.instructions(self.program);
        Ok(report)
    }
}

/// Findings before the one that ended the execution often explain it.
fn note(before: &[Finding], here: &[Finding]) -> String {
    before.iter().chain(here).map(|finding| format!("\n  before that: {finding}")).collect()
}

fn shape(program: &Program, launch: &Launch) -> Result<Shape> {
    let name = &launch.entry;
    let error = |message: String| Err(Error::Launch(message));
    let Launch { grid, block, .. } = *launch;
    if grid.contains(&0) || block.contains(&0) {
        return error(format!("{name}: grid {grid:?} and block {block:?} must not have a 0"));
    }
    if grid[0] >= 1 << 31 || grid[1] > 65535 || grid[2] > 65535 {
        return error(format!("{name}: grid {grid:?} is larger than a grid may be"));
    }
    let threads = block.iter().map(|n| *n as u64).product::<u64>();
    if threads > 1024 || block[2] > 64 {
        return error(format!("{name}: block {block:?} is larger than a block may be"));
    }
    if threads > program.max_threads as u64 {
        return error(format!(
            "{name}: {threads} threads a block, but .maxntid allows {}",
            program.max_threads
        ));
    }
    if let Some(required) = program.required_block
        && required != block
    {
        return error(format!("{name}: block {block:?}, but .reqntid is {required:?}"));
    }
    let explicit_cluster = launch.cluster.or(program.cluster).is_some();
    let cluster = launch.cluster.or(program.cluster).unwrap_or([1; 3]);
    if let Some(required) = program.cluster
        && required != cluster
    {
        return error(format!(
            "{name}: cluster {cluster:?}, but .reqnctapercluster is {required:?}"
        ));
    }
    if cluster.contains(&0) || cluster.iter().product::<u32>() > 16 {
        return error(format!("{name}: cluster {cluster:?} must have 1 to 16 blocks"));
    }
    if (0..3).any(|k| !grid[k].is_multiple_of(cluster[k])) {
        return error(format!("{name}: grid {grid:?} is no multiple of cluster {cluster:?}"));
    }
    // Without dynamic shared memory nothing lies behind the last variable.
    let dynamic = match launch.shared {
        0 => program.shared,
        _ => program.shared.next_multiple_of(program.shared_align),
    };
    let shared = dynamic.saturating_add(launch.shared);
    if shared > MOST_SHARED {
        return error(format!(
            "{name}: {shared} bytes of shared memory a block are more than {MOST_SHARED}"
        ));
    }
    Ok(Shape { grid, block, cluster, explicit_cluster, shared, dynamic })
}

fn parameters(program: &Program, launch: &Launch) -> Result<Vec<u8>> {
    let (given, wanted) = (&launch.arguments, &program.parameters);
    if given.len() != wanted.len() {
        let message =
            format!("{} takes {} arguments, not {}", launch.entry, wanted.len(), given.len());
        return Err(Error::Launch(message));
    }
    let mut bytes = vec![0; program.parameter_bytes as usize];
    for (k, (argument, parameter)) in given.iter().zip(wanted).enumerate() {
        if argument.0.len() != parameter.len as usize {
            let (has, takes) = (argument.0.len(), parameter.len);
            return Err(Error::Launch(format!(
                "argument {k} of {} has {has} bytes, but the parameter has {takes}",
                launch.entry
            )));
        }
        bytes[parameter.offset as usize..][..argument.0.len()].copy_from_slice(&argument.0);
    }
    Ok(bytes)
}

/// By allocation: whether the kernel may write it. Variables of the module may always be written.
fn may_write(launch: &Launch, memory: &Memory, variables: &[Pointer]) -> Result<Option<Vec<bool>>> {
    let Some(list) = &launch.may_write else { return Ok(None) };
    let mut may = vec![false; memory.len()];
    for pointer in list.iter().chain(variables) {
        match memory.find(pointer.0) {
            Some((index, ..)) => may[index] = true,
            None => {
                return Err(Error::Launch(format!(
                    "may_write names {:#x}, which is no allocation",
                    pointer.0
                )));
            }
        }
    }
    Ok(Some(may))
}

/// The bytes of an initializer; `address` gives that of a symbol.
pub(crate) fn initial(
    init: &[Init],
    element: usize,
    bytes: &mut [u8],
    mut address: impl FnMut(&str, bool) -> Result<u64>,
) -> Result<()> {
    for (value, slot) in init.iter().zip(bytes.chunks_mut(element.max(1))) {
        let value = match value {
            Init::Integer(value) => *value as u64,
            Init::Float(bits) if element == 4 && *bits >> 32 != 0 => {
                // A decimal number is kept as a double.
                (f64::from_bits(*bits) as f32).to_bits() as u64
            }
            Init::Float(bits) => *bits,
            Init::Symbol { name, offset, generic } => {
                address(name, *generic)?.wrapping_add_signed(*offset)
            }
        };
        let len = slot.len().min(8);
        slot[..len].copy_from_slice(&value.to_le_bytes()[..len]);
    }
    Ok(())
}
