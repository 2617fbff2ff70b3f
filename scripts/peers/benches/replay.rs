//! Hands recorded times to criterion as if it had measured them: `REPLAY=samples.csv cargo bench`.
//!
//! `samples.csv` has the columns `bench,ns`, one row a sample: the time of one iteration. Each benchmark has as many samples
//! as criterion takes of it. Only the warm-up takes time.

use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode, criterion_main};

/// What an iteration takes in a warm-up.
const STEP: Duration = Duration::from_micros(1);

fn read(path: &str) -> Vec<(String, Vec<f64>)> {
    let text = std::fs::read_to_string(path).expect("REPLAY names a file");
    let mut benches: Vec<(String, Vec<f64>)> = Vec::new();
    for line in text.lines().skip(1) {
        let (bench, ns) = line.split_once(',').expect("a row is bench,ns");
        let ns: f64 = ns.parse().expect("a time is a number");
        match benches.last_mut().filter(|(name, _)| name == bench) {
            Some((_, times)) => times.push(ns),
            None => benches.push((bench.to_owned(), vec![ns])),
        }
    }
    benches
}

fn replay() {
    let mut criterion = Criterion::default().without_plots().configure_from_args();
    for (bench, times) in read(&std::env::var("REPLAY").expect("REPLAY names a file")) {
        let mut group = criterion.benchmark_group(&bench);
        group.sampling_mode(SamplingMode::Flat).sample_size(times.len());
        group
            .warm_up_time(Duration::from_millis(1))
            .measurement_time(STEP * 777 * times.len() as u32);
        // A warm-up doubles its iterations from 1; the first other number is the first sample's.
        let (mut warm, mut sample) = (Some(1), 0);
        group.bench_function("t", |b| {
            b.iter_custom(|iterations| {
                if warm == Some(iterations) {
                    let (start, wanted) = (Instant::now(), STEP * iterations as u32);
                    while start.elapsed() < wanted {}
                    warm = Some(2 * iterations);
                    return wanted;
                }
                warm = None;
                let took = times[sample] * iterations as f64;
                sample += 1;
                Duration::from_nanos(took.round() as u64)
            })
        });
        group.finish();
        assert_eq!(
            sample,
            times.len(),
            "{bench}: criterion asked for other samples than there are"
        );
    }
}

criterion_main!(replay);
