//! Histories on disk: what is appended reads back, and what is damaged is one error that names file and line.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use proptest::prelude::*;
use scalemark::history::entry::{COUNT, NANOS};
use scalemark::history::{Blessing, Entry, Key};
use scalemark::store::history::{append, bless, read};

fn entry(kernel: &str, value: f64) -> Entry {
    Entry {
        time: "2026-01-31T12:00:00Z".parse().unwrap(),
        commit: "1f0c9ab1f0".into(),
        commit_time: None,
        key: Key {
            kernel: kernel.into(),
            case: "matmul/nn/m64".into(),
            metric: "time".into(),
            fingerprint: "cafe".into(),
        }
        .into(),
        unit: NANOS.into(),
        value,
        processes: Some(3),
        reference: "v1".into(),
        reference_value: Some(2.0),
        canary: false,
        source: "scalemark".into(),
    }
}

/// A history of one file with three rows.
fn three() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let entries = [entry("a", 1.0), entry("b", 2.0), entry("c", 3.0)];
    let path = append(dir.path(), &entries).unwrap().path;
    (dir, path)
}

fn error(folder: &Path) -> String {
    read(folder).unwrap_err().to_string()
}

/// What is said of the three rows after `edit`.
fn edited(edit: impl Fn(String) -> String) -> String {
    let (dir, path) = three();
    fs::write(&path, edit(fs::read_to_string(&path).unwrap())).unwrap();
    let said = error(dir.path());
    assert!(said.starts_with(&format!("{}:", path.display())), "{said}");
    said.replacen(&path.display().to_string(), "f", 1)
}

#[test]
fn every_damage_is_one_error_that_names_file_and_line() {
    let says = |said: String, what: &str| assert!(said.starts_with(what), "{said}");
    says(edited(|t| t[..t.len() - 3].to_owned()), "f:4: cut off in the middle of a line");
    says(
        edited(|t| t.lines().take(3).collect::<Vec<_>>().join("\n") + "\n"),
        "f:3: its text is not",
    );
    says(edited(|t| t.replace(",2.0,3,", ",2.5,3,")), "f:4: its text is not");
    says(
        edited(|t| t.clone() + t.lines().last().unwrap() + "\n"),
        "f:5: kernel: c on matmul/nn/m64 stands on line 4",
    );
    says(edited(|t| t.replacen("\n1,", "\n2,", 1)), "f:2: schema: version 2 is newer than 1");
    says(edited(|t| t.replacen("\n1,", "\nx,", 2)), "f:2: schema: `x` is no version");
    says(edited(|t| t.replace("canary", "yardstick")), "f:1: unknown column `yardstick`");
    says(edited(|t| t.replace(",2.0,3,", ",NaN,3,")), "f:3: value: NaN is no time");
    says(edited(|t| t.replace(",2.0,3,", ",-1,3,")), "f:3: value: -1 is no time");
    says(
        edited(|t| t.replace("2026-01-31T12", "2026-13-31T12")),
        "f:2: time: `2026-13-31T12:00:00Z` is no time",
    );
    says(edited(|t| t.replace(",b,", ",\"b,")), "f:3: ");
    says(edited(|_| String::new()), "f:1: cut off");
}

#[test]
fn a_copy_under_another_name_is_told_from_the_original_and_other_files_are_left_alone() {
    let (dir, path) = three();
    fs::write(dir.path().join("README.md"), "ours").unwrap();
    fs::create_dir(dir.path().join("page")).unwrap();
    assert_eq!(read(dir.path()).unwrap().entries.len(), 3);
    let name = path.file_name().unwrap().to_string_lossy().replace("20260131", "20260201");
    fs::copy(&path, dir.path().join(name)).unwrap();
    let said = error(dir.path());
    assert!(
        said.contains(":2: a on matmul/nn/m64 of this run stands in") && said.contains("line 2"),
        "{said}"
    );
}

#[test]
fn other_line_ends_are_the_same_history() {
    let (dir, path) = three();
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace('\n', "\r\n")).unwrap();
    assert_eq!(read(dir.path()).unwrap().entries.len(), 3);
}

#[test]
fn what_makes_no_sense_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |entries: &[Entry], says: &str| {
        let said = append(dir.path(), entries).unwrap_err().to_string();
        assert!(said.contains(says), "{said}");
    };
    refused(&[], "nothing to append");
    refused(&[entry("a", 0.0)], "a on matmul/nn/m64 cannot be kept: value: 0");
    refused(&[entry("a", f64::INFINITY)], "value: inf");
    refused(&[entry(" ", 1.0)], "kernel: empty");
    refused(&[entry("a", 1.0), entry("a", 2.0)], "stands twice");
    refused(&[Entry { reference: "".into(), ..entry("a", 1.0) }], "reference: empty");
    refused(&[Entry { reference_value: None, ..entry("a", 1.0) }], "reference_value: empty");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

fn some_text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z/]{1,12}", "\\PC{1,20}", Just("a\"b,c\n\r\\d".to_owned())]
        .prop_filter("not blank", |text: &String| !text.trim().is_empty())
}

prop_compose! {
    fn any_entry()(
        seconds in 0i64..4_000_000_000, made in proptest::option::of(0i64..4_000_000_000),
        texts in proptest::collection::vec(some_text(), 6), case in "\\PC{0,20}",
        value in 1e-9..1e18f64, reference in proptest::option::of(1e-9..1e18f64), kind in 0..3u8,
    ) -> Entry {
        let [commit, kernel, metric, fingerprint, source, name]: [String; 6] = texts.try_into().unwrap();
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        Entry {
            time: at(seconds),
            commit: commit.into(),
            commit_time: made.map(at),
            key: Key { kernel, case, metric, fingerprint }.into(),
            unit: if kind == 0 { COUNT.into() } else { NANOS.into() },
            value,
            processes: reference.map(|_| 3),
            reference: if reference.is_some() { name.into() } else { "".into() },
            reference_value: reference,
            canary: kind == 2,
            source: source.into(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_entry_reads_back_as_it_was(entry in any_entry()) {
        let dir = tempfile::tempdir().unwrap();
        append(dir.path(), std::slice::from_ref(&entry)).unwrap();
        prop_assert_eq!(read(dir.path()).unwrap().entries, vec![entry]);
    }

    #[test]
    fn any_blessing_reads_back_as_it_was(reason in some_text(), entry in any_entry()) {
        let dir = tempfile::tempdir().unwrap();
        let Entry { time, key, commit, .. } = entry;
        let blessing = Blessing { time, key: (*key).clone(), commit: commit.to_string(), reason };
        bless(dir.path(), std::slice::from_ref(&blessing)).unwrap();
        prop_assert_eq!(read(dir.path()).unwrap().blessings, vec![blessing]);
    }

    #[test]
    fn no_change_of_a_byte_goes_unseen(at in 0usize..10_000, byte in any::<u8>()) {
        let (dir, path) = three();
        let mut text = fs::read(&path).unwrap();
        let at = at % text.len();
        prop_assume!(text[at] != byte && byte != b'\r');
        text[at] = byte;
        fs::write(&path, text).unwrap();
        let names_it = error(dir.path()).contains(&path.display().to_string());
        prop_assert!(names_it);
    }

    #[test]
    fn any_bytes_are_an_error_and_no_crash(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let (dir, path) = three();
        let head = fs::read_to_string(&path).unwrap().lines().next().unwrap().to_owned();
        for text in [bytes.clone(), [head.as_bytes(), b"\n", &bytes, b"\n"].concat()] {
            fs::write(&path, text).unwrap();
            error(dir.path());
        }
    }
}
