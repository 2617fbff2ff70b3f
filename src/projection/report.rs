//! A whole plan: what was asked, what came of it, and everything that was assumed.

use serde::Serialize;

use super::gap;
use super::network::Links;
use super::setup::{Recompute, Setup};
use super::source::Source;
use super::step::{self, Line, Step};
use super::times::Times;
use super::totals::{self, Decoding, Training, Wishes};
use super::work::Phase;
use crate::error::Result;
use crate::units::Bytes;

/// What a plan is made from, beside the run.
#[derive(Debug, Clone)]
pub struct Question {
    /// The model and its split.
    pub setup: Setup,
    /// Whether to plan a training step.
    pub train: bool,
    /// Whether to plan a decode step.
    pub decode: bool,
    /// The links.
    pub links: Links,
    /// Memory of a device, in place of the run's.
    pub memory: Option<f64>,
    /// Tokens, price, checkpoints.
    pub wishes: Wishes,
}

/// A plan.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// The run whose times it uses.
    pub run: String,
    /// The device of the run, and CPU threads.
    pub device: String,
    /// CPU threads.
    pub threads: usize,
    /// Devices in all.
    pub gpus: usize,
    /// The model's name.
    pub model: String,
    /// Its parameters.
    pub parameters: u64,
    /// Parameters that a token passes through.
    pub active_parameters: u64,
    /// The split and the formats, in words.
    pub setup: Vec<(&'static str, String)>,
    /// The memory of a device in bytes, and who says so; none where nobody does.
    pub capacity: Option<(f64, &'static str)>,
    /// A training step and what it comes to.
    pub training: Option<(Step, Training)>,
    /// A decode step and what it comes to.
    pub decoding: Option<(Step, Decoding)>,
    /// What was not measured and is assumed instead, in words.
    pub assumptions: Vec<String>,
}

impl Plan {
    /// The plan that answers `question` by the run's times.
    ///
    /// # Errors
    /// [`crate::Error::Usage`] for a setup that cannot be.
    pub fn make(question: &Question, source: Source<'_>, times: &Times) -> Result<Plan> {
        let Question { setup, links, wishes, .. } = question;
        let peak = times.roofs.flops(setup.precision.inputs);
        let training = match question.train {
            true => {
                let step = step::training(setup, times, links)?;
                let totals = totals::training(setup, &step, peak, wishes);
                Some((step, totals))
            }
            false => None,
        };
        let decoding = match question.decode {
            true => {
                let step = step::decode(setup, times, links)?;
                let totals = totals::decoding(setup, &step, times.roofs.bandwidth(), wishes);
                Some((step, totals))
            }
            false => None,
        };
        let capacity = match question.memory {
            Some(bytes) => Some((bytes, "as given")),
            None => {
                source.memory(&times.device).map(|Bytes(b)| (b as f64, "by the run's machine.json"))
            }
        };
        Ok(Plan {
            run: source.name.to_owned(),
            device: times.device.clone(),
            threads: times.threads,
            gpus: setup.gpus,
            model: setup.model.name.clone(),
            parameters: setup.model.parameters(),
            active_parameters: setup.model.active_parameters(),
            setup: words(question),
            capacity,
            assumptions: assumptions(question, times, decoding.is_some()),
            training,
            decoding,
        })
    }

    /// Whether the step that needs most memory fits; none where the capacity is unknown.
    pub fn fits(&self) -> Option<bool> {
        let (capacity, _) = self.capacity?;
        Some(self.needs() <= capacity)
    }

    /// Why this is no plan: the run has the time of none of the kernels (an update alone is nothing to go by).
    pub fn refusal(&self) -> Option<String> {
        let kernel = |l: &&Line| l.case.is_some() && l.phase != Phase::Update;
        let kernels = || self.steps().flat_map(|step| &step.lines).filter(kernel);
        if kernels().any(|line| line.seconds.is_some()) {
            return None;
        }
        let command = kernels().find_map(|line| line.command.clone()).unwrap_or_default();
        Some(format!(
            "{} measured none of the {} kernels of this plan; measure them, as with `{command}` (--missing lists them all), or take \
             another --dtype, --threads or --run",
            self.run,
            kernels().count()
        ))
    }

    /// The steps that are planned.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.training.iter().map(|t| &t.0).chain(self.decoding.iter().map(|d| &d.0))
    }

    /// What was not measured, as rows of a case list, each once.
    pub fn missing_rows(&self) -> Vec<String> {
        let cases = self.steps().flat_map(|step| &step.lines).filter_map(|l| l.missing.as_ref());
        let mut rows: Vec<String> = Vec::new();
        for row in cases.map(gap::row) {
            if !rows.contains(&row) {
                rows.push(row);
            }
        }
        rows
    }

    /// The most memory that a step needs of one device, in bytes.
    pub fn needs(&self) -> f64 {
        let training = self.training.as_ref().map_or(0.0, |(step, _)| step.memory.total());
        let decoding = self.decoding.as_ref().map_or(0.0, |(step, _)| step.memory.total());
        training.max(decoding)
    }
}

