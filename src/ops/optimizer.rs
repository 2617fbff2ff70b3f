//! Parameter updates: one optimizer step over a flat vector, in place.
//!
//! g is the gradient, p the parameter, m and v the moments, t the step; the forms are PyTorch's:
//!
//! | rule | one step | flops |
//! |---|---|---|
//! | sgd | p ← p − lr·g | 2 |
//! | momentum | m ← μ·m + g; p ← p − lr·m (Polyak 1964, no dampening) | 2 + 2 |
//! | nesterov | m ← μ·m + g; p ← p − lr·(g + μ·m) (Sutskever et al. 2013) | 2 + 4 |
//! | adagrad | v ← v + g²; p ← p − lr·g / (√v + ε) (Duchi et al. 2011) | 2 + 5 |
//! | rmsprop | v ← β₂·v + (1 − β₂)·g²; p ← p − lr·g / (√v + ε) (Tieleman, Hinton 2012) | 4 + 5 |
//! | adam | m ← β₁·m + (1 − β₁)·g; v ← β₂·v + (1 − β₂)·g²; p ← p − α·m / (√v·c + ε) (Kingma, Ba 2015) | 3 + 4 + 6 |
//! | adamw | as adam, with p ← k·p − α·m / (√v·c + ε) (Loshchilov, Hutter 2019) | 3 + 4 + 7 |
//! | lion | p ← k·p − lr·sign(β₁·m + (1 − β₁)·g); m ← β₂·m + (1 − β₂)·g (Chen et al. 2023) | 3 + 4 + 3 |
//!
//! with α = lr / (1 − β₁ᵗ), c = 1 / √(1 − β₂ᵗ) and k = 1 − lr·λ computed once a step, not once a parameter. The sign of 0 is 0.

mod reference;

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Cost, DType, Expected, Inputs, Precision, Role, Tensor, TensorSpec, random};
use crate::units::{Bytes, Flops};

/// An update rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// Plain gradient descent.
    Sgd,
    /// Heavy-ball momentum.
    Momentum,
    /// Nesterov's momentum in the form of common frameworks.
    Nesterov,
    /// Adagrad.
    Adagrad,
    /// RMSprop.
    Rmsprop,
    /// Adam with L2-free update.
    Adam,
    /// Adam with decoupled weight decay.
    Adamw,
    /// Lion.
    Lion,
}

impl Rule {
    /// Every rule, in the order of reports.
    pub const ALL: [Rule; 8] = [
        Rule::Sgd,
        Rule::Momentum,
        Rule::Nesterov,
        Rule::Adagrad,
        Rule::Rmsprop,
        Rule::Adam,
        Rule::Adamw,
        Rule::Lion,
    ];

    /// The op's name.
    pub fn name(self) -> &'static str {
        match self {
            Rule::Sgd => "sgd",
            Rule::Momentum => "momentum",
            Rule::Nesterov => "nesterov",
            Rule::Adagrad => "adagrad",
            Rule::Rmsprop => "rmsprop",
            Rule::Adam => "adam",
            Rule::Adamw => "adamw",
            Rule::Lion => "lion",
        }
    }

    /// State vectors that the rule keeps: 0, 1 or 2.
    pub fn moments(self) -> usize {
        match self {
            Rule::Sgd => 0,
            Rule::Adam | Rule::Adamw => 2,
            _ => 1,
        }
    }

    /// Whether the rule's last moment is an average or a sum of squares, which is never negative.
    pub fn squares(self) -> bool {
        matches!(self, Rule::Adagrad | Rule::Rmsprop | Rule::Adam | Rule::Adamw)
    }

    /// Arithmetic operations a parameter, counted from the table at the top of this module (square root, division and sign
    /// count one each; what is computed once a step counts nothing).
    pub fn flops(self) -> u64 {
        match self {
            Rule::Sgd => 2,
            Rule::Momentum => 4,
            Rule::Nesterov => 6,
            Rule::Adagrad => 7,
            Rule::Rmsprop => 9,
            Rule::Adam => 13,
            Rule::Adamw => 14,
            Rule::Lion => 10,
        }
    }

    /// `base` with the state that this rule needs: f32 moments, or none.
    pub fn precision(self, base: Precision) -> Precision {
        Precision { state: (self.moments() > 0).then_some(DType::F32), ..base }
    }
}

