//! GPUs end to end through the binary, on the fake driver: what it computes is simulated, what it times is made up, and it breaks
//! on demand. They need NVRTC, as all tests of CUDA kernels do.

mod external;
mod faults;
mod gate;
mod measuring;
mod profile;
mod script;

use std::path::{Path, PathBuf};
use std::process::Command;

use scalemark::record::Record;
use scalemark::store::Run;

/// What a command came to.
struct Said {
    code: Option<i32>,
    out: String,
    errors: String,
}

/// Runs the binary under these conditions of the fake driver.
fn scalemark(conditions: &str, args: &[&str]) -> Said {
    let out = Command::new(env!("CARGO_BIN_EXE_scalemark"))
        .args(args)
        .env("SCALEMARK_FAKE", conditions)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: out.status.code(), out: text(&out.stdout), errors: text(&out.stderr) }
}

/// A small run in a folder of its own.
struct Small {
    _dir: tempfile::TempDir,
    folder: PathBuf,
    said: Said,
}

/// Runs two matmul kernels on a small product, with more options.
fn run(conditions: &str, more: &[&str]) -> Small {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("run");
    let said = run_into(&folder, conditions, more);
    Small { _dir: dir, folder, said }
}

fn run_into(folder: &Path, conditions: &str, more: &[&str]) -> Said {
    let mut args = vec!["run", "--no-peaks", "--budget", "100ms", "--out"];
    args.push(folder.to_str().unwrap());
    if !more.contains(&"--device") {
        args.extend(["--device", "fake:sm_80"]);
    }
    if !more.iter().any(|word| ["-m", "--params", "--seq"].contains(word)) {
        args.extend(["-m", "24", "--kernel", "matmul/tiled,matmul/coalesced"]);
    }
    args.extend(more);
    scalemark(conditions, &args)
}

impl Small {
    fn read(&self) -> Run {
        Run::read(&self.folder).unwrap_or_else(|e| panic!("{e}\n{}", self.said.errors))
    }

    /// The record of a kernel.
    fn of(&self, kernel: &str) -> Record {
        let run = self.read();
        run.records.into_iter().find(|r| r.kernel == kernel).unwrap_or_else(|| {
            panic!("no record of {kernel}\n{}{}", self.said.out, self.said.errors)
        })
    }
}
