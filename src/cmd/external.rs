//! Programs that take part beside our kernels: the options, and who joins by them.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::device::Capabilities;
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
}

/// The kernels that can take part, and the programs that must be started for some of them.
pub struct Joined {
    /// All kernels.
    pub registry: Registry,
    spawns: Vec<(String, Spawn)>,
    patience: Option<Duration>,
}

impl External {
    /// Whether any program takes part.
    pub fn any(&self) -> bool {
        !self.baselines.is_empty() || !self.worker.is_empty()
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

    /// Asks the programs what they hold, and adds their kernels to `registry`.
    ///
    /// # Errors
    /// When a baseline is unknown, a time is none, a program does not greet as a worker, or names clash.
    pub fn join(&self, registry: Registry) -> Result<Joined> {
        let patience = self.patience()?;
        let python = external::python(self.python.as_deref());
        let frameworks = self.baselines.iter().map(|name| ExternalWorker::framework(name, &python));
        let programs = self.worker.iter().map(|command| ExternalWorker::program(command));
        let workers: Vec<ExternalWorker> = frameworks.chain(programs).collect::<Result<_>>()?;
        let registry = external::join(registry, &workers)?;
        let spawns = workers.into_iter().map(|worker| (worker.provider, worker.spawn)).collect();
        Ok(Joined { registry, spawns, patience })
    }
}

impl Joined {
    /// `processes` and those of the programs.
    ///
    /// # Errors
    /// When there is no place for the operands that programs are given.
    pub fn processes(&self, own: Processes, capabilities: &Capabilities) -> Result<Processes> {
        let all = own.with_external(self.spawns.iter().cloned(), capabilities)?;
        Ok(match self.patience {
            Some(patience) => all.with_patience(patience),
            None => all,
        })
    }
}