/// The hyperparameters of a step; fixed for each rule, so that cases are comparable.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Hyper {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the first moment (Lion: of the interpolation).
    pub beta1: f64,
    /// Decay of the second moment (Lion: of the momentum; RMSprop: what PyTorch calls alpha).
    pub beta2: f64,
    /// What keeps a division from zero, outside of the square root.
    pub eps: f64,
    /// Decoupled weight decay λ.
    pub weight_decay: f64,
    /// Decay μ of the momentum.
    pub momentum: f64,
    /// The number t of this step, from 1: low enough for both bias corrections to matter.
    pub step: i32,
}

impl Hyper {
    /// Framework defaults of the moments (SGD: μ = 0.9, Adam: β = 0.9 and 0.999, Lion: 0.9 and 0.99) with learning rates that
    /// move a parameter by more than its rounding error in bf16; what a rule does not use is 0.
    pub const fn of(rule: Rule) -> Hyper {
        const ZERO: Hyper = Hyper {
            lr: 0.1,
            beta1: 0.0,
            beta2: 0.0,
            eps: 0.0,
            weight_decay: 0.0,
            momentum: 0.0,
            step: 20,
        };
        const ADAM: Hyper = Hyper { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, ..ZERO };
        match rule {
            Rule::Sgd => ZERO,
            Rule::Momentum | Rule::Nesterov => Hyper { momentum: 0.9, ..ZERO },
            Rule::Adagrad => Hyper { lr: 0.01, eps: 1e-10, ..ZERO },
            Rule::Rmsprop => Hyper { lr: 0.01, beta2: 0.99, eps: 1e-8, ..ZERO },
            Rule::Adam => ADAM,
            Rule::Adamw => Hyper { weight_decay: 0.01, ..ADAM },
            Rule::Lion => Hyper { lr: 3e-4, beta1: 0.9, beta2: 0.99, weight_decay: 0.1, ..ZERO },
        }
    }

    /// α = lr / (1 − β₁ᵗ): the learning rate with the first moment's bias corrected.
    pub fn corrected_lr(&self) -> f64 {
        self.lr / (1.0 - self.beta1.powi(self.step))
    }

    /// c = 1 / √(1 − β₂ᵗ): the correction of the second moment's root.
    pub fn root_correction(&self) -> f64 {
        1.0 / (1.0 - self.beta2.powi(self.step)).sqrt()
    }

    /// k = 1 − lr·λ: what decoupled weight decay leaves of a parameter.
    pub fn kept(&self) -> f64 {
        1.0 - self.lr * self.weight_decay
    }
}

/// One step of an optimizer over `params` parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Update {
    /// The rule.
    pub rule: Rule,
    /// The number of parameters.
    pub params: usize,
}

impl Update {
    /// Least work: [`Rule::flops`] a parameter; parameters and moments read and written once, gradients read once. In f32
    /// that is 12 bytes a parameter for SGD, 20 with one moment, 28 with two.
    pub fn cost(&self, precision: Precision) -> Cost {
        let moved = self.operands(precision).into_iter();
        let bytes =
            moved.fold(Bytes(0), |sum, spec| sum + spec.bytes() * if spec.in_out { 2 } else { 1 });
        Cost { flops: Flops(self.rule.flops() * self.params as u64), bytes }
    }

