//! CUPTI itself, on a context of the CUDA driver.
//!
//! CUPTI asks for buffers and hands them back filled, from a thread of its own. What it hands back waits in [`FILLED`] until the
//! profiler has made it hand out all, and is read then.

use std::cell::Cell;
use std::ffi::{CStr, c_char};
use std::ptr::{null, null_mut};
use std::sync::Mutex;

use cudarc::cupti::sys::{self, CUpti_ActivityFlag, CUpti_ActivityKind as Kind};
use cudarc::driver::sys::CUcontext;

use super::library::{self, Table};
use super::records::{self, Names, number};
use super::{Activities, Counted, Profiler, counting};
use crate::device::cuda::driver::{Context, Handle};
use crate::error::Result;

/// What is collected. Kernels by the kind that lets them overlap as they do without a profiler.
const KINDS: [u32; 4] = [
    number(Kind::CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL),
    number(Kind::CUPTI_ACTIVITY_KIND_MEMCPY),
    number(Kind::CUPTI_ACTIVITY_KIND_MEMSET),
    number(Kind::CUPTI_ACTIVITY_KIND_DRIVER),
];

/// `CUPTI_CB_DOMAIN_DRIVER_API`
const DRIVER_API: u32 = sys::CUpti_CallbackDomain::CUPTI_CB_DOMAIN_DRIVER_API as u32;
/// Hand out what is not full, too.
const FORCED: u32 = CUpti_ActivityFlag::CUPTI_ACTIVITY_FLAG_FLUSH_FORCED as u32;

/// Words of a buffer: 4 MiB, some ten thousand kernels with their calls. In words, for CUPTI wants them aligned to 8 bytes.
const WORDS: usize = 4 << 20 >> 3;

/// A buffer that came back, and how many bytes of it are records.
struct Filled {
    words: Box<[u64]>,
    valid: usize,
}

/// Buffers that came back since they were last taken.
static FILLED: Mutex<Vec<Filled>> = Mutex::new(Vec::new());

/// CUPTI asks for a buffer.
unsafe extern "C" fn request(buffer: *mut *mut u8, size: *mut usize, most: *mut usize) {
    let words = Box::into_raw(vec![0u64; WORDS].into_boxed_slice());
    // SAFETY: CUPTI passes three places to fill; 0 records is as many as fit.
    unsafe {
        *buffer = words.cast();
        *size = 8 * WORDS;
        *most = 0;
    }
}

/// CUPTI hands a buffer back.
unsafe extern "C" fn complete(
    _context: CUcontext,
    _stream: u32,
    buffer: *mut u8,
    _size: usize,
    valid: usize,
) {
    if buffer.is_null() {
        return;
    }
    let words = std::ptr::slice_from_raw_parts_mut(buffer.cast::<u64>(), WORDS);
    // SAFETY: a buffer of `request`, which CUPTI hands back once.
    let words = unsafe { Box::from_raw(words) };
    FILLED.lock().unwrap_or_else(|e| e.into_inner()).push(Filled { words, valid });
}

/// CUPTI on one context.
#[derive(Debug)]
pub struct RealProfiler<'c> {
    table: &'static Table,
    context: &'c dyn Context,
    /// The driver's context, and its GPU by the driver's count.
    handles: (Handle, usize),
    begun: Cell<bool>,
}

impl<'c> RealProfiler<'c> {
    /// Finds the library.
    ///
    /// # Errors
    /// [`crate::Error::Refused`] in words: not there, too old, or not a library.
    pub fn new(context: &'c dyn Context, handles: (Handle, usize)) -> Result<Self> {
        let table = library::table(context.attributes().driver)?;
        Ok(RealProfiler { table, context, handles, begun: Cell::new(false) })
    }

    /// Collects no more.
    fn stop(&self) {
        if self.begun.replace(false) {
            for kind in KINDS {
                // SAFETY: takes a number.
                unsafe { (self.table.disable)(kind) };
            }
        }
    }

