//! The CUDA driver, through cudarc's bindings, which look the library up when they are first called.
//!
//! They panic where the library or a function of it is missing: [`CudaDriver::load`] asks before anything is called, and refuses
//! drivers older than CUDA 12.0, which lack functions that are used here.

use std::cell::Cell;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::ptr::null_mut;
use std::sync::{Arc, OnceLock};

use cudarc::driver::sys::{self, CUdevice_attribute as Attribute, CUresult};

use super::attributes::{Attributes, version};
use super::driver::{Address, Context, Driver, Handle, Image, Mapped, Room, Shape};
use super::nvml::{Monitor, NvmlMonitor};
use crate::error::{Error, Result};
use crate::kernels::cuda::{MapType, Swizzle, TensorMap};
use crate::units::Bytes;

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

/// A primary context with a stream of its own.
#[derive(Debug)]
struct CudaContext {
    attributes: Attributes,
    device: sys::CUdevice,
    context: Handle,
    stream: Handle,
}

thread_local! {
    /// The context that is current on this thread.
    static CURRENT: Cell<usize> = const { Cell::new(0) };
}

impl CudaContext {
    /// Makes this context the thread's, where it is not.
    fn enter(&self) {
        CURRENT.with(|current| {
            if current.get() != self.context.0 {
                // SAFETY: the context lives as long as this. A failure shows in the call that follows.
                unsafe { sys::cuCtxSetCurrent(self.context.0 as sys::CUcontext) };
                current.set(self.context.0);
            }
        });
    }

    fn stream(&self) -> sys::CUstream {
        self.enter();
        self.stream.0 as sys::CUstream
    }
}

impl Context for CudaContext {
    fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    fn room(&self) -> Result<Room> {
        self.enter();
        let (mut free, mut total) = (0, 0);
        // SAFETY: both point to sizes that the call fills.
        check(unsafe { sys::cuMemGetInfo_v2(&mut free, &mut total) }, "tell its free memory")?;
        Ok(Room { free: Bytes(free as u64), total: Bytes(total as u64) })
    }

    fn allocate(&self, bytes: Bytes) -> Result<Address> {
        self.enter();
        let mut address = 0;
        // SAFETY: points to an address that the call fills.
        let status = unsafe { sys::cuMemAlloc_v2(&mut address, bytes.0 as usize) };
        check(status, &format!("allocate {bytes}"))?;
        Ok(Address(address))
    }

    fn free(&self, at: Address) {
        self.enter();
        // SAFETY: allocated by `allocate`; the call waits for all that was enqueued.
        unsafe { sys::cuMemFree_v2(at.0) };
    }

    fn upload(&self, to: Address, bytes: &[u8]) -> Result<()> {
        self.synchronize()?;
        // SAFETY: the caller has allocated as many bytes, and the host's are as long as said.
        let status = unsafe { sys::cuMemcpyHtoD_v2(to.0, bytes.as_ptr().cast(), bytes.len()) };
        check(status, "copy to the GPU")
    }

    fn download(&self, from: Address, bytes: &mut [u8]) -> Result<()> {
        self.synchronize()?;
        let (to, len) = (bytes.as_mut_ptr().cast(), bytes.len());
        // SAFETY: the caller has allocated as many bytes, and the host's are as long as said.
        check(unsafe { sys::cuMemcpyDtoH_v2(to, from.0, len) }, "copy from the GPU")
    }

    fn copy(&self, to: Address, from: Address, bytes: Bytes) -> Result<()> {
        let stream = self.stream();
        // SAFETY: the caller has allocated as many bytes on both sides.
        let status = unsafe { sys::cuMemcpyDtoDAsync_v2(to.0, from.0, bytes.0 as usize, stream) };
        check(status, "copy within the GPU")
    }

    fn fill(&self, at: Address, byte: u8, bytes: Bytes) -> Result<()> {
        let stream = self.stream();
        // SAFETY: the caller has allocated as many bytes.
        let status = unsafe { sys::cuMemsetD8Async(at.0, byte, bytes.0 as usize, stream) };
        check(status, "fill memory")
    }

    fn map_word(&self) -> Result<Mapped> {
        self.enter();
        let (mut host, mut device) = (null_mut::<c_void>(), 0);
        let flags = sys::CU_MEMHOSTALLOC_DEVICEMAP;
        // SAFETY: points to a pointer that the call fills.
        check(unsafe { sys::cuMemHostAlloc(&mut host, 4, flags) }, "map a word of the host's")?;
        // SAFETY: four bytes were just allocated there.
        unsafe { host.cast::<u32>().write_volatile(0) };
        // SAFETY: points to an address that the call fills; the memory was allocated to be mapped.
        let status = unsafe { sys::cuMemHostGetDevicePointer_v2(&mut device, host, 0) };
        check(status, "tell where a mapped word is")?;
        Ok(Mapped { host: Handle(host as usize), device: Address(device) })
    }

