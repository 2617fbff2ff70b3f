//! Axes: ranges, ticks and the words on them.

/// How values are laid along an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// From zero, evenly.
    Linear,
    /// By the logarithm; only positive values have a place.
    Log,
}

/// What the values count, which decides how ticks are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Plain numbers in the unit that the axis names.
    Number,
    /// Counts with k, M, B.
    Count,
    /// Seconds with ns, µs, ms.
    Seconds,
    /// Bytes with KiB, MiB, GiB; ticks are powers of two.
    Bytes,
}

impl Unit {
    /// The text of a tick.
    pub fn format(self, value: f64) -> String {
        match self {
            Unit::Number => trim(value),
            Unit::Count => prefixed(value, 1000.0, &["", "k", "M", "B", "T"], ""),
            // Not by way of nanoseconds, of which absurd times have more than a number holds.
            Unit::Seconds if value >= 1.0 => format!("{} s", trim(value)),
            Unit::Seconds => {
                let nanos = value * 1e9;
                prefixed(nanos, 1000.0, &["ns", "µs", "ms", "s"], " ")
            }
            Unit::Bytes => prefixed(value, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB"], " "),
        }
    }
}

/// At most four significant digits and no trailing zeros.
fn trim(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    if !(1e-9..1e7).contains(&value.abs()) {
        return format!("{value:.0e}");
    }
    let decimals = (3 - value.abs().log10().floor() as i32).clamp(0, 9) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// A ratio in three digits: `0.05`, `1.24`, `12.4`, `1240`; as a power of ten where it is absurd.
pub fn three_digits(ratio: f64) -> String {
    match ratio {
        r if !(0.005..99_999.5).contains(&r) => format!("{r:.0e}"),
        r if r < 9.995 => format!("{r:.2}"),
        r if r < 99.95 => format!("{r:.1}"),
        r => format!("{r:.0}"),
    }
}

fn prefixed(mut value: f64, base: f64, steps: &[&str], gap: &str) -> String {
    let mut step = 0;
    while value.abs() >= base * 0.9995 && step + 1 < steps.len() {
        value /= base;
        step += 1;
    }
    let gap = if steps[step].is_empty() { "" } else { gap };
    format!("{}{gap}{}", trim(value), steps[step])
}

/// One axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// What it shows and in which unit.
    pub label: String,
    /// How values are laid along it.
    pub scale: Scale,
    /// How ticks are written.
    pub unit: Unit,
    /// The ends.
    pub range: (f64, f64),
    /// Where ticks stand, increasing, within the range.
    pub ticks: Vec<f64>,
}

impl Axis {
    /// An axis that holds every usable value with room to spare; `None` where there is none.
    ///
    /// A linear axis starts at zero. Values that are not finite (on a log axis: not positive) are passed over.
    pub fn fit(
        label: impl Into<String>,
        scale: Scale,
        unit: Unit,
        values: impl IntoIterator<Item = f64>,
    ) -> Option<Axis> {
        let usable = |v: &f64| v.is_finite() && *v >= 0.0 && (scale == Scale::Linear || *v > 0.0);
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.into_iter().filter(usable) {
            low = low.min(value);
            high = high.max(value);
        }
        if low > high {
            return None;
        }
        let range = match scale {
            Scale::Linear => (0.0, if high > 0.0 { high * 1.06 } else { 1.0 }),
            Scale::Log if high < low * 1.5 => {
                ((low / 2.0).max(f64::MIN_POSITIVE), (high * 2.0).min(f64::MAX))
            }
            Scale::Log => {
                // By logarithms: the ratio of absurd values has no number.
                let pad = ((high.ln() - low.ln()) * 0.05).exp();
                ((low / pad).max(f64::MIN_POSITIVE), (high * pad).min(f64::MAX))
            }
        };
        let axis = Axis { label: label.into(), scale, unit, range, ticks: Vec::new() };
        Some(axis.with_at_most(8))
    }

    /// Chooses round ticks anew, at most `count` on a log axis.
    pub fn with_at_most(mut self, count: usize) -> Axis {
        self.ticks = match (self.scale, self.unit) {
            (Scale::Linear, _) => linear_ticks(self.range),
            (Scale::Log, Unit::Bytes) => binary_ticks(self.range, count),
            (Scale::Log, _) => log_ticks(self.range, count),
        };
        self
    }

    /// Puts the ticks at these values, where they lie in the range.
    pub fn with_ticks(mut self, mut ticks: Vec<f64>) -> Axis {
        ticks.retain(|t| (self.range.0..=self.range.1).contains(t));
        ticks.sort_by(f64::total_cmp);
        ticks.dedup();
        self.ticks = ticks;
        self
    }

    /// The place of a value as a share of the axis, 0 to 1 within the range; `None` where it has none.
    pub fn place(&self, value: f64) -> Option<f64> {
        let (low, high) = self.range;
        let share = match self.scale {
            Scale::Linear => (value - low) / (high - low),
            Scale::Log => (value.ln() - low.ln()) / (high.ln() - low.ln()),
        };
        share.is_finite().then_some(share)
    }
}

/// Multiples of 1, 2 or 5 times a power of ten: three to seven of them.
fn linear_ticks((low, high): (f64, f64)) -> Vec<f64> {
    let rough = (high - low) / 6.0;
    let decade = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|s| s * decade).into_iter().find(|&s| s >= rough);
    let step = step.unwrap_or(10.0 * decade);
    let first = (low / step).ceil() as i64;
    (first..).map(|i| i as f64 * step).take_while(|&v| v <= high).collect()
}

