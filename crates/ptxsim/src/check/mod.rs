//! Looks for mistakes that hardware hides: the hooks that the engine calls, and what they find.

mod accesses;
mod across;
mod clock;
mod epoch;
mod judge;
mod mbarriers;
mod readers;
mod registers;
mod report;
mod shadow;
mod threads;
mod work;

pub(crate) use accesses::Conflict;
use across::Footprint;
pub(crate) use across::{Clash, Trace, clashes};
pub(crate) use clock::Party;
use epoch::Epoch;
use mbarriers::Mbarriers;
pub(crate) use registers::Plan;
use registers::Registers;
use shadow::Shadow;
use threads::Threads;
pub(crate) use work::{Acting, Deed, Issued};

use crate::error::{Fault, Kind};
use crate::exec::{Cluster, Place, Scope, Shape, lanes};
use crate::launch::Options;
use crate::program::{PSource, Program};

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
    /// They arrived, and show only what a `fence.mbarrier_init` covers.
    ArriveRelaxed(Object),
    /// They waited, and go on.
    Wait(Object),
    /// They saw that they need not wait, which orders nothing.
    See(Object),
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
pub(crate) struct Checker<'a> {
    on: bool,
    races: bool,
    proxies: bool,
    /// Whether clusters run by themselves, and are compared in the end.
    apart: bool,
    warps: u32,
    blocks: u32,
    threads: Threads,
    mbarriers: Mbarriers,
    /// The work that ends just now.
    acting: Option<Acting>,
    /// Whether accesses have been looked at before they are made.
    pub seen: bool,
    /// By number of the block: the latest accesses of others of its cluster to its shared memory.
    guests: Vec<Vec<Epoch>>,
    /// By number of the block in the machine.
    shared: Vec<Shadow>,
    /// By allocation.
    global: Vec<Shadow>,
    footprint: Footprint,
    /// Bytes of global memory, and who of the machine touches them.
    watched: Vec<(usize, u64)>,
    traces: Vec<Trace>,
    block: [u32; 3],
    serial: u32,
    registers: Option<Registers<'a>>,
}

/// What a checker keeps for the comparison of independent clusters.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    footprint: Footprint,
    block: [u32; 3],
}

