//! Benchmarks of criterion.rs (0.4 and later), by the samples that they write.
//!
//! Each process runs the binary that `cargo bench --no-run` builds, on the benchmarks that are still open, into an empty folder of results
//! (`CRITERION_HOME`), and `sample.json` of each benchmark is read: iterations and the time of them all. Criterion's own analysis is
//! not used: it compares one process with another of an earlier day, and a process has a level of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use super::Runner;
use crate::error::{Error, Result};
use crate::gate::rounds::{Arm, Broken, Builds, Ran, Sample, level};
use crate::gate::workers::{fresh, padding};
use crate::stats::random::Random;
use crate::worker::protocol::Timed;

/// Options that make criterion measure 20 samples in a quarter of a second, and analyse them as little as it can.
const OPTIONS: [&str; 10] = [
    "--noplot",
    "--warm-up-time",
    "0.1",
    "--measurement-time",
    "0.25",
    "--sample-size",
    "20",
    "--nresamples",
    "1001",
    "--quiet",
];

/// The binaries of base, head and the base's copy, and the benchmarks that they have in common.
pub struct Benchmarks {
    programs: [PathBuf; 3],
    ids: Vec<String>,
    runner: Runner,
    results: PathBuf,
    scratch: PathBuf,
}

/// What `benchmark.json` says that we need.
#[derive(Deserialize)]
struct Benchmark {
    full_id: String,
}

/// What `sample.json` holds: iterations of each sample, and its time (nanoseconds, unless the benchmark measures something else).
#[derive(Deserialize)]
struct Samples {
    iters: Vec<f64>,
    times: Vec<f64>,
}

impl Benchmarks {
    /// Benchmarks `ids`, which every program has.
    pub fn new(programs: [PathBuf; 3], ids: Vec<String>, scratch: &Path) -> Self {
        Benchmarks {
            programs,
            ids,
            runner: Runner::new(scratch),
            results: scratch.join("criterion"),
            scratch: scratch.to_owned(),
        }
    }

    /// The benchmarks' names, as criterion prints them.
    pub fn ids(&self) -> &[String] {
        &self.ids
    }
}

/// The benchmarks of a binary.
///
/// # Errors
/// When it cannot be started, or does not list benchmarks as criterion does.
pub fn list(program: &Path) -> Result<Vec<String>> {
    let blame = |reason: String| {
        let program = program.display();
        Error::Usage(format!(
            "{program} {reason}; give the binary that `cargo bench --no-run` names, of a benchmark of criterion"
        ))
    };
    let out = Command::new(program).args(["--bench", "--list"]).stdin(Stdio::null()).output();
    let out = out.map_err(|error| blame(format!("failed to start: {error}")))?;
    let text = String::from_utf8_lossy(&out.stdout);
    let ids = text.lines().filter_map(|line| line.strip_suffix(": benchmark"));
    let ids: Vec<String> = ids.map(str::to_owned).collect();
    if !out.status.success() || ids.is_empty() {
        return Err(blame("lists no benchmarks".into()));
    }
    Ok(ids)
}

/// A pattern for criterion's filter that matches exactly these names.
fn filter<'a>(ids: impl Iterator<Item = &'a str>) -> String {
    let escape = |id: &str| {
        let mut out = String::new();
        for c in id.chars() {
            if r"\.+*?()|[]{}^$#&-~".contains(c) {
                out.push('\\');
            }
            out.push(c);
        }
        out
    };
    format!("^({})$", ids.map(escape).collect::<Vec<_>>().join("|"))
}

/// The samples of every benchmark in a folder of results, by name.
fn read(folder: &Path) -> Result<Vec<(String, Vec<Timed>)>> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(folder).map_err(Error::io("read", folder))?;
    for entry in entries {
        let path = entry.map_err(Error::io("read", folder))?.path();
        if !path.is_dir() {
            continue;
        }
        if path.ends_with("new") {
            let benchmark: Benchmark = json(&path.join("benchmark.json"))?;
            let samples: Samples = json(&path.join("sample.json"))?;
            found.push((
                benchmark.full_id,
                timed(&samples)
                    .map_err(|reason| Error::format(path.join("sample.json"), None, reason))?,
            ));
        } else {
            found.extend(read(&path)?);
        }
    }
    Ok(found)
}

