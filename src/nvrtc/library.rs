//! The functions of NVRTC, by hand: a table that is loaded once and stays.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use libloading::Library;

use super::{INSTALL, Source, find};
use crate::error::{Error, Result};

type Program = *mut c_void;
type SizeOf = unsafe extern "C" fn(Program, *mut usize) -> c_int;
type BytesOf = unsafe extern "C" fn(Program, *mut c_char) -> c_int;

/// NVRTC's functions; the names are theirs.
#[derive(Debug)]
pub struct Table {
    version: unsafe extern "C" fn(*mut c_int, *mut c_int) -> c_int,
    arch_count: unsafe extern "C" fn(*mut c_int) -> c_int,
    archs: unsafe extern "C" fn(*mut c_int) -> c_int,
    error: unsafe extern "C" fn(c_int) -> *const c_char,
    create: unsafe extern "C" fn(
        *mut Program,
        *const c_char,
        *const c_char,
        c_int,
        *const *const c_char,
        *const *const c_char,
    ) -> c_int,
    destroy: unsafe extern "C" fn(*mut Program) -> c_int,
    compile: unsafe extern "C" fn(Program, c_int, *const *const c_char) -> c_int,
    log: (SizeOf, BytesOf),
    ptx: (SizeOf, BytesOf),
    cubin: (SizeOf, BytesOf),
}

