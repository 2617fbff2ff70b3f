//! The transcript of `workers/README.md` is replayed, so that it stays true.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use scalemark::worker::protocol::{Reply, Request};
use serde_json::Value;

use super::{bad_worker, ends_with, repository, run};

/// The lines of the transcript: whether the run says it, and what.
fn transcript() -> Vec<(bool, Value)> {
    let text = std::fs::read_to_string(repository("workers/README.md")).unwrap();
    let block = text.split("```text\n").nth(1).expect("it has a transcript");
    let lines = block.split("```").next().unwrap().lines();
    lines
        .map(|line| {
            let (who, said) = line.split_once(' ').unwrap();
            assert!(["→", "←"].contains(&who), "{line}");
            (who == "→", serde_json::from_str(said).unwrap_or_else(|e| panic!("{line}: {e}")))
        })
        .collect()
}

/// A message without what differs from day to day: times, places and what the system says of memory.
fn constant(mut value: Value) -> Value {
    fn walk(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields.iter_mut() {
                    if ["launch_ns", "wall_ns", "path", "iterations", "count"]
                        .contains(&name.as_str())
                    {
                        *value = Value::Null;
                    }
                    walk(value);
                }
            }
            Value::Array(items) => items.iter_mut().for_each(walk),
            _ => {}
        }
    }
    walk(&mut value);
    value
}

#[test]
fn every_line_of_the_transcript_is_what_this_build_reads_and_writes() {
    for (ours, said) in transcript() {
        let again = if ours {
            serde_json::to_value(serde_json::from_value::<Request>(said.clone()).unwrap())
        } else {
            serde_json::to_value(serde_json::from_value::<Reply>(said.clone()).unwrap())
        };
        // What a worker leaves out has a default, which is written.
        let again = again.unwrap();
        for (name, value) in said.as_object().unwrap() {
            if name != "samples" && name != "results" {
                let (a, b) = (&again[name], value);
                assert!(a == b || a.as_f64() == b.as_f64(), "{name} reads as {a}, not {b}");
            }
        }
    }
}

#[test]
fn the_minimal_worker_answers_as_in_the_transcript() {
    let folder = tempfile::tempdir().unwrap();
    let mut worker = Command::new("python3")
        .arg(repository("workers/minimal_worker.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = worker.stdin.take().unwrap();
    let mut output = BufReader::new(worker.stdout.take().unwrap()).lines();
    let (operands, results) = (folder.path().join("operands"), folder.path().join("results"));
    // A = [1 2 3; 4 5 6] at 0, B = [7 8; 9 10; 11 12] at 64, as the transcript says.
    let mut bytes = vec![0; 64 + 24];
    let put = |bytes: &mut [u8], from: f32| {
        for (i, four) in bytes.chunks_exact_mut(4).enumerate().take(6) {
            four.copy_from_slice(&(from + i as f32).to_ne_bytes());
        }
    };
    put(&mut bytes, 1.0);
    put(&mut bytes[64..], 7.0);
    std::fs::write(&operands, bytes).unwrap();
    std::fs::write(&results, [0xff; 16]).unwrap();
    for (ours, mut said) in transcript() {
        if !ours {
            let got: Value = serde_json::from_str(&output.next().unwrap().unwrap()).unwrap();
            assert_eq!(constant(got), constant(said));
            continue;
        }
        if said["do"] == "prepare" {
            said["exchange"]["operands"]["path"] = operands.to_str().unwrap().into();
            said["exchange"]["results"]["path"] = results.to_str().unwrap().into();
        }
        writeln!(input, "{said}").unwrap();
    }
    assert!(worker.wait().unwrap().success() && output.next().is_none());
    let c: Vec<f32> = std::fs::read(&results)
        .unwrap()
        .chunks_exact(4)
        .map(|four| f32::from_ne_bytes(four.try_into().unwrap()))
        .collect();
    assert_eq!(c, [58.0, 64.0, 139.0, 154.0]);
}

#[test]
fn a_run_asks_as_in_the_transcript() {
    let folder = tempfile::tempdir().unwrap();
    let worker = bad_worker("none", folder.path());
    let sizes = ["-m", "2", "-n", "2", "-k", "3", "--kernel", "matmul/bad", "--worker", &worker];
    ends_with(0, run(&folder.path().join("run"), &sizes).output().unwrap());
    let log = std::fs::read_to_string(folder.path().join("mark.requests")).unwrap();
    let mut asked: Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    asked["kernel"] = "matmul/minimal".into();
    let told = transcript().into_iter().map(|(_, said)| said).find(|said| said["do"] == "prepare");
    assert_eq!(constant(asked), constant(told.unwrap()));
}
