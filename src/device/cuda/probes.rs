//! The kernels that times are taken with: see `kernels/measure/measure.cu`.

use super::driver::{Context, Handle, Image};
use super::owned::Module;
use crate::error::Result;
use crate::kernels::cuda::HEADERS;
use crate::nvrtc::{Compiler, Source};
use std::sync::Arc;

/// Does nothing.
pub const EMPTY: &str = "measure_empty";
/// Holds the stream until a word is set: the word, a word for giving up, patience in nanoseconds.
pub const BLOCK: &str = "measure_block";
/// Runs for so many nanoseconds.
pub const SPIN: &str = "measure_spin";
/// Nanoseconds and cycles of a stretch: where to write both, its length.
pub const CLOCK: &str = "measure_clock";

/// Their source.
const SOURCE: Source<'static> = Source {
    name: "kernels/measure/measure.cu",
    text: include_str!("../../../kernels/measure/measure.cu"),
    headers: HEADERS,
};

/// These kernels, loaded.
#[derive(Debug)]
pub struct Probes {
    _module: Module,
    /// [`EMPTY`]
    pub empty: Handle,
    /// [`BLOCK`]
    pub block: Handle,
    /// [`SPIN`]
    pub spin: Handle,
    /// [`CLOCK`]
    pub clock: Handle,
}

impl Probes {
    /// Compiles and loads them.
    ///
    /// # Errors
    /// Where the compiler does not know the GPU, or the driver does not take the code.
    pub fn load(context: &Arc<dyn Context>, compiler: &Compiler) -> Result<Self> {
        let architecture = context.attributes().architecture().to_string();
        let built = compiler.compile(&SOURCE, &architecture, &[])?;
        let module = Module::load(context, &Image { cubin: &built.cubin, ptx: &built.ptx })?;
        Ok(Probes {
            empty: module.function(EMPTY, 0)?,
            block: module.function(BLOCK, 0)?,
            spin: module.function(SPIN, 0)?,
            clock: module.function(CLOCK, 0)?,
            _module: module,
        })
    }
}
