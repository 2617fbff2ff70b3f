//! `scalemark conform`: the simulator and a GPU, instruction by instruction.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::Context;
use ptxsim::conformance::{Block, Difference, ENTRY, Map, blocks};

use crate::device::cuda::{Gpu, Shape};
use crate::error::{Error, Result};

/// Options of `conform`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Every block of the simulator's conformance tables is launched on both. Integer, conversion and IEEE arithmetic
must agree bit by bit, approximate functions and floating-point tensor cores within the bounds that ptxsim's documentation
states. Exit code 0 when all agree, 1 when something differs, 3 where there is no GPU"
)]
pub struct Args {
    /// The GPU, by its number
    #[arg(long, default_value_t = 0)]
    gpu: u32,
    /// Only blocks whose group or text has this in it: convert, product, fma.rn
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Differences to print
    #[arg(long, default_value_t = 20, value_name = "N")]
    show: usize,
}

/// What came of a block's kernel.
enum Ran {
    /// What its buffer holds afterwards.
    Memory(Vec<u8>),
    /// Nothing: why it was not launched.
    Unable(&'static str),
}

/// Who executes blocks.
trait Executor {
    /// Runs a block's kernel over its memory.
    fn execute(&mut self, block: &Block, ptx: &str) -> Result<Ran>;
}

/// The simulator.
struct Simulator;

impl Executor for Simulator {
    fn execute(&mut self, block: &Block, ptx: &str) -> Result<Ran> {
        let simulated = block.simulate(ptx);
        let (memory, _) = simulated.map_err(|e| Error::Worker(format!("the simulator: {e}")))?;
        Ok(Ran::Memory(memory))
    }
}

impl Executor for Gpu {
    fn execute(&mut self, block: &Block, ptx: &str) -> Result<Ran> {
        let rows = self.upload(&block.memory)?;
        let mut arguments = vec![rows.address.to_le_bytes().to_vec()];
        for map in &block.maps {
            match tensor_map(self, map, rows.address)? {
                Some(image) => arguments.push(image.to_vec()),
                None => return Ok(Ran::Unable(NO_MAPS)),
            }
        }
        let module = self.load(ptx)?;
        let function = module.function(ENTRY)?;
        let shape = Shape { grid: [block.grid, 1, 1], block: [block.threads, 1, 1], shared: 0 };
        let arguments: Vec<&[u8]> = arguments.iter().map(Vec::as_slice).collect();
        // SAFETY: a block's kernel takes one address, of as many bytes as its memory has, and maps of these bytes; it accesses
        // nothing else.
        unsafe { self.launch(&function, shape, &arguments) }?;
        Ok(Ran::Memory(rows.download()?))
    }
}

/// Why blocks with tensor maps are not launched.
const NO_MAPS: &str = "the driver's cuTensorMapEncodeTiled is not called from here yet";

/// The 128 bytes that the driver makes of a map of a buffer at `address`; nothing where it cannot be asked.
fn tensor_map(_: &Gpu, _: &Map, _: u64) -> Result<Option<[u8; 128]>> {
    Ok(None)
}

/// What came of one group of blocks.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    blocks: usize,
    results: usize,
    different: usize,
    /// Blocks that the GPU has no instructions for.
    lacking: usize,
    /// Blocks that one side could not launch, and why.
    unable: BTreeMap<&'static str, usize>,
}

/// Runs blocks on both sides as GPUs of this compute capability would.
///
/// # Errors
/// Where a block does not run at all, with its name.
fn compare(
    blocks: &[Block],
    capability: u32,
    simulator: &mut dyn Executor,
    gpu: &mut dyn Executor,
) -> anyhow::Result<(BTreeMap<&'static str, Tally>, Vec<Difference>)> {
    let (mut tallies, mut differences) = (BTreeMap::<_, Tally>::new(), Vec::new());
    for block in blocks {
        let tally = tallies.entry(block.group).or_default();
        let Some(ptx) = block.ptx(capability) else {
            tally.lacking += 1;
            continue;
        };
        let run = |on: &mut dyn Executor| {
            on.execute(block, &ptx).with_context(|| format!("`{}` does not run", block.name))
        };
        let (simulated, measured) = match (run(simulator)?, run(gpu)?) {
            (Ran::Memory(simulated), Ran::Memory(measured)) => (simulated, measured),
            (Ran::Unable(why), _) | (_, Ran::Unable(why)) => {
                *tally.unable.entry(why).or_default() += 1;
                continue;
            }
        };
        let found = block.compare(&simulated, &measured);
        tally.blocks += 1;
        tally.results += block.results.len();
        tally.different += found.len();
        differences.extend(found);
    }
    Ok((tallies, differences))
}

