//! `scalemark gate` as a CI meets it: exit codes, refusals, and the files that it leaves.

use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use assert_cmd::cargo::cargo_bin;

const RUNS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/results/runs");

fn gate(args: &[&str]) -> Output {
    let mut command = Command::cargo_bin("scalemark").unwrap();
    command.args(["gate", "pair"]).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A gate that must be refused as a usage or input error, and its one line of explanation.
fn refusal(args: &[&str]) -> String {
    let out = gate(args);
    assert_eq!(out.status.code(), Some(2), "{args:?}: {}", text(&out.stderr));
    text(&out.stderr)
}

/// The committed run whose name contains `part`.
fn run(part: &str) -> String {
    let names = std::fs::read_dir(RUNS).unwrap().map(|entry| entry.unwrap().path());
    let found = names.filter(|path| path.to_string_lossy().contains(part)).max().unwrap();
    found.to_string_lossy().into_owned()
}

#[test]
fn a_build_is_not_slower_than_itself_and_every_output_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let binary = cargo_bin("scalemark").to_string_lossy().into_owned();
    let (out, json, markdown, junit, sarif) =
        (at("out"), at("r.json"), at("r.md"), at("r.xml"), at("r.sarif"));
    let done = gate(&[
        "--base",
        &binary,
        "--head",
        &binary,
        "-m",
        "48",
        "--kernel",
        "matmul/simd",
        "--threads",
        "1",
        "--max-pairs",
        "8",
        "--seed",
        "3",
        "--out",
        &out,
        "--json",
        &json,
        "--markdown",
        &markdown,
        "--junit",
        &junit,
        "--sarif",
        &sarif,
        "--github",
    ]);
    // On a machine as busy as that of a test 8 pairs may leave it undecided; slower it must not be.
    assert!(matches!(done.status.code(), Some(0 | 3)), "{}", text(&done.stderr));
    let report: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    let finding = &report["findings"][0];
    assert!(["same", "undecided"].contains(&finding["verdict"].as_str().unwrap()), "{report}");
    assert_eq!(
        (finding["kernel"].as_str(), finding["evidence"]["pairs"].as_u64()),
        (Some("matmul/simd"), Some(8))
    );
    assert_eq!((report["seed"].as_u64(), report["paired"].as_bool()), (Some(3), Some(true)));
    assert!(text(&done.stdout).contains("\n::notice title=scalemark gate::gate "));
    for file in [&markdown, &junit] {
        assert!(std::fs::read_to_string(file).unwrap().contains("matmul/simd"), "{file}");
    }
    // A code scanning view lists what somebody should look at, and nothing of what is the same.
    let scanned: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(sarif).unwrap()).unwrap();
    let results = scanned["runs"][0]["results"].as_array().unwrap();
    assert_eq!(results.is_empty(), finding["verdict"] == "same", "{scanned}");
    assert!(results.iter().all(|r| r.to_string().contains("matmul/simd")), "{scanned}");
    let samples = Path::new(&out).join("samples.csv.gz");
    let mut rows = csv::Reader::from_reader(flate2::read::GzDecoder::new(
        std::fs::File::open(samples).unwrap(),
    ));
    let arms: Vec<String> = rows.records().map(|row| row.unwrap()[2].to_owned()).collect();
    for arm in ["base", "head", "twin"] {
        assert!(arms.iter().filter(|a| *a == arm).count() >= 8 * 8, "{arm}");
    }
}

#[test]
fn runs_of_different_machines_are_refused_and_those_of_one_are_compared_unpaired() {
    let (zen, xeon) = (run("20261124T162525Z-epyc-zen4"), run("xeon"));
    let said = refusal(&["--base", &zen, "--head", &xeon]);
    assert!(
        said.contains("of different machines") && said.contains("compares builds on one machine"),
        "{said}"
    );
    let same = gate(&["--base", &zen, "--head", &zen, "--json", "-"]);
    assert_eq!(same.status.code(), Some(3), "{}", text(&same.stderr));
    let report: serde_json::Value = serde_json::from_slice(&same.stdout).unwrap();
    assert_eq!(report["paired"], false);
    let verdicts = report["findings"].as_array().unwrap();
    assert!(verdicts.len() > 20 && verdicts.iter().all(|f| f["verdict"] != "slower"), "{report}");
}

