//! Whole commands: what a process of a program takes from its start to its end.

use std::path::Path;

use super::{Runner, Took, shell};
use crate::error::{Error, Result};
use crate::gate::rounds::{Arm, Broken, Builds, Ran, Sample};
use crate::gate::workers::padding;
use crate::measure::covariates::resident_peak;
use crate::stats::random::Random;
use crate::worker::protocol::Timed;

/// A round gives each command this long, in several processes of which the fastest counts: what else happens only adds time.
const TURN_NS: u64 = 200_000_000;
/// Most processes in a turn.
const MOST: usize = 5;
/// CPU time of a command that computes all the time, on one thread, is this share of its wall time.
const BUSY: std::ops::RangeInclusive<f64> = 0.9..=1.02;

/// A quantity of a command that is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// Wall time.
    Time,
    /// CPU time: of commands that compute on one thread all the time, where it says the same with less noise.
    CpuTime,
    /// The most memory resident.
    Memory,
}

impl Quantity {
    /// The metric's name in reports.
    pub fn metric(self) -> &'static str {
        match self {
            Quantity::Time => "time",
            Quantity::CpuTime => "CPU time",
            Quantity::Memory => "peak memory",
        }
    }

    fn of(self, took: &Took) -> Option<u64> {
        match self {
            Quantity::Time => Some(took.wall_ns),
            Quantity::CpuTime => took.cpu_ns,
            Quantity::Memory => took.peak_resident,
        }
    }
}

/// The commands of base and head; the copy of the base is the base's command again.
pub struct Commands {
    base: String,
    head: String,
    name: String,
    runner: Runner,
    processes: usize,
    quantities: Vec<Quantity>,
}

impl Commands {
    /// Runs each once, which also brings their files into the system's caches, to see that they work, how long they take, and what can be
    /// judged of them.
    ///
    /// # Errors
    /// When one cannot be started or fails.
    pub fn try_out(base: &str, head: &str, scratch: &Path) -> Result<Self> {
        let runner = Runner::new(scratch);
        let mut took = Vec::new();
        for (option, line) in [("--base", base), ("--head", head)] {
            let once = runner.run(&mut shell(line))?;
            took.push(once.map_err(|how| {
                Error::Usage(format!(
                    "{option} '{line}' {how}; a gate compares commands that succeed"
                ))
            })?);
        }
        let busy = |took: &Took| {
            took.cpu_ns.is_some_and(|cpu| BUSY.contains(&(cpu as f64 / took.wall_ns as f64)))
        };
        let time = if took.iter().all(busy) { Quantity::CpuTime } else { Quantity::Time };
        let own = resident_peak().map_or(u64::MAX, |bytes| bytes.0);
        let seen = |took: &Took| took.peak_resident.is_some_and(|bytes| bytes > own);
        let memory = took.iter().all(seen).then_some(Quantity::Memory);
        let longest = took.iter().map(|took| took.wall_ns).max().unwrap_or(1);
        Ok(Commands {
            base: base.to_owned(),
            head: head.to_owned(),
            name: program(head),
            runner,
            processes: (TURN_NS / longest).clamp(1, MOST as u64) as usize,
            quantities: [Some(time), memory].into_iter().flatten().collect(),
        })
    }

    /// The program's name, without its folder and arguments.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is judged; the judge's subjects are these.
    pub fn quantities(&self) -> &[Quantity] {
        &self.quantities
    }
}

/// The first word of a command line that names a program, without its folder.
fn program(line: &str) -> String {
    let words = line.split_whitespace().map(|word| word.trim_matches(['\'', '"']));
    // VARIABLE=value before it is the shell's.
    let word = words.into_iter().find(|word| !word.contains('=')).unwrap_or(line);
    word.rsplit(['/', '\\']).next().unwrap_or(word).to_owned()
}

impl Builds for Commands {
    fn process(&mut self, arm: Arm, subjects: &[usize], random: &mut Random) -> Result<Ran> {
        let line = if arm == Arm::Head { &self.head } else { &self.base };
        let (name, value) = padding(random);
        let (mut ran, mut took) = (Ran::default(), Vec::new());
        for index in 0..self.processes {
            match self.runner.run(shell(line).env(&name, &value))? {
                Ok(one) => took.push(one),
                Err(reason) => {
                    let broken = |&subject: &usize| Broken { subject, arm, reason: reason.clone() };
                    ran.broken.extend(subjects.iter().map(broken));
                    return Ok(ran);
                }
            }
            let Took { wall_ns, cpu_ns, peak_resident } = took[index];
            let timed = Timed { wall_ns, cpu_ns, iterations: 1, ..Timed::default() };
            let kernel = self.name.clone();
            ran.samples.push(Sample { kernel, index, timed, peak_resident, ..Sample::default() });
        }
        for &subject in subjects {
            let least = took.iter().filter_map(|took| self.quantities[subject].of(took)).min();
            ran.levels.extend(least.map(|level| (subject, level as f64)));
        }
        Ok(ran)
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_named_without_its_folder_and_arguments() {
        assert_eq!(program("old/bin/app --bench 'x y'"), "app");
        assert_eq!(program("THREADS=1 ./app"), "app");
        assert_eq!(program("'/a/app' 1"), "app");
    }

    #[test]
    fn a_command_that_waits_is_judged_by_wall_time_and_one_that_computes_by_cpu_time() {
        let folder = tempfile::tempdir().unwrap();
        let waits = Commands::try_out("sleep 0.1", "sleep 0.1", folder.path()).unwrap();
        assert_eq!((waits.quantities()[0], waits.processes), (Quantity::Time, 1));
        let took = |wall_ns, cpu_ns| Took { wall_ns, cpu_ns, peak_resident: None };
        assert_eq!(Quantity::CpuTime.of(&took(10, Some(9))), Some(9));
        assert!(!BUSY.contains(&1.9), "two threads");
    }

    #[test]
    fn a_command_that_fails_at_first_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let error = Commands::try_out("true", "sh -c 'exit 4'", folder.path()).err().unwrap();
        assert_eq!(
            error.to_string(),
            "--head 'sh -c 'exit 4'' ended with exit code 4; a gate compares commands that succeed"
        );
    }

    #[test]
    fn a_command_that_fails_later_breaks_all_that_is_judged_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("mark");
        let once = format!("sh -c 'test ! -e {0} && touch {0}'", mark.display());
        let mut commands = Commands::try_out("true", &once, folder.path()).unwrap();
        let ran = commands.process(Arm::Head, &[0], &mut Random::new(1)).unwrap();
        assert_eq!((ran.levels.len(), ran.broken.len()), (0, 1));
        assert!(ran.broken[0].reason.contains("exit code 1"), "{:?}", ran.broken);
        let fine = commands.process(Arm::Twin, &[0], &mut Random::new(1)).unwrap();
        assert_eq!((fine.levels.len(), fine.samples.len()), (1, commands.processes));
    }
}
