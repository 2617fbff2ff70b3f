//! The time of a case from the records of a run: measured, read off a curve, or not to be had.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use serde::Serialize;

use super::curve::{Curve, Reading};
use super::roofs::Roofs;
use super::source::Source;
use crate::error::{Error, Result};
use crate::ops::{Cache, Case, Pass, Precision, Problem, Regime};
use crate::record::Record;

/// Where a time comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// The very case was measured.
    Measured,
    /// From a curve, within what was measured.
    Interpolated,
    /// From a curve or in proportion, beyond what was measured.
    Extrapolated,
    /// No kernel measures it: bytes over measured bandwidth, or a model of links.
    Assumed,
    /// Nothing is known of it, and nothing is put in its place.
    NotMeasured,
}

impl Basis {
    /// Every basis, from the best.
    pub const ALL: [Basis; 5] = [
        Basis::Measured,
        Basis::Interpolated,
        Basis::Extrapolated,
        Basis::Assumed,
        Basis::NotMeasured,
    ];

    /// The words for tables.
    pub fn name(self) -> &'static str {
        match self {
            Basis::Measured => "measured",
            Basis::Interpolated => "interpolated",
            Basis::Extrapolated => "extrapolated",
            Basis::Assumed => "assumed",
            Basis::NotMeasured => "not measured",
        }
    }
}

/// The time of one launch and where it comes from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Timed {
    /// Nanoseconds.
    pub median: f64,
    /// Lower end of its 95 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Where it comes from.
    pub basis: Basis,
    /// The kernel.
    pub kernel: String,
    /// What a reader should know: how many points, how far outside.
    pub note: String,
    /// Bytes that the kernel takes beside its operands and results, where it was measured.
    pub workspace: u64,
    /// Energy of a launch in millijoules, where the run counted it.
    pub energy_mj: Option<f64>,
}

/// Which records of a run count.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// The device; the one with most records otherwise.
    pub device: Option<String>,
    /// CPU threads; as many as were measured otherwise.
    pub threads: Option<usize>,
    /// The state of caches; warm otherwise.
    pub cache: Option<Cache>,
    /// Burst or sustained; sustained otherwise, where there are such records.
    pub regime: Option<Regime>,
    /// Only kernels that one of these patterns matches; all otherwise.
    pub kernels: Vec<glob::Pattern>,
}

/// Kernels and their curves through cases of one class.
type Curves = Rc<Vec<(String, Curve)>>;

/// The measured times of a run, for one device and number of threads.
pub struct Times {
    /// The device.
    pub device: String,
    /// CPU threads; 1 on GPUs.
    pub threads: usize,
    /// The state of caches.
    pub cache: Cache,
    /// Burst or sustained.
    pub regime: Regime,
    /// Measured roofs.
    pub roofs: Roofs,
    records: Vec<Record>,
    energies: HashMap<u64, f64>,
    exact: HashMap<String, usize>,
    curves: RefCell<HashMap<String, Curves>>,
}

