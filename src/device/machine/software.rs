//! The software environment: what may change on one machine from run to run.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::hardware;
use super::redact::{Secrets, redact};
use super::root::Root;

const CPUS: &str = "sys/devices/system/cpu";

/// Operating system, its settings, and this build.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Software {
    /// The operating system and its version.
    pub os: Option<String>,
    /// The kernel's release.
    pub kernel: Option<String>,
    /// The kind of container, inside one: `docker`, `podman`, `kubernetes`, `lxc`.
    pub container: Option<String>,
    /// What chooses frequencies; several names where CPUs differ.
    pub governor: Option<String>,
    /// What sets frequencies.
    pub scaling_driver: Option<String>,
    /// What the driver is asked to favour: `performance`, `balance_performance`, `power`.
    pub energy_preference: Option<String>,
    /// Whether frequencies above the base one are allowed.
    pub boost: Option<bool>,
    /// Transparent huge pages: `always`, `madvise` or `never`.
    pub hugepages: Option<String>,
    /// Address space randomization: 0 off, 1 without the heap, 2 all.
    pub aslr: Option<u64>,
    /// The C library and its version.
    pub libc: Option<String>,
    /// The compiler of this build.
    pub rustc: Option<String>,
    /// The target that this build is for.
    pub target: Option<String>,
    /// The version of scalemark.
    pub scalemark: Option<String>,
    /// The commit that this build was made from.
    pub git_commit: Option<String>,
    /// Whether the tree had changes that the commit does not hold.
    pub git_dirty: Option<bool>,
    /// Versions of the libraries that took part, by name.
    pub libraries: BTreeMap<String, String>,
    /// The command line, without paths and names.
    pub command: Option<String>,
}

impl Software {
    /// What the system under `root` and this build tell; `command` is the command line, the program's name first.
    pub fn detect(root: &Root, command: &[String], secrets: &Secrets) -> Self {
        let known = |text: &str| Some(text.to_owned()).filter(|t| !t.is_empty());
        let mut software = Software {
            os: os(root),
            kernel: root.text("proc/sys/kernel/osrelease"),
            container: container(root),
            governor: of_all_cpus(root, "scaling_governor"),
            scaling_driver: of_all_cpus(root, "scaling_driver"),
            energy_preference: of_all_cpus(root, "energy_performance_preference"),
            boost: boost(root),
            hugepages: root.choice("sys/kernel/mm/transparent_hugepage/enabled"),
            aslr: root.number("proc/sys/kernel/randomize_va_space"),
            libc: libc_version(),
            rustc: known(env!("SCALEMARK_RUSTC")),
            target: known(env!("SCALEMARK_TARGET")),
            scalemark: known(env!("CARGO_PKG_VERSION")),
            git_commit: known(env!("SCALEMARK_GIT_COMMIT")),
            git_dirty: env!("SCALEMARK_GIT_DIRTY").parse().ok(),
            libraries: BTreeMap::new(),
            command: Some(redact(command, secrets)).filter(|c| !c.is_empty()),
        };
        // Without a commit, "no changes" would be a claim about nothing.
        software.git_dirty = software.git_dirty.filter(|_| software.git_commit.is_some());
        if root.is_live() {
            software.kernel =
                software.kernel.take().or_else(|| sysinfo::System::kernel_version().ok());
            software.os = software.os.take().or_else(|| {
                let name = sysinfo::System::name().ok()?;
                Some(match sysinfo::System::os_version() {
                    Ok(version) => format!("{name} {version}"),
                    Err(_) => name,
                })
            });
        }
        software
    }
}

/// `Debian GNU/Linux 12 (bookworm)`, from `/etc/os-release`.
fn os(root: &Root) -> Option<String> {
    let text = root.text("etc/os-release")?;
    let value = |key: &str| {
        let find = |line: &str| {
            let (name, value) = line.split_once('=')?;
            (name == key).then(|| value.trim().trim_matches(['"', '\'']).to_owned())
        };
        text.lines().find_map(find).filter(|v| !v.is_empty())
    };
    value("PRETTY_NAME").or_else(|| value("NAME"))
}

/// A frequency setting of every CPU that is online, distinct values sorted.
fn of_all_cpus(root: &Root, name: &str) -> Option<String> {
    let values: BTreeSet<String> = hardware::online(root)
        .iter()
        .filter_map(|cpu| root.text(&format!("{CPUS}/cpu{cpu}/cpufreq/{name}")))
        .collect();
    let values: Vec<String> = values.into_iter().collect();
    Some(values.join(", ")).filter(|v| !v.is_empty())
}

/// Intel's driver has a switch of its own, with the opposite sense.
fn boost(root: &Root) -> Option<bool> {
    if let Some(off) = root.number(&format!("{CPUS}/intel_pstate/no_turbo")) {
        return Some(off == 0);
    }
    root.number(&format!("{CPUS}/cpufreq/boost")).map(|on| on != 0)
}

fn container(root: &Root) -> Option<String> {
    let groups = root.text("proc/1/cgroup").or_else(|| root.text("proc/self/cgroup"));
    let groups = groups.unwrap_or_default();
    let kind = if root.has(".dockerenv") || groups.contains("/docker") {
        "docker"
    } else if groups.contains("/kubepods") {
        "kubernetes"
    } else if root.has("run/.containerenv") || groups.contains("/libpod") {
        "podman"
    } else if groups.contains("/lxc") {
        "lxc"
    } else {
        return None;
    };
    Some(kind.to_owned())
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn libc_version() -> Option<String> {
    // SAFETY: the function takes nothing and returns a static string that ends in a zero byte.
    let version = unsafe { std::ffi::CStr::from_ptr(libc::gnu_get_libc_version()) };
    Some(format!("glibc {}", version.to_str().ok()?))
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn libc_version() -> Option<String> {
    if cfg!(target_env = "musl") { Some("musl".to_owned()) } else { None }
}