    fn flush(&self) -> Result<()> {
        // SAFETY: takes a number; buffers come back through `complete` before it returns.
        self.table.check(unsafe { (self.table.flush)(FORCED) }, "hand out what it recorded")
    }

    /// Reads a buffer that came back.
    fn read(&self, filled: &mut Filled, into: &mut Activities) {
        let whole: &mut [u8] = bytemuck::cast_slice_mut(&mut filled.words);
        let valid = filled.valid.min(whole.len());
        let begin = whole.as_mut_ptr();
        // CUPTI tells how long each record is, and only reads.
        let mut next = |at: Option<usize>| {
            let mut record: *mut sys::CUpti_Activity = match at {
                // SAFETY: an offset that this told, within the buffer.
                Some(at) => unsafe { begin.add(at) }.cast(),
                None => null_mut(),
            };
            // SAFETY: the buffer and its valid length as CUPTI handed them back, and a record of it or null.
            let status = unsafe { (self.table.next)(begin, valid, &mut record) };
            (status == 0).then(|| (record as usize).wrapping_sub(begin as usize))
        };
        // SAFETY: as long as the buffer, which outlives this; nobody writes it any more.
        let bytes = unsafe { std::slice::from_raw_parts(begin, valid) };
        records::read(bytes, &mut next, self, into);
    }
}

/// A text of CUPTI's; `None` where there is none.
fn text(pointer: *const c_char) -> Option<String> {
    // SAFETY: CUPTI's texts end in NUL, and stay as long as the module that they name something of, which outlives the profiler.
    (!pointer.is_null()).then(|| unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned())
}

impl Names for RealProfiler<'_> {
    fn kernel(&self, address: u64) -> String {
        text(address as *const c_char).unwrap_or_else(|| "kernel without a name".into())
    }

    fn call(&self, number: u32) -> String {
        let mut name = null();
        // SAFETY: fills in a text that stays, or leaves the null.
        unsafe { (self.table.call_name)(DRIVER_API, number, &mut name) };
        text(name).unwrap_or_else(|| format!("call {number} of the driver"))
    }
}

impl Profiler for RealProfiler<'_> {
    fn source(&self) -> String {
        self.table.name()
    }

    fn begin(&self) -> Result<()> {
        // SAFETY: both functions stay, and do what CUPTI asks of them.
        let status = unsafe { (self.table.register)(Some(request), Some(complete)) };
        self.table.check(status, "take buffers")?;
        self.begun.set(true);
        for kind in KINDS {
            // SAFETY: takes a number.
            let status = unsafe { (self.table.enable)(kind) };
            let enabled = self.table.check(status, "record what the GPU does");
            if enabled.is_err() {
                self.stop();
            }
            enabled?;
        }
        Ok(())
    }

    fn end(&self) -> Result<Activities> {
        let waited = self.context.synchronize();
        let flushed = self.flush();
        self.stop();
        let buffers = std::mem::take(&mut *FILLED.lock().unwrap_or_else(|e| e.into_inner()));
        waited?;
        flushed?;
        let mut all = Activities::default();
        for mut filled in buffers {
            self.read(&mut filled, &mut all);
        }
        let mut dropped = 0;
        // SAFETY: of no context and stream in particular; points to a number that the call fills.
        let status = unsafe { (self.table.dropped)(null_mut(), 0, &mut dropped) };
        if status == 0 {
            all.lost += dropped as u64;
        }
        all.sort();
        Ok(all)
    }

    fn count(&self, metrics: &[&str], launch: &mut dyn FnMut() -> Result<()>) -> Result<Counted> {
        // Waits for all before, and makes the context the thread's.
        self.context.synchronize()?;
        let mut launch = || launch().and_then(|()| self.context.synchronize());
        counting::count(self.table, self.handles, metrics, &mut launch)
    }
}

impl Drop for RealProfiler<'_> {
    fn drop(&mut self) {
        self.stop();
    }
}
