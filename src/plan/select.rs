//! The options that choose cases and kernels, shared by `run`, `list` and `verify`.

use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};

use super::sizes::Sizes;
use super::suite::Suite;
use super::{Planned, case_list, merge, suite};
use crate::error::{Error, Result};
use crate::kernels::{Kernel, Registry};
use crate::models::{self, Model, Step};
use crate::ops::{
    Attention, Cache, Case, DType, Family, Matmul, Pass, Precision, Problem, Regime, Rule,
    Transpose, Update,
};

/// Which cases, and which kernels on them.
///
/// Cases come from one source: a case list, sizes given by hand, models, or else a suite. The filters (`--op`, `--dtype`,
/// `--pass`, `--threads`, `--cache`) then apply to it.
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
#[command(next_help_heading = "What to measure")]
pub struct Selection {
    /// A ready-made set of cases [default: quick, where nothing else is chosen]
    #[arg(long, value_enum, conflicts_with_all = ["model", "cases", "m", "n", "k", "seq", "params"])]
    pub suite: Option<Suite>,
    /// Only these ops or families, e.g. matmul, attention, adamw, optimizer
    #[arg(long, visible_alias = "ops", value_delimiter = ',', value_name = "OP")]
    pub op: Vec<String>,
    /// Cases of these models: a name of `scalemark models`, or a Hugging Face config.json
    #[arg(long, visible_alias = "models", value_delimiter = ',', value_name = "NAME|FILE", conflicts_with_all = ["m", "n", "k", "params", "cases"])]
    pub model: Vec<String>,
    /// Only these kernels; * and ? match anything, e.g. 'matmul/*' or '*/simd'
    #[arg(long, visible_alias = "kernels", value_delimiter = ',', value_name = "GLOB")]
    pub kernel: Vec<String>,
    /// Only (or, with sizes and models, in) these dtypes: f32, tf32, bf16, bf16-f32, f16, e4m3, int8; +f32 or +bf16 sets that of optimizer
    /// state or KV cache
    #[arg(long, visible_alias = "dtypes", value_delimiter = ',', value_name = "DTYPE")]
    pub dtype: Vec<String>,
    /// Only (or, with sizes and models, for) these passes
    #[arg(long, value_enum, value_delimiter = ',')]
    pub pass: Vec<Pass>,
    /// Rows of a product; lists `1024,2048` and ranges `512..8192` (powers of two); crossed with -n and -k unless --zip
    #[arg(short, value_name = "SIZES")]
    pub m: Option<String>,
    /// Columns of a product [default: as -m]
    #[arg(short, value_name = "SIZES", requires = "m")]
    pub n: Option<String>,
    /// Length of a product's sums [default: as -m]
    #[arg(short, value_name = "SIZES", requires = "m")]
    pub k: Option<String>,
    /// Storage of a product's operands
    #[arg(long, value_enum, value_delimiter = ',')]
    pub transpose: Vec<Transpose>,
    /// Sequence lengths of attention, or tokens a sequence of a model
    #[arg(long, value_name = "SIZES")]
    pub seq: Option<String>,
    /// Sequences (attention, models) or products (matmul) in a batch
    #[arg(long, value_name = "SIZES")]
    pub batch: Option<String>,
    /// Query heads [default: 12]
    #[arg(long)]
    pub heads: Option<usize>,
    /// KV heads [default: as --heads]
    #[arg(long)]
    pub kv_heads: Option<usize>,
    /// Length of a head [default: 64]
    #[arg(long, value_name = "SIZES")]
    pub head_dim: Option<String>,
    /// Whether attention is causal [default: true]
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub causal: Option<bool>,
    /// Parameters of optimizer updates
    #[arg(long, value_name = "SIZES")]
    pub params: Option<String>,
    /// Pair the i-th sizes of all lists instead of crossing them; a list of one goes with every size
    #[arg(long)]
    pub zip: bool,
    /// Routing skew of expert products: expert e gets a share as (e+1)^-SKEW
    #[arg(long, default_value_t = 0.0, value_name = "SKEW")]
    pub routing_skew: f64,
    /// A case list of your own: CSV with the columns of records.csv that matter
    #[arg(long, value_name = "FILE.csv")]
    pub cases: Option<PathBuf>,
    /// Threads [default: the suite's; otherwise all]
    #[arg(long, value_delimiter = ',')]
    pub threads: Vec<usize>,
    /// Cache state [default: the suite's; otherwise warm]
    #[arg(long, value_enum, value_delimiter = ',')]
    pub cache: Vec<Cache>,
    /// Whether a GPU is measured cool, or settled behind three seconds of the same work [default: burst]
    #[arg(long, value_enum, value_delimiter = ',')]
    #[serde(default)]
    pub regime: Vec<Regime>,
}

