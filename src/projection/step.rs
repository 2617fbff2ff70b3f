//! A step of a model put together: every line with its time and where the time comes from.

use serde::Serialize;

use super::gap;
use super::memory::{self, Memory};
use super::network::{self, Exchange, Links, bubble};
use super::setup::Setup;
use super::shard::{Stage, stages};
use super::times::{Basis, Times};
use super::work::{self, Item, Phase, What};
use crate::error::Result;
use crate::ops::Case;

/// A time in seconds with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Span {
    /// What is expected.
    pub median: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Span {
    /// A time without an interval.
    pub fn exact(seconds: f64) -> Span {
        Span { median: seconds, low: seconds, high: seconds }
    }

    /// So many times that.
    pub fn times(self, factor: f64) -> Span {
        Span { median: self.median * factor, low: self.low * factor, high: self.high * factor }
    }

    /// One after the other. Ends are added as they are: what makes one time too long makes the others too long as well.
    pub fn plus(self, other: Span) -> Span {
        Span {
            median: self.median + other.median,
            low: self.low + other.low,
            high: self.high + other.high,
        }
    }
}

/// A thing that a step does on one device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// The part of the step.
    pub phase: Phase,
    /// What it is in the model.
    pub name: &'static str,
    /// How often in a step.
    pub count: f64,
    /// The key of its case; none where memory is streamed.
    pub case: Option<String>,
    /// Where its time comes from.
    pub basis: Basis,
    /// The kernel, where one does it.
    pub kernel: Option<String>,
    /// A remark: how many cases a curve went through, how far outside, bytes.
    pub note: String,
    /// All of it, in seconds; none where it was not measured.
    pub seconds: Option<Span>,
    /// Operations, all of them.
    pub flops: f64,
    /// Bytes that its kernels move at least, all of them.
    pub bytes: f64,
    /// Energy in joules, where the run counted it.
    pub joules: Option<f64>,
    /// What would measure it, where nothing did.
    pub command: Option<String>,
    /// The case that nothing measured.
    #[serde(skip)]
    pub missing: Option<Case>,
}

/// A training or decode step of one device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// The slowest stage, from 0, which the others wait for.
    pub stage: usize,
    /// Stages in all.
    pub stages: usize,
    /// What its device does, in the order of a step.
    pub lines: Vec<Line>,
    /// What it exchanges: assumptions, each.
    pub exchanges: Vec<Exchange>,
    /// Kernels and streams of the slowest stage, without what was not measured.
    pub busy: Span,
    /// Waiting for other stages; an assumption.
    pub idle: Span,
    /// Exchanges that computation does not hide.
    pub exchanging: f64,
    /// All of it: a lower bound where lines are missing.
    pub total: Span,
    /// Lines that nothing measured.
    pub missing: usize,
    /// Energy in joules of one device, and the share of `busy` that it was counted for.
    pub joules: Option<(f64, f64)>,
    /// What the device that needs most must hold.
    pub memory: Memory,
}

impl Step {
    /// The seconds that come from `basis`, idling and exchanges apart.
    pub fn seconds_of(&self, basis: Basis) -> f64 {
        let of = |line: &&Line| line.basis == basis;
        self.lines.iter().filter(of).filter_map(|l| l.seconds).map(|s| s.median).sum()
    }
}

/// A training step.
///
/// # Errors
/// [`crate::Error::Usage`] for a setup that cannot be.
pub fn training(setup: &Setup, times: &Times, links: &Links) -> Result<Step> {
    setup.check()?;
    let stages = stages(setup);
    let lines = |stage: &Stage| lines(work::training(setup, stage, times.threads), times);
    let (slowest, lines, workspace) = slowest(&stages, lines);
    let stage = &stages[slowest];
    let exchanges = network::training(setup, stage, links);
    let (beat, rest): (Vec<_>, Vec<_>) = exchanges.iter().partition(|e| e.each_micro_batch);
    let seconds = |all: &[&Exchange]| all.iter().map(|e| e.seconds).sum::<f64>();

    let micro = setup.micro_batches();
    let busy = sum(&lines);
    // Everything but the update is done for each micro-batch, and the pipeline fills and drains at that pace.
    let paced = sum_of(&lines, |line| line.phase != Phase::Update);
    let share = bubble(setup.pp, micro);
    let stretch = share / (1.0 - share);
    let idle = paced.plus(Span::exact(seconds(&beat))).times(stretch);
    let between_copies =
        |e: &&&Exchange| e.name.starts_with("gradients") || e.name.starts_with("parameters");
    let hidden = |all: &[&Exchange]| {
        all.iter().filter(between_copies).map(|e| e.seconds).sum::<f64>() * links.overlap
    };
    let exchanging = seconds(&beat) + seconds(&rest) - hidden(&beat) - hidden(&rest);
    let total = busy.plus(idle).plus(Span::exact(exchanging));
    let memory = memory::training(setup, &stages, workspace);
    Ok(step(slowest, stages.len(), lines, exchanges, [busy, idle, total], exchanging, memory))
}

