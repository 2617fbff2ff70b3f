//! Processor time that is gone without a trace: what a hypervisor takes from a virtual machine and does not report as steal.
//!
//! A thread that does nothing but read the clock sees it jump whenever it was not running. Interrupts take microseconds; a
//! host that runs another machine in between takes milliseconds, and the guest's own accounts show them as time used.

use std::time::{Duration, Instant};

/// The shortest jump that counts as lost time: longer than an interrupt, shorter than a slice of a hypervisor's scheduler.
const JUMP: Duration = Duration::from_micros(300);

/// The share of `window` that the calling thread was not running, from 0 to 1, as seen by a busy loop. Other work on the
/// machine counts too: only an idle machine tells about its host.
pub fn lost_share(window: Duration) -> f64 {
    let start = Instant::now();
    lost_between(std::iter::from_fn(|| {
        let elapsed = start.elapsed();
        (elapsed < window).then_some(elapsed)
    }))
}

/// The share of lost time in increasing readings of a clock that starts at zero.
fn lost_between(readings: impl Iterator<Item = Duration>) -> f64 {
    let (mut last, mut lost) = (Duration::ZERO, Duration::ZERO);
    for reading in readings {
        let gap = reading - last;
        if gap > JUMP {
            lost += gap;
        }
        last = reading;
    }
    if last.is_zero() { 0.0 } else { lost.as_secs_f64() / last.as_secs_f64() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_jumps_of_the_clock_count_as_lost() {
        let micros = |times: &[u64]| lost_between(times.iter().map(|&t| Duration::from_micros(t)));
        assert_eq!(micros(&[100, 200, 300, 400]), 0.0);
        assert_eq!(micros(&[100, 200, 700, 1000]), 0.5);
        assert_eq!(micros(&[]), 0.0);
    }

    #[test]
    fn the_share_is_a_share() {
        let share = lost_share(Duration::from_millis(5));
        assert!((0.0..=1.0).contains(&share), "{share}");
    }
}
