//! A context of the CUDA driver: each call of [`Context`] is one of the driver's, or two.

use std::cell::Cell;
use std::ffi::{CStr, CString, c_int, c_uint, c_void};
use std::ptr::null_mut;

use cudarc::driver::sys;
use ptxsim::conformance::Map;

use super::{check, maps};
use crate::device::cuda::attributes::Attributes;
use crate::device::cuda::blas::{Blas, RealBlas};
use crate::device::cuda::cupti::{Profiler, RealProfiler};
use crate::device::cuda::driver::{
    Address, Context, Handle, Image, MOST_ARGUMENTS, Mapped, Room, Shape,
};
use crate::error::{Error, Result};
use crate::units::Bytes;

/// A primary context with a stream of its own.
#[derive(Debug)]
pub struct CudaContext {
    pub attributes: Attributes,
    pub device: sys::CUdevice,
    pub context: Handle,
    pub stream: Handle,
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
        let (from, len) = (bytes.as_ptr().cast(), bytes.len());
        // On the stream itself: the copy that waits is of another, and may end behind what this one does next.
        let stream = self.stream();
        // SAFETY: the caller has allocated as many bytes, and the host's are as long as said and outlive the wait.
        let status = unsafe { sys::cuMemcpyHtoDAsync_v2(to.0, from, len, stream) };
        check(status, "copy to the GPU")?;
        self.synchronize()
    }

    fn download(&self, from: Address, bytes: &mut [u8]) -> Result<()> {
        let (to, len) = (bytes.as_mut_ptr().cast(), bytes.len());
        let stream = self.stream();
        // SAFETY: the caller has allocated as many bytes, and the host's are as long as said and outlive the wait.
        check(unsafe { sys::cuMemcpyDtoHAsync_v2(to, from.0, len, stream) }, "copy from the GPU")?;
        self.synchronize()
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

    fn tensor_map(&self, map: &Map, buffer: Address) -> Result<[u8; 128]> {
        self.enter();
        maps::encode(map, buffer)
    }

    unsafe fn launch(&self, function: Handle, shape: &Shape, arguments: &[&[u8]]) -> Result<()> {
        assert!(arguments.len() <= MOST_ARGUMENTS, "{} arguments", arguments.len());
        let mut pointers: [*mut c_void; MOST_ARGUMENTS] = [null_mut(); MOST_ARGUMENTS];
        for (pointer, bytes) in pointers.iter_mut().zip(arguments) {
            *pointer = bytes.as_ptr().cast_mut().cast();
        }
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

    fn blas(&self) -> Result<Box<dyn Blas + '_>> {
        Ok(Box::new(RealBlas::new(Box::new(|| Handle(self.stream() as usize)))?))
    }

    fn profiler(&self) -> Result<Box<dyn Profiler + '_>> {
        let device = usize::try_from(self.device).unwrap_or_default();
        Ok(Box::new(RealProfiler::new(self, (self.context, device))?))
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
