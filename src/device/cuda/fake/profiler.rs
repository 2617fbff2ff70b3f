//! A profiler of the fake driver: it tells what its made-up clock came to, and counters that follow from what was simulated. What no
//! simulation knows, such as registers or what warps wait for, it does not tell.

use std::sync::Arc;

use ptxsim::Counters;

use super::blas;
use super::clock;
use super::context::FakeContext;
use super::stream::Work;
use crate::device::cuda::cupti::metrics::DRAM_BYTES;
use crate::device::cuda::cupti::{
    Activities, COPY_WITHIN, Call, Counted, FILL, KernelRun, MOST_COUNTED, Profiler, Span, Transfer,
};
use crate::device::cuda::driver::{Context, Shape};
use crate::error::{Error, Result};

/// What happened on the GPU.
pub enum Ran<'a> {
    /// A kernel: its entry, its sizes, and what it counted.
    Kernel(&'a str, Shape, Arc<Counters>),
    /// A product by the library.
    Product,
    /// A copy of so many bytes.
    Copy(u64),
    /// A fill of so many bytes.
    Fill(u64),
}

/// What a stream tells, where somebody asks.
#[derive(Debug, Default)]
pub struct Recorder {
    activities: Option<Activities>,
    /// What each kernel took, and counted.
    counted: Option<Vec<(f64, Arc<Counters>)>>,
    calls: u32,
}

impl Recorder {
    /// The host has made a call, which ended at this time; its number.
    pub fn call(&mut self, work: &Work, end_ns: f64) -> u32 {
        self.calls += 1;
        if let Some(activities) = &mut self.activities {
            let name = match work {
                Work::Launch(_) => "cuLaunchKernelEx",
                Work::Multiply(_) => "cuLaunchKernel",
                Work::Copy(..) => "cuMemcpyDtoDAsync_v2",
                Work::Fill(..) => "cuMemsetD8Async",
                Work::Record(_) => "cuEventRecord",
                Work::Graph(_) => "cuGraphLaunch",
            };
            let span = span(end_ns - clock::CALL_NS, end_ns);
            activities.calls.push(Call { name: name.into(), span, correlation: self.calls });
        }
        self.calls
    }

    /// What a call enqueued has ended.
    pub fn ran(&mut self, correlation: u32, what: &Ran<'_>, before_ns: f64, after_ns: f64) {
        let span = span(before_ns + clock::GAP_NS, after_ns);
        let (name, shape, counters) = match what {
            Ran::Copy(bytes) | Ran::Fill(bytes) => {
                let what = if matches!(what, Ran::Copy(_)) { COPY_WITHIN } else { FILL };
                if let Some(activities) = &mut self.activities {
                    activities.transfers.push(Transfer { what, span, correlation, bytes: *bytes });
                }
                return;
            }
            Ran::Kernel(entry, shape, counters) => (*entry, *shape, Arc::clone(counters)),
            Ran::Product => {
                let shape = Shape { grid: [1; 3], block: [1; 3], cluster: None, shared: 0 };
                (blas::ENTRY, shape, Arc::default())
            }
        };
        if let Some(activities) = &mut self.activities {
            activities.kernels.push(KernelRun {
                name: name.to_owned(),
                span,
                correlation,
                grid: shape.grid,
                block: shape.block,
                registers: 0,
                shared_static: 0,
                shared_dynamic: shape.shared,
                local: 0,
            });
        }
        if let Some(counted) = &mut self.counted {
            counted.push((span.len_ns() as f64, counters));
        }
    }
}

fn span(start_ns: f64, end_ns: f64) -> Span {
    Span { start_ns: start_ns.max(0.0).round() as u64, end_ns: end_ns.max(0.0).round() as u64 }
}

#[derive(Debug)]
pub struct FakeProfiler<'c> {
    context: &'c FakeContext,
}

impl<'c> FakeProfiler<'c> {
    pub fn new(context: &'c FakeContext) -> Result<Self> {
        match context.state().stream.conditions.cupti {
            true => Ok(FakeProfiler { context }),
            false => Err(Error::Refused("CUPTI is not on this (pretended) machine".into())),
        }
    }
}

impl Profiler for FakeProfiler<'_> {
    fn source(&self) -> String {
        "the fake driver, whose times are made up".into()
    }

    fn begin(&self) -> Result<()> {
        self.context.synchronize()?;
        self.context.state().stream.recorder.activities = Some(Activities::default());
        Ok(())
    }

    fn end(&self) -> Result<Activities> {
        let waited = self.context.synchronize();
        let activities = self.context.state().stream.recorder.activities.take();
        waited.map(|()| activities.unwrap_or_default())
    }

    fn count(&self, metrics: &[&str], launch: &mut dyn FnMut() -> Result<()>) -> Result<Counted> {
        if !self.context.state().stream.conditions.counters {
            return Err(Error::Refused(
                "counters are kept for administrators (ERR_NVGPUCTRPERM) on this (pretended) machine: run as root".into(),
            ));
        }
        self.context.synchronize()?;
        self.context.state().stream.recorder.counted = Some(Vec::new());
        let launched = launch().and_then(|()| self.context.synchronize());
        let counted = self.context.state().stream.recorder.counted.take().unwrap_or_default();
        launched?;
        let kernels = counted.iter().take(MOST_COUNTED);
        let of = |(ns, counters): &(f64, Arc<Counters>)| {
            metrics.iter().map(|metric| value(metric, *ns, counters)).collect()
        };
        Ok(Counted { passes: 1, kernels: kernels.map(of).collect() })
    }
}

/// A metric of a kernel that took so long; `None` where the simulator does not know.
fn value(metric: &str, ns: f64, counters: &Counters) -> Option<f64> {
    let instructions = counters.get("warp_instructions") as f64;
    if instructions == 0.0 {
        return None;
    }
    let moved = clock::moved(counters) as f64;
    let share = |busy_ns: f64| 100.0 * (busy_ns / ns).min(1.0);
    Some(match metric {
        DRAM_BYTES | "lts__t_bytes.sum" => moved,
        "dram__bytes.sum.per_second" => moved / ns * 1e9,
        "dram__throughput.avg.pct_of_peak_sustained_elapsed" => share(moved / clock::BYTES_PER_NS),
        "smsp__inst_executed.sum" => instructions,
        "smsp__thread_inst_executed_pred_on.sum" => counters.get("thread_instructions") as f64,
        "smsp__issue_active.avg.pct_of_peak_sustained_active" => share(clock::issue_ns(counters)),
        "sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_active" => {
            share(clock::tensor_ns(counters))
        }
        "sm__throughput.avg.pct_of_peak_sustained_elapsed" => {
            share(clock::issue_ns(counters).max(clock::tensor_ns(counters)))
        }
        "sm__cycles_elapsed.avg.per_second" => f64::from(clock::KHZ) * 1e3,
        _ => return None,
    })
}
