//! What is going on on the machine right now, as far as it disturbs measurements.

use std::time::Duration;

use serde::Serialize;

use super::hardware;
use super::root::Root;
use crate::device::lost::lost_share;
use crate::units::Bytes;

/// The state of the machine over a short window; `None` where the system does not tell.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Readings {
    /// Load average over one minute.
    pub load: Option<f64>,
    /// Tasks that were running or waiting to, this process not counted.
    pub runnable: Option<u64>,
    /// The share of processor time that the hypervisor gave to others, within the window, from 0 to 1.
    pub steal: Option<f64>,
    /// The same since the machine started.
    pub steal_since_boot: Option<f64>,
    /// The share of time that a busy thread was not running, reported or not, from 0 to 1.
    pub lost: Option<f64>,
    /// Lowest and highest frequency that a CPU had at either end of the window.
    pub mhz: Option<(u32, u32)>,
    /// The range that the frequency driver may choose from.
    pub mhz_allowed: Option<(u32, u32)>,
    /// Whether a hardware counter of cycles can be opened.
    pub counters: Option<bool>,
    /// Linux's restriction on counters: above 2, only for root.
    pub perf_event_paranoid: Option<i64>,
    /// CPUs that the container may use, as a number of them.
    pub cpu_quota: Option<f64>,
    /// CPUs that this process may run on.
    pub allowed_cpus: Vec<usize>,
    /// One CPU of each core: what to run on where cores have several threads.
    pub one_cpu_per_core: Vec<usize>,
    /// Memory that can be had without swapping.
    pub available: Option<Bytes>,
    /// Swap space in use.
    pub swap_used: Option<Bytes>,
    /// Whether the machine runs on its battery.
    pub on_battery: Option<bool>,
    /// Whether the kernel tells how long threads waited for a CPU.
    pub run_queue_times: bool,
    /// Whether this build lacks optimization.
    pub debug_build: bool,
}

impl Readings {
    /// Looks at the state now and `window` later.
    pub fn take(root: &Root, window: Duration) -> Self {
        let cpus = hardware::online(root);
        let before = (ticks(root), frequencies(root, &cpus));
        // Before this process wakes up again: it would count itself.
        let runnable = root.field_in("proc/stat", "procs_running").map(|n| n.saturating_sub(1));
        std::thread::sleep(window);
        let after = (ticks(root), frequencies(root, &cpus));
        let range = |mhz: &[u32]| Some((*mhz.iter().min()?, *mhz.iter().max()?));
        let seen: Vec<u32> = before.1.into_iter().chain(after.1).collect();
        Readings {
            load: root.text("proc/loadavg").and_then(|t| t.split(' ').next()?.parse().ok()),
            runnable,
            steal: before.0.zip(after.0).and_then(|(before, after)| {
                share(after.0.checked_sub(before.0)?, after.1.checked_sub(before.1)?)
            }),
            steal_since_boot: after.0.and_then(|(steal, all)| share(steal, all)),
            lost: root.is_live().then(|| lost_share(window / 3)),
            mhz: range(&seen),
            mhz_allowed: allowed_range(root),
            counters: if root.is_live() { counters_open() } else { None },
            perf_event_paranoid: root
                .text("proc/sys/kernel/perf_event_paranoid")
                .and_then(|t| t.parse().ok()),
            cpu_quota: cpu_quota(root),
            allowed_cpus: if root.is_live() {
                crate::device::pool::affinity::allowed()
            } else {
                cpus
            },
            one_cpu_per_core: hardware::one_cpu_per_core(root),
            available: root.kib_field("proc/meminfo", "MemAvailable").map(Bytes),
            swap_used: root.kib_field("proc/meminfo", "SwapTotal").and_then(|total| {
                let free = root.kib_field("proc/meminfo", "SwapFree")?;
                Some(Bytes(total.checked_sub(free)?))
            }),
            on_battery: on_battery(root),
            run_queue_times: root.has("proc/self/schedstat"),
            debug_build: cfg!(debug_assertions),
        }
    }
}