    /// Why the sizes make no sense, if so. Zero parameters are allowed: nothing changes, and that is a right answer.
    pub fn invalid(&self, precision: Precision) -> Option<String> {
        if self.params >> 48 != 0 {
            return Some(format!("{} parameters are too many to describe", self.params));
        }
        let used = [Some(precision.inputs), Some(precision.output), precision.state];
        if let Some(dtype) =
            used.into_iter().flatten().find(|d| d.is_integer() || *d == DType::E4m3)
        {
            return Some(format!("an optimizer updates floats of 16 bits or more, not {dtype}"));
        }
        (self.rule.moments() > 0 && precision.state.is_none()).then(|| {
            format!(
                "{} keeps state: give its precision a state dtype, as in f32+f32",
                self.rule.name()
            )
        })
    }

    /// Gradients (read), then parameters, first and second moment (in place), each `[params]`.
    pub fn operands(&self, precision: Precision) -> Vec<TensorSpec> {
        let shape = [self.params];
        let state = precision.state.unwrap_or(DType::F32);
        let mut specs = vec![
            TensorSpec::new(Role::Grads, precision.inputs, &shape),
            TensorSpec::in_out(Role::Params, precision.output, &shape),
        ];
        let moments = [Role::Moment1, Role::Moment2];
        specs.extend(
            moments[..self.rule.moments()]
                .iter()
                .map(|&role| TensorSpec::in_out(role, state, &shape)),
        );
        specs
    }

    /// Some way into a training run: gradients N(0, 0.02²), parameters N(0, 0.05²), first moments N(0, 0.01²) (momentum:
    /// 0.04²), second moments positive and of the size that t gradients leave (Adagrad: their sum).
    ///
    /// No gradient is smaller than σ/1024: its moments would decay, launch by launch, into numbers that slow hardware down.
    pub fn inputs(&self, precision: Precision, seed: u64) -> Inputs {
        let hyper = Hyper::of(self.rule);
        let sigma = 0.02f32;
        // What the mean square of t gradients has grown to by step t.
        let grown = match self.rule {
            Rule::Adagrad => f64::from(hyper.step),
            _ => 1.0 - hyper.beta2.powi(hyper.step),
        } as f32;
        let moment = if hyper.momentum > 0.0 { 0.04 } else { 0.01 };
        let squared = |x: f32| sigma * sigma * grown * (0.25 + 0.75 * x * x);
        let make = |(i, spec): (u32, TensorSpec)| match spec.role {
            Role::Grads => tensor(spec, seed, i, |x| sigma * x.abs().max(1.0 / 1024.0).copysign(x)),
            Role::Params => tensor(spec, seed, i, |x| 0.05 * x),
            Role::Moment1 if !self.rule.squares() || self.rule.moments() == 2 => {
                tensor(spec, seed, i, |x| moment * x)
            }
            _ => tensor(spec, seed, i, squared),
        };
        let tensors = (0..).zip(self.operands(precision)).map(make).collect();
        Inputs { seed, tensors: std::sync::Arc::new(tensors) }
    }

    /// See [`super::Case::expected`]; whole up to 2²² parameters, above that 2¹⁸ entries of each tensor.
    pub fn expected(&self, precision: Precision, inputs: &Inputs, threads: usize) -> Expected {
        reference::expected(self, precision, inputs, threads)
    }
}

/// A tensor of `shape(x)` with x nearly N(0, 1).
fn tensor(spec: TensorSpec, seed: u64, number: u32, shape: impl Fn(f32) -> f32 + Sync) -> Tensor {
    let stream = random::Stream::new(seed, number);
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get()).min(8);
    let value = |i| shape(stream.normal(i));
    let mut out = Tensor::zeroed(spec);
    match out.spec.dtype {
        DType::F64 => random::fill(out.as_mut::<f64>(), threads, |i| value(i).into()),
        DType::Bf16 => random::fill(out.as_mut(), threads, |i| half::bf16::from_f32(value(i))),
        DType::F16 => random::fill(out.as_mut(), threads, |i| half::f16::from_f32(value(i))),
        DType::F32 | DType::Tf32 => random::fill(out.as_mut::<f32>(), threads, value),
        // `Update::invalid` refuses these before a tensor is made.
        DType::E4m3 | DType::I8 | DType::I32 => {
            panic!("an optimizer has no tensors of {}", out.spec.dtype)
        }
    }
    out
}

