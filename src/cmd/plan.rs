//! `scalemark plan`: what a model costs on a machine that was measured.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::cmd::price::Price;
use crate::error::Error;
use crate::ops::{Precision, Problem, Rule};
use crate::plan::sizes::Sizes;
use crate::projection::fit::{self, Largest};
use crate::projection::quantity::{Rate, Seconds};
use crate::projection::{
    Choice, Link, Links, Plan, Question, Setup, Source, Times, Wishes, gap, picture, text,
};
use crate::{models, store};

mod compare;
mod options;

use options::{Asked, Formats, Mode, Records, Split};

/// Options of `plan`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  scalemark plan --model gpt2 --run results/runs/RUN
  scalemark plan --model llama-3-8b --run RUN --gpus 64 --tp 8 --batch 512 --seq 8192 --zero 1 --tokens 15T --price 2.49/h
  scalemark plan --model llama-3-8b --run RUN --mode decode --decode-batch 32 --context 8192
  scalemark plan --model path/to/config.json --run RUN --fit batch --memory 80GiB
  scalemark plan --model gpt2 --run A --run B --price A=1.20/h --price B=2.49/h --gpus 1..64 --tokens 10B --deadline 30d
  scalemark plan --model gpt2 --run RUN --missing CASES.csv   what the run lacks, for `scalemark run --cases CASES.csv`

A time is measured (the very case), interpolated (on a curve through cases of the same op), extrapolated (beyond them) or not
measured: then it is left out, the sum is a lower bound, and the command that would measure it is shown. Exchanges between
devices, and what only streams memory, are assumptions and shown as such. docs/plan.md has every formula with its source.

Exit codes: 0 fine, 2 usage or input error, 3 nothing meets the deadline")]
pub struct Args {
    /// The model: a name of `scalemark models`, or a Hugging Face config.json
    #[arg(long, value_name = "NAME|FILE", required_unless_present = "fit")]
    model: Option<String>,
    /// The run whose measured times count; several are compared [default: the latest below results/runs]
    #[arg(long, value_name = "RUN", num_args = 1..)]
    run: Vec<PathBuf>,
    /// Plan a training step, a decode step, or both [default: both; an encoder has no decode]
    #[arg(long, value_enum, value_delimiter = ',')]
    mode: Vec<Mode>,
    /// Make this as large as fits into the device's memory
    #[arg(long, value_enum)]
    fit: Option<Largest>,
    /// Print JSON with every line, in SI units
    #[arg(long)]
    json: bool,
    /// Draw where time and memory go, as stacked bars
    #[arg(long, value_name = "FILE.svg")]
    chart: Option<PathBuf>,
    /// Write what was not measured as a case list for `scalemark run --cases`
    #[arg(long, value_name = "FILE.csv")]
    missing: Option<PathBuf>,
    #[command(flatten)]
    split: Split,
    #[command(flatten)]
    formats: Formats,
    #[command(flatten)]
    records: Records,
    #[command(flatten)]
    wishes: Asked,
}

/// Plans, and prints what came of it.
///
/// # Errors
/// On usage and input errors; when a file cannot be written.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let folders = match args.run.is_empty() {
        false => args.run.clone(),
        true => vec![store::latest_run(Path::new(store::RUNS))?.context(
            "no --run is given, and there is none below results/runs; `scalemark run` makes one",
        )?],
    };
    let runs = folders.iter().map(|f| store::Run::read(f)).collect::<Result<Vec<_>, _>>()?;
    let gpus =
        args.split.gpus.parse::<Sizes>().map_err(|e| Error::Usage(format!("--gpus: {e}")))?;
    args.check_prices(&runs)?;
    let mut plans = Vec::new();
    for run in &runs {
        for &gpus in &gpus.0 {
            plans.push(args.plan(run, gpus));
        }
    }
    if let [_] = plans[..] {
        let Some(plan) = plans.pop().transpose()? else { bail!("there is nothing to plan") };
        return args.one(plan);
    }
    compare::several(&args, plans)
}