    fn store(&self, word: Mapped, value: u32) {
        // SAFETY: a word of `map_word` that has not been unmapped; the GPU only polls it.
        unsafe { (word.host.0 as *mut u32).write_volatile(value) };
    }

    fn read(&self, word: Mapped) -> u32 {
        // SAFETY: as above.
        unsafe { (word.host.0 as *const u32).read_volatile() }
    }

    fn unmap(&self, word: Mapped) {
        self.enter();
        // SAFETY: allocated by `map_word`; what could poll it has ended, for the caller has synchronized.
        unsafe { sys::cuMemFreeHost(word.host.0 as *mut c_void) };
    }

    fn load(&self, image: &Image<'_>) -> Result<Handle> {
        self.enter();
        let text = CString::new(image.ptx)
            .map_err(|_| Error::Usage("there is a NUL in the PTX".into()))?;
        let mut log = vec![0u8; 8192];
        let mut handle = null_mut();
        let mut options = [
            sys::CUjit_option::CU_JIT_ERROR_LOG_BUFFER,
            sys::CUjit_option::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES,
        ];
        // The second value is the size itself, in the place of a pointer.
        let mut values = [log.as_mut_ptr().cast(), log.len() as *mut c_void];
        let bytes: *const c_void = match image.cubin {
            [] => text.as_ptr().cast(),
            cubin => cubin.as_ptr().cast(),
        };
        // SAFETY: a whole ELF file or a text that ends in NUL; two options, with a buffer and its size; all live until the end.
        let status = unsafe {
            let (options, values) = (options.as_mut_ptr(), values.as_mut_ptr());
            sys::cuModuleLoadDataEx(&mut handle, bytes, 2, options, values)
        };
        let log = CStr::from_bytes_until_nul(&log).map_or("".into(), CStr::to_string_lossy);
        check(status, "load a module").map_err(|e| match log.trim() {
            "" => e,
            log => Error::Library(format!("{e}: {}", log.replace('\n', "; "))),
        })?;
        Ok(Handle(handle as usize))
    }

    fn unload(&self, module: Handle) {
        self.enter();
        // SAFETY: loaded once by `load`, and its functions are not used any more.
        unsafe { sys::cuModuleUnload(module.0 as sys::CUmodule) };
    }

    fn function(&self, module: Handle, name: &str, shared: u32) -> Result<Handle> {
        self.enter();
        let text =
            CString::new(name).map_err(|_| Error::Usage("there is a NUL in a name".into()))?;
        let mut handle = null_mut();
        // SAFETY: the module lives; points to a handle that the call fills; the name ends in NUL.
        let status = unsafe {
            sys::cuModuleGetFunction(&mut handle, module.0 as sys::CUmodule, text.as_ptr())
        };
        check(status, &format!("find the kernel {name}"))?;
        if shared > 48 << 10 {
            let most =
                sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            // SAFETY: the function was just found.
            let status = unsafe { sys::cuFuncSetAttribute(handle, most, shared as c_int) };
            check(status, &format!("give {name} {shared} bytes of shared memory a block"))?;
        }
        Ok(Handle(handle as usize))
    }

    fn tensor_map(&self, map: &TensorMap, at: Address) -> Result<[u8; 128]> {
        use sys::CUtensorMapDataType_enum as Type;
        use sys::CUtensorMapSwizzle_enum as Spread;
        self.enter();
        let dtype = match map.dtype {
            MapType::U8 => Type::CU_TENSOR_MAP_DATA_TYPE_UINT8,
            MapType::Bf16 => Type::CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
            MapType::F16 => Type::CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
            MapType::F32 => Type::CU_TENSOR_MAP_DATA_TYPE_FLOAT32,
            MapType::I32 => Type::CU_TENSOR_MAP_DATA_TYPE_INT32,
        };
        let swizzle = match map.swizzle {
            Swizzle::None => Spread::CU_TENSOR_MAP_SWIZZLE_NONE,
            Swizzle::B32 => Spread::CU_TENSOR_MAP_SWIZZLE_32B,
            Swizzle::B64 => Spread::CU_TENSOR_MAP_SWIZZLE_64B,
            Swizzle::B128 => Spread::CU_TENSOR_MAP_SWIZZLE_128B,
        };
        let ones = vec![1u32; map.dims.len()];
        let mut encoded = sys::CUtensorMap { opaque: [0; 16] };
        // SAFETY: every list is as long as the rank (strides one shorter); the address lies in memory of this GPU.
        let status = unsafe {
            sys::cuTensorMapEncodeTiled(
                &mut encoded,
                dtype,
                map.dims.len() as u32,
                at.0 as *mut c_void,
                map.dims.as_ptr(),
                map.strides.as_ptr(),
                map.box_dims.as_ptr(),
                ones.as_ptr(),
                sys::CUtensorMapInterleave_enum::CU_TENSOR_MAP_INTERLEAVE_NONE,
                swizzle,
                sys::CUtensorMapL2promotion_enum::CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
                sys::CUtensorMapFloatOOBfill_enum::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
            )
        };
        check(status, "encode a tensor map")?;
        Ok(bytemuck::cast(encoded.opaque))
    }

