//! Runs of cases with another module in place of the corpus's, one schedule at a time.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use ptxsim::{Checks, Error, Kind, Module, Options};

use crate::{Kernel, Outputs};

/// Which inputs and which schedule.
#[derive(Clone, Copy)]
pub(super) struct Setting {
    /// Added to the seeds of inputs.
    pub inputs: u64,
    /// Seed of the schedule.
    pub seed: u64,
    /// Whether asynchronous work ends as late as it may.
    pub late: bool,
}

/// The settings that a mutant must survive.
pub(super) const SETTINGS: [Setting; 6] = [
    Setting { inputs: 0, seed: 0, late: true },
    Setting { inputs: 1, seed: 1, late: true },
    Setting { inputs: 2, seed: 2, late: false },
    Setting { inputs: TINY, seed: 3, late: true },
    Setting { inputs: 4, seed: 4, late: true },
    Setting { inputs: 5, seed: 5, late: false },
];

/// The inputs of which floats are tiny.
pub(crate) const TINY: u64 = 3;

/// How a case ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// Right, without a finding.
    Right,
    /// A finding of this kind, and its text.
    Found(Kind, String),
    /// Not executed: text, launch or an instruction is refused.
    Refused(String),
    /// The results are not the right ones.
    Wrong,
    /// They are within tolerance of the right ones, but other bits than those of the unchanged kernel.
    OtherBits,
}

/// What a case launched.
#[derive(Debug, Default, Clone)]
pub(super) struct Seen {
    /// Files and entries.
    pub entries: BTreeSet<(&'static str, &'static str)>,
    /// Warp instructions of the longest launch.
    pub longest: u64,
    /// Of all outputs that do not depend on the schedule.
    pub hash: u64,
}

struct Trial {
    module: Arc<Module>,
    setting: Setting,
    budget: u64,
    seen: Seen,
    end: Option<End>,
}

thread_local! {
    static TRIAL: RefCell<Option<Trial>> = const { RefCell::new(None) };
}

/// Whether this thread has a mutant on trial: its panics are verdicts.
pub(super) fn under_way() -> bool {
    TRIAL.try_with(|trial| trial.try_borrow().is_ok_and(|trial| trial.is_some())).unwrap_or(false)
}

/// What is added to the seeds of inputs.
pub(crate) fn inputs() -> u64 {
    TRIAL.with_borrow(|trial| trial.as_ref().map_or(0, |trial| trial.setting.inputs))
}

/// Runs a case with `module` in place of what it reads; `budget` is how many warp instructions a cluster may execute.
pub(super) fn judge(
    case: fn(),
    module: &Arc<Module>,
    setting: Setting,
    budget: u64,
) -> (End, Seen) {
    let trial = Trial { module: module.clone(), setting, budget, seen: Seen::default(), end: None };
    TRIAL.set(Some(trial));
    let right = catch_unwind(AssertUnwindSafe(case)).is_ok();
    let trial = TRIAL.take().expect("nothing else takes it");
    let end = trial.end.unwrap_or(if right { End::Right } else { End::Wrong });
    (end, trial.seen)
}

/// The outputs of one launch where a trial is under way; unwinds where the launch fails or anything is found.
pub(crate) fn run(kernel: &Kernel) -> Option<Outputs> {
    let (module, options) = TRIAL.with_borrow_mut(|trial| {
        let trial = trial.as_mut()?;
        trial.seen.entries.insert((kernel.file, kernel.entry));
        let options = Options {
            seed: trial.setting.seed,
            late: trial.setting.late,
            checks: Checks::all(),
            budget: trial.budget,
            threads: 1,
            ..Options::default()
        };
        Some((trial.module.clone(), options))
    })?;
    let result = kernel.once(&module, &options);
    TRIAL
        .with_borrow_mut(|trial| {
            let trial = trial.as_mut()?;
            match result {
                Ok((outputs, counters)) => {
                    trial.seen.longest = trial.seen.longest.max(counters.warp_instructions);
                    if kernel.repeatable {
                        let mut hasher = DefaultHasher::new();
                        (trial.seen.hash, &outputs).hash(&mut hasher);
                        trial.seen.hash = hasher.finish();
                    }
                    return Some(Outputs(outputs, None));
                }
                Err(Error::Finding(finding)) => {
                    trial.end = Some(End::Found(finding.kind, finding.to_string()));
                }
                Err(error) => trial.end = Some(End::Refused(error.to_string())),
            }
            None
        })
        .or_else(|| resume_unwind(Box::new("the mutant is caught")))
}
