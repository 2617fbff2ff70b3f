//! Accesses to memory, summed up by who made them and where they went.

use super::Counters;
use super::cost::Engine;
use super::memory::{self, Need};
use crate::exec::access::Region;
use crate::exec::{Access, AccessKind, Proxy};
use crate::program::Space;

/// Accesses of lanes to global or shared memory, of one kind.
#[derive(Debug, Default, Clone, Copy)]
struct Lanes {
    requests: u64,
    bytes: u64,
    need: Need,
}

impl Lanes {
    fn note(&mut self, access: &Access, need: Need) {
        self.requests += 1;
        self.bytes += bytes(access);
        self.need += need;
    }
}

/// What bulk work moved, in bytes.
#[derive(Debug, Default, Clone, Copy)]
struct Moved {
    /// Of global memory, by [`AccessKind`].
    global: [u64; 3],
    /// Of shared memory.
    shared: [u64; 3],
}

/// Lanes of atomics that get in each other's way.
#[derive(Debug, Default, Clone, Copy)]
struct Contention {
    lanes: u64,
    collisions: u64,
    replays: u64,
}

/// All accesses of a machine.
#[derive(Debug, Default, Clone)]
pub(super) struct Traffic {
    /// By [`AccessKind`].
    global: [Lanes; 3],
    shared: [Lanes; 3],
    local: [Lanes; 3],
    constant_requests: u64,
    constant_replays: u64,
    /// Of global, and of shared memory.
    atomics: [Contention; 2],
    /// What `cp.async` reads, and what it writes.
    copy: [Lanes; 2],
    bulk: Moved,
    tensor: Moved,
    /// Bytes that `st.async` writes and `red.async` changes, by [`AccessKind`].
    sent: [u64; 3],
}

fn bytes(access: &Access) -> u64 {
    u64::from(access.bytes) * u64::from(access.lanes.count_ones())
}

impl Traffic {
    /// Notes an access that will be carried out.
    #[inline]
    pub fn note(&mut self, engine: Engine, access: &Access) {
        let kind = access.request.kind as usize;
        let (offsets, lanes) = (access.offsets, access.lanes);
        match (engine, access.region) {
            (Engine::Lanes, Region::Global(_)) if access.request.space == Space::Const => {
                self.constant_requests += 1;
                let (collisions, _) = memory::contention(offsets, lanes);
                self.constant_replays += u64::from(lanes.count_ones()) - collisions - 1;
            }
            (Engine::Lanes, Region::Global(_)) => {
                let need = memory::sectors_of(access);
                self.global[kind].note(access, need);
                self.contend(0, access);
            }
            (Engine::Lanes, Region::Shared(_)) => {
                let need = memory::wavefronts_of(access);
                self.shared[kind].note(access, need);
                self.contend(1, access);
            }
            (Engine::Lanes, Region::Local) => {
                let actual = memory::local_sectors(offsets, lanes, access.bytes);
                self.local[kind].note(access, Need { actual, ..Need::default() });
            }
            (Engine::Copy, Region::Global(_)) => {
                self.copy[0].note(access, memory::sectors_of(access));
            }
            (Engine::Copy, Region::Shared(_)) => {
                self.copy[1].note(access, memory::wavefronts_of(access));
            }
            // A tensor map is read as well, and an mbarrier told, but not by the copy itself.
            (Engine::Bulk | Engine::Tensor, _) if access.request.proxy != Proxy::Async => {}
            (Engine::Bulk, Region::Global(_)) => self.bulk.global[kind] += bytes(access),
            (Engine::Bulk, Region::Shared(_)) => self.bulk.shared[kind] += bytes(access),
            (Engine::Tensor, Region::Global(_)) => self.tensor.global[kind] += bytes(access),
            (Engine::Tensor, Region::Shared(_)) => self.tensor.shared[kind] += bytes(access),
            (Engine::Send, _) if access.request.proxy == Proxy::Generic => {
                self.sent[kind] += bytes(access);
            }
            _ => {}
        }
    }

    #[inline]
    fn contend(&mut self, place: usize, access: &Access) {
        if access.request.kind == AccessKind::Atomic {
            let (collisions, replays) = memory::contention(access.offsets, access.lanes);
            let sum = &mut self.atomics[place];
            sum.lanes += u64::from(access.lanes.count_ones());
            sum.collisions += collisions;
            sum.replays += replays;
        }
    }

