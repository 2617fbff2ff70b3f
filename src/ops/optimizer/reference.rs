//! One optimizer step in f64: the definition of right.

use super::{Hyper, Rule, Update};
use crate::ops::{DType, Expected, ExpectedPart, Inputs, Precision, Role, sample};

/// Up to so many parameters every entry is computed; an entry takes 16 bytes, and there are up to three tensors.
const WHOLE: usize = 1 << 22;

/// Sixteen roundings: the longest chain (Adam: three to the first moment, six to the divisor, and the division, scaling and
/// subtraction) has at most fourteen, with those of the constants.
const TOLERANCE: f64 = 16.0 / (1u64 << 24) as f64;

/// A right value with what its rounding errors are measured by: the sum of the magnitudes of its terms, none of which may
/// cancel another.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Entry {
    value: f64,
    scale: f64,
}

/// `a·x + b·y`.
fn mix(a: f64, x: f64, b: f64, y: f64) -> Entry {
    Entry { value: a * x + b * y, scale: (a * x).abs() + (b * y).abs() }
}

/// The step of one parameter: what it and its moments become. Formulas and names are those of the table in the parent
/// module; a moment that the rule lacks is 0 and stays so.
fn step(rule: Rule, h: &Hyper, g: f64, p: f64, moments: [f64; 2]) -> [Entry; 3] {
    let none = Entry::default();
    let [first, second] = moments;
    // kept·p − rate·direction / divisor
    let moved = |kept: f64, rate: f64, direction: Entry, divisor: f64| {
        let (update, size) = (rate * direction.value / divisor, rate * direction.scale / divisor);
        Entry { value: kept * p - update, scale: p.abs() + size }
    };
    let gradient = Entry { value: g, scale: g.abs() };
    match rule {
        Rule::Sgd => [moved(1.0, h.lr, gradient, 1.0), none, none],
        Rule::Momentum => {
            let m = mix(h.momentum, first, 1.0, g);
            [moved(1.0, h.lr, m, 1.0), m, none]
        }
        Rule::Nesterov => {
            let m = mix(h.momentum, first, 1.0, g);
            let ahead =
                Entry { value: g + h.momentum * m.value, scale: g.abs() + h.momentum * m.scale };
            [moved(1.0, h.lr, ahead, 1.0), m, none]
        }
        Rule::Adagrad => {
            let v = mix(1.0, first, 1.0, g * g);
            [moved(1.0, h.lr, gradient, v.value.sqrt() + h.eps), v, none]
        }
        Rule::Rmsprop => {
            let v = mix(h.beta2, first, 1.0 - h.beta2, g * g);
            [moved(1.0, h.lr, gradient, v.value.sqrt() + h.eps), v, none]
        }
        Rule::Adam | Rule::Adamw => {
            let m = mix(h.beta1, first, 1.0 - h.beta1, g);
            let v = mix(h.beta2, second, 1.0 - h.beta2, g * g);
            let divisor = v.value.sqrt() * h.root_correction() + h.eps;
            [moved(h.kept(), h.corrected_lr(), m, divisor), m, v]
        }
        Rule::Lion => {
            let c = mix(h.beta1, first, 1.0 - h.beta1, g);
            let sign = if c.value == 0.0 { 0.0 } else { c.value.signum() };
            let mut moved = moved(h.kept(), h.lr, Entry { value: sign, scale: 1.0 }, 1.0);
            if c.value.abs() <= TOLERANCE * c.scale {
                // Rounding alone decides this sign: either answer is right, and they lie 2·lr apart.
                moved.scale += 2.0 * h.lr / TOLERANCE;
            }
            [moved, mix(h.beta2, first, 1.0 - h.beta2, g), none]
        }
    }
}

/// What storing in `dtype` adds to a scale: one rounding to nearest of a format coarser than f32.
fn storage(dtype: DType) -> f64 {
    1.0 + if dtype.unit_roundoff() > DType::F32.unit_roundoff() {
        dtype.unit_roundoff() / TOLERANCE
    } else {
        0.0
    }
}

