//! The binary as a user meets it: exit codes, messages, and the files that it leaves.

use std::path::Path;
use std::process::Output;

use assert_cmd::Command;

fn scalemark(args: &[&str]) -> Output {
    Command::cargo_bin("scalemark").unwrap().args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs a command that must fail as a usage or input error, and returns its one line of explanation.
fn error(args: &[&str]) -> String {
    let out = scalemark(args);
    assert_eq!(out.status.code(), Some(2), "{args:?}: {}", text(&out.stderr));
    text(&out.stderr)
}

/// A small run into `folder`.
fn small_run(folder: &Path, more: &[&str]) -> Output {
    let out = folder.to_str().unwrap();
    let mut args = vec![
        "run",
        "-m",
        "24,40",
        "--budget",
        "60ms",
        "--processes",
        "2",
        "--no-peaks",
        "--out",
        out,
    ];
    args.extend(more);
    scalemark(&args)
}

#[test]
fn a_run_leaves_a_whole_folder_and_says_where() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let out = small_run(&run, &[]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    for file in ["machine.json", "records.csv", "counters.csv", "samples.csv.gz", "report.md"] {
        assert!(run.join(file).is_file(), "no {file}");
    }
    let printed = text(&out.stdout);
    assert!(
        printed.contains("matmul/simd") && printed.contains(run.to_str().unwrap()),
        "{printed}"
    );
    let csv = std::fs::read_to_string(run.join("records.csv")).unwrap();
    assert!(csv.lines().any(|l| l.contains("matmul/naive") && l.contains("measured")), "{csv}");
    assert!(!csv.contains("wrong") && !csv.contains("failed"), "{csv}");
}

#[test]
fn an_update_out_of_memory_takes_turns_with_a_probe_of_its_pattern_and_one_in_the_cache_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let roof = |name: &str, more: &[&str]| {
        let run = folder.path().join(name);
        let mut args = vec!["run", "--op", "momentum", "--params", "4099", "--threads", "1"];
        args.extend(["--kernel", "optimizer/simd", "--budget", "60ms", "--processes", "2"]);
        args.extend(["--out", run.to_str().unwrap()]);
        args.extend(more);
        let out = scalemark(&args);
        assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
        let mut csv = csv::Reader::from_path(run.join("records.csv")).unwrap();
        let column = csv.headers().unwrap().iter().position(|h| h == "peak_byte_per_s").unwrap();
        let rows: Vec<_> = csv.records().map(Result::unwrap).collect();
        assert_eq!(rows.len(), 1, "the probe is no record of its own");
        rows[0][column].parse::<f64>().ok()
    };
    assert!(roof("cold", &["--cache", "cold"]).is_some_and(|rate| rate > 0.0));
    assert_eq!(roof("warm", &["--cache", "warm"]), None);
    assert_eq!(roof("unprobed", &["--cache", "cold", "--no-peaks"]), None);
}

#[test]
fn a_run_is_looked_at_again_in_the_terminal_and_its_trace_in_a_viewer() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let trace = folder.path().join("trace.json");
    let out = small_run(&run, &["--trace", trace.to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let trace: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(trace).unwrap()).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let of = |name: &str| events.iter().filter(|event| event["name"] == name).collect::<Vec<_>>();
    assert!(of("sample matmul/simd").len() >= 4, "two sizes in two processes");
    assert!(of("sample matmul/simd").iter().all(|event| event["dur"].as_f64().unwrap() > 0.0));
    let held: Vec<f64> =
        of("buffers held, bytes").iter().map(|e| e["args"]["all"].as_f64().unwrap()).collect();
    assert_eq!(held.last(), Some(&0.0), "what is prepared is freed: {held:?}");
    assert!(held.iter().any(|bytes| *bytes >= 3.0 * 4.0 * 24.0 * 24.0), "{held:?}");

    let run = run.to_str().unwrap();
    let shown = text(&scalemark(&["show", run, "--find", "simd m40", "--sort", "time"]).stdout);
    assert!(shown.contains("matmul/simd") && !shown.contains("m24"), "{shown}");
    let id = shown.lines().nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let details = text(&scalemark(&["show", run, "--record", &id]).stdout);
    assert!(details.contains("process 1") && details.contains("prepare_ns"), "{details}");
    let bars = text(&scalemark(&["show", run, "--bars"]).stdout);
    assert!(bars.contains('█') && bars.contains("nn/m24-n24-k24"), "{bars}");
    assert!(error(&["show", run, "--find", "nothing"]).contains("has all of `nothing`"));
    assert!(error(&["show", run, "--record", "999"]).contains("has no record 999"));
    assert!(error(&["show", "no-such-folder"]).contains("no-such-folder"));
}

