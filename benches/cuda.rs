//! Criterion over the registry of CUDA kernels on a GPU: `cargo bench --bench cuda -- matmul`.
//!
//! Time is the GPU's own, between events on its stream. As on the CPU, every kernel that takes a case of the small bench plan is a
//! benchmark, in one process: `scalemark run --device cuda` is the measurement that flushes caches, blocks the stream while the
//! host enqueues, and resamples processes. `SCALEMARK_BENCH_DEVICE` names another GPU than cuda:0; without one it says so.

mod shared;

use std::sync::Arc;

use criterion::measurement::{Measurement, ValueFormatter};
use criterion::{Criterion, Throughput};
use scalemark::device::cuda::driver::Context;
use scalemark::device::cuda::owned::Event;
use scalemark::device::name::Which;
use scalemark::device::{Device, DeviceName, GpuDevice};
use scalemark::kernels::Registry;
use scalemark::ops::{
    Attention, Case, Matmul, Pass, Precision, Probe, ProbeKind, Problem, Rule, Update,
};

/// The time of a GPU, in nanoseconds between events; throughputs read in FLOP/s.
struct GpuTime(Arc<dyn Context>);

impl GpuTime {
    fn event(&self) -> Event {
        let event = Event::new(&self.0).expect("the driver makes events");
        event.record().expect("the context is not lost");
        event
    }
}

impl Measurement for GpuTime {
    type Intermediate = Event;
    type Value = f64;

    fn start(&self) -> Event {
        self.event()
    }
    fn end(&self, start: Event) -> f64 {
        let stop = self.event();
        self.0.synchronize().expect("the kernel runs to its end");
        stop.since_ns(&start).expect("both events have taken the time")
    }
    fn add(&self, a: &f64, b: &f64) -> f64 {
        a + b
    }
    fn zero(&self) -> f64 {
        0.0
    }
    fn to_f64(&self, value: &f64) -> f64 {
        *value
    }
    fn formatter(&self) -> &dyn ValueFormatter {
        &Format
    }
}

/// Nanoseconds, FLOP/s and bytes a second; criterion's elements are floating-point operations here.
struct Format;

impl ValueFormatter for Format {
    fn scale_values(&self, typical: f64, values: &mut [f64]) -> &'static str {
        let units = [(1e9, "s"), (1e6, "ms"), (1e3, "µs")];
        let (step, unit) = units.into_iter().find(|unit| typical >= unit.0).unwrap_or((1.0, "ns"));
        values.iter_mut().for_each(|value| *value /= step);
        unit
    }

    fn scale_throughputs(
        &self,
        typical: f64,
        throughput: &Throughput,
        values: &mut [f64],
    ) -> &'static str {
        shared::rates(typical, throughput, values)
            .unwrap_or_else(|| self.scale_values(typical, values))
    }

    fn scale_for_machines(&self, _: &mut [f64]) -> &'static str {
        "ns"
    }
}

/// One or a few cases of every op, of a size that a GPU of so many multiprocessors has something to do with.
fn cases(multiprocessors: u32) -> Vec<Case> {
    let small = multiprocessors < 8;
    let (side, seq, params, stream) =
        if small { (64, 64, 1 << 12, 1 << 16) } else { (2048, 2048, 1 << 26, 1 << 28) };
    let mut cases = Vec::new();
    for precision in [Precision::F32, Precision::BF16, Precision::INT8] {
        cases.push(Case::new(Problem::Matmul(Matmul::new(side, side, side)), precision));
    }
    let attention = Problem::Attention(Attention::new(if small { 1 } else { 16 }, seq, 64, true));
    for precision in [Precision::F32, Precision::BF16] {
        for pass in [Pass::Forward, Pass::Backward] {
            cases.push(Case { pass, ..Case::new(attention, precision) });
        }
    }
    for rule in Rule::ALL {
        let update = Problem::Update(Update { rule, params });
        cases.push(Case::new(update, rule.precision(Precision::F32)));
    }
    for kind in [ProbeKind::Read, ProbeKind::Write, ProbeKind::Copy, ProbeKind::Triad] {
        cases.push(Case::new(Problem::Peak(Probe { kind, size: stream }), Precision::F32));
    }
    cases
}

fn main() {
    let name = std::env::var("SCALEMARK_BENCH_DEVICE").unwrap_or_else(|_| "cuda:0".into());
    let gpu = match name.parse() {
        Ok(DeviceName::Gpus(gpus)) => match gpus.which {
            Which::Listed(bits) => GpuDevice::open(gpus.driver, bits.trailing_zeros()),
            Which::All => GpuDevice::open(gpus.driver, 0),
        },
        Ok(other) => {
            eprintln!("SCALEMARK_BENCH_DEVICE: {other} is no GPU; write cuda:0");
            std::process::exit(2);
        }
        Err(reason) => {
            eprintln!("SCALEMARK_BENCH_DEVICE: {reason}");
            std::process::exit(2);
        }
    };
    let gpu = match gpu {
        Ok(gpu) => gpu,
        Err(error) => {
            println!("no CUDA kernel is benchmarked: {error}");
            return;
        }
    };
    let multiprocessors = gpu.context.attributes().multiprocessors;
    let time = GpuTime(Arc::clone(&gpu.context));
    let mut criterion =
        Criterion::default().with_measurement(time).sample_size(20).configure_from_args();
    // A group of its own, or criterion would compare a GPU's naive with a CPU's.
    let cases = cases(multiprocessors);
    shared::registry(&mut criterion, "cuda/", &Device::Gpu(gpu), &Registry::cuda(), cases);
    criterion.final_summary();
}
