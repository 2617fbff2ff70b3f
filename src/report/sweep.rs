//! Finding sweeps in records: cases of one op in which exactly one size grows.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;

use super::group::Group;
use crate::ops::{Attention, Matmul, Problem, Update};
use crate::record::Record;

/// The least number of sizes that a law is fitted to.
pub const LEAST_SIZES: usize = 5;

/// The least ratio of the largest to the smallest size: over less, a law says nothing.
const LEAST_SPAN: f64 = 4.0;

/// Records of one [`Group`] that differ in one size only.
#[derive(Debug, Clone)]
pub struct Sweep<'a> {
    /// What all records share besides the sizes.
    pub group: Group,
    /// The size that grows, e.g. `m = n = k`.
    pub parameter: &'static str,
    /// What it counts, e.g. `elements`.
    pub unit: &'static str,
    /// The sizes that stay, e.g. `nn` or `b1-h12-d64-causal`.
    pub fixed: String,
    /// The end of the file name that tells sweeps of one group apart, or empty.
    pub suffix: String,
    /// One line a kernel, in the order of the records.
    pub lines: Vec<Line<'a>>,
}

/// The measured records of one kernel, by growing size.
#[derive(Debug, Clone)]
pub struct Line<'a> {
    /// The kernel's name.
    pub kernel: &'a str,
    /// Size and record, sizes strictly increasing.
    pub points: Vec<(f64, &'a Record)>,
}

impl Line<'_> {
    /// Whether its sizes are many and far enough apart.
    pub fn is_sweep(&self) -> bool {
        let span =
            self.points.last().zip(self.points.first()).map(|(last, first)| last.0 / first.0);
        self.points.len() >= LEAST_SIZES && span.is_some_and(|s| s >= LEAST_SPAN)
    }

    /// Size and median time in seconds.
    pub fn times(&self) -> Vec<(f64, f64)> {
        let time = |(size, record): &(f64, &Record)| Some((*size, record.timing()?.median.secs()));
        self.points.iter().filter_map(time).collect()
    }
}

impl Sweep<'_> {
    /// The stem of file names, without the kind of chart.
    pub fn slug(&self) -> String {
        format!("{}{}", self.group.slug(), self.suffix)
    }
}

/// One way to see a problem as a point of a sweep.
#[derive(Debug, Clone, Copy)]
struct View {
    parameter: &'static str,
    unit: &'static str,
    size: usize,
    /// The problem without that size: what all points of a sweep have in common.
    rest: Problem,
    /// Whether cases of models count; views along a single side of a product would else find chance alignments of layers.
    models: bool,
}

/// The size of a square product.
const SQUARE: &str = "m = n = k";

/// Every size of a problem that could be the growing one.
fn views(problem: &Problem) -> impl Iterator<Item = View> {
    let view =
        |parameter, unit, size, rest, models| Some(View { parameter, unit, size, rest, models });
    let product = |m, n, k, p: &Matmul| Problem::Matmul(Matmul { m, n, k, ..*p });
    let found = match problem {
        Problem::Matmul(p) => [
            view(SQUARE, "elements", p.m, product(0, 0, 0, p), true)
                .filter(|_| p.m == p.n && p.n == p.k),
            view("m", "rows of C", p.m, product(0, p.n, p.k, p), false),
            view("n", "columns of C", p.n, product(p.m, 0, p.k, p), false),
            view("k", "length of the sums", p.k, product(p.m, p.n, 0, p), false),
        ],
        Problem::Attention(p) => {
            let both = p.seq_q == p.seq_kv;
            let parameter = if both { "seq" } else { "seq_kv" };
            let seq_q = if both { 0 } else { p.seq_q };
            let rest = Problem::Attention(Attention { seq_q, seq_kv: 0, ..*p });
            [view(parameter, "tokens", p.seq_kv, rest, true), None, None, None]
        }
        Problem::Update(p) => {
            let rest = Problem::Update(Update { params: 0, ..*p });
            [view("params", "parameters", p.params, rest, true), None, None, None]
        }
        Problem::Peak(_) => [None; 4],
    };
    found.into_iter().flatten()
}

