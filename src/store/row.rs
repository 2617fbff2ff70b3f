//! The wire type of `records.csv`: a flat [`Row`], apart from [`Record`], so that either can change without the other.

use serde::de::DeserializeOwned;
use serde::de::value::StrDeserializer;
use serde::{Deserialize, Serialize};

use super::table::{self, Columns, Unfit};
use crate::ops::{
    Attention, Case, DType, Family, Groups, Matmul, Pass, Precision, Probe, ProbeKind, Problem,
    Rule, Update,
};
use crate::record::{Check, Outcome, Record, Text, Timing, Words};
use crate::units::{ByteRate, Bytes, FlopRate, Nanos};

/// The columns of `records.csv`; `results/README.md` says what they mean. The last three are derived.
pub const RECORD_COLUMNS: &[&str] = &[
    "record_id",
    "case_key",
    "family",
    "op",
    "kernel",
    "provider",
    "device",
    "status",
    "detail",
    "check",
    "model",
    "pass",
    "transpose",
    "m",
    "n",
    "k",
    "batch",
    "heads",
    "kv_heads",
    "seq_q",
    "seq_kv",
    "head_dim_qk",
    "head_dim_v",
    "causal",
    "params",
    "groups",
    "routing_skew",
    "probe",
    "probe_size",
    "dtype_inputs",
    "dtype_accumulate",
    "dtype_output",
    "dtype_state",
    "threads",
    "cache",
    "regime",
    "placement",
    "processes",
    "samples",
    "stop_reason",
    "time_median_ns",
    "time_low_ns",
    "time_high_ns",
    "time_min_ns",
    "time_p95_ns",
    "time_p99_ns",
    "flops",
    "min_bytes",
    "allocated_bytes",
    "peak_resident_bytes",
    "deviation",
    "tolerance",
    "peak_flop_per_s",
    "peak_byte_per_s",
    "source_hash",
    "gflop_per_s",
    "gb_per_s",
    "share_of_peak",
];

pub(super) const COLUMNS: Columns =
    Columns { names: RECORD_COLUMNS, facts: RECORD_COLUMNS.len() - 3 };

/// A row; the fields are [`RECORD_COLUMNS`] in order, an empty cell is `None`, or empty text.
///
/// Names are text here and not enums, so that a name that is not known can be told with its column.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Row {
    record_id: u64,
    case_key: String,
    family: String,
    op: String,
    kernel: String,
    provider: String,
    device: String,
    status: String,
    detail: String,
    check: String,
    model: String,
    pass: String,
    transpose: String,
    m: Option<usize>,
    n: Option<usize>,
    k: Option<usize>,
    batch: Option<usize>,
    heads: Option<usize>,
    kv_heads: Option<usize>,
    seq_q: Option<usize>,
    seq_kv: Option<usize>,
    head_dim_qk: Option<usize>,
    head_dim_v: Option<usize>,
    causal: Option<bool>,
    params: Option<usize>,
    groups: Option<usize>,
    routing_skew: Option<f64>,
    probe: String,
    probe_size: Option<usize>,
    dtype_inputs: String,
    dtype_accumulate: String,
    dtype_output: String,
    dtype_state: String,
    threads: usize,
    cache: String,
    regime: String,
    placement: String,
    processes: Option<usize>,
    samples: Option<usize>,
    stop_reason: String,
    time_median_ns: Option<f64>,
    time_low_ns: Option<f64>,
    time_high_ns: Option<f64>,
    time_min_ns: Option<f64>,
    time_p95_ns: Option<f64>,
    time_p99_ns: Option<f64>,
    flops: u64,
    min_bytes: u64,
    allocated_bytes: Option<u64>,
    peak_resident_bytes: Option<u64>,
    deviation: Option<f64>,
    tolerance: Option<f64>,
    peak_flop_per_s: Option<f64>,
    peak_byte_per_s: Option<f64>,
    source_hash: String,
    gflop_per_s: String,
    gb_per_s: String,
    share_of_peak: String,
}

/// Six significant digits, for readers of the file.
fn derived(value: Option<f64>) -> String {
    value.filter(|v| v.is_finite()).map_or(String::new(), |value| {
        if value == 0.0 {
            return "0".into();
        }
        let whole = value.abs().log10().floor() as i32 + 1;
        format!("{value:.*}", (6 - whole).clamp(0, 12) as usize)
    })
}

