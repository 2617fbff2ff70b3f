//! A history for other tools: the newest commit of each series.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::entry::{COUNT, NANOS, TIME};
use super::series::{Point, Series};

/// A tool that takes results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Bencher Metric Format, for `bencher run --adapter json`
    Bmf,
    /// OpenMetrics text, for Prometheus' textfile collector or a push gateway
    Openmetrics,
    /// JSON for github-action-benchmark with `tool: customSmallerIsBetter`
    GithubActionBenchmark,
}

/// The newest point of each series that has one, as text of `format`. Series of canaries are left out.
pub fn export(format: Format, series: &[Series]) -> String {
    let newest = |series: &&Series| !series.canary && !series.points.is_empty();
    let series: Vec<(&Series, &Point)> =
        series.iter().filter(newest).filter_map(|s| Some((s, s.points.last()?))).collect();
    match format {
        Format::Bmf => bmf(&series),
        Format::Openmetrics => openmetrics(&series),
        Format::GithubActionBenchmark => github_action_benchmark(&series),
    }
}

/// A benchmark's name: kernel, case, and machine where there is more than one.
fn names(series: &[(&Series, &Point)]) -> Vec<String> {
    let machines: std::collections::BTreeSet<&str> =
        series.iter().map(|(s, _)| s.key.fingerprint.as_str()).collect();
    let name = |(s, _): &(&Series, &Point)| {
        let case = if s.key.case.is_empty() { String::new() } else { format!(" {}", s.key.case) };
        let machine =
            if machines.len() > 1 { format!(" @{}", s.key.fingerprint) } else { String::new() };
        format!("{}{case}{machine}", s.key.kernel)
    };
    series.iter().map(name).collect()
}

/// `{"benchmark": {"latency": {"value": 1.0}}}`; latency is Bencher's own measure, in nanoseconds.
fn bmf(series: &[(&Series, &Point)]) -> String {
    let mut benchmarks: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for ((series, point), name) in series.iter().zip(names(series)) {
        let measure = match (series.key.metric.as_str(), series.unit.as_str()) {
            (TIME, NANOS) => "latency".to_owned(),
            (metric, _) => metric.replace('_', "-"),
        };
        benchmarks.entry(name).or_default().insert(measure, json!({ "value": point.value }));
    }
    pretty(&json!(benchmarks))
}

/// A list of `name`, `unit`, `value` and `extra`.
fn github_action_benchmark(series: &[(&Series, &Point)]) -> String {
    let row = |((series, point), name): (&(&Series, &Point), String)| {
        let metric = match series.key.metric.as_str() {
            TIME => String::new(),
            metric => format!(", {metric}"),
        };
        let against = series.basis.as_ref().map_or("nothing".into(), |basis| basis.name());
        json!({
            "name": format!("{name}{metric}"),
            "unit": series.unit,
            "value": point.value,
            "extra": format!("commit {}, compared with {against}", point.commit),
        })
    };
    let rows: Vec<Value> = series.iter().zip(names(series)).map(row).collect();
    pretty(&json!(rows))
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("a JSON value is JSON") + "\n"
}

/// Gauges in base units, by the specification of OpenMetrics 1.0: one family a metric, `# EOF` at the end.
fn openmetrics(series: &[(&Series, &Point)]) -> String {
    let mut families: BTreeMap<(String, &str), Vec<(&Series, &Point)>> = BTreeMap::new();
    for (series, point) in series {
        let unit = match series.unit.as_str() {
            NANOS => "seconds",
            COUNT => "",
            _ => "bytes",
        };
        let name: String = series
            .key
            .metric
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .collect();
        let name = name.strip_suffix("_bytes").unwrap_or(&name);
        let unit = if series.key.metric.ends_with("_bytes") { "bytes" } else { unit };
        families.entry((format!("scalemark_{name}"), unit)).or_default().push((series, point));
    }
    let mut text = String::new();
    for ((name, unit), rows) in families {
        let (name, suffix) = match unit {
            "" => (name, String::new()),
            unit => (format!("{name}_{unit}"), format!("# UNIT {name}_{unit} {unit}\n")),
        };
        let _ = write!(text, "# TYPE {name} gauge\n{suffix}");
        for (series, point) in rows {
            let value = if series.unit == NANOS { point.value / 1e9 } else { point.value };
            let key = &series.key;
            let labels = [
                ("kernel", &key.kernel),
                ("case", &key.case),
                ("fingerprint", &key.fingerprint),
                ("commit", &point.commit),
            ];
            let labels: Vec<String> = labels
                .iter()
                .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
                .collect();
            let _ = writeln!(text, "{name}{{{}}} {value:?}", labels.join(","));
        }
    }
    text + "# EOF\n"
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Entry;
    use crate::history::series::assemble;
    use crate::history::series::tests::entry;

    fn series() -> Vec<Series> {
        let mut bytes = Entry { unit: COUNT.into(), ..entry("k\"1", 1, 4096.0) };
        std::sync::Arc::make_mut(&mut bytes.key).metric = "allocated_bytes".into();
        let canary = Entry { canary: true, ..entry("canary", 1, 5.0) };
        assemble(&[entry("k\"1", 0, 2000.0), entry("k\"1", 1, 1500.0), bytes, canary], false)
    }

    #[test]
    fn bencher_gets_a_latency_in_nanoseconds() {
        let value: Value = serde_json::from_str(&export(Format::Bmf, &series())).unwrap();
        assert_eq!(
            value,
            json!({ "k\"1 case": { "allocated-bytes": { "value": 4096.0 }, "latency": { "value": 1500.0 } } })
        );
    }

    #[test]
    fn github_action_benchmark_gets_a_list_in_which_smaller_is_better() {
        let text = export(Format::GithubActionBenchmark, &series());
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value[1]["name"], "k\"1 case");
        assert_eq!((&value[1]["unit"], &value[1]["value"]), (&json!("ns"), &json!(1500.0)));
        assert!(value[1]["extra"].as_str().unwrap().contains("commit c001"));
    }

    #[test]
    fn openmetrics_are_gauges_in_base_units() {
        let text = export(Format::Openmetrics, &series());
        assert_eq!(
            text,
            "# TYPE scalemark_allocated_bytes gauge\n# UNIT scalemark_allocated_bytes bytes\n\
             scalemark_allocated_bytes{kernel=\"k\\\"1\",case=\"case\",fingerprint=\"machine\",commit=\"c001\"} 4096.0\n\
             # TYPE scalemark_time_seconds gauge\n# UNIT scalemark_time_seconds seconds\n\
             scalemark_time_seconds{kernel=\"k\\\"1\",case=\"case\",fingerprint=\"machine\",commit=\"c001\"} 1.5e-6\n# EOF\n"
        );
    }
}
