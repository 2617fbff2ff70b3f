//! Execution: the machine's state, its memory, its scheduler.
//!
//! # Shape
//! A [`Machine`] holds clusters that are resident at a time, each a list of [`Block`]s, each a list of [`Warp`]s. It
//! runs one warp at a time, one instruction at a time, all lanes of it together. A warp is a few [`Group`]s of lanes,
//! each at its own program counter; groups that meet at one counter merge, and no group starves.
//!
//! While a warp runs it is taken out of its block, and an instruction gets a [`Context`]: `warp` (registers, local
//! memory, per-warp state of families), `machine` (everything else) and `place` (who and where: cluster, block, warp,
//! program counter). It returns a [`Flow`].
//!
//! # Registers
//! [`Registers`] are rows of 32 lanes, `[u32; 32]` or `[u64; 32]`; 8- and 16-bit registers live zero-extended in
//! 32-bit rows; predicates are 32 bits, one a lane. Immediates, special registers and symbol addresses are rows, too:
//! an operand is always an index. Writes take the mask of executing lanes.
//!
//! # Memory
//! ALL accesses to memory, of every family, go through [`access`]: [`Context::read`], [`Context::write`] and
//! [`Context::atomic`] for the lanes of a warp (state space resolved lane by lane, generic addresses by window),
//! [`Machine::read_bytes`] and [`Machine::write_bytes`] for asynchronous and tensor work, which also bring in what
//! [`check`](crate::check) and [`count`](crate::count) want to know. Bounds, alignment and permission are checked
//! there and nowhere else. Addresses: shared memory is `rank << 24 | offset`, its first
//! [`SHARED_BASE`](crate::program::build::SHARED_BASE) bytes belong to nobody; generic windows are [`access::SHARED_WINDOW`],
//! [`access::LOCAL_WINDOW`], [`access::PARAM_WINDOW`]; everything else is global.
//!
//! # Asynchronous work
//! An instruction that starts work which ends later posts a [`Work`] to the machine ([`Machine::post`]) and gets a
//! ticket. The scheduler ends posted work ([`family::complete`](crate::family::complete)): with `Options::late` only when no
//! warp can go on otherwise (or warps only spin), one at a time, chosen by seed; without it at random times.
//! A family that must wait for its own work ends it on the spot: it takes it out of [`Machine::pending`].
//!
//! # Waiting
//! [`Flow::Wait`] parks the group on a condition and executes the instruction AGAIN when the condition holds;
//! [`Flow::WaitThen`] parks it and goes on with the next instruction. Conditions are asked through
//! [`family::ready`](crate::family::ready) and told in deadlock reports by [`family::describe`](crate::family::describe).

pub(crate) mod access;
mod block;
mod launch;
mod machine;
mod registers;
mod schedule;
mod start;
mod stuck;
mod warp;

pub(crate) use access::{Access, AccessKind, Order, Proxy, Request, Scope};
pub(crate) use block::{Block, Cluster, mark};
pub(crate) use launch::initial;
pub use launch::run;
pub(crate) use machine::{Context, Machine, Pending, Place, Shape, Work};
pub(crate) use registers::{NOTHING, Registers, Row32, Row64, lanes};
pub(crate) use warp::{Flow, Frame, Group, Wait, Warp};
