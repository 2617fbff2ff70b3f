//! What to launch and how: the host's side of an execution.

use crate::check::Checks;
use crate::count::{Counted, Counters};
use crate::error::Finding;
use crate::memory::Pointer;
use crate::tensor::map::TensorMap;

/// A kernel launch.
#[derive(Debug, Clone, Default)]
pub struct Launch {
    /// Name of the entry.
    pub entry: String,
    /// Blocks along x, y, z.
    pub grid: [u32; 3],
    /// Threads of a block along x, y, z.
    pub block: [u32; 3],
    /// Blocks of a cluster along x, y, z; `None` takes the entry's own, or 1.
    pub cluster: Option<[u32; 3]>,
    /// Dynamic shared memory, in bytes.
    pub shared: u32,
    /// Arguments, in order.
    pub arguments: Vec<Argument>,
    /// The allocations that the kernel may write, each by an address in it; `None` allows all.
    pub may_write: Option<Vec<Pointer>>,
}

/// The bytes of one argument, as long as the parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument(pub Vec<u8>);

macro_rules! arguments {
    ($($t:ty),*) => {$(
        impl From<$t> for Argument {
            fn from(value: $t) -> Argument {
                Argument(value.to_le_bytes().to_vec())
            }
        }
    )*};
}
arguments!(u8, i8, u16, i16, u32, i32, u64, i64, f32, f64);

impl From<Pointer> for Argument {
    fn from(value: Pointer) -> Argument {
        Argument::from(value.0)
    }
}

impl From<TensorMap> for Argument {
    fn from(map: TensorMap) -> Argument {
        Argument(map.image().to_vec())
    }
}

/// How to execute.
#[derive(Debug, Clone)]
pub struct Options {
    /// Chooses the schedule; the same seed gives the same execution.
    pub seed: u64,
    /// What to look for.
    pub checks: Checks,
    /// Whether asynchronous work completes as late as it may; otherwise at random times.
    pub late: bool,
    /// Whether `mbarrier.try_wait` may give up by chance before its phase has ended, as PTX allows: it finds kernels that do
    /// not try again. Counters then depend on the seed.
    pub give_up: bool,
    /// Most warp instructions that one cluster may execute.
    pub budget: u64,
    /// Host threads; 0 takes as many as the host has cores. Results and counters do not depend on it.
    pub threads: usize,
    /// Blocks that are resident at a time where blocks may talk to each other.
    pub resident: u32,
    /// Whether each instruction is counted by itself as well ([`Report::instructions`]).
    pub lines: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            seed: 0,
            checks: Checks::all(),
            late: true,
            give_up: false,
            budget: 2_000_000_000,
            threads: 0,
            resident: 256,
            lines: false,
        }
    }
}

/// What an execution showed.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Mistakes that did not end the execution, in order of block and time.
    pub findings: Vec<Finding>,
    /// What was executed.
    pub counters: Counters,
    /// The same by instruction, in the order of the text: those that were executed, where [`Options::lines`] asks for it.
    pub instructions: Vec<Counted>,
    /// What `printf` wrote, block after block.
    pub output: String,
}