/// A decode step: one token for each of the setup's sequences.
///
/// # Errors
/// As [`training`].
pub fn decode(setup: &Setup, times: &Times, links: &Links) -> Result<Step> {
    setup.check_decode()?;
    let stages = stages(setup);
    let lines = |stage: &Stage| lines(work::decode(setup, stage, times.threads), times);
    let (slowest, slow_lines, workspace) = slowest(&stages, lines);
    // A token passes all stages, one after the other: the others wait.
    let others = stages.iter().filter(|s| s.index != slowest);
    let idle = others.map(|s| sum(&lines(s).0)).fold(Span::default(), Span::plus);
    let exchanges = network::decode(setup, &stages[slowest], links);
    let all = stages.iter().flat_map(|stage| network::decode(setup, stage, links));
    let exchanging = all.map(|e| e.seconds).sum();
    let busy = sum(&slow_lines);
    let total = busy.plus(idle).plus(Span::exact(exchanging));
    let memory = memory::decode(setup, &stages, workspace);
    Ok(step(slowest, stages.len(), slow_lines, exchanges, [busy, idle, total], exchanging, memory))
}

/// The lines of a training step of one stage, whatever stands before and behind it.
pub fn of_stage(setup: &Setup, stage: &Stage, times: &Times) -> Vec<Line> {
    lines(work::training(setup, stage, times.threads), times).0
}

fn step(
    stage: usize,
    stages: usize,
    lines: Vec<Line>,
    exchanges: Vec<Exchange>,
    [busy, idle, total]: [Span; 3],
    exchanging: f64,
    memory: Memory,
) -> Step {
    let missing = lines.iter().filter(|line| line.seconds.is_none()).count();
    let counted = lines.iter().filter(|l| l.joules.is_some());
    let seconds: f64 = counted.clone().filter_map(|l| l.seconds).map(|s| s.median).sum();
    let joules: f64 = counted.filter_map(|l| l.joules).sum();
    let joules = (seconds > 0.0).then(|| (joules, seconds / busy.median));
    Step { stage, stages, lines, exchanges, busy, idle, exchanging, total, missing, joules, memory }
}

/// The stage whose known lines take longest, its lines, and the most workspace of any kernel.
fn slowest(
    stages: &[Stage],
    lines: impl Fn(&Stage) -> (Vec<Line>, f64),
) -> (usize, Vec<Line>, f64) {
    let mut best: Option<(usize, Vec<Line>, f64)> = None;
    let mut workspace = 0f64;
    for (i, stage) in stages.iter().enumerate() {
        // Stages in the middle are alike.
        if i > 0 && i + 1 < stages.len() && stages[i - 1].model == stage.model && i > 1 {
            continue;
        }
        let (these, bytes) = lines(stage);
        workspace = workspace.max(bytes);
        let seconds = sum(&these).median;
        if best.as_ref().is_none_or(|(_, _, most)| seconds > *most) {
            best = Some((i, these, seconds));
        }
    }
    let (i, lines, _) = best.unwrap_or_default();
    (i, lines, workspace)
}

fn sum(lines: &[Line]) -> Span {
    sum_of(lines, |_| true)
}

fn sum_of(lines: &[Line], wanted: impl Fn(&Line) -> bool) -> Span {
    let known = lines.iter().filter(|line| wanted(line)).filter_map(|line| line.seconds);
    known.fold(Span::default(), Span::plus)
}

/// The lines of a stage, and the most workspace that one of its kernels takes.
fn lines(items: Vec<Item>, times: &Times) -> (Vec<Line>, f64) {
    let mut workspace = 0f64;
    let mut line = |item: Item| {
        let base = Line {
            phase: item.phase,
            name: item.name,
            count: item.count,
            case: None,
            basis: Basis::NotMeasured,
            kernel: None,
            note: String::new(),
            seconds: None,
            flops: 0.0,
            bytes: 0.0,
            joules: None,
            command: None,
            missing: None,
        };
        match item.what {
            What::Stream(bytes) => match times.roofs.bandwidth() {
                Some(rate) => Line {
                    basis: Basis::Assumed,
                    note: format!("{bytes:.3e} bytes each at {rate:.3e} B/s"),
                    seconds: Some(Span::exact(item.count * bytes / rate)),
                    ..base
                },
                None => Line { command: Some(gap::probes(times)), ..base },
            },
            What::Kernel(case) => {
                let case = Case { cache: times.cache, regime: times.regime, ..case };
                let cost = case.cost();
                let flops = item.count * cost.flops.0 as f64;
                let bytes = item.count * cost.bytes.0 as f64;
                let base = Line { case: Some(case.key()), flops, bytes, ..base };
                let Some(timed) = times.time(&case) else {
                    let command = Some(gap::command(&case, &times.device));
                    return Line { command, missing: Some(case), ..base };
                };
                workspace = workspace.max(timed.workspace as f64);
                let each = Span { median: timed.median, low: timed.low, high: timed.high };
                Line {
                    basis: timed.basis,
                    kernel: Some(timed.kernel),
                    note: timed.note,
                    seconds: Some(each.times(item.count / 1e9)),
                    joules: timed.energy_mj.map(|mj| mj * item.count / 1e3),
                    ..base
                }
            }
        }
    };
    let lines = items.into_iter().map(&mut line).collect();
    (lines, workspace)
}

#[cfg(test)]
mod tests;
