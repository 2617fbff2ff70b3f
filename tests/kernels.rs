//! Every CUDA kernel, compiled for every architecture that it may run on and judged by what came out; no GPU needed.
//!
//! These tests need NVRTC and nvdisasm, and fail without them: `scripts/test.sh` brings both.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use scalemark::kernels::cuda::Architecture;
use scalemark::kernels::{CudaKernel, Registry};
use scalemark::nvrtc::{Built, Compiler};

/// One compilation: a row's variant for an architecture.
struct Job {
    row: &'static CudaKernel,
    architecture: Architecture,
    defines: Vec<String>,
}

fn jobs(compiler: &Compiler) -> Vec<Job> {
    let mut jobs = Vec::new();
    for row in Registry::cuda().kernels().filter_map(|k| k.as_cuda()) {
        for architecture in Architecture::CHECKED {
            if row.needs.refuses(architecture).is_some() {
                continue;
            }
            assert_eq!(compiler.refuses(&architecture.to_string()), None);
            let plan = |case| (row.plan)(&case, architecture).defines;
            let variants: BTreeSet<Vec<String>> = (row.variants)().into_iter().map(plan).collect();
            let job = |defines| Job { row, architecture, defines };
            jobs.extend(variants.into_iter().map(job));
        }
    }
    jobs
}

/// What is wrong with a compilation, apart from its instructions.
fn faults(row: &CudaKernel, built: &Built) -> Vec<String> {
    let mut faults: Vec<String> = built.forbidden().map(str::to_owned).into_iter().collect();
    if built.resources.is_empty() {
        faults.push("the log tells of no entry".into());
    }
    for one in &built.resources {
        if one.spill_stores + one.spill_loads > 0 {
            faults.push(format!("{} spills {} bytes", one.entry, one.spill_stores));
        }
        if one.registers > row.registers {
            faults.push(format!(
                "{} takes {} registers of {}",
                one.entry, one.registers, row.registers
            ));
        }
        if one.shared > row.shared {
            faults
                .push(format!("{} takes {} bytes shared of {}", one.entry, one.shared, row.shared));
        }
    }
    faults
}

fn machine_code(cubin: &[u8]) -> String {
    let tool = std::env::var("SCALEMARK_NVDISASM").unwrap_or_else(|_| "nvdisasm".into());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kernel.cubin");
    std::fs::write(&path, cubin).unwrap();
    let out = Command::new(&tool).arg(&path).output().unwrap_or_else(|e| {
        panic!(
            "failed to run {tool} ({e}): pip install nvidia-cuda-nvdisasm, and set SCALEMARK_NVDISASM"
        )
    });
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// Compiles everything on all cores; the faults of all, each with its row, architecture and options.
fn judge(jobs: &[Job], judge: impl Fn(&Job, &Built) -> Vec<String> + Sync) -> Vec<String> {
    let compiler = Compiler::find(None).unwrap();
    let next = AtomicUsize::new(0);
    let faults = Mutex::new(Vec::new());
    let work = || {
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let name = job.architecture.to_string();
            let found = match compiler.compile(&job.row.source(), &name, &job.defines) {
                Ok(built) => judge(job, &built),
                Err(error) => vec![error.to_string()],
            };
            let place = format!("{} for {name} {}", job.row.id, job.defines.join(" "));
            faults.lock().unwrap().extend(found.iter().map(|fault| format!("{place}: {fault}")));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, |n| n.get()) {
            scope.spawn(work);
        }
    });
    faults.into_inner().unwrap()
}

