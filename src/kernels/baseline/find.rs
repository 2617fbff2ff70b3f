//! Where a BLAS library is on this machine, without loading it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A library that may be on the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Library {
    /// The provider's name.
    pub provider: &'static str,
    /// The variable with a path to the library, which goes before everything else.
    pub variable: &'static str,
    /// File names, the preferred first.
    pub files: &'static [&'static str],
    /// Folders below a Python prefix's `site-packages` (or beside it) where wheels put it.
    pub wheels: &'static [&'static str],
    /// How to get it.
    pub hint: &'static str,
}

/// The path of a library on this machine: from its variable, the loader's folders, or a Python environment's wheels.
pub fn find(library: &Library) -> Option<PathBuf> {
    if let Some(path) = std::env::var_os(library.variable) {
        return Some(PathBuf::from(path));
    }
    let folders = loader_folders().iter().cloned().chain(
        python_prefixes()
            .iter()
            .flat_map(|prefix| library.wheels.iter().map(move |wheel| prefix.join(wheel))),
    );
    folders
        .flat_map(|folder| library.files.iter().map(move |file| folder.join(file)))
        .find(|path| path.is_file())
}

/// Where the dynamic loader looks, as far as a file system shows it.
pub fn loader_folders() -> &'static [PathBuf] {
    static FOLDERS: OnceLock<Vec<PathBuf>> = OnceLock::new();
    FOLDERS.get_or_init(|| {
        let variable = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
        let mut folders: Vec<PathBuf> =
            std::env::split_paths(&variable).filter(|p| p.is_absolute()).collect();
        let machine = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
        let known = [
            "/usr/local/lib",
            &machine,
            "/usr/lib64",
            "/usr/lib",
            "/opt/intel/oneapi/mkl/latest/lib",
        ];
        folders.extend(known.map(PathBuf::from));
        folders
    })
}

/// The folders of a CUDA toolkit that the environment names, which go before the loader's.
pub fn toolkit_folders() -> impl Iterator<Item = PathBuf> {
    let homes = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(std::env::var_os);
    homes.flat_map(|home| ["lib64", "lib"].map(|lib| PathBuf::from(&home).join(lib)))
}

/// `lib` and `lib/python3.x/site-packages` of the active Python environment: a virtual environment, conda, or the first
/// `python3` on the path.
pub fn python_prefixes() -> &'static [PathBuf] {
    static PREFIXES: OnceLock<Vec<PathBuf>> = OnceLock::new();
    PREFIXES.get_or_init(|| {
        let variables = ["VIRTUAL_ENV", "CONDA_PREFIX"]
            .into_iter()
            .filter_map(std::env::var_os)
            .map(PathBuf::from);
        let on_path = std::env::var_os("PATH").and_then(|path| {
            let mut bins = std::env::split_paths(&path);
            let python = bins.find_map(|bin| bin.join("python3").canonicalize().ok())?;
            let bin = python.parent()?;
            // A version manager's stand-in lies in no environment: only running it tells which one it stands for.
            if bin.file_name()? == "bin" { Some(bin.parent()?.to_owned()) } else { asked(&python) }
        });
        variables.chain(on_path).flat_map(|prefix| site_packages(&prefix)).collect()
    })
}

/// The prefix of a Python's environment, from its own mouth.
fn asked(python: &Path) -> Option<PathBuf> {
    let out = Command::new(python).args(["-c", "import sys; print(sys.prefix)"]).output().ok()?;
    out.status.success().then(|| PathBuf::from(String::from_utf8_lossy(&out.stdout).trim()))
}

fn site_packages(prefix: &Path) -> Vec<PathBuf> {
    let lib = prefix.join("lib");
    let mut folders = vec![lib.clone()];
    let entries = std::fs::read_dir(&lib).into_iter().flatten().flatten();
    let versions = entries.filter(|e| e.file_name().to_string_lossy().starts_with("python3"));
    folders.extend(versions.map(|version| version.path().join("site-packages")));
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wheel_below_a_prefix_is_found() {
        let prefix = tempfile::tempdir().unwrap();
        let site = prefix.path().join("lib/python3.11/site-packages");
        std::fs::create_dir_all(&site).unwrap();
        let folders = site_packages(prefix.path());
        assert!(folders.contains(&site));
        assert!(folders.contains(&prefix.path().join("lib")));
    }

    #[cfg(unix)]
    #[test]
    fn a_stand_in_for_python_is_asked_where_its_environment_is() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let python = folder.path().join("python3");
        let write = |script: &str| {
            std::fs::write(&python, script).unwrap();
            std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        write("#!/bin/sh\necho /opt/some/env\n");
        assert_eq!(asked(&python), Some(PathBuf::from("/opt/some/env")));
        write("#!/bin/sh\nexit 1\n");
        assert_eq!(asked(&python), None);
    }
}