impl From<&Record> for Row {
    fn from(record: &Record) -> Row {
        let case = &record.case;
        let cost = case.cost();
        let mut row = Row {
            record_id: record.record_id,
            case_key: case.key(),
            family: case.problem.family().name().into(),
            op: case.problem.op().into(),
            kernel: table::escape(&record.kernel),
            provider: table::escape(&record.provider),
            device: table::escape(&record.device),
            detail: table::escape(record.outcome.detail()),
            model: table::escape(&record.model),
            pass: if case.has_pass() { case.pass.name() } else { "" }.into(),
            dtype_inputs: case.precision.inputs.name().into(),
            dtype_accumulate: case.precision.accumulate.name().into(),
            dtype_output: case.precision.output.name().into(),
            dtype_state: case.precision.state.map_or("", DType::name).into(),
            threads: case.threads,
            cache: case.cache.name().into(),
            regime: case.regime.name().into(),
            placement: table::escape(record.placement.as_deref().unwrap_or_default()),
            flops: cost.flops.0,
            min_bytes: cost.bytes.0,
            allocated_bytes: record.allocated.map(|b| b.0),
            peak_resident_bytes: record.peak_resident.map(|b| b.0),
            peak_flop_per_s: record.peak_flops.map(|r| r.0),
            peak_byte_per_s: record.peak_bytes.map(|r| r.0),
            source_hash: table::escape(&record.source_hash),
            gflop_per_s: derived(record.flop_rate().map(|r| r.0 / 1e9)),
            gb_per_s: derived(record.byte_rate().map(|r| r.0 / 1e9)),
            share_of_peak: derived(record.share_of_peak()),
            ..Row::default()
        };
        if let Some(check) = &record.check {
            row.check = if check.full { "full" } else { "sampled" }.into();
            row.deviation = Some(check.deviation);
            row.tolerance = Some(check.tolerance);
        }
        row.set_problem(&case.problem);
        row.set_outcome(&record.outcome);
        row
    }
}

impl Row {
    /// Empties the cells that are derived from others.
    pub fn forget_derived(&mut self) {
        for cell in [&mut self.gflop_per_s, &mut self.gb_per_s, &mut self.share_of_peak] {
            cell.clear();
        }
    }

    fn set_problem(&mut self, problem: &Problem) {
        match problem {
            Problem::Matmul(p) => {
                self.transpose = p.transpose.name().into();
                (self.m, self.n, self.k) = (Some(p.m), Some(p.n), Some(p.k));
                self.batch = Some(p.batch);
                self.groups = p.groups.map(|g| g.experts);
                self.routing_skew = p.groups.map(|g| g.skew);
            }
            Problem::Attention(p) => {
                self.batch = Some(p.batch);
                (self.heads, self.kv_heads) = (Some(p.heads), Some(p.kv_heads));
                (self.seq_q, self.seq_kv) = (Some(p.seq_q), Some(p.seq_kv));
                self.head_dim_qk = Some(p.head_dim_qk);
                self.head_dim_v = Some(p.head_dim_v);
                self.causal = Some(p.causal);
            }
            Problem::Update(p) => self.params = Some(p.params),
            Problem::Peak(p) => {
                self.probe = p.kind.name().into();
                self.probe_size = Some(p.size);
            }
        }
    }

    fn set_outcome(&mut self, outcome: &Outcome) {
        self.status = outcome.status().into();
        if let Outcome::Measured(timing) = outcome {
            self.processes = Some(timing.processes);
            self.samples = Some(timing.samples);
            self.stop_reason = timing.stop.name().into();
            self.time_median_ns = Some(timing.median.0);
            self.time_low_ns = Some(timing.low.0);
            self.time_high_ns = Some(timing.high.0);
            self.time_min_ns = Some(timing.min.0);
            self.time_p95_ns = Some(timing.p95.0);
            self.time_p99_ns = Some(timing.p99.0);
        }
    }

    /// The record of a row, with words that are shared; whether it keeps to the rules is for the caller to ask.
    pub fn record(&self, words: &mut Words) -> Result<Record, Unfit> {
        let precision = Precision {
            inputs: word("dtype_inputs", &self.dtype_inputs)?,
            accumulate: word("dtype_accumulate", &self.dtype_accumulate)?,
            output: word("dtype_output", &self.dtype_output)?,
            state: match self.dtype_state.as_str() {
                "" => None,
                name => Some(word("dtype_state", name)?),
            },
        };
        let problem = self.problem()?;
        let case = Case {
            threads: self.threads,
            cache: word("cache", &self.cache)?,
            regime: word("regime", &self.regime)?,
            ..Case::new(problem, precision)
        };
        let pass = if case.has_pass() { word("pass", &self.pass)? } else { Pass::Forward };
        let full = match self.check.as_str() {
            "" => None,
            "full" => Some(true),
            "sampled" => Some(false),
            other => {
                let reason = format!("unknown `{other}`; known are full, sampled");
                return Err(Unfit::new("check", reason));
            }
        };
        let check = match full {
            None => None,
            Some(full) => Some(Check {
                full,
                deviation: need("deviation", self.deviation)?,
                tolerance: need("tolerance", self.tolerance)?,
            }),
        };
        let mut plain = |column, cell| Ok(words.share(&table::unescape(column, cell)?));
        Ok(Record {
            record_id: self.record_id,
            case: Case { pass, ..case },
            kernel: plain("kernel", &self.kernel)?,
            provider: plain("provider", &self.provider)?,
            device: plain("device", &self.device)?,
            model: plain("model", &self.model)?,
            placement: Some(plain("placement", &self.placement)?).filter(|text| !text.is_empty()),
            outcome: self.outcome(plain("detail", &self.detail)?)?,
            check,
            allocated: self.allocated_bytes.map(Bytes),
            peak_resident: self.peak_resident_bytes.map(Bytes),
            peak_flops: self.peak_flop_per_s.map(FlopRate),
            peak_bytes: self.peak_byte_per_s.map(ByteRate),
            source_hash: plain("source_hash", &self.source_hash)?,
        })
    }

