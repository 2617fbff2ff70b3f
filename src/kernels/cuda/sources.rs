//! The sources of kernels, embedded: an installed binary compiles in any folder.
//!
//! `SCALEMARK_KERNELS` names a folder like `kernels/` whose files take the place of the embedded ones, so that a kernel can be
//! worked on without a build. The hash of a record's source is then of what was compiled.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};

use super::CudaKernel;
use crate::nvrtc::Source;

macro_rules! headers {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../kernels/", $name)))),*]
    };
}

/// Every header, by the name in `#include`.
pub static HEADERS: &[(&str, &str)] = headers![
    "attention/flash.cuh",
    "attention/flash_mma_backward.cuh",
    "attention/shape.cuh",
    "common/ptx.cuh",
    "common/softmax.cuh",
    "common/tiles.cuh",
    "common/wgmma.cuh",
    "matmul/operands.cuh",
    "optimizer/rules.cuh",
    "peak/factors.cuh",
    "peak/mean.cuh",
    "peak/streams.cuh",
];

/// The folder whose files take the place of the embedded ones.
fn folder() -> Option<&'static PathBuf> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let named = || std::env::var_os("SCALEMARK_KERNELS").filter(|v| !v.is_empty());
    FOLDER.get_or_init(|| named().map(PathBuf::from)).as_ref()
}

/// The source of a row with its headers, as the folder has them, else as this build does.
pub fn source_of(row: &CudaKernel) -> Source<'static> {
    let Some(folder) = folder() else {
        return Source { name: row.file, text: row.text, headers: HEADERS };
    };
    /// What was read stays: a process reads a file once, so that all its records are of one source.
    static HEADERS_READ: OnceLock<Vec<(&str, &str)>> = OnceLock::new();
    static READ: Mutex<Option<HashMap<&str, &str>>> = Mutex::new(None);
    let read = |name: &str, embedded: &'static str| -> &'static str {
        match std::fs::read_to_string(folder.join(name)) {
            Ok(text) => Box::leak(text.into_boxed_str()),
            Err(_) => embedded,
        }
    };
    let headers = HEADERS_READ
        .get_or_init(|| HEADERS.iter().map(|&(name, text)| (name, read(name, text))).collect());
    let mut all = READ.lock().unwrap_or_else(|e| e.into_inner());
    let all = all.get_or_insert_default();
    let below = row.file.strip_prefix("kernels/").unwrap_or(row.file);
    let text = *all.entry(row.file).or_insert_with(|| read(below, row.text));
    Source { name: row.file, text, headers }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_header_of_the_kernels_folder_is_embedded() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels");
        for folder in
            std::fs::read_dir(&root).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir())
        {
            for file in std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
                if file.extension().is_some_and(|e| e == "cuh") {
                    let name = file.strip_prefix(&root).unwrap().to_str().unwrap();
                    assert!(HEADERS.iter().any(|(known, _)| *known == name), "{name} is missing");
                }
            }
        }
    }
}
