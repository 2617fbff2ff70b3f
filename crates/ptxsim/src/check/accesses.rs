//! Accesses, one after the other: each is compared with those before it, and remembered.

use std::cell::Cell;

use super::clock::Party;
use super::shadow::{Epoch, Shadow, Strength};
use super::{Checker, Trace};
use crate::error::Kind;
use crate::exec::access::{Pattern, Region};
use crate::exec::{Access, AccessKind, Order, Place, Proxy, Scope, lanes};

/// Two accesses that nothing orders, or that miss a fence between proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Conflict {
    /// [`Kind::Race`], [`Kind::MissingProxyFence`] or [`Kind::MissingInitFence`].
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

impl Conflict {
    /// Takes in the lanes of another between the same instructions of the same warps.
    fn widen(&mut self, other: &Conflict) {
        if (self.kind, self.warp, self.pc) == (other.kind, other.warp, other.pc) {
            self.lanes |= other.lanes;
            self.other_lanes |= other.other_lanes;
        }
    }
}

/// Whose access it was, and when.
type Doer = (Party, u32, u32, u32);

/// What was found out of one.
type Answer = Option<(Doer, Option<bool>)>;

/// What was found out during one access about others, which many words have in common.
#[derive(Default)]
struct Answers([[Cell<Answer>; 4]; 2]);

impl Answers {
    /// What holds of an access whichever lanes made it: as it was found out, or as `find` finds out now.
    #[inline(always)]
    fn ask(&self, old: &Epoch, proxied: bool, find: impl FnOnce() -> Option<bool>) -> Option<bool> {
        if old.time == 0 {
            return Some(true);
        }
        let doer = (old.party, old.warp, old.mbarrier, old.time);
        let slot = &self.0[proxied as usize][old.warp as usize % 4];
        match slot.get() {
            Some((known, answer)) if known == doer => answer,
            _ => {
                let answer = find();
                slot.set(Some((doer, answer)));
                answer
            }
        }
    }
}

impl Checker {
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
        let (threads, acting) = (&mut self.threads, self.acting.as_ref());
        let (party, mbarrier, time) = match acting {
            Some(acting) => acting.party(kind.writes()),
            None => (Party::Threads, 0, threads.time(warp)),
        };
        let collective = asynchronous && !access.lanes.is_power_of_two();
        let new = Epoch {
            warp,
            time,
            lanes: 0,
            pc: place.pc,
            serial: self.serial,
            mbarrier,
            party,
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
        let mut conflict: Option<Conflict> = None;
        let known = Answers::default();
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
            let mut epoch = Epoch { lanes: who, ..new };
            let mut key = None;
            if request.proxy == Proxy::Barrier
                && let Region::Shared(rank) = access.region
            {
                let at = (place.cluster, rank, offset as u32);
                if kind == AccessKind::Write {
                    threads.renew(at.0, at.1, at.2);
                    let (mbarrier, time) = self.mbarriers.init(at, epoch);
                    threads.initialized(warp, mask, mbarrier, time);
                    epoch = Epoch { party: Party::Phases, mbarrier, time, ..epoch };
                }
                key = Some(at);
            }
            let ordered = |old: &Epoch, proxied: bool| {
                let standing = || match acting {
                    Some(acting) => acting.issued.standing(old, proxied),
                    None => threads.standing(warp, old, proxied),
                };
                // Instructions that take mbarriers may learn while they go on.
                let alike = request.proxy != Proxy::Barrier;
                match alike.then(|| known.ask(old, proxied, standing)).flatten() {
                    Some(known) => known,
                    None => match acting {
                        Some(acting) => acting.issued.ordered(sees, old, proxied),
                        None => threads.ordered(warp, sees, old, proxied),
                    },
                }
            };
            // Lanes of this very instruction are compared by value, elsewhere.
            let before = |old: &Epoch| old.serial == new.serial || ordered(old, false) || meet(old);
            let hidden = |old: &Epoch| key.is_some_and(|key| self.mbarriers.is_hidden(key, old));
            shadow.each(offset, access.bytes, |readers, cell, at| {
                let mut found = |kind: Kind, old: Epoch, wrote: bool| {
                    let (other_lanes, pc) = (old.lanes, old.pc);
                    let new = Conflict {
                        kind,
                        lanes: mask,
                        offset: at,
                        warp: old.warp,
                        other_lanes,
                        pc,
                        wrote,
                    };
                    match &mut conflict {
                        None => conflict = Some(new),
                        // The first is told, with all lanes that it is about.
                        Some(first) => first.widen(&new),
                    }
                };
                if self.races && !before(&cell.write) {
                    let hidden = hidden(&cell.write);
                    let kind = if hidden { Kind::MissingInitFence } else { Kind::Race };
                    found(kind, cell.write, true);
                } else if self.proxies
                    && asynchronous
                    && !cell.write.asynchronous
                    && !ordered(&cell.write, true)
                {
                    found(Kind::MissingProxyFence, cell.write, true);
                } else if self.races
                    && kind.writes()
                    && let Some(reader) = readers.conflict(cell, before)
                {
                    found(Kind::Race, reader, false);
                }
                if kind.writes() {
                    let same = cell.write.serial == epoch.serial;
                    let lanes = if same { cell.write.lanes | epoch.lanes } else { epoch.lanes };
                    readers.wrote(cell, Epoch { lanes, ..epoch });
                } else {
                    readers.read(cell, epoch, |old| {
                        old.strength == Strength::Weak && ordered(old, false)
                    });
                }
            });
            if let Region::Shared(rank) = access.region
                && rank != place.block
            {
                guest(&mut self.guests[number as usize], epoch);
            }
        }
        if self.apart
            && let Region::Global(index) = access.region
        {
            let mut note = |offset: u64, len: u32| {
                self.footprint.note(index, offset, len, place.pc, kind.writes());
            };
            match access.pattern {
                Pattern::Row => note(access.first(), 32 * access.bytes),
                Pattern::Same => note(access.first(), access.bytes),
                Pattern::Any => {
                    lanes(access.lanes).for_each(|lane| note(access.offsets[lane], access.bytes));
                }
            }
            if !self.watched.is_empty() {
                self.trace(place, access, index);
            }
        }
        if strong && self.acting.is_none() {
            for lane in lanes(access.lanes) {
                let word = (number, access.offsets[lane] / 4);
                self.threads.strong((warp, lane, warp / per_block), word, request);
            }
        }
        conflict
    }
}

impl Checker {
    #[cold]
    fn trace(&mut self, place: Place, access: &Access, allocation: usize) {
        for &(of, byte) in self.watched.iter().filter(|(of, _)| *of == allocation) {
            let touches = |lane: &usize| {
                let offset = access.offsets[*lane];
                offset <= byte && byte < offset + access.bytes as u64
            };
            let bits = lanes(access.lanes).filter(touches).fold(0, |m, lane| m | 1 << lane);
            if bits != 0 {
                self.traces.push(Trace {
                    byte: (of, byte),
                    block: [place.block as u32, 0, 0],
                    warp: place.warp as u32,
                    lanes: bits,
                    pc: place.pc,
                    writes: access.request.kind.writes(),
                });
            }
        }
    }
}

/// Remembers an access of another block.
fn guest(guests: &mut Vec<Epoch>, new: Epoch) {
    let same = |old: &&mut Epoch| {
        (old.warp, old.party, old.mbarrier) == (new.warp, new.party, new.mbarrier)
            && old.lanes & !new.lanes == 0
    };
    match guests.iter_mut().find(same) {
        Some(old) => *old = new,
        None => guests.push(new),
    }
}
