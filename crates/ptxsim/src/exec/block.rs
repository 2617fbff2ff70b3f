//! Blocks and clusters.

use super::Warp;
use crate::family;

/// A block of threads.
#[derive(Debug)]
pub(crate) struct Block {
    /// `%ctaid`
    pub id: [u32; 3],
    /// Shared memory, the system's bytes included.
    pub shared: Vec<u8>,
    /// Which bytes of it were ever written, one bit each.
    pub written: Vec<u64>,
    /// Its warps; the running one is taken out.
    pub warps: Vec<Option<Box<Warp>>>,
    /// Threads.
    pub threads: u32,
    /// Warps that have not ended.
    pub running: usize,
    /// What instruction families keep for a block.
    pub state: family::BlockState,
}

impl Block {
    /// Notes that `len` bytes of shared memory from `offset` on are written.
    #[inline]
    pub fn mark(&mut self, offset: usize, len: usize) {
        mark(&mut self.written, offset, len);
    }

    /// Whether all of `len` bytes of shared memory from `offset` on were ever written.
    #[inline]
    pub fn is_written(&self, offset: usize, len: usize) -> bool {
        is_written(&self.written, offset, len)
    }
}

/// Sets `len` bits from `offset` on.
#[inline]
pub(crate) fn mark(bits: &mut [u64], offset: usize, len: usize) {
    let (mut at, end) = (offset, offset + len);
    while at < end {
        let n = (64 - at % 64).min(end - at);
        bits[at / 64] |= (!0u64 >> (64 - n)) << (at % 64);
        at += n;
    }
}

/// Whether `len` bits from `offset` on are set.
#[inline]
pub(crate) fn is_written(bits: &[u64], offset: usize, len: usize) -> bool {
    let (mut at, end) = (offset, offset + len);
    while at < end {
        let n = (64 - at % 64).min(end - at);
        let wanted = (!0u64 >> (64 - n)) << (at % 64);
        if bits[at / 64] & wanted != wanted {
            return false;
        }
        at += n;
    }
    true
}

/// Blocks that are scheduled together and see each other's shared memory; a block alone is a cluster of one.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// Its blocks by rank.
    pub blocks: Vec<Block>,
    /// Warps that have not ended.
    pub running: usize,
    /// What instruction families keep for a cluster.
    pub state: family::ClusterState,
}
