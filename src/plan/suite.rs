//! The ready-made sets of cases.

mod gpu;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::select::planned_parts;
use super::{Planned, merge};
use crate::device::cpu::detect_capabilities;
use crate::measure::Goal;
use crate::models::{self, Step};
use crate::ops::{
    Attention, Cache, Case, DType, Groups, Matmul, Pass, Precision, Probe, ProbeKind, Problem,
    Rule, Transpose, Update,
};
use crate::units::Nanos;

/// A ready-made set of cases, with how carefully they are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Suite {
    /// Every op, ladder and baseline in at most 90 seconds on two cores; 10 %
    #[default]
    Quick,
    /// The models that fit, all passes, one thread and all; 2 %; at most an hour
    Standard,
    /// Models' shapes, reduced to what the simulator does in seconds
    Sim,
    /// Every model, longer sequences, cold and warm; 1 %; hours
    Full,
    /// Sizes that fill a GPU of a data centre: models' layers on 8192 tokens, sweeps, decodes of 64 sequences; 2 %
    Gpu,
}

impl Suite {
    /// `quick`, `standard`, `sim`, `full` or `gpu`.
    pub fn name(self) -> &'static str {
        match self {
            Suite::Quick => "quick",
            Suite::Standard => "standard",
            Suite::Sim => "sim",
            Suite::Full => "full",
            Suite::Gpu => "gpu",
        }
    }

    /// How carefully a case is measured.
    pub fn goal(self) -> Goal {
        let quick = Goal {
            precision: 0.10,
            budget: Nanos::from_secs(1.0),
            min_processes: 3,
            max_processes: 9,
            samples: 6,
            slice: Nanos(1e6),
            exclude_throttled: false,
        };
        match self {
            Suite::Quick | Suite::Sim => quick,
            Suite::Standard | Suite::Gpu => Goal {
                precision: 0.02,
                budget: Nanos::from_secs(5.0),
                min_processes: 5,
                max_processes: 12,
                samples: 20,
                slice: Nanos(2e6),
                exclude_throttled: false,
            },
            Suite::Full => Goal {
                precision: 0.01,
                budget: Nanos::from_secs(20.0),
                min_processes: 5,
                max_processes: 20,
                samples: 40,
                slice: Nanos(2e6),
                exclude_throttled: false,
            },
        }
    }

    /// The time that the whole suite may take; budgets of cases shrink to keep it.
    pub fn time_limit(self) -> Option<Duration> {
        match self {
            Suite::Quick => Some(Duration::from_secs(82)),
            Suite::Standard => Some(Duration::from_secs(3600)),
            Suite::Sim | Suite::Full | Suite::Gpu => None,
        }
    }

    /// The cases for a machine with this many hardware threads.
    pub fn cases(self, threads: usize) -> Vec<Planned> {
        merge(match self {
            Suite::Quick => quick(threads),
            Suite::Standard => standard(threads),
            Suite::Sim => reduced(),
            Suite::Full => full(threads),
            Suite::Gpu => gpu::cases(),
        })
    }
}

/// The models of suite `quick`: small enough for two cores, over a decade of sizes.
const QUICK: &[&str] =
    &["gpt2", "bert-base", "bert-large", "gpt2-medium", "qwen3-0.6b", "gpt2-large", "gpt2-xl"];

const STANDARD: &[&str] = &[
    "bert-base",
    "bert-large",
    "gpt2",
    "gpt2-medium",
    "gpt2-large",
    "gpt2-xl",
    "qwen3-0.6b",
    "qwen3-8b",
    "llama-3-8b",
    "mixtral-8x7b",
];

fn matmul(product: Matmul, precision: Precision, threads: usize) -> Planned {
    Planned::bare(Case { threads, ..Case::new(Problem::Matmul(product), precision) })
}

fn attention(problem: Attention, precision: Precision, pass: Pass, threads: usize) -> Planned {
    Planned::bare(Case { threads, pass, ..Case::new(Problem::Attention(problem), precision) })
}

fn update(rule: Rule, params: usize, base: Precision, threads: usize) -> Planned {
    let precision = rule.precision(base);
    Planned::bare(Case {
        threads,
        ..Case::new(Problem::Update(Update { rule, params }), precision)
    })
}

