//! The measured peaks of `scalemark machine --peaks`.

use std::process::ExitCode;

use super::machine;
use super::run::spawns;
use crate::campaign::{Campaign, Peaks};
use crate::device::cpu::detect_capabilities;
use crate::kernels::Registry;
use crate::ops::{DType, ProbeKind, Problem};
use crate::plan::estimate::Estimator;
use crate::plan::suite::{self, Suite};
use crate::record::Record;
use crate::worker::{self, Processes};

/// Shows the machine, with what it was measured to reach where that was asked for.
///
/// # Errors
/// When a probe cannot be run, or standard output cannot be written.
pub fn run(args: machine::Args) -> anyhow::Result<ExitCode> {
    let peaks = if args.peaks { measured()? } else { Vec::new() };
    machine::run(&args, &peaks)
}

/// Every probe at one thread and at all: the best kernel's rate with its interval.
fn measured() -> anyhow::Result<Vec<(String, String)>> {
    let capabilities = detect_capabilities();
    let mut campaign = Campaign {
        device: "cpu".into(),
        capabilities: &capabilities,
        registry: Registry::default(),
        kernels: Registry::default().kernels().collect(),
        roofs_only: true,
        patterns: false,
        processes: Processes::new(spawns(&capabilities)?, 1),
        goal: Suite::Quick.goal(),
        deadline: None,
        seed: 1,
        interrupted: &|| false,
        placement: &|| None,
        peaks: Peaks::default(),
        estimator: Estimator::nominal(&capabilities),
        next_record: 1,
        scratch: worker::scratch()?,
    };
    let mut rows = Vec::new();
    for probe in suite::probes(capabilities.threads) {
        let entries = campaign.measure(&probe, 1, &|_| false)?;
        let best = entries
            .iter()
            .map(|e| &e.record)
            .filter(|r| r.timing().is_some())
            .min_by(|a, b| launch(a).total_cmp(&launch(b)));
        if let Some(row) = best.and_then(row) {
            rows.push(row);
        }
    }
    Ok(rows)
}

fn launch(record: &Record) -> f64 {
    record.timing().map_or(f64::INFINITY, |t| t.median.0)
}

/// `fma bf16, 2 threads` and `1.08 TFLOP/s ± 0.4 %, peak/simd`.
fn row(record: &Record) -> Option<(String, String)> {
    let Problem::Peak(probe) = record.case.problem else { return None };
    let rate = match probe.kind {
        ProbeKind::Fma if record.case.precision.inputs == DType::I8 => {
            record.flop_rate()?.to_string().replace("FLOP", "OP")
        }
        ProbeKind::Fma => record.flop_rate()?.to_string(),
        _ => record.byte_rate()?.to_string(),
    };
    let dtype = if probe.kind == ProbeKind::Fma {
        format!(" {}", record.case.precision.inputs)
    } else {
        String::new()
    };
    let threads = if record.case.threads == 1 {
        "1 thread".into()
    } else {
        format!("{} threads", record.case.threads)
    };
    let width = record.timing()?.relative_half_width() * 100.0;
    Some((
        format!("{}{dtype}, {threads}", probe.kind.name()),
        format!("{rate} ± {width:.1} %, {}", record.kernel),
    ))
}
