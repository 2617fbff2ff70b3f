//! `scalemark profile --device cuda` against a driver and a CUPTI that are pretended in C: buffers that come back from another thread,
//! records as the headers lay them out, the order of the range profiler's calls, and what each of them may refuse.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles a library of this folder.
fn library(source: &str, made: PathBuf, options: &[&str]) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cupti").join(source);
    let out = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-w"])
        .args(options)
        .arg("-o")
        .args([&made, &source])
        .args(["-ldl", "-lpthread"])
        .output()
        .unwrap_or_else(|e| panic!("this test needs the C compiler that Rust links with: cc: {e}"));
    assert!(out.status.success(), "cc failed: {}", String::from_utf8_lossy(&out.stderr));
    made
}

/// Profiles a product with a CUPTI that behaves in this way; exit code, output, errors, and the trace.
fn profile(mode: &str) -> (Option<i32>, String, String, Option<serde_json::Value>) {
    let folder = tempfile::tempdir().unwrap();
    let soname = "-Wl,-soname,libcuda.so";
    let driver = library("driver.c", folder.path().join("libpretended.so"), &[soname]);
    let cupti = match mode {
        "NOT_THERE" => folder.path().join("libcupti.so.13"),
        mode => {
            let made = folder.path().join("libcupti.so.13");
            library("cupti.c", made, &[&format!("-DMODE={mode}")])
        }
    };
    let trace = folder.path().join("trace.json");
    let out = Command::new(env!("CARGO_BIN_EXE_scalemark"))
        .args([
            "profile",
            "matmul/tiled",
            "-m",
            "32",
            "--device",
            "cuda:0",
            "--no-peaks",
            "--trace",
        ])
        .arg(&trace)
        .env("SCALEMARK_CUDA", driver)
        .env("SCALEMARK_CUPTI", if mode == "NOT_THERE" { &cupti } else { folder.path() })
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let trace = std::fs::read_to_string(trace).ok();
    let trace = trace.map(|text| serde_json::from_str(&text).unwrap());
    (out.status.code(), text(&out.stdout), text(&out.stderr), trace)
}

fn has(text: &str, words: &[&str]) {
    let found = text.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(found, "{words:?}: {text}");
}

#[test]
fn what_cupti_tells_of_a_kernel_is_shown_with_its_counters_and_stands_in_the_trace() {
    let (code, out, errors, trace) = profile("RIGHT");
    assert_eq!(code, Some(0), "{errors}");
    has(&out, &["matmul/tiled on", "cuda:0: 5.00 µs a launch, the median of 20 in a row"]);
    has(&out, &["on Pretended GPU, told by CUPTI 13.0"]);
    has(
        &out,
        &["matmul_tiled", " 20 ", "5.00 µs", "4×1×1 blocks of 256×1×1 threads, 96 registers"],
    );
    has(&out, &["3.00 KiB shared (1024 B dynamic)"]);
    // Each call ends 4 µs behind the kernel before it, and its own kernel begins 1 µs later.
    has(&out, &["waited for the host", " 19 ", "5.00 µs"]);
    has(&out, &["cuLaunchKernelEx", " 4 ", "2.00 µs"]);
    has(&out, &["from the call to the start", " 4 ", "3.00 µs"]);
    has(&out, &["each kernel executed 9 times"]);
    has(&out, &["multiprocessors, of their peak", "0.5 %"]);
    // Three matrices of 4 KiB each are what it cannot do without.
    has(&out, &["memory traffic of a launch: 20.0 KiB, 1.67 times the 12.0 KiB"]);
    has(&out, &["not counted on this GPU: L1 hits"]);
    has(&out, &["ncu --target-processes all"]);
    let trace = trace.unwrap();
    let counted = &trace["otherData"]["counters"]["kernels"][0];
    assert_eq!(counted["kernel"], "matmul_tiled");
    assert_eq!(counted["counters"]["dram__bytes.sum"], 20_480.0);
    let kernels = trace["traceEvents"].as_array().unwrap().iter();
    assert_eq!(kernels.filter(|event| event["name"] == "matmul_tiled").count(), 24);
}

#[test]
fn without_a_right_to_count_the_profile_says_so_with_the_way_out_and_shows_the_rest() {
    let (code, out, errors, trace) = profile("NOT_PERMITTED");
    assert_eq!(code, Some(0), "{errors}");
    has(&out, &["matmul_tiled", " 20 "]);
    has(
        &out,
        &[
            "not counted: ",
            "CUPTI_ERROR_INSUFFICIENT_PRIVILEGES (35)",
            "ERR_NVGPUCTRPERM",
            "as root",
        ],
    );
    let refused = &trace.unwrap()["otherData"]["counters"]["refused"];
    assert!(refused.as_str().unwrap().contains("ERR_NVGPUCTRPERM"), "{refused}");
    let (code, out, errors, _) = profile("NO_RANGES");
    assert_eq!(code, Some(0), "{errors}");
    has(&out, &["matmul_tiled", " 20 "]);
    has(&out, &["not counted: CUPTI 13.0 has no range profiler"]);
}

#[test]
fn without_a_cupti_that_can_be_used_one_line_says_why_and_the_command_lines_stay() {
    for (mode, words) in [
        ("NOT_THERE", "SCALEMARK_CUPTI"),
        ("OLD", "API version 18"),
        ("TAKEN", "another profiler has this process"),
    ] {
        let (code, out, errors, trace) = profile(mode);
        assert_eq!((code, errors.as_str()), (Some(0), ""), "{mode}");
        has(&out, &["not profiled: ", words]);
        has(&out, &["nsys profile --trace cuda,nvtx"]);
        assert_eq!(trace, None, "{mode}");
    }
}