#[cfg(unix)]
#[test]
fn a_kernel_is_sampled_and_its_own_lines_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let svg = folder.path().join("flame.svg");
    let of = ["profile", "matmul/naive", "-m", "160", "--threads", "1", "--time", "500ms"];
    let out = scalemark(&[&of[..], &["--svg", svg.to_str().unwrap()]].concat());
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let printed = text(&out.stdout);
    assert!(printed.contains("% of what the roofs allow"), "{printed}");
    let hottest = printed.lines().skip_while(|line| !line.contains("by file")).nth(1).unwrap();
    assert!(hottest.contains("kernels/matmul/"), "{printed}");
    assert!(std::fs::read_to_string(svg).unwrap().contains("<svg"));
}

#[test]
fn without_a_command_it_says_what_to_do_next_and_the_manual_has_a_page_for_each() {
    let out = scalemark(&[]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    assert!(text(&out.stdout).contains("scalemark run  "), "{}", text(&out.stdout));
    assert!(text(&scalemark(&["man"]).stdout).contains(".TH scalemark"));
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    assert_eq!(scalemark(&["man", "--out", pages.to_str().unwrap()]).status.code(), Some(0));
    for page in ["scalemark.1", "scalemark-run.1", "scalemark-gate-pair.1"] {
        assert!(pages.join(page).is_file(), "no {page}");
    }
}

#[test]
fn a_run_never_touches_a_folder_that_holds_another_one() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    assert_eq!(small_run(&run, &["--kernel", "matmul/naive"]).status.code(), Some(0));
    let before = std::fs::read(run.join("records.csv")).unwrap();
    let again = small_run(&run, &["--kernel", "matmul/naive"]);
    assert_eq!(again.status.code(), Some(2));
    assert!(text(&again.stderr).contains("--resume"), "{}", text(&again.stderr));
    assert_eq!(std::fs::read(run.join("records.csv")).unwrap(), before);
}

#[test]
fn a_report_can_be_made_again_from_the_csv_alone_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    assert_eq!(small_run(&run, &[]).status.code(), Some(0));
    let copy = folder.path().join("copied-here");
    std::fs::create_dir(&copy).unwrap();
    for file in std::fs::read_dir(&run).unwrap().flatten().filter(|f| f.path().is_file()) {
        if file.file_name() != "report.md" {
            std::fs::copy(file.path(), copy.join(file.file_name())).unwrap();
        }
    }
    let out = scalemark(&["report", copy.to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    assert!(std::fs::read_to_string(copy.join("report.md")).unwrap().contains("matmul/simd"));
}

#[test]
fn runs_are_set_side_by_side_against_the_one_that_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    assert_eq!(small_run(&one, &["--kernel", "matmul/naive"]).status.code(), Some(0));
    assert_eq!(small_run(&two, &["--kernel", "matmul/blocked"]).status.code(), Some(0));
    let (one, two) = (one.to_str().unwrap(), two.to_str().unwrap());
    let out = scalemark(&["report", one, two, "--base", two]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let printed = text(&out.stdout);
    assert!(printed.contains("over those of `two`"), "{printed}");
    assert!(printed.contains("| op | one "), "{printed}");
    let file = folder.path().join("comparison.md");
    let out = scalemark(&["report", one, two, "--base", two, "--out", file.to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let written = std::fs::read_to_string(&file).unwrap();
    let (before, pictures) = written.split_once("\n## Pictures\n").unwrap();
    let (_, after) = pictures.split_once("\n## ").unwrap();
    assert_eq!(format!("{before}\n## {after}"), printed, "a file has pictures more");
    let picture = folder.path().join("comparison-charts/variability.svg");
    assert!(pictures.contains("(comparison-charts/variability.svg)") && picture.is_file());

    assert!(error(&["report", one, one]).contains("named twice"));
    let elsewhere = folder.path().join("three");
    let elsewhere = elsewhere.to_str().unwrap();
    assert!(error(&["report", one, two, "--base", elsewhere]).contains("is none of the runs"));
    assert!(error(&["report", one, elsewhere]).contains("three"));
    assert!(error(&["report", one, "--base", one]).contains("name the runs to compare with"));
}

#[test]
fn a_cut_records_file_is_an_error_with_file_and_line_and_leaves_everything() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    assert_eq!(small_run(&run, &["--kernel", "matmul/naive"]).status.code(), Some(0));
    let path = run.join("records.csv");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 20]).unwrap();
    let message = error(&["report", run.to_str().unwrap()]);
    assert!(message.contains("records.csv"), "{message}");
    assert_eq!(std::fs::read(&path).unwrap(), &whole[..whole.len() - 20]);
    assert!(run.join("report.md").is_file());
}

