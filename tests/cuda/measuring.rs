//! What a run on a GPU measures, and what it writes.

use scalemark::record::Sample;
use scalemark::store::{Run, SCHEMA_VERSION};
use scalemark::throttle::Throttle;

use super::{run, run_into, scalemark};

#[test]
fn a_run_measures_and_tells_of_each_sample_how_the_gpu_fared() {
    let small = run("", &[]);
    assert_eq!(small.said.code, Some(0), "{}", small.said.errors);
    let found = small.read();
    assert_eq!(found.machine["schema_version"], SCHEMA_VERSION);
    assert!(found.records.iter().all(|r| r.device == "fake:sm_80:0" && r.timing().is_some()));
    let check = found.records[0].check.unwrap();
    assert!(check.full && check.deviation <= check.tolerance);
    let samples = found.samples().unwrap();
    assert!(samples.iter().all(|s| s.throttle == Some(Throttle(0)) && s.power_mw == Some(70_000)));
    assert!(samples.iter().all(|s| s.sm_mhz.is_some_and(|mhz| (mhz - 1410.0).abs() < 1.0)));
    let registers = |c: &&scalemark::record::Counter| c.name == "matmul_tiled.registers";
    assert!(found.counters.iter().find(registers).is_some_and(|c| c.value > 8.0));
    let calibration = &found.machine["gpus"][0]["calibration"];
    assert_eq!(calibration["unfit"].as_array().map(Vec::len), Some(0), "{calibration}");
    let report = std::fs::read_to_string(small.folder.join("report.md")).unwrap();
    assert!(report.contains("an empty kernel takes 2.00 µs cold"), "{report}");
}

#[test]
fn cold_and_warm_are_measured_each_in_its_way() {
    let small = run(
        "",
        &[
            "--cache",
            "cold,warm",
            "--kernel",
            "optimizer/scalar",
            "--op",
            "sgd",
            "--params",
            "30000",
        ],
    );
    assert_eq!(small.said.code, Some(0), "{}", small.said.errors);
    let found = small.read();
    let samples = found.samples().unwrap();
    let time = |cache: &str| {
        let record = found.records.iter().find(|r| r.case.cache.name() == cache).unwrap();
        let of = samples.iter().filter(|s| s.record_id == record.record_id);
        (record.timing().unwrap().median.0, of.map(|s| s.iterations).max().unwrap())
    };
    let ((cold, one), (warm, many)) = (time("cold"), time("warm"));
    assert!(cold > 1.2 * warm, "{cold} against {warm}");
    assert!(one == 1 && many > 1, "{one}, {many}");
}

#[test]
fn a_sustained_run_tells_the_energy_of_a_launch_or_why_it_cannot() {
    for (conditions, has) in [("", true), ("no-energy", false)] {
        let more = [
            "--regime",
            "sustained",
            "--processes",
            "1",
            "--kernel",
            "optimizer/scalar",
            "--op",
            "sgd",
            "--params",
            "1000000",
        ];
        let small = run(conditions, &more);
        assert_eq!(small.said.code, Some(0), "{}", small.said.errors);
        let energy = small.read().counters.iter().any(|c| c.name == "energy_mj_per_launch");
        assert_eq!(energy, has);
        let note = small.of("optimizer/scalar").outcome.detail().to_owned();
        assert_eq!(note.contains("no energy: this GPU does not count"), !has, "{note}");
    }
}

#[test]
fn several_gpus_are_measured_one_after_the_other_under_their_own_names() {
    let small = run("gpus=2", &["--device", "fake:sm_80:all", "--processes", "1"]);
    assert_eq!(small.said.code, Some(0), "{}", small.said.errors);
    let devices: Vec<String> = small.read().records.iter().map(|r| r.device.to_string()).collect();
    assert_eq!(devices, ["fake:sm_80:0", "fake:sm_80:0", "fake:sm_80:1", "fake:sm_80:1"]);
}

#[test]
fn samples_under_throttling_are_marked_and_left_out_when_asked() {
    let marked = run("throttle=power@4", &[]);
    let note = marked.of("matmul/tiled").outcome.detail().to_owned();
    assert!(note.contains("samples while the GPU was slowed down (power)"), "{note}");
    let samples = marked.read().samples().unwrap();
    let is_slowed = |s: &&Sample| s.throttle.is_some_and(Throttle::is_slowed);
    let (slowed, free): (Vec<&Sample>, Vec<&Sample>) = samples.iter().partition(is_slowed);
    assert!(!slowed.is_empty() && !free.is_empty());
    assert!(slowed.iter().all(|s| s.sm_mhz.is_some_and(|mhz| mhz < 800.0)), "by its own clock");
    let excluded = run("throttle=power@4", &["--exclude-throttled"]);
    let record = excluded.of("matmul/tiled");
    assert!(record.outcome.detail().ends_with("(power), which were left out"), "{record:?}");
    let slowest = record.timing().unwrap().p99.0;
    let fastest = record.timing().unwrap().min.0;
    assert!(slowest < 1.5 * fastest, "{fastest} to {slowest}");
}

