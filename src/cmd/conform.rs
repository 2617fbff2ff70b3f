//! `scalemark conform`: the simulator and a GPU, instruction by instruction.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use ptxsim::conformance::{Block, Difference, ENTRY, blocks};

use crate::device::cuda::driver::{Context, Image, Shape};
use crate::device::cuda::driver_of;
use crate::device::cuda::owned::{Buffer, Module};
use crate::device::{DeviceName, Gpus};
use crate::error::{Error, Result};

/// Options of `conform`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  scalemark conform
  scalemark conform --only fma.rn --show 5

Every block of the simulator's conformance tables is launched on both. Integer, conversion and IEEE arithmetic
must agree bit by bit, approximate functions and floating-point tensor cores within the bounds that ptxsim's documentation
states. Exit code 0 when all agree, 1 when something differs, 3 where there is no GPU")]
pub struct Args {
    /// The GPU, by its number
    #[arg(long, default_value_t = 0)]
    gpu: u32,
    /// Its driver, by a device of it: cuda, or one of the fake driver, with which the simulator is compared with itself
    #[arg(long, default_value = "cuda", value_name = "DEVICE")]
    device: DeviceName,
    /// Only blocks whose group or text has this in it: convert, product, fma.rn
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Differences to print
    #[arg(long, default_value_t = 20, value_name = "N")]
    show: usize,
}

/// Who executes blocks.
trait Executor {
    /// Runs a block's kernel over its memory; what is there afterwards.
    fn execute(&mut self, block: &Block, ptx: &str) -> Result<Vec<u8>>;
}

/// The simulator.
struct Simulator;

impl Executor for Simulator {
    fn execute(&mut self, block: &Block, ptx: &str) -> Result<Vec<u8>> {
        let simulated = block.simulate(ptx);
        let (memory, _) = simulated.map_err(|e| Error::Worker(format!("the simulator: {e}")))?;
        Ok(memory)
    }
}

/// A GPU.
struct OnGpu(Arc<dyn Context>);

impl Executor for OnGpu {
    fn execute(&mut self, block: &Block, ptx: &str) -> Result<Vec<u8>> {
        let module = Module::load(&self.0, &Image { cubin: &[], ptx })?;
        let function = module.function(ENTRY, 0)?;
        let rows = Buffer::of(&self.0, &block.memory)?;
        let mut arguments = vec![rows.address.0.to_le_bytes().to_vec()];
        for map in &block.maps {
            arguments.push(self.0.tensor_map(map, rows.address)?.to_vec());
        }
        let arguments: Vec<&[u8]> = arguments.iter().map(Vec::as_slice).collect();
        let (grid, threads) = ([block.grid, 1, 1], [block.threads, 1, 1]);
        let cluster = (block.cluster != 1).then_some([block.cluster, 1, 1]);
        let shape = Shape { grid, block: threads, cluster, shared: 0 };
        // SAFETY: a block's kernel takes one address, of as many bytes as its memory has, and maps of these bytes; it accesses
        // nothing else.
        unsafe { self.0.launch(function, &shape, &arguments) }?;
        rows.download()
    }
}

/// What came of one group of blocks.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    blocks: usize,
    results: usize,
    different: usize,
    /// Blocks that the GPU has no instructions for.
    lacking: usize,
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
        let (simulated, measured) = (run(simulator)?, run(gpu)?);
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
    let DeviceName::Gpus(Gpus { driver, .. }) = args.device else {
        anyhow::bail!("--device {}: a GPU is compared with the simulator; write cuda", args.device);
    };
    let context = driver_of(driver).and_then(|driver| driver.open(args.gpu));
    let mut gpu = match context {
        Ok(context) => OnGpu(context),
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
    let attributes = gpu.0.attributes();
    let name = format!("{} (sm_{})", attributes.name, attributes.capability);
    let capability = attributes.capability;
    let (tallies, differences) = compare(&all, capability, &mut Simulator, &mut gpu)?;
    let mut out = String::new();
    for difference in differences.iter().take(args.show) {
        out += &format!("{difference}\n");
    }
    if differences.len() > args.show {
        out += &format!("… and {} more\n", differences.len() - args.show);
    }
    for (group, tally) in &tallies {
        let Tally { blocks, results, different, lacking } = tally;
        out += &format!("{group:<12} {blocks:>4} blocks {results:>6} results, {different} differ");
        out += &match lacking {
            0 => "\n".into(),
            n => format!("; {n} blocks are for other GPUs\n"),
        };
    }
    out += &match differences.len() {
        0 => format!("the simulator and {name} agree\n"),
        n => format!("the simulator and {name} differ in {n} results\n"),
    };
    super::show(&out)?;
    Ok(ExitCode::from(u8::from(!differences.is_empty())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A GPU that computes as the simulator does, but for one bit of one block.
    struct Planted(&'static str);

    impl Executor for Planted {
        fn execute(&mut self, block: &Block, ptx: &str) -> Result<Vec<u8>> {
            let mut memory = Simulator.execute(block, ptx)?;
            if block.name == self.0 {
                memory[block.results[2].offset] ^= 1;
            }
            Ok(memory)
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
