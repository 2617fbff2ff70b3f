//! Where kernels run: memory, threads, clock, and what the place is capable of.

#[cfg(target_arch = "x86_64")]
pub mod amx;
pub mod core_share;
pub mod cpu;
pub mod cuda;
pub mod lost;
pub mod machine;
pub mod memory;
pub mod name;
pub mod placement;
pub mod pool;
pub mod sim;

use crate::ops::{Cache, Case};
use crate::units::Bytes;

pub use cpu::{CpuDevice, Isa};
pub use name::DeviceName;
pub use pool::Pool;
pub use sim::SimDevice;

/// What a place can do, known without touching it; `list` and `plan` ask kernels about it as well as `run`.
#[derive(Debug, Clone, PartialEq)]
pub struct Capabilities {
    /// Instruction sets of the CPU.
    pub isa: Isa,
    /// Hardware threads.
    pub threads: usize,
    /// Memory that a run may take.
    pub memory: Bytes,
    /// Size of the last-level cache (one instance).
    pub last_level_cache: Bytes,
}

impl Capabilities {
    /// How many sets of buffers a case rotates through: one when warm, enough to fill the last-level cache twice when
    /// cold.
    pub fn buffer_sets(&self, case: &Case) -> usize {
        let set = case.buffer_bytes().0.max(64);
        match case.cache {
            Cache::Warm => 1,
            Cache::Cold => (2 * self.last_level_cache.0).div_ceil(set).max(1) as usize,
        }
    }

    /// The buffers of a case, all sets together.
    pub fn case_bytes(&self, case: &Case) -> Bytes {
        case.buffer_bytes() * self.buffer_sets(case) as u64
    }
}

/// A place where kernels run.
#[derive(Debug)]
pub enum Device {
    /// The host's processor.
    Cpu(CpuDevice),
    /// The PTX simulator on the host's processor.
    Sim(SimDevice),
}

impl Device {
    /// What it can do.
    pub fn capabilities(&self) -> &Capabilities {
        match self {
            Device::Cpu(cpu) => &cpu.capabilities,
            Device::Sim(sim) => &sim.capabilities,
        }
    }

    /// Its name in records: `cpu` or `sim`.
    pub fn name(&self) -> &'static str {
        match self {
            Device::Cpu(_) => "cpu",
            Device::Sim(_) => "sim",
        }
    }
}
