//! The GPUs of this machine, for `scalemark machine`: looked at without taking any memory of theirs.

use serde::Serialize;

use crate::device::cuda::nvml::{Holder, Reading};
use crate::device::cuda::{Attributes, driver_of};
use crate::device::{DeviceName, DriverName};
use crate::units::Bytes;

/// A GPU, or why there is none.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Gpu {
    /// One that there is.
    Found(Box<Found>),
    /// Why none can be used.
    None {
        /// In words.
        reason: String,
    },
}

/// What is known of one.
#[derive(Debug, Serialize)]
pub struct Found {
    /// By which name `--device` takes it.
    pub device: String,
    /// What it is.
    pub attributes: Attributes,
    /// What it tells of itself now; absent where nobody tells.
    pub reading: Option<Reading>,
    /// Why nobody does.
    pub unmonitored: Option<String>,
    /// Processes that hold memory of it.
    pub holders: Vec<Holder>,
    /// The power that it may take, in milliwatts.
    pub power_limit_mw: Option<u64>,
}

/// Those of the CUDA driver, or of the fake one that `SCALEMARK_FAKE_DEVICE` names.
pub fn listed() -> Vec<Gpu> {
    let fake = std::env::var("SCALEMARK_FAKE_DEVICE").ok();
    let driver = match fake.as_deref().map(str::parse) {
        Some(Ok(DeviceName::Gpus(gpus))) => gpus.driver,
        _ => DriverName::Cuda,
    };
    let found = driver_of(driver).and_then(|driver| {
        let all = driver.gpus()?;
        Ok(all.into_iter().map(|gpu| look(&*driver, gpu)).collect::<Vec<_>>())
    });
    match found {
        Ok(found) if found.is_empty() => {
            vec![Gpu::None { reason: "there is a CUDA driver, and no GPU".into() }]
        }
        Ok(found) => found,
        Err(error) => vec![Gpu::None { reason: error.to_string() }],
    }
}

fn look(driver: &dyn crate::device::cuda::driver::Driver, attributes: Attributes) -> Gpu {
    let monitor = driver.monitor(&attributes);
    let watched = monitor.as_ref().ok();
    Gpu::Found(Box::new(Found {
        device: format!("{}:{}", driver.name(), attributes.ordinal),
        reading: watched.map(|monitor| monitor.read()),
        holders: watched.map(|monitor| monitor.holders()).unwrap_or_default(),
        power_limit_mw: watched.and_then(|monitor| monitor.power_limit_mw()),
        unmonitored: monitor.as_ref().err().cloned(),
        attributes,
    }))
}

/// Rows for a page: a line on each, and one on how it is now.
pub fn rows(gpus: &[Gpu]) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    for gpu in gpus {
        match gpu {
            Gpu::None { reason } => rows.push(("none".to_owned(), reason.clone())),
            Gpu::Found(found) => {
                let driver = found.attributes.driver_version();
                let line = format!("{}; driver for CUDA {driver}", found.attributes.line());
                rows.push((found.device.clone(), line));
                rows.push((String::new(), found.now()));
            }
        }
    }
    rows
}

impl Found {
    /// How it is now.
    fn now(&self) -> String {
        let Some(reading) = &self.reading else {
            return self.unmonitored.clone().unwrap_or_default();
        };
        let mut parts = Vec::new();
        parts.extend(reading.sm_mhz.map(|mhz| format!("{mhz:.0} MHz")));
        let limit = self.power_limit_mw.map_or(String::new(), |mw| format!(" of {}", mw / 1000));
        parts.extend(reading.power_mw.map(|mw| format!("{}{limit} W", mw / 1000)));
        parts.extend(reading.temperature_c.map(|c| format!("{c} °C")));
        parts.extend(reading.throttle.map(|throttle| format!("slowed by: {throttle}")));
        parts.extend(self.holders.iter().map(|holder| {
            let memory = holder.memory.map_or("some".to_owned(), |Bytes(b)| Bytes(b).to_string());
            format!("process {} holds {memory} of its memory", holder.pid)
        }));
        parts.join(", ")
    }
}
