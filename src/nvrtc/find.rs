//! Where NVRTC is on this machine.

use std::path::{Path, PathBuf};

use super::INSTALL;
use crate::error::{Error, Result};
use crate::kernels::baseline::find::{loader_folders, python_folders, toolkit_folders};

/// Folders below site-packages: toolkit 13's layout, then toolkit 12's.
const WHEELS: [&str; 2] = ["nvidia/cu13/lib", "nvidia/cuda_nvrtc/lib"];

/// The library's path, and by which rule it was found.
pub fn find(asked: Option<&Path>) -> Result<(PathBuf, &'static str)> {
    let variable = || std::env::var_os("SCALEMARK_NVRTC").map(PathBuf::from);
    if let Some(path) = asked.map(Path::to_owned).or_else(variable) {
        let file = if path.is_dir() { in_folder(&path) } else { Some(path.clone()) };
        return file.filter(|f| f.is_file()).map(|f| (f, "--nvrtc or SCALEMARK_NVRTC")).ok_or_else(
            || {
                Error::Library(format!(
                    "there is no NVRTC at {}; get one by: {INSTALL}",
                    path.display()
                ))
            },
        );
    }
    let wheels = python_folders().flat_map(|site| WHEELS.map(|wheel| site.join(wheel)));
    let places = toolkit_folders()
        .map(|folder| (folder, "CUDA_HOME"))
        .chain(loader_folders().iter().map(|folder| (folder.clone(), "the loader's path")))
        .chain(wheels.map(|folder| (folder, "the active Python")));
    places.into_iter().find_map(|(folder, rule)| Some((in_folder(&folder)?, rule))).ok_or_else(|| {
        Error::Library(format!(
            "CUDA kernels are compiled by NVRTC, which is not on this machine; get it by: {INSTALL}"
        ))
    })
}

/// The newest NVRTC in a folder: the one that compiles in full (`.alt` is a build of it for older systems).
fn in_folder(folder: &Path) -> Option<PathBuf> {
    let is_it = |path: &PathBuf| {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        name.starts_with("libnvrtc.so") || (name.starts_with("nvrtc64_") && name.ends_with(".dll"))
    };
    let files = std::fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    files.filter(is_it).max()
}

/// The library with the compiler's own headers, which must be loaded first where it is not on the loader's path.
pub fn builtins_beside(library: &Path) -> Option<PathBuf> {
    let is_it = |path: &PathBuf| {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        name.starts_with("libnvrtc-builtins.so") || name.starts_with("nvrtc-builtins64_")
    };
    let folder = library.canonicalize().ok()?;
    let files = std::fs::read_dir(folder.parent()?).ok()?;
    files.filter_map(|entry| Some(entry.ok()?.path())).filter(is_it).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_a_folder_is_taken_and_its_builtins_lie_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(in_folder(folder.path()), None);
        for name in
            ["libnvrtc.so.12", "libnvrtc.so.13", "libnvrtc.alt.so.13", "libnvrtc-builtins.so.13.0"]
        {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let found = in_folder(folder.path()).unwrap();
        assert!(found.ends_with("libnvrtc.so.13"), "{found:?}");
        assert!(builtins_beside(&found).unwrap().ends_with("libnvrtc-builtins.so.13.0"));
    }
}
