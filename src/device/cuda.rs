//! A GPU through the CUDA driver: memory, modules and launches, and nothing that a caller does not need yet.
//!
//! The driver is a library that is looked for when a GPU is asked for; where there is none, that is an error in one line. Its
//! functions are declared by hand, with the types of cuda.h.

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::ptr::null_mut;

use libloading::Library;

use crate::error::{Error, Result};

type Status = c_int;
type Handle = *mut c_void;

/// The driver's functions; the names are theirs.
#[derive(Debug, Clone, Copy)]
struct Driver {
    init: unsafe extern "C" fn(c_uint) -> Status,
    error_string: unsafe extern "C" fn(Status, *mut *const c_char) -> Status,
    device_count: unsafe extern "C" fn(*mut c_int) -> Status,
    device_get: unsafe extern "C" fn(*mut c_int, c_int) -> Status,
    device_name: unsafe extern "C" fn(*mut c_char, c_int, c_int) -> Status,
    device_attribute: unsafe extern "C" fn(*mut c_int, c_int, c_int) -> Status,
    context_retain: unsafe extern "C" fn(*mut Handle, c_int) -> Status,
    context_set: unsafe extern "C" fn(Handle) -> Status,
    context_release: unsafe extern "C" fn(c_int) -> Status,
    synchronize: unsafe extern "C" fn() -> Status,
    module_load:
        unsafe extern "C" fn(*mut Handle, *const c_void, c_uint, *mut c_int, *mut Handle) -> Status,
    module_function: unsafe extern "C" fn(*mut Handle, Handle, *const c_char) -> Status,
    module_unload: unsafe extern "C" fn(Handle) -> Status,
    allocate: unsafe extern "C" fn(*mut u64, usize) -> Status,
    free: unsafe extern "C" fn(u64) -> Status,
    to_device: unsafe extern "C" fn(u64, *const c_void, usize) -> Status,
    to_host: unsafe extern "C" fn(*mut c_void, u64, usize) -> Status,
    launch: unsafe extern "C" fn(
        Handle,
        c_uint,
        c_uint,
        c_uint,
        c_uint,
        c_uint,
        c_uint,
        c_uint,
        Handle,
        *mut *mut c_void,
        *mut *mut c_void,
    ) -> Status,
}

/// `CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR` and `…_MINOR`.
const CAPABILITY: [c_int; 2] = [75, 76];
/// `CU_JIT_ERROR_LOG_BUFFER` and `…_SIZE_BYTES`.
const ERROR_LOG: [c_int; 2] = [5, 6];

impl Driver {
    fn load() -> Result<Driver> {
        let asked = std::env::var("SCALEMARK_CUDA").ok();
        let names: &[&str] = match &asked {
            Some(path) => &[path],
            None if cfg!(windows) => &["nvcuda.dll"],
            None => &["libcuda.so.1", "libcuda.so"],
        };
        let broken = |e: libloading::Error| {
            let why =
                std::error::Error::source(&e).map_or(e.to_string(), |cause| cause.to_string());
            Error::Library(format!(
                "there is no CUDA driver: {} cannot be used: {why}; install NVIDIA's, or name its library in SCALEMARK_CUDA",
                names[0]
            ))
        };
        // SAFETY: the driver's initializers run as they do for any program that links it.
        let open = |name: &&str| unsafe { Library::new(*name) };
        let library = match names.iter().find_map(|name| open(name).ok()) {
            Some(library) => library,
            None => open(&names[0]).map_err(broken)?,
        };
        // It stays loaded, so that the functions taken from it stay valid.
        let library: &'static Library = Box::leak(Box::new(library));
        // SAFETY: the types are those of cuda.h, which keeps them under these versioned names.
        unsafe {
            Ok(Driver {
                init: *library.get(c"cuInit").map_err(broken)?,
                error_string: *library.get(c"cuGetErrorString").map_err(broken)?,
                device_count: *library.get(c"cuDeviceGetCount").map_err(broken)?,
                device_get: *library.get(c"cuDeviceGet").map_err(broken)?,
                device_name: *library.get(c"cuDeviceGetName").map_err(broken)?,
                device_attribute: *library.get(c"cuDeviceGetAttribute").map_err(broken)?,
                context_retain: *library.get(c"cuDevicePrimaryCtxRetain").map_err(broken)?,
                context_set: *library.get(c"cuCtxSetCurrent").map_err(broken)?,
                context_release: *library.get(c"cuDevicePrimaryCtxRelease_v2").map_err(broken)?,
                synchronize: *library.get(c"cuCtxSynchronize").map_err(broken)?,
                module_load: *library.get(c"cuModuleLoadDataEx").map_err(broken)?,
                module_function: *library.get(c"cuModuleGetFunction").map_err(broken)?,
                module_unload: *library.get(c"cuModuleUnload").map_err(broken)?,
                allocate: *library.get(c"cuMemAlloc_v2").map_err(broken)?,
                free: *library.get(c"cuMemFree_v2").map_err(broken)?,
                to_device: *library.get(c"cuMemcpyHtoD_v2").map_err(broken)?,
                to_host: *library.get(c"cuMemcpyDtoH_v2").map_err(broken)?,
                launch: *library.get(c"cuLaunchKernel").map_err(broken)?,
            })
        }
    }

