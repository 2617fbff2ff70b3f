//! `scalemark worker`: the far end of the worker protocol.

use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::process::ExitCode;

use anyhow::bail;

use crate::device::cpu::detect_capabilities;
use crate::device::name::Which;
use crate::device::{CpuDevice, Device, DeviceName, GpuDevice, Gpus, memory};
use crate::kernels::{Registry, baseline};
use crate::measure::clock::SystemClock;
use crate::worker::protocol::VERSION;
use crate::worker::{self, Terms};

/// Options of `worker`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The protocol version that the other side speaks
    #[arg(long)]
    protocol: u32,
    /// Whose kernels to hold
    #[arg(long)]
    provider: String,
    /// Where to run: cpu, or one GPU, as cuda:0
    #[arg(long, default_value_t)]
    device: DeviceName,
    /// Do so many percent more work than a kernel needs: for proofs that this is noticed
    #[arg(long, hide = true, value_parser = clap::value_parser!(u32).range(..=100))]
    extra: Option<u32>,
}

/// Serves requests from standard input until it ends.
///
/// # Errors
/// When the protocol version is another, or a request is none.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    if args.protocol != VERSION {
        bail!(
            "this build speaks worker protocol {VERSION}, not {}; use builds of the same protocol",
            args.protocol
        );
    }
    // What a library prints must not get between the replies: from here on, standard output is standard error.
    let output = replies()?;
    let host = detect_capabilities();
    memory::keep_large_blocks(host.memory);
    let (registry, device, libraries) = match args.device {
        DeviceName::Cpu => {
            let device = Device::Cpu(CpuDevice::detect(true));
            let libraries = baseline::enter_worker(&args.provider, host.threads);
            (Registry::default(), device, libraries)
        }
        DeviceName::Gpus(gpus) => {
            let Gpus { driver, which: Which::Listed(bits) } = gpus else {
                bail!("a worker has one GPU, not {gpus}");
            };
            let gpu = GpuDevice::open(driver, bits.trailing_zeros())?;
            let (major, minor) = gpu.compiler.version;
            let driver = gpu.context.attributes().driver_version();
            let facts = [("driver", driver), ("nvrtc", format!("{major}.{minor}"))];
            let mut libraries: BTreeMap<String, String> =
                facts.map(|(name, value)| (name.to_owned(), value)).into();
            if args.provider == "cublaslt"
                && let Ok(blas) = gpu.context.blas()
            {
                libraries.insert("version".into(), blas.version());
            }
            (Registry::cuda(), Device::Gpu(gpu), libraries)
        }
        DeviceName::Sim(_) => bail!("the simulator has no times, and no workers"),
    };
    let clock = SystemClock::new();
    let input = BufReader::new(std::io::stdin());
    let terms = Terms { provider: args.provider, libraries, extra_percent: args.extra };
    worker::serve(&registry, terms, &device, &clock, input, output)?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(unix)]
fn replies() -> std::io::Result<impl Write> {
    use std::os::fd::{AsFd, AsRawFd};
    let kept = std::io::stdout().as_fd().try_clone_to_owned()?;
    // SAFETY: both descriptors are open; standard output's is replaced by a copy of standard error's.
    if unsafe { libc::dup2(std::io::stderr().as_raw_fd(), std::io::stdout().as_raw_fd()) } < 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(std::fs::File::from(kept))
}

#[cfg(not(unix))]
fn replies() -> std::io::Result<impl Write> {
    Ok(std::io::stdout())
}