/// The sizes that stay as a problem's parameter grows, and the end of the file name that tells sweeps of one group apart.
fn words(problem: &Problem, parameter: &str) -> (String, String) {
    match problem {
        Problem::Matmul(p) => {
            let kind = match (p.groups, p.batch) {
                (Some(g), _) => format!("{} e{} skew{}", p.transpose.name(), g.experts, g.skew),
                (None, 1) => p.transpose.name().to_owned(),
                (None, batch) => format!("{} b{batch}", p.transpose.name()),
            };
            let tail = if kind == "nn" {
                String::new()
            } else {
                format!("-{}", kind.replace([' ', '.'], "-"))
            };
            let fixed = match parameter {
                "m" => format!("{kind} n{}-k{}", p.n, p.k),
                "n" => format!("{kind} m{}-k{}", p.m, p.k),
                "k" => format!("{kind} m{}-n{}", p.m, p.n),
                _ => return (kind, tail),
            };
            (fixed, format!("{tail}-by-{parameter}"))
        }
        Problem::Attention(p) => {
            let mask = if p.causal { "causal" } else { "full" };
            let heads = if p.heads == p.kv_heads {
                format!("h{}", p.heads)
            } else {
                format!("h{}-kv{}", p.heads, p.kv_heads)
            };
            let head_dim = if p.head_dim_qk == p.head_dim_v {
                format!("d{}", p.head_dim_qk)
            } else {
                format!("d{}x{}", p.head_dim_qk, p.head_dim_v)
            };
            let tail = if p.causal { "" } else { "-full" };
            let queries =
                if p.seq_q == p.seq_kv { String::new() } else { format!("-q{}", p.seq_q) };
            // A query or a cached key is one token either way; a decode's only mask is none at all.
            let suffix = if p.seq_q == 1 { String::new() } else { tail.to_owned() };
            (format!("b{}-{heads}{queries}-{head_dim}-{mask}", p.batch), suffix)
        }
        Problem::Update(_) | Problem::Peak(_) => (String::new(), String::new()),
    }
}

/// What may become a sweep; most stay too short.
struct Open<'a> {
    view: View,
    /// The problem of its first point.
    first: Problem,
    lines: Vec<Line<'a>>,
}

impl<'a> Open<'a> {
    /// The sweep that it is, as one of `group`.
    fn close(self, group: &Group) -> Sweep<'a> {
        let View { parameter, unit, .. } = self.view;
        let (fixed, suffix) = match parameter {
            WORK => (unit.to_owned(), String::new()),
            _ => words(&self.first, parameter),
        };
        Sweep { group: group.clone(), parameter, unit, fixed, suffix, lines: self.lines }
    }
}

/// The sweeps of at least [`LEAST_SIZES`] sizes, one a file name: where several would share one, that of the most points.
pub fn sweeps<'a>(records: impl IntoIterator<Item = &'a Record>) -> Vec<Sweep<'a>> {
    let mut found: Vec<Sweep> = Vec::new();
    let mut slugs = HashSet::new();
    for (group, members) in super::group::groups(records) {
        let mut local: Vec<Open> = Vec::new();
        let mut known: Places = HashMap::default();
        for record in members.into_iter().filter(|r| r.timing().is_some()) {
            for view in views(&record.case.problem) {
                if view.size > 0 && (view.models || record.model.is_empty()) {
                    add(&mut local, &mut known, view, record);
                }
            }
        }
        local.retain(|s| s.lines.iter().any(Line::is_sweep));
        let points = |s: &Open| s.lines.iter().map(|line| line.points.len()).sum::<usize>();
        local.sort_by_key(|s| std::cmp::Reverse(points(s)));
        for open in local {
            let sweep = open.close(&group);
            if slugs.insert(sweep.slug()) {
                found.push(sweep);
            }
        }
    }
    found
}

/// The measured records of `record`'s group as curves, whatever the number of their sizes: those on which it differs from others in one size,
/// that of the most sizes first, and at last all by their work.
pub fn around<'a>(record: &Record, records: &'a [Record]) -> Vec<Sweep<'a>> {
    let group = Group::of(record);
    let problem = record.case.problem;
    let by_work = |other: &Record| {
        let cost = other.case.cost();
        let (unit, size) = match cost.flops.0 {
            0 => ("bytes", cost.bytes.0),
            flops => ("operations", flops),
        };
        View { parameter: WORK, unit, size: size as usize, rest: problem, models: true }
    };
    let lies_on: Vec<(&str, Problem)> =
        views(&problem).map(|view| (view.parameter, view.rest)).collect();
    // Probes of one machine have little in common but the machine.
    let alike = |other: &Record| match (&problem, &other.case.problem) {
        (Problem::Peak(one), Problem::Peak(other)) if one.kind != other.kind => false,
        _ => Group::of(other) == group,
    };
    let (mut found, mut known) = (Vec::new(), Places::default());
    let (mut all, mut known_all) = (Vec::new(), Places::default());
    for other in records.iter().filter(|r| r.timing().is_some() && alike(r)) {
        add(&mut all, &mut known_all, by_work(other), other);
        for view in views(&other.case.problem).filter(|view| view.size > 0) {
            if lies_on.contains(&(view.parameter, view.rest)) {
                add(&mut found, &mut known, view, other);
            }
        }
    }
    let sizes = |open: &Open| {
        let each = open.lines.iter().flat_map(|line| &line.points).map(|(size, _)| *size as u64);
        each.collect::<HashSet<_>>().len()
    };
    found.retain(|open| sizes(open) > 1);
    found.sort_by_key(|open| std::cmp::Reverse(sizes(open)));
    let by_size = found.into_iter().map(|open| open.close(&group));
    by_size.chain(all.into_iter().map(|open| open.close(&group))).collect()
}

