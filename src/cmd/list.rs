//! `scalemark list`: what there is to measure, without measuring it.

use std::process::ExitCode;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::external::External;
use super::run_gpu;
use super::simulate::Pace;
use crate::device::cpu::detect_capabilities;
use crate::device::{Capabilities, DeviceName, cuda};
use crate::kernels::{Kernel, Registry};
use crate::ops::Case;
use crate::plan::Planned;
use crate::plan::estimate::{Basis, Estimator};
use crate::plan::select::Selection;
use crate::units::Nanos;

/// Options of `list`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  scalemark list                                       suite quick on this machine
  scalemark list --model llama-3-8b --dtype bf16       the parts of a model
  scalemark list --op attention --json | jq '.[].case_key'
  scalemark list --suite full --estimate               with predicted times
  scalemark list --suite sim --device sim:sm_80        the CUDA kernels that an A100 would take")]
pub struct Args {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    external: External,
    /// Whose kernels: cpu, sim with an architecture as in sim:sm_80, or a GPU as cuda:0 [default: cpu]
    #[arg(long, default_value_t, hide_default_value = true, value_name = "DEVICE")]
    device: DeviceName,
    /// Add the predicted time of a launch, from nominal rates of this machine; of a simulation, the time that it takes
    #[arg(long)]
    estimate: bool,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Row {
    case_key: String,
    models: Vec<String>,
    flops: u64,
    min_bytes: u64,
    memory_bytes: u64,
    kernels: Vec<Taker>,
}

#[derive(Serialize)]
struct Taker {
    kernel: String,
    about: String,
    refused: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimated_ns: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimate_basis: Option<&'static str>,
}

/// Lists cases with their sizes, work and memory, and the kernels that take or refuse them.
///
/// # Errors
/// On usage errors, and when standard output is closed.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let capabilities = match args.device {
        DeviceName::Gpus(gpus) => cuda::capabilities_of(&cuda::of(gpus)?[0]),
        _ => detect_capabilities(),
    };
    let threads = if args.device == DeviceName::Cpu { capabilities.threads } else { 1 };
    let planned = args.selection.cases(threads)?;
    let registry = match args.device {
        DeviceName::Cpu => args.external.join(Registry::default(), "cpu")?.registry,
        DeviceName::Gpus(_) => {
            args.external.join(Registry::cuda(), &run_gpu::for_programs(0))?.registry
        }
        DeviceName::Sim(_) => Registry::cuda(),
    };
    let scope = Scope {
        device: args.device,
        kernels: args.selection.kernels(&registry)?,
        registry,
        estimator: args.estimate.then(|| Estimator::nominal(&capabilities)),
        capabilities,
    };
    let rows: Vec<Row> = planned.iter().map(|p| scope.row(p)).collect();
    let out = if args.json { serde_json::to_string_pretty(&rows)? } else { table(&rows) };
    super::show(&format!("{out}\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// What is asked about every case.
struct Scope {
    device: DeviceName,
    registry: Registry,
    kernels: Vec<&'static dyn Kernel>,
    capabilities: Capabilities,
    estimator: Option<Estimator>,
}

impl Scope {
    fn row(&self, planned: &Planned) -> Row {
        let case = &planned.case;
        let cost = case.cost();
        let wanted = |k: &&'static dyn Kernel| {
            planned.wants(&k.id()) && self.kernels.iter().any(|w| w.id() == k.id())
        };
        Row {
            case_key: case.key(),
            models: planned.models.clone(),
            flops: cost.flops.0,
            min_bytes: cost.bytes.0,
            memory_bytes: self.capabilities.case_bytes(case).0,
            kernels: self
                .registry
                .for_case(case)
                .filter(wanted)
                .map(|kernel| self.taker(kernel, case))
                .collect(),
        }
    }

    fn taker(&self, kernel: &'static dyn Kernel, case: &Case) -> Taker {
        let id = kernel.id().0;
        let refused = match (self.device, kernel.as_cuda()) {
            (DeviceName::Sim(architecture), Some(row)) => row.refuses_on(architecture, case),
            _ => kernel.refuses(&self.capabilities, case),
        };
        let estimator = self.estimator.as_ref().filter(|_| refused.is_none());
        let simulated = kernel.as_cuda().filter(|_| matches!(self.device, DeviceName::Sim(_)));
        let prediction = estimator.map(|estimator| match simulated {
            Some(row) => (1e9 * Pace::default().estimate(row, case), "simulated"),
            None => {
                let prediction = estimator.predict(&id, case);
                let basis = match prediction.basis {
                    Basis::Measured => "measured",
                    Basis::Nominal => "nominal",
                };
                (prediction.launch.0, basis)
            }
        });
        Taker {
            kernel: id,
            about: kernel.about().to_owned(),
            refused: refused.map(|reason| reason.into_owned()),
            estimated_ns: prediction.map(|(nanos, _)| nanos),
            estimate_basis: prediction.map(|(_, basis)| basis),
        }
    }
}

fn table(rows: &[Row]) -> String {
    use crate::units::{Bytes, Flops};
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header([
        "case",
        "flops",
        "least bytes",
        "memory",
        "kernels",
    ]);
    for column in [1, 2, 3] {
        table
            .column_mut(column)
            .expect("the header has five columns")
            .set_cell_alignment(CellAlignment::Right);
    }
    let mut refusals: Vec<(String, Vec<String>)> = Vec::new();
    for row in rows {
        let mut names = Vec::new();
        for taker in &row.kernels {
            let name = taker.kernel.rsplit('/').next().unwrap_or(&taker.kernel);
            match (&taker.refused, taker.estimated_ns) {
                (None, None) => names.push(name.to_owned()),
                (None, Some(ns)) => names.push(format!("{name} ~{}", Nanos(ns))),
                (Some(reason), _) => {
                    names.push(format!("({name})"));
                    let line = format!("{}: {reason}", taker.kernel);
                    match refusals.iter_mut().find(|(known, _)| *known == line) {
                        Some((_, cases)) => cases.push(row.case_key.clone()),
                        None => refusals.push((line, vec![row.case_key.clone()])),
                    }
                }
            }
        }
        table.add_row([
            row.case_key.clone(),
            Flops(row.flops).to_string(),
            Bytes(row.min_bytes).to_string(),
            Bytes(row.memory_bytes).to_string(),
            names.join(" "),
        ]);
    }
    let mut out = table.trim_fmt();
    out.push_str(&format!("\n\n{} cases", rows.len()));
    if !refusals.is_empty() {
        out.push_str("; (refused) because:");
        for (reason, cases) in refusals {
            let on =
                if cases.len() == 1 { cases[0].clone() } else { format!("{} cases", cases.len()) };
            out.push_str(&format!("\n  {reason} — {on}"));
        }
    }
    out
}
