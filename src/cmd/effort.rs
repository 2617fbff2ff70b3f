//! How carefully `run` measures: the options that change a suite's goal.

use std::time::Duration;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use crate::measure::Goal;
use crate::units::Nanos;

/// How carefully to measure.
#[derive(Debug, Clone, Default, clap::Args, Serialize, Deserialize)]
#[command(next_help_heading = "How carefully")]
pub struct Effort {
    /// Relative half-width of the 95 % interval at which a case is done, e.g. 1% [default: the suite's]
    #[arg(long, value_name = "PERCENT")]
    precision: Option<String>,
    /// Time for one kernel on one case, e.g. 5s [default: the suite's]
    #[arg(long, value_name = "TIME")]
    budget: Option<String>,
    /// Worker processes that measure each kernel at least [default: the suite's]
    #[arg(long, value_name = "N")]
    processes: Option<usize>,
    /// Seed of all operands
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Leave out the probes of the machine's peaks (there are then no shares of peak)
    #[arg(long)]
    pub no_peaks: bool,
    /// Leave samples out during which a GPU was slowed down by heat, power or its board; they are marked in any case
    #[arg(long)]
    #[serde(default)]
    exclude_throttled: bool,
}

impl Effort {
    /// Whether precision or budget are the user's own: a wish for care, not for haste.
    pub fn asks_for_care(&self) -> bool {
        self.budget.is_some() || self.precision.is_some()
    }

    /// `base`, the suite's goal, as these options change it.
    ///
    /// # Errors
    /// On values that make no sense, with what would.
    pub fn goal(&self, base: Goal) -> anyhow::Result<Goal> {
        let mut goal = Goal { exclude_throttled: self.exclude_throttled, ..base };
        if let Some(text) = &self.precision {
            goal.precision = percent(text)?;
        }
        if let Some(text) = &self.budget {
            let budget = humantime::parse_duration(text)
                .with_context(|| format!("--budget {text} is not a time; write 500ms, 5s or 2m"))?;
            if budget < Duration::from_millis(10) {
                bail!("--budget {text} is too short for a sample; use at least 10ms");
            }
            goal.budget = Nanos(budget.as_nanos() as f64);
        }
        if let Some(processes) = self.processes {
            if !(1..=1000).contains(&processes) {
                bail!("--processes {processes} makes no sense; use 1 to 1000");
            }
            goal.min_processes = processes;
            goal.max_processes = goal.max_processes.max(processes);
        }
        Ok(goal)
    }
}

/// `1%` or `0.01`, between 0.01 % and 50 %.
fn percent(text: &str) -> anyhow::Result<f64> {
    let number = |text: &str| text.trim().parse::<f64>().ok();
    let value = match text.strip_suffix('%') {
        Some(percent) => number(percent).map(|p| p / 100.0),
        None => number(text),
    };
    match value {
        Some(value) if (1e-4..=0.5).contains(&value) => Ok(value),
        _ => bail!("--precision {text} makes no sense; write 1% or 0.01, between 0.01% and 50%"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precision_is_a_percentage_or_a_fraction() {
        assert_eq!(percent("1%").unwrap(), 0.01);
        assert_eq!(percent("0.02").unwrap(), 0.02);
        for bad in ["0%", "-1%", "60%", "NaN", "x", ""] {
            assert!(percent(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn budgets_are_times() {
        let effort = |budget: &str| Effort { budget: Some(budget.into()), ..Effort::default() };
        let base = crate::plan::suite::Suite::Quick.goal();
        assert_eq!(effort("5s").goal(base).unwrap().budget, Nanos(5e9));
        assert!(effort("5").goal(base).is_err());
        assert!(effort("1us").goal(base).unwrap_err().to_string().contains("too short"));
    }
}
