//! The history: when did a kernel become slower, and by which commit?
//!
//! ```text
//! Entry, one number of one run          kernel, case, metric, fingerprint; its value and what a reference took beside it
//!   → series::assemble                  one point a commit: the log of the ratio to the reference, or to canaries
//!   → judge                             steps and drifts, false discoveries controlled over all series
//!   → Report                            table, JSON, exit code; exports and the page
//! ```
//!
//! What all kernels of a machine do together is taken out by something that no commit changes: a pinned build that is measured in
//! the same job, or canaries. The median of the other kernels would hide a slowdown of all of them, such as a lost compiler flag.
//!
//! Nothing here does I/O; [`crate::store::history`] keeps entries and blessings in a folder.

pub mod bisect;
pub mod chart;
pub mod entry;
pub mod export;
pub mod import;
pub mod judge;
pub mod page;
pub mod report;
pub mod series;
pub mod simulate;
pub mod table;
#[cfg(test)]
mod tests;

pub use entry::{Blessing, Entry, History, Key};
pub use judge::{Rule, judge};
pub use report::{Finding, Judged, Kind, Report, State};
pub use series::{Basis, Point, Series};
