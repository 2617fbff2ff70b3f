//! Instruction families, one place each.
//!
//! # How to add an instruction, or a family
//! A family is a file `<name>.rs` or a folder `<name>/` with
//! ```text
//! pub(crate) enum Op { … }                                                    // resolved: rows, constants, flags
//! pub(crate) fn lower(i: &Instruction, l: &mut Lowering) -> Result<Option<Op>>   // None: not one of mine
//! pub(crate) fn execute(op: &Op, context: &mut Context, mask: u32) -> Result<Flow, Fault>
//! ```
//! and its variant of [`Op`](crate::program::Op), with its lines in [`lower`] and [`execute`] here.
//! - `lower` looks at `i.opcode` and takes modifiers and operands from [`Lowering`]: `l.flag("ftz")`, `l.ty()?`,
//!   `l.source32(1, ty)?`, `l.destination32(0)?`, `l.address(1)?` … Each operand becomes a row of a register file,
//!   constants too. What it does not take is refused by name afterwards, so take only what you execute; refuse a
//!   form that you know and do not execute with `Err(l.unsupported("why"))`. An instruction that makes blocks
//!   talk through global memory calls `l.communicates()`.
//! - `execute` runs for the lanes in `mask` (never empty): rows through `context.warp.registers`, memory through
//!   [`Context::read`], [`Context::write`], [`Context::atomic`], or `context.machine.read_bytes` and its kin with a
//!   [`Request`](crate::exec::Request); synchronization is told to `context.machine.check.event`. It returns the
//!   [`Flow`], or a [`Fault`] that ends the execution; `context.report` notes a mistake and goes on. Keep an `Op`
//!   below 32 bytes (box what is larger), and the hot path free of allocation, hashing and strings.
//! - State that a family keeps for a warp, a block or a cluster is a field of [`WarpState`], [`BlockState`],
//!   [`ClusterState`] (all start as their default). Work that ends later is a variant of
//!   [`Work`](crate::exec::Work), ended by `complete`; conditions to wait for are a variant of
//!   [`Wait`](crate::exec::Wait), asked by `ready` and told by `describe`. Whenever something changes that another
//!   warp may wait for, add to `machine.progress`.

pub(crate) mod barrier;
pub(crate) mod bulk;
pub(crate) mod cluster;
pub(crate) mod collective;
pub(crate) mod control;
pub(crate) mod copy;
pub(crate) mod matrix;
pub(crate) mod mbarrier;
pub(crate) mod memory;
pub(crate) mod misc;
pub(crate) mod scalar;
pub(crate) mod send;
pub(crate) mod wgmma;

use crate::ast::Instruction;
use crate::error::{Fault, Result};
use crate::exec::{Context, Flow, Machine, Place, Wait, Work};
use crate::program::{Lowering, Op};
use crate::tensor::form::Form;

/// What families keep for a warp.
#[derive(Debug, Default)]
pub(crate) struct WarpState {
    /// Groups of `cp.async`.
    pub copy: copy::WarpState,
    /// Groups of bulk work.
    pub bulk: bulk::WarpState,
    /// wgmma in flight.
    pub wgmma: wgmma::WarpState,
    /// The cluster barrier's phase.
    pub cluster: cluster::WarpState,
}

/// What families keep for a block.
#[derive(Debug, Default)]
pub(crate) struct BlockState {
    /// Named barriers.
    pub barrier: barrier::BlockState,
    /// mbarrier objects.
    pub mbarrier: mbarrier::BlockState,
    /// Products of warpgroups.
    pub wgmma: wgmma::BlockState,
    /// Registers that `setmaxnreg` moves.
    pub registers: misc::registers::BlockState,
}

/// What families keep for a cluster.
#[derive(Debug, Default)]
pub(crate) struct ClusterState {
    /// Its barrier.
    pub cluster: cluster::ClusterState,
}

/// The matrix product that an instruction computes, and how many operations one warp's execution of it counts as.
pub(crate) fn product(op: &Op) -> Option<(&Form, u64)> {
    match op {
        Op::Matrix(op) => op.product(),
        Op::Wgmma(op) => op.product(),
        _ => None,
    }
}

/// Resolves an instruction by the first family that knows it.
pub(crate) fn lower(i: &Instruction, l: &mut Lowering) -> Result<Op> {
    macro_rules! ask {
        ($($family:ident => $variant:ident),*) => {$(
            if let Some(op) = $family::lower(i, l)? {
                return Ok(Op::$variant(op));
            }
        )*};
    }
    ask!(
        misc => Misc, scalar => Scalar, memory => Memory, control => Control, collective => Collective,
        barrier => Barrier, matrix => Matrix, wgmma => Wgmma, copy => Copy, mbarrier => Mbarrier, bulk => Bulk,
        cluster => Cluster, send => Send
    );
    Err(l.unsupported(refusal(i)))
}

