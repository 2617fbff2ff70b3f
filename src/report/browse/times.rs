//! Samples as times of a launch, and how they are drawn in a line.

use crate::record::Sample;

/// Steps of a sparkline.
const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The samples of a run, found by record.
#[derive(Debug, Default)]
pub struct Times {
    /// Record, process, and nanoseconds of one launch, by record.
    all: Vec<(u64, usize, f64)>,
}

impl Times {
    /// From the samples of a run, which stay in their order within a record.
    pub fn new(samples: &[Sample]) -> Times {
        let time = |sample: &Sample| sample.wall_ns as f64 / sample.iterations as f64;
        let mut all: Vec<(u64, usize, f64)> =
            samples.iter().map(|s| (s.record_id, s.process, time(s))).collect();
        all.sort_by_key(|(record, ..)| *record);
        Times { all }
    }

    /// Process and nanoseconds of a launch, of a record's samples in their order.
    pub fn of(&self, record_id: u64) -> impl Iterator<Item = (usize, f64)> + Clone {
        let from = self.all.partition_point(|(record, ..)| *record < record_id);
        let to = self.all.partition_point(|(record, ..)| *record <= record_id);
        self.all[from..to].iter().map(|&(_, process, time)| (process, time))
    }
}

/// How many values lie where, in `bins` letters from the least to twice that, what is more in the last; empty where there are
/// none.
pub fn histogram(values: impl Iterator<Item = f64> + Clone, bins: usize) -> String {
    let Some(least) = values.clone().reduce(f64::min).filter(|least| *least > 0.0) else {
        return String::new();
    };
    let mut counts = vec![0usize; bins.max(1)];
    for value in values {
        let at = ((value / least - 1.0) * counts.len() as f64) as usize;
        let last = counts.len() - 1;
        counts[at.min(last)] += 1;
    }
    let most = counts.iter().max().copied().unwrap_or(1).max(1);
    let step = |&count: &usize| match count {
        0 => ' ',
        _ => STEPS[(count * (STEPS.len() - 1)).div_ceil(most).min(STEPS.len() - 1)],
    };
    counts.iter().map(step).collect()
}

/// Values in their order as steps between `low` and `high`, in at most `most` letters: where there are more values, each letter is the greatest of
/// its stretch, so that no outlier is lost.
pub fn sparkline(values: &[f64], (low, high): (f64, f64), most: usize) -> String {
    let step = |value: f64| {
        let part = if high > low { ((value - low) / (high - low)).clamp(0.0, 1.0) } else { 0.0 };
        STEPS[(part * (STEPS.len() - 1) as f64).round() as usize]
    };
    let stretch = values.len().div_ceil(most.max(1)).max(1);
    let greatest = |chunk: &[f64]| chunk.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    values.chunks(stretch).map(greatest).map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_shows_where_samples_are_and_a_sparkline_their_order() {
        let bins = |values: &[f64]| histogram(values.iter().copied(), 8);
        assert_eq!(bins(&[]), "");
        assert_eq!(bins(&[1.0, 1.0, 1.0, 5.0]), "█      ▄");
        assert_eq!(histogram([1.0, 1.6].into_iter(), 2), "██");
        assert_eq!(sparkline(&[1.0, 2.0, 1.0], (1.0, 2.0), 80), "▁█▁");
        assert_eq!(sparkline(&[3.0, 3.0], (3.0, 3.0), 80), "▁▁");
        assert_eq!(sparkline(&[1.0, 9.0], (1.0, 2.0), 80), "▁█");
    }

    #[test]
    fn more_samples_than_letters_keep_the_greatest_of_each_stretch() {
        let mut values = vec![1.0; 100];
        values[55] = 2.0;
        let line = sparkline(&values, (1.0, 2.0), 10);
        assert_eq!(line, "▁▁▁▁▁█▁▁▁▁");
        assert_eq!(sparkline(&values[..11], (1.0, 2.0), 10).chars().count(), 6);
    }

    #[test]
    fn samples_are_found_by_record_in_their_order() {
        let sample = |record_id, process, wall_ns| Sample {
            record_id,
            process,
            index: 0,
            wall_ns,
            cpu_ns: None,
            run_queue_ns: None,
            iterations: 2,
            core_share: None,
            sm_mhz: None,
            power_mw: None,
            temperature_c: None,
            throttle: None,
        };
        let times = Times::new(&[sample(7, 1, 30), sample(2, 0, 10), sample(7, 0, 20)]);
        assert_eq!(times.of(7).collect::<Vec<_>>(), [(1, 15.0), (0, 10.0)]);
        assert_eq!((times.of(2).count(), times.of(3).count()), (1, 0));
    }
}
