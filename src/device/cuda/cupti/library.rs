//! CUPTI's functions, taken from the library that is found on this machine.
//!
//! Types are cudarc's where it has them. Its own functions look for the library by the names of CUDA 12 alone, panic where there is
//! none, and return an enumeration that lacks what CUPTI 13 may answer; so the functions are taken by hand, and answers are numbers.

use std::ffi::{CStr, c_char};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use cudarc::cupti::sys;
use cudarc::driver::sys::CUcontext;
use libloading::Library as Loaded;

use super::parameters as p;
use crate::error::{Error, Result};
use crate::kernels::baseline::find::{self, Library};

/// How to get the library, in one line.
const HINT: &str = "CUPTI comes with the CUDA toolkit (extras/CUPTI) and any PyTorch, or alone by `pip install nvidia-cuda-cupti` \
                    (CUDA 12: nvidia-cuda-cupti-cu12); SCALEMARK_CUPTI names its path";

const LIBRARY: Library = Library {
    provider: "cupti",
    variable: "SCALEMARK_CUPTI",
    files: &["libcupti.so.13", "libcupti.so.12", "libcupti.so"],
    wheels: &["nvidia/cu13/lib", "nvidia/cuda_cupti/lib"],
    hint: HINT,
};

/// The library as a driver of this version can serve it: CUPTI of CUDA 13 asks for a driver of that release.
fn served_by(driver: u32) -> Library {
    let files = if driver >= 13_000 { LIBRARY.files } else { &LIBRARY.files[1..] };
    Library { files, ..LIBRARY }
}

/// CUPTI of CUDA 12.0, the oldest whose records are known here.
const OLDEST: u32 = 19;

/// What a function answers; 0 is right.
pub type Status = u32;
type Asks<P> = unsafe extern "C" fn(*mut P) -> Status;
type Kind = unsafe extern "C" fn(u32) -> Status;

/// Functions of activities and what all need; the names are theirs.
#[derive(Debug)]
pub struct Table {
    /// As `cuptiGetVersion` tells: 22 is of CUDA 12.4, and from 13 on 130001 of 13.0.
    pub version: u32,
    result: unsafe extern "C" fn(Status, *mut *const c_char) -> Status,
    pub call_name: unsafe extern "C" fn(u32, u32, *mut *const c_char) -> Status,
    pub register: unsafe extern "C" fn(
        sys::CUpti_BuffersCallbackRequestFunc,
        sys::CUpti_BuffersCallbackCompleteFunc,
    ) -> Status,
    pub enable: Kind,
    pub disable: Kind,
    pub flush: Kind,
    pub next: unsafe extern "C" fn(*mut u8, usize, *mut *mut sys::CUpti_Activity) -> Status,
    pub dropped: unsafe extern "C" fn(CUcontext, u32, *mut usize) -> Status,
    ranges: std::result::Result<Ranges, String>,
    /// Keeps the code of the functions in place.
    _library: Loaded,
}

/// Functions of the range profiler, which came with CUDA 12.6.
#[derive(Debug)]
pub struct Ranges {
    pub chip: Asks<p::ChipName>,
    pub start: Asks<p::Start>,
    pub end: Asks<p::Start>,
    pub host: Asks<p::Host>,
    pub end_host: Asks<p::EndHost>,
    pub metric: Asks<p::MetricProperties>,
    pub add: Asks<p::AddMetrics>,
    pub config_size: Asks<p::ConfigSize>,
    pub config: Asks<p::Config>,
    pub passes: Asks<p::Passes>,
    pub evaluate: Asks<p::Evaluate>,
    pub enable: Asks<p::Enable>,
    pub disable: Asks<p::OfRanges>,
    pub begin: Asks<p::OfRanges>,
    pub stop: Asks<p::Stop>,
    pub decode: Asks<p::Decode>,
    pub data_size: Asks<p::DataSize>,
    pub data: Asks<p::Data>,
    pub data_info: Asks<p::DataInfo>,
    pub set: Asks<p::SetConfig>,
}

/// The library of this machine for its driver (12040: of CUDA 12.4), loaded once a process; it stays loaded.
///
/// # Errors
/// [`Error::Refused`]: why there is none, with the way out.
pub fn table(driver: u32) -> Result<&'static Table> {
    static TABLE: OnceLock<std::result::Result<Table, String>> = OnceLock::new();
    let loaded = TABLE.get_or_init(|| load(&path(&served_by(driver)).ok_or_else(missing)?));
    loaded.as_ref().map_err(|reason| Error::Refused(reason.clone()))
}

