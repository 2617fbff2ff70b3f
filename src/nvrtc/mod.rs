//! NVRTC: CUDA source to PTX, CUBIN and resource report, with no GPU, no driver and no toolkit.
//!
//! Bound by a table of functions of our own rather than through cudarc: a library in a Python environment is loaded by its
//! full path, with the builtins that lie beside it loaded first, and a missing one must be an error with a way out; cudarc
//! looks it up by name alone and panics. The table is a dozen functions, and their C interface has not changed since 11.1.
//!
//! ```no_run
//! # fn main() -> scalemark::Result<()> {
//! let compiler = scalemark::nvrtc::Compiler::find(None)?;
//! let source = scalemark::nvrtc::Source { name: "saxpy.cu", text: "extern \"C\" __global__ void f() {}", headers: &[] };
//! let built = compiler.compile(&source, "sm_80", &[])?;
//! println!("{} registers", built.resources[0].registers);
//! # Ok(()) }
//! ```

mod cache;
mod find;
mod library;
mod resources;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use library::Table;
pub use resources::Resources;

/// How to get NVRTC where there is none.
pub const INSTALL: &str = "pip install nvidia-cuda-nvrtc==13.0.88";

/// Warnings that mean a kernel silently lost what it was written for: setmaxnreg ignored (C7508), wgmma serialized (C7510,
/// C7511, C7519).
pub const FORBIDDEN: [&str; 4] = ["C7508", "C7510", "C7511", "C7519"];

/// CUDA source text with the headers that it may include, each by the name in its `#include`.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// What logs and line information call it.
    pub name: &'a str,
    /// The text.
    pub text: &'a str,
    /// Names and texts.
    pub headers: &'a [(&'a str, &'a str)],
}

/// What one compilation gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Built {
    /// PTX text, with line information.
    pub ptx: String,
    /// Machine code, an ELF file.
    pub cubin: Vec<u8>,
    /// The log as NVRTC wrote it.
    pub log: String,
    /// One for each entry, in the order of the log.
    pub resources: Vec<Resources>,
}

impl Built {
    /// The first of [`FORBIDDEN`] that the log shows, as its whole line.
    pub fn forbidden(&self) -> Option<&str> {
        self.log.lines().find(|line| FORBIDDEN.iter().any(|warning| line.contains(warning)))
    }
}

/// NVRTC, loaded.
#[derive(Debug)]
pub struct Compiler {
    table: &'static Table,
    /// Where it was found.
    pub path: PathBuf,
    /// By which rule: `--nvrtc or SCALEMARK_NVRTC`, `CUDA_HOME`, …
    pub rule: &'static str,
    /// Major and minor version.
    pub version: (i32, i32),
}

impl Compiler {
    /// Finds and loads NVRTC: at `asked` or `SCALEMARK_NVRTC`, in `CUDA_HOME`, where the loader looks, or in the active
    /// Python's site-packages.
    ///
    /// # Errors
    /// [`Error::Library`] with the one line that installs it, where there is none, it is older than 12.4, or it is broken.
    pub fn find(asked: Option<&std::path::Path>) -> Result<Self> {
        let (path, rule) = find::find(asked)?;
        let table = Table::load(&path)?;
        let version = table.version()?;
        if version < (12, 4) {
            let (major, minor) = version;
            return Err(Error::Library(format!(
                "{} is NVRTC {major}.{minor}, and 12.4 or newer is needed: {INSTALL}",
                path.display()
            )));
        }
        Ok(Compiler { table, path, rule, version })
    }

    /// Why this version cannot compile for `architecture`, such as `sm_90a`; `None` where it can.
    pub fn refuses(&self, architecture: &str) -> Option<String> {
        let digits: String = architecture.chars().filter(char::is_ascii_digit).collect();
        let number = digits.parse::<i32>().ok().filter(|_| architecture.starts_with("sm_"));
        let known = self.table.architectures();
        match number {
            None => Some(format!("`{architecture}` is no architecture; write sm_80, sm_90a, …")),
            Some(number) if known.contains(&number) => None,
            Some(_) => {
                let (major, minor) = self.version;
                let known: Vec<String> = known.iter().map(|n| format!("sm_{n}")).collect();
                Some(format!(
                    "NVRTC {major}.{minor} does not know {architecture} (it knows {})",
                    known.join(", ")
                ))
            }
        }
    }

    /// Compiles for `architecture`, or takes what an earlier compilation of the very same left in the cache.
    ///
    /// # Errors
    /// [`Error::Usage`] for an architecture that this version does not know, or with NVRTC's log for source that it rejects.
    pub fn compile(
        &self,
        source: &Source<'_>,
        architecture: &str,
        defines: &[String],
    ) -> Result<Built> {
        if let Some(reason) = self.refuses(architecture) {
            return Err(Error::Usage(reason));
        }
        let mut options: Vec<String> = [
            &format!("--gpu-architecture={architecture}"),
            "--std=c++17",
            "-default-device",
            "-lineinfo",
            "--ptxas-options=-v",
        ]
        .map(str::to_owned)
        .into();
        options.extend(defines.iter().cloned());
        let key = cache::key(self.version, source, &options);
        cache::load(&key).map_or_else(
            || {
                let built = self.compile_anew(source, &options)?;
                cache::save(&key, &built);
                Ok(built)
            },
            Ok,
        )
    }

    fn compile_anew(&self, source: &Source<'_>, options: &[String]) -> Result<Built> {
        let (ptx, cubin, log) = self.table.compile(source, options)?;
        let resources = resources::read(&log);
        Ok(Built { ptx, cubin, log, resources })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(text: &str) -> Result<Built> {
        let compiler = Compiler::find(None)?;
        let headers = [("common/two.cuh", "#define TWO 2\n")];
        let source = Source { name: "kernels/test/some.cu", text, headers: &headers };
        compiler.compile_anew(
            &source,
            &["--gpu-architecture=sm_80".into(), "-lineinfo".into(), "--ptxas-options=-v".into()],
        )
    }

    #[test]
    fn one_compile_gives_ptx_machine_code_and_resources() {
        let built = compile(
            "#include \"common/two.cuh\"\nextern \"C\" __global__ void f(int* x) { *x = TWO; }",
        )
        .unwrap();
        assert!(built.ptx.contains(".target sm_80") && built.ptx.contains("kernels/test/some.cu"));
        assert!(built.cubin.starts_with(b"\x7fELF"));
        assert_eq!((built.resources.len(), built.resources[0].spill_stores), (1, 0));
        assert!(built.resources[0].registers > 0);
    }

    #[test]
    fn a_rejected_source_is_told_in_the_compilers_own_words() {
        let error = compile("extern \"C\" __global__ void f() {\n  y = 1;\n}").unwrap_err();
        assert!(
            error.to_string().contains("kernels/test/some.cu(2): error: identifier \"y\""),
            "{error}"
        );
    }

    #[test]
    fn an_architecture_that_nobody_knows_is_refused() {
        let compiler = Compiler::find(None).unwrap();
        assert!(compiler.refuses("sm_12").unwrap().contains("does not know sm_12"));
        assert!(compiler.refuses("ada").unwrap().contains("no architecture"));
        assert_eq!(compiler.refuses("sm_90a"), None);
    }

    #[test]
    fn a_missing_library_is_one_error_with_the_way_to_get_it() {
        let error = Compiler::find(Some(std::path::Path::new("/nowhere/libnvrtc.so"))).unwrap_err();
        assert!(error.to_string().contains(INSTALL), "{error}");
    }
}
