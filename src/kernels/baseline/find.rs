//! Where a BLAS library is on this machine, without loading it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
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
    /// Folders below those of Python's packages where wheels put it.
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
        python_folders()
            .flat_map(|folder| library.wheels.iter().map(move |wheel| folder.join(wheel))),
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

/// Where the active Python looks for packages, and the `lib` of its environment: as `VIRTUAL_ENV` and `CONDA_PREFIX` say, then
/// as `SCALEMARK_PYTHON`, or the first `python3` on the path, says itself.
pub fn python_folders() -> impl Iterator<Item = &'static PathBuf> {
    static FOLDERS: OnceLock<Vec<PathBuf>> = OnceLock::new();
    // Python takes some 20 ms to start: it is asked by who gets here only.
    let folders = || {
        FOLDERS.get_or_init(|| {
            let named = ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(std::env::var_os);
            let named = named.flat_map(|prefix| site_packages(Path::new(&prefix)));
            let python = std::env::var_os("SCALEMARK_PYTHON").filter(|python| !python.is_empty());
            let python = python.unwrap_or_else(|| "python3".into());
            named.chain(asked(Path::new(&python))).collect()
        })
    };
    std::iter::once_with(folders).flatten()
}

/// What a Python says of itself: only it knows of environments, version managers' stand-ins, `PYTHONPATH` and a user's own packages.
fn asked(python: &Path) -> Vec<PathBuf> {
    const SAY: &str = "import sys; print(sys.prefix + '/lib', *sys.path, sep='\\n')";
    let mut command = Command::new(python);
    match command.args(["-c", SAY]).stdin(Stdio::null()).output() {
        Ok(out) if out.status.success() => {
            let text = String::from_utf8_lossy(&out.stdout);
            text.lines().map(PathBuf::from).filter(|path| path.is_absolute()).collect()
        }
        _ => Vec::new(),
    }
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
    fn a_python_is_asked_where_its_packages_are() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let python = folder.path().join("python3");
        let write = |script: &str| {
            std::fs::write(&python, script).unwrap();
            std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        write("#!/bin/sh\nprintf '/an/env/lib\\n\\nbeside\\n/an/env/site\\n'\n");
        assert_eq!(asked(&python), ["/an/env/lib", "/an/env/site"].map(PathBuf::from));
        write("#!/bin/sh\nexit 1\n");
        assert!(asked(&python).is_empty() && asked(Path::new("/nowhere/python3")).is_empty());
    }
}