fn missing() -> String {
    format!("CUPTI, which tells what a GPU did, is not on this machine: {HINT}")
}

/// The file that `SCALEMARK_CUPTI` names, in the folder that it names, or where CUDA's toolkits and Python's packages put it.
fn path(library: &Library) -> Option<PathBuf> {
    let in_folder = |folder: &Path| in_folder(library, folder);
    let named = std::env::var_os(library.variable).filter(|path| !path.is_empty());
    if let Some(path) = named.map(PathBuf::from) {
        return Some(if path.is_dir() { in_folder(&path).unwrap_or(path) } else { path });
    }
    let homes = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(std::env::var_os);
    let extras = homes.map(|home| PathBuf::from(home).join("extras/CUPTI/lib64"));
    let beside = extras.chain(find::toolkit_folders()).find_map(|folder| in_folder(&folder));
    let usual = || {
        let usual = ["/usr/local/cuda/extras/CUPTI/lib64", "/usr/local/cuda/lib64"];
        usual.iter().find_map(|folder| in_folder(Path::new(folder)))
    };
    beside.or_else(usual).or_else(|| find::find(library))
}

fn in_folder(library: &Library, folder: &Path) -> Option<PathBuf> {
    library.files.iter().map(|file| folder.join(file)).find(|path| path.is_file())
}

fn load(path: &Path) -> std::result::Result<Table, String> {
    let broken = |e: libloading::Error| {
        let cause = std::error::Error::source(&e).map_or(e.to_string(), ToString::to_string);
        format!("CUPTI cannot be used from {}: {cause}; {HINT}", path.display())
    };
    // SAFETY: loads NVIDIA's library, whose initializers run as they do for any program that links it.
    let library = unsafe { Loaded::new(path) }.map_err(broken)?;
    // SAFETY: the type is that of cupti_version.h.
    let version: libloading::Symbol<'_, unsafe extern "C" fn(*mut u32) -> Status> =
        unsafe { library.get(c"cuptiGetVersion") }.map_err(broken)?;
    let mut number = 0;
    // SAFETY: points to a number that the call fills.
    let status = unsafe { version(&mut number) };
    if status != 0 || number < OLDEST {
        return Err(format!(
            "CUPTI at {} is of API version {number}, and {OLDEST} (CUDA 12.0) is the oldest that is understood here: {HINT}",
            path.display()
        ));
    }
    // SAFETY: the types are those of cupti_activity.h, cupti_callbacks.h and cupti_result.h of 12.0 to 13.0; functions stay as long as
    // the library beside them.
    Ok(unsafe {
        Table {
            version: number,
            result: *library.get(c"cuptiGetResultString").map_err(broken)?,
            call_name: *library.get(c"cuptiGetCallbackName").map_err(broken)?,
            register: *library.get(c"cuptiActivityRegisterCallbacks").map_err(broken)?,
            enable: *library.get(c"cuptiActivityEnable").map_err(broken)?,
            disable: *library.get(c"cuptiActivityDisable").map_err(broken)?,
            flush: *library.get(c"cuptiActivityFlushAll").map_err(broken)?,
            next: *library.get(c"cuptiActivityGetNextRecord").map_err(broken)?,
            dropped: *library.get(c"cuptiActivityGetNumDroppedRecords").map_err(broken)?,
            ranges: ranges(&library).map_err(|e| e.to_string()),
            _library: library,
        }
    })
}

fn ranges(library: &Loaded) -> std::result::Result<Ranges, libloading::Error> {
    // SAFETY: the types are those of cupti_range_profiler.h, cupti_profiler_host.h, cupti_profiler_target.h and cupti_target.h of 12.6 to
    // 13.0, to which `parameters` holds its own.
    Ok(unsafe {
        Ranges {
            chip: *library.get(c"cuptiDeviceGetChipName")?,
            start: *library.get(c"cuptiProfilerInitialize")?,
            end: *library.get(c"cuptiProfilerDeInitialize")?,
            host: *library.get(c"cuptiProfilerHostInitialize")?,
            end_host: *library.get(c"cuptiProfilerHostDeinitialize")?,
            metric: *library.get(c"cuptiProfilerHostGetMetricProperties")?,
            add: *library.get(c"cuptiProfilerHostConfigAddMetrics")?,
            config_size: *library.get(c"cuptiProfilerHostGetConfigImageSize")?,
            config: *library.get(c"cuptiProfilerHostGetConfigImage")?,
            passes: *library.get(c"cuptiProfilerHostGetNumOfPasses")?,
            evaluate: *library.get(c"cuptiProfilerHostEvaluateToGpuValues")?,
            enable: *library.get(c"cuptiRangeProfilerEnable")?,
            disable: *library.get(c"cuptiRangeProfilerDisable")?,
            begin: *library.get(c"cuptiRangeProfilerStart")?,
            stop: *library.get(c"cuptiRangeProfilerStop")?,
            decode: *library.get(c"cuptiRangeProfilerDecodeData")?,
            data_size: *library.get(c"cuptiRangeProfilerGetCounterDataSize")?,
            data: *library.get(c"cuptiRangeProfilerCounterDataImageInitialize")?,
            data_info: *library.get(c"cuptiRangeProfilerGetCounterDataInfo")?,
            set: *library.get(c"cuptiRangeProfilerSetConfig")?,
        }
    })
}