fn json<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
    serde_json::from_str(&text).map_err(|error| Error::format(path, None, error.to_string()))
}

fn timed(samples: &Samples) -> Result<Vec<Timed>, &'static str> {
    if samples.iters.len() != samples.times.len() || samples.iters.is_empty() {
        return Err("it has not a time for every number of iterations");
    }
    let pairs = samples.iters.iter().zip(&samples.times);
    pairs
        .map(|(&iterations, &time)| {
            let fits = iterations >= 1.0 && time > 0.0 && time.is_finite() && iterations < 1e18;
            let (iterations, wall_ns) = (iterations as u64, time.round().max(1.0) as u64);
            fits.then(|| Timed { wall_ns, iterations, ..Timed::default() })
                .ok_or("a sample is of no iterations or took no time")
        })
        .collect()
}

impl Builds for Benchmarks {
    fn process(&mut self, arm: Arm, subjects: &[usize], random: &mut Random) -> Result<Ran> {
        let _ = std::fs::remove_dir_all(&self.results);
        std::fs::create_dir_all(&self.results).map_err(Error::io("create", &self.results))?;
        let (name, value) = padding(random);
        let mut command = Command::new(fresh(&self.programs[arm as usize], &self.scratch)?);
        command.arg("--bench").args(OPTIONS);
        command.arg(filter(subjects.iter().map(|&subject| self.ids[subject].as_str())));
        command.env("CRITERION_HOME", &self.results).env(name, value);
        let mut ran = Ran::default();
        let ended = self.runner.run(&mut command)?;
        let mut found = match &ended {
            Ok(_) => read(&self.results)?,
            Err(_) => read(&self.results).unwrap_or_default(),
        };
        for &subject in subjects {
            let id = &self.ids[subject];
            let Some(at) = found.iter().position(|(found, _)| found == id) else {
                let reason = match &ended {
                    Ok(_) => "left no samples of it".to_owned(),
                    Err(how) => how.clone(),
                };
                ran.broken.push(Broken { subject, arm, reason });
                continue;
            };
            let (_, samples) = found.swap_remove(at);
            // Wall time: how many threads it has nobody says.
            ran.levels.extend(level(&samples, 2).map(|level| (subject, level)));
            ran.samples.extend(samples.into_iter().enumerate().map(|(index, timed)| Sample {
                kernel: id.clone(),
                index,
                timed,
                ..Sample::default()
            }));
        }
        Ok(ran)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_matches_names_with_marks_as_they_are() {
        assert_eq!(filter(["a/b", "c (1.5x)"].into_iter()), r"^(a/b|c \(1\.5x\))$");
    }

    #[test]
    fn samples_are_read_wherever_criterion_put_them() {
        let folder = tempfile::tempdir().unwrap();
        let new = folder.path().join("group/function/64/new");
        std::fs::create_dir_all(&new).unwrap();
        std::fs::create_dir_all(folder.path().join("report")).unwrap();
        std::fs::write(
            new.join("benchmark.json"),
            r#"{"full_id":"group/function/64","title":"t"}"#,
        )
        .unwrap();
        let put = |text: &str| std::fs::write(new.join("sample.json"), text).unwrap();
        put(r#"{"sampling_mode":"Linear","iters":[2.0,4.0],"times":[10.4,20.0]}"#);
        let found = read(folder.path()).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].0.as_str(), found[0].1.len()), ("group/function/64", 2));
        assert_eq!((found[0].1[0].wall_ns, found[0].1[0].iterations), (10, 2));
        for bad in [r#"{"iters":[1.0],"times":[]}"#, r#"{"iters":[0.0],"times":[1.0]}"#, "{"] {
            put(bad);
            let error = read(folder.path()).unwrap_err().to_string();
            assert!(error.contains("sample.json"), "{error}");
        }
    }

    #[test]
    fn a_program_that_is_no_benchmark_of_criterion_is_told_apart() {
        let error = list(Path::new("no-such-binary")).unwrap_err().to_string();
        assert!(error.contains("cargo bench --no-run"), "{error}");
    }
}
