//! `scalemark` without a command: what there is on this machine, and what to do next.

use std::path::Path;
use std::process::ExitCode;

use crate::device::cpu::detect_capabilities;
use crate::device::cuda;
use crate::device::name::{DriverName, Gpus, Which};
use crate::nvrtc::Compiler;
use crate::store::{RUNS, latest_run};

/// Prints it.
///
/// # Errors
/// When standard output cannot be written.
pub fn run() -> anyhow::Result<ExitCode> {
    let capabilities = detect_capabilities();
    let mut text = format!(
        "scalemark {}: how fast are the kernels that large models are made of, here?\n\nThis machine: {} threads, {} of memory free",
        super::VERSION,
        capabilities.threads,
        capabilities.memory
    );
    let gpus = cuda::of(Gpus { driver: DriverName::Cuda, which: Which::All });
    let gpus: Vec<String> = gpus.unwrap_or_default().iter().map(|gpu| gpu.line()).collect();
    text += &match gpus.is_empty() {
        true => ", no GPU that a driver knows".to_owned(),
        false => format!(", {}", gpus.join("; ")),
    };
    let compiler = Compiler::find(None);
    text += &match &compiler {
        Ok(compiler) => format!(", NVRTC {}.{}\n", compiler.version.0, compiler.version.1),
        Err(_) => ", no NVRTC\n".to_owned(),
    };
    text += "\nWhat to do next:\n";
    let mut next = |command: &str, what: &str| text += &format!("  {command:<42} {what}\n");
    next("scalemark run", "measure this machine, in about a minute");
    if !gpus.is_empty() {
        next("scalemark run --device cuda", "measure its GPU, beside cuBLASLt");
    }
    match latest_run(Path::new(RUNS)) {
        Ok(Some(_)) => next("scalemark show", "look at the latest run again"),
        _ => next("scalemark list --estimate", "what that measures, without measuring"),
    }
    match compiler {
        Ok(_) => next("scalemark verify --device sim", "check every CUDA kernel, without a GPU"),
        Err(_) => next(
            "pip install nvidia-cuda-nvrtc==13.0.88",
            "then CUDA kernels run here, without a GPU",
        ),
    }
    next("scalemark run --model llama-3-8b", "what a model needs, at its own sizes");
    next("scalemark gate pair --base-ref main", "in a checkout: is the working tree slower?");
    text += "\n`scalemark --help` lists all commands, and each has --help with examples.\n";
    super::show(&text)?;
    Ok(ExitCode::SUCCESS)
}
