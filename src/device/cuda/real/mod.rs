//! The CUDA driver, through cudarc's bindings, which look the library up when they are first called.
//!
//! They panic where the library or a function of it is missing: [`CudaDriver::load`] asks before anything is called, and refuses
//! drivers older than CUDA 12.0, which lack functions that are used here.

mod context;
mod maps;

use std::ffi::{CStr, c_char, c_int, c_uint};
use std::ptr::null_mut;
use std::sync::{Arc, OnceLock};

use cudarc::driver::sys::{self, CUdevice_attribute as Attribute, CUresult};

use super::attributes::{Attributes, version};
use super::driver::{Context, Driver, Handle};
use super::nvml::{Monitor, NvmlMonitor};
use crate::error::{Error, Result};
use crate::units::Bytes;
use context::CudaContext;

/// The oldest driver that has all functions used here.
const OLDEST: c_int = 12_000;

/// The CUDA driver.
#[derive(Debug, Clone, Copy)]
pub struct CudaDriver {
    version: c_int,
}

impl CudaDriver {
    /// Finds and starts the driver: the library at `SCALEMARK_CUDA`, else where the loader looks.
    ///
    /// # Errors
    /// [`Error::Library`] where there is none, it is too old, or does not start.
    pub fn load() -> Result<CudaDriver> {
        preload()?;
        // SAFETY: loads NVIDIA's library, whose initializers run as they do for any program that links it.
        if !unsafe { sys::is_culib_present() } {
            return Err(Error::Library(
                "there is no CUDA driver on this machine: install NVIDIA's, or name its library in SCALEMARK_CUDA; \
                 `--device cpu` and `--device sim` work without one"
                    .into(),
            ));
        }
        let mut number = 0;
        // SAFETY: points to an integer that the call fills; the call needs no initialization.
        check(unsafe { sys::cuDriverGetVersion(&mut number) }, "tell its version")?;
        if number < OLDEST {
            let (found, needed) = (version(number as u32), version(OLDEST as u32));
            return Err(Error::Library(format!(
                "the CUDA driver is for CUDA {found}, and {needed} is the oldest that has what is used here: update NVIDIA's \
                 driver (525 or newer)"
            )));
        }
        // SAFETY: takes no pointer.
        check(unsafe { sys::cuInit(0) }, "start")?;
        Ok(CudaDriver { version: number })
    }

    fn count(self) -> Result<u32> {
        let mut count = 0;
        // SAFETY: points to an integer that the call fills.
        check(unsafe { sys::cuDeviceGetCount(&mut count) }, "count GPUs")?;
        Ok(count as u32)
    }

