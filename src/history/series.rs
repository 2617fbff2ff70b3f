//! From entries to series: one point a commit, without what the machine did.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::entry::{COUNT, Entry, Key, NANOS};
use crate::stats::median;

/// Canaries that a run needs before it is measured by them.
pub const LEAST_CANARIES: usize = 3;

/// What the values of a series are relative to.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// The same kernel of a pinned build, by its name, measured in the same job.
    Reference(String),
    /// The median of so many canaries, by what each usually takes.
    Canaries(usize),
    /// Nothing: what the machine does is in the values.
    Raw,
    /// Nothing, for there is no noise.
    Exact,
}

impl Basis {
    /// In a table.
    pub fn name(&self) -> String {
        match self {
            Basis::Reference(name) => name.clone(),
            Basis::Canaries(count) => format!("{count} canaries"),
            Basis::Raw => "none".into(),
            Basis::Exact => "exact".into(),
        }
    }
}

/// What a commit came to; the median, where it was measured several times.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Point {
    /// The commit.
    pub commit: String,
    /// When it was made, or else first measured.
    #[serde(serialize_with = "as_text")]
    pub time: Timestamp,
    /// As measured, in the unit of the series.
    pub value: f64,
    /// The natural logarithm of its ratio to the basis; the value itself where there is no noise.
    pub level: f64,
    /// Runs.
    pub runs: usize,
}

fn as_text<S: serde::Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

/// A kernel on a case, by one metric, on one class of machine, over commits.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Series {
    /// What it is of.
    #[serde(flatten)]
    pub key: Key,
    /// The unit of its values.
    pub unit: String,
    /// What levels are relative to; `None` where there is nothing, so that it cannot be judged.
    pub basis: Option<Basis>,
    /// Its points, oldest first.
    pub points: Vec<Point>,
    /// Runs that could not be used, for they lack the basis that the newest one has.
    pub left_out: usize,
    /// Whether it is a yardstick of others.
    pub canary: bool,
}

/// A run: what canaries are compared within.
type Run<'a> = (Timestamp, &'a str, &'a str);

fn run_of(entry: &Entry) -> Run<'_> {
    (entry.time, &entry.commit, &entry.key.fingerprint)
}

/// All series of the entries, by key. Times that have neither reference nor canaries get [`Basis::Raw`] where `raw` allows it, else none.
pub fn assemble(entries: &[Entry], raw: bool) -> Vec<Series> {
    let mut by_key: BTreeMap<&Key, Vec<&Entry>> = BTreeMap::new();
    for entry in entries {
        by_key.entry(&*entry.key).or_default().push(entry);
    }
    let modes = common_modes(&by_key);
    by_key.into_iter().map(|(key, entries)| series(key, entries, &modes, raw)).collect()
}

/// The common mode of each run that has enough canaries: the median of the logs of their times over what each usually takes.
fn common_modes<'a>(by_key: &BTreeMap<&Key, Vec<&'a Entry>>) -> HashMap<Run<'a>, (f64, usize)> {
    let mut runs: HashMap<Run<'a>, Vec<f64>> = HashMap::new();
    for entries in by_key.values() {
        let canaries: Vec<&&'a Entry> =
            entries.iter().filter(|e| e.canary && &*e.unit == NANOS).collect();
        let mut logs: Vec<f64> = canaries.iter().map(|e| e.value.ln()).collect();
        let Some(usual) = median(&mut logs) else { continue };
        for entry in canaries {
            runs.entry(run_of(entry)).or_default().push(entry.value.ln() - usual);
        }
    }
    let mode = |(run, mut logs): (Run<'a>, Vec<f64>)| {
        let count = logs.len();
        let enough = count >= LEAST_CANARIES;
        median(&mut logs).filter(|_| enough).map(|mode| (run, (mode, count)))
    };
    runs.into_iter().filter_map(mode).collect()
}

fn series(
    key: &Key,
    mut entries: Vec<&Entry>,
    modes: &HashMap<Run<'_>, (f64, usize)>,
    raw: bool,
) -> Series {
    let order = |e: &Entry| (e.commit_time.unwrap_or(e.time), e.time);
    entries.sort_by(|a, b| order(a).cmp(&order(b)).then_with(|| a.commit.cmp(&b.commit)));
    let newest = entries.last().expect("a key comes from an entry");
    let (unit, canary) = (Arc::clone(&newest.unit), newest.canary);
    let basis = basis(newest, modes, raw);
    let level = |entry: &Entry| -> Option<f64> {
        if entry.unit != unit || entry.canary != canary {
            return None;
        }
        match basis.as_ref()? {
            Basis::Exact => Some(entry.value),
            Basis::Raw => Some(entry.value.ln()),
            Basis::Canaries(_) => {
                modes.get(&run_of(entry)).map(|(mode, _)| entry.value.ln() - mode)
            }
            Basis::Reference(name) => {
                let beside = entry.reference_value.filter(|_| *entry.reference == **name)?;
                Some((entry.value / beside).ln())
            }
        }
    };
    let mut points: Vec<(Point, Vec<(f64, f64)>)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut left_out = 0;
    for entry in &entries {
        let Some(level) = level(entry).or(basis.is_none().then(|| entry.value.ln())) else {
            left_out += 1;
            continue;
        };
        let at = *places.entry(short(&entry.commit)).or_insert_with(|| {
            let time = order(entry).0;
            let commit = entry.commit.to_string();
            points.push((Point { commit, time, value: 0.0, level: 0.0, runs: 0 }, Vec::new()));
            points.len() - 1
        });
        points[at].1.push((entry.value, level));
    }
    let finished = |(mut point, numbers): (Point, Vec<(f64, f64)>)| {
        let middle = |pick: fn(&(f64, f64)) -> f64| {
            median(&mut numbers.iter().map(pick).collect::<Vec<_>>()).unwrap_or(f64::NAN)
        };
        (point.value, point.level) = (middle(|n| n.0), middle(|n| n.1));
        point.runs = numbers.len();
        point
    };
    let points = points.into_iter().map(finished).collect();
    Series { key: key.clone(), unit: unit.to_string(), basis, points, left_out, canary }
}

