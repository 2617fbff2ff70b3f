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
//! # What is found
//! Each [`Finding`] names kernel, PTX and CUDA source line, block, warp and lanes, and for two that clash the other's as well.
//!
//! | kind | what |
//! |---|---|
//! | [`OutOfBounds`](Kind::OutOfBounds), [`Misaligned`](Kind::Misaligned), [`ReadOnly`](Kind::ReadOnly) | addresses outside of every allocation (the nearest is named) or window, of an exited block's shared memory, that are no multiple of the size, or that the launch does not let be written |
//! | [`UninitializedMemory`](Kind::UninitializedMemory), [`UninitializedRegister`](Kind::UninitializedRegister) | use of bytes and registers that nothing wrote: global, shared and local memory, predicates and guards too, lane by lane |
//! | [`Race`](Kind::Race) | accesses to a byte that nothing orders, within a warp too, by happens-before: barriers of warp, block and cluster, mbarriers, fences with strong accesses, and the waits of asynchronous copies, which know only what came before their instruction; a block that exits while others may still use its shared memory |
//! | [`MissingProxyFence`](Kind::MissingProxyFence) | a bulk copy or `wgmma` that touches what ordinary instructions wrote with no `fence.proxy.async` between |
//! | [`MissingInitFence`](Kind::MissingInitFence) | an mbarrier used by a bulk copy, or behind a relaxed barrier of the cluster, with no fence since its initialization |
//! | [`Mbarrier`](Kind::Mbarrier), [`Barrier`](Kind::Barrier) | rules of these objects: counts, phases, plain accesses to a living mbarrier; lanes of a warp at different barriers |
//! | [`InFlight`](Kind::InFlight), [`Abandoned`](Kind::Abandoned) | registers of a `wgmma` touched before it was waited for; copies and products that nobody waits for |
//! | [`Deadlock`](Kind::Deadlock) | no warp can go on; what each one waits for, and how far that has come; warpgroups that together ask for more registers than their block has (`setmaxnreg`) among them |
//! | [`Budget`](Kind::Budget), [`Trap`](Kind::Trap), [`Undefined`](Kind::Undefined), [`Invalid`](Kind::Invalid) | endless loops, assertions, operands and lanes for which PTX defines nothing, bits of descriptors that belong to no field, descriptors and tensor maps that lead nowhere |
//!
//! Asynchronous work ends as late as it may ([`Options::late`]) or at random times, warps run in an order of
//! [`Options::seed`], and waits may give up ([`Options::give_up`]). What happens-before tells does not depend on the
//! schedule, as long as the schedule lets both accesses happen.
//!
//! # What cannot be judged
//! - Weak memory beyond happens-before: every execution is sequentially consistent, so a program that is free of races here but
//!   relies on an order of relaxed accesses that hardware does not keep passes. Scopes are told apart between block and device only,
//!   on the side that releases.
//! - Ordinary reads before a bulk copy overwrites the bytes need what orders them before the copy (a barrier, an mbarrier's arrival
//!   that releases), or it is a [`Race`](Kind::Race), but no proxy fence. By the letter of PTX's memory model (8.9.5, proxy-preserved
//!   base causality order) operations of two proxies are never ordered but by a fence, reads included. What an order by release and
//!   acquire means for a read settles it: a release is performed when all before it in its thread is, so the read has its value
//!   before the arrival is seen, and the copy, which is started after that, cannot be what it reads. A write is another matter: it may
//!   be performed and still be on its way to where the other proxy looks, so writes before a copy do need the fence, whether it
//!   reads or overwrites them. So do kernels that are taken to be right: CUTLASS's consumers that load operands by `ldmatrix` release their
//!   stage by an arrival alone. Of a thread's own reads program order alone is taken to be enough.
//! - Lanes that execute `fence.proxy.async` together are taken to cover each other's accesses.
//! - Accesses past the end of one variable into the next of the same block's shared or local memory.
//! - The last bits of approximate functions (`ex2.approx` and its kin) and of sums inside tensor cores, whose order hardware
//!   does not tell; both stay within the bounds that PTX states.
//! - Performance: counters are exact, and no time is made from them.
//! - `setmaxnreg` where no directive fixes the registers that a thread has at first: `ptxas` ignores it there, and so does its pool here.
//! - Paths that no seed takes.
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
/// The example of the README, so that it compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
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
pub use count::{Class, Counted, Counters, DEFINITIONS as COUNTERS, occupancy};
pub use error::{Error, Finding, Kind, Result};
pub use exec::run;
pub use launch::{Argument, Launch, Options, Report};
pub use memory::{Memory, Pointer};
pub use module::Module;
pub use tensor::map::TensorMap;
