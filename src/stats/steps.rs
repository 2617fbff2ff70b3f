//! Steps in a series: how many, where, how large, and how sure that is.
//!
//! Binary segmentation (Vostrikova 1981) by the rank scan of [`super::scan`], each place found again between its
//! neighbours. A series whose values depend on each other wanders, and wandering looks like steps; so rank sums
//! are scaled down by what an autoregression of first order adds to the variance of a mean, √((1 + ρ) / (1 − ρ)).

use super::order::{MAD_TO_SD, mad, median};
use super::scan::{Split, best_split, levels, ranks, selection};
use super::student::normal_cdf;

/// Points on each side of a step.
pub const LEAST: usize = 3;
/// Points from which a series is judged.
pub const ENOUGH: usize = 10;
/// What a correlation is multiplied by before it is used: it is an estimate, and too small costs false alarms.
pub(super) const MARGIN: f64 = 1.2;
/// Values of a stretch that three cuts are taken out of.
const THREE_CUTS: usize = 60;
/// Values that a correlation is estimated from.
const STRETCH: usize = 80;
/// The difference of twice the log likelihood within which other places are as plausible as the best: a ratio of 20.
const PLAUSIBLE: f64 = 6.0;
/// Deviations beyond which a value says no more about the place of a step.
const CLIP: f64 = 2.5;

/// A step of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The first index of the new level.
    pub at: usize,
    /// The first and last index that may be it.
    pub between: (usize, usize),
    /// Median from the step before to this one.
    pub before: f64,
    /// Median from this step to the next.
    pub after: f64,
    /// Probability of so clear a step, or a clearer one, anywhere between its neighbours, if there were none.
    pub p: f64,
}

/// What the scan says of a whole series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scan {
    /// Probability of a split as clear as the clearest, or clearer, if there were no step.
    pub p: f64,
    /// The lag-1 correlation that was allowed for.
    pub rho: f64,
}

/// The part of the error that the search through a whole series may spend; searches through halves and quarters of it share the rest.
const WHOLE: f64 = 0.85;
/// A whole series this improbable needs no search of its parts.
const CLEAR: f64 = 1e-9;
/// Values of a part that is searched by itself.
const PART: usize = 20;

/// The clearest split of a series, and its p-value.
///
/// A level that comes and goes again hardly shows in one split of the whole. So halves and quarters, each overlapping the next by half, are searched too: the
/// first seeded intervals of Kovács, Bühlmann, Li and Munk (2023), "Seeded binary segmentation", with Bonferroni's weights. They are left out where the whole
/// is as improbable as `enough`.
fn clearest(values: &[f64], rho: f64, enough: f64) -> Option<(usize, f64)> {
    let n = values.len();
    let split = best_split(values, LEAST)?;
    let widths: Vec<usize> = [n / 2, n / 4].into_iter().filter(|&w| w >= PART).collect();
    let parts: Vec<(usize, usize)> = widths
        .iter()
        .flat_map(|&width| {
            let count = 2 * (n / width) - 1;
            (0..count).map(move |i| {
                let from = i * (n - width) / (count - 1);
                (from, from + width)
            })
        })
        .collect();
    let whole = if parts.is_empty() { 1.0 } else { WHOLE };
    let mut best = (split.at, p_of(&split, n, rho) / whole);
    if best.1 <= enough {
        return Some(best);
    }
    let weight = (1.0 - WHOLE) / parts.len() as f64;
    for (from, to) in parts {
        if let Some(split) = best_split(&values[from..to], LEAST) {
            // Before selection is counted, which only makes it larger.
            let alone = 2.0 * normal_cdf(-scaled(&split, rho)) / weight;
            let p = if alone < best.1 { p_of(&split, to - from, rho) / weight } else { 1.0 };
            if p < best.1 {
                best = (from + split.at, p);
            }
        }
    }
    Some((best.0, best.1.min(1.0)))
}

/// Judges a series as a whole. `None` with fewer than [`ENOUGH`] values, or with one that is not finite.
pub fn scan(values: &[f64]) -> Option<Scan> {
    if values.len() < ENOUGH || !values.iter().all(|x| x.is_finite()) {
        return None;
    }
    let rho = correlation(values);
    let p = clearest(values, rho, CLEAR).map_or(1.0, |(_, p)| p);
    Some(Scan { p, rho })
}