#[test]
fn every_variant_compiles_without_spills_or_forbidden_warnings_within_its_ceilings() {
    let compiler = Compiler::find(None).unwrap();
    let jobs = jobs(&compiler);
    assert!(jobs.len() > 50);
    let faults = judge(&jobs, |job, built| faults(job.row, built));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn machine_code_holds_the_instructions_that_a_row_claims() {
    let compiler = Compiler::find(None).unwrap();
    let mut jobs = jobs(&compiler);
    // Disassembling is slow, and one variant shows what a row is made of.
    jobs.dedup_by_key(|job| (job.row.id, job.architecture));
    let faults = judge(&jobs, |job, built| {
        let code = machine_code(&built.cubin);
        let missing = job.row.claims.iter().filter(|claim| !code.contains(*claim));
        missing.map(|claim| format!("there is no {claim}")).collect()
    });
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_kernel_that_spills_or_exceeds_its_ceilings_does_not_pass() {
    let compiler = Compiler::find(None).unwrap();
    // A row with a ceiling below the 64 registers that so large a block leaves to a thread.
    let row = jobs(&compiler).into_iter().find(|job| job.row.registers < 64).unwrap().row;
    let text = "extern \"C\" __global__ void __launch_bounds__(1024) greedy(volatile float* x) {
        float held[96];
        #pragma unroll
        for (int i = 0; i < 96; i++) held[i] = x[i * 1024 + threadIdx.x];
        __syncthreads();
        #pragma unroll
        for (int i = 0; i < 96; i++) x[i * 1024 + threadIdx.x] = held[95 - i] - 2 * held[i];
    }";
    let source = scalemark::nvrtc::Source { name: "greedy.cu", text, headers: &[] };
    let mut built = compiler.compile(&source, "sm_80", &[]).unwrap();
    let faults_of = |built: &Built| faults(row, built).join("\n");
    assert!(faults_of(&built).contains("spills"), "{}", built.log);
    assert!(faults_of(&built).contains("registers of"), "{}", built.log);
    built.log += "\nptxas info : (C7510) Potential Performance Loss: wgmma.mma_async instructions are serialized";
    assert!(faults_of(&built).contains("C7510"));
}

/// Compiles a text for the simulator, and runs it on 64 floats as `sim` would.
fn simulated(text: &str) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some.cu");
    std::fs::write(&path, text).unwrap();
    let mut command = assert_cmd::Command::cargo_bin("scalemark").unwrap();
    let args = ["--entry", "f", "--block", "64", "--arg", "in:f32:64", "--arg", "out:f32:64"];
    let out = command.arg("sim").arg(&path).args(args).args(["--arch", "sm_80"]).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr);
    (out.status.code().unwrap(), text.into_owned())
}

#[test]
fn anybodys_right_kernel_gives_no_finding() {
    let (code, text) = simulated(
        "extern \"C\" __global__ void f(const float* x, float* y) { y[threadIdx.x] = 2 * x[threadIdx.x]; }",
    );
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("no finding") && text.contains("warp_instructions"), "{text}");
}

#[test]
fn a_kernel_that_leaves_its_buffers_or_writes_what_it_may_only_read_is_found_at_its_line() {
    let beyond = "extern \"C\" __global__ void f(const float* x, float* y) {\n  y[threadIdx.x + 1] = x[threadIdx.x];\n}";
    let (code, text) = simulated(beyond);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("OutOfBounds") && text.contains("some.cu:2"), "{text}");
    let (code, text) =
        simulated("extern \"C\" __global__ void f(float* x, float* y) { x[threadIdx.x] = 1; }");
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("ReadOnly"), "{text}");
    let (code, text) =
        simulated("extern \"C\" __global__ void f(float* x, float* y) { y[threadIdx.x] += 1; }");
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("UninitializedMemory"), "{text}");
}

#[test]
fn every_cuda_kernel_of_a_family_is_right_on_the_simulator() {
    let mut command = assert_cmd::Command::cargo_bin("scalemark").unwrap();
    let out = command
        .args(["verify", "--device", "sim:sm_80", "--op", "adamw,peak", "--json"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert_eq!(out.status.code(), Some(0), "{text}");
    for kernel in [
        "optimizer/scalar",
        "optimizer/vectorized",
        "optimizer/multi-tensor",
        "peak/streams",
        "peak/fma",
        "peak/mma",
    ] {
        let right = |line: &str| line.contains(kernel) && line.contains("\"status\":\"right\"");
        assert!(text.lines().any(right), "{kernel}: {text}");
    }
    for probe in ["read", "write", "copy", "triad", "update-2r1w", "update-3r2w", "update-4r3w"] {
        let right = |line: &&str| {
            line.contains("peak/streams")
                && line.contains(probe)
                && line.contains("\"status\":\"right\"")
        };
        assert_eq!(text.lines().filter(right).count(), 4, "{probe}: {text}");
    }
}

#[test]
fn a_simulated_run_has_counters_and_no_times() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let mut command = assert_cmd::Command::cargo_bin("scalemark").unwrap();
    let out = command
        .args(["run", "--device", "sim", "--op", "adamw", "--params", "1000", "--out"])
        .arg(&run)
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
    let read = scalemark::store::Run::read(&run).unwrap();
    assert_eq!(read.records.len(), 3);
    for record in &read.records {
        assert_eq!((record.outcome.status(), record.device.as_str()), ("simulated", "sim"));
        assert_eq!(record.timing(), None);
    }
    let counters = std::fs::read_to_string(run.join("counters.csv")).unwrap();
    assert!(counters.contains("warp_instructions") && counters.contains("registers"), "{counters}");
}