impl Times {
    /// The records of `run` that `choice` leaves.
    ///
    /// # Errors
    /// [`Error::Usage`] when none is left, with what the run holds instead.
    pub fn of(run: Source<'_>, choice: &Choice) -> Result<Times> {
        let name = run.name;
        let measured = || run.records.iter().filter(|r| r.timing().is_some());
        let ops = || measured().filter(|r| !matches!(r.case.problem, Problem::Peak(_)));
        let device = choice.device.clone().or_else(|| most(ops().map(|r| r.device.to_string())));
        let Some(device) = device else {
            return Err(Error::Usage(format!(
                "{name} holds no measured kernel (simulated, wrong, refused and failed ones have no time); \
                 `scalemark run` makes a run that does"
            )));
        };
        let held = |what: &str, all: Vec<String>| {
            let mut all = all;
            all.sort();
            all.dedup();
            Error::Usage(format!("{name} has no measured kernel {what}; it has {}", all.join(", ")))
        };
        let on = || ops().filter(|r| r.device == device);
        if on().next().is_none() {
            let all = ops().map(|r| r.device.to_string()).collect();
            return Err(held(&format!("on device {device}"), all));
        }
        let threads = choice.threads.or_else(|| on().map(|r| r.case.threads).max()).unwrap_or(1);
        let cache = choice.cache.unwrap_or(match on().any(|r| r.case.cache == Cache::Warm) {
            true => Cache::Warm,
            false => Cache::Cold,
        });
        let regime =
            choice.regime.unwrap_or(match on().any(|r| r.case.regime == Regime::Sustained) {
                true => Regime::Sustained,
                false => Regime::Burst,
            });
        let kernel = |r: &Record| {
            choice.kernels.is_empty() || choice.kernels.iter().any(|p| p.matches(&r.kernel))
        };
        let records: Vec<Record> = on()
            .filter(|r| {
                let case = &r.case;
                case.threads == threads && case.cache == cache && case.regime == regime && kernel(r)
            })
            .cloned()
            .collect();
        if records.is_empty() {
            let all = on().map(|r| {
                let (case, kernel) = (&r.case, &r.kernel);
                let state = (case.cache.name(), case.regime.name());
                format!("{kernel} at {} threads {} {}", case.threads, state.0, state.1)
            });
            let what = format!("at {threads} threads, {} and {}", cache.name(), regime.name());
            return Err(held(&what, all.collect()));
        }
        let probes = run.records.iter().filter(|r| r.device == device && r.case.threads == threads);
        let roofs = Roofs::of(probes);
        let energies = run.counters.iter().filter(|c| c.name == "energy_mj_per_launch");
        let energies = energies.map(|c| (c.record_id, c.value)).collect();
        let mut exact: HashMap<String, usize> = HashMap::new();
        for (i, record) in records.iter().enumerate() {
            let best = exact.entry(key(&record.case)).or_insert(i);
            if time(record) < time(&records[*best]) {
                *best = i;
            }
        }
        let curves = RefCell::default();
        Ok(Times { device, threads, cache, regime, roofs, records, energies, exact, curves })
    }

    /// The time of a launch of `case`: of the fastest kernel measured on it, else of the kernel whose curve promises least;
    /// `None` when neither is to be had.
    pub fn time(&self, case: &Case) -> Option<Timed> {
        if let Some(&i) = self.exact.get(&key(case)) {
            return self.measured(&self.records[i]);
        }
        self.on_curves(case, true)
            .or_else(|| self.on_curves(case, false))
            .or_else(|| self.in_proportion(case))
    }

    fn measured(&self, record: &Record) -> Option<Timed> {
        let timing = record.timing()?;
        let operands = record.case.buffer_bytes().0;
        Some(Timed {
            median: timing.median.0,
            low: timing.low.0,
            high: timing.high.0,
            basis: Basis::Measured,
            kernel: record.kernel.to_string(),
            note: String::new(),
            workspace: record.allocated.map_or(0, |all| all.0.saturating_sub(operands)),
            energy_mj: self.energies.get(&record.record_id).copied(),
        })
    }

    /// From cases of the same op, number format and pass; `strict`ly of the same storage of operands as well.
    fn on_curves(&self, case: &Case, strict: bool) -> Option<Timed> {
        let work = self.roofs.work(case);
        // An update in place reaches another bandwidth than copy and triad do.
        let update = matches!(case.problem, Problem::Update(_));
        let roofs = !update && self.roofs.are_known(case.precision.inputs);
        let curves = self.curves(&class(case, strict), strict);
        let read = |(kernel, curve): &(String, Curve)| {
            curve.read(work, roofs).map(|reading| (kernel.clone(), curve.points(), reading))
        };
        // A curve that reaches the case beats one that must be followed beyond its end. Of several, the one whose interval ends
        // first: the least expectation would favour the curve that is furthest off.
        let order = |a: &(String, usize, Reading), b: &(String, usize, Reading)| {
            let outside = |r: &Reading| r.outside > 1.0;
            outside(&a.2).cmp(&outside(&b.2)).then(a.2.high.total_cmp(&b.2.high))
        };
        let (kernel, points, reading) = curves.iter().filter_map(read).min_by(order)?;
        let any = if strict { "" } else { " of any storage of operands" };
        let (basis, note) = match reading.outside {
            outside if outside > 1.0 => {
                (Basis::Extrapolated, format!("{outside:.1}× outside {points} cases{any}"))
            }
            _ => (Basis::Interpolated, format!("between {points} cases{any}")),
        };
        let Reading { median, low, high, .. } = reading;
        Some(Timed { median, low, high, basis, kernel, note, workspace: 0, energy_mj: None })
    }

