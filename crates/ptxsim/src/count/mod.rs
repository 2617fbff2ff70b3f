//! Counts what is executed, exactly: the same for every number of host threads.
//!
//! | counter | what it counts |
//! |---|---|
//! | `warp_instructions`, `thread_instructions` | instructions issued for a group of lanes, and the lanes that their guards let execute; one that waits counts once |
//! | `warp_<class>`, `thread_<class>` | the same by [`Class`] |
//! | `divergent_branches` | times that a group of lanes came apart |
//! | `flops_fp64`, `flops_fp32`, `flops_fp16` | operations of `add`, `sub`, `mul`, `div` (1) and `fma` (2) over all lanes, packed forms for each part |
//! | `tensor_flops`, `tensor <shape and types>` | operations of matrix products (2·m·n·k each), and warp instructions by shape and types |
//! | `global_load_requests`, `…_store_…`, `…_atomic_…` | warp accesses to global memory, whatever address they came by |
//! | `global_load_sectors`, … | distinct sectors of 32 bytes that these touch |
//! | `global_load_ideal_sectors`, … | sectors that the same distinct bytes would fill |
//! | `shared_load_wavefronts`, `shared_store_wavefronts` | passes of shared memory (32 banks of 4 bytes) that accesses take |
//! | `shared_load_conflicts`, … | those beyond what the same words without conflicts would take |
//! | `local_bytes` | bytes of local memory read and written |
//! | `atomic_collisions` | lanes of atomic accesses that wait for another lane at the same place |
//! | `async_global_bytes`, `async_shared_bytes` | bytes that bulk copies, tensor copies and wgmma move or read |
//!
//! Counters that are zero are left out. What a warp executes while lanes are apart depends on when groups meet again, which the
//! seed may decide; without divergence nothing depends on it.

mod class;
mod memory;
pub mod occupancy;

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::exec::access::Region;
use crate::exec::{Access, AccessKind, Place, Proxy, Shape};
use crate::family;
use crate::program::Program;

pub use class::Class;
pub(crate) use class::{classify, operations};

/// What was executed, by name; see the module's table.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Counters {
    /// Instructions issued, one for a group of lanes.
    pub warp_instructions: u64,
    /// Lanes that executed them.
    pub thread_instructions: u64,
    /// Times that a group of lanes came apart.
    pub divergences: u64,
    named: BTreeMap<Cow<'static, str>, u64>,
}

impl Counters {
    /// Adds another's counts.
    pub fn merge(&mut self, other: &Counters) {
        self.warp_instructions += other.warp_instructions;
        self.thread_instructions += other.thread_instructions;
        self.divergences += other.divergences;
        for (name, count) in &other.named {
            *self.named.entry(name.clone()).or_default() += count;
        }
    }

    /// Every counter with its name; those of zero beyond the first two are left out.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        let first = [
            ("warp_instructions", self.warp_instructions),
            ("thread_instructions", self.thread_instructions),
        ];
        first.into_iter().chain(self.named.iter().map(|(name, count)| (name.as_ref(), *count)))
    }

    /// The counter of this name; 0 where nothing of it was executed.
    pub fn get(&self, name: &str) -> u64 {
        self.iter().find(|(known, _)| *known == name).map_or(0, |(_, count)| count)
    }

    fn add(&mut self, name: impl Into<Cow<'static, str>>, count: u64) {
        if count > 0 {
            *self.named.entry(name.into()).or_default() += count;
        }
    }
}

/// How the instruction at one program counter is counted.
#[derive(Debug)]
struct Row {
    class: Class,
    operations: u64,
    /// Shape and types of a product, and operations of a warp.
    product: Option<(String, u64)>,
}

/// Of global or shared memory, for one kind of access.
#[derive(Debug, Default, Clone, Copy)]
struct Traffic {
    requests: u64,
    actual: u64,
    ideal: u64,
}

impl Traffic {
    fn note(&mut self, need: memory::Need) {
        self.requests += 1;
        self.actual += need.actual;
        self.ideal += need.ideal;
    }
}

