//! Runs in one Parquet file: read by DuckDB, and by `report` as the folders are. Needs DuckDB, as `scripts/test.sh` brings it.

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

#[test]
fn the_documented_query_gives_duckdb_the_fastest_of_each_case() {
    let duckdb = std::env::var_os("SCALEMARK_TEST_DUCKDB")
        .expect("SCALEMARK_TEST_DUCKDB names a folder with DuckDB: scripts/test.sh brings it");
    let folder = tempfile::tempdir().unwrap();
    exported(folder.path());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/queries.py");
    let mut python = Command::new("python3");
    let out = python.arg(script).arg("duckdb").current_dir(&folder).env("PYTHONPATH", duckdb);
    let out = out.output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let printed = String::from_utf8(out.stdout).unwrap();
    let rows: Vec<Vec<&str>> = printed.lines().skip(2).map(|l| l.split(',').collect()).collect();
    let mut counted = 0;
    for path in RUNS {
        let run = Run::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
        let name = path.rsplit('/').next().unwrap();
        for row in rows.iter().filter(|row| row[0] == name) {
            let of_op = run.records.iter().filter(|record| {
                let problem = record.case.problem;
                problem.op() == row[1]
                    && problem.family() != Family::Peak
                    && record.timing().is_some()
            });
            let mut best: Vec<(String, f64)> = Vec::new();
            for record in of_op {
                let (key, rate) = (record.case.key(), record.flop_rate().unwrap().0 / 1e9);
                match best.iter_mut().find(|(known, _)| *known == key) {
                    Some((_, most)) => *most = most.max(rate),
                    None => best.push((key, rate)),
                }
            }
            let mean = best.iter().map(|(_, rate)| rate.ln()).sum::<f64>() / best.len() as f64;
            assert_eq!(row[2].parse::<usize>().unwrap(), best.len(), "{row:?}");
            let theirs: f64 = row[3].parse().unwrap();
            assert!((theirs / mean.exp() - 1.0).abs() < 1e-5, "{row:?}: {}", mean.exp());
            counted += best.len();
        }
    }
    assert!(counted > 50, "{printed}");
}
