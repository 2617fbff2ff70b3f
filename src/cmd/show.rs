//! `scalemark show`: the records of a run in a terminal, to browse or printed.

use std::io::{IsTerminal, stdin, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};

use crate::browser::Start;
use crate::record::{Counter, Record};
use crate::report::browse::{self, By, Times};
use crate::store::{RUNS, Run, latest_run};

/// Options of `show`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  scalemark show                                     browse the latest run below results/runs
  scalemark show results/runs/RUN --find 'matmul f32 t1' --sort share
  scalemark show --print --sort share                as text; also what a pipe or a file gets
  scalemark show --sort spread --top 10              what was measured worst
  scalemark show --find attention --bars             rates by size, a curve a kernel
  scalemark show --record 17                         all that is known of one record

In a terminal it opens a browser of the records: ? shows its keys, q leaves it. It prints where standard input or output is no
terminal, where TERM is dumb, and with --print, --top, --bars or --record. NO_COLOR is honoured. The samples of a record are drawn
from its fastest to twice that, what took longer in the last place")]
pub struct Args {
    /// The folder of a run [default: the latest below results/runs]
    run: Option<PathBuf>,
    /// Only records that have all these words in kernel, case, device, models or status
    #[arg(long, value_name = "WORDS")]
    find: Option<String>,
    /// What to sort by
    #[arg(long, value_enum, default_value = "order")]
    sort: By,
    /// The other way round
    #[arg(long)]
    reverse: bool,
    /// Print a table, in a terminal too
    #[arg(long)]
    print: bool,
    /// Print only so many
    #[arg(long, value_name = "N")]
    top: Option<usize>,
    /// Print rates as bars, by size
    #[arg(long)]
    bars: bool,
    /// Print everything about one record
    #[arg(long, value_name = "ID", conflicts_with_all = ["find", "top", "bars"])]
    record: Option<u64>,
}

impl Args {
    /// Whether to open the browser: somebody is there to use it, and nothing asks for print.
    fn browses(&self) -> bool {
        let prints = self.print || self.bars || self.top.is_some() || self.record.is_some();
        let able = match std::env::var_os("TERM") {
            Some(term) => !term.is_empty() && term != "dumb",
            None => cfg!(windows),
        };
        !prints && able && stdin().is_terminal() && stdout().is_terminal()
    }
}

/// Opens the browser, or prints records.
///
/// # Errors
/// When the folder holds no run, where nothing is found, and when the terminal cannot be driven.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let browses = args.browses();
    let folder = match args.run {
        Some(folder) => folder,
        None => latest_run(Path::new(RUNS))?.with_context(|| {
            format!("there is no run below {RUNS} yet; name one, or `scalemark run` makes one")
        })?,
    };
    let run = Run::read(&folder)?;
    let find = args.find.unwrap_or_default();
    if browses {
        let start = Start { find, sort: args.sort, reverse: args.reverse };
        return super::browse::open(&Arc::new(run), start);
    }
    let times = Times::new(&run.samples()?);
    if let Some(id) = args.record {
        let found = run.records.iter().find(|record| record.record_id == id);
        let Some(record) = found else {
            bail!("{} has no record {id}; `scalemark show` lists its ids", folder.display());
        };
        let counters: Vec<&Counter> = run.counters_of(id).collect();
        super::show(&browse::details(record, &times, &counters, super::width()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let words = browse::words(&find);
    let mut records: Vec<&Record> = browse::order(&run.records, args.sort, args.reverse)
        .into_iter()
        .map(|at| &run.records[at])
        .filter(|record| words.is_empty() || browse::has(&browse::searched(record), &words))
        .collect();
    if records.is_empty() {
        bail!("no record of {} has all of `{find}`", folder.display());
    }
    records.truncate(args.top.unwrap_or(usize::MAX));
    let width = super::width();
    let text = match args.bars {
        true => browse::bars(&records, width),
        false => browse::table(&records, &times, args.sort, width),
    };
    let (shown, all) = (records.len(), run.records.len());
    let unfinished = if run.finished { "" } else { ", which was interrupted" };
    super::show(&format!(
        "{text}\n{shown} of {all} records of {}{unfinished}\n",
        folder.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}
