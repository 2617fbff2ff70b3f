//! What simulated kernels executed, summed by model.

use std::collections::HashMap;

use super::ReportInput;
use super::charts::{models, parts};
use super::group::{Group, groups};
use super::tables::{cell, code, dash, table};
use crate::ops::{Family, Problem};
use crate::record::{Counter, Record};

/// The counters of one kernel on one case, or on all cases of a model.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Tally {
    /// Warp instructions.
    pub instructions: f64,
    /// Operations of the case, as [`crate::ops::Cost`] has them.
    pub flops: f64,
    /// Sectors of 32 bytes of global memory that were asked for, by loads, stores and atomics.
    pub sectors: f64,
    /// The sectors that the same bytes would have filled.
    pub ideal_sectors: f64,
    /// Bytes of global memory that `cp.async`, bulk and tensor copies moved past the registers.
    pub copied: f64,
    /// Passes of shared memory.
    pub wavefronts: f64,
    /// Those of them that bank conflicts made.
    pub conflicts: f64,
    /// The most registers a thread of any entry.
    pub registers: f64,
    /// Bytes of registers that any entry spilled.
    pub spilled: f64,
}

impl Tally {
    fn of(record: &Record, counters: &[&Counter]) -> Tally {
        let sum = |prefix: &str, suffix: &str| -> f64 {
            let fits = |c: &&&Counter| c.name.starts_with(prefix) && c.name.ends_with(suffix);
            counters.iter().filter(fits).map(|c| c.value).sum()
        };
        let most = |suffix: &str| {
            let of_entry = counters.iter().filter(|c| c.name.ends_with(suffix));
            of_entry.map(|c| c.value).fold(0.0, f64::max)
        };
        let past_registers = |engine: &str| -> f64 {
            ["load", "store", "reduce"]
                .map(|what| sum(&format!("{engine}_{what}_"), "bytes"))
                .iter()
                .sum()
        };
        let ideal = sum("global_", "_ideal_sectors");
        Tally {
            instructions: sum("warp_instructions", "warp_instructions"),
            flops: record.case.cost().flops.0 as f64,
            sectors: sum("global_", "_sectors") - ideal,
            ideal_sectors: ideal,
            copied: sum("cp_async_bytes", "bytes") + past_registers("bulk") + past_registers("tma"),
            wavefronts: sum("shared_", "_wavefronts"),
            conflicts: sum("shared_", "_conflicts"),
            registers: most(".registers"),
            spilled: most(".spill_bytes"),
        }
    }

    fn add(&mut self, other: &Tally, times: f64) {
        self.instructions += times * other.instructions;
        self.flops += times * other.flops;
        self.sectors += times * other.sectors;
        self.ideal_sectors += times * other.ideal_sectors;
        self.copied += times * other.copied;
        self.wavefronts += times * other.wavefronts;
        self.conflicts += times * other.conflicts;
        self.registers = self.registers.max(other.registers);
        self.spilled = self.spilled.max(other.spilled);
    }
}

/// A kernel's counters at one size.
#[derive(Debug, Clone, PartialEq)]
pub struct Row<'a> {
    /// The model, as the records name it (`gpt2/16` is one that was reduced), or a size by hand.
    pub of: String,
    /// Parameters of the whole model, or of the update.
    pub params: Option<f64>,
    /// The kernel.
    pub kernel: &'a str,
    /// Its counters over the cases.
    pub tally: Tally,
    /// How many distinct cases they are.
    pub cases: usize,
}

/// The counters of every group of simulated records, by model: smallest first; sizes without a model stand for themselves.
pub fn counted<'a>(input: &ReportInput<'a>) -> Vec<(Group, Vec<Row<'a>>)> {
    let mut by_record: HashMap<u64, Vec<&Counter>> = HashMap::new();
    for counter in input.counters {
        by_record.entry(counter.record_id).or_default().push(counter);
    }
    let mut all = Vec::new();
    for (group, members) in groups(input.records) {
        let mut rows: Vec<Row> = Vec::new();
        for record in members {
            let Some(counters) = by_record.get(&record.record_id) else { continue };
            let tally = Tally::of(record, counters);
            if tally.instructions == 0.0 {
                continue;
            }
            for (of, params, times) in stands_for(record, input) {
                let at = rows.iter().position(|r| r.of == of && r.kernel == record.kernel);
                let at = at.unwrap_or_else(|| {
                    let (kernel, tally) = (record.kernel.as_str(), Tally::default());
                    rows.push(Row { of, params, kernel, tally, cases: 0 });
                    rows.len() - 1
                });
                rows[at].tally.add(&tally, times);
                rows[at].cases += 1;
            }
        }
        let order = |row: &Row| row.params.unwrap_or(row.tally.flops);
        rows.sort_by(|a, b| order(a).total_cmp(&order(b)).then_with(|| a.of.cmp(&b.of)));
        if !rows.is_empty() {
            all.push((group, rows));
        }
    }
    all
}