    unsafe fn launch(&self, function: Handle, shape: &Shape, arguments: &[&[u8]]) -> Result<()> {
        let mut pointers: Vec<*mut c_void> =
            arguments.iter().map(|bytes| bytes.as_ptr().cast_mut().cast()).collect();
        let [x, y, z] = shape.cluster.unwrap_or([1; 3]);
        let mut attribute = sys::CUlaunchAttribute {
            id: sys::CUlaunchAttributeID_enum::CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION,
            pad: [0; 4],
            value: sys::CUlaunchAttributeValue_union { pad: [0; 64] },
        };
        attribute.value.clusterDim = sys::CUlaunchAttributeValue_union__bindgen_ty_1 { x, y, z };
        let config = sys::CUlaunchConfig {
            gridDimX: shape.grid[0],
            gridDimY: shape.grid[1],
            gridDimZ: shape.grid[2],
            blockDimX: shape.block[0],
            blockDimY: shape.block[1],
            blockDimZ: shape.block[2],
            sharedMemBytes: shape.shared,
            hStream: self.stream(),
            attrs: &mut attribute,
            numAttrs: u32::from(shape.cluster.is_some()),
        };
        // SAFETY: the function's module lives; the caller answers for the arguments, which the call copies.
        let status = unsafe {
            let function = function.0 as sys::CUfunction;
            sys::cuLaunchKernelEx(&config, function, pointers.as_mut_ptr(), null_mut())
        };
        check(status, "launch a kernel")
    }

    fn event(&self) -> Result<Handle> {
        self.enter();
        let mut event = null_mut();
        let flags = sys::CUevent_flags_enum::CU_EVENT_DEFAULT as c_uint;
        // SAFETY: points to a handle that the call fills.
        check(unsafe { sys::cuEventCreate(&mut event, flags) }, "make an event")?;
        Ok(Handle(event as usize))
    }

    fn record(&self, event: Handle) -> Result<()> {
        let stream = self.stream();
        // SAFETY: both handles live.
        check(unsafe { sys::cuEventRecord(event.0 as sys::CUevent, stream) }, "record an event")
    }

    fn elapsed_ns(&self, from: Handle, to: Handle) -> Result<f64> {
        self.enter();
        let mut milliseconds = 0f32;
        let (from, to) = (from.0 as sys::CUevent, to.0 as sys::CUevent);
        // SAFETY: both handles live; points to a number that the call fills.
        let status = unsafe { sys::cuEventElapsedTime(&mut milliseconds, from, to) };
        check(status, "tell the time between two events")?;
        Ok(f64::from(milliseconds) * 1e6)
    }

    fn forget_event(&self, event: Handle) {
        self.enter();
        // SAFETY: made once by `event`.
        unsafe { sys::cuEventDestroy_v2(event.0 as sys::CUevent) };
    }

    fn begin_capture(&self) -> Result<()> {
        let stream = self.stream();
        let mode = sys::CUstreamCaptureMode_enum::CU_STREAM_CAPTURE_MODE_RELAXED;
        // SAFETY: the stream lives.
        check(unsafe { sys::cuStreamBeginCapture_v2(stream, mode) }, "begin a graph")
    }

    fn end_capture(&self) -> Result<Handle> {
        let stream = self.stream();
        let (mut graph, mut ready) = (null_mut(), null_mut());
        // SAFETY: points to a handle that the call fills.
        check(unsafe { sys::cuStreamEndCapture(stream, &mut graph) }, "end a graph")?;
        // SAFETY: the graph was just made, and is not needed behind its instance.
        let status = unsafe {
            let status = sys::cuGraphInstantiateWithFlags(&mut ready, graph, 0);
            sys::cuGraphDestroy(graph);
            status
        };
        check(status, "make a graph ready")?;
        Ok(Handle(ready as usize))
    }

    fn launch_graph(&self, graph: Handle) -> Result<()> {
        let stream = self.stream();
        // SAFETY: the graph lives, and so does all memory that its launches use.
        check(unsafe { sys::cuGraphLaunch(graph.0 as sys::CUgraphExec, stream) }, "launch a graph")
    }

    fn forget_graph(&self, graph: Handle) {
        self.enter();
        // SAFETY: made once by `end_capture`.
        unsafe { sys::cuGraphExecDestroy(graph.0 as sys::CUgraphExec) };
    }

    fn synchronize(&self) -> Result<()> {
        let stream = self.stream();
        // SAFETY: the stream lives.
        check(unsafe { sys::cuStreamSynchronize(stream) }, "run kernels to their end")
    }
}

impl Drop for CudaContext {
    fn drop(&mut self) {
        self.enter();
        // SAFETY: made and retained once, by `open`.
        unsafe {
            sys::cuStreamDestroy_v2(self.stream.0 as sys::CUstream);
            sys::cuDevicePrimaryCtxRelease_v2(self.device);
        }
        CURRENT.with(|current| current.set(0));
    }
}
