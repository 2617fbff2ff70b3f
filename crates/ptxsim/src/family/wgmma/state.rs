//! What is kept of products that are under way.

use std::collections::VecDeque;

use crate::error::{Fault, Kind};
use crate::exec::{Context, Machine, Place};
use crate::program::R32;
use crate::tensor::form::Form;
use crate::tensor::group::Chunk;

/// What is kept for a warp.
#[derive(Debug, Default)]
pub(crate) struct WarpState {
    /// Products issued, from the start of the warp on.
    pub issued: u64,
    /// Products computed.
    pub done: u64,
    /// Products that have been waited for.
    pub waited: u64,
    /// Instructions of the products from `waited` on.
    pub flight: VecDeque<u32>,
    /// What the checker knows them by.
    pub numbers: VecDeque<u32>,
    /// Number of products issued when each group was committed, from the first group on that nobody waited for.
    pub groups: VecDeque<u64>,
    /// Accumulators in flight.
    pub busy_d: Rows,
    /// Registers of A in flight.
    pub busy_a: Rows,
    /// Registers that ordinary instructions touched since the last `wgmma.fence`.
    pub touched: Rows,
    /// Whether there was a `wgmma.fence` yet.
    pub fenced: bool,
    /// Accumulators written by products since the last fence, with their shape.
    pub shaped: Option<(Rows, Form)>,
}

impl WarpState {
    pub fn fence(&mut self) {
        self.fenced = true;
        self.touched.clear();
        self.shaped = None;
    }

    pub fn commit(&mut self) {
        self.groups.push_back(self.issued);
    }

    /// Notes that all products before `end` have been waited for; the number of the last of them, if there are any.
    pub fn release(&mut self, end: u64) -> Option<u32> {
        let gone = end.saturating_sub(self.waited) as usize;
        self.flight.drain(..gone);
        let last = self.numbers.drain(..gone.min(self.numbers.len())).next_back();
        self.waited = self.waited.max(end);
        self.busy_d.clear();
        self.busy_a.clear();
        last
    }
}

/// A set of 32-bit registers.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Rows(Vec<u64>);

impl Rows {
    pub fn insert(&mut self, r: R32) {
        let at = r.0 as usize / 64;
        if self.0.len() <= at {
            self.0.resize(at + 1, 0);
        }
        self.0[at] |= 1 << (r.0 % 64);
    }

    pub fn contains(&self, r: R32) -> bool {
        self.0.get(r.0 as usize / 64).is_some_and(|word| word >> (r.0 % 64) & 1 == 1)
    }

    pub fn clear(&mut self) {
        self.0.fill(0);
    }
}

/// What is kept for a block: its warpgroups.
#[derive(Debug, Default)]
pub(crate) struct BlockState {
    pub groups: Vec<Warpgroup>,
}

/// Four warps.
#[derive(Debug, Default)]
pub(crate) struct Warpgroup {
    /// Products that not all four warps have issued and computed.
    pub products: VecDeque<Product>,
    /// Number of the first of them.
    pub first: u64,
    /// Room to compute in.
    pub scratch: Scratch,
}

impl Warpgroup {
    /// Whether all four warps have issued the products before `end`.
    pub fn issued(&self, end: u64) -> bool {
        let count = end.saturating_sub(self.first) as usize;
        self.products.len() >= count && self.products.iter().take(count).all(|p| p.issued == 15)
    }
}

/// A product as the first of four warps issued it.
#[derive(Debug)]
pub(crate) struct Product {
    /// The instruction.
    pub pc: u32,
    /// Descriptor of A, 0 where it is in registers.
    pub a: u64,
    /// Descriptor of B.
    pub b: u64,
    /// Whether D is added to.
    pub scale: bool,
    /// Which warps have issued it, one bit each.
    pub issued: u8,
    /// Which warps have computed their part.
    pub done: u8,
}

/// Room for tiles, and the last B, which four warps need.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub addresses: Vec<u32>,
    pub flat: Vec<f32>,
    pub a: Vec<f32>,
    pub raw: Vec<Chunk>,
    pub b: Vec<f32>,
    /// The chunks from which `b` was made, and by which instruction.
    pub b_raw: Vec<Chunk>,
    pub b_of: Option<u32>,
    pub sums: Vec<f32>,
    pub d: Vec<[u32; 32]>,
}

/// A warp waits for the other warps of its group to issue the products before this number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wait(pub u64);

/// Whether it has come.
pub(crate) fn ready(wait: &Wait, context: &mut Context, _lanes: u32) -> bool {
    let group = context.place.warp / 4;
    context.block().state.wgmma.groups[group].issued(wait.0)
}

/// What it is, in words.
pub(crate) fn describe(_wait: &Wait, machine: &Machine, place: Place) -> String {
    let block = &machine.clusters[place.cluster].blocks[place.block];
    let group = &block.state.wgmma.groups[place.warp / 4];
    let missing = group.products.iter().find(|p| p.issued != 15).map_or(0, |p| !p.issued & 15);
    let warps: Vec<String> = (0..4)
        .filter(|k| missing >> k & 1 == 1)
        .map(|k| (place.warp / 4 * 4 + k).to_string())
        .collect();
    format!("warps {} of its warpgroup to issue the same wgmma.mma_async", warps.join(", "))
}

/// A cluster has ended: products that nobody waited for are reported.
pub(crate) fn end(machine: &mut Machine, cluster: usize) -> Result<(), (Place, Fault)> {
    let mut left = Vec::new();
    for (block, b) in machine.clusters[cluster].blocks.iter().enumerate() {
        for warp in b.warps.iter().flatten() {
            let state = &warp.state.wgmma;
            if let Some(&pc) = state.flight.front() {
                let place = Place { cluster, block, warp: warp.index, pc };
                left.push((place, state.flight.len()));
            }
        }
    }
    for (place, count) in left {
        let message = format!("the warp ended with {count} products that it had not waited for");
        machine.report(place, Kind::Abandoned, !0, message);
    }
    Ok(())
}