#[test]
fn a_calibration_that_is_off_flags_the_run_as_unfit() {
    let small = run("skew=spin", &["--processes", "1"]);
    assert_eq!(small.said.code, Some(3), "{}", small.said.errors);
    assert!(small.said.errors.contains("unfit: fake:sm_80:0: a kernel of 200 µs is seen to take"));
    let found = small.read();
    assert!(found.records.iter().all(|r| r.timing().is_some()), "it measures all the same");
    let unfit = &found.machine["gpus"][0]["calibration"]["unfit"];
    assert!(unfit[0].as_str().is_some_and(|text| text.contains("disagree")), "{unfit}");
    let report = std::fs::read_to_string(small.folder.join("report.md")).unwrap();
    assert!(report.contains("its times cannot be trusted"), "{report}");
}

#[test]
fn a_gpu_that_tells_nothing_of_itself_is_measured_and_that_is_said() {
    let small = run("no-nvml", &["--processes", "1"]);
    assert_eq!(small.said.code, Some(0), "{}", small.said.errors);
    assert!(small.said.errors.contains("samples say nothing of power"), "{}", small.said.errors);
    let samples = small.read().samples().unwrap();
    // The clock is probed by a kernel, whoever tells.
    assert!(samples.iter().all(|s| s.throttle.is_none() && s.sm_mhz.is_some()));
}

#[test]
fn a_run_is_gone_on_with_on_the_same_gpu_and_on_no_other() {
    let small = run("illegal=matmul_tiled", &[]);
    let folder = small.folder.to_str().unwrap();
    // As an interrupted run would be: without the seal, and without the last record.
    std::fs::remove_file(small.folder.join("seal.json")).unwrap();
    let path = small.folder.join("records.csv");
    let text = std::fs::read_to_string(&path).unwrap();
    let kept: String = text.lines().take(2).map(|line| format!("{line}\n")).collect();
    std::fs::write(&path, kept).unwrap();
    let other = scalemark("memory=2GiB", &["run", "--resume", folder]);
    assert_eq!(other.code, Some(2));
    assert!(other.errors.contains("start a new run"), "{}", other.errors);
    let again = scalemark("", &["run", "--resume", folder]);
    assert_eq!(again.code, Some(0), "{}", again.errors);
    let found = Run::read(&small.folder).unwrap();
    let kernels: Vec<&str> = found.records.iter().map(|r| r.kernel.as_str()).collect();
    assert_eq!(kernels, ["matmul/coalesced", "matmul/tiled"]);
    assert!(found.finished && found.records.iter().all(|r| r.timing().is_some()));
}

#[test]
fn roofs_are_measured_on_the_gpu_and_shares_follow_from_them() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("run");
    let args =
        ["run", "--device", "fake:sm_80", "--budget", "50ms", "--processes", "1", "--op", "sgd"];
    let sizes = ["--params", "1000000", "--kernel", "optimizer/scalar", "--cache", "cold", "--out"];
    let said = scalemark("", &[&args[..], &sizes[..], &[folder.to_str().unwrap()]].concat());
    assert_eq!(said.code, Some(0), "{}", said.errors);
    let found = Run::read(&folder).unwrap();
    assert!(found.records.iter().any(|r| r.kernel == "peak/streams"), "{}", said.out);
    let update = found.records.iter().find(|r| r.kernel == "optimizer/scalar").unwrap();
    let share = update.share_of_peak().unwrap();
    assert!((0.3..1.05).contains(&share), "{share}");
}

#[test]
fn products_on_tensor_cores_have_their_roof_where_a_probe_reaches_it() {
    let roof = |device: &str| {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("run");
        let args = ["run", "--device", device, "--budget", "50ms", "--processes", "1", "-m", "64"];
        let more = ["--dtype", "bf16", "--kernel", "matmul/mma", "--out", folder.to_str().unwrap()];
        let said = scalemark("", &[&args[..], &more[..]].concat());
        assert_eq!(said.code, Some(0), "{}", said.errors);
        let found = Run::read(&folder).unwrap();
        let product = found.records.iter().find(|r| r.kernel == "matmul/mma").unwrap();
        assert!(product.timing().is_some(), "{}", said.out);
        let probed =
            |probe| found.records.iter().any(|r| r.kernel == probe && r.timing().is_some());
        (probed("peak/mma"), probed("peak/wgmma"), product.peak_flops.is_some())
    };
    assert_eq!(roof("fake:sm_80"), (true, false, true));
    assert_eq!(roof("fake:sm_90a"), (true, true, true));
    // Its tensor cores give more to tcgen05, which no probe has.
    assert_eq!(roof("fake:sm_100a"), (false, false, false));
}

