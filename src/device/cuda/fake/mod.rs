//! A driver without a GPU: launches are executed by the PTX simulator, on a clock that is made up.
//!
//! It is for tests and dry runs. What it computes is what the kernels compute; what it times is a model of a small GPU (see
//! its `clock`), and says nothing about any. Launches wait in a queue, as on a GPU: they execute when the host waits for them, and
//! a stream that is blocked holds them back. It breaks as [`Conditions`] say.

mod blas;
mod clock;
mod conditions;
mod context;
mod profiler;
mod stream;

use std::sync::{Arc, Mutex};

pub use conditions::{Conditions, Skew};

use super::attributes::Attributes;
use super::driver::{Context, Driver};
use super::nvml::{Holder, Monitor, Reading};
use crate::error::{Error, Result};
use crate::kernels::cuda::Architecture;
use crate::units::Bytes;
use clock::Telemetry;
use context::FakeContext;

/// The fake driver.
#[derive(Debug)]
pub struct FakeDriver {
    architecture: Architecture,
    conditions: Conditions,
    /// What each GPU tells of itself.
    telemetry: Vec<Arc<Mutex<Telemetry>>>,
}

impl FakeDriver {
    /// With GPUs of this architecture, under the conditions of the environment.
    ///
    /// # Errors
    /// As the real one's, where the conditions say so.
    pub fn new(architecture: Architecture) -> Result<Self> {
        FakeDriver::under(architecture, Conditions::from_environment()?)
    }

    /// Under these conditions.
    ///
    /// # Errors
    /// As [`FakeDriver::new`].
    pub fn under(architecture: Architecture, conditions: Conditions) -> Result<Self> {
        if !conditions.driver {
            return Err(Error::Library(
                "there is no CUDA driver on this (pretended) machine; `--device cpu` works without one".into(),
            ));
        }
        if conditions.version < 12_000 {
            let found = super::attributes::version(conditions.version);
            return Err(Error::Library(format!(
                "the (pretended) CUDA driver is for CUDA {found}, and 12.0 is the oldest that has what is used here"
            )));
        }
        let telemetry = (0..conditions.gpus).map(|_| Arc::default()).collect();
        Ok(FakeDriver { architecture, conditions, telemetry })
    }

    fn attributes(&self, ordinal: u32) -> Attributes {
        let number = self.architecture.number;
        let slice = if self.conditions.slices { " MIG 1g.1gb" } else { "" };
        Attributes {
            ordinal,
            name: format!("Pretended GPU{slice}"),
            uuid: format!("GPU-{ordinal}"),
            bus: format!("0000:{ordinal:02x}:00.0"),
            capability: number,
            multiprocessors: clock::MULTIPROCESSORS,
            memory: self.conditions.memory,
            l2: Bytes(256 << 10),
            shared_per_block: match number {
                75 => 64 << 10,
                80 | 87 => 163 << 10,
                86 | 89 | 120.. => 99 << 10,
                _ => 227 << 10,
            },
            clock_khz: clock::KHZ,
            memory_clock_khz: 1_215_000,
            bus_bits: 64,
            ecc: false,
            driver: self.conditions.version,
        }
    }
}

impl Driver for FakeDriver {
    fn name(&self) -> String {
        format!("fake:{}", self.architecture)
    }

    fn gpus(&self) -> Result<Vec<Attributes>> {
        Ok((0..self.conditions.gpus).map(|ordinal| self.attributes(ordinal)).collect())
    }

    fn open(&self, ordinal: u32) -> Result<Arc<dyn Context>> {
        let Some(telemetry) = self.telemetry.get(ordinal as usize) else {
            let count = self.conditions.gpus;
            return Err(Error::Library(format!(
                "there is no GPU {ordinal}: the driver has {count}"
            )));
        };
        let (attributes, telemetry) = (self.attributes(ordinal), Arc::clone(telemetry));
        Ok(Arc::new(FakeContext::new(attributes, self.conditions.clone(), telemetry)))
    }

    fn monitor(&self, gpu: &Attributes) -> Result<Box<dyn Monitor>, String> {
        if !self.conditions.nvml {
            return Err("NVML, which tells clocks, power and temperature, is not there".into());
        }
        Ok(Box::new(FakeMonitor {
            telemetry: Arc::clone(&self.telemetry[gpu.ordinal as usize]),
            energy: self.conditions.energy,
            held: self.conditions.held,
        }))
    }
}

/// Tells what the clock of a fake GPU came to.
#[derive(Debug)]
struct FakeMonitor {
    telemetry: Arc<Mutex<Telemetry>>,
    energy: bool,
    held: Bytes,
}

impl FakeMonitor {
    fn telemetry(&self) -> Telemetry {
        *self.telemetry.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Monitor for FakeMonitor {
    fn read(&self) -> Reading {
        let Telemetry { mhz, power_mw, temperature_c, throttle, .. } = self.telemetry();
        Reading {
            sm_mhz: Some(mhz),
            power_mw: Some(power_mw),
            temperature_c: Some(temperature_c),
            throttle: Some(throttle),
        }
    }

    fn energy_mj(&self) -> Option<u64> {
        self.energy.then(|| self.telemetry().energy_mj as u64)
    }

    fn holders(&self) -> Vec<Holder> {
        let holder = Holder { pid: 1, memory: Some(self.held) };
        if self.held.0 > 0 { vec![holder] } else { Vec::new() }
    }

    fn power_limit_mw(&self) -> Option<u64> {
        Some(clock::LIMIT_MW)
    }
}
