//! From series to findings.

use std::cmp::Ordering;

use super::entry::{Blessing, History};
use super::report::{Finding, Judged, Kind, Report, SCHEMA, State};
use super::series::{Basis, Series, assemble, short};
use crate::gate::exact;
use crate::gate::verdict::Ratio;
use crate::stats::drift::{Drift, drift};
use crate::stats::multiple::benjamini_hochberg;
use crate::stats::order::{MAD_TO_SD, mad, median};
use crate::stats::scan::selection;
use crate::stats::steps::{ENOUGH, LEAST, Scan, Step, inflation, scan, steps};
use crate::stats::student::normal_quantile;

/// How much of the error a search for steps may spend; that for a drift has the rest.
const STEPS_SHARE: f64 = 0.8;
/// Later commits that the least step that would be found is given for.
const LATER: usize = 10;
/// A step has gone again when no more than this share of it is left.
const LEFT: f64 = 0.25;

/// By what a history is judged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// False discovery rate over all series: where nothing changed, the rate of any alarm of a check.
    pub false_discovery: f64,
    /// Changes up to this are not reported.
    pub slack: f64,
    /// Whether times that have no basis are judged as they are.
    pub raw: bool,
}

impl Default for Rule {
    fn default() -> Self {
        Rule { false_discovery: 0.005, slack: 0.005, raw: false }
    }
}

/// What the numbers of a series say of any change in it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evidence {
    /// p-value of "nothing changed".
    pub p: f64,
    /// Of a step.
    pub scan: Scan,
    /// Of a drift; since the last blessing.
    pub drift: Option<Drift>,
}

/// Changes of a series.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// From one commit to the next.
    Steps(Vec<Step>),
    /// A little with every commit.
    Drift(Drift),
}

/// Weighs a series of logs of ratios, of which those before `since` may not drift any more. `None` if there are too few.
pub fn weigh(levels: &[f64], since: usize) -> Option<Evidence> {
    let scan = scan(levels)?;
    let drift = drift(levels.get(since..)?);
    let p_drift = drift.map_or(1.0, |drift| drift.p / (1.0 - STEPS_SHARE));
    Some(Evidence { p: (scan.p / STEPS_SHARE).min(p_drift).min(1.0), scan, drift })
}

/// The changes of a series whose p-value is at most `level`: a drift, where a line fits better than steps do.
pub fn changes(levels: &[f64], evidence: &Evidence, since: usize, level: f64) -> Change {
    let steps = if evidence.scan.p <= STEPS_SHARE * level {
        steps(levels, STEPS_SHARE * level, evidence.scan.rho)
    } else {
        Vec::new()
    };
    let likely = |drift: &Drift| drift.p <= (1.0 - STEPS_SHARE) * level;
    match evidence.drift.filter(likely) {
        Some(drift) if line_fits_better(&levels[since..], &drift, &steps, since) => {
            Change::Drift(drift)
        }
        _ => Change::Steps(steps),
    }
}

/// By the information criterion of Schwarz (1978) for absolute errors: a step costs two parameters, a line one more than a level.
fn line_fits_better(levels: &[f64], drift: &Drift, steps: &[Step], since: usize) -> bool {
    let n = levels.len() as f64;
    let line: f64 = levels
        .iter()
        .enumerate()
        .map(|(i, x)| (x - drift.start - drift.slope * i as f64).abs())
        .sum();
    let cuts: Vec<usize> = steps.iter().filter_map(|s| s.at.checked_sub(since)).collect();
    let mut from = 0;
    let mut flat = 0.0;
    for to in cuts.iter().copied().chain([levels.len()]) {
        let part = &levels[from..to];
        let center = median(&mut part.to_vec()).unwrap_or(0.0);
        flat += part.iter().map(|x| (x - center).abs()).sum::<f64>();
        from = to;
    }
    let cost = |errors: f64, parameters: usize| {
        2.0 * n * errors.max(f64::MIN_POSITIVE).ln() + parameters as f64 * n.ln()
    };
    cost(line, 2) < cost(flat, 2 * cuts.len() + 1)
}

