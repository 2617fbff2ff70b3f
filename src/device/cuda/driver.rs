//! What is asked of a GPU, behind traits: the CUDA driver answers ([`super::real`]), or a fake one that simulates ([`super::fake`]).
//!
//! A [`Context`] has one stream. What is enqueued runs in order, and nothing here waits but [`Context::synchronize`] and the two
//! copies from and to the host. Handles are numbers; [`super::owned`] frees what they stand for.

use std::fmt;
use std::sync::Arc;

use ptxsim::conformance::Map;

use super::attributes::Attributes;
use super::blas::Blas;
use super::cupti::Profiler;
use super::nvml::Monitor;
use crate::error::Result;
use crate::units::Bytes;

/// A driver: the GPUs that it has.
pub trait Driver: fmt::Debug + Send + Sync {
    /// What stands before the ordinal in the names of its devices: `cuda`, or `fake:sm_80`.
    fn name(&self) -> String;
    /// Its GPUs, looked at without taking any memory of theirs.
    ///
    /// # Errors
    /// [`crate::Error::Library`] where there is no driver, one that is too old, or no GPU.
    fn gpus(&self) -> Result<Vec<Attributes>>;
    /// Makes a context on a GPU.
    ///
    /// # Errors
    /// As [`Driver::gpus`], and where the GPU has no room for a context.
    fn open(&self, ordinal: u32) -> Result<Arc<dyn Context>>;
    /// Who tells clocks, power and temperature of a GPU; without one, why.
    fn monitor(&self, gpu: &Attributes) -> Result<Box<dyn Monitor>, String>;
}

/// An address in the memory of a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address(pub u64);

impl Address {
    /// So many bytes further.
    pub fn offset(self, bytes: u64) -> Address {
        Address(self.0 + bytes)
    }
}

/// A handle of the driver's, of whatever kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Handle(pub usize);

/// The two forms of a compiled source.
#[derive(Debug, Clone, Copy)]
pub struct Image<'a> {
    /// Machine code for the very GPU; empty: the driver compiles the PTX.
    pub cubin: &'a [u8],
    /// The PTX that it was made from.
    pub ptx: &'a str,
}

/// More arguments than any kernel here has.
pub const MOST_ARGUMENTS: usize = 40;

/// Sizes of a launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Blocks.
    pub grid: [u32; 3],
    /// Threads of a block.
    pub block: [u32; 3],
    /// Blocks of a cluster, where the launch and not the source says so.
    pub cluster: Option<[u32; 3]>,
    /// Bytes of dynamic shared memory.
    pub shared: u32,
}

/// Memory of a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// What an allocation can have now.
    pub free: Bytes,
    /// All that there is.
    pub total: Bytes,
}

/// A word of the host's memory that a GPU can read and write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapped {
    /// Where the host sees it.
    pub host: Handle,
    /// Where the GPU sees it.
    pub device: Address,
}

/// A context on a GPU, with one stream.
///
/// Every error but a refused request is [`crate::Error::Lost`]: a kernel broke the context, and nothing of this process can use
/// the GPU any more.
pub trait Context: fmt::Debug + Send + Sync {
    /// What the GPU is.
    fn attributes(&self) -> &Attributes;
    /// How much memory is free.
    fn room(&self) -> Result<Room>;

    /// Takes memory; its address is a multiple of 256.
    fn allocate(&self, bytes: Bytes) -> Result<Address>;
    /// Gives memory back.
    fn free(&self, at: Address);
    /// Copies from the host, behind all that was enqueued, and waits.
    fn upload(&self, to: Address, bytes: &[u8]) -> Result<()>;
    /// Copies to the host, behind all that was enqueued, and waits.
    fn download(&self, from: Address, bytes: &mut [u8]) -> Result<()>;
    /// Enqueues a copy within the GPU.
    fn copy(&self, to: Address, from: Address, bytes: Bytes) -> Result<()>;
    /// Enqueues a fill with one byte.
    fn fill(&self, at: Address, byte: u8, bytes: Bytes) -> Result<()>;
    /// Takes a word that both sides see; it begins as 0.
    fn map_word(&self) -> Result<Mapped>;
    /// Sets a mapped word, at once.
    fn store(&self, word: Mapped, value: u32);
    /// Reads a mapped word.
    fn read(&self, word: Mapped) -> u32;
    /// Gives a mapped word back.
    fn unmap(&self, word: Mapped);

    /// Loads a module.
    fn load(&self, image: &Image<'_>) -> Result<Handle>;
    /// Unloads a module.
    fn unload(&self, module: Handle);
    /// A kernel of a module, that may take this much dynamic shared memory.
    fn function(&self, module: Handle, name: &str, shared: u32) -> Result<Handle>;
    /// A CUtensorMap, as the kernel takes it.
    fn tensor_map(&self, map: &Map, buffer: Address) -> Result<[u8; 128]>;
    /// Enqueues a launch; allocates nothing.
    ///
    /// # Safety
    /// `arguments` are at most [`MOST_ARGUMENTS`], as many, each as wide, as the kernel's parameters, and every address that the kernel makes of them and
    /// accesses lies in memory of this GPU that lives until it has ended.
    unsafe fn launch(&self, function: Handle, shape: &Shape, arguments: &[&[u8]]) -> Result<()>;

    /// Makes an event that can time.
    fn event(&self) -> Result<Handle>;
    /// Enqueues that an event takes the time.
    fn record(&self, event: Handle) -> Result<()>;
    /// Nanoseconds between two events that have taken the time.
    fn elapsed_ns(&self, from: Handle, to: Handle) -> Result<f64>;
    /// Gives an event back.
    fn forget_event(&self, event: Handle);

    /// From here on, launches go into a graph and not into the stream.
    fn begin_capture(&self) -> Result<()>;
    /// Ends a graph, and makes it ready to be launched.
    fn end_capture(&self) -> Result<Handle>;
    /// Enqueues a graph.
    fn launch_graph(&self, graph: Handle) -> Result<()>;
    /// Gives a graph back.
    fn forget_graph(&self, graph: Handle);

    /// Waits for the end of all that was enqueued.
    fn synchronize(&self) -> Result<()>;

    /// cuBLASLt, working in this stream.
    ///
    /// # Errors
    /// [`crate::Error::Refused`] with a hint where the library is missing.
    fn blas(&self) -> Result<Box<dyn Blas + '_>>;

    /// Who tells what this GPU did and counted.
    ///
    /// # Errors
    /// [`crate::Error::Refused`] with a hint where the library is missing.
    fn profiler(&self) -> Result<Box<dyn Profiler + '_>>;
}
