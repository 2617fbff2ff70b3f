//! GPUs: NVIDIA's driver through cudarc, behind an interface that a fake one answers as well.
//!
//! [`driver`] is the interface, [`real`] the CUDA driver, [`fake`] one that executes launches by simulation, moves a clock that
//! is made up, and breaks on demand. Above it stand [`GpuDevice`], what a worker opens, and [`prepared`], a row made ready.
//! Nothing here needs CUDA to build.

pub mod attributes;
pub mod blas;
pub mod cupti;
pub mod device;
pub mod driver;
pub mod fake;
pub mod nvml;
pub mod nvtx;
pub mod operands;
pub mod owned;
pub mod prepared;
pub mod probes;
pub mod real;

pub use attributes::Attributes;
pub use device::{GpuDevice, capabilities_of};

use super::{DriverName, Gpus};
use crate::error::{Error, Result};

/// The driver of a name.
///
/// # Errors
/// [`crate::Error::Library`] where there is none, or it is too old.
pub fn driver_of(name: DriverName) -> Result<Box<dyn driver::Driver>> {
    Ok(match name {
        DriverName::Cuda => Box::new(real::CudaDriver::load()?),
        DriverName::Fake(architecture) => Box::new(fake::FakeDriver::new(architecture)?),
    })
}

/// The GPUs of a name, looked at without taking any memory of theirs; at least one.
///
/// # Errors
/// As [`driver_of`], and where one of them is not there.
pub fn of(gpus: Gpus) -> Result<Vec<Attributes>> {
    let all = driver_of(gpus.driver)?.gpus()?;
    let ordinals = gpus.ordinals(all.len() as u32).map_err(|e| {
        Error::Library(format!(
            "{e}; `scalemark machine` lists GPUs, and `--device cpu` needs none"
        ))
    })?;
    Ok(ordinals.into_iter().map(|ordinal| all[ordinal as usize].clone()).collect())
}