    fn curves(&self, class_name: &str, strict: bool) -> Curves {
        if let Some(curves) = self.curves.borrow().get(class_name) {
            return Rc::clone(curves);
        }
        let mut points: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
        for record in self.records.iter().filter(|r| class(&r.case, strict) == class_name) {
            points
                .entry(&record.kernel)
                .or_default()
                .push((self.roofs.work(&record.case), time(record)));
        }
        let fit = |(kernel, points): (&str, Vec<_>)| {
            Curve::fit(&points).map(|curve| (kernel.to_owned(), curve))
        };
        let curves: Curves = Rc::new(points.into_iter().filter_map(fit).collect());
        self.curves.borrow_mut().insert(class_name.to_owned(), Rc::clone(&curves));
        curves
    }

    /// An update streams through memory, parameter by parameter: a larger one takes as much longer as it moves more bytes.
    /// From the largest measured one of the same rule and format, and only upwards, where caches are behind.
    fn in_proportion(&self, case: &Case) -> Option<Timed> {
        let Problem::Update(update) = case.problem else { return None };
        let like = |r: &&Record| class(&r.case, true) == class(case, true);
        let params = |r: &Record| match r.case.problem {
            Problem::Update(u) => u.params,
            _ => 0,
        };
        let largest = self.records.iter().filter(like).map(params).max()?;
        let same = self.records.iter().filter(like).filter(|r| params(r) == largest);
        let best = same.min_by(|a, b| time(a).total_cmp(&time(b)))?;
        let factor = update.params as f64 / largest as f64;
        if factor < 1.0 {
            return None;
        }
        let measured = self.measured(best)?;
        Some(Timed {
            median: measured.median * factor,
            low: measured.low * factor,
            high: measured.high * factor,
            basis: Basis::Extrapolated,
            note: format!("in proportion to p{largest}"),
            workspace: 0,
            energy_mj: measured.energy_mj.map(|energy| energy * factor),
            ..measured
        })
    }
}

fn time(record: &Record) -> f64 {
    record.timing().map_or(f64::INFINITY, |t| t.median.0)
}

/// What the times of two records must agree in to be those of one case: all but cache and regime, which were chosen before.
/// A product is the same in every pass (its storage tells them apart), and so is a cache in the format of the operands.
fn key(case: &Case) -> String {
    comparable(case).key()
}

fn comparable(case: &Case) -> Case {
    let pass = match case.problem {
        Problem::Matmul(_) => Pass::Forward,
        _ => case.pass,
    };
    let state = match case.problem {
        Problem::Attention(_) if pass != Pass::Decode => None,
        Problem::Attention(_) => {
            case.precision.state.filter(|&state| state != case.precision.inputs)
        }
        _ => case.precision.state,
    };
    let precision = Precision { state, ..case.precision };
    Case { pass, precision, cache: Cache::Warm, regime: Regime::Burst, ..*case }
}

/// What two cases must agree in for one curve to go through both.
fn class(case: &Case, strict: bool) -> String {
    let case = comparable(case);
    let storage = match case.problem {
        Problem::Matmul(m) if strict => {
            format!("{} {}", m.transpose.name(), m.groups.map_or("dense", |_| "grouped"))
        }
        Problem::Matmul(m) => m.groups.map_or("any dense", |_| "any grouped").to_owned(),
        Problem::Attention(a) => format!("causal {}", a.causal),
        _ => String::new(),
    };
    format!("{} {} {} {storage}", case.problem.op(), case.precision, case.pass.name())
}

fn most(names: impl Iterator<Item = String>) -> Option<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    names.for_each(|name| *counts.entry(name).or_default() += 1);
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(name, _)| name)
}

#[cfg(test)]
mod tests;