/// The sizes options as one crossed or zipped list.
fn combine(lists: &[(&str, Vec<usize>)], zip: bool) -> Result<Vec<Vec<usize>>> {
    if !zip {
        return Ok(lists.iter().fold(vec![Vec::new()], |rows, (_, list)| {
            let extend = |row: &Vec<usize>| {
                list.iter().map(move |&s| [row.as_slice(), &[s]].concat()).collect::<Vec<_>>()
            };
            rows.iter().flat_map(extend).collect()
        }));
    }
    let longest = lists.iter().map(|(_, list)| list.len()).max().unwrap_or(0);
    if let Some((name, list)) =
        lists.iter().find(|(_, list)| list.len() != 1 && list.len() != longest)
    {
        return Err(Error::Usage(format!(
            "--zip pairs lists of equal length, but {name} has {} sizes where another has {longest}",
            list.len()
        )));
    }
    Ok((0..longest)
        .map(|i| lists.iter().map(|(_, list)| list[i.min(list.len() - 1)]).collect())
        .collect())
}

impl Selection {
    /// The cases, in the order in which they will be measured.
    ///
    /// # Errors
    /// When an op, model, dtype or size is unknown or makes no sense, or nothing is left to measure.
    pub fn cases(&self, hardware_threads: usize) -> Result<Vec<Planned>> {
        if let Some(zero) = self.threads.iter().find(|&&t| t == 0 || t > 4096) {
            return Err(Error::Usage(format!(
                "--threads {zero} makes no sense; use 1 to {hardware_threads}"
            )));
        }
        let by_hand = self.m.is_some()
            || self.params.is_some()
            || (self.seq.is_some() && self.model.is_empty());
        let (source, cases) = if let Some(file) = &self.cases {
            ("the case list", case_list::read(file, hardware_threads)?)
        } else if by_hand {
            ("the sizes", self.by_hand(hardware_threads)?)
        } else if !self.model.is_empty() {
            ("the models", self.of_models(hardware_threads)?)
        } else {
            let mut cases = self.suite.unwrap_or_default().cases(hardware_threads);
            if self.op.iter().any(|op| op == "peak") {
                cases.extend(suite::probes(hardware_threads));
            }
            // Kernels asked for by name are wanted wherever they can be.
            cases.iter_mut().for_each(|p| p.top_rung &= self.kernel.is_empty());
            ("the suite", cases)
        };
        self.filtered(cases, source)
    }

    /// Whether the options say where cases come from; if not, it is suite `quick`.
    pub fn names_a_source(&self) -> bool {
        self.suite.is_some()
            || self.cases.is_some()
            || self.m.is_some()
            || self.params.is_some()
            || self.seq.is_some()
            || !self.model.is_empty()
    }

    /// Applies the filters to cases from `source`, and checks that what is left makes sense.
    ///
    /// # Errors
    /// As [`Selection::cases`].
    pub fn filtered(&self, cases: Vec<Planned>, source: &str) -> Result<Vec<Planned>> {
        self.check_ops()?;
        let precisions = self.precisions()?;
        let kept: Vec<Planned> = merge(cases.into_iter().flat_map(|planned| self.varied(planned)))
            .into_iter()
            .filter(|p| self.wants(&p.case, &precisions))
            .collect();
        if let Some((case, reason)) = kept.iter().find_map(|p| Some((p.case, p.case.invalid()?))) {
            return Err(Error::Usage(format!("{}: {reason}", case.key())));
        }
        if kept.is_empty() {
            return Err(Error::Usage(format!(
                "the filters leave nothing of {source} to measure; `scalemark list` with fewer of them shows what there is"
            )));
        }
        Ok(kept)
    }