impl<'a> Checker<'a> {
    /// For a machine that has not started; `plan` is there where registers are looked at.
    pub fn new(
        program: &Program,
        plan: Option<&'a Plan>,
        shape: &Shape,
        options: &Options,
    ) -> Checker<'a> {
        let threads: u32 = shape.block.iter().product();
        let clusters = (0..3).map(|k| (shape.grid[k] / shape.cluster[k]) as u64).product::<u64>();
        Checker {
            on: options.checks != Checks::none(),
            races: options.checks.races,
            proxies: options.checks.proxies,
            apart: !program.communicates && clusters > 1,
            warps: threads.div_ceil(32),
            blocks: shape.cluster.iter().product(),
            threads: Threads::default(),
            mbarriers: Mbarriers::default(),
            acting: None,
            seen: false,
            guests: Vec::new(),
            shared: Vec::new(),
            global: Vec::new(),
            footprint: Footprint::default(),
            watched: Vec::new(),
            traces: Vec::new(),
            block: [0; 3],
            serial: 0,
            registers: plan.map(Registers::new),
        }
    }

    /// Whether the other functions are to be called at all.
    #[inline(always)]
    pub fn is_on(&self) -> bool {
        self.on
    }

    fn block(&self, cluster: usize, block: usize) -> usize {
        cluster * self.blocks as usize + block
    }

    fn warp(&self, place: Place) -> u32 {
        self.block(place.cluster, place.block) as u32 * self.warps + place.warp as u32
    }

    /// A cluster starts in slot `slot` of the machine.
    pub fn start(&mut self, slot: usize, cluster: &Cluster) {
        self.block = cluster.blocks[0].id;
        for block in 0..cluster.blocks.len() {
            let number = self.block(slot, block);
            if self.shared.len() <= number {
                self.shared.resize_with(number + 1, Shadow::default);
                self.guests.resize_with(number + 1, Vec::new);
            }
            self.shared[number] = Shadow::default();
            self.guests[number].clear();
            for warp in 0..self.warps {
                let warp = number as u32 * self.warps + warp;
                self.threads.start(warp);
                if let Some(registers) = &mut self.registers {
                    registers.start(warp as usize);
                }
            }
        }
    }

    /// It has ended.
    pub fn end(&mut self, slot: usize, _cluster: &Cluster) {
        self.threads.end(slot);
        self.mbarriers.end(slot);
    }

    /// Before the lanes in `mask`, of `group` those that the guard lets through, execute an instruction: the lanes that
    /// use a register never written.
    #[inline]
    pub fn instruction(
        &mut self,
        place: Place,
        guard: Option<PSource>,
        group: u32,
        mask: u32,
    ) -> u32 {
        let warp = self.warp(place) as usize;
        match &mut self.registers {
            Some(registers) => {
                registers.guard(warp, guard, group) | registers.execute(warp, place.pc, mask)
            }
            None => 0,
        }
    }

    /// The lanes in `mask` ordered themselves with others.
    #[inline]
    pub fn event(&mut self, place: Place, mask: u32, event: Event) -> Result<(), Fault> {
        if self.on {
            let warp = self.warp(place);
            let here = (place.cluster, place.block);
            if let (Some(acting), Event::Arrive(object)) = (&self.acting, event) {
                self.threads.complete(here, acting, mask, object);
                if let Object::Mbarrier(rank, offset, phase) = object {
                    self.mbarriers.tell((place.cluster, rank, offset), phase, place, mask);
                }
                return Ok(());
            }
            if let Event::Wait(Object::Mbarrier(rank, offset, phase))
            | Event::See(Object::Mbarrier(rank, offset, phase)) = event
            {
                self.mbarriers.see((place.cluster, rank, offset), phase);
            }
            self.threads.event(here, warp, mask, event);
            if let Event::ArriveRelaxed(_) = event {
                self.mbarriers.relaxed(warp, mask);
            }
            if matches!(event, Event::InitFence | Event::ProxyFence) {
                let threads = &self.threads;
                let known =
                    |init: &Epoch| lanes(mask).any(|l| threads.ordered(warp, 1 << l, init, false));
                self.mbarriers.fence(place.cluster, known);
            }
        }
        Ok(())
    }

    /// The lanes in `mask` start work with this number, which ends later.
    pub fn issue(&mut self, place: Place, mask: u32, number: u64) -> Option<Box<Issued>> {
        let warp = self.warp(place);
        self.on.then(|| self.threads.issue(warp, mask, number as u32))
    }

    /// From now on accesses are those of this work. What was going on before.
    pub fn act(&mut self, issued: Option<Box<Issued>>, deed: Deed) -> Option<Acting> {
        std::mem::replace(&mut self.acting, issued.map(|issued| Acting { issued, deed }))
    }

    /// The end of that; what went on before goes on.
    pub fn rest(&mut self, before: Option<Acting>) -> Option<Box<Issued>> {
        std::mem::replace(&mut self.acting, before).map(|acting| acting.issued)
    }

    /// The work that ends is counted by the mbarrier at `offset` of the block with this rank, in `phase`.
    pub fn deliver(&mut self, place: Place, rank: usize, offset: u32, phase: u64) {
        if let Some(acting) = &mut self.acting
            && let Some((number, time)) = self.mbarriers.phase((place.cluster, rank, offset), phase)
        {
            acting.deed = Deed::Delivery(number, time);
        }
    }

    /// Where the asynchronous proxy is to use an mbarrier that no fence has shown since its initialization: which did that.
    pub fn hidden(&self, cluster: usize, rank: usize, offset: u32) -> Option<u32> {
        let init = self.mbarriers.hidden((cluster, rank, offset)).filter(|_| self.proxies);
        init.map(|init| init.pc)
    }

    /// Work that an mbarrier counts, and whose end nobody has seen, with its lanes.
    pub fn unseen(&self, cluster: usize) -> Vec<(Place, u32)> {
        self.mbarriers.unseen(cluster)
    }

    /// The lanes in `mask` have waited for work of theirs, each up to the one with this number.
    pub fn waited(&mut self, place: Place, party: Party, mask: u32, until: &[u32; 32]) {
        if self.on {
            let warp = self.warp(place);
            self.threads.waited(warp, party, mask, until);
        }
    }

    /// All threads of a block have exited: an access of another block to its shared memory that may come later.
    pub fn leave(&self, place: Place) -> Option<Conflict> {
        let number = self.block(place.cluster, place.block);
        let guests = self.guests.get(number).filter(|guests| self.races && !guests.is_empty())?;
        let first = number as u32 * self.warps;
        let known = self.threads.all(first..first + self.warps);
        let late = guests.iter().find(|guest| known.missing(guest) != 0)?;
        Some(Conflict {
            kind: Kind::Race,
            lanes: 0,
            offset: 0,
            warp: late.warp,
            other_lanes: late.lanes,
            pc: late.pc,
            wrote: false,
        })
    }

    /// From now on accesses to these bytes, by allocation and offset, are kept.
    pub fn watch(&mut self, bytes: Vec<(usize, u64)>) {
        self.watched = bytes;
    }

    /// What was kept, in order.
    pub fn traces(self) -> Vec<Trace> {
        self.traces
    }

    /// The machine has ended.
    pub fn finish(self) -> Outcome {
        Outcome { footprint: self.footprint, block: self.block }
    }
}