impl Args {
    /// The plan by `run` for `gpus` devices.
    fn plan(&self, run: &store::Run, gpus: usize) -> anyhow::Result<Plan> {
        let source = Source::from(run);
        let times = Times::of(source, &self.choice()?)?;
        let mut question = self.question(source, &times, gpus)?;
        if let Some(what) = self.fit {
            let capacity =
                question.memory.or_else(|| source.memory(&times.device).map(|b| b.0 as f64));
            let capacity = capacity.with_context(|| {
                format!(
                    "{} does not tell the memory of {}; give --memory",
                    source.name, times.device
                )
            })?;
            let decode = question.decode && !question.train;
            question.setup = fit::largest(&question.setup, what, decode, capacity)?;
        }
        Ok(Plan::make(&question, source, &times)?)
    }

    fn choice(&self) -> anyhow::Result<Choice> {
        let records = &self.records;
        let pattern = |text: &String| {
            glob::Pattern::new(text)
                .map_err(|e| Error::Usage(format!("--kernel {text} is no pattern: {e}")))
        };
        Ok(Choice {
            device: records.device.clone(),
            threads: records.threads,
            cache: records.cache,
            regime: records.regime,
            kernels: records.kernel.iter().map(pattern).collect::<Result<_, _>>()?,
        })
    }

    fn question(&self, source: Source<'_>, times: &Times, gpus: usize) -> anyhow::Result<Question> {
        if self.model.is_none() && self.fit != Some(Largest::Model) {
            bail!("--fit is of a model, which --model names; --fit model alone seeks one");
        }
        // With --fit model, any model stands in for the one that will be found.
        let model = models::resolve(self.model.as_deref().unwrap_or("sweep-16m"))?;
        let decoder = model.family.causal();
        let asked = |mode| self.mode.contains(&mode);
        let (train, decode) = match self.mode.is_empty() {
            true if self.fit.is_some() => (true, false),
            true => (true, decoder),
            false => (asked(Mode::Train), asked(Mode::Decode)),
        };
        if self.fit.is_some() && train && decode {
            bail!("--fit is of one step: give --mode train or --mode decode");
        }
        if !(0.0..=1.0).contains(&self.wishes.overlap) {
            bail!("--overlap {} is no share; use 0 to 1", self.wishes.overlap);
        }
        Ok(Question {
            setup: self.setup(model, source, times, gpus)?,
            train,
            decode,
            links: self.links(),
            memory: self.records.memory.map(|m| m.0),
            wishes: Wishes {
                tokens: self.wishes.tokens.map(|t| t.0),
                price: self.price_of(source.name),
                checkpoint_every: self.wishes.checkpoint_every.map(|c| c.0),
                storage_bandwidth: self.wishes.storage_bandwidth.0,
            },
        })
    }

    fn setup(
        &self,
        model: models::Model,
        source: Source<'_>,
        times: &Times,
        gpus: usize,
    ) -> anyhow::Result<Setup> {
        let (split, formats) = (&self.split, &self.formats);
        let precision = match formats.dtype {
            Some(precision) => precision,
            None => commonest(source, times).unwrap_or(Precision::F32),
        };
        let rule = Rule::ALL.into_iter().find(|rule| rule.name() == formats.optimizer);
        let Some(rule) = rule else {
            let known = Rule::ALL.map(Rule::name).join(", ");
            bail!("unknown optimizer `{}`; known are {known}", formats.optimizer);
        };
        let base = Setup::new(model, precision);
        let seq = split.seq.unwrap_or(base.seq);
        let copies = (gpus / split.tp.max(1) / split.pp.max(1)).max(1);
        Ok(Setup {
            gpus,
            batch: split.batch.unwrap_or(copies.saturating_mul(split.micro_batch)),
            seq,
            micro_batch: split.micro_batch,
            rule,
            moments: formats.moments,
            kv: formats.kv.unwrap_or(base.kv),
            master_weights: base.master_weights && !formats.no_master_weights,
            recompute: split.recompute,
            keeps_scores: split.keep_scores,
            zero: split.zero,
            tp: split.tp,
            pp: split.pp,
            sequence_parallel: split.sequence_parallel,
            decode_batch: split.decode_batch.unwrap_or(split.micro_batch),
            context: split.context.unwrap_or(seq),
            ..base
        })
    }

