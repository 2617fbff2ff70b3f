//! What the simulator counted beside what a GPU's own counters say: `ncu --csv` read, and the two compared.
//!
//! ncu writes a line for each metric of each launch, with the columns that its documentation names ("Nsight Compute CLI", section
//! Output), between lines of its own and of the program's. Launches are matched to records by the kernel's name and by order: a verify
//! launches what a simulated run of the same options counted, each kernel of each case equally often.

use std::collections::BTreeMap;

use crate::record::{Counter, Record};

/// Each counter of the simulator's with the metric that is closest to it (see the crate ptxsim, `counters.md`).
pub const METRICS: &[(&str, &str)] = &[
    ("warp_instructions", "smsp__inst_executed.sum"),
    ("thread_instructions", "smsp__thread_inst_executed_pred_on.sum"),
    ("global_load_sectors", "l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum"),
    ("global_store_sectors", "l1tex__t_sectors_pipe_lsu_mem_global_op_st.sum"),
    ("shared_load_conflicts", "l1tex__data_bank_conflicts_pipe_lsu_mem_shared_op_ld.sum"),
    ("shared_store_conflicts", "l1tex__data_bank_conflicts_pipe_lsu_mem_shared_op_st.sum"),
];

/// One profiled launch.
#[derive(Debug, Clone, PartialEq)]
pub struct Launch {
    /// The kernel's name in its source.
    pub kernel: String,
    /// Its grid and block, as ncu writes them.
    pub shape: String,
    /// Metrics by name.
    pub metrics: BTreeMap<String, f64>,
}

/// One counter of one record.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    /// `family/name`.
    pub kernel: String,
    /// The case.
    pub case_key: String,
    /// The counter.
    pub counter: &'static str,
    /// What the simulator counted.
    pub simulated: f64,
    /// What the GPU counted in one launch of each of the kernel's steps; `None` where ncu was not asked for it.
    pub hardware: Option<f64>,
}

impl Compared {
    /// How much more the GPU counted, relative to the simulator; `None` where one of the two is missing or 0.
    pub fn difference(&self) -> Option<f64> {
        match self.hardware {
            Some(hardware) if hardware == self.simulated => Some(0.0),
            Some(hardware) if self.simulated > 0.0 => Some(hardware / self.simulated - 1.0),
            _ => None,
        }
    }
}

/// The launches that a CSV of ncu's tells of, in order.
///
/// # Errors
/// Names the line, and a column that is missing or a value that is none.
pub fn parse(text: &str) -> Result<Vec<Launch>, String> {
    let is_header = |line: &&str| line.starts_with("\"ID\",");
    let skipped = text.lines().take_while(|line| !is_header(line)).count();
    let quoted: Vec<&str> =
        text.lines().skip(skipped).filter(|line| line.starts_with('"')).collect();
    if quoted.is_empty() {
        return Err("there is no table of ncu's in it: run ncu with --csv".into());
    }
    let table = quoted.join("\n");
    let mut csv = csv::Reader::from_reader(table.as_bytes());
    let header = csv.headers().map_err(|e| e.to_string())?.clone();
    let at = |name: &str| {
        let found = header.iter().position(|column| column == name);
        found.ok_or_else(|| format!("the table of ncu's has no column {name}"))
    };
    let columns = ["ID", "Kernel Name", "Grid Size", "Block Size", "Metric Name", "Metric Value"];
    let mut places = [0; 6];
    for (place, name) in places.iter_mut().zip(columns) {
        *place = at(name)?;
    }
    let [id, kernel, grid, block, metric, value] = places;
    let (mut launches, mut last) = (Vec::<Launch>::new(), None);
    for row in csv.records() {
        let row = row.map_err(|e| format!("the table of ncu's is broken: {e}"))?;
        if last.as_deref() != Some(&row[id]) {
            last = Some(row[id].to_owned());
            // With or without its parameters.
            let name = row[kernel].split('(').next().unwrap_or_default().trim();
            launches.push(Launch {
                kernel: name.to_owned(),
                shape: format!("{} x {}", &row[grid], &row[block]),
                metrics: BTreeMap::new(),
            });
        }
        let number = row[value].replace(',', "").parse::<f64>().map_err(|_| {
            format!("launch {}: `{}` of {} is no number", &row[id], &row[value], &row[metric])
        })?;
        if let Some(launch) = launches.last_mut() {
            launch.metrics.insert(row[metric].to_owned(), number);
        }
    }
    Ok(launches)
}

/// Every counter of every simulated record beside the GPU's; and why some records have none.
pub fn compare(
    records: &[Record],
    counters: &[Counter],
    launches: &[Launch],
) -> (Vec<Compared>, Vec<String>) {
    let of = |record: &Record| {
        let id = record.record_id;
        counters.iter().filter(move |counter| counter.record_id == id)
    };
    // Each entry of a record has its resources among the counters.
    let entries = |record: &Record| -> Vec<String> {
        of(record).filter_map(|c| Some(c.name.strip_suffix(".registers")?.to_owned())).collect()
    };
    let simulated: Vec<&Record> =
        records.iter().filter(|record| record.outcome.status() == "simulated").collect();
    let mut sharing: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for record in &simulated {
        for entry in entries(record) {
            sharing.entry(entry).or_default().push(record.record_id);
        }
    }
    let (mut compared, mut left_out) = (Vec::new(), Vec::new());
    for record in simulated {
        let one_each = entries(record)
            .iter()
            .map(|entry| launch_of(entry, record.record_id, &sharing[entry], launches))
            .collect::<Result<Vec<&Launch>, String>>();
        let all = match one_each {
            Ok(all) => all,
            Err(reason) => {
                left_out.push(format!("{} on {}: {reason}", record.kernel, record.case));
                continue;
            }
        };
        for &(counter, metric) in METRICS {
            let Some(simulated) = of(record).find(|c| c.name == counter) else { continue };
            let hardware = all.iter().map(|launch| launch.metrics.get(metric).copied());
            compared.push(Compared {
                kernel: record.kernel.to_string(),
                case_key: record.case.key(),
                counter,
                simulated: simulated.value,
                hardware: hardware.sum(),
            });
        }
    }
    (compared, left_out)
}

