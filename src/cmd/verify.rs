//! `scalemark verify`: answers only.

use std::collections::HashMap;
use std::process::ExitCode;

use serde::Serialize;

use super::progress::Progress;
use super::run::spawns;
use crate::campaign;
use crate::check;
use crate::device::cpu::detect_capabilities;
use crate::kernels::Registry;
use crate::measure::{Crew, Job};
use crate::ops::{
    Attention, Case, Groups, Matmul, Pass, Precision, Problem, Rule, Transpose, Update,
};
use crate::plan::select::Selection;
use crate::plan::{Planned, merge};
use crate::worker::Processes;
use crate::worker::protocol::Reply;

/// Options of `verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  scalemark verify                          every kernel on awkward sizes
  scalemark verify --kernel matmul/simd -m 1,17,255,256,257 --dtype f32,bf16,int8
  scalemark verify --suite quick            the cases of a suite

Exit code 1 when an answer is wrong or a kernel fails; refusals are fine")]
pub struct Args {
    #[command(flatten)]
    selection: Selection,
    /// Seed of the operands
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    kernel: &'a str,
    case_key: &'a str,
    status: &'a str,
    detail: &'a str,
    check: Option<&'a str>,
    deviation: Option<f64>,
    tolerance: Option<f64>,
}

/// Checks every chosen kernel on every chosen case, each provider in a worker process.
///
/// # Errors
/// On usage errors, and when no temporary file can be written.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let capabilities = detect_capabilities();
    let planned = if args.selection.names_a_source() {
        args.selection.cases(capabilities.threads)?
    } else {
        args.selection.filtered(awkward(capabilities.threads), "the awkward sizes")?
    };
    let kernels = args.selection.kernels(&Registry::default())?;
    let scratch = campaign::scratch()?;
    let mut processes = Processes::new(spawns(&capabilities)?, args.seed);
    let mut progress = Progress::new(planned.len());
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let mut bad = Vec::new();
    for Planned { case, .. } in &planned {
        let key = case.key();
        progress.now(&key);
        let takers: Vec<_> = Registry::default()
            .for_case(case)
            .filter(|k| kernels.iter().any(|w| w.id() == k.id()))
            .collect();
        let expected = scratch.path().join("expected");
        let mut shared = false;
        for kernel in takers {
            let job =
                Job { kernel: kernel.id().0, provider: kernel.provider().to_owned(), case: *case };
            let (status, detail, checked) = match kernel.refuses(&capabilities, case) {
                Some(reason) => ("refused", reason.into_owned(), None),
                None => {
                    if !shared {
                        let answer = case.expected(&case.inputs(args.seed), capabilities.threads);
                        check::save_expected(&expected, &answer)?;
                        processes.expect(Some(&expected));
                        shared = true;
                    }
                    let reply = processes.prepare(0, &job);
                    let _ = processes.release(0, &job);
                    match reply {
                        Ok(Reply::Prepared { check, .. }) => ("right", String::new(), Some(check)),
                        Ok(Reply::Wrong { reason, check }) => ("wrong", reason, check),
                        Ok(Reply::Refused { reason }) => ("refused", reason, None),
                        Ok(Reply::Failed { reason }) => ("failed", reason, None),
                        Ok(other) => ("failed", format!("the worker answered {other:?}"), None),
                        Err(error) => ("failed", error.to_string(), None),
                    }
                }
            };
            *counts.entry(status).or_default() += 1;
            if args.json {
                let line = Line {
                    kernel: &job.kernel,
                    case_key: &key,
                    status,
                    detail: &detail,
                    check: checked.map(|c| if c.full { "full" } else { "sampled" }),
                    deviation: checked.map(|c| c.deviation),
                    tolerance: checked.map(|c| c.tolerance),
                };
                super::show(&(serde_json::to_string(&line)? + "\n"))?;
            }
            if matches!(status, "wrong" | "failed") {
                bad.push(format!("{status}: {} on {key}: {detail}", job.kernel));
            }
        }
        progress.step(&format!("{key}: {} wrong or failed so far", bad.len()));
    }
    progress.finish();
    for line in &bad {
        super::note(line);
    }
    let count = |status| counts.get(status).copied().unwrap_or(0);
    let (right, wrong, failed, refused) =
        (count("right"), count("wrong"), count("failed"), count("refused"));
    if !args.json {
        super::show(&format!(
            "{right} right, {wrong} wrong, {failed} failed, {refused} refused, on {} cases\n",
            planned.len()
        ))?;
    }
    Ok(if bad.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Sizes where kernels break: 1, primes, a tile and its neighbours; every op, layout, dtype, pass and head grouping.
fn awkward(threads: usize) -> Vec<Planned> {
    let mut cases = Vec::new();
    let mut add = |problem, precision, pass, threads| {
        cases.push(Planned::bare(Case { pass, threads, ..Case::new(problem, precision) }));
    };
    for precision in [Precision::F32, Precision::BF16, Precision::BF16_F32, Precision::INT8] {
        for transpose in [Transpose::Nn, Transpose::Nt, Transpose::Tn] {
            for (m, n, k) in [
                (1, 1, 1),
                (1, 127, 64),
                (31, 33, 17),
                (64, 64, 64),
                (97, 101, 103),
                (255, 257, 256),
            ] {
                let product = Matmul { transpose, ..Matmul::new(m, n, k) };
                add(Problem::Matmul(product), precision, Pass::Forward, 1);
                add(Problem::Matmul(product), precision, Pass::Forward, threads);
            }
        }
        let batched = Matmul { batch: 3, ..Matmul::new(17, 19, 23) };
        add(Problem::Matmul(batched), precision, Pass::Forward, threads);
        let groups = Some(Groups { experts: 5, skew: 1.0 });
        let grouped = Matmul { groups, transpose: Transpose::Nt, ..Matmul::new(37, 29, 31) };
        add(Problem::Matmul(grouped), precision, Pass::Forward, threads);
    }
    for precision in [Precision::F32, Precision::BF16] {
        for causal in [true, false] {
            for (heads, kv_heads, seq, head_dim) in
                [(1, 1, 1, 1), (2, 2, 67, 64), (4, 2, 129, 80), (8, 1, 64, 128)]
            {
                let square = Attention { kv_heads, ..Attention::new(heads, seq, head_dim, causal) };
                add(Problem::Attention(square), precision, Pass::Forward, threads);
                add(Problem::Attention(square), precision, Pass::Backward, threads);
                let decode = Attention { seq_q: 1, ..square };
                add(Problem::Attention(decode), precision, Pass::Decode, threads);
            }
            let latent = Attention { head_dim_v: 128, ..Attention::new(2, 65, 192, causal) };
            add(Problem::Attention(latent), precision, Pass::Forward, threads);
        }
    }
    for rule in Rule::ALL {
        for params in [1, 15, 17, 1009, 4099] {
            let update = Problem::Update(Update { rule, params });
            add(update, rule.precision(Precision::F32), Pass::Forward, threads);
        }
    }
    let mixed = Problem::Update(Update { rule: Rule::Adamw, params: 1009 });
    add(mixed, Rule::Adamw.precision(Precision::BF16), Pass::Forward, threads);
    merge(cases)
}
