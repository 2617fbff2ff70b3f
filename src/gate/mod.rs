//! The gate: is the head build slower than the base, and how sure is that?
//!
//! ```text
//! rounds: fresh processes of base, head and a copy of base, in an order that a coin decides
//!   → Levels of each kernel in each            one number a process: processes are what is replicated
//!   → Judge                                    signed ranks of log ratios, at a few looks, over all kernels and curves
//!   → Judgement, one a kernel or curve         Same, Faster, Slower, Undecided, Unfit, OnlyInBase, OnlyInHead
//!   → Report                                   table, JSON, Markdown, JUnit, SARIF, annotations, exit code
//! ```
//!
//! But for [`workers`] and [`foreign`], which start processes, everything here is a function of numbers, so that [`simulate`] can put
//! whole gates through known noise and count their errors.

pub mod config;
pub mod exact;
pub mod foreign;
pub mod pair;
pub mod render;
pub mod report;
pub mod rounds;
pub mod rule;
pub mod simulate;
pub mod unpaired;
pub mod verdict;
pub mod workers;

pub use pair::{Judge, Levels, Subject};
pub use report::{Finding, Report};
pub use rule::Rule;
pub use verdict::{Judgement, Verdict};