/// The steps that are each as improbable as `alpha`, given the lag-1 correlation `rho` that [`scan`] found; in order.
pub fn steps(values: &[f64], alpha: f64, rho: f64) -> Vec<Step> {
    let mut cuts = Vec::new();
    segment(values, 0, alpha, rho, &mut cuts);
    cuts.sort_unstable();
    // A place that was found while other steps blurred it is found again between them; what is no step then goes.
    for _ in 0..3 {
        let before = cuts.clone();
        let mut i = 0;
        while i < cuts.len() {
            let (from, to) = neighbours(&cuts, i, values.len());
            match best_split(&values[from..to], LEAST) {
                Some(split) if p_of(&split, to - from, rho) <= alpha => {
                    cuts[i] = from + split.at;
                    i += 1;
                }
                _ => drop(cuts.remove(i)),
            }
        }
        if cuts == before {
            break;
        }
    }
    (0..cuts.len()).filter_map(|i| step(values, &cuts, i, rho)).collect()
}

fn segment(values: &[f64], from: usize, alpha: f64, rho: f64, cuts: &mut Vec<usize>) {
    let Some((at, p)) = clearest(values, rho, alpha) else { return };
    if p <= alpha {
        cuts.push(from + at);
        let (left, right) = values.split_at(at);
        segment(left, from, alpha, rho, cuts);
        segment(right, from + at, alpha, rho, cuts);
    }
}

/// The ends of the stretch in which cut `i` is the only one.
fn neighbours(cuts: &[usize], i: usize, n: usize) -> (usize, usize) {
    let from = if i == 0 { 0 } else { cuts[i - 1] };
    (from, cuts.get(i + 1).copied().unwrap_or(n))
}

fn step(values: &[f64], cuts: &[usize], i: usize, rho: f64) -> Option<Step> {
    let (from, to) = neighbours(cuts, i, values.len());
    let stretch = &values[from..to];
    let split = best_split(stretch, LEAST)?;
    let (at, between) = place(stretch, cuts[i] - from, rho)?;
    let (before, after) = levels(stretch, at)?;
    Some(Step {
        at: from + at,
        between: (from + between.0, from + between.1),
        before,
        after,
        p: p_of(&split, to - from, rho),
    })
}

/// The most likely place of the one step of a stretch, near `guess`, and the first and last that are plausible: by squares of
/// distances from the centres of both sides, in which far values count no more than 2.5 deviations. (The place of the greatest
/// rank sum leans to the middle, where its variance is larger; medians would leave the levels less sure than they are.)
fn place(values: &[f64], guess: usize, rho: f64) -> Option<(usize, (usize, usize))> {
    let n = values.len();
    let (mut at, mut cost) = (guess, Vec::new());
    for _ in 0..4 {
        let (before, after) = levels(values, at)?;
        let level = |i: usize| if i < at { before } else { after };
        let rest: Vec<f64> = values.iter().enumerate().map(|(i, x)| x - level(i)).collect();
        let sd = (mad(&rest)? * MAD_TO_SD).max(f64::MIN_POSITIVE);
        let (left, right) = values.split_at(at);
        let (before, after) = (center(left, before, sd), center(right, after, sd));
        let square = |x: f64| (x / sd).clamp(-CLIP, CLIP).powi(2);
        let mut sum: f64 = values.iter().map(|x| square(x - after)).sum();
        cost.clear();
        for (k, x) in (1..).zip(&values[..n - LEAST]) {
            sum += square(x - before) - square(x - after);
            cost.push(if k < LEAST { f64::INFINITY } else { sum });
        }
        let earlier = at;
        at = 1 + (0..cost.len()).min_by(|&i, &j| cost[i].total_cmp(&cost[j]))?;
        if at == earlier {
            break;
        }
    }
    let best = cost[at - 1];
    let plausible = |c: &f64| (c - best) / inflation(rho) <= PLAUSIBLE;
    let (first, last) = (cost.iter().position(plausible)?, cost.iter().rposition(plausible)?);
    Some((at, (first + 1, last + 1)))
}

/// Huber's (1964) centre of values whose standard deviation is about `sd`, from `start`: the mean, but for what lies farther off than 1.5
/// deviations, which counts as if it lay there. On normal data as good as 96 % of as many values, where a median is as good as 64 %.
fn center(values: &[f64], start: f64, sd: f64) -> f64 {
    let pull = |m: f64, x: &f64| (x - m).clamp(-1.5 * sd, 1.5 * sd);
    (0..8).fold(start, |m, _| {
        m + values.iter().map(|x| pull(m, x)).sum::<f64>() / values.len().max(1) as f64
    })
}