/// Why an instruction that no family takes is refused; see COVERAGE.md.
fn refusal(i: &Instruction) -> &'static str {
    match i.opcode.as_str() {
        "tcgen05" => "the tensor memory of sm_100 and what computes in it are not simulated",
        "tex" | "tld4" | "txq" | "istypep" => "textures are not simulated",
        "suld" | "sust" | "sured" | "suq" => "surfaces are not simulated",
        "alloca" | "stacksave" | "stackrestore" => {
            "a stack that grows as a kernel runs is not simulated"
        }
        "multimem" => "there is one GPU, and no memory of several",
        "clusterlaunchcontrol" => "clusters do not take over others' work",
        "st" => "stores in bulk are not executed",
        "cvt" => "packing conversions are not executed",
        v if v.starts_with('v') => "video instructions are not executed",
        _ => "no such instruction is known",
    }
}

/// Executes an instruction for the lanes in `mask`, of which there is at least one.
#[inline(always)]
pub(crate) fn execute(op: &Op, context: &mut Context, mask: u32) -> Result<Flow, Fault> {
    match op {
        Op::Scalar(op) => scalar::execute(op, context, mask),
        Op::Memory(op) => memory::execute(op, context, mask),
        Op::Control(op) => control::execute(op, context, mask),
        Op::Collective(op) => collective::execute(op, context, mask),
        Op::Barrier(op) => barrier::execute(op, context, mask),
        Op::Matrix(op) => matrix::execute(op, context, mask),
        Op::Wgmma(op) => wgmma::execute(op, context, mask),
        Op::Copy(op) => copy::execute(op, context, mask),
        Op::Mbarrier(op) => mbarrier::execute(op, context, mask),
        Op::Bulk(op) => bulk::execute(op, context, mask),
        Op::Cluster(op) => cluster::execute(op, context, mask),
        Op::Send(op) => send::execute(op, context, mask).map(|()| Flow::Next),
        Op::Misc(op) => misc::execute(op, context, mask),
    }
}

/// Whether what a group of `lanes` waits for has come.
pub(crate) fn ready(wait: &Wait, context: &mut Context, lanes: u32) -> bool {
    match wait {
        Wait::Barrier(wait) => barrier::ready(wait, context, lanes),
        Wait::Mbarrier(wait) => mbarrier::ready(wait, context, lanes),
        Wait::Cluster(wait) => cluster::ready(wait, context, lanes),
        Wait::Wgmma(wait) => wgmma::ready(wait, context, lanes),
        Wait::Registers(wait) => misc::registers::ready(wait, context),
        Wait::Converge(_) | Wait::Meet(_) => unreachable!("the scheduler answers this itself"),
    }
}

/// What a group at `place` waits for, in words that go on from "wait for".
pub(crate) fn describe(wait: &Wait, machine: &Machine, place: Place) -> String {
    match wait {
        Wait::Barrier(wait) => barrier::describe(wait, machine, place),
        Wait::Mbarrier(wait) => mbarrier::describe(wait, machine, place),
        Wait::Cluster(wait) => cluster::describe(wait, machine, place),
        Wait::Wgmma(wait) => wgmma::describe(wait, machine, place),
        Wait::Registers(wait) => misc::registers::describe(wait, machine, place),
        Wait::Converge(_) | Wait::Meet(_) => String::new(),
    }
}

/// Lanes of a warp that execute an instruction at several places, each with its lanes, do it together.
pub(crate) fn meet(context: &mut Context, sites: &[(u32, u32)]) {
    match &context.machine.program.code[sites[0].0 as usize].op {
        Op::Collective(_) => collective::meet(context, sites),
        _ => barrier::meet(context, sites.iter().fold(0, |m, (_, lanes)| m | lanes)),
    }
}

/// Ends posted work.
pub(crate) fn complete(work: Work, machine: &mut Machine, place: Place) -> Result<(), Fault> {
    match work {
        Work::Copy(work) => copy::complete(work, machine, place),
        Work::Bulk(work) => bulk::complete(work, machine, place),
        Work::Send(work) => send::complete(&work, machine, place),
    }
}

/// The lanes in `mask` of the executing warp have exited: barriers no longer wait for them.
pub(crate) fn exited(context: &mut Context, mask: u32) -> Result<(), Fault> {
    barrier::exited(context, mask)?;
    cluster::exited(context, mask)
}

/// A cluster has ended: families look for what was left undone.
pub(crate) fn end(machine: &mut Machine, cluster: usize) -> Result<(), (Place, Fault)> {
    copy::end(machine, cluster);
    bulk::end(machine, cluster)?;
    misc::registers::end(machine, cluster);
    wgmma::end(machine, cluster)
}