    /// The kernels that `--kernel` leaves, in the registry's order.
    ///
    /// # Errors
    /// When a pattern matches no kernel; names the nearest.
    pub fn kernels(&self, registry: &Registry) -> Result<Vec<&'static dyn Kernel>> {
        let patterns = self.kernel.iter().map(|text| {
            glob::Pattern::new(text)
                .map_err(|e| Error::Usage(format!("--kernel {text} is no pattern: {e}")))
        });
        let patterns = patterns.collect::<Result<Vec<_>>>()?;
        for pattern in &patterns {
            if !registry.kernels().any(|k| pattern.matches(&k.id().0)) {
                let names = registry.kernels().map(|k| k.id().0);
                let hint = nearest(pattern.as_str(), names);
                return Err(Error::Usage(format!(
                    "unknown kernel `{pattern}`{hint}; `scalemark list` names them all"
                )));
            }
        }
        let wanted = |k: &&'static dyn Kernel| {
            patterns.is_empty() || patterns.iter().any(|p| p.matches(&k.id().0))
        };
        Ok(registry.kernels().filter(wanted).collect())
    }

    fn check_ops(&self) -> Result<()> {
        let names: Vec<&str> = Problem::ops()
            .into_iter()
            .map(|(op, _)| op)
            .chain(Family::ALL.map(Family::name))
            .collect();
        match self.op.iter().find(|op| !names.contains(&op.as_str())) {
            None => Ok(()),
            Some(op) => {
                let hint = nearest(op, names.iter().map(|s| s.to_string()));
                Err(Error::Usage(format!(
                    "unknown op `{op}`{hint}; known are {}",
                    unique(&names).join(", ")
                )))
            }
        }
    }

    fn precisions(&self) -> Result<Vec<Precision>> {
        self.dtype.iter().map(|text| text.parse().map_err(Error::Usage)).collect()
    }

    /// A case at every thread count, cache state and regime that was asked for.
    fn varied(&self, planned: Planned) -> Vec<Planned> {
        let or =
            |asked: &[usize], own: usize| if asked.is_empty() { vec![own] } else { asked.to_vec() };
        let caches =
            if self.cache.is_empty() { vec![planned.case.cache] } else { self.cache.clone() };
        let regimes =
            if self.regime.is_empty() { vec![planned.case.regime] } else { self.regime.clone() };
        let mut out = Vec::new();
        for threads in or(&self.threads, planned.case.threads) {
            for &cache in &caches {
                for &regime in &regimes {
                    let case = Case { threads, cache, regime, ..planned.case };
                    out.push(Planned { case, ..planned.clone() });
                }
            }
        }
        out
    }

    fn wants(&self, case: &Case, precisions: &[Precision]) -> bool {
        let op = self.op.is_empty()
            || self.op.iter().any(|o| o == case.problem.op() || o == case.problem.family().name());
        // An update ends a backward pass.
        let step = if case.has_pass() { case.pass } else { Pass::Backward };
        let pass = self.pass.is_empty() || self.pass.contains(&step);
        // `--dtype bf16` wants AdamW in bf16 whatever its state; `--dtype bf16+f32` is exact.
        let same = |p: &Precision| {
            *p == case.precision || *p == Precision { state: None, ..case.precision }
        };
        op && pass && (precisions.is_empty() || precisions.iter().any(same))
    }

    fn sizes(&self, text: &Option<String>, default: usize) -> Result<Vec<usize>> {
        match text {
            Some(text) => Ok(text.parse::<Sizes>().map_err(Error::Usage)?.0),
            None => Ok(vec![default]),
        }
    }

    fn by_hand(&self, threads: usize) -> Result<Vec<Planned>> {
        let precisions = self.precisions()?;
        let or_f32 = |default: &[Precision]| {
            if precisions.is_empty() { default.to_vec() } else { precisions.clone() }
        };
        let batch = self.sizes(&self.batch, 1)?;
        let mut cases = Vec::new();
        if self.m.is_some() {
            let m = self.sizes(&self.m, 0)?;
            let (n, k) = (self.sizes(&self.n, 0)?, self.sizes(&self.k, 0)?);
            let transposes = if self.transpose.is_empty() {
                vec![Transpose::Nn]
            } else {
                self.transpose.clone()
            };
            for row in
                combine(&[("-m", m), ("-n", n), ("-k", k), ("--batch", batch.clone())], self.zip)?
            {
                let as_m = |size: usize| if size == 0 { row[0] } else { size };
                for &transpose in &transposes {
                    let product = Matmul {
                        batch: row[3],
                        transpose,
                        ..Matmul::new(row[0], as_m(row[1]), as_m(row[2]))
                    };
                    for precision in or_f32(&[Precision::F32]) {
                        cases.push(Case::new(Problem::Matmul(product), precision));
                    }
                }
            }
        }
        if self.seq.is_some() {
            let heads = self.heads.unwrap_or(12);
            let passes = if self.pass.is_empty() { vec![Pass::Forward] } else { self.pass.clone() };
            let lists = [
                ("--seq", self.sizes(&self.seq, 0)?),
                ("--head-dim", self.sizes(&self.head_dim, 64)?),
                ("--batch", batch),
            ];
            for row in combine(&lists, self.zip)? {
                for &pass in &passes {
                    let attention = Attention {
                        batch: row[2],
                        kv_heads: self.kv_heads.unwrap_or(heads),
                        seq_q: if pass == Pass::Decode { 1 } else { row[0] },
                        ..Attention::new(heads, row[0], row[1], self.causal.unwrap_or(true))
                    };
                    for precision in or_f32(&[Precision::F32]) {
                        cases.push(Case {
                            pass,
                            ..Case::new(Problem::Attention(attention), precision)
                        });
                    }
                }
            }
        }
        if self.params.is_some() {
            for params in self.sizes(&self.params, 0)? {
                for rule in Rule::ALL {
                    for precision in or_f32(&[Precision::F32]) {
                        let precision = rule.precision(precision);
                        cases.push(Case::new(Problem::Update(Update { rule, params }), precision));
                    }
                }
            }
        }
        Ok(cases.into_iter().map(|case| Planned::bare(Case { threads, ..case })).collect())
    }

    /// The update rules of a model's cases: those that `--op` names, else AdamW.
    fn rules(&self) -> Vec<Rule> {
        let named = |rule: &Rule| {
            self.op.iter().any(|op| op == rule.name() || op == Family::Optimizer.name())
        };
        if self.op.is_empty() {
            vec![Rule::Adamw]
        } else {
            Rule::ALL.into_iter().filter(named).collect()
        }
    }

    fn of_models(&self, threads: usize) -> Result<Vec<Planned>> {
        let precisions = self.precisions()?;
        let precisions = if precisions.is_empty() { vec![Precision::F32] } else { precisions };
        let passes = if self.pass.is_empty() { vec![Pass::Forward] } else { self.pass.clone() };
        let mut out = Vec::new();
        for name in &self.model {
            let model = models::resolve(name)?;
            let lists =
                [("--seq", self.sizes(&self.seq, 512)?), ("--batch", self.sizes(&self.batch, 1)?)];
            for row in combine(&lists, self.zip)? {
                for &pass in &passes {
                    let step =
                        Step { routing_skew: self.routing_skew, ..Step::new(pass, row[1], row[0]) };
                    if let Some(reason) = model.refuses(&step) {
                        return Err(Error::Usage(reason));
                    }
                    for &precision in &precisions {
                        out.extend(planned_parts(&model, &step, precision, threads));
                    }
                }
            }
            for rule in self.rules() {
                for &precision in precisions.iter().filter(|p| p.inputs != DType::I8) {
                    let update = Update { rule, params: model.parameters() as usize };
                    let case = Case {
                        threads,
                        ..Case::new(Problem::Update(update), rule.precision(precision))
                    };
                    let names = vec![format!("{}:update", model.name)];
                    out.push(Planned::of_models(case, names));
                }
            }
        }
        Ok(out)
    }
}

/// The cases of a model's step in one precision (optimizer state in f32 where the rule keeps any).
pub fn planned_parts(
    model: &Model,
    step: &Step,
    precision: Precision,
    threads: usize,
) -> Vec<Planned> {
    let part_case = |part: models::Part| {
        let case =
            Case { pass: part.pass, threads, ..Case::new(part.problem, part.precision(precision)) };
        Planned::of_models(case, vec![format!("{}:{}", model.name, part.name)])
    };
    model.parts(step).into_iter().map(part_case).collect()
}

/// ` (did you mean …?)` with the most similar name, or nothing when none is similar.
pub fn nearest(word: &str, names: impl Iterator<Item = String>) -> String {
    let best = names
        .map(|name| (strsim::jaro_winkler(word, &name), name))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match best {
        Some((likeness, name)) if likeness > 0.7 => format!(" (did you mean `{name}`?)"),
        _ => String::new(),
    }
}

fn unique<'a>(names: &[&'a str]) -> Vec<&'a str> {
    let mut seen = std::collections::HashSet::new();
    names.iter().copied().filter(|n| seen.insert(*n)).collect()
}

#[cfg(test)]
mod tests;