/// By how much a lag-1 correlation makes the variance of a mean larger.
pub fn inflation(rho: f64) -> f64 {
    (1.0 + rho) / (1.0 - rho)
}

fn p_of(split: &Split, n: usize, rho: f64) -> f64 {
    selection(scaled(split, rho), n, LEAST)
}

fn scaled(split: &Split, rho: f64) -> f64 {
    split.extreme / inflation(rho).sqrt()
}

/// The lag-1 correlation of what is left of a series without its steps, which need not be any: from 0 to 0.95. It is the mean over
/// stretches of about 80 values, so that a long series with many steps does not pass for one that wanders.
pub fn correlation(values: &[f64]) -> f64 {
    let count = (values.len() / STRETCH).max(1);
    let end = |i: usize| i * values.len() / count;
    let sum: f64 = (0..count).map(|i| of_stretch(&values[end(i)..end(i + 1)])).sum();
    (MARGIN * sum / count as f64).clamp(0.0, 0.95)
}

/// The lag-1 correlation of a stretch without its three clearest steps, without bias.
///
/// Two steps (there and back) would pass for correlation if only one were taken out, and a place that the other one blurs would
/// leave a piece of it; so there is one cut, one on either side of it, and each is found again between its neighbours. (Of fewer than
/// 60 values, four means would take most of what there is to estimate from: there it is one cut.)
fn of_stretch(values: &[f64]) -> f64 {
    let n = values.len();
    let mut cuts = Vec::new();
    if let Some(first) = best_split(values, LEAST) {
        cuts.push(first.at);
        if n >= THREE_CUTS {
            let (left, right) = values.split_at(first.at);
            cuts.extend(best_split(left, LEAST).map(|split| split.at));
            cuts.extend(best_split(right, LEAST).map(|split| first.at + split.at));
            cuts.sort_unstable();
        }
        for i in [1, 0, 2, 1] {
            if cuts.len() > 1 && i < cuts.len() {
                let (from, to) = neighbours(&cuts, i, n);
                if let Some(split) = best_split(&values[from..to], LEAST) {
                    cuts[i] = from + split.at;
                }
            }
        }
    }
    let mut residuals = values.to_vec();
    let mut from = 0;
    for to in cuts.iter().copied().chain([n]) {
        if let Some(center) = median(&mut values[from..to].to_vec()) {
            residuals[from..to].iter_mut().for_each(|x| *x -= center);
        }
        from = to;
    }
    without_bias(lag_one(&ranks(&residuals)), cuts.len() + 1, n)
}

/// A lag-1 correlation of `n` values that m means were taken out of, which makes it too small by about m (1 + 3ρ) / n (Kendall 1954, for
/// one mean): set right.
pub(super) fn without_bias(rho: f64, means: usize, n: usize) -> f64 {
    let share = means as f64 / n as f64;
    (rho + share) / (1.0 - 3.0 * share).max(0.25)
}

