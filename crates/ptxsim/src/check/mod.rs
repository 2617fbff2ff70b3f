//! Looks for mistakes that hardware hides: the hooks that the engine calls, and what they find.

mod across;
mod clock;
mod registers;
mod report;
mod shadow;
mod threads;

use across::Footprint;
use registers::Registers;
use shadow::{Epoch, Shadow, Strength};
use threads::Threads;

use crate::error::{Fault, Finding, Kind};
use crate::exec::{
    Access, AccessKind, Cluster, Order, Place, Proxy, Scope, Shape, access::Region, lanes,
};
use crate::launch::Options;
use crate::memory::Memory;
use crate::program::{Info, PSource, Program};

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

/// Two accesses that nothing orders, or that miss a fence between proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Conflict {
    /// [`Kind::Race`] or [`Kind::MissingProxyFence`].
    pub kind: Kind,
    /// Lanes of the later access.
    pub lanes: u32,
    /// Offset in the region.
    pub offset: u64,
    /// Number of the other party's warp in the machine.
    pub warp: u32,
    /// Its lanes.
    pub other_lanes: u32,
    /// Its instruction.
    pub pc: u32,
    /// Whether it wrote.
    pub wrote: bool,
}

/// The checker of one machine.
#[derive(Debug)]
pub(crate) struct Checker {
    on: bool,
    races: bool,
    proxies: bool,
    /// Whether clusters run by themselves, and are compared in the end.
    apart: bool,
    warps: u32,
    blocks: u32,
    threads: Threads,
    /// By number of the block in the machine.
    shared: Vec<Shadow>,
    /// By allocation.
    global: Vec<Shadow>,
    footprint: Footprint,
    block: [u32; 3],
    serial: u32,
    registers: Option<Registers>,
}

/// What a checker keeps for the comparison of independent clusters.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    footprint: Footprint,
    block: [u32; 3],
}