    fn describe(self, ordinal: u32) -> Result<Attributes> {
        let mut device = 0;
        // SAFETY: points to a number that the call fills.
        check(unsafe { sys::cuDeviceGet(&mut device, ordinal as c_int) }, "find the GPU")?;
        let text = |call: &dyn Fn(*mut c_char, c_int) -> CUresult, what| {
            let mut text = [0 as c_char; 256];
            check(call(text.as_mut_ptr(), 255), what)?;
            // SAFETY: the last byte, at least, is NUL.
            Ok(unsafe { CStr::from_ptr(text.as_ptr()) }.to_string_lossy().into_owned())
        };
        // SAFETY: the buffer is as long as said; the call ends the name in NUL.
        let name = text(&|p, n| unsafe { sys::cuDeviceGetName(p, n, device) }, "tell a name")?;
        let bus = {
            // SAFETY: as above.
            let get = |p, n| unsafe { sys::cuDeviceGetPCIBusId(p, n, device) };
            text(&get, "tell its place on the bus")?
        };
        let mut uuid = sys::CUuuid { bytes: [0; 16] };
        // SAFETY: points to sixteen bytes that the call fills.
        check(unsafe { sys::cuDeviceGetUuid_v2(&mut uuid, device) }, "tell its identity")?;
        let mut memory = 0;
        // SAFETY: points to a size that the call fills.
        check(unsafe { sys::cuDeviceTotalMem_v2(&mut memory, device) }, "tell its memory")?;
        let get = |attribute| {
            let mut value = 0;
            // SAFETY: points to an integer that the call fills.
            let status = unsafe { sys::cuDeviceGetAttribute(&mut value, attribute, device) };
            check(status, "tell what it is").map(|()| value.max(0) as u32)
        };
        let capability = 10 * get(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?
            + get(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
        let mut attributes = Attributes {
            ordinal,
            uuid: String::new(),
            name,
            bus,
            capability,
            multiprocessors: get(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
            memory: Bytes(memory as u64),
            l2: Bytes(get(Attribute::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)?.into()),
            shared_per_block: get(
                Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN,
            )?,
            clock_khz: get(Attribute::CU_DEVICE_ATTRIBUTE_CLOCK_RATE)?,
            memory_clock_khz: get(Attribute::CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE)?,
            bus_bits: get(Attribute::CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH)?,
            ecc: get(Attribute::CU_DEVICE_ATTRIBUTE_ECC_ENABLED)? != 0,
            driver: self.version as u32,
        };
        let hex: String = uuid.bytes.iter().map(|byte| format!("{:02x}", *byte as u8)).collect();
        let kind = if attributes.is_slice() { "MIG" } else { "GPU" };
        let (a, b, c, d, e) = (&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
        attributes.uuid = format!("{kind}-{a}-{b}-{c}-{d}-{e}");
        Ok(attributes)
    }
}

/// Loads the driver that `SCALEMARK_CUDA` names, so that a later look-up by name finds it by the name that it gives itself.
fn preload() -> Result<()> {
    static LOADED: OnceLock<Result<(), String>> = OnceLock::new();
    let Some(path) = std::env::var_os("SCALEMARK_CUDA").filter(|path| !path.is_empty()) else {
        return Ok(());
    };
    let loaded = LOADED.get_or_init(|| {
        // SAFETY: loads what the user names as NVIDIA's library, as above.
        match unsafe { libloading::Library::new(&path) } {
            Ok(library) => {
                // It stays loaded: a second look-up is to find this one.
                std::mem::forget(library);
                Ok(())
            }
            Err(e) => {
                let cause = std::error::Error::source(&e).map_or(e.to_string(), |c| c.to_string());
                let path = path.display();
                Err(format!(
                    "there is no CUDA driver: {path} cannot be used: {cause}; name NVIDIA's library in SCALEMARK_CUDA"
                ))
            }
        }
    });
    loaded.clone().map_err(Error::Library)
}

impl Driver for CudaDriver {
    fn name(&self) -> String {
        "cuda".into()
    }

    fn gpus(&self) -> Result<Vec<Attributes>> {
        (0..self.count()?).map(|ordinal| self.describe(ordinal)).collect()
    }

    fn open(&self, ordinal: u32) -> Result<Arc<dyn Context>> {
        let count = self.count()?;
        if ordinal >= count {
            return Err(Error::Library(format!(
                "there is no GPU {ordinal}: the driver has {count}"
            )));
        }
        let attributes = self.describe(ordinal)?;
        let mut device = 0;
        let mut context = null_mut();
        let mut stream = null_mut();
        // SAFETY: points to a number that the call fills.
        check(unsafe { sys::cuDeviceGet(&mut device, ordinal as c_int) }, "find the GPU")?;
        // SAFETY: points to a handle that the call fills; it is released when the context is dropped.
        let status = unsafe { sys::cuDevicePrimaryCtxRetain(&mut context, device) };
        check(status, "make a context (another process may hold all of its memory)")?;
        // SAFETY: the context was just retained.
        check(unsafe { sys::cuCtxSetCurrent(context) }, "use its context")?;
        let flags = sys::CUstream_flags_enum::CU_STREAM_NON_BLOCKING as c_uint;
        // SAFETY: points to a handle that the call fills; it is destroyed with the context.
        check(unsafe { sys::cuStreamCreate(&mut stream, flags) }, "make a stream")?;
        let (context, stream) = (Handle(context as usize), Handle(stream as usize));
        Ok(Arc::new(CudaContext { attributes, device, context, stream }))
    }

    fn monitor(&self, gpu: &Attributes) -> Result<Box<dyn Monitor>, String> {
        Ok(Box::new(NvmlMonitor::new(gpu)?))
    }
}

/// Turns a status into an error in words.
fn check(status: CUresult, what: &str) -> Result<()> {
    if status == CUresult::CUDA_SUCCESS {
        return Ok(());
    }
    let mut text = std::ptr::null();
    // SAFETY: the call fills in a text that stays, or leaves the null.
    let told = unsafe { sys::cuGetErrorString(status, &mut text) };
    let reason = match told == CUresult::CUDA_SUCCESS && !text.is_null() {
        // SAFETY: just filled in by the call: a text that ends in NUL and stays.
        true => unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned(),
        false => "no reason".into(),
    };
    let number = status as u32;
    let error = format!("the CUDA driver failed to {what}: {reason} ({number})");
    Err(match number {
        // Faults of kernels and of memory: from here on every call gives the same error.
        214 | 700 | 702 | 709 | 710 | 714..=719 | 721 => Error::Lost(error),
        _ => Error::Library(error),
    })
}
