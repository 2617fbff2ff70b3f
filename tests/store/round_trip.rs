//! What is written reads back, and what cannot be read back is not written.

use std::fs;

use proptest::prelude::*;
use scalemark::ops::{Case, Matmul, Pass, Precision, Problem};
use scalemark::record::{Check, Counter, Outcome, Record};
use scalemark::store::{Run, RunWriter, SCHEMA_VERSION, latest_run};
use scalemark::units::{FlopRate, Nanos};

use crate::strategy::{Entry, entries};
use crate::{contents, contents_of, four, machine, measured, run_of_four, write};

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_run_reads_back_to_the_last_bit_before_and_after_it_is_finished(entries in entries(0..8)) {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("run");
        let writer = write(&folder, &entries);
        let open = Run::read(&folder).unwrap();
        prop_assert!(!open.finished);
        prop_assert_eq!(contents(&open), contents_of(&entries));
        let folder = writer.finish().unwrap();
        let finished = Run::read(&folder).unwrap();
        prop_assert!(finished.finished);
        prop_assert_eq!(contents(&finished), contents_of(&entries));
        prop_assert_eq!(&finished.machine["schema_version"], &serde_json::json!(SCHEMA_VERSION));
    }
}

#[test]
fn a_row_holds_the_cells_that_apply_and_no_others() {
    let (_dir, folder) = run_of_four(true);
    let mut reader = csv::Reader::from_path(folder.join("records.csv")).unwrap();
    let header = reader.headers().unwrap().clone();
    let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
    let cell = |row: usize, name: &str| {
        rows[row][header.iter().position(|h| h == name).unwrap()].to_owned()
    };
    assert_eq!(cell(0, "case_key"), "matmul/nn/m512-n768-k256/f32/fwd/t1/warm/burst");
    assert_eq!(
        (cell(0, "m"), cell(0, "heads"), cell(0, "params")),
        ("512".into(), "".into(), "".into())
    );
    assert_eq!(cell(0, "flops"), (2 * 512 * 768 * 256).to_string());
    assert_eq!(cell(0, "gflop_per_s"), "163084");
    assert_eq!((cell(0, "share_of_peak"), cell(0, "deviation")), ("".into(), "3.25e-7".into()));
    assert_eq!((cell(1, "causal"), cell(1, "dtype_inputs")), ("true".into(), "bf16".into()));
    assert_eq!(
        (cell(2, "op"), cell(2, "pass"), cell(2, "m")),
        ("adamw".into(), "".into(), "".into())
    );
    assert_eq!(cell(3, "detail"), "needs 3 GiB, \"too much\",\\nhere");
    assert_eq!((cell(3, "status"), cell(3, "time_median_ns")), ("refused".into(), "".into()));
}

#[test]
fn the_counters_of_a_record_are_found_by_its_number() {
    let (_dir, folder) = run_of_four(true);
    let run = Run::read(&folder).unwrap();
    let names: Vec<_> = run.counters_of(2).map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["frequency_mhz", "load"]);
    assert_eq!(run.counters_of(99).count(), 0);
}

