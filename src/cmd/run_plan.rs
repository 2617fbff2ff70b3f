//! What a run was asked for, and what it will measure.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::bail;
use serde::{Deserialize, Serialize};

use super::effort::Effort;
use super::external::External;
use crate::campaign::probes_for;
use crate::device::machine::Secrets;
use crate::device::{Capabilities, DeviceName};
use crate::kernels::{Kernel, Registry};
use crate::measure::Goal;
use crate::ops::Regime;
use crate::plan::estimate::Estimator;
use crate::plan::select::Selection;
use crate::plan::suite::Suite;
use crate::plan::{Planned, merge};

/// What a run was asked for; kept in machine.json so that `--resume` can go on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Order {
    /// Which cases and kernels.
    pub selection: Selection,
    /// How carefully.
    pub effort: Effort,
    /// Where.
    #[serde(default)]
    pub device: DeviceName,
    /// With which programs beside ours.
    #[serde(default)]
    pub external: External,
}

impl Order {
    /// As files have it: without folders of programs.
    pub fn redacted(&self) -> Order {
        let external = self.external.redacted(&Secrets::of_this_process());
        Order { external, ..self.clone() }
    }
}

/// What is to be measured, and how.
pub struct Plan {
    /// The cases, probes of the machine first.
    pub cases: Vec<Planned>,
    probes: usize,
    /// All kernels that there are.
    pub registry: Registry,
    /// Those that take part.
    pub kernels: Vec<&'static dyn Kernel>,
    /// When a case is measured well enough.
    pub goal: Goal,
    /// The suite's name, or `custom`.
    pub suite: String,
    /// How long the run may take, where it has such a limit.
    pub time_limit: Option<Duration>,
    /// The seed of all operands.
    pub seed: u64,
    /// See [`crate::campaign::Campaign::roofs_only`].
    pub roofs_only: bool,
    /// See [`crate::campaign::Campaign::patterns`].
    pub patterns: bool,
}

impl Plan {
    /// The plan of an order on a device with these capabilities.
    ///
    /// # Errors
    /// On usage errors.
    pub fn new(
        order: &Order,
        registry: Registry,
        capabilities: &Capabilities,
    ) -> anyhow::Result<Self> {
        let on_gpu = capabilities.gpu.is_some();
        let suite = order.selection.suite.unwrap_or_default();
        let asked = order.selection.cases(if on_gpu { 1 } else { capabilities.threads })?;
        if !on_gpu && asked.iter().any(|p| p.case.regime == Regime::Sustained) {
            bail!(
                "--regime sustained is of GPUs: their clocks fall under load; leave it out, or add --device cuda"
            );
        }
        if on_gpu && asked.iter().any(|p| p.case.threads != 1) {
            bail!("threads are of CPUs; leave them out with --device cuda");
        }
        let kernels = order.selection.kernels(&registry)?;
        let probes =
            if order.effort.no_peaks { Vec::new() } else { probes_for(&asked, capabilities) };
        let whole_suite = !order.selection.names_a_source() || order.selection.suite.is_some();
        let time_limit =
            suite.time_limit().filter(|_| whole_suite && !order.effort.asks_for_care());
        // Sizes, models and lists of the user's own deserve more than quick's haste.
        let base = if whole_suite { suite.goal() } else { Suite::Standard.goal() };
        Ok(Plan {
            probes: probes.len(),
            cases: merge(probes.into_iter().chain(asked)),
            registry,
            kernels,
            goal: order.effort.goal(base)?,
            suite: if whole_suite { suite.name().to_owned() } else { "custom".to_owned() },
            time_limit,
            seed: order.effort.seed,
            // A GPU has no probe of an update's own pattern; what its memory gives to streams bounds it.
            patterns: !order.effort.no_peaks && !on_gpu,
            roofs_only: !order.selection.op.iter().any(|op| op == "peak"),
        })
    }

    /// Providers that have something to do: those with a kernel that takes one of the cases.
    pub fn providers(&self, capabilities: &Capabilities) -> Vec<String> {
        let mut seen = HashSet::new();
        let mut providers = Vec::new();
        for kernel in
            self.kernels.iter().filter(|k| !seen.contains(k.provider())).collect::<Vec<_>>()
        {
            let family = kernel.id().0.split('/').next().unwrap_or_default().to_owned();
            let takes = self.cases.iter().any(|p| {
                p.case.problem.family().name() == family
                    && kernel.refuses(capabilities, &p.case).is_none()
            });
            if takes && seen.insert(kernel.provider()) {
                providers.push(kernel.provider().to_owned());
            }
        }
        providers
    }

    /// What would be measured, for `--dry-run`.
    pub fn text(&self, capabilities: &Capabilities) -> String {
        let mut text = String::new();
        let estimator = Estimator::nominal(capabilities);
        let mut launches = 0.0;
        let mut takers = 0;
        for planned in &self.cases {
            let family = planned.case.problem.family().name();
            let kernels: Vec<String> = self
                .kernels
                .iter()
                .filter(|k| {
                    k.id().0.starts_with(family)
                        && planned.wants(&k.id())
                        && k.refuses(capabilities, &planned.case).is_none()
                })
                .map(|k| k.id().0)
                .collect();
            takers += kernels.len();
            let guess = |k: &String| {
                estimator.predict(k, &planned.case).launch.0 * 4.0 * self.goal.min_processes as f64
            };
            launches += kernels.iter().map(|k| guess(k).min(self.goal.budget.0)).sum::<f64>();
            text += &format!("{}  {}\n", planned.case, kernels.join(" "));
        }
        text += &format!(
            "\n{} cases ({} of them probes of the machine), {takers} kernels on them; to {:.1} % or {} each, at least {} \
             processes; between {:.0} s and {:.0} s\n",
            self.cases.len(),
            self.probes,
            self.goal.precision * 100.0,
            self.goal.budget,
            self.goal.min_processes,
            launches / 1e9,
            self.time_limit
                .map_or(takers as f64 * self.goal.budget.secs(), |limit| limit.as_secs_f64())
        );
        text
    }
}
