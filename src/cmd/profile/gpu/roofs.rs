//! The roofs that probes reach on the same GPU, by the same clock.

use super::activity;
use crate::campaign::{Peaks, probes_for};
use crate::cmd::profile::roofs::Roofs;
use crate::device::Device;
use crate::device::cuda::cupti::Profiler;
use crate::error::{Error, Result};
use crate::kernels::Registry;
use crate::ops::Case;
use crate::plan::Planned;
use crate::units::Nanos;

/// Launches of a probe, the fastest of which counts.
const LAUNCHES: usize = 5;
/// How often the profiler looks at them.
const LOOKS: usize = 3;

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
