//! Ranges under our own names for NVIDIA's profilers, by the library NVTX where it is found (`libnvToolsExt`, of CUDA up to 12); without
//! it there are none, and nothing else changes.

use std::sync::OnceLock;

use cudarc::nvtx;

/// A range that ends when this is dropped.
#[derive(Debug)]
pub struct Range {
    _range: nvtx::Range,
}

/// Begins a range of this name; `None` where there is no NVTX.
pub fn range(name: &str) -> Option<Range> {
    static THERE: OnceLock<bool> = OnceLock::new();
    // SAFETY: loads the library, whose initialization is NVIDIA's and asks for nothing, and unloads it.
    let there = *THERE.get_or_init(|| unsafe { nvtx::sys::is_culib_present() });
    // The library takes C strings, which hold no NUL.
    there.then(|| Range { _range: nvtx::scoped_range(name.replace('\0', " ")) })
}
