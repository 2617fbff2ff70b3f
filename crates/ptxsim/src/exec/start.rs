//! What a warp, a block and a cluster hold when they start.

use super::machine::Shape;
use super::{Block, Cluster, Frame, Group, Machine, NOTHING, Registers, Row32, Row64, Warp};
use crate::family;
use crate::memory::Pointer;
use crate::program::{Fill, Program, Special};

/// Register files as a warp starts with them, but for the rows that differ from warp to warp.
#[derive(Debug, Clone)]
pub(crate) struct Templates {
    r32: Vec<Row32>,
    r64: Vec<Row64>,
    patch32: Vec<(usize, Fill)>,
    patch64: Vec<(usize, Fill)>,
}

impl Templates {
    /// For a program whose variables lie at `variables`.
    pub fn new(program: &Program, variables: &[Pointer]) -> Templates {
        let mut templates = Templates {
            r32: Vec::new(),
            r64: Vec::new(),
            patch32: Vec::new(),
            patch64: Vec::new(),
        };
        let wide = (NOTHING as u64) << 32 | NOTHING as u64;
        let value = |fill: &Fill, nothing: u64| match fill {
            Fill::Nothing => Some(nothing),
            Fill::Value(value) => Some(*value),
            Fill::Variable(number, offset) => Some(variables[*number as usize].offset(*offset).0),
            Fill::Special(_) | Fill::Shared(_) | Fill::DynamicShared(_) => None,
        };
        for (row, fill) in program.fill32.iter().enumerate() {
            let known = value(fill, NOTHING as u64);
            templates.r32.push(Row32([known.unwrap_or(0) as u32; 32]));
            if known.is_none() {
                templates.patch32.push((row, *fill));
            }
        }
        for (row, fill) in program.fill64.iter().enumerate() {
            let known = value(fill, wide);
            templates.r64.push(Row64([known.unwrap_or(0); 32]));
            if known.is_none() {
                templates.patch64.push((row, *fill));
            }
        }
        templates
    }
}

/// Where a warp is, as special registers tell it.
struct Position {
    block: [u32; 3],
    rank: u32,
    warp: u32,
}