impl Checker {
    /// For a machine that has not started.
    pub fn new(program: &Program, shape: &Shape, options: &Options) -> Checker {
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
            shared: Vec::new(),
            global: Vec::new(),
            footprint: Footprint::default(),
            block: [0; 3],
            serial: 0,
            registers: options.checks.registers.then(|| Registers::new(program)),
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
            }
            self.shared[number] = Shadow::default();
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
    }

    /// Before an access is carried out; bounds and alignment are right. The first conflict that it is part of.
    #[inline]
    pub fn access(&mut self, place: Place, access: &Access) -> Option<Conflict> {
        if !self.races && !self.proxies {
            return None;
        }
        match access.region {
            Region::Global(_) | Region::Shared(_) => self.look(place, access),
            Region::Local | Region::Param => None,
        }
    }

    fn look(&mut self, place: Place, access: &Access) -> Option<Conflict> {
        let warp = self.warp(place);
        self.serial = self.serial.wrapping_add(1).max(1);
        let request = access.request;
        let kind = request.kind;
        let asynchronous = request.proxy == Proxy::Async;
        let (number, shadow) = match access.region {
            Region::Shared(rank) => {
                let number = self.block(place.cluster, rank);
                (number as u64, &mut self.shared[number])
            }
            Region::Global(index) => {
                if self.global.len() <= index {
                    self.global.resize_with(index + 1, Shadow::default);
                }
                (1 << 32 | index as u64, &mut self.global[index])
            }
            Region::Local | Region::Param => return None,
        };
        let strong = kind == AccessKind::Atomic || request.order != Order::Weak;
        let strength = match request.scope {
            _ if !strong => Strength::Weak,
            Scope::Block => Strength::Block,
            _ => Strength::Device,
        };
        let threads = &self.threads;
        let collective = asynchronous && !access.lanes.is_power_of_two();
        let new = Epoch {
            warp,
            time: threads.time(warp),
            lanes: 0,
            pc: place.pc,
            serial: self.serial,
            strength,
            collective,
            asynchronous,
        };
        let per_block = self.warps;
        let meet = |old: &Epoch| {
            let near = old.warp / per_block == warp / per_block;
            strong
                && old.strength != Strength::Weak
                && (near || (old.strength, strength) == (Strength::Device, Strength::Device))
        };
        let mut conflict = None;
        let mut rest = access.lanes;
        while rest != 0 {
            // Neighbours that access the same bytes go together.
            let first = rest.trailing_zeros() as usize;
            let offset = access.offsets[first];
            let mut mask = 1u32 << first;
            while let next = 32 - mask.leading_zeros() as usize
                && next < 32
                && rest >> next & 1 == 1
                && access.offsets[next] == offset
            {
                mask |= 1 << next;
            }
            rest &= !mask;
            let who = if collective { !0 } else { mask };
            let sees = if collective { 1 } else { mask };
            let epoch = Epoch { lanes: who, ..new };
            // Lanes of this very instruction are compared by value, elsewhere.
            let before = |old: &Epoch| {
                old.serial == new.serial || threads.ordered(warp, sees, old, false) || meet(old)
            };
            shadow.each(offset, access.bytes, |readers, cell, at| {
                if conflict.is_none() {
                    let found = |kind: Kind, old: Epoch, wrote: bool| Conflict {
                        kind,
                        lanes: mask,
                        offset: at,
                        warp: old.warp,
                        other_lanes: old.lanes,
                        pc: old.pc,
                        wrote,
                    };
                    if self.races && !before(&cell.write) {
                        conflict = Some(found(Kind::Race, cell.write, true));
                    } else if self.proxies
                        && asynchronous
                        && !cell.write.asynchronous
                        && !threads.ordered(warp, sees, &cell.write, true)
                    {
                        conflict = Some(found(Kind::MissingProxyFence, cell.write, true));
                    } else if self.races && kind.writes() {
                        conflict =
                            readers.conflict(cell, before).map(|e| found(Kind::Race, e, false));
                    }
                }
                if kind.writes() {
                    let same = cell.write.serial == epoch.serial;
                    let lanes = if same { cell.write.lanes | epoch.lanes } else { epoch.lanes };
                    readers.wrote(cell, Epoch { lanes, ..epoch });
                } else {
                    readers.read(cell, epoch, |old| {
                        old.strength == Strength::Weak && threads.ordered(warp, sees, old, false)
                    });
                }
            });
        }
        if self.apart
            && let Region::Global(index) = access.region
        {
            for lane in lanes(access.lanes) {
                let (offset, len) = (access.offsets[lane], access.bytes);
                self.footprint.note(index, offset, len, place.pc, kind.writes());
            }
        }
        if strong {
            for lane in lanes(access.lanes) {
                let word = (number, access.offsets[lane] / 4);
                let (reads, writes) = (kind != AccessKind::Write, kind.writes());
                self.threads.strong(warp, lane, word, request.order, reads, writes);
            }
        }
        conflict
    }

    /// Before the lanes in `mask`, of `group` those that the guard lets through, execute an instruction: the lanes that
    /// use a register never written.
    #[inline]
    pub fn instruction(
        &mut self,
        place: Place,
        info: &Info,
        guard: Option<PSource>,
        group: u32,
        mask: u32,
    ) -> u32 {
        let warp = self.warp(place) as usize;
        match &mut self.registers {
            Some(registers) => {
                registers.guard(warp, guard, group) | registers.execute(warp, place.pc, info, mask)
            }
            None => 0,
        }
    }

    /// The lanes in `mask` ordered themselves with others.
    #[inline]
    pub fn event(&mut self, place: Place, mask: u32, event: Event) -> Result<(), Fault> {
        if self.on {
            let warp = self.warp(place);
            self.threads.event((place.cluster, place.block), warp, mask, event);
        }
        Ok(())
    }

    /// The machine has ended; mistakes go to `findings`.
    pub fn finish(self, _findings: &mut Vec<Finding>) -> Outcome {
        Outcome { footprint: self.footprint, block: self.block }
    }
}

/// Compares what independent clusters did: an overlap of one's writes with another's accesses is a race.
pub(crate) fn merge(outcomes: Vec<Outcome>, program: &Program, memory: &Memory) -> Vec<Finding> {
    across::overlaps(&outcomes, program, memory)
}
