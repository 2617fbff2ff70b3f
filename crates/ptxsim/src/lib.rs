//! Executes PTX on the CPU.

// A lane indexes several rows at a time.
#![allow(clippy::needless_range_loop)]
// Until every family uses what the engine offers it.
#![allow(dead_code, unused_imports, unreachable_code)]

pub mod ast;
mod check;
mod count;
mod error;
mod exec;
mod family;
mod launch;
mod memory;
mod module;
pub mod num;
mod parse;
mod program;
pub mod tensor;

pub use check::Checks;
pub use count::{Class, Counters, occupancy};
pub use error::{Error, Finding, Kind, Result};
pub use exec::run;
pub use launch::{Argument, Launch, Options, Report};
pub use memory::{Memory, Pointer};
pub use module::Module;