    fn links(&self) -> Links {
        let w = &self.wishes;
        let link = |bandwidth: Option<Rate>, latency: Option<Seconds>, or: Link| Link {
            bandwidth: bandwidth.map_or(or.bandwidth, |rate| rate.0),
            latency: latency.map_or(or.latency, |time| time.0),
        };
        let data = link(w.link_bandwidth, w.link_latency, Link::DEFAULT);
        Links { tensor: link(w.tp_bandwidth, w.tp_latency, data), data, overlap: w.overlap }
    }

    /// The price of the run of that name: one that names it, else the one for all.
    fn price_of(&self, name: &str) -> Option<f64> {
        let named = |p: &&Price| p.of.as_ref().is_some_and(|of| name.contains(of.as_str()));
        let all = |p: &&Price| p.of.is_none();
        let prices = || self.wishes.price.iter();
        prices().find(named).or_else(|| prices().find(all)).map(|p| p.an_hour)
    }

    fn check_prices(&self, runs: &[store::Run]) -> anyhow::Result<()> {
        let names: Vec<&str> = runs.iter().map(|run| Source::from(run).name).collect();
        for price in &self.wishes.price {
            if let Some(of) = &price.of
                && !names.iter().any(|name| name.contains(of.as_str()))
            {
                bail!("--price {of}=… names none of the runs: {}", names.join(", "));
            }
        }
        if self.wishes.deadline.is_some()
            && let Some(name) = names.iter().find(|name| self.price_of(name).is_none())
        {
            bail!("--deadline compares costs, and {name} has no --price");
        }
        Ok(())
    }

    /// Prints one plan, and writes the files that were asked for.
    fn one(&self, plan: Plan) -> anyhow::Result<ExitCode> {
        self.files(&plan)?;
        if let Some(reason) = plan.refusal() {
            return match self.missing.is_some() {
                true => {
                    super::note(&reason);
                    Ok(ExitCode::SUCCESS)
                }
                false => bail!(reason),
            };
        }
        super::show(&match self.json {
            true => serde_json::to_string_pretty(&plan)? + "\n",
            false => text::render(&plan),
        })?;
        let late = |deadline: Seconds| {
            let seconds = plan.training.as_ref().and_then(|(_, totals)| totals.seconds);
            seconds.is_none_or(|span| span.high > deadline.0) || plan.fits() == Some(false)
        };
        let late = self.wishes.deadline.is_some_and(late);
        if late {
            super::note("the deadline is not met");
        }
        Ok(if late { ExitCode::from(3) } else { ExitCode::SUCCESS })
    }

    fn files(&self, plan: &Plan) -> anyhow::Result<()> {
        let write = |path: &Path, text: String| {
            std::fs::write(path, text).map_err(Error::io("write", path))
        };
        if let Some(path) = self.chart.as_ref().filter(|_| plan.refusal().is_none()) {
            write(path, picture::render(plan)?)?;
        }
        if let Some(path) = &self.missing {
            let rows = plan.missing_rows();
            if rows.is_empty() {
                super::note("nothing is missing: no case list is written");
            } else {
                write(path, format!("{}\n{}\n", gap::HEADER, rows.join("\n")))?;
            }
        }
        Ok(())
    }
}

/// The format that most products were measured in.
fn commonest(source: Source<'_>, times: &Times) -> Option<Precision> {
    let products = source.records.iter().filter(|r| {
        r.device == times.device
            && r.timing().is_some()
            && matches!(r.case.problem, Problem::Matmul(_))
            && !r.case.precision.inputs.is_integer()
    });
    let mut counts: Vec<(Precision, usize)> = Vec::new();
    for record in products {
        match counts.iter_mut().find(|(p, _)| *p == record.case.precision) {
            Some((_, count)) => *count += 1,
            None => counts.push((record.case.precision, 1)),
        }
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(precision, _)| precision)
}
