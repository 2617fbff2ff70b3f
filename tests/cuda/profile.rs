//! `scalemark profile` on a GPU: what is told of launches, and what is said where it is not.

use super::{Said, scalemark};

/// Profiles on the fake driver without roofs, whose probes take seconds to simulate.
fn profile(conditions: &str, args: &[&str]) -> Said {
    let fixed = ["--device", "fake:sm_80", "--no-peaks"];
    scalemark(conditions, &[&["profile"], args, &fixed].concat())
}

fn has(said: &Said, words: &[&str]) {
    let found = said.out.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(found, "{words:?}: {}{}", said.out, said.errors);
}

#[test]
fn a_profile_tells_kernels_gaps_counters_and_buffers_and_that_the_fake_driver_makes_times_up() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace.json");
    let args = ["matmul/tiled", "-m", "24", "--trace", trace.to_str().unwrap()];
    let said = profile("", &args);
    assert_eq!(said.code, Some(0), "{}", said.errors);
    has(&said, &["matmul/tiled on", "fake:sm_80:0", "a launch, the median of 20 in a row"]);
    has(&said, &["told by the fake driver, whose times are made up"]);
    has(&said, &["roofline: ", "operations a byte"]);
    has(&said, &["matmul_tiled", " 20 ", "blocks of"]);
    has(&said, &["waited for the host"]);
    has(&said, &["from the call to the start", " 4 "]);
    has(&said, &["warp instructions"]);
    has(&said, &["memory traffic of a launch: "]);
    has(&said, &["not counted on this GPU: ", "achieved occupancy", "what warps wait for"]);
    has(&said, &["memory: 6.75 KiB in 3 buffers"]);
    has(&said, &["nsys profile --trace cuda,nvtx", "--device fake:sm_80:0"]);
    let json: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(trace).unwrap()).unwrap();
    assert_eq!(json["otherData"]["flops"], 2 * 24 * 24 * 24);
    let events = json["traceEvents"].as_array().unwrap();
    assert_eq!(events.iter().filter(|event| event["name"] == "matmul_tiled").count(), 24);
}

#[test]
fn each_kernel_of_a_launch_is_told_by_name_and_a_library_is_profiled_too() {
    let args =
        ["attention/naive", "--seq", "16", "--dtype", "f32", "--pass", "fwd", "--launches", "70"];
    let said = profile("", &args);
    assert_eq!(said.code, Some(0), "{}", said.errors);
    let counters = said.out.split("\ncounters, ").nth(1).unwrap();
    let mut names = Vec::new();
    for line in said.out.lines().skip_while(|line| !line.starts_with("kernels ")).skip(1) {
        let Some(name) = line.strip_prefix("  ").and_then(|line| line.split(' ').next()) else {
            break;
        };
        // Operands are reset in between, which is no launch.
        assert!(line.contains(" 70 "), "{line}");
        assert!(counters.contains(&format!("\n  {name}\n")), "{name}: {counters}");
        names.push(name);
    }
    assert_eq!(names.len(), 3, "{names:?}");
    let said = profile("", &["matmul/cublaslt", "-m", "16", "--dtype", "f32"]);
    assert_eq!(said.code, Some(0), "{}", said.errors);
    has(&said, &["cublasLtMatmul", " 20 "]);
}

#[test]
fn roofs_are_measured_beside_a_kernel_by_the_same_clock() {
    let args = ["profile", "optimizer/vectorized", "--op", "sgd", "--params", "200000"];
    let said = scalemark("", &[&args[..], &["--device", "fake:sm_80"]].concat());
    assert_eq!(said.code, Some(0), "{}", said.errors);
    has(&said, &["roofline: ", "; probes move ", "GB/s"]);
    has(&said, &["bound by memory; ", "% of what the roofs allow"]);
}

#[test]
fn what_a_machine_lacks_is_said_and_costs_no_more_than_that() {
    let said = profile("no-cupti", &["matmul/tiled", "-m", "24"]);
    assert_eq!((said.code, said.errors.as_str()), (Some(0), ""));
    has(&said, &["not profiled: CUPTI is not on this"]);
    has(&said, &["ncu --target-processes all"]);
    let said = profile("no-counters", &["matmul/tiled", "-m", "24"]);
    assert_eq!((said.code, said.errors.as_str()), (Some(0), ""));
    has(&said, &["matmul_tiled", " 20 "]);
    has(&said, &["not counted: ", "ERR_NVGPUCTRPERM", "run as root"]);
}

#[test]
fn without_a_gpu_the_command_lines_are_printed_and_the_exit_code_is_3() {
    let said = profile("no-driver", &["matmul/tiled", "-m", "24"]);
    assert_eq!(said.code, Some(3), "{}", said.out);
    has(&said, &["ncu --target-processes all"]);
    assert!(said.errors.starts_with("error: there is no CUDA driver"), "{}", said.errors);
    assert_eq!(said.errors.lines().count(), 1, "{}", said.errors);
}

#[test]
fn a_kernel_that_breaks_the_gpu_ends_the_profile_with_its_error_and_exit_code_1() {
    for nth in ["1", "15", "27"] {
        let said = profile(&format!("illegal=matmul_tiled@{nth}"), &["matmul/tiled", "-m", "24"]);
        assert_eq!(said.code, Some(1), "{nth}: {}", said.out);
        assert!(said.errors.contains("illegal memory access"), "{}", said.errors);
        has(&said, &["compute-sanitizer"]);
    }
}

#[test]
fn options_of_another_kind_of_profile_are_refused_with_the_way_out() {
    for (args, words) in [
        (&["--device", "fake:sm_80:all"][..], "a profile is of one GPU"),
        (&["--device", "fake:sm_80:0,1"], "a profile is of one GPU, as cuda:0"),
        (&["--device", "fake:sm_80", "--svg", "a.svg"], "use --trace"),
        (&["--device", "fake:sm_80", "--launches", "0"], "--launches"),
        (&["--device", "sim", "--trace", "a.json"], "of kernels on a GPU"),
        (&["--launches", "3"], "of kernels on a GPU"),
    ] {
        let said = scalemark("", &[&["profile", "matmul/tiled", "-m", "24"], args].concat());
        assert_eq!(said.code, Some(2), "{args:?}: {}", said.out);
        assert!(said.errors.contains(words), "{args:?}: {}", said.errors);
    }
}
