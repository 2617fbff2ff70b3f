//! What was interrupted goes on, what is in use or full is one error, and nothing that was there is lost.

use std::fs;
use std::path::Path;
use std::process::Command;

use scalemark::Error;
use scalemark::store::{Run, RunWriter};

use crate::{contents, contents_of, four, machine, measured, run_of_four, write};

const FILES: [&str; 3] = ["samples.csv.gz", "counters.csv", "records.csv"];

fn append_rest(mut writer: RunWriter, have: usize) -> RunWriter {
    for entry in &four()[have..] {
        writer.append(&entry.record, &entry.samples, &entry.counters).unwrap();
    }
    writer
}

#[test]
fn a_crash_at_any_byte_of_an_append_loses_at_most_that_record() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("run");
    let read_all = || FILES.map(|name| fs::read(folder.join(name)).unwrap());
    drop(write(&folder, &four()[..2]));
    let before = read_all();
    let (mut writer, _) = RunWriter::resume(&folder).unwrap();
    let third = &four()[2];
    writer.append(&third.record, &third.samples, &third.counters).unwrap();
    drop(writer);
    let after = read_all();
    let grown: usize = before.iter().zip(&after).map(|(b, a)| a.len() - b.len()).sum();
    assert!(grown > 300);
    for cut in 0..=grown {
        // The files are written one after the other, in this order.
        let mut left = cut;
        for ((name, before), after) in FILES.iter().zip(&before).zip(&after) {
            let more = left.min(after.len() - before.len());
            left -= more;
            fs::write(folder.join(name), &after[..before.len() + more]).unwrap();
        }
        let torn = cut != 0 && cut != grown;
        if torn && Run::read(&folder).and_then(|run| run.samples()).is_ok() {
            panic!("a run torn at byte {cut} was read as if it were whole");
        }
        let (writer, records) = RunWriter::resume(&folder).unwrap();
        assert_eq!(records.len(), if cut == grown { 3 } else { 2 }, "cut at {cut}");
        let writer = append_rest(writer, records.len());
        if cut % 16 == 0 {
            writer.finish().unwrap();
        }
        let run = Run::read(&folder).unwrap();
        assert_eq!(contents(&run), contents_of(&four()), "cut at {cut}");
        let _ = fs::remove_file(folder.join("seal.json"));
    }
}

#[test]
fn a_run_that_was_interrupted_while_it_started_can_be_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("run");
    drop(write(&folder, &[]));
    let whole = FILES.map(|name| fs::read(folder.join(name)).unwrap());
    for missing in 0..3 {
        for keep in [0, 7] {
            for (at, name) in FILES.iter().enumerate() {
                match at.cmp(&missing) {
                    std::cmp::Ordering::Less => fs::write(folder.join(name), &whole[at]).unwrap(),
                    std::cmp::Ordering::Equal => {
                        fs::write(folder.join(name), &whole[at][..keep]).unwrap();
                    }
                    std::cmp::Ordering::Greater if *name == "records.csv" => {
                        fs::write(folder.join(name), "").unwrap();
                    }
                    std::cmp::Ordering::Greater => drop(fs::remove_file(folder.join(name))),
                }
            }
            let (writer, records) = RunWriter::resume(&folder).unwrap();
            assert!(records.is_empty());
            drop(writer);
            assert_eq!(FILES.map(|name| fs::read(folder.join(name)).unwrap()), whole);
        }
    }
    // Samples without a header of records are not a start that was interrupted, but a loss.
    let (_dir, folder) = run_of_four(false);
    fs::write(folder.join("records.csv"), "").unwrap();
    let error = RunWriter::resume(&folder).unwrap_err().to_string();
    assert!(error.contains("records.csv:1: it has no whole line"), "{error}");
}

#[test]
fn a_finished_run_can_be_added_to_and_is_sealed_again() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("run");
    write(&folder, &four()[..2]).finish().unwrap();
    let (writer, records) = RunWriter::resume(&folder).unwrap();
    assert_eq!(writer.next_id(), 3);
    assert!(writer.has(&records[0].case.key(), "matmul/simd", "cpu"));
    assert!(!Run::read(&folder).unwrap().finished);
    append_rest(writer, 2).finish().unwrap();
    let run = Run::read(&folder).unwrap();
    assert!(run.finished);
    assert_eq!(contents(&run), contents_of(&four()));
}

