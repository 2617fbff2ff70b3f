//! `scalemark plan` as a user meets it, by runs that are committed.

use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;

/// A run of suite `quick`.
const QUICK: &str = "results/runs/20261124T162525Z-epyc-zen4-bac40e5a2b";
/// Another machine's.
const OTHER: &str = "results/runs/20261124T071541Z-xeon-sapphirerapids-d441142aea";

fn plan(args: &[&str]) -> (Option<i32>, String, String) {
    let out = Command::cargo_bin("scalemark").unwrap().arg("plan").args(args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (out.status.code(), text(&out.stdout), text(&out.stderr))
}

fn json(args: &[&str]) -> Value {
    let (code, out, err) = plan(&[args, &["--json"]].concat());
    assert_eq!(code, Some(0), "{args:?}: {err}");
    serde_json::from_str(&out).unwrap()
}

/// Runs what must fail as a usage or input error, with one line.
fn error(args: &[&str]) -> String {
    let (code, _, err) = plan(args);
    assert_eq!(code, Some(2), "{args:?}: {err}");
    assert_eq!(err.trim_end().lines().count(), 1, "{err}");
    err
}

const GPT2: &[&str] = &["--model", "gpt2", "--run", QUICK];

#[test]
fn every_line_says_where_its_time_comes_from_and_the_sum_is_that_of_the_lines() {
    let plan = json(GPT2);
    for step in ["training", "decoding"] {
        let step = &plan[step][0];
        let lines = step["lines"].as_array().unwrap();
        let mut sum = 0.0;
        for line in lines {
            let basis = line["basis"].as_str().unwrap();
            match line["seconds"]["median"].as_f64() {
                Some(seconds) => sum += seconds,
                None => assert_eq!(basis, "not-measured"),
            }
            assert_eq!(basis == "not-measured", line["command"].is_string(), "{line}");
        }
        assert!((step["busy"]["median"].as_f64().unwrap() / sum - 1.0).abs() < 1e-9);
        let missing = lines.iter().filter(|line| line["seconds"].is_null()).count();
        assert_eq!(step["missing"].as_u64(), Some(missing as u64));
        assert_eq!(step["total"], step["busy"], "one device waits for nobody");
    }
    assert!(plan["assumptions"].as_array().unwrap().len() >= 3);
}

#[test]
fn a_gap_is_shown_with_a_command_that_names_a_case_and_makes_the_sum_a_lower_bound() {
    let (code, out, _) = plan(&[GPT2, &["--mode", "train"]].concat());
    assert_eq!(code, Some(0));
    assert!(out.contains("a step takes at least"), "{out}");
    assert!(out.contains("scalemark run --seq 1024 ") && out.contains("--pass bwd"), "{out}");
    assert!(out.contains("at most"), "a rate has an upper bound: {out}");
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("cases.csv");
    let (code, ..) =
        plan(&[GPT2, &["--dtype", "f16", "--missing", list.to_str().unwrap()]].concat());
    assert_eq!(code, Some(0), "a list is wanted most where nothing was measured");
    let listed = Command::cargo_bin("scalemark")
        .unwrap()
        .args(["list", "--cases", list.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let rows = std::fs::read_to_string(&list).unwrap().lines().count() - 1;
    // Four products and the head, in three storages and for one token; attention in three passes.
    assert!(rows >= 20, "{rows}");
}

#[test]
fn more_devices_take_less_time_and_hold_less() {
    let one = json(&[GPT2, &["--mode", "train", "--batch", "8"]].concat());
    let eight =
        json(&[GPT2, &["--mode", "train", "--batch", "8", "--gpus", "8", "--zero", "3"]].concat());
    let step = |plan: &Value| plan["training"][0]["total"]["median"].as_f64().unwrap();
    assert!(step(&eight) < step(&one));
    let parts = |plan: &Value| {
        let parts = plan["training"][0]["memory"]["parts"].as_array().unwrap().clone();
        parts.iter().find(|p| p["name"] == "parameters").unwrap()["bytes"].as_f64().unwrap()
    };
    assert!((parts(&one) / parts(&eight) - 8.0).abs() < 1e-6);
    assert!(eight["training"][0]["exchanging"].as_f64().unwrap() > 0.0);
}

#[test]
fn tokens_and_a_price_become_days_and_money() {
    let plan = json(&[GPT2, &["--mode", "train", "--tokens", "1B", "--price", "0.5/h"]].concat());
    let totals = &plan["training"][1];
    let seconds = totals["seconds"]["median"].as_f64().unwrap();
    let cost = totals["cost"]["median"].as_f64().unwrap();
    assert!((cost - seconds / 3600.0 * 0.5).abs() < 1e-9 * cost);
    assert_eq!(totals["steps"].as_f64(), Some((1e9f64 / 1024.0).ceil()));
}

#[test]
fn runs_are_compared_and_the_cheapest_in_time_is_named_or_nobody_is() {
    let both = ["--model", "gpt2", "--run", QUICK, OTHER, "--seq", "512", "--mode", "train"];
    let money = ["--tokens", "1M", "--price", "epyc=1/h", "--price", "xeon=2/h"];
    let (code, out, err) = plan(&[&both[..], &money, &["--gpus", "1..2", "--batch", "2"]].concat());
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(out.lines().filter(|line| line.starts_with("2026")).count(), 4, "{out}");
    let (code, out, _) = plan(&[&both[..], &money, &["--deadline", "1ns"]].concat());
    assert_eq!(code, Some(3));
    assert!(out.contains("nothing meets the deadline"), "{out}");
    let message = error(
        &[&both[..], &["--tokens", "1M", "--price", "epyc=1/h", "--deadline", "9d"]].concat(),
    );
    assert!(message.contains("xeon") && message.contains("no --price"), "{message}");
}

#[test]
fn the_largest_batch_fills_the_memory_that_is_given() {
    let found = json(&[GPT2, &["--mode", "train", "--fit", "batch", "--memory", "16GiB"]].concat());
    let parts = found["training"][0]["memory"]["parts"].as_array().unwrap();
    let total: f64 = parts
        .iter()
        .filter(|p| p["name"] != "workspace")
        .map(|p| p["bytes"].as_f64().unwrap())
        .sum();
    assert!(total <= 16.0 * 1024f64.powi(3) && total > 15.0 * 1024f64.powi(3), "{total}");
}

#[test]
fn a_chart_is_an_svg_with_the_parts_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan.svg");
    let (code, ..) = plan(&[GPT2, &["--chart", file.to_str().unwrap()]].concat());
    assert_eq!(code, Some(0));
    let svg = std::fs::read_to_string(&file).unwrap();
    assert!(
        svg.contains("<svg") && svg.contains("memory of a device") && svg.contains("parameters")
    );
}

#[test]
fn bad_input_is_one_clear_error_each() {
    let with = |more: &[&str]| error(&[GPT2, more].concat());
    assert!(with(&["--gpus", "3", "--tp", "5"]).contains("does not divide the 12 heads"));
    assert!(with(&["--gpus", "16", "--pp", "16"]).contains("more than the 12 layers"));
    assert!(with(&["--batch", "6", "--micro-batch", "4"]).contains("--micro-batch 4"));
    assert!(with(&["--gpus", "0"]).contains("--gpus"));
    assert!(with(&["--batch", "0"]).contains("--batch is 0"));
    assert!(with(&["--zero", "7"]).contains("--zero 7"));
    assert!(with(&["--seq", "99999"]).contains("learned positions"));
    assert!(with(&["--overlap", "2"]).contains("--overlap 2"));
    assert!(with(&["--optimizer", "adma"]).contains("unknown optimizer"));
    assert!(with(&["--threads", "64"]).contains("at 64 threads"));
    assert!(with(&["--device", "cuda:0"]).contains("it has cpu"));
    assert!(with(&["--dtype", "f16"]).contains("measured none of the"));
    assert!(with(&["--price", "h100=2/h"]).contains("names none of the runs"));
    assert!(
        with(&["--fit", "batch", "--memory", "1MiB", "--mode", "train"])
            .contains("not even 1 fits")
    );
    assert!(error(&["--model", "gpt2", "--run", "src"]).contains("not the folder of a run"));
    assert!(error(&["--model", "gtp2", "--run", QUICK]).contains("did you mean `gpt2`"));
    let encoder = ["--model", "bert-base", "--run", QUICK, "--mode", "decode", "--context", "128"];
    assert!(error(&encoder).contains("encoder"));
    assert!(Path::new(QUICK).is_dir());
}