    fn check(&self, status: Status, what: &str) -> Result<()> {
        if status == 0 {
            return Ok(());
        }
        let mut text = std::ptr::null();
        // SAFETY: the call takes any number, and fills in a text that stays, or leaves the null.
        let known = unsafe { (self.error_string)(status, &mut text) } == 0 && !text.is_null();
        let reason = match known {
            // SAFETY: just filled in by the call: a text that ends in NUL and stays.
            true => unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned(),
            false => "no reason".into(),
        };
        Err(Error::Library(format!("the CUDA driver failed to {what}: {reason} ({status})")))
    }
}

/// A GPU; its primary context is current on the thread that opened it.
#[derive(Debug)]
pub struct Gpu {
    driver: Driver,
    device: c_int,
    /// What the driver calls it.
    pub name: String,
    /// Compute capability, times ten.
    pub capability: u32,
    /// Contexts belong to threads: this stays on its own.
    thread: std::marker::PhantomData<Handle>,
}

/// Sizes of a launch.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Blocks.
    pub grid: [u32; 3],
    /// Threads of a block.
    pub block: [u32; 3],
    /// Bytes of dynamic shared memory.
    pub shared: u32,
}

impl Gpu {
    /// Opens GPU `ordinal`.
    ///
    /// # Errors
    /// [`Error::Library`] where there is no driver, or no such GPU.
    pub fn open(ordinal: u32) -> Result<Gpu> {
        let driver = Driver::load()?;
        // SAFETY: takes no pointer.
        driver.check(unsafe { (driver.init)(0) }, "start")?;
        let mut count = 0;
        // SAFETY: points to an integer that the call fills.
        driver.check(unsafe { (driver.device_count)(&mut count) }, "count GPUs")?;
        if ordinal as i64 >= count as i64 {
            return Err(Error::Library(format!(
                "there is no GPU {ordinal}: the driver has {count}"
            )));
        }
        let mut device = 0;
        // SAFETY: as above.
        let status = unsafe { (driver.device_get)(&mut device, ordinal as c_int) };
        driver.check(status, "find the GPU")?;
        let mut name = [0 as c_char; 256];
        // SAFETY: the buffer is as long as said; the call ends the name in NUL.
        let status = unsafe { (driver.device_name)(name.as_mut_ptr(), 255, device) };
        driver.check(status, "tell a name")?;
        // SAFETY: the last byte, at least, is NUL.
        let name = unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned();
        let mut capability = [0; 2];
        for (number, attribute) in capability.iter_mut().zip(CAPABILITY) {
            // SAFETY: points to an integer that the call fills.
            let status = unsafe { (driver.device_attribute)(number, attribute, device) };
            driver.check(status, "tell its compute capability")?;
        }
        let mut context = null_mut();
        // SAFETY: points to a handle that the call fills; it is released when this is dropped.
        let status = unsafe { (driver.context_retain)(&mut context, device) };
        driver.check(status, "make a context")?;
        let [major, minor] = capability.map(|x: c_int| x as u32);
        let thread = std::marker::PhantomData;
        let gpu = Gpu { driver, device, name, capability: 10 * major + minor, thread };
        // SAFETY: the context was just retained.
        driver.check(unsafe { (driver.context_set)(context) }, "use its context")?;
        Ok(gpu)
    }

