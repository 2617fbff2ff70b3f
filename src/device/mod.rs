//! Where kernels run: memory, threads, clock, and what the place is capable of.

#[cfg(target_arch = "x86_64")]
pub mod amx;
pub mod core_share;
#[cfg(target_os = "linux")]
pub mod counters;
pub mod cpu;
pub mod cuda;
pub mod lost;
pub mod machine;
pub mod memory;
pub mod name;
pub mod placement;
pub mod pool;
pub mod sim;

use crate::kernels::cuda::Architecture;
use crate::ops::{Cache, Case};
use crate::units::{ByteRate, Bytes, FlopRate};

pub use cpu::{CpuDevice, Isa};
pub use cuda::GpuDevice;
pub use name::{DeviceName, DriverName, Gpus};
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
    /// What is known of the GPU, where the place is one: memory and cache are then its own.
    pub gpu: Option<GpuFacts>,
}

/// What kernels and plans need to know of a GPU.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GpuFacts {
    /// What sources are compiled for.
    pub architecture: Architecture,
    /// Streaming multiprocessors.
    pub multiprocessors: u32,
    /// Most shared memory that a block may ask for, in bytes.
    pub shared_per_block: u32,
    /// 128 multiply-adds a clock and multiprocessor at its highest clock: what f32 gives at most.
    pub flop_rate: FlopRate,
    /// What memory could give, as its clock and width tell; a nominal figure where the driver does not.
    pub byte_rate: ByteRate,
}

impl GpuFacts {
    /// Of a GPU with these attributes.
    pub fn of(attributes: &cuda::Attributes) -> Self {
        let lanes = 256.0 * f64::from(attributes.multiprocessors);
        GpuFacts {
            architecture: attributes.architecture(),
            multiprocessors: attributes.multiprocessors,
            shared_per_block: attributes.shared_per_block,
            flop_rate: FlopRate(lanes * 1e3 * f64::from(attributes.clock_khz)),
            byte_rate: attributes.memory_rate().unwrap_or(ByteRate(300e9)),
        }
    }
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
    /// A GPU.
    Gpu(GpuDevice),
}

impl Device {
    /// What it can do.
    pub fn capabilities(&self) -> &Capabilities {
        match self {
            Device::Cpu(cpu) => &cpu.capabilities,
            Device::Sim(sim) => &sim.capabilities,
            Device::Gpu(gpu) => &gpu.capabilities,
        }
    }

    /// Its name in records: `cpu`, `sim` or `cuda:0`.
    pub fn name(&self) -> &str {
        match self {
            Device::Cpu(_) => "cpu",
            Device::Sim(_) => "sim",
            Device::Gpu(gpu) => &gpu.name,
        }
    }
}
