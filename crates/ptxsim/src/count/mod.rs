//! Counts what is executed: the hooks that the engine calls, and what they add up to.

use crate::ast;
use crate::exec::{Access, Place, Shape};
use crate::program::{Op, Program};

/// How an instruction is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Class {
    /// None of the others.
    #[default]
    Other,
}

/// What was executed; exact, and the same for any number of host threads.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Counters {
    /// Instructions issued, one for a group of lanes.
    pub warp_instructions: u64,
    /// Lanes that executed them.
    pub thread_instructions: u64,
    /// Times that a group of lanes came apart.
    pub divergences: u64,
}

impl Counters {
    /// Adds another's counts.
    pub fn merge(&mut self, other: &Counters) {
        self.warp_instructions += other.warp_instructions;
        self.thread_instructions += other.thread_instructions;
        self.divergences += other.divergences;
    }
}

/// How an instruction is counted, once when it is resolved.
pub(crate) fn classify(_instruction: &ast::Instruction, _op: &Op) -> Class {
    Class::Other
}

/// The counter of one machine.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    counters: Counters,
}

impl Counter {
    /// For a machine that has not started.
    pub fn new(_program: &Program, _shape: &Shape) -> Counter {
        Counter::default()
    }

    /// A group of `lanes` issued the instruction at `pc`; its guard let `mask` of them execute.
    #[inline(always)]
    pub fn instruction(&mut self, _pc: u32, _lanes: u32, mask: u32) {
        self.counters.warp_instructions += 1;
        self.counters.thread_instructions += mask.count_ones() as u64;
    }

    /// A group came apart at `pc`.
    pub fn diverged(&mut self, _pc: u32) {
        self.counters.divergences += 1;
    }

    /// An access that will be carried out.
    #[inline(always)]
    pub fn access(&mut self, _place: Place, _access: &Access) {}

    /// The machine has ended.
    pub fn finish(self) -> Counters {
        self.counters
    }
}
