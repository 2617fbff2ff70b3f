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
    let read = read(&path, Wanted::All).unwrap();
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
    let read = read(&path, Wanted::All).unwrap();
    assert_eq!(read.len(), copies);
    for (read, written) in read.iter().zip(&written) {
        assert_eq!(shown(&read.records), shown(&written.records));
    }
    // A time that is none in a row of a kind that is known.
    let mut known = Known::default();
    assert_eq!(known.record(&Rows::empty(1), 0).unwrap_err().column, "record_id");
}

/// The file of these runs with its rows in another order, a few in each row group: by turns a row of each run.
fn by_turns(path: &Path, runs: &[Run]) {
    write(path, runs).unwrap();
    let told = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    let told = told.metadata().file_metadata().key_value_metadata().cloned();
    let schema = parse_message_type(&columns::schema()).unwrap();
    let properties = WriterProperties::builder().set_key_value_metadata(told).build();
    let file = File::create(path).unwrap();
    let mut writer =
        SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties)).unwrap();
    let mut columns: Vec<Column> = names().map(Column::new).collect();
    let longest = runs.iter().map(|run| run.records.len()).max().unwrap();
    for i in 0..longest {
        for run in runs.iter().filter(|run| i < run.records.len()) {
            let record = &run.records[i];
            let counters = by_record(&run.counters).remove(&record.record_id);
            add(&mut columns, [&name(run), ""], record, counters);
        }
        if i % 3 == 2 || i == longest - 1 {
            columns::flush(&mut writer, &mut columns).unwrap();
        }
    }
    writer.close().unwrap();
}

#[test]
fn rows_in_any_order_and_any_groups_come_back_with_their_runs() {
    let folder = tempfile::tempdir().unwrap();
    let (plain, mixed) = (folder.path().join("plain"), folder.path().join("mixed"));
    let written: Vec<Run> = ["a", "b", "c"]
        .iter()
        .zip(runs().into_iter().chain(runs()))
        .map(|(name, run)| Run { folder: PathBuf::from(name), ..run })
        .collect();
    write(&plain, &written).unwrap();
    by_turns(&mixed, &written);
    let (plain, mixed) = (read(&plain, Wanted::All).unwrap(), read(&mixed, Wanted::All).unwrap());
    assert_eq!(mixed.len(), 3);
    for (mixed, plain) in mixed.iter().zip(&plain) {
        assert!(!mixed.records.is_empty());
        assert_eq!(shown(&mixed.records), shown(&plain.records));
        assert_eq!(mixed.counters, plain.counters);
        assert_eq!((&mixed.folder, &mixed.machine), (&plain.folder, &plain.machine));
    }
}

#[test]
fn what_a_run_has_twice_is_refused_with_its_row_however_far_apart_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("twice.parquet");
    let refused = |change: fn(&mut Record, &Record)| {
        let mut both = runs();
        let records = &mut both[0].records;
        let first = records[0].clone();
        let last = records.len() - 1;
        change(&mut records[last], &first);
        by_turns(&path, &both);
        read(&path, Wanted::All).unwrap_err().to_string()
    };
    let rows = runs().iter().map(|run| run.records.len()).sum::<usize>();
    let number = refused(|last, first| last.record_id = first.record_id);
    assert!(number.contains(&format!(":{rows}: record_id: 1 stands")), "{number}");
    let identity =
        refused(|last, first| *last = Record { record_id: last.record_id, ..first.clone() });
    assert!(identity.contains(&format!(":{rows}: case_key: its kernel")), "{identity}");
}

#[test]
fn counters_that_nobody_wants_are_held_to_the_rules_and_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("counters.parquet");
    let written = runs();
    write(&path, &written).unwrap();
    let name = written[1].counters[0].name.to_string();
    let wanted = read(&path, Wanted::Named(&[&name])).unwrap();
    let held = written[1].counters.iter().filter(|c| c.name == name).count();
    assert!(held < written[1].counters.len());
    assert_eq!(wanted[1].counters.len(), held);
    assert!(wanted[1].counters.iter().all(|counter| counter.name == name));
    assert_eq!(shown(&wanted[1].records), shown(&written[1].records));

    let mut names = Names::default();
    let mut found = Vec::new();
    let nobody = Wanted::Named(&["x"]);
    for (line, text) in
        [r#"{"a":1,"a":2}"#, r#"{"a":"1"}"#, r#"{"a":null}"#, "[1]", r#"{"":1}"#, "{"]
            .iter()
            .enumerate()
    {
        let line = line as u64 + 1;
        let refused = names.read(text.as_bytes(), (line, 7), nobody, &mut found).unwrap_err();
        assert_eq!(refused.column, COUNTERS, "{text}");
    }
    names.read(br#"{"a":1,"x":2.5}"#, (9, 7), nobody, &mut found).unwrap();
    names.read(b"", (10, 8), nobody, &mut found).unwrap();
    assert_eq!(found, [Counter { record_id: 7, name: "x".into(), value: 2.5 }]);
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
    assert!(read(&path, Wanted::All).unwrap().is_empty());
    let mut both = runs();
    both[1].folder = both[0].folder.clone();
    let refused = write(&path, &both).unwrap_err().to_string();
    assert!(refused.contains("two runs are called a"), "{refused}");
    assert!(read(&path, Wanted::All).unwrap().is_empty(), "what was there is still there");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left");
}

#[test]
fn a_file_that_is_none_of_ours_or_damaged_is_one_clear_error_and_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("all.parquet");
    std::fs::write(&path, "record_id,case_key\n").unwrap();
    let refused = read(&path, Wanted::All).unwrap_err().to_string();
    assert!(refused.contains("failed to read it as Parquet"), "{refused}");
    write(&path, &runs()).unwrap();
    let whole = std::fs::read(&path).unwrap();
    for cut in [0, 4, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..cut]).unwrap();
        assert!(read(&path, Wanted::All).is_err(), "{cut}");
    }
    let mut random = crate::stats::random::Random::new(1);
    for _ in 0..200 {
        let mut damaged = whole.clone();
        let at = random.below(damaged.len());
        damaged[at] ^= 1 << random.below(8);
        std::fs::write(&path, &damaged).unwrap();
        // Whatever it says of it, it says it: most bits are caught by the rules, some change a number.
        let _ = read(&path, Wanted::All);
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