impl Table {
    /// The range profiler.
    ///
    /// # Errors
    /// [`Error::Refused`] where this CUPTI is older than it.
    pub fn ranges(&self) -> Result<&Ranges> {
        self.ranges.as_ref().map_err(|_| {
            let name = self.name();
            Error::Refused(format!(
                "{name} has no range profiler, which came with CUDA 12.6: get a newer one, as far as the driver allows: {HINT}"
            ))
        })
    }

    /// `CUPTI 13.0`, or its number where releases had none of their own.
    pub fn name(&self) -> String {
        match self.version {
            new @ 100_000.. => format!("CUPTI {}.{}", new / 10_000, new / 100 % 100),
            old => format!("CUPTI (API {old})"),
        }
    }

    /// Turns an answer into an error in words.
    ///
    /// # Errors
    /// [`Error::Refused`], of any answer but 0.
    pub fn check(&self, status: Status, what: &str) -> Result<()> {
        if status == 0 {
            return Ok(());
        }
        let mut text = std::ptr::null();
        // SAFETY: the call fills in a text that stays, or leaves the null.
        let told = unsafe { (self.result)(status, &mut text) };
        let reason = match told == 0 && !text.is_null() {
            // SAFETY: just filled in by the call: a text that ends in NUL and stays.
            true => unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned(),
            false => "no reason".into(),
        };
        let way_out = way_out(status);
        let name = self.name();
        Err(Error::Refused(format!("{name} failed to {what}: {reason} ({status}){way_out}")))
    }
}

/// What an answer means and what to do, where that is known.
fn way_out(status: Status) -> &'static str {
    match status {
        35 | 40 => {
            ": the driver keeps counters for administrators (ERR_NVGPUCTRPERM): run as root, in a container with --cap-add=SYS_ADMIN, \
             or have NVreg_RestrictProfilingToAdminUsers=0 set as an option of the module nvidia"
        }
        23 | 39 => {
            ": another profiler has this process (nsys, ncu, a debugger, or a library that profiles): run it without"
        }
        26 => {
            ": somebody else counts on this GPU: a monitor such as DCGM, or another profiler; `dcgmi profile --pause` holds it"
        }
        41 => ": the GPU computes confidentially, which allows no profiles",
        43 => ": it does not count on slices of a GPU (MIG): use a whole one",
        45 => ": it does not count in WSL as it is set up here",
        14 | 15 | 27 | 999 => {
            ": the driver may be older than CUPTI; one of the driver's own CUDA fits"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_cupti_is_named_with_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("libcupti.so.12");
        std::fs::write(&file, "no library").unwrap();
        assert_eq!(in_folder(&LIBRARY, folder.path()), Some(file.clone()));
        let error = load(&file).unwrap_err();
        assert!(error.contains("libcupti.so.12") && error.contains("SCALEMARK_CUPTI"), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(missing().contains("pip install nvidia-cuda-cupti"));
    }

    #[test]
    fn a_driver_of_cuda_12_is_not_asked_to_serve_a_cupti_of_13() {
        let folder = tempfile::tempdir().unwrap();
        for file in ["libcupti.so.13", "libcupti.so.12"] {
            std::fs::write(folder.path().join(file), "").unwrap();
        }
        let found = |driver| in_folder(&served_by(driver), folder.path()).unwrap();
        assert!(found(13_000).ends_with("libcupti.so.13"));
        assert!(found(12_080).ends_with("libcupti.so.12"));
    }

    #[test]
    fn what_is_not_permitted_has_a_way_out() {
        assert!(way_out(35).contains("ERR_NVGPUCTRPERM") && way_out(35).contains("root"));
        assert!(way_out(39).contains("another profiler"));
        assert_eq!(way_out(1), "");
    }
}