#[test]
fn what_a_reader_would_refuse_is_refused_by_the_writer_and_leaves_no_trace() {
    fn edit(change: impl Fn(&mut Record)) -> Entry {
        let mut entry =
            measured(9, Case::new(Problem::Matmul(Matmul::new(7, 7, 7)), Precision::F32));
        change(&mut entry.record);
        entry
    }
    fn time(record: &mut Record, change: impl Fn(&mut scalemark::record::Timing)) {
        match &mut record.outcome {
            Outcome::Measured(timing) => change(timing),
            other => panic!("{other:?} has no times"),
        }
    }
    let product = |p: Matmul| edit(move |r| r.case.problem = Problem::Matmul(p));
    let mut few_samples = edit(|_| ());
    few_samples.samples.pop();
    let mut foreign_sample = edit(|_| ());
    foreign_sample.samples[0].record_id = 1;
    let mut same_sample = edit(|_| ());
    same_sample.samples[1] = same_sample.samples[0];
    let mut nan_counter = edit(|_| ());
    nan_counter.counters[0].value = f64::NAN;
    let mut two_counters = edit(|_| ());
    two_counters.counters = vec![Counter { record_id: 9, name: "x".into(), value: 1.0 }; 2];
    let step = four()[2].record.case;
    let bad: Vec<(&str, Entry)> = vec![
        ("record_id", edit(|r| r.record_id = 0)),
        ("already", {
            let mut entry = four()[0].clone();
            entry.record.device = "cuda:0".into();
            entry
        }),
        ("already", edit(|r| r.case = four()[0].record.case)),
        ("kernel", edit(|r| r.kernel = "attention/simd".into())),
        ("kernel", edit(|r| r.kernel = "matmul/".into())),
        ("device", edit(|r| r.device = "".into())),
        ("placement", edit(|r| r.placement = Some("".into()))),
        ("detail", edit(|r| r.outcome = Outcome::Failed("".into()))),
        (
            "deviation",
            edit(|r| r.check = Some(Check { full: true, deviation: f64::NAN, tolerance: 1.0 })),
        ),
        (
            "deviation",
            edit(|r| r.check = Some(Check { full: true, deviation: 2.0, tolerance: 1.0 })),
        ),
        (
            "tolerance",
            edit(|r| r.check = Some(Check { full: true, deviation: 0.0, tolerance: f64::NAN })),
        ),
        ("peak_flop_per_s", edit(|r| r.peak_flops = Some(FlopRate(f64::INFINITY)))),
        ("time_median_ns", edit(|r| time(r, |t| t.median = Nanos(f64::NAN)))),
        ("time_low_ns", edit(|r| time(r, |t| t.low = Nanos(t.median.0 * 1.001)))),
        ("time_high_ns", edit(|r| time(r, |t| t.high = Nanos(t.median.0 * 0.999)))),
        ("time_min_ns", edit(|r| time(r, |t| t.min = Nanos(-1.0)))),
        ("time_p99_ns", edit(|r| time(r, |t| t.p99 = Nanos(t.p95.0 * 0.9)))),
        ("processes", edit(|r| time(r, |t| t.processes = 0))),
        ("m: ", product(Matmul { batch: 0, ..Matmul::new(1, 1, 1) })),
        ("m: ", product(Matmul::new(usize::MAX, usize::MAX, usize::MAX))),
        (
            "pass",
            edit(|r| {
                r.case = Case { pass: Pass::Backward, ..step };
                r.kernel = "optimizer/simd".into();
            }),
        ),
        ("11 samples", few_samples),
        ("belongs to record 1", foreign_sample),
        ("stands twice", same_sample),
        ("value", nan_counter),
        ("stands twice", two_counters),
    ];
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("run");
    let mut writer = write(&folder, &four()[..1]);
    let before = |name: &str| fs::read(folder.join(name)).unwrap();
    let files = ["records.csv", "counters.csv", "samples.csv.gz"].map(before);
    for (what, entry) in bad {
        let error = writer.append(&entry.record, &entry.samples, &entry.counters).unwrap_err();
        assert!(error.to_string().contains(what), "{what}: {error}");
        assert_eq!(["records.csv", "counters.csv", "samples.csv.gz"].map(before), files, "{what}");
    }
    for entry in &four()[1..] {
        writer.append(&entry.record, &entry.samples, &entry.counters).unwrap();
    }
    let run = Run::read(&writer.finish().unwrap()).unwrap();
    assert_eq!(contents(&run), contents_of(&four()));
}

#[test]
fn a_run_gets_a_folder_of_its_own_that_is_found_as_the_latest_and_can_be_moved() {
    let dir = tempfile::tempdir().unwrap();
    let runs = dir.path().join("results/runs");
    let writers: Vec<_> = std::thread::scope(|scope| {
        let start = || RunWriter::create(&runs, "Zen 4", "abc", &machine()).unwrap();
        let all: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
        all.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut folders: Vec<_> = writers.iter().map(|w| w.folder().to_owned()).collect();
    folders.sort();
    folders.dedup();
    assert_eq!(folders.len(), 8, "two runs share a folder: {folders:?}");
    assert!(folders.contains(&latest_run(&runs).unwrap().unwrap()));
    let mut writer = writers.into_iter().next().unwrap();
    assert_eq!(writer.next_id(), 1);
    let entry = &four()[0];
    writer.append(&entry.record, &entry.samples, &entry.counters).unwrap();
    assert_eq!(writer.next_id(), 2);
    assert!(writer.has(&entry.record.case.key(), "matmul/simd", "cpu"));
    assert!(!writer.has(&entry.record.case.key(), "matmul/naive", "cpu"));
    let elsewhere = dir.path().join("copied from afar");
    fs::rename(writer.finish().unwrap(), &elsewhere).unwrap();
    assert_eq!(contents(&Run::read(&elsewhere).unwrap()), contents_of(&four()[..1]));
}

#[test]
fn of_two_runs_that_start_in_one_folder_exactly_one_gets_it() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..20 {
        let folder = dir.path().join(round.to_string());
        let results: Vec<_> = std::thread::scope(|scope| {
            let start = || RunWriter::create_at(&folder, &machine());
            let all: Vec<_> = (0..4).map(|_| scope.spawn(start)).collect();
            all.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 1, "{results:?}");
        for error in results.iter().filter_map(|r| r.as_ref().err()) {
            assert!(
                error.to_string().contains("--resume") || error.to_string().contains("not empty")
            );
        }
        assert_eq!(Run::read(&folder).unwrap().records.len(), 0);
    }
}
