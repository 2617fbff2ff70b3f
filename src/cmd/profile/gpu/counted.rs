//! Hardware counters of the kernels of a launch, beside what the case itself needs.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::Told;
use crate::device::cuda::cupti::metrics::{DRAM_BYTES, METRICS, Metric, Unit};
use crate::device::cuda::cupti::{Counted, KernelRun};
use crate::ops::Case;
use crate::units::{ByteRate, Bytes};

/// How a counter is written.
fn written(metric: &Metric, value: f64) -> String {
    match metric.unit {
        Unit::Percent => format!("{value:.1} %"),
        Unit::Count => format!("{value:.0}"),
        Unit::Bytes => Bytes(value.max(0.0).round() as u64).to_string(),
        Unit::ByteRate => ByteRate(value).to_string(),
        Unit::Hertz => format!("{:.2} GHz", value / 1e9),
        Unit::Ratio => format!("{value:.2}"),
    }
}

/// The names of the kernels that were counted: those of the first of so many launches, where as many were counted.
fn names(runs: &[KernelRun], launches: usize, counted: &Counted) -> Vec<String> {
    let each = runs.len() / launches.max(1);
    let known = each == counted.kernels.len() && each * launches == runs.len();
    let name = |place: usize| match runs.get(place).filter(|_| known) {
        Some(run) => run.name.clone(),
        None => format!("kernel {} of the launch", place + 1),
    };
    (0..counted.kernels.len()).map(name).collect()
}

/// The table of counters, or why there is none.
pub fn text(
    runs: &[KernelRun],
    launches: usize,
    counted: &Result<Counted, String>,
    case: &Case,
) -> String {
    let counted = match counted {
        Ok(counted) => counted,
        Err(reason) => return format!("\nnot counted: {reason}\n"),
    };
    let times = match counted.passes {
        1 => "once".to_owned(),
        passes => format!("{passes} times"),
    };
    let mut text =
        format!("\ncounters, each kernel executed {times} for them, with memory as it was\n");
    let mut missing: Vec<&str> = Vec::new();
    for (name, values) in names(runs, launches, counted).iter().zip(&counted.kernels) {
        let _ = writeln!(text, "  {name}");
        let mut stalls = false;
        for (metric, value) in METRICS.iter().zip(values) {
            let Some(value) = value else {
                let what = if metric.is_stall() { "what warps wait for" } else { metric.label };
                if !missing.contains(&what) {
                    missing.push(what);
                }
                continue;
            };
            if metric.is_stall() && !stalls {
                text += "    at each instruction issued, warps that wait for\n";
                stalls = true;
            }
            let indent = if stalls { "  " } else { "" };
            let label = format!("{indent}{}", metric.label);
            let _ = writeln!(text, "    {label:<40} {:>12}", written(metric, *value));
        }
    }
    let traffic = METRICS.iter().position(|metric| metric.name == DRAM_BYTES);
    let traffic = |values: &Vec<Option<f64>>| values.get(traffic?).copied().flatten();
    let all: Option<f64> = counted.kernels.iter().map(traffic).sum();
    if let Some(all) = all.filter(|_| !counted.kernels.is_empty()) {
        let least = case.cost().bytes;
        let _ = writeln!(
            text,
            "  memory traffic of a launch: {}, {:.2} times the {least} that the case cannot do without",
            Bytes(all.max(0.0).round() as u64),
            all / least.0.max(1) as f64
        );
    }
    if !missing.is_empty() {
        let _ = writeln!(text, "  not counted on this GPU: {}", missing.join(", "));
    }
    text
}

/// The counters by kernel and name, or why there are none, for files.
pub fn named(told: &Told) -> Value {
    let counted = match &told.counted {
        Ok(counted) => counted,
        Err(reason) => return json!({ "refused": reason }),
    };
    let one = |(name, values): (String, &Vec<Option<f64>>)| {
        let known = METRICS.iter().zip(values);
        let known =
            known.filter_map(|(metric, value)| Some((metric.name.to_owned(), json!((*value)?))));
        json!({ "kernel": name, "counters": known.collect::<Map<String, Value>>() })
    };
    let names = names(&told.single.kernels, super::FEW, counted);
    let kernels: Vec<Value> = names.into_iter().zip(&counted.kernels).map(one).collect();
    json!({ "passes": counted.passes, "kernels": kernels })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Matmul, Precision, Problem};

    fn case() -> Case {
        Case::new(Problem::Matmul(Matmul::new(100, 100, 100)), Precision::F32)
    }

    /// Every metric but one has a number.
    fn values(traffic: f64) -> Vec<Option<f64>> {
        let value = |metric: &Metric| match metric.name {
            DRAM_BYTES => Some(traffic),
            "lts__t_sector_hit_rate.pct" => None,
            name if name.ends_with("per_second") => Some(1.5e9),
            _ => Some(12.0),
        };
        METRICS.iter().map(value).collect()
    }

    #[test]
    fn counters_stand_under_their_kernels_and_traffic_beside_what_the_case_needs() {
        let counted = Counted { passes: 7, kernels: vec![values(120_000.0), values(60_000.0)] };
        let text = text(&[], 4, &Ok(counted), &case());
        assert!(text.contains("each kernel executed 7 times"), "{text}");
        assert!(text.contains("  kernel 2 of the launch\n"), "{text}");
        let has = |words: &[&str]| {
            let found = text.lines().any(|line| words.iter().all(|word| line.contains(word)));
            assert!(found, "{words:?}: {text}");
        };
        has(&["multiprocessors, of their peak", "12.0 %"]);
        has(&["clock of multiprocessors", "1.50 GHz"]);
        has(&["memory traffic a second", "1.50 GB/s"]);
        has(&["warp instructions", " 12"]);
        has(&["      a barrier", "12.00"]);
        has(&["of a launch: 176 KiB, 1.50 times the 117 KiB that the case"]);
        has(&["not counted on this GPU: L2 hits"]);
    }

    #[test]
    fn what_is_refused_is_said_in_words() {
        let text = text(&[], 4, &Err("not permitted: run as root".into()), &case());
        assert_eq!(text, "\nnot counted: not permitted: run as root\n");
    }
}
