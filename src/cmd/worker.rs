//! `scalemark worker`: the far end of the worker protocol.

use std::io::{BufReader, Write};
use std::process::ExitCode;

use anyhow::bail;

use crate::device::{CpuDevice, Device, memory};
use crate::kernels::{Registry, baseline};
use crate::measure::clock::SystemClock;
use crate::worker;
use crate::worker::protocol::VERSION;

/// Options of `worker`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The protocol version that the other side speaks
    #[arg(long)]
    protocol: u32,
    /// Whose kernels to hold
    #[arg(long)]
    provider: String,
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
    let device = Device::Cpu(CpuDevice::detect(true));
    memory::keep_large_blocks(device.capabilities().memory);
    let libraries = baseline::enter_worker(&args.provider, device.capabilities().threads);
    let clock = SystemClock::new();
    let input = BufReader::new(std::io::stdin());
    worker::serve(&Registry::default(), &args.provider, &device, &clock, libraries, input, output)?;
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