/// The counter of one machine.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    rows: Vec<Row>,
    /// Warps and lanes by program counter.
    executed: Vec<[u64; 2]>,
    divergences: u64,
    /// By [`AccessKind`].
    global: [Traffic; 3],
    shared: [Traffic; 3],
    local_bytes: u64,
    collisions: u64,
    async_global: u64,
    async_shared: u64,
}

impl Counter {
    /// For a machine that has not started.
    pub fn new(program: &Program, _shape: &Shape) -> Counter {
        let row = |(i, info): (&crate::program::Instruction, &crate::program::Info)| Row {
            class: info.class,
            operations: info.operations,
            product: family::product(&i.op).map(|(form, count)| (form.to_string(), count)),
        };
        let rows: Vec<Row> = program.code.iter().zip(&program.info).map(row).collect();
        Counter { executed: vec![[0; 2]; rows.len()], rows, ..Counter::default() }
    }

    /// A group issued the instruction at `pc`; its guard let `mask` of it execute.
    #[inline(always)]
    pub fn instruction(&mut self, pc: u32, mask: u32) {
        let [warps, lanes] = &mut self.executed[pc as usize];
        *warps += 1;
        *lanes += u64::from(mask.count_ones());
    }

    /// What was issued last for `mask` has to wait, and will be issued again.
    pub fn again(&mut self, pc: u32, mask: u32) {
        let [warps, lanes] = &mut self.executed[pc as usize];
        *warps -= 1;
        *lanes -= u64::from(mask.count_ones());
    }

    /// A group came apart at `pc`.
    pub fn diverged(&mut self, _pc: u32) {
        self.divergences += 1;
    }

    /// An access that will be carried out.
    #[inline]
    pub fn access(&mut self, _place: Place, access: &Access) {
        let lanes = access.lanes;
        let bytes = || u64::from(access.bytes) * u64::from(lanes.count_ones());
        if access.request.proxy == Proxy::Async {
            match access.region {
                Region::Global(_) => self.async_global += bytes(),
                Region::Shared(_) => self.async_shared += bytes(),
                Region::Local | Region::Param => {}
            }
            return;
        }
        let kind = access.request.kind as usize;
        match access.region {
            Region::Global(_) => {
                self.global[kind].note(memory::sectors(access.offsets, lanes, access.bytes));
            }
            Region::Shared(_) => {
                self.shared[kind].note(memory::wavefronts(access.offsets, lanes, access.bytes));
            }
            Region::Local => self.local_bytes += bytes(),
            Region::Param => {}
        }
        if access.request.kind == AccessKind::Atomic {
            self.collisions += memory::collisions(access.offsets, lanes);
        }
    }

    /// The machine has ended.
    pub fn finish(self) -> Counters {
        let mut counters = Counters { divergences: self.divergences, ..Counters::default() };
        for (row, [warps, lanes]) in self.rows.iter().zip(&self.executed) {
            counters.warp_instructions += warps;
            counters.thread_instructions += lanes;
            let class = row.class.name();
            counters.add(format!("warp_{class}"), *warps);
            counters.add(format!("thread_{class}"), *lanes);
            if let Some((form, operations)) = &row.product {
                counters.add(format!("tensor {form}"), *warps);
                counters.add("tensor_flops", warps * operations);
            } else {
                counters.add(format!("flops_{class}"), lanes * row.operations);
            }
        }
        counters.add("divergent_branches", self.divergences);
        let kinds = [
            ("load", AccessKind::Read),
            ("store", AccessKind::Write),
            ("atomic", AccessKind::Atomic),
        ];
        for (name, kind) in kinds {
            let global = self.global[kind as usize];
            counters.add(format!("global_{name}_requests"), global.requests);
            counters.add(format!("global_{name}_sectors"), global.actual);
            counters.add(format!("global_{name}_ideal_sectors"), global.ideal);
            let shared = self.shared[kind as usize];
            counters.add(format!("shared_{name}_requests"), shared.requests);
            counters.add(format!("shared_{name}_wavefronts"), shared.actual);
            counters.add(format!("shared_{name}_conflicts"), shared.actual - shared.ideal);
        }
        counters.add("local_bytes", self.local_bytes);
        counters.add("atomic_collisions", self.collisions);
        counters.add("async_global_bytes", self.async_global);
        counters.add("async_shared_bytes", self.async_shared);
        counters
    }
}
