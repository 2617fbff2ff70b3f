//! The state of an mbarrier object, and what arrivals and transactions do to it (PTX ISA 9.7.13.15).

use crate::check::{Event, Object as Ordered};
use crate::error::{Fault, Kind};
use crate::exec::{Access, AccessKind, Machine, Order, Place, Proxy, Request, Scope, lanes};
use crate::program::Space;

/// Most arrivals, and most bytes by which the transaction count may differ from 0.
pub(super) const MOST: u32 = (1 << 20) - 1;

/// Where an mbarrier lies: in the shared memory of the block with this rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target {
    /// Rank of the block in its cluster.
    pub rank: usize,
    /// Offset in its shared memory.
    pub offset: u32,
}

impl Target {
    /// By an address of shared memory, `rank << 24 | offset`.
    pub fn new(address: u32) -> Target {
        Target { rank: (address >> 24) as usize, offset: address & 0xff_ffff }
    }

    /// The address in `.shared::cluster` space.
    pub fn address(self) -> u64 {
        (self.rank as u64) << 24 | self.offset as u64
    }

    /// What threads order themselves by in `phase`.
    pub fn ordered(self, phase: u64) -> Ordered {
        Ordered::Mbarrier(self.rank, self.offset, phase)
    }
}

/// An mbarrier object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Object {
    /// Phases that were completed.
    pub phase: u64,
    /// Arrivals that a phase takes.
    pub expected: u32,
    /// Arrivals that this phase still waits for.
    pub pending: u32,
    /// Bytes that this phase still waits for.
    pub bytes: i64,
}

/// What is done to an object at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Step {
    /// Bytes more to wait for; negative ones have come.
    pub bytes: i64,
    /// Arrivals.
    pub arrivals: u32,
    /// Whether later phases take fewer arrivals by as many.
    pub drop: bool,
    /// Whether this must not complete the phase.
    pub no_complete: bool,
}

impl Object {
    /// A new one.
    pub fn new(count: u32) -> Object {
        Object { phase: 0, expected: count, pending: count, bytes: 0 }
    }

    /// Does a step; the words say what is wrong with it.
    pub fn step(&mut self, step: Step) -> Result<(), String> {
        self.bytes += step.bytes;
        if self.bytes.unsigned_abs() > MOST as u64 {
            return Err(format!("its transaction count of {} bytes is out of range", self.bytes));
        }
        if step.arrivals > self.pending {
            let (arrivals, pending) = (step.arrivals, self.pending);
            return Err(format!(
                "{arrivals} arrivals, but its phase waits for {pending} of {} only",
                self.expected
            ));
        }
        self.pending -= step.arrivals;
        if step.drop {
            self.expected -= step.arrivals;
        }
        if self.pending == 0 && self.bytes == 0 && (step.arrivals > 0 || step.bytes != 0) {
            if step.no_complete {
                return Err("an arrival with .noComplete completes its phase".into());
            }
            self.phase += 1;
            self.pending = self.expected;
        }
        Ok(())
    }

    /// Lets the phase wait for one arrival more; the words say what is wrong with it.
    pub fn more(&mut self) -> Result<(), String> {
        if self.pending == MOST {
            return Err(format!("more than {MOST} arrivals are waited for"));
        }
        self.pending += 1;
        Ok(())
    }

    /// What `mbarrier.arrive` gives back: the phase, and the arrivals that it waited for.
    pub fn state(&self) -> u64 {
        self.phase << 20 | self.pending as u64
    }
}

/// What is kept for a block: the living objects in its shared memory, by offset.
#[derive(Debug, Default)]
pub(crate) struct BlockState {
    objects: Vec<(u32, Object)>,
    /// All of them lie from the first of these offsets on and before the second.
    span: (u64, u64),
}

impl BlockState {
    /// The object at an offset.
    pub fn find(&mut self, offset: u32) -> Option<&mut Object> {
        self.objects.iter_mut().find(|(at, _)| *at == offset).map(|(_, object)| object)
    }

    /// The object at an offset, to look at.
    pub fn get(&self, offset: u32) -> Option<&Object> {
        self.objects.iter().find(|(at, _)| *at == offset).map(|(_, object)| object)
    }

    /// Takes a new one in, or away.
    pub fn set(&mut self, offset: u32, object: Option<Object>) {
        self.objects.retain(|(at, _)| *at != offset);
        if let Some(object) = object {
            self.objects.push((offset, object));
        }
        let offsets = || self.objects.iter().map(|(at, _)| *at as u64);
        self.span = (offsets().min().unwrap_or(0), offsets().max().map_or(0, |at| at + 8));
    }