#[test]
fn answers_are_verified_on_the_gpu() {
    let args = [
        "verify",
        "--device",
        "fake:sm_80",
        "--kernel",
        "optimizer/*,matmul/mma",
        "--params",
        "33,4099",
    ];
    let said = scalemark("", &[&args[..], &["--op", "adamw,lion"]].concat());
    assert_eq!(said.code, Some(0), "{}", said.errors);
    assert!(said.out.contains(" 0 wrong, 0 failed,"), "{}", said.out);
    let product = ["verify", "--device", "fake:sm_80", "-m", "97", "--dtype", "bf16"];
    let said = scalemark("", &product);
    assert!(
        said.code == Some(0) && said.out.starts_with("5 right, 0 wrong, 0 failed"),
        "{}{}",
        said.out,
        said.errors
    );
}

#[test]
fn cublaslt_stands_beside_our_kernels_and_says_how_it_was_driven() {
    let products = ["-m", "64", "-n", "48", "-k", "32", "--kernel", "matmul/cublaslt,matmul/tiled"];
    let small = run("", &products);
    assert_eq!(small.said.code, Some(0), "{}", small.said.errors);
    let record = small.of("matmul/cublaslt");
    assert_eq!(record.provider, "cublaslt");
    let detail = record.outcome.detail();
    assert!(record.timing().is_some() && detail.contains("algorithm 66 (tile 20"), "{detail}");
    let found = small.read();
    let of = |c: &&scalemark::record::Counter| c.record_id == record.record_id;
    let id = |c: &&scalemark::record::Counter| c.name == "cublaslt.algorithm_id";
    assert_eq!(found.counters.iter().filter(of).find(id).map(|c| c.value), Some(66.0));
    let library = &found.machine["software"]["libraries"]["cublaslt"];
    assert!(library.as_str().is_some_and(|facts| facts.contains("version 0.0.0")), "{library}");
    let missing = run("no-cublaslt", &products);
    assert_eq!(missing.said.code, Some(0), "{}", missing.said.errors);
    let record = missing.of("matmul/cublaslt");
    assert_eq!(record.outcome.status(), "refused");
    assert!(record.outcome.detail().contains("pip install nvidia-cublas"));
    assert!(missing.of("matmul/tiled").timing().is_some());
}

#[test]
fn a_dry_run_and_a_list_say_what_there_is_without_touching_the_gpu() {
    // A GPU that would break at the first launch.
    let broken = "illegal=measure_clock,illegal=measure_empty,held=1GiB";
    let said = scalemark(broken, &["run", "--device", "fake:sm_80", "-m", "64", "--dry-run"]);
    assert_eq!(said.code, Some(0), "{}", said.errors);
    assert!(said.out.contains("matmul/tiled") && !said.out.contains("wgmma"), "{}", said.out);
    let said = scalemark(broken, &["list", "--device", "fake:sm_80", "-m", "64"]);
    assert!(said.out.contains("needs sm_90a, not sm_80") || said.out.contains("(wgmma"));
    assert_eq!(said.code, Some(0), "{}", said.errors);
}

#[test]
fn slices_and_processes_that_hold_memory_are_listed() {
    let out = std::process::Command::new(env!("CARGO_BIN_EXE_scalemark"))
        .args(["machine", "--json"])
        .env("SCALEMARK_FAKE", "gpus=2,mig,held=64MiB")
        .env("SCALEMARK_FAKE_DEVICE", "fake:sm_80")
        .output()
        .unwrap();
    let page: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let gpu = &page["gpus"][1];
    assert_eq!(gpu["device"], "fake:sm_80:1");
    assert!(gpu["attributes"]["name"].as_str().unwrap().contains("MIG 1g.1gb"), "{gpu}");
    assert_eq!(gpu["holders"][0]["memory"], 64 << 20);
}

#[test]
fn sustained_is_of_gpus() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("run");
    let said = run_into(&folder, "", &["--device", "cpu", "--regime", "sustained", "-m", "8"]);
    assert_eq!(said.code, Some(2));
    assert!(said.errors.contains("add --device cuda"), "{}", said.errors);
}