/// The lag-1 correlation of values; 0 where all are equal.
pub(super) fn lag_one(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let square: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
    let product: f64 = values.windows(2).map(|w| (w[0] - mean) * (w[1] - mean)).sum();
    if square > 0.0 { product / square } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::random::Random;

    fn noise(n: usize, sd: f64, rho: f64, seed: u64) -> Vec<f64> {
        let mut random = Random::new(seed);
        let mut x = random.normal();
        (0..n)
            .map(|_| {
                x = rho * x + (1.0 - rho * rho).sqrt() * random.normal();
                sd * x
            })
            .collect()
    }

    fn found(values: &[f64], alpha: f64) -> Vec<Step> {
        let scan = scan(values).unwrap();
        if scan.p <= alpha { steps(values, alpha, scan.rho) } else { Vec::new() }
    }

    #[test]
    fn several_steps_are_found_where_they_are_with_their_levels() {
        let mut x = noise(200, 0.01, 0.0, 1);
        x[60..120].iter_mut().for_each(|v| *v += 0.05);
        x[120..170].iter_mut().for_each(|v| *v += 0.02);
        x[170..].iter_mut().for_each(|v| *v += 0.08);
        let steps = found(&x, 0.001);
        let places: Vec<usize> = steps.iter().map(|s| s.at).collect();
        assert_eq!(places, [60, 120, 170]);
        let sizes: Vec<f64> = steps.iter().map(|s| s.after - s.before).collect();
        for (got, want) in sizes.iter().zip([0.05, -0.03, 0.06]) {
            assert!((got - want).abs() < 0.006, "{sizes:?}");
        }
        assert!(steps.iter().all(|s| s.between.0 <= s.at && s.at <= s.between.1));
    }

    #[test]
    fn the_correlation_of_a_series_is_told_from_a_bump() {
        let mean = |rho: f64, bump: f64| {
            let of = |seed| {
                let mut x = noise(80, 0.01, rho, seed);
                x[30..50].iter_mut().for_each(|v| *v += bump);
                correlation(&x)
            };
            (0..200).map(of).sum::<f64>() / 200.0
        };
        assert!(
            mean(0.0, 0.0) < 0.15 && mean(0.0, 0.1) < 0.2,
            "{} {}",
            mean(0.0, 0.0),
            mean(0.0, 0.1)
        );
        assert!((0.4..0.75).contains(&mean(0.5, 0.0)), "{}", mean(0.5, 0.0));
    }

    #[test]
    fn unchanged_series_raise_no_more_alarms_than_is_allowed_even_if_they_wander() {
        for (rho, most) in [(0.0, 11), (0.3, 14), (0.5, 20)] {
            let alarms =
                (0..1000).filter(|&seed| !found(&noise(80, 0.01, rho, seed), 0.005).is_empty());
            let alarms = alarms.count();
            assert!(alarms <= most, "{rho}: {alarms} of 1000");
        }
    }

    #[test]
    fn a_step_of_two_deviations_with_ten_values_behind_it_is_found_and_its_place_told() {
        let (mut hits, mut told) = (0, 0);
        for seed in 0..300 {
            let mut x = noise(80, 0.01, 0.0, seed);
            x[70..].iter_mut().for_each(|v| *v += 0.02);
            if let Some(step) = found(&x, 0.005).iter().find(|step| step.after > step.before) {
                hits += 1;
                told += u32::from(step.between.0 <= 70 && step.between.1 >= 70);
            }
        }
        assert!(hits >= 258 && told * 10 >= hits * 9, "{hits} of 300, {told} told");
    }

    #[test]
    fn a_centre_is_about_the_mean_and_a_far_value_moves_it_little() {
        let values = noise(400, 1.0, 0.0, 5);
        let mean = values.iter().sum::<f64>() / 400.0;
        assert!((center(&values, 0.3, 1.0) - mean).abs() < 0.02);
        let mut far = values;
        far[0] = 1e6;
        assert!((center(&far, 0.3, 1.0) - mean).abs() < 0.03);
    }

    #[test]
    fn many_steps_of_a_long_series_do_not_pass_for_wandering() {
        let mut x = noise(1000, 0.01, 0.0, 3);
        x.iter_mut().enumerate().for_each(|(i, v)| *v += 0.03 * (i / 150 % 2) as f64);
        let places: Vec<usize> = found(&x, 1e-6).iter().map(|step| step.at).collect();
        assert!(
            places.len() == 6 && places.iter().all(|at| at % 150 <= 2 || at % 150 >= 148),
            "{places:?}"
        );
    }

    #[test]
    fn a_short_series_with_a_clear_step_is_not_taken_for_one_that_wanders() {
        let hits = (0..200).filter(|&seed| {
            let mut x = noise(30, 0.01, 0.0, seed);
            x[20..].iter_mut().for_each(|v| *v += 0.05);
            found(&x, 0.005).iter().any(|step| step.at.abs_diff(20) <= 1)
        });
        let hits = hits.count();
        assert!(hits >= 172, "{hits} of 200");
    }

    #[test]
    fn a_level_that_comes_and_goes_is_two_steps() {
        let mut x = noise(80, 0.01, 0.0, 9);
        x[30..55].iter_mut().for_each(|v| *v += 0.06);
        let places: Vec<usize> = found(&x, 0.001).iter().map(|step| step.at).collect();
        assert_eq!(places, [30, 55]);
    }

    #[test]
    fn what_is_too_short_or_not_a_number_is_not_judged_and_a_constant_has_no_step() {
        assert_eq!(scan(&[1.0; 9]), None);
        assert_eq!(scan(&[f64::NAN; 20]), None);
        assert_eq!(scan(&[1.0; 20]).unwrap().p, 1.0);
        assert!(steps(&[1.0; 20], 0.5, 0.0).is_empty());
    }
}