    /// Compiles PTX for this GPU.
    ///
    /// # Errors
    /// What the driver's compiler says of it.
    pub fn load(&self, ptx: &str) -> Result<Module<'_>> {
        let text =
            CString::new(ptx).map_err(|_| Error::Usage("there is a NUL in the PTX".into()))?;
        let mut log = vec![0u8; 8192];
        let mut handle = null_mut();
        let mut options = ERROR_LOG;
        // The second value is the size itself, in the place of a pointer.
        let mut values = [log.as_mut_ptr().cast(), log.len() as Handle];
        // SAFETY: the text ends in NUL; there are two options, with a buffer and its size; all live until the call ends.
        let status = unsafe {
            let (options, values) = (options.as_mut_ptr(), values.as_mut_ptr());
            (self.driver.module_load)(&mut handle, text.as_ptr().cast(), 2, options, values)
        };
        let log = CStr::from_bytes_until_nul(&log).map_or("".into(), CStr::to_string_lossy);
        self.driver.check(status, "load a module").map_err(|e| match log.trim() {
            "" => e,
            log => Error::Library(format!("{e}: {}", log.replace('\n', "; "))),
        })?;
        Ok(Module { gpu: self, handle })
    }

    /// Memory of the GPU with these bytes in it.
    ///
    /// # Errors
    /// When there is not enough.
    pub fn upload(&self, bytes: &[u8]) -> Result<Buffer<'_>> {
        let mut address = 0;
        // SAFETY: points to an address that the call fills.
        let status = unsafe { (self.driver.allocate)(&mut address, bytes.len().max(1)) };
        self.driver.check(status, &format!("allocate {} bytes", bytes.len()))?;
        let buffer = Buffer { gpu: self, address, len: bytes.len() };
        // SAFETY: both sides are as long as said.
        let status =
            unsafe { (self.driver.to_device)(address, bytes.as_ptr().cast(), bytes.len()) };
        self.driver.check(status, "copy to the GPU")?;
        Ok(buffer)
    }

    /// Launches a kernel, and waits for its end.
    ///
    /// # Errors
    /// What ended it; nothing can be launched in this process afterwards.
    ///
    /// # Safety
    /// `arguments` are as many, each as wide, as the kernel's parameters, and every address that the kernel makes of them and
    /// accesses lies in memory of this GPU that lives.
    pub unsafe fn launch(&self, f: &Function<'_>, shape: Shape, arguments: &[&[u8]]) -> Result<()> {
        let mut pointers: Vec<Handle> =
            arguments.iter().map(|bytes| bytes.as_ptr().cast_mut().cast()).collect();
        let ([x, y, z], [bx, by, bz]) = (shape.grid, shape.block);
        let (stream, extra) = (null_mut(), null_mut());
        // SAFETY: the function's module lives; the caller answers for the arguments, which the call copies.
        let status = unsafe {
            let arguments = pointers.as_mut_ptr();
            (self.driver.launch)(
                f.handle,
                x,
                y,
                z,
                bx,
                by,
                bz,
                shape.shared,
                stream,
                arguments,
                extra,
            )
        };
        self.driver.check(status, "launch a kernel")?;
        // SAFETY: takes nothing.
        self.driver.check(unsafe { (self.driver.synchronize)() }, "run a kernel to its end")
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        // SAFETY: retained once, by `open`.
        unsafe { (self.driver.context_release)(self.device) };
    }
}

/// A loaded module.
#[derive(Debug)]
pub struct Module<'g> {
    gpu: &'g Gpu,
    handle: Handle,
}

impl Module<'_> {
    /// Its kernel `name`.
    ///
    /// # Errors
    /// Where it has none of this name.
    pub fn function(&self, name: &str) -> Result<Function<'_>> {
        let text =
            CString::new(name).map_err(|_| Error::Usage("there is a NUL in a name".into()))?;
        let mut handle = null_mut();
        // SAFETY: points to a handle that the call fills; the name ends in NUL.
        let status =
            unsafe { (self.gpu.driver.module_function)(&mut handle, self.handle, text.as_ptr()) };
        self.gpu.driver.check(status, &format!("find the kernel {name}"))?;
        Ok(Function { handle, module: std::marker::PhantomData })
    }
}

impl Drop for Module<'_> {
    fn drop(&mut self) {
        // SAFETY: loaded once, and no function of it outlives this.
        unsafe { (self.gpu.driver.module_unload)(self.handle) };
    }
}

/// A kernel of a module.
#[derive(Debug)]
pub struct Function<'m> {
    handle: Handle,
    module: std::marker::PhantomData<&'m ()>,
}

/// Memory of a GPU.
#[derive(Debug)]
pub struct Buffer<'g> {
    gpu: &'g Gpu,
    /// Where it begins.
    pub address: u64,
    len: usize,
}

impl Buffer<'_> {
    /// What it holds.
    ///
    /// # Errors
    /// When a launch before has failed.
    pub fn download(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; self.len];
        // SAFETY: both sides are as long as said.
        let status =
            unsafe { (self.gpu.driver.to_host)(bytes.as_mut_ptr().cast(), self.address, self.len) };
        self.gpu.driver.check(status, "copy from the GPU")?;
        Ok(bytes)
    }
}

impl Drop for Buffer<'_> {
    fn drop(&mut self) {
        // SAFETY: allocated once; launches wait for their kernels' ends, so nothing uses it any more.
        unsafe { (self.gpu.driver.free)(self.address) };
    }
}
