//! The numbers of a step in f32, each rounded once from f64.

use crate::ops::{Hyper, Rule};

/// What the formulas multiply with; `T` is f32 or a vector of it. See the table in [`crate::ops::optimizer`].
#[derive(Debug, Clone, Copy)]
pub struct Constants<T> {
    /// μ, or β₁.
    pub decay1: T,
    /// 1 − β₁.
    pub gain1: T,
    /// β₂.
    pub decay2: T,
    /// 1 − β₂.
    pub gain2: T,
    /// lr, or α for Adam and AdamW.
    pub rate: T,
    /// c, the correction of the second moment's root.
    pub root: T,
    /// ε.
    pub eps: T,
    /// k, what weight decay leaves of a parameter.
    pub kept: T,
}

impl Constants<f32> {
    /// Those of `rule`.
    pub fn of(rule: Rule) -> Self {
        let h = Hyper::of(rule);
        let adam = matches!(rule, Rule::Adam | Rule::Adamw);
        let momentum = matches!(rule, Rule::Momentum | Rule::Nesterov);
        Constants {
            decay1: if momentum { h.momentum } else { h.beta1 } as f32,
            gain1: (1.0 - h.beta1) as f32,
            decay2: h.beta2 as f32,
            gain2: (1.0 - h.beta2) as f32,
            rate: if adam { h.corrected_lr() } else { h.lr } as f32,
            root: if adam { h.root_correction() } else { 1.0 } as f32,
            eps: h.eps as f32,
            kept: h.kept() as f32,
        }
    }

    /// The same numbers in another form.
    #[inline(always)]
    pub fn map<T>(self, f: impl Fn(f32) -> T) -> Constants<T> {
        Constants {
            decay1: f(self.decay1),
            gain1: f(self.gain1),
            decay2: f(self.decay2),
            gain2: f(self.gain2),
            rate: f(self.rate),
            root: f(self.root),
            eps: f(self.eps),
            kept: f(self.kept),
        }
    }
}
