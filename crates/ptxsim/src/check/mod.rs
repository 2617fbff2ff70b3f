//! Looks for mistakes that hardware hides: the hooks that the engine calls, and what they find.

use crate::error::{Fault, Finding};
use crate::exec::{Access, Cluster, Place, Scope, Shape, Warp};
use crate::launch::Options;
use crate::memory::Memory;
use crate::program::{Info, Program};

/// What to look for. Bounds, alignment, deadlock and undefined use are always looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checks {
    /// Reads of memory that nothing ever wrote.
    pub memory: bool,
    /// Reads of registers that nothing ever wrote.
    pub registers: bool,
    /// Races, by happens-before.
    pub races: bool,
    /// Missing fences between proxies.
    pub proxies: bool,
}

impl Checks {
    /// Everything.
    pub const fn all() -> Checks {
        Checks { memory: true, registers: true, races: true, proxies: true }
    }

    /// Only what is always looked for.
    pub const fn none() -> Checks {
        Checks { memory: false, registers: false, races: false, proxies: false }
    }
}

impl Default for Checks {
    fn default() -> Checks {
        Checks::all()
    }
}

/// Something by which threads order themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Object {
    /// Barrier of a block by number, and the generation that arrivals complete.
    Barrier(u32, u32),
    /// Barrier of the cluster, and its generation.
    Cluster(u32),
    /// The mbarrier at this offset of the shared memory of the block with this rank, and its phase.
    Mbarrier(usize, u32, u64),
    /// Lanes of one warp that meet.
    Warp,
}

/// What happened between threads; the lanes are told beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Event {
    /// They arrived: what they did before is visible to who waits for it.
    Arrive(Object),
    /// They waited, and go on.
    Wait(Object),
    /// They met here: all before is visible to all of them after.
    Meet(Object),
    /// A memory fence.
    Fence(Scope),
    /// A fence between the generic and the asynchronous proxy.
    ProxyFence,
    /// `fence.mbarrier_init`
    InitFence,
}

/// The checker of one machine.
#[derive(Debug)]
pub(crate) struct Checker {
    on: bool,
}

/// What a checker keeps for the comparison of independent clusters.
#[derive(Debug, Default)]
pub(crate) struct Outcome;

impl Checker {
    /// For a machine that has not started.
    pub fn new(_program: &Program, _shape: &Shape, options: &Options) -> Checker {
        Checker { on: options.checks != Checks::none() }
    }

    /// Whether the other functions are to be called at all.
    #[inline(always)]
    pub fn is_on(&self) -> bool {
        self.on
    }

    /// A cluster starts in slot `slot` of the machine.
    pub fn start(&mut self, _slot: usize, _cluster: &Cluster) {}

    /// It has ended.
    pub fn end(&mut self, _slot: usize, _cluster: &Cluster) {}

    /// Before an access is carried out; bounds and alignment are right. `time` is the machine's instruction count.
    #[inline]
    pub fn access(&mut self, _place: Place, _access: &Access, _time: u64) -> Result<(), Fault> {
        Ok(())
    }

    /// Before the lanes in `mask` execute an instruction.
    #[inline]
    pub fn instruction(
        &mut self,
        _place: Place,
        _info: &Info,
        _mask: u32,
        _warp: &Warp,
    ) -> Result<(), Fault> {
        Ok(())
    }

    /// The lanes in `mask` ordered themselves with others.
    #[inline]
    pub fn event(&mut self, _place: Place, _mask: u32, _event: Event) -> Result<(), Fault> {
        Ok(())
    }

    /// The machine has ended; mistakes go to `findings`.
    pub fn finish(self, _findings: &mut Vec<Finding>) -> Outcome {
        Outcome
    }
}

/// Compares what independent clusters did: an overlap of one's writes with another's accesses is a race.
pub(crate) fn merge(_outcomes: Vec<Outcome>, _program: &Program, _memory: &Memory) -> Vec<Finding> {
    Vec::new()
}
