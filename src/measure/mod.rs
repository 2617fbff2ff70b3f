//! Measuring: the clock and what may disturb it, one visit to a prepared kernel, and the session over processes.

pub mod clock;
pub mod covariates;
pub mod gpu;
pub mod session;
mod track;
pub mod visit;

pub use session::{Crew, Finding, Goal, Job, measure};