/// Every probe of the machine, at one thread and at all.
pub fn probes(threads: usize) -> Vec<Planned> {
    let cache = detect_capabilities().last_level_cache;
    let mut cases = Vec::new();
    for threads in counts(threads) {
        let mut add = |probe, precision| {
            cases.push(Planned::bare(Case {
                threads,
                ..Case::new(Problem::Peak(probe), precision)
            }));
        };
        for precision in [Precision::F32, Precision::BF16_F32, Precision::INT8] {
            add(Probe::arithmetic(threads), precision);
        }
        for kind in ProbeKind::ALL.into_iter().filter(|kind| *kind != ProbeKind::Fma) {
            add(Probe::beyond_cache(kind, cache), Precision::F32);
        }
    }
    cases
}

fn quick(threads: usize) -> Vec<Planned> {
    let mut cases = Vec::new();
    // Sweeps over a decade and a half of sizes: the curves.
    for size in [32, 64, 128, 256, 512, 1024] {
        cases.push(matmul(Matmul::new(size, size, size), Precision::F32, 1));
    }
    for seq in [64, 128, 256, 512, 1024, 2048] {
        cases.push(attention(Attention::new(2, seq, 64, true), Precision::F32, Pass::Forward, 1));
    }
    // Sizes that just fill a level of cache are left out: where their pages lie decides how they run.
    for params in [1 << 13, 1 << 15, 1 << 17, 1 << 19, 1 << 22] {
        cases.push(update(Rule::Adamw, params, Precision::F32, 1));
    }
    // Every dtype, layout and pass once, at a size where a kernel can show what it has.
    for precision in [Precision::BF16, Precision::INT8] {
        cases.push(matmul(Matmul::new(512, 512, 512), precision, 1));
    }
    for transpose in [Transpose::Nt, Transpose::Tn] {
        cases.push(matmul(Matmul { transpose, ..Matmul::new(256, 256, 256) }, Precision::F32, 1));
    }
    let experts =
        Matmul { groups: Some(Groups { experts: 8, skew: 0.5 }), ..Matmul::new(256, 512, 512) };
    cases.push(matmul(experts, Precision::F32, threads));
    let heads = Attention { kv_heads: 2, ..Attention::new(8, 512, 64, true) };
    cases.push(attention(heads, Precision::BF16, Pass::Forward, 1));
    cases.push(attention(
        Attention { causal: false, ..heads },
        Precision::F32,
        Pass::Forward,
        threads,
    ));
    cases.push(attention(Attention::new(4, 512, 64, true), Precision::F32, Pass::Backward, 1));
    // Some 64 MB each, whatever the number of streams: beyond the cache of a chiplet, and soon made ready. One thread nearly
    // fills what memory gives to a chiplet, and is disturbed by less; the usual rule runs on all of them too.
    for rule in Rule::ALL {
        let params = [1 << 23, 5 << 20, 1 << 22][rule.moments()];
        cases.push(update(rule, params, Precision::F32, 1));
    }
    cases.push(update(Rule::Adamw, 1 << 22, Precision::F32, threads));
    cases.push(update(Rule::Adamw, 5 << 20, Precision::BF16, threads));
    // Models: a layer's products and attention forward, and a decode against a KV cache.
    for model in QUICK.iter().map(|name| models::find(name).expect("a built-in model")) {
        let step = Step::new(Pass::Forward, 1, 64);
        let parts = planned_parts(model, &step, Precision::F32, threads);
        let wanted = |p: &Planned| {
            let parts: &[&str] = match model.name.as_str() {
                "gpt2" | "gpt2-xl" => &["qkv", "mlp-down", "attention"],
                _ => &["qkv", "attention"],
            };
            parts.iter().any(|part| p.models[0].ends_with(&format!(":{part}")))
        };
        cases.extend(parts.into_iter().filter(wanted));
    }
    for name in ["gpt2", "llama-3-8b"] {
        let model = models::find(name).expect("a built-in model");
        let step = Step::new(Pass::Decode, 1, 1024);
        let precision = Precision::BF16.with_state(DType::Bf16);
        let parts = planned_parts(model, &step, precision, threads);
        let wanted = |p: &Planned| name == "gpt2" || p.models[0].ends_with(":attention");
        cases.extend(parts.into_iter().filter(wanted));
    }
    // Attention of GPT-2's width along its context, both ways: plans of training read it off, and nothing above goes back.
    for seq in [64, 128, 256, 512, 1024] {
        let problem = Attention::new(12, seq, 64, true);
        cases.push(attention(problem, Precision::F32, Pass::Backward, threads));
        if seq >= 256 {
            cases.push(attention(problem, Precision::F32, Pass::Forward, threads));
        }
    }
    // Whole models' updates: refused with numbers where memory or the time of a quick run does not do.
    for name in ["bert-base", "llama-3-8b"] {
        let params = models::find(name).expect("a built-in model").parameters() as usize;
        let one = update(Rule::Adamw, params, Precision::F32, threads);
        cases.push(Planned { models: vec![format!("{name}:update")], ..one });
    }
    // Ladders tell their story on one thread; on all of them a slow kernel takes the time of many fast ones, and is disturbed
    // for as long as it runs.
    for planned in cases.iter_mut().filter(|p| p.case.threads > 1) {
        planned.top_rung = true;
    }
    cases
}

