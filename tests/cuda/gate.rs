//! Two builds compared on the fake driver's GPU.

use crate::scalemark;

/// The gate on this build and itself; the report, and the exit code.
fn gate(conditions: &str, more: &[&str]) -> (serde_json::Value, Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("gate");
    let this = env!("CARGO_BIN_EXE_scalemark");
    let mut args = vec!["gate", "pair", "--base", this, "--json", "-"];
    if !more.contains(&"--device") {
        args.extend(["--device", "fake:sm_80"]);
    }
    args.extend(["-m", "24,32,48", "--kernel", "matmul/tiled", "--max-pairs", "16"]);
    args.extend(["--out", out.to_str().unwrap()]);
    args.extend(more);
    let said = scalemark(conditions, &args);
    let report = serde_json::from_str(&said.out).unwrap_or_default();
    (report, said.code, said.errors)
}

fn verdicts(report: &serde_json::Value, metric: &str) -> Vec<String> {
    let findings = report["findings"].as_array().unwrap();
    let of = findings.iter().filter(|finding| finding["metric"] == metric);
    of.map(|finding| finding["verdict"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_build_is_the_same_as_itself_on_a_gpu_and_more_work_is_slower_in_time_and_cycles() {
    let (report, code, errors) = gate("", &[]);
    assert_eq!(code, Some(0), "{errors}");
    assert_eq!(verdicts(&report, "time"), ["same", "same", "same"], "{report}");
    let (report, code, errors) = gate("", &["--slow-head", "5"]);
    assert_eq!(code, Some(1), "{errors}");
    assert_eq!(verdicts(&report, "time"), ["slower", "slower", "slower"], "{report}");
    assert_eq!(verdicts(&report, "time of all sizes"), ["slower"], "{report}");
}

#[test]
fn devices_without_times_and_gpus_that_cannot_be_had_are_told() {
    // The simulator counts, and does not time: neither sizes nor pairs are its to choose.
    let (_, code, errors) = gate("", &["--device", "sim"]);
    assert_eq!(code, Some(2));
    assert!(errors.contains("a simulator has no times"), "{errors}");
    let (_, code, errors) = gate("gpus=0", &[]);
    assert_eq!(code, Some(3), "{errors}");
    let (_, code, errors) = gate("gpus=2", &["--device", "fake:sm_80:all"]);
    assert_eq!(code, Some(2));
    assert!(errors.contains("name one"), "{errors}");
}
