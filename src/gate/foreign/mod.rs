//! Programs that know nothing of scalemark, as builds of a gate.
//!
//! [`command`] times whole processes of any program; [`criterion`] takes the samples that benchmarks of criterion.rs write. Both
//! start a fresh process for each build in each round, as [`super::workers`] does, so that the same test holds for them.

pub mod command;
pub mod criterion;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::error::{Error, Result};
use crate::worker::how_it_ended;

/// What running a process to its end took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Took {
    /// From before it was started to after it ended.
    pub wall_ns: u64,
    /// CPU time, user's and system's, of it and of its children that it waited for; where the system says.
    pub cpu_ns: Option<u64>,
    /// The most memory that one of them had resident, in bytes. Not below that of scalemark, whose memory it has until it starts.
    pub peak_resident: Option<u64>,
}

/// Starts processes, and keeps what they say to tell it if they fail.
#[derive(Debug, Clone)]
struct Runner {
    /// Takes standard error; overwritten by each process.
    said: PathBuf,
}

impl Runner {
    fn new(scratch: &Path) -> Self {
        Runner { said: scratch.join("said") }
    }

    /// Runs a command to its end. `Err` within is how it failed.
    fn run(&self, command: &mut Command) -> Result<Result<Took, String>> {
        let said = File::create(&self.said).map_err(Error::io("write", &self.said))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
        let start = Instant::now();
        let child = command.spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(error) => return Ok(Err(format!("failed to start: {error}"))),
        };
        let (status, cpu_ns, peak_resident) = wait(&mut child).map_err(|source| Error::Io {
            what: "wait for",
            path: command.get_program().into(),
            source,
        })?;
        let wall_ns = start.elapsed().as_nanos() as u64;
        if status.success() {
            return Ok(Ok(Took { wall_ns: wall_ns.max(1), cpu_ns, peak_resident }));
        }
        let last = self.last_words();
        let how = match status.code() {
            Some(0) | None => how_it_ended(&status),
            Some(code) => format!("ended with exit code {code}"),
        };
        Ok(Err(if last.is_empty() { how } else { format!("{how}: {last}") }))
    }

    /// The last line on standard error that says something.
    fn last_words(&self) -> String {
        let mut text = Vec::new();
        let read =
            File::open(&self.said).and_then(|file| file.take(1 << 20).read_to_end(&mut text));
        if read.is_err() {
            return String::new();
        }
        let text = String::from_utf8_lossy(&text);
        let last = text.lines().map(str::trim).rfind(|line| !line.is_empty());
        last.unwrap_or_default().chars().take(300).collect()
    }
}

/// Waits for a child and takes what the system accounted to it.
#[cfg(unix)]
fn wait(
    child: &mut std::process::Child,
) -> std::io::Result<(std::process::ExitStatus, Option<u64>, Option<u64>)> {
    use std::os::unix::process::ExitStatusExt;
    let mut status = 0;
    // SAFETY: all zeros is a valid rusage: it holds nothing but integers.
    let mut used: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both places are ours and live; the child is ours, and nobody else waits for it.
        let pid = unsafe { libc::wait4(child.id() as libc::pid_t, &mut status, 0, &mut used) };
        if pid >= 0 {
            break;
        }
        let error = std::io::Error::last_os_error();
        if error.kind() != std::io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    let ns = |t: libc::timeval| t.tv_sec as u64 * 1_000_000_000 + t.tv_usec as u64 * 1_000;
    let unit = if cfg!(target_vendor = "apple") { 1 } else { 1024 };
    let resident = used.ru_maxrss as u64 * unit;
    let status = std::process::ExitStatus::from_raw(status);
    Ok((status, Some(ns(used.ru_utime) + ns(used.ru_stime)), Some(resident)))
}

#[cfg(not(unix))]
fn wait(
    child: &mut std::process::Child,
) -> std::io::Result<(std::process::ExitStatus, Option<u64>, Option<u64>)> {
    Ok((child.wait()?, None, None))
}

/// A command line, as a shell reads it.
fn shell(line: &str) -> Command {
    if cfg!(windows) {
        let mut command = Command::new("cmd");
        command.args(["/C", line]);
        return command;
    }
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("exec {line}"));
    command
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn run(line: &str) -> Result<Took, String> {
        let folder = tempfile::tempdir().unwrap();
        Runner::new(folder.path()).run(&mut shell(line)).unwrap()
    }

    #[test]
    fn a_process_is_accounted_for_by_the_system() {
        let took = run("sh -c 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done'").unwrap();
        let cpu = took.cpu_ns.unwrap();
        assert!(cpu > 0 && took.peak_resident.unwrap() > 100_000, "{took:?}");
        let idle = run("sleep 0.2").unwrap();
        assert!(idle.wall_ns >= 200_000_000 && idle.cpu_ns.unwrap() < idle.wall_ns / 2, "{idle:?}");
    }

    #[test]
    fn a_process_that_fails_is_told_with_its_last_words() {
        assert_eq!(
            run("sh -c 'echo one >&2; echo two >&2; exit 3'"),
            Err("ended with exit code 3: two".into())
        );
        assert!(run("sh -c 'kill -9 $$'").unwrap_err().contains("signal 9"));
        assert!(run("no-such-program-anywhere").is_err());
    }
}
