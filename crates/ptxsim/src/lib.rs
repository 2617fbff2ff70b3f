//! Executes PTX on the CPU: a launch of a kernel, with its mistakes found and its instructions counted.
//!
//! ```
//! use ptxsim::{Argument, Launch, Memory, Module, Options};
//!
//! let module = Module::parse(
//!     ".version 8.0
//!      .target sm_80
//!      .address_size 64
//!      .visible .entry double(.param .u64 data) {
//!          .reg .b32 %r<3>;
//!          .reg .b64 %d<3>;
//!          ld.param.u64 %d0, [data];
//!          mov.u32 %r0, %tid.x;
//!          mul.wide.u32 %d1, %r0, 4;
//!          add.u64 %d2, %d0, %d1;
//!          ld.global.u32 %r1, [%d2];
//!          add.u32 %r2, %r1, %r1;
//!          st.global.u32 [%d2], %r2;
//!          ret;
//!      }",
//! )?;
//! let mut memory = Memory::new();
//! let data = memory.allocate("data", 64 * 4)?;
//! memory.write(data, &(0..64u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>())?;
//! let launch = Launch {
//!     entry: "double".into(),
//!     grid: [1, 1, 1],
//!     block: [64, 1, 1],
//!     arguments: vec![Argument::from(data)],
//!     ..Launch::default()
//! };
//! let report = ptxsim::run(&module, &launch, &mut memory, &Options::default())?;
//! assert!(report.findings.is_empty());
//! assert_eq!(memory.read(data.offset(4 * 63), 4)?, 126u32.to_le_bytes());
//! # Ok::<(), ptxsim::Error>(())
//! ```
//!
//! A form of an instruction that is not executed exactly is refused by an error that names it; nothing is guessed. [`coverage`]
//! lists what is executed and what is refused, instruction by instruction.
//! The same seed gives the same execution, whatever the number of host threads.

// A lane indexes several rows at a time.
#![allow(clippy::needless_range_loop)]

pub mod ast;
mod check;
pub mod conformance;
mod count;
#[doc = include_str!("../COVERAGE.md")]
pub mod coverage {}
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
pub use count::{Class, Counters, DEFINITIONS as COUNTERS, occupancy};
pub use error::{Error, Finding, Kind, Result};
pub use exec::run;
pub use launch::{Argument, Launch, Options, Report};
pub use memory::{Memory, Pointer};
pub use module::Module;
pub use tensor::map::TensorMap;