/// The densest of 1-2-5, 1-3, decades and every nth decade that has at most `most` ticks; 1…9 where these have but two.
fn log_ticks((low, high): (f64, f64), most: usize) -> Vec<f64> {
    let decades = low.log10().floor() as i32..=high.log10().ceil() as i32;
    let with = |digits: &[f64], every: i32| -> Vec<f64> {
        let in_range = |v: &f64| (low..=high).contains(v);
        let steps = decades.clone().filter(|d| d.rem_euclid(every) == 0);
        steps.flat_map(|d| digits.iter().map(move |x| x * 10f64.powi(d))).filter(in_range).collect()
    };
    let coarse = [with(&[1.0, 2.0, 5.0], 1), with(&[1.0, 3.0], 1), with(&[1.0], 1)]
        .into_iter()
        .chain((2..).map(|n| with(&[1.0], n)))
        .find(|ticks| ticks.len() <= most)
        .unwrap_or_default();
    let fine = with(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0], 1);
    if coarse.len() < 3 && fine.len() <= most { fine } else { coarse }
}

/// Powers of two, or of 4, 16, 32, 1024: the densest that has at most `most` ticks.
fn binary_ticks((low, high): (f64, f64), most: usize) -> Vec<f64> {
    let powers = low.log2().floor() as i32..=high.log2().ceil() as i32;
    let every = |n: i32| -> Vec<f64> {
        let steps = powers.clone().filter(|p| p.rem_euclid(n) == 0).map(|p| 2f64.powi(p));
        steps.filter(|v| (low..=high).contains(v)).collect()
    };
    [1, 2, 5, 10, 20, 50, 100, 200, 500]
        .map(every)
        .into_iter()
        .find(|ticks| ticks.len() <= most)
        .unwrap_or_else(|| vec![low])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_written_in_the_unit_a_person_would_choose() {
        assert_eq!(Unit::Seconds.format(1e-5), "10 µs");
        assert_eq!(Unit::Seconds.format(30.0), "30 s");
        assert_eq!(Unit::Count.format(1e8), "100M");
        assert_eq!(Unit::Count.format(512.0), "512");
        assert_eq!(Unit::Bytes.format(3.0 * 1024.0), "3 KiB");
        assert_eq!(Unit::Number.format(0.05), "0.05");
        assert_eq!(Unit::Number.format(1500.0), "1500");
    }

    #[test]
    fn absurd_values_have_an_axis_and_short_ticks() {
        for values in [[1e-300, 1e300], [f64::MIN_POSITIVE, f64::MAX], [f64::MAX, f64::MAX]] {
            for unit in [Unit::Number, Unit::Seconds, Unit::Bytes, Unit::Count] {
                let axis = Axis::fit("x", Scale::Log, unit, values).unwrap();
                assert!(
                    axis.place(values[1]).is_some_and(|s| (0.0..=1.0).contains(&s)),
                    "{axis:?}"
                );
                let ticks = axis.ticks.iter().map(|tick| unit.format(*tick));
                assert!(
                    axis.ticks.len() <= 8
                        && ticks.into_iter().all(|text| text.len() < 12 && !text.contains("inf"))
                );
            }
        }
    }

    #[test]
    fn ratios_of_any_size_are_short() {
        let ratios = [0.05, 1.236, 12.36, 123.6].map(three_digits);
        assert_eq!(ratios, ["0.05", "1.24", "12.4", "124"]);
        assert!([1e-300, 1e300, 0.004, 1e5].map(three_digits).iter().all(|text| text.len() <= 6));
    }

    #[test]
    fn an_axis_has_two_to_eight_ticks_for_any_span() {
        for exponent in 0..12 {
            let high = 3.7 * 10f64.powi(exponent);
            for unit in [Unit::Number, Unit::Bytes] {
                for scale in [Scale::Log, Scale::Linear] {
                    let axis = Axis::fit("x", scale, unit, [3.6, high]).unwrap();
                    assert!((2..=8).contains(&axis.ticks.len()), "{axis:?}");
                    assert!(axis.ticks.windows(2).all(|w| w[0] < w[1]));
                }
            }
        }
    }

    #[test]
    fn one_value_gets_an_axis_and_none_does_not() {
        let axis = Axis::fit("x", Scale::Log, Unit::Number, [7.0, 7.0]).unwrap();
        assert!((axis.place(7.0).unwrap() - 0.5).abs() < 1e-9);
        assert!(axis.ticks.len() >= 2);
        assert!(Axis::fit("x", Scale::Log, Unit::Number, [0.0, -1.0, f64::NAN]).is_none());
        assert!(Axis::fit("x", Scale::Linear, Unit::Number, []).is_none());
    }
}