    fn problem(&self) -> Result<Problem, Unfit> {
        Ok(match word("family", &self.family)? {
            Family::Matmul => Problem::Matmul(Matmul {
                m: need("m", self.m)?,
                n: need("n", self.n)?,
                k: need("k", self.k)?,
                batch: need("batch", self.batch)?,
                transpose: word("transpose", &self.transpose)?,
                groups: match self.groups {
                    None => None,
                    Some(experts) => {
                        Some(Groups { experts, skew: need("routing_skew", self.routing_skew)? })
                    }
                },
            }),
            Family::Attention => Problem::Attention(Attention {
                batch: need("batch", self.batch)?,
                heads: need("heads", self.heads)?,
                kv_heads: need("kv_heads", self.kv_heads)?,
                seq_q: need("seq_q", self.seq_q)?,
                seq_kv: need("seq_kv", self.seq_kv)?,
                head_dim_qk: need("head_dim_qk", self.head_dim_qk)?,
                head_dim_v: need("head_dim_v", self.head_dim_v)?,
                causal: need("causal", self.causal)?,
            }),
            Family::Optimizer => Problem::Update(Update {
                rule: named("op", &self.op, &Rule::ALL, Rule::name)?,
                params: need("params", self.params)?,
            }),
            Family::Peak => Problem::Peak(Probe {
                kind: named("probe", &self.probe, &ProbeKind::ALL, ProbeKind::name)?,
                size: need("probe_size", self.probe_size)?,
            }),
        })
    }

    fn outcome(&self, detail: Text) -> Result<Outcome, Unfit> {
        Ok(match self.status.as_str() {
            "simulated" => Outcome::Simulated,
            "wrong" => Outcome::Wrong(detail),
            "refused" => Outcome::Refused(detail),
            "failed" => Outcome::Failed(detail),
            "measured" => Outcome::Measured(Timing {
                processes: need("processes", self.processes)?,
                samples: need("samples", self.samples)?,
                stop: word("stop_reason", &self.stop_reason)?,
                median: need("time_median_ns", self.time_median_ns).map(Nanos)?,
                low: need("time_low_ns", self.time_low_ns).map(Nanos)?,
                high: need("time_high_ns", self.time_high_ns).map(Nanos)?,
                min: need("time_min_ns", self.time_min_ns).map(Nanos)?,
                p95: need("time_p95_ns", self.time_p95_ns).map(Nanos)?,
                p99: need("time_p99_ns", self.time_p99_ns).map(Nanos)?,
                note: detail,
            }),
            other => {
                let reason = format!(
                    "unknown `{other}`; known are measured, simulated, wrong, refused, failed"
                );
                return Err(Unfit::new("status", reason));
            }
        })
    }
}

fn need<T>(column: &'static str, cell: Option<T>) -> Result<T, Unfit> {
    cell.ok_or_else(|| Unfit::new(column, "empty, though this record needs it"))
}

/// A name as serde knows it, which is the one that the type's own `name` gives.
fn word<T: DeserializeOwned>(column: &'static str, cell: &str) -> Result<T, Unfit> {
    let cell = need(column, Some(cell).filter(|cell| !cell.is_empty()))?;
    T::deserialize(StrDeserializer::<serde::de::value::Error>::new(cell))
        .map_err(|error| Unfit::new(column, error.to_string()))
}

fn named<T: Copy>(
    column: &'static str,
    cell: &str,
    all: &[T],
    name: fn(T) -> &'static str,
) -> Result<T, Unfit> {
    all.iter().copied().find(|&one| name(one) == cell).ok_or_else(|| {
        let known: Vec<_> = all.iter().map(|&one| name(one)).collect();
        Unfit::new(column, format!("unknown `{cell}`; known are {}", known.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_a_row_are_the_columns_in_order() {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.serialize(Row::default()).unwrap();
        let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
        assert_eq!(text.lines().next().unwrap(), RECORD_COLUMNS.join(","));
    }

    #[test]
    fn derived_numbers_have_six_digits() {
        assert_eq!(derived(Some(271.6123456)), "271.612");
        assert_eq!(derived(Some(0.01234567)), "0.0123457");
        assert_eq!(derived(Some(0.0)), "0");
        assert_eq!(derived(Some(f64::NAN)), "");
    }
}
