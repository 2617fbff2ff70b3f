//! External programs: how they are found, started and asked what they hold.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::client::{Client, Spawn};
use super::protocol::VERSION;
use crate::error::{Error, Result};
use crate::kernels::Registry;
use crate::kernels::baseline::external::{
    ExternalKernel, FRAMEWORKS, Framework, Row, SHARED_SOURCE,
};
use crate::ops::Family;

/// The variable by which an external program is told the protocol's version.
const PROTOCOL_VARIABLE: &str = "SCALEMARK_PROTOCOL";

/// A program that takes part, with its kernels.
#[derive(Debug, Clone)]
pub struct ExternalWorker {
    /// The provider's name.
    pub provider: String,
    /// How it is started.
    pub spawn: Spawn,
    /// What it holds.
    pub kernels: Vec<ExternalKernel>,
}

impl ExternalWorker {
    /// A framework of [`FRAMEWORKS`], run by `python`. Where that or the framework is missing its kernels refuse every case,
    /// with the way out.
    ///
    /// # Errors
    /// When no framework has this name.
    pub fn framework(name: &str, python: &Path) -> Result<Self> {
        let framework = FRAMEWORKS.iter().find(|f| f.name == name).ok_or_else(|| {
            let names: Vec<&str> = FRAMEWORKS.iter().map(|f| f.name).collect();
            Error::Usage(format!("unknown baseline `{name}`; known are {}", names.join(", ")))
        })?;
        let missing = missing(framework, python);
        let kernel = |row: &Row| ExternalKernel {
            id: row.id.to_owned(),
            about: row.about.to_owned(),
            provider: name.to_owned(),
            refuses: row.refuses,
            missing: missing.clone(),
        };
        let unset = |(name, _): &&(&str, &str)| std::env::var_os(name).is_none();
        let set = framework.environment.iter().filter(unset);
        let mut env: Vec<(String, String)> =
            set.map(|(name, value)| (name.to_string(), value.to_string())).collect();
        env.push((PROTOCOL_VARIABLE.into(), VERSION.to_string()));
        let args = ["-c".to_owned(), program(framework)];
        let args = args.into_iter().map(OsString::from).collect();
        Ok(ExternalWorker {
            provider: name.to_owned(),
            spawn: Spawn { program: python.to_owned(), args, env },
            kernels: framework.rows.iter().map(kernel).collect(),
        })
    }

    /// Anybody's program, started once by a shell to say what it holds.
    ///
    /// # Errors
    /// When it cannot be started, does not greet, or what it says of itself makes no sense.
    pub fn program(command: &str) -> Result<Self> {
        let spawn = Spawn {
            program: "sh".into(),
            args: ["-c".into(), format!("exec {command}").into()].into(),
            env: vec![(PROTOCOL_VARIABLE.into(), VERSION.to_string())],
        };
        let blame = |reason: String| {
            Error::Usage(format!(
                "--worker '{command}': {reason}; workers/README.md tells what a worker says"
            ))
        };
        let client = Client::start(&spawn).map_err(|error| blame(error.to_string()))?;
        let hello = client.hello().clone();
        if hello.provider.is_empty() || hello.kernels.is_empty() {
            return Err(blame("it names no provider or no kernels".into()));
        }
        let of_family = |id: &&String| {
            let mut parts = id.splitn(2, '/');
            let family = parts.next().is_some_and(|f| Family::ALL.iter().any(|k| k.name() == f));
            family && parts.next().is_some_and(|name| !name.is_empty())
        };
        if let Some(id) = hello.kernels.iter().find(|id| !of_family(id)) {
            return Err(blame(format!(
                "its kernel `{id}` is not named family/name, as in matmul/mine"
            )));
        }
        let kernel = |id: &String| ExternalKernel {
            id: id.clone(),
            about: format!("external: {} {}", hello.program, hello.version).trim().to_owned(),
            provider: hello.provider.clone(),
            refuses: |_| None,
            missing: None,
        };
        let kernels = hello.kernels.iter().map(kernel).collect();
        Ok(ExternalWorker { provider: hello.provider.clone(), spawn, kernels })
    }
}

/// The registry with these programs' kernels, after its own.
///
/// # Errors
/// When two kernels or providers have the same name.
pub fn join(registry: Registry, workers: &[ExternalWorker]) -> Result<Registry> {
    let mut providers: Vec<String> = registry.kernels().map(|k| k.provider().to_owned()).collect();
    let mut ids: Vec<String> = registry.kernels().map(|k| k.id().0).collect();
    for worker in workers {
        if providers.contains(&worker.provider) {
            return Err(Error::Usage(format!(
                "there are two providers named `{}`; give one worker another name",
                worker.provider
            )));
        }
        providers.push(worker.provider.clone());
        for kernel in &worker.kernels {
            if ids.contains(&kernel.id) {
                return Err(Error::Usage(format!(
                    "there are two kernels named `{}`; the one of `{}` needs another name",
                    kernel.id, worker.provider
                )));
            }
            ids.push(kernel.id.clone());
        }
    }
    Ok(registry.with_external(workers.iter().flat_map(|worker| worker.kernels.clone())))
}

