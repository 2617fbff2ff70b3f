//! The machine that runs clusters, and what an instruction sees of it.

use super::{Cluster, Warp};
use crate::check::{Checker, Deed, Issued};
use crate::count::Counter;
use crate::error::{Fault, Finding, Kind, Result};
use crate::family;
use crate::launch::Options;
use crate::memory::Memory;
use crate::program::Program;

/// Who executes, and where: a thread of control that accesses memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    /// Index in [`Machine::clusters`].
    pub cluster: usize,
    /// The block's rank in its cluster.
    pub block: usize,
    /// The warp's index in its block.
    pub warp: usize,
    /// The instruction.
    pub pc: u32,
}

/// Work that an instruction has started and that ends later.
#[derive(Debug)]
pub(crate) struct Pending {
    /// Its number; later work has a greater one.
    pub ticket: u64,
    /// Who started it.
    pub place: Place,
    /// Which lanes.
    pub lanes: u32,
    /// What to do when it ends.
    pub work: Work,
    /// What it knows of others; nothing where nobody asks.
    pub issued: Option<Box<Issued>>,
}

/// Asynchronous work by family.
#[derive(Debug)]
pub(crate) enum Work {
    /// `cp.async`
    Copy(family::copy::Work),
    /// `cp.async.bulk`, tensor copies, reductions.
    Bulk(family::bulk::Work),
    /// `st.async`, `red.async`.
    Send(Box<family::send::Work>),
}

impl Work {
    /// Whether an mbarrier tells of its end; other work is waited for by its thread.
    pub fn is_counted(&self) -> bool {
        match self {
            Work::Copy(work) => work.is_counted(),
            Work::Bulk(work) => work.is_counted(),
            Work::Send(_) => true,
        }
    }
}

/// Pseudo-random numbers (xorshift).
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// Its own sequence for each seed and number.
    pub fn new(seed: u64, number: u64) -> Random {
        let mixed = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)
            ^ (number + 1).wrapping_mul(0xD134_2543_DE82_EF95);
        Random(mixed | 1)
    }

    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `n`, which is not 0.
    pub fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n
    }
}

/// Numbers of a launch that all its blocks share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Blocks along x, y, z.
    pub grid: [u32; 3],
    /// Threads of a block along x, y, z.
    pub block: [u32; 3],
    /// Blocks of a cluster along x, y, z.
    pub cluster: [u32; 3],
    /// Whether the launch or the entry asked for clusters.
    pub explicit_cluster: bool,
    /// Bytes of shared memory a block, static and dynamic.
    pub shared: u32,
    /// Where dynamic shared memory begins.
    pub dynamic: u32,
}

/// What runs a set of clusters on one host thread.
pub(crate) struct Machine<'a> {
    /// What they execute.
    pub program: &'a Program,
    /// Global memory.
    pub memory: &'a Memory,
    /// Bytes of the entry's parameters.
    pub parameters: &'a [u8],
    /// By allocation: whether the launch lets it be written.
    pub may_write: Option<&'a [bool]>,
    /// Sizes of grid, block, cluster.
    pub shape: Shape,
    /// How to execute.
    pub options: &'a Options,
    /// Resident clusters.
    pub clusters: Vec<Cluster>,
    /// Posted work.
    pub pending: Vec<Pending>,
    /// The schedule's source of chance.
    pub random: Random,
    /// Looks for mistakes.
    pub check: Checker<'a>,
    /// Counts.
    pub count: Counter,
    /// Mistakes that did not end the execution.
    pub findings: Vec<Finding>,
    /// What `printf` wrote.
    pub output: String,
    /// Warp instructions executed; also the clock that kernels read.
    pub executed: u64,
    /// Grows whenever something happens that another warp may wait for.
    pub progress: u64,
    pub(super) tickets: u64,
    pub(super) templates: &'a super::start::Templates,
}

/// What an instruction gets: the warp that executes it, and everything else.
pub(crate) struct Context<'m, 'a> {
    /// The executing warp, taken out of its block.
    pub warp: &'m mut Warp,
    /// The machine.
    pub machine: &'m mut Machine<'a>,
    /// Who and where.
    pub place: Place,
}

impl<'a> Context<'_, 'a> {
    /// The block of the executing warp.
    pub fn block(&mut self) -> &mut super::Block {
        &mut self.machine.clusters[self.place.cluster].blocks[self.place.block]
    }

    /// The cluster of the executing warp.
    pub fn cluster(&mut self) -> &mut Cluster {
        &mut self.machine.clusters[self.place.cluster]
    }

    /// Reports a mistake of `lanes` that does not end the execution.
    pub fn report(&mut self, kind: Kind, lanes: u32, message: String) {
        self.machine.report(self.place, kind, lanes, message);
    }
}

impl Machine<'_> {
    /// Reports a mistake that does not end the execution; a repetition at the same instruction only counts.
    pub fn report(&mut self, place: Place, kind: Kind, lanes: u32, message: String) {
        let finding = self.finding(place, Fault { kind, message, lanes });
        let same = |f: &&mut Finding| {
            f.kind == kind && f.line == finding.line && f.instruction == finding.instruction
        };
        match self.findings.iter_mut().find(same) {
            Some(known) => known.count += 1,
            None => self.findings.push(finding),
        }
    }

    /// A fault with its place.
    pub fn finding(&self, place: Place, fault: Fault) -> Finding {
        Finding {
            block: self.clusters[place.cluster].blocks[place.block].id,
            warp: place.warp as u32,
            lanes: fault.lanes,
            ..self.program.finding(place.pc, fault.kind, fault.message)
        }
    }

    /// The given lanes start work that ends later; its ticket.
    pub fn post(&mut self, place: Place, lanes: u32, work: Work) -> u64 {
        self.tickets += 1;
        self.progress += 1;
        let issued = self.check.issue(place, lanes, self.tickets);
        self.pending.push(Pending { ticket: self.tickets, place, lanes, work, issued });
        self.tickets
    }

    /// The number of work that is not posted, and what its start knows.
    pub fn begin(&mut self, place: Place, lanes: u32) -> (u64, Option<Box<Issued>>) {
        self.tickets += 1;
        (self.tickets, self.check.issue(place, lanes, self.tickets))
    }

    /// Whether posted work has not ended yet.
    pub fn is_pending(&self, ticket: u64) -> bool {
        self.pending.iter().any(|p| p.ticket == ticket)
    }

    pub(super) fn complete_at(&mut self, at: usize) -> Result<(), Fault> {
        let Pending { place, work, issued, .. } = self.pending.swap_remove(at);
        self.progress += 1;
        let deed = if matches!(work, Work::Copy(_)) { Deed::Copy } else { Deed::Store };
        let before = self.check.act(issued, deed);
        let result = family::complete(work, self, place);
        self.check.rest(before);
        result
    }
}
