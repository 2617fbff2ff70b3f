//! A benchmark of a known amount of work for tango: built with `WORK=5000`.

use std::hint::black_box;

use tango_bench::{IntoBenchmarks, benchmark_fn, tango_benchmarks, tango_main};

fn product(steps: u64) -> u64 {
    (1..=steps).fold(1, |product: u64, n| product.wrapping_mul(black_box(n)))
}

fn benchmarks() -> impl IntoBenchmarks {
    let steps: u64 = env!("WORK").parse().expect("WORK is a number");
    [benchmark_fn("product", move |b| b.iter(move || product(steps)))]
}

tango_benchmarks!(benchmarks());
tango_main!();