impl fmt::Display for Update {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", self.params)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(rule: Rule, base: Precision) -> u64 {
        Update { rule, params: 1 }.cost(rule.precision(base)).bytes.0
    }

    #[test]
    fn bytes_a_parameter_are_those_counted_by_hand() {
        assert_eq!(bytes(Rule::Sgd, Precision::F32), 12);
        for rule in [Rule::Momentum, Rule::Nesterov, Rule::Adagrad, Rule::Rmsprop, Rule::Lion] {
            assert_eq!(bytes(rule, Precision::F32), 20, "{}", rule.name());
        }
        assert_eq!(bytes(Rule::Adam, Precision::F32), 28);
        assert_eq!(bytes(Rule::Adamw, Precision::F32), 28);
        assert_eq!(bytes(Rule::Adamw, Precision::BF16), 2 + 2 * 2 + 4 * 4);
        assert_eq!(bytes(Rule::Sgd, Precision::BF16), 2 + 2 * 2);
    }

    #[test]
    fn flops_a_parameter_are_those_counted_by_hand() {
        let counted = [
            // sgd: lr·g, p −
            (Rule::Sgd, 2),
            // momentum: μ·m, + g, lr·m, p −
            (Rule::Momentum, 4),
            // nesterov: μ·m, + g, μ·m, g +, lr·, p −
            (Rule::Nesterov, 6),
            // adagrad: g·g, v +, √, + ε, lr·g, /, p −
            (Rule::Adagrad, 7),
            // rmsprop: β₂·v, g·g, (1 − β₂)·, +, √, + ε, lr·g, /, p −
            (Rule::Rmsprop, 9),
            // adam: β₁·m, (1 − β₁)·g, +; β₂·v, g·g, (1 − β₂)·, +; √, ·c, + ε, α·m, /, p −
            (Rule::Adam, 13),
            // adamw: as adam, and k·p
            (Rule::Adamw, 14),
            // lion: β₁·m, (1 − β₁)·g, +; sign, lr·, k·p, −; β₂·m, (1 − β₂)·g, +
            (Rule::Lion, 10),
        ];
        for (rule, flops) in counted {
            let case = Update { rule, params: 1000 };
            assert_eq!(case.cost(rule.precision(Precision::F32)).flops, Flops(1000 * flops));
        }
    }

    #[test]
    fn a_rule_with_moments_needs_a_state() {
        let update = Update { rule: Rule::Adam, params: 8 };
        assert!(update.invalid(Precision::F32).unwrap().contains("state"));
        assert_eq!(update.invalid(Rule::Adam.precision(Precision::F32)), None);
        assert!(update.invalid(Rule::Adam.precision(Precision::INT8)).unwrap().contains("i8"));
        assert_eq!(Rule::Sgd.precision(Precision::F32), Precision::F32);
    }

    #[test]
    fn second_moments_are_positive_and_no_tensor_is_constant_or_touches_zero() {
        for rule in Rule::ALL {
            for base in [Precision::F32, Precision::BF16] {
                let inputs = Update { rule, params: 200_000 }.inputs(rule.precision(base), 3);
                for t in inputs.tensors.iter() {
                    let x = t.to_f64();
                    assert!(x.iter().any(|&v| v != x[0]), "{} {:?}", rule.name(), t.spec.role);
                    if t.spec.role == Role::Grads {
                        assert!(x.iter().all(|v| v.abs() > 1.9e-5));
                    }
                }
                let last = inputs.tensors.last().unwrap();
                if rule.squares() {
                    assert!(last.to_f64().iter().all(|&v| v > 1e-7), "{}", rule.name());
                }
            }
        }
    }
}
