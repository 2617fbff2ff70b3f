//! Programs that take part beside our kernels: the options, and who joins by them.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::device::Capabilities;
use crate::device::machine::redact::{Secrets, redact_text};
use crate::error::{Error, Result};
use crate::kernels::Registry;
use crate::worker::external::{self, ExternalWorker};
use crate::worker::{Processes, Spawn};

/// Which programs take part.
#[derive(Debug, Clone, Default, clap::Args, Serialize, Deserialize)]
#[command(next_help_heading = "Programs beside ours")]
pub struct External {
    /// Frameworks beside our kernels, e.g. torch,numpy; refused with a hint where they are not installed
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    baselines: Vec<String>,
    /// A program that speaks the protocol of workers/README.md, with its arguments; can be given several times
    #[arg(long, value_name = "CMD")]
    worker: Vec<String>,
    /// The Python of the baselines [default: SCALEMARK_PYTHON, else python3]
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
    /// How long a program, or a worker on a GPU, may take to answer before it counts as hung, e.g. 10m [default: 3m to make ready, 30s to sample]
    #[arg(long, value_name = "TIME")]
    patience: Option<String>,
    /// Whether folders were left out of what stands here.
    #[arg(skip)]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    redacted: bool,
}

/// A command without folders and names of people and hosts: word by word, or as a whole where quotes hold words together.
fn hidden(command: &str, secrets: &Secrets) -> String {
    if command.contains(['\'', '"', '\\']) {
        return redact_text(command, secrets);
    }
    let words = command.split(' ').map(|word| redact_text(word, secrets));
    words.collect::<Vec<_>>().join(" ")
}

/// The kernels that can take part, and the programs that must be started for some of them.
pub struct Joined {
    /// All kernels.
    pub registry: Registry,
    spawns: Vec<(String, Spawn)>,
    patience: Option<Duration>,
}

impl External {
    /// As files have it: commands and the Python without folders and names, which `--resume` then asks for.
    pub fn redacted(&self, secrets: &Secrets) -> External {
        let worker: Vec<String> = self.worker.iter().map(|c| hidden(c, secrets)).collect();
        let shown = |path: &PathBuf| hidden(&path.display().to_string(), secrets).into();
        let python: Option<PathBuf> = self.python.as_ref().map(shown);
        let redacted = worker != self.worker || python != self.python;
        External { worker, python, redacted, ..self.clone() }
    }

    /// What an interrupted run was asked for, with the programs that `given` names again where their folders were left out.
    ///
    /// # Errors
    /// Names the options to give.
    pub fn again(&self, given: &External, secrets: &Secrets) -> Result<External> {
        if !given.baselines.is_empty() {
            let reason =
                "--baselines are those that the run began with; leave them out with --resume";
            return Err(Error::Usage(reason.into()));
        }
        let patience = given.patience.clone().or_else(|| self.patience.clone());
        let shown = given.redacted(secrets);
        if !self.redacted && given.worker.is_empty() && given.python.is_none() {
            return Ok(External { patience, ..self.clone() });
        }
        if (&shown.worker, &shown.python) == (&self.worker, &self.python) {
            let (worker, python) = (given.worker.clone(), given.python.clone());
            return Ok(External { patience, worker, python, redacted: false, ..self.clone() });
        }
        let mut options: Vec<String> =
            self.worker.iter().map(|command| format!("--worker '{command}'")).collect();
        options.extend(self.python.iter().map(|path| format!("--python {}", path.display())));
        Err(Error::Usage(match options.is_empty() {
            true => "the run had no --worker and no --python; leave them out with --resume".into(),
            false => format!(
                "the run had {}, and its files leave out folders: give these options again with --resume, with the folders",
                options.join(" ")
            ),
        }))
    }

    /// How long a program may take to answer, where that was said.
    ///
    /// # Errors
    /// When it is no time.
    pub fn patience(&self) -> Result<Option<Duration>> {
        let patience = self.patience.as_deref().map(humantime::parse_duration).transpose();
        patience.map_err(|error| {
            Error::Usage(format!("--patience makes no sense ({error}); write 30s or 10m"))
        })
    }

