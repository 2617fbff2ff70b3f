//! `scalemark track check --confirm`: the gate between builds of the suspects.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::cmd::gate::{self, build};
use crate::cmd::git::git;
use crate::cmd::{interrupt, note};
use crate::gate::Verdict;
use crate::gate::config::Config;
use crate::gate::workers::Job;
use crate::history::bisect::{Answer, Found, bisect};
use crate::history::entry::TIME;
use crate::history::series::short;
use crate::history::{Finding, Judged, Kind, Report};
use crate::plan::case_key;

/// Searches for the commit of each open slowdown, and says in a line each what came of it.
///
/// # Errors
/// When there is no repository here, or a gate fails.
pub fn confirm(
    report: &Report,
    config: &Config,
    pairs: Option<usize>,
) -> anyhow::Result<Vec<String>> {
    let mut builds = Builds::default();
    let mut said = Vec::new();
    for series in &report.series {
        for finding in series.findings.iter().filter(|finding| finding.is_open_slowdown()) {
            if interrupt::is_asked() {
                said.push("interrupted; what follows was not confirmed".to_owned());
                return Ok(said);
            }
            let name = format!("{} ({})", series.key(), series.id);
            let outcome = match job(series, finding) {
                Ok(job) => search(series, finding, &job, config, pairs, &mut builds)?,
                Err(why) => format!("not confirmed: {why}"),
            };
            said.push(format!("{name}: {outcome}"));
        }
    }
    Ok(said)
}

/// What a gate must measure, or why it cannot.
fn job(series: &Judged, finding: &Finding) -> Result<Job, &'static str> {
    let key = series.key();
    if finding.kind == Kind::Drift {
        return Err("a drift has no single commit");
    }
    if key.metric != TIME {
        return Err("numbers without noise need no confirmation");
    }
    let case = case_key::parse(&key.case).ok_or("it is no kernel of scalemark's own")?;
    Ok(Job { kernel: key.kernel.clone(), case })
}

fn search(
    series: &Judged,
    finding: &Finding,
    job: &Job,
    config: &Config,
    pairs: Option<usize>,
    builds: &mut Builds,
) -> anyhow::Result<String> {
    let points = &series.series.points;
    let place = |commit: &String| points.iter().position(|point| point.commit == *commit);
    let first = finding.suspects.first().and_then(place).unwrap_or(finding.at);
    let last = finding.suspects.last().unwrap_or(&finding.first_after);
    let Some(good) = first.checked_sub(1).map(|at| &points[at].commit) else {
        return Ok("not confirmed: there is no commit before it in the history".to_owned());
    };
    // Also the commits that nobody measured.
    let range = format!("{good}..{last}");
    let list = git(
        Path::new("."),
        &["rev-list", "--reverse", "--first-parent", "--end-of-options", &range],
    )
    .with_context(|| {
        format!("--confirm needs the commits {range} in the repository here; `git fetch` them")
    })?;
    let commits: Vec<String> = list.lines().map(str::to_owned).collect();
    let compare = |base: &str, head: &str| -> anyhow::Result<Answer> {
        if interrupt::is_asked() {
            return Ok(Answer::Unknown);
        }
        let (Some(base), Some(head)) = (builds.of(base)?, builds.of(head)?) else {
            return Ok(Answer::Unknown);
        };
        let report = gate::between(base, head, vec![job.clone()], config, pairs)?;
        let is_time = |f: &&crate::gate::Finding| f.metric == TIME && f.kernel == job.kernel;
        Ok(match report.findings.iter().find(is_time).map(|f| f.verdict) {
            Some(Verdict::Slower(_)) => Answer::Slower,
            Some(Verdict::Same | Verdict::Faster(_)) => Answer::NotSlower,
            _ => Answer::Unknown,
        })
    };
    let name = |at: usize| {
        let commit = &commits[at];
        let subject = git(Path::new("."), &["show", "--no-patch", "--format=%s", commit]);
        format!("{} ({})", short(commit), subject.unwrap_or_default())
    };
    Ok(match bisect(good, &commits, compare)? {
        Found::Commit(at) => format!("confirmed: {}", name(at)),
        Found::Between(from, to) => {
            format!("confirmed, and undecided between {} and {}", name(from), name(to))
        }
        Found::NotThere => {
            format!(
                "not confirmed: {} is not slower than {} when both are built here",
                short(last),
                short(good)
            )
        }
        Found::Unknown => format!(
            "not confirmed: undecided between {} and {}; more --max-pairs or a quieter machine would settle it",
            short(good),
            short(last)
        ),
    })
}

/// Builds of commits; `None` for one that does not build.
#[derive(Default)]
struct Builds(BTreeMap<String, Option<PathBuf>>);

impl Builds {
    fn of(&mut self, commit: &str) -> anyhow::Result<Option<PathBuf>> {
        if let Some(known) = self.0.get(commit) {
            return Ok(known.clone());
        }
        let built = match build::of_reference(commit, build::Target::Scalemark) {
            Ok((program, _)) => Some(program),
            Err(error) => {
                note(&format!("{}: {error:#}", short(commit)));
                None
            }
        };
        self.0.insert(commit.to_owned(), built.clone());
        Ok(built)
    }
}
