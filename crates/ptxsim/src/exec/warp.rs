//! A warp: its registers, and groups of lanes at program counters of their own.

use crate::exec::Registers;
use crate::family;

/// Lanes that go through the program together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Group {
    /// Index of the next instruction.
    pub pc: u32,
    /// Which lanes.
    pub lanes: u32,
    /// Who called: index in [`Warp::frames`].
    pub frame: u32,
    /// What it waits for.
    pub wait: Option<Wait>,
    /// Whether it goes on behind its instruction once the condition holds, and not with it again.
    pub then: bool,
}

/// A call that has not returned. Frame 0 is the entry's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    /// The calling instruction.
    pub call: u32,
    /// The function that was called, by its number in the program.
    pub function: u32,
    /// The caller's frame.
    pub parent: u32,
    /// Calls below the entry.
    pub depth: u32,
}

/// 32 threads.
#[derive(Debug)]
pub(crate) struct Warp {
    /// Its index in the block.
    pub index: usize,
    /// Its registers.
    pub registers: Registers,
    /// Lanes that have not exited.
    pub alive: u32,
    /// Lanes that exist: fewer than 32 in the last warp of a block of odd size.
    pub lanes: u32,
    /// Its groups; none where all lanes have exited.
    pub groups: Vec<Group>,
    /// Local memory: [`Warp::local_bytes`] a lane, lane after lane.
    pub local: Vec<u8>,
    /// Which bytes of it were ever written, one bit each.
    pub local_written: Vec<u64>,
    /// Bytes of local memory a lane.
    pub local_bytes: usize,
    /// Calls, each known by its index.
    pub frames: Vec<Frame>,
    /// Frame of the group that runs.
    pub frame: u32,
    /// Instructions that it executed while divergent, for fairness.
    pub divergent: u32,
    /// How often a group got a burst for fairness.
    pub turns: u32,
    /// What instruction families keep for a warp.
    pub state: family::WarpState,
}

/// What an instruction does to the group that executed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// On to the next instruction.
    Next,
    /// On to this one; lanes that the guard switched off go to the next, here and below.
    Jump(u32),
    /// The same instruction again once the condition holds.
    Wait(Wait),
    /// The next instruction once the condition holds.
    WaitThen(Wait),
    /// On to the next instruction, but let others run first.
    Yield,
    /// The executing lanes have exited.
    Exit,
    /// The instruction has set [`Warp::groups`] for all its lanes itself (calls, returns, jumps through tables).
    Regrouped,
}

/// What a group waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// All living lanes of these at the same instruction.
    Converge(u32),
    /// All living lanes of these at instructions with the same qualifiers and this mask, wherever they stand.
    Meet(u32),
    /// A barrier of the block: its number and the generation that must have passed.
    Barrier(family::barrier::Wait),
    /// An mbarrier.
    Mbarrier(family::mbarrier::Wait),
    /// A barrier of the cluster.
    Cluster(family::cluster::Wait),
    /// Other warps of the warpgroup.
    Wgmma(family::wgmma::Wait),
    /// Registers that other warps release.
    Registers(family::misc::registers::Wait),
}
