//! What a worker does with a prepared kernel: warm it up, and take samples.

use std::time::Duration;

use super::clock::Clock;
use super::covariates::Covariates;
use crate::device::core_share::CoreProbe;
use crate::device::memory::AllocatorReading;
use crate::error::Result;
use crate::kernels::Prepared;
use crate::worker::protocol::{OWN, Timed, Visit};

/// Untimed launches of a visit, at most.
pub const MOST_WARM_UPS: usize = 6;

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

/// Untimed launches, so that what a reset, an anchor or another kernel left in the caches is not the first sample's burden:
/// until one takes about the `shortest_ns` that was ever seen, or is no faster than the one before. A large last-level cache
/// takes several passes to hold what it can (one pass left the first sample of an update of 200 MB behind a cache of 480 MB
/// a quarter slower).
fn warm_up(
    prepared: &mut dyn Prepared,
    slot: &mut usize,
    clock: &dyn Clock,
    shortest_ns: f64,
) -> Result<()> {
    /// A single launch where it takes this long, for such a kernel warms itself.
    const LONG_NS: f64 = 3e7;
    const ALIKE: f64 = 1.03;
    let mut before = f64::INFINITY;
    for _ in 0..MOST_WARM_UPS {
        let start = clock.now();
        prepared.launch(*slot)?;
        *slot += 1;
        let took = (clock.now() - start) as f64;
        if took >= LONG_NS || took <= ALIKE * shortest_ns || took * ALIKE > before {
            break;
        }
        before = took;
    }
    Ok(())
}

/// How long a sample waits for a moment in which the core is the caller's own, before it is taken all the same.
const PATIENCE: Duration = Duration::from_millis(5);

/// What is between two readings of the clock. Not inlined, so that its symbol stays: what instructions a sample takes is
/// counted by it (`scalemark prove slowdown`).
#[inline(never)]
fn launches(prepared: &mut dyn Prepared, slot: &mut usize, iterations: u64) -> Result<()> {
    for _ in 0..iterations {
        prepared.launch(*slot)?;
        *slot += 1;
    }
    Ok(())
}

/// Takes `count` samples of `iterations` launches each, after a warm-up; `shortest_ns` is the shortest launch so far, here and
/// after. Each waits for a moment in which `core` is undisturbed, own kernels and baselines alike; what share of it they had
/// stands in the samples.
pub fn take(
    prepared: &mut dyn Prepared,
    slot: &mut usize,
    clock: &dyn Clock,
    iterations: u64,
    count: usize,
    shortest_ns: &mut f64,
    core: &mut CoreProbe,
) -> Result<Visit> {
    let mut samples = Vec::with_capacity(count);
    warm_up(prepared, slot, clock, *shortest_ns)?;
    let mut allocations = 0;
    let before = Covariates::now();
    for _ in 0..count {
        let share = core.wait_for(OWN, PATIENCE);
        let (cpu, waited) = (clock.process_cpu(), clock.run_queue());
        let calls = AllocatorReading::now().calls;
        let start = clock.now();
        launches(prepared, slot, iterations)?;
        let wall_ns = clock.now() - start;
        *shortest_ns = shortest_ns.min(wall_ns as f64 / iterations as f64);
        allocations += AllocatorReading::now().calls - calls;
        samples.push(Timed {
            wall_ns,
            cpu_ns: Some(clock.process_cpu().saturating_sub(cpu)),
            run_queue_ns: waited.and_then(|then| Some(clock.run_queue()?.saturating_sub(then))),
            iterations,
            // Last: the probe is no part of the sample.
            core_share: share.zip(core.share()).map(|(before, after)| before.min(after)),
            gpu: None,
        });
    }
    Ok(Visit {
        samples,
        anchor: None,
        allocations,
        energy_mj: None,
        energy_refused: None,
        involuntary_switches: Covariates::now().since(&before).involuntary_switches.unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::cell::Cell;
    use std::collections::VecDeque;

    use super::*;
    use crate::ops::Tensor;
    use crate::units::Bytes;

    /// A clock that only launches move.
    #[derive(Default)]
    struct Hands(Cell<u64>);

    impl Clock for Hands {
        fn now(&self) -> u64 {
            self.0.get()
        }
        fn thread_cpu(&self) -> u64 {
            self.0.get()
        }
        fn process_cpu(&self) -> u64 {
            self.0.get()
        }
        fn run_queue(&self) -> Option<u64> {
            None
        }
    }

    /// A kernel whose launches take these times, the last for ever after.
    struct Scripted<'a> {
        clock: &'a Hands,
        times: VecDeque<u64>,
        launches: usize,
    }

    impl Prepared for Scripted<'_> {
        fn launch(&mut self, _slot: usize) -> Result<()> {
            let time = if self.times.len() > 1 { self.times.pop_front() } else { None };
            self.clock.0.set(self.clock.0.get() + time.unwrap_or(self.times[0]));
            self.launches += 1;
            Ok(())
        }
        fn reset(&mut self) -> Result<()> {
            Ok(())
        }
        fn outputs(&mut self) -> Result<Cow<'_, [Tensor]>> {
            Ok(Cow::Borrowed(&[]))
        }
        fn slots(&self) -> usize {
            1
        }
        fn allocated(&self) -> Bytes {
            Bytes(0)
        }
    }

    /// Launches before the first sample, and the time of that sample.
    fn first_sample(times: &[u64], shortest: u32) -> (usize, u64) {
        let clock = Hands::default();
        let mut kernel =
            Scripted { clock: &clock, times: times.iter().copied().collect(), launches: 0 };
        let visit = take(
            &mut kernel,
            &mut 0,
            &clock,
            1,
            2,
            &mut f64::from(shortest),
            &mut CoreProbe::default(),
        )
        .unwrap();
        (kernel.launches - 2, visit.samples[0].wall_ns)
    }

    #[test]
    fn samples_start_when_launches_get_no_faster() {
        assert_eq!(first_sample(&[1000], 900), (2, 1000));
        assert_eq!(first_sample(&[4000, 3500, 3000, 2990, 2980], 2000), (4, 2980));
    }

    #[test]
    fn a_kernel_that_gets_faster_for_ever_is_sampled_all_the_same() {
        let times: Vec<u64> = (0..100).map(|i| 1_000_000 - 50_000 * i.min(15)).collect();
        assert_eq!(first_sample(&times, 1).0, 6);
    }

    #[test]
    fn a_launch_as_fast_as_ever_is_warm_enough() {
        assert_eq!(first_sample(&[1020, 1000], 1000), (1, 1000));
    }

    #[test]
    fn a_long_launch_is_warmed_up_once() {
        assert_eq!(first_sample(&[50_000_000, 40_000_000], 1), (1, 40_000_000));
    }
}