/// One step from `inputs`, for the parameters and every moment.
pub(super) fn expected(
    update: &Update,
    precision: Precision,
    inputs: &Inputs,
    threads: usize,
) -> Expected {
    let rule = update.rule;
    let hyper = Hyper::of(rule);
    let entries = sample::entries(update.params, WHOLE, inputs.seed);
    let count = entries.as_ref().map_or(update.params, Vec::len);
    let (grads, params) = (inputs.get(Role::Grads), inputs.get(Role::Params));
    let moments: Vec<_> =
        [Role::Moment1, Role::Moment2][..rule.moments()].iter().map(|&r| inputs.get(r)).collect();
    let specs = update.operands(precision);
    let written: Vec<_> = specs.iter().filter(|spec| spec.in_out).collect();
    let widen: Vec<f64> = written.iter().map(|spec| storage(spec.dtype)).collect();

    let mut parts: Vec<ExpectedPart> = written
        .iter()
        .map(|spec| ExpectedPart {
            role: spec.role,
            entries: entries.clone(),
            values: vec![0.0; count],
            scales: vec![0.0; count],
        })
        .collect();
    let chunk = count.div_ceil(threads.max(1)).max(1 << 12);
    let compute = |base: usize, out: &mut [(&mut [f64], &mut [f64])]| {
        for i in 0..out[0].0.len() {
            let at = entries.as_ref().map_or(base + i, |e| e[base + i] as usize);
            let mut state = [0.0; 2];
            for (slot, moment) in state.iter_mut().zip(&moments) {
                *slot = moment.get(at);
            }
            let stepped = step(rule, &hyper, grads.get(at), params.get(at), state);
            for (((values, scales), entry), widen) in out.iter_mut().zip(stepped).zip(&widen) {
                values[i] = entry.value;
                scales[i] = entry.scale * widen;
            }
        }
    };
    std::thread::scope(|scope| {
        let mut rest: Vec<_> =
            parts.iter_mut().map(|part| (&mut part.values[..], &mut part.scales[..])).collect();
        for base in (0..count).step_by(chunk) {
            let len = chunk.min(count - base);
            let mut out = Vec::with_capacity(rest.len());
            rest = rest
                .into_iter()
                .map(|(values, scales)| {
                    let (v, values) = values.split_at_mut(len);
                    let (s, scales) = scales.split_at_mut(len);
                    out.push((v, s));
                    (values, scales)
                })
                .collect();
            let compute = &compute;
            scope.spawn(move || compute(base, &mut out));
        }
    });
    Expected { tolerance: TOLERANCE, parts }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: Entry, want: f64) {
        assert!((got.value - want).abs() <= 1e-12 * got.scale, "{got:?} is not {want}");
    }

    #[test]
    fn one_step_by_hand_of_every_rule() {
        let one = |rule, g, p, m| step(rule, &Hyper::of(rule), g, p, m);
        close(one(Rule::Sgd, 2.0, 1.0, [0.0; 2])[0], 0.8);
        let [p, m, _] = one(Rule::Momentum, 2.0, 1.0, [10.0, 0.0]);
        close(m, 11.0);
        close(p, -0.1);
        let [p, m, _] = one(Rule::Nesterov, 2.0, 1.0, [10.0, 0.0]);
        close(m, 11.0);
        close(p, 1.0 - 0.1 * (2.0 + 9.9));
        let [p, v, _] = one(Rule::Adagrad, 3.0, 1.0, [16.0, 0.0]);
        close(v, 25.0);
        close(p, 1.0 - 0.01 * 3.0 / (5.0 + 1e-10));
        let [p, v, _] = one(Rule::Rmsprop, 3.0, 1.0, [100.0, 0.0]);
        close(v, 99.09);
        close(p, 1.0 - 0.03 / (99.09f64.sqrt() + 1e-8));
        let [p, m, v] = one(Rule::Adam, 3.0, 1.0, [1.0, 4.0]);
        close(m, 1.2);
        close(v, 4.005);
        let corrected = (1.2 / (1.0 - 0.9f64.powi(20)), 4.005 / (1.0 - 0.999f64.powi(20)));
        let update = 1e-3 * corrected.0 / (corrected.1.sqrt() + 1e-8);
        close(p, 1.0 - update);
        close(one(Rule::Adamw, 3.0, 1.0, [1.0, 4.0])[0], 1.0 - 1e-3 * 0.01 - update);
        let [p, m, _] = one(Rule::Lion, 1.0, 2.0, [-1.0, 0.0]);
        close(m, -0.98);
        close(p, 2.0 * (1.0 - 3e-5) + 3e-4);
    }

    #[test]
    fn a_sign_that_rounding_decides_may_go_either_way_and_no_other_may() {
        let h = Hyper::of(Rule::Lion);
        let near = step(Rule::Lion, &h, 9.0, 0.05, [-1.0, 0.0])[0];
        assert!(TOLERANCE * near.scale >= 2.0 * h.lr);
        let clear = step(Rule::Lion, &h, 9.1, 0.05, [-1.0, 0.0])[0];
        assert!(TOLERANCE * clear.scale < 1e-3 * h.lr);
    }

    #[test]
    fn threads_and_sampling_do_not_change_the_answer() {
        let update = Update { rule: Rule::Adam, params: WHOLE + 12_345 };
        let precision = Rule::Adam.precision(Precision::F32);
        let inputs = update.inputs(precision, 5);
        let sampled = update.expected(precision, &inputs, 3);
        assert!(!sampled.is_full());
        assert_eq!(sampled, update.expected(precision, &inputs, 1));
        assert_eq!(sampled.parts.len(), 3);
        let entries = sampled.parts[1].entries.as_ref().unwrap();
        let at = *entries.last().unwrap() as usize;
        let (g, m) = (inputs.get(Role::Grads).get(at), inputs.get(Role::Moment1).get(at));
        assert_eq!(*sampled.parts[1].values.last().unwrap(), 0.9 * m + (1.0 - 0.9) * g);
    }

    #[test]
    fn a_step_that_is_skipped_stands_out_of_the_tolerance() {
        for rule in Rule::ALL {
            for base in [Precision::F32, Precision::BF16] {
                let (precision, update) = (rule.precision(base), Update { rule, params: 4096 });
                let inputs = update.inputs(precision, 5);
                let expected = update.expected(precision, &inputs, 2);
                assert!(expected.is_full());
                for part in &expected.parts {
                    let before = inputs.get(part.role).to_f64();
                    let missed = before
                        .iter()
                        .zip(&part.values)
                        .zip(&part.scales)
                        .filter(|((got, want), scale)| {
                            (*got - *want).abs() / **scale > expected.tolerance
                        })
                        .count();
                    assert!(missed > 40, "{} {base} {:?}: {missed}", rule.name(), part.role);
                }
            }
        }
    }

    #[test]
    fn an_empty_update_expects_nothing() {
        let update = Update { rule: Rule::Lion, params: 0 };
        let precision = Rule::Lion.precision(Precision::F32);
        let expected = update.expected(precision, &update.inputs(precision, 1), 2);
        assert!(expected.parts.iter().all(|part| part.values.is_empty()));
    }
}
