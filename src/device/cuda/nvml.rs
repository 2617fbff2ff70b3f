//! What a GPU tells of itself while it works: clock, power, temperature, what slows it down, and the energy that it took.

use std::fmt;

use nvml_wrapper::Nvml;
use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor};
use serde::{Deserialize, Serialize};

use super::attributes::Attributes;
use crate::throttle::Throttle;
use crate::units::Bytes;

/// One look at a GPU; what it does not tell is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Reading {
    /// Clock of the multiprocessors.
    pub sm_mhz: Option<f64>,
    /// Power.
    pub power_mw: Option<u64>,
    /// Temperature of the chip.
    pub temperature_c: Option<u32>,
    /// What slows it down.
    pub throttle: Option<Throttle>,
}

/// Memory that a process holds on a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The process.
    pub pid: u32,
    /// How much, where the system tells.
    pub memory: Option<Bytes>,
}

/// Who tells these things of one GPU.
pub trait Monitor: fmt::Debug + Send + Sync {
    /// Looks now.
    fn read(&self) -> Reading;
    /// Millijoules since the driver was loaded; `None` where the GPU does not count them.
    fn energy_mj(&self) -> Option<u64>;
    /// Processes that hold memory of it.
    fn holders(&self) -> Vec<Holder>;
    /// The power that it may take, in milliwatts.
    fn power_limit_mw(&self) -> Option<u64>;
}

/// NVML, for one GPU.
pub struct NvmlMonitor {
    nvml: Nvml,
    /// By which NVML finds it.
    bus: String,
    /// A slice has an identity of its own, and shares its bus with others.
    uuid: Option<String>,
}

impl fmt::Debug for NvmlMonitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NvmlMonitor").finish_non_exhaustive()
    }
}

impl NvmlMonitor {
    /// Loads NVML, and finds the GPU.
    ///
    /// # Errors
    /// Why there is none; times do not need it.
    pub fn new(gpu: &Attributes) -> Result<Self, String> {
        let nvml = Nvml::init().map_err(|e| {
            format!("NVML, which tells clocks, power and temperature, cannot be used: {e}")
        })?;
        let uuid = gpu.is_slice().then(|| gpu.uuid.clone());
        let monitor = NvmlMonitor { nvml, bus: gpu.bus.clone(), uuid };
        monitor.device().map(drop).map_err(|e| format!("NVML does not know {}: {e}", gpu.name))?;
        Ok(monitor)
    }

    fn device(&self) -> Result<nvml_wrapper::Device<'_>, nvml_wrapper::error::NvmlError> {
        match &self.uuid {
            Some(uuid) => self.nvml.device_by_uuid(uuid.as_str()),
            None => self.nvml.device_by_pci_bus_id(self.bus.as_str()),
        }
    }
}

impl Monitor for NvmlMonitor {
    fn read(&self) -> Reading {
        let Ok(device) = self.device() else { return Reading::default() };
        Reading {
            sm_mhz: device.clock_info(Clock::SM).ok().map(f64::from),
            power_mw: device.power_usage().ok().map(u64::from),
            temperature_c: device.temperature(TemperatureSensor::Gpu).ok(),
            throttle: device.current_throttle_reasons().ok().map(|bits| Throttle(bits.bits())),
        }
    }

    fn energy_mj(&self) -> Option<u64> {
        self.device().ok()?.total_energy_consumption().ok()
    }

    fn holders(&self) -> Vec<Holder> {
        use nvml_wrapper::enums::device::UsedGpuMemory;
        let found = self.device().and_then(|device| device.running_compute_processes());
        let holder = |process: nvml_wrapper::struct_wrappers::device::ProcessInfo| Holder {
            pid: process.pid,
            memory: match process.used_gpu_memory {
                UsedGpuMemory::Used(bytes) => Some(Bytes(bytes)),
                UsedGpuMemory::Unavailable => None,
            },
        };
        found.map(|all| all.into_iter().map(holder).collect()).unwrap_or_default()
    }

    fn power_limit_mw(&self) -> Option<u64> {
        self.device().ok()?.enforced_power_limit().ok().map(u64::from)
    }
}
