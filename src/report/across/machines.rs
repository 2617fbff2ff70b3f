//! The machines themselves, and what they were measured to reach.

use super::Side;
use crate::report::tables::{cell, dash, probes, reached, table};

/// A row a fact, a column a side; facts in which they differ are marked.
pub fn facts(sides: &[Side]) -> String {
    let mut labels: Vec<&str> = Vec::new();
    for (label, _) in sides.iter().flat_map(|side| side.facts) {
        if !labels.contains(&label.as_str()) {
            labels.push(label);
        }
    }
    let row = |label: &&str| {
        let value = |side: &Side| {
            side.facts.iter().find(|(known, _)| known == label).map(|(_, value)| cell(value))
        };
        let values: Vec<Option<String>> = sides.iter().map(value).collect();
        let differ = values.windows(2).any(|pair| pair[0] != pair[1]);
        let label = if differ { format!("**{}**", cell(label)) } else { cell(label) };
        let values = values.into_iter().map(|value| value.unwrap_or_else(dash));
        std::iter::once(label).chain(values).collect()
    };
    let rows: Vec<Vec<String>> = labels.iter().map(row).collect();
    with_sides(&[""], sides, &rows)
}

/// A row a probe, a column a side; none where nobody probed.
pub fn peaks(sides: &[Side]) -> Option<String> {
    let found: Vec<Vec<([String; 3], String)>> = sides
        .iter()
        .map(|side| {
            let named = |(key, record)| Some((key, reached(record)?));
            probes(side.records.iter().copied()).into_iter().filter_map(named).collect()
        })
        .collect();
    let mut keys: Vec<&[String; 3]> = Vec::new();
    for (key, _) in found.iter().flatten() {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let row = |key: &&[String; 3]| {
        let mut row: Vec<String> = key.iter().map(|part| cell(part)).collect();
        row.extend(found.iter().map(|side| {
            let known = side.iter().find(|(known, _)| known == *key);
            known.map_or_else(dash, |(_, rate)| rate.clone())
        }));
        row
    };
    let rows: Vec<Vec<String>> = keys.iter().map(row).collect();
    (!rows.is_empty()).then(|| with_sides(&["limit", "dtype", "threads "], sides, &rows))
}

/// A table whose last columns are the sides.
fn with_sides(header: &[&str], sides: &[Side], rows: &[Vec<String>]) -> String {
    let names: Vec<String> = sides.iter().map(|side| cell(&side.name)).collect();
    let header: Vec<&str> =
        header.iter().copied().chain(names.iter().map(String::as_str)).collect();
    table(&header, rows)
}
