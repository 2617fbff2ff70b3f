//! What a GPU did and counted, as NVIDIA's CUPTI tells it, behind an interface that the fake driver answers as well.
//!
//! [`Profiler::begin`] and [`Profiler::end`] collect activities: kernels and transfers with the times that the GPU took of them, and
//! the calls of the driver that they came of. [`Profiler::count`] has the hardware's counters of each kernel of a launch, which is
//! executed several times for them. All times are nanoseconds of one clock, whose zero means nothing.

mod counting;
mod library;
pub mod metrics;
mod parameters;
mod real;
mod records;

pub use real::RealProfiler;

use std::collections::HashMap;
use std::fmt;

use serde::Serialize;

use crate::error::Result;

/// When something began and ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Span {
    /// Nanoseconds.
    pub start_ns: u64,
    /// Nanoseconds; not before the start.
    pub end_ns: u64,
}

impl Span {
    /// Nanoseconds in between; 0 where a clock ran backwards.
    pub fn len_ns(&self) -> u64 {
        self.end_ns.saturating_sub(self.start_ns)
    }
}

/// One execution of a kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KernelRun {
    /// Its name in its source, mangled where that language does.
    pub name: String,
    /// On the GPU.
    pub span: Span,
    /// The call that it came of: see [`Call::correlation`].
    pub correlation: u32,
    /// Blocks along x, y, z.
    pub grid: [u32; 3],
    /// Threads of a block along x, y, z.
    pub block: [u32; 3],
    /// Registers of a thread.
    pub registers: u32,
    /// Bytes of shared memory of a block that the source asks for.
    pub shared_static: u32,
    /// And that the launch asks for.
    pub shared_dynamic: u32,
    /// Bytes of local memory of a thread: spills and arrays.
    pub local: u32,
}

/// One copy or fill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Transfer {
    /// In words: `copy within the GPU`.
    pub what: &'static str,
    /// On the GPU.
    pub span: Span,
    /// See [`Call::correlation`].
    pub correlation: u32,
    /// How much was copied or filled.
    pub bytes: u64,
}

/// One call of the driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Call {
    /// The function's name: `cuLaunchKernelEx`.
    pub name: String,
    /// On the host, by the same clock.
    pub span: Span,
    /// Of what it put onto the GPU; no other call of the process has the same.
    pub correlation: u32,
}

/// What was collected, each kind in the order of its starts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Activities {
    /// Kernels.
    pub kernels: Vec<KernelRun>,
    /// Copies and fills.
    pub transfers: Vec<Transfer>,
    /// Calls of the driver.
    pub calls: Vec<Call>,
    /// Records that are missing for want of room, or could not be read.
    pub lost: u64,
}

impl Activities {
    /// Adds what was collected later.
    pub fn extend(&mut self, later: Activities) {
        self.kernels.extend(later.kernels);
        self.transfers.extend(later.transfers);
        self.calls.extend(later.calls);
        self.lost += later.lost;
    }

    /// Calls by what they put onto the GPU: see [`Call::correlation`].
    pub fn by_correlation(&self) -> HashMap<u32, &Call> {
        self.calls.iter().map(|call| (call.correlation, call)).collect()
    }

    fn sort(&mut self) {
        self.kernels.sort_by_key(|kernel| kernel.span.start_ns);
        self.transfers.sort_by_key(|transfer| transfer.span.start_ns);
        self.calls.sort_by_key(|call| call.span.start_ns);
    }
}

/// Counters of the kernels of a launch.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Counted {
    /// How often each kernel was executed for them.
    pub passes: usize,
    /// Of each kernel, in the order of execution: the metrics that were asked for, in their order; `None` where this GPU has none.
    pub kernels: Vec<Vec<Option<f64>>>,
}

/// Who tells what a context's GPU did.
pub trait Profiler: fmt::Debug {
    /// Who that is, and of which version: `CUPTI 13.0`.
    fn source(&self) -> String;

    /// Collects activities from now on.
    ///
    /// # Errors
    /// [`crate::Error::Refused`] in words: another profiler has the process, or the driver and CUPTI do not fit.
    fn begin(&self) -> Result<()>;

    /// Waits for the GPU, collects no more, and hands out what was.
    ///
    /// # Errors
    /// What ended a kernel, and as [`Profiler::begin`].
    fn end(&self) -> Result<Activities>;

    /// Counts `metrics` (see [`metrics::METRICS`]) of each kernel that `launch` launches, which is called once and executes each
    /// several times, with memory as it was before; at most [`MOST_COUNTED`] kernels.
    ///
    /// # Errors
    /// [`crate::Error::Refused`] in words: not permitted, with the way out; a CUPTI that is too old; a GPU that it does not count on.
    fn count(&self, metrics: &[&str], launch: &mut dyn FnMut() -> Result<()>) -> Result<Counted>;
}

/// What a fill is called.
pub const FILL: &str = "fill";
/// What a copy within a GPU is called.
pub const COPY_WITHIN: &str = "copy within the GPU";

/// More kernels than any row here launches at once.
pub const MOST_COUNTED: usize = 64;