impl Machine<'_> {
    /// Makes cluster `index` of the grid resident, in the first free slot; its slot.
    pub(super) fn start(&mut self, index: u64) -> usize {
        let Shape { grid, block, cluster, .. } = self.shape;
        let per = [0, 1, 2].map(|k| grid[k].div_ceil(cluster[k]) as u64);
        let first = [index % per[0], index / per[0] % per[1], index / (per[0] * per[1])];
        let threads: u32 = block.iter().product();
        let warps = threads.div_ceil(32);
        let mut blocks = Vec::new();
        for rank in 0..cluster.iter().product() {
            let within = [
                rank % cluster[0],
                rank / cluster[0] % cluster[1],
                rank / (cluster[0] * cluster[1]),
            ];
            let id = [0, 1, 2].map(|k| first[k] as u32 * cluster[k] + within[k]);
            let shared = self.shape.shared as usize;
            blocks.push(Block {
                id,
                shared: vec![0xFF; shared],
                written: vec![0; shared.div_ceil(64)],
                warps: (0..warps)
                    .map(|warp| Some(self.warp(&Position { block: id, rank, warp })))
                    .collect(),
                threads,
                running: warps as usize,
                state: family::BlockState::default(),
            });
        }
        let running = blocks.len() * warps as usize;
        let started = Cluster { blocks, running, state: family::ClusterState::default() };
        let slot = match self.clusters.iter().position(|c| c.running == 0) {
            Some(slot) => {
                self.clusters[slot] = started;
                slot
            }
            None => {
                self.clusters.push(started);
                self.clusters.len() - 1
            }
        };
        self.check.start(slot, &self.clusters[slot]);
        slot
    }

    fn warp(&self, at: &Position) -> Box<Warp> {
        let threads: u32 = self.shape.block.iter().product();
        let count = (threads - at.warp * 32).min(32);
        let alive = if count == 32 { !0 } else { (1 << count) - 1 };
        let mut registers = Registers {
            r32: self.templates.r32.clone(),
            r64: self.templates.r64.clone(),
            predicates: vec![0; self.program.predicates],
            carry: 0,
        };
        for (row, fill) in &self.templates.patch32 {
            registers.r32[*row] =
                Row32(std::array::from_fn(|lane| self.fill(*fill, at, lane as u32) as u32));
        }
        for (row, fill) in &self.templates.patch64 {
            registers.r64[*row] =
                Row64(std::array::from_fn(|lane| self.fill(*fill, at, lane as u32)));
        }
        let local_bytes = self.program.local.next_multiple_of(16) as usize;
        Box::new(Warp {
            index: at.warp as usize,
            registers,
            alive,
            lanes: alive,
            groups: vec![Group { pc: 0, lanes: alive, frame: 0, wait: None, then: false }],
            local: vec![0xFF; local_bytes * 32],
            local_written: vec![0; (local_bytes * 32).div_ceil(64)],
            local_bytes,
            frames: vec![Frame { call: u32::MAX, function: 0, parent: 0, depth: 0 }],
            frame: 0,
            divergent: 0,
            turns: 0,
            state: family::WarpState::default(),
        })
    }

    fn fill(&self, fill: Fill, at: &Position, lane: u32) -> u64 {
        match fill {
            Fill::Special(special) => self.special(special, at, lane) as u64,
            Fill::Shared(offset) => (at.rank << 24 | offset) as u64,
            Fill::DynamicShared(offset) => {
                ((at.rank << 24 | self.shape.dynamic) as u64).wrapping_add_signed(offset)
            }
            Fill::Nothing | Fill::Value(_) | Fill::Variable(..) => {
                unreachable!("the template holds what is the same in all warps")
            }
        }
    }

    fn special(&self, special: Special, at: &Position, lane: u32) -> u32 {
        let Shape { grid, block, cluster, .. } = self.shape;
        let thread = at.warp * 32 + lane;
        let bit = 1u32 << lane;
        match special {
            Special::Tid(0) => thread % block[0],
            Special::Tid(1) => thread / block[0] % block[1],
            Special::Tid(_) => thread / (block[0] * block[1]),
            Special::Ntid(k) => block[k as usize],
            Special::Ctaid(k) => at.block[k as usize],
            Special::Nctaid(k) => grid[k as usize],
            Special::ClusterId(k) => at.block[k as usize] / cluster[k as usize],
            Special::NclusterId(k) => grid[k as usize] / cluster[k as usize],
            Special::ClusterCtaid(k) => at.block[k as usize] % cluster[k as usize],
            Special::ClusterNctaid(k) => cluster[k as usize],
            Special::ClusterCtarank => at.rank,
            Special::ClusterNctarank => cluster.iter().product(),
            Special::IsExplicitCluster => self.shape.explicit_cluster as u32,
            Special::LaneId => lane,
            Special::WarpId => at.warp,
            Special::NwarpId => block.iter().product::<u32>().div_ceil(32),
            // As if every block had a multiprocessor of its own.
            Special::SmId => at.block[0] + grid[0] * (at.block[1] + grid[1] * at.block[2]),
            Special::NsmId => grid.iter().product(),
            Special::GridId => 1,
            Special::LanemaskEq => bit,
            Special::LanemaskLt => bit - 1,
            Special::LanemaskLe => bit | (bit - 1),
            Special::LanemaskGt => !(bit | (bit - 1)),
            Special::LanemaskGe => !(bit - 1),
            Special::DynamicSmemSize => self.shape.shared - self.shape.dynamic,
            Special::TotalSmemSize => self.shape.shared,
            Special::ReservedSmemOffset => 0,
        }
    }
}
