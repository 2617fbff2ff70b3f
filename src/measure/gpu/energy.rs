//! Energy of a launch, from the GPU's own counter over a window that is long enough to mean something.

use super::{Bench, Kept};
use crate::error::Result;
use crate::kernels::Prepared;

/// The counter moves every tenth of a second or so: over three seconds its steps are some 3 %.
const WINDOW_NS: f64 = 3e9;

/// Steps of the counter, in millijoules, that a window must span for the counter's own resolution to be within 1 %.
const LEAST_MJ: u64 = 100;

impl Bench<'_> {
    /// Millijoules of a launch; or in words why there is no such number.
    ///
    /// # Errors
    /// What ended the kernel.
    pub(super) fn energy(
        &self,
        prepared: &mut dyn Prepared,
        slot: &mut usize,
        kept: &Kept,
        graph: bool,
        launch_ns: f64,
    ) -> Result<Result<f64, String>> {
        let monitor = match &self.device.monitor {
            Ok(monitor) => monitor,
            Err(reason) => return Ok(Err(reason.clone())),
        };
        let Some(before) = monitor.energy_mj() else {
            return Ok(Err("this GPU does not count its energy".into()));
        };
        let each = (1e8 / launch_ns).clamp(1.0, 1e5) as u64;
        let (mut busy, mut launches) = (0.0, 0);
        while busy < WINDOW_NS {
            let (lap, done) = self.batch(prepared, slot, kept, graph, each)?;
            busy += lap.ns;
            launches += done;
        }
        let after = monitor.energy_mj().unwrap_or(before);
        let took = after.saturating_sub(before);
        if took < LEAST_MJ {
            return Ok(Err(format!(
                "the energy counter moved by {took} mJ in {:.1} s, too little to tell a launch's share",
                busy / 1e9
            )));
        }
        Ok(Ok(took as f64 / launches as f64))
    }
}
