//! The numpy worker: a framework from start to end, and what is said where it is missing.

use std::path::Path;
use std::process::Command;

use super::{ends_with, rows, run, scalemark};

/// A command that finds the numpy which the tests bring (scripts/test.sh), or the one that is installed.
fn with_numpy(mut command: Command) -> Command {
    if let Some(folder) = std::env::var_os("SCALEMARK_TEST_NUMPY") {
        command.env("PYTHONPATH", folder);
    }
    command
}

#[test]
fn numpy_is_right_in_every_op_that_it_takes() {
    let right = |options: &[&str]| {
        let all = [&["verify", "--baselines", "numpy", "--kernel", "*/numpy"], options].concat();
        let said = ends_with(0, with_numpy(scalemark(&all)).output().unwrap());
        let count: usize = said.split(" right").next().unwrap().trim().parse().unwrap();
        assert!(said.contains("0 wrong, 0 failed"), "{said}");
        count
    };
    // Every awkward size of suite `verify`, with layouts, batches, shared heads, chunks and decodes.
    assert!(right(&["--dtype", "f32"]) >= 60);
    assert_eq!(right(&["--params", "1000,4099", "--dtype", "f32"]), 16, "eight rules twice");
}

#[test]
fn numpy_stands_beside_our_kernels_in_one_run() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let kernels = ["--kernel", "matmul/simd,matmul/numpy", "--baselines", "numpy"];
    let command = run(&out, &[&["-m", "64", "--processes", "2"], &kernels[..]].concat());
    ends_with(0, with_numpy(command).output().unwrap());
    let rows = rows(&out);
    assert_eq!(rows.len(), 2, "{rows:?}");
    for row in &rows {
        assert_eq!(
            (row["status"].as_str(), row["processes"].as_str()),
            ("measured", "2"),
            "{row:?}"
        );
    }
    let machine = std::fs::read_to_string(out.join("machine.json")).unwrap();
    assert!(
        machine.contains(r#""numpy": "blas "#) || machine.contains(r#""numpy": "numpy "#),
        "{machine}"
    );
}

#[test]
fn without_python_or_numpy_rows_are_refused_with_the_hint() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |name: &str, python: &Path, hint: &str| {
        let out = folder.path().join(name);
        let options = ["-m", "8", "--kernel", "matmul/naive,matmul/numpy", "--baselines", "numpy"];
        let mut command = run(&out, &options);
        ends_with(0, command.env("SCALEMARK_PYTHON", python).output().unwrap());
        let rows = rows(&out);
        assert_eq!(
            (rows[0]["status"].as_str(), rows[1]["status"].as_str()),
            ("measured", "refused")
        );
        assert!(rows[1]["detail"].contains(hint), "{rows:?}");
    };
    refused("no-python", Path::new("/nowhere/python"), "cannot be started");
    // A Python that is isolated from every installed module.
    let bare = folder.path().join("bare");
    std::fs::write(&bare, "#!/bin/sh\nexec python3 -I -S \"$@\"\n").unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&bare, std::fs::Permissions::from_mode(0o755)).unwrap();
    refused("no-numpy", &bare, "-m pip install numpy");
    let unknown = scalemark(&["run", "--baselines", "nump"]).output().unwrap();
    assert!(ends_with(2, unknown).contains("unknown baseline `nump`; known are torch, numpy, "));
}