/// What of a commit's name tells it from others: one that is abbreviated and one that is not are the same.
pub fn short(commit: &str) -> &str {
    let is_hash = commit.len() > 10 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hash { &commit[..10] } else { commit }
}

/// By the newest entry: what it has is what the next ones will have.
fn basis(newest: &Entry, modes: &HashMap<Run<'_>, (f64, usize)>, raw: bool) -> Option<Basis> {
    if &*newest.unit == COUNT {
        return Some(Basis::Exact);
    }
    if newest.reference_value.is_some() {
        return Some(Basis::Reference(newest.reference.to_string()));
    }
    // No machine makes a kernel need more bytes.
    if &*newest.unit != NANOS {
        return Some(Basis::Raw);
    }
    match modes.get(&run_of(newest)) {
        Some(&(_, count)) => Some(Basis::Canaries(count)),
        None => raw.then_some(Basis::Raw),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::history::entry::TIME;

    /// An entry of commit `i` of kernel `kernel`.
    pub fn entry(kernel: &str, i: usize, value: f64) -> Entry {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        Entry {
            time: start + jiff::SignedDuration::from_hours(i as i64),
            commit: format!("c{i:03}").into(),
            commit_time: None,
            key: Key {
                kernel: kernel.into(),
                case: "case".into(),
                metric: TIME.into(),
                fingerprint: "machine".into(),
            }
            .into(),
            unit: NANOS.into(),
            value,
            processes: Some(3),
            reference: "".into(),
            reference_value: None,
            canary: false,
            source: "scalemark".into(),
        }
    }

    #[test]
    fn a_reference_takes_out_the_machine_and_another_one_begins_anew() {
        let with = |i, value: f64, name: &str, beside| Entry {
            reference: name.into(),
            reference_value: Some(beside),
            ..entry("k", i, value)
        };
        let entries =
            [with(0, 10.0, "v1", 5.0), with(1, 20.0, "v2", 10.0), with(2, 30.0, "v2", 10.0)];
        let all = assemble(&entries, false);
        assert_eq!(all[0].basis, Some(Basis::Reference("v2".into())));
        assert_eq!((all[0].points.len(), all[0].left_out), (2, 1));
        assert!((all[0].points[1].level - 3f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn canaries_show_a_slow_machine_and_not_a_slow_commit() {
        let mut entries = Vec::new();
        for i in 0..6 {
            let machine = if i == 3 { 2.0 } else { 1.0 };
            let commit = if i >= 4 { 1.03 } else { 1.0 };
            entries.push(entry("k", i, 100.0 * machine * commit));
            for c in 0..3 {
                let value = (c + 1) as f64 * machine;
                entries.push(Entry { canary: true, ..entry(&format!("canary{c}"), i, value) });
            }
        }
        let all = assemble(&entries, false);
        let kernel = all.iter().find(|s| s.key.kernel == "k").unwrap();
        assert_eq!(kernel.basis, Some(Basis::Canaries(3)));
        let ratio: Vec<f64> = kernel.points.iter().map(|p| p.level.exp() / 100.0).collect();
        for (got, want) in ratio.iter().zip([1.0, 1.0, 1.0, 1.0, 1.03, 1.03]) {
            assert!((got - want).abs() < 1e-9, "{ratio:?}");
        }
    }

    #[test]
    fn a_commit_is_one_point_and_commits_stand_in_the_order_they_were_made_in() {
        let made = |i, hours: i64, value| {
            let one = entry("k", i, value);
            Entry { commit_time: Some(one.time - jiff::SignedDuration::from_hours(hours)), ..one }
        };
        let mut again = made(1, 1, 12.0);
        again.time += jiff::SignedDuration::from_hours(1);
        let entries = [made(1, 1, 10.0), made(2, 40, 7.0), again];
        let all = assemble(&entries, true);
        let commits: Vec<&str> = all[0].points.iter().map(|p| p.commit.as_str()).collect();
        assert_eq!(commits, ["c002", "c001"]);
        assert_eq!((all[0].points[1].runs, all[0].points[1].value), (2, 11.0));
        assert_eq!(assemble(&entries, false)[0].basis, None, "nothing to compare with");
    }
}