    /// Adds another machine's.
    pub fn merge(&mut self, other: &Traffic) {
        let groups = [
            (&mut self.global[..], &other.global[..]),
            (&mut self.shared, &other.shared),
            (&mut self.local, &other.local),
            (&mut self.copy, &other.copy),
        ];
        for (mine, theirs) in groups.into_iter().flat_map(|(a, b)| a.iter_mut().zip(b)) {
            mine.requests += theirs.requests;
            mine.bytes += theirs.bytes;
            mine.need += theirs.need;
        }
        self.constant_requests += other.constant_requests;
        self.constant_replays += other.constant_replays;
        for (mine, theirs) in self.atomics.iter_mut().zip(&other.atomics) {
            mine.lanes += theirs.lanes;
            mine.collisions += theirs.collisions;
            mine.replays += theirs.replays;
        }
        for (mine, theirs) in self.sent.iter_mut().zip(other.sent) {
            *mine += theirs;
        }
        for (mine, theirs) in [(&mut self.bulk, &other.bulk), (&mut self.tensor, &other.tensor)] {
            for kind in 0..3 {
                mine.global[kind] += theirs.global[kind];
                mine.shared[kind] += theirs.shared[kind];
            }
        }
    }

    /// Names everything.
    pub fn name(&self, counters: &mut Counters) {
        for (name, kind) in KINDS {
            let global = self.global[kind as usize];
            counters.add(format!("global_{name}_requests"), global.requests);
            counters.add(format!("global_{name}_bytes"), global.bytes);
            counters.add(format!("global_{name}_sectors"), global.need.actual);
            counters.add(format!("global_{name}_ideal_sectors"), global.need.ideal);
            counters.add(format!("global_{name}_lines"), global.need.lines);
            let shared = self.shared[kind as usize];
            counters.add(format!("shared_{name}_requests"), shared.requests);
            counters.add(format!("shared_{name}_bytes"), shared.bytes);
            counters.add(format!("shared_{name}_wavefronts"), shared.need.actual);
            counters
                .add(format!("shared_{name}_conflicts"), shared.need.actual - shared.need.ideal);
            if kind != AccessKind::Atomic {
                let local = self.local[kind as usize];
                counters.add(format!("local_{name}_requests"), local.requests);
                counters.add(format!("local_{name}_bytes"), local.bytes);
                counters.add(format!("local_{name}_sectors"), local.need.actual);
            }
        }
        counters.add("constant_load_requests", self.constant_requests);
        counters.add("constant_load_replays", self.constant_replays);
        for (name, atomics) in ["global", "shared"].iter().zip(&self.atomics) {
            counters.add(format!("{name}_atomic_lanes"), atomics.lanes);
            counters.add(format!("{name}_atomic_collisions"), atomics.collisions);
            counters.add(format!("{name}_atomic_replays"), atomics.replays);
        }
        let [read, written] = self.copy;
        counters.add("cp_async_bytes", read.bytes);
        counters.add("cp_async_sectors", read.need.actual);
        counters.add("cp_async_ideal_sectors", read.need.ideal);
        counters.add("cp_async_lines", read.need.lines);
        counters.add("cp_async_shared_bytes", written.bytes);
        counters.add("cp_async_wavefronts", written.need.actual);
        counters.add("cp_async_conflicts", written.need.actual - written.need.ideal);
        let [_, stored, reduced] = self.sent;
        counters.add("st_async_bytes", stored);
        counters.add("red_async_bytes", reduced);
        for (engine, moved) in [("bulk", self.bulk), ("tma", self.tensor)] {
            let ([load, store, reduce], [read, write, change]) = (moved.global, moved.shared);
            counters.add(format!("{engine}_load_bytes"), load);
            counters.add(format!("{engine}_store_bytes"), store);
            counters.add(format!("{engine}_reduce_bytes"), reduce);
            counters.add(format!("{engine}_shared_read_bytes"), read);
            counters.add(format!("{engine}_shared_write_bytes"), write + change);
        }
    }
}

const KINDS: [(&str, AccessKind); 3] =
    [("load", AccessKind::Read), ("store", AccessKind::Write), ("atomic", AccessKind::Atomic)];
