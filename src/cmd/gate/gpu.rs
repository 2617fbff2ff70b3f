//! Builds compared on a GPU: in time and in cycles of its multiprocessors, which must agree.
//!
//! A GPU's clock follows its power and its temperature, so that times of the same code differ as the clock does. Cycles take that out, but
//! not where memory is what a kernel waits for, whose clock is another. What both say is the code's.

use std::process::ExitCode;

use anyhow::bail;

use crate::cmd::{note, run_gpu};
use crate::device::{Capabilities, DeviceName};
use crate::gate::{Judgement, Verdict};

/// A GPU that builds are compared on.
pub struct Place {
    /// Its name in records.
    pub device: String,
    /// What kernels ask of it.
    pub capabilities: Capabilities,
}

/// Looks for the GPU and calibrates it; none where kernels run on none. An exit code where its times cannot be trusted, with what was said.
///
/// # Errors
/// When it is no single GPU.
pub fn place(device: DeviceName) -> anyhow::Result<Result<Option<Place>, ExitCode>> {
    let gpus = match device {
        DeviceName::Cpu | DeviceName::Sim(_) => return Ok(Ok(None)),
        DeviceName::Gpus(gpus) => gpus,
    };
    let found = match run_gpu::calibrated(gpus, None)? {
        Ok(found) => found,
        Err(code) => return Ok(Err(code)),
    };
    let [gpu] = &found[..] else {
        bail!("builds are compared on one GPU, and {gpus} are {}; name one", found.len());
    };
    if let Some(reason) = gpu.calibration.unfit.first() {
        note(&format!("unfit: {}: {reason}; its times cannot be trusted", gpu.device));
        return Ok(Err(ExitCode::from(3)));
    }
    Ok(Ok(Some(Place { device: gpu.device.clone(), capabilities: gpu.capabilities() })))
}

/// What time and cycles say together, and why it is nothing where they do not agree; the time alone where there are no cycles.
pub fn together(time: Judgement, cycles: Option<&Judgement>) -> (Judgement, String) {
    let Some(cycles) = cycles else { return (time, String::new()) };
    let agree = match (&time.verdict, &cycles.verdict) {
        (_, Verdict::Unfit) | (Verdict::Unfit, _) => {
            let unfit = Judgement { verdict: Verdict::Unfit, ..time };
            return (unfit, String::new());
        }
        (Verdict::Slower(_), Verdict::Slower(_)) | (Verdict::Faster(_), Verdict::Faster(_)) => true,
        (time, cycles) => time == cycles,
    };
    let reason = match agree {
        true => String::new(),
        false if cycles.pairs == 0 => {
            "the GPU tells no clock, so that cycles cannot agree".to_owned()
        }
        false => {
            let ratio = cycles.estimate.map_or("–".into(), |ratio| ratio.to_string());
            format!(
                "{} in time, and {} in cycles ({ratio})",
                time.verdict.name(),
                cycles.verdict.name()
            )
        }
    };
    let verdict = if agree { time.verdict } else { Verdict::Undecided };
    (Judgement { verdict, ..time }, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::{Judge, Levels, Rule, Subject};

    /// The judgement of a head so many times as slow as the base, after 32 rounds of small noise.
    fn judged(ratio: f64) -> Judgement {
        let mut judge = Judge::new(Rule::new(0.005, 0.02, 32).unwrap(), &[Subject::default()]);
        for round in 0..32 {
            let noise = |k: usize| 1.0 + 1e-4 * ((round * 7 + k * 5) % 11) as f64;
            let levels = Levels { base: noise(0), head: ratio * noise(1), twin: noise(2) };
            judge.add(&[(0, levels)]);
            if judge.rule().next_look(round) == Some(round + 1) {
                judge.look();
            }
        }
        judge.kernels().remove(0)
    }

    #[test]
    fn a_slowdown_counts_where_time_and_cycles_both_have_it() {
        let (both, reason) = together(judged(1.05), Some(&judged(1.04)));
        assert!(matches!(both.verdict, Verdict::Slower(_)) && reason.is_empty(), "{both:?}");
        let (same, _) = together(judged(1.0), Some(&judged(1.0)));
        assert_eq!(same.verdict, Verdict::Same);
    }

    #[test]
    fn a_clock_that_fell_is_no_slower_kernel() {
        let (both, reason) = together(judged(1.05), Some(&judged(1.0)));
        assert_eq!(both.verdict, Verdict::Undecided);
        assert!(reason.starts_with("slower in time, and same in cycles"), "{reason}");
        let (opposite, _) = together(judged(1.05), Some(&judged(0.95)));
        assert_eq!(opposite.verdict, Verdict::Undecided);
    }

    #[test]
    fn without_a_clock_nothing_is_claimed_and_without_a_gpu_the_time_is_all() {
        let none = Judge::new(Rule::default(), &[Subject::default()]).kernels().remove(0);
        let (blind, reason) = together(judged(1.05), Some(&none));
        assert_eq!(blind.verdict, Verdict::Undecided);
        assert!(reason.contains("tells no clock"), "{reason}");
        let (alone, reason) = together(judged(1.05), None);
        assert!(matches!(alone.verdict, Verdict::Slower(_)) && reason.is_empty());
    }
}
