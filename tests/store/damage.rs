//! What is damaged is one clear error that names file, line and column, and never half a result.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use scalemark::Error;
use scalemark::store::{RECORD_COLUMNS, Run, RunWriter};

use crate::strategy::entries;
use crate::{contents, four, run_of_four, write};

/// A run of four, unfinished, with one cell of its records changed.
fn with_cell(line: usize, column: &str, value: &str) -> String {
    let (_dir, folder) = run_of_four(false);
    let path = folder.join("records.csv");
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_path(&path).unwrap();
    let mut rows: Vec<Vec<String>> =
        reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect();
    let at = RECORD_COLUMNS.iter().position(|c| *c == column).unwrap();
    rows[line - 1][at] = value.into();
    let mut writer = csv::Writer::from_path(&path).unwrap();
    rows.iter().for_each(|row| writer.write_record(row).unwrap());
    drop(writer);
    match Run::read(&folder) {
        Ok(_) => panic!("{column} = {value} on line {line} was read"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_cell_that_does_not_fit_is_named_by_file_line_and_column() {
    for (line, column, value, message) in [
        (2, "record_id", "x", "record_id: `x`: "),
        (2, "record_id", "", "record_id: ``: "),
        (3, "record_id", "1", "record_id: 1 stands on line 2 already"),
        (2, "status", "guessed", "status: unknown `guessed`; known are measured"),
        (2, "status", "wrong", "detail: empty"),
        (2, "family", "", "family: empty, though"),
        (2, "family", "attention", "heads: empty, though"),
        (2, "case_key", "matmul/nn/m1-n1-k1/f32/fwd/t1/warm/burst", "case_key: `matmul/nn/m1"),
        (2, "m", "513", "case_key: "),
        (2, "m", "-1", "m: `-1`: "),
        (2, "m", "99999999999999999999", "m: "),
        (2, "m", "999999999999999999", "m: 999999999999999999 is beyond"),
        (2, "heads", "3", "heads: `3` where nothing applies"),
        (2, "causal", "maybe", "causal: `maybe`"),
        (2, "groups", "8", "routing_skew: empty"),
        (2, "routing_skew", "0.5", "routing_skew: `0.5` where nothing applies"),
        (2, "probe", "fma", "probe: `fma` where nothing applies"),
        (2, "flops", "1", "flops: `1` does not match the other cells"),
        (2, "min_bytes", "1", "min_bytes: "),
        (2, "dtype_inputs", "f31", "dtype_inputs: unknown variant `f31`, expected one of"),
        (2, "cache", "tepid", "cache: "),
        (2, "threads", "2", "case_key: "),
        (2, "time_median_ns", "NaN", "time_median_ns: NaN is no time"),
        (2, "time_median_ns", "inf", "time_median_ns: inf"),
        (2, "time_median_ns", "-5", "time_median_ns: -5"),
        (2, "time_median_ns", "", "time_median_ns: empty"),
        (2, "time_low_ns", "1e9", "time_low_ns: 1000000000 is above time_median_ns"),
        (2, "deviation", "NaN", "deviation: NaN"),
        (2, "check", "", "deviation: `3.25e-7` where nothing applies"),
        (2, "provider", "", "provider: empty"),
        (2, "kernel", "matmul\\x", "kernel: a backslash"),
        (4, "op", "adamx", "op: unknown `adamx`; known are sgd, "),
        (4, "pass", "fwd", "pass: `fwd` where nothing applies"),
        (4, "params", "", "params: empty"),
        (5, "detail", "", "detail: empty"),
        (5, "time_p99_ns", "1.0", "time_p99_ns: `1.0` where nothing applies"),
        (5, "threads", "1", "case_key: "),
    ] {
        let error = with_cell(line, column, value);
        let place = format!("records.csv:{line}: {message}");
        assert!(error.contains(&place), "{column} = {value}: wanted `{place}`, got `{error}`");
    }
}

#[test]
fn a_case_that_is_recorded_twice_is_refused() {
    let (_dir, folder) = run_of_four(false);
    let path = folder.join("records.csv");
    let text = fs::read_to_string(&path).unwrap();
    let second = text.lines().nth(1).unwrap().replacen("1,", "9,", 1);
    fs::write(&path, format!("{text}{second}\n")).unwrap();
    let error = Run::read(&folder).unwrap_err().to_string();
    assert!(
        error.contains("records.csv:6: case_key: ") && error.contains("on line 2 already"),
        "{error}"
    );
}

#[test]
fn a_run_of_an_older_schema_is_read_and_not_written_to() {
    for (version, run) in
        [(1, "20261124T015313Z-epyc-zen4-7412ed063a"), (2, "20261124T162525Z-epyc-zen4-bac40e5a2b")]
    {
        let folder = tempfile::tempdir().unwrap();
        let run = Path::new(env!("CARGO_MANIFEST_DIR")).join("results/runs").join(run);
        for file in ["machine.json", "records.csv", "counters.csv", "samples.csv.gz", "seal.json"] {
            fs::copy(run.join(file), folder.path().join(file)).unwrap();
        }
        let samples = Run::read(folder.path()).unwrap().samples().unwrap();
        assert!(samples.len() > 100, "{version}");
        assert!(samples.iter().all(|s| s.sm_mhz.is_none() && s.throttle.is_none()), "{version}");
        assert_eq!(samples.iter().any(|s| s.core_share.is_some()), version == 2);
        let error = RunWriter::resume(folder.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("schema version {version}")), "{error}");
        assert!(error.contains("start a new run"), "{error}");
    }
}

#[test]
fn a_run_of_a_newer_schema_says_which_version_it_has_and_what_to_do() {
    let (_dir, folder) = run_of_four(true);
    // A newer version may have any columns: the version is looked at first.
    fs::write(folder.join("records.csv"), "anything\n").unwrap();
    for (machine, message) in [
        (
            r#"{"schema_version": 7}"#,
            "schema version 7 is newer than 3, the newest that this build reads; upgrade",
        ),
        (r#"{"schema_version": 0}"#, "schema version 0 is unknown"),
        (r#"{"schema_version": "1"}"#, "schema version \"1\" is unknown"),
        (r#"{"cpu": "x"}"#, "has no schema_version"),
        ("[]", "has no schema_version"),
        ("{\n\"cpu\": ", "machine.json:2: not JSON, or cut off"),
    ] {
        fs::write(folder.join("machine.json"), machine).unwrap();
        let error = Run::read(&folder).unwrap_err().to_string();
        assert!(error.contains("machine.json") && error.contains(message), "{machine}: {error}");
        assert!(RunWriter::resume(&folder).is_err());
    }
    fs::remove_file(folder.join("machine.json")).unwrap();
    for folder in [folder.clone(), folder.join("nowhere")] {
        let missing = Run::read(&folder).unwrap_err().to_string();
        assert!(
            missing.contains("not the folder of a run") && missing.contains("--out"),
            "{missing}"
        );
    }
}

#[test]
fn a_finished_run_that_lost_whole_rows_or_had_a_digit_changed_is_refused() {
    let edits: [fn(&str) -> String; 4] = [
        |text| text.lines().take(4).map(|line| format!("{line}\n")).collect(),
        |text| text.replace(",2469.0,", ",2469.1,"),
        |text| text.replace("bert-base:out", "bert-base:in"),
        |text| text.lines().take(1).map(|line| format!("{line}\n")).collect(),
    ];
    for edit in edits {
        let (_dir, folder) = run_of_four(true);
        let path = folder.join("records.csv");
        let text = fs::read_to_string(&path).unwrap();
        assert_ne!(edit(&text), text);
        fs::write(&path, edit(&text)).unwrap();
        let error = Run::read(&folder).unwrap_err().to_string();
        assert!(error.contains("records.csv:"), "{error}");
    }
    let (_dir, folder) = run_of_four(true);
    let path = folder.join("counters.csv");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("4012.5", "4012.6")).unwrap();
    let error = Run::read(&folder).unwrap_err().to_string();
    assert!(error.contains("counters.csv:") && error.contains("changed since"), "{error}");
    fs::write(&path, text.replace("4012.5", "inf")).unwrap();
    assert!(Run::read(&folder).unwrap_err().to_string().contains("counters.csv:2: value: inf"));
}

#[test]
fn a_copy_with_other_line_ends_and_derived_numbers_is_the_same_run() {
    let (_dir, folder) = run_of_four(true);
    let before = contents(&Run::read(&folder).unwrap());
    for name in ["records.csv", "counters.csv"] {
        let text = fs::read_to_string(folder.join(name)).unwrap();
        assert_eq!(name == "records.csv", text.contains(",163084,"));
        let text = text.replace(",163084,", ",163084.00,").replace('\n', "\r\n");
        fs::write(folder.join(name), text).unwrap();
    }
    assert_eq!(contents(&Run::read(&folder).unwrap()), before);
}

#[test]
fn samples_that_are_cut_off_damaged_or_of_another_run_are_refused() {
    let (_dir, folder) = run_of_four(true);
    let (_other_dir, other) = run_of_four(false);
    let path = folder.join("samples.csv.gz");
    let packed = fs::read(&path).unwrap();
    let samples = || Run::read(&folder).unwrap().samples().unwrap_err().to_string();
    fs::write(&path, &packed[..packed.len() / 2]).unwrap();
    assert!(samples().contains("samples.csv.gz: cut off or damaged"));
    fs::write(&path, b"record_id\n").unwrap();
    assert!(samples().contains("samples.csv.gz: cut off or damaged"));
    let gz = |text: &str| {
        use std::io::Write;
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        out.write_all(text.as_bytes()).unwrap();
        out.finish().unwrap()
    };
    let header = "record_id,process,index,wall_ns,cpu_ns,run_queue_ns,iterations,core_share,\
                  sm_mhz,power_mw,temperature_c,throttle\n";
    for (rows, message) in [
        ("", "record 1 (matmul/simd): 0 samples where the record was computed from 12"),
        ("77,0,0,1,,,1,,,,,\n", "samples.csv.gz:2: record_id: 77 is not in records.csv"),
        ("1,0,0,1,,,0,,,,,\n", "samples.csv.gz:2: iterations: 0"),
        ("1,0,0,1,,,1,,,,,\n1,0,0,1,,,1,,,,,\n", "samples.csv.gz:3: index: sample 0 of process 0"),
        ("1,0,0,1.5,,,1,,,,,\n", "samples.csv.gz:2: wall_ns: `1.5`"),
        ("1,0,0,1,,,1,,,,,\n1,0,0,1,,,1,-1,,,,\n", "samples.csv.gz:3: core_share: not a share"),
        ("1,0,0,1,,,1,,0,,,\n", "samples.csv.gz:2: sm_mhz: not a clock"),
        ("1,0,0,1,,,1,,,,,warm\n", "samples.csv.gz:2: throttle: unknown reason `warm`"),
        ("1,0,0,1,,,1,,,,,\n1,0,1,1,,,1", "samples.csv.gz:3: cut off"),
    ] {
        fs::write(&path, gz(&format!("{header}{rows}"))).unwrap();
        assert!(samples().contains(message), "{message}: {}", samples());
    }
    // The same samples in another packing are the same; a finished run's samples with one digit changed are not.
    fs::copy(other.join("samples.csv.gz"), &path).unwrap();
    assert_eq!(Run::read(&folder).unwrap().samples().unwrap().len(), 36);
    let wall = four()[0].samples[0].wall_ns;
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&packed[..]), &mut text)
        .unwrap();
    fs::write(&path, gz(&text.replacen(&wall.to_string(), &(wall + 1).to_string(), 1))).unwrap();
    assert!(samples().contains("changed since"));
}

/// A change of a file's bytes, by positions that are taken modulo what is there.
#[derive(Debug, Clone)]
enum Damage {
    Delete(usize),
    Insert(usize, u8),
    Replace(usize, u8),
    Cut(usize),
    SwapCells(usize, usize, usize),
    SwapLines(usize, usize),
    RepeatLine(usize),
    RemoveLine(usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = || any::<prop::sample::Index>().prop_map(|i| i.index(usize::MAX));
    let byte =
        || prop_oneof![any::<u8>(), prop::sample::select(b",\"\n\r \\0123456789.eE-+x".to_vec())];
    prop_oneof![
        at().prop_map(Damage::Delete),
        (at(), byte()).prop_map(|(at, byte)| Damage::Insert(at, byte)),
        (at(), byte()).prop_map(|(at, byte)| Damage::Replace(at, byte)),
        at().prop_map(Damage::Cut),
        (at(), at(), at()).prop_map(|(line, a, b)| Damage::SwapCells(line, a, b)),
        (at(), at()).prop_map(|(a, b)| Damage::SwapLines(a, b)),
        at().prop_map(Damage::RepeatLine),
        at().prop_map(Damage::RemoveLine),
    ]
}

fn damaged(mut bytes: Vec<u8>, damage: &Damage) -> Vec<u8> {
    let length = bytes.len().max(1);
    let mut lines: Vec<Vec<u8>> =
        bytes.split_inclusive(|&b| b == b'\n').map(<[u8]>::to_vec).collect();
    let count = lines.len();
    match *damage {
        Damage::Delete(at) => drop(bytes.remove(at % length)),
        Damage::Insert(at, byte) => bytes.insert(at % length, byte),
        Damage::Replace(at, byte) => bytes[at % length] = byte,
        Damage::Cut(at) => bytes.truncate(at % length),
        Damage::SwapCells(line, a, b) => {
            let line = &mut lines[line % count];
            let mut cells: Vec<_> = line.split(|&b| b == b',').collect();
            let cell_count = cells.len();
            cells.swap(a % cell_count, b % cell_count);
            *line = cells.join(&b',');
            bytes = lines.concat();
        }
        Damage::SwapLines(a, b) => {
            lines.swap(a % count, b % count);
            bytes = lines.concat();
        }
        Damage::RepeatLine(at) => {
            lines.insert(at % count, lines[at % count].clone());
            bytes = lines.concat();
        }
        Damage::RemoveLine(at) => {
            lines.remove(at % count);
            bytes = lines.concat();
        }
    }
    bytes
}

fn damage_file(folder: &Path, name: &str, how: &Damage) {
    let path = folder.join(name);
    fs::write(&path, damaged(fs::read(&path).unwrap(), how)).unwrap();
}

fn all_of(folder: &Path) -> scalemark::Result<String> {
    let run = Run::read(folder)?;
    run.samples()?;
    Ok(contents(&run))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_damage_to_a_finished_run_is_an_error_or_changes_nothing(
        entries in entries(1..4),
        damages in prop::collection::vec(damage(), 16),
        file in prop::sample::select(vec!["records.csv", "records.csv", "counters.csv", "samples.csv.gz"]),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("run");
        write(&folder, &entries).finish().unwrap();
        let before = all_of(&folder).unwrap();
        let sound = fs::read(folder.join(file)).unwrap();
        for how in &damages {
            fs::write(folder.join(file), &sound).unwrap();
            damage_file(&folder, file, how);
            if let Ok(after) = all_of(&folder) {
                prop_assert!(after == before, "{file} after {how:?} reads to another run");
            }
        }
    }

    #[test]
    fn a_damaged_byte_of_an_unfinished_run_never_loses_a_record_unseen(
        entries in entries(1..4),
        damages in prop::collection::vec(damage(), 16),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("run");
        drop(write(&folder, &entries));
        let sound = fs::read(folder.join("records.csv")).unwrap();
        for how in &damages {
            fs::write(folder.join("records.csv"), damaged(sound.clone(), how)).unwrap();
            // Whole rows that are missing leave samples or counters without a record, if they had any.
            let whole_rows = matches!(how, Damage::Cut(_) | Damage::RemoveLine(_));
            match Run::read(&folder) {
                Ok(run) if !whole_rows => prop_assert_eq!(run.records.len(), entries.len()),
                Ok(_) => {}
                Err(error) => {
                    let named = matches!(&error, Error::Format { line: Some(_), .. });
                    prop_assert!(named, "no line: {error}");
                }
            }
        }
    }

    #[test]
    fn resume_of_a_damaged_run_changes_no_file_when_it_fails(
        entries in entries(1..4),
        how in damage(),
        file in prop::sample::select(vec!["records.csv", "counters.csv", "samples.csv.gz", "machine.json", "seal.json"]),
        finished in any::<bool>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("run");
        let writer = write(&folder, &entries);
        if finished || file == "seal.json" {
            writer.finish().unwrap();
        } else {
            drop(writer);
        }
        damage_file(&folder, file, &how);
        let snapshot = || {
            let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|f| f.unwrap().path()).collect();
            files.sort();
            files.into_iter().map(|f| (f.clone(), fs::read(f).unwrap())).collect::<Vec<_>>()
        };
        let before = snapshot();
        match RunWriter::resume(&folder) {
            Err(_) => prop_assert!(snapshot() == before, "a failed resume changed a file"),
            Ok((writer, records)) => {
                prop_assert_eq!(Run::read(&folder).unwrap().records.len(), records.len());
                drop(writer);
            }
        }
    }
}
