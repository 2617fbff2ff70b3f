//! Worker processes: the unit of replication and of crash isolation.
//!
//! [`protocol`] is what they speak, [`serve()`] the worker's end, [`Client`] the run's end of one, [`Processes`] all of
//! those of a run.

mod client;
mod crew;
mod obituary;
pub mod protocol;
mod serve;

pub use client::{Client, Spawn};
pub use crew::Processes;
pub use serve::serve;
