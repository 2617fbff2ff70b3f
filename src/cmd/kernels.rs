//! `scalemark kernels`: what every CUDA kernel takes of a multiprocessor, from its compilation; needs no GPU.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use comfy_table::{CellAlignment, Table, presets};
use ptxsim::occupancy::occupancy;
use serde::Serialize;

use crate::device::sim;
use crate::kernels::cuda::{Architecture, Plan};
use crate::kernels::{CudaKernel, Registry};
use crate::nvrtc::{Compiler, Resources};
use crate::plan::select::Selection;

/// Options of `kernels`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  scalemark kernels                                 every CUDA kernel on Hopper
  scalemark kernels --kernel 'optimizer/*' --arch sm_80,sm_90a --json
  scalemark kernels --kernel matmul/mma --arch sm_120a

Where a kernel has variants (a rule, a dtype, a layout each), the most that any of them takes is shown")]
pub struct Args {
    /// Architectures to compile for
    #[arg(long, value_delimiter = ',', default_value = "sm_90a", value_name = "ARCH")]
    arch: Vec<Architecture>,
    /// Only these kernels; * and ? match anything
    #[arg(long, value_delimiter = ',', value_name = "GLOB")]
    kernel: Vec<String>,
    /// The library NVRTC, or the folder that it is in [default: searched for]
    #[arg(long, value_name = "PATH")]
    nvrtc: Option<PathBuf>,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Row {
    kernel: &'static str,
    architecture: String,
    variants: usize,
    entry: String,
    registers: u32,
    shared_bytes: u32,
    stack_bytes: u32,
    spill_bytes: u32,
    /// Resident warps over those that could be; none where the architecture's limits are not known.
    occupancy: Option<f64>,
}

/// Compiles the chosen kernels, and prints their resources.
///
/// # Errors
/// Where there is no NVRTC, a pattern matches nothing, or a kernel does not compile.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let compiler = Compiler::find(args.nvrtc.as_deref())?;
    let selection = Selection { kernel: args.kernel, ..Selection::default() };
    let kernels = selection.kernels(&Registry::cuda())?;
    let mut rows = Vec::new();
    let mut refusals = Vec::new();
    for kernel in kernels.iter().filter_map(|k| k.as_cuda()) {
        for &architecture in &args.arch {
            let refused = kernel.needs.refuses(architecture);
            match refused.or_else(|| compiler.refuses(&architecture.to_string())) {
                Some(reason) => refusals.push(format!("{} refused: {reason}", kernel.id)),
                None => rows.extend(resources(&compiler, kernel, architecture)?),
            }
        }
    }
    let text = if args.json { serde_json::to_string_pretty(&rows)? } else { table(&rows) };
    super::show(&format!("{text}\n"))?;
    if !args.json {
        let (major, minor) = compiler.version;
        let (rule, path) = (compiler.rule, compiler.path.display());
        super::note(&format!("NVRTC {major}.{minor} from {rule}: {path}"));
        refusals.iter().for_each(|line| super::note(line));
    }
    Ok(ExitCode::SUCCESS)
}

/// The most that any variant takes, by entry.
fn resources(
    compiler: &Compiler,
    kernel: &CudaKernel,
    architecture: Architecture,
) -> crate::Result<Vec<Row>> {
    let plans: Vec<Plan> =
        (kernel.variants)().iter().map(|case| (kernel.plan)(case, architecture)).collect();
    let mut defines: Vec<Vec<String>> = plans.iter().map(|plan| plan.defines.clone()).collect();
    defines.sort();
    defines.dedup();
    let mut most: BTreeMap<String, Resources> = BTreeMap::new();
    for defines in &defines {
        let built = compiler.compile(&kernel.source(), &architecture.to_string(), defines)?;
        for one in built.resources {
            let most = most.entry(one.entry.clone()).or_insert_with(|| one.clone());
            most.registers = most.registers.max(one.registers);
            most.shared = most.shared.max(one.shared);
            most.barriers = most.barriers.max(one.barriers);
            most.stack = most.stack.max(one.stack);
            most.spill_stores = most.spill_stores.max(one.spill_stores);
            most.spill_loads = most.spill_loads.max(one.spill_loads);
        }
    }
    // The least that any launch of the entry leaves room for.
    let occupancy_of = |one: &Resources| {
        let steps = plans.iter().flat_map(|plan| &plan.steps).filter(|s| s.entry == one.entry);
        let shares = steps.filter_map(|step| {
            let block = sim::footprint(one, step.block, step.shared);
            Some(occupancy(architecture.number, block)?.share)
        });
        shares.min_by(f64::total_cmp)
    };
    let row = |one: Resources| Row {
        occupancy: occupancy_of(&one),
        kernel: kernel.id,
        architecture: architecture.to_string(),
        variants: defines.len(),
        entry: one.entry,
        registers: one.registers,
        shared_bytes: one.shared,
        stack_bytes: one.stack,
        spill_bytes: one.spill_stores + one.spill_loads,
    };
    Ok(most.into_values().map(row).collect())
}

fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header([
        "kernel",
        "arch",
        "variants",
        "entry",
        "registers",
        "shared",
        "stack",
        "spills",
        "occupancy",
    ]);
    for column in [2, 4, 5, 6, 7, 8] {
        table
            .column_mut(column)
            .expect("the header has nine columns")
            .set_cell_alignment(CellAlignment::Right);
    }
    for row in rows {
        table.add_row([
            row.kernel.to_owned(),
            row.architecture.clone(),
            row.variants.to_string(),
            row.entry.clone(),
            row.registers.to_string(),
            row.shared_bytes.to_string(),
            row.stack_bytes.to_string(),
            row.spill_bytes.to_string(),
            row.occupancy.map_or("–".into(), |share| format!("{:.0} %", 100.0 * share)),
        ]);
    }
    table.trim_fmt()
}