impl Table {
    /// Loads the library at `path`, with the builtins beside it; a second time is free. It stays loaded.
    pub fn load(path: &Path) -> Result<&'static Table> {
        static LOADED: Mutex<Option<HashMap<PathBuf, &'static Table>>> = Mutex::new(None);
        let mut loaded = LOADED.lock().unwrap_or_else(|e| e.into_inner());
        let loaded = loaded.get_or_insert_default();
        if let Some(table) = loaded.get(path) {
            return Ok(table);
        }
        let broken = |e: libloading::Error| {
            Error::Library(format!(
                "failed to load NVRTC from {}: {e}; get one by: {INSTALL}",
                path.display()
            ))
        };
        if let Some(builtins) = find::builtins_beside(path) {
            // SAFETY: this library of NVIDIA's holds data; its initializers run as they do for any program that links it.
            std::mem::forget(unsafe { Library::new(builtins) }.map_err(broken)?);
        }
        // SAFETY: as above; it stays loaded, so that the functions taken from it stay valid.
        let library: &'static Library =
            Box::leak(Box::new(unsafe { Library::new(path) }.map_err(broken)?));
        // SAFETY: the types are those of nvrtc.h, which has not changed them since 11.1.
        let table = unsafe {
            Table {
                version: *library.get(c"nvrtcVersion").map_err(broken)?,
                arch_count: *library.get(c"nvrtcGetNumSupportedArchs").map_err(broken)?,
                archs: *library.get(c"nvrtcGetSupportedArchs").map_err(broken)?,
                error: *library.get(c"nvrtcGetErrorString").map_err(broken)?,
                create: *library.get(c"nvrtcCreateProgram").map_err(broken)?,
                destroy: *library.get(c"nvrtcDestroyProgram").map_err(broken)?,
                compile: *library.get(c"nvrtcCompileProgram").map_err(broken)?,
                log: (
                    *library.get(c"nvrtcGetProgramLogSize").map_err(broken)?,
                    *library.get(c"nvrtcGetProgramLog").map_err(broken)?,
                ),
                ptx: (
                    *library.get(c"nvrtcGetPTXSize").map_err(broken)?,
                    *library.get(c"nvrtcGetPTX").map_err(broken)?,
                ),
                cubin: (
                    *library.get(c"nvrtcGetCUBINSize").map_err(broken)?,
                    *library.get(c"nvrtcGetCUBIN").map_err(broken)?,
                ),
            }
        };
        let table: &'static Table = Box::leak(Box::new(table));
        loaded.insert(path.to_owned(), table);
        Ok(table)
    }

    /// Major and minor.
    pub fn version(&self) -> Result<(i32, i32)> {
        let (mut major, mut minor) = (0, 0);
        // SAFETY: both point to integers that the call fills.
        self.check(unsafe { (self.version)(&mut major, &mut minor) }, "tell its version")?;
        Ok((major, minor))
    }

    /// The numbers of the architectures that it knows, e.g. 90; none where it does not say.
    pub fn architectures(&self) -> Vec<i32> {
        let mut count = 0;
        // SAFETY: points to an integer that the call fills.
        if unsafe { (self.arch_count)(&mut count) } != 0 {
            return Vec::new();
        }
        let mut list = vec![0; count.max(0) as usize];
        // SAFETY: the call fills as many integers as it just told.
        if unsafe { (self.archs)(list.as_mut_ptr()) } == 0 { list } else { Vec::new() }
    }

    /// PTX, machine code and log.
    pub fn compile(
        &self,
        source: &Source<'_>,
        options: &[String],
    ) -> Result<(String, Vec<u8>, String)> {
        let text = |s: &str| {
            CString::new(s)
                .map_err(|_| Error::Usage(format!("{}: there is a NUL in the source", source.name)))
        };
        let (body, name) = (text(source.text)?, text(source.name)?);
        let names = source.headers.iter().map(|h| text(h.0)).collect::<Result<Vec<_>>>()?;
        let headers = source.headers.iter().map(|h| text(h.1)).collect::<Result<Vec<_>>>()?;
        let options = options.iter().map(|o| text(o)).collect::<Result<Vec<_>>>()?;
        let pointers = |list: &[CString]| list.iter().map(|s| s.as_ptr()).collect::<Vec<_>>();
        let (names, headers) = (pointers(&names), pointers(&headers));
        let flags = pointers(&options);
        let mut program = std::ptr::null_mut();
        // SAFETY: all texts end in NUL and live until the end of this function; both lists are as long as said.
        let rc = unsafe {
            let (headers, names) = (headers.as_ptr(), names.as_ptr());
            let count = source.headers.len() as c_int;
            (self.create)(&mut program, body.as_ptr(), name.as_ptr(), count, headers, names)
        };
        self.check(rc, "take a program")?;
        let program = Guard { table: self, program };
        // SAFETY: the program was just created; the options are as many as said, each ending in NUL.
        let rc = unsafe { (self.compile)(program.program, flags.len() as c_int, flags.as_ptr()) };
        let log = String::from_utf8_lossy(&program.bytes(self.log)?).into_owned();
        if rc != 0 {
            let reason = if log.trim().is_empty() { self.reason(rc) } else { log };
            return Err(Error::Usage(format!(
                "failed to compile {}:\n{}",
                source.name,
                reason.trim_end()
            )));
        }
        let ptx = String::from_utf8_lossy(&program.bytes(self.ptx)?).into_owned();
        Ok((
            ptx.trim_end_matches('\0').to_owned(),
            program.bytes(self.cubin)?,
            log.trim_end_matches('\0').to_owned(),
        ))
    }

    fn reason(&self, rc: c_int) -> String {
        // SAFETY: the call takes any number, and returns a text that stays.
        unsafe { CStr::from_ptr((self.error)(rc)) }.to_string_lossy().into_owned()
    }

    fn check(&self, rc: c_int, what: &str) -> Result<()> {
        match rc {
            0 => Ok(()),
            rc => Err(Error::Library(format!("NVRTC failed to {what}: {}", self.reason(rc)))),
        }
    }
}

/// A program that is destroyed with this.
struct Guard<'a> {
    table: &'a Table,
    program: Program,
}

impl Guard<'_> {
    fn bytes(&self, (size_of, bytes_of): (SizeOf, BytesOf)) -> Result<Vec<u8>> {
        let mut size = 0;
        // SAFETY: the program lives as long as this; the size is filled in.
        self.table.check(unsafe { size_of(self.program, &mut size) }, "tell a size")?;
        let mut bytes = vec![0u8; size];
        // SAFETY: the buffer is as long as the call just asked for.
        let rc = unsafe { bytes_of(self.program, bytes.as_mut_ptr().cast()) };
        self.table.check(rc, "hand out a result")?;
        Ok(bytes)
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        // SAFETY: created by this table and destroyed once.
        unsafe { (self.table.destroy)(&mut self.program) };
    }
}
