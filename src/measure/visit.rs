//! What a worker does with a prepared kernel: warm it up, and take samples.

use super::clock::Clock;
use super::covariates::Covariates;
use crate::device::memory::AllocatorReading;
use crate::error::Result;
use crate::kernels::Prepared;
use crate::worker::protocol::{Timed, Visit};

/// Launches until the time of one is known: at least two, and at least `target_ns` or sixteen; returns the shortest.
///
/// The first launch (the one whose answer is checked) may have paid for page faults and lazy set-up; it takes no part.
pub fn rough_launch_ns(
    prepared: &mut dyn Prepared,
    slot: &mut usize,
    clock: &dyn Clock,
    target_ns: u64,
) -> Result<f64> {
    let (mut shortest, mut total) = (u64::MAX, 0);
    for launches in 1.. {
        let start = clock.now();
        prepared.launch(*slot)?;
        let took = clock.now() - start;
        *slot += 1;
        shortest = shortest.min(took);
        total += took;
        if (total >= target_ns && launches >= 2) || launches >= 16 || took >= 50 * target_ns {
            break;
        }
    }
    Ok(shortest.max(1) as f64)
}

/// Takes `count` samples of `iterations` launches each; one untimed launch comes first, so that what a reset, an anchor or
/// another kernel left in the caches is not the first sample's burden.
pub fn take(
    prepared: &mut dyn Prepared,
    slot: &mut usize,
    clock: &dyn Clock,
    iterations: u64,
    count: usize,
) -> Result<Visit> {
    let mut samples = Vec::with_capacity(count);
    prepared.launch(*slot)?;
    *slot += 1;
    let mut allocations = 0;
    let before = Covariates::now();
    for _ in 0..count {
        let (cpu, waited) = (clock.process_cpu(), clock.run_queue());
        let calls = AllocatorReading::now().calls;
        let start = clock.now();
        for _ in 0..iterations {
            prepared.launch(*slot)?;
            *slot += 1;
        }
        let wall_ns = clock.now() - start;
        allocations += AllocatorReading::now().calls - calls;
        samples.push(Timed {
            wall_ns,
            cpu_ns: Some(clock.process_cpu().saturating_sub(cpu)),
            run_queue_ns: waited.and_then(|then| Some(clock.run_queue()?.saturating_sub(then))),
            iterations,
        });
    }
    Ok(Visit {
        samples,
        anchor: None,
        allocations,
        involuntary_switches: Covariates::now().since(&before).involuntary_switches.unwrap_or(0),
    })
}
