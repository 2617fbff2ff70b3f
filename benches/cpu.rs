//! Criterion over the registry of CPU kernels: `cargo bench -- matmul/simd`.
//!
//! Nothing here names a kernel: every kernel that takes a case of the small bench plan is a benchmark. Criterion measures
//! in one process, so its numbers carry that process's level; `scalemark run` is the measurement that resamples processes.

mod shared;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use scalemark::device::pool::affinity;
use scalemark::device::{CpuDevice, Device};
use scalemark::kernels::Registry;
use scalemark::ops::{
    Attention, Case, Matmul, Pass, Precision, Probe, ProbeKind, Problem, Rule, Update,
};

/// Wall time whose throughput reads in FLOP/s: criterion's elements are floating-point operations here.
struct ModelTime(WallTime);

impl Measurement for ModelTime {
    type Intermediate = Instant;
    type Value = Duration;

    fn start(&self) -> Instant {
        self.0.start()
    }
    fn end(&self, start: Instant) -> Duration {
        self.0.end(start)
    }
    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        self.0.add(a, b)
    }
    fn zero(&self) -> Duration {
        self.0.zero()
    }
    fn to_f64(&self, value: &Duration) -> f64 {
        self.0.to_f64(value)
    }
    fn formatter(&self) -> &dyn ValueFormatter {
        self
    }
}

impl ValueFormatter for ModelTime {
    fn scale_values(&self, typical: f64, values: &mut [f64]) -> &'static str {
        self.0.formatter().scale_values(typical, values)
    }

    fn scale_throughputs(
        &self,
        typical: f64,
        throughput: &Throughput,
        values: &mut [f64],
    ) -> &'static str {
        shared::rates(typical, throughput, values)
            .unwrap_or_else(|| self.0.formatter().scale_throughputs(typical, throughput, values))
    }

    fn scale_for_machines(&self, values: &mut [f64]) -> &'static str {
        self.0.formatter().scale_for_machines(values)
    }
}

/// One or a few cases of every op: enough to see each kernel, small enough for criterion's many iterations.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for size in [256, 512] {
        for precision in [Precision::F32, Precision::BF16, Precision::INT8] {
            cases.push(Case::new(Problem::Matmul(Matmul::new(size, size, size)), precision));
        }
    }
    let attention = Problem::Attention(Attention::new(4, 256, 64, true));
    for precision in [Precision::F32, Precision::BF16] {
        for pass in [Pass::Forward, Pass::Backward] {
            cases.push(Case { pass, ..Case::new(attention, precision) });
        }
    }
    let decode = Problem::Attention(Attention { seq_q: 1, ..Attention::new(8, 1024, 64, true) });
    cases.push(Case { pass: Pass::Decode, ..Case::new(decode, Precision::F32) });
    for rule in Rule::ALL {
        let update = Problem::Update(Update { rule, params: 1 << 18 });
        cases.push(Case::new(update, rule.precision(Precision::F32)));
    }
    cases.push(Case::new(Problem::Peak(Probe::arithmetic(1)), Precision::F32));
    for kind in ProbeKind::ALL.into_iter().filter(|kind| *kind != ProbeKind::Fma) {
        cases.push(Case::new(Problem::Peak(Probe { kind, size: 1 << 22 }), Precision::F32));
    }
    cases
}

fn registry(criterion: &mut Criterion<ModelTime>) {
    let device = Device::Cpu(CpuDevice::detect(true));
    shared::registry(criterion, "", &device, &Registry::default(), cases());
}

/// The own pool against rayon's threads under the same kernels, with all threads of the machine.
fn threads(criterion: &mut Criterion<ModelTime>) {
    let own = CpuDevice::detect(true);
    // By now this thread is pinned, and sees one CPU.
    let threads = affinity::allowed().len().max(own.capabilities.threads);
    if threads < 2 {
        eprintln!("the race of thread pools needs two hardware threads, this machine has one");
        return;
    }
    let devices = [
        ("pool", Device::Cpu(CpuDevice { rayon: false, ..CpuDevice::detect(true) })),
        ("rayon", Device::Cpu(CpuDevice { rayon: true, ..own })),
    ];
    let products = [32, 64, 128, 256, 512, 1024].map(|n| Problem::Matmul(Matmul::new(n, n, n)));
    let sequences = [64, 256, 1024].map(|n| Problem::Attention(Attention::new(4, n, 64, true)));
    let updates = [12, 16, 20].map(|n| Problem::Update(Update { rule: Rule::Sgd, params: 1 << n }));
    for problem in products.into_iter().chain(sequences).chain(updates) {
        let case = Case { threads, ..Case::new(problem, Precision::F32) };
        let mut group = criterion.benchmark_group("threads");
        let inputs = case.inputs(1);
        let simd = format!("{}/simd", problem.family().name());
        let kernel = Registry::default().get(&simd).expect("every family has a simd kernel");
        for (name, device) in &devices {
            group.bench_function(BenchmarkId::new(*name, case.key()), |bencher| {
                // A thread of its own: it becomes one of rayon's for good.
                std::thread::scope(|scope| {
                    let run = || {
                        let mut prepared =
                            kernel.prepare(device, &case, &inputs).expect("simd takes the case");
                        bencher.iter(|| prepared.launch(black_box(0)).expect("a launch works"));
                    };
                    scope.spawn(run).join().expect("the benchmark does not panic");
                });
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(ModelTime(WallTime)).sample_size(20);
    targets = registry, threads
}
criterion_main!(benches);