/// Model, its parameters, and how many of its parts a record is; a record of no model is itself, once.
fn stands_for(record: &Record, input: &ReportInput) -> Vec<(String, Option<f64>, f64)> {
    let mut found: Vec<(String, Option<f64>, f64)> = Vec::new();
    for model in models(record) {
        if found.iter().all(|(known, ..)| known != model) {
            // A reduced model is named after the whole one: `gpt2/16`.
            let whole = model.split('/').next().unwrap_or(model);
            let times = parts(record, model) as f64;
            found.push((model.to_owned(), (input.params)(whole), times));
        }
    }
    if found.is_empty() {
        let params = match record.case.problem {
            Problem::Update(update) => Some(update.params as f64),
            _ => None,
        };
        found.push((record.case.sizes(), params, 1.0));
    }
    found
}

/// Every group's counters as a table, with its title.
pub fn counter_tables(input: &ReportInput) -> Vec<(String, String)> {
    counted(input)
        .into_iter()
        .map(|(group, rows)| (group.title(), by_size(&group, &rows)))
        .collect()
}

fn by_size(group: &Group, rows: &[Row]) -> String {
    let work = if group.family == Family::Optimizer { "a parameter" } else { "a kflop" };
    let mut text = Vec::new();
    for (i, row) in rows.iter().enumerate() {
        let t = &row.tally;
        let per = match (group.family, row.params) {
            (Family::Optimizer, Some(params)) => t.instructions / params,
            _ => 1e3 * t.instructions / t.flops,
        };
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { f64::NAN };
        let number = |value: f64, digits: usize, unit: &str| {
            if value.is_finite() { format!("{value:.digits$}{unit}") } else { dash() }
        };
        text.push(vec![
            if i > 0 && rows[i - 1].of == row.of { String::new() } else { cell(&row.of) },
            code(row.kernel),
            count(t.instructions),
            number(per, 3, ""),
            count(t.sectors),
            number(share(t.sectors, t.ideal_sectors), 2, "×"),
            if t.copied > 0.0 { count(t.copied) } else { dash() },
            number(100.0 * share(t.conflicts, t.wavefronts), 1, " %"),
            number(t.registers, 0, ""),
            if t.spilled > 0.0 { format!("**{}**", t.spilled) } else { "0".to_owned() },
        ]);
    }
    let per = format!("{work} ");
    let header = [
        if group.family == Family::Optimizer { "size" } else { "model" },
        "kernel",
        "warp instructions ",
        &per,
        "sectors ",
        "of ideal ",
        "bytes copied ",
        "conflicts ",
        "registers ",
        "spilled ",
    ];
    table(&header, &text)
}

/// A count with three significant digits: `1.23 M`.
fn count(value: f64) -> String {
    let (scaled, unit) = match value {
        v if v >= 1e9 => (v / 1e9, " G"),
        v if v >= 1e6 => (v / 1e6, " M"),
        v if v >= 1e4 => (v / 1e3, " k"),
        v => return format!("{v:.0}"),
    };
    let digits = if scaled >= 100.0 {
        0
    } else if scaled >= 10.0 {
        1
    } else {
        2
    };
    format!("{scaled:.digits$}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::synthetic;

    #[test]
    fn the_parts_of_a_model_add_up_and_each_counts_as_often_as_it_stands_there() {
        let (records, counters) = synthetic::simulated();
        let input = ReportInput { counters: &counters, ..synthetic::input(&records, &[]) };
        let all = counted(&input);
        let (_, rows) = all.iter().find(|(g, _)| g.op == "matmul").unwrap();
        let gpt2 = rows.iter().find(|r| r.of == "gpt2/16" && r.kernel == "matmul/tiled").unwrap();
        // One case stands for two parts of 1000 instructions, another for one of 500.
        assert_eq!(gpt2.tally.instructions, 2500.0);
        assert_eq!(gpt2.tally.sectors, 2.0 * 140.0 + 40.0);
        assert_eq!(gpt2.tally.ideal_sectors, 2.0 * 60.0 + 30.0);
        assert_eq!((gpt2.tally.registers, gpt2.cases), (40.0, 2));
        assert_eq!(gpt2.params, synthetic::params("gpt2"));
    }

    #[test]
    fn counts_are_short() {
        let words = [7.0, 9_999.0, 12_345.0, 1_234_567.0, 98_700_000.0, 4e9].map(count);
        assert_eq!(words, ["7", "9999", "12.3 k", "1.23 M", "98.7 M", "4.00 G"]);
    }
}