/// Compares, and prints a line a group and the first differences.
///
/// # Errors
/// Where a block does not run at all.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut gpu = match Gpu::open(args.gpu) {
        Ok(gpu) => gpu,
        Err(error) => {
            super::note(&format!("nothing to compare the simulator with: {error}"));
            return Ok(ExitCode::from(3));
        }
    };
    let mut all = blocks();
    if let Some(only) = &args.only {
        let mut groups: Vec<&str> = all.iter().map(|block| block.group).collect();
        groups.dedup();
        all.retain(|block| block.group.contains(only.as_str()) || block.name.contains(only));
        anyhow::ensure!(
            !all.is_empty(),
            "no block has `{only}` in its group or text; groups are {}",
            groups.join(", ")
        );
    }
    let name = format!("{} (sm_{})", gpu.name, gpu.capability);
    let capability = gpu.capability;
    let (tallies, differences) = compare(&all, capability, &mut Simulator, &mut gpu)?;
    let mut out = String::new();
    for difference in differences.iter().take(args.show) {
        out += &format!("{difference}\n");
    }
    if differences.len() > args.show {
        out += &format!("… and {} more\n", differences.len() - args.show);
    }
    for (group, tally) in &tallies {
        out += &line(group, tally);
    }
    let skipped: usize = tallies.values().flat_map(|tally| tally.unable.values()).sum();
    out += &match (differences.len(), skipped) {
        (0, 0) => format!("the simulator and {name} agree\n"),
        (0, n) => format!("the simulator and {name} agree; {n} blocks were not compared\n"),
        (d, 0) => format!("the simulator and {name} differ in {d} results\n"),
        (d, n) => format!(
            "the simulator and {name} differ in {d} results; {n} blocks were not compared\n"
        ),
    };
    super::show(&out)?;
    Ok(ExitCode::from(u8::from(!differences.is_empty())))
}

/// What came of a group, in words.
fn line(group: &str, tally: &Tally) -> String {
    let Tally { blocks, results, different, lacking, unable } = tally;
    let mut line =
        format!("{group:<12} {blocks:>4} blocks {results:>6} results, {different} differ");
    if *lacking > 0 {
        line += &format!("; {lacking} blocks are for other GPUs");
    }
    for (why, count) in unable {
        line += &format!("; {count} blocks not compared: {why}");
    }
    line + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A GPU that computes as the simulator does, but for one bit of one block.
    struct Planted(&'static str);

    impl Executor for Planted {
        fn execute(&mut self, block: &Block, ptx: &str) -> Result<Ran> {
            let mut ran = Simulator.execute(block, ptx)?;
            if let Ran::Memory(memory) = &mut ran
                && block.name == self.0
            {
                memory[block.results[2].offset] ^= 1;
            }
            Ok(ran)
        }
    }

    /// A GPU whose driver makes no tensor maps.
    struct Mapless;

    impl Executor for Mapless {
        fn execute(&mut self, block: &Block, ptx: &str) -> Result<Ran> {
            match block.maps.is_empty() {
                true => Simulator.execute(block, ptx),
                false => Ok(Ran::Unable(NO_MAPS)),
            }
        }
    }

    fn some(text: &str) -> Vec<Block> {
        blocks().into_iter().filter(|block| block.name.contains(text)).collect()
    }

    #[test]
    fn the_simulator_agrees_with_itself_on_every_block() {
        let all = blocks();
        let (tallies, differences) =
            compare(&all, 90, &mut Simulator, &mut Simulator).expect("all run");
        assert_eq!(differences, []);
        let count = |f: fn(&Tally) -> usize| tallies.values().map(f).sum::<usize>();
        assert!(count(|t| t.blocks) > 900 && count(|t| t.results) > 25_000, "{tallies:?}");
        // Packed f32 is for later GPUs.
        assert_eq!(count(|t| t.lacking), 4);
    }

    #[test]
    fn a_planted_difference_is_told_by_its_block() {
        let blocks = some("mul.hi");
        let planted = "mul.hi.u32 d, a, b;";
        let (tallies, differences) =
            compare(&blocks, 80, &mut Simulator, &mut Planted(planted)).expect("all run");
        assert_eq!(differences.len(), 1);
        assert_eq!(differences[0].block, planted);
        assert!(differences[0].to_string().contains("thread 2 of"), "{}", differences[0]);
        assert_eq!(tallies["integer"].different, 1);
    }

    #[test]
    fn blocks_that_one_side_cannot_launch_are_told_and_not_counted() {
        let blocks = some("cp.async.bulk");
        let maps = blocks.iter().filter(|block| !block.maps.is_empty()).count();
        assert!(maps > 20 && maps < blocks.len(), "{maps} of {}", blocks.len());
        let (tallies, differences) =
            compare(&blocks, 90, &mut Simulator, &mut Mapless).expect("all others run");
        assert_eq!(differences, []);
        let tally = &tallies["tensor"];
        assert_eq!((tally.blocks, tally.results), (0, 0));
        let words = line("tensor", tally);
        assert!(words.contains(&format!("{maps} blocks not compared: {NO_MAPS}")), "{words}");
        assert_eq!(tallies["grid"].blocks, blocks.len() - maps);
        assert!(!line("grid", &tallies["grid"]).contains("not compared"));
    }

    #[test]
    fn a_last_bit_of_a_tensor_core_or_of_an_approximation_is_no_difference() {
        for name in
            ["mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32", "ex2.approx.ftz.f32 d, a;"]
        {
            let blocks: Vec<Block> =
                some(name).into_iter().filter(|block| block.group != "float").collect();
            let (_, differences) =
                compare(&blocks, 90, &mut Simulator, &mut Planted(name)).expect("all run");
            assert_eq!(differences, [], "{name}");
        }
    }
}
