//! What to measure: from options, suites, models and case lists to cases.

pub mod case_key;
pub mod case_list;
pub mod estimate;
pub mod select;
pub mod sizes;
pub mod suite;

use crate::kernels::KernelId;
use crate::ops::Case;

/// A case that was asked for, and on whose behalf.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// What to compute.
    pub case: Case,
    /// The models that it stands for, as `model:part`; empty for sizes given by hand and sweeps.
    pub models: Vec<String>,
    /// Whether the lower rungs of ladders are left out, for another case tells their story.
    pub top_rung: bool,
}

impl Planned {
    /// A case that stands for no model.
    pub fn bare(case: Case) -> Self {
        Planned { case, models: Vec::new(), top_rung: false }
    }

    /// A case that stands for parts of models, each as `model:part`.
    pub fn of_models(case: Case, models: Vec<String>) -> Self {
        Planned { models, ..Planned::bare(case) }
    }

    /// Whether `kernel` is to do it.
    pub fn wants(&self, kernel: &KernelId) -> bool {
        !(self.top_rung && kernel.is_lower_rung())
    }
}

/// Cases in the order of first appearance, each once; one that several models share names them all.
pub fn merge(planned: impl IntoIterator<Item = Planned>) -> Vec<Planned> {
    let mut merged: Vec<Planned> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for one in planned {
        let place = *places.entry(one.case.key()).or_insert_with(|| {
            merged.push(Planned { models: Vec::new(), ..one.clone() });
            merged.len() - 1
        });
        merged[place].top_rung &= one.top_rung;
        for model in one.models {
            if !merged[place].models.contains(&model) {
                merged[place].models.push(model);
            }
        }
    }
    merged
}
