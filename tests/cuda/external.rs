//! External programs beside CUDA kernels: told which GPU they are on, and refused where they are not.

use std::path::Path;

use super::{run, scalemark};

/// The command of a worker in Python of this repository.
fn worker(path: &str) -> String {
    format!("python3 {}", Path::new(env!("CARGO_MANIFEST_DIR")).join(path).display())
}

/// Our kernel and the one of the worker.
const PRETENDED: [&str; 4] = ["-m", "12", "--kernel", "matmul/tiled,matmul/pretended"];

#[test]
fn a_worker_that_is_on_the_gpu_is_measured_beside_our_kernels() {
    let theirs = worker("tests/cuda/worker.py");
    let options = ["--worker", &theirs, "--cache", "cold,warm"];
    let small = run("", &[&PRETENDED[..], &options[..]].concat());
    assert_eq!(small.said.code, Some(0), "{}", small.said.errors);
    let found = small.read();
    let of = |kernel: &'static str| found.records.iter().filter(move |r| r.kernel == kernel);
    assert_eq!((of("matmul/tiled").count(), of("matmul/pretended").count()), (2, 2));
    let samples = found.samples().unwrap();
    for record in of("matmul/pretended") {
        assert_eq!(
            (record.device.as_str(), record.provider.as_str()),
            ("fake:sm_80:0", "pretended")
        );
        assert!(record.timing().is_some() && record.check.unwrap().full, "{record:?}");
        let cold = record.case.cache.name() == "cold";
        let of = samples.iter().filter(|s| s.record_id == record.record_id);
        assert_eq!(of.map(|s| s.iterations).max().unwrap() == 1, cold, "one launch behind a flush");
        // The sets of buffers fill the GPU's cache twice, not that of the host.
        let sets = (512usize << 10).div_ceil(3 * 4 * 12 * 12);
        let driven =
            if cold { format!("in {sets} sets of buffers") } else { "in 1 sets of buffers".into() };
        assert_eq!(
            record.outcome.detail(),
            driven,
            "a GPU's samples do not wait for the host's CPUs"
        );
    }
    let libraries = &found.machine["software"]["libraries"];
    assert_eq!(libraries["pretended"], "gpu pretended", "{libraries}");
}

#[test]
fn a_worker_of_the_cpu_is_refused_on_a_gpu_and_the_run_goes_on() {
    let theirs = worker("workers/minimal_worker.py");
    let kernels = ["-m", "12", "--kernel", "matmul/tiled,matmul/minimal"];
    let small = run("", &[&kernels[..], &["--worker", &theirs]].concat());
    assert_eq!(small.said.code, Some(0), "{}", small.said.errors);
    let detail = small.of("matmul/minimal").outcome.detail().to_owned();
    assert!(detail.contains("minimal runs on cpu, not on cuda:0"), "{detail}");
    assert!(small.of("matmul/tiled").timing().is_some());
}

#[test]
fn a_framework_without_its_gpu_is_refused_with_the_way_out_and_one_of_the_cpu_is_an_error() {
    let kernels = ["-m", "12", "--kernel", "matmul/tiled,matmul/torch", "--baselines"];
    let small = run("", &[&kernels[..], &["torch", "--python", "/nowhere/python3"]].concat());
    assert_eq!(small.said.code, Some(0), "{}", small.said.errors);
    let record = small.of("matmul/torch");
    assert_eq!(record.outcome.status(), "refused");
    assert!(record.outcome.detail().contains("--python"), "{}", record.outcome.detail());
    let numpy = run("", &[&kernels[..], &["numpy"]].concat());
    assert_eq!(numpy.said.code, Some(2));
    assert!(numpy.said.errors.contains("numpy runs on the CPU only"), "{}", numpy.said.errors);
}

#[test]
fn a_run_with_programs_leaves_out_their_folders_and_asks_for_them_to_go_on() {
    let theirs = worker("tests/cuda/worker.py");
    let small = run("", &[&PRETENDED[..], &["--worker", &theirs]].concat());
    let order = &small.read().machine["run"]["order"]["external"];
    assert_eq!(order["worker"][0], "python3 worker.py", "{order}");
    std::fs::remove_file(small.folder.join("seal.json")).unwrap();
    let folder = small.folder.to_str().unwrap();
    let bare = scalemark("", &["run", "--resume", folder]);
    assert_eq!(bare.code, Some(2));
    let named = "the run had --worker 'python3 worker.py'";
    assert!(bare.errors.contains(named), "{}", bare.errors);
    let again = scalemark("", &["run", "--resume", folder, "--worker", &theirs]);
    assert_eq!(again.code, Some(0), "{}", again.errors);
    let sizes = scalemark("", &["run", "--resume", folder, "-m", "5"]);
    assert!(
        sizes.code == Some(2) && sizes.errors.contains("cannot be used with"),
        "{}",
        sizes.errors
    );
}

#[test]
fn answers_of_programs_are_verified_on_the_gpu() {
    let theirs = worker("tests/cuda/worker.py");
    let options = ["verify", "--device", "fake:sm_80", "-m", "9", "--kernel", "matmul/pretended"];
    let said = scalemark("", &[&options[..], &["--worker", &theirs]].concat());
    assert!(
        said.code == Some(0) && said.out.starts_with("1 right, 0 wrong"),
        "{}{}",
        said.out,
        said.errors
    );
}
