//! Runs in one Parquet file: read by DuckDB, pandas and ClickHouse, and by `report` as the folders are. Needs these packages of Python, as
//! `scripts/test.sh` brings them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use assert_cmd::cargo::cargo_bin;
use scalemark::ops::Family;
use scalemark::store::Run;

const RUNS: [&str; 2] = [
    "results/runs/20261124T162525Z-epyc-zen4-bac40e5a2b",
    "results/runs/20261129T050918Z-epyc-zen4-f92f0da0ea",
];

fn scalemark(args: &[&str]) -> Output {
    let mut command = Command::new(cargo_bin("scalemark"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(args).output().unwrap()
}

fn fine(args: &[&str]) -> String {
    let out = scalemark(args);
    assert_eq!(out.status.code(), Some(0), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// Both runs in a file of `folder`.
fn exported(folder: &Path) -> String {
    let file = folder.join("runs.parquet").to_string_lossy().into_owned();
    let said = fine(&["export", RUNS[0], RUNS[1], "--parquet", &file]);
    assert!(said.starts_with("302 records of 2 runs"), "{said}");
    file
}

#[test]
fn a_report_of_an_export_says_what_one_of_its_folders_says() {
    let folder = tempfile::tempdir().unwrap();
    let file = exported(folder.path());
    assert_eq!(fine(&["report", &file]), fine(&["report", RUNS[0], RUNS[1]]));
    let name = RUNS[1].rsplit('/').next().unwrap();
    assert_eq!(
        fine(&["report", &file, "--base", name]),
        fine(&["report", RUNS[0], RUNS[1], "--base", RUNS[1]])
    );
    // Both ways to write it, and a site, which needs every counter.
    let written = |of: &str, runs: &[&str]| {
        let at = |name: &str| folder.path().join(of).join(name).to_string_lossy().into_owned();
        std::fs::create_dir(folder.path().join(of)).unwrap();
        fine(&[&["report"], runs, &["--out", &at("c.md"), "--html", &at("c.html")]].concat());
        fine(&[&["report"], runs, &["--site", &at("site")]].concat());
        ["c.md", "c.html", "site/compare/index.html", "site/index.html"]
            .map(|name| std::fs::read_to_string(at(name)).unwrap())
    };
    assert!(written("file", &[&file]) == written("folders", &RUNS));
    for (args, said) in [
        (&["report", &file, &file][..], "named twice"),
        (&["report", "Cargo.toml"], "failed to read it as Parquet"),
        (&["export", RUNS[0], RUNS[0], "--parquet", &file], "two runs are called"),
        (&["export", "src", "--parquet", &file], "src is not the folder of a run"),
        (&["export", RUNS[0], "--parquet", "src"], "is a folder"),
    ] {
        let out = scalemark(args);
        let errors = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.code() == Some(2) && errors.contains(said), "{args:?}: {errors}");
    }
    assert_eq!(fine(&["report", &file]).lines().next(), Some("# scalemark comparison"));
}

/// A row of the table that the queries make.
#[derive(Debug, PartialEq)]
struct Row {
    run: String,
    op: String,
    cases: usize,
    gflop_per_s: f64,
}

/// What the queries of docs/report.md ask for, from the folders themselves: by run and op how many cases were measured, and the
/// geometric mean of the highest rates of each.
fn expected() -> Vec<Row> {
    let mut rows = Vec::new();
    for path in RUNS {
        let run = Run::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
        let mut best: BTreeMap<(String, String), f64> = BTreeMap::new();
        for record in &run.records {
            let rate = record.flop_rate().map_or(0.0, |rate| rate.0 / 1e9);
            if rate > 0.0 && record.case.problem.family() != Family::Peak {
                let key = (record.case.problem.op().to_owned(), record.case.key());
                let most = best.entry(key).or_insert(rate);
                *most = most.max(rate);
            }
        }
        let mut logs: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for ((op, _), rate) in best {
            logs.entry(op).or_default().push(rate.ln());
        }
        rows.extend(logs.into_iter().map(|(op, logs)| Row {
            run: path.rsplit('/').next().unwrap().to_owned(),
            op,
            cases: logs.len(),
            gflop_per_s: (logs.iter().sum::<f64>() / logs.len() as f64).exp(),
        }));
    }
    rows
}

/// Runs an example query of docs/report.md, and compares its table with the one that is computed here. `packages` are variables that name
/// folders with what Python needs for it.
fn the_query_gives_the_same_table(engine: &str, packages: &[&str]) {
    let folders = packages.iter().map(|variable| {
        std::env::var_os(variable).unwrap_or_else(|| {
            panic!("{variable} names a folder with what {engine} needs: scripts/test.sh brings it")
        })
    });
    let path = std::env::join_paths(folders).unwrap();
    let folder = tempfile::tempdir().unwrap();
    exported(folder.path());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/queries.py");
    let mut python = Command::new("python3");
    let out = python.arg(script).arg(engine).current_dir(&folder).env("PYTHONPATH", path);
    let out = out.output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let printed = String::from_utf8(out.stdout).unwrap();
    let mut lines = printed.lines();
    assert_eq!(lines.next(), Some(format!("== {engine}").as_str()));
    assert_eq!(lines.next(), Some("run,op,cases,gflop_per_s"));
    let rows: Vec<Row> = lines
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            let &[run, op, cases, rate] = cells.as_slice() else { panic!("{line}") };
            let (cases, gflop_per_s) = (cases.parse().unwrap(), rate.parse().unwrap());
            Row { run: run.to_owned(), op: op.to_owned(), cases, gflop_per_s }
        })
        .collect();
    let expected = expected();
    assert!(expected.len() > 5 && expected.iter().map(|row| row.cases).sum::<usize>() > 50);
    let keys = |rows: &[Row]| -> Vec<(String, String, usize)> {
        rows.iter().map(|row| (row.run.clone(), row.op.clone(), row.cases)).collect()
    };
    assert_eq!(keys(&rows), keys(&expected));
    for (theirs, ours) in rows.iter().zip(&expected) {
        let off = (theirs.gflop_per_s / ours.gflop_per_s - 1.0).abs();
        // The file has rates as the table of a run has them, of six digits.
        assert!(off < 1e-5, "{theirs:?} is not {ours:?}");
    }
}

#[test]
fn the_documented_query_gives_duckdb_the_fastest_of_each_case() {
    the_query_gives_the_same_table("duckdb", &["SCALEMARK_TEST_DUCKDB"]);
}

#[test]
fn the_documented_lines_give_pandas_the_fastest_of_each_case() {
    the_query_gives_the_same_table("pandas", &["SCALEMARK_TEST_PANDAS", "SCALEMARK_TEST_NUMPY"]);
}

#[test]
fn the_documented_query_gives_clickhouse_the_fastest_of_each_case() {
    the_query_gives_the_same_table("clickhouse", &["SCALEMARK_TEST_CLICKHOUSE"]);
}