#[test]
fn unknown_names_get_the_nearest_one() {
    assert!(error(&["run", "--model", "bert-bse"]).contains("bert-base"));
    assert!(error(&["run", "--kernel", "matmul/smid"]).contains("matmul/simd"));
    assert!(error(&["run", "--op", "atention"]).contains("attention"));
    assert!(error(&["list", "--dtype", "f23"]).contains("f32"));
}

#[test]
fn sizes_of_zero_and_beyond_memory_are_told_apart() {
    assert!(error(&["run", "-m", "0"]).contains("size of 0"));
    let out = scalemark(&["list", "-m", "400000", "-n", "400000", "-k", "64"]);
    assert_eq!(out.status.code(), Some(0));
    assert!(text(&out.stdout).contains("needs"), "{}", text(&out.stdout));
}

#[test]
fn a_dry_run_measures_nothing_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let out = Command::cargo_bin("scalemark")
        .unwrap()
        .current_dir(folder.path())
        .args(["run", "--dry-run"])
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(0));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn verify_is_right_on_a_few_awkward_sizes() {
    let out =
        scalemark(&["verify", "-m", "1,17,65", "--dtype", "f32,bf16,int8", "--threads", "1,2"]);
    assert_eq!(out.status.code(), Some(0), "{}{}", text(&out.stdout), text(&out.stderr));
    assert!(text(&out.stdout).contains(" 0 wrong, 0 failed"), "{}", text(&out.stdout));
}

#[test]
fn list_speaks_json() {
    let out = scalemark(&["list", "--model", "gpt2", "--estimate", "--json"]);
    let rows: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let row = &rows.as_array().unwrap()[0];
    assert!(row["flops"].as_u64().unwrap() > 0);
    assert!(row["kernels"][0]["estimated_ns"].as_f64().unwrap() > 0.0);
}

#[test]
fn completions_are_printed_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let out = scalemark(&["completions", shell]);
        assert_eq!(out.status.code(), Some(0));
        assert!(text(&out.stdout).contains("scalemark"));
    }
}

#[test]
fn a_worker_of_another_protocol_version_is_an_error() {
    assert!(error(&["worker", "--protocol", "999", "--provider", "own"]).contains("protocol"));
}

#[cfg(unix)]
#[test]
fn an_interrupt_keeps_what_was_measured_and_a_resume_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let out = run.to_str().unwrap();
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("scalemark"))
        .args([
            "run",
            "-m",
            "24,32,40,48",
            "--kernel",
            "matmul/naive",
            "--budget",
            "400ms",
            "--precision",
            "0.01%",
        ])
        .args(["--no-peaks", "--out", out])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // Once the first record is there, the run is well under way.
    let records = run.join("records.csv");
    for _ in 0..600 {
        let lines = std::fs::read_to_string(&records).map_or(0, |csv| csv.lines().count());
        if lines >= 2 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130));
    let kept = std::fs::read_to_string(&records).unwrap();
    assert!(kept.lines().count() >= 2, "{kept}");
    assert!(run.join("report.md").is_file());
    let resumed = scalemark(&["run", "--resume", out]);
    assert_eq!(resumed.status.code(), Some(0), "{}", text(&resumed.stderr));
    let all = std::fs::read_to_string(&records).unwrap();
    assert!(all.starts_with(kept.trim_end()), "what was measured stays as it was");
    assert_eq!(all.lines().count(), 5, "{all}");
}

#[cfg(unix)]
#[test]
fn two_runs_at_once_get_folders_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let start = || {
        std::process::Command::new(assert_cmd::cargo::cargo_bin("scalemark"))
            .current_dir(folder.path())
            .args(["run", "-m", "24", "--kernel", "matmul/naive", "--budget", "50ms", "--no-peaks"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap()
    };
    let (mut a, mut b) = (start(), start());
    assert!(a.wait().unwrap().success() && b.wait().unwrap().success());
    assert_eq!(std::fs::read_dir(folder.path().join("results/runs")).unwrap().count(), 2);
}
