//! Where every access to memory passes, whoever makes it.
//!
//! [`Context::read`], [`Context::write`] and [`Context::atomic`] take an address a lane; [`Machine::read_bytes`]
//! and [`Machine::write_bytes`] one address and any length. Each access is resolved to a
//! [`Region`], checked for bounds, alignment and permission, told to [`check`](crate::check) and
//! [`count`](crate::count), and only then carried out.

mod bytes;
mod lanes;
mod region;

use crate::exec::{Context, Machine, Place};
use crate::program::Space;

/// Generic addresses of shared memory: this plus `rank << 24 | offset`.
pub(crate) const SHARED_WINDOW: u64 = 1 << 60;
/// Generic addresses of local memory: this plus the local address.
pub(crate) const LOCAL_WINDOW: u64 = 2 << 60;
/// Generic addresses of the entry's parameters: this plus the offset.
pub(crate) const PARAM_WINDOW: u64 = 3 << 60;

/// Whether an access reads or writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum AccessKind {
    /// It reads.
    Read,
    /// It writes.
    Write,
    /// It reads and writes at once, and cannot race with another of its kind.
    Atomic,
}

/// Through which proxy an access is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Proxy {
    /// Ordinary instructions.
    Generic,
    /// The same, by instructions that take an mbarrier: a write initializes it.
    Barrier,
    /// Bulk copies, tensor copies, wgmma.
    Async,
}

/// How strong an access is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Order {
    /// Ordinary, or `.weak`.
    Weak,
    /// `.volatile`: relaxed, of system scope.
    Volatile,
    /// `.relaxed`
    Relaxed,
    /// `.acquire`
    Acquire,
    /// `.release`
    Release,
    /// `.acq_rel`
    AcquireRelease,
}

/// Whom an access or a fence is ordered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Scope {
    /// `.cta`
    Block,
    /// `.cluster`
    Cluster,
    /// `.gpu`
    Device,
    /// `.sys`
    System,
}

/// What an instruction asks of memory, but for the addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Request {
    /// The state space that it names.
    pub space: Space,
    /// Read, write, or both.
    pub kind: AccessKind,
    /// Strength.
    pub order: Order,
    /// Scope of it.
    pub scope: Scope,
    /// Proxy.
    pub proxy: Proxy,
}

impl Request {
    /// An ordinary access.
    pub const fn new(space: Space, kind: AccessKind) -> Request {
        Request { space, kind, order: Order::Weak, scope: Scope::Block, proxy: Proxy::Generic }
    }

    /// The same through the asynchronous proxy.
    pub const fn asynchronous(self) -> Request {
        Request { proxy: Proxy::Async, ..self }
    }
}

/// What memory an address turned out to be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Region {
    /// Global or constant memory: index of the allocation.
    Global(usize),
    /// Shared memory of the block with this rank in the cluster.
    Shared(usize),
    /// The lane's own local memory.
    Local,
    /// The entry's parameters.
    Param,
}

/// How the addresses of an access lie, where that makes it easy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// All 32 lanes, side by side in their order.
    Row,
    /// All lanes at one place.
    Same,
    /// Any other.
    Any,
}

/// An access as checks and counters see it: all lanes in one region.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Access<'a> {
    /// What was asked.
    pub request: &'a Request,
    /// Where it goes.
    pub region: Region,
    /// Bytes a lane.
    pub bytes: u32,
    /// Which lanes; one for accesses that are not made lane by lane.
    pub lanes: u32,
    /// Offsets in the region; those of lanes that are off mean nothing. Allocations and shared memory begin at
    /// multiples of 256, so sectors and banks follow from the offset.
    pub offsets: &'a [u64; 32],
    /// How these lie.
    pub pattern: Pattern,
}

impl Access<'_> {
    /// The offset of its lowest lane.
    #[inline(always)]
    pub fn first(&self) -> u64 {
        self.offsets[self.lanes.trailing_zeros() as usize & 31]
    }
}
