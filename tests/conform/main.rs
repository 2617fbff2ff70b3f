//! `scalemark conform` against drivers that are not there, or not what they should be.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Compiles `driver.c` so that it behaves in this way.
fn driver(mode: &str, folder: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conform/driver.c");
    let made = folder.join(format!("lib{}.so", mode.to_lowercase()));
    let out = Command::new("cc")
        // It gives itself the name of NVIDIA's, by which the look-up finds it once it is loaded.
        .args(["-shared", "-fPIC", "-O1", "-w", "-Wl,-soname,libcuda.so"])
        .args([&format!("-DMODE={mode}"), "-o"])
        .args([&made, &source])
        .output()
        .unwrap_or_else(|e| panic!("this test needs the C compiler that Rust links with: cc: {e}"));
    assert!(out.status.success(), "cc failed: {}", String::from_utf8_lossy(&out.stderr));
    made
}

/// Compares additions of 16 bits; exit code, output, errors.
fn conform(driver: &Path) -> (Option<i32>, String, String) {
    let out: Output = Command::new(env!("CARGO_BIN_EXE_scalemark"))
        .args(["conform", "--only", "add.u16 d, a, b;"])
        .env("SCALEMARK_CUDA", driver)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (out.status.code(), text(&out.stdout), text(&out.stderr))
}

fn with(mode: &str) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().unwrap();
    conform(&driver(mode, folder.path()))
}

#[test]
fn without_a_gpu_one_line_says_so_and_the_exit_code_is_3() {
    for (code, out, errors) in [conform(Path::new("/nowhere/libcuda.so")), with("NO_GPU")] {
        assert_eq!((code, out.as_str()), (Some(3), ""));
        assert_eq!(errors.lines().count(), 1, "{errors}");
        assert!(errors.contains("driver"), "{errors}");
    }
}

#[test]
fn a_driver_that_is_too_old_is_told_with_its_version_and_the_way_out() {
    let (code, _, errors) = with("OLD");
    assert_eq!(code, Some(3), "{errors}");
    assert!(errors.contains("CUDA 11.8") && errors.contains("update NVIDIA's driver"), "{errors}");
}

#[test]
fn a_gpu_that_computes_the_same_agrees() {
    let (code, out, errors) = with("RIGHT");
    assert_eq!(code, Some(0), "{errors}");
    assert!(out.contains("integer         1 blocks     14 results, 0 differ"), "{out}");
    assert!(out.ends_with("the simulator and Pretended GPU (sm_90) agree\n"), "{out}");
}

#[test]
fn a_gpu_that_errs_in_one_bit_is_found_out() {
    let (code, out, _) = with("ONE_BIT");
    assert_eq!(code, Some(1), "{out}");
    assert!(
        out.starts_with("`add.u16 d, a, b;` thread 3 of 0x8000, 0x0, 0x0: 0x8001, not 0x8000\n"),
        "{out}"
    );
    assert!(out.ends_with("differ in 1 results\n"), "{out}");
}

#[test]
fn what_the_driver_says_is_told_with_the_block() {
    for (mode, words) in [
        ("REFUSES", "JIT compilation failed (218): ptxas application ptx input, line 11"),
        ("DIES", "illegal memory access"),
    ] {
        let (code, _, errors) = with(mode);
        assert_eq!(code, Some(2), "{errors}");
        assert!(errors.contains("`add.u16 d, a, b;` does not run"), "{errors}");
        assert!(errors.contains(words), "{errors}");
    }
}