#[test]
fn what_makes_no_sense_exits_2_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("scalemark.toml");
    std::fs::write(&config, "[gate]\nmax-pair = 40\n").unwrap();
    let (config, binary) = (config.to_string_lossy(), cargo_bin("scalemark"));
    let binary = binary.to_string_lossy();
    let said = refusal(&["--base", &binary, "--config", &config]);
    assert!(said.contains("did you mean `max-pairs`?"), "{said}");
    assert!(refusal(&["--base", "no-such-file"]).contains("there is no program no-such-file"));
    assert!(refusal(&["--base", &binary, "--max-pairs", "4"]).contains("use 8 to 4096"));
    assert!(
        refusal(&["--base", RUNS, "--head", &binary]).contains("compare two binaries, or two runs")
    );
    assert!(refusal(&["--base", &binary, "--head", "/bin/true"]).contains("worker"));
    refusal(&[]);
}

#[test]
fn counters_are_asked_for_where_they_can_be_had_before_anything_is_built_or_measured() {
    let binary = cargo_bin("scalemark").to_string_lossy().into_owned();
    for more in [&["--counters"][..], &["--device", "sim"]] {
        let mut command = Command::cargo_bin("scalemark").unwrap();
        command.args(["gate", "pair", "--base", &binary]).args(more);
        let out = command.env("SCALEMARK_NVRTC", "no-such-folder").output().unwrap();
        assert_eq!(out.status.code(), Some(2), "{}", text(&out.stderr));
        assert!(text(&out.stderr).contains("no-such-folder"), "{}", text(&out.stderr));
    }
    let said = refusal(&["--base", &binary, "--counters", "--kernel", "optimizer/simd"]);
    assert!(said.contains("none of --kernel optimizer/simd is a CUDA kernel"), "{said}");
    let said = refusal(&["--base", &binary, "--counters", "--kernel", "optimizer/scalar"]);
    assert!(said.contains("--device sim compares their counters alone"), "{said}");
    let said = refusal(&["--base", &binary, "--counters", "--kernel", "optimizer/skalar"]);
    assert!(said.contains("unknown kernel `optimizer/skalar`"), "{said}");
    let said = refusal(&["--base", &binary, "--device", "sim", "-m", "64"]);
    assert!(said.contains("suite `sim`"), "{said}");
}