fn words(question: &Question) -> Vec<(&'static str, String)> {
    let s = &question.setup;
    let mut words = vec![
        ("gpus", s.gpus.to_string()),
        ("copies of the model", s.data_parallel().to_string()),
        ("tp", s.tp.to_string()),
        ("pp", s.pp.to_string()),
        ("dtype", s.precision.to_string()),
    ];
    if question.train {
        words.extend([
            ("batch", s.batch.to_string()),
            ("seq", s.seq.to_string()),
            ("micro-batch", s.micro_batch.to_string()),
            ("micro-batches a step", s.micro_batches().to_string()),
            ("optimizer", s.rule.name().to_owned()),
            ("moments", s.moments.to_string()),
            ("master weights", if s.master_weights { "f32" } else { "none" }.to_owned()),
            ("recompute", s.recompute.to_string()),
            ("zero", s.zero.to_string()),
        ]);
    }
    if question.decode {
        words.extend([
            ("decode batch", s.decode_batch.to_string()),
            ("context", s.context.to_string()),
            ("KV cache", s.kv.to_string()),
        ]);
    }
    words
}

/// What a reader must know that no record says.
fn assumptions(question: &Question, times: &Times, decode: bool) -> Vec<String> {
    let Question { setup, links, wishes, .. } = question;
    let mut all = Vec::new();
    match times.roofs.bandwidth() {
        Some(rate) => all.push(format!(
            "norms, residuals, activations, rotary positions, head layout, embeddings and the loss take their bytes over the \
             measured bandwidth of copy and triad, {}; no kernel here measures them",
            crate::units::ByteRate(rate)
        )),
        None => all.push("the run measured no bandwidth: what only streams memory is left out".to_owned()),
    }
    all.push(
        "kernels follow each other without gaps, and each finds its operands as in the measurement (caches and clocks the same)"
            .to_owned(),
    );
    if setup.gpus > 1 {
        let link = |link: &super::network::Link| {
            format!(
                "{} and {:.3} µs a message",
                crate::units::ByteRate(link.bandwidth),
                link.latency * 1e6
            )
        };
        let data = link(&links.data);
        let mut text = format!("exchanges follow the α–β model of rings over links of {data}");
        if setup.tp > 1 && links.tensor != links.data {
            text += &format!(", within a tensor-parallel group of {}", link(&links.tensor));
        }
        text += &format!(
            "; {:.0} % of those between copies of the model hide behind computation",
            100.0 * links.overlap
        );
        all.push(text);
        all.push(
            "every device is as fast as the measured one, and none waits for a slower one"
                .to_owned(),
        );
    }
    if setup.pp > 1 {
        all.push(
            "the pipeline runs 1F1B without interleaving, at the pace of its slowest stage"
                .to_owned(),
        );
    }
    if setup.model.moe.is_some() {
        all.push(
            "experts are loaded evenly and all held by each device (its share of their width under --tp); there is no expert parallelism"
                .to_owned(),
        );
    }
    if question.train {
        all.push("data loading, evaluation, failures and restarts take no time".to_owned());
        if setup.keeps_scores {
            all.push(
                "attention keeps its scores in memory; its time is that of the measured kernel"
                    .to_owned(),
            );
        } else if setup.recompute == Recompute::Selective {
            all.push("kernels of FlashAttention's kind keep no scores: selective recomputation changes nothing".to_owned());
        }
        if setup.master_weights {
            all.push("the update is measured on f32 parameters and gradients; casts from and to 16 bits stream besides".to_owned());
        }
        if let Some(every) = wishes.checkpoint_every {
            all.push(format!(
                "a checkpoint every {every} steps goes to storage of {} while training waits",
                crate::units::ByteRate(wishes.storage_bandwidth)
            ));
        }
    }
    if decode {
        all.push(
            "decoding has all sequences at the full context; sampling reads the logits once"
                .to_owned(),
        );
        if setup.pp > 1 {
            all.push(
                "one batch at a time passes the stages of a decode: the others wait".to_owned(),
            );
        }
    }
    all
}
