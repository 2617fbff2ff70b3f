//! What a run measured its machine to reach, by its probes.

use std::collections::HashMap;

use crate::ops::{Case, DType, ProbeKind, Problem};
use crate::record::Record;

/// Measured roofs of one device at one number of threads.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Roofs {
    /// Operations a second by the format of inputs.
    arithmetic: HashMap<DType, f64>,
    /// Bytes a second.
    bandwidth: Option<f64>,
}

impl Roofs {
    /// From the probes among `records`: the fastest right answer to each; bandwidth is that of copy and triad, the better
    /// one. Where a run holds no probes, what its records carry of an earlier one.
    pub fn of<'a>(records: impl Iterator<Item = &'a Record> + Clone) -> Roofs {
        let mut roofs = Roofs::default();
        for record in records.clone() {
            let (Problem::Peak(probe), Some((flops, bytes))) =
                (record.case.problem, record.reached())
            else {
                continue;
            };
            match probe.kind {
                ProbeKind::Fma => roofs.arithmetic(record.case.precision.inputs, flops.0),
                ProbeKind::Copy | ProbeKind::Triad => roofs.memory(bytes.0),
                _ => {}
            }
        }
        let probed = roofs.clone();
        for record in records.filter(|r| !matches!(r.case.problem, Problem::Peak(_))) {
            let inputs = record.case.precision.inputs;
            if let (None, Some(peak)) = (probed.arithmetic.get(&inputs), record.peak_flops) {
                roofs.arithmetic(inputs, peak.0);
            }
            if let (None, Some(peak)) = (probed.bandwidth, record.peak_bytes) {
                roofs.memory(peak.0);
            }
        }
        roofs
    }

    fn arithmetic(&mut self, dtype: DType, rate: f64) {
        if rate.is_finite() && rate > 0.0 {
            let known = self.arithmetic.entry(dtype).or_insert(rate);
            *known = known.max(rate);
        }
    }

    fn memory(&mut self, rate: f64) {
        if rate.is_finite() && rate > 0.0 {
            self.bandwidth = Some(self.bandwidth.map_or(rate, |known| known.max(rate)));
        }
    }

    /// Bytes a second of copy or triad.
    pub fn bandwidth(&self) -> Option<f64> {
        self.bandwidth
    }

    /// Operations a second on inputs of this format.
    pub fn flops(&self, inputs: DType) -> Option<f64> {
        self.arithmetic.get(&inputs).copied()
    }

    /// Whether [`Roofs::work`] of a case of this format is a time.
    pub fn are_known(&self, inputs: DType) -> bool {
        self.flops(inputs).is_some() && self.bandwidth.is_some()
    }

    /// The work of a case in nanoseconds, the least time that the roofs allow; without both roofs, its operations in
    /// thousands (an update's bytes). One measure for all cases of one format, so that a curve can go through them.
    pub fn work(&self, case: &Case) -> f64 {
        let cost = case.cost();
        let (flops, bytes) = (cost.flops.0 as f64, cost.bytes.0 as f64);
        match (self.flops(case.precision.inputs), self.bandwidth) {
            (Some(arithmetic), Some(memory)) => 1e9 * (flops / arithmetic).max(bytes / memory),
            _ if matches!(case.problem, Problem::Update(_)) => bytes / 1e3,
            _ => flops / 1e3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;
    use crate::ops::{Matmul, Precision};

    #[test]
    fn the_roofs_are_the_fastest_probes_and_a_case_is_bound_by_the_lower_one() {
        let records = testing::records();
        let roofs = Roofs::of(records.iter());
        assert_eq!(roofs.flops(DType::F32), Some(100e9));
        assert_eq!(roofs.bandwidth(), Some(10e9));
        assert_eq!(roofs.flops(DType::Bf16), None);
        let work =
            |m, n, k| roofs.work(&Case::new(Problem::Matmul(Matmul::new(m, n, k)), Precision::F32));
        // 2·10⁹ operations at 100 Gflop/s against 12 MB at 10 GB/s; then one row against a whole matrix.
        assert!((work(1000, 1000, 1000) - 20e6).abs() < 1.0);
        assert!((work(1, 1000, 1000) - 4.008e6 / 10.0).abs() < 1.0);
    }
}