/// A build whose simulated kernels are compiled for another architecture: other registers, other instructions.
#[cfg(unix)]
fn another_build(folder: &Path) -> String {
    use std::os::unix::fs::PermissionsExt;

    let path = folder.join("other");
    let script = format!(
        "#!/bin/sh\nfor word in \"$@\"; do\n  shift\n  case $word in sim:*) word=sim:sm_80 ;; esac\n  set -- \"$@\" \"$word\"\ndone\n\
         exec '{}' \"$@\"\n",
        cargo_bin("scalemark").display()
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.to_string_lossy().into_owned()
}

#[cfg(unix)]
#[test]
fn counters_of_cuda_kernels_are_compared_exactly_alone_and_beside_times() {
    let folder = tempfile::tempdir().unwrap();
    let (binary, other) = (cargo_bin("scalemark"), another_build(folder.path()));
    let (binary, out) = (binary.to_string_lossy(), folder.path().to_string_lossy());
    let compared = |base: &str, more: &str, code: i32| -> serde_json::Value {
        let mut args =
            vec!["--base", base, "--head", &binary, "--op", "sgd", "--out", &out, "--json", "-"];
        args.extend(more.split(' '));
        let said = gate(&args);
        assert_eq!(said.status.code(), Some(code), "{}", text(&said.stderr));
        serde_json::from_slice(&said.stdout).unwrap()
    };
    let slower = |report: &serde_json::Value| -> Vec<String> {
        let findings = report["findings"].as_array().unwrap().iter();
        let of = findings
            .filter(|f| f["kernel"] == "optimizer/multi-tensor" && f["verdict"] == "slower");
        of.map(|finding| finding["metric"].as_str().unwrap().to_owned()).collect()
    };
    let alone = "--device sim --kernel optimizer/multi-tensor";
    assert_eq!(compared(&binary, alone, 0)["findings"], serde_json::json!([]));
    // One register more than on the other architecture, by NVRTC 13.0.
    let report = compared(&other, alone, 1);
    assert!(slower(&report).contains(&"optimizer_multi_tensor.registers".to_owned()), "{report}");
    let beside = "--counters --kernel optimizer/simd,optimizer/multi-tensor --params 4096 --threads 1 --max-pairs 8";
    let both = compared(&other, beside, 1);
    assert_eq!(slower(&both), slower(&report));
    let timed = |f: &serde_json::Value| f["kernel"] == "optimizer/simd" && f["metric"] == "time";
    assert!(both["findings"].as_array().unwrap().iter().any(timed), "{both}");
}

#[test]
fn a_small_proof_leaves_its_tables_and_chart() {
    let folder = tempfile::tempdir().unwrap();
    let out = Command::cargo_bin("scalemark")
        .unwrap()
        .args(["prove", "simulate", "--series", "20", "--out"])
        .arg(folder.path())
        .output()
        .unwrap();
    // Twenty gates are too few to keep any promise by.
    assert_eq!(out.status.code(), Some(1), "{}", text(&out.stderr));
    let page = std::fs::read_to_string(folder.path().join("simulation.md")).unwrap();
    for noise in ["independent", "spikes", "autocorrelated", "bimodal", "pool"] {
        assert!(page.contains(&format!("| {noise} | 1.005 | 20 |")), "{page}");
    }
    for file in ["null.csv", "p-values.csv", "power.csv", "power.svg"] {
        assert!(folder.path().join(file).is_file(), "no {file}");
    }
}

/// A small product on one thread.
const SMALL: [&str; 6] = ["-m", "24", "--kernel", "matmul/simd", "--threads", "1"];

#[test]
fn a_head_that_does_every_launch_twice_is_slower() {
    let folder = tempfile::tempdir().unwrap();
    let (out, binary) = (folder.path().join("out"), cargo_bin("scalemark"));
    let (out, binary) = (out.to_string_lossy(), binary.to_string_lossy());
    let builds = ["--base", &binary, "--head", &binary, "--slow-head", "100", "--out", &out];
    let done = gate(&[&builds[..], &SMALL[..], &["--json", "-"]].concat());
    assert_eq!(done.status.code(), Some(1), "{}", text(&done.stderr));
    let report: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    let finding = &report["findings"][0];
    assert_eq!(finding["verdict"], "slower", "{report}");
    let estimate = finding["evidence"]["estimate"].as_f64().unwrap();
    assert!((1.5..3.0).contains(&estimate), "{finding}");
}

#[test]
fn a_proof_on_the_machine_gates_alone_and_beside_others_and_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let prove = |decisions: &str| {
        let mut command = Command::cargo_bin("scalemark").unwrap();
        command.args(["prove", "machine", "--load", "0,1", "--decisions", decisions, "--out"]);
        command.arg(folder.path()).arg("--").args(SMALL).args(["--max-pairs", "8"]);
        let done = command.output().unwrap();
        assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
        let mut rows = csv::Reader::from_path(folder.path().join("machine.csv")).unwrap();
        let loads = rows.records().map(|row| row.unwrap()[1].to_owned());
        loads.collect::<Vec<String>>()
    };
    assert_eq!(prove("2"), ["0", "1", "1"], "two gates at once are each other's load");
    assert_eq!(prove("4"), ["0", "1", "1", "0"]);
    let page = std::fs::read_to_string(folder.path().join("machine.md")).unwrap();
    assert!(page.contains("| 0 | 2 | 2 | ") && page.contains("| 1 | 2 | 2 | "), "{page}");
}

#[cfg(unix)]
#[test]
fn commands_of_any_program_are_compared_by_cpu_time_and_memory() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out").to_string_lossy().into_owned();
    let count =
        |to: u32| format!("sh -c 'i=0; while [ $i -lt {to} ]; do i=$((i+1)); done; exit 0'");
    let (base, head) = (count(4_000), count(40_000));
    let all = ["--command", "--base", &base, "--head", &head, "--max-pairs", "12", "--out", &out];
    let done = gate(&[&all[..], &["--json", "-"]].concat());
    assert_eq!(done.status.code(), Some(1), "{}", text(&done.stderr));
    let report: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    let finding = &report["findings"][0];
    assert_eq!((&finding["kernel"], &finding["verdict"]), (&"sh".into(), &"slower".into()));
    assert!(finding["evidence"]["estimate"].as_f64().unwrap() > 1.5, "{finding}");
    assert_eq!((&report["base"]["label"], &report["head"]["label"]), (&base.into(), &head.into()));
    assert!(Path::new(&out).join("report.json").is_file());

    let said = refusal(&["--command", "--base", "true", "--head", "false"]);
    assert!(said.contains("--head 'false' ended with exit code 1"), "{said}");
    let said = refusal(&["--command", "--base", "true"]);
    assert!(said.contains("--head"), "{said}");
}