/// Judges every series of a history.
pub fn judge(history: &History, rule: &Rule) -> Report {
    let all = assemble(&history.entries, rule.raw);
    let levels: Vec<Vec<f64>> =
        all.iter().map(|s| s.points.iter().map(|p| p.level).collect()).collect();
    let blessed: Vec<Option<(usize, &Blessing)>> =
        all.iter().map(|series| last_blessing(series, &history.blessings)).collect();
    let since = |i: usize| blessed[i].map_or(0, |(at, _)| at + 1);
    let evidence: Vec<Result<Evidence, String>> = (0..all.len())
        .map(|i| judgeable(&all[i]).map(|()| weigh(&levels[i], since(i)).expect("it was asked")))
        .collect();
    let judged: Vec<usize> = (0..all.len()).filter(|&i| evidence[i].is_ok()).collect();
    let p: Vec<f64> =
        judged.iter().filter_map(|&i| evidence[i].as_ref().ok()).map(|e| e.p).collect();
    let q = benjamini_hochberg(&p, 1);
    // What a p-value must not exceed, with as many rejected as there are.
    let rejected = q.iter().filter(|q| **q <= rule.false_discovery).count();
    let level = rule.false_discovery * rejected as f64 / p.len().max(1) as f64;

    let mut q_of = vec![None; all.len()];
    judged.iter().zip(q).for_each(|(&i, q)| q_of[i] = Some(q));
    let one = |(i, series): (usize, Series)| {
        let levels = &levels[i];
        let mut findings = match &evidence[i] {
            _ if is_exact(&series) => exact_changes(&series),
            Ok(found) if q_of[i].is_some_and(|q| q <= rule.false_discovery) => {
                match changes(levels, found, since(i), level) {
                    Change::Steps(steps) => of_steps(&series, &steps),
                    Change::Drift(drift) => vec![of_drift(&series, &drift, since(i))],
                }
            }
            _ => Vec::new(),
        };
        let exact = is_exact(&series);
        findings.retain(|f| exact || f.ratio.0.ln().abs() > rule.slack.ln_1p());
        settle(&mut findings, &series, levels, blessed[i], rule);
        let unjudged = match &evidence[i] {
            Err(why) if !(exact && series.points.len() > 1) => Some(why.clone()),
            _ => None,
        };
        let found = evidence[i].as_ref().ok();
        Judged {
            id: series.key.id(),
            p: found.map(|e| e.p),
            q: q_of[i],
            rho: found.map(|e| e.scan.rho),
            detectable: found.and_then(|e| {
                let level = rule.false_discovery / judged.len() as f64;
                detectable(levels, e, STEPS_SHARE * level).map(Ratio)
            }),
            unjudged,
            findings,
            series,
        }
    };
    let series = all.into_iter().enumerate().map(one).collect();
    let (false_discovery, slack) = (rule.false_discovery, rule.slack);
    Report { schema: SCHEMA, false_discovery, slack, series }
}

fn is_exact(series: &Series) -> bool {
    series.basis == Some(Basis::Exact)
}

fn judgeable(series: &Series) -> Result<(), String> {
    let points = series.points.len();
    let left_out = match series.left_out {
        0 => String::new(),
        1 => "; 1 run without its reference was left out".into(),
        count => format!("; {count} runs without its reference were left out"),
    };
    if series.canary {
        return Err("a canary: others are judged by it".into());
    }
    match series.basis {
        None => Err("no reference: what the machine did cannot be told from what a commit did; add runs with --reference or \
                     --canary, or check with --raw"
            .into()),
        Some(Basis::Exact) if points < 2 => Err("1 commit; 2 are needed".into()),
        Some(Basis::Exact) => Err("compared exactly".into()),
        _ if points < ENOUGH => {
            let s = if points == 1 { "" } else { "s" };
            Err(format!("{points} commit{s}; {ENOUGH} are needed{left_out}"))
        }
        _ => Ok(()),
    }
}

/// The last blessing of a series, with the last point that it covers.
fn last_blessing<'a>(series: &Series, blessings: &'a [Blessing]) -> Option<(usize, &'a Blessing)> {
    let of_series = blessings.iter().filter(|blessing| blessing.key == series.key);
    let place = |blessing: &'a Blessing| {
        let at = series
            .points
            .iter()
            .rposition(|point| short(&point.commit) == short(&blessing.commit))?;
        Some((at, blessing))
    };
    of_series.filter_map(place).max_by_key(|(at, blessing)| (*at, blessing.time))
}

fn commit(series: &Series, at: usize) -> String {
    series.points[at].commit.clone()
}

