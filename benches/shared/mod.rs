//! What the benches of CPUs and GPUs share: names, work, and rates. Criterion's elements are floating-point operations here.

use std::hint::black_box;

use criterion::measurement::Measurement;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use scalemark::device::Device;
use scalemark::kernels::{Kernel, Registry};
use scalemark::ops::{Case, Family, Pass, ProbeKind, Problem};

/// Benchmarks every kernel of `kernels` that takes a case, in a group of its family behind `prefix`; says who refuses and why.
pub fn registry<M: Measurement>(
    criterion: &mut Criterion<M>,
    prefix: &str,
    device: &Device,
    kernels: &Registry,
    cases: Vec<Case>,
) {
    for case in cases {
        let family = case.problem.family().name();
        let mut group = criterion.benchmark_group(format!("{prefix}{family}"));
        group.throughput(work(&case));
        let inputs = case.inputs(1);
        for kernel in kernels.for_case(&case) {
            if let Some(reason) = kernel.refuses(device.capabilities(), &case) {
                eprintln!("{} refuses {case}: {reason}", kernel.id());
                continue;
            }
            bench(&mut group, kernel, family, &case, |bencher| {
                // Prepared here, so that a filter that leaves this benchmark out leaves its memory alone too.
                let mut prepared =
                    kernel.prepare(device, &case, &inputs).expect("the kernel took the case");
                let mut slot = 0;
                bencher.iter(|| {
                    prepared.launch(black_box(slot)).expect("a launch works");
                    slot += 1;
                });
            });
        }
        group.finish();
    }
}

fn bench<M: Measurement>(
    group: &mut BenchmarkGroup<'_, M>,
    kernel: &dyn Kernel,
    family: &str,
    case: &Case,
    body: impl FnMut(&mut criterion::Bencher<'_, M>),
) {
    // Criterion puts the group's name before it: the kernel's own name, so that filters are written as elsewhere.
    let id = kernel.id().0;
    let name = id.strip_prefix(family).map_or(&*id, |rest| rest.trim_start_matches('/'));
    group.bench_function(BenchmarkId::new(name, case.key()), body);
}

/// Bytes of what memory bounds, floating-point operations of the rest.
fn work(case: &Case) -> Throughput {
    let cost = case.cost();
    let memory_bound = match case.problem {
        Problem::Peak(probe) => probe.kind != ProbeKind::Fma,
        _ => case.problem.family() == Family::Optimizer || case.pass == Pass::Decode,
    };
    if memory_bound { Throughput::Bytes(cost.bytes.0) } else { Throughput::Elements(cost.flops.0) }
}

/// Turns times in nanoseconds into rates, and names their unit; `None` for a throughput of something else.
pub fn rates(typical: f64, throughput: &Throughput, values: &mut [f64]) -> Option<&'static str> {
    let (work, units) = match *throughput {
        Throughput::Elements(flops) => (flops, ["MFLOP/s", "GFLOP/s", "TFLOP/s"]),
        Throughput::Bytes(bytes) => (bytes, ["MB/s", "GB/s", "TB/s"]),
        _ => return None,
    };
    // Values are nanoseconds: work per nanosecond is 10⁹ a second.
    let (scale, unit) = match work as f64 / typical * 1e9 {
        r if r < 1e9 => (1e6, units[0]),
        r if r < 1e12 => (1e9, units[1]),
        _ => (1e12, units[2]),
    };
    for value in values {
        *value = work as f64 / *value * 1e9 / scale;
    }
    Some(unit)
}
