//! What breaks, and that it costs one record.

use scalemark::record::Outcome;
use scalemark::store::Run;

use super::{run, scalemark};

/// The reason of the kernel that broke; the other must have been measured.
fn broken(conditions: &str, more: &[&str]) -> String {
    let small = run(conditions, more);
    assert_eq!(small.said.code, Some(1), "{}", small.said.errors);
    assert!(small.of("matmul/coalesced").timing().is_some(), "{}", small.said.out);
    match small.of("matmul/tiled").outcome {
        Outcome::Failed(reason) => reason.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_illegal_address_costs_one_record_whenever_it_happens() {
    for conditions in ["illegal=matmul_tiled", "illegal=matmul_tiled@9"] {
        let reason = broken(conditions, &[]);
        assert!(reason.contains("an illegal memory access was encountered (700)"), "{reason}");
        assert!(reason.contains("matmul_tiled"), "{reason}");
    }
}

#[test]
fn a_kernel_that_never_ends_is_ended_by_the_watchdog() {
    let reason = broken("hang=matmul_tiled@6", &["--patience", "3s", "--processes", "1"]);
    assert!(reason.contains("hung: no reply within 3 s, killed"), "{reason}");
}

#[test]
fn an_allocation_that_fails_is_told_in_the_drivers_words() {
    // Four buffers of the first kernel, two to measure with, and of the second kernel's four the second.
    let reason = broken("oom=8", &["--processes", "1"]);
    assert!(
        reason.contains("failed to allocate") && reason.contains("out of memory (2)"),
        "{reason}"
    );
}

#[test]
fn what_cannot_fit_is_refused_with_numbers_before_anything_is_allocated() {
    let small = run("memory=64MiB", &["-m", "3072", "--kernel", "matmul/tiled"]);
    assert_eq!(small.said.code, Some(0), "a refusal is fine: {}", small.said.errors);
    let outcome = small.of("matmul/tiled").outcome;
    let Outcome::Refused(reason) = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains("needs 108 MiB of the GPU's memory, of which"), "{reason}");
}

#[test]
fn what_is_missing_is_one_line_with_the_way_out_and_exit_code_3() {
    for (conditions, words) in [
        ("no-driver", "there is no CUDA driver"),
        ("driver=11.4", "is for CUDA 11.4, and 12.0 is the oldest"),
        ("held=1GiB", "are free (process 1 holds 1.00 GiB)"),
        ("gpus=0", "there is no GPU 0: the driver has 0"),
    ] {
        for command in ["run", "verify"] {
            if command == "verify" && conditions.starts_with("held") {
                continue;
            }
            let said = scalemark(conditions, &[command, "--device", "fake:sm_80", "-m", "8"]);
            assert_eq!((said.code, said.out.as_str()), (Some(3), ""), "{}", said.errors);
            let lines: Vec<&str> = said.errors.lines().collect();
            assert!(lines.len() == 1 && lines[0].contains(words), "{conditions}: {lines:?}");
        }
    }
}

#[test]
fn without_nvrtc_the_way_to_get_it_is_told_and_the_cpu_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let command = |device: &str, out: &str| {
        std::process::Command::new(env!("CARGO_BIN_EXE_scalemark"))
            .args(["run", "--device", device, "-m", "8", "--kernel", "*/naive", "--no-peaks"])
            .args(["--budget", "20ms", "--processes", "1", "--out"])
            .arg(dir.path().join(out))
            .env("SCALEMARK_NVRTC", "/nowhere")
            .output()
            .unwrap()
    };
    let gpu = command("fake:sm_80", "gpu");
    assert_eq!(gpu.status.code(), Some(3));
    let errors = String::from_utf8_lossy(&gpu.stderr).into_owned();
    assert!(errors.contains("pip install nvidia-cuda-nvrtc"), "{errors}");
    let cpu = command("cpu", "cpu");
    assert_eq!(cpu.status.code(), Some(0), "{}", String::from_utf8_lossy(&cpu.stderr));
    assert!(Run::read(&dir.path().join("cpu")).unwrap().records[0].timing().is_some());
}

#[test]
fn a_condition_that_means_nothing_is_named() {
    let said = scalemark("gpu=2", &["run", "--device", "fake:sm_80", "-m", "8"]);
    assert_eq!(said.code, Some(2), "{}", said.errors);
    assert!(said.errors.contains("SCALEMARK_FAKE: `gpu=2` means nothing"), "{}", said.errors);
}

#[test]
fn a_kernel_that_breaks_in_verification_costs_that_kernel() {
    let args = [
        "verify",
        "--device",
        "fake:sm_80",
        "-m",
        "24",
        "--kernel",
        "matmul/tiled,matmul/coalesced",
    ];
    let said = scalemark("illegal=matmul_tiled", &args);
    assert_eq!(said.code, Some(1), "{}", said.errors);
    assert!(said.out.starts_with("1 right, 0 wrong, 1 failed"), "{}", said.out);
    assert!(said.errors.contains("failed: matmul/tiled"), "{}", said.errors);
}