    /// Lanes of an access that touch bytes of an object, and the offset of one of those objects.
    #[inline]
    pub fn touched(&self, access: &Access) -> Option<(u32, u32)> {
        let (begin, end) = self.span;
        let bytes = access.bytes as u64;
        let near = |offset: &u64| *offset < end && offset + bytes > begin;
        if end == 0 || !access.offsets.iter().fold(false, |any, offset| any | near(offset)) {
            return None;
        }
        let hit = |lane: &usize| {
            let offset = access.offsets[*lane];
            self.objects
                .iter()
                .map(|(at, _)| *at as u64)
                .find(|at| offset < at + 8 && offset + bytes > *at)
        };
        let first = lanes(access.lanes).find_map(|lane| hit(&lane))?;
        let bad =
            lanes(access.lanes).filter(|lane| hit(lane).is_some()).fold(0, |m, lane| m | 1 << lane);
        Some((bad, first as u32))
    }
}

/// The object at `target` in the cluster of `place`.
pub(crate) fn find<'m>(
    machine: &'m mut Machine,
    place: Place,
    target: Target,
) -> Result<&'m mut Object, Fault> {
    let Target { rank, offset } = target;
    let missing = || {
        let message =
            format!("there is no mbarrier at {offset:#x} of block {rank}: it was not initialized");
        Fault::new(Kind::Mbarrier, message)
    };
    let block = machine.clusters[place.cluster].blocks.get_mut(rank).ok_or_else(missing)?;
    block.state.mbarrier.find(offset).ok_or_else(missing)
}

/// Does a step at `target`; what the state was before. The access has been made.
pub(crate) fn step(
    machine: &mut Machine,
    place: Place,
    target: Target,
    step: Step,
) -> Result<Object, Fault> {
    machine.progress += 1;
    let object = find(machine, place, target)?;
    let before = *object;
    object.step(step).map_err(|what| {
        let Target { rank, offset } = target;
        Fault::new(Kind::Mbarrier, format!("mbarrier at {offset:#x} of block {rank}: {what}"))
    })?;
    Ok(before)
}

/// Tells the checker which mbarrier counts the accesses that asynchronous work makes now; without one the work's end is an error.
pub(crate) fn meant(machine: &mut Machine, place: Place, target: Target) {
    if let Ok(object) = find(machine, place, target) {
        let phase = object.phase;
        machine.check.deliver(place, target.rank, target.offset, phase);
    }
}

/// The access of asynchronous work to an mbarrier.
const ACCESS: Request = Request {
    order: Order::Relaxed,
    scope: Scope::Cluster,
    proxy: Proxy::Barrier,
    ..Request::new(Space::Cluster, AccessKind::Atomic)
};

/// Asynchronous work that `lane` of `place` has started has moved `bytes` that the mbarrier at `target` waits for.
pub(crate) fn complete_bytes(
    machine: &mut Machine,
    place: Place,
    lane: u32,
    target: Target,
    bytes: u64,
) -> Result<(), Fault> {
    machine.read_bytes(place, &ACCESS, lane, target.address(), &mut [0; 8])?;
    let before = step(machine, place, target, Step { bytes: -(bytes as i64), ..Step::default() })?;
    machine.check.event(place, 1 << lane, Event::Arrive(target.ordered(before.phase)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARRIVE: Step = Step { bytes: 0, arrivals: 1, drop: false, no_complete: false };

    #[test]
    fn a_phase_waits_for_arrivals_and_bytes() {
        let mut object = Object::new(2);
        object.step(Step { bytes: 64, ..ARRIVE }).unwrap();
        object.step(Step { bytes: -32, arrivals: 0, ..ARRIVE }).unwrap();
        object.step(ARRIVE).unwrap();
        assert_eq!((object.phase, object.pending, object.bytes), (0, 0, 32));
        object.step(Step { bytes: -32, arrivals: 0, ..ARRIVE }).unwrap();
        assert_eq!(object, Object { phase: 1, ..Object::new(2) });
    }

    #[test]
    fn bytes_may_come_before_they_are_expected() {
        let mut object = Object::new(1);
        object.step(Step { bytes: -16, arrivals: 0, ..ARRIVE }).unwrap();
        assert_eq!((object.phase, object.bytes), (0, -16));
        object.step(Step { bytes: 16, ..ARRIVE }).unwrap();
        assert_eq!(object.phase, 1);
    }

    #[test]
    fn dropping_lowers_what_later_phases_take() {
        let mut object = Object::new(2);
        object.step(Step { drop: true, ..ARRIVE }).unwrap();
        object.step(ARRIVE).unwrap();
        assert_eq!(object, Object { phase: 1, ..Object::new(1) });
    }

    #[test]
    fn misuse_is_told() {
        let mut object = Object::new(1);
        assert!(object.step(Step { arrivals: 2, ..ARRIVE }).unwrap_err().contains("2 arrivals"));
        let early = Step { no_complete: true, ..ARRIVE };
        assert!(object.step(early).unwrap_err().contains(".noComplete"));
        let mut full = Object::new(MOST - 1);
        full.more().unwrap();
        assert!(full.more().unwrap_err().contains("1048575 arrivals"));
        let far = Step { bytes: 1 << 20, ..ARRIVE };
        assert!(Object::new(1).step(far).unwrap_err().contains("out of range"));
    }
}