impl Root {
    /// The number after `key` and a space, in a file of such lines (`/proc/stat`, a group's `memory.stat`).
    fn field_in(&self, path: &str, key: &str) -> Option<u64> {
        let text = self.text(path)?;
        let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))?;
        value.trim().parse().ok()
    }
}

/// Stolen and all ticks of all CPUs, from the first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq,
/// steal. Time of guests is part of user's.
pub(crate) fn ticks(root: &Root) -> Option<(u64, u64)> {
    let text = root.text("proc/stat")?;
    let line = text.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = line.split_whitespace().take(8).map_while(|t| t.parse().ok()).collect();
    (ticks.len() == 8).then(|| (ticks[7], ticks.iter().sum()))
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn frequencies(root: &Root, cpus: &[usize]) -> Vec<u32> {
    let of = |cpu: &usize| {
        let path = format!("sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_cur_freq");
        u32::try_from(root.number(&path)? / 1000).ok()
    };
    cpus.iter().filter_map(of).collect()
}

fn allowed_range(root: &Root) -> Option<(u32, u32)> {
    let bound = |name: &str| {
        let khz = root.number(&format!("sys/devices/system/cpu/cpu0/cpufreq/{name}"))?;
        u32::try_from(khz / 1000).ok()
    };
    Some((bound("scaling_min_freq")?, bound("scaling_max_freq")?))
}

/// The least number of CPUs that a control group (version 1 or 2), from this process's own up to the root, allows.
fn cpu_quota(root: &Root) -> Option<f64> {
    let groups = root.text("proc/self/cgroup")?;
    let mut least: Option<f64> = None;
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let version_1 = controllers.split(',').any(|c| c == "cpu");
        if !version_1 && !controllers.is_empty() {
            continue;
        }
        let mounts: &[&str] = match version_1 {
            true => &["sys/fs/cgroup/cpu", "sys/fs/cgroup/cpu,cpuacct"],
            false => &["sys/fs/cgroup", "sys/fs/cgroup/unified"],
        };
        for mount in mounts {
            // Inside a container the path may be the host's: the group itself is then at the mount's root.
            let mut group = path.trim_matches('/');
            loop {
                let folder =
                    if group.is_empty() { mount.to_string() } else { format!("{mount}/{group}") };
                if let Some(cpus) = group_quota(root, &folder, version_1) {
                    least = Some(least.map_or(cpus, |l| l.min(cpus)));
                }
                if group.is_empty() {
                    break;
                }
                group = group.rsplit_once('/').map_or("", |(parent, _)| parent);
            }
        }
    }
    least
}

/// Quota over period of one group; `max` and −1 stand for none.
fn group_quota(root: &Root, folder: &str, version_1: bool) -> Option<f64> {
    let (quota, period): (f64, f64) = if version_1 {
        let of = |name: &str| root.text(&format!("{folder}/{name}"))?.parse().ok();
        (of("cpu.cfs_quota_us")?, of("cpu.cfs_period_us")?)
    } else {
        let text = root.text(&format!("{folder}/cpu.max"))?;
        let (quota, period) = text.split_once(' ')?;
        (quota.parse().ok()?, period.parse().ok()?)
    };
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

/// Whether there is a battery and it is being drained; `None` without one.
fn on_battery(root: &Root) -> Option<bool> {
    let folder = "sys/class/power_supply";
    let supplies = root.names(folder);
    let of = |supply: &String, name: &str| root.text(&format!("{folder}/{supply}/{name}"));
    // A battery in a mouse or a headset has the scope "Device".
    let mut batteries = supplies.iter().filter(|s| {
        of(s, "type").as_deref() == Some("Battery") && of(s, "scope").as_deref() != Some("Device")
    });
    let drained = |s: &String| of(s, "status").as_deref() == Some("Discharging");
    batteries.next().map(|first| drained(first) || batteries.any(drained))
}

/// Tries to count this thread's cycles, which also fails where a hypervisor offers no counters.
#[cfg(target_os = "linux")]
fn counters_open() -> Option<bool> {
    Some(crate::device::counters::can_open())
}

#[cfg(not(target_os = "linux"))]
fn counters_open() -> Option<bool> {
    None
}
