//! The simulator as a user meets it: `sim`, `verify`, `list` and `run` on kernels that no GPU runs. Needs NVRTC, as
//! `scripts/test.sh` brings it.

use std::path::Path;
use std::process::Output;

use assert_cmd::Command;

fn scalemark(args: &[&str]) -> Output {
    Command::cargo_bin("scalemark").unwrap().args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Reverses 256 numbers through shared memory; `between` stands between writing and reading them.
fn reverse(folder: &Path, between: &str) -> String {
    let path = folder.join("reverse.cu");
    let source = format!(
        "extern \"C\" __global__ void reverse(const float* in, float* out) {{\n\
         __shared__ float tile[256];\n\
         tile[threadIdx.x] = in[threadIdx.x];\n\
         {between}\n\
         out[threadIdx.x] = tile[255 - threadIdx.x];\n}}\n"
    );
    std::fs::write(&path, source).unwrap();
    path.to_str().unwrap().to_owned()
}

const LAUNCH: [&str; 8] =
    ["--entry", "reverse", "--block", "256", "--arg", "in:f32:256", "--arg", "out:f32:256"];

fn sim(file: &str, more: &[&str]) -> Output {
    scalemark(&[&["sim", file], &LAUNCH[..], more].concat())
}

#[test]
fn a_forgotten_barrier_is_found_with_its_lines_and_a_right_kernel_gives_no_finding() {
    let folder = tempfile::tempdir().unwrap();
    let bad = sim(&reverse(folder.path(), ""), &[]);
    assert_eq!(bad.status.code(), Some(1), "{}", text(&bad.stderr));
    let printed = text(&bad.stdout);
    assert!(printed.contains("Race") && printed.contains("reverse.cu:5"), "{printed}");
    let good = sim(&reverse(folder.path(), "__syncthreads();"), &["--seeds", "4"]);
    assert_eq!(good.status.code(), Some(0), "{}", text(&good.stderr));
    assert!(text(&good.stdout).contains("no finding in 4 schedule(s)"), "{}", text(&good.stdout));
}

#[test]
fn findings_counters_and_resources_are_json_for_machines() {
    let folder = tempfile::tempdir().unwrap();
    let out = sim(&reverse(folder.path(), ""), &["--json"]);
    let seen: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let race = seen["findings"].as_array().unwrap().iter().find(|f| f["kind"] == "Race").unwrap();
    assert!(matches!(race["line"].as_u64(), Some(3 | 5)), "{race}");
    assert_eq!(seen["counters"]["global_load_sectors"], 32.0);
    assert_eq!(seen["resources"]["shared_bytes"], 1024.0);
    assert!(seen["resources"]["occupancy"].as_f64().unwrap() > 0.9, "{seen}");
}

#[test]
fn a_simulated_run_has_counters_no_times_and_a_report_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let args = ["run", "--device", "sim", "-m", "33", "--kernel", "matmul/naive,matmul/tiled"];
    let out = scalemark(&[&args[..], &["--dtype", "f32", "--out", run.to_str().unwrap()]].concat());
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let read = |name: &str| std::fs::read_to_string(run.join(name)).unwrap();
    let records = read("records.csv");
    assert_eq!(records.matches(",simulated,").count(), 2, "{records}");
    assert!(read("counters.csv").contains("warp_instructions"));
    let report = read("report.md");
    assert!(report.contains("## What the kernels execute") && report.contains("2 simulated"));
    let again = scalemark(&["run", "--resume", run.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(0), "{}", text(&again.stderr));
    assert_eq!(read("records.csv"), records, "nothing was left to simulate");
}

#[test]
fn verify_explores_schedules_and_says_where_they_mean_nothing() {
    let args =
        ["verify", "--device", "sim", "-m", "33", "--kernel", "matmul/tiled", "--seeds", "3"];
    let out = scalemark(&args);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    assert!(text(&out.stdout).starts_with("1 right, 0 wrong"), "{}", text(&out.stdout));
    let out = scalemark(&["verify", "-m", "33", "--seeds", "3"]);
    assert_eq!(out.status.code(), Some(2));
    assert!(text(&out.stderr).contains("--device sim"), "{}", text(&out.stderr));
}

#[test]
fn list_says_which_cuda_kernels_an_architecture_takes() {
    let reason = |device: &str| {
        let args = ["list", "-m", "256", "--dtype", "bf16", "--kernel", "matmul/wgmma-tma"];
        let out = scalemark(&[&args[..], &["--device", device, "--json"]].concat());
        assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
        let rows: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
        rows[0]["kernels"][0]["refused"].clone()
    };
    assert!(reason("sim:sm_90a").is_null());
    assert!(reason("sim:sm_80").as_str().unwrap().contains("sm_90a"));
}

#[test]
fn every_cuda_kernel_stands_in_the_readme_with_its_status() {
    let readme =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let rows: Vec<&str> = readme.lines().filter(|l| l.starts_with("| `")).collect();
    for kernel in scalemark::kernels::Registry::cuda().kernels() {
        let id = format!("| `{}` |", kernel.id());
        let row = rows.iter().find(|row| row.starts_with(&id));
        let row = row.unwrap_or_else(|| panic!("no row of {} in README.md", kernel.id()));
        let known = match kernel.as_cuda() {
            Some(_) => row.contains("simulated"),
            None => row.contains("never run"),
        };
        assert!(known || row.contains("verified on"), "{row}");
    }
}

#[test]
fn a_profile_shows_what_each_line_of_a_row_or_of_anybodys_kernel_comes_to() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("tiled.html").to_string_lossy().into_owned();
    let out = scalemark(&["profile", "matmul/tiled", "-m", "64", "--html", &page]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let printed = text(&out.stdout);
    // C is written once: 64 · 64 · 4 bytes in sectors of 32.
    let store = printed.lines().rfind(|line| line.contains("= narrow<OUT>(sum);")).unwrap();
    assert!(store.split_whitespace().any(|cell| cell == "512"), "{store}");
    let html = std::fs::read_to_string(page).unwrap();
    assert!(html.contains("= narrow&lt;OUT&gt;(sum);"), "{html}");

    let own = reverse(folder.path(), "__syncthreads();");
    let printed = text(&sim(&own, &["--lines"]).stdout);
    let load = printed.lines().rfind(|line| line.contains("tile[threadIdx.x] = in")).unwrap();
    assert!(load.split_whitespace().any(|cell| cell == "32"), "a load of 1024 bytes: {load}");
}

#[test]
fn a_profile_on_a_gpu_that_is_not_there_says_how_its_own_profilers_are_asked() {
    let out = Command::cargo_bin("scalemark")
        .unwrap()
        .args(["profile", "matmul/tiled", "-m", "64", "--device", "cuda:1"])
        .env("SCALEMARK_CUDA", "/nowhere/libcuda.so")
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(3), "{}", text(&out.stderr));
    let said = text(&out.stdout);
    for line in
        ["ncu --target-processes all", "nsys profile --trace cuda,nvtx", "compute-sanitizer"]
    {
        assert!(said.contains(line), "{said}");
    }
    assert!(said.contains("--kernel-name 'regex:^(matmul_tiled)$'"), "{said}");
    assert!(said.contains("--device cuda:1 --kernel matmul/tiled"), "{said}");
}

