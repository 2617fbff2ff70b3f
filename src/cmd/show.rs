//! `scalemark show`: the records of a run in a terminal.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::record::Record;
use crate::report::browse::{self, By};
use crate::store::{RUNS, Run, latest_run};

/// Options of `show`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  scalemark show                                     the latest run below results/runs
  scalemark show results/runs/RUN --find 'matmul f32 t1' --sort share
  scalemark show --sort spread --top 10              what was measured worst
  scalemark show --find attention --bars             rates by size, a curve a kernel
  scalemark show --record 17                         all that is known of one record

The samples of a record are drawn from its fastest to twice that, what took longer in the last place")]
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
    /// Only so many
    #[arg(long, value_name = "N")]
    top: Option<usize>,
    /// Draw rates as bars, by size
    #[arg(long)]
    bars: bool,
    /// Show everything about one record
    #[arg(long, value_name = "ID", conflicts_with_all = ["find", "top", "bars"])]
    record: Option<u64>,
}

/// Prints records.
///
/// # Errors
/// When the folder holds no run, and where nothing is found.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let folder = match args.run {
        Some(folder) => folder,
        None => latest_run(Path::new(RUNS))?.with_context(|| {
            format!("there is no run below {RUNS} yet; name one, or `scalemark run` makes one")
        })?,
    };
    let run = Run::read(&folder)?;
    let samples = run.samples()?;
    if let Some(id) = args.record {
        let found = run.records.iter().find(|record| record.record_id == id);
        let Some(record) = found else {
            bail!("{} has no record {id}; `scalemark show` lists its ids", folder.display());
        };
        let counters: Vec<(&str, f64)> =
            run.counters_of(id).map(|counter| (counter.name.as_str(), counter.value)).collect();
        super::show(&browse::details(record, &samples, &counters))?;
        return Ok(ExitCode::SUCCESS);
    }
    let words: Vec<String> =
        args.find.iter().flat_map(|text| text.split_whitespace()).map(str::to_owned).collect();
    let mut records: Vec<&Record> =
        run.records.iter().filter(|record| browse::has(record, &words)).collect();
    if records.is_empty() {
        bail!("no record of {} has all of `{}`", folder.display(), words.join(" "));
    }
    browse::sort(&mut records, args.sort, args.reverse);
    let found = records.len();
    records.truncate(args.top.unwrap_or(found));
    let width = super::width();
    let text = match args.bars {
        true => browse::bars(&records, width),
        false => browse::table(&records, &samples, args.sort, width),
    };
    let (shown, all) = (records.len(), run.records.len());
    let unfinished = if run.finished { "" } else { ", which was interrupted" };
    super::show(&format!(
        "{text}\n{shown} of {all} records of {}{unfinished}\n",
        folder.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}
