//! What a slowdown comes to in instructions, counted by valgrind's callgrind: the truth that gates are held against.
//!
//! Valgrind shows a processor without AVX-512, so kernels are counted on their AVX2 paths; what is done again is whole launches
//! on either path.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use crate::gate::workers::Job;
use crate::kernels::baseline;
use crate::worker::extra::CYCLE;
use crate::worker::protocol::{Reply, Request, VERSION};

/// The function between two readings of the clock, as callgrind names it.
const LAUNCHES: &str = "*measure::visit::launches*";

/// What one kernel executes in a sample: a row of `slowdown-instructions.csv`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Counted {
    pub kernel: String,
    pub case_key: String,
    pub extra_percent: u32,
    /// Launches that the sample says it holds.
    pub launches: u64,
    /// Instructions of all of them, and of those that are done again.
    pub instructions: u64,
}

/// What callgrind counts of a sample, in the order of its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Events {
    /// Instructions.
    Instructions,
    /// Instructions; reads and writes of data; misses of the first and of the last level of a cache that is simulated as large as this
    /// processor's.
    Caches,
}

/// The instructions of a sample of `job` by this program, whose kernels do `extra_percent` % more work.
///
/// # Errors
/// When valgrind cannot be started, and when the worker declines or breaks under it.
pub fn count(job: &Job, extra_percent: u32, scratch: &Path) -> anyhow::Result<Counted> {
    let totals = totals(job, extra_percent, CYCLE, Events::Instructions, scratch)?;
    Ok(Counted {
        kernel: job.kernel.clone(),
        case_key: job.case.key(),
        extra_percent,
        launches: CYCLE,
        instructions: totals["Ir"],
    })
}

/// The totals of a sample of so many launches, by callgrind's names.
///
/// # Errors
/// As for [`count`].
pub fn totals(
    job: &Job,
    extra_percent: u32,
    launches: u64,
    events: Events,
    scratch: &Path,
) -> anyhow::Result<BTreeMap<String, u64>> {
    let this = std::env::current_exe().context("failed to find the path of this program")?;
    let file = scratch.join("callgrind.out");
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--quiet", "--collect-atstart=no"]);
    command.arg(format!("--toggle-collect={LAUNCHES}"));
    if events == Events::Caches {
        command.arg("--cache-sim=yes");
    }
    command.arg(format!("--callgrind-out-file={}", file.display())).arg(this);
    command.args(["worker", "--protocol", &VERSION.to_string(), "--provider", "own"]);
    command.args(["--extra", &extra_percent.to_string()]);
    let capabilities = crate::device::cpu::detect_capabilities();
    command.envs(baseline::environment("own", &capabilities));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .context("failed to start valgrind, which counts instructions; install it")?;
    let pipes = child.stdin.take().zip(child.stdout.take()).expect("both are piped");
    let talked = talk(job, launches, pipes);
    let out = child.wait_with_output().context("failed to wait for valgrind")?;
    if let Err(error) = talked {
        let said = String::from_utf8_lossy(&out.stderr);
        return Err(error.context(format!("{} under valgrind: {}", job.kernel, said.trim())));
    }
    let text = std::fs::read_to_string(&file).with_context(|| {
        format!("failed to read {}, which callgrind should have written", file.display())
    })?;
    let totals = read(&text);
    if totals.get("Ir").is_none_or(|&instructions| instructions == 0) {
        bail!(
            "callgrind saw no call of {LAUNCHES}: this build lacks its symbols; build it without `strip`"
        );
    }
    Ok(totals)
}

/// Has the worker prepare the job and take one sample.
fn talk(
    job: &Job,
    launches: u64,
    (mut input, output): (ChildStdin, ChildStdout),
) -> anyhow::Result<()> {
    let prepare = Request::Prepare {
        handle: 1,
        kernel: job.kernel.clone(),
        case: Box::new(job.case),
        seed: 1,
        expected: None,
        exchange: None,
    };
    for request in
        [prepare, Request::Sample { handle: 1, iterations: launches, count: 1 }, Request::Exit]
    {
        serde_json::to_writer(&mut input, &request)?;
        input.write_all(b"\n").context("the worker does not listen")?;
    }
    drop(input);
    let replies = BufReader::new(output).lines();
    let replies = replies.map(|line| Ok(serde_json::from_str(&line?)?));
    let replies = replies.collect::<anyhow::Result<Vec<Reply>>>()?;
    match replies.as_slice() {
        [Reply::Hello(_), Reply::Prepared { .. }, Reply::Samples(_)] => Ok(()),
        [
            _,
            Reply::Refused { reason } | Reply::Failed { reason } | Reply::Wrong { reason, .. },
            ..,
        ] => {
            bail!("{reason}")
        }
        other => bail!("the worker answered {other:?}"),
    }
}

/// The totals of a file of callgrind's, by its names of events.
fn read(text: &str) -> BTreeMap<String, u64> {
    let after = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    let names = after("events:").unwrap_or_default().split_whitespace();
    let numbers = after("totals:").unwrap_or_default().split_whitespace();
    names.zip(numbers).filter_map(|(name, n)| Some((name.to_owned(), n.parse().ok()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_totals_of_a_file_of_callgrinds_are_read_by_their_names() {
        let text = "version: 1\nevents: Ir Dr D1mr\n\nfn=(1) a\n12 2100 9\n\ntotals: 2100 9 7\n";
        let totals = read(text);
        assert_eq!((totals["Ir"], totals["Dr"], totals["D1mr"]), (2100, 9, 7));
        assert!(read("version: 1\n").is_empty());
    }
}