#[test]
fn a_profile_of_no_single_kernel_and_case_exits_2_with_the_way_out() {
    for (args, said) in [
        (&["matmul/none", "-m", "64"][..], "unknown kernel"),
        (&["matmul/simd", "-m", "64", "--device", "sim"], "unknown kernel"),
        (&["matmul/simd", "-m", "64,128"], "choose one"),
        (&["matmul/simd", "-m", "64", "--html", "a.html"], "use --svg"),
        (&["matmul/tiled", "-m", "64", "--svg", "a.svg"], "use --html"),
        (&["matmul/*", "-m", "64"], "name one"),
        (&["matmul/tiled", "-m", "64,128"], "choose one"),
        (&["matmul/mma", "-m", "64", "--dtype", "f32"], "takes none of these cases"),
        (&["matmul/tiled", "-m", "64", "--device", "cpu"], "unknown kernel"),
        (&["matmul/tiled", "-m", "64,128", "--device", "cuda"], "choose one"),
        (&["matmul/tiled", "-m", "8192"], "to simulate"),
    ] {
        let out = scalemark(&[&["profile"], args].concat());
        assert_eq!(out.status.code(), Some(2), "{args:?}: {}", text(&out.stdout));
        assert!(text(&out.stderr).contains(said), "{args:?}: {}", text(&out.stderr));
    }
}