/// What an hour can hold: sweeps over every op, and the models that fit.
fn standard(threads: usize) -> Vec<Planned> {
    let mut cases = Vec::new();
    for count in counts(threads) {
        for size in [64, 128, 256, 512, 768, 1024, 1536, 2048, 3072, 4096] {
            cases.push(matmul(Matmul::new(size, size, size), Precision::F32, count));
        }
        for precision in [Precision::BF16, Precision::INT8] {
            for size in [256, 512, 1024, 2048] {
                cases.push(matmul(Matmul::new(size, size, size), precision, count));
            }
        }
        for precision in [Precision::F32, Precision::BF16] {
            for seq in [256, 512, 1024, 2048, 4096] {
                for causal in [true, false] {
                    let problem = Attention::new(4, seq, 64, causal);
                    cases.push(attention(problem, precision, Pass::Forward, count));
                    if seq <= 2048 {
                        cases.push(attention(problem, precision, Pass::Backward, count));
                    }
                }
            }
            let wide = Attention::new(4, 1024, 128, true);
            cases.push(attention(wide, precision, Pass::Forward, count));
            cases.push(attention(wide, precision, Pass::Backward, count));
        }
        for rule in Rule::ALL {
            for params in [1 << 16, 1 << 20, 1 << 22, 1 << 26] {
                cases.push(update(rule, params, Precision::F32, count));
            }
        }
        cases.push(update(Rule::Adamw, 1 << 26, Precision::BF16, count));
        cases.extend(of_models(STANDARD, &[Pass::Forward], Precision::F32, count, 512));
    }
    let passes = [Pass::Backward, Pass::Decode];
    cases.extend(of_models(STANDARD, &passes, Precision::F32, threads, 512));
    let passes = [Pass::Forward, Pass::Decode];
    cases.extend(of_models(STANDARD, &passes, Precision::BF16, threads, 512));
    cases.extend(growing_model(threads, 512));
    cases
}

/// Models that differ in form: heads shared or not, wide or narrow MLPs, experts.
const REDUCED: &[&str] = &["bert-base", "gpt2", "qwen3-0.6b", "llama-3-8b", "mixtral-8x7b"];

/// What models' products and hidden sizes are divided by in suite `sim`.
const REDUCTION: usize = 16;

/// Layers of models with products [`REDUCTION`] times as narrow, one group of heads, 64 tokens and an update of a few thousand
/// parameters: a model's proportions at a size that is simulated in seconds. They are labelled `MODEL/16:PART`. Heads over the
/// vocabulary are left out: one more product, which would take most of the time.
fn reduced() -> Vec<Planned> {
    let narrow = |size: usize| (size / REDUCTION).next_multiple_of(8).max(8);
    let mut cases = Vec::new();
    for name in REDUCED {
        let model = models::find(name).expect("a built-in model");
        for base in [Precision::F32, Precision::BF16] {
            let parts = planned_parts(model, &Step::new(Pass::Forward, 1, 64), base, 1);
            let is_head = |p: &Planned| p.models.iter().all(|m| m.ends_with(":lm-head"));
            cases.extend(parts.into_iter().filter(|p| !is_head(p)).map(|p| {
                let problem = match p.case.problem {
                    Problem::Matmul(x) => {
                        Problem::Matmul(Matmul { n: narrow(x.n), k: narrow(x.k), ..x })
                    }
                    Problem::Attention(x) => {
                        let heads = (x.heads / x.kv_heads.max(1)).max(1);
                        Problem::Attention(Attention { heads, kv_heads: 1, ..x })
                    }
                    other => other,
                };
                let label = |m: &String| m.replacen(':', &format!("/{REDUCTION}:"), 1);
                let models = p.models.iter().map(label).collect();
                Planned::of_models(Case { problem, ..p.case }, models)
            }));
        }
    }
    for rule in Rule::ALL {
        for params in [1 << 10, 1 << 13, 1 << 16] {
            cases.push(update(rule, params, Precision::F32, 1));
        }
        cases.push(update(rule, 1 << 13, Precision::BF16, 1));
    }
    cases
}

