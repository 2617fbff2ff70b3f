//! `setmaxnreg`: registers that warps release to their block's pool, and wait for.
//!
//! How many registers a thread has at first is known where `ptxas` knows it: from `.maxnreg`, or from `.maxntid` or `.reqntid`
//! with `.minnctapersm`. Elsewhere `ptxas` ignores `setmaxnreg` (its note C7508), and here it waits for nothing. A pool is empty
//! when its block begins, and what an exited warp had does not come back: PTX promises neither.

use crate::error::{Fault, Kind};
use crate::exec::{self, Context, Flow, Machine, Place};

/// A resolved instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Op {
    /// Registers that each thread has behind it.
    pub count: u32,
    /// Whether that is to be more than before.
    pub more: bool,
}

/// What is kept for a block.
#[derive(Debug, Default)]
pub(crate) struct BlockState {
    /// Registers a thread of each warp; none before the first instruction.
    warps: Vec<u32>,
    /// Registers that are free, counted as those of one warp.
    pool: u32,
    groups: Vec<Warpgroup>,
}

/// What the warps of a warpgroup have executed.
#[derive(Debug, Default, Clone)]
struct Warpgroup {
    /// The instructions, one after the other.
    done: Vec<u32>,
    /// How many of them each warp has executed.
    warps: [usize; 4],
}

/// What a warp waits for: so many registers a thread more than it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wait {
    more: u32,
}

/// Executes it for all living lanes of a warp.
pub(super) fn execute(op: Op, context: &mut Context) -> Result<Flow, Fault> {
    let (warp, first) = (context.place.warp, context.machine.program.registers);
    let block = context.block();
    let warps = block.threads.div_ceil(32) as usize;
    let state = &mut block.state.registers;
    let undefined = |message: String| Err(Fault::new(Kind::Undefined, message));
    if let Some(first) = first {
        state.warps.resize(warps, first);
        let now = &mut state.warps[warp];
        if op.more && op.count < *now || !op.more && op.count > *now {
            let (count, now) = (op.count, *now);
            return undefined(format!("{count} registers a thread, which has {now}"));
        }
        if op.more {
            let more = op.count - *now;
            if more > state.pool {
                return Ok(Flow::Wait(exec::Wait::Registers(Wait { more })));
            }
            state.pool -= more;
        } else {
            state.pool += *now - op.count;
        }
        *now = op.count;
    }
    context.machine.progress += 1;
    together(context)?;
    Ok(Flow::Next)
}

/// All four warps of a warpgroup execute the same ones in the same order, each when all have done with the one before.
fn together(context: &mut Context) -> Result<(), Fault> {
    let (pc, group, member) = (context.place.pc, context.place.warp / 4, context.place.warp % 4);
    let block = context.block();
    let undefined = |message: &str| Err(Fault::new(Kind::Undefined, message));
    if (block.threads as usize) < 128 * (group + 1) {
        return undefined("the warpgroup has fewer than four full warps, which all execute this");
    }
    let groups = &mut block.state.registers.groups;
    if groups.len() <= group {
        groups.resize_with(group + 1, Warpgroup::default);
    }
    let Warpgroup { done, warps } = &mut groups[group];
    let number = warps[member];
    if warps.iter().any(|other| *other < number) {
        return undefined("a warp of the warpgroup has not yet executed the setmaxnreg before");
    }
    warps[member] += 1;
    match done.get(number) {
        None => done.push(pc),
        Some(other) if *other == pc => {}
        Some(_) => {
            return undefined("another warp of the warpgroup executed another one in its place");
        }
    }
    Ok(())
}

/// Whether it has come: the instruction looks itself.
pub(crate) fn ready(wait: &Wait, context: &mut Context) -> bool {
    context.block().state.registers.pool >= wait.more
}

/// What it is, in words.
pub(crate) fn describe(wait: &Wait, machine: &Machine, place: Place) -> String {
    let state = &machine.clusters[place.cluster].blocks[place.block].state.registers;
    let (has, pool) = (state.warps[place.warp], state.pool);
    format!(
        "{} registers a thread more than its {has}, while the block's pool has {pool} for one warp",
        wait.more
    )
}

/// A cluster has ended: every warp of a warpgroup has executed what one has.
pub(crate) fn end(machine: &mut Machine, cluster: usize) {
    let mut missing = Vec::new();
    for (block, b) in machine.clusters[cluster].blocks.iter().enumerate() {
        for (group, Warpgroup { done, warps }) in b.state.registers.groups.iter().enumerate() {
            let late = |member: &usize| warps[*member] < done.len();
            if let Some(member) = (0..4).find(late) {
                let warp = 4 * group + (0..4).find(|m| !late(m)).unwrap_or(0);
                let place = Place { cluster, block, warp, pc: done[warps[member]] };
                missing.push((place, 4 * group + member));
            }
        }
    }
    for (place, other) in missing {
        let message = format!("warp {other} of the warpgroup never executed it");
        machine.report(place, Kind::Undefined, !0, message);
    }
}