fn of_steps(series: &Series, steps: &[Step]) -> Vec<Finding> {
    let finding = |step: &Step| Finding {
        kind: Kind::Step,
        ratio: Ratio((step.after - step.before).exp()),
        values: None,
        at: step.at,
        last_before: commit(series, step.at - 1),
        first_after: commit(series, step.at),
        suspects: (step.between.0..=step.between.1).map(|at| commit(series, at)).collect(),
        p: step.p,
        state: State::Open,
    };
    steps.iter().map(finding).collect()
}

fn of_drift(series: &Series, drift: &Drift, since: usize) -> Finding {
    let last = series.points.len() - 1;
    Finding {
        kind: Kind::Drift,
        ratio: Ratio((drift.slope * (last - since) as f64).exp()),
        values: None,
        at: last,
        last_before: commit(series, since),
        first_after: commit(series, last),
        suspects: Vec::new(),
        p: drift.p,
        state: State::Open,
    }
}

/// Every change of a number without noise, by the rule of the gate, against the level that the last change left: what creeps is found
/// too.
fn exact_changes(series: &Series) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some(mut before) = series.points.first().map(|point| point.value) else { return findings };
    for (at, point) in series.points.iter().enumerate().skip(1) {
        let after = point.value;
        let Some(worse) = exact::change(&series.key.metric, before, after) else { continue };
        let is_zero = before == 0.0 || after == 0.0;
        let size = if is_zero { f64::MAX } else { (after / before).max(before / after) };
        findings.push(Finding {
            kind: Kind::Step,
            // Above 1 is worse, also of the few numbers of which more is better.
            ratio: Ratio(if worse == Ordering::Greater { size } else { 1.0 / size }),
            values: Some((before, after)),
            at,
            last_before: commit(series, at - 1),
            first_after: commit(series, at),
            suspects: vec![commit(series, at)],
            p: 0.0,
            state: State::Open,
        });
        before = after;
    }
    findings
}

/// Says which findings are blessed, and which are gone again.
fn settle(
    findings: &mut [Finding],
    series: &Series,
    levels: &[f64],
    blessed: Option<(usize, &Blessing)>,
    rule: &Rule,
) {
    let middle = |from: usize, to: usize| median(&mut levels[from..to].to_vec());
    let last_step = findings.iter().filter(|f| f.kind == Kind::Step).map(|f| f.at).max();
    let now = last_step.and_then(|at| middle(at, levels.len()));
    let starts: Vec<usize> = [0].into_iter().chain(findings.iter().map(|f| f.at)).collect();
    for (finding, start) in findings.iter_mut().zip(starts) {
        if let Some((at, blessing)) = blessed
            && finding.at <= at
        {
            finding.state = State::Blessed(blessing.reason.clone());
            continue;
        }
        let gone = match (finding.kind, finding.values, now, middle(start, finding.at)) {
            (Kind::Step, Some((before, _)), ..) => {
                let last = series.points.last().map_or(before, |point| point.value);
                let wrong = if finding.ratio.0 > 1.0 { Ordering::Greater } else { Ordering::Less };
                exact::change(&series.key.metric, before, last) != Some(wrong)
            }
            (Kind::Step, None, Some(now), Some(before)) => {
                let size = finding.ratio.0.ln();
                let left = (now - before) * size.signum();
                left <= (LEFT * size.abs()).max(rule.slack.ln_1p())
            }
            _ => false,
        };
        if gone {
            finding.state = State::Recovered;
        }
    }
}

/// The slowdown that this series would show with a probability of 80 %, [`LATER`] commits after it.
fn detectable(levels: &[f64], evidence: &Evidence, level: f64) -> Option<f64> {
    let differences: Vec<f64> = levels.windows(2).map(|w| w[1] - w[0]).collect();
    // Differences of neighbours know no steps; √2 times the deviation of independent values, or as seen.
    let sd = (mad(&differences)? * MAD_TO_SD / 2f64.sqrt()).max(0.0);
    let n = levels.len() + LATER;
    let (mut low, mut high) = (0.0, 40.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if selection(middle, n, LEAST) > level { low = middle } else { high = middle }
    }
    let scale = inflation(evidence.scan.rho) * (1.0 / LATER as f64 + 1.0 / levels.len() as f64);
    Some(((high + normal_quantile(0.8)?) * sd * scale.sqrt()).exp())
}
