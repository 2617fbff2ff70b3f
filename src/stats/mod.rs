//! What numbers say: order statistics, intervals over processes, a stopping rule, scaling laws, and the tests of the gate:
//! signed ranks, sequential looks, equivalence, many tests at once, power; and those of a history: steps and drifts.
//!
//! Plain `f64` slices in, plain numbers out: no I/O, no device, and nothing of the rest of the crate. Everything random is
//! seeded, so the same samples give the same interval on every machine. What cannot be answered (no samples, NaN, too few
//! points) is `None`, never a number that looks like an answer.

pub mod bends;
pub mod binomial;
pub mod claim;
pub mod drift;
pub mod fit;
#[cfg(test)]
mod golden;
pub mod interval;
pub mod multiple;
pub mod order;
pub mod power;
pub mod random;
pub mod scan;
pub mod sequential;
pub mod signed_rank;
pub mod steps;
pub mod stopping;
pub mod student;
pub mod welch;

pub use bends::{Bend, bends};
pub use fit::{PowerLaw, power_law};
pub use interval::{Level, process_interval};
pub use order::{mad, median, quantile};
pub use stopping::{Stop, Stopping};
