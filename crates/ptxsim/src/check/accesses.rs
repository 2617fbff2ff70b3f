//! Accesses, one after the other: each is compared with those before it, and remembered.

use super::clock::Party;
use super::epoch::{Epoch, Span, Spread, Strength, Way};
use super::judge::Judge;
use super::shadow::Shadow;
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
    pub fn widen(&mut self, other: &Conflict) {
        if (self.kind, self.warp, self.pc) == (other.kind, other.warp, other.pc) {
            self.lanes |= other.lanes;
            self.other_lanes |= other.other_lanes;
        }
    }
}

impl Checker<'_> {
    /// Before an access is carried out; bounds and alignment are right. The first conflict that it is part of.
    #[inline]
    pub fn access(&mut self, place: Place, access: &Access) -> Option<Conflict> {
        if self.seen || !self.races && !self.proxies {
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
        let way = match (asynchronous, collective) {
            (false, _) => Way::Generic,
            (true, false) => Way::Async,
            (true, true) => Way::Together,
        };
        let serial = self.serial;
        let (pc, spread) = (place.pc, Spread::default());
        let new =
            Epoch { warp, time, lanes: 0, pc, serial, mbarrier, party, strength, way, spread };
        // Lanes of instructions that take mbarriers may learn while they go on.
        let barrier = request.proxy == Proxy::Barrier;
        let mut conflict = None;
        let (mut rest, copies) = match collective || barrier {
            true => (access.lanes, 1),
            false => period(access),
        };
        while rest != 0 {
            let (some, row) = neighbours(access, rest, !collective && !barrier);
            rest &= !some;
            let first = some.trailing_zeros();
            let (mask, offset) = (some * copies, access.offsets[first as usize]);
            let mut epoch = Epoch { lanes: if collective { !0 } else { mask }, ..new };
            let mut key = None;
            if barrier && let Region::Shared(rank) = access.region {
                let at = (place.cluster, rank, offset as u32);
                if kind == AccessKind::Write {
                    threads.renew(at.0, at.1, at.2);
                    let (mbarrier, time) = self.mbarriers.init(at, epoch);
                    threads.initialized(warp, mask, mbarrier, time);
                    epoch = Epoch { party: Party::Phases, mbarrier, time, ..epoch };
                }
                key = Some(at);
            }
            let judge = Judge {
                threads,
                acting,
                sight: match acting {
                    Some(acting) => acting.issued.sight(),
                    None => threads.sight(warp),
                },
                warp,
                serial,
                strength,
                writes: kind.writes(),
                asynchronous,
                collective,
                races: self.races,
                proxies: self.proxies,
                per_block: self.warps,
            };
            let hidden = |old: &Epoch| key.is_some_and(|key| self.mbarriers.is_hidden(key, old));
            let bytes = access.bytes;
            let span = match row {
                true => Span::row(offset, bytes, (first, some.count_ones()), copies, epoch),
                false => Span::all(offset, bytes as u64, epoch),
            };
            shadow.each(&span.writing(kind.writes()), |readers, cell, part, at| {
                judge.look(readers, cell, part, hidden, |kind, old, wrote| {
                    let lanes = mask & part.lanes;
                    let Epoch { warp, lanes: other_lanes, pc, .. } = *old;
                    let new = Conflict { kind, lanes, offset: at, warp, other_lanes, pc, wrote };
                    match &mut conflict {
                        None => conflict = Some(new),
                        // The first is told, with all lanes that it is about.
                        Some(first) => first.widen(&new),
                    }
                })
            });
            match access.region {
                Region::Shared(rank) if rank != place.block => {
                    guest(&mut self.guests[number as usize], epoch);
                }
                Region::Global(index) if self.apart => {
                    self.footprint.note(index, span.begin..span.end, place.pc, kind.writes());
                }
                _ => {}
            }
        }
        if !self.watched.is_empty()
            && let Region::Global(index) = access.region
        {
            self.trace(place, access, index);
        }
        if strong && self.acting.is_none() {
            for lane in lanes(access.lanes) {
                let word = (number, access.offsets[lane] / 4);
                self.threads.strong((warp, lane, warp / self.warps), word, request);
            }
        }
        conflict
    }
}

impl Checker<'_> {
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

/// The lanes that stand for all, where every 4th, 8th or 16th accesses the same bytes, and the factor that makes all of each.
#[inline(always)]
fn period(access: &Access) -> (u32, u32) {
    let offsets = access.offsets;
    if access.pattern != Pattern::Any || access.lanes != !0 || offsets[..16] != offsets[16..] {
        (access.lanes, 1)
    } else if offsets[..8] != offsets[8..16] {
        (0xffff, 0x0001_0001)
    } else if offsets[..4] != offsets[4..8] {
        (0xff, 0x0101_0101)
    } else {
        (0xf, 0x1111_1111)
    }
}

