//! From measured kernels to what a model costs: time, memory, money.
//!
//! ```text
//! model × split over devices → stages          what one device holds                        (shard)
//!   → items                                    what it does in a step                       (work)
//!   → times from a run's records               measured, interpolated, …, or a gap          (times, curve)
//!   + streams at measured bandwidth, links     assumptions, each one stated                 (work, network)
//!   → step → totals                            tokens/s, utilization, days, cost            (step, totals)
//!   → memory against capacity                                                               (memory)
//!   → plan                                     text, JSON, picture                          (report, text, picture)
//! ```
//!
//! It reads run folders and nothing else: no device, no kernel. [`crate::plan`] is another thing, the planning of runs.
//! Every formula stands with its source in docs/plan.md.

pub mod curve;
pub mod fit;
pub mod gap;
pub mod memory;
pub mod network;
pub mod picture;
pub mod quantity;
pub mod report;
pub mod roofs;
pub mod setup;
pub mod shard;
pub mod source;
pub mod step;
#[cfg(test)]
mod testing;
pub mod text;
pub mod times;
pub mod totals;
pub mod work;

pub use network::{Link, Links};
pub use report::{Plan, Question};
pub use setup::{Recompute, Setup};
pub use source::Source;
pub use times::{Basis, Choice, Timed, Times};
pub use totals::Wishes;