/// The parameter of a curve over all cases of a group.
const WORK: &str = "work";

/// Where what has a parameter and the rest of its problem stands among those that are open.
type Places = HashMap<(&'static str, Problem), usize, RandomState>;

/// Puts a record into the sweep that it fits, or opens one; of two records of one size the faster stays.
///
/// Every product opens up to four, so that `known` has where each stands.
fn add<'a>(sweeps: &mut Vec<Open<'a>>, known: &mut Places, view: View, record: &'a Record) {
    let at = *known.entry((view.parameter, view.rest)).or_insert_with(|| {
        sweeps.push(Open { view, first: record.case.problem, lines: Vec::new() });
        sweeps.len() - 1
    });
    let lines = &mut sweeps[at].lines;
    let at = lines.iter().position(|l| l.kernel == record.kernel).unwrap_or_else(|| {
        lines.push(Line { kernel: &record.kernel, points: Vec::new() });
        lines.len() - 1
    });
    let points = &mut lines[at].points;
    let size = view.size as f64;
    match points.binary_search_by(|(known, _)| known.total_cmp(&size)) {
        Ok(same) => {
            let median = |r: &Record| r.timing().map_or(f64::INFINITY, |t| t.median.0);
            if median(record) < median(points[same].1) {
                points[same].1 = record;
            }
        }
        Err(place) => points.insert(place, (size, record)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Case, Precision, Probe, ProbeKind};
    use crate::report::synthetic;

    #[test]
    fn squares_sequences_and_parameters_are_found_as_sweeps() {
        let records = synthetic::records();
        let names: Vec<String> = sweeps(&records).iter().map(Sweep::slug).collect();
        assert!(names.contains(&"matmul-f32-t1".to_owned()), "{names:?}");
        assert!(names.contains(&"attention-fwd-f32-t1".to_owned()), "{names:?}");
        assert!(names.contains(&"adamw-f32-t1-cold".to_owned()), "{names:?}");
    }

    #[test]
    fn a_record_lies_on_the_curves_of_its_sizes_and_on_that_of_all_work() {
        let mut records: Vec<Record> =
            [(64, 64, 64), (128, 128, 128), (256, 256, 256), (128, 512, 128), (100, 7, 3)]
                .map(|(m, n, k)| synthetic::matmul(m, n, k, "matmul/simd", "own", 1e-3))
                .to_vec();
        records.push(synthetic::square(64, "matmul/naive", "own", 1e-2));
        let curves = |at: usize| -> Vec<(&str, usize)> {
            let found = around(&records[at], &records);
            found
                .iter()
                .map(|c| (c.parameter, c.lines.iter().map(|l| l.points.len()).sum()))
                .collect()
        };
        assert_eq!(curves(1), [("m = n = k", 4), ("n", 2), ("work", 6)]);
        assert_eq!(curves(4), [("work", 6)]);

        let probe = |kind| Case::new(Problem::Peak(Probe { kind, size: 1 << 20 }), Precision::F32);
        let probes = [ProbeKind::Fma, ProbeKind::Read, ProbeKind::Copy]
            .map(|kind| synthetic::record(probe(kind), "peak/simd", "own"));
        for one in &probes {
            let found = around(one, &probes);
            assert!(found.len() == 1 && found[0].lines[0].points.len() == 1, "{found:?}");
        }
    }

    #[test]
    fn four_sizes_are_no_sweep() {
        let squares = |sizes: &[usize]| -> Vec<Record> {
            sizes.iter().map(|&n| synthetic::square(n, "matmul/simd", "own", 1e-3)).collect()
        };
        assert!(sweeps(&squares(&[64, 128, 256, 512])).is_empty());
        assert_eq!(sweeps(&squares(&[64, 128, 256, 512, 1024])).len(), 1);
    }

    #[test]
    fn layers_of_models_that_happen_to_share_two_sides_are_no_sweep() {
        let mut records: Vec<Record> = [100, 200, 300, 400, 500]
            .map(|n| synthetic::matmul(64, n, 128, "matmul/simd", "own", 1e-3))
            .to_vec();
        assert_eq!(sweeps(&records)[0].slug(), "matmul-f32-t1-by-n");
        for record in &mut records {
            record.model = "bert-base:qkv".into();
        }
        assert!(sweeps(&records).is_empty());
    }
}