/// A program that lists two benchmarks and leaves samples as criterion does; of the second each launch takes `ns`.
#[cfg(unix)]
fn benchmark_of_criterion(at: &Path, ns: u32) -> String {
    use std::os::unix::fs::PermissionsExt;
    let script = format!(
        r#"#!/bin/sh
case "$*" in
  *--list*) echo 'sort/64: benchmark'; echo 'sort/4096 (worst): benchmark'; exit 0 ;;
esac
put() {{
  new="$CRITERION_HOME/$1/new"; mkdir -p "$new"
  echo "{{\"group_id\":\"sort\",\"full_id\":\"$2\",\"title\":\"t\"}}" > "$new/benchmark.json"
  echo "{{\"sampling_mode\":\"Linear\",\"iters\":[10,20],\"times\":[$3,$4]}}" > "$new/sample.json"
}}
noise=$(( $$ % 3 ))
put sort/64 'sort/64' $((1000 + noise)) $((2000 + noise))
put sort/4096_worst_ 'sort/4096 (worst)' $(({ns} * 10 + noise)) $(({ns} * 20 + noise))
"#
    );
    std::fs::write(at, script).unwrap();
    std::fs::set_permissions(at, std::fs::Permissions::from_mode(0o755)).unwrap();
    at.to_string_lossy().into_owned()
}

#[cfg(unix)]
#[test]
fn benchmarks_of_criterion_are_compared_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out").to_string_lossy().into_owned();
    let base = benchmark_of_criterion(&folder.path().join("base"), 50_000);
    let head = benchmark_of_criterion(&folder.path().join("head"), 53_000);
    let all = ["--criterion", "--base", &base, "--head", &head, "--out", &out];
    let done = gate(&[&all[..], &["--json", "-"]].concat());
    assert_eq!(done.status.code(), Some(1), "{}", text(&done.stderr));
    let report: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    let of = |i: usize| {
        let finding = &report["findings"][i];
        (finding["kernel"].as_str().unwrap(), finding["verdict"].as_str().unwrap())
    };
    assert_eq!((of(0), of(1)), (("sort/64", "same"), ("sort/4096 (worst)", "slower")));

    let one = gate(&[&all[..], &["--json", "-", "--kernel", "sort/64"]].concat());
    assert_eq!(one.status.code(), Some(0), "{}", text(&one.stderr));
    let said = refusal(&["--criterion", "--base", &base, "--head", "/bin/true"]);
    assert!(said.contains("/bin/true lists no benchmarks"), "{said}");
    let said = refusal(&[&all[..], &["--kernel", "nothing"]].concat());
    assert!(said.contains("no benchmark in common"), "{said}");
}

/// Runs the script of the CI action in an empty folder; its exit code, outputs and summary.
#[cfg(unix)]
fn action(variables: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/.github/actions/gate/gate.sh");
    let mut command = std::process::Command::new("bash");
    command.arg(script).current_dir(&folder).env("SCALEMARK", cargo_bin("scalemark"));
    command.env("GITHUB_OUTPUT", at("outputs")).env("GITHUB_STEP_SUMMARY", at("summary"));
    let done = command.envs(variables.iter().copied()).output().unwrap();
    let read = |name: &str| std::fs::read_to_string(at(name)).unwrap_or_default();
    let outputs = read("outputs");
    if !outputs.is_empty() {
        for file in ["gate.json", "gate.md", "gate.xml", "gate.sarif", "samples.csv.gz"] {
            assert!(at("target/gate/ci").join(file).is_file(), "{file}");
        }
    }
    (done.status.code(), outputs, read("summary"))
}

#[cfg(unix)]
#[test]
fn the_ci_action_passes_on_what_a_gate_came_to() {
    let count =
        |to: u32| format!("sh -c 'i=0; while [ $i -lt {to} ]; do i=$((i+1)); done; exit 0'");
    let (quick, slow) = (count(4_000), count(40_000));
    let arguments = ("ARGUMENTS", "--max-pairs 12 --seed '3'");
    let (code, outputs, summary) =
        action(&[("BASE_COMMAND", &quick), ("HEAD_COMMAND", &slow), arguments]);
    assert_eq!(code, Some(1));
    assert!(outputs.starts_with("verdict=slower\nfolder=target/gate/ci"), "{outputs}");
    assert!(summary.contains("| `sh` |"), "{summary}");

    let same =
        [("BASE_COMMAND", &*quick), ("HEAD_COMMAND", &*quick), ("ARGUMENTS", "--max-pairs 8")];
    let (code, outputs, _) = action(&same);
    assert_eq!(code, Some(0), "what is undecided passes");
    assert!(!outputs.contains("slower"), "{outputs}");

    let (code, outputs, _) = action(&[("BASE_COMMAND", &quick), ("HEAD_COMMAND", "false")]);
    assert_eq!((code, outputs.as_str()), (Some(2), ""));
    let (code, ..) = action(&[("UNDECIDED", "maybe")]);
    assert_eq!(code, Some(2));
}
