//! Worker processes: the unit of replication and of crash isolation.
//!
//! [`protocol`] is what they speak, [`serve()`] the worker's end, [`Client`] the run's end of one, [`Processes`] all of
//! those of a run. External programs take part as well: `workers/README.md` is the protocol as they see it, and `exchange`
//! hands them operands and checks what comes back.

mod client;
mod crew;
mod exchange;
pub mod external;
pub mod extra;
mod lines;
mod obituary;
pub mod protocol;
mod serve;
pub mod trace;

pub use client::{Client, Spawn};
pub use crew::Processes;
pub use exchange::scratch;
pub use obituary::how_it_ended;
pub use serve::{Terms, serve};
