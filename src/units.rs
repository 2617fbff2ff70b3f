//! Quantities as types, so that work cannot be mistaken for traffic.
//!
//! `Flops / Nanos` is the only way to a [`FlopRate`], `Bytes / Nanos` the only way to a [`ByteRate`].

use std::fmt;
use std::ops::{Add, Div, Mul};

use serde::{Deserialize, Serialize};

/// A duration in nanoseconds; fractional, for a launch in a batch may take less than one tick.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nanos(pub f64);

/// An amount of memory or memory traffic, in bytes.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Bytes(pub u64);

/// An amount of arithmetic; a fused multiply-add counts as two.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Flops(pub u64);

/// Arithmetic per time, in floating-point (or integer) operations per second.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FlopRate(pub f64);

/// Memory traffic per time, in bytes per second.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ByteRate(pub f64);

impl Nanos {
    /// From seconds.
    pub fn from_secs(secs: f64) -> Self {
        Nanos(secs * 1e9)
    }

    /// In seconds.
    pub fn secs(self) -> f64 {
        self.0 / 1e9
    }
}

impl Div<Nanos> for Flops {
    type Output = FlopRate;
    fn div(self, time: Nanos) -> FlopRate {
        FlopRate(self.0 as f64 / time.secs())
    }
}

impl Div<Nanos> for Bytes {
    type Output = ByteRate;
    fn div(self, time: Nanos) -> ByteRate {
        ByteRate(self.0 as f64 / time.secs())
    }
}

impl Div<FlopRate> for Flops {
    type Output = Nanos;
    fn div(self, rate: FlopRate) -> Nanos {
        Nanos::from_secs(self.0 as f64 / rate.0)
    }
}

impl Div<ByteRate> for Bytes {
    type Output = Nanos;
    fn div(self, rate: ByteRate) -> Nanos {
        Nanos::from_secs(self.0 as f64 / rate.0)
    }
}

impl Add for Bytes {
    type Output = Bytes;
    fn add(self, other: Bytes) -> Bytes {
        Bytes(self.0 + other.0)
    }
}

impl Mul<u64> for Bytes {
    type Output = Bytes;
    fn mul(self, times: u64) -> Bytes {
        Bytes(self.0 * times)
    }
}

/// Scales `value` by powers of `base` until it is below it, and names the step.
fn scaled(mut value: f64, base: f64, steps: &[&'static str]) -> (f64, &'static str) {
    let mut step = 0;
    while value.abs() >= base * 0.9995 && step + 1 < steps.len() {
        value /= base;
        step += 1;
    }
    (value, steps[step])
}

/// Three significant digits: `1.23`, `12.3`, `123`.
fn three_digits(f: &mut fmt::Formatter<'_>, value: f64, unit: &str) -> fmt::Result {
    let decimals = match value.abs() {
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    f.pad(&format!("{value:.decimals$} {unit}"))
}

impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, unit) = scaled(self.0, 1000.0, &["ns", "µs", "ms", "s"]);
        three_digits(f, value, unit)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1024 {
            return f.pad(&format!("{} B", self.0));
        }
        let (value, unit) =
            scaled(self.0 as f64, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB"]);
        three_digits(f, value, unit)
    }
}

impl fmt::Display for Flops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, unit) = scaled(
            self.0 as f64,
            1000.0,
            &["flop", "kflop", "Mflop", "Gflop", "Tflop", "Pflop", "Eflop"],
        );
        three_digits(f, value, unit)
    }
}

impl fmt::Display for FlopRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, unit) = scaled(
            self.0,
            1000.0,
            &["FLOP/s", "kFLOP/s", "MFLOP/s", "GFLOP/s", "TFLOP/s", "PFLOP/s"],
        );
        three_digits(f, value, unit)
    }
}

impl fmt::Display for ByteRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, unit) = scaled(self.0, 1000.0, &["B/s", "kB/s", "MB/s", "GB/s", "TB/s"]);
        three_digits(f, value, unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flops_over_time_are_a_rate_and_back() {
        let rate = Flops(2_000_000_000) / Nanos::from_secs(0.5);
        assert_eq!(rate, FlopRate(4e9));
        assert_eq!(Flops(2_000_000_000) / rate, Nanos(5e8));
    }

    #[test]
    fn quantities_print_three_digits_and_a_unit() {
        assert_eq!(Nanos(1234.0).to_string(), "1.23 µs");
        assert_eq!(Nanos(999.9).to_string(), "1.00 µs");
        assert_eq!(Bytes(1536).to_string(), "1.50 KiB");
        assert_eq!(Bytes(12).to_string(), "12 B");
        assert_eq!(FlopRate(271.6e9).to_string(), "272 GFLOP/s");
        assert_eq!(ByteRate(44.0e9).to_string(), "44.0 GB/s");
        assert_eq!(Flops(0).to_string(), "0.00 flop");
    }
}
