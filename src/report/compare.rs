//! Ours against the baselines, case by case.

use super::group::is_own;
use crate::ops::Case;
use crate::record::Record;

/// The fastest of ours and the fastest baseline on one case.
#[derive(Debug, Clone, Copy)]
pub struct Shape<'a> {
    /// The case.
    pub case: Case,
    /// Our fastest.
    pub own: Option<&'a Record>,
    /// The fastest baseline.
    pub baseline: Option<&'a Record>,
}

impl<'a> Shape<'a> {
    /// The faster of the two.
    pub fn best(&self) -> Option<&'a Record> {
        match (self.own, self.baseline) {
            (Some(own), Some(baseline)) if median(baseline) < median(own) => Some(baseline),
            (Some(own), _) => Some(own),
            (None, baseline) => baseline,
        }
    }

    /// Our speed over the baseline's: above 1 we are faster.
    pub fn ratio(&self) -> Option<f64> {
        Some(median(self.baseline?) / median(self.own?)).filter(|r| r.is_finite())
    }
}

/// The median of a measured record in nanoseconds; infinite for others, so that they never win.
pub fn median(record: &Record) -> f64 {
    record.timing().map_or(f64::INFINITY, |t| t.median.0)
}

/// One [`Shape`] for every case with a measured record, in the order of the records.
pub fn shapes<'a>(records: &[&'a Record]) -> Vec<Shape<'a>> {
    let mut found: Vec<(String, Shape)> = Vec::new();
    for &record in records.iter().filter(|r| r.timing().is_some()) {
        let key = record.case.key();
        let at = found.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
            found.push((key, Shape { case: record.case, own: None, baseline: None }));
            found.len() - 1
        });
        let shape = &mut found[at].1;
        let place = if is_own(record) { &mut shape.own } else { &mut shape.baseline };
        if place.is_none_or(|known| median(record) < median(known)) {
            *place = Some(record);
        }
    }
    found.into_iter().map(|(_, shape)| shape).collect()
}

/// The geometric mean of positive numbers; `None` of none.
pub fn geomean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0u32);
    for value in values.into_iter().filter(|v| v.is_finite() && *v > 0.0) {
        sum += value.ln();
        count += 1;
    }
    (count > 0).then(|| (sum / f64::from(count)).exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Outcome;
    use crate::report::synthetic::square;

    #[test]
    fn the_fastest_of_each_side_meet_and_wrong_answers_do_not_take_part() {
        let mut wrong = square(64, "matmul/fast-and-wrong", "own", 1e-9);
        wrong.outcome = Outcome::Wrong("NaN".into());
        let records = [
            wrong,
            square(64, "matmul/naive", "own", 8e-3),
            square(64, "matmul/simd", "own", 1e-3),
            square(64, "matmul/gemm", "gemm", 2e-3),
            square(64, "matmul/mkl", "mkl", 3e-3),
        ];
        let shapes = shapes(&records.iter().collect::<Vec<_>>());
        assert_eq!(shapes.len(), 1);
        assert!((shapes[0].ratio().unwrap() - 2.0).abs() < 1e-9);
        assert_eq!(shapes[0].best().unwrap().kernel, "matmul/simd");
    }

    #[test]
    fn a_geometric_mean_weighs_double_and_half_alike() {
        assert!((geomean([2.0, 0.5]).unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(geomean([]), None);
        assert_eq!(geomean([f64::NAN, 0.0]), None);
    }
}