    /// Asks the programs what they hold on this device (`cpu`, or a GPU as `cuda:0`), and adds their kernels to `registry`.
    ///
    /// # Errors
    /// When a baseline is unknown, a time is none, a program does not greet as a worker, or names clash.
    pub fn join(&self, registry: Registry, device: &str) -> Result<Joined> {
        let patience = self.patience()?;
        let python = external::python(self.python.as_deref());
        let framework = |name: &String| ExternalWorker::framework(name, &python, device);
        let frameworks = self.baselines.iter().map(framework);
        let programs = self.worker.iter().map(|command| ExternalWorker::program(command, device));
        let workers: Vec<ExternalWorker> = frameworks.chain(programs).collect::<Result<_>>()?;
        let registry = external::join(registry, &workers)?;
        let spawns = workers.into_iter().map(|worker| (worker.provider, worker.spawn)).collect();
        Ok(Joined { registry, spawns, patience })
    }
}

impl Joined {
    /// `processes` and those of the programs, which run on this device.
    ///
    /// # Errors
    /// When there is no place for the operands that programs are given.
    pub fn processes(
        &self,
        own: Processes,
        capabilities: &Capabilities,
        device: &str,
    ) -> Result<Processes> {
        let told =
            |(provider, spawn): &(String, Spawn)| (provider.clone(), spawn.clone().told(device));
        let all = own.with_external(self.spawns.iter().map(told), capabilities)?;
        Ok(match self.patience {
            Some(patience) => all.with_patience(patience),
            None => all,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(worker: &[&str], python: Option<&str>) -> External {
        let worker = worker.iter().map(|command| command.to_string()).collect();
        External { worker, python: python.map(PathBuf::from), ..External::default() }
    }

    #[test]
    fn files_have_programs_without_folders() {
        let secrets = Secrets { user: Some("alice".into()), ..Secrets::default() };
        let workers = ["/a/bin/python3 /b/alice/mine.py --of alice", "./own --fast"];
        let shown = asked(&workers, Some("/b/alice/env/bin/python3")).redacted(&secrets);
        assert_eq!(shown.worker, ["python3 mine.py --of USER", "./own --fast"]);
        assert_eq!(shown.python, Some("python3".into()));
        let text = serde_json::to_string(&shown).unwrap();
        assert!(!text.contains("alice") && text.contains(r#""redacted":true"#), "{text}");
        let quoted = asked(&["python3 '/b/alice/my files/w.py'"], None).redacted(&secrets);
        assert_eq!(quoted.worker, ["python3 'w.py'"]);
        assert!(!asked(&["./own --fast"], None).redacted(&secrets).redacted);
    }

    #[test]
    fn programs_whose_folders_were_left_out_are_asked_for_again() {
        let secrets = Secrets::default();
        let full = asked(&["python3 /a/mine.py"], Some("/b/python3"));
        let kept = full.redacted(&secrets);
        let error = kept.again(&External::default(), &secrets).unwrap_err().to_string();
        assert!(error.contains("--worker 'python3 mine.py' --python python3"), "{error}");
        let moved = asked(&["python3 /c/mine.py"], Some("/d/python3"));
        let again = kept.again(&moved, &secrets).unwrap();
        assert_eq!((again.worker, again.python), (moved.worker, moved.python));
        let other = asked(&["python3 /a/other.py"], Some("/b/python3"));
        assert!(kept.again(&other, &secrets).is_err());
        let plain = asked(&["./own"], None).redacted(&secrets);
        assert_eq!(plain.again(&External::default(), &secrets).unwrap().worker, ["./own"]);
        let baselines = External { baselines: vec!["torch".into()], ..External::default() };
        assert!(plain.again(&baselines, &secrets).is_err());
        let none = External::default();
        assert!(none.again(&full, &secrets).unwrap_err().to_string().contains("no --worker"));
    }
}
