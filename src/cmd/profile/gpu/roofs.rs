//! Where a kernel stands under the roofs that probes reach on the same GPU, by the same clock.

use super::activity;
use crate::campaign::{Peaks, probes_for};
use crate::device::Device;
use crate::device::cuda::cupti::Profiler;
use crate::error::{Error, Result};
use crate::kernels::Registry;
use crate::ops::Case;
use crate::plan::Planned;
use crate::units::{ByteRate, FlopRate, Nanos};

/// Launches of a probe, the fastest of which counts.
const LAUNCHES: usize = 5;
/// How often the profiler looks at them.
const LOOKS: usize = 3;

/// The roofs of a case, as far as they are known: see [`Peaks`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Roofs {
    flops: Option<FlopRate>,
    bytes: Option<ByteRate>,
}

/// Runs the probes of a case's roofs.
///
/// # Errors
/// When a probe cannot be prepared, or the profiler declines.
pub fn reached(profiler: &dyn Profiler, device: &Device, case: &Case) -> Result<Roofs> {
    let on = device.capabilities();
    let mut peaks = Peaks::on(on);
    for probe in probes_for(&[Planned::bare(*case)], on).iter().map(|planned| planned.case) {
        let inputs = probe.inputs(1);
        for kernel in Registry::cuda().for_case(&probe) {
            if kernel.refuses(on, &probe).is_some() {
                continue;
            }
            let mut prepared = match kernel.prepare(device, &probe, &inputs) {
                Ok(prepared) => prepared,
                // What has no room is no roof.
                Err(Error::Refused(_)) => continue,
                Err(error) => return Err(error),
            };
            prepared.launch(0)?;
            let mut shortest = f64::INFINITY;
            for _ in 0..LOOKS {
                profiler.begin()?;
                let launched = (0..LAUNCHES).try_for_each(|_| prepared.launch(0));
                let told = profiler.end()?;
                launched?;
                shortest =
                    shortest.min(activity::launch_ns(&told, LAUNCHES).unwrap_or(f64::INFINITY));
            }
            if shortest.is_finite() && shortest > 0.0 {
                let (cost, time) = (probe.cost(), Nanos(shortest));
                peaks.note(&probe, cost.flops / time, cost.bytes / time);
            }
        }
    }
    Ok(Roofs { flops: peaks.flop_rate(case), bytes: peaks.byte_rate(case, on) })
}

/// The arithmetic intensity, what was reached, and what the probes reach; `None`: none were run.
pub fn placement(case: &Case, launch: Nanos, roofs: Option<Roofs>) -> String {
    let cost = case.cost();
    let intensity = cost.flops.0 as f64 / cost.bytes.0.max(1) as f64;
    let reached = format!(
        "roofline: {intensity:.1} operations a byte; {} and {}",
        cost.flops / launch,
        cost.bytes / launch
    );
    let Some(Roofs { flops, bytes }) = roofs else { return format!("{reached}\n\n") };
    let times = (flops.map(|rate| (cost.flops / rate).0), bytes.map(|rate| (cost.bytes / rate).0));
    let (bound, floor) = match times {
        (Some(arithmetic), Some(memory)) if arithmetic >= memory => ("arithmetic", arithmetic),
        (_, Some(memory)) => ("memory", memory),
        (Some(arithmetic), None) => ("arithmetic; its operands stay in the cache", arithmetic),
        (None, None) => return format!("{reached}; no probe gives it a roof\n\n"),
    };
    let reach =
        [flops.map(|rate| format!("reach {rate}")), bytes.map(|rate| format!("move {rate}"))];
    let reach: Vec<String> = reach.into_iter().flatten().collect();
    format!(
        "{reached}; probes {}\nbound by {bound}; {:.0} % of what the roofs allow\n\n",
        reach.join(" and "),
        100.0 * floor / launch.0
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Matmul, Precision, Problem};

    #[test]
    fn the_nearer_of_the_roofs_that_are_known_bounds_a_case() {
        let case = Case::new(Problem::Matmul(Matmul::new(100, 100, 100)), Precision::F32);
        // 2 Mflop and 120 kB.
        let at = |flops: Option<f64>, bytes: Option<f64>| {
            let roofs = Roofs { flops: flops.map(FlopRate), bytes: bytes.map(ByteRate) };
            placement(&case, Nanos(4_000.0), Some(roofs))
        };
        let both = at(Some(1e12), Some(1e12));
        assert!(both.contains("16.7 operations a byte; 500 GFLOP/s and 30.0 GB/s"), "{both}");
        assert!(both.contains("probes reach 1.00 TFLOP/s and move 1.00 TB/s"), "{both}");
        assert!(both.contains("bound by arithmetic; 50 % of"), "{both}");
        assert!(at(Some(1e15), Some(60e9)).contains("bound by memory; 50 % of"));
        assert!(at(None, Some(60e9)).contains("bound by memory; 50 % of"));
        assert!(at(Some(1e12), None).contains("stay in the cache; 50 % of"));
        assert!(at(None, None).contains("no probe gives it a roof"));
        let none = placement(&case, Nanos(4_000.0), None);
        assert!(none.ends_with("30.0 GB/s\n\n"), "{none}");
    }
}