/// Every model and pass, longer sequences, cold and warm.
fn full(threads: usize) -> Vec<Planned> {
    let mut cases = standard(threads);
    for count in counts(threads) {
        for precision in [Precision::F32, Precision::BF16] {
            for seq in [1 << 7, 1 << 13, 1 << 14] {
                for head_dim in [64, 128] {
                    let problem = Attention::new(4, seq, head_dim, true);
                    cases.push(attention(problem, precision, Pass::Forward, count));
                    cases.push(attention(problem, precision, Pass::Backward, count));
                }
            }
            let names: Vec<&str> = models::builtin().iter().map(|m| m.name.as_str()).collect();
            let passes = [Pass::Forward, Pass::Backward, Pass::Decode];
            let warm = of_models(&names, &passes, precision, count, 2048);
            let cold =
                |p: &Planned| Planned { case: Case { cache: Cache::Cold, ..p.case }, ..p.clone() };
            cases.extend(warm.iter().map(cold));
            cases.extend(warm);
        }
    }
    cases.extend(growing_model(threads, 2048));
    cases
}

/// One thread, and all.
fn counts(threads: usize) -> Vec<usize> {
    let mut counts = vec![1, threads];
    counts.dedup();
    counts
}

/// The parts of models, on `seq` tokens or as many as a model takes.
fn of_models(
    names: &[&str],
    passes: &[Pass],
    precision: Precision,
    threads: usize,
    seq: usize,
) -> Vec<Planned> {
    let parts = |name: &&str| {
        let model = models::find(name).expect("a built-in model");
        let step = |&pass| Step::new(pass, 1, seq.min(model.context));
        passes
            .iter()
            .map(step)
            .flat_map(|step| planned_parts(model, &step, precision, threads))
            .collect::<Vec<_>>()
    };
    names.iter().flat_map(parts).collect()
}

/// The sweep in which only the model grows.
fn growing_model(threads: usize, seq: usize) -> Vec<Planned> {
    let step = Step::new(Pass::Forward, 1, seq);
    models::size_sweep()
        .iter()
        .flat_map(|model| planned_parts(model, &step, Precision::F32, threads))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn quick_holds_six_models_every_op_and_long_sweeps() {
        let cases = Suite::Quick.cases(2);
        let models: HashSet<&str> = cases
            .iter()
            .flat_map(|p| p.models.iter().map(|m| m.split(':').next().unwrap()))
            .collect();
        assert!(models.len() >= 6, "{models:?}");
        let ops: HashSet<&str> = cases.iter().map(|p| p.case.problem.op()).collect();
        for (op, _) in Problem::ops().into_iter().filter(|(op, _)| *op != "peak") {
            assert!(ops.contains(op), "no {op}");
        }
        let squares: Vec<usize> = cases
            .iter()
            .filter_map(|p| match p.case.problem {
                Problem::Matmul(x)
                    if x.m == x.n && x.n == x.k && p.case.precision == Precision::F32 =>
                {
                    Some(x.m)
                }
                _ => None,
            })
            .collect();
        let (low, high) = (squares.iter().min().unwrap(), squares.iter().max().unwrap());
        assert!(squares.len() >= 5 && *high as f64 / *low as f64 >= 31.0, "{squares:?}");
    }

    #[test]
    fn every_suite_has_valid_and_distinct_cases() {
        for suite in [Suite::Quick, Suite::Standard, Suite::Sim, Suite::Full, Suite::Gpu] {
            let cases = suite.cases(2);
            let keys: HashSet<String> = cases.iter().map(|p| p.case.key()).collect();
            assert_eq!(keys.len(), cases.len(), "{suite:?}");
            for planned in cases {
                assert_eq!(planned.case.invalid(), None, "{}", planned.case);
            }
        }
    }
}
