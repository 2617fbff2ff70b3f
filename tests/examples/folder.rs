//! The folder that examples run in: everything that they name exists there.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use assert_cmd::cargo::cargo_bin;
use tempfile::TempDir;

/// The committed runs that stand for those of the examples, all of one class of machine. B is A again, so that neither is slower.
const RUNS: [(&str, &str); 6] = [
    ("RUN", "20261124T103535Z-epyc-zen4-14697e32a8"),
    ("PINNED", "20261124T162525Z-epyc-zen4-bac40e5a2b"),
    ("A", "20261124T162525Z-epyc-zen4-bac40e5a2b"),
    ("B", "20261124T162525Z-epyc-zen4-bac40e5a2b"),
    ("C", "20261129T050918Z-epyc-zen4-f92f0da0ea"),
    ("20261123T120000Z-epyc-zen4-1f0c9ab", "20261124T103535Z-epyc-zen4-14697e32a8"),
];

/// A vector addition in CUDA, with the arguments of the example.
const SAXPY: &str =
    "extern \"C\" __global__ void saxpy(float a, const float* x, float* y, unsigned n) {
  unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = a * x[i] + y[i];
}
";

/// The README's example with the barrier that it lacks there.
const REVERSE: &str = "extern \"C\" __global__ void reverse(const float* in, float* out) {
  __shared__ float tile[256];
  tile[threadIdx.x] = in[threadIdx.x];
  __syncthreads();
  out[threadIdx.x] = tile[255 - threadIdx.x];
}
";

/// Each of 1024 threads in 2 × 2 blocks of 32 × 8 writes eight bytes.
const PTX: &str = ".version 8.0
.target sm_80
.address_size 64
.visible .entry f(.param .u64 out)
{
  .reg .b32 %r<8>;
  .reg .b64 %d<4>;
  ld.param.u64 %d0, [out];
  mov.u32 %r0, %ctaid.x;
  mov.u32 %r1, %ctaid.y;
  mov.u32 %r2, %tid.x;
  mov.u32 %r3, %tid.y;
  mad.lo.u32 %r4, %r1, 2, %r0;
  mad.lo.u32 %r5, %r3, 32, %r2;
  mad.lo.u32 %r6, %r4, 256, %r5;
  mul.wide.u32 %d1, %r6, 8;
  add.u64 %d2, %d0, %d1;
  mov.u64 %d3, 0;
  st.global.u64 [%d2], %d3;
  ret;
}
";

/// A program that lists a benchmark and leaves samples as one of criterion does.
const BENCHMARK: &str = r#"#!/bin/sh
case "$*" in *--list*) echo 'sort: benchmark'; exit 0 ;; esac
new="$CRITERION_HOME/sort/new"; mkdir -p "$new"
echo '{"group_id":"sort","full_id":"sort","title":"sort"}' > "$new/benchmark.json"
noise=$(( $$ % 3 ))
echo "{\"sampling_mode\":\"Linear\",\"iters\":[10,20],\"times\":[$((1000 + noise)),$((2000 + noise))]}" > "$new/sample.json"
"#;

/// The folder that is copied for each example, and the binary beside it.
pub struct Base {
    folder: TempDir,
    /// A folder with `scalemark` in it, to be found by the shell.
    programs: TempDir,
}

impl Base {
    /// Makes it.
    pub fn new() -> Base {
        let base =
            Base { folder: tempfile::tempdir().unwrap(), programs: tempfile::tempdir().unwrap() };
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        symlink(cargo_bin("scalemark"), base.programs.path().join("scalemark")).unwrap();
        for (name, run) in RUNS {
            copy(&root.join("results/runs").join(run), &base.at(&format!("results/runs/{name}")));
            if name.len() < 4 {
                symlink(format!("results/runs/{name}"), base.at(name)).unwrap();
            }
        }
        for (from, to) in [
            ("tests/fixtures/configs/qwen3-0.6b.json", "path/to/config.json"),
            ("results/cases/layer.csv", "mine.csv"),
            ("workers/minimal_worker.py", "mine.py"),
        ] {
            base.write(to, &fs::read_to_string(root.join(from)).unwrap());
        }
        for (file, text) in [("saxpy.cu", SAXPY), ("reverse.cu", REVERSE), ("kernel.ptx", PTX)] {
            base.write(file, text);
        }
        for side in ["old", "new", "other"] {
            base.program(&format!("{side}/app"), "#!/bin/sh\nwc -l < \"$1\"\n");
            symlink(cargo_bin("scalemark"), base.at(&format!("{side}/scalemark"))).unwrap();
        }
        for benchmark in ["old/mine-1f0c", "new/mine-9ab2"] {
            base.program(benchmark, BENCHMARK);
        }
        base.write("in.txt", "a line\n");
        base.write("levels.csv", &levels());
        base.write("results.json", &hyperfine(0));
        for name in ["parse", "calibrate/loop"] {
            base.write(&format!("target/criterion/{name}/new/estimates.json"), &estimates());
            let full = format!("{{\"full_id\": \"{name}\"}}");
            base.write(&format!("target/criterion/{name}/new/benchmark.json"), &full);
        }
        for folder in [".local/share/bash-completion/completions", ".local/share/man/man1"] {
            fs::create_dir_all(base.at(folder)).unwrap();
        }
        base.done("git init --quiet && git -c user.name=test -c user.email=test@localhost commit --quiet --allow-empty -m first");
        base.done("git branch --quiet --force main");
        base.history();
        base.done("scalemark export results/runs/A results/runs/C --parquet runs.parquet");
        base
    }