/// The launch of an entry that stands for a record, of all that share the entry, each of which was launched equally often.
fn launch_of<'l>(
    entry: &str,
    record: u64,
    sharing: &[u64],
    launches: &'l [Launch],
) -> Result<&'l Launch, String> {
    let all: Vec<&Launch> = launches.iter().filter(|launch| launch.kernel == entry).collect();
    if all.is_empty() || !all.len().is_multiple_of(sharing.len()) {
        return Err(format!(
            "ncu saw {} launches of {entry}, which {} simulated records have",
            all.len(),
            sharing.len()
        ));
    }
    let each = all.len() / sharing.len();
    let place = sharing.iter().position(|id| *id == record).unwrap_or_default();
    let own = &all[place * each..][..each];
    match own.iter().all(|launch| launch.shape == own[0].shape) {
        true => Ok(own[0]),
        false => Err(format!("its launches of {entry} are of several shapes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Matmul, Precision, Problem};
    use crate::record::Outcome;
    use crate::report::synthetic;

    /// As ncu 2024 writes it, with what the program under it says.
    const RECORDED: &str = include_str!("../../tests/fixtures/ncu/matmul.csv");

    fn record(id: u64, kernel: &str, size: usize) -> Record {
        let case =
            crate::ops::Case::new(Problem::Matmul(Matmul::new(size, size, size)), Precision::F32);
        let outcome = Outcome::Simulated;
        Record { record_id: id, outcome, ..synthetic::record(case, kernel, "own") }
    }

    fn counted(id: u64, entry: &str, warp_instructions: f64, sectors: f64) -> Vec<Counter> {
        let one = |name: String, value| Counter { record_id: id, name: name.into(), value };
        vec![
            one(format!("{entry}.registers"), 32.0),
            one("warp_instructions".into(), warp_instructions),
            one("global_load_sectors".into(), sectors),
        ]
    }

    #[test]
    fn launches_are_read_with_thousands_and_between_other_lines() {
        let launches = parse(RECORDED).unwrap();
        let names: Vec<&str> = launches.iter().map(|launch| launch.kernel.as_str()).collect();
        assert_eq!(
            names,
            ["measure_empty", "matmul_tiled", "matmul_tiled", "matmul_tiled", "matmul_tiled"]
        );
        assert_eq!(launches[1].metrics["smsp__inst_executed.sum"], 12_352.0);
        assert_eq!(launches[1].shape, "(4, 1, 1) x (1024, 1, 1)");
        assert_eq!(launches[3].metrics["l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum"], 6160.0);
    }

    #[test]
    fn records_are_matched_by_name_and_order_and_the_difference_is_told() {
        let records = [record(1, "matmul/tiled", 64), record(2, "matmul/tiled", 97)];
        let counters = [
            counted(1, "matmul_tiled", 11_000.0, 2048.0),
            counted(2, "matmul_tiled", 40_000.0, 6160.0),
        ];
        let launches = parse(RECORDED).unwrap();
        let (compared, left_out) = compare(&records, &counters.concat(), &launches);
        assert!(left_out.is_empty(), "{left_out:?}");
        assert_eq!(compared.len(), 4);
        let told: Vec<Option<f64>> = compared.iter().map(Compared::difference).collect();
        assert!((told[0].unwrap() - (12_352.0 / 11_000.0 - 1.0)).abs() < 1e-12);
        assert_eq!((told[1], told[3]), (Some(0.0), Some(0.0)));
        assert_eq!(compared[2].case_key, records[1].case.key());
    }

    #[test]
    fn what_cannot_be_matched_is_left_out_with_its_reason() {
        let launches = parse(RECORDED).unwrap();
        let records = [record(1, "matmul/tiled", 64)];
        let counters = counted(1, "matmul_tiled", 11_000.0, 2048.0);
        let (compared, left_out) = compare(&records, &counters, &launches);
        assert!(compared.is_empty() && left_out[0].contains("several shapes"), "{left_out:?}");
        let records = [record(1, "matmul/naive", 64)];
        let (_, left_out) = compare(&records, &counted(1, "matmul_naive", 1.0, 1.0), &launches);
        assert!(left_out[0].contains("saw 0 launches of matmul_naive"), "{left_out:?}");
    }

    #[test]
    fn a_text_without_a_table_and_a_value_that_is_none_are_named() {
        assert!(parse("==PROF== Connected\n").unwrap_err().contains("--csv"));
        let broken = RECORDED.replace("12,352", "n/a");
        assert!(parse(&broken).unwrap_err().contains("`n/a` of smsp__inst_executed.sum"));
        let cut = RECORDED.replace("\"Metric Value\"", "\"Value\"");
        assert!(parse(&cut).unwrap_err().contains("no column Metric Value"));
    }
}
