//! Whether the calling thread has its core to itself.
//!
//! On a shared host another virtual machine may run on the core's other hardware thread: nothing in the guest shows it, no
//! counter and no steal, and code that lives off scalar or front-end throughput takes up to twice as long while it lasts
//! (milliseconds to seconds). What it cannot hide is that the core's front end then serves two: a burst of instructions that
//! do nothing runs at half its rate. Of 19 532 moments on such a host, 98 % of those that the burst called disturbed (and 18 %
//! of the others) had a small product run over a tenth slower than at its best; bursts of multiply-adds had told nothing.

use std::time::{Duration, Instant};

/// Probes the core, and knows the best rate that it ever saw.
#[derive(Debug, Default)]
pub struct CoreProbe {
    best: f64,
}

/// How long one probe takes, about: long against reading the clock, short against what it watches for.
const ROUNDS: u64 = 3_000;

impl CoreProbe {
    /// The rate of the front end now over the best seen so far, in (0, 1]: 1 for a core of one's own, about a half for one
    /// that is shared. `None` on processors that there is no burst for. Takes some 10 to 30 µs.
    pub fn share(&mut self) -> Option<f64> {
        let rate = idle_instructions(ROUNDS)?;
        Some(self.note(rate))
    }

    fn note(&mut self, rate: f64) -> f64 {
        self.best = self.best.max(rate);
        rate / self.best
    }

    /// Probes until the share is at least `wanted` or `patience` is over; the last share.
    pub fn wait_for(&mut self, wanted: f64, patience: Duration) -> Option<f64> {
        let start = Instant::now();
        loop {
            let share = self.share()?;
            if share >= wanted || start.elapsed() >= patience {
                return Some(share);
            }
        }
    }
}

/// Instructions a nanosecond over `rounds` of 26 that do nothing.
#[cfg(target_arch = "x86_64")]
fn idle_instructions(rounds: u64) -> Option<f64> {
    let start = Instant::now();
    // SAFETY: no-operations and a counter in a register of its own; no memory, no stack.
    unsafe {
        std::arch::asm!(
            "2:",
            ".rept 24",
            "nop",
            ".endr",
            "dec {n}",
            "jnz 2b",
            n = inout(reg) rounds => _,
            options(nomem, nostack)
        );
    }
    Some(26.0 * rounds as f64 / start.elapsed().as_nanos().max(1) as f64)
}

/// Instructions a nanosecond over `rounds` of 26 that do nothing.
#[cfg(target_arch = "aarch64")]
fn idle_instructions(rounds: u64) -> Option<f64> {
    let start = Instant::now();
    // SAFETY: no-operations and a counter in a register of its own; no memory, no stack.
    unsafe {
        std::arch::asm!(
            "2:",
            ".rept 24",
            "nop",
            ".endr",
            "subs {n}, {n}, #1",
            "b.ne 2b",
            n = inout(reg) rounds => _,
            options(nomem, nostack)
        );
    }
    Some(26.0 * rounds as f64 / start.elapsed().as_nanos().max(1) as f64)
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn idle_instructions(_: u64) -> Option<f64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_of_the_best_rate_seen() {
        let mut probe = CoreProbe::default();
        assert_eq!(probe.note(30.0), 1.0);
        assert_eq!(probe.note(15.0), 0.5);
        assert_eq!(probe.note(40.0), 1.0);
        assert_eq!(probe.note(30.0), 0.75);
    }

    #[test]
    fn patience_ends_the_wait_for_a_core_that_never_comes_free() {
        let mut probe = CoreProbe::default();
        let share = probe.wait_for(2.0, Duration::from_millis(2));
        assert!(share.is_none_or(|share| share > 0.0 && share <= 1.0), "{share:?}");
    }
}