/// The Python that runs frameworks: as asked, else by `SCALEMARK_PYTHON`, else `python3`.
pub fn python(asked: Option<&Path>) -> PathBuf {
    let variable = || std::env::var_os("SCALEMARK_PYTHON").filter(|v| !v.is_empty());
    match asked {
        Some(path) => path.to_owned(),
        None => variable().map_or_else(|| "python3".into(), PathBuf::from),
    }
}

/// Why a framework cannot be asked, if so: Python itself is asked whether it finds the modules, without importing them.
fn missing(framework: &Framework, python: &Path) -> Option<String> {
    const LOOK: &str = "import importlib.util as u, sys
print(' '.join(m for m in sys.argv[1:] if u.find_spec(m) is None))";
    let mut command = Command::new(python);
    command.arg("-c").arg(LOOK).args(framework.modules).stdin(Stdio::null());
    let name = python.display();
    let way_out = "name another by --python or SCALEMARK_PYTHON";
    let out = match command.output() {
        Ok(out) if out.status.success() => out,
        Ok(out) => return Some(format!("{name} does not run Python ({}); {way_out}", out.status)),
        Err(error) => return Some(format!("{name} cannot be started ({error}); {way_out}")),
    };
    let absent = String::from_utf8_lossy(&out.stdout).trim().to_owned();
    (!absent.is_empty()).then(|| {
        format!("{name} finds no {absent}; `{name} -m pip install {absent}`, or {way_out}")
    })
}

/// A framework's worker as one program text: a binary that was copied somewhere needs no files beside it.
fn program(framework: &Framework) -> String {
    let text = |source: &str| serde_json::to_string(source).expect("text has a JSON form");
    let mut all = "import sys, types\n".to_owned();
    for (name, source) in [("scalemark_worker", SHARED_SOURCE)].iter().chain(framework.imports) {
        all += &format!("m = sys.modules['{name}'] = types.ModuleType('{name}')\n");
        all += &format!("exec(compile({}, '{name}.py', 'exec'), m.__dict__)\n", text(source));
    }
    let (source, name) = (text(framework.source), framework.name);
    all + &format!("exec(compile({source}, '{name}_worker.py', 'exec'))\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_baseline_is_answered_with_the_known_ones() {
        let error = ExternalWorker::framework("tensorflow", Path::new("python3")).unwrap_err();
        assert!(
            error.to_string().contains("known are torch, numpy, onnxruntime, zentorch"),
            "{error}"
        );
    }

    #[test]
    fn without_python_every_row_refuses_with_the_way_out() {
        let worker = ExternalWorker::framework("numpy", Path::new("/nowhere/python3")).unwrap();
        for kernel in worker.kernels {
            let reason = kernel.missing.unwrap();
            assert!(
                reason.contains("--python") && reason.contains("cannot be started"),
                "{reason}"
            );
        }
    }

    #[test]
    fn two_kernels_of_one_name_are_an_error() {
        let worker = ExternalWorker::framework("numpy", Path::new("/nowhere/python3")).unwrap();
        let named = ExternalWorker { provider: "other".into(), ..worker.clone() };
        let error = join(Registry::default(), &[worker.clone(), named]).err().unwrap().to_string();
        assert!(error.contains("two kernels named `matmul/numpy`"), "{error}");
        let error = join(Registry::default(), &[worker.clone(), worker]).err().unwrap();
        assert!(error.to_string().contains("two providers named `numpy`"), "{error}");
    }

    #[test]
    fn what_greets_as_no_worker_is_an_error_that_says_what_it_said() {
        let reason = |command| ExternalWorker::program(command).unwrap_err().to_string();
        assert!(reason("echo hello").contains("no reply"), "{}", reason("echo hello"));
        assert!(reason("false").contains("exit code 1"));
        let odd = r#"echo '{"is":"hello","protocol":1,"program":"p","version":"1","provider":"me","kernels":["fft/x"]}'"#;
        assert!(reason(odd).contains("fft/x"), "{}", reason(odd));
        let newer = r#"echo '{"is":"hello","protocol":9,"program":"p","version":"1","provider":"me","kernels":["matmul/x"]}'"#;
        assert!(reason(newer).contains("protocol 9"), "{}", reason(newer));
    }
}
