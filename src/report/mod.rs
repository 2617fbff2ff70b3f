//! What people look at: the terminal table, `report.md` and `charts/*.svg`.
//!
//! Reports are made from records alone, so that a run that was copied from another machine can be reported anywhere.

pub mod across;
pub(crate) mod axis;
mod bars;
pub mod browse;
mod canvas;
pub(crate) mod chart;
mod charts;
mod compare;
mod counted;
pub(crate) mod draw;
mod findings;
pub(crate) mod group;
mod heat;
pub(crate) mod html;
mod layout;
pub mod listing;
mod markdown;
pub(crate) mod palette;
pub mod plain;
pub mod profiled;
mod reasons;
pub mod site;
pub mod stacked;
pub(crate) mod sweep;
#[cfg(test)]
pub(crate) mod synthetic;
mod table;
mod tables;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use html::href;
pub use table::terminal;
pub use write::{Written, document, write};
pub(crate) use write::{pictures, whole};

use crate::record::{Counter, Record};
use crate::stats::PowerLaw;

/// The law t = a + b·nᵖ, fitted to a sweep.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Law {
    /// What is paid at any size, in seconds (of memory: bytes).
    pub a: f64,
    /// The factor of the growing part.
    pub b: f64,
    /// The exponent.
    pub p: f64,
    /// Lower end of the 95 % interval of the exponent.
    pub p_low: f64,
    /// Upper end of the 95 % interval of the exponent.
    pub p_high: f64,
    /// The largest distance of a point from the law, relative to the point.
    pub max_relative_error: f64,
}

impl From<PowerLaw> for Law {
    fn from(fit: PowerLaw) -> Law {
        let PowerLaw { a, b, p, p_low, p_high, max_relative_error, points: _ } = fit;
        Law { a, b, p, p_low, p_high, max_relative_error }
    }
}

impl Law {
    /// The law's value at size `n`.
    pub fn predict(&self, n: f64) -> f64 {
        self.a + self.b * n.powf(self.p)
    }

    /// Whether every number of it is one.
    pub fn is_finite(&self) -> bool {
        [self.a, self.b, self.p, self.p_low, self.p_high].iter().all(|x| x.is_finite())
    }

    /// The exponent with its interval: `2.97 ± 0.02`, or `2.97 (2.90 to 2.98)` where the ends lie unevenly.
    pub fn exponent(&self) -> String {
        let (down, up) = (self.p - self.p_low, self.p_high - self.p);
        if (down - up).abs() < 0.005 + 0.2 * down.max(up) {
            format!("{:.2} ± {:.2}", self.p, down.max(up))
        } else {
            format!("{:.2} ({:.2} to {:.2})", self.p, self.p_low, self.p_high)
        }
    }
}

/// Fits a law to points of size and value; `None` where nothing fits.
pub type Fit<'a> = &'a dyn Fn(&[(f64, f64)]) -> Option<Law>;

/// Finds the stretches, each from one size to another, in which a curve leaves its law.
pub type Bends<'a> = &'a dyn Fn(&[(f64, f64)]) -> Vec<(f64, f64)>;

/// All that a report is made from.
#[derive(Clone, Copy)]
pub struct ReportInput<'a> {
    /// The run's records, in the order in which they were written.
    pub records: &'a [Record],
    /// Counters of simulated records.
    pub counters: &'a [Counter],
    /// The command line that made them.
    pub command: &'a str,
    /// The machine that they were made on, as (label, value).
    pub machine: &'a [(String, String)],
    /// From a model's name to its number of parameters.
    pub params: &'a dyn Fn(&str) -> Option<f64>,
    /// Fits t = a + b·nᵖ to points of size and seconds (or bytes); `None` where nothing fits.
    pub law: Fit<'a>,
    /// The stretches, each from one size to another, in which a curve of size and seconds bends away from a single law.
    pub bends: Bends<'a>,
}
