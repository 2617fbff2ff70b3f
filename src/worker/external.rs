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
    /// A framework of [`FRAMEWORKS`], run by `python` on the CPU or, as `cuda:0`, on a GPU. Where Python, the framework or its GPU is
    /// missing its kernels refuse every case, with the way out.
    ///
    /// # Errors
    /// When no framework has this name, or it has no kernels for this device.
    pub fn framework(name: &str, python: &Path, device: &str) -> Result<Self> {
        let framework = FRAMEWORKS.iter().find(|f| f.name == name).ok_or_else(|| {
            let names: Vec<&str> = FRAMEWORKS.iter().map(|f| f.name).collect();
            Error::Usage(format!("unknown baseline `{name}`; known are {}", names.join(", ")))
        })?;
        let on_gpu = device != "cpu";
        let rows = if on_gpu { framework.gpu_rows } else { framework.rows };
        if rows.is_empty() {
            return Err(Error::Usage(format!(
                "the baseline {name} runs on the CPU only; leave it out, or use --device cpu"
            )));
        }
        let missing = missing(framework, python)
            .or_else(|| on_gpu.then(|| blind(framework, python)).flatten());
        let kernel = |row: &Row| ExternalKernel {
            id: row.id.to_owned(),
            about: row.about.to_owned(),
            provider: name.to_owned(),
            refuses: row.refuses,
            missing: missing.clone(),
        };
        let unset = |(name, _): &&(&str, &str)| std::env::var_os(name).is_none();
        // What keeps the CPU's threads at hand would take a core from the host of a GPU.
        let environment = if on_gpu { &[] } else { framework.environment };
        let set = environment.iter().filter(unset);
        let mut env: Vec<(String, String)> =
            set.map(|(name, value)| (name.to_string(), value.to_string())).collect();
        env.push((PROTOCOL_VARIABLE.into(), VERSION.to_string()));
        let args = ["-c".to_owned(), program(framework)];
        let args = args.into_iter().map(OsString::from).collect();
        Ok(ExternalWorker {
            provider: name.to_owned(),
            spawn: Spawn { program: python.to_owned(), args, env },
            kernels: rows.iter().map(kernel).collect(),
        })
    }

    /// Anybody's program, started once by a shell to say what it holds; one that is not on the device that it was told of refuses
    /// every case.
    ///
    /// # Errors
    /// When it cannot be started, does not greet, or what it says of itself makes no sense.
    pub fn program(command: &str, device: &str) -> Result<Self> {
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
        let client =
            Client::start(&spawn.clone().told(device)).map_err(|error| blame(error.to_string()))?;
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
        let elsewhere = (hello.device != device).then(|| {
            format!(
                "{} runs on {}, not on {device}: a worker says in its greeting which device it is on, which SCALEMARK_DEVICE \
                 tells it (workers/README.md)",
                hello.provider, hello.device
            )
        });
        let kernel = |id: &String| ExternalKernel {
            id: id.clone(),
            about: format!("external: {} {}", hello.program, hello.version).trim().to_owned(),
            provider: hello.provider.clone(),
            refuses: |_| None,
            missing: elsewhere.clone(),
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

/// Why a framework finds no GPU, if so: it is imported and asked.
fn blind(framework: &Framework, python: &Path) -> Option<String> {
    let out = Command::new(python).arg("-c").arg(framework.finds_gpu).stdin(Stdio::null()).output();
    let (name, module) = (python.display(), framework.name);
    let reason = match out {
        Ok(out) if out.status.success() => String::from_utf8_lossy(&out.stdout).trim().to_owned(),
        Ok(out) => format!("{module} cannot be imported ({})", out.status),
        Err(error) => format!("{name} cannot be started ({error})"),
    };
    (!reason.is_empty()).then(|| {
        format!(
            "{reason}; install a build of it for this machine's CUDA, or name another Python by --python or SCALEMARK_PYTHON"
        )
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
        let error =
            ExternalWorker::framework("tensorflow", Path::new("python3"), "cpu").unwrap_err();
        assert!(
            error.to_string().contains("known are torch, numpy, onnxruntime, zentorch"),
            "{error}"
        );
    }

    #[test]
    fn without_python_every_row_refuses_with_the_way_out() {
        let nowhere = Path::new("/nowhere/python3");
        let worker = ExternalWorker::framework("numpy", nowhere, "cpu").unwrap();
        for kernel in worker.kernels {
            let reason = kernel.missing.unwrap();
            assert!(
                reason.contains("--python") && reason.contains("cannot be started"),
                "{reason}"
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_framework_that_finds_no_gpu_refuses_with_the_way_out_and_one_without_gpu_kernels_is_an_error()
     {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let python = folder.path().join("python3");
        let script =
            "#!/bin/sh\ncase \"$2\" in *is_available*) echo 'torch 2 finds no GPU';; esac\n";
        std::fs::write(&python, script).unwrap();
        std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).unwrap();
        let worker = ExternalWorker::framework("torch", &python, "cuda:0").unwrap();
        assert!(worker.kernels.iter().any(|kernel| kernel.id == "attention/torch-cudnn"));
        for kernel in worker.kernels {
            let reason = kernel.missing.unwrap();
            assert!(reason.contains("torch 2 finds no GPU; install a build"), "{reason}");
        }
        let on_cpu = ExternalWorker::framework("torch", &python, "cpu").unwrap();
        assert!(on_cpu.kernels.iter().all(|kernel| kernel.missing.is_none()));
        let error = ExternalWorker::framework("numpy", &python, "cuda:0").unwrap_err();
        assert!(error.to_string().contains("numpy runs on the CPU only"), "{error}");
    }

    #[test]
    fn a_program_on_another_device_than_it_was_told_of_refuses() {
        let reason = |device: &str, says: &str| {
            let hello = format!(
                r#"{{"is":"hello","protocol":1,"program":"p","version":"1","provider":"me","kernels":["matmul/x"]{says}}}"#
            );
            let worker = ExternalWorker::program(&format!("echo '{hello}'"), device).unwrap();
            worker.kernels[0].missing.clone()
        };
        assert_eq!(reason("cpu", ""), None);
        assert_eq!(reason("cuda:1", r#","device":"cuda:1""#), None);
        assert!(reason("cuda:0", "").unwrap().contains("me runs on cpu, not on cuda:0"));
        assert!(reason("cpu", r#","device":"cuda:0""#).unwrap().contains("runs on cuda:0"));
    }

    #[test]
    fn two_kernels_of_one_name_are_an_error() {
        let nowhere = Path::new("/nowhere/python3");
        let worker = ExternalWorker::framework("numpy", nowhere, "cpu").unwrap();
        let named = ExternalWorker { provider: "other".into(), ..worker.clone() };
        let error = join(Registry::default(), &[worker.clone(), named]).err().unwrap().to_string();
        assert!(error.contains("two kernels named `matmul/numpy`"), "{error}");
        let error = join(Registry::default(), &[worker.clone(), worker]).err().unwrap();
        assert!(error.to_string().contains("two providers named `numpy`"), "{error}");
    }

    #[test]
    fn what_greets_as_no_worker_is_an_error_that_says_what_it_said() {
        let reason = |command| ExternalWorker::program(command, "cpu").unwrap_err().to_string();
        assert!(reason("echo hello").contains("no reply"), "{}", reason("echo hello"));
        assert!(reason("false").contains("exit code 1"));
        let odd = r#"echo '{"is":"hello","protocol":1,"program":"p","version":"1","provider":"me","kernels":["fft/x"]}'"#;
        assert!(reason(odd).contains("fft/x"), "{}", reason(odd));
        let newer = r#"echo '{"is":"hello","protocol":9,"program":"p","version":"1","provider":"me","kernels":["matmul/x"]}'"#;
        assert!(reason(newer).contains("protocol 9"), "{}", reason(newer));
    }
}
