//! The machines themselves, and what they were measured to reach.

use rayon::prelude::*;

use super::Side;
use crate::report::tables::{cell, dash, probes, reached, table};

/// A table whose last columns are the sides.
pub struct Sheet {
    /// The columns before the sides.
    pub header: &'static [&'static str],
    /// Its rows.
    pub rows: Vec<SheetRow>,
}

/// A row of a [`Sheet`].
pub struct SheetRow {
    /// One for each column of the header.
    pub labels: Vec<String>,
    /// One for each side, where it has any.
    pub values: Vec<Option<String>>,
    /// Whether sides differ, which is worth a mark.
    pub differ: bool,
}

impl Sheet {
    /// As Markdown.
    pub fn markdown(&self, sides: &[Side]) -> String {
        let names: Vec<String> = sides.iter().map(|side| cell(&side.name)).collect();
        let header: Vec<&str> =
            self.header.iter().copied().chain(names.iter().map(String::as_str)).collect();
        let row = |row: &SheetRow| {
            let mark = |label: &String| match row.differ {
                true => format!("**{}**", cell(label)),
                false => cell(label),
            };
            let values = row.values.iter().map(|v| v.as_deref().map_or_else(dash, cell));
            row.labels.iter().map(mark).chain(values).collect()
        };
        let rows: Vec<Vec<String>> = self.rows.iter().map(row).collect();
        table(&header, &rows)
    }
}

/// A row a fact; facts in which sides differ are marked.
pub fn facts(sides: &[Side]) -> Sheet {
    let mut labels: Vec<&str> = Vec::new();
    for (label, _) in sides.iter().flat_map(|side| side.facts) {
        if !labels.contains(&label.as_str()) {
            labels.push(label);
        }
    }
    let row = |label: &str| {
        let value = |side: &Side| {
            side.facts.iter().find(|(known, _)| known == label).map(|(_, value)| value.clone())
        };
        let values: Vec<Option<String>> = sides.iter().map(value).collect();
        let differ = values.windows(2).any(|pair| pair[0] != pair[1]);
        SheetRow { labels: vec![label.to_owned()], values, differ }
    };
    Sheet { header: &[""], rows: labels.into_iter().map(row).collect() }
}

/// A row a probe; none where nobody probed.
pub fn peaks(sides: &[Side]) -> Option<Sheet> {
    let found: Vec<Vec<([String; 3], String)>> = sides
        .par_iter()
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
    let row = |key: &[String; 3]| {
        let value = |side: &Vec<([String; 3], String)>| {
            side.iter().find(|(known, _)| known == key).map(|(_, rate)| rate.clone())
        };
        let values = found.iter().map(value).collect();
        SheetRow { labels: key.to_vec(), values, differ: false }
    };
    let rows: Vec<SheetRow> = keys.into_iter().map(row).collect();
    (!rows.is_empty()).then_some(Sheet { header: &["limit", "dtype", "threads"], rows })
}