/// The first of `rest` and the lanes behind it that go together: all at the same bytes, or each at bytes of its own behind
/// those of the lane before, which the second tells and `rows` allows.
#[inline(always)]
fn neighbours(access: &Access, rest: u32, rows: bool) -> (u32, bool) {
    match access.pattern {
        Pattern::Same => return (rest, false),
        Pattern::Row if rows => return (rest, true),
        _ => {}
    }
    let first = rest.trailing_zeros() as usize;
    let leading = access.offsets[first];
    let follows = |next: usize, stride: u64| {
        next < 32
            && rest >> next & 1 == 1
            && access.offsets[next] == leading + (next - first) as u64 * stride
    };
    let stride =
        if rows && follows(first + 1, access.bytes as u64) { access.bytes as u64 } else { 0 };
    let mut next = first + 1;
    while follows(next, stride) {
        next += 1;
    }
    let mask = (!0u32 >> (32 - (next - first))) << first;
    (mask, stride != 0)
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::check::{Event, Object, Plan};
    use crate::exec::{Block, Cluster, Request, Shape};
    use crate::launch::Options;
    use crate::module::Module;
    use crate::program::Space;

    /// How the lanes of an access lie, from an offset on.
    #[derive(Debug, Clone, Copy)]
    enum Lie {
        /// Side by side.
        Row,
        /// So many times as far apart as they are wide.
        Strided(u64),
        /// Every 16th, 8th or 4th at one place; only to read.
        Repeated(usize),
        /// All at one place; only to read.
        Same,
    }

    #[derive(Debug, Clone)]
    enum Step {
        Access {
            warp: usize,
            writes: bool,
            bytes: u64,
            at: u64,
            mask: u32,
            lie: Lie,
        },
        /// All warps meet.
        Barrier,
        /// Lanes of a warp meet.
        Meet {
            warp: usize,
            mask: u32,
        },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let mask = prop_oneof![
            4 => Just(!0),
            1 => (0u32..32).prop_map(|k| !0 >> k),
            1 => any::<u32>().prop_map(|m| m | 1),
        ];
        let lie = prop_oneof![
            4 => Just(Lie::Row),
            1 => (2u64..5).prop_map(Lie::Strided),
            1 => (2u32..5).prop_map(|k| Lie::Repeated(1 << k)),
            1 => Just(Lie::Same),
        ];
        let access = (0..3usize, any::<bool>(), 0..5u32, 0..24u64, mask.clone(), lie);
        let access = access.prop_map(|(warp, writes, size, at, mask, lie)| {
            let writes = writes && matches!(lie, Lie::Row | Lie::Strided(_));
            Step::Access { warp, writes, bytes: 1 << size, at: at << size, mask, lie }
        });
        let meet = (0..3usize, mask).prop_map(|(warp, mask)| Step::Meet { warp, mask });
        let step = prop_oneof![6 => access, 1 => Just(Step::Barrier), 1 => meet];
        prop::collection::vec(step, 1..24)
    }

    /// Whether the access of each step is in conflict; `apart` makes it lane by lane and byte by byte.
    fn conflicts(steps: &[Step], apart: bool) -> Vec<bool> {
        let text =
            ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry k()\n{\nret;\n}\n";
        let program = Module::parse(text).unwrap().program("k").unwrap();
        let one = [1; 3];
        let shape = Shape {
            grid: one,
            block: [96, 1, 1],
            cluster: one,
            explicit_cluster: false,
            shared: 0,
            dynamic: 0,
        };
        let plan = Plan::new(&program);
        let mut checker = Checker::new(&program, Some(&plan), &shape, &Options::default());
        let block = Block {
            id: [0; 3],
            shared: Vec::new(),
            written: Vec::new(),
            warps: Vec::new(),
            threads: 96,
            running: 3,
            state: Default::default(),
        };
        checker.start(0, &Cluster { blocks: vec![block], running: 3, state: Default::default() });
        let place = |warp: usize, pc: usize| Place { cluster: 0, block: 0, warp, pc: pc as u32 };
        let mut found = Vec::new();
        for (pc, step) in steps.iter().enumerate() {
            let mut conflict = false;
            match *step {
                Step::Barrier => {
                    for event in [Event::Arrive, Event::Wait] {
                        for warp in 0..3 {
                            let object = Object::Barrier(0, pc as u32);
                            checker.event(place(warp, pc), !0, event(object)).unwrap();
                        }
                    }
                }
                Step::Meet { warp, mask } => {
                    checker.event(place(warp, pc), mask, Event::Meet(Object::Warp)).unwrap();
                }
                Step::Access { warp, writes, bytes, at, mask, lie } => {
                    let kind = if writes { AccessKind::Write } else { AccessKind::Read };
                    let request = Request::new(Space::Global, kind);
                    let offsets: [u64; 32] = std::array::from_fn(|lane| match lie {
                        Lie::Row => at + lane as u64 * bytes,
                        Lie::Strided(n) => at + lane as u64 * n * bytes,
                        Lie::Repeated(period) => at + (lane % period) as u64 * bytes,
                        Lie::Same => at,
                    });
                    let pattern = match lie {
                        Lie::Row if mask == !0 => Pattern::Row,
                        Lie::Same => Pattern::Same,
                        _ => Pattern::Any,
                    };
                    let whole = Access {
                        request: &request,
                        region: Region::Global(0),
                        bytes: bytes as u32,
                        lanes: mask,
                        offsets: &offsets,
                        pattern,
                    };
                    let mut look = |access: &Access| {
                        conflict |= checker.access(place(warp, pc), access).is_some();
                    };
                    if !apart {
                        look(&whole);
                    } else {
                        for (lane, byte) in
                            lanes(mask).flat_map(|l| (0..bytes).map(move |b| (l, b)))
                        {
                            let offsets = &[offsets[lane] + byte; 32];
                            let (lanes, pattern) = (1 << lane, Pattern::Same);
                            look(&Access { bytes: 1, lanes, offsets, pattern, ..whole });
                        }
                    }
                }
            }
            found.push(conflict);
        }
        found
    }

    proptest! {
        #[test]
        fn lanes_together_are_judged_as_lanes_and_bytes_one_by_one(steps in steps()) {
            prop_assert_eq!(conflicts(&steps, false), conflicts(&steps, true));
        }
    }
}