#[test]
fn a_run_that_is_being_written_cannot_be_resumed_or_started_anew() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("run");
    let writer = write(&folder, &four()[..1]);
    let error = RunWriter::resume(&folder).unwrap_err();
    assert!(
        matches!(&error, Error::Usage(m) if m.contains("is being written by another")),
        "{error}"
    );
    let error = RunWriter::create_at(&folder, &machine()).unwrap_err();
    assert!(matches!(&error, Error::Usage(m) if m.contains("--resume")), "{error}");
    assert_eq!(Run::read(&folder).unwrap().records.len(), 1);
    drop(writer);
    assert_eq!(RunWriter::resume(&folder).unwrap().1.len(), 1);
}

#[test]
fn a_folder_that_cannot_be_written_or_holds_no_run_is_one_error() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "kept").unwrap();
    for out in [file.clone(), file.join("below"), Path::new("/proc/scalemark").to_owned()] {
        let error = RunWriter::create_at(&out, &machine()).unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error}");
        let error = RunWriter::create(&out, "m", "c", &machine()).unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error}");
    }
    assert_eq!(fs::read(&file).unwrap(), b"kept");
    let error = RunWriter::create_at(dir.path(), &machine()).unwrap_err().to_string();
    assert!(error.contains("is not empty"), "{error}");
    let error = RunWriter::resume(dir.path()).unwrap_err().to_string();
    assert!(error.contains("holds no run to resume"), "{error}");
    let other = serde_json::json!({ "schema_version": 99 });
    for machine in [serde_json::json!([1]), other] {
        assert!(RunWriter::create_at(&dir.path().join("new"), &machine).is_err());
        assert!(!dir.path().join("new").exists());
    }
}

/// A record whose row, counters and samples take about 2 KiB together.
fn filler(number: u64) -> crate::Entry {
    let product = scalemark::ops::Matmul::new(number as usize, 64, 64);
    let problem = scalemark::ops::Problem::Matmul(product);
    measured(number, scalemark::ops::Case::new(problem, scalemark::ops::Precision::F32))
}

const FILL: &str = "SCALEMARK_TEST_FILL";

/// Stands in for a full disk: in a process whose files cannot grow beyond a few KiB, writes end in the middle of a row.
#[test]
fn a_full_disk_is_one_error_and_leaves_every_record_before_it() {
    if let Some(folder) = std::env::var_os(FILL) {
        let mut writer = RunWriter::create_at(Path::new(&folder), &machine()).unwrap();
        for number in 1.. {
            let entry = filler(number);
            let Err(error) = writer.append(&entry.record, &entry.samples, &entry.counters) else {
                continue;
            };
            assert!(matches!(error, Error::Io { what: "write", .. }), "{error}");
            assert!(writer.append(&entry.record, &entry.samples, &entry.counters).is_err());
            let run = Run::read(Path::new(&folder)).unwrap();
            assert_eq!(run.records.len() as u64, number - 1);
            assert_eq!(run.samples().unwrap().len() as u64, 12 * (number - 1));
            return;
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("run");
    let this = "crash::a_full_disk_is_one_error_and_leaves_every_record_before_it";
    let child = Command::new("sh")
        .args(["-c", r#"ulimit -f 16 && trap '' XFSZ && exec "$0" --exact "$1""#])
        .arg(std::env::current_exe().unwrap())
        .arg(this)
        .env(FILL, &folder)
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && output.contains("1 passed"), "{output}");
    let (mut writer, records) = RunWriter::resume(&folder).unwrap();
    assert!(records.len() > 3, "{} records fit", records.len());
    let next = filler(writer.next_id());
    writer.append(&next.record, &next.samples, &next.counters).unwrap();
    assert_eq!(Run::read(&writer.finish().unwrap()).unwrap().records.len(), records.len() + 1);
}
