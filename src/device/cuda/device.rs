//! A GPU that kernels run on: its context, its compiler, and who watches it.

use std::sync::Arc;

use super::attributes::Attributes;
use super::driver::{Context, Driver, Room};
use super::nvml::Monitor;
use super::prepared::GpuPrepared;
use crate::device::cpu::detect_capabilities;
use crate::device::{Capabilities, DriverName, GpuFacts};
use crate::error::{Error, Result};
use crate::kernels::Prepared;
use crate::kernels::cuda::{Architecture, CudaKernel};
use crate::nvrtc::{Built, Compiler, INSTALL};
use crate::ops::{Case, Inputs};
use crate::units::Bytes;

/// What a GPU can do, known without a context on it: all of its memory counts as free.
pub fn capabilities_of(attributes: &Attributes) -> Capabilities {
    Capabilities {
        memory: attributes.memory,
        last_level_cache: attributes.l2,
        gpu: Some(GpuFacts::of(attributes)),
        ..detect_capabilities()
    }
}

/// A GPU with all that a worker needs of it.
#[derive(Debug)]
pub struct GpuDevice {
    /// Its name in records: `cuda:0`.
    pub name: String,
    /// What it can do.
    pub capabilities: Capabilities,
    /// What sources are compiled for.
    pub architecture: Architecture,
    /// Where its work goes.
    pub context: Arc<dyn Context>,
    /// Who tells its clock, power and temperature; or why nobody does.
    pub monitor: Result<Box<dyn Monitor>, String>,
    /// Compiles for it.
    pub compiler: Compiler,
}

impl GpuDevice {
    /// Opens a GPU.
    ///
    /// # Errors
    /// One line, with the way out: no driver or one too old, no such GPU, no NVRTC or one too old for the GPU, or another
    /// process that holds its memory.
    pub fn open(driver: DriverName, ordinal: u32) -> Result<Self> {
        let compiler = Compiler::find(None)?;
        GpuDevice::on(&*super::driver_of(driver)?, ordinal, compiler)
    }

    /// Opens a GPU of a driver that is there.
    ///
    /// # Errors
    /// As [`GpuDevice::open`].
    pub fn on(driver: &dyn Driver, ordinal: u32, compiler: Compiler) -> Result<Self> {
        let context = driver.open(ordinal)?;
        let attributes = context.attributes();
        let architecture = attributes.architecture();
        if let Some(reason) = compiler.refuses(&architecture.to_string()) {
            return Err(Error::Library(format!(
                "{} is newer than this NVRTC: {reason}; get a newer one, as by: {INSTALL}",
                attributes.name
            )));
        }
        let monitor = driver.monitor(attributes);
        let capabilities =
            Capabilities { memory: context.room()?.free, ..capabilities_of(attributes) };
        let name = format!("{}:{ordinal}", driver.name());
        Ok(GpuDevice { name, capabilities, architecture, context, monitor, compiler })
    }

    /// A row's code for this GPU, from the cache where an earlier run left it.
    ///
    /// # Errors
    /// Of the compiler, in its words.
    pub fn compile(&self, row: &CudaKernel, defines: &[String]) -> Result<Built> {
        self.compiler.compile(&row.source(), &self.architecture.to_string(), defines)
    }

    /// Compiles a row for a case, and puts its operands into the GPU's memory.
    ///
    /// # Errors
    /// As [`GpuPrepared::new`].
    pub fn prepare<'d>(
        &'d self,
        row: &CudaKernel,
        case: &Case,
        inputs: &Inputs,
    ) -> Result<Box<dyn Prepared + 'd>> {
        Ok(Box::new(GpuPrepared::new(self, row, case, inputs)?))
    }

    /// That so much memory is not to be had, and who has it.
    pub fn short_of(&self, needs: Bytes, room: Room) -> String {
        let own = std::process::id();
        let others = self.monitor.iter().flat_map(|monitor| monitor.holders());
        let others: Vec<String> = others
            .filter(|holder| holder.pid != own)
            .map(|holder| match holder.memory {
                Some(memory) => format!("process {} holds {memory}", holder.pid),
                None => format!("process {} holds some", holder.pid),
            })
            .collect();
        let held =
            if others.is_empty() { String::new() } else { format!(" ({})", others.join(", ")) };
        format!(
            "needs {needs} of the GPU's memory, and {} of {} are free{held}",
            room.free, room.total
        )
    }
}