    /// A history of 24 commits: a benchmark beside a pinned build that nothing happens to, and a run beside its canaries.
    fn history(&self) {
        for commit in 0..24 {
            self.write("pinned.json", &hyperfine(commit + 1));
            self.write("now.json", &hyperfine(commit));
            let (day, hour) = (1 + commit / 24, commit % 24);
            self.done(&format!(
                "scalemark track import hyperfine now.json --reference pinned.json --reference-name pinned \
                 --commit {commit:010x} --time 2026-02-{day:02}T{hour:02}:00:00Z"
            ));
        }
        self.done(
            "scalemark track add results/runs/RUN --canary matmul/openblas --commit 00000000ff",
        );
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.at(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn program(&self, name: &str, text: &str) {
        self.write(name, text);
        fs::set_permissions(self.at(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A command line that is part of the setting.
    fn done(&self, line: &str) {
        let out = self.shell(self.folder.path(), line).output().unwrap();
        assert!(out.status.success(), "{line}: {}", String::from_utf8_lossy(&out.stderr));
    }

    /// A copy, for one example to use.
    pub fn copy(&self) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        copy(self.folder.path(), folder.path());
        folder
    }

    /// A shell that runs a line in a folder, which is its home too.
    pub fn shell(&self, folder: &Path, line: &str) -> Command {
        let mut command = Command::new("bash");
        let paths = std::env::var_os("PATH").unwrap_or_default();
        let paths =
            std::iter::once(self.programs.path().to_owned()).chain(std::env::split_paths(&paths));
        command.args(["-c", line]).current_dir(folder).env("HOME", folder);
        command.env("PATH", std::env::join_paths(paths).unwrap());
        command
    }
}

/// Copies a folder with what is in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (kind, to) = (entry.file_type().unwrap(), to.join(entry.file_name()));
        if kind.is_symlink() {
            symlink(fs::read_link(entry.path()).unwrap(), to).unwrap();
        } else if kind.is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// A number around 1, another for each `i`.
fn wobble(i: u32) -> f64 {
    1.0 + f64::from(i.wrapping_mul(2_654_435_761) >> 16) / 65_536.0 / 100.0
}

/// What `scalemark prove levels` reads.
fn levels() -> String {
    let row =
        |i: u32| format!("{i},a,{},{},{}\n", wobble(3 * i), wobble(3 * i + 1), wobble(3 * i + 2));
    format!("round,kernel,base,head,twin\n{}", (0..32).map(row).collect::<String>())
}

/// What hyperfine writes.
fn hyperfine(i: u32) -> String {
    let times: Vec<String> = (0..10).map(|j| (0.1 * wobble(10 * i + j)).to_string()).collect();
    let (median, times) = (&times[0], times.join(", "));
    format!(
        "{{\"results\": [{{\"command\": \"sort numbers\", \"mean\": {median}, \"stddev\": 0.001, \"median\": {median}, \
         \"user\": 0.1, \"system\": 0.0, \"min\": 0.1, \"max\": 0.102, \"times\": [{times}]}}]}}"
    )
}

/// What criterion writes of a benchmark.
fn estimates() -> String {
    let one = "{\"confidence_interval\": {\"confidence_level\": 0.95, \"lower_bound\": 99.0, \"upper_bound\": 101.0}, \
               \"point_estimate\": 100.0, \"standard_error\": 0.5}";
    let names = ["mean", "median", "median_abs_dev", "slope", "std_dev"];
    let fields: Vec<String> = names.iter().map(|name| format!("\"{name}\": {one}")).collect();
    format!("{{{}}}", fields.join(", "))
}
