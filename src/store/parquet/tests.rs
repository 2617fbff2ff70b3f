use super::columns::Kind;
use super::*;
use crate::record::Outcome;
use crate::report::synthetic;
use crate::units::Bytes;

/// Two runs with records of every outcome, one of them with words that a table has to escape.
fn runs() -> Vec<Run> {
    let (simulated, counters) = synthetic::simulated();
    let mut measured = synthetic::records();
    for (i, record) in measured.iter_mut().enumerate() {
        record.record_id = i as u64 + 1;
    }
    let mut seen = HashSet::new();
    measured.retain(|record| seen.insert(records::identity(record)));
    measured[0].model = "=1+1;two\nlines".into();
    let run = |name: &str, records: Vec<Record>, counters: Vec<Counter>| Run {
        folder: PathBuf::from("somewhere").join(name),
        machine: serde_json::json!({ "schema_version": SCHEMA_VERSION, "started": "2026-11-29T07:00:00Z" }),
        records,
        counters,
        finished: name == "a",
        seal: None,
        sums: [Sum { rows: 0, crc32: 0 }; 2],
    };
    vec![run("a", measured, Vec::new()), run("b", simulated, counters)]
}

/// Records as they compare: a deviation that is no number is none that equals itself.
fn shown(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| format!("{record:?}")).collect()
}

#[test]
fn runs_read_back_as_they_were_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("all.parquet");
    let written = runs();
    let count = written.iter().map(|run| run.records.len()).sum::<usize>();
    assert_eq!(write(&path, &written).unwrap(), count);
    let read = read(&path).unwrap();
    assert_eq!(read.len(), 2);
    for (read, written) in read.iter().zip(&written) {
        assert_eq!(read.folder, PathBuf::from(name(written)));
        assert_eq!(shown(&read.records), shown(&written.records));
        assert_eq!((&read.machine, read.finished), (&written.machine, written.finished));
        let sorted = |counters: &[Counter]| {
            let mut all: Vec<String> = counters.iter().map(|c| format!("{c:?}")).collect();
            all.sort();
            all
        };
        assert_eq!(sorted(&read.counters), sorted(&written.counters));
    }
}

#[test]
fn rows_that_differ_in_what_was_measured_alone_are_told_apart_and_held_to_the_same_rules() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("many.parquet");
    let first = runs().remove(0);
    // More rows than are read at a time, by turns of all runs.
    let copies = CHUNK / first.records.len() + 2;
    let slower = |i: usize| {
        let mut run = Run { folder: PathBuf::from(format!("run{i:04}")), ..runs().remove(0) };
        for record in &mut run.records {
            record.allocated = record.allocated.map(|bytes| bytes + Bytes(i as u64));
            if let Outcome::Measured(timing) = &mut record.outcome {
                let times = [&mut timing.median, &mut timing.low, &mut timing.high];
                let rest = [&mut timing.min, &mut timing.p95, &mut timing.p99];
                times.into_iter().chain(rest).for_each(|time| time.0 *= 1.0 + i as f64);
                timing.samples += i;
            }
        }
        run
    };
    let written: Vec<Run> = (0..copies).map(slower).collect();
    write(&path, &written).unwrap();
    let read = read(&path).unwrap();
    assert_eq!(read.len(), copies);
    for (read, written) in read.iter().zip(&written) {
        assert_eq!(shown(&read.records), shown(&written.records));
    }
    // A time that is none in a row of a kind that is known.
    let mut known = Known::default();
    let column = |name: &'static str| Values::absent(name, 1);
    let nothing: Vec<Values> = names().map(column).collect();
    assert_eq!(known.record(&nothing, 0).unwrap_err().column, "record_id");
}

#[test]
fn no_runs_are_a_file_too_and_two_of_one_name_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.parquet");
    assert_eq!(write(&path, &[]).unwrap(), 0);
    std::fs::write(folder.path().join("plain"), "").unwrap();
    let permissions = |path: &Path| std::fs::metadata(path).unwrap().permissions();
    assert_eq!(permissions(&path), permissions(&folder.path().join("plain")));
    std::fs::remove_file(folder.path().join("plain")).unwrap();
    assert!(read(&path).unwrap().is_empty());
    let mut both = runs();
    both[1].folder = both[0].folder.clone();
    let refused = write(&path, &both).unwrap_err().to_string();
    assert!(refused.contains("two runs are called a"), "{refused}");
    assert!(read(&path).unwrap().is_empty(), "what was there is still there");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left");
}

#[test]
fn a_file_that_is_none_of_ours_or_damaged_is_one_clear_error_and_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("all.parquet");
    std::fs::write(&path, "record_id,case_key\n").unwrap();
    let refused = read(&path).unwrap_err().to_string();
    assert!(refused.contains("failed to read it as Parquet"), "{refused}");
    write(&path, &runs()).unwrap();
    let whole = std::fs::read(&path).unwrap();
    for cut in [0, 4, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..cut]).unwrap();
        assert!(read(&path).is_err(), "{cut}");
    }
    let mut random = crate::stats::random::Random::new(1);
    for _ in 0..200 {
        let mut damaged = whole.clone();
        let at = random.below(damaged.len());
        damaged[at] ^= 1 << random.below(8);
        std::fs::write(&path, &damaged).unwrap();
        // Whatever it says of it, it says it: most bits are caught by the rules, some change a number.
        let _ = read(&path);
    }
}

#[test]
fn every_column_has_the_type_of_its_field() {
    let counts = names().filter(|name| Kind::of(name) == Kind::Count).count();
    let numbers = names().filter(|name| Kind::of(name) == Kind::Number).count();
    assert_eq!((counts, numbers), (21, 14));
    assert_eq!(names().count(), RECORD_COLUMNS.len() + 3);
    for name in names() {
        let text = ["run", "started", "op", "counters", "case_key", "cache", "dtype_state"];
        assert!(!text.contains(&name) || Kind::of(name) == Kind::Text, "{name}");
    }
}
